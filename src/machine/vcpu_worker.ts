/**
 * The isolate of one vCPU: enters the guest, answers what needs nobody else, posts the rest to the machine isolate.
 *
 * Everything here is on the path of an exit, and everything imported delays the first instruction.
 *
 * @module
 */
import { EAGAIN, EINTR } from "../../ffi/errno.ts";
import { ExitReason, IoDirection } from "../../ffi/kvm/constants.ts";
import { InterruptLines } from "../../ffi/kvm/interrupt_line.ts";
import { kvmRun } from "../../ffi/kvm/run_structs.ts";
import { KvmVcpu } from "../../ffi/kvm/vcpu.ts";
import { currentThreadId } from "../../ffi/thread_id.ts";
import { writeEvent } from "../../ffi/write.ts";
import type { AccessWidth } from "../pci/device.ts";
import {
  Command,
  Counter,
  EndReason,
  Field,
  MACHINE_SLEEPS,
  PortClaim,
  RequestKind,
  RequestState,
  Sleep,
  type VcpuIsolateStart,
  VcpuState,
} from "./mailbox.ts";
import { SERIAL_INTERRUPT, SharedPorts } from "./shared_ports.ts";

/** What every byte of a port reads that nobody answers at. */
const ALL_ONES = 0xff;

class VcpuLoop {
  readonly #mailbox: Int32Array;
  readonly #shared: Int32Array;
  readonly #claimedPorts: Uint8Array;
  readonly #vcpu: KvmVcpu;
  readonly #wakeDescriptor: number;
  readonly #spinLimit: number;
  readonly #sharedPorts: SharedPorts;

