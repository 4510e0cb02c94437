import assert from "node:assert/strict";
import { passed, type Report } from "../../src/probe/report.ts";
import { parseReport } from "../../src/probe/report_reader.ts";
import { needs } from "../support/requirements.ts";
import { runInQemu } from "./qemu.ts";

function failures(report: Report): string[] {
  return report.checks.filter((check) => check.verdict === "FAIL")
    .map(({ id, function: address, text, reason }) => `${id} ${address}: ${text} ${reason ?? ""}`);
}

Deno.test({
  ...needs("the embedded guest finds QEMU's virtio devices in accord with the specification", "qemu"),
  async fn() {
    const { output, code, console } = await runInQemu("rules=specification write=1 smp=1", ["-smp", "2"]);
    const report = parseReport(output);
    assert.deepEqual(failures(report), [], report.notes.join("\n"));
    assert.ok(passed(report));
    assert.equal(code, 0);
    const virtio = report.functions.flatMap((func) => func.virtio?.name ?? []);
    assert.deepEqual(virtio, ["block", "entropy", "console"]);
    const block = report.functions.find((func) => func.virtio?.name === "block")?.virtio;
    assert.equal(block?.properties.serial, "disk-1");
    assert.equal(block?.properties.capacity, String(1 << 20));
    assert.deepEqual(report.processors, [{ apicId: 0, boot: true }, { apicId: 1, boot: false }]);
    assert.match(console, /^denovisor: the embedded guest says hello\r\n$/);
    for (const name of ["doorbells", "interrupts"]) {
      const counts = report.counts.filter((count) => count.name === name);
      assert.equal(counts.length, virtio.length);
      assert.ok(counts.every((count) => count.value > 0), `${name}: ${JSON.stringify(counts)}`);
    }
  },
});

Deno.test({
  ...needs("the embedded guest tells a device with other choices from ours: QEMU breaks its strict rules", "qemu"),
  async fn() {
    const { output, code } = await runInQemu("rules=strict");
    const failed = new Set(parseReport(output).checks.flatMap(({ verdict, id }) => verdict === "FAIL" ? [id] : []));
    assert.equal(code, 1);
    for (const id of ["ID-1", "CAP-1", "CAP-3", "CFG-3", "COM-1", "COM-3", "COM-4", "COM-5", "COM-6", "COM-7"]) {
      assert.ok(failed.has(id), `${id} should fail on QEMU; failed: ${[...failed].join(" ")}`);
    }
  },
});

Deno.test({
  ...needs("the embedded guest examines a device of a type it does not know", "qemu"),
  async fn() {
    const { output, code } = await runInQemu("mode=probe rules=specification function=00:04.0", [
      ...["-netdev", "hubport,hubid=0,id=net", "-device", "virtio-net-pci,disable-legacy=on,netdev=net,addr=4"],
    ]);
    const report = parseReport(output);
    assert.deepEqual(failures(report), []);
    assert.equal(code, 0);
    assert.equal(report.functions.length, 1);
    assert.equal(report.functions[0].virtio?.name, "network");
    assert.ok(report.checks.some(({ id, text }) => id === "ACT-1" && text.includes("starts with its queues")));
  },
});

Deno.test({
  ...needs("modes of the embedded guest end as they say", "qemu"),
  async fn() {
    const cases = [
      ["mode=exit code=37", 37],
      ["mode=ioloop count=10 port=0x80 width=4", 0],
      ["mode=mmioreadloop count=10", 0],
      ["mode=doorbells count=10", 0],
      ["mode=latency count=10", 0],
      ["mode=fault", 3],
      ["mode=sideways", 2],
      ["mode=demo colour=red", 2],
      ["mode=triple-fault", undefined],
      ["mode=reset", undefined],
    ] as const;
    for (const [commandLine, expected] of cases) {
      const { output, code } = await runInQemu(commandLine);
      const report = parseReport(output);
      assert.equal(code, expected, commandLine);
      assert.equal(report.commandLine, commandLine);
      assert.equal(report.complete, expected === 0 || expected === 37, commandLine);
      assert.equal(report.faults.length, expected === 3 ? 1 : 0, commandLine);
      if (expected === 2) assert.equal(report.notes.length, 1, commandLine);
      if (expected === 0) assert.equal(report.loops[0].count, 10, commandLine);
    }
  },
});
