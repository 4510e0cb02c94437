/**
 * The x86 kernel image as Linux builds it (bzImage): its setup header, its payload.
 *
 * Source: Linux, Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header".
 *
 * @module
 */
import { BootError, hex } from "./errors.ts";

/** Where the setup header begins, in the image and in boot_params. */
export const SETUP_HEADER_OFFSET = 0x1f1;
/** Offsets of the setup header's fields that are read or written, from the start of the image and of boot_params alike. */
export const SETUP = {
  setupSectors: 0x1f1,
  systemSize: 0x1f4,
  bootFlag: 0x1fe,
  jumpLength: 0x201,
  magic: 0x202,
  version: 0x206,
  kernelVersion: 0x20e,
  typeOfLoader: 0x210,
  loadFlags: 0x211,
  code32Start: 0x214,
  ramdiskImage: 0x218,
  ramdiskSize: 0x21c,
  commandLine: 0x228,
  initrdAddressMax: 0x22c,
  kernelAlignment: 0x230,
  relocatable: 0x234,
  extendedLoadFlags: 0x236,
  commandLineSize: 0x238,
  payloadOffset: 0x248,
  payloadLength: 0x24c,
  setupData: 0x250,
  preferredAddress: 0x258,
  initSize: 0x260,
} as const;

/** "HdrS" as a little-endian number. */
export const SETUP_MAGIC = 0x53726448;
/** boot_flag. */
export const BOOT_FLAG = 0xaa55;
/** loadflags: the protected-mode part is loaded at 1 MiB or above. */
export const LOADED_HIGH = 1;
/** xloadflags: there is a 64-bit entry point, 0x200 behind the 32-bit one. */
export const XLF_KERNEL_64 = 1;

/** First version of the protocol whose header tells the payload's place (2.08, Linux 2.6.26). */
const VERSION_PAYLOAD = 0x208;
/** First version whose header tells how much room the kernel needs (2.10, Linux 2.6.31). */
const VERSION_INIT_SIZE = 0x20a;
/** First version that has xloadflags (2.12, Linux 3.8). */
const VERSION_EXTENDED_FLAGS = 0x20c;
/** Oldest version accepted: it has a version string, a relocatable kernel and a command line of any length (2.06, Linux 2.6.22). */
const VERSION_OLDEST = 0x206;
const SECTOR = 512;
const PARAGRAPH = 16;
/** Setup sectors where the header says 0. */
const DEFAULT_SETUP_SECTORS = 4;
/** Bytes of the image that hold all fields of the header that are read. */
const HEADER_END = 0x268;
/** Where a version string may end. */
const VERSION_STRING_LIMIT = 256;

/** What the setup header of an image says. */
export interface BzImage {
  /** Boot protocol version, 0x020f for 2.15. */
  readonly protocolVersion: number;
  /** Where the protected-mode kernel begins in the file. */
  readonly kernelOffset: number;
  /** The protected-mode kernel's length. */
  readonly kernelLength: number;
  /** Where the compressed payload begins in the file, where the header tells it. */
  readonly payloadOffset: number | undefined;
  /** Its length, the size word behind it included; 0 where the header does not tell. */
  readonly payloadLength: number;
  /** "6.1.0-56-cloud-amd64 (debian-kernel@…) #1 SMP …"; empty where the image has none. */
  readonly version: string;
  /** Highest address that an initramfs may take. */
  readonly initrdAddressMax: number;
  /** Longest command line, its NUL not included. */
  readonly commandLineSize: number;
  /** Alignment of the load address. */
  readonly kernelAlignment: number;
  /** Whether it may be loaded elsewhere than at {@linkcode preferredAddress}. */
  readonly relocatable: boolean;
  /** Whether it has the 64-bit entry point. */
  readonly has64BitEntry: boolean;
  /** Where it wants to be. */
  readonly preferredAddress: number;
  /** Bytes that it needs from its load address on until it knows its memory. */
  readonly initSize: number;
}

/** Whether bytes carry a Linux setup header. */
export function isBzImage(image: Uint8Array): boolean {
  if (image.length < SETUP.version + 2) return false;
  const view = viewOf(image);
  return view.getUint16(SETUP.bootFlag, true) === BOOT_FLAG && view.getUint32(SETUP.magic, true) === SETUP_MAGIC;
}

/**
 * Reads and checks the setup header.
 *
 * @throws {BootError} It is no bzImage, too old, or cut short.
 */
