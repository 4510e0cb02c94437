import assert from "node:assert/strict";
import * as constants from "../../src/virtio/constants.ts";
import { buffers, fixture, RING_FEATURES } from "./split_queue_fixture.ts";

Deno.test("NTF-4: with EVENT_IDX the device asks for a kick exactly when the ring is empty", () => {
  const { queue, driver } = fixture();
  const kick = (): boolean => {
    driver.add(buffers(driver, 4));
    return driver.needsKick();
  };
  assert.equal(kick(), true, "the first");
  assert.equal(kick(), false, "the second before the device has looked");
  const first = queue.pop();
  assert.equal(kick(), false, "while it is emptying the ring");
  const rest = [queue.pop(), queue.pop()];
  assert.equal(queue.pop(), undefined);
  assert.equal(driver.availableEvent, 3);
  for (const chain of [first, ...rest]) if (chain !== undefined) queue.push(chain, 0);
  queue.settle();
  driver.collect();
  assert.equal(kick(), true, "after it was found empty");
});

Deno.test("NTF-4: without EVENT_IDX kicks are switched off while the ring is emptied", () => {
  const { queue, driver } = fixture(8, 0n);
  assert.equal(driver.usedFlags, 0);
  driver.add(buffers(driver, 4));
  assert.equal(driver.needsKick(), true);
  assert.ok(queue.pop() !== undefined);
  assert.equal(driver.usedFlags, constants.USED_NO_NOTIFY);
  assert.equal(queue.pop(), undefined);
  assert.equal(driver.usedFlags, 0);
});

Deno.test("NTF-4: a chain that comes while the device goes to sleep is found without a kick", () => {
  for (const features of [0n, RING_FEATURES]) {
    const { queue, driver, memory } = fixture(8, features);
    driver.add(buffers(driver, 4));
    assert.ok(queue.pop() !== undefined);
    // The driver adds one between the device's first look and its wish to be notified.
    const load = Atomics.load;
    let looks = 0;
    Atomics.load = ((array: Uint16Array, index: number) => {
      const value = load(array, index);
      if (array === memory.words16 && index === (driver.available + 2) / 2 && ++looks === 1) {
        driver.add(buffers(driver, 8));
      }
      return value;
    }) as typeof Atomics.load;
    try {
      assert.equal(queue.pop()?.readableLength, 8);
    } finally {
      Atomics.load = load;
    }
  }
});

Deno.test("NTF-4: with EVENT_IDX an interrupt is due when used_event is passed, and only then", () => {
  const { queue, driver } = fixture();
  const use = (count: number): boolean => {
    for (let i = 0; i < count; i++) driver.add(buffers(driver, 4));
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) queue.push(chain, 0);
    const due = queue.settle();
    driver.collect();
    return due;
  };
  assert.equal(use(1), true);
  driver.setUsedEvent(3);
  assert.equal(use(2), false, "used 2 and 3, the driver waits for entry 3");
  driver.setUsedEvent(3);
  assert.equal(use(1), true);
  driver.setUsedEvent(5);
  assert.equal(use(4), true, "passed within a batch");
  assert.equal(queue.settle(), false, "nothing new, no interrupt");
});

Deno.test("NTF-4: without EVENT_IDX the driver's NO_INTERRUPT flag is honoured", () => {
  const { queue, driver } = fixture(8, 0n);
  const use = (): boolean => {
    driver.add(buffers(driver, 4));
    const chain = queue.pop();
    if (chain !== undefined) queue.push(chain, 0);
    const due = queue.settle();
    driver.collect();
    return due;
  };
  assert.equal(use(), true);
  driver.setAvailableFlags(constants.AVAILABLE_NO_INTERRUPT);
  assert.equal(use(), false);
  driver.setAvailableFlags(0);
  assert.equal(use(), true);
});

Deno.test("NTF-4, QUE-2: indices wrap at 65536 and nothing is lost", () => {
  for (const features of [0n, RING_FEATURES]) {
    const { queue, driver, statistics } = fixture(4, features);
    const [buffer] = buffers(driver, 4);
    let used = 0;
    let interrupts = 0;
    for (let i = 0; i < 70_000; i += 2) {
      driver.add([buffer]);
      driver.add([buffer]);
      assert.equal(driver.needsKick(), true);
      for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) queue.push(chain, 0);
      if (queue.settle()) interrupts++;
      used += driver.collect().length;
    }
    assert.deepEqual([used, interrupts, statistics.chains], [70_000, 35_000, 70_000]);
  }
});
