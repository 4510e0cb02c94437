/**
 * Reads the command line of `denovisor run` and its kin into launch options.
 *
 * @module
 */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { type DiskOptions, type LaunchOptions, normalise } from "../machine/configuration.ts";
import { messageOf } from "../plugin/error.ts";
import { nearest } from "../plugin/nearest.ts";
import { parseSpecification } from "../plugin/specification.ts";

/** The command line cannot be understood. Ends the program with the exit code for usage errors. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Flags of a machine, shared by every command that launches one. */
export const MACHINE_FLAGS = {
  kernel: { type: "string" },
  initramfs: { type: "string" },
  cmdline: { type: "string" },
  cpus: { type: "string" },
  memory: { type: "string" },
  disk: { type: "string", multiple: true },
  rng: { type: "boolean" },
  serial: { type: "string" },
  console: { type: "string" },
  device: { type: "string", multiple: true },
  timeout: { type: "string" },
  "no-reboot": { type: "boolean" },
  stats: { type: "boolean" },
  verbose: { type: "boolean", short: "v" },
  force: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const satisfies NonNullable<ParseArgsConfig["options"]>;

/** What {@linkcode MACHINE_FLAGS} were given. */
export interface MachineFlags {
  readonly kernel?: string;
  readonly initramfs?: string;
  readonly cmdline?: string;
  readonly cpus?: string;
  readonly memory?: string;
  readonly disk?: readonly string[];
  readonly rng?: boolean;
  readonly serial?: string;
  readonly console?: string;
  readonly device?: readonly string[];
  readonly timeout?: string;
  readonly "no-reboot"?: boolean;
  readonly stats?: boolean;
  readonly verbose?: boolean;
  readonly force?: boolean;
  readonly help?: boolean;
}

/** A command line taken apart: flags, and the guest's command after `--`. */
export interface ParsedArguments<Flags> {
  /** Values by flag. */
  readonly flags: Flags;
  /** Everything after `--`; undefined where there is no `--`. */
  readonly command: readonly string[] | undefined;
}

/**
 * Takes a command line apart.
 *
 * @throws {UsageError} An unknown flag (the nearest is named), a missing value, or a stray word.
 */
export function parseFlags<Flags>(
  args: readonly string[],
  options: NonNullable<ParseArgsConfig["options"]>,
): ParsedArguments<Flags> {
  const end = args.indexOf("--");
  const before = end < 0 ? [...args] : args.slice(0, end);
  const known = Object.keys(options);
  for (const arg of before) {
    const name = /^--([^=]+)/.exec(arg)?.[1];
    if (name === undefined || known.includes(name)) continue;
    const meant = nearest(name, known);
    throw new UsageError(
      `There is no flag --${name}${meant === undefined ? "" : `, did you mean --${meant}?`} `
        + `Flags are ${known.map((flag) => `--${flag}`).join(", ")}.`,
    );
  }
  try {
    const { values, positionals } = parseArgs({ args: before, options, allowPositionals: true, strict: true });
    if (positionals.length > 0) {
      throw new UsageError(
        `"${
          positionals[0]
        }" belongs to no flag; a command for the guest is given after "--", as in: run --kernel K -- uname -r`,
      );
    }
    return { flags: values as Flags, command: end < 0 ? undefined : args.slice(end + 1) };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/**
 * Launch options from flags.
 *
 * @throws {UsageError} A value does not have the flag's form.
 */
export function launchOptions(flags: MachineFlags): LaunchOptions {
  if (flags.kernel === undefined) {
    throw new UsageError("--kernel is missing: the path of an ELF kernel with a PVH entry or of a bzImage");
  }
  const disks = (flags.disk ?? []).map(diskOptions);
  const serial = flags.serial ?? "tty";
  const consoles = flags.console === undefined || flags.console === "off" ? [] : [flags.console];
  if (serial === "tty" && consoles[0] === "tty") {
    throw new UsageError(
      "--serial tty and --console tty cannot share one terminal; give --serial null or --serial file=PATH",
    );
  }
  return checked({
    kernel: flags.kernel,
    ...(flags.initramfs === undefined ? {} : { initramfs: flags.initramfs }),
    cmdline: flags.cmdline ?? "",
    cpus: wholeNumber("--cpus", keyed("--cpus", "boot", flags.cpus ?? "1")),
    memory: keyed("--memory", "size", flags.memory ?? "256M"),
    disks,
    rng: flags.rng ?? false,
    consoles,
    serial,
    devices: flags.device ?? [],
    verbose: flags.verbose ?? false,
    rebootOnReset: !(flags["no-reboot"] ?? false),
    ...(flags.timeout === undefined ? {} : { timeoutSeconds: wholeNumber("--timeout", flags.timeout) }),
  });
}

/**
 * Launch options whose values are what a launch takes. Files and plugins are not looked at.
 *
 * @throws {UsageError} One of them is not.
 */
export function checked(options: LaunchOptions): LaunchOptions {
  asUsage(() => normalise(options, 0));
  return options;
}

/** What is wrong with a text or a value here is wrong with the command line. */
function asUsage<Result>(action: () => Result): Result {
  try {
    return action();
  } catch (cause) {
    throw new UsageError(messageOf(cause), { cause });
  }
}

function diskOptions(text: string): DiskOptions {
  const { specifier, options } = asUsage(() => parseSpecification(`block,${text}`));
  if (specifier !== "block" || typeof options.path !== "string") {
    throw new UsageError(`--disk ${text}: expected path=IMAGE, optionally followed by ,readonly=on and the like`);
  }
  return { ...options, path: options.path };
}

/** `key=value`, or the value alone. */
function keyed(flag: string, key: string, text: string): string {
  if (!text.includes("=")) return text;
  const { options } = asUsage(() => parseSpecification(`${flag},${text}`));
  const unknown = Object.keys(options).find((name) => name !== key);
  const value = options[key];
  if (unknown !== undefined || typeof value !== "string") {
    throw new UsageError(`${flag} ${text}: expected ${key}=VALUE and no other key`);
  }
  return value;
}

/**
 * The whole number that a flag was given.
 *
 * @throws {UsageError} It is none.
 */
export function wholeNumber(flag: string, text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new UsageError(`${flag} ${text}: expected a whole number`);
}
