/**
 * `denovisor run`: launches one machine and is its terminal until it ends.
 *
 * @module
 */
import { type LaunchOptions, VirtualMachine } from "../../mod.ts";
import { type Ending, ending } from "../machine/ending.ts";
import { isSoftwareOnly } from "../machine/host.ts";
import { renderStatistics } from "../machine/statistics.ts";
import type { RunReport, StreamOutput } from "../machine/virtual_machine.ts";
import { launchOptions, MACHINE_FLAGS, type MachineFlags, parseFlags, UsageError } from "./arguments.ts";
import { StopOnSignal } from "./signals.ts";
import { ATTACH_NOTICE, Terminal, writeAll } from "./terminal.ts";

/** The streams by which a guest's command talks to the outside, in the order of its consoles. */
const COMMAND_STREAMS = ["stdout", "stderr", "status"] as const;
/** Lines of the serial port that are shown when a run fails whose serial port was not shown. */
const LINES_KEPT = 25;
const COMMAND_MEMORY = "512M";

/** Help of this command. */
export const RUN_HELP = `Usage: denovisor run --kernel FILE [flags] [-- COMMAND [ARGUMENTS]]

Boots a machine and connects this terminal to its serial port. With a COMMAND, an initramfs that runs it is made on the
fly (busybox and the kernel's own virtio modules): the command's output is printed, its exit code becomes ours.

  --kernel FILE           ELF with a PVH entry, or a bzImage
  --initramfs FILE        initial RAM file system
  --cmdline TEXT          the kernel's command line
  --cpus boot=N           vCPUs (1)
  --memory size=SIZE      RAM (256M)
  --disk path=FILE[,…]    a disk, repeatable: readonly=on, direct=on, queues=N, id=TEXT, block-size=N
  --rng                   an entropy device
  --serial tty|null|off|file=PATH     the first serial port (tty)
  --console tty|off|file=PATH         a virtio console, hvc0 in the guest (off)
  --device SPEC[,k=v…]    a device plugin, repeatable: a built-in name, a path or a URL
  --timeout SECONDS       end the run after this time, exit code 124
  --no-reboot             end when the guest reboots, instead of starting anew
  --stats                 print exits, device counters and a timeline at the end
  --verbose, -v           show the kernel's messages with a COMMAND, registers on a failure
  --force                 try a Linux kernel even where KVM has no processor support

Examples:
  denovisor run --kernel vmlinuz --initramfs initrd.img --cmdline "console=ttyS0" --disk path=root.img
  denovisor run --kernel vmlinuz -- uname -r
  denovisor run --kernel vmlinuz --device ./my_device.ts,speed=3`;

/** Runs the command; returns the exit code. */
export async function run(args: readonly string[]): Promise<number> {
  const { flags, command } = parseFlags<MachineFlags>(args, MACHINE_FLAGS);
  if (flags.help) {
    console.log(RUN_HELP);
    return 0;
  }
  if (command?.length === 0) throw new UsageError('after "--" a command for the guest was expected');
  const options = launchOptions(flags);
  if (!flags.force) await refuseLinuxWithoutSupport(String(options.kernel));
  return command === undefined
    ? await runWithTerminal(options, flags)
    : await runCommand(await withCommand(options, flags, command), flags);
}

async function runWithTerminal(options: LaunchOptions, flags: MachineFlags): Promise<number> {
  const stream = options.serial === "tty" || options.consoles?.includes("tty") ? "tty" : undefined;
  const vm = await VirtualMachine.launch(options, {
    onOutput: ({ data }) => writeAll(Deno.stdout, data),
    onLog: ({ device, message }) => console.error(`${device}: ${message}`),
    onReboot: () => console.error("denovisor: the guest reboots"),
  });
  if (flags.verbose) { for (const note of vm.notes) console.error(`denovisor: ${note}`); }
  using terminal = stream === undefined ? undefined : new Terminal(vm, stream);
  if (terminal !== undefined && Deno.stdin.isTerminal()) console.error(`denovisor: ${ATTACH_NOTICE}\r`);
  terminal?.pump().catch((error) => console.error(`denovisor: standard input failed: ${error.message}`));
  using signals = new StopOnSignal(vm);
  const report = await vm.ended;
  // What is printed from here on belongs on an ordinary terminal.
  terminal?.[Symbol.dispose]();
  const { exitCode } = conclude(report, flags);
  return signals.exitCode ?? exitCode;
}

