/**
 * A kernel's release, which names the directory of its modules.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { isBzImage, parseBzImage, releaseOf } from "./bzimage.ts";
import { isElf } from "./elf.ts";

/** How the banner of a Linux kernel begins; the release follows. */
const BANNER = "Linux version ";
/** Longest release that is accepted (__NEW_UTS_LEN). */
const LONGEST_RELEASE = 64;

/**
 * The release of a kernel, "6.1.0-56-cloud-amd64", from a bzImage's header or a vmlinux's banner.
 *
 * @param kernel The whole file.
 * @returns undefined where it has none, or is no kernel.
 */
export function kernelRelease(kernel: Uint8Array): string | undefined {
  if (isBzImage(kernel)) return releaseOf(parseBzImage(kernel).version);
  if (!isElf(kernel)) return undefined;
  const bytes = Buffer.from(kernel.buffer, kernel.byteOffset, kernel.byteLength);
  for (let at = bytes.indexOf(BANNER); at >= 0; at = bytes.indexOf(BANNER, at + 1)) {
    const start = at + BANNER.length;
    const release = /^[\w.+~-]+(?= )/.exec(bytes.toString("latin1", start, start + LONGEST_RELEASE + 1))?.[0];
    // The format string "%s" precedes the banner in some kernels; a release begins with a digit.
    if (release !== undefined && /^\d/.test(release)) return release;
  }
  return undefined;
}
