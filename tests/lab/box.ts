/**
 * A KVM host in a box: Debian's kernel under QEMU's software emulation of AMD SVM. A command run in it sees this
 * machine's files (writable, but changes are gone afterwards) and a `/dev/kvm` on which Linux guests run, slowly, but
 * as on any KVM host.
 *
 * ```sh
 * deno run -A tests/lab/box.ts -- 'uname -r; ls -l /dev/kvm'
 * deno run -A tests/lab/box.ts                               # a shell in it
 * ```
 *
 * @module
 */
import { dirname, join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { findKernel } from "../support/kernels.ts";
import { boxRequirements, requirement } from "../support/requirements.ts";
import { boxInitramfs, portNumbers, shareTags } from "./box_initramfs.ts";
import { BoxError, consoleTail, runQemu } from "./qemu_process.ts";

export { BoxError } from "./qemu_process.ts";

/** How a command is run in the box. */
export interface BoxOptions {
  /** RAM of the box in MiB; up to 70 % of it may be taken by changed files. Default 4096. */
  readonly memory?: number;
  /** Virtual processors of the box. Default 2. */
  readonly processors?: number;
  /** Time limit in seconds for all of it, the box's own start included. Default 600. */
  readonly timeout?: number;
  /** A folder of this machine that the command sees as `/results`, where what it writes stays. */
  readonly results?: string;
  /** Variables beside HOME, PATH, DENO_DIR and what else is always passed on. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Working folder; default is the present one. */
  readonly workingFolder?: string;
  /** Gives the command this process's terminal. */
  readonly interactive?: boolean;
  /** Ends the box early. */
  readonly signal?: AbortSignal;
  /** Takes what the command prints, while it prints. */
  readonly onOutput?: (stream: OutputStream, data: Uint8Array<ArrayBuffer>) => void;
}

/** Where a command printed something. */
export type OutputStream = "stdout" | "stderr";

/** What became of a command in the box. */
export interface BoxResult {
  /** The command's exit code. */
  readonly code: number;
  /** What it printed; empty when interactive. */
  readonly stdout: string;
  /** See {@linkcode BoxResult.stdout}. */
  readonly stderr: string;
  /** Wall-clock time of the whole run. */
  readonly seconds: number;
}

const DEFAULT_MEMORY_MIB = 4096;
const DEFAULT_PROCESSORS = 2;
const DEFAULT_TIMEOUT_SECONDS = 600;
const TIMED_OUT_CODE = 124;
const BOX_FAILED_CODE = 125;

const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** Variables that mean the same inside and outside. */
const passedVariables = ["HOME", "USER", "LANG", "TERM", "TMPDIR", "XDG_CACHE_HOME", "DENO_NO_UPDATE_CHECK"];

/**
 * Runs shell text in the box.
 *
 * @throws {BoxError} Something that the box needs is missing (the message tells how to get it), it broke down, or the
 * time limit was reached.
 */
export async function runInBox(command: string, options: BoxOptions = {}): Promise<BoxResult> {
  const missing = requirement(...boxRequirements);
  if (missing !== undefined) throw new BoxError(`Cannot start a KVM host in a box: ${missing}`);
  const kernel = findKernel("general")!;
  const started = performance.now();
  const folder = await Deno.makeTempDir({ prefix: "denovisor-box-" });
  try {
    await Deno.mkdir(join(folder, "control"));
    await Deno.writeTextFile(join(folder, "control/job"), await jobScript(command, options));
    const args = machineArguments(kernel.image, await boxInitramfs(kernel), options);
    const { timeout = DEFAULT_TIMEOUT_SECONDS, signal, interactive: terminal = false } = options;
    const run = () => runQemu(args, { folder, timeout, terminal, signal });
    const outputs = terminal ? (await run(), ["", ""]) : await collectOutput(folder, run, options.onOutput);
    const code = await exitCode(folder);
    return { code, stdout: outputs[0], stderr: outputs[1], seconds: (performance.now() - started) / 1000 };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The script that the box runs: environment and working folder as here, then the command. */
async function jobScript(command: string, options: BoxOptions): Promise<string> {
  const variables: Record<string, string> = {
    PATH: `${dirname(Deno.execPath())}:${systemPath}`,
    DENO_DIR: await denoFolder(),
  };
  for (const name of passedVariables) {
    const value = Deno.env.get(name);
    if (value !== undefined) variables[name] = value;
  }
  if (!options.interactive) variables["NO_COLOR"] = "1";
  Object.assign(variables, options.environment);
  const lines = Object.entries(variables).map(([name, value]) => `export ${name}=${quote(value)}`);
  if (options.interactive) {
    const { columns, rows } = Deno.consoleSize();
    lines.push(`stty rows ${rows} columns ${columns}`);
  }
  return [...lines, `cd ${quote(options.workingFolder ?? Deno.cwd())} || exit 125`, command, ""].join("\n");
}

/** Text as one word of a POSIX shell. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Deno's cache, which the box must find warm, since it has no network. */
async function denoFolder(): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"], stderr: "inherit" }).output();
  const { denoDir }: { denoDir: string } = JSON.parse(new TextDecoder().decode(stdout));
  return denoDir;
}

/** QEMU's command line. Relative paths are in the run's own folder. */
function machineArguments(kernel: string, initramfs: string, options: BoxOptions): string[] {
  const kernelOptions = ["console=ttyS0", "panic=-1", "quiet", "mitigations=off"];
  if (options.interactive) kernelOptions.push("box.interactive");
  const args = ["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-monitor", "none"];
  args.push("-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "EPYC-v3,+svm,+npt");
  args.push("-smp", `${options.processors ?? DEFAULT_PROCESSORS}`, "-m", `${options.memory ?? DEFAULT_MEMORY_MIB}`);
  args.push("-kernel", kernel, "-initrd", initramfs, "-append", kernelOptions.join(" "));
  args.push("-serial", "file:console.log");
  args.push("-virtfs", share(shareTags.root, "/") + ",readonly=on", "-virtfs", share(shareTags.control, "control"));
  if (options.results !== undefined) args.push("-virtfs", share(shareTags.results, options.results));
  args.push("-device", "virtio-serial-pci");
  if (options.interactive) {
    args.push("-chardev", "stdio,id=terminal,signal=off", "-device", "virtconsole,chardev=terminal");
  } else {
    for (const [name, number] of Object.entries(portNumbers)) {
      args.push("-chardev", `socket,id=${name},path=${name}.socket,server=off`);
      args.push("-device", `virtserialport,chardev=${name},name=${name},nr=${number}`);
    }
  }
  return args;
}

function share(tag: string, path: string): string {
  return `local,path=${path.replaceAll(",", ",,")},mount_tag=${tag},security_model=none,multidevs=remap`;
}

/** Runs QEMU while its two output ports are read to their ends. */
async function collectOutput(
  folder: string,
  run: () => Promise<void>,
  onOutput: BoxOptions["onOutput"],
): Promise<[stdout: string, stderr: string]> {
  const streams = ["stdout", "stderr"] as const;
  const listeners = streams.map((name) => Deno.listen({ transport: "unix", path: join(folder, `${name}.socket`) }));
  const readers = streams.map((name, i) => readPort(listeners[i], (data) => onOutput?.(name, data)));
  try {
    await run();
  } finally {
    for (const listener of listeners) listener.close();
    await Promise.all(readers);
  }
  const [stdout, stderr] = await Promise.all(readers);
  return [stdout, stderr];
}

/** All that comes through one port; nothing where QEMU ended before it connected. */
async function readPort(
  listener: Deno.Listener,
  onData: (data: Uint8Array<ArrayBuffer>) => void,
): Promise<string> {
  let connection: Deno.Conn;
  try {
    connection = await listener.accept();
  } catch (error) {
    if (error instanceof Deno.errors.BadResource) return "";
    throw error;
  }
  const decoder = new TextDecoder();
  let text = "";
  for await (const data of connection.readable) {
    text += decoder.decode(data, { stream: true });
    onData(data);
  }
  return text + decoder.decode();
}

async function exitCode(folder: string): Promise<number> {
  const path = join(folder, "control/code");
  const text = await Deno.readTextFile(path).catch((error: unknown) => {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  });
  if (!/^\d+\n$/.test(text)) throw new BoxError(`The box ended before its command did${await consoleTail(folder)}`);
  return Number(text);
}

const usage = `Usage: deno run -A tests/lab/box.ts [options] [-- 'shell text']

Runs shell text on a KVM host in a box, or a shell if there is none. Ends with the command's exit code,
${TIMED_OUT_CODE} at the time limit, ${BOX_FAILED_CODE} when the box itself failed.

  --memory MIB      RAM of the box (default ${DEFAULT_MEMORY_MIB})
  --processors N    its processors (default ${DEFAULT_PROCESSORS})
  --timeout S       time limit of the whole run (default ${DEFAULT_TIMEOUT_SECONDS}; an interactive shell has none by itself)
  --results FOLDER  folder that the command sees as /results
`;

const INTERACTIVE_TIMEOUT_SECONDS = 24 * 3600;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    args: Deno.args,
    allowPositionals: true,
    options: {
      memory: { type: "string" },
      processors: { type: "string" },
      timeout: { type: "string" },
      results: { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  });
  const interactive = positionals.length === 0;
  if (values.help) {
    console.log(usage);
    return 0;
  }
  if (interactive && !(Deno.stdin.isTerminal() && Deno.stdout.isTerminal())) {
    console.error(`Cannot give a shell: standard input or output is no terminal; name a command\n\n${usage}`);
    return 2;
  }
  const numbers = [values.memory, values.processors, values.timeout];
  const wrong = numbers.find((text) => text !== undefined && !/^[1-9]\d*$/.test(text));
  if (wrong !== undefined) {
    console.error(`Not a positive whole number: ${wrong}\n\n${usage}`);
    return 2;
  }
  const [memory, processors, timeout] = numbers.map((text) => text === undefined ? undefined : Number(text));
  const result = await runInBox(interactive ? "exec bash -i" : positionals.join(" "), {
    ...(memory === undefined ? {} : { memory }),
    ...(processors === undefined ? {} : { processors }),
    ...(values.results === undefined ? {} : { results: await Deno.realPath(values.results) }),
    timeout: timeout ?? (interactive ? INTERACTIVE_TIMEOUT_SECONDS : DEFAULT_TIMEOUT_SECONDS),
    interactive,
    // Synchronous, so that order and completeness hold whatever ends this process.
    onOutput: (stream, data) => void process[stream].write(data),
  });
  return result.code;
}

if (import.meta.main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    if (!(error instanceof BoxError)) throw error;
    console.error(`box: ${error.message}`);
    process.exitCode = error.timedOut ? TIMED_OUT_CODE : BOX_FAILED_CODE;
  }
}
