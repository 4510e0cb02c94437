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
import { compare, COMPARISON_TITLES, figure, printTable, summarise } from "./support/samples.ts";

/** Launches of each; ours, C's and the floor's take turns. */
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

/** Threads that have ended are not counted; none of those that are measured here ends before it is looked at. */
function readProcessorTime(pid: number): number {
  let nanoseconds = 0;
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    try {
      nanoseconds += Number(Deno.readTextFileSync(`/proc/${pid}/task/${name}/schedstat`).split(" ")[0]);
    } catch (error) {
      // A helper thread of the runtime ended between the two looks.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
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
const scriptArguments = (name: string) => ["run", "-A", fileURLToPath(import.meta.resolve(`./support/${name}`))];
const script = scriptArguments("launch_child.ts");
const floorScript = scriptArguments("floor_child.ts");
const ours: Launch<LaunchTimes>[] = [];
const floor: Launch<Pick<LaunchTimes, "firstOutput">>[] = [];
const c: Launch<Pick<LaunchTimes, "firstOutput">>[] = [];
try {
  // Once in advance: the compiled modules and the files are in their caches then.
  await launch(Deno.execPath(), script);
  await launch(Deno.execPath(), floorScript);
  for (let round = 0; round < ROUNDS; round++) {
    ours.push(await launch<LaunchTimes>(Deno.execPath(), script));
    floor.push(await launch(Deno.execPath(), floorScript));
    if (twin !== undefined) c.push(await launch(twin.path, [file, String(guest.base), String(guest.entry)]));
  }
} finally {
  Deno.removeSync(file);
}

// Every launch counts as a round, so that the quietest one is the quickest.
const of = <Item>(items: readonly Item[], pick: (item: Item) => number) => summarise(items.map((item) => [pick(item)]));
type Measured = Launch<Pick<LaunchTimes, "firstOutput">>;
const timeRow = (title: string, pick: (item: Measured) => number, items: readonly Measured[] = ours): string[] => {
  const its = c.length > 0 && items === ours ? of(c, pick) : undefined;
  return [title, ...compare(of(items, pick), its)];
};
console.log(`\nLaunch in ms (${ROUNDS} processes each, each a round; p99 is the greatest of them)\n`);
printTable(["what", ...COMPARISON_TITLES], [
  timeRow("launch() → first output of the guest in the script", ({ told }) => told.firstOutput),
  timeRow("start of the process → the same, seen from outside", ({ fromOutside }) => fromOutside),
  timeRow("processor time of all threads until then", ({ processorTime }) => processorTime),
  timeRow("floor: two empty Workers → both have started", ({ told }) => told.firstOutput, floor),
  timeRow("floor: start of the process → the same", ({ fromOutside }) => fromOutside, floor),
  timeRow("floor: processor time of all threads until then", ({ processorTime }) => processorTime, floor),
]);

console.log("\nOur launch step by step, in ms since launch()\n");
const steps = Object.keys(ours[0].told.timeline);
const medians = steps.map((step) => of(ours, ({ told }) => told.timeline[step]).median);
const quickest = ours.reduce((a, b) => a.told.firstOutput <= b.told.firstOutput ? a : b).told;
const before = of(ours, ({ told }) => told.beforeLaunch);
printTable(["step", "at", "took", "at, quickest launch"], [
  ["modules loaded, before launch()", "0", figure(before.median), "0"],
  ...steps.map((step, i) => [
    step,
    figure(medians[i]),
    figure(medians[i] - (medians[i - 1] ?? 0)),
    figure(quickest.timeline[step]),
  ]),
]);

console.log("\nMemory of the process in MiB, one vCPU\n");
const memoryRow = (title: string, pick: (memory: Launch<unknown>["memory"]) => number): string[] => {
  const cell = (launches: readonly Launch<unknown>[]) =>
    launches.length === 0 ? "–" : figure(of(launches, ({ memory }) => pick(memory) / KIBIBYTES_PER_MEBIBYTE).median);
  return [title, cell(ours), cell(floor), cell(c)];
};
printTable(["what", "ours", "two empty Workers", "C"], [
  memoryRow("resident, beyond guest memory (VmRSS - RssShmem)", (memory) => memory.VmRSS - memory.RssShmem),
  memoryRow("of it: its own (RssAnon)", (memory) => memory.RssAnon),
  memoryRow("of it: program files, shared by all such processes (RssFile)", (memory) => memory.RssFile),
  memoryRow("guest memory in use (RssShmem)", (memory) => memory.RssShmem),
  memoryRow("proportional share (Pss)", (memory) => memory.Pss),
]);
