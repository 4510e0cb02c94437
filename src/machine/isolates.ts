/**
 * Starts and supervises the isolates of one machine, from the control isolate: one for the machine, one per vCPU.
 *
 * The control isolate never blocks, so it is the one that hears of a Worker's crash; it passes that on as an ordinary
 * message, and ends everything by itself when the machine isolate is the one that crashed.
 *
 * @module
 */
import { writeEvent } from "../../ffi/write.ts";
import { Command, Field, MAILBOX_BYTES, type VcpuIsolateStart, VcpuState } from "./mailbox.ts";
import { type FromMachine, SHARED_BYTES, type SharedBlocks, type ToMachine } from "./protocol.ts";
import { SHARED_PORTS_BYTES } from "./shared_ports.ts";

const PORTS = 65536;

/** Receives what the machine isolate says. */
export interface MachineListener {
  /** A message of the machine isolate. */
  message(message: FromMachine): void;
  /** The machine isolate crashed: nothing more will come. */
  crashed(error: Error): void;
}

/** The isolates of one machine. */
export class Isolates {
  /** What they share. */
  readonly blocks: SharedBlocks;
  readonly #machine: Worker;
  readonly #vcpus: Worker[] = [];
  readonly #waiting: ToMachine[] = [];
  #controlEvent: number | undefined;
  #isOver = false;

  /** Starts all isolates at once: they need about the same time, and on several cores they need it together. */
  constructor(cpus: number, listener: MachineListener) {
    this.blocks = {
      mailboxes: Array.from({ length: cpus }, () => new SharedArrayBuffer(MAILBOX_BYTES)),
      shared: new SharedArrayBuffer(SHARED_BYTES),
      claimedPorts: new SharedArrayBuffer(PORTS),
      sharedPorts: new SharedArrayBuffer(SHARED_PORTS_BYTES),
    };
    this.#machine = new Worker(import.meta.resolve("./machine_worker.ts"), { type: "module", name: "machine" });
    this.#machine.onmessage = (event: MessageEvent<FromMachine>) => {
      if (event.data.type === "ready") this.#connect(event.data.controlEvent);
      else if (!this.#isOver) listener.message(event.data);
    };
    this.#machine.onerror = (event) => {
      event.preventDefault();
      if (this.#isOver) return;
      this.#controlEvent = undefined;
      listener.crashed(new Error(`the machine isolate crashed: ${describe(event)}`));
    };
    this.blocks.mailboxes.forEach((mailbox, index) => this.#startVcpu(mailbox, index));
  }

  /**
   * Sends a message to the machine isolate and wakes it. Kept until the isolate can be woken; dropped when it has ended.
   *
   * @throws {DOMException} The message holds something that cannot be sent, such as a function.
   */
  send(message: ToMachine): void {
    if (this.#isOver) return;
    if (message.type === "build") {
      this.#machine.postMessage(message);
    } else if (this.#controlEvent === undefined) {
      this.#waiting.push(message);
    } else {
      this.#machine.postMessage(message);
      writeEvent(this.#controlEvent);
    }
  }

  /**
   * The machine isolate has ended the machine: lets it go, and the vCPU isolates that never ran.
   *
   * The control event is closed only now that it is certain not to be written to: its number may soon be another file's.
   */
  release(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#controlEvent = undefined;
    this.#machine.postMessage({ type: "release" } satisfies ToMachine);
    this.#endVcpus();
  }

  /** Ends everything without the machine isolate, which crashed or does not answer. What it held stays until the process ends. */
  async terminate(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#controlEvent = undefined;
    this.#machine.terminate();
    this.#endVcpus();
    if (!this.#vcpuStates().includes(VcpuState.running)) return;
    // Terminating a Worker does not bring its thread out of the guest.
    const { stopAbandoned } = await import("./abandoned_vcpus.ts");
    await stopAbandoned(this.blocks.mailboxes);
  }

  #vcpuStates(): number[] {
    return this.blocks.mailboxes.map((mailbox) => Atomics.load(new Int32Array(mailbox), Field.vcpuState));
  }

  /** Those that run end by themselves when they leave the guest. */
  #endVcpus(): void {
    for (const mailbox of this.blocks.mailboxes) {
      const words = new Int32Array(mailbox);
      Atomics.store(words, Field.command, Command.end);
      Atomics.notify(words, Field.command);
    }
    for (const [index, state] of this.#vcpuStates().entries()) {
      if (state === VcpuState.starting) this.#vcpus[index].terminate();
    }
  }

  #connect(controlEvent: number): void {
    this.#controlEvent = controlEvent;
    for (const message of this.#waiting.splice(0)) this.send(message);
  }

  #startVcpu(mailbox: SharedArrayBuffer, index: number): void {
    const worker = new Worker(import.meta.resolve("./vcpu_worker.ts"), { type: "module", name: `vcpu ${index}` });
    worker.onerror = (event) => {
      event.preventDefault();
      // A crashed vCPU counts as ended, so that the machine isolate does not wait for it.
      const words = new Int32Array(mailbox);
      Atomics.store(words, Field.vcpuState, VcpuState.ended);
      Atomics.notify(words, Field.vcpuState);
      this.send({ type: "vcpu-failed", index, message: describe(event) });
    };
    const { shared, claimedPorts, sharedPorts } = this.blocks;
    worker.postMessage({ mailbox, shared, claimedPorts, sharedPorts } satisfies VcpuIsolateStart);
    this.#vcpus.push(worker);
  }
}

function describe(event: ErrorEvent): string {
  const place = event.filename ? ` (${event.filename}:${event.lineno})` : "";
  return `${event.message}${place}`;
}
