/**
 * A bounded stream of bytes between isolates: one sends at a time, one receives.
 *
 * @module
 */

/** Words before the bytes: how many were sent and received, both wrapping. */
const Word = { sent: 0, received: 1 } as const;
const HEADER_BYTES = 8;

/** A channel's bytes of shared memory for a capacity, which must be a power of two. */
export function channelBytes(capacity: number): number {
  return HEADER_BYTES + capacity;
}

/** One end of a channel. */
export class ByteChannel {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #mask: number;

  /**
   * @param block Shared memory, all zero at first.
   * @param offset Where the channel lies in it: a multiple of 4.
   * @param capacity A power of two.
   */
  constructor(block: SharedArrayBuffer, offset: number, capacity: number) {
    this.#words = new Int32Array(block, offset, HEADER_BYTES / 4);
    this.#bytes = new Uint8Array(block, offset + HEADER_BYTES, capacity);
    this.#mask = capacity - 1;
  }

  /** Whether there is nothing to receive. */
  get isEmpty(): boolean {
    return Atomics.load(this.#words, Word.sent) === Atomics.load(this.#words, Word.received);
  }

  /** Sends a byte; false when there is no room. */
  send(byte: number): boolean {
    const sent = this.#words[Word.sent];
    if (((sent - Atomics.load(this.#words, Word.received)) >>> 0) > this.#mask) return false;
    this.#bytes[sent & this.#mask] = byte;
    Atomics.store(this.#words, Word.sent, (sent + 1) | 0);
    return true;
  }

  /** Receives up to `into.length` bytes; returns how many. */
  receive(into: Uint8Array): number {
    const received = this.#words[Word.received];
    const count = Math.min((Atomics.load(this.#words, Word.sent) - received) >>> 0, into.length);
    for (let i = 0; i < count; i++) into[i] = this.#bytes[(received + i) & this.#mask];
    if (count > 0) Atomics.store(this.#words, Word.received, (received + count) | 0);
    return count;
  }
}
