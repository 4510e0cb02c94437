import assert from "node:assert/strict";
import { OpenFlag, openPath } from "../../ffi/descriptor.ts";
import { EBADF, ECANCELED, ENOSYS, EPERM } from "../../ffi/errno.ts";
import { EventDescriptor } from "../../ffi/event_descriptor.ts";
import { readAt, writeAt } from "../../ffi/file_io.ts";
import { COMPLETION_HAS_MORE, FallocateMode, IoUring } from "../../ffi/io_uring.ts";
import { setupRemedy } from "../../ffi/io_uring_setup.ts";
import { IovecTable } from "../../ffi/iovec.ts";
import { MemoryMapping } from "../../ffi/memory_mapping.ts";
import { openDescriptors, withFile } from "./support.ts";

interface Completion {
  token: number;
  result: number;
  more: boolean;
}

/** Waits for completions (5 seconds at most) and returns all that are there. */
function complete(ring: IoUring, count: number): Completion[] {
  const completions: Completion[] = [];
  const deadline = performance.now() + 5000;
  while (completions.length < count && performance.now() < deadline) {
    ring.enter(1, 100);
    ring.reap((token, result, flags) => {
      completions.push({ token, result, more: (flags & COMPLETION_HAS_MORE) !== 0 });
    });
  }
  return completions;
}

Deno.test("a poll completes for every signal until it is removed", () => {
  const before = openDescriptors();
  {
    using ring = new IoUring(4);
    using event = new EventDescriptor();
    ring.pollMultishot(event.fd, 0xffff_fff0);
    assert.equal(ring.submit(), 1);
    assert.equal(ring.reap(() => assert.fail("nothing has happened")), 0);
    for (let i = 0; i < 3; i++) {
      event.write();
      assert.deepEqual(complete(ring, 1), [{ token: 0xffff_fff0, result: 1, more: true }]);
      assert.equal(event.read(), 1);
    }
    ring.pollRemove(0xffff_fff0);
    assert.deepEqual(complete(ring, 1), [{ token: 0xffff_fff0, result: -ECANCELED, more: false }]);
    event.write();
    assert.equal(ring.enter(1, 10), 0);
    assert.equal(ring.reap(() => assert.fail("the poll is removed")), 0);
    ring.pollRemove(99);
    assert.equal(ring.enter(1, 10), 1);
    assert.equal(ring.reap(() => assert.fail("there is no such poll")), 0);
  }
  assert.equal(openDescriptors(), before);
});

Deno.test("scattered reads and writes reach the file and the memory, at positions beyond 4 GiB too", async () => {
  await withFile((path) => {
    using ring = new IoUring(8);
    using file = openPath(path, OpenFlag.readWrite);
    using memory = MemoryMapping.memfd("test", 65536);
    const bytes = new Uint8Array(memory.buffer);
    const text = (from: number, to: number) => new TextDecoder().decode(bytes.slice(from, to));
    const iovecs = new IovecTable(4, 2, memory.address);
    new TextEncoder().encodeInto("hello", bytes.subarray(100));
    new TextEncoder().encodeInto(" world", bytes.subarray(5000));
    iovecs.set(3, 0, 100, 5);
    iovecs.set(3, 1, 5000, 6);
    const position = 5 * 2 ** 30 + 512;
    ring.writev(file.fd, iovecs.addressOf(3), 2, position, 1);
    assert.equal(ring.transfersInFlight, 1);
    assert.deepEqual(complete(ring, 1), [{ token: 1, result: 11, more: false }]);
    assert.equal(ring.transfersInFlight, 0);
    assert.equal(Deno.statSync(path).size, position + 11);

    iovecs.set(0, 0, 60000, 3);
    iovecs.set(0, 1, 40000, 100);
    ring.readv(file.fd, iovecs.addressOf(0), 2, position, 2);
    assert.deepEqual(complete(ring, 1), [{ token: 2, result: 11, more: false }]);
    assert.deepEqual([text(60000, 60004), text(40000, 40009)], ["hel\0", "lo world\0"]);

    ring.read(file.fd, Number(memory.address) + 7, 5, position, 3);
    assert.deepEqual(complete(ring, 1), [{ token: 3, result: 5, more: false }]);
    assert.equal(text(7, 12), "hello");
    ring.write(file.fd, Number(memory.address) + 7, 5, 0, 4);
    assert.deepEqual(complete(ring, 1), [{ token: 4, result: 5, more: false }]);
    const start = new Uint8Array(5);
    readAt(file.fd, start, 0);
    assert.equal(new TextDecoder().decode(start), "hello");
  });
});

