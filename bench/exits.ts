/**
 * What an exit costs: a guest times each of its exits, on our machine and on the C twin, taking turns.
 *
 * `deno run -A bench/exits.ts`
 *
 * @module
 */
import { VirtualMachine } from "../mod.ts";
import type { GuestProgram } from "./support/assembler.ts";
import { compileTwin, type CTwin, runTwin } from "./support/c_twin.ts";
import { ticksPerMicrosecond } from "./support/clock.ts";
import { elfOf, exitGuest, type ExitKind, samplesOf } from "./support/guests.ts";
import { compare, COMPARISON_TITLES, printTable, summarise } from "./support/samples.ts";

/** Exits before the first that is measured: the compiler of hot JavaScript is done by then. */
const WARM_UP = 6000;
/** Exits measured in each round. */
const SAMPLES = 1500;
/** Rounds of each kind of exit; ours and C's take turns. */
const ROUNDS = 6;
const TIMEOUT_SECONDS = 20;

/** A port that nobody claims: the vCPU isolate answers it. */
const UNCLAIMED_PORT = 0x80;
/** The index port of the CMOS clock: the machine isolate answers it. */
const CMOS_PORT = 0x70;
/** No device lives here; the machine isolate looks, and says so. */
const UNASSIGNED_ADDRESS = 0xd000_0000;

/** A row of the table. */
interface Case {
  readonly title: string;
  readonly kind: ExitKind;
  readonly place: number;
  /** Where the C twin answers. */
  readonly twin: "local" | "forwarded";
}

const CASES: readonly Case[] = [
  { title: "no exit: the clock read twice", kind: "nothing", place: 0, twin: "local" },
  { title: "PIO write, answered in the vCPU isolate", kind: "port-write", place: UNCLAIMED_PORT, twin: "local" },
  { title: "PIO read, answered in the vCPU isolate", kind: "port-read", place: UNCLAIMED_PORT, twin: "local" },
  { title: "PIO write, forwarded to the machine isolate", kind: "port-write", place: CMOS_PORT, twin: "forwarded" },
  { title: "PIO read, forwarded to the machine isolate", kind: "port-read", place: CMOS_PORT, twin: "forwarded" },
  { title: "MMIO write, forwarded", kind: "memory-write", place: UNASSIGNED_ADDRESS, twin: "forwarded" },
  { title: "MMIO read, forwarded", kind: "memory-read", place: UNASSIGNED_ADDRESS, twin: "forwarded" },
];

/** Runs a guest on our machine; returns what it printed on the debug port. */
async function runOurs(guest: GuestProgram): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  await using vm = await VirtualMachine.launch(
    { kernel: elfOf(guest), memory: "16M", serial: "off", timeoutSeconds: TIMEOUT_SECONDS },
    {
      onOutput: ({ data }) => {
        parts.push(data);
      },
    },
  );
  const { ending } = await vm.ended;
  if (ending.kind !== "debug-exit") throw new Error(`The measured guest did not end by itself: ${ending.message}`);
  return new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
}

async function runC(twin: CTwin, guest: GuestProgram, mode: Case["twin"]): Promise<Uint8Array> {
  const file = await Deno.makeTempFile({ prefix: "denovisor-bench-guest-" });
  try {
    await Deno.writeFile(file, guest.bytes);
    return await runTwin(twin, [file, String(guest.base), String(guest.entry), mode]);
  } finally {
    await Deno.remove(file);
  }
}

const compiled = compileTwin("exits", "program");
if (typeof compiled === "string") console.log(compiled);
using twin = typeof compiled === "string" ? undefined : compiled;
const ticks = ticksPerMicrosecond();
const rows: string[][] = [];
for (const { title, kind, place, twin: mode } of CASES) {
  const guest = exitGuest({ kind, place, warmUp: WARM_UP, samples: SAMPLES });
  const ours: Uint32Array[] = [];
  const local: Uint32Array[] = [];
  const forwarded: Uint32Array[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    ours.push(samplesOf(await runOurs(guest)));
    if (twin === undefined) continue;
    local.push(samplesOf(await runC(twin, guest, "local")));
    if (mode === "forwarded") forwarded.push(samplesOf(await runC(twin, guest, "forwarded")));
  }
  const summary = summarise(ours, 1 / ticks);
  const c = local.length > 0 ? summarise(local, 1 / ticks) : undefined;
  const cForwarded = forwarded.length > 0 ? summarise(forwarded, 1 / ticks) : undefined;
  rows.push([title, ...compare(summary, c)]);
  if (cForwarded === undefined) continue;
  rows.push(["  the same, C with a second thread that answers", ...compare(summary, cForwarded)]);
}
console.log(`\nExits in µs (${ROUNDS} rounds of ${SAMPLES} after ${WARM_UP}; ${ticks.toFixed(0)} ticks per µs)\n`);
printTable(["what", ...COMPARISON_TITLES], rows);
