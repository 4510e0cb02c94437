/**
 * A split queue with a driver twin before it, for the tests of the queue.
 *
 * @module
 */
import assert from "node:assert/strict";
import { GuestMemory } from "../../src/memory/guest_memory.ts";
import * as constants from "../../src/virtio/constants.ts";
import type { DeviceStatistics, Ring } from "../../src/virtio/ring.ts";
import { SplitQueue } from "../../src/virtio/split_queue.ts";
import { GuestAllocator, SplitRingDriver } from "../support/split_ring_driver.ts";

/** A queue, its driver twin, and what the queue told. */
export interface Fixture {
  readonly queue: SplitQueue;
  readonly driver: SplitRingDriver;
  readonly memory: GuestMemory;
  readonly errors: Error[];
  readonly touched: Ring[];
  readonly statistics: DeviceStatistics;
}

/** All that a split queue can do. */
export const RING_FEATURES = constants.FEATURE_RING_INDIRECT_DESC | constants.FEATURE_RING_EVENT_IDX;

/** A started queue. */
export function fixture(size = 8, features = RING_FEATURES, memory = GuestMemory.allocate(1 << 20)): Fixture {
  const errors: Error[] = [];
  const touched: Ring[] = [];
  const statistics = { kicks: 0, interrupts: 0, chains: 0, refusedChains: 0 };
  const queue = new SplitQueue(0, memory, statistics, {
    touched: (ring) => void touched.push(ring),
    failed: (_ring, error) => void errors.push(error),
  });
  const eventIndex = (features & constants.FEATURE_RING_EVENT_IDX) !== 0n;
  const driver = new SplitRingDriver(memory, new GuestAllocator(0x1000, memory.regions[0].length), size, eventIndex);
  assert.equal(queue.check(size, driver), undefined);
  queue.start(size, driver, features);
  return { queue, driver, memory, errors, touched, statistics };
}

/** Buffers of the driver; a negative length stands for a writable one. */
export const buffers = (
  driver: SplitRingDriver,
  ...lengths: number[]
): { address: number; length: number; writable: boolean }[] =>
  lengths.map((length) => ({
    address: driver.allocator.take(Math.abs(length)),
    length: Math.abs(length),
    writable: length < 0,
  }));
