import assert from "node:assert/strict";
import { parseSpecification } from "../../src/plugin/specification.ts";

/** A parsed specification as plain data. */
function parse(text: string): [string, Record<string, string | true>] {
  const { specifier, options } = parseSpecification(text);
  return [specifier, { ...options }];
}

Deno.test("a specification is a specifier, then keys with and without values", () => {
  assert.deepEqual(parse("rng"), ["rng", {}]);
  assert.deepEqual(parse("./rng.ts,source=/dev/urandom,fast"), ["./rng.ts", { source: "/dev/urandom", fast: true }]);
  assert.deepEqual(parse("https://example.org/a.ts?x=1,k=v"), ["https://example.org/a.ts?x=1", { k: "v" }]);
  assert.deepEqual(parse("block,path="), ["block", { path: "" }]);
});

Deno.test("a value may hold equals signs, commas written twice, and quotes", () => {
  assert.deepEqual(parse("x,cmdline=root=/dev/vda"), ["x", { cmdline: "root=/dev/vda" }]);
  assert.deepEqual(parse("x,path=a,,b,k=v"), ["x", { path: "a,b", k: "v" }]);
  assert.deepEqual(parse('x,path="a,b=c",k=v'), ["x", { path: "a,b=c", k: "v" }]);
  assert.deepEqual(parse('x,path="say ""hi"""'), ["x", { path: 'say "hi"' }]);
  assert.deepEqual(parse('x,path=a"b'), ["x", { path: 'a"b' }]);
  assert.deepEqual(parse('"data:text/javascript,1",k'), ["data:text/javascript,1", { k: true }]);
  assert.deepEqual(parse("data:text/javascript,,1,k"), ["data:text/javascript,1", { k: true }]);
});

Deno.test("a key of Object's prototype is an ordinary key", () => {
  const { options } = parseSpecification("x,__proto__=a,constructor=b");
  assert.deepEqual(Object.keys(options), ["__proto__", "constructor"]);
  assert.equal(options["constructor"], "b");
});

Deno.test("what cannot be read is refused with the place and the reason", () => {
  const refused: [string, RegExp][] = [
    ["", /character 1: it must begin with a device/],
    [",k=v", /must begin with a device/],
    ["x,", /a key is missing/],
    ["x,=v", /a key is missing/],
    ["x,a,a", /the key "a" is given twice/],
    ['x,a="b', /a quote is not closed/],
    ['x,a="b"c', /character 8: after a closing quote only a comma may follow/],
  ];
  for (const [text, message] of refused) {
    assert.throws(() => parseSpecification(text), { name: "SyntaxError", message });
  }
});
