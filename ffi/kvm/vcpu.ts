/**
 * A virtual processor: running it, what it stopped for, and its state.
 *
 * @module
 */

import { addressView } from "../address_view.ts";
import { check, SystemError } from "../errno.ts";
import { ioctl } from "../ioctl.ts";
import { allocate, decode, encode, type Layout, type Value } from "../struct.ts";
import { kvmRun, kvmRunIo, kvmRunMmio } from "./run_structs.ts";
import {
  KVM_GET_DEBUGREGS,
  KVM_GET_FPU,
  KVM_GET_LAPIC,
  KVM_GET_MP_STATE,
  KVM_GET_MSRS,
  KVM_GET_REGS,
  KVM_GET_SREGS,
  KVM_GET_TSC_KHZ,
  KVM_GET_VCPU_EVENTS,
  KVM_GET_XCRS,
  KVM_GET_XSAVE,
  KVM_RUN,
  KVM_SET_CPUID2,
  KVM_SET_DEBUGREGS,
  KVM_SET_FPU,
  KVM_SET_LAPIC,
  KVM_SET_MP_STATE,
  KVM_SET_MSRS,
  KVM_SET_REGS,
  KVM_SET_SREGS,
  KVM_SET_VCPU_EVENTS,
  KVM_SET_XCRS,
  KVM_SET_XSAVE,
} from "./vcpu_requests.ts";
import {
  kvmCpuid2,
  kvmCpuidEntry2,
  kvmDebugregs,
  kvmFpu,
  kvmLapicState,
  kvmMpState,
  kvmMsrEntry,
  kvmMsrs,
  kvmRegs,
  kvmSregs,
  kvmVcpuEvents,
  kvmXcrs,
  kvmXsave,
} from "./vcpu_structs.ts";

// Constant indices of the fields that are read on every exit.
const IMMEDIATE_EXIT = kvmRun.offsets.immediate_exit;
const EXIT_REASON_WORD = kvmRun.offsets.exit_reason / 4;
const EXIT = kvmRun.offsets.$exit;
const IO_DIRECTION = EXIT + kvmRunIo.offsets.direction;
const IO_SIZE = EXIT + kvmRunIo.offsets.size;
const IO_PORT_HALF = (EXIT + kvmRunIo.offsets.port) / 2;
const IO_COUNT_WORD = (EXIT + kvmRunIo.offsets.count) / 4;
const IO_DATA_OFFSET_WORD = (EXIT + kvmRunIo.offsets.data_offset) / 4;
const MMIO_ADDRESS_WORD = (EXIT + kvmRunMmio.offsets.phys_addr) / 4;
const MMIO_DATA = EXIT + kvmRunMmio.offsets.data;
const MMIO_LENGTH_WORD = (EXIT + kvmRunMmio.offsets.len) / 4;
const MMIO_IS_WRITE = EXIT + kvmRunMmio.offsets.is_write;

const TWO_TO_32 = 2 ** 32;

/** General registers. */
export type Registers = Value<typeof kvmRegs>;
/** Segment, table and control registers. */
export type SpecialRegisters = Value<typeof kvmSregs>;
/** Floating point and SSE registers. */
export type FloatingPointRegisters = Value<typeof kvmFpu>;
/** Pending exceptions, interrupts and NMIs. */
export type VcpuEvents = Value<typeof kvmVcpuEvents>;
/** Debug registers. */
export type DebugRegisters = Value<typeof kvmDebugregs>;
/** Extended control registers. */
export type ExtendedControlRegisters = Value<typeof kvmXcrs>;
/** A model-specific register's index and value. */
export type MsrValue = readonly [index: number, value: bigint];

/**
 * A virtual processor. It owns neither its descriptor nor its shared page, both of which come from the isolate that made
 * them. Only one thread may run it; others may set {@linkcode immediateExit} by a view of their own.
 *
 * After {@linkcode run} returned 0, {@linkcode exitReason} says why, and the fields of that reason hold.
 */
export class KvmVcpu {
  /** The descriptor. */
  readonly fd: number;
  /** The shared page, and the data of port accesses that follows it, as bytes. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The same at any alignment. */
  readonly view: DataView<ArrayBuffer>;
  /** The same as 16-bit words. */
  readonly words16: Uint16Array<ArrayBuffer>;
  /** The same as 32-bit words. */
  readonly words32: Uint32Array<ArrayBuffer>;

  /**
   * @param fd The descriptor that {@linkcode KvmMachine.createVcpu} gave.
   * @param address Where its shared page is mapped in this process.
   * @param length Bytes mapped there: {@linkcode KvmSystem.vcpuMapSize}.
   */
  constructor(fd: number, address: bigint, length: number) {
    this.fd = fd;
    const buffer = addressView(address, length);
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.words16 = new Uint16Array(buffer);
    this.words32 = new Uint32Array(buffer);
  }

