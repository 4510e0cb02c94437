/**
 * Puts a kernel, its initramfs and its command line into guest memory, by the best way that the kernel offers.
 *
 * ```text
 *  vmlinux (ELF) ────────────────────────────────┬─ PVH entry note ──▶ PVH
 *  bzImage ─ payload unpacked here ─▶ vmlinux ───┘  no note, 64-bit ─▶ 64-bit Linux protocol at its entry point
 *     └───── payload of an unknown format ─────────────────────────▶ 64-bit Linux protocol, the guest unpacks itself
 * ```
 *
 * @module
 */
import { type GuestMemory, NOT_RAM } from "../memory/guest_memory.ts";
import { DEFAULT_COMMAND_LINE_SIZE, placeInitramfs, writeCommandLine } from "./boot_data.ts";
import { type BzImage, isBzImage, parseBzImage } from "./bzimage.ts";
import type { CpuState } from "./cpu_state.ts";
import {
  type CompressionFormat,
  DecompressError,
  detectCompression,
  unpack,
  UNPACKED_LIMIT,
} from "./decompress/unpack.ts";
import { type ElfImage, isElf, type LoadedRange, loadElfSegments, parseElf } from "./elf.ts";
import { BootError, hex } from "./errors.ts";
import { type AddressRange, buildMemoryMap, endOfLowMemory, HIGH_MEMORY_ADDRESS } from "./layout.ts";
import { setUpLinux64 } from "./linux64.ts";
import { setUpPvh } from "./pvh.ts";
import { describeForeignFile } from "./recognise.ts";

/** How a kernel is entered. */
export type BootProtocol = "pvh" | "linux64";

/** What to boot. */
export interface BootRequest {
  /** The kernel's file: a vmlinux or a bzImage. */
  readonly kernel: Uint8Array;
  /** The initramfs's file, as it is. */
  readonly initramfs?: Uint8Array | undefined;
  /** The kernel's command line. */
  readonly commandLine: string;
  /** Guest-physical address of the ACPI root pointer; none by default. */
  readonly rsdpAddress?: number | undefined;
  /** Ranges outside of RAM that the memory map shall show as reserved: the ECAM window. */
  readonly reserved?: readonly AddressRange[] | undefined;
  /** Whether a bzImage is unpacked here (the default) or left to unpack itself in the guest. */
  readonly unpack?: boolean | undefined;
}

/** A kernel that is ready to be entered. */
export interface LoadedKernel {
  /** The protocol that was chosen. */
  readonly protocol: BootProtocol;
  /** Why, and from what, for people: "bzImage 6.1.0-56-cloud-amd64, lz4 payload unpacked, PVH entry". */
  readonly note: string;
  /** State of the first vCPU. */
  readonly state: CpuState;
  /** Addresses that the kernel takes at first. */
  readonly range: LoadedRange;
  /** Where the initramfs lies. */
  readonly initramfs: AddressRange | undefined;
}

/** How far the first part, the kernel itself, has come. */
interface Placed {
  readonly protocol: BootProtocol;
  readonly note: string;
  readonly entry: number;
  readonly range: LoadedRange;
  /** The image whose setup header the kernel is to get. */
  readonly header: Uint8Array | undefined;
  readonly commandLineSize: number;
  readonly initrdAddressMax: number;
}

/** An initramfs of an ELF kernel may be anywhere in 32 bits. */
const ANYWHERE = 0xffff_ffff;
/** Where in a vmlinux for x86-64 the first segment begins: at its alignment. */
const FIRST_SEGMENT_OFFSET = 0x20_0000;
/** Offset of the 64-bit entry point from the load address of a bzImage. */
const ENTRY_64 = 0x200;

/**
 * Loads a kernel.
 *
 * @param memory The guest's RAM, zero where nobody has written.
 * @throws {BootError} What was given cannot be booted; the message says what is wrong with it and what to do.
 *
 * @example
 * ```ts ignore
 * const kernel = await Deno.readFile("/boot/vmlinuz");
 * const { state, note } = await loadKernel(memory, { kernel, commandLine: "console=ttyS0" });
 * ```
 */
export async function loadKernel(memory: GuestMemory, request: BootRequest): Promise<LoadedKernel> {
  const memoryMap = buildMemoryMap(memory, request.reserved);
  const placed = await placeKernel(memory, request);
  const { protocol, note, entry, range } = placed;
  const commandLineLength = writeCommandLine(memory, request.commandLine, placed.commandLineSize);
  const initramfs = request.initramfs === undefined
    ? undefined
    : placeInitramfs(memory, request.initramfs, range.end, placed.initrdAddressMax);
  const rsdpAddress = request.rsdpAddress ?? 0;
  const state = protocol === "pvh"
    ? setUpPvh(memory, { entry, memoryMap, initramfs, rsdpAddress })
    : setUpLinux64(memory, {
      entry,
      memoryMap,
      initramfs,
      rsdpAddress,
      loadAddress: range.start,
      image: placed.header,
      commandLineLength,
    });
  return { protocol, note, state, range, initramfs };
}

