/**
 * Waking a thread out of a system call, such as a vCPU's.
 *
 * @module
 */

import { check, errno, ESRCH, SystemError } from "./errno.ts";
import { openLibrary } from "./library.ts";
import { allocate, struct } from "./struct.ts";

export { currentThreadId } from "./thread_id.ts";

const libc = openLibrary({
  // int sigaction(int signal, const struct sigaction *new, struct sigaction *old);
  sigaction: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  // int abs(int n);  here only its address
  abs: { type: "pointer" },
  // int tgkill(pid_t process, pid_t thread, int signal);
  tgkill: { parameters: ["i32", "i32", "i32"], result: "i32" },
});

/** What a signal does. The C library's structure, not the kernel's. */
export const sigaction = struct("struct sigaction", "signal.h", {
  sa_handler: "u64",
  sa_mask: ["u64", 16],
  sa_flags: "i32",
  sa_restorer: "u64",
});

/** SIGURG of asm/signal.h: nothing in the runtime uses it, and ignoring it is its default. */
const WAKE_SIGNAL = 23;

let installed = false;

/** The number of this process. */
export function currentProcessId(): number {
  return Deno.pid;
}

/**
 * Makes the wake-up signal interrupt system calls instead of being ignored; once for the whole process. Its handler is a
 * harmless function of the C library: a signal may arrive on a thread at any time, where no JavaScript can run.
 *
 * @throws {SystemError} The signal cannot be handled.
 */
export function installWakeSignal(): void {
  if (installed) return;
  const view = allocate(sigaction);
  view.setBigUint64(sigaction.offsets.sa_handler, BigInt(Deno.UnsafePointer.value(libc.abs)), true);
  // No flags: above all not SA_RESTART, by which the interrupted call would go on.
  const result = libc.sigaction(WAKE_SIGNAL, view, null) < 0 ? -errno[0] : 0;
  check(result, "sigaction(SIGURG)");
  installed = true;
}

/**
 * Interrupts the system call that a thread of this process is in. A thread that is not in one does not notice: to stop a
 * vCPU for certain, set its `immediateExit` first.
 *
 * @param threadId What {@linkcode currentThreadId} returned there.
 * @returns false when there is no such thread any more.
 * @throws {SystemError} The signal cannot be sent.
 */
export function wakeThread(threadId: number): boolean {
  const result = libc.tgkill(Deno.pid, threadId, WAKE_SIGNAL) < 0 ? -errno[0] : 0;
  if (result === -ESRCH) return false;
  if (result < 0) throw new SystemError(-result, `tgkill(${Deno.pid}, ${threadId}, SIGURG)`);
  return true;
}
