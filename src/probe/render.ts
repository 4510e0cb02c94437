/**
 * The embedded guest's report as people want to read it, and as machines do.
 *
 * @module
 */
import { className, featureNames } from "./names.ts";
import {
  type Capability,
  type Check,
  type FunctionAddress,
  passed,
  type ProbedFunction,
  type Report,
  type Timing,
  type Verdict,
} from "./report.ts";

/** How a report is rendered. */
export interface RenderOptions {
  /** Whether escape sequences for colours are used; see {@linkcode wantsColour}. */
  readonly colour?: boolean;
  /** Frequency of the guest's time stamp counter in kHz where the guest does not know it itself. */
  readonly timeStampKhz?: number;
  /** Whether only checks that did not pass are listed. */
  readonly brief?: boolean;
}

/** How many checks ended in each way, and what happened while they were made. */
export interface Summary {
  /** Whether the guest finished and nothing failed. */
  readonly ok: boolean;
  /** Checks that passed. */
  readonly passed: number;
  /** Checks that failed. */
  readonly failed: number;
  /** Checks that could not be made. */
  readonly skipped: number;
  /** Doorbells that the guest rang. */
  readonly doorbells: number;
  /** Interrupts that it took. */
  readonly interrupts: number;
}

/** Whether standard output is a terminal whose user wants colours. */
export function wantsColour(): boolean {
  return Deno.stdout.isTerminal() && !Deno.noColor;
}

/** Counts what is in a report. */
export function summarize(report: Report): Summary {
  const verdicts = (verdict: Verdict) => report.checks.filter((check) => check.verdict === verdict).length;
  const total = (name: string) =>
    report.counts.filter((count) => count.name === name).reduce((sum, count) => sum + count.value, 0);
  return {
    ok: passed(report),
    passed: verdicts("PASS"),
    failed: verdicts("FAIL"),
    skipped: verdicts("SKIP"),
    doorbells: total("doorbells"),
    interrupts: total("interrupts"),
  };
}

/** The report and its summary as JSON text; 64-bit numbers are hexadecimal strings. */
export function toJson(report: Report): string {
  const replacer = (_key: string, value: unknown) => typeof value === "bigint" ? hexadecimal(value) : value;
  return JSON.stringify({ summary: summarize(report), ...report }, replacer, 2);
}

/**
 * The report as text: what the machine is, the tree of its functions, every check, counts and timings.
 *
 * @returns Lines, the last of them ended too.
 */
export function render(report: Report, options: RenderOptions = {}): string {
  const paint = new Painter(options.colour ?? false);
  const lines = [
    ...machine(report, paint),
    "",
    ...topology(report, paint),
    ...checks(report, paint, options.brief ?? false),
    ...measurements(report, paint, options.timeStampKhz ?? 0),
    "",
    ...endings(report, paint),
  ];
  return lines.join("\n").replace(/\n{3,}/g, "\n\n") + "\n";
}

type Colour = "bold" | "dim" | "red" | "green" | "yellow";

/** Select Graphic Rendition parameters: ECMA-48, section 8.3.117. */
const COLOURS: Readonly<Record<Colour, number>> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 };

class Painter {
  readonly #colour: boolean;

  constructor(colour: boolean) {
    this.#colour = colour;
  }

  paint(colour: Colour, text: string): string {
    return this.#colour ? `\x1b[${COLOURS[colour]}m${text}\x1b[0m` : text;
  }
}

const RAM = 1;
const KHZ_PER_MHZ = 1000;
const KHZ_PER_GHZ = 1_000_000;
const MICROSECONDS_PER_MILLISECOND = 1000;

function hexadecimal(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

function identity(func: ProbedFunction): string {
  return `${func.vendor.toString(16).padStart(4, "0")}:${func.device.toString(16).padStart(4, "0")}`;
}

/** Bytes in the largest unit that divides them: "512 KiB", "4 GiB", "100 B". */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1024 && bytes % 1024 === 0 && unit < units.length - 1) {
    bytes /= 1024;
    unit++;
  }
  return `${bytes} ${units[unit]}`;
}

