/**
 * Runs the command line as a process of its own.
 *
 * @module
 */
import { guestImage } from "../../guest/image.ts";

const MAIN = new URL("../../src/cli/main.ts", import.meta.url).pathname;

/** What came of a call. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The words that start the command line, for programs that run it. */
export const PROGRAM: readonly string[] = [Deno.execPath(), "run", "-A", "--no-check", MAIN];

/** Starts the command line with piped streams. */
export function start(args: readonly string[], options: Deno.CommandOptions = {}): Deno.ChildProcess {
  return new Deno.Command(PROGRAM[0], {
    args: [...PROGRAM.slice(1), ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1" },
    ...options,
  }).spawn();
}

/** Runs the command line to its end. */
export async function denovisor(args: readonly string[], options?: Deno.CommandOptions): Promise<Outcome> {
  return outcome(await start(args, options).output());
}

/** Text and code of a process that has ended. */
export function outcome({ code, stdout, stderr }: Deno.CommandOutput): Outcome {
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Lets something use the embedded guest as a kernel's file. */
export async function withKernel(use: (kernel: string, folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "denovisor_cli_" });
  try {
    await Deno.writeFile(`${folder}/guest.elf`, guestImage());
    await use(`${folder}/guest.elf`, folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
