import assert from "node:assert/strict";
import { OpenFlag, openPath } from "../../ffi/descriptor.ts";
import { addressView, MemoryMapping, Protection } from "../../ffi/memory_mapping.ts";
import { mappedRanges, openDescriptors, withFile } from "./support.ts";

const GUARD = 64n * 1024n;
const MEBIBYTE = 1024 * 1024;

Deno.test("memory lies between inaccessible guards, and nothing of it is left", () => {
  const before = openDescriptors();
  const memory = MemoryMapping.memfd("guarded", MEBIBYTE);
  const start = memory.address;
  const end = start + BigInt(MEBIBYTE);
  const own = mappedRanges().filter(({ name }) => name.includes("memfd:guarded"));
  assert.deepEqual(own.map(({ start, end, permissions }) => [start, end, permissions]), [[start, end, "rw-s"]]);
  for (const [from, to] of [[start - GUARD, start], [end, end + GUARD]]) {
    const guard = mappedRanges().find((range) => range.start <= from && range.end >= to);
    assert.equal(guard?.permissions, "---p");
  }
  assert.equal(start % BigInt(2 * MEBIBYTE), 0n, "a 2 MiB page could not be used");
  memory[Symbol.dispose]();
  memory[Symbol.dispose]();
  assert.equal(mappedRanges().some((range) => range.end > start - GUARD && range.start < end + GUARD), false);
  assert.equal(openDescriptors(), before);
});

Deno.test("views of memory are empty once it is unmapped", () => {
  const memory = MemoryMapping.memfd("detached", 4096);
  const bytes = new Uint8Array(memory.buffer);
  bytes[0] = 42;
  memory[Symbol.dispose]();
  assert.deepEqual([bytes.length, bytes[0], memory.buffer.byteLength], [0, undefined, 0]);
});

Deno.test("memory is shared through its descriptor and its address", () => {
  using memory = MemoryMapping.memfd("shared", 8192);
  using other = MemoryMapping.ofDescriptor(memory.descriptor.fd, 4096, 4096, Protection.readWrite);
  new Uint8Array(memory.buffer)[4096 + 5] = 7;
  assert.equal(new Uint8Array(other.buffer)[5], 7);
  const view = new Uint8Array(addressView(memory.address + 4096n, 16));
  view[6] = 9;
  assert.equal(new Uint8Array(other.buffer)[6], 9);
  assert.notEqual(other.address, memory.address);
});

Deno.test("nobody who is given the memory can change its size", async () => {
  using memory = MemoryMapping.memfd("sealed", 8192);
  for (const size of ["4096", "65536"]) {
    const { success, stderr } = await new Deno.Command("truncate", {
      args: ["--size", size, `/proc/${Deno.pid}/fd/${memory.descriptor.fd}`],
      env: { LC_ALL: "C" },
    }).output();
    assert.equal(success, false);
    assert.match(new TextDecoder().decode(stderr), /Operation not permitted/);
  }
});

Deno.test("memory larger than the host's is reserved, not taken", () => {
  using memory = MemoryMapping.memfd("large", 64 * 1024 * MEBIBYTE);
  const bytes = new Uint8Array(memory.buffer);
  bytes[bytes.length - 1] = 1;
  assert.equal(bytes.length, 2 ** 36);
  assert.equal(bytes[bytes.length - 1], 1);
});

Deno.test("a length or an offset that is not whole pages is refused", () => {
  const before = openDescriptors();
  for (const length of [0, 1, 4095, -4096, 2 ** 60, NaN]) {
    assert.throws(() => MemoryMapping.memfd("odd", length), RangeError);
  }
  assert.throws(() => MemoryMapping.memfd("odd", 4096, { hugePages: true }), RangeError);
  assert.throws(() => MemoryMapping.ofDescriptor(0, 17, 4096, Protection.read), RangeError);
  assert.throws(() => addressView(0n, 1), RangeError);
  assert.equal(openDescriptors(), before);
});

Deno.test("a descriptor that cannot be mapped is refused with the reason", async () => {
  await withFile((path) => {
    using file = openPath(path, OpenFlag.readOnly);
    assert.throws(() => MemoryMapping.ofDescriptor(file.fd, 0, 4096, Protection.readWrite), {
      code: "EACCES",
      message: /mmap\(4096 bytes of descriptor \d+ at 0\)/,
    });
  });
});
