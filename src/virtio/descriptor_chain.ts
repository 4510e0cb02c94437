/**
 * A chain of checked buffers, reused from request to request.
 *
 * @module
 */
import type { GuestMemory } from "../memory/guest_memory.ts";
import type { DescriptorChain, Virtqueue } from "./device.ts";

/** Buffers that a new chain has room for; more are made room for when they come. */
const INITIAL_CAPACITY = 8;
/** Up to this length bytes are copied one by one: cheaper than making a view. */
const COPY_BY_BYTE = 48;

/** See {@linkcode DescriptorChain}. Queues fill it by {@linkcode begin} and {@linkcode append}. */
export class BufferChain implements DescriptorChain {
  readonly queue: Virtqueue;
  readonly slot: number;
  count = 0;
  readableCount = 0;
  readableLength = 0;
  writableLength = 0;
  offsets: Float64Array<ArrayBuffer> = new Float64Array(INITIAL_CAPACITY);
  lengths: Uint32Array<ArrayBuffer> = new Uint32Array(INITIAL_CAPACITY);
  /** Whether a device holds it. Belongs to the queue. */
  inFlight = false;
  readonly #memory: GuestMemory;

  /**
   * @param queue The queue that it belongs to.
   * @param slot See {@linkcode DescriptorChain.slot}.
   * @param memory Where the buffers are.
   */
  constructor(queue: Virtqueue, slot: number, memory: GuestMemory) {
    this.queue = queue;
    this.slot = slot;
    this.#memory = memory;
  }

  /** Empties the chain. */
  begin(): void {
    this.count = 0;
    this.readableCount = 0;
    this.readableLength = 0;
    this.writableLength = 0;
  }

  /** Adds a buffer; readable ones come before writable ones. */
  append(offset: number, length: number, writable: boolean): void {
    const { count } = this;
    if (count === this.lengths.length) this.#grow();
    this.offsets[count] = offset;
    this.lengths[count] = length;
    this.count = count + 1;
    if (writable) {
      this.writableLength += length;
    } else {
      this.readableCount = count + 1;
      this.readableLength += length;
    }
  }

  read(at: number, into: Uint8Array): number {
    return this.#copy(0, this.readableCount, at, into, false);
  }

  write(at: number, from: Uint8Array): number {
    return this.#copy(this.readableCount, this.count, at, from, true);
  }

  readU8(at: number): number {
    const offset = this.#find(0, this.readableCount, at, 1);
    return offset < 0 ? 0 : this.#memory.bytes[offset];
  }

  readU16(at: number): number {
    const offset = this.#find(0, this.readableCount, at, 2);
    return offset >= 0 ? this.#memory.view.getUint16(offset, true) : this.#readSplit(at, 2);
  }

  readU32(at: number): number {
    const offset = this.#find(0, this.readableCount, at, 4);
    return offset >= 0 ? this.#memory.view.getUint32(offset, true) : this.#readSplit(at, 4);
  }

  readU64(at: number): number {
    if (!(at >= 0 && at + 8 <= this.readableLength)) return 0;
    const value = this.readU32(at + 4) * 2 ** 32 + this.readU32(at);
    return value <= Number.MAX_SAFE_INTEGER ? value : NaN;
  }

  writeU8(at: number, value: number): void {
    const offset = this.#find(this.readableCount, this.count, at, 1);
    if (offset >= 0) this.#memory.bytes[offset] = value;
  }

  /** Index into memory of byte `at` of buffers [first, end), if `length` bytes follow in the same buffer; else -1. */
  #find(first: number, end: number, at: number, length: number): number {
    if (!(at >= 0)) return -1;
    let inside = at;
    for (let i = first; i < end; i++) {
      const size = this.lengths[i];
      if (inside < size) return inside + length <= size ? this.offsets[i] + inside : -1;
      inside -= size;
    }
    return -1;
  }

  /** A number whose bytes lie in several buffers; 0 where the readable part is too short. */
  #readSplit(at: number, width: number): number {
    if (!(at >= 0 && at + width <= this.readableLength)) return 0;
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + this.readU8(at + i);
    return value;
  }

  #copy(first: number, end: number, at: number, data: Uint8Array, toGuest: boolean): number {
    if (!(at >= 0)) return 0;
    const { bytes } = this.#memory;
    let skip = at;
    let done = 0;
    for (let i = first; i < end && done < data.length; i++) {
      const size = this.lengths[i];
      if (skip >= size) {
        skip -= size;
        continue;
      }
      const offset = this.offsets[i] + skip;
      const length = Math.min(size - skip, data.length - done);
      skip = 0;
      if (length <= COPY_BY_BYTE) {
        if (toGuest) { for (let k = 0; k < length; k++) bytes[offset + k] = data[done + k]; }
        else for (let k = 0; k < length; k++) data[done + k] = bytes[offset + k];
      } else if (toGuest) {
        bytes.set(data.subarray(done, done + length), offset);
      } else {
        data.set(bytes.subarray(offset, offset + length), done);
      }
      done += length;
    }
    return done;
  }

  #grow(): void {
    const offsets = new Float64Array(2 * this.offsets.length);
    offsets.set(this.offsets);
    this.offsets = offsets;
    const lengths = new Uint32Array(2 * this.lengths.length);
    lengths.set(this.lengths);
    this.lengths = lengths;
  }
}
