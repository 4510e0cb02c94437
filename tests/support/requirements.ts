/**
 * What tests need of the machine beyond Deno: detection, the remedy where something is missing, and installation.
 *
 * A test names its needs, and is ignored with reason and remedy in its title where one is not met:
 *
 * ```ts ignore
 * Deno.test({ ...needs("ID-1: a Linux guest sees the device", "linux host", "lspci"), fn: () => {} });
 * ```
 *
 * @module
 */
import { findKernel } from "./kernels.ts";

/** One thing that tests may need. */
interface RequirementRule {
  /** What it is for, as the end of "needs X …". */
  readonly purpose: string;
  /** Undefined where it is met; else what is wrong. */
  readonly problem: () => string | undefined;
  /** Debian package that brings it, if one does. */
  readonly debianPackage?: string;
  /** What to do, where installing a package is not it. */
  readonly remedy?: string;
}

const programFolders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** The path of a program, looked for in PATH and in the system folders that PATH of an ordinary user lacks. */
export function findProgram(name: string): string | undefined {
  const folders = new Set([...(Deno.env.get("PATH") ?? "").split(":").filter(Boolean), ...programFolders]);
  for (const folder of folders) {
    const path = `${folder}/${name}`;
    if (exists(path)) return path;
  }
  return undefined;
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) return false;
    throw error;
  }
}

function program(name: string, debianPackage: string, purpose: string): RequirementRule {
  return { purpose, debianPackage, problem: () => findProgram(name) ? undefined : `${name} is not installed` };
}

function file(path: string, debianPackage: string, purpose: string): RequirementRule {
  return { purpose, debianPackage, problem: () => exists(path) ? undefined : `${path} does not exist` };
}

/** Whether `/dev/kvm` can be opened for reading and writing: undefined, or the cause. */
function kvmProblem(): string | undefined {
  try {
    Deno.openSync("/dev/kvm", { read: true, write: true }).close();
    return undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "/dev/kvm does not exist";
    return `/dev/kvm cannot be opened: ${error instanceof Error ? error.message : error}`;
  }
}

/** The modules of KVM that run guests on the processor's own virtualization, and so fast enough for Linux. */
const hardwareModules = ["kvm_intel", "kvm_amd"];

/** Why a Linux guest cannot run on this machine's own KVM; undefined where it can. */
export function hardwareKvmProblem(): string | undefined {
  const problem = kvmProblem();
  if (problem !== undefined) return problem;
  if (hardwareModules.some((name) => exists(`/sys/module/${name}`))) return undefined;
  if (exists("/sys/module/kvm_pvm")) {
    return "KVM here is kvm_pvm, which emulates ordinary guests in software: no stock Linux kernel boots on it";
  }
  return "neither kvm_intel nor kvm_amd is loaded";
}

const kvmRemedy = "load kvm_intel or kvm_amd (virtualization enabled in the firmware, or nested virtualization in the "
  + "hypervisor above), and join the group kvm: usermod -aG kvm $USER, then log in again";

const rules = {
  "qemu": program("qemu-system-x86_64", "qemu-system-x86", "for the KVM host in a box"),
  "busybox": program("busybox", "busybox-static", "as the programs of an initramfs"),
  "box kernel": {
    purpose: "as the kernel of the KVM host in a box",
    debianPackage: "linux-image-amd64",
    problem: () => findKernel("general") ? undefined : "there is no general Debian kernel in /boot with its modules",
  },
  "guest kernel": {
    purpose: "as the guest's kernel",
    debianPackage: "linux-image-cloud-amd64",
    problem: () => findKernel("cloud") ? undefined : "there is no Debian cloud kernel in /boot with its modules",
  },
  "fio": program("fio", "fio", "to verify disk contents"),
  "lspci": program("lspci", "pciutils", "as a judge of configuration spaces"),
  "iasl": program("iasl", "acpica-tools", "as a judge of ACPI tables"),
  "mke2fs": program("mke2fs", "e2fsprogs", "to make disk images"),
  "gcc": program("gcc", "gcc", "to compare with C"),
  "C library headers": file("/usr/include/stdio.h", "libc6-dev", "to compare with C"),
  "kernel headers": file("/usr/include/linux/kvm.h", "linux-libc-dev", "to compare layouts with the kernel's"),
  "cpio": program("cpio", "cpio", "as a judge of initramfs archives"),
  "gzip": program("gzip", "gzip", "to compress kernels"),
  "xz": program("xz", "xz-utils", "to compress kernels"),
  "zstd": program("zstd", "zstd", "to compress kernels"),
  "lz4": program("lz4", "lz4", "to compress kernels"),
  "lzop": program("lzop", "lzop", "to compress kernels"),
  "bzip2": program("bzip2", "bzip2", "to compress kernels"),
  "kvm": { purpose: "to run guests", problem: kvmProblem, remedy: kvmRemedy },
  "hardware kvm": { purpose: "to run Linux guests directly", problem: hardwareKvmProblem, remedy: kvmRemedy },
  "root": {
    purpose: "for what only root may do",
    problem: () => Deno.uid() === 0 ? undefined : `this is user ${Deno.uid()}`,
    remedy: "run the tests as root",
  },
} satisfies Record<string, RequirementRule>;

