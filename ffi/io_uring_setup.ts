/**
 * Making and mapping the rings of io_uring.
 *
 * @module
 */

import { Descriptor } from "./descriptor.ts";
import { check, EINVAL, ENOMEM, ENOSYS, EPERM, errno } from "./errno.ts";
import { ioCqringOffsets, ioSqringOffsets, ioUringCqe, ioUringParams, ioUringSqe } from "./io_uring_structs.ts";
import { openLibrary } from "./library.ts";
import { MemoryMapping, Protection } from "./memory_mapping.ts";
import { allocate } from "./struct.ts";

const libc = openLibrary({
  // long syscall(long number, ...);  here: int io_uring_setup(u32 entries, struct io_uring_params *params);
  io_uring_setup: { name: "syscall", parameters: ["i32", "u32", "buffer"], result: "i32" },
});

/** Number of the system call. Source: asm-generic/unistd.h. */
const SYS_IO_URING_SETUP = 425;

// Constants of linux/io_uring.h.
const IORING_SETUP_CQSIZE = 1 << 3;
const IORING_SETUP_CLAMP = 1 << 4;
const IORING_FEAT_SINGLE_MMAP = 1 << 0;
const IORING_FEAT_NODROP = 1 << 1;
const IORING_FEAT_EXT_ARG = 1 << 8;
/** Came with Linux 5.13, as multishot polls did. */
const IORING_FEAT_RSRC_TAGS = 1 << 10;
const REQUIRED_FEATURES = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_RSRC_TAGS;
const IORING_OFF_RINGS = 0;
const IORING_OFF_SQES = 0x1000_0000;

/** Completions to one submission: polls complete often. */
const COMPLETIONS_PER_ENTRY = 8;

/** Indices of 32-bit words in the mapped rings. */
interface RingWords {
  readonly head: number;
  readonly tail: number;
  readonly flags: number;
  /** First word of the ring's array. */
  readonly first: number;
  /** Entries; a power of two. */
  readonly capacity: number;
}

/** Mapped rings. */
export interface Rings {
  /** The descriptor of io_uring. */
  readonly descriptor: Descriptor;
  /** Both rings. */
  readonly rings: MemoryMapping;
  /** The submissions. */
  readonly entries: MemoryMapping;
  /** The submission ring. */
  readonly submission: RingWords;
  /** The completion ring. */
  readonly completion: RingWords;
}

/**
 * Makes and maps rings.
 *
 * @param entries Submissions that can be queued; rounded up to a power of two.
 * @throws {SystemError} The host does not allow io_uring; the message tells why and what to do.
 * @throws {Error} The kernel is older than 5.13.
 */
export function setUpRings(entries: number): Rings {
  if (!Number.isSafeInteger(entries) || entries < 1) {
    throw new RangeError(`Cannot make an io_uring: got ${entries} entries, expected a positive integer`);
  }
  const parameters = allocate(ioUringParams);
  parameters.setUint32(ioUringParams.offsets.flags, IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP, true);
  parameters.setUint32(ioUringParams.offsets.cq_entries, entries * COMPLETIONS_PER_ENTRY, true);
  const fd = libc.io_uring_setup(SYS_IO_URING_SETUP, entries, parameters);
  const result = fd < 0 ? -errno[0] : fd;
  check(result, `io_uring_setup(${entries})`, setupRemedy(result));

  using cleanup = new DisposableStack();
  const descriptor = cleanup.use(new Descriptor(result));
  const parameter = (offset: number) => parameters.getUint32(offset, true);
  const features = parameter(ioUringParams.offsets.features);
  if ((features & REQUIRED_FEATURES) !== REQUIRED_FEATURES) {
    throw new Error(
      `Cannot use io_uring: this kernel's has features 0x${features.toString(16)}, expected at least `
        + `0x${REQUIRED_FEATURES.toString(16)}; Linux 5.13 or later is needed`,
    );
  }
  const sq = (field: keyof typeof ioSqringOffsets.offsets) =>
    parameter(ioUringParams.offsets.sq_off + ioSqringOffsets.offsets[field]);
  const cq = (field: keyof typeof ioCqringOffsets.offsets) =>
    parameter(ioUringParams.offsets.cq_off + ioCqringOffsets.offsets[field]);
  const submission = ringWords(sq, sq("array"), parameter(ioUringParams.offsets.sq_entries));
  const completion = ringWords(cq, cq("cqes"), parameter(ioUringParams.offsets.cq_entries));
  const length = Math.max(sq("array") + submission.capacity * 4, cq("cqes") + completion.capacity * ioUringCqe.size);
  const rings = cleanup.use(mapRing(descriptor, IORING_OFF_RINGS, length));
  // The submission ring holds indices of submissions: always the same ones.
  const words = new Uint32Array(rings.buffer);
  for (let i = 0; i < submission.capacity; i++) words[submission.first + i] = i;
  const submissions = mapRing(descriptor, IORING_OFF_SQES, submission.capacity * ioUringSqe.size);
  cleanup.move();
  return { descriptor, rings, entries: submissions, submission, completion };
}

function ringWords(offset: (field: "head" | "tail" | "flags") => number, first: number, capacity: number): RingWords {
  return { head: offset("head") / 4, tail: offset("tail") / 4, flags: offset("flags") / 4, first: first / 4, capacity };
}

function mapRing(descriptor: Descriptor, offset: number, length: number): MemoryMapping {
  return MemoryMapping.ofDescriptor(descriptor.fd, offset, length, Protection.readWrite, { populate: true });
}

/** What to do where rings cannot be made, by the (negative) error number; undefined where nothing better is known. */
export function setupRemedy(result: number): string | undefined {
  switch (result) {
    case -ENOSYS:
      return "this kernel has no io_uring, or a container's seccomp profile hides it (run with seccomp=unconfined)";
    case -EPERM:
      return "io_uring is switched off: sysctl kernel.io_uring_disabled=0, or allow it in the container's seccomp profile";
    case -ENOMEM:
      return "raise the limit of locked memory: ulimit -l";
    case -EINVAL:
      return "Linux 5.13 or later is needed";
    default:
      return undefined;
  }
}
