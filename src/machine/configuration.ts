/**
 * What a launch takes, validated and normalised: the one shape behind the API and the command line.
 *
 * @module
 */
import { option, optional } from "../plugin/options.ts";
import { absolutePath, filePath } from "../plugin/paths.ts";
import { type DescribedSchema, schemaOf } from "../plugin/schema.ts";
import { parseSpecification } from "../plugin/specification.ts";
import { validateOptions } from "../plugin/validate.ts";
import { memoryRegions } from "./layout.ts";
import type { DeviceRequest, MachineRequest } from "./protocol.ts";

/** A disk served by the built-in block device; further keys are the block device's options. */
export interface DiskOptions {
  /** The image: a regular file or a block device. */
  readonly path: string;
  /** Refuse the guest's writes. */
  readonly readonly?: boolean;
  /** Any other option of the block device. */
  readonly [option: string]: unknown;
}

/** A device of any plugin. */
export interface DeviceOptions {
  /** Built-in name, path or URL of the plugin module. */
  readonly plugin: string;
  /** Unique name of the device. */
  readonly id?: string;
  /** Device number on the bus, 1-31. */
  readonly slot?: number;
  /** The plugin's own options. */
  readonly options?: Readonly<Record<string, unknown>>;
}

/** What {@linkcode VirtualMachine.launch} takes. Paths are relative to the current directory. */
export interface LaunchOptions {
  /** The kernel: an ELF with a PVH entry or a bzImage. A path, a `file:` URL, or its bytes. */
  readonly kernel: string | URL | Uint8Array;
  /** The initial RAM file system. */
  readonly initramfs?: string | URL | Uint8Array;
  /** The kernel's command line. Default: empty. */
  readonly cmdline?: string;
  /** Number of vCPUs. Default: 1. */
  readonly cpus?: number;
  /** RAM: bytes, or text such as `512M`. Default: 256 MiB. */
  readonly memory?: number | string;
  /** Disks, in the order in which the guest finds them. */
  readonly disks?: readonly DiskOptions[];
  /** Whether there is an entropy device, or its options. */
  readonly rng?: boolean | Readonly<Record<string, unknown>>;
  /** virtio consoles hvc0, hvc1 …: the name of the stream each is connected to. */
  readonly consoles?: readonly string[];
  /** Stream of the first serial port: `tty`, `null`, `file=PATH`, any other name; `off` for no port. Default: `serial`. */
  readonly serial?: string;
  /** More devices. Text is a plugin's name, path or URL, optionally followed by `,key=value…`. */
  readonly devices?: readonly (string | URL | DeviceOptions)[];
  /** Print register dumps when the run fails. Default: false. */
  readonly verbose?: boolean;
  /** End the run when the serial port shows a kernel panic. Default: true. */
  readonly watchForPanic?: boolean;
  /** Restart the machine when the guest asks for a reset, instead of ending. Default: false. */
  readonly rebootOnReset?: boolean;
  /** End the run after so many seconds. */
  readonly timeoutSeconds?: number;
}

const DEFAULT_MEMORY = "256M";
/** Limit of xAPIC ids and of the isolates one process can reasonably hold. */
const MAXIMUM_CPUS = 254;

/** Timers of the runtime take no more milliseconds than a signed 32-bit integer holds: 24 days. */
const MAXIMUM_SECONDS = 2_147_483;
/** Device numbers for devices; 0 is the host bridge's. */
const SLOTS = { min: 1, max: 31 };

/** What a plugin specifier begins with that is not a plain name: a path or a URL. */
const URL_PATTERN = /^[a-z][a-z0-9+.-]+:/i;
const PATH_PATTERN = /[/\\]|\.[cm]?[jt]sx?$/;

type Image = string | URL | Uint8Array;
type Options = Readonly<Record<string, unknown>>;

const isOptions = (given: unknown): given is Options =>
  typeof given === "object" && given !== null && !Array.isArray(given) && !(given instanceof URL);

const image = schemaOf<Image, Image>(
  "a path, a file: URL or the bytes",
  (given) =>
    typeof given === "string" || given instanceof Uint8Array || (given instanceof URL && given.protocol === "file:")
      ? given
      : undefined,
);

function listOf<Item>(expects: string, accepts: (item: unknown) => boolean): DescribedSchema<Item[], readonly Item[]> {
  return schemaOf(expects, (given) => Array.isArray(given) && given.every(accepts) ? given : undefined);
}

