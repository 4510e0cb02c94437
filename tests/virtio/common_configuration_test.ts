import assert from "node:assert/strict";
import type { AccessWidth } from "../../src/pci/device.ts";
import { COMMON_REGISTERS } from "../../src/virtio/common_configuration.ts";
import * as constants from "../../src/virtio/constants.ts";
import { COMMON } from "../support/driver.ts";
import { virtioHarness } from "../support/virtio_harness.ts";
import { EchoDevice } from "./devices.ts";

const OFFERED = constants.FEATURE_VERSION_1 | constants.FEATURE_RING_INDIRECT_DESC | constants.FEATURE_RING_EVENT_IDX
  | constants.FEATURE_RING_RESET;

Deno.test("COM-1: each register answers at its offset and width only", () => {
  using harness = virtioHarness({ device: new EchoDevice(2) });
  const { access, driver } = harness;
  driver.negotiate();
  driver.write("deviceFeatureSelect", 1);
  driver.setUpQueue(0);
  const registers = new Map<number, AccessWidth>(Object.values(COMMON).map(([offset, width]) => [offset, width]));
  for (let offset = 0; offset < 72; offset++) {
    for (const width of [1, 2, 4] as const) {
      if (registers.get(offset) !== width) {
        assert.equal(access.readBar(0, offset, width), 0, `${offset}, ${width} bytes`);
      }
    }
  }
  assert.equal(driver.read("numQueues"), 2);
  // The three bytes of device_status, config_generation and queue_select are not one register.
  access.writeBar(0, 0x14, 4, 0);
  access.writeBar(0, 0x14, 2, 0);
  assert.equal(driver.status, 0xb);
  access.writeBar(0, 0x16, 1, 1);
  access.writeBar(0, 0x16, 4, 1);
  assert.equal(driver.read("queueSelect"), 0);
});

Deno.test("COM-1: the table has no gap and no overlap in 64 bytes", () => {
  let end = 0;
  for (const { name, offset, width } of COMMON_REGISTERS) {
    assert.equal(offset, end, name);
    end += width;
  }
  assert.equal(end, 64);
});

Deno.test("COM-2: selects of 2 and more read 0 and ignore writes; VERSION_1 is offered; driver features read back", () => {
  using harness = virtioHarness({ device: new EchoDevice(1, 8, 0x25n) });
  const { driver } = harness;
  assert.equal(driver.offeredFeatures(), OFFERED | 0x25n);
  for (const select of [2, 3, 0xffff_ffff]) {
    driver.write("deviceFeatureSelect", select);
    assert.equal(driver.read("deviceFeatureSelect"), select);
    assert.equal(driver.read("deviceFeature"), 0);
  }
  driver.write("deviceStatus", 1);
  driver.write("deviceStatus", 3);
  driver.writeFeatures(0xdead_beef_1234_5678n);
  for (const select of [2, 0xffff_ffff]) {
    driver.write("driverFeatureSelect", select);
    driver.write("driverFeature", 0xffff_ffff);
    assert.equal(driver.read("driverFeature"), 0);
  }
  driver.write("driverFeatureSelect", 0);
  assert.equal(driver.read("driverFeature"), 0x1234_5678);
  driver.write("driverFeatureSelect", 1);
  assert.equal(driver.read("driverFeature"), 0xdead_beef);
});

Deno.test("COM-2: bits of ring and transport are not the device's to offer", () => {
  const device = new EchoDevice(1, 8, constants.FEATURE_RING_PACKED | constants.FEATURE_NOTIFICATION_DATA | 1n << 50n);
  using harness = virtioHarness({ device });
  assert.equal(harness.driver.offeredFeatures(), OFFERED | 1n << 50n);
});

Deno.test("COM-3: driver features are taken only between DRIVER and FEATURES_OK", () => {
  using harness = virtioHarness({ device: new EchoDevice(1, 8, 1n) });
  const { driver } = harness;
  const features = (): number => (driver.write("driverFeatureSelect", 0), driver.read("driverFeature"));
  driver.writeFeatures(1n);
  assert.equal(features(), 0, "before ACKNOWLEDGE");
  driver.write("deviceStatus", 1);
  driver.writeFeatures(1n);
  assert.equal(features(), 0, "before DRIVER");
  driver.write("deviceStatus", 3);
  driver.writeFeatures(constants.FEATURE_VERSION_1 | 1n);
  assert.equal(features(), 1);
  driver.write("deviceStatus", 0xb);
  driver.writeFeatures(constants.FEATURE_VERSION_1);
  assert.equal(features(), 1, "after FEATURES_OK");
});

