/**
 * What a transport needs of a virtqueue beyond what devices see, whatever the ring format.
 *
 * @module
 */
import type { Virtqueue } from "./device.ts";

/** Guest-physical addresses of the three parts of a queue. */
export interface RingAddresses {
  /** Descriptor area. */
  readonly descriptors: number;
  /** Driver area: the available ring. */
  readonly available: number;
  /** Device area: the used ring. */
  readonly used: number;
}

/** Counters of one device. They only grow. */
export interface DeviceStatistics {
  /** Notifications that reached an active queue. */
  kicks: number;
  /** Interrupts raised, for queues and configuration. */
  interrupts: number;
  /** Chains taken from the queues. */
  chains: number;
  /** Chains refused because they were broken. */
  refusedChains: number;
}

/** What a queue tells its transport. */
export interface RingEvents {
  /** The queue was used for the first time since {@linkcode Ring.settle}, which is wanted at the end of the batch. */
  touched(queue: Ring): void;
  /** The driver broke the ring, or the device misused the queue. The queue stands still until it is started anew. */
  failed(queue: Ring, error: Error): void;
}

/** A virtqueue as its transport sees it. */
export interface Ring extends Virtqueue {
  /** Nothing is taken from the ring while this is set: Bus Master is off, or the device awaits a reset. */
  held: boolean;
  /** The device is to be called again though the driver may not kick. Cleared by the transport. */
  wantsAttention: boolean;
  /** Whether it has been started and not stopped. */
  readonly running: boolean;
  /**
   * Why the rings cannot be used; undefined when they can.
   *
   * @param size Number of descriptors.
   */
  check(size: number, addresses: RingAddresses): string | undefined;
  /** Begins at index 0 of rings that {@linkcode check} found good. */
  start(size: number, addresses: RingAddresses, features: bigint): void;
  /** Drops all chains in flight. From now on nothing of the ring is read or written. */
  stop(): void;
  /** Ends a batch: publishes what was pushed, renews the budget; true when the driver is to be interrupted. */
  settle(): boolean;
}
