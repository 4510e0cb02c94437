import assert from "node:assert/strict";
import { join } from "node:path";
import { buildRootInitramfs } from "../../src/boot/initramfs.ts";
import { findKernel, unpackedKernel } from "../support/kernels.ts";
import { guestInitramfs, rootImage } from "./guest_image.ts";
import { type GuestOutcome, type GuestRun, guestTests } from "./guest_runs.ts";
import { type ListedCapability, type ListedFunction, parseListing } from "./lspci.ts";

const MIB = 1 << 20;
const DATA_BYTES = 16 * MIB;
const FIO_BYTES = 16 * MIB;

/** Jobs of the guest that has only RAM. */
const jobs = {
  look: `
    echo "processors $(nproc)"
    lspci -vvv -nn 2>/dev/null
    echo "random $(dd if=/dev/hwrng bs=256 count=16 2>/dev/null | wc -c) bytes"
    dd if=/dev/hwrng bs=256 count=2 2>/dev/null | split -b 256 - /tmp/random-
    cmp -s /tmp/random-aa /tmp/random-ab && echo "random repeats"
    echo "source $(cat /sys/class/misc/hw_random/rng_current)"
    echo "disk $(sha256sum </dev/vda)"
    blkdiscard -o 1048576 -l 1048576 /dev/vda && echo "discarded"
    echo "discarded part $(dd if=/dev/vda bs=1M skip=1 count=1 2>/dev/null | tr -d '\\000' | wc -c)"
    echo "read-only $(cat /sys/block/vdb/ro)"
    dd if=/dev/zero of=/dev/vdb bs=512 count=1 conv=fsync 2>/dev/null || echo "write refused"
    echo "serial $(cat /sys/block/vdb/serial)"
    grep -E 'virtio|ACPI' /proc/interrupts`,
};

/** Jobs of the guest whose root is a disk of ours. */
const rootJobs = {
  fio: `
    echo "processors $(nproc)"
    grep ' / ' /proc/mounts
    echo "queues $(ls /sys/block/vdb/mq | wc -l)"
    fio --name=verify --filename=/dev/vdb --direct=1 --ioengine=libaio --iodepth=8 --rw=randwrite \\
      --bssplit=512/25:4k/25:64k/25:1m/25 --size=${FIO_BYTES / 2} --offset_increment=${FIO_BYTES / 2} \\
      --numjobs=2 --cpus_allowed=0,1 --cpus_allowed_policy=split \\
      --verify=crc32c --verify_fatal=1 --do_verify=1 --group_reporting --minimal >/tmp/fio 2>&1
    echo "fio $?"
    echo "disk $(sha256sum </dev/vdb)"
    echo persistent >/root/kept
    sync; mount -o remount,ro / && echo "unmounted"
    cat /tmp/fio`,
};

/** Makes images and tells which guests to run with them. */
async function prepare(folder: string): Promise<GuestRun[]> {
  const kernel = findKernel("cloud")!;
  const path = (name: string) => join(folder, name);
  await Deno.writeFile(path("vmlinux"), await unpackedKernel(kernel));
  await Deno.writeFile(path("initramfs"), await guestInitramfs(kernel, jobs, ["lspci"]));
  await Deno.writeFile(path("root-initramfs"), await buildRootInitramfs({ release: kernel.release, root: "/dev/vda" }));
  await rootImage(path("root.img"), rootJobs, ["fio"], "512M");
  const data = new Uint8Array(DATA_BYTES);
  const chunk = 65536;
  for (let at = 0; at < MIB; at += chunk) crypto.getRandomValues(data.subarray(at, at + chunk));
  data.fill(0xa5, MIB);
  await Deno.writeFile(path("data.img"), data);
  await Deno.writeFile(path("fixed.img"), data.subarray(0, MIB));
  await Deno.writeFile(path("fio.img"), new Uint8Array(FIO_BYTES));

  const boot = (
    job: string,
  ) => ["--kernel", path("vmlinux"), "--cmdline", `console=ttyS0 quiet panic=-1 lab.job=${job}`];
  return [
    {
      name: "look",
      args: [...boot("look"), "--initramfs", path("initramfs"), "--rng", "--disk", `path=${path("data.img")}`]
        .concat("--disk", `path=${path("fixed.img")},readonly=on,id=unchanging`),
      before: `sha256sum <${path("data.img")} >"$R/checksum"`,
      after: `cat "$R/checksum"; dd if=${path("data.img")} bs=1M skip=1 count=1 2>/dev/null | tr -d '\\000' | wc -c`,
    },
    {
      name: "fio",
      args: [...boot("fio"), "--initramfs", path("root-initramfs"), "--cpus", "boot=2", "--memory", "size=512M"]
        .concat("--disk", `path=${path("root.img")}`, "--disk", `path=${path("fio.img")},queues=2`),
      after: `sha256sum <${path("fio.img")}; debugfs -R 'cat /root/kept' ${path("root.img")} 2>/dev/null; `
        + `e2fsck -fn ${path("root.img")} >/dev/null 2>&1 && echo clean`,
      timeout: 400,
    },
  ];
}

