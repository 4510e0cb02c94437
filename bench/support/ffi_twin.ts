/**
 * The C twin of `bench/ffi_bench.ts`, called once for many calls.
 *
 * @module
 */

/** Loops of calls in C. */
export interface FfiTwin {
  /** Asks KVM for its version. */
  apiVersion(fd: number, count: number): void;
  /** Signals an event descriptor. Returns how often that went well. */
  signal(fd: number, count: number): number;
  /** Signals an event descriptor and takes the count out. Returns how many calls went well. */
  signalAndTake(fd: number, count: number): number;
  /** Copies memory. */
  copy(to: Uint8Array<ArrayBuffer>, from: Uint8Array<ArrayBuffer>, count: number): void;
}

/** Opens the compiled twin. */
export function openFfiTwin(path: string): FfiTwin {
  const { symbols } = Deno.dlopen(path, {
    // void call_api_version(int fd, int count);
    call_api_version: { parameters: ["i32", "i32"], result: "void" },
    // int signal_event(int fd, int count);
    signal_event: { parameters: ["i32", "i32"], result: "i32" },
    // int signal_and_take_event(int fd, int count);
    signal_and_take_event: { parameters: ["i32", "i32"], result: "i32" },
    // void copy_memory(uint8_t *to, const uint8_t *from, uint32_t length, int count);
    copy_memory: { parameters: ["buffer", "buffer", "u32", "i32"], result: "void" },
  });
  return {
    apiVersion: (fd, count) => symbols.call_api_version(fd, count),
    signal: (fd, count) => symbols.signal_event(fd, count),
    signalAndTake: (fd, count) => symbols.signal_and_take_event(fd, count),
    copy: (to, from, count) => symbols.copy_memory(to, from, Math.min(to.length, from.length), count),
  };
}
