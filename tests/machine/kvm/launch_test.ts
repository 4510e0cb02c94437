import assert from "node:assert/strict";
import { guestImage } from "../../../guest/image.ts";
import { parseReport } from "../../../src/probe/report_reader.ts";
import { needs } from "../../support/requirements.ts";
import { launchGuest, pluginModule, runGuest } from "./guest_runs.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

async function inFolder(use: (path: (name: string) => string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "denovisor_launch_" });
  try {
    await use((name) => `${folder}/${name}`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test({
  ...needs("a kernel that is none fails the launch, and the message says what it is", "kvm"),
  fn: () =>
    inFolder(async (path) => {
      const image = guestImage();
      await Deno.writeFile(path("empty"), new Uint8Array(0));
      await Deno.writeTextFile(path("text"), "#!/bin/sh\necho I am no kernel\n".repeat(100));
      await Deno.writeFile(path("truncated"), image.slice(0, image.length >> 1));
      await Deno.writeFile(path("header"), image.slice(0, 64));
      const faults: [string, RegExp][] = [
        [path("missing"), /Cannot read the kernel .*missing: .*(os error 2|No such file)/],
        [path(""), /Cannot read the kernel .*(os error 21|directory)/],
        [path("empty"), /kernel.*(empty|0 bytes)/i],
        [path("text"), /kernel/],
        [path("truncated"), /ELF|segment|truncated|beyond/],
        [path("header"), /ELF|header|truncated|beyond/],
      ];
      for (const [kernel, message] of faults) await assert.rejects(launchGuest({ kernel }), { message }, kernel);
    }),
});

Deno.test({
  ...needs("a kernel is taken by path, file: URL or bytes", "kvm"),
  fn: () =>
    inFolder(async (path) => {
      await Deno.writeFile(path("a kernel"), guestImage());
      for (const kernel of [path("a kernel"), new URL(`file://${path("a%20kernel")}`), guestImage()]) {
        const { ending } = await runGuest({ kernel, cmdline: "mode=exit code=3" });
        assert.equal(ending.exitCode, 3, ending.message);
      }
    }),
});

Deno.test({
  ...needs("a plugin that cannot be used fails the launch, and the message says which, why, and what to do", "kvm"),
  fn: () =>
    inFolder(async (path) => {
      await Deno.writeTextFile(path("syntax.ts"), "export default {{{;\n");
      await Deno.writeTextFile(path("throws.ts"), 'throw new Error("module is broken");\n');
      await Deno.writeTextFile(path("nothing.ts"), "export const device = 1;\n");
      await Deno.writeTextFile(path("plain.ts"), "export default { name: 'x' };\n");
      const options = pluginModule(`export default plugin.defineVirtioDevice({
        name: "picky", deviceType: 42,
        options: { speed: plugin.option.integer({ min: 1, max: 9 }), colour: plugin.optional(plugin.option.text()) },
        create: () => ({ features: 0n, queues: [], activate() {}, notify() {} }),
      });`);
      const faults: [NonNullable<Parameters<typeof launchGuest>[0]["devices"]>[number], RegExp][] = [
        [path("missing.ts"), /Cannot load device module ".*missing\.ts": there is no file .*missing\.ts/],
        [path("syntax.ts"), /Cannot load device module ".*syntax\.ts": it fails while loading: .*syntax\.ts:1/s],
        [path("throws.ts"), /Cannot load device module ".*throws\.ts": it fails while loading: .*module is broken/],
        [path("nothing.ts"), /nothing\.ts": it has no default export \(it exports device\)/],
        [path("plain.ts"), /plain\.ts": its default export is an object with name, not a device/],
        ["blok", /There is no device called "blok" \(did you mean "block"\?\)/],
        [
          { plugin: options, options: { sped: 3 } },
          /picky".*"sped" \(did you mean "speed"\?\).*"speed" is missing: expected integer from 1 to 9.*options are speed, colour/,
        ],
        [
          { plugin: options, options: { speed: 12 } },
          /"speed" expected integer from 1 to 9, but was given 12.*options are speed, colour/,
        ],
      ];
      for (const [device, message] of faults) await assert.rejects(launchGuest({ devices: [device] }), { message });
    }),
});

Deno.test({
  ...needs("memory is what was asked for, and is taken from the host only where it is used", "kvm"),
  async fn() {
    await assert.rejects(launchGuest({ memory: "1M" }), { message: /1048576 bytes of memory: .* at least 2097152/ });
    for (const [memory, bytes] of [["64M", 64 * MIB], ["4G", 4 * GIB], ["16G", 16 * GIB]] as const) {
      const before = Deno.memoryUsage().rss;
      const { output, ending } = await runGuest({ memory, cmdline: "mode=smp" });
      assert.equal(ending.exitCode, 0, output.debug);
      const grown = Deno.memoryUsage().rss - before;
      assert.ok(grown < 256 * MIB, `${memory}: the process grew by ${Math.round(grown / MIB)} MiB`);
      const ram = parseReport(output.debug).memory.filter(({ type }) => type === 1);
      const seen = ram.reduce((sum, { length }) => sum + Number(length), 0);
      assert.ok(seen <= bytes && seen > bytes - 2 * MIB, `${memory}: the guest sees ${seen} bytes`);
      const high = ram.filter(({ address }) => Number(address) >= 4 * GIB);
      assert.deepEqual(high.map(({ length }) => Number(length)), bytes > 3 * GIB ? [bytes - 3 * GIB] : []);
    }
  },
});

Deno.test({
  ...needs(
    "the least memory is enough for a small kernel, and too little for a large initramfs, which the message says",
    "kvm",
  ),
  async fn() {
    const { ending } = await runGuest({ memory: "2M", cmdline: "mode=exit code=4" });
    assert.equal(ending.exitCode, 4, ending.message);
    await assert.rejects(launchGuest({ memory: "2M", initramfs: new Uint8Array(4 * MIB) }), {
      message: /initramfs|memory/i,
    });
  },
});

Deno.test({
  ...needs("SMP guests see all their processors", "kvm"),
  async fn() {
    for (const cpus of [4, 8]) {
      const { output, ending, statistics } = await runGuest({ cpus, cmdline: "mode=smp" });
      assert.equal(ending.exitCode, 0, output.debug);
      const { processors } = parseReport(output.debug);
      assert.deepEqual(
        processors.map(({ apicId }) => Number(apicId)).sort((a, b) => a - b),
        Array.from({ length: cpus }, (_, id) => id),
      );
      assert.equal(statistics?.vcpus.length, cpus);
    }
  },
});

Deno.test({
  ...needs("two machines at once do not know of each other", "kvm"),
  async fn() {
    const codes = [1, 2, 3, 4];
    const runs = await Promise.all(codes.map((code) => runGuest({ cmdline: `mode=exit code=${code}`, rng: true })));
    assert.deepEqual(runs.map(({ ending }) => ending.exitCode), codes);
    runs.forEach(({ output }, index) => assert.match(output.debug, new RegExp(`code=${codes[index]}\n`)));
  },
});

/** Holds a lock on a file in another process until its standard input ends. */
function lockElsewhere(path: string): Deno.ChildProcess {
  const module = import.meta.resolve("../../../ffi/descriptor.ts");
  const script = `import { lockFile, OpenFlag, openPath } from ${JSON.stringify(module)};
    const file = openPath(Deno.args[0], OpenFlag.readWrite);
    console.log(lockFile(file.fd, true));
    await Deno.stdin.read(new Uint8Array(1));`;
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", `data:text/typescript,${encodeURIComponent(script)}`, path],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
}

Deno.test({
  ...needs("an image that another process has open, that is none, or that may not be read fails the launch", "kvm"),
  fn: () =>
    inFolder(async (path) => {
      await Deno.writeFile(path("image"), new Uint8Array(MIB));
      await Deno.writeFile(path("odd"), new Uint8Array(1000));
      const other = lockElsewhere(path("image"));
      const reader = other.stdout.getReader();
      assert.equal(new TextDecoder().decode((await reader.read()).value), "true\n");
      await assert.rejects(launchGuest({ disks: [{ path: path("image") }] }), {
        message: /image for writing: another process has it open; end that one/,
      });
      await assert.rejects(launchGuest({ disks: [{ path: path("image"), readonly: true }] }), {
        message: /image for reading: another process has it open/,
      });
      await other.stdin.close();
      await reader.cancel();
      await other.status;
      const { ending } = await runGuest({ cmdline: "mode=exit", disks: [{ path: path("image") }] });
      assert.equal(ending.exitCode, 0, ending.message);
      await assert.rejects(launchGuest({ disks: [{ path: path("odd") }] }), { message: /1000/ });
      await assert.rejects(launchGuest({ disks: [{ path: path("none") }] }), { message: /none.*check the path/s });
      await assert.rejects(launchGuest({ disks: [{ path: path("") }] }), { message: /directory/ });
      // As root no ordinary file is unreadable; what the kernel offers for reading only may not be written by anybody.
      await assert.rejects(launchGuest({ disks: [{ path: "/sys/kernel/uevent_seqnum" }] }), {
        message: /uevent_seqnum.*EACCES.*give this user access/s,
      });
      await assert.rejects(launchGuest({ disks: [{} as { path: string }] }), { message: /"path" is missing/ });
    }),
});

Deno.test({
  ...needs("the same image may be read by several machines, and written by one", "kvm"),
  fn: () =>
    inFolder(async (path) => {
      await Deno.writeFile(path("image"), new Uint8Array(MIB));
      const disks = [{ path: path("image"), readonly: true }];
      await using first = await launchGuest({ cmdline: "mode=halt", disks });
      await using second = await launchGuest({ cmdline: "mode=halt", disks });
      await assert.rejects(launchGuest({ disks: [{ path: path("image") }] }), { message: /for writing: another/ });
      await Promise.all([first.stop(), second.stop()]);
      await using writer = await launchGuest({ cmdline: "mode=halt", disks: [{ path: path("image") }] });
      await writer.stop();
    }),
});
