import assert from "node:assert/strict";
import { Descriptor, fileInformation, lockFile, OpenFlag, openPath } from "../../ffi/descriptor.ts";
import { EventDescriptor, writeEvent } from "../../ffi/event_descriptor.ts";
import { readAt, readIntoAddress, syncFile, writeAt, writeFully } from "../../ffi/file_io.ts";
import { MemoryMapping } from "../../ffi/memory_mapping.ts";
import { assertNoDescriptorIsLeft, openDescriptors, withFile } from "./support.ts";

Deno.test("a descriptor is closed exactly once", () => {
  const before = openDescriptors();
  const descriptor = openPath("/dev/null", OpenFlag.readOnly);
  assert.equal(openDescriptors(), before + 1);
  const fd = descriptor.fd;
  descriptor.close();
  assert.equal(descriptor.fd, -1);
  // The next one gets the same number; a second close must not take it away.
  using next = openPath("/dev/null", OpenFlag.readOnly);
  assert.equal(next.fd, fd);
  descriptor.close();
  descriptor[Symbol.dispose]();
  assert.equal(openDescriptors(), before + 1);
  assert.throws(() => new Descriptor(-1), RangeError);
});

Deno.test("opening tells path, cause and remedy", () => {
  assertNoDescriptorIsLeft(() => {
    assert.throws(() => openPath("/no/such/file", OpenFlag.readOnly), {
      code: "ENOENT",
      message:
        `open("/no/such/file") failed: ENOENT (no such file or directory): check the path and the current directory`,
    });
    assert.throws(() => openPath("/", OpenFlag.readWrite), { code: "EISDIR" });
    assert.throws(() => openPath("a\0b", OpenFlag.readOnly), /zero byte/);
  });
});

Deno.test("an event descriptor counts, and is empty after reading", () => {
  assertNoDescriptorIsLeft(() => {
    using event = new EventDescriptor();
    assert.equal(event.read(), 0);
    event.write();
    event.write();
    writeEvent(event.fd);
    assert.equal(event.read(), 3);
    assert.equal(event.read(), 0);
  });
});

Deno.test("a closed event descriptor, and a descriptor that is none, are refused by name", () => {
  const event = new EventDescriptor();
  event[Symbol.dispose]();
  event[Symbol.dispose]();
  assert.throws(() => event.write(), { code: "EBADF" });
  assert.throws(() => event.read(), { code: "EBADF" });
  using file = openPath("/dev/null", OpenFlag.readOnly);
  assert.throws(() => writeEvent(file.fd), { code: "EBADF", message: /write\(event descriptor \d+\) failed/ });
});

Deno.test("kind and size of a file, a directory, a device and a descriptor without a file", async () => {
  await withFile((path) => {
    Deno.writeFileSync(path, new Uint8Array(12345));
    using file = openPath(path, OpenFlag.readOnly);
    const information = fileInformation(file.fd);
    assert.deepEqual([information.kind, information.size, information.logicalBlockSize], ["file", 12345, 512]);
    assert.ok(information.physicalBlockSize >= 512);
  });
  using folder = openPath("/", OpenFlag.readOnly);
  assert.equal(fileInformation(folder.fd).kind, "directory");
  using device = openPath("/dev/null", OpenFlag.readOnly);
  assert.deepEqual([fileInformation(device.fd).kind, fileInformation(device.fd).size], ["character", 0]);
  using event = new EventDescriptor();
  assert.equal(fileInformation(event.fd).kind, "other");
  assert.throws(() => fileInformation(-1), { code: "EBADF" });
});

/** A block device that this user may read, if there is one. */
function blockDevice(): string | undefined {
  try {
    for (const { name } of Deno.readDirSync("/sys/block")) {
      try {
        openPath(`/dev/${name}`, OpenFlag.readOnly).close();
        if (Deno.readTextFileSync(`/sys/block/${name}/size`).trim() !== "0") return name;
      } catch { /* Not for this user: the next one. */ }
    }
  } catch { /* No sysfs: none. */ }
  return undefined;
}

const device = blockDevice();
Deno.test({
  name: "size and sectors of a block device"
    + (device === undefined
      ? " [skipped: no block device can be read; remedy: run the tests as root where there is a disk]"
      : ""),
  ignore: device === undefined,
  fn: () => {
    using file = openPath(`/dev/${device}`, OpenFlag.readOnly);
    const read = (name: string) => Number(Deno.readTextFileSync(`/sys/block/${device}/${name}`));
    assert.deepEqual(fileInformation(file.fd), {
      kind: "block",
      size: read("size") * 512,
      logicalBlockSize: read("queue/logical_block_size"),
      physicalBlockSize: read("queue/physical_block_size"),
    });
  },
});

Deno.test("an image that is open for writing cannot be locked by a second one", async () => {
  await withFile((path) => {
    const first = openPath(path, OpenFlag.readWrite);
    using second = openPath(path, OpenFlag.readWrite);
    using reader = openPath(path, OpenFlag.readOnly);
    assert.equal(lockFile(first.fd, true), true);
    assert.equal(lockFile(first.fd, true), true);
    assert.equal(lockFile(second.fd, true), false);
    assert.equal(lockFile(reader.fd, false), false);
    first.close();
    assert.equal(lockFile(reader.fd, false), true);
    assert.equal(lockFile(second.fd, false), true);
    assert.equal(lockFile(second.fd, true), false);
    assert.throws(() => lockFile(reader.fd, true), { code: "EBADF" });
  });
});

Deno.test("files are read and written at positions, beyond 4 GiB too", async () => {
  await withFile((path) => {
    using file = openPath(path, OpenFlag.readWrite);
    const position = 5 * 2 ** 30 + 3;
    writeAt(file.fd, new TextEncoder().encode("far away"), position);
    syncFile(file.fd);
    assert.equal(fileInformation(file.fd).size, position + 8);
    const into = new Uint8Array(20).fill(0xff);
    assert.equal(readAt(file.fd, into.subarray(2, 12), position + 4), 4);
    assert.equal(new TextDecoder().decode(into.subarray(2, 6)), "away");
    assert.deepEqual([into[1], into[6]], [0xff, 0xff]);
    using memory = MemoryMapping.memfd("test", 4096);
    assert.equal(readIntoAddress(file.fd, memory.address + 100n, 8, position), 8);
    assert.equal(new TextDecoder().decode(new Uint8Array(memory.buffer).slice(99, 109)), "\0far away\0");
    assert.throws(() => readIntoAddress(file.fd, 4096n, 8, position), { code: "EFAULT" });
    assert.throws(() => readAt(-1, into, 0), { code: "EBADF", message: /pread\(-1, 20 bytes at 0\) after 0 bytes/ });
    writeFully(file.fd, new TextEncoder().encode("start"));
    assert.equal(readAt(file.fd, into.subarray(0, 5), 0), 5);
    assert.equal(new TextDecoder().decode(into.subarray(0, 5)), "start");
  });
});

Deno.test("nothing is left after a hundred of each", () => {
  assertNoDescriptorIsLeft(() => {
    for (let i = 0; i < 100; i++) {
      using _file = openPath("/dev/null", OpenFlag.readWrite);
      using _event = new EventDescriptor();
      using _memory = MemoryMapping.memfd("test", 1 << 20);
    }
  });
});
