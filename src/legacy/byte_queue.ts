/**
 * A bounded first-in-first-out queue of bytes.
 *
 * @module
 */

/** Words of the queue's own, before its bytes. */
const Word = { first: 0, length: 1, bytes: 2 } as const;

/** How many words a queue of `capacity` bytes needs. */
export function byteQueueWords(capacity: number): number {
  return Word.bytes + capacity;
}

/** Holds bytes in words that it is given, so that it can lie in memory that isolates share. Allocates nothing per byte. */
export class ByteQueue {
  readonly #words: Int32Array;
  readonly #capacity: number;

  /** @param words All zero, or the words of a queue that goes on; see {@linkcode byteQueueWords}. */
  constructor(words: Int32Array) {
    this.#words = words;
    this.#capacity = words.length - Word.bytes;
  }

  /** How many bytes wait. */
  get length(): number {
    return this.#words[Word.length];
  }

  /** Whether no more byte fits. */
  get isFull(): boolean {
    return this.length === this.#capacity;
  }

  /** Adds a byte at the end; false when the queue is full. */
  push(byte: number): boolean {
    if (this.isFull) return false;
    this.#words[Word.bytes + (this.#words[Word.first] + this.#words[Word.length]++) % this.#capacity] = byte;
    return true;
  }

  /** Takes the first byte; undefined when there is none. */
  shift(): number | undefined {
    if (this.length === 0) return undefined;
    const first = this.#words[Word.first];
    this.#words[Word.first] = (first + 1) % this.#capacity;
    this.#words[Word.length]--;
    return this.#words[Word.bytes + first];
  }

  /** Drops all bytes. */
  clear(): void {
    this.#words[Word.length] = 0;
  }
}
