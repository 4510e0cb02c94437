import assert from "node:assert/strict";
import type { AccessWidth } from "../../src/pci/device.ts";
import { type VirtioHarness, virtioHarness } from "../support/virtio_harness.ts";
import { EchoDevice } from "./devices.ts";

class Window {
  readonly harness: VirtioHarness;
  readonly at: number;

  constructor(harness: VirtioHarness) {
    this.harness = harness;
    this.at = harness.driver.capability(5).at;
  }

  open(offset: number, length: number, bar = 0): void {
    const { access } = this.harness;
    access.writeConfiguration(this.at + 4, 1, bar);
    access.writeConfiguration(this.at + 8, 4, offset);
    access.writeConfiguration(this.at + 12, 4, length);
  }

  read(width: AccessWidth = 4): number {
    return this.harness.access.readConfiguration(this.at + 16, width);
  }

  write(value: number, width: AccessWidth = 4): void {
    this.harness.access.writeConfiguration(this.at + 16, width, value);
  }
}

Deno.test("CFG-1: bar, offset and length are writable, the rest of the capability is not", () => {
  using harness = virtioHarness({ device: new EchoDevice() });
  const { access, driver } = harness;
  const { at } = driver.capability(5);
  const before = access.readConfiguration(at, 4);
  access.writeConfiguration(at, 4, 0xffff_ffff);
  assert.equal(access.readConfiguration(at, 4), before);
  access.writeConfiguration(at + 4, 4, 0xffff_ffff);
  access.writeConfiguration(at + 8, 4, 0x1234_5678);
  access.writeConfiguration(at + 12, 4, 0x9abc_def0);
  assert.deepEqual([4, 8, 12].map((field) => access.readConfiguration(at + field, 4)), [
    0xff,
    0x1234_5678,
    0x9abc_def0,
  ]);
  // Elsewhere nothing is writable either: common (type 1) and notify (type 2).
  for (const type of [1, 2]) {
    const other = driver.capability(type).at;
    access.writeConfiguration(other + 8, 4, 0xffff_ffff);
    assert.equal(access.readConfiguration(other + 8, 4), driver.capability(type).offset);
  }
});

Deno.test("CFG-2: the access has the width in `length`, not that of the configuration access", () => {
  using harness = virtioHarness({ device: new EchoDevice(3) });
  const window = new Window(harness);
  window.open(0x12, 2);
  assert.equal(window.read(4), 3, "num_queues by a 4-byte read");
  assert.equal(window.read(1), 3, "by a 1-byte read");
  window.open(0x14, 1);
  window.write(0xffff_ff01);
  assert.equal(harness.driver.status, 1, "one byte went to device_status");
  window.open(0x00, 4);
  window.write(1);
  assert.equal(harness.driver.read("deviceFeatureSelect"), 1);
  window.open(0x04, 4);
  assert.equal(window.read(), harness.driver.read("deviceFeature"));
});

Deno.test("CFG-2: a read with a side effect happens once; the later bytes hold what it brought", () => {
  const device = new EchoDevice();
  device.configuration = Uint8Array.from([0x11, 0x22, 0x33, 0x44]);
  using harness = virtioHarness({ device });
  const window = new Window(harness);
  window.open(0x4000, 4);
  assert.equal(window.read(2), 0x2211);
  device.configuration.fill(0);
  assert.equal(harness.access.readConfiguration(window.at + 18, 2), 0x4433);
  window.open(0x2000, 1);
  harness.transport.isr = 2;
  assert.equal(window.read(4), 2);
  assert.equal(window.read(4), 0);
});

Deno.test("CFG-3: another BAR, a bad length, a misaligned or far offset read 0 and write nothing", () => {
  const device = new EchoDevice(3);
  device.configuration.fill(0xff);
  using harness = virtioHarness({ device });
  const window = new Window(harness);
  const cases: [number, number, number][] = [
    [0x12, 2, 1],
    [0x12, 2, 255],
    [0x12, 0, 0],
    [0x12, 3, 0],
    [0x10, 8, 0],
    [0x12, 4, 0],
    [0x13, 2, 0],
    [0x4001, 4, 0],
    [0x4002, 4, 0],
    [0x4001, 2, 0],
    [0x7fffe, 4, 0],
    [0x80000, 1, 0],
    [0xffff_fffc, 4, 0],
    [0x12, 0xffff_ffff, 0],
  ];
  for (const [offset, length, bar] of cases) {
    window.open(offset, length, bar);
    assert.equal(window.read(), 0, `offset 0x${offset.toString(16)}, length ${length}, BAR ${bar}`);
    window.write(0xffff_ffff);
  }
  assert.equal(harness.driver.status, 0);
  assert.equal(harness.errors.length, 0);
});

Deno.test("CFG-3, ROB-4: queue_select 0xffff through the window", () => {
  using harness = virtioHarness({ device: new EchoDevice() });
  const window = new Window(harness);
  window.open(0x16, 2);
  window.write(0xffff);
  window.open(0x18, 2);
  assert.equal(window.read(), 0);
  window.write(8);
  window.open(0x1a, 2);
  assert.equal(window.read(), 0xffff);
  window.open(0x1c, 2);
  window.write(1);
  assert.equal(harness.errors.length, 0);
});

Deno.test("CFG-4, NTF-2: a doorbell rung through the window notifies the queue", () => {
  const device = new EchoDevice(2);
  using harness = virtioHarness({ device });
  const queues = harness.driver.bringUp();
  device.log.length = 0;
  queues[1].add([{ address: harness.driver.allocator.take(4), length: 4 }]);
  const window = new Window(harness);
  window.open(0x6004, 2);
  window.write(1);
  assert.deepEqual(device.log, ["notify 1"]);
  assert.equal(queues[1].collect().length, 1);
});

Deno.test("CFG-1: the window works without Memory Space, and power-on closes it", () => {
  using harness = virtioHarness({ device: new EchoDevice(3) });
  const window = new Window(harness);
  harness.access.writeConfiguration(0x04, 2, 0);
  window.open(0x12, 2);
  assert.equal(window.read(), 3);
  harness.transport.reset();
  assert.equal(window.read(), 0);
  assert.equal(harness.access.readConfiguration(window.at + 12, 4), 0);
});
