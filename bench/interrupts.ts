/**
 * The two ways of steady state: a doorbell's to its handler, and an interrupt's to the guest. Our doorbells, event loop and interrupts
 * on a machine without devices, beside the C twin running the same guests; then a whole request of the entropy device on the
 * whole machine.
 *
 * `deno run -A bench/interrupts.ts`
 *
 * @module
 */
import { guestImage } from "../guest/image.ts";
import { VirtualMachine } from "../mod.ts";
import { parseReport } from "../src/probe/report_reader.ts";
import type { GuestProgram } from "./support/assembler.ts";
import { BareMachine } from "./support/bare_machine.ts";
import { compileTwin, type CTwin, runTwin } from "./support/c_twin.ts";
import { ticksPerMicrosecond } from "./support/clock.ts";
import { doorbellGuest, INTERRUPT_VECTOR, interruptGuest, samplesOf, Word } from "./support/guests.ts";
import { compare, COMPARISON_TITLES, figure, printTable, summarise } from "./support/samples.ts";

const WARM_UP = 300;
const SAMPLES = 600;
const ROUNDS = 5;
/** A guest-physical address without RAM. */
const DOORBELL = 0xd000_0000;
/** Pause that lets the other side fall asleep. */
const PAUSE_MICROSECONDS = 500;
const MICROSECONDS_PER_MILLISECOND = 1000;
const NANOSECONDS_PER_MICROSECOND = 1000;
/** Rounds without work before the event loop sleeps, about as many as in the machine isolate. */
const IDLE_ROUNDS = 200;
/** As the machine isolate's sleep, but it ends by itself so that the guest's end is noticed. */
const SLEEP_MILLISECONDS = 20;
/** Until the guest has set up its interrupt table. */
const SETTLE_MILLISECONDS = 50;
/** Where MSI messages are written to for the first local APIC (Intel SDM volume 3, 12.11.1). */
const MESSAGE_ADDRESS = 0xfee0_0000;
const REQUESTS = 300;
const TIMEOUT_SECONDS = 30;

const sleeper = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

function sleep(milliseconds: number): void {
  Atomics.wait(sleeper, 0, 0, milliseconds);
}

/** Doorbells on our event loop, which sleeps after so many idle rounds; samples in ticks. */
async function ourDoorbells(guest: GuestProgram, idleLimit: number): Promise<Uint32Array> {
  using machine = await BareMachine.build(guest);
  const { loop, memory: { words32 } } = machine;
  const word = Word.handled / Uint32Array.BYTES_PER_ELEMENT;
  let number = WARM_UP + SAMPLES;
  using doorbell = machine.doorbells.create(() => Atomics.store(words32, word, number--));
  doorbell.attach(DOORBELL);
  loop.endRound();
  machine.go();
  for (let idleRounds = 0; !machine.isOver;) {
    const worked = loop.dispatch();
    if (worked) loop.endRound();
    idleRounds = worked ? 0 : idleRounds + 1;
    if (idleRounds > idleLimit) loop.wait(SLEEP_MILLISECONDS);
  }
  return samplesOf(machine.output);
}

/** Interrupts through our controller; samples in nanoseconds. */
async function ourInterrupts(guest: GuestProgram): Promise<Float64Array> {
  using machine = await BareMachine.build(guest);
  const { words32 } = machine.memory;
  const word = Word.interrupts / Uint32Array.BYTES_PER_ELEMENT;
  using vectors = machine.interrupts.allocate("bench", 0, 1);
  vectors.attach(0, MESSAGE_ADDRESS, 0, INTERRUPT_VECTOR);
  machine.go();
  sleep(SETTLE_MILLISECONDS);
  const samples = new Float64Array(SAMPLES);
  const nanoseconds = MICROSECONDS_PER_MILLISECOND * NANOSECONDS_PER_MICROSECOND;
  for (let i = 0; i < WARM_UP + SAMPLES; i++) {
    sleep(PAUSE_MICROSECONDS / MICROSECONDS_PER_MILLISECOND);
    const began = performance.now();
    vectors.trigger(0);
    while (Atomics.load(words32, word) <= i);
    if (i >= WARM_UP) samples[i - WARM_UP] = (performance.now() - began) * nanoseconds;
  }
  while (!machine.isOver) sleep(1);
  return samples;
}

