/**
 * Structures of io_uring.
 *
 * @module
 */

import { struct, union } from "./struct.ts";

const HEADER = "linux/io_uring.h";

/** Where the parts of the submission ring lie. */
export const ioSqringOffsets = struct("struct io_sqring_offsets", HEADER, {
  head: "u32",
  tail: "u32",
  ring_mask: "u32",
  ring_entries: "u32",
  flags: "u32",
  dropped: "u32",
  array: "u32",
  resv1: "u32",
  $userAddress: "u64",
});

/** Where the parts of the completion ring lie. */
export const ioCqringOffsets = struct("struct io_cqring_offsets", HEADER, {
  head: "u32",
  tail: "u32",
  ring_mask: "u32",
  ring_entries: "u32",
  overflow: "u32",
  cqes: "u32",
  flags: "u32",
  resv1: "u32",
  $userAddress: "u64",
});

/** What is asked for and given when rings are made (io_uring_setup). */
export const ioUringParams = struct("struct io_uring_params", HEADER, {
  sq_entries: "u32",
  cq_entries: "u32",
  flags: "u32",
  sq_thread_cpu: "u32",
  sq_thread_idle: "u32",
  features: "u32",
  wq_fd: "u32",
  resv: ["u32", 3],
  sq_off: ioSqringOffsets,
  cq_off: ioCqringOffsets,
});

/** One submission. */
export const ioUringSqe = struct("struct io_uring_sqe", HEADER, {
  opcode: "u8",
  flags: "u8",
  ioprio: "u16",
  fd: "i32",
  $position: union("", "", { off: "u64", addr2: "u64" }),
  $address: union("", "", { addr: "u64", splice_off_in: "u64" }),
  len: "u32",
  $operation: union("", "", { rw_flags: "i32", fsync_flags: "u32", poll32_events: "u32", cancel_flags: "u32" }),
  user_data: "u64",
  $buffer: union("", "", { buf_index: "u16", buf_group: "u16" }),
  personality: "u16",
  $file: union("", "", { splice_fd_in: "i32", file_index: "u32" }),
  $rest: ["u64", 2],
});

/** One completion. */
export const ioUringCqe = struct("struct io_uring_cqe", HEADER, { user_data: "u64", res: "i32", flags: "u32" });

/** How long to wait for completions (io_uring_enter with IORING_ENTER_EXT_ARG). */
export const ioUringGeteventsArg = struct("struct io_uring_getevents_arg", HEADER, {
  sigmask: "u64",
  sigmask_sz: "u32",
  // `pad`, or `min_wait_usec` in later headers.
  $padding: "u32",
  ts: "u64",
});

/** A duration. */
export const kernelTimespec = struct("struct __kernel_timespec", "linux/time_types.h", {
  tv_sec: "i64",
  tv_nsec: "i64",
});
