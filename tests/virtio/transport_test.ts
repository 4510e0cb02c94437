import assert from "node:assert/strict";
import { GuestMemory } from "../../src/memory/guest_memory.ts";
import { PciBus } from "../../src/pci/bus.ts";
import * as registers from "../../src/pci/registers.ts";
import * as constants from "../../src/virtio/constants.ts";
import { VirtioPciTransport } from "../../src/virtio/pci_transport.ts";
import { busAccess, DIRECT_BAR_ADDRESS, type SplitRingDriver, VirtioPciDriver } from "../support/driver.ts";
import { RecorderDoorbells, RecorderInterruptController } from "../support/recorders.ts";
import { type VirtioHarness, virtioHarness } from "../support/virtio_harness.ts";
import { EchoDevice } from "./devices.ts";

const BASIC = constants.FEATURE_VERSION_1;

/** Adds a chain of one readable and one writable buffer. */
function addEcho(harness: VirtioHarness, queue: SplitRingDriver, text = "ping"): number {
  const data = new TextEncoder().encode(text);
  const from = harness.driver.allocator.take(data.length);
  const to = harness.driver.allocator.take(data.length);
  harness.memory.write(from, data);
  queue.add([{ address: from, length: data.length }, { address: to, length: data.length, writable: true }]);
  return to;
}

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

Deno.test("NTF-1: one doorbell per queue at BAR + 0x6000 + 4 i, moved with the BAR, gone with Memory Space and disposal", () => {
  const device = new EchoDevice(3);
  const harness = virtioHarness({ device });
  const { access, doorbells } = harness;
  const at = (base: number): number[] => [0, 1, 2].map((i) => base + 0x6000 + 4 * i);
  assert.deepEqual(doorbells.addresses, at(DIRECT_BAR_ADDRESS));
  access.writeConfiguration(0x10, 4, 0xd000_0000);
  access.writeConfiguration(0x14, 4, 0x7);
  assert.deepEqual(doorbells.addresses, at(0x7_d000_0000));
  access.writeConfiguration(0x04, 2, 0x4);
  assert.deepEqual(doorbells.addresses, []);
  access.writeConfiguration(0x04, 2, 0x6);
  assert.deepEqual(doorbells.addresses, at(0x7_d000_0000));
  harness[Symbol.dispose]();
  assert.deepEqual(doorbells.addresses, []);
  assert.ok(doorbells.all.every(({ disposed }) => disposed));
  assert.equal(harness.vectors.disposed, true);
  assert.equal(device.log.at(-1), "dispose");
});

Deno.test("BAR-4: doorbells that cannot be attached take the move back", () => {
  using harness = virtioHarness({ device: new EchoDevice(2), bar64: false });
  const { access, doorbells } = harness;
  const before = doorbells.addresses;
  const taken = doorbells.create(() => {});
  taken.attach(0xd000_6004);
  access.writeConfiguration(0x10, 4, 0xd000_0000);
  assert.equal(access.readConfiguration(0x10, 4), DIRECT_BAR_ADDRESS);
  taken[Symbol.dispose]();
  assert.deepEqual(doorbells.addresses, before);
  assert.match(harness.errors[0].message, /device0: Cannot move BAR 0/);
});

Deno.test("NTF-1: a ring of the doorbell serves its queue and only that", () => {
  const device = new EchoDevice(2);
  using harness = virtioHarness({ device });
  const { driver, doorbells, transport, vectors } = harness;
  const queues = driver.bringUp();
  device.log.length = 0;
  addEcho(harness, queues[1]);
  assert.equal(doorbells.ring(DIRECT_BAR_ADDRESS + 0x6004), true);
  assert.deepEqual(device.log, ["notify 1"]);
  assert.equal(queues[1].collect().length, 1, "the batch ends with the notification");
  assert.deepEqual(vectors.order, [2]);
  assert.deepEqual(transport.statistics, { kicks: 1, interrupts: 1, chains: 1, refusedChains: 0 });
});

Deno.test("NTF-2: a doorbell write that reaches the BAR notifies, at any width", () => {
  const device = new EchoDevice(2);
  using harness = virtioHarness({ device });
  harness.driver.bringUp();
  device.log.length = 0;
  for (const width of [1, 2, 4] as const) harness.access.writeBar(0, 0x6004, width, 1);
  assert.deepEqual(device.log, ["notify 1", "notify 1", "notify 1"]);
  assert.equal(harness.access.readBar(0, 0x6004, 4), 0);
});

Deno.test("NTF-3: kicks to queues that do not exist or do not run are ignored", () => {
  const device = new EchoDevice(3);
  using harness = virtioHarness({ device });
  const { driver, transport, access } = harness;
  driver.negotiate();
  driver.setUpQueue(0);
  driver.start();
  device.log.length = 0;
  for (const offset of [0x6004, 0x6008, 0x600c, 0x6ffc, 0x6001, 0x6002]) access.writeBar(0, offset, 2, 0);
  for (const queue of [-1, 1, 3, 1e9, NaN]) transport.notifyQueue(queue);
  assert.deepEqual(device.log, [], "not enabled or out of range (CVE-2011-2512)");
  driver.reset();
  device.log.length = 0;
  harness.doorbells.all[0].ring();
  assert.deepEqual(device.log, [], "after reset");
  assert.equal(transport.statistics.kicks, 0);
});

