/**
 * Reading and writing files at a position, synchronously: for kernel images and set-up, not for a guest's requests.
 *
 * @module
 */

import { check, EINTR, errno } from "./errno.ts";
import { openLibrary } from "./library.ts";

export { writeFully } from "./write.ts";

const libc = openLibrary({
  // ssize_t pread(int fd, void *buffer, size_t count, off_t position);
  pread: { parameters: ["i32", "buffer", "u32", "i64"], result: "i32" },
  preadAddress: { name: "pread", parameters: ["i32", "u64", "u32", "i64"], result: "i32" },
  // ssize_t pwrite(int fd, const void *buffer, size_t count, off_t position);
  pwrite: { parameters: ["i32", "buffer", "u32", "i64"], result: "i32" },
  // int fsync(int fd);
  fsync: { parameters: ["i32"], result: "i32" },
});

/** The kernel moves at most 2 GiB less a page at once; so much is asked for in one call. */
const MAXIMUM_TRANSFER = 1 << 30;

/** Repeats `transfer(done, count)` until all is moved or it moves nothing; returns the bytes moved. */
function repeat(length: number, operation: string, transfer: (done: number, count: number) => number): number {
  let done = 0;
  while (done < length) {
    const result = transfer(done, Math.min(length - done, MAXIMUM_TRANSFER));
    if (result === -EINTR) continue;
    const moved = check(result, `${operation} after ${done} bytes`);
    if (moved === 0) break;
    done += moved;
  }
  return done;
}

/**
 * Reads bytes at a position.
 *
 * @param fd Open for reading.
 * @param into Where they go; it is filled unless the file ends before.
 * @param position The first byte's position in the file.
 * @returns How many bytes were read: fewer than asked for only at the end of the file.
 * @throws {SystemError} The file cannot be read there.
 */
export function readAt(fd: number, into: Uint8Array<ArrayBuffer>, position: number): number {
  return repeat(into.length, `pread(${fd}, ${into.length} bytes at ${position})`, (done, count) => {
    const result = libc.pread(fd, into.subarray(done), count, BigInt(position + done));
    return result < 0 ? -errno[0] : result;
  });
}

/**
 * Writes all bytes at a position.
 *
 * @param fd Open for writing.
 * @param data The bytes.
 * @param position Where in the file they go.
 * @throws {SystemError} The file cannot be written there.
 */
export function writeAt(fd: number, data: Uint8Array<ArrayBuffer>, position: number): void {
  const operation = `pwrite(${fd}, ${data.length} bytes at ${position})`;
  const done = repeat(data.length, operation, (done, count) => {
    const result = libc.pwrite(fd, data.subarray(done), count, BigInt(position + done));
    return result < 0 ? -errno[0] : result;
  });
  if (done < data.length) throw new Error(`${operation} stopped after ${done} bytes: the file takes no more`);
}

/**
 * Reads bytes straight into memory known by its address, such as a kernel image into a guest's RAM.
 *
 * @param fd Open for reading.
 * @param address Where they go in this process. The caller answers for its being mapped.
 * @param length Bytes.
 * @param position The first byte's position in the file.
 * @returns How many bytes were read: fewer than asked for only at the end of the file.
 * @throws {SystemError} The file cannot be read there, or the memory is not mapped (EFAULT).
 */
export function readIntoAddress(fd: number, address: bigint, length: number, position: number): number {
  return repeat(length, `pread(${fd}, ${length} bytes at ${position})`, (done, count) => {
    const result = libc.preadAddress(fd, address + BigInt(done), count, BigInt(position + done));
    return result < 0 ? -errno[0] : result;
  });
}

/** Waits until all that was written is on the medium. */
export function syncFile(fd: number): void {
  for (;;) {
    const result = libc.fsync(fd) < 0 ? -errno[0] : 0;
    if (result === -EINTR) continue;
    check(result, `fsync(${fd})`);
    return;
  }
}
