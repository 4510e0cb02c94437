/**
 * The vCPUs of a machine as the machine isolate sees them: made, started, served, stopped.
 *
 * @module
 */
import type { Descriptor } from "../../ffi/descriptor.ts";
import { EventDescriptor } from "../../ffi/event_descriptor.ts";
import { exitReasonName } from "../../ffi/kvm/constants.ts";
import type { KvmMachine } from "../../ffi/kvm/machine.ts";
import type { KvmSystem } from "../../ffi/kvm/system.ts";
import { KvmVcpu } from "../../ffi/kvm/vcpu.ts";
import { MemoryMapping, Protection } from "../../ffi/memory_mapping.ts";
import { installWakeSignal, wakeThread } from "../../ffi/thread.ts";
import type { CpuState } from "../boot/cpu_state.ts";
import { type Ending, ending } from "./ending.ts";
import type { EventLoop, Watch } from "./event_loop.ts";
import { Command, Counter, COUNTER_NAMES, EndReason, Field, RequestState, VcpuState } from "./mailbox.ts";
import type { SharedBlocks } from "./protocol.ts";
import type { ExitCounts } from "./statistics.ts";
import { configureVcpu, cpuidOf } from "./vcpu_state.ts";

/** Times a vCPU looks for an answer before it sleeps: about 20 µs. */
const SPIN_LIMIT = 2000;

/** Whether isolates may spin: only if each has a processor. Elsewhere it would keep the one from running that it waits for. */
export function maySpin(vcpus: number): boolean {
  return vcpus < navigator.hardwareConcurrency;
}

/** A stop that was not noticed is repeated after so many milliseconds. */
const STOP_RETRY_MILLISECONDS = 10;
/** After so many repetitions the vCPU is held to be lost, and the error says so: 10 s. */
const STOP_RETRIES = 1000;

/** Answers one request of a vCPU: reads its fields from the mailbox and puts the data there. */
export type RequestHandler = (mailbox: Int32Array) => void;

interface Slot {
  readonly mailbox: Int32Array;
  readonly descriptor: Descriptor;
  readonly mapping: MemoryMapping;
  readonly vcpu: KvmVcpu;
}

/** All vCPUs of a machine. */
export class Vcpus implements Disposable {
  readonly #slots: Slot[] = [];
  readonly #wake = new EventDescriptor();
  readonly #watch: Watch;
  readonly #handle: RequestHandler;
  readonly #machine: KvmMachine;
  #running = false;

  /**
   * Makes and sets up the vCPUs, not yet running.
   *
   * @param entry Where the first one begins; the others wait for its start-up interrupt.
   * @param handle Answers what a vCPU cannot answer itself.
   */
  constructor(
    system: KvmSystem,
    machine: KvmMachine,
    blocks: SharedBlocks,
    loop: EventLoop,
    handle: RequestHandler,
  ) {
    this.#handle = handle;
    this.#machine = machine;
    this.#watch = loop.watch(this.#wake.fd, () => {});
    const length = system.vcpuMapSize();
    for (const [index, block] of blocks.mailboxes.entries()) {
      const descriptor = machine.createVcpu(index);
      const mapping = MemoryMapping.ofDescriptor(descriptor.fd, 0, length, Protection.readWrite);
      const vcpu = new KvmVcpu(descriptor.fd, mapping.address, length);
      this.#slots.push({ mailbox: new Int32Array(block), descriptor, mapping, vcpu });
    }
  }

  /** Sets the state in which the vCPUs begin. */
  configure(supportedCpuid: Uint8Array<ArrayBuffer>, entry: CpuState): void {
    const count = this.#slots.length;
    for (const [index, { vcpu }] of this.#slots.entries()) {
      configureVcpu(vcpu, cpuidOf(supportedCpuid, index, count), index === 0 ? entry : undefined);
    }
  }

