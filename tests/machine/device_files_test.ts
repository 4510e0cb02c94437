import assert from "node:assert/strict";
import { MemoryMapping } from "../../ffi/memory_mapping.ts";
import { DeviceFiles } from "../../src/machine/device_files.ts";
import { EventLoop } from "../../src/machine/event_loop.ts";
import { GuestMemory } from "../../src/memory/guest_memory.ts";
import type { OpenFileOptions } from "../../src/plugin/definition.ts";
import { BufferChain } from "../../src/virtio/descriptor_chain.ts";
import type { DescriptorChain, Virtqueue } from "../../src/virtio/device.ts";

const MEMORY = 8 << 20;
const FILE = 1 << 20;
const EIO = 5;
const EBADF = 9;
const NO_QUEUE = {} as Virtqueue;

/** Deno's resources of a test: a loop, guest memory, a file, and all that has completed. */
class Bench implements Disposable {
  readonly loop = new EventLoop();
  readonly mapping = MemoryMapping.memfd("device-files-test", MEMORY);
  readonly memory: GuestMemory;
  readonly files: DeviceFiles;
  readonly path = Deno.makeTempFileSync({ prefix: "denovisor_files_" });
  readonly completions: [chain: DescriptorChain, result: number][] = [];
  #next = 0;

  constructor(size = FILE) {
    this.memory = new GuestMemory(
      this.mapping.buffer,
      [{ address: 0, length: MEMORY, offset: 0 }],
      this.mapping.address,
    );
    this.files = new DeviceFiles(this.loop, this.memory);
    Deno.truncateSync(this.path, size);
  }

  open(options: Partial<OpenFileOptions> = {}, path = this.path) {
    return this.files.open(path, {
      writable: true,
      completed: (chain, result) => void this.completions.push([chain, result]),
      ...options,
    });
  }

  /** A chain of buffers with gaps between them: contents to be read by the device, or numbers of bytes it may write. */
  chain(...buffers: (Uint8Array | number)[]): BufferChain {
    const chain = new BufferChain(NO_QUEUE, 0, this.memory);
    chain.begin();
    for (const buffer of buffers) {
      const length = typeof buffer === "number" ? buffer : buffer.length;
      if (typeof buffer !== "number") this.memory.bytes.set(buffer, this.#next);
      chain.append(this.#next, length, typeof buffer === "number");
      this.#next += length + 3;
    }
    return chain;
  }

  /** What the writable buffers of a chain hold. */
  written(chain: BufferChain): Uint8Array {
    const parts: number[] = [];
    for (let i = chain.readableCount; i < chain.count; i++) {
      parts.push(...this.memory.bytes.subarray(chain.offsets[i], chain.offsets[i] + chain.lengths[i]));
    }
    return Uint8Array.from(parts);
  }

  content(): Uint8Array {
    return Deno.readFileSync(this.path);
  }

  [Symbol.dispose](): void {
    this.files[Symbol.dispose]();
    this.loop[Symbol.dispose]();
    this.mapping[Symbol.dispose]();
    Deno.removeSync(this.path);
  }
}

const pattern = (length: number, seed = 1) =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7 + (i >>> 8)) & 0xff);

Deno.test("a file's size and block size are told", () => {
  using bench = new Bench(123 * 512);
  using file = bench.open();
  assert.deepEqual([file.size, file.blockSize], [123 * 512, 512]);
});

Deno.test("a read fills the writable buffers, wherever they lie, and a write takes the readable ones", () => {
  using bench = new Bench();
  const content = pattern(FILE);
  Deno.writeFileSync(bench.path, content);
  using file = bench.open();
  const into = bench.chain(new Uint8Array(16), 100, 1, 4096, 7);
  file.read(into, 0, 4204, 5000);
  const out = bench.chain(pattern(16, 9), pattern(700, 2), pattern(324, 3), 1);
  file.write(out, 16, 1024, 10_000);
  file.drain();
  assert.deepEqual(bench.completions.map(([, result]) => result).sort((a, b) => a - b), [1024, 4204]);
  assert.deepEqual(bench.written(into), content.slice(5000, 9204));
  const expected = content.slice();
  expected.set(pattern(700, 2), 10_000);
  expected.set(pattern(324, 3), 10_700);
  assert.deepEqual(bench.content(), expected);
});