function machine(report: Report, paint: Painter): string[] {
  const frequency = report.timeStampKhz ? `, time stamp counter at ${report.timeStampKhz / KHZ_PER_GHZ} GHz` : "";
  const ram = report.memory.filter((range) => range.type === RAM);
  const bytes = ram.reduce((sum, range) => sum + range.length, 0);
  const lines = [paint.paint("bold", "Embedded guest") + (report.commandLine ? ` (${report.commandLine})` : "")];
  if (report.cpuVendor) lines.push(`  processor  ${report.cpuVendor}${frequency}`);
  if (report.processors.length) {
    const ids = report.processors.map(({ apicId, boot }) => boot ? `${apicId} (boot)` : `${apicId}`);
    lines.push(`  started    ${report.processors.length} processors: ${ids.join(", ")}`);
  }
  if (ram.length) {
    const where = ram.map(({ address, length }) => `${hexadecimal(address)}-${hexadecimal(address + length - 1)}`);
    lines.push(`  memory     ${(bytes / 2 ** 20).toFixed(1)} MiB: ${where.join(", ")}`);
  }
  if (report.tables.length) lines.push(`  ACPI       ${report.tables.map((table) => table.signature).join(", ")}`);
  return lines;
}

function topology(report: Report, paint: Painter): string[] {
  if (report.functions.length === 0) return [];
  const windows = report.ecam.map(({ base }) => hexadecimal(base)).join(", ");
  const lines = [paint.paint("bold", "PCI bus 00") + (windows ? ` (ECAM at ${windows})` : "")];
  report.functions.forEach((func, index) => {
    const last = index === report.functions.length - 1;
    const title = func.virtio ? `virtio ${func.virtio.name}` : className(func.classCode);
    const type = func.virtio?.name === "other" ? ` (type ${func.virtio.type})` : "";
    lines.push(`${last ? "`" : "|"}-- ${func.address}  ${identity(func)}  ${paint.paint("bold", title)}${type}`);
    const children = describeFunction(func);
    children.forEach((child, at) => {
      lines.push(`${last ? " " : "|"}   ${at === children.length - 1 ? "`" : "|"}-- ${child}`);
    });
  });
  lines.push("");
  return lines;
}

function describeFunction(func: ProbedFunction): string[] {
  const lines: string[] = [];
  for (const bar of func.bars) {
    const flags = bar.prefetchable ? ", prefetchable" : "";
    lines.push(`BAR ${bar.index}: ${hexadecimal(bar.address)}, ${formatBytes(bar.size)}, ${bar.kind}${flags}`);
  }
  for (const capability of func.capabilities) lines.push(describeCapability(capability));
  const { virtio } = func;
  if (!virtio) return lines;
  lines.push(`features ${hexadecimal(virtio.features)}: ${featureNames(virtio.features).join(", ")}`);
  const more = virtio.queueCount > virtio.queues.length ? ", ..." : "";
  const sizes = virtio.queues.map((queue) => queue.size).join(", ");
  lines.push(`queues ${virtio.queueCount}${sizes ? ` of size ${sizes}${more}` : ""}; MSI-X vectors ${virtio.vectors}`);
  const properties = Object.entries(virtio.properties).map(([name, value]) => `${name} ${value}`);
  if (properties.length) lines.push(properties.join("; "));
  return lines;
}

function describeCapability({ offset, id, name, details }: Capability): string {
  const pairs = Object.entries(details).map(([key, value]) => `${key}=${value}`).join(" ");
  const title = name === "unknown" || name === "extended" ? `${name} ${hexadecimal(id)}` : name;
  return `capability at ${hexadecimal(offset)}: ${title}${pairs ? ` (${pairs})` : ""}`;
}

const VERDICT_COLOURS: Readonly<Record<Verdict, Colour>> = { PASS: "green", FAIL: "red", SKIP: "yellow" };

function checks(report: Report, paint: Painter, brief: boolean): string[] {
  const groups = new Map<FunctionAddress | undefined, Check[]>();
  for (const check of report.checks) {
    if (brief && check.verdict === "PASS") continue;
    const group = groups.get(check.function);
    if (group) group.push(check);
    else groups.set(check.function, [check]);
  }
  const width = Math.max(0, ...report.checks.map((check) => check.id?.length ?? 0));
  const lines: string[] = [];
  for (const [address, group] of groups) {
    lines.push(paint.paint("bold", address ? `Checks of ${title(report, address)}` : "Checks of the machine"));
    for (const { verdict, id, text, reason } of group) {
      const why = reason ? paint.paint("dim", ` (${reason})`) : "";
      lines.push(`  ${paint.paint(VERDICT_COLOURS[verdict], verdict)} ${(id ?? "").padEnd(width)} ${text}${why}`);
    }
    lines.push("");
  }
  return lines;
}

function title(report: Report, address: FunctionAddress): string {
  const func = report.functions.find((candidate) => candidate.address === address);
  if (!func) return address;
  return `${address} ${func.virtio ? `virtio ${func.virtio.name}` : className(func.classCode)}`;
}

/** Ticks as time where the frequency is known, else as ticks. */
function formatTicks(ticks: number, khz: number): string {
  if (!khz) return `${Math.round(ticks)} ticks`;
  const microseconds = ticks / khz * KHZ_PER_MHZ;
  return microseconds >= MICROSECONDS_PER_MILLISECOND
    ? `${(microseconds / MICROSECONDS_PER_MILLISECOND).toFixed(2)} ms`
    : `${microseconds.toFixed(2)} us`;
}

function measurements(report: Report, paint: Painter, hostKhz: number): string[] {
  const khz = report.timeStampKhz || hostKhz;
  const where = (address: FunctionAddress | undefined) => address ? ` of ${title(report, address)}` : "";
  const lines: string[] = [];
  for (const count of report.counts) lines.push(`  ${count.value} ${count.name}${where(count.function)}`);
  for (const timing of report.timings) lines.push(`  ${describeTiming(timing, khz)}${where(timing.function)}`);
  for (const loop of report.loops) {
    const each = loop.count ? `: ${formatTicks(loop.ticks / loop.count, khz)} each` : "";
    lines.push(`  ${loop.count} ${loop.name}${each}`);
  }
  return lines.length ? [paint.paint("bold", "Counts and timings"), ...lines] : [];
}

function describeTiming(timing: Timing, khz: number): string {
  const { name, samples, minimum, median, maximum } = timing;
  if (samples === 1) return `${name} ${formatTicks(median, khz)}`;
  const range = `${formatTicks(minimum, khz)} to ${formatTicks(maximum, khz)}`;
  return `${name} ${formatTicks(median, khz)} (median of ${samples}, ${range})`;
}

function endings(report: Report, paint: Painter): string[] {
  const lines = report.notes.map((note) => `${paint.paint("yellow", "note")}: ${note}`);
  for (const { vector, error, instruction, address } of report.faults) {
    lines.push(paint.paint(
      "red",
      `The guest took exception ${vector} (error code ${hexadecimal(error)}) at ${hexadecimal(instruction)}, `
        + `faulting address ${hexadecimal(address)}`,
    ));
  }
  if (!report.complete && report.faults.length === 0) {
    lines.push(paint.paint("red", "The report is not complete: the guest was cut short"));
  }
  const summary = summarize(report);
  const counts = `${summary.passed} checks passed, ${summary.failed} failed, ${summary.skipped} skipped`;
  const events = `${summary.doorbells} doorbells, ${summary.interrupts} interrupts`;
  lines.push(`${paint.paint(summary.ok ? "green" : "red", summary.ok ? "PASS" : "FAIL")}: ${counts}; ${events}`);
  return lines;
}
