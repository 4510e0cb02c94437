/**
 * LZ4 in the legacy frame that `lz4 -l` and the Linux build make: blocks of up to 8 MiB, each on its own.
 *
 * The npm packages decode current frames only, or several times slower. Source of the format: LZ4's lz4_Frame_format.md
 * ("Legacy frame") and lz4_Block_format.md.
 *
 * @module
 */
import { DecompressError, type Output } from "./output.ts";

/** First four bytes of a legacy frame. */
const MAGIC = 0x184c2102;
/** Most that a block unpacks to. */
const BLOCK_SIZE = 8 * 2 ** 20;
const MINIMUM_MATCH = 4;
/** A nibble of this value is followed by further length bytes. */
const NIBBLE_CONTINUES = 15;
/** From this length on the runtime's memory copy beats a loop. */
const BULK_COPY = 32;

/** Unpacks the blocks of a legacy frame. Up to four bytes may follow it: the size word of a kernel's payload. */
export function decompressLz4(input: Uint8Array, output: Output): void {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  let at = 4;
  while (at + 4 < input.length) {
    const size = view.getUint32(at, true);
    at += 4;
    if (size === MAGIC) continue;
    if (size > input.length - at) {
      throw new DecompressError(
        `an LZ4 block of ${size} bytes at ${at}, but only ${input.length - at} are left: the data are cut short`,
      );
    }
    let end = decodeBlock(input, at, at + size, output);
    if (end === TOO_SMALL) {
      output.reserve(BLOCK_SIZE, output.length + 1);
      end = decodeBlock(input, at, at + size, output);
      if (end === TOO_SMALL) throw output.limitExceeded();
    }
    output.length = end;
    at += size;
  }
}

/** What {@linkcode decodeBlock} returns when the output has too little room. */
const TOO_SMALL = -1;

/** Decodes one block to the end of `output`; returns the new end, or {@linkcode TOO_SMALL}. */
function decodeBlock(input: Uint8Array, start: number, end: number, output: Output): number {
  const base = output.length;
  const limit = Math.min(output.bytes.length, base + BLOCK_SIZE);
  const out = output.bytes;
  let at = start;
  let to = base;
  /** Beyond a block's size, or only beyond the room. */
  const overflow = (at: number): typeof TOO_SMALL => {
    if (limit === base + BLOCK_SIZE) throw damaged(at);
    return TOO_SMALL;
  };
  while (at < end) {
    const token = input[at++];
    let literals = token >>> 4;
    if (literals === NIBBLE_CONTINUES) {
      let more;
      do {
        if (at >= end) throw damaged(at);
        more = input[at++];
        literals += more;
      } while (more === 255);
    }
    if (literals > end - at) throw damaged(at);
    if (literals > limit - to) return overflow(at);
    if (literals < BULK_COPY) {
      for (const stop = at + literals; at < stop;) out[to++] = input[at++];
    } else {
      out.set(input.subarray(at, at + literals), to);
      at += literals;
      to += literals;
    }
    // The last sequence of a block ends with its literals.
    if (at === end) return to;

    if (end - at < 2) throw damaged(at);
    const distance = input[at] | input[at + 1] << 8;
    at += 2;
    let length = token & 15;
    if (length === NIBBLE_CONTINUES) {
      let more;
      do {
        if (at >= end) throw damaged(at);
        more = input[at++];
        length += more;
      } while (more === 255);
    }
    length += MINIMUM_MATCH;
    if (distance === 0 || distance > to - base) throw damaged(at);
    if (length > limit - to) return overflow(at);
    let from = to - distance;
    if (length < BULK_COPY || distance < length) {
      for (const stop = to + length; to < stop;) out[to++] = out[from++];
    } else {
      out.copyWithin(to, from, from + length);
      to += length;
    }
  }
  throw damaged(at);
}

function damaged(at: number): DecompressError {
  return new DecompressError(`the LZ4 data are damaged at byte ${at}`);
}
