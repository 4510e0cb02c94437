/**
 * io_uring: asking the kernel for many operations with few system calls, and one wait for all of them. The rings are
 * typed arrays over memory that the kernel shares with us; neither asking nor completing allocates.
 *
 * @module
 */

import type { Descriptor } from "./descriptor.ts";
import { EAGAIN, EBUSY, EINTR, errno, ETIME, SystemError } from "./errno.ts";
import { setUpRings } from "./io_uring_setup.ts";
import { ioUringCqe, ioUringGeteventsArg, ioUringSqe, kernelTimespec } from "./io_uring_structs.ts";
import { openLibrary } from "./library.ts";
import type { MemoryMapping } from "./memory_mapping.ts";
import { allocate } from "./struct.ts";

const libc = openLibrary({
  // long syscall(long number, ...);  here: int io_uring_enter(int fd, u32 submit, u32 complete, u32 flags, const void *argument, size_t size);
  io_uring_enter: { name: "syscall", parameters: ["i32", "i32", "u32", "u32", "u32", "buffer", "u64"], result: "i32" },
});

/** Number of the system call. Source: asm-generic/unistd.h. */
const SYS_IO_URING_ENTER = 426;

// Constants of linux/io_uring.h.
const IORING_SQ_CQ_OVERFLOW = 1 << 1;
const IORING_ENTER_GETEVENTS = 1 << 0;
const IORING_ENTER_EXT_ARG = 1 << 3;
const IORING_OP_READV = 1;
const IORING_OP_WRITEV = 2;
const IORING_OP_FSYNC = 3;
const IORING_OP_POLL_ADD = 6;
const IORING_OP_POLL_REMOVE = 7;
const IORING_OP_ASYNC_CANCEL = 14;
const IORING_OP_FALLOCATE = 17;
const IORING_OP_READ = 22;
const IORING_OP_WRITE = 23;
const IORING_POLL_ADD_MULTI = 1 << 0;
const IORING_FSYNC_DATASYNC = 1 << 0;
const IORING_ASYNC_CANCEL_ALL = 1 << 0;
const IORING_ASYNC_CANCEL_ANY = 1 << 2;
/** POLLIN of asm-generic/poll.h. */
const POLLIN = 0x1;

/** The flag of a completion that says its operation goes on (IORING_CQE_F_MORE). A poll without it must be asked anew. */
export const COMPLETION_HAS_MORE = 1 << 1;

/** The position that means the descriptor's own. */
export const CURRENT_POSITION = -1;

// Word indices in a submission and a completion.
const SQE_WORDS = ioUringSqe.size / 4;
const SQE_FD = ioUringSqe.offsets.fd / 4;
const SQE_POSITION = ioUringSqe.offsets.$position / 4;
const SQE_ADDRESS = ioUringSqe.offsets.$address / 4;
const SQE_LENGTH = ioUringSqe.offsets.len / 4;
const SQE_OPERATION = ioUringSqe.offsets.$operation / 4;
const SQE_USER_DATA = ioUringSqe.offsets.user_data / 4;
const CQE_WORDS = ioUringCqe.size / 4;
const CQE_RESULT = ioUringCqe.offsets.res / 4;
const CQE_FLAGS = ioUringCqe.offsets.flags / 4;

/** The high half of an operation's user data tells what it is; the low half is the caller's token. */
const KIND_TRANSFER = 0;
const KIND_POLL = 1;
const KIND_INTERNAL = 2;

const TWO_TO_32 = 2 ** 32;
const ARGUMENT_SIZE = BigInt(ioUringGeteventsArg.size);
const MILLISECONDS = 1000;
const NANOSECONDS_PER_MILLISECOND = 1e6;

/** How long closing waits for operations that use memory: by themselves, then cancelled. */
const DRAIN_MILLISECONDS = 1000;
const CANCEL_MILLISECONDS = 4000;
const DRAIN_STEP_MILLISECONDS = 50;

/** What {@linkcode IoUring.fallocate} does to a range. Source: FALLOC_FL_* of linux/falloc.h. */
export const FallocateMode = {
  /** Allocates blocks. */
  allocate: 0,
  /** FALLOC_FL_KEEP_SIZE: the file's size stays. */
  keepSize: 0x01,
  /** FALLOC_FL_PUNCH_HOLE, which needs keepSize: frees blocks; they read as zeros. */
  punchHole: 0x02,
  /** FALLOC_FL_ZERO_RANGE: blocks read as zeros. */
  zeroRange: 0x10,
} as const;

