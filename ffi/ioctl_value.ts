/**
 * `ioctl` whose argument is a number, not a structure.
 *
 * @module
 */

import { errno } from "./errno.ts";
import { openLibrary } from "./library.ts";

const libc = openLibrary({
  // int ioctl(int fd, unsigned long request, ...);  here: an unsigned long
  ioctl: { parameters: ["i32", "u32", "u64"], result: "i32" },
});

/**
 * Makes a request of a device.
 *
 * @param fd The device's descriptor.
 * @param request The request number.
 * @param argument The value.
 * @returns The result, or a negative error number.
 */
export function ioctlValue(fd: number, request: number, argument: bigint): number {
  const result = libc.ioctl(fd, request, argument);
  return result < 0 ? -errno[0] : result;
}
