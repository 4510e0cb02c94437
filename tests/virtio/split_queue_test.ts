import assert from "node:assert/strict";
import { GuestMemory } from "../../src/memory/guest_memory.ts";
import * as constants from "../../src/virtio/constants.ts";
import { CHAIN_LENGTH_MAXIMUM, CHAINS_PER_BATCH } from "../../src/virtio/split_queue.ts";
import { INDIRECT, NEXT, SplitRingDriver, WRITE } from "../support/split_ring_driver.ts";
import { buffers, fixture, RING_FEATURES } from "./split_queue_fixture.ts";

for (const indirect of [false, true]) {
  Deno.test(`QUE-5: ${indirect ? "indirect" : "direct"} chains arrive with offsets, lengths and sums in order`, () => {
    const { queue, driver } = fixture();
    const list = buffers(driver, 10, 20, -30, -40);
    const head = driver.add(list, { indirect });
    const chain = queue.pop();
    assert.ok(chain !== undefined);
    assert.deepEqual(
      [chain.count, chain.readableCount, chain.readableLength, chain.writableLength],
      [4, 2, 30, 70],
    );
    assert.deepEqual([...chain.offsets.subarray(0, 4)], list.map(({ address }) => address));
    assert.deepEqual([...chain.lengths.subarray(0, 4)], [10, 20, 30, 40]);
    queue.push(chain, 55);
    queue.settle();
    assert.deepEqual(driver.collect(), [{ head, written: 55 }]);
  });
}

Deno.test("QUE-1: an indirect descriptor may end a direct chain, and its WRITE flag means nothing", () => {
  const { queue, driver, errors } = fixture();
  const [a, b] = buffers(driver, 4, -8);
  const table = driver.allocator.take(16);
  driver.writeDescriptor(table, 0, b, undefined);
  driver.writeDescriptor(driver.descriptors, 3, a, 5);
  driver.writeRawDescriptor(driver.descriptors, 5, table, 16, INDIRECT | WRITE, 0);
  driver.publish(3);
  const chain = queue.pop();
  assert.deepEqual([chain?.count, chain?.readableCount, chain?.slot], [2, 1, 3]);
  assert.equal(errors.length, 0);
});

