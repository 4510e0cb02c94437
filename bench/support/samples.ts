/**
 * Sets of measurements and tables of them.
 *
 * @module
 */

/** What is told of a set of measurements. */
export interface Summary {
  /** The middle one. */
  readonly median: number;
  /** 99 of 100 are not above it. */
  readonly p99: number;
  /** The least median of a round: what is left when others disturb the least. */
  readonly quietest: number;
}

/** The value that a share of the sorted samples does not exceed. */
function quantile(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

/**
 * Summarises the samples of several rounds, each multiplied by `factor`.
 *
 * @throws {RangeError} There are none.
 */
export function summarise(rounds: readonly ArrayLike<number>[], factor = 1): Summary {
  const all = Float64Array.from(rounds.flatMap((round) => Array.from(round))).sort();
  if (all.length === 0) throw new RangeError("Cannot summarise measurements: there are none");
  const medians = rounds.map((round) => quantile(Float64Array.from(round).sort(), 0.5));
  return {
    median: quantile(all, 0.5) * factor,
    p99: quantile(all, 0.99) * factor,
    quietest: Math.min(...medians) * factor,
  };
}

/** A number with as many decimals as are worth reading. */
export function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** How many times C's figure ours is; a dash where there is none. */
export function ratio(ours: number, c: number | undefined): string {
  return c === undefined ? "–" : `${(ours / c).toFixed(2)}×`;
}

/** Titles of the columns that {@linkcode compare} fills. */
export const COMPARISON_TITLES = [
  "median",
  "p99",
  "quietest",
  "C median",
  "C p99",
  "C quietest",
  "ratio",
  "quietest ratio",
] as const;

/** Cells of a row: our figures, C's, and both ratios: of the medians, and of the quietest rounds. */
export function compare(ours: Summary, c: Summary | undefined): string[] {
  const cells = ({ median, p99, quietest }: Summary) => [figure(median), figure(p99), figure(quietest)];
  return [
    ...cells(ours),
    ...(c === undefined ? ["–", "–", "–"] : cells(c)),
    ratio(ours.median, c?.median),
    ratio(ours.quietest, c?.quietest),
  ];
}

/** Prints a Markdown table with columns of equal width: for the terminal and for RESULTS.md alike. */
export function printTable(header: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column].length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(" | ")} |`;
  console.log(line(header));
  console.log(line(widths.map((width, i) => i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)));
  for (const row of rows) console.log(line(row));
}
