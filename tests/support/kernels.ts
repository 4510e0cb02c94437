/**
 * The Linux kernels that are installed on this machine, and their modules.
 *
 * @module
 */

/** An installed kernel. */
export interface InstalledKernel {
  /** As `uname -r` prints it. */
  readonly release: string;
  /** Path of its image. */
  readonly image: string;
  /** Folder of its modules. */
  readonly modules: string;
}

/** "general" kernels drive real hardware (and have KVM); "cloud" ones only what virtual machines have. */
export type KernelFlavour = "general" | "cloud";

const imagePrefix = "vmlinuz-";
const flavours: Record<KernelFlavour, RegExp> = {
  general: /^vmlinuz-\d[^-]*(-[^-]+)?-amd64$/,
  cloud: /^vmlinuz-\d[^-]*(-[^-]+)?-cloud-amd64$/,
};

/** The newest installed Debian kernel of a flavour whose image can be read and whose modules are there. */
export function findKernel(flavour: KernelFlavour, bootFolder = "/boot"): InstalledKernel | undefined {
  const kernels: InstalledKernel[] = [];
  for (const name of namesIn(bootFolder)) {
    if (!flavours[flavour].test(name)) continue;
    const release = name.slice(imagePrefix.length);
    const modules = `/lib/modules/${release}`;
    if (namesIn(modules).includes("modules.dep")) kernels.push({ release, image: `${bootFolder}/${name}`, modules });
  }
  kernels.sort((a, b) => a.release.localeCompare(b.release, "en", { numeric: true }));
  return kernels.at(-1);
}

function namesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map((entry) => entry.name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Modules under one of these endings are compressed; the program prints the plain one. */
const decompressors: readonly (readonly [ending: string, command: readonly string[]])[] = [
  [".xz", ["xz", "-dc"]],
  [".zst", ["zstd", "-qdc"]],
  [".gz", ["gzip", "-dc"]],
];

/**
 * The files of modules and of all that they depend on, in the order in which they must be loaded. What is built into
 * the kernel needs no file.
 *
 * @param names Module names; `_` and `-` are the same.
 * @throws {Error} The kernel has no such module.
 */
export async function modulesInLoadOrder(kernel: InstalledKernel, names: readonly string[]): Promise<string[]> {
  const dependencies = new Map<string, string[]>();
  for (const line of (await Deno.readTextFile(`${kernel.modules}/modules.dep`)).split("\n")) {
    const [path, after] = line.split(":");
    if (after !== undefined) dependencies.set(moduleName(path), [path, ...after.split(" ").filter(Boolean)]);
  }
  const builtIn = (await Deno.readTextFile(`${kernel.modules}/modules.builtin`)).split("\n").map(moduleName);
  const ordered = new Set<string>();
  for (const name of names) {
    const normalized = moduleName(name);
    const files = dependencies.get(normalized);
    if (files !== undefined) { for (const path of files.toReversed()) ordered.add(path); }
    else if (!builtIn.includes(normalized)) {
      throw new Error(`Kernel ${kernel.release} has no module ${name}: modules.dep of ${kernel.modules} lists none`);
    }
  }
  return [...ordered].map((path) => `${kernel.modules}/${path}`);
}

/** The name under which a module file is loaded. */
export function moduleName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1).replace(/\.ko(\.\w+)?$/, "").replaceAll("-", "_");
}

/** The content of a module file, decompressed. */
export async function readModule(path: string): Promise<Uint8Array> {
  const command = decompressors.find(([ending]) => path.endsWith(ending))?.[1];
  if (command === undefined) return await Deno.readFile(path);
  const [program, ...args] = command;
  const { code, stdout, stderr } = await new Deno.Command(program, { args: [...args, path], stderr: "piped" }).output();
  if (code !== 0) {
    throw new Error(`Cannot decompress ${path}: ${program} failed: ${new TextDecoder().decode(stderr).trim()}`);
  }
  return stdout;
}
