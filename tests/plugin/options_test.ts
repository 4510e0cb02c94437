import assert from "node:assert/strict";
import * as v from "valibot";
import { option, optional } from "../../src/plugin/options.ts";
import { describeSchema, isOptional, type OptionSchema, validate } from "../../src/plugin/schema.ts";

/** What a schema makes of a value; undefined when it refuses it. */
function taken(schema: OptionSchema, value: unknown): unknown {
  const result = validate(schema, value);
  return result.issues === undefined ? result.value : undefined;
}

Deno.test("sizes are taken as text with binary units and as numbers", () => {
  const sizes: [unknown, number | undefined][] = [
    ["512", 512],
    ["64K", 65536],
    ["64k", 65536],
    ["1M", 2 ** 20],
    ["2G", 2 ** 31],
    ["1GiB", 2 ** 30],
    ["1GB", 2 ** 30],
    ["3T", 3 * 2 ** 40],
    ["0", 0],
    [4096, 4096],
    ["", undefined],
    ["1.5M", undefined],
    ["-1", undefined],
    ["M", undefined],
    ["1X", undefined],
    ["1 M", undefined],
    ["99999999999T", undefined],
    [-1, undefined],
    [1.5, undefined],
    [NaN, undefined],
    [true, undefined],
    [null, undefined],
    [{}, undefined],
    [["512"], undefined],
  ];
  for (const [given, expected] of sizes) assert.equal(taken(option.size(), given), expected, `size ${String(given)}`);
});

Deno.test("integers keep their limits", () => {
  const schema = option.integer({ min: 1, max: 16 });
  for (const [given, expected] of [["1", 1], ["16", 16], ["0x10", 16], [7, 7]]) {
    assert.equal(taken(schema, given), expected);
  }
  for (const given of ["0", "17", "", " ", "1e1", "1.5", 1.5, NaN, Infinity, true, [], undefined]) {
    assert.equal(taken(schema, given), undefined, `integer ${String(given)}`);
  }
  assert.equal(taken(option.integer(), "-5"), -5);
  assert.equal(taken(option.integer(), "99999999999999999999"), undefined);
});

Deno.test("booleans are taken as words and as values", () => {
  for (const given of ["on", "true", "yes", "1", "ON", true]) assert.equal(taken(option.boolean(), given), true);
  for (const given of ["off", "false", "no", "0", "Off", false]) assert.equal(taken(option.boolean(), given), false);
  for (const given of ["", "maybe", "constructor", 1, 0, null, ["on"]]) {
    assert.equal(taken(option.boolean(), given), undefined);
  }
});

Deno.test("text, paths and choices", () => {
  assert.equal(taken(option.text(), ""), "");
  assert.equal(taken(option.text(), true), undefined);
  assert.equal(taken(option.path(), "a b.img"), "a b.img");
  assert.equal(taken(option.path(), new URL("file:///tmp/a%20b")), "/tmp/a b");
  for (const given of ["", "a\0b", 3, new URL("https://example.org/")]) {
    assert.equal(taken(option.path(), given), undefined, `path ${String(given)}`);
  }
  assert.equal(taken(option.oneOf(["fast", "safe"]), "safe"), "safe");
  assert.equal(taken(option.oneOf(["fast", "safe"]), "toString"), undefined);
});

Deno.test("an optional one has its fallback, which may be written in any form", () => {
  assert.equal(taken(optional(option.size(), "1M"), undefined), 2 ** 20);
  assert.equal(taken(optional(option.size(), "1M"), "2M"), 2 ** 21);
  assert.deepEqual(taken(optional(option.path()), undefined), undefined);
  assert.equal(isOptional(optional(option.path())), true);
  assert.equal(isOptional(option.path()), false);
  assert.equal(isOptional(v.optional(v.string())), true);
});

Deno.test("schemas describe themselves, those of other libraries too", () => {
  assert.equal(describeSchema(option.size()), "size, such as 512, 64K, 1M or 2G");
  assert.equal(describeSchema(optional(option.size(), "1M")), "size, such as 512, 64K, 1M or 2G (default 1M)");
  assert.equal(describeSchema(option.integer({ min: 1, max: 8 })), "integer from 1 to 8");
  assert.equal(describeSchema(option.integer({ min: 1 })), "integer of 1 or more");
  assert.equal(describeSchema(option.oneOf(["fast", "safe"])), "fast or safe");
  assert.equal(describeSchema(option.boolean()), "on or off");
  assert.equal(describeSchema(v.string()), "string");
  const silent: OptionSchema = { "~standard": { version: 1, vendor: "other", validate: (value) => ({ value }) } };
  assert.equal(describeSchema(silent), "a value that its schema (other) takes");
});

Deno.test("a schema that answers later is refused, since options are validated at once", () => {
  const slow: OptionSchema = {
    "~standard": { version: 1, vendor: "slow", validate: () => Promise.resolve({ value: 1 }) },
  };
  assert.throws(() => validate(slow, 1), { name: "TypeError", message: /slow that validates asynchronously/ });
});
