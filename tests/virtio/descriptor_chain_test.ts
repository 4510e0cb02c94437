import assert from "node:assert/strict";
import { GuestMemory } from "../../src/memory/guest_memory.ts";
import { BufferChain } from "../../src/virtio/descriptor_chain.ts";
import { SplitQueue } from "../../src/virtio/split_queue.ts";

const memory = GuestMemory.allocate(1 << 16);
const queue = new SplitQueue(0, memory, { kicks: 0, interrupts: 0, chains: 0, refusedChains: 0 }, {
  touched: () => {},
  failed: (_ring, error) => assert.fail(error),
});

/** A chain of the given lengths (writable where negative), scattered over memory at 4 KiB steps plus one. */
function chainOf(...lengths: number[]): BufferChain {
  memory.bytes.fill(0);
  const chain = new BufferChain(queue, 0, memory);
  chain.begin();
  lengths.forEach((length, i) => chain.append(0x1000 * (i + 1) + 1, Math.abs(length), length < 0));
  return chain;
}

const pattern = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i + 1);

Deno.test("QUE-5: read and write copy across buffers and stop at the end of their part", () => {
  for (const lengths of [[3, 5, -4, -6], [100, 60, -90, -70], [1, 1, 1, 200, -1, -1, -1, -200, -3, -3]]) {
    const chain = chainOf(...lengths);
    const readable = lengths.filter((length) => length > 0).reduce((a, b) => a + b, 0);
    const writable = -lengths.filter((length) => length < 0).reduce((a, b) => a + b, 0);
    assert.equal(chain.write(0, pattern(writable + 10)), writable);
    // What was written lies in the writable buffers, in order, and nowhere else.
    const written = lengths.flatMap((length, i) =>
      length < 0 ? [...memory.bytes.subarray(chain.offsets[i], chain.offsets[i] - length)] : []
    );
    assert.deepEqual(written, [...pattern(writable)]);
    assert.equal(
      memory.bytes.reduce((sum, byte) => sum + (byte === 0 ? 0 : 1), 0),
      written.filter((b) => b !== 0).length,
    );
    // Fill the readable ones and read them back from every position.
    let next = 1;
    lengths.forEach((length, i) => {
      for (let k = 0; k < length; k++) memory.bytes[chain.offsets[i] + k] = next++;
    });
    for (let at = 0; at <= readable + 1; at++) {
      const into = new Uint8Array(readable + 5);
      const expected = [...pattern(readable)].slice(at);
      assert.equal(chain.read(at, into), expected.length);
      assert.deepEqual([...into.subarray(0, expected.length)], expected);
      assert.ok(into.subarray(expected.length).every((byte) => byte === 0));
    }
  }
});

Deno.test("QUE-5: numbers are read little-endian at any place, across buffers, and are 0 beyond the end", () => {
  const chain = chainOf(3, 2, 20);
  pattern(25).forEach((byte, at) => {
    const i = at < 3 ? 0 : at < 5 ? 1 : 2;
    memory.bytes[chain.offsets[i] + at - [0, 3, 5][i]] = byte;
  });
  const bytes = new DataView(pattern(25).buffer);
  for (let at = 0; at < 30; at++) {
    assert.equal(chain.readU8(at), at + 1 <= 25 ? bytes.getUint8(at) : 0, `u8 at ${at}`);
    assert.equal(chain.readU16(at), at + 2 <= 25 ? bytes.getUint16(at, true) : 0, `u16 at ${at}`);
    assert.equal(chain.readU32(at), at + 4 <= 25 ? bytes.getUint32(at, true) : 0, `u32 at ${at}`);
  }
  assert.equal(chain.readU32(-1), 0);
  assert.equal(chain.readU8(NaN), 0);
});

Deno.test("QUE-4: a 64-bit number is exact up to 2^53 - 1 and NaN beyond", () => {
  const chain = chainOf(4, 4);
  const write = (value: bigint): void => {
    for (let i = 0; i < 8; i++) memory.bytes[chain.offsets[i >> 2] + (i & 3)] = Number(value >> BigInt(8 * i) & 0xffn);
  };
  for (const value of [0n, 1n, 0xffff_ffffn, 0x1_0000_0000n, 2n ** 53n - 1n]) {
    write(value);
    assert.equal(chain.readU64(0), Number(value));
  }
  for (const value of [2n ** 53n, 2n ** 53n + 1n, 2n ** 64n - 1n]) {
    write(value);
    assert.ok(Number.isNaN(chain.readU64(0)), `${value}`);
  }
  assert.equal(chain.readU64(1), 0);
});

Deno.test("QUE-5: a byte is written in the writable part and nowhere else", () => {
  const chain = chainOf(4, -2, -2);
  for (const at of [-1, NaN, 4, 1e9]) chain.writeU8(at, 0xff);
  assert.ok(memory.bytes.every((byte) => byte === 0));
  chain.writeU8(2, 0x11);
  assert.equal(memory.bytes[chain.offsets[2]], 0x11);
  assert.equal(chain.read(0, new Uint8Array(0)), 0);
  assert.equal(chain.write(5, pattern(3)), 0);
  assert.equal(chain.write(NaN, pattern(3)), 0);
});
