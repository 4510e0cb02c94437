/**
 * Runs several guests one after the other where Linux guests can run, and brings back what came of each. One host for
 * all of them, since starting a host in a box takes longer than starting a guest.
 *
 * @module
 */
import { join } from "node:path";
import { needs, type Requirement } from "../support/requirements.ts";
import { quote } from "./box.ts";
import { runOnLinuxHost } from "./linux_host.ts";

/** One call of `denovisor run`. */
export interface GuestRun {
  /** By which its outcome is found: letters, digits and hyphens. */
  readonly name: string;
  /** Arguments behind `run`. */
  readonly args: readonly string[];
  /** A command for the guest, behind `--`. Without one, serial port and virtio console go to files. */
  readonly command?: readonly string[];
  /** Seconds after which the guest is ended by `--timeout`, so that the outcome tells where it hung. */
  readonly timeout?: number;
  /** Shell text run on the host before. */
  readonly before?: string;
  /** Shell text run on the host after the guest has ended; what it prints is {@linkcode GuestOutcome.after}. */
  readonly after?: string;
}

/** What came of a {@linkcode GuestRun}. */
export interface GuestOutcome {
  /** Exit code of `denovisor run`. */
  readonly code: number;
  /** What it printed. */
  readonly stdout: string;
  /** What it complained about. */
  readonly stderr: string;
  /** What the guest sent to its serial port. */
  readonly serial: string;
  /** What the guest sent to its virtio console. */
  readonly console: string;
  /** See {@linkcode GuestRun.after}. */
  readonly after: string;
}

const DEFAULT_TIMEOUT_SECONDS = 120;
/** Time for the program to start, and to end by itself; beyond that it is killed. */
const SLACK_SECONDS = 45;
const HOST_START_SECONDS = 60;

/**
 * Runs guests.
 *
 * @param prepare Makes their images in a folder that the host sees under the same path, and tells the runs.
 * @throws {Error} The host broke down. A guest that fails is an outcome, not an error.
 */
export async function runGuests(
  prepare: (folder: string) => Promise<GuestRun[]>,
): Promise<(name: string) => GuestOutcome> {
  const folder = await Deno.makeTempDir({ prefix: "denovisor-lab-" });
  try {
    const runs = await prepare(folder);
    const results = join(folder, "results");
    await Deno.mkdir(results);
    // The host may have no network: what the program imports has to be in Deno's cache before.
    await new Deno.Command(Deno.execPath(), { args: ["cache", "-q", program] }).output();
    const timeout = runs.reduce(
      (sum, run) => sum + SLACK_SECONDS + (run.timeout ?? DEFAULT_TIMEOUT_SECONDS),
      HOST_START_SECONDS,
    );
    await runOnLinuxHost(runs.map(shellText).join("\n"), { results, timeout });
    const outcomes = new Map<string, GuestOutcome>();
    for (const { name } of runs) outcomes.set(name, await readOutcome(join(results, name)));
    return (name) => outcomes.get(name)!;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const program = join(import.meta.dirname!, "../../src/cli/main.ts");

function shellText(
  { name, args, command, timeout = DEFAULT_TIMEOUT_SECONDS, before = "", after = "" }: GuestRun,
): string {
  const words = [
    "timeout",
    "--kill-after=5",
    `${timeout + SLACK_SECONDS}`,
    Deno.execPath(),
    "run",
    "-A",
    program,
    "run",
  ];
  words.push("--timeout", `${timeout}`, ...args);
  let line = words.map(quote).join(" ");
  if (command === undefined) line += ` --serial file="$R/serial" --console file="$R/console"`;
  else line += ` -- ${command.map(quote).join(" ")}`;
  return `R="$RESULTS"/${name}; mkdir "$R"
(${before || ":"}) >/dev/null
${line} >"$R/stdout" 2>"$R/stderr" </dev/null
echo $? >"$R/code"
(${after || ":"}) >"$R/after" 2>&1`;
}

async function readOutcome(folder: string): Promise<GuestOutcome> {
  const [code, stdout, stderr, serial, console, after] = await Promise.all(
    ["code", "stdout", "stderr", "serial", "console", "after"].map((name) => textIfThere(join(folder, name))),
  );
  const plain = (text: string) => text.replaceAll("\r", "");
  return { code: Number(code || NaN), stdout, stderr, serial: plain(serial), console: plain(console), after };
}

async function textIfThere(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}

/**
 * Makes a function that registers tests about the guests of one file. The first test runs them all.
 *
 * @param requirements What all tests of the file need.
 */
export function guestTests(
  requirements: readonly Requirement[],
  prepare: (folder: string) => Promise<GuestRun[]>,
): (title: string, name: string, check: (outcome: GuestOutcome) => void) => void {
  let started: Promise<(name: string) => GuestOutcome> | undefined;
  return (title, name, check) => {
    Deno.test({
      ...needs(title, "linux host", "guest kernel", "busybox", ...requirements),
      fn: async () => {
        started ??= runGuests(prepare);
        const outcome = (await started)(name);
        try {
          check(outcome);
        } catch (error) {
          throw new Error(describe(outcome, error), { cause: error });
        }
      },
    });
  };
}

/** Characters of each output that a failure shows. */
const SHOWN = 3000;

function describe(outcome: GuestOutcome, error: unknown): string {
  const parts = Object.entries(outcome).map(([name, value]) => `--- ${name}\n${String(value).slice(-SHOWN)}`);
  return `${error instanceof Error ? error.message : error}\n${parts.join("\n")}`;
}
