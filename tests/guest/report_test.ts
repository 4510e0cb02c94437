import assert from "node:assert/strict";
import { passed } from "../../src/probe/report.ts";
import { parseReport, ReportError, ReportReader } from "../../src/probe/report_reader.ts";

/** What QEMU 7.2 (q35, TCG) made of `rules=specification write=1 smp=1` with `-smp 2`, recorded. */
const recorded = await Deno.readTextFile(new URL("recorded/qemu_7_2_q35_tcg.txt", import.meta.url));

const begin = "begin\t1\tmode=demo\n";
const rng = `${begin}function\t00:02.0\t1af4:1044\tclass=ffff00 revision=01 subsystem=1af4:1044\n`;

Deno.test("a recorded report is read whole", () => {
  const report = parseReport(recorded);
  assert.equal(report.commandLine, "rules=specification write=1 smp=1");
  assert.equal(report.cpuVendor, "AuthenticAMD");
  assert.equal(report.timeStampKhz, 0);
  assert.equal(report.memory[0].type, 1);
  assert.deepEqual(report.tables.map((table) => table.signature), ["FACP", "APIC", "HPET", "MCFG", "WAET"]);
  assert.deepEqual(report.ecam, [{ base: 0xb0000000, segment: 0, firstBus: 0, lastBus: 255 }]);
  assert.deepEqual(
    report.functions.map((func) => func.address),
    ["00:00.0", "00:01.0", "00:02.0", "00:03.0", "00:1f.0", "00:1f.2", "00:1f.3"],
  );
  const block = report.functions[1];
  assert.equal(block.vendor, 0x1af4);
  assert.equal(block.device, 0x1042);
  assert.equal(block.classCode, 0x010000);
  assert.equal(block.subsystem, "1af4:1100");
  assert.equal(block.capabilities.length, 6);
  assert.deepEqual(block.capabilities[0], {
    offset: 0x98,
    id: 0x11,
    name: "msi-x",
    details: { vectors: "3", table: "1:0x0", pending: "1:0x800" },
  });
  assert.deepEqual(block.bars.map((bar) => [bar.index, bar.kind, bar.size, bar.prefetchable]), [
    [1, "memory32", 0x1000, false],
    [4, "memory64", 0x4000, true],
  ]);
  assert.equal(block.virtio?.features, 0x10130007e54n);
  assert.deepEqual(block.virtio?.queues, [{ index: 0, size: 256 }, { index: 1, size: 256 }]);
  assert.equal(block.virtio?.properties.serial, "disk-1");
  assert.equal(report.functions[0].virtio, undefined);
  assert.ok(report.checks.length > 200);
  assert.ok(report.checks.every((check) => check.verdict === "PASS"));
  assert.ok(report.checks.some((check) => check.id === undefined && check.function === undefined));
  assert.equal(report.counts.length, 6);
  assert.ok(report.timings.every(({ minimum, median, maximum }) => minimum <= median && median <= maximum));
  assert.deepEqual(report.processors, [{ apicId: 0, boot: true }, { apicId: 1, boot: false }]);
  assert.ok(report.complete && passed(report));
});

Deno.test("a report that is cut short anywhere is read as far as it goes, and has not passed", () => {
  for (let length = 0; length < recorded.length - 1; length += 97) {
    const report = parseReport(recorded.slice(0, length));
    assert.equal(report.complete, false);
    assert.equal(passed(report), false);
  }
});

Deno.test("a failed check, a skipped one and a fault are told apart", () => {
  const report = parseReport(
    `${begin}check\tFAIL\tCOM-2\t-\tVERSION_1 is offered\tread 0x0, expected 0x1\n`
      + `check\tSKIP\t-\t00:01.0\twriting\twrite=1 was not given\nfault\t14\t0x2\t0x101000\t0xfffff00000000000\n`,
  );
  assert.deepEqual(report.checks, [
    {
      verdict: "FAIL",
      id: "COM-2",
      function: undefined,
      text: "VERSION_1 is offered",
      reason: "read 0x0, expected 0x1",
    },
    { verdict: "SKIP", id: undefined, function: "00:01.0", text: "writing", reason: "write=1 was not given" },
  ]);
  assert.deepEqual(report.faults, [{
    vector: 14,
    error: 2,
    instruction: 0x101000n,
    address: 0xfffff00000000000n,
  }]);
  assert.equal(passed(report), false);
});

