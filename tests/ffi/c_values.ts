/**
 * Asks the C compiler what expressions of the C headers are worth: the judge of every number written down in `ffi/`.
 *
 * @module
 */

/**
 * Values of C expressions that include one header.
 *
 * @param header Such as `linux/kvm.h`.
 * @param expressions Integer expressions.
 * @returns Their values in the same order, as 64-bit unsigned numbers.
 * @throws {Error} They do not compile; the message holds what the compiler printed.
 */
export async function cValues(header: string, expressions: readonly string[]): Promise<bigint[]> {
  const lines = expressions.map((expression) => `  printf("%llu\\n", (unsigned long long)(${expression}));`);
  const source = [
    "#define _GNU_SOURCE",
    "#include <stddef.h>",
    "#include <stdio.h>",
    `#include <${header}>`,
    "int main(void) {",
    ...lines,
    "  return 0;",
    "}",
    "",
  ].join("\n");
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/values.c`, source);
    await run("gcc", ["-w", "-o", `${folder}/values`, `${folder}/values.c`]);
    const output = await run(`${folder}/values`, []);
    return output.trim().split("\n").map(BigInt);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function run(program: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`${program} failed:\n${decoder.decode(stderr)}`);
  return decoder.decode(stdout);
}
