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
import { BoxError, quote, runInBox } from "./lab/box.ts";
import { boxRequirements, installPackages, missingPackages, requirement } from "./support/requirements.ts";
import { readReport, sumOf, type TestReport } from "./support/test_report.ts";

const usage = `Usage: deno task test [options] [part of a file's path …]

  --only GROUP   run one group only (repeatable): unit, kvm or lab
  --no-install   do not install missing Debian packages, skip what needs them
  --in-box       run the group kvm on a KVM host in a box, even where there is /dev/kvm
`;

/** Groups of tests, those that take least time first, with the time limit of each in seconds. */
const timeLimits = { unit: 600, kvm: 900, lab: 1800 } as const;

type Group = keyof typeof timeLimits;

const groups = Object.keys(timeLimits) as Group[];

/** How a test says that it launches guests itself; see `needs`. */
const NEEDS_KVM = '"kvm"';

/**
 * Of those that need KVM, the files that run in a box unless others are named. There a launch takes seconds, time limits
 * are missed, and a guest that spins can lock up the emulated host; these prove what no other test does.
 */
const boxFolder = "tests/guest/kvm/";

const NOTHING_RUN_CODE = 1;
const FAILED_CODE = 1;
const USAGE_CODE = 2;

async function main(): Promise<number> {
  const { values, positionals: filters } = parseArgs({
    args: Deno.args[0] === "--" ? Deno.args.slice(1) : Deno.args,
    allowPositionals: true,
    allowNegative: true,
    options: {
      only: { type: "string", multiple: true },
      install: { type: "boolean", default: true },
      "in-box": { type: "boolean", default: false },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) {
    console.log(usage);
    return 0;
  }
  const only: string[] = values.only ?? groups;
  const wrong = only.find((name) => !groups.some((group) => group === name));
  if (wrong !== undefined) {
    console.error(`There is no group ${wrong}; the groups are ${groups.join(", ")}\n\n${usage}`);
    return USAGE_CODE;
  }
  Deno.chdir(join(import.meta.dirname!, ".."));
  if (values.install) await install();

  const chosen = (await testFiles("tests")).filter((file) =>
    filters.length === 0 || filters.some((filter) => file.includes(filter))
  );
  const owners = await Promise.all(chosen.map(groupOf));
  const reports: TestReport[] = [];
  for (const group of groups) {
    const files = chosen.filter((_, index) => owners[index] === group);
    if (files.length === 0 || !only.includes(group)) continue;
    console.log(`\n# ${group}: ${files.length} files`);
    reports.push(await runGroup(group, files, values["in-box"], filters.length > 0));
  }
  return conclude(sumOf(reports));
}

/** The group whose tests a file holds. */
async function groupOf(file: string): Promise<Group> {
  if (file.startsWith("tests/lab/")) return "lab";
  return (await Deno.readTextFile(file)).includes(NEEDS_KVM) ? "kvm" : "unit";
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

async function runGroup(group: Group, wanted: string[], forceBox: boolean, isChosen: boolean): Promise<TestReport> {
  const folder = await Deno.makeTempDir({ prefix: "denovisor-test-" });
  try {
    const problem = group === "kvm" ? requirement("kvm") ?? (forceBox ? "--in-box was given" : undefined) : undefined;
    const inBox = problem !== undefined && requirement(...boxRequirements) === undefined;
    const files = wanted.filter((file) => !inBox || isChosen || file.startsWith(boxFolder));
    const skipped = wanted.filter((file) => !files.includes(file)).map((file) =>
      `${file} [skipped: takes KVM at its own speed, and not in a box: ${problem}]`
    );
    if (problem !== undefined) console.log(`${problem}${inBox ? "\nRunning these tests on a KVM host in a box." : ""}`);
    const run = inBox ? runInsideBox : runHere;
    await run(files, folder, timeLimits[group]);
    const reports = files.map(async (file, index) => {
      const [xml, code] = await Promise.all(["xml", "code"].map((end) => readIfThere(join(folder, `${index}.${end}`))));
      return readReport(file, xml, Number(code ?? FAILED_CODE));
    });
    return sumOf([{ passed: 0, failed: [], skipped }, ...await Promise.all(reports)]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/**
 * Shell text that runs test files and leaves their reports and exit codes in a folder. Each file has a process of its
 * own: what a machine leaves behind is seen there, and a crash costs no other file's results.
 */
function shellText(files: readonly string[], folder: string): string {
  const deno = quote(Deno.execPath());
  return files.map((file, index) => {
    const results = quote(`${folder}/${index}`);
    // Types are checked by `deno task check`.
    return `${deno} test -A --no-check --junit-path=${results}.xml ${quote(file)} </dev/null; echo $? >${results}.code`;
  }).join("\n");
}

async function runHere(files: readonly string[], folder: string, timeout: number): Promise<void> {
  const args = ["--kill-after=10", `${timeout}`, "bash", "-c", shellText(files, folder)];
  const { code } = await new Deno.Command("timeout", { args }).spawn().status;
  if (code !== 0) console.error(`The tests did not come to their end within ${timeout} s.`);
}

async function runInsideBox(files: readonly string[], folder: string, timeout: number): Promise<void> {
  // There is no network in the box: what the tests import has to be in the cache before.
  await new Deno.Command(Deno.execPath(), { args: ["cache", "-q", ...files] }).spawn().status;
  try {
    await runInBox(shellText(files, "/results"), { results: folder, timeout, onOutput: print });
  } catch (error) {
    if (!(error instanceof BoxError)) throw error;
    console.error(error.message);
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
