/**
 * The page that KVM shares with user space for each vCPU: why it stopped, and what it wants.
 *
 * @module
 */

import { struct, union } from "../struct.ts";

/** A guest's access to an I/O port (KVM_EXIT_IO). */
export const kvmRunIo = struct("", "", {
  direction: "u8",
  size: "u8",
  port: "u16",
  count: "u32",
  data_offset: "u64",
});

/** A guest's access to memory that is none (KVM_EXIT_MMIO). */
export const kvmRunMmio = struct("", "", { phys_addr: "u64", data: ["u8", 8], len: "u32", is_write: "u8" });

/** The processor refused to enter the guest (KVM_EXIT_FAIL_ENTRY). */
export const kvmRunFailEntry = struct("", "", { hardware_entry_failure_reason: "u64", cpu: "u32" });

/** KVM cannot go on (KVM_EXIT_INTERNAL_ERROR). */
export const kvmRunInternal = struct("", "", { suberror: "u32", ndata: "u32", data: ["u64", 16] });

/** The instruction that KVM could not emulate (an internal error of the kind KVM_INTERNAL_ERROR_EMULATION). */
export const kvmRunEmulationFailure = struct("", "", {
  suberror: "u32",
  ndata: "u32",
  flags: "u64",
  $instruction: union("", "", {
    $bytes: struct("", "", { insn_size: "u8", insn_bytes: ["u8", 15] }),
  }),
});

/** Power-off, reset or crash by paravirtual means (KVM_EXIT_SYSTEM_EVENT). */
export const kvmRunSystemEvent = struct("", "", {
  type: "u32",
  ndata: "u32",
  $details: union("", "", { flags: "u64", data: ["u64", 16] }),
});

/** A guest's call to the hypervisor (KVM_EXIT_HYPERCALL). */
export const kvmRunHypercall = struct("", "", {
  nr: "u64",
  args: ["u64", 6],
  ret: "u64",
  longmode: "u32",
  pad: "u32",
});

/** A guest's access to a model-specific register that KVM leaves to user space (KVM_EXIT_X86_RDMSR, _WRMSR). */
export const kvmRunMsr = struct("", "", { error: "u8", pad: ["u8", 7], reason: "u32", index: "u32", data: "u64" });

/** What an exit tells, by its reason. */
export const kvmRunExit = union("", "", {
  hw: struct("", "", { hardware_exit_reason: "u64" }),
  fail_entry: kvmRunFailEntry,
  io: kvmRunIo,
  mmio: kvmRunMmio,
  hypercall: kvmRunHypercall,
  internal: kvmRunInternal,
  emulation_failure: kvmRunEmulationFailure,
  system_event: kvmRunSystemEvent,
  eoi: struct("", "", { vector: "u8" }),
  msr: kvmRunMsr,
  notify: struct("", "", { flags: "u32" }),
  padding: ["u8", 256],
});

/** The shared page's beginning; what follows belongs to synchronised registers, which are not used. */
export const kvmRun = struct("struct kvm_run", "linux/kvm.h", {
  request_interrupt_window: "u8",
  immediate_exit: "u8",
  padding1: ["u8", 6],
  exit_reason: "u32",
  ready_for_interrupt_injection: "u8",
  if_flag: "u8",
  flags: "u16",
  cr8: "u64",
  apic_base: "u64",
  $exit: kvmRunExit,
  kvm_valid_regs: "u64",
  kvm_dirty_regs: "u64",
  s: union("", "", { padding: ["u8", 2048], $alignment: "u64" }),
});
