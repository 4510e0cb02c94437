/**
 * What a run cost, counted where it happens and put together at its end.
 *
 * @module
 */

/** Exits of one vCPU by kind; see `Counter` in mailbox.ts for their meaning. */
export type ExitCounts = Readonly<Record<string, number>>;

/** Counts of one device. */
export interface DeviceStatistics {
  /** The device's id. */
  readonly id: string;
  /** Name and value of each of its counters. */
  readonly counters: Readonly<Record<string, number>>;
}

/** Counts of a whole run. */
export interface Statistics {
  /** Per vCPU. */
  readonly vcpus: readonly ExitCounts[];
  /** Exits that reached the machine isolate, by place: a port, an address range or a device. */
  readonly places: Readonly<Record<string, number>>;
  /** Per device. */
  readonly devices: readonly DeviceStatistics[];
  /** Times the machine isolate slept. */
  readonly sleeps: number;
  /** Frequency of the guest's time stamp counter in kHz; 0 where the host does not know it. */
  readonly timeStampKhz: number;
  /** Milliseconds of each step from the launch on. */
  readonly timeline: Readonly<Record<string, number>>;
}

/**
 * Renders statistics as lines for a terminal.
 *
 * @example
 * ```ts
 * import { renderStatistics } from "./statistics.ts";
 * console.error(renderStatistics({ vcpus: [], places: {}, devices: [], sleeps: 0, timeStampKhz: 0, timeline: {} }));
 * ```
 */
export function renderStatistics(statistics: Statistics): string {
  const lines: string[] = [];
  statistics.vcpus.forEach((counts, index) => lines.push(`vcpu ${index} exits: ${renderCounts(counts)}`));
  const busiest = Object.entries(statistics.places).sort(([, a], [, b]) => b - a);
  lines.push(`exits answered by the machine: ${renderCounts(Object.fromEntries(busiest))}`);
  for (const device of statistics.devices) lines.push(`device ${device.id}: ${renderCounts(device.counters)}`);
  lines.push(`machine slept: ${statistics.sleeps}`);
  const steps = Object.entries(statistics.timeline).map(([step, at]) => `${step} ${at.toFixed(1)}`);
  lines.push(`timeline in ms: ${steps.join(", ")}`);
  return lines.join("\n");
}

function renderCounts(counts: Readonly<Record<string, number>>): string {
  const entries = Object.entries(counts).filter(([, count]) => count > 0);
  return entries.length === 0 ? "none" : entries.map(([name, count]) => `${name} ${count}`).join(", ");
}
