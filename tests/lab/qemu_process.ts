/**
 * QEMU as a child that cannot outlive its time limit or this process.
 *
 * @module
 */
import { join } from "node:path";

/** The box did not bring its command to the end. */
export class BoxError extends Error {
  override readonly name = "BoxError";
  /** Whether the time limit was the reason. */
  readonly timedOut: boolean;

  /** @param message What failed and why. */
  constructor(message: string, timedOut = false) {
    super(message);
    this.timedOut = timedOut;
  }
}

/** How QEMU is run. */
export interface QemuOptions {
  /** Its working folder, deleted by this process's end at the latest. `console.log` in it is the machine's console. */
  readonly folder: string;
  /** Time limit in seconds. */
  readonly timeout: number;
  /** Whether it gets this process's standard input and output. */
  readonly terminal: boolean;
  /** Ends it early. */
  readonly signal: AbortSignal | undefined;
}

/** How much longer than the time limit QEMU can live when this process was killed and cannot end it. */
const ORPHAN_SECONDS = 15;
const CONSOLE_LINES_SHOWN = 25;
const INTERRUPTED_CODE = 130;
const endingSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Runs QEMU until it ends.
 *
 * @throws {BoxError} It failed, was aborted, or reached the time limit.
 */
export async function runQemu(args: readonly string[], options: QemuOptions): Promise<void> {
  const { folder, timeout, terminal, signal } = options;
  const guard = [...(terminal ? ["--foreground"] : []), "--kill-after=5", `${timeout + ORPHAN_SECONDS}`];
  const child = new Deno.Command("timeout", {
    args: [...guard, "qemu-system-x86_64", ...args],
    cwd: folder,
    stdin: terminal ? "inherit" : "null",
    stdout: terminal ? "inherit" : "null",
    stderr: "piped",
  }).spawn();
  let cause: "time limit" | "abort" | undefined;
  const end = (because: typeof cause) => {
    cause ??= because;
    child.kill("SIGTERM");
  };
  const abort = () => end("abort");
  const unload = () => {
    child.kill("SIGTERM");
    try {
      Deno.removeSync(folder, { recursive: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  };
  const exit = () => {
    // Not left to the exit: a test runner does not let tests end the process.
    unload();
    Deno.exit(INTERRUPTED_CODE);
  };
  const limit = setTimeout(() => end("time limit"), timeout * 1000);
  globalThis.addEventListener("unload", unload);
  for (const name of endingSignals) Deno.addSignalListener(name, exit);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    if (signal?.aborted) abort();
    const complaints = new Response(child.stderr).text();
    const { code } = await child.status;
    if (cause === "time limit") {
      throw new BoxError(`The box reached its time limit of ${timeout} s${await consoleTail(folder)}`, true);
    }
    if (cause === "abort") throw new BoxError("The box was ended before its command had ended: the caller aborted it");
    if (code !== 0) {
      throw new BoxError(`QEMU ended with code ${code}: ${(await complaints).trim()}${await consoleTail(folder)}`);
    }
    await complaints;
  } finally {
    clearTimeout(limit);
    globalThis.removeEventListener("unload", unload);
    for (const name of endingSignals) Deno.removeSignalListener(name, exit);
    signal?.removeEventListener("abort", abort);
  }
}

/** The last lines of the machine's console, as the end of an error message. */
export async function consoleTail(folder: string): Promise<string> {
  let text: string;
  try {
    text = await Deno.readTextFile(join(folder, "console.log"));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "; its console was not opened";
    throw error;
  }
  const lines = text.replaceAll("\r", "").trimEnd().split("\n");
  return `; the last lines of its console:\n${lines.slice(-CONSOLE_LINES_SHOWN).join("\n")}`;
}