const SCHEMAS = {
  kernel: image,
  initramfs: optional(image),
  cmdline: optional(option.text(), ""),
  cpus: optional(option.integer({ min: 1, max: MAXIMUM_CPUS }), 1),
  memory: optional(option.size(), DEFAULT_MEMORY),
  disks: optional(listOf("a list such as [{ path }]", isOptions), []),
  rng: optional(
    schemaOf<boolean | Options, boolean | Options>(
      "true, false or the entropy device's options",
      (given) => typeof given === "boolean" || isOptions(given) ? given : undefined,
    ),
    false,
  ),
  consoles: optional(listOf("a list of stream names", (item) => typeof item === "string"), []),
  serial: optional(option.text(), "serial"),
  devices: optional(
    listOf(
      "a list of plugin names, paths, URLs or { plugin, options }",
      (item) => typeof item === "string" || item instanceof URL || isOptions(item),
    ),
    [],
  ),
  verbose: optional(option.boolean(), false),
  watchForPanic: optional(option.boolean(), true),
  rebootOnReset: optional(option.boolean(), false),
  timeoutSeconds: optional(option.integer({ min: 1, max: MAXIMUM_SECONDS })),
};

const PLACE_SCHEMAS = {
  id: optional(option.text()),
  slot: optional(option.integer(SLOTS)),
};

const DEVICE_SCHEMAS = {
  plugin: schemaOf<string | URL, string>(
    "a built-in name, a path or a URL",
    (given) => given instanceof URL ? given.href : typeof given === "string" ? given : undefined,
  ),
  ...PLACE_SCHEMAS,
  options: optional(
    schemaOf<Options, Options>("an object of the plugin's options", (given) => isOptions(given) ? given : undefined),
    {},
  ),
};

/** A launch: the machine, and what the control isolate does with it. */
export interface Launch {
  /** What is built, again after every reboot. */
  readonly machine: MachineRequest;
  /** See {@linkcode LaunchOptions.rebootOnReset}. */
  readonly rebootOnReset: boolean;
  /** See {@linkcode LaunchOptions.timeoutSeconds}. */
  readonly timeoutSeconds: number | undefined;
}

/**
 * Validates what a launch was given and resolves its paths.
 *
 * @throws {Error} A key is unknown or a value of the wrong kind; the message names it, the valid keys and the nearest.
 */
export function normalise(options: LaunchOptions, launchedAt: number): Launch {
  const given = validateOptions("the launch", SCHEMAS, { ...options }) as unknown as Required<LaunchOptions> & {
    readonly memory: number;
  };
  memoryRegions(given.memory);
  const devices: DeviceRequest[] = [
    ...given.disks.map(({ path, ...rest }) => ({ plugin: "block", options: { path: resolvePath(path), ...rest } })),
    ...(given.rng === false ? [] : [{ plugin: "rng", options: given.rng === true ? {} : given.rng }]),
    ...given.consoles.map((stream) => ({ plugin: "console", options: { stream } })),
    ...given.devices.map(deviceRequest),
  ];
  const machine: MachineRequest = {
    kernel: locate(given.kernel),
    ...(given.initramfs === undefined ? {} : { initramfs: locate(given.initramfs) }),
    cmdline: given.cmdline,
    cpus: given.cpus,
    memory: given.memory,
    devices,
    ...(given.serial === "off" ? {} : { serial: given.serial }),
    verbose: given.verbose,
    watchForPanic: given.watchForPanic,
    launchedAt,
  };
  return { machine, rebootOnReset: given.rebootOnReset, timeoutSeconds: given.timeoutSeconds };
}

/** A device from its text, URL or object form. */
function deviceRequest(device: string | URL | DeviceOptions): DeviceRequest {
  if (device instanceof URL) return { plugin: device.href, options: {} };
  if (typeof device === "string") {
    const { specifier, options } = parseSpecification(device);
    // These two belong to the machine, the other keys to the plugin.
    const { id, slot, ...rest } = options;
    const place = validateOptions(`the device "${specifier}"`, PLACE_SCHEMAS, {
      ...(id === undefined ? {} : { id }),
      ...(slot === undefined ? {} : { slot }),
    });
    return { plugin: resolveSpecifier(specifier), options: rest, ...present(place) };
  }
  const { plugin, options, ...place } = validateOptions("a device of the launch", DEVICE_SCHEMAS, { ...device });
  return { plugin: resolveSpecifier(plugin as string), options: options as Options, ...present(place) };
}

/** The keys that have a value. */
function present(values: Options): Options {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

/** The machine isolate has no current directory of its own to rely on: paths are made absolute here. */
function resolveSpecifier(specifier: string): string {
  return PATH_PATTERN.test(specifier) && !URL_PATTERN.test(specifier) ? absolutePath(specifier) : specifier;
}

function resolvePath(path: unknown): unknown {
  return typeof path === "string" ? absolutePath(path) : path;
}

function locate(image: string | URL | Uint8Array): string | Uint8Array {
  if (image instanceof Uint8Array) return image;
  return image instanceof URL || image.startsWith("file:") ? filePath(new URL(image)) : absolutePath(image);
}
