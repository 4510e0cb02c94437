/**
 * The page that a vCPU isolate and the machine isolate share: how one vCPU is started, stopped, and gets those exits
 * answered that it cannot answer itself.
 *
 * ```text
 * vCPU      idle ──post──▶ posted ──(still unanswered)──▶ waiting        answered ──▶ idle
 * machine                     └──────────── answer ────────┴─────────────────▲
 * ```
 *
 * The poster spins first and sleeps after, since a sleep and wake-up across cores costs a hundred times the answer. The
 * machine isolate announces when it is about to sleep, so that only then must it be woken with an event descriptor.
 *
 * @module
 */

/** Index of each field in the page, as 32-bit integers. */
export const Field = {
  /** One of {@linkcode RequestState}. */
  requestState: 0,
  /** One of {@linkcode RequestKind}. */
  kind: 1,
  addressLow: 2,
  addressHigh: 3,
  width: 4,
  /** Low half of the data written, or of the data read. */
  dataLow: 5,
  dataHigh: 6,
  /** One of {@linkcode Command}: what the machine wants of the vCPU. */
  command: 7,
  /** One of {@linkcode VcpuState}: what the vCPU does. */
  vcpuState: 8,
  /** The kernel's id of the vCPU's thread, valid from {@linkcode VcpuState.ready} on. */
  threadId: 9,
  /** File descriptor of the vCPU, set before {@linkcode Command.run}. */
  vcpuDescriptor: 10,
  /** Where its kvm_run page is mapped. */
  runAddressLow: 11,
  runAddressHigh: 12,
  runLength: 13,
  /** Event descriptor that wakes the machine isolate. */
  wakeDescriptor: 14,
  /** Descriptor of the machine. */
  machineDescriptor: 19,
  /** Why the vCPU ended, see {@linkcode RequestKind}; details below it. */
  endReason: 15,
  endDetailLow: 16,
  endDetailHigh: 17,
  /** Times to look for an answer before sleeping. */
  spinLimit: 18,
  /** First counter; see {@linkcode Counter}. */
  counters: 32,
} as const;

/** Whose turn it is. */
export const RequestState = { idle: 0, posted: 1, waiting: 2, answered: 3 } as const;

/** What a vCPU asks the machine isolate. */
export const RequestKind = { portRead: 1, portWrite: 2, memoryRead: 3, memoryWrite: 4 } as const;

/** What the machine isolate wants of a vCPU. */
export const Command = { hold: 0, run: 1, end: 2 } as const;

/** What a vCPU does. */
export const VcpuState = { starting: 0, ready: 1, running: 2, ended: 3 } as const;

/** Why a vCPU cannot go on by itself. The detail fields hold what KVM said. */
export const EndReason = {
  none: 0,
  /** Triple fault. */
  shutdown: 1,
  /** The processor refused the state: detail is the hardware's reason. */
  failedEntry: 2,
  /** KVM could not emulate: detail is the suberror. */
  internalError: 3,
  /** KVM_EXIT_SYSTEM_EVENT: detail is its type. */
  systemEvent: 4,
  /** KVM_RUN failed: detail is the errno. */
  runFailed: 5,
  /** An exit that this program does not know: detail is its number. */
  unknownExit: 6,
} as const;

/** Counters of exits, each a 32-bit integer that wraps. Offsets from {@linkcode Field.counters}. */
export const Counter = {
  portRead: 0,
  portWrite: 1,
  memoryRead: 2,
  memoryWrite: 3,
  /** Of all exits, those answered in the vCPU's own isolate. */
  answeredLocally: 4,
  /** Of all exits, those whose poster had to sleep. */
  slept: 5,
  /** KVM_RUN was interrupted by a signal. */
  interrupted: 6,
  halt: 7,
  other: 8,
} as const;

/** Names of the counters in order, for people. */
export const COUNTER_NAMES: readonly (keyof typeof Counter)[] = Object.keys(Counter) as (keyof typeof Counter)[];

/** Bytes of one mailbox: a page, so that no two share a cache line. */
export const MAILBOX_BYTES = 4096;

/** Index of the word by which the machine isolate announces its {@linkcode Sleep}, in the block shared by all vCPUs. */
export const MACHINE_SLEEPS = 0;

/** What a vCPU isolate is sent once, at its start. */
export interface VcpuIsolateStart {
  /** Its mailbox. */
  readonly mailbox: SharedArrayBuffer;
  /** Words shared by all isolates of the machine, see {@linkcode MACHINE_SLEEPS}. */
  readonly shared: SharedArrayBuffer;
  /** One byte per port: who answers, of {@linkcode PortClaim}. */
  readonly claimedPorts: SharedArrayBuffer;
  /** See `SharedPorts`. */
  readonly sharedPorts: SharedArrayBuffer;
}

/** Who answers a port. */
export const PortClaim = {
  /** Nobody: the vCPU isolate itself, with all ones. */
  none: 0,
  /** The machine isolate. */
  machine: 1,
  /** The vCPU isolate itself, as `SharedPorts` has it. */
  shared: 2,
} as const;

/** How deep the machine isolate sleeps. */
export const Sleep = {
  none: 0,
  /** Until something happens: whoever has anything for it must wake it. */
  deep: 1,
  /** For some milliseconds, while output is flowing: only requests that somebody waits for must wake it. */
  light: 2,
} as const;
