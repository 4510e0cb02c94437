/**
 * `deno task linux`: Debian's cloud kernel with a shell on an ext4 disk that our block device serves. Directly where KVM runs
 * Linux, else on a KVM host in a box; it says which, and why.
 *
 * ```sh
 * deno task linux                          # a shell; Ctrl-a x ends the machine
 * deno task linux 'uname -a; df -h /'      # runs it, prints its output, ends with its exit code; so does -- '…'
 * ```
 *
 * @module
 */
import { join } from "node:path";
import { buildRootInitramfs } from "../src/boot/initramfs.ts";
import { quote, runInBox } from "../tests/lab/box.ts";
import { rootImage } from "../tests/lab/guest_image.ts";
import { chooseLinuxHost } from "../tests/lab/linux_host.ts";
import { findKernel } from "../tests/support/kernels.ts";
import {
  boxRequirements,
  hardwareKvmProblem,
  installPackages,
  missingPackagesOf,
  type Requirement,
} from "../tests/support/requirements.ts";

const FAILED = 125;
const IMAGE_SIZE = "64M";
const GUEST_REQUIREMENTS: readonly Requirement[] = ["guest kernel", "busybox", "mke2fs"];
/** What the guest's root file system prints when a command has ended. */
const END_LINE = /^LAB-EXIT (\d+)\r?\n?/m;

async function main(words: readonly string[]): Promise<number> {
  const needed = hardwareKvmProblem() === undefined
    ? GUEST_REQUIREMENTS
    : [...GUEST_REQUIREMENTS, ...boxRequirements];
  const packages = missingPackagesOf(needed);
  if (packages.length > 0) {
    console.error(`linux: installing ${packages.join(", ")}`);
    await installPackages(packages);
  }
  const host = chooseLinuxHost();
  if (host.kind === "none") throw new Error(host.reason);
  console.error(
    `linux: ${host.kind === "direct" ? "directly on this machine" : "on a KVM host in a box"}: ${host.reason}`,
  );
  const folder = await Deno.makeTempDir({ prefix: "denovisor-linux-" });
  try {
    const command = words.length === 0 ? undefined : words.join(" ");
    const line = await prepare(folder, command);
    return command === undefined ? await shell(line, host.kind) : await batch(line, host.kind);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Makes the images; returns the command line that boots them. */
async function prepare(folder: string, command: string | undefined): Promise<string[]> {
  const kernel = findKernel("cloud");
  if (kernel === undefined) {
    throw new Error("there is no Debian cloud kernel in /boot: apt-get install linux-image-cloud-amd64");
  }
  const image = join(folder, "root.img");
  const initramfs = join(folder, "initramfs");
  await rootImage(image, command === undefined ? {} : { command }, [], IMAGE_SIZE);
  await Deno.writeFile(initramfs, await buildRootInitramfs({ release: kernel.release, root: "/dev/vda" }));
  const job = command === undefined ? "" : " lab.job=command";
  const program = new URL("../src/cli/main.ts", import.meta.url).pathname;
  return [
    ...[Deno.execPath(), "run", "-A", program, "run", "--kernel", kernel.image, "--initramfs", initramfs],
    ...["--cmdline", `console=ttyS0 quiet panic=-1${job}`, "--memory", "size=512M", "--rng"],
    ...["--disk", `path=${image}`, "--console", "tty", "--serial", "null"],
  ];
}

async function shell(line: readonly string[], kind: "direct" | "box"): Promise<number> {
  if (kind === "box") return (await runInBox(line.map(quote).join(" "), { interactive: true })).code;
  const child = new Deno.Command(line[0], { args: line.slice(1) }).spawn();
  return (await child.status).code;
}

/** Prints what the command prints, but not the line that tells its exit code. */
async function batch(line: readonly string[], kind: "direct" | "box"): Promise<number> {
  const { code, stdout, stderr } = kind === "box" ? await runInBox(line.map(quote).join(" ")) : await collect(line);
  const end = END_LINE.exec(stdout);
  await Deno.stdout.write(new TextEncoder().encode(end === null ? stdout : stdout.slice(0, end.index)));
  if (end !== null && code === 0) return Number(end[1]);
  console.error(stderr.trimEnd());
  return code === 0 ? FAILED : code;
}

async function collect(line: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command(line[0], { args: line.slice(1), stdin: "null" }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

try {
  Deno.exit(await main(Deno.args[0] === "--" ? Deno.args.slice(1) : Deno.args));
} catch (error) {
  console.error(`linux: ${error instanceof Error ? error.message : error}`);
  Deno.exit(FAILED);
}