const guestTest = guestTests(["lspci", "fio", "mke2fs"], prepare);

/** The value behind a word at the beginning of a line. */
function line({ console }: GuestOutcome, word: string): string | undefined {
  return new RegExp(`^${word} (.*)$`, "m").exec(console)?.[1];
}

guestTest("Debian's kernel boots on one vCPU from an initramfs and powers off", "look", (outcome) => {
  assert.equal(outcome.code, 0);
  assert.match(outcome.console, /^LAB-EXIT 0$/m);
  assert.equal(line(outcome, "processors"), "1");
});

/** What lspci must say about each kind of function. */
interface Expectation {
  readonly id: string;
  readonly class: string;
  readonly vectors: number;
  readonly hasConfiguration: boolean;
}

const expectations: Readonly<Record<string, Expectation>> = {
  block: { id: "1af4:1042", class: "0180", vectors: 2, hasConfiguration: true },
  entropy: { id: "1af4:1044", class: "ffff", vectors: 2, hasConfiguration: false },
  console: { id: "1af4:1043", class: "ffff", vectors: 3, hasConfiguration: true },
};

function functionsOf(outcome: GuestOutcome, id: string): ListedFunction[] {
  return [...parseListing(outcome.console).values()].filter((listed) => listed.id === id);
}

guestTest("BUS-2: lspci finds the host bridge at 00:00.0 and each device in a slot of its own", "look", (outcome) => {
  const functions = parseListing(outcome.console);
  assert.equal(functions.get("00:00.0")?.class, "0600");
  assert.deepEqual([...functions.values()].map(({ id }) => id).slice(1).sort(), [
    "1af4:1042",
    "1af4:1042",
    "1af4:1043",
    "1af4:1044",
  ]);
});

for (const [name, expected] of Object.entries(expectations)) {
  guestTest(`ID-1, ID-2: lspci reads ids, class and revision of the ${name} device`, "look", (outcome) => {
    for (const listed of functionsOf(outcome, expected.id)) {
      assert.equal(listed.class, expected.class);
      assert.equal(listed.subsystem, expected.id);
      assert.equal(listed.revision, 1);
    }
    assert.ok(functionsOf(outcome, expected.id).length > 0);
  });

  guestTest(`CAP-1, CAP-2, CAP-3, CAP-6: lspci walks the ${name} device's capabilities`, "look", (outcome) => {
    const [{ capabilities, regions }] = functionsOf(outcome, expected.id);
    const described = capabilities.map(({ text }) => text);
    const structures = [
      /^Vendor Specific Information: VirtIO: CommonCfg BAR=0 offset=00000000 size=000000(38|40)$/,
      /^Vendor Specific Information: VirtIO: ISR BAR=0 offset=00002000 size=00000001$/,
      /^Vendor Specific Information: VirtIO: DeviceCfg BAR=0 offset=00004000 size=00001000$/,
      /^Vendor Specific Information: VirtIO: Notify BAR=0 offset=00006000 size=00001000 multiplier=00000004$/,
      /^Vendor Specific Information: VirtIO: <unknown>/,
      /^MSI-X: .*Vector table: BAR=0 offset=00008000 PBA: BAR=0 offset=00048000$/,
    ].filter((_, index) => expected.hasConfiguration || index !== 2);
    assert.equal(described.length, structures.length, described.join("\n"));
    for (const [index, pattern] of structures.entries()) assert.match(described[index], pattern);
    assertNoOverlap(capabilities);
    assert.equal(regions.length, 1);
    assert.match(regions[0], /^Region 0: Memory at [0-9a-f]+ \((32|64)-bit, non-prefetchable\) \[size=512K\]$/);
  });

  guestTest(`CAP-7: Linux enabled MSI-X of the ${name} device with one vector more than queues`, "look", (outcome) => {
    const [{ capabilities }] = functionsOf(outcome, expected.id);
    assert.match(capabilities.at(-1)!.title, new RegExp(`^MSI-X: Enable\\+ Count=${expected.vectors} Masked-$`));
  });
}

