/**
 * gzip and Zstandard, by the runtime's own library.
 *
 * @module
 */
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { DecompressError } from "./output.ts";

/** Bytes of the size word that the kernel build puts behind some payloads. */
const SIZE_WORD = 4;

/** Unpacks a gzip file, behind which a size word may stand. */
export function gunzip(input: Uint8Array, limit: number): Uint8Array {
  try {
    return attempt("gzip", limit, () => gunzipSync(input, { maxOutputLength: limit }));
  } catch (error) {
    if (isTooLarge(error)) throw error;
    // The library objects to bytes behind the end.
    return attempt("gzip", limit, () => gunzipSync(input.subarray(0, -SIZE_WORD), { maxOutputLength: limit }));
  }
}

/** Unpacks Zstandard frames, behind which a size word may stand. */
export function unzstd(input: Uint8Array, limit: number): Uint8Array {
  // The library takes frames that are cut short for complete ones.
  const frames = input.subarray(0, endOfZstdFrames(input));
  return attempt("zstd", limit, () => zstdDecompressSync(frames, { maxOutputLength: limit }));
}

const ZSTD_MAGIC = 0xfd2fb528;
/** Frames that hold no data: 16 magic numbers. */
const ZSTD_SKIPPABLE = 0x184d2a50;
/** Bytes of the field by its flag (RFC 8878, 3.1.1.1.1). */
const ZSTD_DICTIONARY_ID_SIZES = [0, 1, 2, 4];
const ZSTD_CONTENT_SIZE_SIZES = [0, 2, 4, 8];
/** Type of a block that is one byte, repeated. */
const ZSTD_RUN_BLOCK = 1;

/** Where the frames at the start of `input` end; they are walked block by block (RFC 8878, 3.1). */
function endOfZstdFrames(input: Uint8Array): number {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  let at = 0;
  try {
    while (at + 8 <= input.length) {
      const magic = view.getUint32(at, true);
      if ((magic & ~0xf) === ZSTD_SKIPPABLE) at += 8 + view.getUint32(at + 4, true);
      else if (magic === ZSTD_MAGIC) at = endOfZstdFrame(view, at);
      else break;
    }
  } catch (error) {
    if (error instanceof RangeError) throw new DecompressError("the zstd data are cut short");
    throw error;
  }
  if (at > input.length) throw new DecompressError("the zstd data are cut short");
  return at;
}

function endOfZstdFrame(view: DataView, start: number): number {
  const descriptor = view.getUint8(start + 4);
  const singleSegment = (descriptor >>> 5 & 1) === 1;
  const checksum = (descriptor >>> 2 & 1) === 1;
  const contentSize = ZSTD_CONTENT_SIZE_SIZES[descriptor >>> 6] || (singleSegment ? 1 : 0);
  let at = start + 5 + (singleSegment ? 0 : 1) + ZSTD_DICTIONARY_ID_SIZES[descriptor & 3] + contentSize;
  for (let last = false; !last;) {
    const header = view.getUint16(at, true) | view.getUint8(at + 2) << 16;
    last = (header & 1) === 1;
    at += 3 + ((header >>> 1 & 3) === ZSTD_RUN_BLOCK ? 1 : header >>> 3);
  }
  return at + (checksum ? 4 : 0);
}

/** What the library throws becomes an error that says what is wrong. */
function attempt(format: string, limit: number, unpack: () => Uint8Array): Uint8Array {
  try {
    return unpack();
  } catch (error) {
    const message = error instanceof RangeError
      ? `the ${format} data unpack to more than ${limit} bytes, the most that is allowed`
      : `the ${format} data are damaged: ${error instanceof Error ? error.message : error}`;
    throw new DecompressError(message, { cause: error });
  }
}

function isTooLarge(error: unknown): boolean {
  return error instanceof DecompressError && error.cause instanceof RangeError;
}
