import assert from "node:assert/strict";
import { type LaunchOptions, normalise } from "../../src/machine/configuration.ts";

const machine = (options: Partial<LaunchOptions>) => normalise({ kernel: "/k", ...options }, 0).machine;
const here = Deno.cwd();

Deno.test("a launch has defaults for everything but the kernel", () => {
  assert.deepEqual(normalise({ kernel: "/boot/k" }, 17), {
    machine: {
      kernel: "/boot/k",
      cmdline: "",
      cpus: 1,
      memory: 256 * 2 ** 20,
      devices: [],
      serial: "serial",
      verbose: false,
      watchForPanic: true,
      launchedAt: 17,
    },
    rebootOnReset: false,
    timeoutSeconds: undefined,
  });
});

Deno.test("text and typed values mean the same", () => {
  const given = { cpus: "4", memory: "1G", verbose: "on", timeoutSeconds: "9" } as unknown as Partial<LaunchOptions>;
  const launch = normalise({ kernel: "/k", ...given, rebootOnReset: "off" as unknown as boolean }, 0);
  assert.deepEqual([launch.machine.cpus, launch.machine.memory, launch.machine.verbose], [4, 2 ** 30, true]);
  assert.deepEqual([launch.timeoutSeconds, launch.rebootOnReset], [9, false]);
});

Deno.test("disks, entropy device, consoles and devices come in this order", () => {
  const { devices } = machine({
    devices: ["rng,source=/dev/zero,id=second,slot=7", { plugin: "block", id: "x", slot: 3, options: { path: "y" } }],
    consoles: ["tty", "log"],
    rng: { source: "/dev/urandom" },
    disks: [{ path: "a.img", readonly: true }, { path: "/b.img", queues: 2 }],
  });
  assert.deepEqual(devices.map((device) => ({ ...device, options: { ...device.options } })), [
    { plugin: "block", options: { path: `${here}/a.img`, readonly: true } },
    { plugin: "block", options: { path: "/b.img", queues: 2 } },
    { plugin: "rng", options: { source: "/dev/urandom" } },
    { plugin: "console", options: { stream: "tty" } },
    { plugin: "console", options: { stream: "log" } },
    { plugin: "rng", options: { source: "/dev/zero" }, id: "second", slot: 7 },
    { plugin: "block", options: { path: "y" }, id: "x", slot: 3 },
  ]);
  assert.deepEqual(machine({ rng: true }).devices, [{ plugin: "rng", options: {} }]);
});

Deno.test("paths become absolute; names and URLs stay as they are", () => {
  const plugins = ["./my device.ts", "../up.js", "folder/x", "x.mts", "rng", "/abs.ts", "https://x.example/d.ts"];
  const { devices, kernel, initramfs } = machine({
    kernel: new URL("file:///boot/my%20kernel"),
    initramfs: "initrd.img",
    devices: [...plugins, new URL("file:///d.ts")],
  });
  assert.deepEqual(devices.map(({ plugin }) => plugin), [
    `${here}/my device.ts`,
    `${here.slice(0, here.lastIndexOf("/"))}/up.js`,
    `${here}/folder/x`,
    `${here}/x.mts`,
    "rng",
    "/abs.ts",
    "https://x.example/d.ts",
    "file:///d.ts",
  ]);
  assert.deepEqual([kernel, initramfs], ["/boot/my kernel", `${here}/initrd.img`]);
  const bytes = new Uint8Array(3);
  assert.equal(machine({ kernel: bytes }).kernel, bytes);
});

Deno.test('serial "off" is no port, any other name is a stream', () => {
  assert.equal("serial" in machine({ serial: "off" }), false);
  assert.equal(machine({ serial: "file=/tmp/log" }).serial, "file=/tmp/log");
});

