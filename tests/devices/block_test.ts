import assert from "node:assert/strict";
import block from "../../src/devices/block.ts";
import { BlockFeature, Field, RequestType, Status } from "../../src/devices/block_protocol.ts";
import { createDevice } from "../../src/plugin/create.ts";
import { activate, type FakeBuffer, type FakeChain, FakeHost } from "./fakes.ts";

const SECTORS = 256;
const SIZE = SECTORS * 512;

/** An active block device over a file in memory. */
function start(options: Record<string, unknown> = {}, features: bigint | undefined = undefined) {
  const host = new FakeHost(SIZE);
  const device = createDevice(block, { path: "disk.img", ...options }, host);
  const queues = activate(device, features ?? device.features);
  const [queue] = queues;
  /** Hands in one request and lets the device see it. */
  const request = (...buffers: FakeBuffer[]): FakeChain => {
    const chain = queue.add(...buffers);
    device.notify(queue);
    return chain;
  };
  return { host, file: host.file, device, queue, queues, request };
}

/** The 16 bytes before every request. */
function header(type: number, sector: number | bigint = 0): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint32(0, type, true);
  view.setBigUint64(8, BigInt(sector), true);
  return new Uint8Array(view.buffer);
}

/** What follows the header of a discard or write-zeroes request. */
function range(sector: number | bigint, count: number, flags = 0): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setBigUint64(0, BigInt(sector), true);
  view.setUint32(8, count, true);
  view.setUint32(12, flags, true);
  return new Uint8Array(view.buffer);
}

/** The status byte of a returned chain. */
function statusOf(chain: FakeChain): number | undefined {
  return chain.used === undefined ? undefined : chain.written.at(-1);
}