const RAM = 1 << 20;
/** Each makes one broken chain with head 0 and says how the refusal reads. */
const HOSTILE: Record<string, [RegExp, (driver: SplitRingDriver) => void]> = {
  "a loop": [/more buffers than the queue/, (driver) => {
    driver.writeRawDescriptor(driver.descriptors, 0, 0x100, 1, NEXT, 1);
    driver.writeRawDescriptor(driver.descriptors, 1, 0x100, 1, NEXT, 0);
    driver.publish(0);
  }],
  "a descriptor that is its own next": [/more buffers than the queue/, (driver) => {
    driver.writeRawDescriptor(driver.descriptors, 0, 0x100, 1, NEXT, 0);
    driver.publish(0);
  }],
  "next = size": [/descriptor 8 is beyond a table of 8/, (driver) => {
    driver.writeRawDescriptor(driver.descriptors, 0, 0x100, 1, NEXT, 8);
    driver.publish(0);
  }],
  "next = 0xffff": [/descriptor 65535 is beyond/, (driver) => {
    driver.writeRawDescriptor(driver.descriptors, 0, 0x100, 1, NEXT, 0xffff);
    driver.publish(0);
  }],
  "a head = size": [/head 8 is not below 8/, (driver) => driver.publish(8)],
  "a head = 0xffff": [/head 65535/, (driver) => driver.publish(0xffff)],
  "an indirect chain longer than the queue": [/more buffers than the queue/, (driver) => {
    const table = driver.allocator.take(16 * 9);
    for (let i = 0; i < 9; i++) driver.writeRawDescriptor(table, i, 0x100, 1, i < 8 ? NEXT : 0, i + 1);
    driver.writeRawDescriptor(driver.descriptors, 0, table, 16 * 9, INDIRECT, 0);
    driver.publish(0);
  }],
  "a buffer of length 0": [/descriptor 0 has length 0/, (driver) => {
    driver.writeRawDescriptor(driver.descriptors, 0, 0x100, 0, 0, 0);
    driver.publish(0);
  }],
  "a buffer that ends beyond RAM": [/4096 bytes at 0xff001, which are not all RAM/, (driver) => {
    driver.writeRawDescriptor(driver.descriptors, 0, RAM - 0xfff, 0x1000, 0, 0);
    driver.publish(0);
  }],
  "a buffer beyond RAM": [/at 0x100000/, (driver) => {
    driver.writeRawDescriptor(driver.descriptors, 0, RAM, 1, 0, 0);
    driver.publish(0);
  }],
  "address + length beyond 2^64": [/at 0xffffffffffffff00/, (driver) => {
    driver.writeRawDescriptor(driver.descriptors, 0, 2n ** 64n - 256n, 0x200, 0, 0);
    driver.publish(0);
  }],
  "QUE-4, an address of 2^53 + 0x1000": [/at 0x20000000001000/, (driver) => {
    driver.writeRawDescriptor(driver.descriptors, 0, 2n ** 53n + 0x1000n, 16, 0, 0);
    driver.publish(0);
  }],
  "QUE-4, an address of 2^32 + 0x1000": [/at 0x100001000/, (driver) => {
    driver.writeRawDescriptor(driver.descriptors, 0, 2n ** 32n + 0x1000n, 16, 0, 0);
    driver.publish(0);
  }],
  "an indirect table inside an indirect table": [/indirect itself/, (driver) => {
    const table = driver.allocator.take(16);
    driver.writeRawDescriptor(table, 0, table, 16, INDIRECT, 0);
    driver.writeRawDescriptor(driver.descriptors, 0, table, 16, INDIRECT, 0);
    driver.publish(0);
  }],
  "INDIRECT with NEXT": [/both INDIRECT and NEXT/, (driver) => {
    const table = driver.allocator.take(16);
    driver.writeRawDescriptor(table, 0, 0x100, 16, 0, 0);
    driver.writeRawDescriptor(driver.descriptors, 0, table, 16, INDIRECT | NEXT, 1);
    driver.publish(0);
  }],
  "an indirect table of 24 bytes": [/24 bytes, not whole descriptors/, (driver) => {
    driver.writeRawDescriptor(driver.descriptors, 0, 0x100, 24, INDIRECT, 0);
    driver.publish(0);
  }],
  "an indirect table of 0 bytes": [/length 0/, (driver) => {
    driver.writeRawDescriptor(driver.descriptors, 0, 0x100, 0, INDIRECT, 0);
    driver.publish(0);
  }],
  "an indirect table outside RAM": [/not all RAM/, (driver) => {
    driver.writeRawDescriptor(driver.descriptors, 0, RAM - 16, 32, INDIRECT, 0);
    driver.publish(0);
  }],
  "next beyond an indirect table": [/descriptor 1 is beyond a table of 1/, (driver) => {
    const table = driver.allocator.take(16);
    driver.writeRawDescriptor(table, 0, 0x100, 16, NEXT, 1);
    driver.writeRawDescriptor(driver.descriptors, 0, table, 16, INDIRECT, 0);
    driver.publish(0);
  }],
  "QUE-5, readable behind writable": [/descriptor 1 is readable behind a writable one/, (driver) => {
    driver.writeRawDescriptor(driver.descriptors, 0, 0x100, 4, NEXT | WRITE, 1);
    driver.writeRawDescriptor(driver.descriptors, 1, 0x100, 4, 0, 0);
    driver.publish(0);
  }],
  "QUE-2, an index too far ahead": [
    /9 ahead of 0, more than the 8 descriptors/,
    (driver) => driver.setAvailableIndex(9),
  ],
  "QUE-2, an index moving backwards": [/65535 ahead of 0/, (driver) => driver.setAvailableIndex(0xffff)],
};

