/**
 * A virtual machine as a script sees it.
 *
 * @module
 */
import { type Launch, type LaunchOptions, normalise } from "./configuration.ts";
import { type Ending, ending } from "./ending.ts";
import { Isolates } from "./isolates.ts";
import { OutputDelivery } from "./output_delivery.ts";
import { CREDIT_BASE, type FromMachine, INPUT_CREDIT_BASE, STREAM_HIGH_WATER } from "./protocol.ts";
import type { Statistics } from "./statistics.ts";

/** What is left of a run. */
export interface RunReport {
  /** How it ended. */
  readonly ending: Ending;
  /** What it cost; absent where the machine isolate crashed or never ran a vCPU. */
  readonly statistics?: Statistics;
}

/** What a guest wrote to a character stream. */
export interface StreamOutput {
  /** The stream's name: `serial`, `tty`, or as given at the launch. */
  readonly stream: string;
  /** The bytes. */
  readonly data: Uint8Array;
}

/** A line for the people who run the machine. */
export interface LogLine {
  /** Device that says it. */
  readonly device: string;
  /** What it says. */
  readonly message: string;
}

/** A machine that does not end so long after it was told to is stuck, most likely in a plugin's endless loop. */
const STOP_PATIENCE_MILLISECONDS = 10_000;
/** How long the receivers of a stopped machine's output are waited for. */
const DELIVERY_PATIENCE_MILLISECONDS = 250;

/** What a launch may listen to from the first instruction on. An error thrown by a listener ends the machine. */
export interface Listeners {
  /**
   * Output of a character stream, in order. Slow receivers return a promise: the next piece of this stream waits until it
   * resolves, and before long the guest does.
   */
  onOutput?(output: StreamOutput): void | Promise<void>;
  /** A line of a device's log. */
  onLog?(line: LogLine): void;
  /** The guest asked for a reset and the machine is being started anew. */
  onReboot?(): void;
}

/**
 * A virtual machine.
 *
 * @example
 * ```ts no-eval
 * import { VirtualMachine } from "@denovisor/denovisor";
 *
 * await using vm = await VirtualMachine.launch(
 *   { kernel: "vmlinux", cmdline: "console=ttyS0", disks: [{ path: "root.img" }] },
 *   { onOutput: ({ data }) => void Deno.stdout.writeSync(data) },
 * );
 * const { ending } = await vm.ended;
 * console.log(ending.message);
 * ```
 */
export class VirtualMachine implements AsyncDisposable {
  readonly #launch: Launch;
  readonly #listeners: Listeners;
  readonly #delivery = new OutputDelivery((cause) => this.#listenerFailed("onOutput", cause));
  readonly #ended = Promise.withResolvers<RunReport>();
  readonly #sizes = new Map<string, { columns: number; rows: number }>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #isolates: Isolates | undefined;
  #started = Promise.withResolvers<void>();
  #streams: string[] = [];
  #inputWaiters = new Map<number, (() => void)[]>();
  #notes: readonly string[] = [];
  #timeline: Readonly<Record<string, number>> = {};
  #stopping = false;
  /** The machine has ended and its output has not been received yet. */
  #finished: RunReport | undefined;

  private constructor(launch: Launch, listeners: Listeners) {
    this.#launch = launch;
    this.#listeners = listeners;
  }

  /**
   * Builds a machine and starts it. Resolves when its vCPUs run.
   *
   * @throws {Error} An option is unknown or of the wrong kind; the message names it, what was expected, the valid options
   *   and the nearest one. Or the machine could not be built: no KVM, no such kernel, a plugin that does not load …
   */
  static async launch(options: LaunchOptions, listeners: Listeners = {}): Promise<VirtualMachine> {
    const launchedAt = performance.timeOrigin + performance.now();
    const vm = new VirtualMachine(normalise(options, launchedAt), listeners);
    const seconds = vm.#launch.timeoutSeconds;
    if (seconds !== undefined) {
      vm.#after(seconds * 1000, () => vm.#end(ending("timeout", `the run took longer than ${seconds} s`)));
    }
    vm.#start();
    await vm.#started.promise;
    return vm;
  }

  /** Resolves when the run is over, its output received, and everything it held given back. Never rejects. */
  get ended(): Promise<RunReport> {
    return this.#ended.promise;
  }

  /** What was chosen on the way to the first instruction: the boot protocol, say. */
  get notes(): readonly string[] {
    return this.#notes;
  }

  /** Milliseconds from the launch to each step of it. */
  get timeline(): Readonly<Record<string, number>> {
    return this.#timeline;
  }

  /** Ends the run at once, as by pulling the plug. Does nothing if it has ended. */
  stop(): Promise<RunReport> {
    this.#end(ending("stopped", "stopped by request"));
    return this.ended;
  }

  /**
   * Sends characters to a guest's serial port or console. Resolves when more may be sent.
   *
   * @throws {Error} The machine has no such stream.
   */
  async send(stream: string, data: Uint8Array): Promise<void> {
    const index = this.#streams.indexOf(stream);
    if (index < 0) {
      throw new Error(`Cannot send to the stream "${stream}": this machine has ${this.#streams.join(", ") || "none"}`);
    }
    const isolates = this.#isolates;
    if (isolates === undefined || data.length === 0) return;
    const words = new Int32Array(isolates.blocks.shared);
    const waiting = Atomics.add(words, INPUT_CREDIT_BASE + index, data.length) + data.length;
    isolates.send({ type: "input", stream: index, data });
    if (waiting < STREAM_HIGH_WATER) return;
    const drained = Promise.withResolvers<void>();
    this.#inputWaiters.set(index, [...this.#inputWaiters.get(index) ?? [], drained.resolve]);
    if (Atomics.load(words, INPUT_CREDIT_BASE + index) < STREAM_HIGH_WATER) this.#releaseInput(index);
    await drained.promise;
  }

