/**
 * What a run of `deno test` reported in its JUnit file.
 *
 * @module
 */

/** Numbers and names of one or several runs. */
export interface TestReport {
  /** How many tests (and steps) passed. */
  readonly passed: number;
  /** Titles of those that failed, with their files. */
  readonly failed: readonly string[];
  /** Titles of those that were ignored, with their files. */
  readonly skipped: readonly string[];
}

/** The sum of reports. */
export function sumOf(reports: readonly TestReport[]): TestReport {
  return {
    passed: reports.reduce((sum, report) => sum + report.passed, 0),
    failed: reports.flatMap((report) => report.failed),
    skipped: reports.flatMap((report) => report.skipped),
  };
}

/**
 * Reads a JUnit file as `deno test --junit-path` writes it. What it does not tell is told by the files that ought to be
 * in it and by the exit code: a file that threw while it was loaded, or held no test, is not listed at all.
 *
 * @param xml The file's content; undefined where none was written, because the run broke down.
 * @param files The test files that were run, relative to the working folder.
 * @param code The exit code of `deno test`.
 */
export function readReport(xml: string | undefined, files: readonly string[], code: number): TestReport {
  let passed = 0;
  const failed: string[] = [];
  const skipped: string[] = [];
  const silent = new Set(files);
  for (const [, start, body = ""] of (xml ?? "").matchAll(/<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const file = attribute(start, "classname").replace(/^\.\//, "");
    const title = `${file}: ${attribute(start, "name")}`;
    silent.delete(file);
    if (/<(failure|error)\b/.test(body)) failed.push(title);
    else if (/<skipped\b/.test(body)) skipped.push(title);
    else passed++;
  }
  for (const file of silent) failed.push(`${file}: no test of it was run (it did not load, or holds none)`);
  if (code !== 0 && failed.length === 0) failed.push(`deno test ended with code ${code}, though no test failed`);
  return { passed, failed, skipped };
}

const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };

function attribute(start: string, name: string): string {
  const text = new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(start)?.[1] ?? "";
  return text.replace(/&(?:(\w+)|#(\d+)|#x([\da-fA-F]+));/g, (whole, named, decimal, hexadecimal) => {
    if (named !== undefined) return entities[named] ?? whole;
    return String.fromCodePoint(decimal === undefined ? parseInt(hexadecimal, 16) : Number(decimal));
  });
}
