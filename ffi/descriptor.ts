/**
 * Owned file descriptors. Each is owned by exactly one object, which closes it once.
 *
 * @module
 */

import { cString } from "./c_string.ts";
import { check, EACCES, EINTR, ENOENT, EROFS, errno } from "./errno.ts";
import { openLibrary } from "./library.ts";

export { type FileInformation, fileInformation, type FileKind, lockFile } from "./file_information.ts";

const libc = openLibrary({
  // int open(const char *path, int flags, mode_t mode);
  open: { parameters: ["buffer", "i32", "u32"], result: "i32" },
  // int close(int fd);
  close: { parameters: ["i32"], result: "i32" },
});

/** How a file is opened. Source: O_* of asm-generic/fcntl.h. */
export const OpenFlag = {
  /** O_RDONLY */
  readOnly: 0,
  /** O_WRONLY */
  writeOnly: 0o1,
  /** O_RDWR */
  readWrite: 0o2,
  /** O_CREAT */
  create: 0o100,
  /** O_EXCL */
  exclusive: 0o200,
  /** O_NOCTTY */
  noControllingTerminal: 0o400,
  /** O_TRUNC */
  truncate: 0o1000,
  /** O_APPEND */
  append: 0o2000,
  /** O_NONBLOCK */
  nonBlocking: 0o4000,
  /** O_DSYNC */
  dataSync: 0o10000,
  /** O_DIRECT */
  direct: 0o40000,
  /** O_DIRECTORY */
  directory: 0o200000,
  /** O_NOFOLLOW */
  noFollow: 0o400000,
  /** O_CLOEXEC; {@linkcode openPath} adds it always */
  closeOnExec: 0o2000000,
} as const;

/** Permissions of a file that is made without any being named: read and write for its owner. */
const DEFAULT_MODE = 0o600;

/** A file descriptor and the duty to close it. */
export class Descriptor implements Disposable {
  #fd: number;

  /** @param fd An open descriptor that nobody else closes. */
  constructor(fd: number) {
    if (!Number.isInteger(fd) || fd < 0) throw new RangeError(`Cannot own descriptor ${fd}: it must be 0 or more`);
    this.#fd = fd;
  }

  /** The number; -1 once it is closed, which every system call refuses. */
  get fd(): number {
    return this.#fd;
  }

  /** Closes it. Further calls do nothing. */
  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    const result = libc.close(fd) < 0 ? -errno[0] : 0;
    // Linux has freed the descriptor even when a signal interrupted the call: a second close might hit someone else's.
    if (result !== -EINTR) check(result, `close(${fd})`);
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Opens a file or device.
 *
 * @param path Its path.
 * @param flags Of {@linkcode OpenFlag}; close-on-exec is added.
 * @param mode Permissions of a file that is made by it.
 * @throws {SystemError} It cannot be opened so.
 */
export function openPath(path: string, flags: number, mode: number = DEFAULT_MODE): Descriptor {
  const text = cString(path);
  for (;;) {
    const fd = libc.open(text, flags | OpenFlag.closeOnExec, mode);
    const result = fd < 0 ? -errno[0] : fd;
    if (result === -EINTR) continue;
    return new Descriptor(check(result, `open(${JSON.stringify(path)})`, openRemedy(result)));
  }
}

function openRemedy(result: number): string | undefined {
  switch (result) {
    case -ENOENT:
      return "check the path and the current directory";
    case -EACCES:
      return "give this user access to it, or run as one who has it";
    case -EROFS:
      return "open it read-only, or put it on a writable file system";
    default:
      return undefined;
  }
}
