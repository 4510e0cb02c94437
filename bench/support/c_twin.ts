/**
 * Compiles the C twins of `bench/c/`, so that every figure stands beside what C does on the same machine in the same run.
 *
 * @module
 */
import { fileURLToPath } from "node:url";

/** A compiled twin: a program, or a shared library. */
export interface CTwin extends Disposable {
  /** Path of the program or library. */
  readonly path: string;
}

const decoder = new TextDecoder();

/**
 * Compiles a twin with `gcc -O2`.
 *
 * @param name Name of its source in `bench/c/`, without the suffix.
 * @param kind What to make of it.
 * @returns The twin, or why there is none.
 * @throws {Error} The compiler is there but refuses the source.
 */
export function compileTwin(name: string, kind: "program" | "library"): CTwin | string {
  const source = fileURLToPath(new URL(`../c/${name}.c`, import.meta.url));
  const folder = Deno.makeTempDirSync({ prefix: "denovisor-bench-" });
  const path = `${folder}/${name}`;
  const form = kind === "library" ? ["-shared", "-fPIC"] : ["-pthread"];
  try {
    const { success, stderr } = new Deno.Command("gcc", { args: ["-O2", ...form, "-o", path, source] }).outputSync();
    if (!success) throw new Error(`Cannot compile ${source}: gcc says\n${decoder.decode(stderr)}`);
  } catch (error) {
    Deno.removeSync(folder, { recursive: true });
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return "no C column: gcc is not installed (apt-get install gcc libc6-dev linux-libc-dev)";
  }
  return { path, [Symbol.dispose]: () => Deno.removeSync(folder, { recursive: true }) };
}

/**
 * Runs a twin that is a program.
 *
 * @returns What it wrote to stdout.
 * @throws {Error} It failed; the message holds what it said.
 */
export async function runTwin(twin: CTwin, args: readonly string[]): Promise<Uint8Array> {
  const { success, stdout, stderr } = await new Deno.Command(twin.path, { args: [...args] }).output();
  if (!success) throw new Error(`${twin.path} ${args.join(" ")} failed: ${decoder.decode(stderr)}`);
  return stdout;
}