function join(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

const pattern = (length: number, seed: number) => Uint8Array.from({ length }, (_, i) => (i * 31 + seed) & 0xff);

Deno.test("block reads into buffers of any number and size", () => {
  const { file, request } = start();
  const chain = request(header(RequestType.read, 3), 512, 1, 1000, 23, 1);
  assert.equal(statusOf(chain), Status.ok);
  assert.equal(chain.used, 1537);
  assert.deepEqual(chain.written.subarray(0, 1536), file.content.slice(3 * 512, 6 * 512));
});

Deno.test("block writes from buffers of any number and size", () => {
  const { file, request } = start();
  const data = pattern(1024, 5);
  const chain = request(header(RequestType.write, 254), data.subarray(0, 7), data.subarray(7), 1);
  assert.equal(statusOf(chain), Status.ok);
  assert.equal(chain.used, 1);
  assert.deepEqual(file.content.slice(254 * 512), data);
});

Deno.test("block finds header, data and status wherever buffers are cut (VERSION_1, any layout)", () => {
  const { file, request } = start();
  const data = pattern(512, 9);
  const whole = join(header(RequestType.write, 8), data);
  assert.equal(statusOf(request(whole, 1)), Status.ok);
  assert.equal(statusOf(request(whole.subarray(0, 5), whole.subarray(5, 20), whole.subarray(20), 1)), Status.ok);
  assert.deepEqual(file.content.slice(8 * 512, 9 * 512), data);
  const read = request(header(RequestType.read, 8), 513);
  assert.equal(statusOf(read), Status.ok);
  assert.deepEqual(read.written.subarray(0, 512), data);
});

Deno.test("block refuses what lies beyond its capacity without touching the file", () => {
  const { file, request } = start();
  const data = pattern(1024, 1);
  const beyond = [SECTORS - 1, SECTORS, 2 ** 32, 2n ** 53n, 2n ** 55n, 2n ** 64n - 1n];
  for (const sector of beyond) {
    assert.equal(statusOf(request(header(RequestType.read, sector), 1024, 1)), Status.ioError, `read ${sector}`);
    assert.equal(statusOf(request(header(RequestType.write, sector), data, 1)), Status.ioError, `write ${sector}`);
    for (const type of [RequestType.discard, RequestType.writeZeroes]) {
      assert.equal(statusOf(request(header(type), range(sector, 2), 1)), Status.ioError, `${type} at ${sector}`);
    }
  }
  assert.equal(statusOf(request(header(RequestType.discard), range(0, 0xffff_ffff), 1)), Status.ioError);
  assert.equal(file.operations.length, 0);
});

Deno.test("block refuses data that are not whole sectors, and takes none at all", () => {
  const { file, request } = start();
  for (const length of [1, 511, 513]) {
    assert.equal(statusOf(request(header(RequestType.read), length, 1)), Status.ioError);
    assert.equal(statusOf(request(header(RequestType.write), new Uint8Array(length), 1)), Status.ioError);
  }
  assert.equal(statusOf(request(header(RequestType.read), 1)), Status.ok);
  assert.equal(statusOf(request(header(RequestType.write), 1)), Status.ok);
  assert.equal(file.operations.length, 0);
});

Deno.test("block refuses a short header, and a request without room for its status", () => {
  const { host, file, request } = start();
  assert.equal(statusOf(request(header(RequestType.read).subarray(0, 15), 512, 1)), Status.ioError);
  assert.equal(statusOf(request(1)), Status.ioError);
  assert.equal(host.resetReasons.length, 0);
  assert.equal(request(header(RequestType.write), new Uint8Array(512)).used, 0);
  assert.equal(request().used, 0);
  assert.deepEqual([...new Set(host.resetReasons)], ["a request has no room for its status byte"]);
  assert.equal(file.operations.length, 0);
});

Deno.test("block does not know other requests", () => {
  const { file, request } = start();
  for (const type of [2, 3, 5, 10, 14, 15, 0x8000_0000, 0xffff_ffff]) {
    assert.equal(statusOf(request(header(type), 512, 1)), Status.unsupported, `type ${type}`);
  }
  assert.equal(file.operations.length, 0);
});

Deno.test("block tells its id, as much as there is room for", () => {
  const { request } = start({ id: "a disk whose name is too long" });
  const full = request(header(RequestType.getId), 20, 1);
  assert.equal(new TextDecoder().decode(full.written.subarray(0, 20)), "a disk whose name is");
  assert.deepEqual([full.used, statusOf(full)], [21, Status.ok]);
  const short = request(header(RequestType.getId), 4, 1);
  assert.equal(new TextDecoder().decode(short.written.subarray(0, 4)), "a di");
  assert.deepEqual([short.used, statusOf(short)], [5, Status.ok]);
  const named = start().request(header(RequestType.getId), 20, 1);
  assert.equal(new TextDecoder().decode(named.written.subarray(0, 20)), "dev0" + "\0".repeat(16));
});

Deno.test("block flushes, discards and zeroes", () => {
  const { file, request } = start();
  assert.equal(statusOf(request(header(RequestType.flush), 1)), Status.ok);
  assert.equal(statusOf(request(header(RequestType.discard), range(4, 8), 1)), Status.ok);
  assert.equal(statusOf(request(header(RequestType.writeZeroes), range(16, 2, 1), 1)), Status.ok);
  assert.equal(statusOf(request(header(RequestType.writeZeroes), range(20, 2), 1)), Status.ok);
  assert.equal(statusOf(request(header(RequestType.writeZeroes), range(20, 0), 1)), Status.ok);
  const asked = file.operations.map(({ kind, position, length, mayDeallocate }) => [
    kind,
    position / 512,
    length / 512,
    mayDeallocate,
  ]);
  assert.deepEqual(asked, [
    ["flush", 0, 0, undefined],
    ["discard", 4, 8, undefined],
    ["writeZeroes", 16, 2, true],
    ["writeZeroes", 20, 2, false],
  ]);
});

Deno.test("block refuses flags, several ranges, and parts of a range (5.2.6.2)", () => {
  const { file, request } = start();
  assert.equal(statusOf(request(header(RequestType.discard), range(0, 1, 1), 1)), Status.unsupported);
  assert.equal(statusOf(request(header(RequestType.discard), range(0, 1, 0x8000_0000), 1)), Status.unsupported);
  assert.equal(statusOf(request(header(RequestType.writeZeroes), range(0, 1, 2), 1)), Status.unsupported);
  for (const type of [RequestType.discard, RequestType.writeZeroes]) {
    assert.equal(statusOf(request(header(type), range(0, 1), range(1, 1), 1)), Status.ioError, "two ranges");
    assert.equal(statusOf(request(header(type), range(0, 1).subarray(0, 15), 1)), Status.ioError, "a short range");
    assert.equal(statusOf(request(header(type), 1)), Status.ioError, "no range");
  }
  assert.equal(file.operations.length, 0);
});

Deno.test("block does not discard or zero unless that was negotiated", () => {
  const { file, request } = start({}, BlockFeature.flush);
  assert.equal(statusOf(request(header(RequestType.discard), range(0, 1), 1)), Status.unsupported);
  assert.equal(statusOf(request(header(RequestType.writeZeroes), range(0, 1), 1)), Status.unsupported);
  assert.equal(file.operations.length, 0);
});

Deno.test("block passes on failures of the file as status", () => {
  const { file, request } = start();
  file.failure = -5;
  for (
    const chain of [
      request(header(RequestType.read), 512, 1),
      request(header(RequestType.write), new Uint8Array(512), 1),
      request(header(RequestType.flush), 1),
    ]
  ) {
    assert.deepEqual([statusOf(chain), chain.used], [Status.ioError, 1]);
  }
  file.failure = -95;
  assert.equal(statusOf(request(header(RequestType.discard), range(0, 1), 1)), Status.unsupported);
});

Deno.test("a read-only block device fails writes and offers nothing that changes it", () => {
  const { host, file, device, request } = start({ readonly: "on" });
  assert.equal(host.file.options.writable, false);
  assert.ok((device.features & BlockFeature.readOnly) !== 0n);
  const { configureWriteback, discard, writeZeroes } = BlockFeature;
  assert.equal(device.features & (configureWriteback | discard | writeZeroes), 0n);
  assert.equal(statusOf(request(header(RequestType.write), new Uint8Array(512), 1)), Status.ioError);
  assert.equal(statusOf(request(header(RequestType.write), 1)), Status.ioError);
  assert.equal(statusOf(request(header(RequestType.discard), range(0, 1), 1)), Status.unsupported);
  assert.equal(file.operations.length, 0);
  assert.equal(statusOf(request(header(RequestType.read), 512, 1)), Status.ok);
});

Deno.test("block makes writes durable where the driver cannot flush, or asked for it (5.2.6.2)", () => {
  const writeOf = (features: bigint, writeback?: number) => {
    const { device, file, request } = start({}, features);
    if (writeback !== undefined) device.writeConfiguration?.(Field.writeback, 1, writeback);
    assert.equal(statusOf(request(header(RequestType.write), new Uint8Array(512), 1)), Status.ok);
    return file.operations.map(({ kind }) => kind);
  };
  assert.deepEqual(writeOf(0n), ["write", "flush"]);
  assert.deepEqual(writeOf(BlockFeature.flush), ["write"]);
  assert.deepEqual(writeOf(BlockFeature.configureWriteback), ["write"]);
  assert.deepEqual(writeOf(BlockFeature.configureWriteback | BlockFeature.flush, 0), ["write", "flush"]);
  assert.deepEqual(writeOf(BlockFeature.configureWriteback | BlockFeature.flush, 1), ["write"]);
  assert.deepEqual(writeOf(BlockFeature.flush, 0), ["write"], "not negotiated: no effect");
});

Deno.test("block fails a write whose flush fails, and answers once", () => {
  const { file, request } = start({}, 0n);
  file.holdsBack = true;
  const chain = request(header(RequestType.write), new Uint8Array(512), 1);
  file.failure = -28;
  file.drain();
  assert.deepEqual([statusOf(chain), chain.used], [Status.ioError, 1]);
});

Deno.test("block serves requests out of order and of several queues", () => {
  const { device, queues, file } = start({ queues: "4" });
  assert.equal(queues.length, 4);
  assert.ok((device.features & BlockFeature.multipleQueues) !== 0n);
  file.holdsBack = true;
  const chains = queues.map((queue, i) => {
    const chain = queue.add(header(RequestType.read, i), 512, 1);
    device.notify(queue);
    return chain;
  });
  file.pending.reverse();
  file.drain();
  chains.forEach((chain, i) => {
    assert.equal(statusOf(chain), Status.ok);
    assert.deepEqual(chain.written.subarray(0, 512), file.content.slice(i * 512, i * 512 + 512));
  });
});

Deno.test("RST-1: block has nothing in flight after a reset, and starts with write-back again", () => {
  const { device, queue, file } = start();
  file.holdsBack = true;
  device.writeConfiguration?.(Field.writeback, 1, 0);
  queue.add(header(RequestType.write), new Uint8Array(512), 1);
  queue.add(header(RequestType.read), 512, 1);
  device.notify(queue);
  assert.equal(queue.returned.length, 0);
  device.reset?.();
  assert.equal(file.pending.length, 0);
  assert.equal(queue.returned.length, 2);
  assert.equal(device.configuration?.[Field.writeback], 1);
  queue.add(header(RequestType.read), 512, 1);
  device.notify(queue);
  device.resetQueue?.(queue);
  assert.equal(file.pending.length, 0);
});

Deno.test("block describes itself in its configuration space", () => {
  const { device } = start({ queues: 2, "queue-size": 128, "block-size": "1K" });
  assert.ok(device.configuration);
  assert.equal(device.configuration.length, 60);
  const view = new DataView(device.configuration.buffer);
  assert.equal(view.getBigUint64(0, true), BigInt(SECTORS));
  assert.equal(view.getUint32(12, true), 126, "seg_max");
  assert.equal(view.getUint32(20, true), 1024, "blk_size");
  assert.equal(view.getUint8(24), 2, "physical_block_exp");
  assert.equal(view.getUint16(26, true), 4, "min_io_size");
  assert.equal(view.getUint8(32), 1, "writeback");
  assert.equal(view.getUint16(34, true), 2, "num_queues");
  assert.deepEqual([36, 40, 44].map((at) => view.getUint32(at, true)), [2 ** 21, 1, 2], "discard");
  assert.deepEqual([48, 52].map((at) => view.getUint32(at, true)), [2 ** 21, 1], "write zeroes");
  assert.equal(view.getUint8(56), 1, "write_zeroes_may_unmap");
  assert.deepEqual(device.queues.map(({ size }) => size), [128, 128]);
});

Deno.test("block lets nothing but the write-back bit be written", () => {
  const { device } = start();
  const before = device.configuration?.slice();
  for (let offset = 0; offset < 64; offset++) {
    for (const width of [1, 2, 4] as const) {
      if (offset !== Field.writeback || width !== 1) device.writeConfiguration?.(offset, width, 0xffff_ffff);
    }
  }
  assert.deepEqual(device.configuration, before);
  const readOnly = start({ readonly: true }).device;
  readOnly.writeConfiguration?.(Field.writeback, 1, 1);
  assert.equal(readOnly.configuration?.[Field.writeback], 0);
});

Deno.test("block refuses an image that ends amid a block, with the remedy", () => {
  const host = new FakeHost(5000);
  assert.throws(() => createDevice(block, { path: "odd.img" }, host), {
    message:
      /device "dev0" of plugin "block": Cannot use odd\.img as a disk: it has 5000 bytes, not one or more whole blocks of 512 bytes; extend it: truncate -s 5120 'odd\.img'$/,
  });
  assert.ok(host.file.isClosed, "the file is closed again");
  assert.throws(() => createDevice(block, { path: "odd.img", "block-size": 4096 }, new FakeHost(5120)), {
    message: /whole blocks of 4096 bytes; extend it: truncate -s 8192/,
  });
  assert.throws(() => createDevice(block, { path: "empty.img" }, new FakeHost(0)), { message: /truncate -s 512/ });
});

Deno.test("block refuses options that cannot be", () => {
  const refused: [Record<string, unknown>, RegExp, number?][] = [
    [{}, /"path" is missing: expected path of a file/],
    [{ path: "missing.img" }, /Cannot open missing\.img: there is no such file; check the path/],
    [{ path: "a", "queue-size": 100 }, /"queue-size" 100 is not a power of two/],
    [{ path: "a", "queue-size": 2 }, /"queue-size" expected integer from 4 to 1024/],
    [{ path: "a", queues: 0 }, /"queues" expected integer from 1 to 256/],
    [{ path: "a", "block-size": 1000 }, /Cannot use blocks of 1000 bytes for a: .* power of two from 512 to 4096/],
    [{ path: "a", "block-size": 8192 }, /power of two from 512 to 4096/],
    [{ path: "a", "block-size": 0 }, /power of two from 512 to 4096/],
    [{ path: "a", "block-size": 512 }, /power of two from 4096 to 4096/, 4096],
    [{ path: "a", read_only: true }, /did you mean "readonly"/],
  ];
  for (const [options, message, blockSize] of refused) {
    assert.throws(() => createDevice(block, options, new FakeHost(SIZE, blockSize)), { message });
  }
});

Deno.test("SNP-4: block restores its state, and refuses one of another image", () => {
  const { device } = start();
  device.writeConfiguration?.(Field.writeback, 1, 0);
  const state = JSON.parse(JSON.stringify(device.save?.()));
  const other = start().device;
  other.restore?.(state);
  assert.equal(other.configuration?.[Field.writeback], 0);
  for (const nonsense of [undefined, null, 3, {}, { ...state, capacity: 1 }, { ...state, writeback: 2 }]) {
    assert.throws(() => other.restore?.(nonsense), { message: /Cannot restore block device "dev0"/ });
  }
});

Deno.test("ROB-1: block answers any header and layout, seeded at random, and stays within its file", () => {
  const { device, queue, file } = start();
  let seed = 12345;
  const random = (limit: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return Math.floor((seed / 2 ** 32) * limit);
  };
  for (let i = 0; i < 500; i++) {
    const readable = Array.from({ length: random(4) }, () => {
      const bytes = pattern(random(600), random(256));
      if (bytes.length >= 16 && random(4) > 0) bytes.set(header(random(16), random(300)));
      return bytes;
    });
    const writable = Array.from({ length: random(4) }, () => [0, 1, 16, 512, 513, 1024][random(6)]);
    const chain = queue.add(...readable, ...writable);
    device.notify(queue);
    assert.notEqual(chain.used, undefined, `request ${i}`);
    if (chain.writableLength > 0) assert.ok(chain.written[chain.writableLength - 1] <= Status.unsupported);
  }
  assert.ok(file.operations.length > 0);
});
