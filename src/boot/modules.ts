/**
 * Kernel modules: which ones are needed for others, in which order, and their contents.
 *
 * Source of the index files: modules.dep(5), kmod.
 *
 * @module
 */
import { DecompressError, detectCompression, unpack } from "./decompress/unpack.ts";
import { BootError } from "./errors.ts";

/** A module that is ready to be loaded. */
export interface KernelModule {
  /** Name as the kernel has it, with underscores: "virtio_blk". */
  readonly name: string;
  /** The object file, unpacked. */
  readonly data: Uint8Array;
}

/** What `modules.dep` and `modules.builtin` of a kernel say. */
export interface ModuleIndex {
  /** Path of each module below the release's directory, by name. */
  readonly paths: ReadonlyMap<string, string>;
  /** Names of the modules that each one needs directly or indirectly, by name; those to be loaded last come first. */
  readonly dependencies: ReadonlyMap<string, readonly string[]>;
  /** Names of those that are part of the kernel itself. */
  readonly builtin: ReadonlySet<string>;
}

/** Where distributions keep modules. */
export const MODULES_DIRECTORY = "/lib/modules";

/** The name of a module by its file's path: without directory and suffixes, with underscores. */
export function moduleName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1).replace(/\.ko(\.\w+)?$/, "").replaceAll("-", "_");
}

/** Reads the two index files. */
export function parseModuleIndex(dependencyFile: string, builtinFile: string): ModuleIndex {
  const paths = new Map<string, string>();
  const dependencies = new Map<string, readonly string[]>();
  for (const line of dependencyFile.split("\n")) {
    const colon = line.indexOf(":");
    if (colon < 0) continue;
    const path = line.slice(0, colon);
    const name = moduleName(path);
    paths.set(name, path);
    dependencies.set(name, line.slice(colon + 1).split(" ").filter(Boolean).map(moduleName));
  }
  return { paths, dependencies, builtin: new Set(builtinFile.split("\n").filter(Boolean).map(moduleName)) };
}

/**
 * The modules to be loaded so that the wanted ones work, each behind those that it needs.
 *
 * @param wanted Names; those that are part of the kernel are passed over.
 * @returns The order, and the wanted modules that this kernel does not have.
 */
export function orderModules(
  index: ModuleIndex,
  wanted: readonly string[],
): { readonly order: readonly string[]; readonly missing: readonly string[] } {
  const order = new Set<string>();
  const missing: string[] = [];
  for (const name of wanted.map(moduleName)) {
    if (index.paths.has(name)) {
      for (const needed of index.dependencies.get(name)?.toReversed() ?? []) order.add(needed);
      order.add(name);
    } else if (!index.builtin.has(name)) {
      missing.push(name);
    }
  }
  return { order: [...order], missing };
}

/** Which modules to read, and from where. */
export interface ModuleRequest {
  /** The kernel's release: "6.1.0-56-cloud-amd64". */
  readonly release: string;
  /** Modules without which the purpose cannot be met. */
  readonly required: readonly string[];
  /** Modules that are taken where the kernel has them. */
  readonly optional?: readonly string[];
  /** Directory that holds one directory per release; {@linkcode MODULES_DIRECTORY} by default. */
  readonly directory?: string | undefined;
}

/**
 * Reads modules and what they need, in the order in which they are to be loaded.
 *
 * @throws {BootError} There are no modules for that release, or a required one is not among them.
 */
export async function readModules(request: ModuleRequest): Promise<KernelModule[]> {
  const { release, required, optional = [], directory = MODULES_DIRECTORY } = request;
  const home = `${directory}/${release}`;
  const index = await readModuleIndex(home, release, directory);
  const { order, missing } = orderModules(index, [...required, ...optional]);
  const lacking = missing.filter((name) => required.map(moduleName).includes(name));
  if (lacking.length > 0) {
    throw new BootError(
      `Cannot find the kernel modules ${
        lacking.join(", ")
      } of release ${release}: neither in ${home}/modules.dep nor built in. `
        + "Install the kernel's complete package, or choose a kernel with virtio drivers",
    );
  }
  return await Promise.all(order.map(async (name) => {
    const path = `${home}/${index.paths.get(name)}`;
    return { name, data: await readModule(path) };
  }));
}

async function readModuleIndex(home: string, release: string, directory: string): Promise<ModuleIndex> {
  try {
    const dependencyFile = await Deno.readTextFile(`${home}/modules.dep`);
    // Kernels without anything built in have no such file.
    const builtinFile = await Deno.readTextFile(`${home}/modules.builtin`).catch(() => "");
    return parseModuleIndex(dependencyFile, builtinFile);
  } catch (error) {
    throw new BootError(
      `Cannot read ${home}/modules.dep for the kernel of release ${release}: ${
        error instanceof Error ? error.message : error
      }. Install that kernel's modules (on Debian: apt-get install linux-image-${release}; `
        + `then ${home} exists), run depmod ${release}, or choose a kernel that has its modules in ${directory}`,
      { cause: error },
    );
  }
}

async function readModule(path: string): Promise<Uint8Array> {
  try {
    const data = await Deno.readFile(path);
    const format = detectCompression(data);
    return format === undefined ? data : await unpack(data, format);
  } catch (error) {
    const damaged = error instanceof DecompressError;
    throw new BootError(
      `Cannot read the kernel module ${path}: ${error instanceof Error ? error.message : error}. `
        + (damaged ? "Install the kernel's package again" : "Run depmod, or install the kernel's package again"),
      { cause: error },
    );
  }
}
