/**
 * Makes devices of plugins, and checks what untyped plugins return.
 *
 * @module
 */
import type { PciDevice } from "../pci/device.ts";
import type { VirtioDevice } from "../virtio/device.ts";
import { describeValue } from "./define.ts";
import type { DeviceHost, ErasedOptions, PciPlugin, Plugin, VirtioPlugin } from "./definition.ts";
import { messageOf, PluginError } from "./error.ts";
import { type RawOptions, validateOptions } from "./validate.ts";

/** Largest number of descriptors in a queue (virtio 1.3, 2.7). */
const MAXIMUM_QUEUE_SIZE = 32768;
/** Feature bits that belong to queues and transport, or are reserved for them (virtio 1.3, 2.2): 24 to 49. */
const TRANSPORT_FEATURES = ((1n << 50n) - 1n) & ~((1n << 24n) - 1n);
/** As many as there are doorbells in the transport's BAR (4 KiB, 4 bytes each). */
const MAXIMUM_QUEUES = 1024;
/** The device configuration area of the transport's BAR. */
const MAXIMUM_CONFIGURATION = 0x1000;

const VIRTIO_METHODS = ["activate", "notify"] as const;
const VIRTIO_OPTIONAL_METHODS = [
  "writeConfiguration",
  "acceptFeatures",
  "reset",
  "resetQueue",
  "save",
  "restore",
] as const;
const PCI_METHODS = ["attached", "readConfiguration", "writeConfiguration", "readBar", "writeBar", "reset"] as const;

/**
 * Makes a device of a plugin.
 *
 * @param options Not yet validated: text from a command line, or values from a script.
 * @throws {PluginError} An option is wrong, the plugin's `create` threw, or what it returned is not a device. The
 *   message names plugin, device and reason; an error thrown by the plugin is its `cause`.
 */
export function createDevice(plugin: VirtioPlugin, options: RawOptions, host: DeviceHost): VirtioDevice;
/** See the other overload. */
export function createDevice(plugin: PciPlugin, options: RawOptions, host: DeviceHost): PciDevice;
/** See the other overload. */
export function createDevice(plugin: Plugin, options: RawOptions, host: DeviceHost): VirtioDevice | PciDevice;
export function createDevice(plugin: Plugin, options: RawOptions, host: DeviceHost): VirtioDevice | PciDevice {
  const values = validateOptions(`device "${plugin.name}"`, plugin.options, options);
  const device = create(plugin, values, host);
  const fault = plugin.kind === "virtio" ? faultOfVirtioDevice(device) : faultOfPciDevice(device);
  if (fault === undefined) return device;
  throw new PluginError(`Cannot create device "${host.id}" of plugin "${plugin.name}": what it made has ${fault}`);
}

function create(plugin: Plugin, values: ErasedOptions, host: DeviceHost): VirtioDevice | PciDevice {
  try {
    return plugin.create(values, host);
  } catch (cause) {
    throw new PluginError(
      `Cannot create device "${host.id}" of plugin "${plugin.name}": ${messageOf(cause)}`,
      { cause },
    );
  }
}

function faultOfVirtioDevice(device: unknown): string | undefined {
  const members = membersOf(device);
  if (members === undefined) return `no members: it is ${describeValue(device)}`;
  const { features, queues, configuration } = members;
  if (typeof features !== "bigint") return `"features" ${describeValue(features)}; expected a bigint such as 0n`;
  if (features < 0n || features >> 64n !== 0n || (features & TRANSPORT_FEATURES) !== 0n) {
    return `"features" 0x${features.toString(16)}; expected bits 0-23 and 50-63 only: the others are the transport's`;
  }
  if (!Array.isArray(queues) || queues.length > MAXIMUM_QUEUES) {
    return `"queues" ${describeValue(queues)}; expected a list of up to ${MAXIMUM_QUEUES} like { name, size }`;
  }
  for (const [index, queue] of queues.entries()) {
    const size = membersOf(queue)?.size;
    if (!isQueueSize(size)) {
      return `"queues[${index}].size" ${describeValue(size)}; expected a power of two up to ${MAXIMUM_QUEUE_SIZE}`;
    }
  }
  if (configuration !== undefined) {
    if (!(configuration instanceof Uint8Array) || configuration.length > MAXIMUM_CONFIGURATION) {
      return `"configuration" ${
        describeValue(configuration)
      }; expected a Uint8Array of up to ${MAXIMUM_CONFIGURATION} bytes`;
    }
  }
  return faultOfMethods(members, VIRTIO_METHODS, VIRTIO_OPTIONAL_METHODS);
}

function faultOfPciDevice(device: unknown): string | undefined {
  const members = membersOf(device);
  if (members === undefined) return `no members: it is ${describeValue(device)}`;
  if (!Array.isArray(members.bars)) return `"bars" ${describeValue(members.bars)}; expected a list`;
  return faultOfMethods(members, PCI_METHODS, []);
}

function faultOfMethods(
  members: Readonly<Record<string, unknown>>,
  required: readonly string[],
  optional: readonly string[],
): string | undefined {
  const isWrong = (method: string) => typeof members[method] !== "function";
  const wrong = required.find(isWrong) ?? optional.find((method) => members[method] !== undefined && isWrong(method));
  return wrong === undefined ? undefined : `"${wrong}" ${describeValue(members[wrong])}; expected a method`;
}

function membersOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === "object" && value !== null ? value as Readonly<Record<string, unknown>> : undefined;
}

function isQueueSize(size: unknown): boolean {
  return Number.isInteger(size) && Number(size) >= 1 && Number(size) <= MAXIMUM_QUEUE_SIZE
    && (Number(size) & (Number(size) - 1)) === 0;
}