/** Is told of a completion: the operation's token, its result (≥ 0, or a negative error number), and flags. */
export type CompletionHandler = (token: number, result: number, flags: number) => void;

/**
 * A pair of rings. Operations are queued by methods named after them, submitted by {@linkcode submit} or
 * {@linkcode enter}, and reported by {@linkcode reap}. A token is any unsigned 32-bit number. Memory that an operation
 * reads or writes must stay mapped until it has completed; disposing the rings waits for that.
 */
export class IoUring implements Disposable {
  readonly #descriptor: Descriptor;
  readonly #rings: MemoryMapping;
  readonly #entries: MemoryMapping;
  /** Both rings, and the same signed. */
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #signedWords: Int32Array<ArrayBuffer>;
  /** The submissions. */
  readonly #sqes: Uint32Array<ArrayBuffer>;
  readonly #sqHead: number;
  readonly #sqTail: number;
  readonly #sqFlags: number;
  readonly #sqCapacity: number;
  readonly #cqHead: number;
  readonly #cqTail: number;
  readonly #cqMask: number;
  readonly #cqes: number;
  readonly #timeout: Uint32Array<ArrayBuffer>;
  readonly #argument: DataView<ArrayBuffer>;
  /** Our own copy of the submission ring's tail. */
  #tail = 0;
  #transfers = 0;
  #disposed = false;

