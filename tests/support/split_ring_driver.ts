/**
 * The driver's half of a split virtqueue, written from the specification (virtio 1.2, section 2.7) independently of the device's half,
 * so that each proves the other.
 *
 * @module
 */
import type { GuestMemory } from "../../src/memory/guest_memory.ts";

/** A buffer of a chain that a driver makes available. */
export interface DriverBuffer {
  /** Guest-physical address. */
  readonly address: number;
  /** Bytes. */
  readonly length: number;
  /** Whether the device may write it. */
  readonly writable?: boolean;
}

/** A chain that the device has returned. */
export interface UsedChain {
  /** Index of the head descriptor, as {@linkcode SplitRingDriver.add} returned it. */
  readonly head: number;
  /** Bytes that the device says it has written. */
  readonly written: number;
}

/** Bits of a descriptor's flags (2.7.5). */
export const NEXT = 1;
export const WRITE = 2;
export const INDIRECT = 4;

/** A bump allocator over a range of guest memory. */
export class GuestAllocator {
  #next: number;
  readonly #end: number;

  constructor(start: number, end: number) {
    this.#next = start;
    this.#end = end;
  }

  /** Takes `length` bytes at the given alignment. */
  take(length: number, alignment = 16): number {
    const address = Math.ceil(this.#next / alignment) * alignment;
    if (address + length > this.#end) throw new RangeError(`Test memory is used up: ${length} bytes at ${address}`);
    this.#next = address + length;
    return address;
  }
}

/** A small driver of one split virtqueue. */
export class SplitRingDriver {
  readonly memory: GuestMemory;
  readonly allocator: GuestAllocator;
  readonly size: number;
  /** Guest-physical addresses of the three parts. */
  readonly descriptors: number;
  readonly available: number;
  readonly used: number;
  readonly #eventIndex: boolean;
  readonly #free: number[] = [];
  readonly #chains = new Map<number, number[]>();
  #availableIndex = 0;
  #kickedIndex = 0;
  #usedIndex = 0;

  constructor(memory: GuestMemory, allocator: GuestAllocator, size: number, eventIndex = false) {
    this.memory = memory;
    this.allocator = allocator;
    this.size = size;
    this.#eventIndex = eventIndex;
    this.descriptors = allocator.take(16 * size, 16);
    this.available = allocator.take(6 + 2 * size, 2);
    this.used = allocator.take(6 + 8 * size, 4);
    for (
      const [address, length] of [[this.descriptors, 16 * size], [this.available, 6 + 2 * size], [
        this.used,
        6 + 8 * size,
      ]]
    ) {
      memory.write(address, new Uint8Array(length));
    }
    for (let i = size - 1; i >= 0; i--) this.#free.push(i);
  }

  /** Makes a chain available; returns its head. With `indirect` the buffers go to an indirect table. */
  add(buffers: readonly DriverBuffer[], options: { readonly indirect?: boolean } = {}): number {
    const indices: number[] = [];
    const take = (): number => {
      const index = this.#free.pop();
      if (index === undefined) throw new Error("The test driver has no free descriptor");
      indices.push(index);
      return index;
    };
    let head: number;
    if (options.indirect === true) {
      const table = this.allocator.take(16 * buffers.length, 16);
      buffers.forEach((buffer, i) =>
        this.writeDescriptor(table, i, buffer, i + 1 < buffers.length ? i + 1 : undefined)
      );
      head = take();
      this.writeRawDescriptor(this.descriptors, head, table, 16 * buffers.length, INDIRECT, 0);
    } else {
      const chain = buffers.map(take);
      buffers.forEach((buffer, i) => this.writeDescriptor(this.descriptors, chain[i], buffer, chain[i + 1]));
      head = chain[0];
    }
    this.#chains.set(head, indices);
    this.publish(head);
    return head;
  }

  /** Writes one descriptor of a chain. */
  writeDescriptor(table: number, index: number, buffer: DriverBuffer, next: number | undefined): void {
    const flags = (buffer.writable === true ? WRITE : 0) | (next === undefined ? 0 : NEXT);
    this.writeRawDescriptor(table, index, buffer.address, buffer.length, flags, next ?? 0);
  }

  /** Writes any descriptor, however wrong. The address may be a bigint to reach all 64 bits. */
  writeRawDescriptor(
    table: number,
    index: number,
    address: number | bigint,
    length: number,
    flags: number,
    next: number,
  ): void {
    const at = this.#at(table + 16 * index);
    this.memory.view.setBigUint64(at, BigInt(address), true);
    this.memory.view.setUint32(at + 8, length, true);
    this.memory.view.setUint16(at + 12, flags, true);
    this.memory.view.setUint16(at + 14, next, true);
  }

  /** Puts a head into the available ring and publishes the index. */
  publish(head: number): void {
    this.memory.view.setUint16(this.#at(this.available + 4 + 2 * (this.#availableIndex % this.size)), head, true);
    this.setAvailableIndex((this.#availableIndex + 1) & 0xffff);
  }

  /** Publishes any available index. */
  setAvailableIndex(index: number): void {
    this.#availableIndex = index;
    Atomics.store(this.memory.words16, this.#at(this.available + 2) / 2, index);
  }

  /** The available index published last. */
  get availableIndex(): number {
    return this.#availableIndex;
  }

  /** Whether the device wants a kick for what was added since the last call (2.7.7, 2.7.10). */
  needsKick(): boolean {
    const old = this.#kickedIndex;
    const now = this.#availableIndex;
    this.#kickedIndex = now;
    if (!this.#eventIndex) return (Atomics.load(this.memory.words16, this.#at(this.used) / 2) & 1) === 0;
    const event = Atomics.load(this.memory.words16, this.#at(this.used + 4 + 8 * this.size) / 2);
    return ((now - event - 1) & 0xffff) < ((now - old) & 0xffff);
  }

  /** Asks for an interrupt only once the device has used the chain with this running number (EVENT_IDX). */
  setUsedEvent(index: number): void {
    Atomics.store(this.memory.words16, this.#at(this.available + 4 + 2 * this.size) / 2, index & 0xffff);
  }

  /** Sets the available ring's flags (1: no interrupts, please). */
  setAvailableFlags(flags: number): void {
    Atomics.store(this.memory.words16, this.#at(this.available) / 2, flags);
  }

  /** The device's avail_event (EVENT_IDX). */
  get availableEvent(): number {
    return this.memory.view.getUint16(this.#at(this.used + 4 + 8 * this.size), true);
  }

  /** The used ring's flags. */
  get usedFlags(): number {
    return this.memory.view.getUint16(this.#at(this.used), true);
  }

  /** The used ring's index as the device has published it. */
  get usedIndex(): number {
    return Atomics.load(this.memory.words16, this.#at(this.used + 2) / 2);
  }

  /** Takes what the device has returned; its descriptors become free. With EVENT_IDX the next interrupt is asked for. */
  collect(): UsedChain[] {
    const result: UsedChain[] = [];
    while (this.#usedIndex !== this.usedIndex) {
      const at = this.#at(this.used + 4 + 8 * (this.#usedIndex % this.size));
      const head = this.memory.view.getUint32(at, true);
      result.push({ head, written: this.memory.view.getUint32(at + 4, true) });
      this.#free.push(...this.#chains.get(head) ?? []);
      this.#chains.delete(head);
      this.#usedIndex = (this.#usedIndex + 1) & 0xffff;
    }
    if (this.#eventIndex) this.setUsedEvent(this.#usedIndex);
    return result;
  }

  #at(address: number): number {
    const offset = this.memory.offsetOf(address, 1);
    if (offset < 0) throw new RangeError(`Test driver: 0x${address.toString(16)} is not RAM`);
    return offset;
  }
}
