/**
 * `deno task test`: installs what the tests lack, runs them where they can run, tells what was skipped and why.
 *
 * Tests are the files `*_test.ts` under `tests/`. Those in a folder `kvm` launch bare-metal guests on `/dev/kvm`; where
 * there is none, they run on a KVM host in a box. Those in `tests/lab/` launch Linux guests and choose their host
 * themselves. All others need nothing but Deno.
 *
 * @module
 */
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { BoxError, runInBox } from "./lab/box.ts";
import { boxRequirements, installPackages, missingPackages, requirement } from "./support/requirements.ts";
import { readReport, sumOf, type TestReport } from "./support/test_report.ts";

const usage = `Usage: deno task test [options] [part of a file's path …]

  --only GROUP   run one group only (repeatable): unit, kvm or lab
  --no-install   do not install missing Debian packages, skip what needs them
`;

/** What a group's tests need, and where they run. */
interface Group {
  /** Whether a file belongs to it; the first group that wants it has it. */
  readonly owns: (file: string) => boolean;
  /** Time limit in seconds. */
  readonly timeout: number;
}

const groups: Readonly<Record<string, Group>> = {
  kvm: { owns: (file) => file.includes("/kvm/"), timeout: 600 },
  lab: { owns: (file) => file.startsWith("tests/lab/"), timeout: 1500 },
  unit: { owns: () => true, timeout: 600 },
};
/** Fast ones first. */
const order = ["unit", "kvm", "lab"];

const NOTHING_RUN_CODE = 1;
const FAILED_CODE = 1;
const USAGE_CODE = 2;

/** Types are checked by `deno task check`. */
const testArguments = ["test", "-A", "--no-check"];

async function main(): Promise<number> {
  const { values, positionals: filters } = parseArgs({
    allowPositionals: true,
    allowNegative: true,
    options: {
      only: { type: "string", multiple: true },
      install: { type: "boolean", default: true },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) {
    console.log(usage);
    return 0;
  }
  const wrong = values.only?.find((name) => !order.includes(name));
  if (wrong !== undefined) {
    console.error(`There is no group ${wrong}; the groups are ${order.join(", ")}\n\n${usage}`);
    return USAGE_CODE;
  }
  Deno.chdir(join(import.meta.dirname!, ".."));
  if (values.install) await install();

  const files = (await testFiles("tests")).filter((file) =>
    filters.length === 0 || filters.some((filter) => file.includes(filter))
  );
  const reports: TestReport[] = [];
  for (const name of order) {
    const own = files.filter((file) => name === groupOf(file));
    if (own.length === 0 || !(values.only ?? order).includes(name)) continue;
    console.log(`\n# ${name}: ${own.length} files`);
    reports.push(await runGroup(name, own));
  }
  return conclude(sumOf(reports));
}

/** The group whose tests a file holds. */
function groupOf(file: string): string {
  return Object.entries(groups).find(([, group]) => group.owns(file))![0];
}

async function testFiles(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const entry of Deno.readDir(folder)) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) files.push(...await testFiles(path));
    else if (entry.name.endsWith("_test.ts")) files.push(path);
  }
  return files.sort();
}

/** Installs what is missing; where that cannot be done, says why, and the tests that need it are skipped. */
async function install(): Promise<void> {
  const missing = missingPackages();
  if (missing.length === 0) return;
  console.log(`Installing what the tests need: ${missing.join(", ")}`);
  try {
    await installPackages(missing);
  } catch (error) {
    console.log(`${error instanceof Error ? error.message : error}\nTests that need it are skipped.`);
  }
}

async function runGroup(name: string, files: string[]): Promise<TestReport> {
  const folder = await Deno.makeTempDir({ prefix: "denovisor-test-" });
  try {
    const noKvm = name === "kvm" ? requirement("kvm") : undefined;
    const inBox = noKvm !== undefined && requirement(...boxRequirements) === undefined;
    if (noKvm !== undefined) console.log(`${noKvm}${inBox ? "\nRunning these tests on a KVM host in a box." : ""}`);
    const run = inBox ? runTestsInBox : runTests;
    const code = await run(files, folder, groups[name].timeout);
    return readReport(await readIfThere(join(folder, "junit.xml")), files, code);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function runTests(files: string[], folder: string, timeout: number): Promise<number> {
  const child = new Deno.Command("timeout", {
    args: ["--foreground", "--kill-after=10", `${timeout}`, Deno.execPath(), ...testArguments]
      .concat(`--junit-path=${join(folder, "junit.xml")}`, files),
    stdin: "null",
  }).spawn();
  return (await child.status).code;
}

async function runTestsInBox(files: string[], folder: string, timeout: number): Promise<number> {
  // There is no network in the box: what the tests import has to be in the cache before.
  const cached = await new Deno.Command(Deno.execPath(), { args: ["cache", ...files] }).spawn().status;
  if (!cached.success) return cached.code;
  try {
    const command = ["deno", ...testArguments, "--junit-path=/results/junit.xml", ...files].join(" ");
    const options = { results: folder, timeout, onOutput: print };
    return (await runInBox(command, options)).code;
  } catch (error) {
    if (!(error instanceof BoxError)) throw error;
    console.error(error.message);
    return 1;
  }
}

function print(stream: "stdout" | "stderr", data: Uint8Array): void {
  process[stream].write(data);
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Prints what did not pass, and the numbers as the last line. */
function conclude({ passed, failed, skipped }: TestReport): number {
  if (skipped.length > 0) console.log(`\nSkipped:\n${skipped.map((title) => `  ${title}`).join("\n")}`);
  if (failed.length > 0) console.log(`\nFailed:\n${failed.map((title) => `  ${title}`).join("\n")}`);
  const nothing = passed + failed.length === 0;
  if (nothing) console.log("\nNo test was run.");
  console.log(`\n${passed} passed, ${failed.length} failed, ${skipped.length} skipped`);
  if (nothing) return NOTHING_RUN_CODE;
  return failed.length > 0 ? FAILED_CODE : 0;
}

if (import.meta.main) process.exitCode = await main();
