import assert from "node:assert/strict";
import { needs } from "../../support/requirements.ts";
import { launchGuest, runGuest, until } from "./guest_runs.ts";

Deno.test({
  ...needs("ROB-1: the guest's exit code is the run's", "kvm"),
  async fn() {
    for (const code of [0, 37, 255]) {
      const { ending, statistics } = await runGuest({ cmdline: `mode=exit code=${code}` });
      assert.deepEqual([ending.kind, ending.exitCode], ["debug-exit", code], ending.message);
      assert.equal(statistics?.vcpus.length, 1);
      assert.ok(statistics.vcpus[0].portWrite > 0, "the guest printed");
      assert.ok(statistics.timeline.running > 0);
    }
  },
});

Deno.test({
  ...needs("ROB-1: a guest's reset ends the run, or begins it anew", "kvm"),
  async fn() {
    const { ending } = await runGuest({ cmdline: "mode=reset" });
    assert.deepEqual([ending.kind, ending.exitCode], ["reset", 0], ending.message);
    let reboots = 0;
    let output = "";
    const vm = await launchGuest({ cmdline: "mode=reset", rebootOnReset: true }, {
      onReboot: () => void reboots++,
      onOutput: ({ data }) => void (output += new TextDecoder().decode(data)),
    });
    await until("the guest had rebooted three times", () => reboots >= 3);
    const last = await vm.stop();
    assert.ok(["stopped", "reset"].includes(last.ending.kind), last.ending.message);
    assert.ok(output.split("begin\t1").length > 3, "it began anew each time");
    const after = reboots;
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(reboots, after, "a stopped machine does not reboot");
  },
});

Deno.test({
  ...needs("ROB-1: a triple fault ends the run with a code of its own", "kvm"),
  async fn() {
    const { ending } = await runGuest({ cmdline: "mode=triple-fault", verbose: true });
    assert.deepEqual([ending.kind, ending.exitCode], ["triple-fault", 121], ending.message);
    assert.match(ending.message, /^vCPU 0 shut down after a triple fault$/);
    assert.match(ending.details ?? "", /^vCPU 0: .*rip=[0-9a-f]{16}.*cr3=[0-9a-f]{16}.*cs=/);
    assert.equal((await runGuest({ cmdline: "mode=triple-fault" })).ending.details, undefined);
  },
});

Deno.test({
  ...needs("ROB-1: a guest that never ends is ended when its time is over", "kvm"),
  async fn() {
    for (const mode of ["spin", "halt"]) {
      const { ending } = await runGuest({ cmdline: `mode=${mode}`, timeoutSeconds: 1 });
      assert.deepEqual([ending.kind, ending.exitCode], ["timeout", 124], mode);
      assert.equal(ending.message, "the run took longer than 1 s");
    }
  },
});

Deno.test({
  ...needs("ROB-1: a guest that loops, sleeps or hammers the machine stops at once when asked to", "kvm"),
  async fn() {
    const modes = [
      "spin",
      "halt",
      "ioloop count=1000000000",
      "ioreadloop port=0x70 count=1000000000",
      "mmioloop count=1000000000",
      "mmioreadloop count=1000000000 address=0xe0000000",
    ];
    for (const mode of modes) {
      const vm = await launchGuest({ cmdline: `mode=${mode}` });
      await new Promise((resolve) => setTimeout(resolve, 30));
      const asked = performance.now();
      const [{ ending }, again] = await Promise.all([vm.stop(), vm.stop()]);
      const took = performance.now() - asked;
      assert.deepEqual([ending.kind, ending.exitCode], ["stopped", 0], mode);
      assert.equal(again.ending, ending, "stopping twice is stopping once");
      // Some milliseconds where nobody else uses the machine.
      assert.ok(took < 1000, `${mode}: stopping took ${took.toFixed(0)} ms`);
    }
  },
});

Deno.test({
  ...needs("ROB-1: stopping what has ended changes nothing", "kvm"),
  async fn() {
    const vm = await launchGuest({ cmdline: "mode=exit code=9" });
    const first = await vm.ended;
    await vm[Symbol.asyncDispose]();
    await vm[Symbol.asyncDispose]();
    assert.equal((await vm.stop()).ending, first.ending);
    assert.equal(first.ending.exitCode, 9);
    vm.resize("serial", 80, 25);
    await vm.send("serial", new Uint8Array(10));
  },
});
