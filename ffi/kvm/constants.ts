/**
 * Numbers of KVM's interface, besides the requests.
 *
 * @module
 */

/** KVM_API_VERSION: the only version there has ever been since Linux 2.6.22. */
export const API_VERSION = 12;

/** KVMIO: the type of all request numbers. */
export const KVM_TYPE = 0xae;

/** What may be asked of a host (KVM_CHECK_EXTENSION). Source: KVM_CAP_* of linux/kvm.h. */
export const Capability = {
  interruptChip: 0,
  userMemory: 3,
  setTssAddress: 4,
  extendedCpuid: 7,
  recommendedVcpus: 9,
  memorySlots: 10,
  multiprocessingState: 14,
  interruptRouting: 25,
  irqfd: 32,
  timer2: 33,
  timerState2: 35,
  ioeventfd: 36,
  setIdentityMapAddress: 37,
  adjustClock: 39,
  internalErrorData: 40,
  vcpuEvents: 41,
  debugRegisters: 50,
  xsave: 55,
  xcrs: 56,
  tscControl: 60,
  getTscFrequency: 61,
  maximumVcpus: 66,
  tscDeadlineTimer: 72,
  syncRegisters: 74,
  signalMessage: 77,
  readOnlyMemory: 81,
  irqfdResample: 82,
  ioeventfdNoLength: 100,
  splitInterruptChip: 121,
  ioeventfdAnyLength: 122,
  maximumVcpuId: 128,
  x2apicApi: 129,
  messageDeviceId: 131,
  immediateExit: 136,
  featureMsrs: 153,
  dirtyLogProtect2: 168,
  dirtyLogRing: 192,
  exitHypercall: 201,
  xsave2: 208,
} as const;

/** Why a vCPU stopped. Source: KVM_EXIT_* of linux/kvm.h. */
export const ExitReason = {
  unknown: 0,
  exception: 1,
  io: 2,
  hypercall: 3,
  debug: 4,
  halt: 5,
  mmio: 6,
  interruptWindowOpen: 7,
  shutdown: 8,
  failEntry: 9,
  interrupted: 10,
  setTaskPriority: 11,
  taskPriorityAccess: 12,
  nmi: 16,
  internalError: 17,
  watchdog: 21,
  systemEvent: 24,
  ioApicEndOfInterrupt: 26,
  hyperV: 27,
  readMsr: 29,
  writeMsr: 30,
  dirtyRingFull: 31,
  busLock: 33,
  xen: 34,
  notify: 37,
} as const;

/** Names of the exit reasons as the kernel's documentation has them, by number. */
export const EXIT_REASON_NAMES: ReadonlyMap<number, string> = new Map([
  [ExitReason.unknown, "KVM_EXIT_UNKNOWN"],
  [ExitReason.exception, "KVM_EXIT_EXCEPTION"],
  [ExitReason.io, "KVM_EXIT_IO"],
  [ExitReason.hypercall, "KVM_EXIT_HYPERCALL"],
  [ExitReason.debug, "KVM_EXIT_DEBUG"],
  [ExitReason.halt, "KVM_EXIT_HLT"],
  [ExitReason.mmio, "KVM_EXIT_MMIO"],
  [ExitReason.interruptWindowOpen, "KVM_EXIT_IRQ_WINDOW_OPEN"],
  [ExitReason.shutdown, "KVM_EXIT_SHUTDOWN"],
  [ExitReason.failEntry, "KVM_EXIT_FAIL_ENTRY"],
  [ExitReason.interrupted, "KVM_EXIT_INTR"],
  [ExitReason.setTaskPriority, "KVM_EXIT_SET_TPR"],
  [ExitReason.taskPriorityAccess, "KVM_EXIT_TPR_ACCESS"],
  [ExitReason.nmi, "KVM_EXIT_NMI"],
  [ExitReason.internalError, "KVM_EXIT_INTERNAL_ERROR"],
  [ExitReason.watchdog, "KVM_EXIT_WATCHDOG"],
  [ExitReason.systemEvent, "KVM_EXIT_SYSTEM_EVENT"],
  [ExitReason.ioApicEndOfInterrupt, "KVM_EXIT_IOAPIC_EOI"],
  [ExitReason.hyperV, "KVM_EXIT_HYPERV"],
  [ExitReason.readMsr, "KVM_EXIT_X86_RDMSR"],
  [ExitReason.writeMsr, "KVM_EXIT_X86_WRMSR"],
  [ExitReason.dirtyRingFull, "KVM_EXIT_DIRTY_RING_FULL"],
  [ExitReason.busLock, "KVM_EXIT_X86_BUS_LOCK"],
  [ExitReason.xen, "KVM_EXIT_XEN"],
  [ExitReason.notify, "KVM_EXIT_NOTIFY"],
]);

