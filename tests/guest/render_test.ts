import assert from "node:assert/strict";
import { className, featureNames } from "../../src/probe/names.ts";
import { formatBytes, render, summarize, toJson } from "../../src/probe/render.ts";
import { parseReport } from "../../src/probe/report_reader.ts";

/** What QEMU 7.2 (q35, TCG) made of `rules=specification write=1 smp=1` with `-smp 2`, recorded. */
const recorded = parseReport(await Deno.readTextFile(new URL("recorded/qemu_7_2_q35_tcg.txt", import.meta.url)));

const small = parseReport(
  "begin\t1\tmode=probe\ncpu\tGenuineIntel\t2000000\t0\necam\t0xe0000000\t0\t0\t255\n"
    + "function\t00:00.0\t1b36:0008\tclass=060000 revision=00 subsystem=0000:0000\n"
    + "function\t00:01.0\t1af4:106a\tclass=ffff00 revision=01 subsystem=1af4:106a\n"
    + "capability\t00:01.0\t40\t09\tvirtio-common\tbar=0 offset=0x0\nbar\t00:01.0\t0\tmemory64\t0x100000000\t0x80000\t-\n"
    + "virtio\t00:01.0\t42\tother\tfeatures=0x100000021 queues=2 vectors=3\nqueue\t00:01.0\t0\t64\nqueue\t00:01.0\t1\t16\n"
    + "check\tPASS\tBUS-2\t-\ta host bridge is there\ncheck\tFAIL\tCOM-10\t00:01.0\tqueue_reset reads 0\tread 0x1, expected 0x0\n"
    + "check\tSKIP\t-\t00:01.0\tdelivery\tthe device has no MSI-X\ncount\tdoorbells\t00:01.0\t7\ncount\tinterrupts\t00:01.0\t5\n"
    + "time\tdoorbell-to-interrupt\t00:01.0\t3\t10000\t20000\t6000000\nloop\tport-writes\t100\t400000\nend\t1\n",
);

Deno.test("a report is rendered as a tree, checks with their ids, counts and timings, in plain ASCII", () => {
  assert.equal(
    render(small),
    `Embedded guest (mode=probe)
  processor  GenuineIntel, time stamp counter at 2 GHz

PCI bus 00 (ECAM at 0xe0000000)
|-- 00:00.0  1b36:0008  host bridge
\`-- 00:01.0  1af4:106a  virtio other (type 42)
    |-- BAR 0: 0x100000000, 512 KiB, memory64
    |-- capability at 0x40: virtio-common (bar=0 offset=0x0)
    |-- features 0x100000021: device's own 0 5, VERSION_1
    \`-- queues 2 of size 64, 16; MSI-X vectors 3

Checks of the machine
  PASS BUS-2  a host bridge is there

Checks of 00:01.0 virtio other
  FAIL COM-10 queue_reset reads 0 (read 0x1, expected 0x0)
  SKIP        delivery (the device has no MSI-X)

Counts and timings
  7 doorbells of 00:01.0 virtio other
  5 interrupts of 00:01.0 virtio other
  doorbell-to-interrupt 10.00 us (median of 3, 5.00 us to 3.00 ms) of 00:01.0 virtio other
  100 port-writes: 2.00 us each

FAIL: 1 checks passed, 1 failed, 1 skipped; 7 doorbells, 5 interrupts
`,
  );
});

Deno.test("a recorded report is rendered without control characters; every check is in it", () => {
  const text = render(recorded);
  assert.match(text, /^[\n\x20-\x7e]*$/);
  assert.equal(text.match(/^ {2}PASS /gm)?.length, recorded.checks.length);
  assert.match(text, /^PASS: \d+ checks passed, 0 failed, 0 skipped; \d+ doorbells, \d+ interrupts$/m);
  assert.match(text, /started +2 processors: 0 \(boot\), 1/);
  assert.match(text, / ticks /, "an unknown frequency leaves ticks");
  assert.match(render(recorded, { timeStampKhz: 2_000_000 }), / us /, "the host may know it");
});

Deno.test("brief output leaves out what passed", () => {
  const text = render(small, { brief: true });
  assert.ok(!text.includes("BUS-2"));
  assert.ok(text.includes("COM-10"));
});

Deno.test("colours change nothing but colours", () => {
  const coloured = render(small, { colour: true });
  assert.ok(coloured.includes("\x1b[31mFAIL\x1b[0m"));
  assert.ok(coloured.includes("\x1b[32mPASS\x1b[0m"));
  const [first, ...rest] = coloured.split("\x1b");
  assert.equal(first + rest.map((part) => part.replace(/^\[\d+m/, "")).join(""), render(small));
});

Deno.test("a guest that was cut short or took an exception is not taken for a good one", () => {
  const cut = parseReport("begin\t1\t\ncheck\tPASS\t-\t-\tfine\n");
  assert.match(render(cut), /not complete[^]*^FAIL: 1 checks passed/m);
  const fault = render(parseReport("begin\t1\t\nfault\t14\t0x0\t0x101000\t0x7000\n"));
  assert.match(fault, /took exception 14 \(error code 0x0\) at 0x101000, faulting address 0x7000/);
  assert.match(fault, /^FAIL: /m);
});

Deno.test("JSON holds the report and its summary, 64-bit numbers as text", () => {
  const json = JSON.parse(toJson(small));
  assert.deepEqual(json.summary, {
    ok: false,
    passed: 1,
    failed: 1,
    skipped: 1,
    doorbells: 7,
    interrupts: 5,
  });
  assert.deepEqual(json.summary, summarize(small));
  assert.equal(json.functions[1].virtio.features, "0x100000021");
  assert.equal(json.functions[1].bars[0].address, 0x100000000);
  assert.equal(json.checks.length, 3);
});

Deno.test("numbers of specifications have names, unknown ones remain numbers", () => {
  assert.equal(className(0x010802), "NVM Express controller");
  assert.equal(className(0x120000), "class 120000");
  assert.deepEqual(featureNames(0n), ["none"]);
  assert.deepEqual(featureNames(1n << 34n | 1n << 63n | 1n), ["device's own 0", "RING_PACKED", "bit 63"]);
  assert.equal(formatBytes(512), "512 B");
  assert.equal(formatBytes(1536), "1536 B");
  assert.equal(formatBytes(2 ** 32), "4 GiB");
});