  constructor(start: VcpuIsolateStart) {
    const mailbox = this.#mailbox = new Int32Array(start.mailbox);
    this.#shared = new Int32Array(start.shared);
    this.#claimedPorts = new Uint8Array(start.claimedPorts);
    const addressLow = mailbox[Field.runAddressLow] >>> 0;
    const runAddress = (BigInt(mailbox[Field.runAddressHigh] >>> 0) << 32n) | BigInt(addressLow);
    this.#vcpu = new KvmVcpu(mailbox[Field.vcpuDescriptor], runAddress, mailbox[Field.runLength]);
    this.#wakeDescriptor = mailbox[Field.wakeDescriptor];
    this.#spinLimit = mailbox[Field.spinLimit];
    const lines = new InterruptLines(mailbox[Field.machineDescriptor]);
    this.#sharedPorts = new SharedPorts(start.sharedPorts, {
      interruptLine: (level) => lines.set(SERIAL_INTERRUPT, level),
      call: () => this.#callMachine(),
      stopping: () => Atomics.load(mailbox, Field.command) !== Command.run,
    });
  }

  /** Runs until the machine wants the vCPU to end or it cannot go on. */
  run(): void {
    const mailbox = this.#mailbox;
    while (Atomics.load(mailbox, Field.command) === Command.run) {
      const result = this.#vcpu.run();
      if (result < 0) {
        if (result !== -EINTR && result !== -EAGAIN) return this.#end(EndReason.runFailed, -result, 0);
        mailbox[Field.counters + Counter.interrupted]++;
        continue;
      }
      if (!this.#handleExit()) return;
    }
  }

  /** Returns whether the vCPU can go on. */
  #handleExit(): boolean {
    const vcpu = this.#vcpu;
    switch (vcpu.exitReason) {
      case ExitReason.io:
        this.#handlePort();
        return true;
      case ExitReason.mmio:
        this.#handleMemory();
        return true;
      case ExitReason.halt:
        this.#mailbox[Field.counters + Counter.halt]++;
        return true;
      case ExitReason.interrupted:
      case ExitReason.interruptWindowOpen:
        this.#mailbox[Field.counters + Counter.interrupted]++;
        return true;
      case ExitReason.shutdown:
        this.#end(EndReason.shutdown, 0, 0);
        return false;
      case ExitReason.failEntry:
        this.#end(EndReason.failedEntry, this.#exitWord(0), this.#exitWord(1));
        return false;
      case ExitReason.internalError:
        this.#end(EndReason.internalError, this.#exitWord(0), 0);
        return false;
      case ExitReason.systemEvent:
        this.#end(EndReason.systemEvent, this.#exitWord(0), 0);
        return false;
      default:
        this.#end(EndReason.unknownExit, vcpu.exitReason, 0);
        return false;
    }
  }

  /** A 32-bit word of what the kernel tells of the last exit. */
  #exitWord(index: number): number {
    return this.#vcpu.words32[kvmRun.offsets.$exit / 4 + index];
  }

  #handlePort(): void {
    const vcpu = this.#vcpu;
    const mailbox = this.#mailbox;
    const port = vcpu.ioPort;
    const width = vcpu.ioSize;
    const count = vcpu.ioCount;
    const isWrite = vcpu.ioDirection === IoDirection.out;
    let at = vcpu.ioDataOffset;
    mailbox[Field.counters + (isWrite ? Counter.portWrite : Counter.portRead)]++;
    const claim = this.#claimedPorts[port];
    if (claim !== PortClaim.machine) {
      mailbox[Field.counters + Counter.answeredLocally]++;
      if (claim === PortClaim.shared) this.#handleSharedPort(port, width as AccessWidth, isWrite);
      else if (!isWrite) vcpu.bytes.fill(ALL_ONES, at, at + width * count);
      return;
    }
    mailbox[Field.addressLow] = port;
    mailbox[Field.addressHigh] = 0;
    mailbox[Field.width] = width;
    for (let i = 0; i < count; i++, at += width) {
      if (isWrite) {
        mailbox[Field.dataLow] = this.#load(at, width);
        this.#post(RequestKind.portWrite);
      } else {
        this.#post(RequestKind.portRead);
        this.#store(at, width, mailbox[Field.dataLow]);
      }
    }
  }

  #handleSharedPort(port: number, width: AccessWidth, isWrite: boolean): void {
    let at = this.#vcpu.ioDataOffset;
    for (let i = this.#vcpu.ioCount; i > 0; i--, at += width) {
      if (isWrite) this.#sharedPorts.write(port, width, this.#load(at, width));
      else this.#store(at, width, this.#sharedPorts.read(port, width));
    }
  }

  #load(at: number, width: number): number {
    const view = this.#vcpu.view;
    return width === 1 ? view.getUint8(at) : width === 2 ? view.getUint16(at, true) : view.getUint32(at, true);
  }

  #store(at: number, width: number, value: number): void {
    const view = this.#vcpu.view;
    if (width === 1) view.setUint8(at, value);
    else if (width === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
  }

  #handleMemory(): void {
    const vcpu = this.#vcpu;
    const mailbox = this.#mailbox;
    const data = vcpu.mmioDataOffset / 4;
    mailbox[Field.addressLow] = vcpu.mmioAddressLow;
    mailbox[Field.addressHigh] = vcpu.mmioAddressHigh;
    mailbox[Field.width] = vcpu.mmioLength;
    if (vcpu.mmioIsWrite) {
      mailbox[Field.counters + Counter.memoryWrite]++;
      mailbox[Field.dataLow] = vcpu.words32[data];
      mailbox[Field.dataHigh] = vcpu.words32[data + 1];
      this.#post(RequestKind.memoryWrite);
    } else {
      mailbox[Field.counters + Counter.memoryRead]++;
      this.#post(RequestKind.memoryRead);
      vcpu.words32[data] = mailbox[Field.dataLow];
      vcpu.words32[data + 1] = mailbox[Field.dataHigh];
    }
  }

  /** Hands a request to the machine isolate and waits for its answer. */
  #post(kind: number): void {
    const mailbox = this.#mailbox;
    mailbox[Field.kind] = kind;
    Atomics.store(mailbox, Field.requestState, RequestState.posted);
    this.#wakeMachine();
    for (let i = this.#spinLimit; i > 0; i--) {
      if (Atomics.load(mailbox, Field.requestState) === RequestState.answered) return;
    }
    if (
      Atomics.compareExchange(mailbox, Field.requestState, RequestState.posted, RequestState.waiting)
        === RequestState.posted
    ) {
      mailbox[Field.counters + Counter.slept]++;
      while (Atomics.load(mailbox, Field.requestState) === RequestState.waiting) {
        Atomics.wait(mailbox, Field.requestState, RequestState.waiting);
      }
    }
  }

  /** Wakes the machine isolate from whatever sleep: somebody waits for it. */
  #wakeMachine(): void {
    if (Atomics.exchange(this.#shared, MACHINE_SLEEPS, Sleep.none) !== Sleep.none) writeEvent(this.#wakeDescriptor);
  }

  /** There is something for the machine isolate that has some milliseconds' time. */
  #callMachine(): void {
    if (Atomics.load(this.#shared, MACHINE_SLEEPS) === Sleep.deep) this.#wakeMachine();
  }

  #end(reason: number, detailLow: number, detailHigh: number): void {
    this.#mailbox[Field.endDetailLow] = detailLow;
    this.#mailbox[Field.endDetailHigh] = detailHigh;
    Atomics.store(this.#mailbox, Field.endReason, reason);
  }

  /** Lets the machine isolate look at its mailboxes. */
  announceEnd(): void {
    this.#wakeMachine();
  }
}

function main(start: VcpuIsolateStart): void {
  const mailbox = new Int32Array(start.mailbox);
  mailbox[Field.threadId] = currentThreadId();
  Atomics.store(mailbox, Field.vcpuState, VcpuState.ready);
  Atomics.notify(mailbox, Field.vcpuState);
  while (Atomics.load(mailbox, Field.command) === Command.hold) Atomics.wait(mailbox, Field.command, Command.hold);
  if (Atomics.load(mailbox, Field.command) === Command.run) {
    const loop = new VcpuLoop(start);
    Atomics.store(mailbox, Field.vcpuState, VcpuState.running);
    loop.run();
    loop.announceEnd();
  }
  Atomics.store(mailbox, Field.vcpuState, VcpuState.ended);
  Atomics.notify(mailbox, Field.vcpuState);
}

const scope = self as unknown as {
  onmessage: ((event: MessageEvent<VcpuIsolateStart>) => void) | null;
  close(): void;
};
scope.onmessage = (event) => {
  scope.onmessage = null;
  main(event.data);
  scope.close();
};
