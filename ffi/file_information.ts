/**
 * What a descriptor refers to, how large it is, and locks that keep an image from being written by two.
 *
 * @module
 */

import { cString } from "./c_string.ts";
import { check, EACCES, EAGAIN, EBUSY, errno } from "./errno.ts";
import { ioctl, requestPlain, requestRead } from "./ioctl.ts";
import { openLibrary } from "./library.ts";
import { allocate, getUint64, struct } from "./struct.ts";

const libc = openLibrary({
  // int statx(int directory, const char *path, int flags, unsigned int mask, struct statx *status);
  statx: { parameters: ["i32", "buffer", "i32", "u32", "buffer"], result: "i32" },
  // int fcntl(int fd, int command, ...);  here: a struct flock
  fcntl: { parameters: ["i32", "i32", "buffer"], result: "i32" },
});

/** File status, as far as it is used. */
export const statx = struct("struct statx", "linux/stat.h", {
  stx_mask: "u32",
  stx_blksize: "u32",
  stx_attributes: "u64",
  stx_nlink: "u32",
  stx_uid: "u32",
  stx_gid: "u32",
  stx_mode: "u16",
  __spare0: ["u16", 1],
  stx_ino: "u64",
  stx_size: "u64",
  stx_blocks: "u64",
  stx_attributes_mask: "u64",
  // Times, device numbers and what later kernels add.
  $rest: ["u64", 24],
});

/** AT_EMPTY_PATH: the descriptor itself is meant. STATX_BASIC_STATS: all that stat() tells. Source: linux/fcntl.h, stat.h. */
const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC_STATS = 0x7ff;

/** A lock on a range of a file. */
export const flock = struct("struct flock", "fcntl.h", {
  l_type: "i16",
  l_whence: "i16",
  l_start: "i64",
  l_len: "i64",
  l_pid: "i32",
});

/** Block device requests. Source: linux/fs.h (the header gives `size_t` as the type of BLKGETSIZE64). */
const BLOCK_TYPE = 0x12;
const BLKSSZGET = requestPlain(BLOCK_TYPE, 104);
const BLKPBSZGET = requestPlain(BLOCK_TYPE, 123);
const BLKGETSIZE64 = requestRead(BLOCK_TYPE, 114, 8);

/** Kinds of file, by the bits of stx_mode. Source: S_IF* of linux/stat.h. */
const KIND_MASK = 0o170000;
const KINDS: ReadonlyMap<number, FileKind> = new Map([
  [0o010000, "pipe"],
  [0o020000, "character"],
  [0o040000, "directory"],
  [0o060000, "block"],
  [0o100000, "file"],
  [0o120000, "link"],
  [0o140000, "socket"],
]);

/** Sector of a plain file, and of a device that does not tell. */
const DEFAULT_SECTOR = 512;

/** F_OFD_SETLK: a lock that belongs to the open file, not to the process. Source: asm-generic/fcntl.h. */
const F_OFD_SETLK = 37;
/** F_RDLCK, F_WRLCK */
const READ_LOCK = 0;
const WRITE_LOCK = 1;

/** Kind of file. `other` is a descriptor without a file, such as an event descriptor. */
export type FileKind = "file" | "directory" | "block" | "character" | "pipe" | "socket" | "link" | "other";

/** What a descriptor refers to. */
export interface FileInformation {
  /** Kind of file. */
  readonly kind: FileKind;
  /** Bytes of a file or block device; 0 for what has no size. */
  readonly size: number;
  /** Smallest unit of unbuffered access in bytes: a block device's logical block; 512 otherwise. */
  readonly logicalBlockSize: number;
  /** Unit that the medium writes at once, in bytes: a block device's physical block; a file's preferred block. */
  readonly physicalBlockSize: number;
}

/**
 * Kind and size of what a descriptor refers to.
 *
 * @throws {SystemError} The descriptor is bad, or a block device does not tell its size.
 */
export function fileInformation(fd: number): FileInformation {
  const view = allocate(statx);
  const result = libc.statx(fd, cString(""), AT_EMPTY_PATH, STATX_BASIC_STATS, view);
  check(result < 0 ? -errno[0] : 0, `statx(descriptor ${fd})`);
  const kind = KINDS.get(view.getUint16(statx.offsets.stx_mode, true) & KIND_MASK) ?? "other";
  if (kind === "block") {
    const answer = new DataView(new ArrayBuffer(8));
    check(ioctl(fd, BLKGETSIZE64, answer), `ioctl(${fd}, BLKGETSIZE64)`);
    const size = getUint64(answer, 0);
    check(ioctl(fd, BLKSSZGET, answer), `ioctl(${fd}, BLKSSZGET)`);
    const logicalBlockSize = answer.getUint32(0, true);
    check(ioctl(fd, BLKPBSZGET, answer), `ioctl(${fd}, BLKPBSZGET)`);
    return { kind, size, logicalBlockSize, physicalBlockSize: answer.getUint32(0, true) };
  }
  return {
    kind,
    size: kind === "file" ? getUint64(view, statx.offsets.stx_size) : 0,
    logicalBlockSize: DEFAULT_SECTOR,
    physicalBlockSize: kind === "file" ? view.getUint32(statx.offsets.stx_blksize, true) : DEFAULT_SECTOR,
  };
}

/**
 * Locks a whole file or device for as long as it stays open (its descriptor and all duplicates). Other hypervisors that
 * lock their images in the same way (open file description locks) are kept out as well.
 *
 * @param fd Open for writing for an exclusive lock, for reading for a shared one.
 * @param exclusive Whether no one else may hold even a shared lock.
 * @returns false when somebody else holds a lock that excludes this one.
 * @throws {SystemError} The file cannot be locked at all.
 */
export function lockFile(fd: number, exclusive: boolean): boolean {
  const view = allocate(flock);
  view.setInt16(flock.offsets.l_type, exclusive ? WRITE_LOCK : READ_LOCK, true);
  const result = libc.fcntl(fd, F_OFD_SETLK, view) < 0 ? -errno[0] : 0;
  if (result === -EAGAIN || result === -EACCES || result === -EBUSY) return false;
  check(result, `fcntl(${fd}, F_OFD_SETLK, ${exclusive ? "exclusive" : "shared"})`);
  return true;
}