/** Capabilities are dword-aligned and each begins where the one before it has ended. */
function assertNoOverlap(capabilities: readonly ListedCapability[]): void {
  const lengths = [
    [/CommonCfg|ISR|DeviceCfg/, 16],
    [/Notify|<unknown>/, 20],
    [/MSI-X/, 12],
  ] as const;
  let end = 0x40;
  for (const { offset, title } of capabilities) {
    assert.equal(offset % 4, 0);
    assert.ok(offset >= end, `${title} at 0x${offset.toString(16)} overlaps the one before it`);
    end = offset + lengths.find(([pattern]) => pattern.test(title))![1];
  }
}

guestTest("ID-3: no line of lspci -vvv shows a broken function", "look", (outcome) => {
  for (const { text } of parseListing(outcome.console).values()) {
    assert.doesNotMatch(text, /!!!|unassigned|virtual|<access denied>|unknown header|\[disabled\]/i);
  }
});

guestTest("/dev/hwrng yields bytes of our entropy device that do not repeat", "look", (outcome) => {
  assert.equal(line(outcome, "random"), "4096 bytes");
  assert.match(line(outcome, "source") ?? "", /^virtio_rng/);
  assert.doesNotMatch(outcome.console, /random repeats/);
});

guestTest("the guest reads from the disk what is in the image", "look", (outcome) => {
  assert.equal(line(outcome, "disk"), outcome.after.split("\n")[0]);
});

guestTest("a discarded range reads zero, in the guest and in the image", "look", (outcome) => {
  assert.match(outcome.console, /^discarded$/m);
  assert.equal(line(outcome, "discarded part"), "0");
  assert.equal(outcome.after.split("\n")[1], "0");
});

guestTest("a read-only disk says so, refuses writes and has its name as serial number", "look", (outcome) => {
  assert.equal(line(outcome, "read-only"), "1");
  assert.match(outcome.console, /^write refused$/m);
  assert.equal(line(outcome, "serial"), "unchanging");
});

guestTest("Debian's kernel boots on two vCPUs with its root on our disk", "fio", (outcome) => {
  assert.equal(outcome.code, 0);
  assert.equal(line(outcome, "processors"), "2");
  assert.match(outcome.console, /^\/dev\/vda \/ ext4 rw/m);
});

guestTest("fio verifies random writes of 512 B to 1 MiB by two queues", "fio", (outcome) => {
  assert.equal(line(outcome, "queues"), "2");
  assert.equal(line(outcome, "fio"), "0");
});

guestTest("what fio wrote is in the image: the checksums of guest and host agree", "fio", (outcome) => {
  assert.match(outcome.after, /^[0-9a-f]{64} {2}-$/m);
  assert.equal(line(outcome, "disk"), outcome.after.split("\n")[0]);
});

guestTest("the root file system that the guest wrote is whole and holds what it wrote", "fio", (outcome) => {
  assert.match(outcome.console, /^unmounted$/m);
  assert.match(outcome.after, /^persistent\nclean$/m);
});
