/**
 * The examples, loaded as strangers' modules are.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createDevice } from "../../src/plugin/create.ts";
import { loadPlugin } from "../../src/plugin/load.ts";
import { RecorderInterruptController } from "../support/recorders.ts";
import { virtioHarness } from "../support/virtio_harness.ts";
import { activate, FakeHost } from "./fakes.ts";

const DIRECTORY = new URL("../../examples/devices/", import.meta.url);

Deno.test("every example is a short module that imports the plugin interface only", async () => {
  for (const { name } of Deno.readDirSync(DIRECTORY)) {
    assert.match((await loadPlugin(name, DIRECTORY)).name, /^[a-z-]+$/, name);
    const text = Deno.readTextFileSync(new URL(name, DIRECTORY));
    const imports = [...text.matchAll(/ from "(.*)"/g)].map(([, specifier]) => specifier);
    assert.ok(imports.length > 0 && imports.every((specifier) => specifier === "@denovisor/denovisor/plugin"), name);
    assert.ok(text.split("\n").length <= 70, `${name} is long`);
  }
});

Deno.test("examples/devices/counter.ts counts up from its option, over buffers and requests", async () => {
  const plugin = await loadPlugin("./counter.ts", DIRECTORY);
  assert.equal(plugin.kind, "virtio");
  if (plugin.kind !== "virtio") return;
  const device = createDevice(plugin, { start: "250" }, new FakeHost());
  using harness = virtioHarness({ device, deviceType: plugin.deviceType });
  const { driver, memory, round } = harness;
  const [queue] = driver.bringUp();
  const room = (length: number) => ({ address: driver.allocator.take(length), length, writable: true });
  const [first, second, third] = [room(3), room(4), room(2)];
  queue.add([first, second]);
  queue.add([third]);
  driver.kick(0);
  round();
  assert.deepEqual(queue.collect().map(({ written }) => written), [7, 2]);
  const content = [first, second, third].map(({ address, length }) => [...memory.read(address, length)]);
  assert.deepEqual(content, [[250, 251, 252], [253, 254, 255, 0], [1, 2]]);
});

Deno.test("examples/devices/fortune_console.ts answers lines, and no more than it should", async () => {
  const plugin = await loadPlugin("./fortune_console.ts", DIRECTORY);
  const device = createDevice(plugin, {}, new FakeHost());
  assert.ok("notify" in device);
  const [receive, transmit] = activate(device);
  const answers = Array.from({ length: 3 }, () => receive.add(100));
  transmit.add(new TextEncoder().encode("hello\nwo"));
  transmit.add(new TextEncoder().encode("rld\n"));
  device.notify(transmit);
  const text = (i: number) => new TextDecoder().decode(answers[i].written.subarray(0, answers[i].used));
  assert.deepEqual([text(0), text(1)], ["Measure twice, cut once.\r\n", "A queue is a promise.\r\n"]);
  assert.equal(answers[2].used, undefined);
  for (let i = 0; i < 100; i++) transmit.add(Uint8Array.of(0x0a));
  device.notify(transmit);
  const later = Array.from({ length: 50 }, () => receive.add(100));
  device.notify(receive);
  assert.equal(answers[2].used, "Whoever resets last resets best.\r\n".length);
  assert.equal(later.filter(({ used }) => used !== undefined).length, 15);
  assert.throws(() => createDevice(plugin, { file: "/dev/null" }, new FakeHost()), {
    message:
      /Cannot create device "dev0" of plugin "fortune-console": \/dev\/null holds no sayings; write one per line/,
  });
});

Deno.test("examples/devices/factorial.ts computes and interrupts", async () => {
  const plugin = await loadPlugin("./factorial.ts", DIRECTORY);
  assert.equal(plugin.kind, "pci");
  if (plugin.kind !== "pci") return;
  const device = createDevice(plugin, {}, new FakeHost());
  const interrupts = new RecorderInterruptController();
  using _ = device;
  device.attached({
    device: 3,
    allocated: device.bars.map(({ index }) => ({ index, address: 0xc000_0000 + index * 4096 })),
    interrupts,
    decode: () => true,
  });
  const factorial = (value: number) => {
    device.writeBar(0, 4, 4, value);
    return device.readBar(0, 8, 4);
  };
  assert.equal(device.readConfiguration(0, 4), 0x00fa1234);
  assert.equal(device.readBar(0, 0, 4), 0x0100_00fa);
  assert.deepEqual([0, 1, 5, 12, 13, 34, 0xffff_ffff].map(factorial), [1, 1, 120, 479001600, 1932053504, 0, 0]);
  device.writeBar(0, 0, 4, 7);
  device.writeBar(0, 6, 2, 7);
  assert.deepEqual([device.readBar(0, 0, 4), device.readBar(0, 2, 2), device.readBar(0, 4092, 4)], [0x0100_00fa, 0, 0]);
  // MSI-X: entry 0 programmed and unmasked, then enabled.
  const capability = device.readConfiguration(0x34, 1);
  [0xfee0_0000, 0, 0x21, 0].forEach((word, i) => device.writeBar(1, 4 * i, 4, word));
  device.writeConfiguration(capability + 2, 2, 0x8000);
  factorial(3);
  const vectors = interrupts.of("dev0");
  assert.equal(vectors.total, 0, "not enabled in the device");
  device.writeBar(0, 12, 4, 1);
  factorial(3);
  assert.deepEqual(vectors.delivered, [1]);
  device.reset();
  assert.equal(device.readBar(0, 8, 4), 0);
});
