import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { BUILT_IN_DEVICES } from "../../src/devices/built_in.ts";
import { PluginError } from "../../src/plugin/error.ts";
import { loadPlugin } from "../../src/plugin/load.ts";

const API = import.meta.resolve("../../src/plugin/api.ts");
const DEFINITION = `{ name: "mine", deviceType: 4, create() {} }`;
const GOOD = `import { defineVirtioDevice } from "${API}";\nexport default defineVirtioDevice(${DEFINITION});\n`;

/** A directory of modules, removed after the test. */
function directoryOf(files: Readonly<Record<string, string>>): { readonly path: string } & Disposable {
  const path = Deno.makeTempDirSync();
  for (const [name, text] of Object.entries(files)) Deno.writeTextFileSync(`${path}/${name}`, text);
  return { path, [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
}

/** The message of the error with which loading fails. */
async function refusal(specifier: string, base: string): Promise<string> {
  try {
    await loadPlugin(specifier, base, BUILT_IN_DEVICES);
  } catch (error) {
    assert.ok(error instanceof PluginError, String(error));
    return error.message;
  }
  throw new Error(`${specifier} was loaded`);
}

Deno.test("built-in devices are loaded by name", async () => {
  for (const name of Object.keys(BUILT_IN_DEVICES)) {
    assert.equal((await loadPlugin(name, "/", BUILT_IN_DEVICES)).name, name);
  }
});

Deno.test("modules are loaded by path from the caller's directory, and by URL", async () => {
  using directory = directoryOf({ "mine.ts": GOOD, "odd # name?%20.ts": GOOD });
  const base = directory.path;
  const url = pathToFileURL(`${base}/mine.ts`).href;
  const data = `data:text/javascript,${encodeURIComponent(GOOD)}`;
  for (const specifier of ["./mine.ts", "mine.ts", `${base}/mine.ts`, url, data, "odd # name?%20.ts"]) {
    assert.equal((await loadPlugin(specifier, base)).name, "mine", specifier);
  }
  assert.equal((await loadPlugin("mine.ts", pathToFileURL(`${base}/`))).name, "mine");
});

Deno.test("an unknown name is refused with the names that exist and the nearest", async () => {
  const message = await refusal("rgn", "/");
  assert.equal(
    message,
    'There is no device called "rgn" (did you mean "rng"?). Built-in devices are block, console, rng; '
      + "a module of your own is given by its path (./rgn.ts) or URL.",
  );
  assert.match(await refusal("toString", "/"), /There is no device called "toString"\. Built-in/);
  assert.match(await refusal("", "/"), /There is no device called ""/);
});

Deno.test("a missing module is told from one that misses another", async () => {
  using directory = directoryOf({ "outer.ts": "import './inner.ts';" });
  assert.equal(
    await refusal("./gone.ts", directory.path),
    `Cannot load device module "./gone.ts": there is no file ${directory.path}/gone.ts`,
  );
  const message = await refusal("./outer.ts", directory.path);
  assert.match(message, /Cannot load device module "\.\/outer\.ts": it fails while loading: .*inner\.ts/);
});

Deno.test("a module that fails while loading is refused with its error", async () => {
  using directory = directoryOf({
    "syntax.ts": "export default {;",
    "throws.ts": "throw new RangeError('no moon tonight');",
    "throws_text.ts": "throw 'just text';",
    "type.ts": `import { defineVirtioDevice } from "${API}";
      export default defineVirtioDevice({ name: "mine", deviceType: 77, create() {} });`,
    "create.ts": `import { defineVirtioDevice } from "${API}";
      export default defineVirtioDevice({ name: "mine", deviceType: 4 });`,
  });
  const expected: [string, RegExp][] = [
    ["syntax.ts", /"syntax\.ts": it fails while loading: .*(parse|Expression|Syntax)/s],
    ["throws.ts", /it fails while loading: RangeError: no moon tonight$/],
    ["throws_text.ts", /it fails while loading: .*just text/],
    ["type.ts", /it fails while loading: TypeError: defineVirtioDevice: "deviceType" must be .* 1 to 63, not 77/],
    ["create.ts", /it fails while loading: TypeError: defineVirtioDevice: "create" must be a function/],
  ];
  for (const [name, message] of expected) assert.match(await refusal(name, directory.path), message);
});

Deno.test("a module whose default export is no plugin is refused with what it exports", async () => {
  const tagged = (members: string) => `export default { [Symbol.for("denovisor.plugin")]: 1, ${members} };`;
  using directory = directoryOf({
    "none.ts": "export const a = 1; export function b() {}",
    "empty.ts": "export {};",
    "function.ts": "export default () => 3;",
    "null.ts": "export default null;",
    "bare.ts": `export default ${DEFINITION};`,
    "future.ts": "export default { [Symbol.for('denovisor.plugin')]: 99 };",
    "kind.ts": tagged("kind: 'usb'"),
    "type.ts": tagged("kind: 'virtio', name: 'x', deviceType: 0, create() {}"),
    "create.ts": tagged("kind: 'pci', name: 'x'"),
  });
  const expected: [string, RegExp][] = [
    ["none.ts", /it has no default export \(it exports a, b\); write "export default defineVirtioDevice/],
    ["empty.ts", /it has no default export \(it exports nothing\)/],
    ["function.ts", /its default export is a function, not a device; wrap it/],
    ["null.ts", /its default export is null, not a device/],
    ["bare.ts", /its default export is an object with name, deviceType, create, not a device; wrap it/],
    ["future.ts", /it was made for version 99 of the plugin interface; this is version 1/],
    ["kind.ts", /its kind is "usb"; expected "virtio" or "pci"/],
    ["type.ts", /"deviceType" must be .*, not 0/],
    ["create.ts", /"create" must be a function/],
  ];
  for (const [name, message] of expected) {
    assert.match(await refusal(name, directory.path), message);
  }
});

Deno.test("a long specifier is shortened in messages", async () => {
  const message = await refusal(`data:text/javascript,export default 1;${"/".repeat(5000)}`, "/");
  assert.ok(message.length < 500, `${message.length} characters`);
});
