/**
 * `read` and `write` at a descriptor's own position: for event descriptors, terminals, pipes and files written in order.
 *
 * @module
 */

import { check, EINTR, errno } from "./errno.ts";
import { openLibrary } from "./library.ts";

const libc = openLibrary({
  // ssize_t read(int fd, void *buffer, size_t count);
  read: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // ssize_t write(int fd, const void *buffer, size_t count);
  write: { parameters: ["i32", "buffer", "u32"], result: "i32" },
});

/** Reads at most `count` bytes. Returns how many (0 at the end), or a negative error number. */
export function read(fd: number, buffer: BufferSource, count: number): number {
  const result = libc.read(fd, buffer, count);
  return result < 0 ? -errno[0] : result;
}

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
