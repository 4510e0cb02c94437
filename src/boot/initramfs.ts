/**
 * Initramfs images made on the fly: one that runs a single command and reports its exit code, one that switches to a root disk.
 *
 * Both carry a static busybox, the kernel's own virtio modules, and an `/init` that is a shell script.
 *
 * @module
 */
import { CpioWriter } from "./cpio.ts";
import { BootError } from "./errors.ts";
import { commandInit, rootInit, shellWords } from "./init_script.ts";
import { type KernelModule, readModules } from "./modules.ts";

/** Where Debian's busybox-static puts it. */
export const BUSYBOX_PATH = "/bin/busybox";

/** Without these no virtio device works. */
const TRANSPORT_MODULES = ["virtio_pci"];
/** The command's input and output come by this one. */
const CONSOLE_MODULES = ["virtio_console"];
/** A root disk needs this one. */
const BLOCK_MODULES = ["virtio_blk"];
/** File systems of root disks, and whatever makes a guest more comfortable. */
const OPTIONAL_MODULES = [
  "virtio_blk",
  "virtio_console",
  "virtio-rng",
  "virtio_net",
  "ext4",
  "button",
  "pvpanic-mmio",
];

/** What every initramfs of ours is made from. */
interface InitramfsSources {
  /** The kernel's release, see `kernelRelease`; without one, no modules are carried: all drivers must be built in. */
  readonly release?: string | undefined;
  /** Directory of modules; `/lib/modules` by default. */
  readonly modulesDirectory?: string | undefined;
  /** Path of a static busybox; {@linkcode BUSYBOX_PATH} by default. */
  readonly busybox?: string | undefined;
  /** Further modules that are taken where the kernel has them. */
  readonly modules?: readonly string[] | undefined;
}

/** A command to be run. */
export interface CommandInitramfsRequest extends InitramfsSources {
  /** The command and its arguments, passed exactly as they are. Busybox's commands are there. */
  readonly command: readonly string[];
  /**
   * Whether its input and output are a terminal that a person uses: line editing, echo and signals are then on, and input is not
   * encoded.
   */
  readonly terminal?: boolean | undefined;
  /** Files to be put into the guest, by their absolute path there. */
  readonly files?: ReadonlyMap<string, { readonly data: Uint8Array; readonly permissions?: number }> | undefined;
}

/** A root disk to be switched to. */
export interface RootInitramfsRequest extends InitramfsSources {
  /** The block device that holds the root file system: "/dev/vda". */
  readonly root: string;
  /** Its type; tried in turn by default. */
  readonly fileSystem?: string | undefined;
  /** Whether it is mounted read-only. */
  readonly readOnly?: boolean | undefined;
  /** The program that becomes process 1; "/sbin/init" by default. */
  readonly init?: string | undefined;
}

/**
 * An initramfs whose `/init` runs one command.
 *
 * The command's input and output are `/dev/hvc0`, its errors go to `/dev/hvc1`, and `/dev/hvc2` tells when it may be given input and
 * with which exit code it ended; command_ports.ts says how. Then the guest powers off. So it needs three console ports. If it
 * cannot come that far, it says why on the kernel's console and powers off without a status.
 *
 * @throws {BootError} The command is empty, busybox is missing or not static, or there are no modules for the release.
 */
export async function buildCommandInitramfs(request: CommandInitramfsRequest): Promise<Uint8Array> {
  const { command, terminal = false, files } = request;
  if (command.length === 0) throw new BootError("Cannot make an initramfs that runs a command: the command is empty");
  if (command.some((word) => word.includes("\0"))) {
    throw new BootError("Cannot pass the command to the guest: a word of it has a NUL character. Remove it");
  }
  const modules = await readWantedModules(request, [...TRANSPORT_MODULES, ...CONSOLE_MODULES]);
  const archive = await begin(request, modules);
  archive.file("init", commandInit({ modules: modules.map(({ name }) => name), terminal }), 0o755);
  archive.file("command", `exec ${shellWords(command)}\n`);
  const made = new Set(DIRECTORIES);
  for (const [path, { data, permissions }] of files ?? []) {
    const parts = path.split("/").filter(Boolean);
    for (let depth = 1; depth < parts.length; depth++) {
      const parent = parts.slice(0, depth).join("/");
      if (!made.has(parent)) archive.directory(parent);
      made.add(parent);
    }
    archive.file(parts.join("/"), data, permissions);
  }
  return archive.finish();
}

/**
 * An initramfs whose `/init` mounts a root disk and hands over to its init program.
 *
 * @throws {BootError} Busybox is missing or not static, or there are no modules for the release.
 */
export async function buildRootInitramfs(request: RootInitramfsRequest): Promise<Uint8Array> {
  const modules = await readWantedModules(request, [...TRANSPORT_MODULES, ...BLOCK_MODULES]);
  const archive = await begin(request, modules);
  const { root, fileSystem, readOnly = false, init = "/sbin/init" } = request;
  const names = modules.map(({ name }) => name);
  archive.file("init", rootInit({ modules: names, root, fileSystem, readOnly, init }), 0o755);
  return archive.finish();
}

const DIRECTORIES = [
  "bin",
  "dev",
  "etc",
  "modules",
  "proc",
  "root",
  "run",
  "sbin",
  "sys",
  "tmp",
  "usr",
  "usr/bin",
  "usr/sbin",
];

async function begin(sources: InitramfsSources, modules: readonly KernelModule[]): Promise<CpioWriter> {
  const archive = new CpioWriter();
  for (const directory of DIRECTORIES) archive.directory(directory, directory === "tmp" ? 0o1777 : 0o755);
  // The kernel opens it for process 1 before anything is mounted.
  archive.characterDevice("dev/console", 5, 1);
  archive.file("bin/busybox", await readBusybox(sources.busybox ?? BUSYBOX_PATH), 0o755);
  archive.link("bin/sh", "busybox");
  for (const { name, data } of modules) archive.file(`modules/${name}.ko`, data);
  return archive;
}

async function readWantedModules(sources: InitramfsSources, required: readonly string[]): Promise<KernelModule[]> {
  const { release, modulesDirectory, modules = [] } = sources;
  if (release === undefined) return [];
  return await readModules({
    release,
    required,
    optional: [...OPTIONAL_MODULES, ...modules],
    directory: modulesDirectory,
  });
}

/** PT_INTERP: the program names a dynamic linker, which the guest would not have. */
const SEGMENT_INTERPRETER = 3;

async function readBusybox(path: string): Promise<Uint8Array> {
  let data: Uint8Array;
  try {
    data = await Deno.readFile(path);
  } catch (error) {
    throw new BootError(
      `Cannot read ${path}, which the guest needs for its commands: ${error instanceof Error ? error.message : error}. `
        + "Install a static busybox (on Debian: apt-get install busybox-static)",
      { cause: error },
    );
  }
  if (needsInterpreter(data)) {
    throw new BootError(
      `Cannot use ${path} in the guest: it is linked dynamically. Install a static busybox (on Debian: apt-get install `
        + "busybox-static)",
    );
  }
  return data;
}

/** Whether a 64-bit ELF program has an interpreter segment. */
function needsInterpreter(program: Uint8Array): boolean {
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
  const elf64Header = 64;
  if (program.length < elf64Header) return false;
  const table = Number(view.getBigUint64(32, true));
  const size = view.getUint16(54, true);
  const count = view.getUint16(56, true);
  for (let i = 0; i < count && table + (i + 1) * size <= program.length; i++) {
    if (view.getUint32(table + i * size, true) === SEGMENT_INTERPRETER) return true;
  }
  return false;
}