  /**
   * Runs the guest until it needs something. Allocates nothing.
   *
   * @returns 0, or a negative error number: -EINTR when a signal or {@linkcode immediateExit} stopped it, -EAGAIN when
   * it waited to be started and may be run again.
   */
  run(): number {
    return ioctl(this.fd, KVM_RUN, null);
  }

  /** Whether {@linkcode run} returns at once with -EINTR, after completing the access that the last exit was for. */
  set immediateExit(value: boolean) {
    this.bytes[IMMEDIATE_EXIT] = value ? 1 : 0;
  }

  /** Why the guest stopped, of {@linkcode ExitReason}. */
  get exitReason(): number {
    return this.words32[EXIT_REASON_WORD];
  }

  /** Port access: 0 in, 1 out. */
  get ioDirection(): number {
    return this.bytes[IO_DIRECTION];
  }

  /** Port access: bytes of one item: 1, 2 or 4. */
  get ioSize(): number {
    return this.bytes[IO_SIZE];
  }

  /** Port access: the port. */
  get ioPort(): number {
    return this.words16[IO_PORT_HALF];
  }

  /** Port access: number of items, more than 1 for string instructions. */
  get ioCount(): number {
    return this.words32[IO_COUNT_WORD];
  }

  /** Port access: index into {@linkcode bytes} of the first item; the others follow. */
  get ioDataOffset(): number {
    return this.words32[IO_DATA_OFFSET_WORD];
  }

  /** Memory access: low half of the guest-physical address. */
  get mmioAddressLow(): number {
    return this.words32[MMIO_ADDRESS_WORD];
  }

  /** Memory access: high half of the guest-physical address. */
  get mmioAddressHigh(): number {
    return this.words32[MMIO_ADDRESS_WORD + 1];
  }

  /** Memory access: the guest-physical address; exact, since these have at most 52 bits. */
  get mmioAddress(): number {
    return this.words32[MMIO_ADDRESS_WORD] + this.words32[MMIO_ADDRESS_WORD + 1] * TWO_TO_32;
  }

  /** Memory access: bytes: 1 to 8. */
  get mmioLength(): number {
    return this.words32[MMIO_LENGTH_WORD];
  }

  /** Memory access: whether the guest writes. */
  get mmioIsWrite(): boolean {
    return this.bytes[MMIO_IS_WRITE] !== 0;
  }

  /** Memory access: index into {@linkcode bytes} of the data, 8 bytes, aligned to 8. */
  get mmioDataOffset(): number {
    return MMIO_DATA;
  }

  /** Sets the CPUID leaves: a `struct kvm_cpuid2` with its entries. */
  setCpuid(cpuid: Uint8Array<ArrayBuffer>): void {
    const count = (cpuid.length - kvmCpuid2.size) / kvmCpuidEntry2.size;
    check(ioctl(this.fd, KVM_SET_CPUID2, cpuid), `ioctl(KVM_SET_CPUID2, ${count} leaves)`);
  }

