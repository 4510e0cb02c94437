/**
 * What a vCPU is before its first instruction: what CPUID says, its registers, its local APIC.
 *
 * @module
 */
import { Msr } from "../../ffi/kvm/constants.ts";
import type { KvmVcpu, SpecialRegisters } from "../../ffi/kvm/vcpu.ts";
import { kvmCpuid2, kvmCpuidEntry2 } from "../../ffi/kvm/vcpu_structs.ts";
import type { CpuState, SegmentState } from "../boot/cpu_state.ts";

/** CPUID leaves that depend on the vCPU (Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E). */
const Leaf = {
  features: 0x1,
  cacheParameters: 0x4,
  topology: 0xb,
  topology2: 0x1f,
  addressSizes: 0x8000_0008,
  amdTopology: 0x8000_001e,
} as const;

const FEATURE_TSC_DEADLINE = 2 ** 24;
const FEATURE_HYPERVISOR = 2 ** 31;
const FEATURE_HYPER_THREADING = 2 ** 28;
/** What the six bits for the number of cores hold at most; where there are more, leaf 0xb tells. */
const CORES_LIMIT = 63;
const TOPOLOGY_LEVEL_SMT = 1;
const TOPOLOGY_LEVEL_CORE = 2;
/** Without leaf 0x8000_0008: what every processor with PAE has. */
const DEFAULT_PHYSICAL_ADDRESS_BITS = 36;

const ENTRY = kvmCpuidEntry2.offsets;

/** The entries of a `struct kvm_cpuid2`, for reading and changing in place. */
class CpuidTable {
  readonly view: DataView<ArrayBuffer>;

  constructor(readonly bytes: Uint8Array<ArrayBuffer>) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  *entries(): Generator<number> {
    for (let at: number = kvmCpuid2.size; at < this.bytes.length; at += kvmCpuidEntry2.size) yield at;
  }

  get(entry: number, field: keyof typeof ENTRY): number {
    return this.view.getUint32(entry + ENTRY[field], true);
  }

  set(entry: number, field: keyof typeof ENTRY, value: number): void {
    this.view.setUint32(entry + ENTRY[field], value, true);
  }
}

/** Bits of a physical address that the processor has, from the leaves KVM supports. */
export function physicalAddressBits(supported: Uint8Array<ArrayBuffer>): number {
  const table = new CpuidTable(supported);
  for (const entry of table.entries()) {
    if (table.get(entry, "function") === Leaf.addressSizes) return table.get(entry, "eax") & 0xff;
  }
  return DEFAULT_PHYSICAL_ADDRESS_BITS;
}

/**
 * The CPUID leaves of one vCPU: those that KVM supports, with its own place in the topology: one socket of `count` cores.
 *
 * @param supported From KVM_GET_SUPPORTED_CPUID; not changed.
 * @param index The vCPU's index, which is its APIC id.
 * @param count Number of vCPUs.
 */
export function cpuidOf(supported: Uint8Array<ArrayBuffer>, index: number, count: number): Uint8Array<ArrayBuffer> {
  const table = new CpuidTable(supported.slice());
  const idBits = Math.ceil(Math.log2(count));
  for (const entry of table.entries()) {
    const change = (field: "eax" | "ebx" | "ecx" | "edx", mask: number, value: number) =>
      table.set(entry, field, ((table.get(entry, field) & ~mask) | value) >>> 0);
    switch (table.get(entry, "function")) {
      case Leaf.features:
        change("ebx", 0xffff_0000, (index << 24) | (count << 16));
        change("ecx", 0, FEATURE_TSC_DEADLINE | FEATURE_HYPERVISOR);
        change("edx", FEATURE_HYPER_THREADING, count > 1 ? FEATURE_HYPER_THREADING : 0);
        break;
      case Leaf.cacheParameters:
        // Entries without a cache type are the list's end and stay as they are.
        if ((table.get(entry, "eax") & 0x1f) !== 0) change("eax", 0xfc00_0000, Math.min(count - 1, CORES_LIMIT) << 26);
        break;
      case Leaf.topology:
      case Leaf.topology2:
        setTopologyLevel(table, entry, index, count, idBits);
        break;
      case Leaf.addressSizes:
        change("ecx", 0xf0ff, (idBits << 12) | (count - 1));
        break;
      case Leaf.amdTopology:
        table.set(entry, "eax", index);
        change("ebx", 0xffff, index);
        break;
    }
  }
  return table.bytes;
}

