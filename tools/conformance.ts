/**
 * Writes `docs/conformance.md`: every behaviour, and the test files whose tests name its id.
 *
 * ```sh
 * deno run -A tools/conformance.ts           # list what no test names
 * deno run -A tools/conformance.ts --write   # renew the page
 * ```
 *
 * @module
 */
import { join } from "node:path";
import { conformanceGroups } from "./conformance_rows.ts";

const root = join(import.meta.dirname!, "..");

/** Where the page is. */
export const conformancePage: string = join(root, "docs/conformance.md");

/** A string literal that begins with ids and a colon, as `"CFG-1, CFG-2: …"`. */
const titlePattern = /["'`]((?:[A-Z]{2,4}-\d+(?:,? and |, ?|\/| )?)+):/g;
const idPattern = /[A-Z]{2,4}-\d+/g;

/** For each id that some test's title begins with, the files of those tests, sorted. */
export async function testsById(): Promise<Map<string, Set<string>>> {
  const found = new Map<string, Set<string>>();
  for (const file of (await testFiles("tests")).sort()) {
    const source = await Deno.readTextFile(join(root, file));
    for (const [, ids] of source.matchAll(titlePattern)) {
      for (const [id] of ids.matchAll(idPattern)) found.set(id, (found.get(id) ?? new Set()).add(file));
    }
  }
  return found;
}

async function testFiles(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const entry of Deno.readDir(join(root, folder))) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) files.push(...await testFiles(path));
    else if (entry.name.endsWith("_test.ts")) files.push(path);
  }
  return files;
}

/** The page as it should be. */
export function renderPage(tests: ReadonlyMap<string, ReadonlySet<string>>): string {
  const rows = conformanceGroups.flatMap((group) => group.rows);
  const proved = rows.filter(([id]) => tests.has(id)).length;
  const lines = [
    "<!-- dprint-ignore-file -->",
    "",
    "# What the virtio-PCI transport does",
    "",
    "Each row is a behaviour; the tests that prove it begin their titles with its id. This page is generated:",
    "`deno run -A tools/conformance.ts --write`. VIRTIO is version 1.3 of the specification, PCI the Local Bus",
    'Specification 3.0; "design" marks what is our own decision.',
    "",
    `${proved} of ${rows.length} rows are named by a test.`,
  ];
  for (const { title, rows } of conformanceGroups) {
    lines.push("", `## ${title}`, "", "| id | behaviour | section | tests | state |", "|---|---|---|---|---|");
    for (const [id, behaviour, section] of rows) {
      const files = [...tests.get(id) ?? []].map((file) => `[${file.slice("tests/".length)}](../${file})`);
      lines.push(
        `| ${id} | ${behaviour} | ${section} | ${files.join(", ")} | ${files.length > 0 ? "tested" : "open"} |`,
      );
    }
  }
  return lines.join("\n") + "\n";
}

if (import.meta.main) {
  const tests = await testsById();
  if (Deno.args.includes("--write")) await Deno.writeTextFile(conformancePage, renderPage(tests));
  const known = conformanceGroups.flatMap((group) => group.rows.map(([id]) => id));
  const open = known.filter((id) => !tests.has(id));
  console.log(`${known.length - open.length} of ${known.length} rows are named by a test`);
  if (open.length > 0) console.log(`Open: ${open.join(" ")}`);
}
