/**
 * gzip and Zstandard, by the runtime's own library.
 *
 * @module
 */
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { DecompressError } from "./output.ts";

/** Bytes of the size word that the kernel build puts behind a payload. */
const SIZE_WORD = 4;

/** Unpacks a gzip file, behind which a size word may stand. */
export function gunzip(input: Uint8Array, limit: number): Uint8Array {
  return attempt("gzip", input, limit, gunzipSync);
}

/** Unpacks a Zstandard file, behind which a size word may stand. */
export function unzstd(input: Uint8Array, limit: number): Uint8Array {
  return attempt("zstd", input, limit, zstdDecompressSync);
}

function attempt(
  format: string,
  input: Uint8Array,
  limit: number,
  unpack: (input: Uint8Array, options: { maxOutputLength: number }) => Uint8Array,
): Uint8Array {
  const options = { maxOutputLength: limit };
  try {
    return unpack(input, options);
  } catch (error) {
    if (isTooLarge(error)) {
      throw new DecompressError(`the ${format} data unpack to more than ${limit} bytes, the most that is allowed`);
    }
    // The library may object to bytes behind the end.
    try {
      return unpack(input.subarray(0, -SIZE_WORD), options);
    } catch {
      throw new DecompressError(`the ${format} data are damaged: ${error instanceof Error ? error.message : error}`);
    }
  }
}

function isTooLarge(error: unknown): boolean {
  return error instanceof RangeError;
}