function setTopologyLevel(table: CpuidTable, entry: number, index: number, count: number, idBits: number): void {
  const level = table.get(entry, "index");
  const [shift, processors, type] = level === 0
    ? [0, 1, TOPOLOGY_LEVEL_SMT]
    : level === 1
    ? [idBits, count, TOPOLOGY_LEVEL_CORE]
    : [0, 0, 0];
  table.set(entry, "eax", shift);
  table.set(entry, "ebx", processors);
  table.set(entry, "ecx", (type << 8) | level);
  table.set(entry, "edx", index);
}

/** Local vector table entries of the local APIC's two pins (Intel SDM volume 3, 11.5.1). */
const LOCAL_INTERRUPT_0 = 0x350;
const LOCAL_INTERRUPT_1 = 0x360;
const DELIVERY_EXTERNAL = 7 << 8;
const DELIVERY_NMI = 4 << 8;

/** IA32_MISC_ENABLE: fast string operations. */
const FAST_STRINGS = 1n;
/** IA32_MTRR_DEF_TYPE: MTRRs on, everything write-back. */
const MTRR_WRITE_BACK = (1n << 11n) | 6n;

/** Sets up a vCPU. The first one starts at the kernel's entry; the others wait for its start-up interrupt. */
export function configureVcpu(vcpu: KvmVcpu, cpuid: Uint8Array<ArrayBuffer>, entry: CpuState | undefined): void {
  vcpu.setCpuid(cpuid);
  vcpu.setMsrs([[Msr.miscEnable, FAST_STRINGS], [Msr.mtrrDefaultType, MTRR_WRITE_BACK]]);
  connectLocalPins(vcpu);
  if (entry === undefined) return;
  vcpu.setSpecialRegisters(specialRegisters(vcpu.getSpecialRegisters(), entry));
  vcpu.setRegisters(entry.registers);
}

/** The first pin takes the legacy interrupt controller's interrupts, the second NMIs, as firmware leaves them. */
function connectLocalPins(vcpu: KvmVcpu): void {
  const registers = vcpu.getLocalApic();
  const view = new DataView(registers.buffer);
  view.setUint32(LOCAL_INTERRUPT_0, DELIVERY_EXTERNAL, true);
  view.setUint32(LOCAL_INTERRUPT_1, DELIVERY_NMI, true);
  vcpu.setLocalApic(registers);
}

function specialRegisters(reset: SpecialRegisters, entry: CpuState): SpecialRegisters {
  const { segments, gdt, idt } = entry;
  return {
    ...reset,
    cs: kvmSegment(segments.cs),
    ds: kvmSegment(segments.ds),
    es: kvmSegment(segments.es),
    fs: kvmSegment(segments.fs),
    gs: kvmSegment(segments.gs),
    ss: kvmSegment(segments.ss),
    tr: kvmSegment(segments.tr),
    ldt: kvmSegment(segments.ldt),
    gdt: { ...reset.gdt, base: BigInt(gdt.base), limit: gdt.limit },
    idt: { ...reset.idt, base: BigInt(idt.base), limit: idt.limit },
    cr0: BigInt(entry.cr0),
    cr3: BigInt(entry.cr3),
    cr4: BigInt(entry.cr4),
    efer: BigInt(entry.efer),
  };
}

function kvmSegment(segment: SegmentState): SpecialRegisters["cs"] {
  return { ...segment, base: BigInt(segment.base), avl: 0, padding: 0 };
}
