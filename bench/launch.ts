/**
 * How long it takes until a guest executes its first instructions, and how much memory a process with one machine takes, beside the C
 * twin. Every launch is a process of its own, as a user's is.
 *
 * `deno run -A bench/launch.ts`
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { compileTwin } from "./support/c_twin.ts";
import { helloGuest } from "./support/guests.ts";
import type { LaunchTimes } from "./support/launch_child.ts";
import { figure, printTable, ratio, summarise } from "./support/samples.ts";

/** Launches of each; ours and C's take turns. */
const ROUNDS = 15;
const NANOSECONDS_PER_MILLISECOND = 1e6;
const KIBIBYTES_PER_MEBIBYTE = 1024;

/** One launch as seen from outside. */
interface Launch<Told> {
  /** Milliseconds from starting the process to its first line, which tells that the guest has run. */
  readonly fromOutside: number;
  /** Milliseconds that all its threads have spent on processors until then. */
  readonly processorTime: number;
  /** What the line says. */
  readonly told: Told;
  /** Kilobytes by field of /proc/PID/status, and the proportional share of /proc/PID/smaps_rollup. */
  readonly memory: Readonly<Record<string, number>>;
}

const MEMORY_FIELDS = ["VmRSS", "RssAnon", "RssFile", "RssShmem", "Pss"] as const;

async function launch<Told>(program: string, args: readonly string[]): Promise<Launch<Told>> {
  const began = performance.now();
  const child = new Deno.Command(program, { args: [...args], stdin: "piped", stdout: "piped" }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let line = "";
  while (!line.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`${program} ${args.join(" ")} ended before its guest ran: ${line}`);
    line += value;
  }
  const fromOutside = performance.now() - began;
  const processorTime = readProcessorTime(child.pid);
  const memory = readMemory(child.pid);
  await reader.cancel();
  await child.stdin.close();
  await child.status;
  return { fromOutside, processorTime, told: JSON.parse(line), memory };
}

function readProcessorTime(pid: number): number {
  let nanoseconds = 0;
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(Deno.readTextFileSync(`/proc/${pid}/task/${name}/schedstat`).split(" ")[0]);
  }
  return nanoseconds / NANOSECONDS_PER_MILLISECOND;
}

function readMemory(pid: number): Record<string, number> {
  const text = Deno.readTextFileSync(`/proc/${pid}/status`) + Deno.readTextFileSync(`/proc/${pid}/smaps_rollup`);
  return Object.fromEntries(MEMORY_FIELDS.map((name) => {
    const found = text.match(new RegExp(`^${name}:\\s+(\\d+) kB`, "m"));
    return [name, found === null ? NaN : Number(found[1])];
  }));
}

const compiled = compileTwin("launch", "program");
if (typeof compiled === "string") console.log(compiled);
using twin = typeof compiled === "string" ? undefined : compiled;
const guest = helloGuest();
const file = Deno.makeTempFileSync({ prefix: "denovisor-bench-guest-" });
Deno.writeFileSync(file, guest.bytes);
const script = fileURLToPath(import.meta.resolve("./support/launch_child.ts"));
const ours: Launch<LaunchTimes>[] = [];
const c: Launch<Pick<LaunchTimes, "firstOutput">>[] = [];
try {
  // Once in advance: the compiled modules and the files are in their caches then.
  await launch(Deno.execPath(), ["run", "-A", script]);
  for (let round = 0; round < ROUNDS; round++) {
    ours.push(await launch<LaunchTimes>(Deno.execPath(), ["run", "-A", script]));
    if (twin !== undefined) c.push(await launch(twin.path, [file, String(guest.base), String(guest.entry)]));
  }
} finally {
  Deno.removeSync(file);
}

const of = <Item>(items: readonly Item[], pick: (item: Item) => number) => summarise([items.map(pick)]);
const timeRow = (title: string, pick: (item: Launch<Pick<LaunchTimes, "firstOutput">>) => number): string[] => {
  const mine = of(ours, pick);
  const its = c.length > 0 ? of(c, pick) : undefined;
  const cells = its === undefined ? ["–"] : [figure(its.median)];
  return [title, figure(mine.median), figure(mine.p99), ...cells, ratio(mine.median, its?.median)];
};
console.log(`\nLaunch in ms (${ROUNDS} processes each; the greatest of them stands for p99)\n`);
printTable(["what", "median", "p99", "C median", "ratio"], [
  timeRow("launch() → first output of the guest in the script", ({ told }) => told.firstOutput),
  timeRow("start of the process → the same, seen from outside", ({ fromOutside }) => fromOutside),
  timeRow("processor time of all threads until then", ({ processorTime }) => processorTime),
]);

console.log("\nOur launch step by step, medians in ms since launch()\n");
const steps = Object.keys(ours[0].told.timeline);
const medians = steps.map((step) => of(ours, ({ told }) => told.timeline[step]).median);
printTable(["step", "at", "took"], [
  ["modules loaded, before launch()", "0", figure(of(ours, ({ told }) => told.beforeLaunch).median)],
  ...steps.map((step, i) => [step, figure(medians[i]), figure(medians[i] - (medians[i - 1] ?? 0))]),
]);

console.log("\nMemory of the process in MiB, one vCPU\n");
const memoryRow = (title: string, pick: (memory: Launch<unknown>["memory"]) => number): string[] => {
  const cell = (launches: readonly Launch<unknown>[]) =>
    launches.length === 0 ? "–" : figure(of(launches, ({ memory }) => pick(memory) / KIBIBYTES_PER_MEBIBYTE).median);
  return [title, cell(ours), cell(c)];
};
printTable(["what", "ours", "C"], [
  memoryRow("resident, beyond guest memory (VmRSS - RssShmem)", (memory) => memory.VmRSS - memory.RssShmem),
  memoryRow("of it: its own (RssAnon)", (memory) => memory.RssAnon),
  memoryRow("of it: program files, shared by all such processes (RssFile)", (memory) => memory.RssFile),
  memoryRow("guest memory in use (RssShmem)", (memory) => memory.RssShmem),
  memoryRow("proportional share (Pss)", (memory) => memory.Pss),
]);
