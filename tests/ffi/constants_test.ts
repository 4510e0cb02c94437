import assert from "node:assert/strict";
import { OpenFlag } from "../../ffi/descriptor.ts";
import * as errnoNumbers from "../../ffi/errno.ts";
import { ERRNO_CODES } from "../../ffi/errno_names.ts";
import { FallocateMode } from "../../ffi/io_uring.ts";
import {
  API_VERSION,
  Capability,
  EXIT_REASON_NAMES,
  ExitReason,
  InternalError,
  InterruptChip,
  IoDirection,
  KVM_TYPE,
  MemorySlotFlag,
  MultiprocessingState,
  SystemEvent,
} from "../../ffi/kvm/constants.ts";
import * as requests from "../../ffi/kvm/requests.ts";
import * as vcpuRequests from "../../ffi/kvm/vcpu_requests.ts";
import { Protection } from "../../ffi/memory_mapping.ts";
import { needs } from "../support/requirements.ts";
import { cValues } from "./c_values.ts";

type Expected = readonly (readonly [expression: string, value: number])[];

function compare(what: string, header: string, expected: Expected): void {
  Deno.test({
    ...needs(`${what} are those of ${header}`, "gcc", "C library headers", "kernel headers"),
    fn: async () => {
      const actual = await cValues(header, expected.map(([expression]) => expression));
      assert.deepEqual(
        expected.map(([expression, value]) => [expression, value]),
        expected.map(([expression], i) => [expression, Number(actual[i])]),
      );
    },
  });
}

/** Pairs the members of a table with their C names; the compiler sees to it that none is left out. */
function pairs<Key extends string>(
  table: Readonly<Record<Key, number>>,
  names: Readonly<Record<Key, string>>,
): Expected {
  return (Object.keys(names) as Key[]).map((key) => [names[key], table[key]]);
}

function numbers(module: object, pattern: RegExp): Expected {
  return Object.entries(module).filter((entry): entry is [string, number] => pattern.test(entry[0]));
}

compare("error numbers", "errno.h", [...ERRNO_CODES.map(([errno, code]) => [code, errno] as const)]);
compare("error numbers by name", "errno.h", numbers(errnoNumbers, /^E[A-Z0-9]+$/));
compare("requests of KVM", "linux/kvm.h", numbers({ ...requests, ...vcpuRequests }, /^KVM_/));
compare("exit reasons", "linux/kvm.h", [...EXIT_REASON_NAMES].map(([reason, name]) => [name, reason] as const));

compare("capabilities", "linux/kvm.h", [
  ["KVM_API_VERSION", API_VERSION],
  ["KVMIO", KVM_TYPE],
  ...pairs(Capability, {
    interruptChip: "KVM_CAP_IRQCHIP",
    userMemory: "KVM_CAP_USER_MEMORY",
    setTssAddress: "KVM_CAP_SET_TSS_ADDR",
    extendedCpuid: "KVM_CAP_EXT_CPUID",
    recommendedVcpus: "KVM_CAP_NR_VCPUS",
    memorySlots: "KVM_CAP_NR_MEMSLOTS",
    multiprocessingState: "KVM_CAP_MP_STATE",
    interruptRouting: "KVM_CAP_IRQ_ROUTING",
    irqfd: "KVM_CAP_IRQFD",
    timer2: "KVM_CAP_PIT2",
    timerState2: "KVM_CAP_PIT_STATE2",
    ioeventfd: "KVM_CAP_IOEVENTFD",
    setIdentityMapAddress: "KVM_CAP_SET_IDENTITY_MAP_ADDR",
    adjustClock: "KVM_CAP_ADJUST_CLOCK",
    internalErrorData: "KVM_CAP_INTERNAL_ERROR_DATA",
    vcpuEvents: "KVM_CAP_VCPU_EVENTS",
    debugRegisters: "KVM_CAP_DEBUGREGS",
    xsave: "KVM_CAP_XSAVE",
    xcrs: "KVM_CAP_XCRS",
    tscControl: "KVM_CAP_TSC_CONTROL",
    getTscFrequency: "KVM_CAP_GET_TSC_KHZ",
    maximumVcpus: "KVM_CAP_MAX_VCPUS",
    tscDeadlineTimer: "KVM_CAP_TSC_DEADLINE_TIMER",
    syncRegisters: "KVM_CAP_SYNC_REGS",
    signalMessage: "KVM_CAP_SIGNAL_MSI",
    readOnlyMemory: "KVM_CAP_READONLY_MEM",
    irqfdResample: "KVM_CAP_IRQFD_RESAMPLE",
    ioeventfdNoLength: "KVM_CAP_IOEVENTFD_NO_LENGTH",
    splitInterruptChip: "KVM_CAP_SPLIT_IRQCHIP",
    ioeventfdAnyLength: "KVM_CAP_IOEVENTFD_ANY_LENGTH",
    maximumVcpuId: "KVM_CAP_MAX_VCPU_ID",
    x2apicApi: "KVM_CAP_X2APIC_API",
    messageDeviceId: "KVM_CAP_MSI_DEVID",
    immediateExit: "KVM_CAP_IMMEDIATE_EXIT",
    featureMsrs: "KVM_CAP_GET_MSR_FEATURES",
    dirtyLogProtect2: "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2",
    dirtyLogRing: "KVM_CAP_DIRTY_LOG_RING",
    exitHypercall: "KVM_CAP_EXIT_HYPERCALL",
    xsave2: "KVM_CAP_XSAVE2",
  }),
]);