/** Adds what a guest needs to run a command: initramfs, kernel command line, consoles. */
async function withCommand(
  options: LaunchOptions,
  flags: MachineFlags,
  command: readonly string[],
): Promise<LaunchOptions> {
  if (options.initramfs !== undefined) {
    throw new UsageError(
      "--initramfs and a COMMAND cannot be given together: the command gets an initramfs of its own",
    );
  }
  const { buildCommandInitramfs } = await import("../boot/initramfs.ts");
  const { kernelRelease } = await import("../boot/release.ts");
  const release = kernelRelease(await Deno.readFile(String(options.kernel)));
  const initramfs = await buildCommandInitramfs({ release, command, terminal: Deno.stdin.isTerminal() });
  const verbosity = flags.verbose ? "" : " quiet";
  return {
    ...options,
    initramfs,
    cmdline: `console=ttyS0${verbosity} panic=-1 ${options.cmdline}`.trim(),
    memory: flags.memory === undefined ? COMMAND_MEMORY : options.memory ?? COMMAND_MEMORY,
    consoles: COMMAND_STREAMS,
    serial: flags.serial ?? "serial",
    rebootOnReset: false,
  };
}

async function runCommand(options: LaunchOptions, flags: MachineFlags): Promise<number> {
  const { encodeCommandInput, endOfCommandInput, parseCommandStatus } = await import("../boot/command_ports.ts");
  const [stdout, stderr, statusPort] = COMMAND_STREAMS;
  const decoder = new TextDecoder();
  const ready = Promise.withResolvers<void>();
  let status = "";
  let messages = "";
  const receive = ({ stream, data }: StreamOutput): Promise<void> | undefined => {
    if (stream === stdout) return writeAll(Deno.stdout, data);
    if (stream === stderr || (stream !== statusPort && flags.verbose)) return writeAll(Deno.stderr, data);
    if (stream === statusPort) {
      status += decoder.decode(data);
      if (parseCommandStatus(status).ready) ready.resolve();
    } else {
      messages = (messages + decoder.decode(data)).split("\n").slice(-LINES_KEPT).join("\n");
    }
    return undefined;
  };
  const vm = await VirtualMachine.launch(options, {
    onOutput: receive,
    onLog: ({ device, message }) => console.error(`${device}: ${message}`),
  });
  using terminal = new Terminal(vm, stdout, { encode: encodeCommandInput, end: endOfCommandInput });
  ready.promise.then(() => terminal.pump())
    .catch((error) => console.error(`denovisor: standard input failed: ${error.message}`));
  using signals = new StopOnSignal(vm);
  const report = await vm.ended;
  terminal[Symbol.dispose]();
  const guest = commandEnding(report.ending, parseCommandStatus(status).exitCode);
  const { exitCode, kind } = conclude({ ...report, ending: guest }, flags);
  if (kind !== "command" && messages !== "") console.error(`The kernel's last messages:\n${messages}`);
  return signals.exitCode ?? exitCode;
}

/** The command's exit code, if the guest told it and then powered off. */
function commandEnding(guest: Ending, exitCode: number | undefined): Ending {
  if (guest.kind !== "power-off") return guest;
  return exitCode === undefined
    ? ending("host-error", "the guest powered off without telling the command's exit code")
    : { kind: "command", message: `the command ended with exit code ${exitCode}`, exitCode };
}

/** Endings that need no words: the guest did what it was asked to. */
const QUIET_ENDINGS: ReadonlySet<string> = new Set(["power-off", "command", "stopped", "debug-exit"]);

/** Prints what is to be said at the end of a run. */
export function conclude(
  { ending, statistics }: RunReport,
  flags: Pick<MachineFlags, "verbose" | "stats">,
): Ending {
  if (flags.verbose || !QUIET_ENDINGS.has(ending.kind)) console.error(`denovisor: ${ending.message}`);
  if (flags.verbose && ending.details !== undefined) console.error(ending.details);
  if (flags.stats && statistics !== undefined) console.error(renderStatistics(statistics));
  return ending;
}

/** "HdrS" in a bzImage's setup header (Linux boot protocol), by which the kernel is known to be Linux. */
const BZIMAGE_MAGIC = { offset: 0x202, text: "HdrS" } as const;

/**
 * Without processor support, KVM emulates every instruction, and Linux gets stuck on its way up. Say so at once.
 *
 * @throws {Error} This is such a host and the kernel is Linux's.
 */
async function refuseLinuxWithoutSupport(kernel: string): Promise<void> {
  if (!isSoftwareOnly() || !(await looksLikeLinux(kernel))) return;
  throw new Error(
    `${kernel} is a Linux kernel, and this host's KVM (kvm_pvm) has no processor support: Linux would not get through `
      + "its start. Use a host with AMD SVM or Intel VMX, emulate one with `deno task linux`, or insist with --force",
  );
}

async function looksLikeLinux(kernel: string): Promise<boolean> {
  const head = new Uint8Array(BZIMAGE_MAGIC.offset + BZIMAGE_MAGIC.text.length);
  try {
    using file = await Deno.open(kernel);
    await file.read(head);
  } catch {
    // The launch tells what is wrong with the file.
    return false;
  }
  return new TextDecoder().decode(head.subarray(BZIMAGE_MAGIC.offset)) === BZIMAGE_MAGIC.text;
}
