/**
 * The `.xz` container with LZMA2 and the x86 filter: what the Linux build makes of kernels and modules.
 *
 * Checked are the CRC-32 of all headers, all sizes, and the CRC-32 of the data where that is the chosen check, as it is for
 * kernels and modules. Other kinds of check are passed over. Source: The .xz file format 1.1.0.
 *
 * @module
 */
import { crc32 } from "node:zlib";
import { LzmaDecoder } from "./lzma.ts";
import { DecompressError, type Output } from "./output.ts";
import { undoX86Filter } from "./x86_filter.ts";

const STREAM_HEADER = 12;
const CHECK_CRC32 = 1;
/** Bytes of a check by its number (2.1.1.2). */
const CHECK_SIZES = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];
const FILTER_X86 = 0x04;
const FILTER_LZMA2 = 0x21;
const HAS_COMPRESSED_SIZE = 0x40;
const HAS_UNPACKED_SIZE = 0x80;

/** Unpacks the blocks of a stream, up to its index; what follows is ignored. */
export function decompressXz(input: Uint8Array, output: Output): void {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  require(input.length > STREAM_HEADER, "cut short");
  require(view.getUint32(8, true) === crc32(input.subarray(6, 8)), "damaged: wrong checksum of the stream header");
  const check = input[7] & 0xf;
  let at = STREAM_HEADER;
  for (;;) {
    require(at < input.length, "cut short");
    // An index begins with 0, a block's header with its size.
    if (input[at] === 0) return;
    const start = output.length;
    const block = readBlockHeader(input, view, at);
    at = decodeLzma2(input, block.end, output);
    const data = output.bytes.subarray(start, output.length);
    if (block.x86) undoX86Filter(data);
    at = Math.ceil(at / 4) * 4;
    require(at + CHECK_SIZES[check] <= input.length, "cut short");
    if (check === CHECK_CRC32) require(view.getUint32(at, true) === crc32(data), "damaged: wrong checksum of the data");
    at += CHECK_SIZES[check];
  }
}

/** Whether the block uses the x86 filter, and where its data begin. */
function readBlockHeader(input: Uint8Array, view: DataView, start: number): { x86: boolean; end: number } {
  const end = start + (input[start] + 1) * 4;
  require(end <= input.length, "cut short");
  require(
    view.getUint32(end - 4, true) === crc32(input.subarray(start, end - 4)),
    "damaged: wrong checksum of a block header",
  );
  const flags = input[start + 1];
  let at = start + 2;
  /** A number of up to 9 bytes of 7 bits each (1.2). */
  const variableInteger = (): number => {
    let value = 0;
    for (let shift = 0; shift < 63; shift += 7) {
      const byte = input[at++];
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  if (flags & HAS_COMPRESSED_SIZE) variableInteger();
  if (flags & HAS_UNPACKED_SIZE) variableInteger();
  const filters: number[] = [];
  for (let count = (flags & 3) + 1; count > 0; count--) {
    filters.push(variableInteger());
    const propertySize = variableInteger();
    const startOffset = filters.at(-1) === FILTER_X86 && propertySize === 4 ? view.getUint32(at, true) : 0;
    require(startOffset === 0, "of a kind that is not supported: its x86 filter has a start offset");
    at += propertySize;
    require(at <= end - 4, "damaged: a block header is too short for its filters");
  }
  const kind = filters.map((filter) => `0x${filter.toString(16)}`).join(" ");
  require(
    filters.at(-1) === FILTER_LZMA2 && (filters.length === 1 || filters.length === 2 && filters[0] === FILTER_X86),
    `of a kind that is not supported: filters ${kind}; expected LZMA2 (0x21), with or without x86 (0x4)`,
  );
  return { x86: filters.length === 2, end };
}

/** Decodes LZMA2 chunks; returns where they end. */
function decodeLzma2(input: Uint8Array, start: number, output: Output): number {
  const decoder = new LzmaDecoder(output);
  let at = start;
  let needsDictionary = true;
  let needsProperties = true;
  for (;;) {
    require(at < input.length, "cut short");
    const control = input[at++];
    if (control === 0) return at;
    if (control === 1 || control >= 0xe0) {
      decoder.resetDictionary();
      needsDictionary = false;
    }
    require(!needsDictionary, "damaged: the first chunk does not begin a dictionary");
    if (control < 0x80) {
      require(control <= 2, `damaged: LZMA2 control byte ${control}`);
      const size = (input[at] << 8 | input[at + 1]) + 1;
      at += 2;
      require(at + size <= input.length, "cut short");
      output.append(input.subarray(at, at + size));
      at += size;
      continue;
    }
    const size = ((control & 0x1f) << 16 | input[at] << 8 | input[at + 1]) + 1;
    const packed = (input[at + 2] << 8 | input[at + 3]) + 1;
    at += 4;
    if (control >= 0xc0) {
      decoder.setProperties(input[at++]);
      needsProperties = false;
    } else if (control >= 0xa0) {
      decoder.resetState();
    }
    require(!needsProperties, "damaged: the first LZMA chunk has no properties");
    require(at + packed <= input.length, "cut short");
    decoder.begin(input, at, at + packed);
    decoder.run(size);
    at += packed;
  }
}

function require(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new DecompressError(`the xz data are ${otherwise}`);
}
