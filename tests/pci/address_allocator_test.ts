import assert from "node:assert/strict";
import { AddressAllocator } from "../../src/pci/address_allocator.ts";
import { AddressDecoder } from "../../src/pci/address_decoder.ts";

Deno.test("BAR-2: allocation is first fit and naturally aligned", () => {
  const allocator = new AddressAllocator({ address: 0x1800, length: 0x10000 });
  assert.equal(allocator.allocate(0x1000, 0x1000), 0x2000);
  assert.equal(allocator.allocate(0x4000, 0x4000), 0x4000);
  assert.equal(allocator.allocate(0x1000, 0x1000), 0x3000, "the gap is used");
  assert.equal(allocator.allocate(0x800, 0x800), 0x1800);
  assert.equal(allocator.allocate(0x8000, 0x8000), 0x8000);
  assert.equal(allocator.allocate(0x8000, 0x8000), undefined, "0x10000-0x17fff would leave the window");
  assert.equal(allocator.allocate(0x1000, 0x1000), 0x10000);
});

Deno.test("BAR-6: what is freed can be allocated again; only what was taken can be freed", () => {
  const allocator = new AddressAllocator({ address: 0, length: 0x2000 });
  assert.equal(allocator.allocate(0x1000, 0x1000), 0);
  assert.equal(allocator.allocate(0x1000, 0x1000), 0x1000);
  assert.equal(allocator.allocate(0x1000, 0x1000), undefined);
  assert.equal(allocator.free(0, 0x800), false);
  assert.equal(allocator.free(0, 0x1000), true);
  assert.equal(allocator.free(0, 0x1000), false);
  assert.equal(allocator.allocate(0x1000, 0x1000), 0);
});

Deno.test("BAR-4: a fixed range is reserved only where it is free and in the window", () => {
  const allocator = new AddressAllocator({ address: 0x1000, length: 0x4000 });
  assert.equal(allocator.reserve(0x2000, 0x1000), true);
  assert.equal(allocator.reserve(0x2800, 0x1000), false);
  assert.equal(allocator.reserve(0x1800, 0x1000), false);
  assert.equal(allocator.reserve(0x0800, 0x1000), false);
  assert.equal(allocator.reserve(0x4800, 0x1000), false);
  assert.equal(allocator.reserve(0x1000, 0x1000), true);
  assert.deepEqual(allocator.taken.map(({ address }) => address), [0x1000, 0x2000]);
});

Deno.test("BAR-5: excluded ranges are stepped over, whatever their order and overlaps", () => {
  const allocator = new AddressAllocator({ address: 0, length: 0x6000 }, [
    { address: 0x3800, length: 0x10 },
    { address: 0, length: 0x1800 },
    { address: 0x1000, length: 0x1000 },
    { address: 0x9000, length: 0x1000 },
  ]);
  assert.deepEqual([1, 2, 3, 4].map(() => allocator.allocate(0x1000, 0x1000)), [0x2000, 0x4000, 0x5000, undefined]);
  assert.equal(allocator.reserve(0x3000, 0x800), true);
  assert.equal(allocator.reserve(0x3800, 0x800), false);
});

Deno.test("BAR-5: the decoder finds the range of an access and never one that it only touches", () => {
  const decoder = new AddressDecoder<string>();
  const middle = { address: 0x2000, length: 0x1000, owner: "middle" };
  decoder.add({ address: 0x4000, length: 0x10, owner: "high" });
  decoder.add({ address: 0x1000, length: 0x1000, owner: "low" });
  decoder.add(middle);
  assert.equal(decoder.find(0x1fff, 1)?.owner, "low");
  assert.equal(decoder.find(0x2000, 4)?.owner, "middle");
  assert.equal(decoder.find(0x1ffe, 4), undefined, "an access across two ranges belongs to neither");
  assert.equal(decoder.find(0x400c, 4)?.owner, "high");
  assert.equal(decoder.find(0x400d, 4), undefined);
  assert.equal(decoder.find(0x3000, 1), undefined);
  assert.equal(decoder.find(0xfff, 1), undefined);
  assert.equal(decoder.find(0x2800, 2)?.owner, "middle");
  decoder.remove(middle);
  assert.equal(decoder.find(0x2800, 2), undefined, "the remembered hit is forgotten with its range");
  assert.equal(decoder.isFree({ address: 0x2000, length: 0x2000 }), true);
  assert.equal(decoder.isFree({ address: 0x2000, length: 0x2001 }), false);
  assert.equal(decoder.isFree({ address: 0x0fff, length: 2 }), false);
});
