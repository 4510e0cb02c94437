import assert from "node:assert/strict";
import { editDistance, nearest } from "../../src/plugin/nearest.ts";

Deno.test("edit distance counts insertions, removals, replacements and swaps", () => {
  assert.equal(editDistance("", ""), 0);
  assert.equal(editDistance("abc", ""), 3);
  assert.equal(editDistance("", "abc"), 3);
  assert.equal(editDistance("source", "sorce"), 1);
  assert.equal(editDistance("source", "suorce"), 1);
  assert.equal(editDistance("kitten", "sitting"), 3);
});

Deno.test("the nearest candidate is found, and none where all are far", () => {
  const keys = ["path", "readonly", "direct", "queues", "queue-size"];
  assert.equal(nearest("read-only", keys), "readonly");
  assert.equal(nearest("PATH", keys), "path");
  assert.equal(nearest("queue", keys), "queues");
  assert.equal(nearest("queuesize", keys), "queue-size");
  assert.equal(nearest("temperature", keys), undefined);
  assert.equal(nearest("x", ["y"]), undefined, "a word of which no letter is left is not near");
  assert.equal(nearest("x", []), undefined);
});
