/**
 * The device's half of a split virtqueue (virtio 1.2, section 2.7).
 *
 * The driver is hostile by assumption. Each number that it wrote is read once, checked, and only then used; what does not fit makes the
 * queue stand still until it is reset.
 *
 * Memory ordering: the available index is loaded and the used index stored by `Atomics`, which are sequentially consistent. That gives
 * acquire and release, and it gives the full fence that either side needs between publishing its own index and looking at the other's
 * wish to be notified (the store and the load after it are both atomic, so neither passes the other, on x86-64 and on arm64 alike). Everything
 * between is plain.
 *
 * @module
 */
import { type GuestMemory, NOT_RAM } from "../memory/guest_memory.ts";
import * as constants from "./constants.ts";
import { BufferChain } from "./descriptor_chain.ts";
import type { DescriptorChain } from "./device.ts";
import type { DeviceStatistics, Ring, RingAddresses, RingEvents } from "./ring.ts";

/** Chains that a queue hands out in one batch, so that it cannot starve the others. */
export const CHAINS_PER_BATCH = 256;
/**
 * Most bytes that one chain may hold. The specification allows 4 GiB; no driver comes near this, and a device that fills or
 * copies a whole chain is done in a moment.
 */
export const CHAIN_LENGTH_MAXIMUM = 64 << 20;

/** The high word of the first address that a number cannot hold exactly: 2^53. */
const ADDRESS_HIGH_LIMIT = 2 ** 21;
const TWO_TO_32 = 2 ** 32;
/** Ring indices count modulo 2^16. */
const INDEX_MASK = 0xffff;

/** See the module. */
export class SplitQueue implements Ring {
  readonly index: number;
  held = false;
  wantsAttention = false;
  readonly #memory: GuestMemory;
  readonly #statistics: DeviceStatistics;
  readonly #events: RingEvents;

  #running = false;
  #size = 0;
  #indirect = false;
  #eventIndex = false;
  /** Offset of the descriptor table in `memory.bytes`. */
  #descriptors = 0;
  /** Index in `memory.words16` of the available ring's flags; index, entries and used_event follow. */
  #available = 0;
  /** Index in `memory.words16` of the used ring's flags and in `memory.words32` of its first entry. */
  #usedFlags = 0;
  #usedEntries = 0;
  #availableEvent = 0;

  /** Running number of the next chain to be taken. */
  #next = 0;
  /** The available index as seen last. */
  #seen = 0;
  /** Running number of the next used entry, and of the first that the driver has not been shown. */
  #nextUsed = 0;
  #published = 0;
  /** The running number for which a notification was asked; -1 when none is wanted. */
  #armed = -1;
  #budget = CHAINS_PER_BATCH;
  #touched = false;
  /** Chains by head descriptor, made when first needed. */
  #chains: (BufferChain | undefined)[] = [];
  #last: BufferChain | undefined;

  /**
   * @param index Index within the device.
   * @param memory The guest's RAM.
   * @param statistics The device's counters.
   * @param events The transport.
   */
  constructor(index: number, memory: GuestMemory, statistics: DeviceStatistics, events: RingEvents) {
    this.index = index;
    this.#memory = memory;
    this.#statistics = statistics;
    this.#events = events;
  }

  get size(): number {
    return this.#size;
  }

  get running(): boolean {
    return this.#running;
  }

  check(size: number, addresses: RingAddresses): string | undefined {
    if (!(size >= 1 && size <= constants.QUEUE_SIZE_MAXIMUM && (size & (size - 1)) === 0)) {
      return `size ${size} is not a power of two up to ${constants.QUEUE_SIZE_MAXIMUM}`;
    }
    const parts = [
      ["descriptor table", addresses.descriptors, descriptorTableSize(size), constants.DESCRIPTOR_TABLE_ALIGNMENT],
      ["available ring", addresses.available, availableRingSize(size), constants.AVAILABLE_RING_ALIGNMENT],
      ["used ring", addresses.used, usedRingSize(size), constants.USED_RING_ALIGNMENT],
    ] as const;
    for (const [name, address, length, alignment] of parts) {
      const offset = this.#memory.offsetOf(address, length);
      if (offset === NOT_RAM) return `its ${name} of ${length} bytes at 0x${address.toString(16)} is not in RAM`;
      if (address % alignment !== 0 || offset % alignment !== 0) {
        return `its ${name} at 0x${address.toString(16)} is not aligned to ${alignment} bytes`;
      }
    }
    return undefined;
  }

