/**
 * Signals that ask this process to end: the machine is stopped first, so that files are closed and the terminal is restored.
 *
 * @module
 */
import type { VirtualMachine } from "../machine/virtual_machine.ts";

/** Numbers of the signals that mean "end", of signal.h. */
const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
type EndSignal = keyof typeof SIGNALS;

/** A shell's exit code for a process that a signal ended is this and the signal's number. */
const SIGNAL_EXIT_CODE = 128;

/** Stops a machine on a signal. Disposing ends the watch. */
export class StopOnSignal implements Disposable {
  readonly #handlers: readonly (readonly [EndSignal, () => void])[];
  #received: EndSignal | undefined;

  /** Watches for signals on behalf of `vm`. */
  constructor(vm: VirtualMachine) {
    this.#handlers = (Object.keys(SIGNALS) as EndSignal[]).map((signal) => [signal, () => {
      this.#received ??= signal;
      void vm.stop();
    }]);
    for (const [signal, handler] of this.#handlers) Deno.addSignalListener(signal, handler);
  }

  /** The exit code for the signal that came; undefined if none did. */
  get exitCode(): number | undefined {
    return this.#received === undefined ? undefined : SIGNAL_EXIT_CODE + SIGNALS[this.#received];
  }

  /** Ends the watch. */
  [Symbol.dispose](): void {
    for (const [signal, handler] of this.#handlers) Deno.removeSignalListener(signal, handler);
  }
}