Deno.test("malformed reports are refused with the line, what is wrong and what to do", () => {
  const cases: [text: string, line: number, message: RegExp][] = [
    ["check\tPASS\t-\t-\ttoo early\n", 1, /a report begins with "begin"/],
    [begin + begin, 2, /began already/],
    ["begin\t2\t\n", 1, /version 2, this reader understands 1/],
    ["begin\t1\n", 1, /"command line" is missing/],
    ["begin\tone\tmode=demo\n", 1, /version is "one", not a number/],
    [`${begin}check\tMAYBE\t-\t-\ttext\n`, 2, /verdict is "MAYBE", expected PASS or FAIL or SKIP/],
    [`${begin}check\tPASS\tID-1\n`, 2, /"function" is missing/],
    [`${begin}check\tPASS\tID-1\tnowhere\ttext\n`, 2, /"nowhere" is not bus:device\.function/],
    [`${begin}function\t00:02.0\t1af4\tclass=ffff00 revision=01 subsystem=-\n`, 2, /is not vendor:device/],
    [`${begin}function\t00:02.0\t1af4:xyz\tclass=ffff00 revision=01 subsystem=-\n`, 2, /not a hexadecimal number/],
    [`${begin}function\t00:02.0\t1af4:1044\tclass=ffff00\n`, 2, /pair revision=… is missing/],
    [`${begin}function\t00:02.0\t1af4:1044\tclass\n`, 2, /"class" in properties is not name=value/],
    [`${rng}${rng.split("\n")[1]}\n`, 3, /was reported already/],
    [`${begin}bar\t00:02.0\t0\tmemory32\t0x0\t0x80000\t-\n`, 2, /was not reported before/],
    [`${rng}bar\t00:02.0\t0\tmemory48\t0x0\t0x80000\t-\n`, 3, /kind is "memory48"/],
    [`${rng}bar\t00:02.0\t0\tmemory64\t0xffffffffffffffff\t0x80000\t-\n`, 3, /more than 2\^53/],
    [`${rng}bar\t00:02.0\t-1\tmemory64\t0x0\t0x80000\t-\n`, 3, /index is "-1", not a number/],
    [`${rng}queue\t00:02.0\t0\t64\n`, 3, /was not reported as virtio before/],
    [`${rng}virtio\t00:02.0\t4\tentropy\tfeatures=all queues=1 vectors=2\n`, 3, /features is "all", not a number/],
    [`${begin}end\t3\n`, 2, /counted 3 failures, but 0 are in the report: lines are lost/],
    [`${begin}end\t0\nnote\tmore\n`, 3, /nothing may follow "end"/],
    [`${begin}note\t\x1b[2J\n`, 2, /not printable ASCII/],
    ["\x00\xff\n", 1, /not printable ASCII/],
  ];
  for (const [text, line, message] of cases) {
    assert.throws(() => parseReport(text), (error) => {
      assert.ok(error instanceof ReportError, text);
      assert.equal(error.line, line, text);
      assert.match(error.message, message);
      assert.match(error.message, /^Cannot read the embedded guest's report: line \d+ ".*Run the guest with/s);
      return true;
    });
  }
});

Deno.test("no damage to a report makes its reader fail in another way", () => {
  let seed = 20260101;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % below;
  };
  const lines = recorded.split("\n");
  let refused = 0;
  for (let round = 0; round < 500; round++) {
    const damaged = [...lines];
    const at = random(lines.length - 1);
    const line = damaged[at];
    const place = random(line.length + 1);
    const kind = random(4);
    if (kind === 0) damaged[at] = line.slice(0, place) + String.fromCharCode(random(256)) + line.slice(place + 1);
    else if (kind === 1) damaged[at] = line.slice(0, place);
    else if (kind === 2) damaged.splice(at, 1);
    else damaged[at] = line.replaceAll("\t", " ");
    try {
      parseReport(damaged.join("\n"));
    } catch (error) {
      assert.ok(error instanceof ReportError, `round ${round}: ${error}`);
      refused++;
    }
  }
  assert.ok(refused > 50, `only ${refused} damaged reports were refused`);
});

Deno.test("what a later guest may add is passed over", () => {
  const report = parseReport(`${begin}weather\tsunny\n\nnote\ta remark\tanother field\nend\t0\tseconds=1\r\n`);
  assert.deepEqual(report.notes, ["a remark"]);
  assert.ok(report.complete);
});

Deno.test("names that an object has by birth are plain names", () => {
  const report = parseReport(
    `${rng}virtio\t00:02.0\t4\tentropy\tfeatures=0x1 queues=1 vectors=2\n`
      + "device\t00:02.0\t__proto__\tvalue\nconstructor\tx\n__proto__\tx\n",
  );
  assert.deepEqual(Object.entries(report.functions[0].virtio?.properties ?? {}), [["__proto__", "value"]]);
});

Deno.test("lines can be given as they come", () => {
  const reader = new ReportReader();
  for (const line of [begin, "check\tPASS\tID-1\t-\tone", "end\t0"]) {
    assert.equal(reader.report().complete, false);
    reader.push(line);
  }
  assert.ok(passed(reader.report()));
});