Deno.test("a wrong key or value names the key, what was expected, the valid keys and the nearest", () => {
  const keys =
    "kernel, initramfs, cmdline, cpus, memory, disks, rng, consoles, serial, devices, verbose, watchForPanic, "
    + "rebootOnReset, timeoutSeconds";
  const wrong: [Record<string, unknown>, RegExp][] = [
    [{ kernel: undefined }, /"kernel" is missing: expected a path, a file: URL or the bytes/],
    [{ kernel: 7 }, /"kernel" expected a path, a file: URL or the bytes, but was given 7/],
    [{ kernel: new URL("https://x.example/k") }, /"kernel" expected a path, a file: URL or the bytes/],
    [{ kernal: "x" }, /there is no option "kernal" \(did you mean "kernel"\?\)/],
    [{ cpu: 2 }, /there is no option "cpu" \(did you mean "cpus"\?\)/],
    [{ initramfs: 1 }, /"initramfs" expected a path, a file: URL or the bytes/],
    [{ cmdline: 1 }, /"cmdline" expected text/],
    [{ cpus: 0 }, /"cpus" expected integer from 1 to 254.*given 0/],
    [{ cpus: 255 }, /"cpus" expected integer from 1 to 254/],
    [{ cpus: 1.5 }, /"cpus" expected integer/],
    [{ memory: "lots" }, /"memory" expected size, such as 512, 64K, 1M or 2G.*given "lots"/],
    [{ memory: -4096 }, /"memory" expected size/],
    [{ disks: "root.img" }, /"disks" expected a list such as \[\{ path \}\].*given "root.img"/],
    [{ disks: ["root.img"] }, /"disks" expected a list such as/],
    [{ rng: "yes" }, /"rng" expected true, false or the entropy device's options/],
    [{ consoles: "tty" }, /"consoles" expected a list of stream names/],
    [{ consoles: [1] }, /"consoles" expected a list of stream names/],
    [{ serial: false }, /"serial" expected text/],
    [{ devices: "rng" }, /"devices" expected a list of plugin names, paths, URLs or \{ plugin, options \}/],
    [{ devices: [7] }, /"devices" expected a list/],
    [{ verbose: "maybe" }, /"verbose" expected on or off/],
    [{ watchForPanic: 2 }, /"watchForPanic" expected on or off/],
    [{ rebootOnReset: "maybe" }, /"rebootOnReset" expected on or off/],
    [{ timeoutSeconds: 0 }, /"timeoutSeconds" expected integer from 1 to 2147483/],
    [{ timeoutSeconds: 3_000_000 }, /"timeoutSeconds" expected integer from 1 to 2147483/],
  ];
  for (const [options, message] of wrong) {
    assert.throws(() => machine(options as Partial<LaunchOptions>), (error: Error) => {
      assert.match(error.message, message);
      assert.ok(error.message.startsWith("Wrong options for the launch: "), error.message);
      assert.ok(error.message.includes(`Its options are ${keys}.`), error.message);
      return true;
    });
  }
});

Deno.test("several faults are told at once", () => {
  assert.throws(() => machine({ cpus: 0, memory: "x", kernal: 1 } as Partial<LaunchOptions>), {
    message: /"kernal".*"cpus".*"memory"/,
  });
});

Deno.test("a wrong device names the key, what was expected, the valid keys and the nearest", () => {
  const wrong: [unknown, RegExp][] = [
    [{}, /Wrong options for a device of the launch: "plugin" is missing: expected a built-in name, a path or a URL/],
    [{ plugin: 1 }, /"plugin" expected a built-in name, a path or a URL/],
    [
      { plugin: "rng", option: {} },
      /no option "option" \(did you mean "options"\?\).*options are plugin, id, slot, options/,
    ],
    [{ plugin: "rng", slot: 0 }, /"slot" expected integer from 1 to 31/],
    [{ plugin: "rng", slot: 32 }, /"slot" expected integer from 1 to 31/],
    [{ plugin: "rng", id: 3 }, /"id" expected text/],
    [{ plugin: "rng", options: "a=b" }, /"options" expected an object of the plugin's options/],
    ["rng,slot=first", /Wrong options for the device "rng": "slot" expected integer from 1 to 31/],
    ["rng,id", /"id" expected text, but was given true \(a key alone means true; write id=VALUE\)/],
    ["", /it must begin with a device/],
    ["rng,a=1,a=2", /the key "a" is given twice/],
  ];
  for (const [device, message] of wrong) {
    assert.throws(() => machine({ devices: [device as string] }), { message }, String(device));
  }
});

Deno.test("an impossible size of memory is refused before anything is started", () => {
  assert.throws(() => machine({ memory: 5000 }), RangeError);
  assert.throws(() => machine({ memory: "1M" }), RangeError);
});
