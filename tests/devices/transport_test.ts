/**
 * The devices behind the real transport and queue, driven by the driver twin.
 *
 * @module
 */
import assert from "node:assert/strict";
import block from "../../src/devices/block.ts";
import { BlockFeature, RequestType, Status } from "../../src/devices/block_protocol.ts";
import consoleDevice from "../../src/devices/console.ts";
import rng from "../../src/devices/rng.ts";
import { GuestMemory } from "../../src/memory/guest_memory.ts";
import { createDevice } from "../../src/plugin/create.ts";
import type { VirtioPlugin } from "../../src/plugin/definition.ts";
import type { DriverBuffer } from "../support/driver.ts";
import { virtioHarness } from "../support/virtio_harness.ts";
import { FakeHost } from "./fakes.ts";

/** The transport's and ring's features that the driver twin speaks, without EVENT_IDX. */
const PLAIN = ~(1n << 29n | 1n << 34n | 1n << 38n | 1n << 39n);
const STATUS_NEEDS_RESET = 0x40;

/** A plugin's device behind its transport. */
function start(plugin: VirtioPlugin, options: Record<string, unknown>, host: FakeHost) {
  const device = createDevice(plugin, options, host);
  const memory = GuestMemory.allocate(4 << 20);
  const harness = virtioHarness({ device, deviceType: plugin.deviceType, memory });
  const { driver } = harness;
  /** Puts bytes into guest memory, for the device to read. */
  const given = (bytes: Uint8Array): DriverBuffer => {
    const address = driver.allocator.take(bytes.length);
    memory.write(address, bytes);
    return { address, length: bytes.length };
  };
  /** Room in guest memory for the device to write. */
  const room = (length: number): DriverBuffer => ({ address: driver.allocator.take(length), length, writable: true });
  const content = ({ address, length }: DriverBuffer) => memory.read(address, length);
  return { ...harness, harness, host, given, room, content };
}

function header(type: number, sector: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint32(0, type, true);
  view.setUint32(8, sector, true);
  return new Uint8Array(view.buffer);
}

Deno.test("ID-1, ID-2: the devices appear with the specification's identities", () => {
  const identities: [VirtioPlugin, Record<string, unknown>, number, number][] = [
    [rng, {}, 0x1044, 0xff],
    [block, { path: "disk.img" }, 0x1042, 0x01],
    [consoleDevice, {}, 0x1043, 0xff],
  ];
  for (const [plugin, options, deviceId, classCode] of identities) {
    using harness = start(plugin, options, new FakeHost(512)).harness;
    assert.equal(harness.access.readConfiguration(0, 4), (deviceId << 16 | 0x1af4) >>> 0);
    assert.equal(harness.access.readConfiguration(11, 1), classCode, plugin.name);
  }
});

Deno.test("ACT-6: rng serves buffers that were there before it was activated, through direct and indirect descriptors", () => {
  const { harness, driver, room, content, vectors } = start(rng, {}, new FakeHost());
  using _ = harness;
  driver.negotiate();
  driver.enableMsix(2);
  const queue = driver.setUpQueue(0, undefined, 1);
  const buffers = [room(100), room(200), room(300)];
  queue.add([buffers[0], buffers[1]]);
  queue.add([buffers[2]], { indirect: true });
  driver.start();
  harness.round();
  assert.deepEqual(queue.collect().map(({ written }) => written), [300, 300]);
  assert.ok(new Set(content(buffers[1])).size > 50 && new Set(content(buffers[2])).size > 50);
  assert.ok(vectors.delivered[1] >= 1);
  assert.equal(harness.transport.statistics.refusedChains, 0);
});

Deno.test("block moves data both ways, with a header that shares its buffer and an indirect chain", () => {
  const host = new FakeHost(64 * 512);
  const { harness, driver, given, room, content, errors } = start(block, { path: "disk.img" }, host);
  using _ = harness;
  const [queue] = driver.bringUp();
  const data = Uint8Array.from({ length: 1024 }, (_, i) => i * 13 & 0xff);
  const statuses = [room(1), room(1)];
  queue.add([given(Uint8Array.of(...header(RequestType.write, 7), ...data)), statuses[0]]);
  const parts = [room(100), room(900), room(24)];
  queue.add([given(header(RequestType.read, 7)), ...parts, statuses[1]], { indirect: true });
  driver.kick(0);
  harness.round();
  assert.deepEqual(queue.collect().map(({ written }) => written), [1, 1025]);
  assert.deepEqual(statuses.map((status) => content(status)[0]), [Status.ok, Status.ok]);
  assert.deepEqual(Uint8Array.of(...parts.flatMap((part) => [...content(part)])), data);
  assert.deepEqual(host.file.content.slice(7 * 512, 9 * 512), data);
  assert.deepEqual(errors, []);
});

Deno.test("block completes later, in another order, on every queue with its own vector", () => {
  const host = new FakeHost(64 * 512);
  const { harness, driver, given, room, content, vectors } = start(block, { path: "disk.img", queues: 2 }, host);
  using _ = harness;
  const queues = driver.bringUp();
  host.file.holdsBack = true;
  const reads = Array.from({ length: 8 }, () => [room(512), room(1)]);
  const heads = reads.map(([data, status], i) => queues[i % 2].add([given(header(RequestType.read, i)), data, status]));
  driver.kick(0);
  driver.kick(1);
  assert.deepEqual(queues.map((queue) => queue.collect()), [[], []]);
  host.file.pending.reverse();
  host.file.drain();
  harness.round();
  assert.deepEqual(queues[0].collect().map(({ head }) => head), [6, 4, 2, 0].map((i) => heads[i]));
  assert.equal(queues[1].collect().length, 4);
  reads.forEach(([data, status], i) => {
    assert.deepEqual(content(data), host.file.content.slice(512 * i, 512 * i + 512));
    assert.equal(content(status)[0], Status.ok);
  });
  assert.ok(vectors.delivered[1] >= 1 && vectors.delivered[2] >= 1);
});

