import assert from "node:assert/strict";
import { VirtualMachine } from "../../../mod.ts";
import { needs } from "../../support/requirements.ts";
import { holdings, launchGuest, pluginModule, runGuest, settled } from "./guest_runs.ts";

/** Threads that the runtime keeps for later use: their number does not grow with the number of launches. */
const RUNTIME_THREADS = 8;

/** The first launch brings what stays for good: libraries, the signal's handler, pools of threads. */
async function warmUp(): Promise<void> {
  await runGuest({ cmdline: "mode=exit", cpus: 2, rng: true, consoles: ["hvc"] });
  await runGuest({ cmdline: "mode=exit" });
}

async function withDisk(use: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempFile({ prefix: "denovisor_leaks_", suffix: ".img" });
  try {
    await Deno.truncate(path, 1 << 20);
    await use(path);
  } finally {
    await Deno.remove(path);
  }
}

Deno.test({
  ...needs("ROB-1: a hundred launches leave no descriptor, no mapping and no thread", "kvm"),
  fn: () =>
    withDisk(async (path) => {
      await warmUp();
      const before = holdings();
      for (let i = 0; i < 100; i++) {
        const devices = i % 10 === 0 ? { disks: [{ path, queues: 2 }], rng: true, consoles: ["hvc"], cpus: 2 } : {};
        const { ending } = await runGuest({ cmdline: `mode=exit code=${i}`, ...devices });
        assert.equal(ending.exitCode, i, ending.message);
      }
      await settled(before, { threads: RUNTIME_THREADS });
    }),
});

Deno.test({
  ...needs("ROB-1: twenty machines that are stopped while they run leave nothing", "kvm"),
  fn: () =>
    withDisk(async (path) => {
      await warmUp();
      const before = holdings();
      for (let i = 0; i < 20; i++) {
        const mode = ["spin", "halt", "ioloop count=1000000000", "demo write=1"][i % 4];
        const vm = await launchGuest({ cmdline: `mode=${mode}`, cpus: 1 + i % 3, disks: [{ path }], rng: true });
        if (i % 2 === 0) await new Promise((resolve) => setTimeout(resolve, i));
        const { ending } = await vm.stop();
        assert.ok(["stopped", "debug-exit"].includes(ending.kind), ending.message);
      }
      await settled(before, { threads: RUNTIME_THREADS });
    }),
});

Deno.test({
  ...needs("ROB-2: launches that fail midway leave nothing", "kvm"),
  fn: () =>
    withDisk(async (path) => {
      await warmUp();
      const before = holdings();
      const opener = pluginModule(`export default plugin.defineVirtioDevice({
        name: "opener", deviceType: 42, options: { path: plugin.option.path() },
        create({ path }, host) {
          host.openFile(path, { writable: false, completed() {} });
          throw new Error("no device after all");
        },
      });`);
      const withDevices = { disks: [{ path }], rng: true, consoles: ["hvc"] };
      const failures: [Parameters<typeof launchGuest>[0], RegExp][] = [
        [{ ...withDevices, devices: ["no-such-device"] }, /There is no device called "no-such-device"/],
        [{ ...withDevices, devices: [{ plugin: "rng", options: { sauce: 1 } }] }, /no option "sauce"/],
        [{ ...withDevices, devices: [{ plugin: "rng", slot: 1 }] }, /slot 1: .* is there/],
        [{ ...withDevices, devices: [{ plugin: "rng", slot: 77 }] }, /"slot" expected integer from 1 to 31/],
        [{ ...withDevices, devices: [{ plugin: "rng", id: "block" }] }, /second device with the id "block"/],
        [{ ...withDevices, devices: [{ plugin: opener, options: { path: "/dev/zero" } }] }, /no device after all/],
        [{ ...withDevices, kernel: "/nowhere/kernel" }, /Cannot read the kernel \/nowhere\/kernel/],
        [{ ...withDevices, kernel: new Uint8Array(100) }, /kernel/],
        [{ ...withDevices, initramfs: "/nowhere/initramfs" }, /Cannot read the initramfs/],
        [{ ...withDevices, serial: "file=/nowhere/log" }, /nowhere/],
        [{ ...withDevices, devices: Array(40).fill("rng") }, /slots are taken/],
      ];
      for (let round = 0; round < 3; round++) {
        for (const [options, message] of failures) await assert.rejects(launchGuest(options), { message });
      }
      await assert.rejects(VirtualMachine.launch({ kernel: "k", memory: 5000 }), RangeError);
      await settled(before, { threads: RUNTIME_THREADS });
    }),
});
