import assert from "node:assert/strict";
import console from "../../src/devices/console.ts";
import { createDevice } from "../../src/plugin/create.ts";
import { activate, FakeHost } from "./fakes.ts";

const text = (characters: string) => new TextEncoder().encode(characters);
const decoded = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** An active console with its host and queues. */
function start() {
  const host = new FakeHost();
  const device = createDevice(console, {}, host);
  const [receive, transmit] = activate(device);
  return { host, stream: host.stream, device, receive, transmit };
}

Deno.test("console sends what the driver writes, in order, whatever its buffers", () => {
  const { device, stream, transmit } = start();
  transmit.add(text("one "), text("two "));
  transmit.add(text("three"));
  transmit.add();
  device.notify(transmit);
  assert.equal(stream.output, "one two three");
  assert.deepEqual(transmit.returned.map((chain) => chain.used), [0, 0, 0]);
});

Deno.test("console holds output back while the receiver is behind, and loses none", () => {
  const { device, stream, transmit } = start();
  const long = "x".repeat(10_000);
  transmit.add(text(long));
  transmit.add(text("end"));
  stream.room = 1;
  device.notify(transmit);
  assert.equal(stream.output.length, 4096);
  assert.equal(transmit.returned.length, 0, "the chain is not returned before all of it was sent");
  device.notify(transmit);
  assert.equal(stream.output.length, 4096, "another kick does not send");
  stream.catchUp(1);
  assert.equal(stream.output.length, 8192);
  stream.catchUp(Infinity);
  assert.equal(stream.output, `${long}end`);
  assert.equal(transmit.returned.length, 2);
});

Deno.test("QUE-7: console bounds its work per wake-up and asks to go on", () => {
  const { device, stream, transmit } = start();
  transmit.add(new Uint8Array(300_000).fill(0x61));
  device.notify(transmit);
  assert.equal(stream.output.length, 64 * 1024);
  assert.equal(transmit.deferred, 1);
  for (let i = 0; i < 4; i++) device.notify(transmit);
  assert.equal(stream.output.length, 300_000);
  assert.equal(transmit.returned.length, 1);
});

Deno.test("console gives input to the driver, and keeps it while there is no buffer", () => {
  const { device, stream, receive } = start();
  stream.type("hello, ");
  stream.type("world");
  assert.equal(receive.returned.length, 0);
  const small = receive.add(3);
  device.notify(receive);
  assert.equal(decoded(small.written), "hel");
  const large = receive.add(50);
  const unused = receive.add(50);
  device.notify(receive);
  assert.equal(large.used, 4, "what was taken from the stream at first");
  assert.equal(decoded(unused.written.subarray(0, unused.used)), "world");
  const later = receive.add(10);
  stream.type("!");
  assert.equal(decoded(later.written.subarray(0, later.used)), "!");
});

Deno.test("console returns an input buffer without room, and holds to its limits", () => {
  const { device, stream, receive } = start();
  stream.type("abc");
  const none = receive.add(0);
  const readable = receive.add(text("?"));
  const good = receive.add(8);
  device.notify(receive);
  assert.deepEqual([none.used, readable.used, good.used], [0, 0, 3]);
  stream.type("y".repeat(100_000));
  assert.ok(stream.waiting.length >= 100_000 - 4096, "no more than a piece is taken without a buffer");
});

Deno.test("console follows the terminal's size and tells the driver", () => {
  const { device, host, stream } = start();
  const configuration = device.configuration;
  assert.ok(configuration);
  const view = new DataView(configuration.buffer);
  assert.deepEqual([view.getUint16(0, true), view.getUint16(2, true)], [80, 25]);
  assert.equal(device.features & 1n, 1n);
  stream.columns = 132;
  stream.rows = 43;
  stream.onResize?.();
  assert.deepEqual([view.getUint16(0, true), view.getUint16(2, true)], [132, 43]);
  assert.equal(host.configurationChanges, 1);
});

Deno.test("console takes emergency writes before activation, and drops them while the receiver is behind", () => {
  const host = new FakeHost();
  const device = createDevice(console, {}, host);
  device.writeConfiguration?.(8, 4, 0x141);
  device.writeConfiguration?.(0, 4, 0x42);
  device.writeConfiguration?.(9, 1, 0x43);
  assert.equal(host.stream.output, "A");
  host.stream.room = 1;
  for (let i = 0; i < 3; i++) device.writeConfiguration?.(8, 4, 0x44);
  assert.equal(host.stream.output, "AD");
});

Deno.test("RST-1: console forgets chains on reset and works again after it", () => {
  const { device, stream, transmit } = start();
  transmit.add(text("a".repeat(5000)));
  stream.room = 1;
  device.notify(transmit);
  device.reset?.();
  stream.catchUp(Infinity);
  assert.equal(stream.output.length, 4096, "nothing is sent of a chain that was dropped");
  stream.type("early");
  const [receive, again] = activate(device);
  again.add(text("again"));
  device.notify(again);
  assert.ok(stream.output.endsWith("aagain"));
  const chain = receive.add(16);
  device.notify(receive);
  assert.equal(decoded(chain.written.subarray(0, chain.used)), "early");
});

Deno.test("console works with one queue missing", () => {
  const host = new FakeHost();
  const device = createDevice(console, {}, host);
  device.activate({ memory: activate(createDevice(console, {}, new FakeHost()))[0].memory, features: 0n, queues: [] });
  host.stream.type("nobody listens");
  assert.equal(host.stream.waiting.length, 14);
  device[Symbol.dispose]?.();
  assert.ok(host.stream.isClosed);
});
