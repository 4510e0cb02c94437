/**
 * Event descriptors: counters in the kernel that threads, KVM and io_uring signal each other with.
 *
 * @module
 */

import { Descriptor } from "./descriptor.ts";
import { check, EAGAIN, errno, SystemError } from "./errno.ts";
import { openLibrary } from "./library.ts";
import { read } from "./read.ts";
import { getUint64 } from "./struct.ts";
import { EVENT_COUNTER_SIZE, writeEvent } from "./write.ts";

export { writeEvent } from "./write.ts";

const libc = openLibrary({
  // int eventfd(unsigned int initval, int flags);
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
});

/** EFD_CLOEXEC and EFD_NONBLOCK. Source: sys/eventfd.h. */
const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;

const counter = new DataView(new ArrayBuffer(EVENT_COUNTER_SIZE));

/**
 * Takes the count of signals out of an event descriptor that somebody else owns. Allocates nothing.
 *
 * @param fd The event descriptor.
 * @returns How often it was signalled since the last time; 0 if not at all.
 * @throws {SystemError} It is none, or is closed.
 */
export function readEvent(fd: number): number {
  const result = read(fd, counter, EVENT_COUNTER_SIZE);
  if (result === EVENT_COUNTER_SIZE) return getUint64(counter, 0);
  if (result === -EAGAIN) return 0;
  throw new SystemError(-result, `read(event descriptor ${fd})`);
}

/** An event descriptor of our own. It never blocks and is not inherited by other programs. */
export class EventDescriptor implements Disposable {
  readonly #descriptor: Descriptor;
  /** Kept, since it is read on every signal; -1 once it is closed. */
  #fd: number;

  constructor() {
    const fd = libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    this.#descriptor = new Descriptor(check(fd < 0 ? -errno[0] : fd, "eventfd()", "raise the limit: ulimit -n"));
    this.#fd = this.#descriptor.fd;
  }

  /** The descriptor, to be handed to KVM, io_uring, another isolate or another process; -1 once it is closed. */
  get fd(): number {
    return this.#fd;
  }

  /** Signals it. */
  write(): void {
    writeEvent(this.#fd);
  }

  /** Takes the count of signals out: how many since the last time, 0 if none. */
  read(): number {
    return readEvent(this.#fd);
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    this.#fd = -1;
    this.#descriptor.close();
  }
}