/** What a test can name as its need. "linux host" is hardware KVM or, where that is missing, all that the box takes. */
export type Requirement = keyof typeof rules | "linux host";

/** What the KVM host in a box takes. */
export const boxRequirements: readonly Requirement[] = ["qemu", "busybox", "box kernel"];

/**
 * Whether all needs are met.
 *
 * @returns Undefined, or one line that tells what is missing, what for, and how to get it.
 */
export function requirement(...names: readonly Requirement[]): string | undefined {
  const complaints: string[] = [];
  const packages = new Set<string>();
  for (const name of expand(names)) {
    const rule: RequirementRule = rules[name];
    const problem = rule.problem();
    if (problem === undefined) continue;
    if (rule.debianPackage !== undefined) packages.add(rule.debianPackage);
    complaints.push(`${problem} (${rule.purpose})${rule.remedy === undefined ? "" : `; remedy: ${rule.remedy}`}`);
  }
  if (complaints.length === 0) return undefined;
  const install = packages.size === 0 ? "" : `; remedy: apt-get install ${[...packages].join(" ")}`;
  return complaints.join(", ") + install;
}

function expand(names: readonly Requirement[]): Set<keyof typeof rules> {
  const expanded = new Set<keyof typeof rules>();
  for (const name of names) {
    if (name !== "linux host") expanded.add(name);
    else if (hardwareKvmProblem() !== undefined) { for (const need of expand(boxRequirements)) expanded.add(need); }
  }
  return expanded;
}

/** Title and `ignore` of a test with needs; where one is not met, the title tells why and what to do. */
export function needs(name: string, ...requirements: readonly Requirement[]): { name: string; ignore: boolean } {
  const reason = requirement(...requirements);
  return reason === undefined ? { name, ignore: false } : { name: `${name} [skipped: ${reason}]`, ignore: true };
}

/** The Debian packages whose contents some requirement misses. */
export function missingPackages(): string[] {
  return missingPackagesOf(Object.keys(rules) as (keyof typeof rules)[]);
}

/** The Debian packages that these requirements miss. */
export function missingPackagesOf(names: readonly Requirement[]): string[] {
  const packages = new Set<string>();
  for (const name of expand(names)) {
    const rule: RequirementRule = rules[name];
    if (rule.debianPackage !== undefined && rule.problem() !== undefined) packages.add(rule.debianPackage);
  }
  return [...packages];
}

/**
 * Installs Debian packages, with a fresh package index only if the present one does not suffice.
 *
 * @throws {Error} Not root, not Debian, or apt-get failed; the message holds what it printed.
 */
export async function installPackages(packages: readonly string[]): Promise<void> {
  const manual = `apt-get update && apt-get install ${packages.join(" ")}`;
  if (findProgram("apt-get") === undefined) {
    throw new Error(`Cannot install ${packages.join(", ")}: there is no apt-get; install what provides them`);
  }
  if (Deno.uid() !== 0) throw new Error(`Cannot install ${packages.join(", ")}: not root; run as root: ${manual}`);
  const install = ["install", "-y", "--no-install-recommends", ...packages];
  if ((await aptGet(install)).code === 0) return;
  const update = await aptGet(["update"]);
  const { code, log } = await aptGet(install);
  if (code !== 0) {
    throw new Error(`Cannot install ${packages.join(", ")}: apt-get ended with code ${code}\n${update.log}${log}`);
  }
}

async function aptGet(args: string[]): Promise<{ code: number; log: string }> {
  const { code, stdout, stderr } = await new Deno.Command("apt-get", {
    args: ["-o", "DPkg::Lock::Timeout=300", ...args],
    env: { DEBIAN_FRONTEND: "noninteractive" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const decoder = new TextDecoder();
  return { code, log: decoder.decode(stdout) + decoder.decode(stderr) };
}
