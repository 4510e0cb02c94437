/**
 * Structures of KVM's system and machine requests. Those of a vCPU are in `vcpu_structs.ts` and `run_structs.ts`.
 *
 * @module
 */

import { struct, union } from "../struct.ts";

export * from "./run_structs.ts";
export * from "./vcpu_structs.ts";

const HEADER = "linux/kvm.h";

/** A range of guest-physical addresses and the host memory behind it (KVM_SET_USER_MEMORY_REGION). */
export const kvmUserspaceMemoryRegion = struct("struct kvm_userspace_memory_region", HEADER, {
  slot: "u32",
  flags: "u32",
  guest_phys_addr: "u64",
  memory_size: "u64",
  userspace_addr: "u64",
});

/** An event descriptor that raises an interrupt (KVM_IRQFD). */
export const kvmIrqfd = struct("struct kvm_irqfd", HEADER, {
  fd: "u32",
  gsi: "u32",
  flags: "u32",
  resamplefd: "u32",
  pad: ["u8", 16],
});

/** An event descriptor that a guest's write signals (KVM_IOEVENTFD). */
export const kvmIoeventfd = struct("struct kvm_ioeventfd", HEADER, {
  datamatch: "u64",
  addr: "u64",
  len: "u32",
  fd: "i32",
  flags: "u32",
  pad: ["u8", 36],
});

/** Route of a GSI to a pin of an interrupt chip. */
export const kvmIrqRoutingIrqchip = struct("struct kvm_irq_routing_irqchip", HEADER, {
  irqchip: "u32",
  pin: "u32",
});

/** Route of a GSI to a message. */
export const kvmIrqRoutingMsi = struct("struct kvm_irq_routing_msi", HEADER, {
  address_lo: "u32",
  address_hi: "u32",
  data: "u32",
  $requester: union("", "", { pad: "u32", devid: "u32" }),
});

/** One route of the table. */
export const kvmIrqRoutingEntry = struct("struct kvm_irq_routing_entry", HEADER, {
  gsi: "u32",
  type: "u32",
  flags: "u32",
  pad: "u32",
  u: union("", "", {
    irqchip: kvmIrqRoutingIrqchip,
    msi: kvmIrqRoutingMsi,
    pad: ["u32", 8],
    // Routes of other architectures hold 64-bit numbers.
    $alignment: "u64",
  }),
});

/** The routing table (KVM_SET_GSI_ROUTING). */
export const kvmIrqRouting = struct("struct kvm_irq_routing", HEADER, {
  nr: "u32",
  flags: "u32",
  entries: [kvmIrqRoutingEntry, 0],
});

/** Level of an interrupt line (KVM_IRQ_LINE). */
export const kvmIrqLevel = struct("struct kvm_irq_level", HEADER, {
  $line: union("", "", { irq: "u32", status: "i32" }),
  level: "u32",
});

/** State of one interrupt chip (KVM_GET_IRQCHIP). */
export const kvmIrqchip = struct("struct kvm_irqchip", HEADER, {
  chip_id: "u32",
  pad: "u32",
  // The kernel's structures of the PIC and the IOAPIC; 8-byte aligned because the latter is.
  chip: union("", "", { dummy: ["u8", 512], $alignment: "u64" }),
});

/** How the interval timer is to be made (KVM_CREATE_PIT2). */
export const kvmPitConfig = struct("struct kvm_pit_config", HEADER, {
  flags: "u32",
  pad: ["u32", 15],
});

/** The paravirtual clock of a machine (KVM_GET_CLOCK). */
export const kvmClockData = struct("struct kvm_clock_data", HEADER, {
  clock: "u64",
  flags: "u32",
  pad0: "u32",
  realtime: "u64",
  host_tsc: "u64",
  pad: ["u32", 4],
});

/** Which pages of a slot were written (KVM_GET_DIRTY_LOG). */
export const kvmDirtyLog = struct("struct kvm_dirty_log", HEADER, {
  slot: "u32",
  padding1: "u32",
  $bitmap: union("", "", { dirty_bitmap: "u64", padding2: "u64" }),
});

/** A capability to be switched on (KVM_ENABLE_CAP). */
export const kvmEnableCap = struct("struct kvm_enable_cap", HEADER, {
  cap: "u32",
  flags: "u32",
  args: ["u64", 4],
  pad: ["u8", 64],
});

/** Indices of model-specific registers (KVM_GET_MSR_INDEX_LIST). */
export const kvmMsrList = struct("struct kvm_msr_list", HEADER, {
  nmsrs: "u32",
  indices: ["u32", 0],
});