/** Runs the C twin with a guest. */
async function runC(twin: CTwin, guest: GuestProgram, args: readonly (string | number)[]): Promise<Uint32Array> {
  const file = await Deno.makeTempFile({ prefix: "denovisor-bench-guest-" });
  try {
    await Deno.writeFile(file, guest.bytes);
    return samplesOf(await runTwin(twin, [file, String(guest.base), String(guest.entry), ...args.map(String)]));
  } finally {
    await Deno.remove(file);
  }
}

/** Measures a row, taking turns with the twin. */
async function row(
  title: string,
  factor: number,
  ours: () => Promise<ArrayLike<number>>,
  c: (twin: CTwin) => Promise<ArrayLike<number>>,
): Promise<string[]> {
  const oursAll: ArrayLike<number>[] = [];
  const cAll: ArrayLike<number>[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    oursAll.push(await ours());
    if (twin !== undefined) cAll.push(await c(twin));
  }
  const mine = summarise(oursAll, factor);
  const its = twin === undefined ? undefined : summarise(cAll, factor);
  return [title, ...compare(mine, its)];
}

/** A whole request on the whole machine: the guest's own clock, by the embedded guest. */
async function requestRow(): Promise<string[]> {
  let text = "";
  const decoder = new TextDecoder();
  const kernel = guestImage();
  const cmdline = `mode=latency count=${REQUESTS}`;
  await using vm = await VirtualMachine.launch(
    { kernel, cmdline, memory: "16M", rng: true, serial: "off", timeoutSeconds: TIMEOUT_SECONDS },
    { onOutput: ({ data }) => void (text += decoder.decode(data, { stream: true })) },
  );
  await vm.ended;
  const timing = parseReport(text).timings.find(({ name }) => name === "doorbell-to-interrupt");
  if (timing === undefined) throw new Error(`The embedded guest reported no latency: ${text}`);
  const title = "a whole request of the entropy device: doorbell → device → interrupt handler";
  return [title, figure(timing.median / ticks), ...COMPARISON_TITLES.slice(1).map(() => "–")];
}

const compiled = compileTwin("interrupts", "program");
if (typeof compiled === "string") console.log(compiled);
using twin = typeof compiled === "string" ? undefined : compiled;
const ticks = ticksPerMicrosecond();

const rows: string[][] = [];
for (const spins of [false, true]) {
  const pause = spins ? 0 : Math.round(PAUSE_MICROSECONDS * ticks);
  const guest = doorbellGuest({ doorbell: DOORBELL, warmUp: WARM_UP, samples: SAMPLES, pause });
  const args = ["doorbell", DOORBELL, WARM_UP + SAMPLES, Word.handled, ...(spins ? ["spin"] : [])];
  const title = `doorbell → handler, ${spins ? "looking for work" : "asleep"}`;
  const ours = () => ourDoorbells(guest, spins ? Infinity : IDLE_ROUNDS);
  rows.push(await row(title, 1 / ticks, ours, (c) => runC(c, guest, args)));
}
{
  const count = WARM_UP + SAMPLES;
  const guest = interruptGuest(count);
  const args = ["interrupt", INTERRUPT_VECTOR, count, Word.interrupts, PAUSE_MICROSECONDS];
  const title = "irqfd → guest's handler, vCPU halted";
  const c = async (twin: CTwin) => (await runC(twin, guest, args)).subarray(WARM_UP);
  rows.push(await row(title, 1 / NANOSECONDS_PER_MICROSECOND, () => ourInterrupts(guest), c));
}
rows.push(await requestRow());
console.log(`\nNotifications in µs (${ROUNDS} rounds of ${SAMPLES} after ${WARM_UP})\n`);
printTable(["what", ...COMPARISON_TITLES], rows);