export function parseBzImage(image: Uint8Array): BzImage {
  if (!isBzImage(image)) {
    throw new BootError('Cannot read the kernel as bzImage: it has no setup header ("HdrS" at 0x202)');
  }
  if (image.length < HEADER_END) throw truncated("setup header", HEADER_END, image.length);
  const view = viewOf(image);
  const protocolVersion = view.getUint16(SETUP.version, true);
  if (protocolVersion < VERSION_OLDEST) {
    throw new BootError(
      `Cannot boot the bzImage: boot protocol ${protocolVersion >>> 8}.${
        protocolVersion & 0xff
      }; expected 2.06 or newer `
        + "(Linux 2.6.22)",
    );
  }
  if ((image[SETUP.loadFlags] & LOADED_HIGH) === 0) {
    throw new BootError("Cannot boot the kernel: it is a zImage, which loads below 1 MiB; build a bzImage");
  }
  const kernelOffset = ((image[SETUP.setupSectors] || DEFAULT_SETUP_SECTORS) + 1) * SECTOR;
  const kernelLength = view.getUint32(SETUP.systemSize, true) * PARAGRAPH;
  if (kernelOffset + kernelLength > image.length) {
    throw truncated("kernel", kernelOffset + kernelLength, image.length);
  }
  const tellsPayload = protocolVersion >= VERSION_PAYLOAD;
  const payloadOffset = tellsPayload ? kernelOffset + view.getUint32(SETUP.payloadOffset, true) : undefined;
  const payloadLength = tellsPayload ? view.getUint32(SETUP.payloadLength, true) : 0;
  if (payloadOffset !== undefined && payloadOffset + payloadLength > kernelOffset + kernelLength) {
    throw new BootError(
      `Cannot boot the bzImage: its payload (${
        hex(payloadOffset)
      }, ${payloadLength} bytes) reaches beyond its kernel, which `
        + `ends at ${hex(kernelOffset + kernelLength)}. The file is damaged`,
    );
  }
  const tellsRoom = protocolVersion >= VERSION_INIT_SIZE;
  const flags = protocolVersion >= VERSION_EXTENDED_FLAGS ? view.getUint16(SETUP.extendedLoadFlags, true) : 0;
  const preferredAddress = tellsRoom ? view.getBigUint64(SETUP.preferredAddress, true) : 0x100000n;
  if (preferredAddress > 0xffff_ffffn) {
    throw new BootError(
      `Cannot boot the bzImage: it wants to be loaded at 0x${
        preferredAddress.toString(16)
      }; expected an address below 4 GiB`,
    );
  }
  return {
    protocolVersion,
    kernelOffset,
    kernelLength,
    payloadOffset,
    payloadLength,
    version: versionString(image, view.getUint16(SETUP.kernelVersion, true), kernelOffset),
    initrdAddressMax: view.getUint32(SETUP.initrdAddressMax, true),
    commandLineSize: view.getUint32(SETUP.commandLineSize, true),
    kernelAlignment: view.getUint32(SETUP.kernelAlignment, true),
    relocatable: image[SETUP.relocatable] !== 0,
    has64BitEntry: (flags & XLF_KERNEL_64) !== 0,
    preferredAddress: Number(preferredAddress),
    initSize: tellsRoom ? view.getUint32(SETUP.initSize, true) : kernelLength,
  };
}

/** The release ("6.1.0-56-cloud-amd64") that begins a version string; undefined for an empty one. */
export function releaseOf(version: string): string | undefined {
  return version.split(" ", 1)[0] || undefined;
}

/** The NUL-terminated version string; the header's pointer is relative to the end of the boot sector. */
function versionString(image: Uint8Array, pointer: number, setupEnd: number): string {
  if (pointer === 0) return "";
  const start = pointer + SECTOR;
  const limit = Math.min(start + VERSION_STRING_LIMIT, setupEnd);
  let end = start;
  while (end < limit && image[end] !== 0) end++;
  return new TextDecoder("latin1").decode(image.subarray(start, end));
}

function truncated(what: string, needed: number, length: number): BootError {
  return new BootError(
    `Cannot boot the bzImage: the file is cut short: its ${what} ends at byte ${needed}, the file at ${length}. Copy it again`,
  );
}

function viewOf(image: Uint8Array): DataView {
  return new DataView(image.buffer, image.byteOffset, image.byteLength);
}
