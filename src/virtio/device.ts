/**
 * The `VirtioDevice` seam: what a virtio device is to any transport.
 *
 * ```text
 *            create            activate                reset
 *  options ─────────▶ idle ──────────────▶ active ──────────────▶ idle ─▶ … ─▶ disposed
 *                                            │ ▲
 *                       notify(queue) ───────┘ └─── completions of the device's own I/O
 * ```
 *
 * A device is called only in the isolate that hosts it, never twice at the same time. It must not await in `notify`:
 * it takes what is there, starts I/O, and returns.
 *
 * @module
 */
import type { GuestMemory } from "../memory/guest_memory.ts";
import type { AccessWidth } from "../pci/device.ts";

/** One virtqueue as its device declares it. */
export interface QueueDeclaration {
  /** The specification's name of the queue ("requestq", "receiveq"), for people. */
  readonly name: string;
  /** Largest number of descriptors: a power of two up to 32768. */
  readonly size: number;
}

/** What a transport gives to a device at activation. */
export interface Activation {
  /** The guest's RAM. */
  readonly memory: GuestMemory;
  /** The feature bits that driver and device agreed on. */
  readonly features: bigint;
  /** One entry per declared queue; undefined where the driver did not enable it. */
  readonly queues: readonly (Virtqueue | undefined)[];
}

/** A virtio device, whatever its type. Only the first four members are required. */
export interface VirtioDevice extends Partial<Disposable> {
  /** Feature bits the device offers beyond those that belong to the transport (VERSION_1, ring features). */
  readonly features: bigint;
  /** The device's queues in the order of the specification. */
  readonly queues: readonly QueueDeclaration[];
  /** The driver has finished its set-up. Throwing sets DEVICE_NEEDS_RESET. */
  activate(activation: Activation): void;
  /** A queue has (or may have) new buffers. Take them until `pop` returns undefined. */
  notify(queue: Virtqueue): void;

  /** Device configuration space as the guest reads it; absent for a device without one. The transport reads it live. */
  readonly configuration?: Uint8Array;
  /** The driver wrote to the configuration space; without this method the space is read-only. */
  writeConfiguration?(offset: number, width: AccessWidth, value: number): void;
  /** The device's own verdict on the feature bits that the driver accepted (a subset of the offered). Default: yes. */
  acceptFeatures?(features: bigint): boolean;
  /**
   * Back to the state after creation. Before it returns, I/O in flight has ended or been dropped: no guest memory is
   * touched afterwards. A device without it has nothing in flight between calls and keeps no state from activation.
   */
  reset?(): void;
  /** One queue is being reset on its own (RING_RESET). Same promise as {@linkcode reset}, for that queue. */
  resetQueue?(queue: Virtqueue): void;
  /** Device-specific state for a snapshot: anything that can be structured-cloned to JSON. */
  save?(): unknown;
  /** Takes back what {@linkcode save} returned, before {@linkcode activate} is called. Must refuse nonsense by throwing. */
  restore?(state: unknown): void;
}

/** A virtqueue as a device sees it, whatever its ring format. */
export interface Virtqueue {
  /** Index within the device. */
  readonly index: number;
  /** Number of descriptors that the driver chose. */
  readonly size: number;
  /**
   * The next chain that the driver made available; undefined when there is none or the budget of this wake-up is used up
   * (the queue is then looked at again soon). The chain is the device's until {@linkcode push}.
   */
  pop(): DescriptorChain | undefined;
  /** Puts back the chain popped last, as if it had not been taken. */
  undoPop(): void;
  /**
   * Returns a chain to the driver. It becomes visible, and the driver is interrupted if it wants to be, when the
   * current batch ends; devices need not think of it.
   *
   * @param written Bytes that the device wrote into the chain's writable buffers.
   */
  push(chain: DescriptorChain, written: number): void;
  /** Asks to be notified again after this wake-up, though the driver may not kick: work was left on purpose. */
  defer(): void;
}

/**
 * A chain of buffers. Objects of this kind are reused: they are valid from `pop` to `push`. Addresses were checked: every
 * buffer lies in RAM. The first {@linkcode readableCount} buffers are device-readable, the rest device-writable.
 */
export interface DescriptorChain {
  /** The queue that it came from. */
  readonly queue: Virtqueue;
  /** Small integer that no other chain in flight of this queue has. */
  readonly slot: number;
  /** Number of buffers. */
  readonly count: number;
  /** How many of them the device may read; they come first. */
  readonly readableCount: number;
  /** Sum of the lengths of the readable buffers. */
  readonly readableLength: number;
  /** Sum of the lengths of the writable buffers. */
  readonly writableLength: number;
  /** Index into `memory.bytes` of each buffer. Only the first {@linkcode count} entries are meaningful. */
  readonly offsets: Float64Array;
  /** Length in bytes of each buffer. */
  readonly lengths: Uint32Array;
  /** Copies from the readable buffers, starting `at` bytes in; returns how many bytes were copied. */
  read(at: number, into: Uint8Array): number;
  /** Copies into the writable buffers, starting `at` bytes in; returns how many bytes were copied. */
  write(at: number, from: Uint8Array): number;
  /** A little-endian unsigned number in the readable part; 0 where it is too short. */
  readU8(at: number): number;
  /** See {@linkcode readU8}. */
  readU16(at: number): number;
  /** See {@linkcode readU8}. */
  readU32(at: number): number;
  /** See {@linkcode readU8}; NaN for a value of 2^53 or more. */
  readU64(at: number): number;
  /** Writes one byte in the writable part; out of its range nothing happens. */
  writeU8(at: number, value: number): void;
}