async function placeKernel(memory: GuestMemory, { kernel, unpack: mayUnpack = true }: BootRequest): Promise<Placed> {
  if (kernel.length === 0) {
    throw new BootError("Cannot boot the kernel: the file is empty. Give a bzImage or a vmlinux");
  }
  if (isElf(kernel)) return placeElf(memory, kernel, "vmlinux", undefined, undefined);
  if (!isBzImage(kernel)) {
    throw new BootError(
      `Cannot boot the kernel of ${kernel.length} bytes: it is neither a bzImage nor an ELF file. ${
        describeForeignFile(kernel)
      }`,
    );
  }
  const header = parseBzImage(kernel);
  const name = `bzImage ${header.version.split(" ", 1)[0] || "without a version"}`;
  if (!mayUnpack) return placeBzImage(memory, kernel, header, `${name}, to unpack itself as asked for`);
  if (header.payloadOffset === undefined) {
    return placeBzImage(
      memory,
      kernel,
      header,
      `${name}, to unpack itself: its header does not tell its payload's place`,
    );
  }
  const payload = kernel.subarray(header.payloadOffset, header.payloadOffset + header.payloadLength);
  if (isElf(payload)) return placeElf(memory, payload, `${name}, payload not compressed`, kernel, header);
  const format = detectCompression(payload);
  if (format === undefined) {
    return placeBzImage(memory, kernel, header, `${name}, to unpack itself: its payload is of no known format`);
  }
  const room = roomToUnpack(memory, header);
  const unpacked = await unpackPayload(payload, format, room);
  if (!isElf(unpacked)) {
    return placeBzImage(memory, kernel, header, `${name}, to unpack itself: its ${format} payload is no ELF file`);
  }
  const placed = placeElf(memory, unpacked, `${name}, ${format} payload unpacked`, kernel, header);
  // Tens of megabytes that nobody needs any longer: given back now, not whenever the collector gets to it.
  if (unpacked.buffer !== memory.bytes.buffer && unpacked.buffer instanceof ArrayBuffer) unpacked.buffer.transfer(0);
  return placed;
}

/**
 * Guest RAM to unpack into, so that no page is touched but those that the kernel gets anyway: a vmlinux has its first segment 2 MiB
 * into the file, and from there on nearly every byte is then where it belongs.
 */
function roomToUnpack(memory: GuestMemory, header: BzImage): Uint8Array | undefined {
  const address = header.preferredAddress - FIRST_SEGMENT_OFFSET;
  const start = address < HIGH_MEMORY_ADDRESS ? NOT_RAM : memory.offsetOf(address, header.initSize);
  return start === NOT_RAM ? undefined : memory.bytes.subarray(start, start + endOfLowMemory(memory) - address);
}

async function unpackPayload(
  payload: Uint8Array,
  format: CompressionFormat,
  room: Uint8Array | undefined,
): Promise<Uint8Array> {
  try {
    return await unpack(payload, format, { limit: UNPACKED_LIMIT, room });
  } catch (error) {
    if (!(error instanceof DecompressError)) throw error;
    throw new BootError(
      `Cannot unpack the bzImage's payload of ${payload.length} bytes: ${error.message}. Copy the file again, or let the guest `
        + "unpack it itself",
      { cause: error },
    );
  }
}

function placeElf(
  memory: GuestMemory,
  image: Uint8Array,
  from: string,
  header: Uint8Array | undefined,
  setup: BzImage | undefined,
): Placed {
  const elf = parseElf(image);
  const pvh = elf.pvhEntry !== undefined;
  if (!pvh && !hasLinux64Entry(elf)) {
    throw new BootError(
      `Cannot enter the ELF kernel (${elf.bits}-bit): it has no PVH entry note (owner Xen, type 18), and its entry point `
        + `${
          hex(elf.entry)
        } is not the physical address of 64-bit code in a segment. For Linux, build with CONFIG_PVH=y`,
    );
  }
  const entry = elf.pvhEntry ?? elf.entry;
  const range = loadElfSegments(memory, image, elf);
  return {
    protocol: pvh ? "pvh" : "linux64",
    note: pvh ? `${from}, PVH entry` : `${from}, 64-bit entry: it has no PVH entry note`,
    entry,
    range,
    header,
    commandLineSize: setup?.commandLineSize ?? DEFAULT_COMMAND_LINE_SIZE,
    initrdAddressMax: setup?.initrdAddressMax ?? ANYWHERE,
  };
}

/** Whether the header's entry point can be Linux's startup_64: a physical address within a segment. */
function hasLinux64Entry(elf: ElfImage): boolean {
  return elf.bits === 64
    && elf.segments.some(({ address, memorySize }) => elf.entry >= address && elf.entry < address + memorySize);
}

function placeBzImage(memory: GuestMemory, image: Uint8Array, header: BzImage, note: string): Placed {
  if (!header.has64BitEntry) {
    throw new BootError(
      `Cannot boot the ${note}: it has no 64-bit entry point (XLF_KERNEL_64). Give a kernel built for x86-64`,
    );
  }
  const address = loadAddress(memory, header);
  memory.write(address, image.subarray(header.kernelOffset, header.kernelOffset + header.kernelLength));
  return {
    protocol: "linux64",
    note,
    entry: address + ENTRY_64,
    range: { start: address, end: address + roomFor(header) },
    header: image,
    commandLineSize: header.commandLineSize,
    initrdAddressMax: header.initrdAddressMax,
  };
}

/** Where it prefers to be, or the lowest aligned address above 1 MiB if there is too little RAM for that. */
function loadAddress(memory: GuestMemory, header: BzImage): number {
  const room = roomFor(header);
  const alignment = Math.max(header.kernelAlignment, 1);
  const lowest = Math.ceil(HIGH_MEMORY_ADDRESS / alignment) * alignment;
  const candidates = header.relocatable ? [header.preferredAddress, lowest] : [header.preferredAddress];
  for (const address of candidates) {
    if (address >= HIGH_MEMORY_ADDRESS && memory.offsetOf(address, room) !== NOT_RAM) return address;
  }
  throw new BootError(
    `Cannot load the bzImage at ${
      candidates.map(hex).join(" or ")
    }: it needs ${room} bytes there, RAM is ${memory.size} bytes. `
      + `Give the machine at least ${Math.ceil((candidates[0] + room) / 2 ** 20) + 32} MiB`,
  );
}

function roomFor(header: BzImage): number {
  return Math.max(header.initSize, header.kernelLength);
}
