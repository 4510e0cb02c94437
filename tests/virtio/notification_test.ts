import assert from "node:assert/strict";
import { GuestMemory } from "../../src/memory/guest_memory.ts";
import { PciBus } from "../../src/pci/bus.ts";
import * as registers from "../../src/pci/registers.ts";
import { VirtioPciTransport } from "../../src/virtio/pci_transport.ts";
import { busAccess, DIRECT_BAR_ADDRESS, VirtioPciDriver } from "../support/driver.ts";
import { RecorderDoorbells, RecorderInterruptController } from "../support/recorders.ts";
import { virtioHarness } from "../support/virtio_harness.ts";
import { addEcho, EchoDevice } from "./devices.ts";

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
