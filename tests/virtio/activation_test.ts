import assert from "node:assert/strict";
import { GuestMemory } from "../../src/memory/guest_memory.ts";
import * as constants from "../../src/virtio/constants.ts";
import { virtioHarness } from "../support/virtio_harness.ts";
import { addEcho, EchoDevice } from "./devices.ts";

const BASIC = constants.FEATURE_VERSION_1;

Deno.test("ISR-1: reading returns and clears, writing clears the written bits", () => {
  using harness = virtioHarness({ device: new EchoDevice() });
  harness.transport.isr = 3;
  harness.access.writeBar(0, 0x2000, 1, 1);
  assert.equal(harness.driver.readIsr(), 2);
  assert.equal(harness.driver.readIsr(), 0);
});

Deno.test("ISR-2: the configuration bit is set with MSI-X on and off, the queue bit only with MSI-X off", () => {
  for (const msix of [false, true]) {
    using harness = virtioHarness({ device: new EchoDevice() });
    const { driver, transport, vectors } = harness;
    driver.negotiate(BASIC);
    const queue = driver.setUpQueue(0, 8, 1);
    driver.write("configMsixVector", 0);
    if (msix) driver.enableMsix(2);
    driver.start();
    transport.configurationChanged();
    assert.equal(driver.readIsr(), 2);
    addEcho(harness, queue);
    driver.kick(0);
    assert.equal(driver.readIsr(), msix ? 0 : 1);
    assert.deepEqual(vectors.order, msix ? [0, 1] : []);
    assert.equal(transport.statistics.interrupts, msix ? 2 : 0);
  }
});

Deno.test("ISR-2: before DRIVER_OK a configuration change does not interrupt", () => {
  using harness = virtioHarness({ device: new EchoDevice() });
  harness.driver.negotiate();
  harness.transport.configurationChanged();
  assert.equal(harness.driver.readIsr(), 0);
});

Deno.test("ACT-1, ACT-2: DRIVER_OK activates once, before the write returns, with features and queues", () => {
  const device = new EchoDevice(2, 8, 0b11n);
  using harness = virtioHarness({ device });
  const { driver } = harness;
  driver.negotiate(BASIC | 1n);
  driver.setUpQueue(0, 4);
  driver.setUpQueue(1);
  assert.equal(harness.transport.active, false);
  driver.write("deviceStatus", 0x0f);
  assert.equal(device.activation?.features, BASIC | 1n);
  assert.equal(device.activation?.memory, harness.memory);
  assert.deepEqual(device.activation?.queues.map((queue) => [queue?.index, queue?.size]), [[0, 4], [1, 8]]);
  driver.write("deviceStatus", 0x0f);
  driver.write("deviceStatus", 0x0f);
  assert.equal(device.log.filter((entry) => entry.startsWith("activate")).length, 1);
  assert.equal(harness.transport.active, true);
});

Deno.test("ACT-3: only enabled queues with usable rings are handed over", () => {
  const memory = new GuestMemory(new ArrayBuffer(1 << 20), [
    { address: 0, length: 0x8_0000, offset: 0 },
    { address: 0x1_0000_0000, length: 0x8_0000, offset: 0x8_0000 },
  ]);
  const good = { queueDescLow: 0x1000, queueDriverLow: 0x2000, queueDeviceLow: 0x3000 };
  const cases = [
    good,
    { ...good, queueDescLow: 0x1008 },
    { ...good, queueDriverLow: 0x2001 },
    { ...good, queueDeviceLow: 0x3002 },
    { ...good, queueDescLow: 0x7_fff0 },
    { ...good, queueDriverLow: 0x10_0000 },
    { ...good, queueDeviceHigh: 0x2 },
    // 2^53 + 0x3000 and 2^63 + 0x1000: beyond what a number holds exactly.
    { ...good, queueDeviceHigh: 0x20_0000 },
    { ...good, queueDescHigh: 0x8000_0000 },
    {
      queueDescLow: 0x1000,
      queueDescHigh: 1,
      queueDriverLow: 0x2000,
      queueDriverHigh: 1,
      queueDeviceLow: 0x3000,
      queueDeviceHigh: 1,
    },
  ];
  const device = new EchoDevice(cases.length + 1);
  using harness = virtioHarness({ device, memory });
  const { driver } = harness;
  driver.negotiate();
  cases.forEach((fields, queue) => {
    driver.write("queueSelect", queue);
    for (const [field, value] of Object.entries(fields)) driver.write(field as keyof typeof good, value);
    driver.write("queueEnable", 1);
  });
  driver.start();
  assert.deepEqual(
    device.activation?.queues.map((queue) => queue !== undefined),
    [true, false, false, false, false, false, false, false, false, true, false],
  );
  assert.equal(harness.errors.length, 8, "each is reported");
  assert.match(
    harness.errors[0].message,
    /device0.*Queue 1 is left out: its descriptor table at 0x1008 is not aligned/,
  );
  assert.match(harness.errors[3].message, /128 bytes at 0x7fff0 is not in RAM/);
  assert.equal(driver.status, 0xf);
});

