import assert from "node:assert/strict";
import type { CpuState } from "../../src/boot/cpu_state.ts";
import { BootError } from "../../src/boot/errors.ts";
import { buildMemoryMap, COMMAND_LINE_ADDRESS, MEMORY_RAM, MEMORY_RESERVED } from "../../src/boot/layout.ts";
import { type BootRequest, loadKernel } from "../../src/boot/loader.ts";
import { kernelRelease } from "../../src/boot/release.ts";
import { GuestMemory } from "../../src/memory/guest_memory.ts";
import { findKernel } from "../support/kernels.ts";
import { needs } from "../support/requirements.ts";
import { compress, makeBzImage, makeElf } from "./images.ts";

const MIB = 2 ** 20;
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

function load(request: Partial<BootRequest> & Pick<BootRequest, "kernel">, memory = GuestMemory.allocate(64 * MIB)) {
  return loadKernel(memory, { commandLine: "console=ttyS0", ...request });
}

function u64(memory: GuestMemory, address: number): bigint {
  return memory.view.getBigUint64(memory.offsetOf(address, 8), true);
}

function u32(memory: GuestMemory, address: number): number {
  return memory.view.getUint32(memory.offsetOf(address, 4), true);
}

function string(memory: GuestMemory, address: number): string {
  const bytes = memory.bytes.subarray(memory.offsetOf(address, 1));
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}

/** Each segment register's descriptor in memory must say what its hidden part says (Intel SDM volume 3, figure 3-8). */
function assertDescriptors(memory: GuestMemory, { segments, gdt }: CpuState): void {
  for (const segment of Object.values(segments)) {
    if (segment.unusable) continue;
    assert.ok(segment.selector + 7 <= gdt.limit, `selector ${segment.selector}`);
    const descriptor = u64(memory, gdt.base + segment.selector);
    const field = (at: bigint, width: bigint): number => Number(descriptor >> at & (1n << width) - 1n);
    const limit = field(0n, 16n) | field(48n, 4n) << 16;
    assert.equal(segment.g ? limit * 4096 + 4095 : limit, segment.limit);
    assert.equal(field(16n, 24n) | field(56n, 8n) << 24, segment.base);
    assert.deepEqual(
      [field(40n, 4n), field(44n, 1n), field(45n, 2n), field(47n, 1n), field(53n, 1n), field(54n, 1n), field(55n, 1n)],
      [segment.type, segment.s, segment.dpl, segment.present, segment.l, segment.db, segment.g],
    );
  }
}

Deno.test("PVH: start info, module list, memory map, command line and registers are as the protocol says", async () => {
  const memory = GuestMemory.allocate(64 * MIB);
  const initramfs = new Uint8Array(5000).fill(0x42);
  const loaded = await load({
    kernel: makeElf({ pvhEntry: 0x100010 }),
    initramfs,
    rsdpAddress: 0xe0000,
    reserved: [{ address: 0xe000_0000, length: MIB }],
  }, memory);
  assert.equal(loaded.protocol, "pvh");
  assert.equal(loaded.note, "vmlinux, PVH entry");
  const { state } = loaded;
  assert.equal(state.registers.rip, 0x100010n);
  assert.equal(state.registers.rflags, 2n);
  assert.deepEqual([state.cr0, state.cr3, state.cr4, state.efer], [0x11, 0, 0, 0]);
  const { cs, ds, tr } = state.segments;
  assert.deepEqual([cs.base, cs.limit, cs.db, cs.l, cs.type], [0, 0xffff_ffff, 1, 0, 0xb]);
  assert.deepEqual([ds.base, ds.limit, ds.db, ds.type], [0, 0xffff_ffff, 1, 3]);
  assert.deepEqual([tr.base, tr.limit, tr.type, tr.s, tr.present], [0, 0x67, 0xb, 0, 1]);
  assertDescriptors(memory, state);

  const info = Number(state.registers.rbx);
  assert.equal(u32(memory, info), 0x336ec578);
  assert.equal(u32(memory, info + 4), 1);
  assert.equal(u32(memory, info + 12), 1);
  const module = Number(u64(memory, info + 16));
  assert.equal(string(memory, Number(u64(memory, info + 24))), "console=ttyS0");
  assert.equal(u64(memory, info + 32), 0xe0000n);
  const map = Number(u64(memory, info + 40));
  assert.equal(Number(u64(memory, module)), 64 * MIB - 8192);
  assert.equal(u64(memory, module + 8), 5000n);
  assert.ok(memory.read(64 * MIB - 8192, 5000).every((byte) => byte === 0x42));
  const lines = Array.from({ length: u32(memory, info + 48) }, (_, i) => [
    Number(u64(memory, map + i * 24)),
    Number(u64(memory, map + i * 24 + 8)),
    u32(memory, map + i * 24 + 16),
  ]);
  assert.deepEqual(lines, [
    [0, 0x9fc00, MEMORY_RAM],
    [0x9fc00, 0x400, MEMORY_RESERVED],
    [0xe0000, 0x20000, MEMORY_RESERVED],
    [MIB, 63 * MIB, MEMORY_RAM],
    [0xe000_0000, MIB, MEMORY_RESERVED],
  ]);
});