  /** Lets all vCPUs enter the guest. */
  start(): void {
    installWakeSignal();
    this.#running = true;
    for (const { mailbox, descriptor, mapping } of this.#slots) {
      mailbox[Field.vcpuDescriptor] = descriptor.fd;
      mailbox[Field.runAddressLow] = Number(mapping.address & 0xffff_ffffn);
      mailbox[Field.runAddressHigh] = Number(mapping.address >> 32n);
      mailbox[Field.runLength] = mapping.length;
      mailbox[Field.wakeDescriptor] = this.#wake.fd;
      mailbox[Field.machineDescriptor] = this.#machine.fd;
      mailbox[Field.spinLimit] = maySpin(this.#slots.length) ? SPIN_LIMIT : 0;
      Atomics.store(mailbox, Field.command, Command.run);
      Atomics.notify(mailbox, Field.command);
    }
  }

  /** Answers all that is posted; returns whether there was anything. */
  serve(): boolean {
    let served = false;
    for (let i = 0; i < this.#slots.length; i++) {
      const mailbox = this.#slots[i].mailbox;
      const state = Atomics.load(mailbox, Field.requestState);
      if (state !== RequestState.posted && state !== RequestState.waiting) continue;
      this.#handle(mailbox);
      if (Atomics.exchange(mailbox, Field.requestState, RequestState.answered) === RequestState.waiting) {
        Atomics.notify(mailbox, Field.requestState);
      }
      served = true;
    }
    return served;
  }

  /** Whether a vCPU waits for an answer or has ended. */
  get pending(): boolean {
    for (let i = 0; i < this.#slots.length; i++) {
      const mailbox = this.#slots[i].mailbox;
      const state = Atomics.load(mailbox, Field.requestState);
      if (state === RequestState.posted || state === RequestState.waiting) return true;
      if (Atomics.load(mailbox, Field.endReason) !== EndReason.none) return true;
    }
    return false;
  }

  /** How the run ends, if a vCPU cannot go on. */
  findEnding(): Ending | undefined {
    for (let i = 0; i < this.#slots.length; i++) {
      const { mailbox } = this.#slots[i];
      const reason = Atomics.load(mailbox, Field.endReason);
      if (reason !== EndReason.none) return this.#explain(i, reason, mailbox);
    }
    return undefined;
  }

  /**
   * Stops all vCPUs for good. When it returns, none of them touches the guest, its descriptor or its page again.
   *
   * @throws {Error} A vCPU did not stop.
   */
  end(): void {
    for (const { mailbox } of this.#slots) {
      Atomics.store(mailbox, Field.command, Command.end);
      Atomics.notify(mailbox, Field.command);
    }
    if (!this.#running) return;
    for (const [index, slot] of this.#slots.entries()) this.#stop(index, slot);
    this.#running = false;
  }

  /** Exits by kind, per vCPU. */
  counts(): ExitCounts[] {
    return this.#slots.map(({ mailbox }) =>
      Object.fromEntries(COUNTER_NAMES.map((name) => [name, mailbox[Field.counters + Counter[name]] >>> 0]))
    );
  }

  /** Frequency of the guest's time stamp counter in kHz; 0 where the host does not know it. */
  get timeStampKhz(): number {
    return this.#slots[0]?.vcpu.getTimeStampKhz() ?? 0;
  }

  /** The registers of all vCPUs, for people. Only when none of them runs. */
  describe(): string {
    return this.#slots.map(({ vcpu }, index) => `vCPU ${index}: ${describeRegisters(vcpu)}`).join("\n");
  }

  /** Ends the vCPUs and gives everything back. */
  [Symbol.dispose](): void {
    this.end();
    for (const { mapping, descriptor } of this.#slots) {
      mapping[Symbol.dispose]();
      descriptor[Symbol.dispose]();
    }
    this.#watch[Symbol.dispose]();
    this.#wake[Symbol.dispose]();
  }

  #stop(index: number, { mailbox, vcpu }: Slot): void {
    for (let attempt = 0; attempt < STOP_RETRIES; attempt++) {
      const state = Atomics.load(mailbox, Field.vcpuState);
      if (state === VcpuState.ended) return;
      // In this order, so that a stop is not lost between the isolate's last look and its entry into the guest.
      vcpu.immediateExit = true;
      if (state !== VcpuState.starting) wakeThread(mailbox[Field.threadId]);
      this.#answerAbandoned(mailbox);
      Atomics.wait(mailbox, Field.vcpuState, state, STOP_RETRY_MILLISECONDS);
    }
    throw new Error(
      `vCPU ${index} did not stop within ${STOP_RETRIES * STOP_RETRY_MILLISECONDS} ms (state `
        + `${mailbox[Field.vcpuState]}, exit reason ${
          exitReasonName(vcpu.exitReason)
        }); this is a defect of this program`,
    );
  }

  /** A vCPU that waits for an answer gets an empty one: its guest will not see it. */
  #answerAbandoned(mailbox: Int32Array): void {
    const state = Atomics.load(mailbox, Field.requestState);
    if (state !== RequestState.posted && state !== RequestState.waiting) return;
    mailbox[Field.dataLow] = mailbox[Field.dataHigh] = 0;
    Atomics.store(mailbox, Field.requestState, RequestState.answered);
    Atomics.notify(mailbox, Field.requestState);
  }

  #explain(index: number, reason: number, mailbox: Int32Array): Ending {
    const low = mailbox[Field.endDetailLow] >>> 0;
    const high = mailbox[Field.endDetailHigh] >>> 0;
    switch (reason) {
      case EndReason.shutdown:
        return ending("triple-fault", `vCPU ${index} shut down after a triple fault`);
      case EndReason.failedEntry: {
        const code = high * 2 ** 32 + low;
        const message = `the processor refused to enter the guest on vCPU ${index}: reason 0x${code.toString(16)}`;
        return ending("failed-entry", message);
      }
      case EndReason.internalError:
        return ending("internal-error", `KVM could not go on with vCPU ${index}: ${internalError(low)}`);
      case EndReason.systemEvent:
        return ending(
          "internal-error",
          `KVM reports system event ${low} on vCPU ${index}, which nothing here asks for`,
        );
      case EndReason.runFailed:
        return ending("internal-error", `ioctl(KVM_RUN) failed on vCPU ${index} with errno ${low}`);
      default:
        return ending("internal-error", `vCPU ${index} stopped for an unknown reason: ${exitReasonName(low)}`);
    }
  }
}

/** KVM_INTERNAL_ERROR_* of linux/kvm.h, in words. */
const INTERNAL_ERRORS: Readonly<Record<number, string>> = {
  1: "it cannot emulate the guest's instruction",
  2: "exceptions at the same time",
  3: "an exit while an interrupt was being delivered",
  4: "an exit that it does not expect",
};

function internalError(suberror: number): string {
  return `${INTERNAL_ERRORS[suberror] ?? "unknown"} (suberror ${suberror})`;
}

function describeRegisters(vcpu: KvmVcpu): string {
  const hex = (value: bigint | number) => value.toString(16).padStart(16, "0");
  const registers = Object.entries(vcpu.getRegisters()).map(([name, value]) => `${name}=${hex(value)}`);
  const special = vcpu.getSpecialRegisters();
  const control = (["cr0", "cr2", "cr3", "cr4", "efer"] as const).map((name) => `${name}=${hex(special[name])}`);
  const segments = (["cs", "ss", "ds", "tr"] as const).map((name) =>
    `${name}=${special[name].selector.toString(16)}:${hex(special[name].base)}`
  );
  return [...registers, ...control, ...segments].join(" ");
}
