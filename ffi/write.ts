/**
 * `write` at a descriptor's own position: event descriptors, terminals, pipes, files that are written in order.
 *
 * @module
 */

import { check, EAGAIN, EINTR, errno, SystemError } from "./errno.ts";
import { openLibrary } from "./library.ts";

const libc = openLibrary({
  // ssize_t write(int fd, const void *buffer, size_t count);
  write: { parameters: ["i32", "buffer", "u32"], result: "i32" },
});

/** Writes at most `count` bytes. Returns how many, or a negative error number. */
export function write(fd: number, buffer: BufferSource, count: number): number {
  const result = libc.write(fd, buffer, count);
  return result < 0 ? -errno[0] : result;
}

/**
 * Writes all bytes, in several calls if the descriptor takes them in parts.
 *
 * @throws {SystemError} The descriptor takes no more: EAGAIN for one that does not block, ENOSPC for a full disk.
 */
export function writeFully(fd: number, data: Uint8Array<ArrayBuffer>): void {
  for (let done = 0; done < data.length;) {
    const rest = done === 0 ? data : data.subarray(done);
    const result = write(fd, rest, rest.length);
    if (result === -EINTR) continue;
    done += check(result, `write(${fd}, ${rest.length} bytes)`);
  }
}

/** Bytes of an event descriptor's counter, which is read and written as a whole. */
export const EVENT_COUNTER_SIZE = 8;

/** The number 1 as a counter; off the JavaScript heap, so that its address is stable. */
const one = new Uint8Array(new ArrayBuffer(EVENT_COUNTER_SIZE));
one[0] = 1;

/**
 * Signals an event descriptor that somebody else owns. Allocates nothing.
 *
 * @param fd The event descriptor.
 * @throws {SystemError} It is none, or is closed.
 */
export function writeEvent(fd: number): void {
  const result = write(fd, one, EVENT_COUNTER_SIZE);
  // A full counter is signalled already.
  if (result < 0 && result !== -EAGAIN) throw new SystemError(-result, `write(event descriptor ${fd})`);
}