  /**
   * @param entries Submissions that can be queued; rounded up to a power of two. Any number can be in flight.
   * @throws {SystemError} The host does not allow io_uring; the message tells why and what to do.
   * @throws {Error} The kernel is older than 5.13.
   */
  constructor(entries: number) {
    const setup = setUpRings(entries);
    this.#descriptor = setup.descriptor;
    this.#rings = setup.rings;
    this.#entries = setup.entries;
    this.#words = new Uint32Array(setup.rings.buffer);
    this.#signedWords = new Int32Array(setup.rings.buffer);
    this.#sqes = new Uint32Array(setup.entries.buffer);
    this.#sqHead = setup.submission.head;
    this.#sqTail = setup.submission.tail;
    this.#sqFlags = setup.submission.flags;
    this.#sqCapacity = setup.submission.capacity;
    this.#cqHead = setup.completion.head;
    this.#cqTail = setup.completion.tail;
    this.#cqMask = setup.completion.capacity - 1;
    this.#cqes = setup.completion.first;
    const timeout = new ArrayBuffer(kernelTimespec.size);
    this.#timeout = new Uint32Array(timeout);
    this.#argument = allocate(ioUringGeteventsArg);
    const timeoutAddress = BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(timeout)));
    this.#argument.setBigUint64(ioUringGeteventsArg.offsets.ts, timeoutAddress, true);
  }

  /** The descriptor; -1 once it is closed. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /** Operations queued or in flight that move data. Polls do not count. */
  get transfersInFlight(): number {
    return this.#transfers;
  }

  /** Submissions queued and not yet given to the kernel. */
  get queued(): number {
    return (this.#tail - Atomics.load(this.#words, this.#sqHead)) >>> 0;
  }

  /**
   * Completes every time that a descriptor becomes readable, until it is removed, the descriptor is closed, or a
   * completion lacks {@linkcode COMPLETION_HAS_MORE}.
   */
  pollMultishot(fd: number, token: number): void {
    this.#queue(IORING_OP_POLL_ADD, fd, 0, 0, IORING_POLL_ADD_MULTI, POLLIN, token, KIND_POLL);
  }

  /** Ends a poll: it completes a last time, with -ECANCELED. Nothing happens if it has ended already. */
  pollRemove(token: number): void {
    // A poll is named by its user data, which stands where others have an address.
    const userData = token + KIND_POLL * TWO_TO_32;
    this.#queue(IORING_OP_POLL_REMOVE, -1, 0, userData, 0, 0, token, KIND_INTERNAL);
  }

  /** Reads at a position into the pieces of memory that a list of `count` {@linkcode IovecTable} entries names. */
  readv(fd: number, iovecAddress: number, count: number, position: number, token: number): void {
    this.#transfer(IORING_OP_READV, fd, position, iovecAddress, count, 0, token);
  }

  /** Writes at a position from the pieces of memory that a list of `count` {@linkcode IovecTable} entries names. */
  writev(fd: number, iovecAddress: number, count: number, position: number, token: number): void {
    this.#transfer(IORING_OP_WRITEV, fd, position, iovecAddress, count, 0, token);
  }

  /** Reads at a position into one piece of memory. */
  read(fd: number, address: number, length: number, position: number, token: number): void {
    this.#transfer(IORING_OP_READ, fd, position, address, length, 0, token);
  }

  /** Writes at a position from one piece of memory. */
  write(fd: number, address: number, length: number, position: number, token: number): void {
    this.#transfer(IORING_OP_WRITE, fd, position, address, length, 0, token);
  }

  /** Brings to the medium what has been written before; with `dataOnly`, without what reading back does not need. */
  fsync(fd: number, dataOnly: boolean, token: number): void {
    this.#transfer(IORING_OP_FSYNC, fd, 0, 0, 0, dataOnly ? IORING_FSYNC_DATASYNC : 0, token);
  }

  /**
   * Allocates, frees or zeroes a range of a file.
   *
   * @param fd Open for writing.
   * @param mode Of {@linkcode FallocateMode}.
   * @param position The first byte.
   * @param length Bytes.
   * @param token The operation's token.
   */
  fallocate(fd: number, mode: number, position: number, length: number, token: number): void {
    // The kernel takes the length where others have an address, and the mode where others have a length.
    this.#transfer(IORING_OP_FALLOCATE, fd, position, length, mode, 0, token);
  }

  /** Gives the kernel what is queued, without waiting. Returns how many submissions it took. */
  submit(): number {
    return this.enter(0);
  }

  /**
   * Gives the kernel what is queued, and waits until completions are there.
   *
   * @param minComplete Completions to wait for; 0 does not wait.
   * @param timeoutMilliseconds How long at most; without it, as long as it takes.
   * @returns How many submissions the kernel took. It also returns, with fewer completions, when the time is over, when
   * a signal came, or when completions must be reaped first.
   * @throws {SystemError} The rings are closed or damaged.
   */
  enter(minComplete: number, timeoutMilliseconds?: number): number {
    const queued = this.queued;
    const overflow = (Atomics.load(this.#words, this.#sqFlags) & IORING_SQ_CQ_OVERFLOW) !== 0;
    if (queued === 0 && !overflow && this.#available() >= minComplete) return 0;
    let flags = minComplete > 0 || overflow ? IORING_ENTER_GETEVENTS : 0;
    let argument: DataView<ArrayBuffer> | null = null;
    let size = 0n;
    if (minComplete > 0 && timeoutMilliseconds !== undefined && timeoutMilliseconds !== Infinity) {
      this.#setTimeout(timeoutMilliseconds);
      flags |= IORING_ENTER_EXT_ARG;
      argument = this.#argument;
      size = ARGUMENT_SIZE;
    }
    const fd = this.#descriptor.fd;
    const taken = libc.io_uring_enter(SYS_IO_URING_ENTER, fd, queued, minComplete, flags, argument, size);
    const result = taken < 0 ? -errno[0] : taken;
    if (result >= 0) return result;
    // What was not taken stays queued: the caller reaps, and enters again.
    if (result === -ETIME || result === -EINTR || result === -EAGAIN || result === -EBUSY) return 0;
    throw new SystemError(-result, `io_uring_enter(${queued} submissions, ${minComplete} completions)`);
  }

  /**
   * Reports all completions that are there. Makes no system call unless the completion ring had overflowed. The handler may
   * queue and submit operations, and must not reap.
   *
   * @returns How many were reported.
   */
  reap(handler: CompletionHandler): number {
    let count = this.#reapRing(handler);
    if ((Atomics.load(this.#words, this.#sqFlags) & IORING_SQ_CQ_OVERFLOW) !== 0) {
      // The kernel keeps what did not fit, and moves it into the ring when entered.
      this.enter(0);
      count += this.#reapRing(handler);
    }
    return count;
  }

  /**
   * Closes the rings. Waits for operations that use memory: a second for their end, then cancels them. Completions are not
   * reported any more.
   */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#drain(DRAIN_MILLISECONDS);
    if (this.#transfers > 0) {
      const any = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY;
      this.#queue(IORING_OP_ASYNC_CANCEL, -1, 0, 0, 0, any, 0, KIND_INTERNAL);
      this.#drain(CANCEL_MILLISECONDS);
    }
    this.#disposed = true;
    this.#descriptor.close();
    this.#entries[Symbol.dispose]();
    this.#rings[Symbol.dispose]();
  }

  #drain(milliseconds: number): void {
    const deadline = performance.now() + milliseconds;
    while (this.#transfers > 0 && performance.now() < deadline) {
      this.enter(1, DRAIN_STEP_MILLISECONDS);
      this.reap(ignore);
    }
  }

  #available(): number {
    return (Atomics.load(this.#words, this.#cqTail) - this.#words[this.#cqHead]) >>> 0;
  }

  #reapRing(handler: CompletionHandler): number {
    const words = this.#words;
    const signedWords = this.#signedWords;
    // Acquire: what the completions hold was written before the tail.
    const tail = Atomics.load(words, this.#cqTail);
    let head = words[this.#cqHead];
    let count = 0;
    while (head !== tail) {
      const cqe = this.#cqes + (head & this.#cqMask) * CQE_WORDS;
      const token = words[cqe];
      const kind = words[cqe + 1];
      const result = signedWords[cqe + CQE_RESULT];
      const flags = words[cqe + CQE_FLAGS];
      head = (head + 1) >>> 0;
      // Release, and before the handler: should it throw, the completion is not reported twice.
      Atomics.store(words, this.#cqHead, head);
      if (kind === KIND_INTERNAL) continue;
      if (kind === KIND_TRANSFER) this.#transfers--;
      count++;
      handler(token, result, flags);
    }
    return count;
  }

  #setTimeout(milliseconds: number): void {
    const wanted = Math.max(0, milliseconds);
    const seconds = Math.floor(wanted / MILLISECONDS);
    const timeout = this.#timeout;
    timeout[0] = seconds >>> 0;
    timeout[1] = seconds / TWO_TO_32;
    timeout[2] = (wanted - seconds * MILLISECONDS) * NANOSECONDS_PER_MILLISECOND;
  }

  #transfer(
    opcode: number,
    fd: number,
    position: number,
    address: number,
    length: number,
    operation: number,
    token: number,
  ): void {
    this.#queue(opcode, fd, position, address, length, operation, token, KIND_TRANSFER);
    this.#transfers++;
  }

  #queue(
    opcode: number,
    fd: number,
    position: number,
    address: number,
    length: number,
    operation: number,
    token: number,
    kind: number,
  ): void {
    const word = this.#nextSubmission();
    const sqes = this.#sqes;
    // Opcode, flags and priority. Words after the user data are never written, and so stay zero.
    sqes[word] = opcode;
    sqes[word + SQE_FD] = fd;
    sqes[word + SQE_POSITION] = position >>> 0;
    sqes[word + SQE_POSITION + 1] = Math.floor(position / TWO_TO_32);
    sqes[word + SQE_ADDRESS] = address >>> 0;
    sqes[word + SQE_ADDRESS + 1] = address / TWO_TO_32;
    sqes[word + SQE_LENGTH] = length;
    sqes[word + SQE_OPERATION] = operation;
    sqes[word + SQE_USER_DATA] = token;
    sqes[word + SQE_USER_DATA + 1] = kind;
    this.#tail = (this.#tail + 1) >>> 0;
    // Release: the submission was written before the tail.
    Atomics.store(this.#words, this.#sqTail, this.#tail);
  }

  /** Word index of a free submission; submits what is queued if there is none. */
  #nextSubmission(): number {
    if (this.queued === this.#sqCapacity) {
      this.submit();
      if (this.queued === this.#sqCapacity) {
        throw new SystemError(
          EBUSY,
          `queueing operation ${this.#sqCapacity + 1} of an io_uring`,
          "the kernel takes no more until completions are reaped",
        );
      }
    }
    return (this.#tail % this.#sqCapacity) * SQE_WORDS;
  }
}

function ignore(): void {}
