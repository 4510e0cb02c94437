/**
 * `ioctl` with a structure. Alone in its file, since a vCPU's isolate needs nothing more.
 *
 * @module
 */

import { errno } from "./errno.ts";
import { openLibrary } from "./library.ts";

const libc = openLibrary({
  // int ioctl(int fd, unsigned long request, ...);  here: a pointer to a structure, or null
  ioctl: { parameters: ["i32", "u32", "buffer"], result: "i32" },
});

/** Bits of the fields of a request number. Source: asm-generic/ioctl.h. */
const TYPE_SHIFT = 8;
const SIZE_SHIFT = 16;
const DIRECTION_SHIFT = 30;
const DIRECTION_NONE = 0;
const DIRECTION_WRITE = 1;
const DIRECTION_READ = 2;

function requestNumber(direction: number, type: number, number: number, size: number): number {
  return ((direction << DIRECTION_SHIFT) | (size << SIZE_SHIFT) | (type << TYPE_SHIFT) | number) >>> 0;
}

/** Request number without an argument structure (`_IO` of asm-generic/ioctl.h). */
export function requestPlain(type: number, number: number): number {
  return requestNumber(DIRECTION_NONE, type, number, 0);
}

/** Request number whose structure of `size` bytes the kernel fills (`_IOR`). */
export function requestRead(type: number, number: number, size: number): number {
  return requestNumber(DIRECTION_READ, type, number, size);
}

/** Request number whose structure of `size` bytes the kernel reads (`_IOW`). */
export function requestWrite(type: number, number: number, size: number): number {
  return requestNumber(DIRECTION_WRITE, type, number, size);
}

/** Request number whose structure of `size` bytes the kernel reads and fills (`_IOWR`). */
export function requestReadWrite(type: number, number: number, size: number): number {
  return requestNumber(DIRECTION_READ | DIRECTION_WRITE, type, number, size);
}

/**
 * Makes a request of a device.
 *
 * @param fd The device's descriptor.
 * @param request The request number.
 * @param argument The structure, or null (which is also the value 0).
 * @returns The result, or a negative error number.
 */
export function ioctl(fd: number, request: number, argument: BufferSource | null): number {
  const result = libc.ioctl(fd, request, argument);
  return result < 0 ? -errno[0] : result;
}
