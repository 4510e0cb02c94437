import assert from "node:assert/strict";
import { needs } from "../support/requirements.ts";
import { denovisor } from "./command_line.ts";

const EXAMPLES = new URL("../../examples/devices/", import.meta.url);

Deno.test({
  ...needs("demo shows what the guest saw, plainly when piped, and leaves nothing behind", "kvm"),
  async fn() {
    const folder = await Deno.makeTempDir({ prefix: "denovisor_cli_" });
    try {
      const { code, stdout, stderr } = await denovisor(["demo"], { env: { TMPDIR: folder, NO_COLOR: "" } });
      assert.equal(code, 0, stdout + stderr);
      assert.match(stdout, /PASS/);
      assert.doesNotMatch(stdout, /^ *FAIL/m);
      // deno-lint-ignore no-control-regex -- that there is none is what this looks for
      assert.doesNotMatch(stdout, /\x1b/, "no colours in a pipe");
      assert.deepEqual([...Deno.readDirSync(folder)], [], "the disk is gone");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  ...needs("demo --json is one JSON document, --brief is shorter, --cpus and --stats are heard", "kvm"),
  async fn() {
    const { code, stdout, stderr } = await denovisor(["demo", "--json", "--cpus", "2", "--stats"]);
    assert.equal(code, 0, stderr);
    const report = JSON.parse(stdout);
    assert.equal(report.processors.length, 2);
    assert.deepEqual(
      report.functions.flatMap((func: { virtio?: { name: string } }) => func.virtio?.name ?? []),
      ["block", "entropy", "console"],
    );
    assert.match(stderr, /^vcpu 1 exits: /m);
    const brief = await denovisor(["demo", "--brief"]);
    assert.equal(brief.code, 0, brief.stderr);
    assert.ok(brief.stdout.length > 0 && brief.stdout.length < stdout.length);
  },
});

Deno.test({
  ...needs("probe examines every example device, and a built-in one", "kvm"),
  async fn() {
    const devices = [...Deno.readDirSync(EXAMPLES)].map(({ name }) => new URL(name, EXAMPLES).pathname);
    assert.ok(devices.length >= 3);
    for (const device of [...devices, "rng"]) {
      const { code, stdout, stderr } = await denovisor(["probe", "--device", device, "--brief"]);
      assert.equal(code, 0, `${device}: ${stdout}${stderr}`);
      assert.doesNotMatch(stdout, /^ *FAIL/m, device);
    }
  },
});

Deno.test({
  ...needs("probe of a device that breaks the rules ends with 1 and says which", "kvm"),
  async fn() {
    const file = await Deno.makeTempFile({ prefix: "denovisor_cli_", suffix: ".ts" });
    const api = JSON.stringify(import.meta.resolve("../../src/plugin/api.ts"));
    try {
      await Deno.writeTextFile(
        file,
        `import { defineVirtioDevice } from ${api};
        export default defineVirtioDevice({
          name: "broken", deviceType: 42,
          create: () => ({
            features: 0n, queues: [{ name: "q", size: 8 }], notify() {},
            activate() { throw new Error("will not"); },
          }),
        });`,
      );
      const { code, stdout, stderr } = await denovisor(["probe", "--device", file]);
      assert.equal(code, 1, stdout + stderr);
      assert.match(stdout, /^ *FAIL/m);
      assert.match(stderr, /broken: Virtio device broken: activate failed: will not/);
    } finally {
      await Deno.remove(file);
    }
  },
});
