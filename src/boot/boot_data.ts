/**
 * What both boot protocols need in guest memory: the command line and the initramfs.
 *
 * @module
 */
import { type GuestMemory, NOT_RAM } from "../memory/guest_memory.ts";
import { BootError, hex } from "./errors.ts";
import { type AddressRange, COMMAND_LINE_ADDRESS, COMMAND_LINE_ROOM, endOfLowMemory, PAGE_SIZE } from "./layout.ts";

/** COMMAND_LINE_SIZE of Linux on x86, less the NUL: what a kernel takes that does not tell. */
export const DEFAULT_COMMAND_LINE_SIZE = 2047;

/**
 * Writes the command line, NUL-terminated, at {@linkcode COMMAND_LINE_ADDRESS}.
 *
 * @param limit Longest line that the kernel takes, in bytes, NUL not included.
 * @returns Its length in bytes, NUL not included.
 * @throws {BootError} It is too long or contains a NUL.
 */
export function writeCommandLine(memory: GuestMemory, commandLine: string, limit: number): number {
  const bytes = new TextEncoder().encode(`${commandLine}\0`);
  const length = bytes.length - 1;
  const most = Math.min(limit, COMMAND_LINE_ROOM - 1);
  if (length > most) {
    throw new BootError(`Cannot pass a command line of ${length} bytes: the kernel takes ${most}. Shorten it`);
  }
  if (bytes.indexOf(0) !== length) {
    throw new BootError(`Cannot pass the command line: it has a NUL character at byte ${bytes.indexOf(0)}. Remove it`);
  }
  memory.write(COMMAND_LINE_ADDRESS, bytes);
  return length;
}

/**
 * Copies the initramfs to the highest page below 4 GiB, and below `maximum`, where it fits behind the kernel.
 *
 * @param kernelEnd First address behind the kernel and the room that it needs.
 * @param maximum Highest address that any byte of it may have.
 * @throws {BootError} It is empty or there is no room for it.
 */
export function placeInitramfs(
  memory: GuestMemory,
  initramfs: Uint8Array,
  kernelEnd: number,
  maximum: number,
): AddressRange {
  const length = initramfs.length;
  if (length === 0) throw new BootError("Cannot load the initramfs: it is empty. Leave it out or give another");
  const limit = Math.min(endOfLowMemory(memory), maximum + 1);
  const address = Math.floor((limit - length) / PAGE_SIZE) * PAGE_SIZE;
  const target = address < kernelEnd ? NOT_RAM : memory.offsetOf(address, length);
  if (target === NOT_RAM) {
    throw new BootError(
      `Cannot load the initramfs of ${length} bytes: between the kernel's end at ${hex(kernelEnd)} and ${
        hex(limit)
      } there are `
        + `only ${Math.max(0, limit - kernelEnd)}. Give the machine at least `
        + `${Math.ceil((kernelEnd + length) / 2 ** 20) + 32} MiB of memory, or make the initramfs smaller`,
    );
  }
  memory.bytes.set(initramfs, target);
  return { address, length };
}
