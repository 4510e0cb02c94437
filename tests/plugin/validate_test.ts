import assert from "node:assert/strict";
import * as v from "valibot";
import { PluginError } from "../../src/plugin/error.ts";
import { option, optional } from "../../src/plugin/options.ts";
import { describeOptions, validateOptions } from "../../src/plugin/validate.ts";

const schemas = {
  path: option.path(),
  limit: optional(option.size(), "1M"),
  readonly: optional(option.boolean()),
  planet: optional(v.pipe(v.string(), v.minLength(3, "a planet has three letters or more"))),
};

Deno.test("valid options come back typed, with the fallbacks of those left out", () => {
  assert.deepEqual(validateOptions('device "block"', schemas, { path: "a.img", readonly: "on" }), {
    path: "a.img",
    limit: 2 ** 20,
    readonly: true,
    planet: undefined,
  });
});

Deno.test("a wrong option is refused with owner, key, expectation, value, valid keys and the nearest", () => {
  assert.throws(() => validateOptions('device "block"', schemas, { path: "a", limt: "3M" }), {
    name: "PluginError",
    message: 'Wrong options for device "block": there is no option "limt" (did you mean "limit"?). '
      + "Its options are path, limit, readonly, planet.",
  });
  assert.throws(() => validateOptions('device "block"', schemas, { path: "a", limit: "many" }), {
    message: /"limit" expected size, such as 512, 64K, 1M or 2G \(default 1M\), but was given "many"\. Its options/,
  });
  assert.throws(() => validateOptions('device "block"', schemas, {}), {
    message: /"path" is missing: expected path of a file/,
  });
  assert.throws(() => validateOptions('device "block"', schemas, { path: true }), {
    message: /"path" expected path of a file, but was given true \(a key alone means true; write path=VALUE\)/,
  });
});

Deno.test("a message of a schema's own is passed on", () => {
  assert.throws(() => validateOptions('device "block"', schemas, { path: "a", planet: "x" }), {
    message: /"planet" expected string, but was given "x" \(a planet has three letters or more\)/,
  });
});

Deno.test("all faults are told at once", () => {
  const thrown = (() => {
    try {
      return validateOptions('device "block"', schemas, { limit: "many", zzz: "1" });
    } catch (error) {
      return error;
    }
  })();
  assert.ok(thrown instanceof PluginError);
  for (const part of ['"zzz"', '"path" is missing', '"limit" expected']) assert.ok(thrown.message.includes(part));
});

Deno.test("keys of Object's prototype are unknown, not inherited", () => {
  assert.throws(() => validateOptions('device "rng"', {}, { constructor: "x" }), {
    message: /there is no option "constructor"\. It takes no options\.$/,
  });
  assert.throws(() => validateOptions('device "rng"', {}, JSON.parse('{"__proto__": 1}')), { name: "PluginError" });
  assert.throws(() => validateOptions('device "block"', { toString: option.text() }, {}), {
    message: /"toString" is missing/,
  });
});

Deno.test("help lists every option", () => {
  assert.deepEqual(describeOptions({ path: option.path(), limit: optional(option.size(), "1M") }), [
    { key: "path", expects: "path of a file (required)" },
    { key: "limit", expects: "size, such as 512, 64K, 1M or 2G (default 1M)" },
  ]);
});
