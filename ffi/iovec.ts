/**
 * Scatter lists over one piece of memory, for io_uring: made once, rewritten for every request without allocating.
 *
 * @module
 */

import { struct } from "./struct.ts";

/** A piece of memory. */
export const iovec = struct("struct iovec", "sys/uio.h", { iov_base: "u64", iov_len: "u64" });

const WORDS = iovec.size / 4;
const BASE_LOW = iovec.offsets.iov_base / 4;
const BASE_HIGH = BASE_LOW + 1;
const LENGTH_LOW = iovec.offsets.iov_len / 4;
const LENGTH_HIGH = LENGTH_LOW + 1;
const TWO_TO_32 = 2 ** 32;

/**
 * A fixed number of slots, each a list of a fixed number of entries. A slot is free again once the operation that uses it
 * has been submitted: the kernel has copied the list by then.
 */
export class IovecTable {
  /** Number of slots. */
  readonly slots: number;
  /** Entries of each slot. */
  readonly entries: number;
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #address: number;
  readonly #memory: number;

  /**
   * @param slots Number of slots.
   * @param entries Entries of each slot; the kernel takes at most 1024.
   * @param memory Address of the memory that the entries point into, in this process.
   */
  constructor(slots: number, entries: number, memory: bigint) {
    this.slots = slots;
    this.entries = entries;
    // A buffer of its own lies outside the JavaScript heap and does not move as long as it is referred to.
    const buffer = new ArrayBuffer(slots * entries * iovec.size);
    this.#words = new Uint32Array(buffer);
    this.#address = Number(Deno.UnsafePointer.value(Deno.UnsafePointer.of(buffer)));
    // Addresses of user space have 47 bits: exact as numbers.
    this.#memory = Number(memory);
  }

  /** Address of a slot's list, for {@linkcode IoUring.readv}. */
  addressOf(slot: number): number {
    return this.#address + slot * this.entries * iovec.size;
  }

  /**
   * Sets one entry. Allocates nothing.
   *
   * @param slot The list.
   * @param entry Its entry, below {@linkcode entries}.
   * @param offset Index of the first byte in the memory. The caller has checked that all bytes lie inside.
   * @param length Bytes.
   */
  set(slot: number, entry: number, offset: number, length: number): void {
    const words = this.#words;
    const word = (slot * this.entries + entry) * WORDS;
    const address = this.#memory + offset;
    words[word + BASE_LOW] = address >>> 0;
    words[word + BASE_HIGH] = address / TWO_TO_32;
    words[word + LENGTH_LOW] = length >>> 0;
    words[word + LENGTH_HIGH] = length / TWO_TO_32;
  }
}
