import assert from "node:assert/strict";
import { GuestMemory } from "../../src/memory/guest_memory.ts";
import { virtioHarness } from "../support/virtio_harness.ts";
import { addEcho, EchoDevice } from "./devices.ts";

Deno.test("ACT-5, ROB-2: activation that throws: NEEDS_RESET, configuration interrupt, error with device and operation", () => {
  const device = new EchoDevice();
  device.broken = "activate";
  using harness = virtioHarness({ device });
  const { driver, errors, vectors } = harness;
  driver.bringUp();
  assert.equal(driver.status, 0x4f);
  assert.deepEqual(vectors.order, [0]);
  assert.equal(driver.readIsr(), 2);
  assert.equal(errors.length, 1);
  assert.match(errors[0].message, /Virtio device device0: activate failed: activate is broken on purpose/);
  assert.match((errors[0].cause as Error).message, /on purpose/);
  driver.kick(0);
  assert.equal(device.log.includes("notify 0"), false);
  device.broken = undefined;
  driver.bringUp();
  assert.equal(driver.status, 0xf);
  assert.ok(device.log.includes("reset"), "what activation had begun is cleaned up");
});

for (const operation of ["notify", "writeConfiguration"] as const) {
  Deno.test(`ROB-2: ${operation} that throws is contained: NEEDS_RESET, reported by name, nothing more is called`, () => {
    const device = new EchoDevice(2);
    using harness = virtioHarness({ device });
    const { driver, errors, vectors } = harness;
    const queues = driver.bringUp();
    device.broken = operation;
    device.log.length = 0;
    addEcho(harness, queues[0]);
    if (operation === "notify") driver.kick(0);
    else driver.writeDevice(0, 1, 1);
    assert.equal(driver.status, 0x4f);
    assert.deepEqual(vectors.order, [0]);
    assert.match(errors[0].message, new RegExp(`Virtio device device0: ${operation} failed`));
    driver.kick(0);
    driver.kick(1);
    harness.round();
    assert.equal(device.log.length, 1, "the device is left alone until it is reset");
    device.broken = undefined;
    const [queue] = driver.bringUp();
    addEcho(harness, queue);
    driver.kick(0);
    assert.equal(queue.collect().length, 1);
  });
}

Deno.test("ROB-2: a device that asks for a reset gets it: bit, interrupt, report with the reason", () => {
  using harness = virtioHarness({ device: new EchoDevice() });
  harness.driver.bringUp();
  harness.transport.needsReset("the backing file is gone");
  harness.transport.needsReset("again");
  assert.equal(harness.driver.status, 0x4f);
  assert.deepEqual(harness.vectors.order, [0], "one interrupt");
  assert.match(harness.errors[0].message, /device0.*the backing file is gone/);
});

Deno.test("ACT-1, ROB-2: a device that asked for a reset before DRIVER_OK is not activated", () => {
  const device = new EchoDevice();
  using harness = virtioHarness({ device });
  const { driver } = harness;
  driver.negotiate();
  driver.setUpQueue(0);
  harness.transport.needsReset("not today");
  driver.start();
  assert.equal(driver.status, 0x4f);
  assert.equal(harness.transport.active, false);
  assert.deepEqual(device.log.filter((entry) => entry.startsWith("activate")), []);
});

Deno.test("ROB-2: a chain returned twice is reported and the ring stays as it was", () => {
  const device = new EchoDevice();
  device.kept = [];
  using harness = virtioHarness({ device });
  const [queue] = harness.driver.bringUp();
  addEcho(harness, queue);
  harness.driver.kick(0);
  const [chain] = device.kept;
  chain.queue.push(chain, 0);
  harness.round();
  chain.queue.push(chain, 0);
  harness.round();
  assert.equal(queue.usedIndex, 1);
  assert.match(harness.errors[0].message, /returned the chain of descriptor \d twice/);
});

Deno.test("COM-10: a queue is reset on its own and set up anew while the device runs", () => {
  const device = new EchoDevice(2);
  using harness = virtioHarness({ device });
  const { driver } = harness;
  const [, other] = driver.bringUp();
  const handed = device.activation?.queues[0];
  device.log.length = 0;
  driver.write("queueSelect", 0);
  driver.write("queueReset", 1);
  assert.deepEqual(device.log, ["resetQueue 0"]);
  assert.equal(driver.read("queueReset"), 0);
  assert.equal(driver.read("queueEnable"), 0);
  driver.kick(0);
  assert.deepEqual(device.log, ["resetQueue 0"], "a queue that is reset is not notified");
  addEcho(harness, other);
  driver.kick(1);
  assert.equal(other.collect().length, 1, "the others go on");
  const renewed = driver.setUpQueue(0, 4, 1);
  assert.equal(handed?.size, 4, "the device's queue is the same object");
  addEcho(harness, renewed);
  driver.kick(0);
  assert.equal(renewed.collect().length, 1);
  assert.equal(driver.status, 0xf);
});

Deno.test("QUE-7: what exceeds a batch is served in the next rounds, other queues between", () => {
  const device = new EchoDevice(2, 512);
  using harness = virtioHarness({ device });
  const { driver } = harness;
  const [busy, other] = driver.bringUp();
  const address = driver.allocator.take(4);
  for (let i = 0; i < 500; i++) busy.add([{ address, length: 4 }]);
  device.log.length = 0;
  driver.kick(0);
  assert.equal(busy.collect().length, 256);
  assert.equal(harness.scheduled.length, 1);
  addEcho(harness, other);
  driver.kick(1);
  assert.equal(other.collect().length, 1);
  assert.equal(harness.round(), 1);
  assert.equal(busy.collect().length, 244);
  assert.deepEqual(device.log, ["notify 0", "notify 1", "notify 0"]);
  assert.equal(harness.round(), 0, "and then there is peace");
});

Deno.test("QUE-7: a queue that was deferred is notified in the next round, unless it was reset meanwhile", () => {
  const device = new EchoDevice();
  using harness = virtioHarness({ device });
  const { driver } = harness;
  driver.bringUp();
  const queue = device.activation?.queues[0];
  for (const resetMeanwhile of [false, true]) {
    device.log.length = 0;
    queue?.defer();
    queue?.defer();
    harness.transport.endBatch();
    queue?.defer();
    harness.transport.endBatch();
    assert.equal(harness.scheduled.length, 1);
    if (resetMeanwhile) driver.reset();
    harness.round();
    assert.deepEqual(device.log, resetMeanwhile ? ["reset"] : ["notify 0"]);
    assert.equal(harness.scheduled.length, 0);
  }
});

Deno.test("QUE-1, ROB-1: a broken ring costs its device a reset; other devices and the rest go on", () => {
  const memory = GuestMemory.allocate(1 << 20);
  using victim = virtioHarness({ device: new EchoDevice(2), id: "victim", memory });
  const { driver, errors, transport, vectors } = victim;
  const [queue] = driver.bringUp();
  queue.publish(0xffff);
  driver.kick(0);
  assert.equal(driver.status, 0x4f);
  assert.deepEqual(vectors.order, [0]);
  assert.equal(transport.statistics.refusedChains, 1);
  assert.match(errors[0].message, /Virtio device victim: use of its queue failed: Queue 0: the head 65535/);
  for (let i = 0; i < 100; i++) driver.kick(0);
  assert.equal(errors.length, 1);
  const [again] = driver.bringUp();
  addEcho(victim, again);
  driver.kick(0);
  assert.equal(again.collect().length, 1);
});