Deno.test("PVH: a 32-bit kernel boots by it too", async () => {
  const { protocol } = await load({ kernel: makeElf({ bits: 32, machine: 3, pvhEntry: 0x100000 }) });
  assert.equal(protocol, "pvh");
});

Deno.test("64-bit protocol: zero page, page tables and registers are as the protocol says", async () => {
  const memory = GuestMemory.allocate(64 * MIB);
  const kernel = makeBzImage();
  const loaded = await load({ kernel, initramfs: new Uint8Array(100), rsdpAddress: 0xe0000 }, memory);
  assert.equal(loaded.protocol, "linux64");
  assert.match(loaded.note, /^bzImage 6\.1\.0-test, to unpack itself: its payload is of no known format$/);
  const { state } = loaded;
  assert.equal(state.registers.rip, 0x400200n);
  assert.deepEqual([state.cr0, state.cr4, state.efer], [0x8000_0011, 0x20, 0x500]);
  const { cs } = state.segments;
  assert.deepEqual([cs.selector, cs.l, cs.db], [0x10, 1, 0]);
  assert.equal(state.segments.ds.selector, 0x18);
  assertDescriptors(memory, state);
  assert.deepEqual(memory.read(0x400000, kernel.length - 0x600), kernel.slice(0x600));

  const page = Number(state.registers.rsi);
  assert.equal(u32(memory, page + 0x202), 0x53726448);
  assert.equal(memory.read(page + 0x210, 1)[0], 0xff);
  assert.equal(u32(memory, page + 0x214), 0x400000);
  assert.equal(u32(memory, page + 0x218), 64 * MIB - 4096);
  assert.equal(u32(memory, page + 0x21c), 100);
  assert.equal(u32(memory, page + 0x228), COMMAND_LINE_ADDRESS);
  assert.equal(u64(memory, page + 0x70), 0xe0000n);
  assert.equal(memory.read(page + 0x1e8, 1)[0], 4);
  assert.equal(u64(memory, page + 0x2d0 + 3 * 20), BigInt(MIB));
  assert.equal(u64(memory, page + 0x2d0 + 3 * 20 + 8), BigInt(63 * MIB));
  assert.equal(u32(memory, page + 0x2d0 + 3 * 20 + 16), MEMORY_RAM);
  assert.equal(string(memory, COMMAND_LINE_ADDRESS), "console=ttyS0");

  // Walk the tables as a processor does.
  for (const address of [0, 0x400200, 0x7fff_ffff, 0xffff_fff8]) {
    const pointers = Number(u64(memory, state.cr3) & ~0xfffn);
    const directory = Number(u64(memory, pointers + Math.floor(address / 2 ** 30) * 8) & ~0xfffn);
    const entry = u64(memory, directory + (Math.floor(address / 2 ** 21) % 512) * 8);
    assert.equal(entry & 0x83n, 0x83n);
    assert.equal(entry & ~0x1fffffn, BigInt(Math.floor(address / 2 ** 21)) << 21n);
  }
});

Deno.test("64-bit protocol: a vmlinux without a note is entered at its entry point, with a header of our own", async () => {
  const memory = GuestMemory.allocate(64 * MIB);
  const { state, protocol, note } = await load({ kernel: makeElf({ entry: 0x100000 }) }, memory);
  assert.equal(protocol, "linux64");
  assert.match(note, /no PVH entry note/);
  assert.equal(state.registers.rip, 0x100000n);
  const page = Number(state.registers.rsi);
  assert.equal(u32(memory, page + 0x202), 0x53726448);
  assert.equal(memory.view.getUint16(page + 0x1fe, true), 0xaa55);
});

