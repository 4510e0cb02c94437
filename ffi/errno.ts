/**
 * Errors of system calls. `errno` belongs to a thread, and an isolate stays on its thread: so its address is asked for
 * once per isolate, and it is read in the same expression as the call, before anything can allocate:
 * `const result = call(); return result < 0 ? -errno[0] : result` is wrong only if something stands in between.
 *
 * @module
 */

import { errnoName } from "./errno_names.ts";
import { openLibrary } from "./library.ts";

const libc = openLibrary({
  // int *__errno_location(void);
  __errno_location: { parameters: [], result: "pointer" },
});

function locateErrno(): Int32Array<ArrayBuffer> {
  const location = libc.__errno_location();
  if (location === null) throw new Error("Cannot find errno: __errno_location() returned a null pointer");
  return new Int32Array(Deno.UnsafePointerView.getArrayBuffer(location, Int32Array.BYTES_PER_ELEMENT));
}

/** `errno` of this isolate's thread, at index 0. */
export const errno: Int32Array<ArrayBuffer> = locateErrno();

/** Operation not permitted. */
export const EPERM = 1;
/** No such file. */
export const ENOENT = 2;
/** No such process or thread. */
export const ESRCH = 3;
/** Interrupted by a signal. */
export const EINTR = 4;
/** Input/output error. */
export const EIO = 5;
/** The argument list, or an array given to be filled, has the wrong size. */
export const E2BIG = 7;
/** Bad descriptor. */
export const EBADF = 9;
/** Try again. */
export const EAGAIN = 11;
/** Out of memory. */
export const ENOMEM = 12;
/** Permission denied. */
export const EACCES = 13;
/** Bad address. */
export const EFAULT = 14;
/** Busy. */
export const EBUSY = 16;
/** It exists already. */
export const EEXIST = 17;
/** No such device. */
export const ENODEV = 19;
/** Invalid argument. */
export const EINVAL = 22;
/** The descriptor does not know this request. */
export const ENOTTY = 25;
/** No space left. */
export const ENOSPC = 28;
/** Read-only file system. */
export const EROFS = 30;
/** No such system call. */
export const ENOSYS = 38;
/** The timer has expired. */
export const ETIME = 62;
/** Operation not supported. */
export const EOPNOTSUPP = 95;
/** Cancelled. */
export const ECANCELED = 125;

/** A system call failed. The message tells the call, the error's name and meaning, and what to do where that is known. */
export class SystemError extends Error {
  /** Symbolic name, such as `EACCES`. */
  readonly code: string;
  /** The number, positive. */
  readonly errno: number;
  /** The call that failed with its values, such as `open("/dev/kvm")`. */
  readonly operation: string;

  /**
   * @param errno The error number, positive.
   * @param operation The call with its values.
   * @param details What was expected, or what to do.
   */
  constructor(errno: number, operation: string, details?: string) {
    const { code, meaning } = errnoName(errno);
    super(`${operation} failed: ${code}${meaning && ` (${meaning})`}${details ? `: ${details}` : ""}`);
    this.name = "SystemError";
    this.code = code;
    this.errno = errno;
    this.operation = operation;
  }
}

/**
 * Passes a good result on and throws for a bad one.
 *
 * @param result What a wrapper in this folder returned: a result ≥ 0, or a negative error number.
 * @param operation The call with its values, for the message.
 * @param details What was expected, or what to do.
 * @throws {SystemError} The result is negative.
 */
export function check(result: number, operation: string, details?: string): number {
  if (result < 0) throw new SystemError(-result, operation, details);
  return result;
}
