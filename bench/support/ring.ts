/**
 * A ring that is always full of the same chains: the driver's half of the queue benches, as cheap as it can be.
 *
 * @module
 */
import { GuestMemory } from "../../src/memory/guest_memory.ts";
import * as constants from "../../src/virtio/constants.ts";
import type { RingAddresses } from "../../src/virtio/ring.ts";
import { availableRingSize, SplitQueue } from "../../src/virtio/split_queue.ts";

/** Descriptors of the queue. */
export const QUEUE_SIZE = 256;
/** Chains that the driver makes available at a time. */
export const BATCH = 32;
/** Bytes that the device says it has written to each. */
export const WRITTEN = 513;

/** The buffers of a chain, as of a 512-byte read of a disk: header, data, status. */
const BUFFERS = [
  { length: 16, writable: false },
  { length: 512, writable: true },
  { length: 1, writable: true },
] as const;
const CHAIN_LENGTH = BUFFERS.length;

const MEMORY_SIZE = 4 << 20;
/** Guest-physical addresses of what is in it. */
const DESCRIPTORS = 0x1_0000;
const AVAILABLE = 0x2_0000;
const USED = 0x3_0000;
const INDIRECT_TABLES = 0x4_0000;
const DATA = 0x10_0000;
const DATA_STRIDE = 0x400;
const INDEX_MASK = 0xffff;

/** How a chain's descriptors are stored. */
export type ChainForm = "direct" | "indirect";

/** A queue and the driver that keeps it busy. */
export class BusyRing {
  readonly memory: GuestMemory = GuestMemory.allocate(MEMORY_SIZE);
  readonly addresses: RingAddresses = { descriptors: DESCRIPTORS, available: AVAILABLE, used: USED };
  readonly queue: SplitQueue;
  readonly #availableIndex = (AVAILABLE + Uint16Array.BYTES_PER_ELEMENT) / Uint16Array.BYTES_PER_ELEMENT;

  /** @param form How the chains are stored. */
  constructor(form: ChainForm) {
    const statistics = { kicks: 0, interrupts: 0, chains: 0, refusedChains: 0 };
    this.queue = new SplitQueue(0, this.memory, statistics, {
      touched: () => {},
      failed: (_queue, error) => {
        throw error;
      },
    });
    const chains = form === "direct" ? Math.floor(QUEUE_SIZE / CHAIN_LENGTH) : QUEUE_SIZE;
    for (let chain = 0; chain < chains; chain++) this.#describe(chain, form);
    const heads = (AVAILABLE + constants.RING_HEADER_SIZE) / Uint16Array.BYTES_PER_ELEMENT;
    // The chains of a batch must differ from each other, since all of them may be in flight together.
    for (let i = 0; i < QUEUE_SIZE; i++) {
      const chain = i % BATCH;
      this.memory.words16[heads + i] = form === "direct" ? chain * CHAIN_LENGTH : chain;
    }
    // The driver wants no interrupt soon: the device computes, and finds none due.
    const usedEvent = AVAILABLE + availableRingSize(QUEUE_SIZE) - constants.RING_EVENT_SIZE;
    this.memory.view.setUint16(usedEvent, INDEX_MASK, true);
    this.queue.start(
      QUEUE_SIZE,
      this.addresses,
      constants.FEATURE_RING_INDIRECT_DESC | constants.FEATURE_RING_EVENT_IDX,
    );
  }

  /** Makes a batch available, takes it and returns it; `batches` times. Returns the number of chains. */
  serve(batches: number): number {
    const { queue, memory: { words16 } } = this;
    let served = 0;
    for (let i = 0; i < batches; i++) {
      const index = words16[this.#availableIndex];
      Atomics.store(words16, this.#availableIndex, (index + BATCH) & INDEX_MASK);
      for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
        queue.push(chain, WRITTEN);
        served++;
      }
      queue.settle();
    }
    return served;
  }

  #describe(chain: number, form: ChainForm): void {
    const first = form === "direct" ? chain * CHAIN_LENGTH : 0;
    const table = form === "direct" ? DESCRIPTORS : INDIRECT_TABLES + chain * CHAIN_LENGTH * constants.DESCRIPTOR_SIZE;
    let address = DATA + chain * DATA_STRIDE;
    BUFFERS.forEach(({ length, writable }, i) => {
      const isLast = i === CHAIN_LENGTH - 1;
      const flags = (writable ? constants.DESCRIPTOR_WRITE : 0) | (isLast ? 0 : constants.DESCRIPTOR_NEXT);
      this.#write(table, first + i, address, length, flags, isLast ? 0 : first + i + 1);
      address += length;
    });
    if (form === "direct") return;
    const length = CHAIN_LENGTH * constants.DESCRIPTOR_SIZE;
    this.#write(DESCRIPTORS, chain, table, length, constants.DESCRIPTOR_INDIRECT, 0);
  }

  /** One descriptor (virtio 1.2, 2.7.5): address, length, flags, next. */
  #write(table: number, index: number, address: number, length: number, flags: number, next: number): void {
    const at = table + index * constants.DESCRIPTOR_SIZE;
    const { view } = this.memory;
    view.setBigUint64(at, BigInt(address), true);
    view.setUint32(at + 8, length, true);
    view.setUint16(at + 12, flags, true);
    view.setUint16(at + 14, next, true);
  }
}
