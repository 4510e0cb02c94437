import assert from "node:assert/strict";
import { conformancePage, renderPage, testsById } from "../tools/conformance.ts";
import { conformanceGroups } from "../tools/conformance_rows.ts";

const known = conformanceGroups.flatMap((group) => group.rows.map(([id]) => id));

Deno.test("the conformance page tells which tests there are", async () => {
  const [page, tests] = await Promise.all([Deno.readTextFile(conformancePage), testsById()]);
  assert.equal(page, renderPage(tests), "renew it by: deno run -A tools/conformance.ts --write");
});

Deno.test("every id that a test names is a row of the conformance page, once", async () => {
  assert.equal(new Set(known).size, known.length);
  const strangers = [...await testsById()].filter(([id]) => !known.includes(id));
  assert.deepEqual(strangers, []);
});
