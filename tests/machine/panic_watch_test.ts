import assert from "node:assert/strict";
import { PanicWatch } from "../../src/machine/panic_watch.ts";

function watch(text: string | Uint8Array): [reason: string, isLast: boolean][] {
  const reports: [string, boolean][] = [];
  const watch = new PanicWatch((reason, isLast) => reports.push([reason, isLast]));
  for (const byte of typeof text === "string" ? new TextEncoder().encode(text) : text) watch.see(byte);
  return reports;
}

const MARK = "Kernel panic - not syncing";

Deno.test("a kernel's panic is recognised in the first and the last of its lines", () => {
  assert.deepEqual(
    watch(
      "[    0.000000] Linux version 6.1\r\n"
        + `[    1.234567] ${MARK}: VFS: Unable to mount root fs on unknown-block(0,0)\r\n`
        + "[    1.234568] CPU: 0 PID: 1 Comm: swapper/0 Not tainted\r\n"
        + `[    1.234569] ---[ end ${MARK}: VFS: Unable to mount root fs on unknown-block(0,0) ]---\r\n`,
    ),
    [
      [`${MARK}: VFS: Unable to mount root fs on unknown-block(0,0)`, false],
      [`${MARK}: VFS: Unable to mount root fs on unknown-block(0,0) ]---`, true],
    ],
  );
});

Deno.test("what only looks like a panic is none", () => {
  assert.deepEqual(watch("Kernel panic\nnot syncing\nKernel panic - \nnot syncing\n\n"), []);
  assert.deepEqual(watch(`${MARK}: a line that never ends`), []);
});

Deno.test("a line's beginning is enough, however long it is", () => {
  assert.deepEqual(watch(`${MARK}: ${"x".repeat(100_000)}\n`).map(([reason]) => reason.length), [512]);
  assert.deepEqual(watch(`${"x".repeat(600)}${MARK}\nnext\n`), []);
  assert.deepEqual(watch(`${"x".repeat(100_000)}\n${MARK}: y\n`), [[`${MARK}: y`, false]]);
});

Deno.test("any bytes may come between", () => {
  const noise = Uint8Array.from({ length: 4096 }, (_, i) => i * 7 & 0xff);
  const text = new TextEncoder().encode(`\n${MARK}: z\n`);
  assert.deepEqual(watch(Uint8Array.from([...noise, ...text, ...noise])), [[`${MARK}: z`, false]]);
});
