import assert from "node:assert/strict";
import { acquire, LOCK_HELD, release } from "../../src/machine/shared_lock.ts";
import { runTogether } from "./together.ts";

Deno.test("a shared lock's word tells whether it is held", () => {
  const words = new Int32Array(new SharedArrayBuffer(8));
  acquire(words, 1);
  assert.deepEqual([...words], [0, LOCK_HELD]);
  release(words, 1);
  assert.deepEqual([...words], [0, 0]);
});

Deno.test("two isolates never hold a shared lock at once", async () => {
  const times = 50_000;
  const block = new SharedArrayBuffer(12);
  const job = { job: "count", block, times } as const;
  assert.deepEqual(await runTogether(job, job), [0, 0], "times that the two words differed inside the lock");
  assert.deepEqual([...new Int32Array(block)], [0, 2 * times, 2 * times]);
});
