/**
 * The LZMA decoder: the core of both `.lzma` and `.xz`, and the `.lzma` container.
 *
 * The npm packages do not undo the x86 filter that kernels use with xz, do not bound what comes out, or are native add-ons; hence
 * our own. Source of the format: the LZMA specification of the LZMA SDK (public domain).
 *
 * @module
 */
import { DecompressError, type Output } from "./output.ts";

/** Bytes of a `.lzma` header: properties, dictionary size, unpacked size. */
const HEADER = 13;
const UNKNOWN_SIZE = 0xffff_ffff_ffff_ffffn;

/** Probabilities are 11 bits wide and start in the middle. */
const PROBABILITY_BITS = 11;
const PROBABILITY_ONE = 1 << PROBABILITY_BITS;
const ADAPTION = 5;
/** The range is refilled when it falls below this. */
const RANGE_LOW = 2 ** 24;

const STATES = 12;
const POSITION_STATES = 16;
/** States below this one follow a literal. */
const STATE_AFTER_MATCH = 7;
const LENGTH_LOW = 2;
const LENGTH_MIDDLE = LENGTH_LOW + POSITION_STATES * 8;
const LENGTH_HIGH = LENGTH_MIDDLE + POSITION_STATES * 8;
const LENGTH_SIZE = LENGTH_HIGH + 256;
const MINIMUM_MATCH = 2;
/** The distance that ends the data: all ones. */
const END_MARKER = -1;

/** Where each kind of probability begins in the one array that holds all. */
const IS_MATCH = 0;
const IS_REPEAT = IS_MATCH + STATES * POSITION_STATES;
const IS_REPEAT_0 = IS_REPEAT + STATES;
const IS_REPEAT_1 = IS_REPEAT_0 + STATES;
const IS_REPEAT_2 = IS_REPEAT_1 + STATES;
const IS_REPEAT_0_LONG = IS_REPEAT_2 + STATES;
const DISTANCE_SLOT = IS_REPEAT_0_LONG + STATES * POSITION_STATES;
const DISTANCE_SPECIAL = DISTANCE_SLOT + 4 * 64;
const DISTANCE_ALIGN = DISTANCE_SPECIAL + 128;
const MATCH_LENGTH = DISTANCE_ALIGN + 16;
const REPEAT_LENGTH = MATCH_LENGTH + LENGTH_SIZE;
const LITERAL = REPEAT_LENGTH + LENGTH_SIZE;
const LITERAL_SIZE = 0x300;

/** Unpacks a `.lzma` file. What follows its end marker (or its last byte, where the header tells the size) is ignored. */
export function decompressLzma(input: Uint8Array, output: Output): void {
  if (input.length < HEADER) throw new DecompressError("the LZMA data are cut short");
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  const size = view.getBigUint64(5, true);
  const decoder = new LzmaDecoder(output);
  decoder.setProperties(input[0]);
  decoder.begin(input, HEADER, input.length);
  decoder.run(size === UNKNOWN_SIZE ? Infinity : Number(size));
}

/** Decodes LZMA symbols. All that has come out serves as dictionary. */
export class LzmaDecoder {
  readonly #output: Output;
  /** Index of the first byte of the dictionary. */
  #dictionary: number;
  #probabilities = new Uint16Array(LITERAL);
  #literalContextBits = 0;
  #literalPositionMask = 0;
  #positionMask = 0;

  #state = 0;
  #distance0 = 0;
  #distance1 = 0;
  #distance2 = 0;
  #distance3 = 0;

  #input: Uint8Array = new Uint8Array();
  #at = 0;
  #end = 0;
  /** Range and code of the range decoder: unsigned numbers in a signed representation, which engines keep unboxed. */
  #range = 0;
  #code = 0;

  /** @param output Where symbols go; the dictionary begins at its present end. */
  constructor(output: Output) {
    this.#output = output;
    this.#dictionary = output.length;
  }

  /** Index into the input of the next byte to be read. */
  get position(): number {
    return this.#at;
  }

  /** Forgets everything before the output's present end. */
  resetDictionary(): void {
    this.#dictionary = this.#output.length;
  }

