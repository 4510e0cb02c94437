/**
 * Opens functions of the C library. Every declared symbol costs each isolate 0.1-0.3 ms at start, so a module declares
 * only what it calls, and modules are cut so that an isolate can import little.
 *
 * The conventions of this folder, chosen because V8 calls such signatures directly (anything else is ten times slower):
 * descriptors, flags, requests and byte counts are `i32`/`u32`; addresses and 64-bit values are `u64`/`i64` given as
 * bigints that are built once; structures are `buffer`s; results are `i32`.
 *
 * @module
 */

/** File name of the GNU C library, the only one whose structures and variadic functions this folder knows. */
const C_LIBRARY = "libc.so.6";

/**
 * Opens functions of the C library.
 *
 * @param symbols The functions, each with the types of its parameters and result.
 * @returns The functions, ready to be called.
 * @throws {Error} The library cannot be opened (another system, musl) or lacks a function.
 *
 * @example
 * ```ts
 * import { openLibrary } from "./library.ts";
 * // int getpagesize(void);
 * const { getpagesize } = openLibrary({ getpagesize: { parameters: [], result: "i32" } });
 * const pageSize: number = getpagesize();
 * ```
 */
export function openLibrary<const Symbols extends Deno.ForeignLibraryInterface>(
  symbols: Symbols,
): Deno.StaticForeignLibraryInterface<Symbols> {
  if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") {
    throw new Error(
      `Cannot call the C library: this is ${Deno.build.os} on ${Deno.build.arch}, and the system calls, structures and `
        + `KVM interface used here are those of Linux on x86_64`,
    );
  }
  try {
    return Deno.dlopen(C_LIBRARY, symbols).symbols;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    throw new Error(
      `Cannot open ${Object.keys(symbols).join(", ")} of ${C_LIBRARY}: the GNU C library 2.30 or later is needed `
        + `(on Alpine and other musl systems, run in a Debian or Ubuntu container)`,
      { cause: error },
    );
  }
}