/** The name of an exit reason, or its number in words. */
export function exitReasonName(reason: number): string {
  return EXIT_REASON_NAMES.get(reason) ?? `exit reason ${reason}`;
}

/** Direction of a port access. Source: KVM_EXIT_IO_IN, _OUT. */
export const IoDirection = { in: 0, out: 1 } as const;

/** Kind of a system event. Source: KVM_SYSTEM_EVENT_*. */
export const SystemEvent = { shutdown: 1, reset: 2, crash: 3, wakeUp: 4, suspend: 5 } as const;

/** Kind of an internal error. Source: KVM_INTERNAL_ERROR_*. */
export const InternalError = { emulation: 1, simultaneousException: 2, deliveryEvent: 3, unexpectedExit: 4 } as const;

/** KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES: the bytes of the instruction are told. */
export const EMULATION_FLAG_INSTRUCTION_BYTES = 1;

/** What a vCPU does. Source: KVM_MP_STATE_*. */
export const MultiprocessingState = {
  runnable: 0,
  uninitialized: 1,
  initReceived: 2,
  halted: 3,
  sipiReceived: 4,
} as const;

/** Flags of a memory slot. Source: KVM_MEM_*. */
export const MemorySlotFlag = { none: 0, logDirtyPages: 1, readOnly: 2 } as const;

/** Interrupt chips inside KVM. Source: KVM_IRQCHIP_* of asm/kvm.h. */
export const InterruptChip = { picMaster: 0, picSlave: 1, ioApic: 2 } as const;

/** Model-specific registers that set up a vCPU. Source: asm/msr-index.h of Linux; Intel SDM volume 4. */
export const Msr = {
  /** IA32_TIME_STAMP_COUNTER */
  timeStampCounter: 0x10,
  /** IA32_APIC_BASE */
  apicBase: 0x1b,
  /** IA32_SYSENTER_CS */
  sysenterCs: 0x174,
  /** IA32_SYSENTER_ESP */
  sysenterEsp: 0x175,
  /** IA32_SYSENTER_EIP */
  sysenterEip: 0x176,
  /** IA32_MISC_ENABLE */
  miscEnable: 0x1a0,
  /** IA32_PAT */
  pageAttributeTable: 0x277,
  /** IA32_MTRR_DEF_TYPE */
  mtrrDefaultType: 0x2ff,
  /** IA32_TSC_DEADLINE */
  tscDeadline: 0x6e0,
  /** IA32_EFER */
  extendedFeatures: 0xc000_0080,
  /** IA32_STAR */
  star: 0xc000_0081,
  /** IA32_LSTAR */
  longStar: 0xc000_0082,
  /** IA32_CSTAR */
  compatibilityStar: 0xc000_0083,
  /** IA32_FMASK */
  syscallMask: 0xc000_0084,
  /** IA32_FS_BASE */
  fsBase: 0xc000_0100,
  /** IA32_GS_BASE */
  gsBase: 0xc000_0101,
  /** IA32_KERNEL_GS_BASE */
  kernelGsBase: 0xc000_0102,
} as const;
