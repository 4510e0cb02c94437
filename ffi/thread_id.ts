/**
 * Who is running. Alone in its file, since a vCPU's isolate needs nothing more of threads.
 *
 * @module
 */

import { openLibrary } from "./library.ts";

const libc = openLibrary({
  // pid_t gettid(void);
  gettid: { parameters: [], result: "i32" },
});

/** The kernel's number of this isolate's thread, by which {@linkcode wakeThread} finds it. */
export function currentThreadId(): number {
  return libc.gettid();
}