for (const [name, [reason, breakRing]] of Object.entries(HOSTILE)) {
  Deno.test(`QUE-1: ${name}: refused, counted, the queue stands still, and a new start cures it`, () => {
    const { queue, driver, errors, statistics, memory } = fixture();
    breakRing(driver);
    const before = memory.bytes.slice();
    assert.equal(queue.pop(), undefined);
    assert.equal(errors.length, 1);
    assert.match(errors[0].message, reason);
    assert.match(errors[0].message, /^Queue 0: /);
    assert.equal(statistics.refusedChains, 1);
    assert.equal(statistics.chains, 0);
    for (let i = 0; i < 10; i++) assert.equal(queue.pop(), undefined);
    assert.equal(errors.length, 1, "reported once, not per attempt");
    queue.settle();
    assert.deepEqual(memory.bytes, before, "nothing is written");
    queue.stop();
    queue.held = false;
    const fresh = new SplitRingDriver(memory, driver.allocator, 8, true);
    queue.start(8, fresh, RING_FEATURES);
    fresh.add(buffers(fresh, 4));
    assert.equal(queue.pop()?.readableLength, 4);
  });
}

Deno.test("QUE-1: indirect descriptors that were not negotiated", () => {
  const { queue, driver, errors } = fixture(8, 0n);
  driver.add(buffers(driver, 4), { indirect: true });
  assert.equal(queue.pop(), undefined);
  assert.match(errors[0].message, /indirect, which was not negotiated/);
});

Deno.test("QUE-1: a buffer across a hole, or in it, is refused; one in each region is not", () => {
  const memory = new GuestMemory(new ArrayBuffer(1 << 20), [
    { address: 0, length: 0x8_0000, offset: 0 },
    { address: 0x1_0000_0000, length: 0x8_0000, offset: 0x8_0000 },
  ]);
  for (
    const [address, length, ok] of [[0x7_fff0, 16, true], [0x7_fff0, 17, false], [0xc000_0000, 1, false], [
      0x1_0000_0010,
      16,
      true,
    ]] as const
  ) {
    const { queue, driver } = fixture(8, RING_FEATURES, memory);
    driver.writeRawDescriptor(driver.descriptors, 0, address, length, 0, 0);
    driver.publish(0);
    const chain = queue.pop();
    assert.equal(chain !== undefined, ok, `${length} bytes at 0x${address.toString(16)}`);
    if (chain !== undefined) assert.equal(chain.offsets[0], memory.offsetOf(address, length));
  }
});

Deno.test("QUE-1: the same descriptor made available twice while in flight is refused", () => {
  const { queue, driver, errors } = fixture();
  const head = driver.add(buffers(driver, 4));
  driver.publish(head);
  const first = queue.pop();
  assert.equal(queue.pop(), undefined);
  assert.match(errors[0].message, /while it is in flight/);
  assert.equal(first?.count, 1, "the first is untouched");
});

Deno.test("QUE-2: a broken chain behind good ones: the good ones are served first", () => {
  const { queue, driver, errors } = fixture();
  driver.add(buffers(driver, 4));
  driver.publish(99);
  assert.ok(queue.pop() !== undefined);
  assert.equal(queue.pop(), undefined);
  assert.match(errors[0].message, /head 99/);
});

Deno.test("QUE-3: what the driver changes after pop does not change the chain", () => {
  const { queue, driver } = fixture();
  driver.add(buffers(driver, 4, -8));
  const chain = queue.pop();
  assert.ok(chain !== undefined);
  const seen = [chain.offsets[0], chain.lengths[0], chain.offsets[1], chain.lengths[1]];
  for (let i = 0; i < 8; i++) {
    driver.writeRawDescriptor(driver.descriptors, i, 2n ** 63n, 0xffff_ffff, NEXT | INDIRECT, 0xffff);
  }
  assert.deepEqual([chain.offsets[0], chain.lengths[0], chain.offsets[1], chain.lengths[1]], seen);
  assert.equal(chain.write(0, new Uint8Array(100)), 8);
});

