/**
 * How a plugin is made of its definition, with the checks that a compiler would have made for its author.
 *
 * @module
 */
import {
  type OptionSchemas,
  type OptionValues,
  type PciDefinition,
  type PciPlugin,
  type Plugin,
  PLUGIN_TAG,
  PLUGIN_VERSION,
  type VirtioDefinition,
  type VirtioPlugin,
} from "./definition.ts";
import type { OptionSchema } from "./schema.ts";

/** Device ids of virtio on PCI run from 0x1040 to 0x107f: the highest device type (virtio 1.3, 4.1.2). */
export const MAXIMUM_DEVICE_TYPE = 63;

/**
 * Defines a virtio device. A plugin's module exports the result as default.
 *
 * @example
 * ```ts
 * import { defineVirtioDevice, option, optional } from "@denovisor/denovisor/plugin";
 *
 * export default defineVirtioDevice({
 *   name: "zeroes",
 *   deviceType: 4,
 *   options: { limit: optional(option.size(), "64K") },
 *   create: ({ limit }) => ({
 *     features: 0n,
 *     queues: [{ name: "requestq", size: 64 }],
 *     activate() {},
 *     notify(queue) {
 *       for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
 *         queue.push(chain, chain.write(0, new Uint8Array(Math.min(limit, chain.writableLength))));
 *       }
 *     },
 *   }),
 * });
 * ```
 *
 * @throws {TypeError} A member is missing or of the wrong kind; the message names it.
 */
export function defineVirtioDevice<const Schemas extends OptionSchemas = Record<never, never>>(
  definition: VirtioDefinition<Schemas>,
): VirtioPlugin {
  check("virtio", "defineVirtioDevice", definition);
  return Object.freeze<VirtioPlugin>({
    ...definition,
    [PLUGIN_TAG]: PLUGIN_VERSION,
    kind: "virtio",
    options: Object.freeze({ ...definition.options }),
    create: (options, host) => definition.create(options as OptionValues<Schemas>, host),
  });
}

/**
 * Defines a PCI function of any kind. A plugin's module exports the result as default.
 *
 * @throws {TypeError} A member is missing or of the wrong kind; the message names it.
 */
export function definePciDevice<const Schemas extends OptionSchemas = Record<never, never>>(
  definition: PciDefinition<Schemas>,
): PciPlugin {
  check("pci", "definePciDevice", definition);
  return Object.freeze<PciPlugin>({
    ...definition,
    [PLUGIN_TAG]: PLUGIN_VERSION,
    kind: "pci",
    options: Object.freeze({ ...definition.options }),
    create: (options, host) => definition.create(options as OptionValues<Schemas>, host),
  });
}

/**
 * What is wrong with a value that should be a plugin's members, in words; undefined for nothing. Authors who write
 * JavaScript have no compiler to tell them.
 */
export function faultOf(kind: Plugin["kind"], members: Readonly<Record<string, unknown>>): string | undefined {
  const { name, deviceType, pciClass, options, create } = members;
  if (typeof name !== "string" || name === "") {
    return `"name" must be text that is not empty, not ${describeValue(name)}`;
  }
  if (kind === "virtio" && !isIntegerBetween(deviceType, 1, MAXIMUM_DEVICE_TYPE)) {
    return `"deviceType" must be the specification's number of the device type, an integer from 1 to `
      + `${MAXIMUM_DEVICE_TYPE}, not ${describeValue(deviceType)}`;
  }
  if (pciClass !== undefined && !isIntegerBetween(pciClass, 0, 0xff_ff_ff)) {
    return `"pciClass" must be a class code 0xCCSSPP, not ${describeValue(pciClass)}`;
  }
  if (typeof create !== "function") {
    return `"create" must be a function (options, host) => device, not ${describeValue(create)}`;
  }
  if (options !== undefined && (typeof options !== "object" || options === null)) {
    return `"options" must be an object of schemas, not ${describeValue(options)}`;
  }
  for (const [key, schema] of Object.entries(options ?? {})) {
    if (!isSchema(schema)) {
      return `"options.${key}" must be a schema such as option.text(), not ${describeValue(schema)}`;
    }
  }
  return undefined;
}

/** A value in a few words, for error messages. */
export function describeValue(value: unknown): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value);
    case "undefined":
      return "nothing";
    case "function":
      return "a function";
    case "object":
      if (value === null) return "null";
      return Array.isArray(value) ? "a list" : `an object with ${Object.keys(value).join(", ") || "no members"}`;
    default:
      return String(value);
  }
}

function check(kind: Plugin["kind"], caller: string, definition: unknown): void {
  const fault = typeof definition === "object" && definition !== null
    ? faultOf(kind, definition as Readonly<Record<string, unknown>>)
    : `it must be given an object of name, create and so on, not ${describeValue(definition)}`;
  if (fault !== undefined) throw new TypeError(`${caller}: ${fault}`);
}

function isIntegerBetween(value: unknown, low: number, high: number): boolean {
  return Number.isInteger(value) && (value as number) >= low && (value as number) <= high;
}

function isSchema(value: unknown): value is OptionSchema {
  return (value as Partial<OptionSchema> | null | undefined)?.["~standard"]?.version === 1;
}