Deno.test("transfers may begin anywhere in a chain and take less than all of it", () => {
  using bench = new Bench();
  const content = pattern(FILE);
  Deno.writeFileSync(bench.path, content);
  using file = bench.open();
  const lengths = [10, 1, 20, 5, 64];
  for (let at = 0; at < 100; at += 9) {
    for (const length of [1, 3, 99 - at]) {
      if (length < 1 || at + length > 100) continue;
      const chain = bench.chain(...lengths);
      file.read(chain, at, length, 77);
      file.drain();
      const expected = new Uint8Array(100);
      expected.set(content.subarray(77, 77 + length), at);
      assert.deepEqual(bench.written(chain), expected, `${length} bytes from ${at}`);
    }
  }
});

Deno.test("a chain of many more segments than the kernel is given at once is transferred whole", () => {
  using bench = new Bench();
  const content = pattern(FILE);
  Deno.writeFileSync(bench.path, content);
  using file = bench.open();
  const into = bench.chain(...Array.from({ length: 1000 }, (_, i) => 1 + i % 300));
  const { writableLength } = into;
  file.read(into, 0, writableLength, 1);
  file.drain();
  assert.deepEqual(bench.completions.map(([, result]) => result), [writableLength]);
  assert.deepEqual(bench.written(into), content.slice(1, 1 + writableLength));
  const parts = Array.from({ length: 500 }, (_, i) => pattern(1 + i % 200, i));
  const out = bench.chain(...parts);
  file.write(out, 3, out.readableLength - 3, 0);
  file.drain();
  const joined = Uint8Array.from(parts.flatMap((part) => [...part]));
  assert.deepEqual(bench.content().slice(0, joined.length - 3), joined.slice(3));
});

Deno.test("hundreds of transfers may be in flight", () => {
  using bench = new Bench();
  using file = bench.open();
  const chains = Array.from({ length: 600 }, (_, i) => bench.chain(pattern(512, i)));
  chains.forEach((chain, i) => file.write(chain, 0, 512, i * 512));
  file.drain();
  assert.equal(bench.completions.length, 600);
  assert.ok(bench.completions.every(([, result]) => result === 512));
  assert.equal(new Set(bench.completions.map(([chain]) => chain)).size, 600);
  const content = bench.content();
  chains.forEach((_, i) => assert.deepEqual(content.slice(i * 512, i * 512 + 512), pattern(512, i)));
});

Deno.test("flush succeeds, of a file opened for reading too", () => {
  using bench = new Bench();
  using file = bench.open();
  file.flush(bench.chain(1));
  file.drain();
  assert.deepEqual(bench.completions.map(([, result]) => result), [0]);
});

Deno.test("zeroed and discarded ranges read zero, and the size stays", () => {
  using bench = new Bench();
  const content = pattern(FILE).map((byte) => byte | 1);
  Deno.writeFileSync(bench.path, content);
  using file = bench.open();
  file.writeZeroes(bench.chain(1), 4096, 8192, false);
  file.writeZeroes(bench.chain(1), 65_536, 4096, true);
  file.writeZeroes(bench.chain(1), 100_001, 333, true);
  file.discard(bench.chain(1), 131_072, 65_536);
  file.drain();
  assert.deepEqual(bench.completions.map(([, result]) => result), [0, 0, 0, 0]);
  const now = bench.content();
  assert.equal(now.length, FILE);
  for (const [start, length] of [[4096, 8192], [65_536, 4096], [100_001, 333]]) {
    assert.ok(now.subarray(start, start + length).every((byte) => byte === 0), `${length} bytes at ${start}`);
    content.fill(0, start, start + length);
  }
  // A discarded range reads zero or what it was.
  content.set(now.subarray(131_072, 131_072 + 65_536), 131_072);
  assert.deepEqual(now, content);
});

Deno.test("zeroes are written by hand where the file system cannot zero a range", () => {
  using bench = new Bench(5 << 20);
  Deno.writeFileSync(bench.path, new Uint8Array(5 << 20).fill(7));
  using file = bench.open();
  // The kernel's answer of a file system without the operation, put in the place of its real one.
  const { ring } = bench.loop;
  const original = ring.fallocate;
  ring.fallocate = function(fd, _mode, position, length, token) {
    return original.call(this, fd, 0xffff, position, length, token);
  };
  file.writeZeroes(bench.chain(1), 1000, (3 << 20) + 17, false);
  file.discard(bench.chain(1), 0, 512);
  file.drain();
  assert.deepEqual(bench.completions.map(([, result]) => result), [0, 0]);
  const content = bench.content();
  const first = content.indexOf(0);
  assert.deepEqual([first, content.lastIndexOf(0)], [1000, 1000 + (3 << 20) + 16]);
  assert.equal(content.filter((byte) => byte === 0).length, (3 << 20) + 17);
});

