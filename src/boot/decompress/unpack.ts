/**
 * Unpacks what the Linux build and modules come compressed in, whatever of the seven formats it is.
 *
 * @module
 */
import { DecompressError, type Decompressor, Output } from "./output.ts";

export { DecompressError } from "./output.ts";

/** The formats that are known. */
export type CompressionFormat = "gzip" | "xz" | "zstd" | "lz4" | "lzo" | "bzip2" | "lzma";

/** Most that anything may unpack to: no kernel is nearly as large. */
export const UNPACKED_LIMIT: number = 512 * 2 ** 20;

/** Where unpacked data go. */
export interface UnpackTarget {
  /** Most bytes that may come out. */
  readonly limit: number;
  /**
   * Room to unpack into. Formats that the runtime's library unpacks do not use it, nor do data that do not fit; whether it was used
   * shows in the result's buffer.
   */
  readonly room?: Uint8Array | undefined;
}

/** How the formats begin. `lzma` has no magic number: properties of the usual parameters, and a dictionary of 2^n. */
const MAGICS: readonly (readonly [CompressionFormat, readonly number[]])[] = [
  ["gzip", [0x1f, 0x8b]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["lz4", [0x02, 0x21, 0x4c, 0x18]],
  ["lzo", [0x89, 0x4c, 0x5a, 0x4f, 0x00, 0x0d, 0x0a, 0x1a, 0x0a]],
  ["bzip2", [0x42, 0x5a, 0x68]],
  ["lzma", [0x5d, 0x00, 0x00]],
];

/** Decoders are loaded when they are needed: start-up shall not pay for seven of them. */
const UNPACKERS: Readonly<Record<CompressionFormat, (input: Uint8Array, target: UnpackTarget) => Promise<Uint8Array>>> =
  {
    gzip: async (input, { limit }) => (await import("./zlib.ts")).gunzip(input, limit),
    zstd: async (input, { limit }) => (await import("./zlib.ts")).unzstd(input, limit),
    xz: async (input, target) => run((await import("./xz.ts")).decompressXz, input, target),
    lzma: async (input, target) => run((await import("./lzma.ts")).decompressLzma, input, target),
    lz4: async (input, target) => run((await import("./lz4.ts")).decompressLz4, input, target),
    lzo: async (input, target) => run((await import("./lzo.ts")).decompressLzo, input, target),
    bzip2: async (input, target) => run((await import("./bzip2.ts")).decompressBzip2, input, target),
  };

/** The format that bytes begin like; undefined for none that is known. */
export function detectCompression(data: Uint8Array): CompressionFormat | undefined {
  return MAGICS.find(([, magic]) => data.length >= magic.length && magic.every((byte, i) => data[i] === byte))?.[0];
}

/**
 * Unpacks compressed data. A size word of four bytes behind them, as the kernel build appends it, does no harm and is used.
 *
 * @param data A whole compressed file.
 * @param format Its format, see {@linkcode detectCompression}.
 * @param target Where they go; by default to an array of their own, of at most {@linkcode UNPACKED_LIMIT} bytes.
 * @throws {DecompressError} The data are damaged, cut short, or unpack to more than the limit.
 *
 * @example
 * ```ts ignore
 * const format = detectCompression(data);
 * const module = format === undefined ? data : await unpack(data, format);
 * ```
 */
export async function unpack(
  data: Uint8Array,
  format: CompressionFormat,
  target: UnpackTarget = { limit: UNPACKED_LIMIT },
): Promise<Uint8Array> {
  if (data.length < 8) throw new DecompressError(`the ${format} data are cut short: ${data.length} bytes`);
  return await UNPACKERS[format](data, target);
}

function run(decompress: Decompressor, input: Uint8Array, { limit, room }: UnpackTarget): Uint8Array {
  const expected = expectedSize(input, limit);
  const fits = room !== undefined && room.length >= expected;
  const output = new Output(limit, fits ? room : new Uint8Array(expected));
  decompress(input, output);
  return output.finish();
}

/** The last four bytes, where they are a credible size; else a guess. */
function expectedSize(data: Uint8Array, limit: number): number {
  const word = new DataView(data.buffer, data.byteOffset, data.byteLength).getUint32(data.length - 4, true);
  const credible = word >= data.length && word <= data.length * 32;
  return Math.min(limit, credible ? word : data.length * 4);
}