Deno.test("COM-3, COM-4: FEATURES_OK sticks only with VERSION_1, a subset of the offered, and the device's consent", () => {
  const device = new EchoDevice(1, 8, 0b11n);
  using harness = virtioHarness({ device });
  const { driver } = harness;
  const attempt = (features: bigint): number => {
    driver.reset();
    driver.write("deviceStatus", 1);
    driver.write("deviceStatus", 3);
    driver.writeFeatures(features);
    driver.write("deviceStatus", 0xb);
    return driver.status;
  };
  assert.equal(attempt(0b01n), 3, "without VERSION_1");
  assert.equal(attempt(constants.FEATURE_VERSION_1 | 0b101n), 3, "bit 2 was not offered");
  assert.equal(attempt(constants.FEATURE_VERSION_1 | constants.FEATURE_RING_PACKED), 3, "nor was RING_PACKED");
  device.accepts = false;
  assert.equal(attempt(constants.FEATURE_VERSION_1), 3, "the device says no");
  device.broken = "acceptFeatures";
  assert.equal(attempt(constants.FEATURE_VERSION_1), 3, "the device throws");
  assert.match(harness.errors[0].message, /device0: acceptFeatures failed/);
  device.broken = undefined;
  device.accepts = true;
  assert.equal(attempt(constants.FEATURE_VERSION_1 | 0b01n), 0xb);
  assert.equal(device.log.at(-1), "acceptFeatures 100000001");
});

Deno.test("COM-5: status moves forward one bit at a time and back only by 0", () => {
  const order = [0x1, 0x3, 0xb, 0xf];
  using harness = virtioHarness({ device: new EchoDevice() });
  const { driver } = harness;
  for (let reached = 0; reached <= order.length; reached++) {
    for (let value = 1; value < 0x40; value++) {
      driver.reset();
      for (const step of order.slice(0, reached)) {
        if (step === 0xb) driver.writeFeatures(constants.FEATURE_VERSION_1);
        driver.write("deviceStatus", step);
      }
      const before = driver.status;
      assert.equal(before, order[reached - 1] ?? 0);
      if (value === 0xb) driver.writeFeatures(constants.FEATURE_VERSION_1);
      driver.write("deviceStatus", value);
      assert.equal(
        driver.status,
        value === order[reached] ? value : before,
        `0x${value.toString(16)} after 0x${before.toString(16)}`,
      );
    }
  }
});

Deno.test("COM-5: FAILED may be set at any time and ends the set-up; NEEDS_RESET is the device's alone", () => {
  using harness = virtioHarness({ device: new EchoDevice() });
  const { driver } = harness;
  driver.write("deviceStatus", 0x41);
  assert.equal(driver.status, 1, "the driver cannot set NEEDS_RESET");
  driver.write("deviceStatus", 0x83);
  assert.equal(driver.status, 0x81);
  driver.write("deviceStatus", 0x3);
  driver.write("deviceStatus", 0x83);
  assert.equal(driver.status, 0x81);
  driver.bringUp();
  harness.transport.needsReset("test");
  assert.equal(driver.status, 0x4f);
  driver.write("deviceStatus", 0x0f);
  assert.equal(driver.status, 0x4f, "nor clear it");
  driver.write("deviceStatus", 0xcf);
  assert.equal(driver.status, 0xcf);
  driver.reset();
});

Deno.test("COM-6: a queue is set up after FEATURES_OK, before DRIVER_OK, before queue_enable", () => {
  using harness = virtioHarness({ device: new EchoDevice(2, 64) });
  const { driver } = harness;
  const fields = [
    "queueDescLow",
    "queueDescHigh",
    "queueDriverLow",
    "queueDriverHigh",
    "queueDeviceLow",
    "queueDeviceHigh",
  ] as const;
  const write = (seed: number): void => {
    driver.write("queueSize", seed);
    fields.forEach((field, i) => driver.write(field, seed * 0x100 + i));
  };
  const read = (): number[] => [driver.read("queueSize"), ...fields.map((field) => driver.read(field))];
  const values = (seed: number): number[] => [seed, ...fields.map((_, i) => seed * 0x100 + i)];
  const untouched = [64, 0, 0, 0, 0, 0, 0];
  driver.write("deviceStatus", 1);
  driver.write("deviceStatus", 3);
  write(16);
  driver.write("queueEnable", 1);
  assert.deepEqual(read(), untouched, "before FEATURES_OK");
  assert.equal(driver.read("queueEnable"), 0);
  driver.negotiate();
  write(16);
  assert.deepEqual(read(), values(16));
  driver.write("queueEnable", 2);
  driver.write("queueEnable", 0);
  assert.equal(driver.read("queueEnable"), 0);
  driver.write("queueEnable", 1);
  driver.write("queueEnable", 0);
  assert.equal(driver.read("queueEnable"), 1, "only reset takes it back");
  write(32);
  assert.deepEqual(read(), values(16), "after queue_enable");
  driver.write("queueSelect", 1);
  assert.deepEqual(read(), untouched, "queues are apart");
  driver.start();
  write(8);
  driver.write("queueEnable", 1);
  assert.deepEqual(read(), untouched, "after DRIVER_OK (CVE-2026-5747)");
  assert.equal(driver.read("queueEnable"), 0);
  driver.reset();
  driver.write("queueSelect", 0);
  assert.deepEqual(read(), untouched, "RST-1");
});

