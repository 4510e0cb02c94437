/**
 * The launch scripts in `examples/`, each run as a user would. Those in `examples/devices/` are tested with the devices.
 *
 * @module
 */
import assert from "node:assert/strict";
import { needs } from "./support/requirements.ts";

const ROOT = new URL("../", import.meta.url).pathname;
const FOLDER = `${ROOT}examples/`;
const MAXIMUM_LINES = 60;

/** What each script prints, beyond ending well. */
const EXPECTED: Readonly<Record<string, readonly RegExp[]>> = {
  "minimal.ts": [/^processor\t0\tboot\nprocessor\t1\tstarted$/m, /^end\t0$/m],
  "own_device.ts": [/^\d{2,} checks passed; the guest ended with code 0$/m, /^block \{/m, /^counter \{ kicks: \d+/m],
  "side_by_side.ts": [/^first: quick: the guest ended with code 7\nthen: patient: stopped by request$/m],
  "unit_test.ts": [/3 passed \| 0 failed/],
};

const scripts = [...Deno.readDirSync(FOLDER)].filter(({ isFile }) => isFile).map(({ name }) => name).sort();

async function run(args: readonly string[]): Promise<{ code: number; output: string }> {
  const command = new Deno.Command(Deno.execPath(), { args: [...args], cwd: ROOT, env: { NO_COLOR: "1" } });
  const { code, stdout, stderr } = await command.output();
  return { code, output: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

Deno.test("every example is known here, short, and imports only what is public", () => {
  assert.deepEqual(scripts, Object.keys(EXPECTED).sort());
  const allowed = new Set([
    "@denovisor/denovisor",
    "@denovisor/denovisor/plugin",
    "../guest/image.ts",
    "node:assert/strict",
  ]);
  for (const name of scripts) {
    const text = Deno.readTextFileSync(FOLDER + name);
    const imports = [...text.matchAll(/(?:from|import\() ?"(.*?)"/g)].map(([, specifier]) => specifier);
    assert.deepEqual(imports.filter((specifier) => !allowed.has(specifier)), [], name);
    assert.ok(imports.includes("@denovisor/denovisor"), name);
    assert.ok(text.split("\n").length <= MAXIMUM_LINES, `${name} is long`);
    assert.ok(text.includes(`examples/${name}`), `${name} says how it is run`);
  }
});

Deno.test("every example has correct types", async () => {
  const { code, output } = await run(["check", ...scripts.map((name) => FOLDER + name)]);
  assert.equal(code, 0, output);
});

for (const name of scripts) {
  Deno.test({
    ...needs(`examples/${name} runs`, "kvm"),
    async fn() {
      const verb = name.endsWith("_test.ts") ? "test" : "run";
      const { code, output } = await run([verb, "-A", "--no-check", FOLDER + name]);
      assert.equal(code, 0, output);
      for (const pattern of EXPECTED[name] ?? []) assert.match(output, pattern);
    },
  });
}
