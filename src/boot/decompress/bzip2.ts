/**
 * bzip2, by the npm package `seek-bzip`, writing into our bounded output.
 *
 * @module
 */
import bunzip from "seek-bzip";
import { DecompressError, type Output } from "./output.ts";

/** Where it reads from. */
interface Source {
  readByte(): number;
  read(into: Uint8Array, at: number, length: number): number;
  eof(): boolean;
}

/** What is used of the package, which has no types of its own. */
interface Bunzip {
  decode(
    input: Source,
    output: { writeByte(byte: number): void },
    multipleStreams: boolean,
  ): void;
}

/** Unpacks one bzip2 stream; what follows is ignored. */
export function decompressBzip2(input: Uint8Array, output: Output): void {
  let at = 0;
  const take = (): number => {
    if (at >= input.length) throw new DecompressError("the bzip2 data are cut short");
    return input[at++];
  };
  const source: Source = {
    readByte: take,
    read(into, from, length) {
      for (let i = 0; i < length; i++) into[from + i] = take();
      return length;
    },
    // Its end is what the data say, or an error: the size word behind them is not to be looked at.
    eof: () => false,
  };
  const target = {
    writeByte(byte: number): void {
      if (output.length === output.bytes.length) output.reserve(1);
      output.bytes[output.length++] = byte;
    },
  };
  try {
    (bunzip as Bunzip).decode(source, target, false);
  } catch (error) {
    if (error instanceof DecompressError) throw error;
    throw new DecompressError(`the bzip2 data are damaged: ${error instanceof Error ? error.message : error}`);
  }
}
