import assert from "node:assert/strict";
import * as fileLayouts from "../../ffi/file_information.ts";
import * as ringLayouts from "../../ffi/io_uring_structs.ts";
import * as iovecLayouts from "../../ffi/iovec.ts";
import * as kvmLayouts from "../../ffi/kvm/structs.ts";
import { allocate, decode, encode, type Layout, sizeOf, struct, union } from "../../ffi/struct.ts";
import * as threadLayouts from "../../ffi/thread.ts";
import { needs } from "../support/requirements.ts";
import { cValues } from "./c_values.ts";

function isLayout(value: unknown): value is Layout {
  return typeof value === "object" && value !== null && "kind" in value && "offsets" in value;
}

const layouts: readonly Layout[] = [kvmLayouts, ringLayouts, iovecLayouts, fileLayouts, threadLayouts]
  .flatMap((module) => Object.values<unknown>(module))
  .filter(isLayout)
  .filter((layout) => layout.name !== "");

/** Every named field below a layout: its C path, offset and size. Members of `$` fields belong to what is around. */
function* fields(layout: Layout, path = "", base = 0): Generator<{ path: string; offset: number; size: number }> {
  for (const [name, type] of Object.entries(layout.fields)) {
    const offset = base + layout.offsets[name];
    const nested = isLayout(type) ? type : undefined;
    if (name.startsWith("$")) {
      if (nested) yield* fields(nested, path, offset);
      continue;
    }
    yield { path: path + name, offset, size: sizeOf(type) };
    if (nested) yield* fields(nested, `${path}${name}.`, offset);
  }
}

for (const header of new Set(layouts.map((layout) => layout.header))) {
  Deno.test({
    ...needs(`layouts of ${header} are those of the C compiler`, "gcc", "C library headers", "kernel headers"),
    fn: async () => {
      const expressions: string[] = [];
      const expected: number[] = [];
      for (const layout of layouts.filter((layout) => layout.header === header)) {
        expressions.push(`sizeof(${layout.name})`, `_Alignof(${layout.name})`);
        expected.push(layout.size, layout.alignment);
        for (const { path, offset, size } of fields(layout)) {
          expressions.push(`offsetof(${layout.name}, ${path})`);
          expected.push(offset);
          // An array without a length has no size in C.
          if (size === 0) continue;
          expressions.push(`sizeof(((${layout.name} *)0)->${path})`);
          expected.push(size);
        }
      }
      const actual = await cValues(header, expressions);
      expressions.forEach((expression, i) => assert.equal(Number(actual[i]), expected[i], expression));
      assert.ok(expressions.length > 3);
    },
  });
}

Deno.test("every structure of the KVM layer is compared", () => {
  assert.ok(layouts.length >= 40, `only ${layouts.length} layouts were found`);
});

Deno.test("a structure is aligned as in C, or packed", () => {
  const fields = { a: "u8", b: "u32", c: ["u16", 3], d: "u64" } as const;
  assert.deepEqual(struct("", "", fields).offsets, { a: 0, b: 4, c: 8, d: 16 });
  assert.equal(struct("", "", fields).size, 24);
  assert.deepEqual(struct("", "", fields, { packed: true }).offsets, { a: 0, b: 1, c: 5, d: 11 });
  assert.equal(struct("", "", fields, { packed: true }).size, 19);
  const either = union("", "", { byte: "u8", words: ["u32", 3], long: "u64" });
  assert.deepEqual([either.size, either.alignment, either.offsets.long], [16, 8, 0]);
});

Deno.test("encode and decode are each other's inverse", () => {
  const inner = struct("", "", { low: "u16", high: "i64" });
  const outer = struct("", "", { flag: "u8", signed: "i32", inner, list: [inner, 2], grid: [["u8", 2], 2] });
  const value = {
    flag: 255,
    signed: -2,
    inner: { low: 65535, high: -1n },
    list: [{ low: 1, high: 2n }, { low: 3, high: -(2n ** 63n) }],
    grid: [[1, 2], [3, 4]],
  };
  const view = allocate(outer);
  encode(outer, view, value);
  assert.deepEqual(decode(outer, view), value);
});