Deno.test("flushing, freeing and zeroing complete, and do what they say", async () => {
  await withFile((path) => {
    using ring = new IoUring(8);
    using file = openPath(path, OpenFlag.readWrite);
    writeAt(file.fd, new Uint8Array(3 * 65536).fill(0xaa), 0);
    ring.fsync(file.fd, true, 1);
    ring.fsync(file.fd, false, 2);
    const results = complete(ring, 2).sort((a, b) => a.token - b.token);
    assert.deepEqual(results.map(({ token, result }) => [token, result]), [[1, 0], [2, 0]]);
    ring.fallocate(file.fd, FallocateMode.punchHole | FallocateMode.keepSize, 65536, 65536, 3);
    assert.deepEqual(complete(ring, 1), [{ token: 3, result: 0, more: false }]);
    const data = new Uint8Array(3 * 65536);
    readAt(file.fd, data, 0);
    assert.deepEqual([data[65535], data[65536], data[131071], data[131072]], [0xaa, 0, 0, 0xaa]);
  });
});

Deno.test("a wait ends when its time is over", () => {
  using ring = new IoUring(4);
  const start = performance.now();
  assert.equal(ring.enter(1, 30), 0);
  const elapsed = performance.now() - start;
  assert.ok(elapsed >= 29 && elapsed < 5000, `${elapsed} ms`);
  assert.equal(ring.enter(1, 0), 0);
  assert.equal(ring.enter(0), 0);
});

Deno.test("more operations than the rings hold are submitted on the way, and none is lost", () => {
  using ring = new IoUring(2);
  using memory = MemoryMapping.memfd("test", 4096);
  const iovecs = new IovecTable(1, 1, memory.address);
  iovecs.set(0, 0, 0, 16);
  // The completion ring has 16 entries: most of these overflow it.
  const count = 200;
  for (let token = 0; token < count; token++) ring.readv(-1, iovecs.addressOf(0), 1, 0, token);
  const tokens = complete(ring, count).map(({ token, result }) => {
    assert.equal(result, -EBADF);
    return token;
  });
  assert.deepEqual(tokens.sort((a, b) => a - b), Array.from({ length: count }, (_, i) => i));
  assert.deepEqual([ring.queued, ring.transfersInFlight], [0, 0]);
});

Deno.test("a handler that throws or submits loses nothing", () => {
  using ring = new IoUring(8);
  for (let token = 0; token < 3; token++) ring.fsync(-1, false, token);
  ring.enter(3, 1000);
  const seen: number[] = [];
  assert.throws(() =>
    ring.reap((token) => {
      seen.push(token);
      throw new Error("the handler's own");
    }), /the handler's own/);
  ring.reap((token) => {
    seen.push(token);
    if (token === 1) {
      ring.fsync(-1, false, 10);
      ring.submit();
    }
  });
  for (const { token } of complete(ring, seen.includes(10) ? 0 : 1)) seen.push(token);
  assert.deepEqual(seen.sort((a, b) => a - b), [0, 1, 2, 10]);
});

Deno.test("disposing cancels what would write into memory for ever", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const { success } = await new Deno.Command("mkfifo", { args: [`${folder}/pipe`] }).output();
    assert.ok(success);
    const before = openDescriptors();
    {
      using pipe = openPath(`${folder}/pipe`, OpenFlag.readWrite);
      using memory = MemoryMapping.memfd("test", 4096);
      using ring = new IoUring(4);
      ring.read(pipe.fd, Number(memory.address), 16, 0, 1);
      assert.equal(ring.submit(), 1);
      assert.equal(ring.transfersInFlight, 1);
      ring[Symbol.dispose]();
      assert.equal(ring.transfersInFlight, 0);
      ring[Symbol.dispose]();
      assert.equal(ring.fd, -1);
    }
    assert.equal(openDescriptors(), before);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("rings that cannot be made are told with cause and remedy", () => {
  assert.throws(() => new IoUring(0), /Cannot make an io_uring: got 0 entries, expected a positive integer/);
  assert.match(setupRemedy(-ENOSYS) ?? "", /seccomp/);
  assert.match(setupRemedy(-EPERM) ?? "", /sysctl kernel\.io_uring_disabled=0/);
  assert.equal(setupRemedy(-EBADF), undefined);
});