Deno.test("a bzImage that may be moved is loaded lower when there is little RAM", async () => {
  const kernel = makeBzImage({ preferredAddress: 0x800000, initSize: 2 * MIB });
  const { range } = await load({ kernel }, GuestMemory.allocate(4 * MIB));
  assert.deepEqual(range, { start: MIB, end: 3 * MIB });
  const fixed = makeBzImage({ preferredAddress: 0x800000, initSize: 2 * MIB, relocatable: false });
  await assert.rejects(load({ kernel: fixed }, GuestMemory.allocate(4 * MIB)), /at 0x800000: it needs 2097152 bytes/);
});

Deno.test("a payload that is an ELF file needs no unpacking", async () => {
  const { protocol, note } = await load({ kernel: makeBzImage({ payload: makeElf({ pvhEntry: 0x100000 }) }) });
  assert.equal(protocol, "pvh");
  assert.match(note, /payload not compressed/);
});

for (const format of ["gzip", "xz", "zstd", "lz4", "lzo", "bzip2", "lzma"] as const) {
  const tool = format === "lzo" ? "lzop" : format === "lzma" ? "xz" : format;
  Deno.test({
    ...needs(`a bzImage with a ${format} payload is unpacked and entered by its PVH note`, tool),
    async fn() {
      const data = Uint8Array.from({ length: 70_000 }, (_, i) => i % 251);
      const payload = await compress(format, makeElf({ pvhEntry: 0x500000, segments: [{ address: 0x500000, data }] }));
      const memory = GuestMemory.allocate(64 * MIB);
      const { note, protocol } = await load({ kernel: makeBzImage({ payload }) }, memory);
      assert.equal(protocol, "pvh");
      assert.equal(note, `bzImage 6.1.0-test, ${format} payload unpacked, PVH entry`);
      assert.deepEqual(memory.read(0x500000, data.length), data);
    },
  });
}

