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
 * Reads what became of one test file from the JUnit file that `deno test --junit-path` wrote. What it does not tell is
 * told by the exit code: a file that threw while it was loaded, or held no test, is not listed at all.
 *
 * @param file The test file; tests that it has another module register are its own, too.
 * @param xml The JUnit file's content; undefined where none was written, because the run broke down.
 * @param code The exit code of `deno test`.
 */
export function readReport(file: string, xml: string | undefined, code: number): TestReport {
  let passed = 0;
  const failed: string[] = [];
  const skipped: string[] = [];
  for (const [, start, body = ""] of (xml ?? "").matchAll(/<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const title = `${file}: ${attribute(start, "name")}`;
    if (/<(failure|error)\b/.test(body)) failed.push(title);
    else if (/<skipped\b/.test(body)) skipped.push(title);
    else passed++;
  }
  if (passed + failed.length + skipped.length === 0) {
    failed.push(`${file}: no test of it was run (it did not load, ended the process, or holds none)`);
  } else if (code !== 0 && failed.length === 0) {
    failed.push(`${file}: deno test ended with code ${code}, though no test failed`);
  }
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