Deno.test("QUE-3: each descriptor is read once", () => {
  const { queue, driver, memory } = fixture();
  driver.add(buffers(driver, 4, -8));
  const reads = new Map<number, number>();
  const view = memory.view;
  const count = <Method extends "getUint16" | "getUint32">(method: Method): void => {
    const original = view[method].bind(view);
    Object.defineProperty(view, method, {
      configurable: true,
      value: (at: number, littleEndian?: boolean) => {
        reads.set(at, (reads.get(at) ?? 0) + 1);
        return original(at, littleEndian);
      },
    });
  };
  count("getUint16");
  count("getUint32");
  assert.equal(queue.pop()?.count, 2);
  assert.equal(reads.size, 10, "five fields of two descriptors");
  assert.ok([...reads.values()].every((times) => times === 1));
});

Deno.test("QUE-4: buffers above 4 GiB are reached exactly", () => {
  const memory = new GuestMemory(new ArrayBuffer(1 << 20), [
    { address: 0, length: 0x8_0000, offset: 0 },
    { address: 0x80_0000_0000, length: 0x8_0000, offset: 0x8_0000 },
  ]);
  const { queue, driver } = fixture(8, RING_FEATURES, memory);
  driver.add([{ address: 0x80_0000_1234, length: 1, writable: true }]);
  queue.pop()?.writeU8(0, 0x5a);
  assert.equal(memory.read(0x80_0000_1234, 1)[0], 0x5a);
});

Deno.test("QUE-5: the length of a chain is bounded", () => {
  const memory = new GuestMemory(new ArrayBuffer(64 << 20), [{ address: 0, length: 64 << 20, offset: 0 }]);
  const { queue, driver, errors } = fixture(8, RING_FEATURES, memory);
  driver.add([{ address: 0, length: CHAIN_LENGTH_MAXIMUM, writable: true }]);
  assert.equal(queue.pop()?.writableLength, CHAIN_LENGTH_MAXIMUM);
  driver.add([{ address: 0, length: CHAIN_LENGTH_MAXIMUM }, { address: 0, length: 1, writable: true }]);
  assert.equal(queue.pop(), undefined);
  assert.match(errors[0].message, /more than 67108864 bytes/);
});

Deno.test("QUE-7: a batch hands out so many chains and no more, and asks to be looked at again", () => {
  const { queue, driver, touched } = fixture(512);
  const [buffer] = buffers(driver, 4);
  for (let i = 0; i < 300; i++) driver.add([buffer]);
  let chains = 0;
  for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) chains++;
  assert.equal(chains, CHAINS_PER_BATCH);
  assert.equal(queue.wantsAttention, true);
  assert.deepEqual(touched, [queue], "the transport hears of it once");
  queue.settle();
  for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) chains++;
  assert.equal(chains, 300);
});

Deno.test("QUE-7: a ring that ends with the budget needs no further look", () => {
  const { queue, driver } = fixture(256);
  const [buffer] = buffers(driver, 4);
  for (let i = 0; i < 256; i++) driver.add([buffer]);
  let chains = 0;
  for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) chains++;
  assert.equal(chains, 256);
  assert.equal(queue.wantsAttention, false);
  driver.needsKick();
  driver.collect();
  assert.equal(driver.availableEvent, 256 & 0xffff, "NTF-4: the next chain will be announced");
});

Deno.test("QUE-6: used entries become visible with the index, at the end of the batch", () => {
  const { queue, driver, memory } = fixture();
  const head = driver.add(buffers(driver, 4, -4));
  const chain = queue.pop();
  assert.ok(chain !== undefined);
  const order: string[] = [];
  const store = Atomics.store;
  Atomics.store = ((array: Uint16Array, index: number, value: number) => {
    if (array === memory.words16 && index === (driver.used + 2) / 2) {
      order.push(
        `index ${value}, entry ${memory.view.getUint32(driver.used + 4, true)},${
          memory.view.getUint32(driver.used + 8, true)
        }`,
      );
    }
    return store(array, index, value);
  }) as typeof Atomics.store;
  try {
    queue.push(chain, 3);
    assert.equal(driver.usedIndex, 0);
    queue.settle();
  } finally {
    Atomics.store = store;
  }
  assert.deepEqual(order, [`index 1, entry ${head},3`]);
});

