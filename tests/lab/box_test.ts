import assert from "node:assert/strict";
import { boxRequirements, needs } from "../support/requirements.ts";
import { BoxError, quote, runInBox } from "./box.ts";

Deno.test({
  ...needs("the box runs a command with KVM and this machine's files, and keeps its output apart", ...boxRequirements),
  fn: async () => {
    const results = await Deno.makeTempDir();
    try {
      const script = `
        [ -c /dev/kvm ] && [ -d /sys/module/kvm_amd ] && echo hardware KVM
        [ "$(pwd)" = ${quote(Deno.cwd())} ] && echo same folder
        deno eval 'console.log("deno", Deno.version.deno, Deno.env.get("EXTRA"))'
        echo complaint >&2
        echo written > /results/file
        sleep 1000 &
        exit 7`;
      const result = await runInBox(script, { results, environment: { EXTRA: "it's" }, timeout: 120 });
      assert.equal(result.stdout, `hardware KVM\nsame folder\ndeno ${Deno.version.deno} it's\n`);
      assert.equal(result.stderr, "complaint\n");
      assert.equal(result.code, 7);
      assert.equal(await Deno.readTextFile(`${results}/file`), "written\n");
    } finally {
      await Deno.remove(results, { recursive: true });
    }
  },
});

Deno.test({
  ...needs("the box ends at its time limit and says so", ...boxRequirements),
  fn: async () => {
    const run = runInBox("sleep 1000", { timeout: 2 });
    await assert.rejects(
      run,
      (error) => error instanceof BoxError && error.timedOut && /limit of 2 s/.test(error.message),
    );
  },
});
