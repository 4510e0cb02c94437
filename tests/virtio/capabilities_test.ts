import assert from "node:assert/strict";
import { QUEUE_COUNT_MAXIMUM } from "../../src/virtio/capabilities.ts";
import { virtioHarness } from "../support/virtio_harness.ts";
import { EchoDevice } from "./devices.ts";

Deno.test("ID-1: vendor 0x1af4, device 0x1040 + type, revision 1, the subsystem alike", () => {
  using harness = virtioHarness({ device: new EchoDevice(), deviceType: 4 });
  assert.equal(harness.access.readConfiguration(0x00, 4), 0x1044_1af4);
  assert.equal(harness.access.readConfiguration(0x08, 1), 1);
  assert.equal(harness.access.readConfiguration(0x2c, 4), 0x1044_1af4);
});

Deno.test("ID-2: class 02/00 for net, 01/80 for block, ff/ff else, or the plugin's own", () => {
  const classOf = (deviceType: number, pciClass?: number): number => {
    using harness = virtioHarness({ device: new EchoDevice(), deviceType, ...(pciClass && { pciClass }) });
    return harness.access.readConfiguration(0x08, 4) >>> 8;
  };
  assert.deepEqual([1, 2, 3, 4].map((type) => classOf(type)), [0x020000, 0x018000, 0xffff00, 0xffff00]);
  assert.equal(classOf(3, 0x078000), 0x078000);
});

Deno.test("ID-3: capability-list bit, header type 0, no interrupt pin", () => {
  using harness = virtioHarness({ device: new EchoDevice() });
  assert.equal(harness.access.readConfiguration(0x06, 2) & 0x10, 0x10);
  assert.equal(harness.access.readConfiguration(0x0e, 1), 0);
  assert.equal(harness.access.readConfiguration(0x3d, 1), 0);
});

Deno.test("CAP-1, CAP-2, CAP-3: types in order, with length, place and size", () => {
  using harness = virtioHarness({ device: new EchoDevice() });
  const { capabilities, capabilityList } = harness.driver;
  assert.deepEqual(
    capabilities.map(({ type, length, bar, offset, size }) => [type, length, bar, offset, size]),
    [
      [1, 16, 0, 0x0000, 64],
      [3, 16, 0, 0x2000, 1],
      [4, 16, 0, 0x4000, 0x1000],
      [2, 20, 0, 0x6000, 0x1000],
      [5, 20, 0, 0, 0],
    ],
  );
  assert.deepEqual(capabilityList.map(([id]) => id), [9, 9, 9, 9, 9, 0x11]);
  assert.ok(capabilityList.every(([, at]) => at % 4 === 0));
});

Deno.test("CAP-3: one BAR of 512 KiB, 32- or 64-bit", () => {
  for (const bar64 of [false, true]) {
    using harness = virtioHarness({ device: new EchoDevice(), bar64 });
    assert.deepEqual(harness.transport.bars, [{ index: 0, kind: bar64 ? "memory64" : "memory32", size: 512 << 10 }]);
    assert.equal(harness.access.readConfiguration(0x10, 4) & 0xf, bar64 ? 4 : 0);
  }
});

Deno.test("CAP-4: notify multiplier 4, notify_off of queue i is i, 1024 queues fit and no more", () => {
  using harness = virtioHarness({ device: new EchoDevice(QUEUE_COUNT_MAXIMUM, 2) });
  const { driver, access } = harness;
  assert.equal(access.readConfiguration(driver.capability(2).at + 16, 4), 4);
  assert.equal(driver.read("numQueues"), 1024);
  for (const queue of [0, 1, 1023]) {
    driver.write("queueSelect", queue);
    assert.equal(driver.read("queueNotifyOff"), queue);
  }
  assert.equal(harness.doorbells.addresses.length, 1024);
  assert.throws(
    () => virtioHarness({ device: new EchoDevice(1025) }),
    /device0 with 1025 queues: expected at most 1024/,
  );
});

Deno.test("CAP-6: a device without configuration has no device capability", () => {
  const device = new EchoDevice();
  device.configuration = new Uint8Array(0);
  using harness = virtioHarness({ device });
  assert.deepEqual(harness.driver.capabilities.map(({ type }) => type), [1, 3, 2, 5]);
});

Deno.test("CAP-7: MSI-X has queues + 1 vectors, table and PBA in BAR 0, and is off at power-on", () => {
  using harness = virtioHarness({ device: new EchoDevice(3) });
  const { access, driver } = harness;
  const at = driver.capabilityList.find(([id]) => id === 0x11)?.[1] ?? 0;
  assert.deepEqual(
    [access.readConfiguration(at + 2, 2), access.readConfiguration(at + 4, 4), access.readConfiguration(at + 8, 4)],
    [3, 0x8000, 0x48000],
  );
  access.writeConfiguration(at + 2, 2, 0xffff);
  assert.equal(access.readConfiguration(at + 2, 2), 0xc003);
  access.writeConfiguration(at + 4, 4, 0xffff_ffff);
  assert.equal(access.readConfiguration(at + 4, 4), 0x8000);
  assert.equal(harness.vectors.count, 4);
  assert.equal(harness.vectors.deviceId, 1 << 3);
});

Deno.test("MSI-1: the MSI-X area beyond the table reads 0 and ignores writes", () => {
  using harness = virtioHarness({ device: new EchoDevice(1) });
  const { access } = harness;
  for (const offset of [0x8020, 0x47ffc, 0x48008, 0x7fffc]) {
    access.writeBar(0, offset, 4, 0xffff_ffff);
    assert.equal(access.readBar(0, offset, 4), 0, `0x${offset.toString(16)}`);
  }
  access.writeBar(0, 0x48000, 4, 0xffff_ffff);
  assert.equal(access.readBar(0, 0x48000, 4), 0, "MSI-4: the pending bits");
  assert.equal(access.readBar(0, 0x801c, 4), 1);
});

Deno.test("ID-1: queues that cannot be are refused", () => {
  assert.throws(() => virtioHarness({ device: new EchoDevice(1, 100) }), /"queue0" of virtio device device0 with 100/);
  assert.throws(() => virtioHarness({ device: new EchoDevice(1, 65536) }), /65536 descriptors/);
});