  /** Tells the guest the size of the terminal behind a stream. */
  resize(stream: string, columns: number, rows: number): void {
    this.#sizes.set(stream, { columns, rows });
    const index = this.#streams.indexOf(stream);
    if (index >= 0) this.#isolates?.send({ type: "resize", stream: index, columns, rows });
  }

  /** Ends the run and waits until everything has been given back. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #start(isReboot = false): void {
    this.#streams = [];
    this.#releaseAllInput();
    const { machine } = this.#launch;
    const isolates = this.#isolates = new Isolates(machine.cpus, {
      message: (message) => this.#receive(message),
      crashed: (error) => void this.#fail(error),
    });
    try {
      isolates.send({ type: "build", request: { ...machine, isReboot }, blocks: isolates.blocks });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      void this.#fail(
        new Error(`Cannot hand the options of the devices to the machine: ${reason}; use plain data`, { cause }),
      );
    }
  }

  #end(reason: Ending): void {
    if (this.#stopping) return;
    this.#stopping = true;
    const finished = this.#finished;
    if (finished !== undefined) {
      this.#settle(finished);
      return;
    }
    this.#isolates?.send({ type: "stop", ending: reason });
    this.#after(STOP_PATIENCE_MILLISECONDS, () =>
      void this.#fail(
        new Error(
          `the machine did not end within ${STOP_PATIENCE_MILLISECONDS / 1000} s after: ${reason.message}; `
            + "a plugin is probably stuck in a loop, which the runtime cannot break: leave this process by Deno.exit()",
        ),
      ));
  }

  /** Does something later, unless the run is over by then. */
  #after(milliseconds: number, action: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, milliseconds);
    this.#timers.add(timer);
  }

  #listenerFailed(listener: keyof Listeners, cause: unknown): void {
    const { message, stack } = cause instanceof Error ? cause : new Error(String(cause));
    const reason = ending("host-error", `the listener ${listener} failed: ${message}`, stack);
    if (this.#finished === undefined) this.#end(reason);
    else this.#settle({ ...this.#finished, ending: reason });
  }

  #call(listener: keyof Listeners, call: () => void): void {
    try {
      call();
    } catch (cause) {
      this.#listenerFailed(listener, cause);
    }
  }

  #receive(message: FromMachine): void {
    switch (message.type) {
      case "started":
        this.#notes = message.notes;
        this.#timeline = message.timeline;
        this.#started.resolve();
        break;
      case "stream": {
        this.#streams[message.stream] = message.name;
        const size = this.#sizes.get(message.name);
        if (size !== undefined) this.resize(message.name, size.columns, size.rows);
        break;
      }
      case "output":
        this.#deliver(message.stream, message.data);
        break;
      case "input-drained":
        this.#releaseInput(message.stream);
        break;
      case "log":
        this.#call("onLog", () => this.#listeners.onLog?.({ device: message.device, message: message.message }));
        break;
      case "failed":
        this.#isolates?.release();
        this.#reject(Object.assign(new Error(message.message), { stack: message.stack }));
        break;
      case "ended":
        this.#finish({ ending: message.ending, statistics: message.statistics });
        break;
      case "ready":
        break;
    }
  }

  #deliver(stream: number, data: Uint8Array): void {
    const isolates = this.#isolates;
    const consumed = () => {
      if (isolates === undefined) return;
      const words = new Int32Array(isolates.blocks.shared);
      const before = Atomics.sub(words, CREDIT_BASE + stream, data.length);
      if (before >= STREAM_HIGH_WATER && before - data.length < STREAM_HIGH_WATER) {
        isolates.send({ type: "drained", stream });
      }
    };
    const name = this.#streams[stream];
    this.#delivery.add({ stream: name, deliver: () => this.#listeners.onOutput?.({ stream: name, data }), consumed });
  }

  #releaseInput(stream: number): void {
    this.#inputWaiters.get(stream)?.forEach((release) => release());
    this.#inputWaiters.delete(stream);
  }

  #releaseAllInput(): void {
    for (const stream of [...this.#inputWaiters.keys()]) this.#releaseInput(stream);
  }

  /** The machine isolate crashed, or is stuck. */
  async #fail(error: Error): Promise<void> {
    await this.#isolates?.terminate();
    this.#reject(error);
  }

  #reject(error: Error): void {
    this.#started.reject(error);
    this.#started.promise.catch(() => {});
    this.#settle({ ending: ending("host-error", error.message, error.stack) });
  }

  #finish(report: RunReport): void {
    this.#isolates?.release();
    if (report.ending.kind === "reset" && this.#launch.rebootOnReset && !this.#stopping) {
      this.#finished = report;
      this.#call("onReboot", () => this.#listeners.onReboot?.());
      // The listener may have failed, or stopped the machine.
      if (this.#stopping) return;
      this.#finished = undefined;
      this.#start(true);
      return;
    }
    this.#finished = report;
    void this.#delivery.idle().then(() => this.#settle(report));
    if (this.#stopping) this.#after(DELIVERY_PATIENCE_MILLISECONDS, () => this.#settle(report));
  }

  #settle(report: RunReport): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#isolates = undefined;
    this.#stopping = true;
    this.#delivery.close();
    this.#releaseAllInput();
    this.#ended.resolve(report);
  }
}
