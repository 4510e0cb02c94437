/**
 * A virtual machine as a script sees it.
 *
 * @module
 */
import { type LaunchOptions, normalise } from "./configuration.ts";
import { type Ending, ending } from "./ending.ts";
import { Isolates } from "./isolates.ts";
import {
  CREDIT_BASE,
  type FromMachine,
  INPUT_CREDIT_BASE,
  type MachineRequest,
  STREAM_HIGH_WATER,
} from "./protocol.ts";
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

/** What a launch may listen to from the first instruction on. */
export interface Listeners {
  /** Output of a character stream. Slow receivers return a promise: the guest is held back until it resolves. */
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
  readonly #request: MachineRequest;
  readonly #rebootOnReset: boolean;
  readonly #listeners: Listeners;
  readonly #ended = Promise.withResolvers<RunReport>();
  readonly #sizes = new Map<string, { columns: number; rows: number }>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isolates: Isolates | undefined;
  #started = Promise.withResolvers<void>();
  #streams: string[] = [];
  #inputWaiters = new Map<number, () => void>();
  #notes: readonly string[] = [];
  #timeline: Readonly<Record<string, number>> = {};
  #stopping = false;

  private constructor(request: MachineRequest, options: LaunchOptions, listeners: Listeners) {
    this.#request = request;
    this.#rebootOnReset = options.rebootOnReset ?? false;
    this.#listeners = listeners;
  }

  /**
   * Builds a machine and starts it. Resolves when its vCPUs run.
   *
   * @throws {TypeError} An option is unknown or of the wrong kind; the message names it and what was expected.
   * @throws {Error} The machine could not be built: no KVM, no such kernel, a plugin that does not load …
   */
  static async launch(options: LaunchOptions, listeners: Listeners = {}): Promise<VirtualMachine> {
    const launchedAt = performance.timeOrigin + performance.now();
    const vm = new VirtualMachine(normalise(options, launchedAt), options, listeners);
    vm.#start();
    await vm.#started.promise;
    if (options.timeoutSeconds !== undefined) {
      const seconds = options.timeoutSeconds;
      const stop = () => vm.#end(ending("timeout", `the run took longer than ${seconds} s`));
      vm.#timer = setTimeout(stop, seconds * 1000);
    }
    return vm;
  }

  /** Resolves when the run is over and everything it held has been given back. Never rejects. */
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
    const drained = new Promise<void>((resolve) => this.#inputWaiters.set(index, resolve));
    if (Atomics.load(words, INPUT_CREDIT_BASE + index) < STREAM_HIGH_WATER) this.#inputWaiters.get(index)?.();
    await drained;
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

  #start(): void {
    this.#streams = [];
    this.#isolates = new Isolates(this.#request.cpus, {
      message: (message) => this.#receive(message),
      crashed: (error) => this.#fail(error),
    });
    this.#isolates.send({ type: "build", request: this.#request, blocks: this.#isolates.blocks });
  }

  #end(reason: Ending): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#isolates?.send({ type: "stop", ending: reason });
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
        this.#listeners.onLog?.({ device: message.device, message: message.message });
        break;
      case "failed":
        this.#fail(Object.assign(new Error(message.message), { stack: message.stack }));
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
    const delivered = this.#listeners.onOutput?.({ stream: this.#streams[stream], data });
    if (delivered === undefined) consumed();
    else delivered.finally(consumed);
  }

  #releaseInput(stream: number): void {
    this.#inputWaiters.get(stream)?.();
    this.#inputWaiters.delete(stream);
  }

  /** The machine could not be built, or its isolate crashed. */
  #fail(error: Error): void {
    this.#isolates?.terminate();
    this.#started.reject(error);
    this.#started.promise.catch(() => {});
    this.#settle({ ending: ending("host-error", error.message, error.stack) });
  }

  #finish(report: RunReport): void {
    this.#isolates?.disconnect();
    if (report.ending.kind === "reset" && this.#rebootOnReset && !this.#stopping) {
      this.#listeners.onReboot?.();
      this.#start();
      return;
    }
    this.#settle(report);
  }

  #settle(report: RunReport): void {
    clearTimeout(this.#timer);
    this.#isolates = undefined;
    this.#stopping = true;
    for (const release of this.#inputWaiters.values()) release();
    this.#inputWaiters.clear();
    this.#ended.resolve(report);
  }
}
