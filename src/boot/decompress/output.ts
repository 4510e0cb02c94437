/**
 * Where a decompressor writes: bytes that grow as needed up to a limit.
 *
 * @module
 */

/** The data cannot be unpacked: they are damaged, cut short, or unpack to more than allowed. */
export class DecompressError extends Error {
  /** Name by which the class is recognised. */
  override readonly name = "DecompressError";
}

/** A growing array of bytes. Decoders index {@linkcode bytes} themselves after {@linkcode reserve}. */
export class Output {
  /** The bytes so far, and room behind them. Replaced when it grows. */
  bytes: Uint8Array;
  /** How many bytes are written. */
  length = 0;
  readonly #limit: number;

  /**
   * @param limit Most bytes that may come out.
   * @param bytes Where to begin: of the expected size, best. It is left for another, larger array when it is full.
   */
  constructor(limit: number, bytes: Uint8Array) {
    this.#limit = limit;
    this.bytes = bytes.length > limit ? bytes.subarray(0, limit) : bytes;
  }

  /**
   * Makes room for `count` bytes more.
   *
   * @param enough Total length that does for now, where the limit does not allow `count`.
   * @throws {DecompressError} That would exceed the limit.
   */
  reserve(count: number, enough: number = this.length + count): void {
    const wanted = this.length + count;
    if (wanted <= this.bytes.length) return;
    if (enough > this.#limit) throw this.limitExceeded();
    const grown = new Uint8Array(Math.min(this.#limit, Math.max(wanted, this.bytes.length * 2)));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }

  /** The error for more output than is allowed. */
  limitExceeded(): DecompressError {
    return new DecompressError(`the data unpack to more than ${this.#limit} bytes, the most that is allowed`);
  }

  /** Appends bytes. */
  append(data: Uint8Array): void {
    this.reserve(data.length);
    this.bytes.set(data, this.length);
    this.length += data.length;
  }

  /** What has been written: a view, no copy. */
  finish(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}

/** A decompressor that appends everything that `input` holds to `output`. */
export type Decompressor = (input: Uint8Array, output: Output) => void;