Deno.test("QUE-1: `written` is cut to what the driver may see", () => {
  const { queue, driver } = fixture();
  for (const [claimed, expected] of [[1e9, 4], [-1, 0], [NaN, 0], [4, 4]]) {
    driver.add(buffers(driver, 8, -4));
    const chain = queue.pop();
    if (chain !== undefined) queue.push(chain, claimed);
    queue.settle();
    assert.equal(driver.collect()[0].written, expected);
  }
});

Deno.test("QUE-7: undoPop puts the chain popped last back, and only that", () => {
  const { queue, driver, errors, statistics } = fixture();
  const first = driver.add(buffers(driver, 4));
  driver.add(buffers(driver, 8));
  assert.equal(queue.pop()?.slot, first);
  queue.undoPop();
  assert.equal(statistics.chains, 0);
  assert.equal(queue.pop()?.slot, first);
  assert.equal(queue.pop()?.readableLength, 8);
  queue.undoPop();
  assert.equal(errors.length, 0);
  queue.undoPop();
  assert.match(errors[0].message, /put back a chain, but it holds none/);
});

Deno.test("QUE-7: what is put back does not count against the batch", () => {
  const { queue, driver } = fixture();
  driver.add(buffers(driver, 4));
  for (let i = 0; i <= CHAINS_PER_BATCH; i++) {
    assert.ok(queue.pop() !== undefined, `after ${i} times`);
    queue.undoPop();
  }
  assert.equal(queue.wantsAttention, false);
});

Deno.test("NTF-4: what the driver left where the device states its wish does not count", () => {
  for (const features of [0n, RING_FEATURES]) {
    const { queue, driver, memory } = fixture(8, features);
    queue.stop();
    memory.view.setUint16(driver.used, constants.USED_NO_NOTIFY, true);
    memory.view.setUint16(driver.used + 4 + 8 * 8, 0x4711, true);
    queue.start(8, driver, features);
    driver.add(buffers(driver, 4));
    assert.equal(driver.needsKick(), true);
  }
});

Deno.test("QUE-1: chains are reused; several in flight are apart and may end in any order", () => {
  const { queue, driver } = fixture();
  const heads = [driver.add(buffers(driver, 1)), driver.add(buffers(driver, 2)), driver.add(buffers(driver, 3))];
  const chains = [queue.pop(), queue.pop(), queue.pop()];
  assert.deepEqual(chains.map((chain) => chain?.readableLength), [1, 2, 3]);
  assert.equal(new Set(chains.map((chain) => chain?.slot)).size, 3);
  for (const i of [2, 0, 1]) {
    const chain = chains[i];
    if (chain !== undefined) queue.push(chain, 0);
  }
  queue.settle();
  assert.deepEqual(driver.collect().map(({ head }) => head), [heads[2], heads[0], heads[1]]);
  driver.add(buffers(driver, 9));
  const again = queue.pop();
  assert.ok(chains.includes(again), "the object of an earlier chain");
  assert.equal(again?.readableLength, 9);
});

Deno.test("ACT-3: rings are checked for size, alignment and RAM", () => {
  const { queue, driver } = fixture();
  const good = { descriptors: driver.descriptors, available: driver.available, used: driver.used };
  assert.equal(queue.check(8, good), undefined);
  assert.match(queue.check(6, good) ?? "", /size 6 is not a power of two/);
  assert.match(queue.check(0, good) ?? "", /size 0/);
  assert.match(queue.check(8, { ...good, used: good.used + 2 }) ?? "", /used ring.*aligned to 4/);
  assert.match(queue.check(8, { ...good, used: RAM - 69 + 1 }) ?? "", /used ring of 70 bytes.*not in RAM/);
  assert.match(queue.check(8, { ...good, available: Infinity }) ?? "", /available ring.*not in RAM/);
});
