import assert from "node:assert/strict";
import { guestImage } from "../../../guest/image.ts";
import { type LaunchOptions, VirtualMachine } from "../../../mod.ts";
import { passed, type Report } from "../../../src/probe/report.ts";
import { parseReport } from "../../../src/probe/report_reader.ts";
import { needs } from "../../support/requirements.ts";

/** Far above what a run takes where KVM is real, and enough where instructions are emulated on a busy machine. */
const TIMEOUT_SECONDS = 120;

const SECTORS = 64;
const SECTOR = 512;

interface GuestRun {
  readonly report: Report;
  readonly exitCode: number | undefined;
  readonly message: string;
  readonly console: string;
}

async function run(options: Omit<LaunchOptions, "kernel">): Promise<GuestRun> {
  const decoder = new TextDecoder();
  const output = { debug: "", hvc: "" };
  await using vm = await VirtualMachine.launch(
    { kernel: guestImage(), memory: "64M", timeoutSeconds: TIMEOUT_SECONDS, ...options },
    {
      onOutput: ({ stream, data }) => {
        if (stream === "debug" || stream === "hvc") output[stream] += decoder.decode(data, { stream: true });
      },
    },
  );
  const { ending } = await vm.ended;
  return {
    report: parseReport(output.debug),
    exitCode: ending.exitCode,
    message: ending.message,
    console: output.hvc,
  };
}

function failures({ report, message }: GuestRun): string[] {
  const failed = report.checks.filter((check) => check.verdict === "FAIL")
    .map(({ id, function: address, text, reason }) => `${id} ${address}: ${text} ${reason ?? ""}`);
  return passed(report) ? failed : [...failed, message, ...report.notes];
}

/** The rows that the guest must have checked, so that a check that is no longer made does not pass for a good one. */
const rows = "ACT-1 ACT-4 ACT-6 BAR-1 BAR-2 BAR-3 BAR-4 BAR-5 BUS-1 BUS-2 BUS-3 CAP-1 CAP-2 CAP-3 CAP-4 CAP-6 CAP-7 "
  + "CFG-1 CFG-2 CFG-3 CFG-4 COM-1 COM-2 COM-3 COM-4 COM-5 COM-6 COM-7 COM-8 COM-9 COM-10 COM-11 ID-1 ID-2 ID-3 ISR-1 "
  + "ISR-2 MSI-1 MSI-2 MSI-3 MSI-4 MSI-6 NTF-1 NTF-3 NTF-4 ROB-4 RST-1";

Deno.test({
  ...needs(
    "ID-1, ID-2, ID-3, CAP-1, CAP-2, CAP-3, CAP-4, CAP-6, CAP-7, CFG-1, CFG-2, CFG-3, CFG-4, COM-1, COM-2, COM-3, COM-4, COM-5, COM-6, COM-7, COM-8, COM-10, ISR-1, ISR-2, ACT-1, ACT-4, ACT-6, RST-1, MSI-1, MSI-2, MSI-3, MSI-4, MSI-6, BAR-1, BAR-2, BAR-3, BAR-4, BUS-1, BUS-2, BUS-3, NTF-1, NTF-3, NTF-4: a guest on KVM finds block, entropy and console in order",
    "kvm",
  ),
  async fn() {
    const disk = await Deno.makeTempFile({ prefix: "denovisor_guest_", suffix: ".img" });
    try {
      const content = new Uint8Array(SECTORS * SECTOR).map((_, index) => index * 7 % 251);
      await Deno.writeFile(disk, content);
      const result = await run({
        cmdline: "mode=demo write=1 smp=1",
        cpus: 2,
        disks: [{ path: disk, queues: 3 }],
        rng: true,
        consoles: ["hvc"],
      });
      assert.deepEqual(failures(result), []);
      assert.equal(result.exitCode, 0, result.message);
      assert.equal(result.console, "denovisor: the embedded guest says hello\r\n");
      const { report } = result;
      assert.deepEqual(report.functions.flatMap((func) => func.virtio?.name ?? []), ["block", "entropy", "console"]);
      assert.equal(report.functions[1].virtio?.queueCount, 3);
      assert.equal(report.functions[1].virtio?.properties.capacity, String(content.length));
      assert.deepEqual(report.processors, [{ apicId: 0, boot: true }, { apicId: 1, boot: false }]);
      const checked = new Set(report.checks.map((check) => check.id));
      assert.deepEqual(rows.split(" ").filter((id) => !checked.has(id)), [], "rows that were not checked");
      assert.deepEqual(report.checks.filter((check) => check.verdict === "SKIP"), []);
      assert.deepEqual(await Deno.readFile(disk), content, "what the guest overwrote it has put back");
    } finally {
      await Deno.remove(disk);
    }
  },
});

Deno.test({
  ...needs("a guest on KVM examines a stranger's device of a type that it does not know", "kvm"),
  async fn() {
    const result = await run({ cmdline: "mode=probe", devices: [import.meta.resolve("./stranger.ts")] });
    assert.deepEqual(failures(result), []);
    assert.equal(result.exitCode, 0, result.message);
    const device = result.report.functions[1];
    assert.equal(device.virtio?.type, 42);
    assert.deepEqual(device.virtio?.queues.map((queue) => queue.size), [2, 32, 1024]);
    assert.equal(device.virtio?.vectors, 4);
  },
});

Deno.test({
  ...needs("a guest on KVM ends as its mode says", "kvm"),
  async fn() {
    const exit = await run({ cmdline: "mode=exit code=37" });
    assert.equal(exit.exitCode, 37, exit.message);
    const fault = await run({ cmdline: "mode=fault" });
    assert.equal(fault.exitCode, 3, fault.message);
    assert.equal(fault.report.faults[0].vector, 14);
    const loop = await run({ cmdline: "mode=ioloop count=100" });
    assert.equal(loop.exitCode, 0, loop.message);
    assert.equal(loop.report.loops[0].count, 100);
  },
});
