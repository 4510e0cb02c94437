/**
 * The state in which a vCPU starts, as plain data. The machine layer turns it into KVM's structures.
 *
 * @module
 */

/** A single bit of a descriptor. */
export type Bit = 0 | 1;

/** A segment register with its hidden part (Intel SDM volume 3, 3.4.3 and 24.4.1). */
export interface SegmentState {
  /** Linear address of the segment's first byte. */
  readonly base: number;
  /** Largest valid offset, in bytes, granularity already applied. */
  readonly limit: number;
  /** The visible part: index into the descriptor table, times 8. */
  readonly selector: number;
  /** Type field of the descriptor, 0-15. */
  readonly type: number;
  /** Whether the segment is present. */
  readonly present: Bit;
  /** Descriptor privilege level, 0-3. */
  readonly dpl: number;
  /** Default operation size: 1 for 32 bits. */
  readonly db: Bit;
  /** 1 for code and data, 0 for a system segment. */
  readonly s: Bit;
  /** 1 for 64-bit code. */
  readonly l: Bit;
  /** Granularity: 1 when the descriptor counts 4 KiB pages. */
  readonly g: Bit;
  /** 1 when the register holds nothing that may be used. */
  readonly unusable: Bit;
}

/** The registers that hold segments. */
export type SegmentName = "cs" | "ds" | "es" | "fs" | "gs" | "ss" | "tr" | "ldt";

/** The general registers, the instruction pointer and the flags. */
export type GeneralRegister =
  | "rax"
  | "rbx"
  | "rcx"
  | "rdx"
  | "rsi"
  | "rdi"
  | "rsp"
  | "rbp"
  | "r8"
  | "r9"
  | "r10"
  | "r11"
  | "r12"
  | "r13"
  | "r14"
  | "r15"
  | "rip"
  | "rflags";

/** GDTR or IDTR. */
export interface DescriptorTableState {
  /** Linear address of the table. */
  readonly base: number;
  /** Its length in bytes, less one. */
  readonly limit: number;
}

/** Everything that a vCPU needs to begin at a kernel's entry point. What is not named keeps its state after reset. */
export interface CpuState {
  /** All general registers; those that the protocol does not define are 0. */
  readonly registers: Readonly<Record<GeneralRegister, bigint>>;
  /** All segment registers. */
  readonly segments: Readonly<Record<SegmentName, SegmentState>>;
  /** Global descriptor table. */
  readonly gdt: DescriptorTableState;
  /** Interrupt descriptor table. */
  readonly idt: DescriptorTableState;
  /** Control register 0. */
  readonly cr0: number;
  /** Physical address of the top page table; 0 where paging is off. */
  readonly cr3: number;
  /** Control register 4. */
  readonly cr4: number;
  /** Extended feature enable register. */
  readonly efer: number;
}

/** CR0: protected mode is on. */
export const CR0_PE: number = 2 ** 0;
/** CR0: the extension-type bit, which always reads 1. */
export const CR0_ET: number = 2 ** 4;
/** CR0: paging is on. */
export const CR0_PG: number = 2 ** 31;
/** CR4: physical-address extension, which long mode requires. */
export const CR4_PAE: number = 2 ** 5;
/** EFER: long mode is enabled. */
export const EFER_LME: number = 2 ** 8;
/** EFER: long mode is active. */
export const EFER_LMA: number = 2 ** 10;
/** RFLAGS: the bit that is always 1. Interrupts are off. */
export const RFLAGS_RESERVED = 0x2n;

/** Type of a code segment: execute, read, accessed. */
const TYPE_CODE = 0xb;
/** Type of a data segment: read, write, accessed. */
const TYPE_DATA = 0x3;
/** Type of a busy 32- or 64-bit task state segment. */
const TYPE_TASK = 0xb;
/** Bytes of the smallest task state segment, less one. */
const TASK_LIMIT = 0x67;

/** A flat code segment for 32- or 64-bit mode. */
export function flatCode(selector: number, bits: 32 | 64): SegmentState {
  return { ...flat(selector, TYPE_CODE), db: bits === 32 ? 1 : 0, l: bits === 64 ? 1 : 0 };
}

/** A flat, writable data segment. */
export function flatData(selector: number): SegmentState {
  return flat(selector, TYPE_DATA);
}

/** The busy task state segment that hardware virtualization insists on; it is never used. */
export function taskSegment(selector: number): SegmentState {
  return { ...flat(selector, TYPE_TASK), limit: TASK_LIMIT, db: 0, s: 0, g: 0 };
}

/** A register that holds no segment. */
export function unusableSegment(): SegmentState {
  return { ...flat(0, 0), limit: 0, present: 0, db: 0, s: 0, g: 0, unusable: 1 };
}

/** General registers: the given ones, the rest 0, interrupts off. */
export function generalRegisters(
  given: Partial<Record<GeneralRegister, bigint>>,
): Record<GeneralRegister, bigint> {
  return {
    rax: 0n,
    rbx: 0n,
    rcx: 0n,
    rdx: 0n,
    rsi: 0n,
    rdi: 0n,
    rsp: 0n,
    rbp: 0n,
    r8: 0n,
    r9: 0n,
    r10: 0n,
    r11: 0n,
    r12: 0n,
    r13: 0n,
    r14: 0n,
    r15: 0n,
    rip: 0n,
    rflags: RFLAGS_RESERVED,
    ...given,
  };
}

/**
 * The 8 bytes of a descriptor table that stand for a segment (Intel SDM volume 3, figure 3-8).
 *
 * @param segment The segment; its selector is not part of the descriptor.
 */
export function segmentDescriptor(segment: SegmentState): bigint {
  const { base, type, s, dpl, present, l, db, g } = segment;
  const limit = g === 1 ? Math.floor(segment.limit / 4096) : segment.limit;
  const access = type | s << 4 | dpl << 5 | present << 7;
  const flags = l << 1 | db << 2 | g << 3;
  return BigInt(limit & 0xffff) | BigInt(base & 0xffffff) << 16n | BigInt(access) << 40n
    | BigInt(limit >>> 16 & 0xf) << 48n | BigInt(flags) << 52n | BigInt(base >>> 24) << 56n;
}

function flat(selector: number, type: number): SegmentState {
  return {
    base: 0,
    limit: 0xffff_ffff,
    selector,
    type,
    present: 1,
    dpl: 0,
    db: 1,
    s: 1,
    l: 0,
    g: 1,
    unusable: 0,
  };
}
