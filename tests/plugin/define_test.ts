import assert from "node:assert/strict";
import { definePciDevice, defineVirtioDevice, option, optional } from "../../src/plugin/api.ts";
import { faultOf } from "../../src/plugin/define.ts";
import { type DeviceHost, PLUGIN_TAG, PLUGIN_VERSION } from "../../src/plugin/definition.ts";

const create = () => ({ features: 0n, queues: [], activate() {}, notify() {} });

/** Calls a function as an author without a compiler would. */
function untyped(define: unknown, definition: unknown): unknown {
  return (define as (definition: unknown) => unknown)(definition);
}

Deno.test("a definition becomes a frozen, tagged plugin", () => {
  const plugin = defineVirtioDevice({ name: "null", deviceType: 4, options: { a: option.text() }, create });
  assert.equal(plugin.kind, "virtio");
  assert.equal(plugin[PLUGIN_TAG], PLUGIN_VERSION);
  assert.equal(Symbol.keyFor(PLUGIN_TAG), "denovisor.plugin", "another copy of the module has the same tag");
  assert.ok(Object.isFrozen(plugin) && Object.isFrozen(plugin.options));
  assert.deepEqual(Object.keys(plugin.options), ["a"]);
});

Deno.test("create is called on its definition, with the options' types known", () => {
  const definition = {
    name: "counted",
    deviceType: 4,
    options: { limit: optional(option.size(), "1K"), path: option.path() },
    made: 0,
    create({ limit, path }: { limit: number; path: string }, host: DeviceHost) {
      this.made++;
      assert.equal(`${host.id} ${limit + 1} ${path.length}`, "x 1025 3");
      return create();
    },
  };
  defineVirtioDevice(definition).create({ limit: 1024, path: "abc" }, { id: "x" } as DeviceHost);
  assert.equal(definition.made, 1);
});

Deno.test("a definition without options has none", () => {
  assert.deepEqual(defineVirtioDevice({ name: "null", deviceType: 4, create }).options, {});
});

Deno.test("what a compiler would refuse is refused by name", () => {
  const wrong: [Record<string, unknown>, RegExp][] = [
    [{ deviceType: 4, create }, /"name" must be text that is not empty, not nothing/],
    [{ name: "", deviceType: 4, create }, /"name" must be text that is not empty, not ""/],
    [{ name: "a", create }, /"deviceType" must be .* an integer from 1 to 63, not nothing/],
    [{ name: "a", deviceType: 0, create }, /not 0/],
    [{ name: "a", deviceType: 64, create }, /not 64/],
    [{ name: "a", deviceType: "rng", create }, /not "rng"/],
    [{ name: "a", deviceType: 4.5, create }, /not 4\.5/],
    [{ name: "a", deviceType: 4 }, /"create" must be a function \(options, host\) => device, not nothing/],
    [{ name: "a", deviceType: 4, create: {} }, /"create" must be a function.* not an object with no members/],
    [{ name: "a", deviceType: 4, create, pciClass: -1 }, /"pciClass" must be a class code 0xCCSSPP, not -1/],
    [{ name: "a", deviceType: 4, create, options: 3 }, /"options" must be an object of schemas, not 3/],
    [{ name: "a", deviceType: 4, create, options: { x: "text" } }, /"options\.x" must be a schema .* not "text"/],
    [{ name: "a", deviceType: 4, create, options: { x: null } }, /"options\.x" must be a schema .* not null/],
  ];
  for (const [definition, message] of wrong) {
    assert.throws(() => untyped(defineVirtioDevice, definition), { name: "TypeError", message });
  }
  assert.throws(() => untyped(defineVirtioDevice, undefined), { message: /must be given an object.* not nothing/ });
  assert.throws(() => untyped(definePciDevice, { name: "a" }), { message: /^definePciDevice: "create" must be/ });
  assert.equal(faultOf("pci", { name: "a", create }), undefined, "a PCI function has no virtio device type");
});
