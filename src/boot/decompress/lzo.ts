/**
 * LZO1X in the container of `lzop`, as the Linux build makes it.
 *
 * The npm packages are native add-ons that need a compiler. Source of the format: Linux, Documentation/staging/lzo.rst; of the
 * container: Linux, lib/decompress_unlzo.c.
 *
 * @module
 */
import { DecompressError, type Output } from "./output.ts";

const MAGIC_LENGTH = 9;
/** First container version whose header has the longer form. */
const VERSION_LONG_HEADER = 0x940;
const FLAG_ADLER32_UNPACKED = 0x1;
const FLAG_ADLER32_PACKED = 0x2;
const FLAG_CRC32_UNPACKED = 0x100;
const FLAG_CRC32_PACKED = 0x200;
const FLAG_FILTER = 0x800;
/** Largest block that is accepted; lzop makes blocks of 256 KiB. */
const BLOCK_LIMIT = 64 * 2 ** 20;

/** Unpacks all blocks of an lzop file, up to the block of length 0 that ends it; what follows is ignored. */
export function decompressLzo(input: Uint8Array, output: Output): void {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  try {
    const flags = readHeader(view);
    let at = flags.end;
    for (;;) {
      const size = view.getUint32(at);
      if (size === 0) return;
      const packed = view.getUint32(at + 4);
      if (size > BLOCK_LIMIT || packed > size) {
        throw new DecompressError(`an LZO block of ${packed} bytes that unpacks to ${size}: the data are damaged`);
      }
      at += 8;
      if (flags.value & FLAG_ADLER32_UNPACKED) at += 4;
      if (flags.value & FLAG_CRC32_UNPACKED) at += 4;
      if (packed < size) {
        if (flags.value & FLAG_ADLER32_PACKED) at += 4;
        if (flags.value & FLAG_CRC32_PACKED) at += 4;
      }
      if (packed > input.length - at) throw new DecompressError("the LZO data are cut short");
      if (packed === size) {
        output.append(input.subarray(at, at + size));
      } else {
        output.reserve(size);
        decodeBlock(input, at, at + packed, output, size);
      }
      at += packed;
    }
  } catch (error) {
    // Reading beyond the end through the view.
    if (error instanceof RangeError) throw new DecompressError("the LZO data are cut short");
    throw error;
  }
}

/** The flags, and where the blocks begin. */
function readHeader(view: DataView): { value: number; end: number } {
  const version = view.getUint16(MAGIC_LENGTH);
  const long = version >= VERSION_LONG_HEADER;
  // Version, library version, then in the long form the version needed; the method; in the long form the level.
  let at = MAGIC_LENGTH + 4 + (long ? 2 : 0) + 1 + (long ? 1 : 0);
  const value = view.getUint32(at);
  at += 4;
  if (value & FLAG_FILTER) at += 4;
  // Mode, time of modification (64 bits in the long form), then a name and the header's checksum.
  at += 4 + (long ? 8 : 4);
  return { value, end: at + 1 + view.getUint8(at) + 4 };
}

/** How many literals the last instruction copied decides what a small instruction means; this stands for "four or more". */
const MANY = 4;

/** Decodes one block that unpacks to exactly `size` bytes, for which `output` has room. */
function decodeBlock(input: Uint8Array, start: number, end: number, output: Output, size: number): void {
  const out = output.bytes;
  const base = output.length;
  const limit = base + size;
  let at = start;
  let to = base;
  let literals = 0;
  let state = 0;

  /** A length that goes on: zero bytes of 255 each, then the rest. */
  const extended = (inNibble: number): number => {
    let length = inNibble;
    while (input[at] === 0 && at < end) {
      length += 255;
      at++;
    }
    return length + input[at++];
  };

  const first = input[at];
  if (first > 17) {
    at++;
    literals = first - 17;
    state = Math.min(literals, MANY);
  }
  for (;;) {
    if (literals > 0) {
      if (literals > end - at || literals > limit - to) throw damaged(at);
      out.set(input.subarray(at, at + literals), to);
      at += literals;
      to += literals;
    }
    if (at >= end) throw damaged(at);
    const instruction = input[at++];
    let distance: number;
    let length: number;
    let trailing = instruction & 3;
    if (instruction >= 64) {
      distance = (input[at++] << 3) + (instruction >>> 2 & 7) + 1;
      length = (instruction >>> 5) + 1;
    } else if (instruction >= 32) {
      length = (instruction & 31 || extended(31)) + 2;
      distance = (input[at] | input[at + 1] << 8) >>> 2;
      trailing = input[at] & 3;
      distance += 1;
      at += 2;
    } else if (instruction >= 16) {
      length = (instruction & 7 || extended(7)) + 2;
      distance = 16384 + ((instruction & 8) << 11) + ((input[at] | input[at + 1] << 8) >>> 2);
      trailing = input[at] & 3;
      at += 2;
      if (distance === 16384) break;
    } else if (state === 0) {
      literals = (instruction || extended(15)) + 3;
      state = MANY;
      continue;
    } else if (state === MANY) {
      distance = (input[at++] << 2) + (instruction >>> 2) + 2049;
      length = 3;
    } else {
      distance = (input[at++] << 2) + (instruction >>> 2) + 1;
      length = 2;
    }
    if (at > end || distance > to - base || length > limit - to) throw damaged(at);
    for (let from = to - distance, stop = to + length; to < stop;) out[to++] = out[from++];
    literals = trailing;
    state = trailing;
  }
  if (to !== limit) throw damaged(at);
  output.length = to;
}

function damaged(at: number): DecompressError {
  return new DecompressError(`the LZO data are damaged at byte ${at}`);
}