Deno.test("ROB-1: a file that was cut short under a running device gives an error, not a hang", () => {
  using bench = new Bench();
  using file = bench.open();
  Deno.truncateSync(bench.path, 1000);
  file.read(bench.chain(512), 0, 512, 4096);
  file.read(bench.chain(512), 0, 512, 900);
  file.read(bench.chain(512), 0, 512, 0);
  file.drain();
  assert.deepEqual(bench.completions.map(([, result]) => result).sort((a, b) => a - b), [-EIO, -EIO, 512]);
});

Deno.test("ROB-1: what a transfer asks beyond its chain is refused", () => {
  using bench = new Bench();
  using file = bench.open();
  file.read(bench.chain(pattern(100)), 0, 100, 0);
  file.write(bench.chain(100), 0, 100, 0);
  file.read(bench.chain(100), 100, 1, 0);
  file.read(bench.chain(100), 0, 0, 0);
  file.drain();
  assert.deepEqual(bench.completions.map(([, result]) => result), [-22, -22, -22, 0]);
});

Deno.test("a file opened for reading cannot be written", () => {
  using bench = new Bench();
  using file = bench.open({ writable: false });
  file.write(bench.chain(pattern(10)), 0, 10, 0);
  file.drain();
  assert.deepEqual(bench.completions.map(([, result]) => result), [-EBADF]);
});

Deno.test("a completion may start the next transfer", () => {
  using bench = new Bench();
  let left = 50;
  let position = 0;
  const file = bench.open({
    completed: (chain) => {
      if (--left > 0) file.write(chain, 0, 100, position += 100);
    },
  });
  file.write(bench.chain(pattern(100)), 0, 100, 0);
  file.drain();
  assert.equal(left, 0);
  assert.deepEqual(bench.content().slice(4900, 5000), pattern(100));
  file[Symbol.dispose]();
});

Deno.test("headers are read at once, short at the end of the file", () => {
  using bench = new Bench(1000);
  Deno.writeFileSync(bench.path, pattern(1000));
  using file = bench.open();
  const into = new Uint8Array(600);
  assert.equal(file.readSync(into, 0), 600);
  assert.deepEqual(into, pattern(1000).slice(0, 600));
  assert.equal(file.readSync(into, 900), 100);
  assert.equal(file.readSync(into, 5000), 0);
});

Deno.test("what cannot be opened says why and what to do", () => {
  using bench = new Bench();
  const refused = (path: string, message: RegExp) => assert.throws(() => bench.open({}, path), { message });
  refused(`${bench.path}.none`, /open\(".*\.none"\).*ENOENT.*check the path and the current directory/s);
  refused("/dev", /\/dev.*(directory|EISDIR)/s);
  assert.throws(() => bench.open({ writable: false }, "/dev"), {
    message: "Cannot use /dev: it is a directory, expected a regular file or a block device",
  });
  refused("/sys/kernel/uevent_seqnum", /EACCES.*give this user access to it/s);
});

Deno.test("a writer has a file alone, readers share it", () => {
  using bench = new Bench();
  const writer = bench.open();
  assert.throws(() => bench.open({ writable: false }), {
    message: `Cannot open ${bench.path} for reading: another process has it open; end that one, or open the image `
      + "read-only in both",
  });
  writer[Symbol.dispose]();
  using _first = bench.open({ writable: false });
  using _second = bench.open({ writable: false });
  assert.throws(() => bench.open(), { message: /for writing: another process has it open/ });
});

Deno.test("what devices left open is closed with the machine, and nothing twice", () => {
  const open = () => [...Deno.readDirSync("/proc/self/fd")].length;
  const before = open();
  {
    using bench = new Bench();
    bench.open({ writable: false });
    const closed = bench.open({ writable: false });
    closed[Symbol.dispose]();
    closed[Symbol.dispose]();
  }
  assert.equal(open(), before);
});
