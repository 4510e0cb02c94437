import assert from "node:assert/strict";
import { isElf, loadElfSegments, parseElf } from "../../src/boot/elf.ts";
import { GuestMemory } from "../../src/memory/guest_memory.ts";
import { makeElf } from "./images.ts";

const MIB = 2 ** 20;

Deno.test("an executable's segments and entry point are read, in both classes", () => {
  for (const bits of [32, 64] as const) {
    const data = Uint8Array.of(1, 2, 3);
    const elf = parseElf(makeElf({ bits, entry: 0x123456, segments: [{ address: 2 * MIB, data, memorySize: 10 }] }));
    assert.equal(elf.bits, bits);
    assert.equal(elf.entry, 0x123456);
    assert.equal(elf.pvhEntry, undefined);
    assert.deepEqual(elf.segments.map(({ address, fileSize, memorySize }) => [address, fileSize, memorySize]), [[
      2 * MIB,
      3,
      10,
    ]]);
  }
});

Deno.test("the PVH entry note is found behind other notes, in its 4- and 8-byte forms", () => {
  for (const pvhNoteSize of [4, 8] as const) {
    assert.equal(parseElf(makeElf({ pvhEntry: 0x1000850, pvhNoteSize })).pvhEntry, 0x1000850);
  }
});

Deno.test("what is no executable for x86 is refused with the reason", () => {
  const cases: [Uint8Array, RegExp][] = [
    [new TextEncoder().encode("hello"), /does not begin with 7f 45 4c 46/],
    [makeElf({ machine: 183 }), /built for arm64 \(183\); expected x86-64/],
    [makeElf({ machine: 9999 }), /built for machine \(9999\)/],
    [makeElf({ type: 1 }), /file type 1; expected an executable/],
    [makeElf({ segments: [] }), /no segment to load/],
    [makeElf().with(4, 7), /class 7/],
    [makeElf().with(5, 2), /big-endian/],
    [makeElf({ segments: [{ address: MIB, data: new Uint8Array(8), memorySize: 4 }] }), /more than its 4 in memory/],
  ];
  for (const [image, message] of cases) assert.throws(() => parseElf(image), message);
  assert.equal(isElf(Uint8Array.of(0x7f, 0x45)), false);
});

Deno.test("an executable cut short anywhere is refused as cut short, never read beyond its end", () => {
  for (const bits of [32, 64] as const) {
    const image = makeElf({ bits, pvhEntry: MIB, segments: [{ address: MIB, data: new Uint8Array(100) }] });
    for (let length = 4; length < image.length; length++) {
      assert.throws(() => parseElf(image.slice(0, length)), /cut short: .* ends at byte \d+, the file at \d+/);
    }
  }
});

Deno.test("headers of random bytes end in an error or a valid result", () => {
  let state = 7;
  for (let round = 0; round < 3000; round++) {
    const image = makeElf({ pvhEntry: MIB });
    for (let i = 0; i < 4; i++) {
      state = Math.imul(state, 1103515245) + 12345 >>> 0;
      image[6 + (state >>> 8) % (image.length - 6)] = state >>> 24;
    }
    try {
      const elf = parseElf(image);
      loadElfSegments(GuestMemory.allocate(2 * MIB), image, elf);
    } catch (error) {
      assert.match(String(error), /^BootError: Cannot /);
    }
  }
});

Deno.test("segments are copied to their places, and the rest of them is zero", () => {
  const memory = GuestMemory.allocate(4 * MIB);
  memory.bytes.fill(0xaa);
  const image = makeElf({
    segments: [{ address: 2 * MIB, data: Uint8Array.of(1, 2), memorySize: 4 }, {
      address: MIB,
      data: Uint8Array.of(9),
    }],
  });
  const range = loadElfSegments(memory, image, parseElf(image));
  assert.deepEqual(range, { start: MIB, end: 2 * MIB + 4 });
  assert.deepEqual([...memory.read(2 * MIB - 1, 6)], [0xaa, 1, 2, 0, 0, 0xaa]);
  assert.deepEqual([...memory.read(MIB, 2)], [9, 0xaa]);
});

Deno.test("a file that lies in guest RAM is moved to its places, wherever it was", () => {
  const segments = [0, 1, 2].map((i) => ({
    address: MIB + i * 0x3000,
    data: new Uint8Array(0x1800).fill(i + 1),
    memorySize: 0x2000,
  }));
  const file = makeElf({ segments });
  // Before, amid and behind the places where its parts belong, so that they move down, up, and both ways.
  for (let at = MIB - 0x5000; at < MIB + 0xc000; at += 0x700) {
    const memory = GuestMemory.allocate(2 * MIB);
    memory.write(at, file);
    const image = memory.bytes.subarray(at, at + file.length);
    loadElfSegments(memory, image, parseElf(image));
    for (const { address, data } of segments) {
      assert.ok(memory.read(address, 0x1800).every((byte) => byte === data[0]), `file at ${at}, segment at ${address}`);
      assert.ok(memory.read(address + 0x1800, 0x800).every((byte) => byte === 0), `file at ${at}, zeros at ${address}`);
    }
  }
});

Deno.test("segments outside of RAM, below 1 MiB or over one another are refused", () => {
  const load = (segments: { address: number; data: Uint8Array }[]) => () => {
    const image = makeElf({ segments });
    loadElfSegments(GuestMemory.allocate(4 * MIB), image, parseElf(image));
  };
  const data = new Uint8Array(4096);
  assert.throws(
    load([{ address: 4 * MIB - 1, data }]),
    /0x3fffff-0x400ffe: RAM is 0x0-0x3fffff. Give the machine more memory/,
  );
  assert.throws(load([{ address: 0xff000 - 1, data }]), /below 0x100000/);
  assert.throws(load([{ address: MIB, data }, { address: MIB + 4095, data }]), /overlaps the one at 0x100000/);
  assert.throws(load([{ address: 2 ** 60, data }]), /more than any machine's memory/);
});
