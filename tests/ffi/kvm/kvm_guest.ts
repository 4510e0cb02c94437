/**
 * The smallest machine: 64 KiB of memory at address 0 and one vCPU in real mode.
 *
 * @module
 */

import { Msr } from "../../../ffi/kvm/constants.ts";
import type { KvmMachine } from "../../../ffi/kvm/machine.ts";
import { KvmSystem } from "../../../ffi/kvm/system.ts";
import { KvmVcpu } from "../../../ffi/kvm/vcpu.ts";
import { MemoryMapping, Protection } from "../../../ffi/memory_mapping.ts";

/** Where programs begin. */
export const PROGRAM_ADDRESS = 0x1000;
/** Bytes of memory; what lies above is nobody's. */
export const MEMORY_SIZE = 0x10000;

const STACK_POINTER = 0x8000n;
/** The bit of RFLAGS that is always 1. Source: Intel SDM volume 1, 3.4.3. */
const RFLAGS_RESERVED = 2n;

/** A machine for tests. */
export interface SmallMachine extends Disposable {
  readonly system: KvmSystem;
  readonly machine: KvmMachine;
  readonly memory: MemoryMapping;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly vcpu: KvmVcpu;
  /** Address of the vCPU's shared page. */
  readonly runAddress: bigint;
  /** Puts a program at {@linkcode PROGRAM_ADDRESS} and the vCPU before its first instruction. */
  load(program: readonly number[]): void;
}

/** Makes a machine; with `chips`, with interrupt chips and a timer. */
export function smallMachine(options: { chips?: boolean; memoryFlags?: number } = {}): SmallMachine {
  using cleanup = new DisposableStack();
  const system = cleanup.use(KvmSystem.open());
  const machine = cleanup.use(system.createMachine());
  const memory = cleanup.use(MemoryMapping.memfd("guest", MEMORY_SIZE));
  machine.setTssAddress(0xfffb_d000);
  machine.setIdentityMapAddress(0xfffb_c000);
  if (options.chips) {
    machine.createInterruptChip();
    machine.createTimer();
  }
  machine.setMemorySlot(0, 0, MEMORY_SIZE, memory.address, options.memoryFlags ?? 0);
  const descriptor = cleanup.use(machine.createVcpu(0));
  const page = cleanup.use(MemoryMapping.ofDescriptor(descriptor.fd, 0, system.vcpuMapSize(), Protection.readWrite));
  const vcpu = new KvmVcpu(descriptor.fd, page.address, page.length);
  vcpu.setCpuid(system.supportedCpuid());
  vcpu.setMsrs([[Msr.timeStampCounter, 0n]]);
  const special = vcpu.getSpecialRegisters();
  for (const segment of [special.cs, special.ds, special.es, special.ss]) {
    segment.base = 0n;
    segment.selector = 0;
  }
  vcpu.setSpecialRegisters(special);
  const bytes = new Uint8Array(memory.buffer);
  const owned = cleanup.move();
  return {
    system,
    machine,
    memory,
    bytes,
    vcpu,
    runAddress: page.address,
    load(program: readonly number[]): void {
      bytes.set(program, PROGRAM_ADDRESS);
      const registers = vcpu.getRegisters();
      vcpu.setRegisters({
        ...registers,
        rip: BigInt(PROGRAM_ADDRESS),
        rsp: STACK_POINTER,
        rflags: RFLAGS_RESERVED,
      });
    },
    [Symbol.dispose](): void {
      owned.dispose();
    },
  };
}