compare("other numbers of KVM", "linux/kvm.h", [
  ...pairs(IoDirection, { in: "KVM_EXIT_IO_IN", out: "KVM_EXIT_IO_OUT" }),
  ...pairs(SystemEvent, {
    shutdown: "KVM_SYSTEM_EVENT_SHUTDOWN",
    reset: "KVM_SYSTEM_EVENT_RESET",
    crash: "KVM_SYSTEM_EVENT_CRASH",
    wakeUp: "KVM_SYSTEM_EVENT_WAKEUP",
    suspend: "KVM_SYSTEM_EVENT_SUSPEND",
  }),
  ...pairs(InternalError, {
    emulation: "KVM_INTERNAL_ERROR_EMULATION",
    simultaneousException: "KVM_INTERNAL_ERROR_SIMUL_EX",
    deliveryEvent: "KVM_INTERNAL_ERROR_DELIVERY_EV",
    unexpectedExit: "KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON",
  }),
  ...pairs(MultiprocessingState, {
    runnable: "KVM_MP_STATE_RUNNABLE",
    uninitialized: "KVM_MP_STATE_UNINITIALIZED",
    initReceived: "KVM_MP_STATE_INIT_RECEIVED",
    halted: "KVM_MP_STATE_HALTED",
    sipiReceived: "KVM_MP_STATE_SIPI_RECEIVED",
  }),
  ...pairs(MemorySlotFlag, { none: "0", logDirtyPages: "KVM_MEM_LOG_DIRTY_PAGES", readOnly: "KVM_MEM_READONLY" }),
  ...pairs(InterruptChip, {
    picMaster: "KVM_IRQCHIP_PIC_MASTER",
    picSlave: "KVM_IRQCHIP_PIC_SLAVE",
    ioApic: "KVM_IRQCHIP_IOAPIC",
  }),
]);

compare(
  "flags of open",
  "fcntl.h",
  pairs(OpenFlag, {
    readOnly: "O_RDONLY",
    writeOnly: "O_WRONLY",
    readWrite: "O_RDWR",
    create: "O_CREAT",
    exclusive: "O_EXCL",
    noControllingTerminal: "O_NOCTTY",
    truncate: "O_TRUNC",
    append: "O_APPEND",
    nonBlocking: "O_NONBLOCK",
    dataSync: "O_DSYNC",
    direct: "O_DIRECT",
    directory: "O_DIRECTORY",
    noFollow: "O_NOFOLLOW",
    closeOnExec: "O_CLOEXEC",
  }),
);

compare(
  "modes of fallocate",
  "linux/falloc.h",
  pairs(FallocateMode, {
    allocate: "0",
    keepSize: "FALLOC_FL_KEEP_SIZE",
    punchHole: "FALLOC_FL_PUNCH_HOLE",
    zeroRange: "FALLOC_FL_ZERO_RANGE",
  }),
);

compare(
  "protections",
  "sys/mman.h",
  pairs(Protection, { none: "PROT_NONE", read: "PROT_READ", readWrite: "PROT_READ | PROT_WRITE" }),
);

Deno.test("every exit reason has a name", () => {
  for (const [name, reason] of Object.entries(ExitReason)) assert.ok(EXIT_REASON_NAMES.has(reason), name);
});