Deno.test("RST-1, RST-3: block writes no guest memory after a reset, and serves the next driver", () => {
  const host = new FakeHost(64 * 512);
  const { harness, driver, given, room, content, memory } = start(block, { path: "disk.img" }, host);
  using _ = harness;
  const [queue] = driver.bringUp();
  host.file.holdsBack = true;
  queue.add([given(header(RequestType.read, 1)), room(512), room(1)]);
  driver.kick(0);
  assert.equal(host.file.pending.length, 1);
  driver.reset();
  assert.equal(host.file.pending.length, 0, "what was in flight has ended");
  const before = memory.bytes.slice();
  harness.round();
  host.file.drain();
  assert.deepEqual(memory.bytes, before);
  host.file.holdsBack = false;
  const [again] = driver.bringUp(PLAIN);
  const status = room(1);
  again.add([given(header(RequestType.flush, 0)), status]);
  driver.kick(0);
  harness.round();
  assert.equal(again.collect().length, 1);
  assert.equal(content(status)[0], Status.ok);
});

Deno.test("COM-10: every device lets a queue be reset on its own", () => {
  const plugins: [VirtioPlugin, Record<string, unknown>][] = [[rng, {}], [block, { path: "a" }], [consoleDevice, {}]];
  for (const [plugin, options] of plugins) {
    const { harness, driver } = start(plugin, options, new FakeHost(512));
    using _ = harness;
    driver.bringUp();
    assert.ok((driver.features & (1n << 40n)) !== 0n, `${plugin.name} offers RING_RESET`);
    driver.write("queueSelect", 0);
    driver.write("queueReset", 1);
    assert.deepEqual([driver.read("queueReset"), driver.read("queueEnable")], [0, 0]);
  }
});

Deno.test("block: a chain without room for a status needs a reset; the machine goes on", () => {
  const host = new FakeHost(64 * 512);
  const { harness, driver, given } = start(block, { path: "disk.img" }, host);
  using _ = harness;
  const [queue] = driver.bringUp();
  host.needsReset = (reason) => harness.transport.needsReset(reason);
  queue.add([given(header(RequestType.flush, 0))]);
  driver.kick(0);
  harness.round();
  assert.equal(driver.status & STATUS_NEEDS_RESET, STATUS_NEEDS_RESET);
  assert.equal(host.file.operations.length, 0);
  driver.bringUp();
  assert.equal(driver.status & STATUS_NEEDS_RESET, 0);
});

Deno.test("block: the driver switches to write-through in the configuration space", () => {
  const host = new FakeHost(64 * 512);
  const { harness, driver, given, room } = start(block, { path: "disk.img" }, host);
  using _ = harness;
  const [queue] = driver.bringUp();
  assert.ok((driver.features & BlockFeature.configureWriteback) !== 0n);
  assert.equal(driver.readDevice(32, 1), 1);
  driver.writeDevice(32, 1, 0);
  driver.writeDevice(0, 4, 0xffff_ffff);
  assert.deepEqual([driver.readDevice(32, 1), driver.readDevice(0, 4)], [0, 64]);
  queue.add([given(header(RequestType.write, 0)), given(new Uint8Array(512)), room(1)]);
  driver.kick(0);
  harness.round();
  assert.deepEqual(host.file.operations.map(({ kind }) => kind), ["write", "flush"]);
});

Deno.test("console talks in both directions and tells of a new size", () => {
  const host = new FakeHost();
  const { harness, driver, given, room, content, vectors } = start(consoleDevice, {}, host);
  using _ = harness;
  host.configurationChanged = () => harness.transport.configurationChanged();
  const [receive, transmit] = driver.bringUp();
  const input = room(64);
  receive.add([input]);
  driver.kick(0);
  host.stream.type("date\n");
  harness.round();
  const [used] = receive.collect();
  assert.equal(new TextDecoder().decode(content(input).subarray(0, used.written)), "date\n");
  transmit.add([given(new TextEncoder().encode("Thu Jan  1\n"))]);
  driver.kick(1);
  harness.round();
  assert.equal(host.stream.output, "Thu Jan  1\n");
  assert.deepEqual(transmit.collect().map(({ written }) => written), [0]);
  const generation = driver.read("configGeneration");
  const interrupts = vectors.delivered[0];
  host.stream.columns = 120;
  host.stream.onResize?.();
  assert.equal(vectors.delivered[0], interrupts + 1);
  assert.equal(driver.readDevice(0, 2), 120);
  assert.notEqual(driver.read("configGeneration"), generation);
});

Deno.test("QUE-7: console sends a long text over several rounds", () => {
  const host = new FakeHost();
  const { harness, driver, given } = start(consoleDevice, {}, host);
  using _ = harness;
  const [, transmit] = driver.bringUp();
  transmit.add([given(new Uint8Array(300_000).fill(0x2e))]);
  driver.kick(1);
  assert.equal(host.stream.output.length, 65536);
  let rounds = 0;
  while (harness.round() > 0 && rounds < 20) rounds++;
  assert.equal(rounds, 4);
  assert.equal(host.stream.output.length, 300_000);
  assert.equal(transmit.collect().length, 1);
});