Deno.test("BUS-3: without Bus Master no descriptor is read; with it the queues are looked at", () => {
  const device = new EchoDevice();
  using harness = virtioHarness({ device });
  const { driver, access, transport } = harness;
  const [queue] = driver.bringUp();
  access.writeConfiguration(registers.COMMAND, 2, 0x2);
  const to = addEcho(harness, queue);
  driver.kick(0);
  harness.round();
  assert.equal(device.activation?.queues[0]?.pop(), undefined, "not even by a device that asks by itself");
  assert.equal(transport.statistics.chains, 0);
  assert.equal(queue.usedIndex, 0);
  access.writeConfiguration(registers.COMMAND, 2, 0x6);
  assert.equal(queue.collect().length, 1);
  assert.equal(new TextDecoder().decode(harness.memory.read(to, 4)), "ping");
});

Deno.test("BUS-3: what is returned without Bus Master is published when it is back", () => {
  const device = new EchoDevice();
  device.kept = [];
  using harness = virtioHarness({ device });
  const { driver, access, vectors } = harness;
  const [queue] = driver.bringUp();
  addEcho(harness, queue);
  driver.kick(0);
  access.writeConfiguration(registers.COMMAND, 2, 0x2);
  const [chain] = device.kept;
  chain.queue.push(chain, 0);
  harness.round();
  assert.equal(queue.usedIndex, 0);
  assert.equal(vectors.total, 0);
  access.writeConfiguration(registers.COMMAND, 2, 0x6);
  assert.equal(queue.usedIndex, 1);
  assert.deepEqual(vectors.order, [1]);
});

Deno.test("MSI-2, MSI-3: a masked queue interrupt is pending and comes with unmasking, once", () => {
  using harness = virtioHarness({ device: new EchoDevice() });
  const { driver, access, vectors } = harness;
  const [queue] = driver.bringUp();
  access.writeBar(0, 0x801c, 4, 1);
  addEcho(harness, queue);
  driver.kick(0);
  assert.equal(access.readBar(0, 0x48000, 4), 0b10);
  assert.equal(vectors.total, 0);
  access.writeBar(0, 0x801c, 4, 0);
  assert.deepEqual(vectors.order, [1]);
  assert.equal(access.readBar(0, 0x48000, 4), 0);
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

Deno.test("BUS-1, CAP-1: found, set up and driven through a real bus", () => {
  const memory = GuestMemory.allocate(1 << 20);
  const interrupts = new RecorderInterruptController();
  const bus = new PciBus({
    windows: {
      memory32: { address: 0xc000_0000, length: 0x1000_0000 },
      memory64: { address: 2 ** 40, length: 2 ** 32 },
    },
    reserved: [{ address: 0, length: 1 << 20 }],
  });
  const doorbells = new RecorderDoorbells();
  for (const bar64 of [false, true]) {
    const id = bar64 ? "high" : "low";
    using transport = new VirtioPciTransport({
      id,
      deviceType: 4,
      device: new EchoDevice(),
      memory,
      interrupts,
      doorbells,
      bar64,
      schedule: () => assert.fail("nothing to be scheduled"),
      reportError: (error) => assert.fail(error),
    });
    const slot = bus.add(transport);
    const driver = new VirtioPciDriver(busAccess(bus, slot), memory);
    const [queue] = driver.bringUp();
    const address = driver.allocator.take(16);
    queue.add([{ address, length: 16, writable: true }], { indirect: true });
    driver.kick(0);
    assert.equal(queue.collect().length, 1);
    assert.deepEqual(interrupts.of(id).order, [1]);
    assert.equal(doorbells.addresses.length, 1);
    bus.remove(transport);
    transport[Symbol.dispose]();
    assert.equal(doorbells.addresses.length, 0, "BAR-6");
  }
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

Deno.test("BAR-1, RST-1: power-on reset of the function resets the device too", () => {
  const device = new EchoDevice();
  using harness = virtioHarness({ device });
  const { driver, transport, access } = harness;
  driver.bringUp();
  transport.reset();
  assert.equal(device.log.at(-1), "reset");
  assert.equal(access.readConfiguration(registers.COMMAND, 2), 0);
  assert.equal(access.readConfiguration(0x10, 4), DIRECT_BAR_ADDRESS + 4);
  assert.deepEqual(harness.doorbells.addresses, []);
  assert.deepEqual(harness.vectors.routes, [undefined, undefined]);
  assert.equal(transport.active, false);
  assert.equal(new VirtioPciDriver(access, harness.memory).bringUp().length, 1);
});
