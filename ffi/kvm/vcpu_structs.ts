/**
 * Structures of a vCPU's registers and state.
 *
 * @module
 */

import { struct } from "../struct.ts";

const HEADER = "linux/kvm.h";

/** General registers (KVM_GET_REGS). */
export const kvmRegs = struct("struct kvm_regs", HEADER, {
  rax: "u64",
  rbx: "u64",
  rcx: "u64",
  rdx: "u64",
  rsi: "u64",
  rdi: "u64",
  rsp: "u64",
  rbp: "u64",
  r8: "u64",
  r9: "u64",
  r10: "u64",
  r11: "u64",
  r12: "u64",
  r13: "u64",
  r14: "u64",
  r15: "u64",
  rip: "u64",
  rflags: "u64",
});

/** A segment register with its hidden part. */
export const kvmSegment = struct("struct kvm_segment", HEADER, {
  base: "u64",
  limit: "u32",
  selector: "u16",
  type: "u8",
  present: "u8",
  dpl: "u8",
  db: "u8",
  s: "u8",
  l: "u8",
  g: "u8",
  avl: "u8",
  unusable: "u8",
  padding: "u8",
});

/** A descriptor table register. */
export const kvmDtable = struct("struct kvm_dtable", HEADER, {
  base: "u64",
  limit: "u16",
  padding: ["u16", 3],
});

/** Segment, table and control registers (KVM_GET_SREGS). */
export const kvmSregs = struct("struct kvm_sregs", HEADER, {
  cs: kvmSegment,
  ds: kvmSegment,
  es: kvmSegment,
  fs: kvmSegment,
  gs: kvmSegment,
  ss: kvmSegment,
  tr: kvmSegment,
  ldt: kvmSegment,
  gdt: kvmDtable,
  idt: kvmDtable,
  cr0: "u64",
  cr2: "u64",
  cr3: "u64",
  cr4: "u64",
  cr8: "u64",
  efer: "u64",
  apic_base: "u64",
  interrupt_bitmap: ["u64", 4],
});

/** Floating point and SSE registers (KVM_GET_FPU). */
export const kvmFpu = struct("struct kvm_fpu", HEADER, {
  fpr: [["u8", 16], 8],
  fcw: "u16",
  fsw: "u16",
  ftwx: "u8",
  pad1: "u8",
  last_opcode: "u16",
  last_ip: "u64",
  last_dp: "u64",
  xmm: [["u8", 16], 16],
  mxcsr: "u32",
  pad2: "u32",
});

/** One model-specific register. */
export const kvmMsrEntry = struct("struct kvm_msr_entry", HEADER, {
  index: "u32",
  reserved: "u32",
  data: "u64",
});

/** Model-specific registers (KVM_SET_MSRS). */
export const kvmMsrs = struct("struct kvm_msrs", HEADER, {
  nmsrs: "u32",
  pad: "u32",
  entries: [kvmMsrEntry, 0],
});

/** One leaf of CPUID. */
export const kvmCpuidEntry2 = struct("struct kvm_cpuid_entry2", HEADER, {
  function: "u32",
  index: "u32",
  flags: "u32",
  eax: "u32",
  ebx: "u32",
  ecx: "u32",
  edx: "u32",
  padding: ["u32", 3],
});

/** All leaves of CPUID (KVM_SET_CPUID2). */
export const kvmCpuid2 = struct("struct kvm_cpuid2", HEADER, {
  nent: "u32",
  padding: "u32",
  entries: [kvmCpuidEntry2, 0],
});

/** Whether a vCPU runs, halts or waits to be started (KVM_GET_MP_STATE). */
export const kvmMpState = struct("struct kvm_mp_state", HEADER, { mp_state: "u32" });

/** Pending exceptions, interrupts and NMIs (KVM_GET_VCPU_EVENTS). */
export const kvmVcpuEvents = struct("struct kvm_vcpu_events", HEADER, {
  exception: struct("", "", {
    injected: "u8",
    nr: "u8",
    has_error_code: "u8",
    pending: "u8",
    error_code: "u32",
  }),
  interrupt: struct("", "", { injected: "u8", nr: "u8", soft: "u8", shadow: "u8" }),
  nmi: struct("", "", { injected: "u8", pending: "u8", masked: "u8", pad: "u8" }),
  sipi_vector: "u32",
  flags: "u32",
  smi: struct("", "", { smm: "u8", pending: "u8", smm_inside_nmi: "u8", latched_init: "u8" }),
  triple_fault: struct("", "", { pending: "u8" }),
  reserved: ["u8", 26],
  exception_has_payload: "u8",
  exception_payload: "u64",
});

/** Debug registers (KVM_GET_DEBUGREGS). */
export const kvmDebugregs = struct("struct kvm_debugregs", HEADER, {
  db: ["u64", 4],
  dr6: "u64",
  dr7: "u64",
  flags: "u64",
  reserved: ["u64", 9],
});

/** Registers of the local APIC (KVM_GET_LAPIC). */
export const kvmLapicState = struct("struct kvm_lapic_state", HEADER, { regs: ["u8", 0x400] });

/** Extended processor state without dynamic features (KVM_GET_XSAVE). */
export const kvmXsave = struct("struct kvm_xsave", HEADER, { region: ["u32", 1024] });

/** One extended control register. */
export const kvmXcr = struct("struct kvm_xcr", HEADER, { xcr: "u32", reserved: "u32", value: "u64" });

/** Extended control registers (KVM_GET_XCRS). */
export const kvmXcrs = struct("struct kvm_xcrs", HEADER, {
  nr_xcrs: "u32",
  flags: "u32",
  xcrs: [kvmXcr, 16],
  padding: ["u64", 16],
});
