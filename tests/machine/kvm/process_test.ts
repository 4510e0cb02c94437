/**
 * Scripts as processes of their own: each must end by itself, however its machine ended.
 *
 * @module
 */
import assert from "node:assert/strict";
import { needs } from "../../support/requirements.ts";

const PATIENCE_SECONDS = 60;
const MODULE = JSON.stringify(import.meta.resolve("../../../mod.ts"));
const IMAGE = JSON.stringify(import.meta.resolve("../../../guest/image.ts"));
const PLUGIN = JSON.stringify(import.meta.resolve("../../../src/plugin/api.ts"));

async function runScript(body: string): Promise<{ code: number; stdout: string; stderr: string }> {
  const file = await Deno.makeTempFile({ prefix: "denovisor_process_", suffix: ".ts" });
  await Deno.writeTextFile(
    file,
    `import { VirtualMachine } from ${MODULE};
    import { guestImage } from ${IMAGE};
    const launch = (mode, more = {}, listeners = {}) =>
      VirtualMachine.launch({ kernel: guestImage(), memory: "64M", cmdline: "mode=" + mode, ...more }, listeners);
    ${body}`,
  );
  try {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", file],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      env: { NO_COLOR: "1" },
    }).spawn();
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      child.kill("SIGKILL");
    }, PATIENCE_SECONDS * 1000);
    const { code, stdout, stderr } = await child.output();
    clearTimeout(timer);
    const [out, err] = [stdout, stderr].map((data) => new TextDecoder().decode(data));
    assert.ok(!isLate, `the script did not end within ${PATIENCE_SECONDS} s; it printed:\n${out}${err}`);
    return { code, stdout: out, stderr: err };
  } finally {
    await Deno.remove(file);
  }
}

const SCRIPTS: readonly [title: string, body: string, code: number, output: RegExp][] = [
  [
    "when the guest ended",
    `const vm = await launch("exit code=3"); console.log((await vm.ended).ending.exitCode);`,
    0,
    /^3$/m,
  ],
  [
    "when it was stopped",
    `const vm = await launch("spin"); console.log((await vm.stop()).ending.kind);`,
    0,
    /^stopped$/m,
  ],
  [
    "when it was disposed, twice",
    `{ await using vm = await launch("spin", { cpus: 2 }); await vm[Symbol.asyncDispose](); } console.log("done");`,
    0,
    /^done$/m,
  ],
  [
    "when it had a long time limit left",
    `const vm = await launch("exit", { timeoutSeconds: 3000 }); await vm.ended; console.log("done");`,
    0,
    /^done$/m,
  ],
  [
    "when the launch was refused",
    `try { await launch("exit", { devices: ["nothing"], timeoutSeconds: 3000 }); } catch (error) { console.log(error.message); }`,
    0,
    /^There is no device called "nothing"/m,
  ],
  [
    "when the launch was refused and nobody caught it",
    `await launch("exit", { devices: ["nothing"] });`,
    1,
    /Uncaught .*There is no device called "nothing"/,
  ],
  [
    "when the script threw while the machine ran",
    `await using vm = await launch("spin"); throw new Error("in the script");`,
    1,
    /Uncaught .*Error: in the script/,
  ],
  [
    "when the script threw and nothing disposed the machine",
    `const vm = await launch("spin", { cpus: 2 }); throw new Error("in the script");`,
    1,
    /Uncaught .*Error: in the script/,
  ],
  [
    "when a listener threw",
    `const vm = await launch("spin", {}, { onOutput() { throw new Error("listener"); } });
    console.log((await vm.ended).ending.message);`,
    0,
    /^the listener onOutput failed: listener$/m,
  ],
  ["when the script exits while a machine runs", `await launch("spin", { cpus: 2 }); Deno.exit(9);`, 9, /^/],
  [
    "by Deno.exit() when a plugin is stuck in a loop, which nothing else can break",
    `const plugin = "data:text/javascript," + encodeURIComponent(\`import { defineVirtioDevice } from ${PLUGIN};
      export default defineVirtioDevice({ name: "stuck", deviceType: 42, create: () => ({
        features: 0n, queues: [{ name: "q", size: 8 }], notify() {}, activate() { while (true); } }) });\`);
    const vm = await launch("probe", { devices: [{ plugin }], cpus: 2, timeoutSeconds: 2 });
    console.log((await vm.ended).ending.message);
    Deno.exit(4);`,
    4,
    /a plugin is probably stuck.*leave this process by Deno\.exit\(\)/,
  ],
];

for (const [title, body, code, output] of SCRIPTS) {
  Deno.test({
    ...needs(`ROB-1: a script ends by itself ${title}`, "kvm"),
    async fn() {
      const result = await runScript(body);
      assert.equal(result.code, code, result.stderr);
      assert.match(result.stdout + result.stderr, output);
    },
  });
}
