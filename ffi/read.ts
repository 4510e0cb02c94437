/**
 * `read` at a descriptor's own position: event descriptors, terminals, pipes.
 *
 * @module
 */

import { errno } from "./errno.ts";
import { openLibrary } from "./library.ts";

const libc = openLibrary({
  // ssize_t read(int fd, void *buffer, size_t count);
  read: { parameters: ["i32", "buffer", "u32"], result: "i32" },
});

/** Reads at most `count` bytes. Returns how many (0 at the end), or a negative error number. */
export function read(fd: number, buffer: BufferSource, count: number): number {
  const result = libc.read(fd, buffer, count);
  return result < 0 ? -errno[0] : result;
}
