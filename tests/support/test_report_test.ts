import assert from "node:assert/strict";
import { readReport, sumOf } from "./test_report.ts";

const xml = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="deno test" tests="5" failures="1" errors="1" time="0.490">
    <testsuite name="./a_test.ts" tests="4" disabled="1" errors="1" failures="1">
        <testcase name="good" classname="./a_test.ts" time="0.002" line="1" col="6">
        </testcase>
        <testcase name="left out [skipped: 1 &lt; 2 &amp; &quot;q&quot; &#39;]" classname="./a_test.ts" time="0.000">
            <skipped/>
        </testcase>
        <testcase name="bad" classname="./a_test.ts" time="0.001" line="3" col="6">
            <failure message="Uncaught Error: x">Error: &lt;skipped/&gt;</failure>
        </testcase>
        <testcase name="late" classname="./a_test.ts" time="0.000" line="1" col="6">
            <error message="Cancelled"/>
        </testcase>
    </testsuite>
</testsuites>`;

Deno.test("a JUnit file's passed, failed and skipped tests are told apart", () => {
  assert.deepEqual(readReport("a_test.ts", xml, 1), {
    passed: 1,
    failed: ["a_test.ts: bad", "a_test.ts: late"],
    skipped: [`a_test.ts: left out [skipped: 1 < 2 & "q" ']`],
  });
});

Deno.test("a file of which no test was run has failed, and so has a run without a report", () => {
  for (const report of [undefined, "", `<testsuites name="deno test" tests="0"></testsuites>`]) {
    for (const code of [0, 1, 137]) {
      const { passed, failed, skipped } = readReport("b_test.ts", report, code);
      assert.deepEqual([passed, failed.length, skipped.length], [0, 1, 0]);
      assert.match(failed[0], /^b_test\.ts: no test of it was run/);
    }
  }
});

Deno.test("an exit code that the tests do not explain is a failure", () => {
  const good = `<testcase name="good" classname="./helper.ts" time="0.002"></testcase>`;
  assert.deepEqual(readReport("a_test.ts", good, 0), { passed: 1, failed: [], skipped: [] });
  assert.match(readReport("a_test.ts", good, 1).failed[0], /^a_test\.ts: deno test ended with code 1/);
});

Deno.test("the sum of reports keeps every name", () => {
  const one = { passed: 2, failed: ["x"], skipped: [] };
  const other = { passed: 3, failed: ["y"], skipped: ["z"] };
  assert.deepEqual(sumOf([one, other]), { passed: 5, failed: ["x", "y"], skipped: ["z"] });
});