Deno.test("COM-6: queue_size is a power of two up to the maximum, never 0", () => {
  using harness = virtioHarness({ device: new EchoDevice(1, 64) });
  const { driver } = harness;
  driver.negotiate();
  for (const [written, expected] of [[32, 32], [0, 32], [65, 32], [128, 32], [3, 32], [0xffff, 32], [1, 1], [64, 64]]) {
    driver.write("queueSize", written);
    assert.equal(driver.read("queueSize"), expected, `after ${written}`);
  }
});

Deno.test("COM-7: a queue that does not exist has size 0, no vector, and takes nothing", () => {
  using harness = virtioHarness({ device: new EchoDevice(2) });
  const { driver } = harness;
  driver.negotiate();
  for (const select of [2, 0x100, 0xffff]) {
    driver.write("queueSelect", select);
    assert.equal(driver.read("queueSelect"), select);
    for (const field of ["queueSize", "queueMsixVector", "queueEnable", "queueDescLow", "queueReset"] as const) {
      driver.write(field, 1);
      assert.equal(driver.read(field), field === "queueMsixVector" ? 0xffff : 0, field);
    }
    assert.equal(driver.read("queueNotifyOff"), 0);
  }
});

Deno.test("COM-8: a vector that does not exist reads back NO_VECTOR", () => {
  using harness = virtioHarness({ device: new EchoDevice(2) });
  const { driver } = harness;
  for (const field of ["configMsixVector", "queueMsixVector"] as const) {
    assert.equal(driver.read(field), 0xffff, "at power-on");
    for (const [written, expected] of [[2, 2], [3, 0xffff], [0, 0], [0xfffe, 0xffff], [1, 1], [0xffff, 0xffff]]) {
      driver.write(field, written);
      assert.equal(driver.read(field), expected, `${field} after ${written}`);
    }
  }
});

Deno.test("COM-9: the generation changes with the configuration, at most once per read, and wraps", () => {
  using harness = virtioHarness({ device: new EchoDevice() });
  const { driver, transport } = harness;
  driver.bringUp();
  const generation = (): number => driver.read("configGeneration");
  driver.readDevice(0, 4);
  assert.equal(generation(), 0);
  transport.configurationChanged();
  transport.configurationChanged();
  driver.readDevice(0, 4);
  assert.equal(generation(), 1);
  driver.readDevice(4, 4);
  assert.equal(generation(), 1);
  for (let i = 0; i < 255; i++) {
    transport.configurationChanged();
    driver.readDevice(0, 1);
  }
  assert.equal(generation(), 0);
  for (let i = 0; i < 256; i++) transport.configurationChanged();
  driver.readDevice(0, 1);
  assert.equal(generation(), 1, "256 changes between two reads do not look like none");
});

Deno.test("COM-9: a 64-bit field changed between its halves shows in the generation", () => {
  const device = new EchoDevice();
  using harness = virtioHarness({ device });
  const { driver, transport } = harness;
  driver.bringUp();
  device.configuration.set([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
  const before = driver.read("configGeneration");
  assert.equal(driver.readDevice(0, 4), 0xffff_ffff);
  device.configuration.set([0, 0, 0, 0, 1, 0, 0, 0]);
  transport.configurationChanged();
  assert.equal(driver.readDevice(4, 4), 1);
  assert.notEqual(driver.read("configGeneration"), before);
});

Deno.test("COM-10: the fields of the 64-byte layout beyond queue_reset read 0", () => {
  using harness = virtioHarness({ device: new EchoDevice() });
  for (const field of ["queueNotifyConfigData", "queueReset", "adminQueueIndex", "adminQueueNum"] as const) {
    harness.driver.write(field, 0xffff);
    assert.equal(harness.driver.read(field), 0, field);
  }
});

Deno.test("COM-9: the device's configuration is read live; beyond its end are zeroes; writes go to the device", () => {
  const device = new EchoDevice();
  device.configuration = Uint8Array.from([1, 2, 3, 4, 5, 6]);
  using harness = virtioHarness({ device });
  const { driver } = harness;
  assert.equal(driver.readDevice(4, 4), 0x0605);
  assert.equal(driver.readDevice(3, 2), 0x0504);
  assert.equal(driver.readDevice(0xffc, 4), 0);
  device.configuration[0] = 9;
  assert.equal(driver.readDevice(0, 1), 9);
  driver.writeDevice(1, 1, 0x77);
  driver.writeDevice(4, 4, 1);
  driver.writeDevice(0x800, 4, 1);
  assert.deepEqual(device.log, ["writeConfiguration 1,1,119"]);
});
