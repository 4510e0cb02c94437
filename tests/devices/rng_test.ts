import assert from "node:assert/strict";
import rng from "../../src/devices/rng.ts";
import { createDevice } from "../../src/plugin/create.ts";
import { activate, FakeHost } from "./fakes.ts";

Deno.test("rng fills buffers with bytes that differ from each other", () => {
  const device = createDevice(rng, {}, new FakeHost());
  assert.equal(device.features, 0n);
  assert.equal(device.configuration, undefined);
  const [queue] = activate(device);
  const first = queue.add(300, 700);
  const second = queue.add(1000);
  device.notify(queue);
  assert.deepEqual([first.used, second.used], [1000, 1000]);
  assert.notDeepEqual(first.written, second.written);
  for (const chain of [first, second]) {
    assert.ok(new Set(chain.written).size > 200, "a thousand random bytes have most of the 256 values");
  }
});

Deno.test("QUE-5: rng bounds a request, and returns one without room", () => {
  const device = createDevice(rng, {}, new FakeHost());
  const [queue] = activate(device);
  const large = queue.add(1 << 20);
  const none = queue.add(Uint8Array.of(1, 2, 3));
  device.notify(queue);
  assert.equal(large.used, 64 * 1024);
  assert.ok(large.written.subarray(64 * 1024).every((byte) => byte === 0));
  assert.equal(none.used, 0);
});

Deno.test("rng takes the bytes of a device without end", () => {
  const host = new FakeHost(0);
  const device = createDevice(rng, { source: "/dev/urandom" }, host);
  const [queue] = activate(device);
  const chain = queue.add(64);
  device.notify(queue);
  assert.deepEqual(chain.written, new Uint8Array(64).fill(0x5a));
  assert.equal(host.opened?.path, "/dev/urandom");
  assert.equal(host.file.options.writable, false);
  device[Symbol.dispose]?.();
  assert.ok(host.file.isClosed);
});

Deno.test("rng gives each byte of a file once, then asks for help", () => {
  const host = new FakeHost(100);
  const device = createDevice(rng, { source: "dice.bin" }, host);
  const [queue] = activate(device);
  const chains = [queue.add(64), queue.add(64), queue.add(64)];
  device.notify(queue);
  assert.deepEqual(chains.map((chain) => chain.used), [64, 36, 0]);
  assert.deepEqual(chains[1].written.subarray(0, 36), host.file.content.subarray(64));
  assert.match(host.resetReasons[0], /all 100 random bytes of dice\.bin are used up/);
});

Deno.test("rng reports a source that fails", () => {
  const host = new FakeHost(0);
  const device = createDevice(rng, { source: "/dev/hwrng" }, host);
  const [queue] = activate(device);
  host.file.failure = -19;
  const chain = queue.add(64);
  device.notify(queue);
  assert.equal(chain.used, 0);
  assert.deepEqual(host.resetReasons, ["reading random bytes from /dev/hwrng failed with errno 19"]);
});

Deno.test("RST-1: rng has nothing in flight after a reset", () => {
  const host = new FakeHost(0);
  const device = createDevice(rng, { source: "/dev/hwrng" }, host);
  const [queue] = activate(device);
  host.file.holdsBack = true;
  const chain = queue.add(64);
  device.notify(queue);
  assert.equal(chain.used, undefined);
  device.reset?.();
  assert.equal(host.file.pending.length, 0);
});
