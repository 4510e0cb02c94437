/**
 * A bounded first-in-first-out queue of bytes.
 *
 * @module
 */

/** Holds up to `capacity` bytes; allocates nothing after its construction. */
export class ByteQueue {
  readonly #bytes: Uint8Array;
  #first = 0;
  #length = 0;

  /** @param capacity How many bytes it can hold, ≥ 1. */
  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** How many bytes wait. */
  get length(): number {
    return this.#length;
  }

  /** Whether no more byte fits. */
  get isFull(): boolean {
    return this.#length === this.#bytes.length;
  }

  /** Adds a byte at the end; false when the queue is full. */
  push(byte: number): boolean {
    if (this.isFull) return false;
    this.#bytes[(this.#first + this.#length++) % this.#bytes.length] = byte;
    return true;
  }

  /** Takes the first byte; undefined when there is none. */
  shift(): number | undefined {
    if (this.#length === 0) return undefined;
    const byte = this.#bytes[this.#first];
    this.#first = (this.#first + 1) % this.#bytes.length;
    this.#length--;
    return byte;
  }

  /** Drops all bytes. */
  clear(): void {
    this.#length = 0;
  }
}
