/**
 * The Linux kernels that are installed on this machine.
 *
 * @module
 */
import { parseBzImage } from "../../src/boot/bzimage.ts";
import { detectCompression, unpack } from "../../src/boot/decompress/unpack.ts";
import { MODULES_DIRECTORY } from "../../src/boot/modules.ts";

/** An installed kernel. */
export interface InstalledKernel {
  /** As `uname -r` prints it. */
  readonly release: string;
  /** Path of its image. */
  readonly image: string;
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
    const hasModules = namesIn(`${MODULES_DIRECTORY}/${release}`).includes("modules.dep");
    if (hasModules) kernels.push({ release, image: `${bootFolder}/${name}` });
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

/**
 * The vmlinux in an installed kernel's bzImage. Guests in a box start sooner with it, since nothing is unpacked there.
 *
 * @throws {Error} The payload is of an unknown format.
 */
export async function unpackedKernel(kernel: InstalledKernel): Promise<Uint8Array> {
  const image = await Deno.readFile(kernel.image);
  const { payloadOffset = 0, payloadLength } = parseBzImage(image);
  const payload = image.subarray(payloadOffset, payloadOffset + payloadLength);
  const format = detectCompression(payload);
  if (format === undefined) throw new Error(`Cannot unpack ${kernel.image}: its payload is of no known format`);
  return await unpack(payload, format);
}