  /** The general registers. */
  getRegisters(): Registers {
    return decode(kvmRegs, this.#get(KVM_GET_REGS, kvmRegs));
  }

  /** Sets all general registers. */
  setRegisters(registers: Registers): void {
    const view = allocate(kvmRegs);
    encode(kvmRegs, view, registers);
    this.#set(KVM_SET_REGS, kvmRegs, view);
  }

  /** The segment, table and control registers. */
  getSpecialRegisters(): SpecialRegisters {
    return decode(kvmSregs, this.#get(KVM_GET_SREGS, kvmSregs));
  }

  /** Sets all segment, table and control registers. */
  setSpecialRegisters(registers: SpecialRegisters): void {
    const view = allocate(kvmSregs);
    encode(kvmSregs, view, registers);
    this.#set(KVM_SET_SREGS, kvmSregs, view);
  }

  /**
   * Sets model-specific registers.
   *
   * @throws {Error} One cannot be set; those before it are.
   */
  setMsrs(values: readonly MsrValue[]): void {
    const view = msrTable(values);
    const done = check(ioctl(this.fd, KVM_SET_MSRS, view), `ioctl(KVM_SET_MSRS, ${values.length} registers)`);
    if (done < values.length) {
      const [index, value] = values[done];
      throw new Error(`Cannot set MSR 0x${index.toString(16)} to 0x${value.toString(16)}: KVM refuses it on this host`);
    }
  }

  /**
   * Reads model-specific registers.
   *
   * @throws {Error} One cannot be read.
   */
  getMsrs(indices: readonly number[]): MsrValue[] {
    const view = msrTable(indices.map((index) => [index, 0n]));
    const done = check(ioctl(this.fd, KVM_GET_MSRS, view), `ioctl(KVM_GET_MSRS, ${indices.length} registers)`);
    if (done < indices.length) {
      throw new Error(`Cannot read MSR 0x${indices[done].toString(16)}: KVM refuses it on this host`);
    }
    return indices.map((index, i) => [index, view.getBigUint64(msrOffset(i) + kvmMsrEntry.offsets.data, true)]);
  }

  /** The floating point and SSE registers. */
  getFpu(): FloatingPointRegisters {
    return decode(kvmFpu, this.#get(KVM_GET_FPU, kvmFpu));
  }

  /** Sets all floating point and SSE registers. */
  setFpu(registers: FloatingPointRegisters): void {
    const view = allocate(kvmFpu);
    encode(kvmFpu, view, registers);
    this.#set(KVM_SET_FPU, kvmFpu, view);
  }

  /** What the vCPU does, of {@linkcode MultiprocessingState}. */
  getMultiprocessingState(): number {
    return this.#get(KVM_GET_MP_STATE, kvmMpState).getUint32(kvmMpState.offsets.mp_state, true);
  }

  /** Sets what the vCPU does, of {@linkcode MultiprocessingState}. */
  setMultiprocessingState(state: number): void {
    const view = allocate(kvmMpState);
    view.setUint32(kvmMpState.offsets.mp_state, state, true);
    this.#set(KVM_SET_MP_STATE, kvmMpState, view);
  }

  /** The local APIC's registers: 1 KiB as they lie in its page. */
  getLocalApic(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#get(KVM_GET_LAPIC, kvmLapicState).buffer);
  }

  /** Sets the local APIC's registers. */
  setLocalApic(registers: Uint8Array<ArrayBuffer>): void {
    this.#set(KVM_SET_LAPIC, kvmLapicState, registers);
  }

  /** Pending exceptions, interrupts and NMIs. */
  getEvents(): VcpuEvents {
    return decode(kvmVcpuEvents, this.#get(KVM_GET_VCPU_EVENTS, kvmVcpuEvents));
  }

  /** Sets pending exceptions, interrupts and NMIs. */
  setEvents(events: VcpuEvents): void {
    const view = allocate(kvmVcpuEvents);
    encode(kvmVcpuEvents, view, events);
    this.#set(KVM_SET_VCPU_EVENTS, kvmVcpuEvents, view);
  }

  /** The debug registers. */
  getDebugRegisters(): DebugRegisters {
    return decode(kvmDebugregs, this.#get(KVM_GET_DEBUGREGS, kvmDebugregs));
  }

  /** Sets the debug registers. */
  setDebugRegisters(registers: DebugRegisters): void {
    const view = allocate(kvmDebugregs);
    encode(kvmDebugregs, view, registers);
    this.#set(KVM_SET_DEBUGREGS, kvmDebugregs, view);
  }

  /**
   * Frequency of the time stamp counter.
   *
   * @returns kHz, or 0 where the host does not know it.
   */
  getTimeStampKhz(): number {
    return Math.max(0, ioctl(this.fd, KVM_GET_TSC_KHZ, null));
  }

  /** The extended control registers. */
  getExtendedControlRegisters(): ExtendedControlRegisters {
    return decode(kvmXcrs, this.#get(KVM_GET_XCRS, kvmXcrs));
  }

  /** Sets the extended control registers. */
  setExtendedControlRegisters(registers: ExtendedControlRegisters): void {
    const view = allocate(kvmXcrs);
    encode(kvmXcrs, view, registers);
    this.#set(KVM_SET_XCRS, kvmXcrs, view);
  }

  /** The extended processor state: 4 KiB in the form of XSAVE. */
  getExtendedState(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#get(KVM_GET_XSAVE, kvmXsave).buffer);
  }

  /** Sets the extended processor state. */
  setExtendedState(state: Uint8Array<ArrayBuffer>): void {
    this.#set(KVM_SET_XSAVE, kvmXsave, state);
  }

  #get(request: number, layout: Layout): DataView<ArrayBuffer> {
    const view = allocate(layout);
    check(ioctl(this.fd, request, view), `ioctl(vCPU ${this.fd}, get ${layout.name})`);
    return view;
  }

  #set(request: number, layout: Layout, value: DataView<ArrayBuffer> | Uint8Array<ArrayBuffer>): void {
    if (value.byteLength !== layout.size) {
      throw new RangeError(`Cannot set ${layout.name}: got ${value.byteLength} bytes, expected ${layout.size}`);
    }
    const result = ioctl(this.fd, request, value);
    if (result < 0) throw new SystemError(-result, `ioctl(vCPU ${this.fd}, set ${layout.name})`);
  }
}

function msrOffset(i: number): number {
  return kvmMsrs.offsets.entries + i * kvmMsrEntry.size;
}

function msrTable(values: readonly MsrValue[]): DataView<ArrayBuffer> {
  const view = allocate(kvmMsrs, values.length * kvmMsrEntry.size);
  view.setUint32(kvmMsrs.offsets.nmsrs, values.length, true);
  values.forEach(([index, value], i) => {
    view.setUint32(msrOffset(i) + kvmMsrEntry.offsets.index, index, true);
    view.setBigUint64(msrOffset(i) + kvmMsrEntry.offsets.data, value, true);
  });
  return view;
}
