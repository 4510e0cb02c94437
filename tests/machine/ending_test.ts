import assert from "node:assert/strict";
import { ending, EXIT_CODES, USAGE_EXIT_CODE } from "../../src/machine/ending.ts";

const PAGE = new URL("../../docs/exit_codes.md", import.meta.url);

/** Rows of the table: code and meaning. */
function documented(): Map<string, string> {
  const rows = [...Deno.readTextFileSync(PAGE).matchAll(/^\| *(\S+) *\| *(.+?) *\|$/gm)];
  return new Map(rows.map(([, code, meaning]) => [code, meaning]));
}

Deno.test("every exit code is on the page of exit codes, with its meaning", () => {
  const words: Record<keyof typeof EXIT_CODES, RegExp> = {
    "power-off": /powered off/,
    "reset": /rebooted/,
    "stopped": /stopped by request/,
    "panic": /panicked/,
    "triple-fault": /triple fault/,
    "internal-error": /internal error/,
    "failed-entry": /refused to enter/,
    "timeout": /--timeout/,
    "host-error": /on the host/,
  };
  const rows = documented();
  for (const [kind, code] of Object.entries(EXIT_CODES) as [keyof typeof EXIT_CODES, number][]) {
    assert.match(rows.get(String(code)) ?? "", words[kind], `${kind}: ${code}`);
  }
  assert.match(rows.get(String(USAGE_EXIT_CODE)) ?? "", /command line/);
  const used = new Set([...Object.values(EXIT_CODES), USAGE_EXIT_CODE, 1].map(String));
  assert.deepEqual([...rows.keys()].filter((code) => /^\d+$/.test(code) && !used.has(code)), []);
});

Deno.test("codes of failures differ from each other and from what a shell uses", () => {
  const failures = Object.values(EXIT_CODES).filter((code) => code !== 0);
  assert.equal(new Set(failures).size, failures.length);
  // 126 and 127: not executable, not found; from 128 on: ended by a signal.
  assert.ok(failures.every((code) => code > USAGE_EXIT_CODE && code < 126));
});

Deno.test("an ending has its kind's code, and details only where they are given", () => {
  assert.deepEqual(ending("timeout", "too long"), { kind: "timeout", message: "too long", exitCode: 124 });
  assert.deepEqual(ending("panic", "oops", "rip=0"), {
    kind: "panic",
    message: "oops",
    exitCode: 120,
    details: "rip=0",
  });
});