Deno.test("ACT-4, ROB-4: DRIVER_OK with no queue enabled activates nothing and breaks nothing", () => {
  const device = new EchoDevice();
  using harness = virtioHarness({ device });
  harness.driver.negotiate();
  harness.driver.start();
  assert.equal(harness.driver.status, 0xf);
  assert.equal(device.activation, undefined);
  harness.driver.kick(0);
  harness.driver.bringUp();
  assert.equal(harness.transport.active, true, "and it can be brought up properly afterwards");
});

Deno.test("ACT-4: a device that has no queues at all is activated", () => {
  const device = new EchoDevice(0);
  using harness = virtioHarness({ device });
  harness.driver.bringUp();
  assert.deepEqual(device.activation?.queues, []);
});

Deno.test("ACT-6: buffers and kicks from before DRIVER_OK are served on activation", () => {
  const device = new EchoDevice(2);
  using harness = virtioHarness({ device });
  const { driver } = harness;
  driver.negotiate();
  const queues = [0, 1].map((index) => driver.setUpQueue(index));
  const to = queues.map((queue) => addEcho(harness, queue));
  driver.kick(0);
  assert.deepEqual(device.log.filter((entry) => entry.startsWith("notify")), [], "NTF-3");
  driver.start();
  assert.deepEqual(device.log.slice(-2), ["notify 0", "notify 1"]);
  for (const [i, queue] of queues.entries()) {
    assert.equal(queue.collect().length, 1);
    assert.equal(new TextDecoder().decode(harness.memory.read(to[i], 4)), "ping");
  }
});

Deno.test("RST-1: status 0 brings everything to power-on state and the device can be activated again", () => {
  const device = new EchoDevice(2, 8, 1n);
  using harness = virtioHarness({ device });
  const { driver, transport } = harness;
  for (let round = 0; round < 3; round++) {
    const queues = driver.bringUp();
    transport.configurationChanged();
    driver.readDevice(0, 1);
    addEcho(harness, queues[0]);
    driver.kick(0);
    assert.equal(queues[0].collect().length, 1);
    driver.write("deviceStatus", 0);
    assert.equal(driver.status, 0);
    for (
      const field of [
        "configGeneration",
        "queueSelect",
        "queueEnable",
        "deviceFeatureSelect",
        "driverFeatureSelect",
        "driverFeature",
      ] as const
    ) {
      assert.equal(driver.read(field), 0, field);
    }
    assert.equal(driver.read("configMsixVector"), 0xffff);
    assert.equal(driver.read("queueMsixVector"), 0xffff);
    assert.equal(driver.read("queueSize"), 8);
    assert.equal(driver.readIsr(), 0);
    assert.equal(transport.active, false);
  }
  assert.equal(device.log.filter((entry) => entry === "reset").length, 3);
});

Deno.test("RST-1, RST-3: chains in flight are dropped; returning them later writes nothing", () => {
  const device = new EchoDevice();
  device.kept = [];
  using harness = virtioHarness({ device });
  const { driver, memory } = harness;
  const [queue] = driver.bringUp();
  addEcho(harness, queue);
  driver.kick(0);
  const [chain] = device.kept;
  driver.write("deviceStatus", 0);
  const before = memory.bytes.slice();
  chain.queue.push(chain, 4);
  assert.equal(chain.queue.pop(), undefined);
  chain.queue.defer();
  harness.round();
  assert.deepEqual(memory.bytes, before);
  // Nor does it disturb the next life of the queue.
  const [next] = driver.bringUp();
  addEcho(harness, next);
  driver.kick(0);
  assert.equal(device.kept[1].slot, chain.slot, "a new chain in the old one's place");
  chain.queue.push(chain, 4);
  harness.round();
  assert.equal(next.usedIndex, 0);
  assert.equal(harness.errors.length, 0);
});

Deno.test("RST-2: a device that cannot reset is FAILED and is not set up again until it can", () => {
  const device = new EchoDevice();
  using harness = virtioHarness({ device });
  const { driver } = harness;
  driver.bringUp();
  device.broken = "reset";
  driver.write("deviceStatus", 0);
  assert.equal(driver.status, 0x80);
  driver.write("deviceStatus", 1);
  assert.equal(driver.status, 0x80);
  assert.match(harness.errors[0].message, /device0: reset failed/);
  device.broken = undefined;
  driver.bringUp();
  assert.equal(driver.status, 0xf);
});

Deno.test("ACT-6: chains that the device returns outside of a notification are published by endBatch", () => {
  const device = new EchoDevice();
  device.kept = [];
  using harness = virtioHarness({ device });
  const { driver, transport, vectors } = harness;
  const [queue] = driver.bringUp();
  for (let i = 0; i < 3; i++) queue.add([{ address: driver.allocator.take(4), length: 4, writable: true }]);
  driver.kick(0);
  for (const chain of device.kept) chain.queue.push(chain, 4);
  assert.equal(queue.usedIndex, 0);
  transport.endBatch();
  assert.equal(queue.collect().length, 3);
  assert.deepEqual(vectors.order, [1], "one interrupt for the batch");
  transport.endBatch();
  assert.equal(vectors.total, 1);
});