  /** Sets the three parameters from their byte and resets the state. */
  setProperties(byte: number): void {
    if (byte >= 9 * 5 * 5) throw new DecompressError(`LZMA properties of ${byte}; expected less than 225`);
    this.#literalContextBits = byte % 9;
    const literalPositionBits = Math.floor(byte / 9) % 5;
    this.#literalPositionMask = (1 << literalPositionBits) - 1;
    this.#positionMask = (1 << Math.floor(byte / 45)) - 1;
    const size = LITERAL + (LITERAL_SIZE << (this.#literalContextBits + literalPositionBits));
    if (this.#probabilities.length !== size) this.#probabilities = new Uint16Array(size);
    this.resetState();
  }

  /** Resets what was learnt; the dictionary stays. */
  resetState(): void {
    this.#probabilities.fill(PROBABILITY_ONE / 2);
    this.#state = 0;
    this.#distance0 =
      this.#distance1 =
      this.#distance2 =
      this.#distance3 =
        0;
  }

  /** Starts the range decoder on input[start, end). */
  begin(input: Uint8Array, start: number, end: number): void {
    if (end - start < 5 || end > input.length) throw new DecompressError("the LZMA data are cut short");
    if (input[start] !== 0) throw new DecompressError("the LZMA data are damaged: the first byte is not 0");
    this.#input = input;
    this.#at = start + 5;
    this.#end = end;
    this.#range = -1;
    this.#code = input[start + 1] << 24 | input[start + 2] << 16 | input[start + 3] << 8 | input[start + 4];
  }

  /**
   * Decodes until `count` bytes have come out or the end marker is met.
   *
   * @throws {DecompressError} The data are damaged or cut short, or the output's limit is reached.
   */
  run(count: number): void {
    const output = this.#output;
    const dictionary = this.#dictionary;
    const end = output.length + count;
    let to = output.length;
    let out = output.bytes;
    while (to < end) {
      if (to === out.length) {
        output.length = to;
        output.reserve(1);
        out = output.bytes;
      }
      const state = this.#state;
      const positionState = to - dictionary & this.#positionMask;
      if (this.#bit(IS_MATCH + state * POSITION_STATES + positionState) === 0) {
        const previous = to > dictionary ? out[to - 1] : 0;
        const context = ((to - dictionary & this.#literalPositionMask) << this.#literalContextBits)
          + (previous >>> (8 - this.#literalContextBits));
        const base = LITERAL + LITERAL_SIZE * context;
        let symbol = 1;
        if (state >= STATE_AFTER_MATCH) {
          let matched = out[to - this.#distance0 - 1];
          do {
            const matchBit = matched >>> 7 & 1;
            matched <<= 1;
            const bit = this.#bit(base + (1 + matchBit << 8) + symbol);
            symbol = symbol << 1 | bit;
            if (matchBit !== bit) break;
          } while (symbol < 0x100);
        }
        while (symbol < 0x100) symbol = symbol << 1 | this.#bit(base + symbol);
        out[to++] = symbol;
        this.#state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
        continue;
      }

      let length: number;
      if (this.#bit(IS_REPEAT + state) === 0) {
        this.#distance3 = this.#distance2;
        this.#distance2 = this.#distance1;
        this.#distance1 = this.#distance0;
        length = this.#length(MATCH_LENGTH, positionState);
        this.#state = state < STATE_AFTER_MATCH ? 7 : 10;
        this.#distance0 = this.#distance(length);
        if (this.#distance0 === END_MARKER) break;
      } else if (this.#selectRepeat(state, positionState)) {
        length = this.#length(REPEAT_LENGTH, positionState);
        this.#state = state < STATE_AFTER_MATCH ? 8 : 11;
      } else {
        length = 1;
        this.#state = state < STATE_AFTER_MATCH ? 9 : 11;
      }
      let from = to - this.#distance0 - 1;
      if (this.#distance0 < 0 || from < dictionary) throw this.#damaged("a match before the beginning");
      if (to + length > end) throw this.#damaged("a match beyond the end");
      if (to + length > out.length) {
        output.length = to;
        output.reserve(length);
        out = output.bytes;
      }
      for (const stop = to + length; to < stop;) out[to++] = out[from++];
    }
    output.length = to;
    if (count !== Infinity && to !== end) throw this.#damaged(`they end ${end - to} bytes too early`);
  }

  /** Chooses which of the last four distances is repeated and moves it to the front; false for a single byte at the last one. */
  #selectRepeat(state: number, positionState: number): boolean {
    if (this.#bit(IS_REPEAT_0 + state) === 0) {
      return this.#bit(IS_REPEAT_0_LONG + state * POSITION_STATES + positionState) === 1;
    }
    let distance = this.#distance1;
    if (this.#bit(IS_REPEAT_1 + state) === 1) {
      distance = this.#distance2;
      if (this.#bit(IS_REPEAT_2 + state) === 1) {
        distance = this.#distance3;
        this.#distance3 = this.#distance2;
      }
      this.#distance2 = this.#distance1;
    }
    this.#distance1 = this.#distance0;
    this.#distance0 = distance;
    return true;
  }

  /** A match's length. */
  #length(base: number, positionState: number): number {
    if (this.#bit(base) === 0) return MINIMUM_MATCH + this.#tree(base + LENGTH_LOW + positionState * 8, 3);
    if (this.#bit(base + 1) === 0) return MINIMUM_MATCH + 8 + this.#tree(base + LENGTH_MIDDLE + positionState * 8, 3);
    return MINIMUM_MATCH + 16 + this.#tree(base + LENGTH_HIGH, 8);
  }

  /** A match's distance less one, as a signed 32-bit number. */
  #distance(length: number): number {
    const slot = this.#tree(DISTANCE_SLOT + Math.min(length - MINIMUM_MATCH, 3) * 64, 6);
    if (slot < 4) return slot;
    const bits = (slot >>> 1) - 1;
    const high = (2 | slot & 1) << bits;
    if (slot < 14) return high + this.#reverseTree(DISTANCE_SPECIAL + high - slot, bits);
    return high + (this.#directBits(bits - 4) << 4) + this.#reverseTree(DISTANCE_ALIGN, 4) | 0;
  }

  /** `bits` bits, most significant first, each with a probability that depends on those before. */
  #tree(base: number, bits: number): number {
    let symbol = 1;
    for (let i = 0; i < bits; i++) symbol = symbol << 1 | this.#bit(base + symbol);
    return symbol - (1 << bits);
  }

  /** As {@linkcode #tree}, least significant first. */
  #reverseTree(base: number, bits: number): number {
    let node = 1;
    let symbol = 0;
    for (let i = 0; i < bits; i++) {
      const bit = this.#bit(base + node);
      node = node << 1 | bit;
      symbol |= bit << i;
    }
    return symbol;
  }

  /** `count` bits of even odds. */
  #directBits(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i++) {
      this.#refill();
      this.#range >>>= 1;
      let bit = 0;
      if (this.#code >>> 0 >= this.#range) {
        this.#code = this.#code - this.#range | 0;
        bit = 1;
      }
      value = value << 1 | bit;
    }
    return value;
  }

  /** One bit, with the probability at `index`, which adapts. */
  #bit(index: number): number {
    this.#refill();
    const probabilities = this.#probabilities;
    const probability = probabilities[index];
    const bound = Math.imul(this.#range >>> PROBABILITY_BITS, probability);
    if (this.#code >>> 0 < bound >>> 0) {
      this.#range = bound;
      probabilities[index] = probability + (PROBABILITY_ONE - probability >>> ADAPTION);
      return 0;
    }
    this.#range = this.#range - bound | 0;
    this.#code = this.#code - bound | 0;
    probabilities[index] = probability - (probability >>> ADAPTION);
    return 1;
  }

  #refill(): void {
    if (this.#range >>> 0 >= RANGE_LOW) return;
    if (this.#at >= this.#end) throw new DecompressError("the LZMA data are cut short");
    this.#range <<= 8;
    this.#code = this.#code << 8 | this.#input[this.#at++];
  }

  #damaged(how: string): DecompressError {
    return new DecompressError(`the LZMA data are damaged at byte ${this.#at}: ${how}`);
  }
}