Deno.test({
  ...needs("a damaged payload is an error, not a guest that hangs", "gzip"),
  async fn() {
    const payload = await compress("gzip", makeElf({ pvhEntry: 0x100000 }));
    payload[30] ^= 0xff;
    await assert.rejects(load({ kernel: makeBzImage({ payload }) }), (error: Error) => {
      assert.ok(error instanceof BootError);
      assert.match(error.message, /Cannot unpack the bzImage's payload of \d+ bytes: the gzip data are damaged/);
      return true;
    });
  },
});

Deno.test("what is no kernel is refused, told for what it looks like", async () => {
  const arm = new Uint8Array(256);
  arm.set(text("ARMd"), 0x38);
  const cases: [Uint8Array, RegExp][] = [
    [new Uint8Array(), /the file is empty/],
    [
      Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0),
      /looks like a gzip file. It may be a compressed kernel: unpack it with gunzip/,
    ],
    [text("070701000000"), /looks like an initramfs \(cpio archive\)/],
    [text("[Unit]\nDescription=x\n"), /looks like text/],
    [text("#!/bin/sh\n"), /looks like a script/],
    [arm, /looks like an arm64 kernel/],
    [text("MZ\u0001\u0002"), /EFI program/],
    [text("QFI\u00fb").with(3, 0xfb), /qcow2/],
    [new Uint8Array(100), /begins with zeros/],
    [Uint8Array.of(9, 8, 7, 6, 5, 200, 3), /begins with 09 08 07 06 05 c8 03/],
  ];
  for (const [kernel, message] of cases) {
    await assert.rejects(load({ kernel }), (error: Error) => {
      assert.ok(error instanceof BootError, String(error));
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("a bzImage that is cut short, too old, 32-bit or inconsistent is refused", async () => {
  const whole = makeBzImage();
  for (const length of [0x210, 0x264, 0x600, whole.length - 1]) {
    await assert.rejects(
      load({ kernel: whole.slice(0, length) }),
      /cut short: its (setup header|kernel) ends at byte \d+/,
    );
  }
  await assert.rejects(load({ kernel: makeBzImage({ protocolVersion: 0x201 }) }), /boot protocol 2.1; expected 2.06/);
  await assert.rejects(load({ kernel: makeBzImage({ has64BitEntry: false }) }), /no 64-bit entry point/);
  const far = makeBzImage();
  new DataView(far.buffer).setUint32(0x24c, 0x7fff_ffff, true);
  await assert.rejects(load({ kernel: far }), /its payload .* reaches beyond its kernel/);
  const high = makeBzImage({ preferredAddress: 2 ** 40 });
  await assert.rejects(load({ kernel: high }), /expected an address below 4 GiB/);
  await assert.rejects(load({ kernel: makeElf({ entry: 0x1234 }) }), /no PVH entry note .* build with CONFIG_PVH=y/);
});

Deno.test("an initramfs that is empty or too large, and a command line that is too long, are refused", async () => {
  const kernel = makeElf({ pvhEntry: 0x100000 });
  await assert.rejects(load({ kernel, initramfs: new Uint8Array() }), /initramfs: it is empty/);
  await assert.rejects(
    load({ kernel, initramfs: new Uint8Array(4 * MIB) }, GuestMemory.allocate(4 * MIB)),
    /initramfs of 4194304 bytes: .* Give the machine at least \d+ MiB/,
  );
  await assert.rejects(load({ kernel, commandLine: "x".repeat(2048) }), /2048 bytes: the kernel takes 2047/);
  await load({ kernel, commandLine: "x".repeat(2047) });
  await assert.rejects(
    load({ kernel: makeBzImage(), commandLine: "é".repeat(128) }),
    /256 bytes: the kernel takes 255/,
  );
  await assert.rejects(load({ kernel, commandLine: "a\0b" }), /NUL character at byte 1/);
});

Deno.test("an initramfs stays below the kernel's limit and below the hole under 4 GiB", async () => {
  const limited = await load({ kernel: makeBzImage({ initrdAddressMax: 0x1ff_ffff }), initramfs: new Uint8Array(10) });
  assert.equal(limited.initramfs?.address, 0x200_0000 - 4096);
  const split = new GuestMemory(new ArrayBuffer(32 * MIB), [
    { address: 0, length: 16 * MIB, offset: 0 },
    { address: 2 ** 32, length: 16 * MIB, offset: 16 * MIB },
  ]);
  const { initramfs } = await load({ kernel: makeElf({ pvhEntry: 0x100000 }), initramfs: new Uint8Array(10) }, split);
  assert.equal(initramfs?.address, 16 * MIB - 4096);
  assert.deepEqual(buildMemoryMap(split).at(-1), { address: 2 ** 32, length: 16 * MIB, type: MEMORY_RAM });
});

Deno.test("RAM that is too small, or that a reserved range cuts, is refused", async () => {
  const kernel = makeElf({ pvhEntry: 0x100000 });
  await assert.rejects(load({ kernel }, GuestMemory.allocate(MIB)), /RAM of 1048576 bytes at 0x0: expected more/);
  await assert.rejects(
    load({ kernel, reserved: [{ address: MIB, length: 1 }] }),
    /Cannot reserve 0x100000-0x100000: RAM is at/,
  );
});

for (const flavour of ["cloud", "general"] as const) {
  Deno.test({
    ...needs(
      `Debian's ${flavour} kernel is unpacked and entered by PVH`,
      flavour === "cloud" ? "guest kernel" : "box kernel",
    ),
    async fn() {
      const { image, release } = findKernel(flavour)!;
      const kernel = await Deno.readFile(image);
      assert.equal(kernelRelease(kernel), release);
      const memory = GuestMemory.allocate(256 * MIB);
      const loaded = await load({ kernel }, memory);
      assert.equal(loaded.protocol, "pvh");
      assert.match(loaded.note, /^bzImage \S+, \w+ payload unpacked, PVH entry$/);
      const banner = new TextEncoder().encode(`Linux version ${release} `);
      const found = new TextDecoder("latin1").decode(
        memory.read(loaded.range.start, loaded.range.end - loaded.range.start),
      )
        .includes(new TextDecoder().decode(banner));
      assert.ok(found, "the kernel's banner is not in memory");
      // The entry point is 32-bit code that begins with cld.
      assert.equal(memory.read(Number(loaded.state.registers.rip), 1)[0], 0xfc);
      const itself = await load({ kernel, unpack: false }, GuestMemory.allocate(256 * MIB));
      assert.equal(itself.protocol, "linux64");
      assert.equal(itself.state.registers.rip, BigInt(itself.range.start + 0x200));
    },
  });
}
