/**
 * `denovisor demo` and `denovisor probe`: the embedded guest looks at devices, and a person (or a machine) at what it saw.
 *
 * @module
 */
import { guestImage } from "../../guest/image.ts";
import { type LaunchOptions, VirtualMachine } from "../../mod.ts";
import { render, toJson, wantsColour } from "../probe/render.ts";
import { passed } from "../probe/report.ts";
import { parseReport } from "../probe/report_reader.ts";
import { checked, parseFlags, UsageError, wholeNumber } from "./arguments.ts";
import { conclude } from "./run.ts";

const GUEST_MEMORY = "64M";
const TIMEOUT_SECONDS = 60;
const DEMO_DISK_BYTES = 2 ** 20;
const CHECKS_FAILED = 1;

const DEMO_HELP = `Usage: denovisor demo [--json] [--brief] [--cpus N] [--stats]

Boots a small bare-metal guest with a disk, an entropy device and a console, and shows what it saw: the bus, the
capabilities, every check with the rule that it proves, doorbells, interrupts and times. Exit code 1 if a check failed.`;

const PROBE_HELP = `Usage: denovisor probe --device SPEC[,k=v…] [--json] [--brief] [--stats]

Puts a device plugin into a machine and lets the embedded guest examine it: configuration space, capabilities, BARs,
MSI-X, the virtio-PCI registers, activation and reset. Exit code 1 if a check failed.

Examples:
  denovisor probe --device ./my_device.ts,speed=3
  denovisor probe --device block,path=root.img,readonly=on`;

const FLAGS = {
  json: { type: "boolean" },
  brief: { type: "boolean" },
  cpus: { type: "string" },
  stats: { type: "boolean" },
  verbose: { type: "boolean", short: "v" },
  device: { type: "string", multiple: true },
  help: { type: "boolean", short: "h" },
} as const;

interface Flags {
  readonly json?: boolean;
  readonly brief?: boolean;
  readonly cpus?: string;
  readonly stats?: boolean;
  readonly verbose?: boolean;
  readonly device?: readonly string[];
  readonly help?: boolean;
}

/** Runs `denovisor demo`; returns the exit code. */
export async function demo(args: readonly string[]): Promise<number> {
  const { flags } = parseFlags<Flags>(args, FLAGS);
  if (flags.help) {
    console.log(DEMO_HELP);
    return 0;
  }
  const disk = await Deno.makeTempFile({ prefix: "denovisor-demo-", suffix: ".img" });
  try {
    await Deno.truncate(disk, DEMO_DISK_BYTES);
    const cpus = flags.cpus === undefined ? 1 : wholeNumber("--cpus", flags.cpus);
    return await examine(flags, {
      cmdline: `mode=demo write=1${cpus > 1 ? " smp=1" : ""}`,
      cpus,
      disks: [{ path: disk }],
      rng: true,
      consoles: ["console"],
      devices: flags.device ?? [],
    });
  } finally {
    await Deno.remove(disk);
  }
}

/** Runs `denovisor probe`; returns the exit code. */
export async function probe(args: readonly string[]): Promise<number> {
  const { flags } = parseFlags<Flags>(args, FLAGS);
  if (flags.help) {
    console.log(PROBE_HELP);
    return 0;
  }
  if (flags.device === undefined) {
    throw new UsageError("--device is missing: the plugin to be examined, as in: probe --device ./my_device.ts");
  }
  return await examine(flags, { cmdline: "mode=probe", devices: flags.device });
}

async function examine(flags: Flags, options: Omit<LaunchOptions, "kernel">): Promise<number> {
  let text = "";
  const decoder = new TextDecoder();
  await using vm = await VirtualMachine.launch(
    checked({
      kernel: guestImage(),
      memory: GUEST_MEMORY,
      timeoutSeconds: TIMEOUT_SECONDS,
      serial: "off",
      verbose: flags.verbose ?? false,
      ...options,
    }),
    {
      onOutput: ({ stream, data }) => {
        if (stream === "debug") text += decoder.decode(data, { stream: true });
      },
      onLog: ({ device, message }) => console.error(`${device}: ${message}`),
    },
  );
  const run = await vm.ended;
  const report = parseReport(text);
  const timeStampKhz = run.statistics?.timeStampKhz ?? 0;
  const looks = { colour: wantsColour(), brief: flags.brief ?? false, ...(timeStampKhz > 0 ? { timeStampKhz } : {}) };
  console.log(flags.json ? toJson(report) : render(report, looks));
  const ending = conclude(run, flags);
  return ending.kind !== "debug-exit" ? ending.exitCode : passed(report) ? 0 : CHECKS_FAILED;
}
