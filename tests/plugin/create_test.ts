import assert from "node:assert/strict";
import { definePciDevice, defineVirtioDevice, type DeviceHost, option } from "../../src/plugin/api.ts";
import { createDevice } from "../../src/plugin/create.ts";
import { PluginError } from "../../src/plugin/error.ts";

const host = { id: "dev0" } as DeviceHost;
const good = { features: 1n, queues: [{ name: "q", size: 64 }], activate() {}, notify() {} };

/** The error of making a virtio device that is `made`. */
function refusalOf(made: unknown): string {
  const plugin = defineVirtioDevice({ name: "mine", deviceType: 4, create: () => made as typeof good });
  try {
    createDevice(plugin, {}, host);
  } catch (error) {
    assert.ok(error instanceof PluginError);
    return error.message;
  }
  return "";
}

Deno.test("a device is made of validated options", () => {
  const plugin = defineVirtioDevice({
    name: "mine",
    deviceType: 4,
    options: { size: option.size() },
    create: ({ size }) => ({ ...good, features: BigInt(size) }),
  });
  assert.equal(createDevice(plugin, { size: "1K" }, host).features, 1024n);
  assert.throws(() => createDevice(plugin, { sizes: "1K" }, host), {
    name: "PluginError",
    message: /did you mean "size"/,
  });
});

Deno.test("ROB-2: an error thrown by create names plugin and device and keeps its cause", () => {
  const cause = new RangeError("no such moon");
  const plugin = defineVirtioDevice({
    name: "mine",
    deviceType: 4,
    create() {
      throw cause;
    },
  });
  assert.throws(() => createDevice(plugin, {}, host), {
    name: "PluginError",
    message: 'Cannot create device "dev0" of plugin "mine": no such moon',
    cause,
  });
});

Deno.test("ROB-2: what is not a virtio device is refused before a guest sees it", () => {
  assert.equal(refusalOf(good), "");
  const wrong: [unknown, RegExp][] = [
    [undefined, /dev0.*mine.*what it made has no members: it is nothing/],
    [Promise.resolve(good), /"features" nothing/],
    [{ ...good, features: 1 }, /"features" 1; expected a bigint/],
    [{ ...good, features: -1n }, /"features" 0x-1/],
    [{ ...good, features: 1n << 64n }, /expected bits 0-23 and 50-63 only/],
    [{ ...good, features: 1n << 32n }, /"features" 0x100000000; expected bits 0-23 and 50-63 only/],
    [{ ...good, queues: undefined }, /"queues" nothing; expected a list/],
    [{ ...good, queues: [{ size: 64 }, { size: 48 }] }, /"queues\[1\]\.size" 48; expected a power of two up to 32768/],
    [{ ...good, queues: [{ size: 65536 }] }, /"queues\[0\]\.size" 65536/],
    [{ ...good, queues: [null] }, /"queues\[0\]\.size" nothing/],
    [{ ...good, queues: Array(1025).fill({ size: 2 }) }, /"queues" a list; expected a list of up to 1024/],
    [{ ...good, configuration: [1] }, /"configuration" a list; expected a Uint8Array/],
    [{ ...good, configuration: new Uint8Array(4097) }, /expected a Uint8Array of up to 4096 bytes/],
    [{ ...good, notify: undefined }, /"notify" nothing; expected a method/],
    [{ ...good, reset: 3 }, /"reset" 3; expected a method/],
  ];
  for (const [made, message] of wrong) assert.match(refusalOf(made), message);
});

Deno.test("ROB-2: what is not a PCI function is refused", () => {
  const plugin = definePciDevice({ name: "mine", create: () => ({ bars: [] }) as never });
  assert.throws(() => createDevice(plugin, {}, host), { message: /"attached" nothing; expected a method/ });
});