  start(size: number, addresses: RingAddresses, features: bigint): void {
    const memory = this.#memory;
    this.#size = size;
    this.#indirect = (features & constants.FEATURE_RING_INDIRECT_DESC) !== 0n;
    this.#eventIndex = (features & constants.FEATURE_RING_EVENT_IDX) !== 0n;
    this.#descriptors = memory.offsetOf(addresses.descriptors, descriptorTableSize(size));
    this.#available = memory.offsetOf(addresses.available, availableRingSize(size)) / 2;
    const used = memory.offsetOf(addresses.used, usedRingSize(size));
    this.#usedFlags = used / 2;
    this.#usedEntries = (used + constants.RING_HEADER_SIZE) / 4;
    this.#availableEvent = (used + usedRingSize(size) - constants.RING_EVENT_SIZE) / 2;
    this.#next =
      this.#seen =
      this.#nextUsed =
      this.#published =
        0;
    // The driver may have left anything where the device states its wish: it wants to hear of the first chain.
    this.#armed = 0;
    memory.words16[this.#eventIndex ? this.#availableEvent : this.#usedFlags] = 0;
    this.#chains = new Array<BufferChain | undefined>(size).fill(undefined);
    this.#last = undefined;
    this.#budget = CHAINS_PER_BATCH;
    this.wantsAttention = false;
    this.#running = true;
  }

  stop(): void {
    this.#running = false;
    this.wantsAttention = false;
    this.#chains = [];
    this.#last = undefined;
  }

  pop(): DescriptorChain | undefined {
    if (!this.#running || this.held) return undefined;
    if (this.#next === this.#seen && !this.#look()) return undefined;
    if (this.#budget === 0) {
      this.wantsAttention = true;
      return undefined;
    }
    if (!this.#eventIndex && this.#armed >= 0) {
      // No kicks are needed while the ring is being emptied.
      this.#armed = -1;
      this.#memory.words16[this.#usedFlags] = constants.USED_NO_NOTIFY;
    }
    const chain = this.#take(this.#memory.words16[this.#available + 2 + (this.#next & (this.#size - 1))]);
    if (chain === undefined) return undefined;
    this.#touch();
    this.#budget--;
    this.#next = (this.#next + 1) & INDEX_MASK;
    this.#statistics.chains++;
    chain.inFlight = true;
    this.#last = chain;
    return chain;
  }

  undoPop(): void {
    const chain = this.#last;
    if (chain === undefined || !chain.inFlight) {
      if (this.#running) this.#fail("the device put back a chain, but it holds none that it popped last");
      return;
    }
    this.#last = undefined;
    chain.inFlight = false;
    this.#next = (this.#next - 1) & INDEX_MASK;
    this.#budget++;
    this.#statistics.chains--;
  }

  push(chain: DescriptorChain, written: number): void {
    const mine = this.#chains[chain.slot];
    // A chain from before a reset: the driver has forgotten it.
    if (mine === undefined || mine !== chain) return;
    if (!mine.inFlight) {
      this.#fail(`the device returned the chain of descriptor ${chain.slot} twice`);
      return;
    }
    mine.inFlight = false;
    const at = this.#usedEntries + 2 * (this.#nextUsed & (this.#size - 1));
    const { words32 } = this.#memory;
    words32[at] = mine.slot;
    words32[at + 1] = written > 0 ? Math.min(written, mine.writableLength) : 0;
    this.#nextUsed = (this.#nextUsed + 1) & INDEX_MASK;
    this.#touch();
  }

  defer(): void {
    if (!this.#running) return;
    this.wantsAttention = true;
    this.#touch();
  }

  settle(): boolean {
    this.#touched = false;
    this.#budget = CHAINS_PER_BATCH;
    const now = this.#nextUsed;
    const old = this.#published;
    if (!this.#running || now === old) return false;
    this.#published = now;
    const { words16 } = this.#memory;
    Atomics.store(words16, this.#usedFlags + 1, now);
    if (!this.#eventIndex) return (Atomics.load(words16, this.#available) & constants.AVAILABLE_NO_INTERRUPT) === 0;
    // An interrupt is due when the entry that the driver waits for is among those just shown (2.7.7.2).
    const event = Atomics.load(words16, this.#available + 2 + this.#size);
    return ((now - event - 1) & INDEX_MASK) < ((now - old) & INDEX_MASK);
  }

  #touch(): void {
    if (this.#touched) return;
    this.#touched = true;
    this.#events.touched(this);
  }

  /** The ring seems empty: looks again, and asks to be notified if it is. True when there is something. */
  #look(): boolean {
    const { words16 } = this.#memory;
    const next = this.#next;
    let index = Atomics.load(words16, this.#available + 1);
    if (index === next) {
      if (this.#armed === (this.#eventIndex ? next : 0)) return false;
      if (this.#eventIndex) {
        this.#armed = next;
        Atomics.store(words16, this.#availableEvent, next);
      } else {
        this.#armed = 0;
        Atomics.store(words16, this.#usedFlags, 0);
      }
      // What came before the driver could see that wish came without a notification.
      index = Atomics.load(words16, this.#available + 1);
      if (index === next) return false;
    }
    const ahead = (index - next) & INDEX_MASK;
    if (ahead > this.#size) {
      this.#refuse(
        `the available index ${index} is ${ahead} ahead of ${next}, more than the ${this.#size} descriptors`,
      );
      return false;
    }
    this.#seen = index;
    return true;
  }

  /** Reads and checks the chain that begins at a descriptor. */
  #take(head: number): BufferChain | undefined {
    if (head >= this.#size) return this.#refuse(`the head ${head} is not below ${this.#size}`);
    const chain = this.#chains[head] ??= new BufferChain(this, head, this.#memory);
    if (chain.inFlight) return this.#refuse(`the chain of descriptor ${head} is made available while it is in flight`);
    chain.begin();
    const { view } = this.#memory;
    let table = this.#descriptors;
    let limit = this.#size;
    let index = head;
    let inIndirect = false;
    for (;;) {
      if (index >= limit) return this.#refuse(`descriptor ${index} is beyond a table of ${limit}`);
      const at = table + constants.DESCRIPTOR_SIZE * index;
      const low = view.getUint32(at, true);
      const high = view.getUint32(at + 4, true);
      const length = view.getUint32(at + 8, true);
      const flags = view.getUint16(at + 12, true);
      const next = view.getUint16(at + 14, true);
      // Beyond 2^53 the sum below would be rounded; no RAM is there.
      const offset = high < ADDRESS_HIGH_LIMIT ? this.#memory.offsetOf(high * TWO_TO_32 + low, length) : NOT_RAM;
      if (length === 0) return this.#refuse(`descriptor ${index} has length 0`);
      if (offset === NOT_RAM) {
        const address = (BigInt(high) << 32n | BigInt(low)).toString(16);
        return this.#refuse(`descriptor ${index} names ${length} bytes at 0x${address}, which are not all RAM`);
      }
      if ((flags & constants.DESCRIPTOR_INDIRECT) !== 0) {
        if (!this.#indirect) return this.#refuse(`descriptor ${index} is indirect, which was not negotiated`);
        if (inIndirect) return this.#refuse(`descriptor ${index} of an indirect table is indirect itself`);
        if ((flags & constants.DESCRIPTOR_NEXT) !== 0) {
          return this.#refuse(`descriptor ${index} has both INDIRECT and NEXT`);
        }
        if (length % constants.DESCRIPTOR_SIZE !== 0) {
          return this.#refuse(`the indirect table of descriptor ${index} has ${length} bytes, not whole descriptors`);
        }
        inIndirect = true;
        table = offset;
        limit = length / constants.DESCRIPTOR_SIZE;
        index = 0;
        continue;
      }
      const writable = (flags & constants.DESCRIPTOR_WRITE) !== 0;
      if (chain.count === this.#size) return this.#refuse(`the chain has more buffers than the queue: ${this.#size}`);
      if (!writable && chain.writableLength > 0) {
        return this.#refuse(`descriptor ${index} is readable behind a writable one`);
      }
      if (chain.readableLength + chain.writableLength + length > CHAIN_LENGTH_MAXIMUM) {
        return this.#refuse(`the chain holds more than ${CHAIN_LENGTH_MAXIMUM} bytes`);
      }
      chain.append(offset, length, writable);
      if ((flags & constants.DESCRIPTOR_NEXT) === 0) return chain;
      index = next;
    }
  }

  #refuse(reason: string): undefined {
    this.#statistics.refusedChains++;
    this.#fail(reason);
  }

  #fail(reason: string): void {
    this.held = true;
    this.#events.failed(this, new Error(`Queue ${this.index}: ${reason}`));
  }
}

/** Bytes of the descriptor table. */
export function descriptorTableSize(size: number): number {
  return constants.DESCRIPTOR_SIZE * size;
}

/** Bytes of the available ring with used_event. */
export function availableRingSize(size: number): number {
  return constants.RING_HEADER_SIZE + constants.AVAILABLE_ENTRY_SIZE * size + constants.RING_EVENT_SIZE;
}

/** Bytes of the used ring with avail_event. */
export function usedRingSize(size: number): number {
  return constants.RING_HEADER_SIZE + constants.USED_ENTRY_SIZE * size + constants.RING_EVENT_SIZE;
}
