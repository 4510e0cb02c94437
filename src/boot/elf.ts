/**
 * ELF executables: what a loader needs of them, and the loading of their segments.
 *
 * Source of the layout: System V ABI, chapters 4 and 5; of the note: Xen's `public/elfnote.h`.
 *
 * @module
 */
import { type GuestMemory, NOT_RAM } from "../memory/guest_memory.ts";
import { BootError, hex } from "./errors.ts";
import { HIGH_MEMORY_ADDRESS } from "./layout.ts";

/** One PT_LOAD segment. */
export interface ElfSegment {
  /** Where its bytes begin in the file. */
  readonly offset: number;
  /** How many bytes come from the file. */
  readonly fileSize: number;
  /** How many bytes it takes in memory; those beyond {@linkcode fileSize} are zero. */
  readonly memorySize: number;
  /** Guest-physical address. */
  readonly address: number;
}

/** An executable for x86. */
export interface ElfImage {
  /** Width of its addresses. */
  readonly bits: 32 | 64;
  /** Entry point as the header has it (for Linux: a physical address). */
  readonly entry: number;
  /** Segments to be loaded, those of no size left out. */
  readonly segments: readonly ElfSegment[];
  /** Physical entry point of the PVH protocol, where the executable has such a note. */
  readonly pvhEntry: number | undefined;
}

/** The range of addresses that an executable's segments span. */
export interface LoadedRange {
  /** First address. */
  readonly start: number;
  /** First address behind. */
  readonly end: number;
}

const MAGIC = 0x7f454c46;
const CLASS_OFFSET = 4;
const CLASS_32 = 1;
const CLASS_64 = 2;
const DATA_OFFSET = 5;
const LITTLE_ENDIAN = 1;
const TYPE_OFFSET = 16;
const TYPE_EXECUTABLE = 2;
const TYPE_SHARED = 3;
const MACHINE_OFFSET = 18;
const MACHINE_386 = 3;
const MACHINE_X86_64 = 62;
const SEGMENT_LOAD = 1;
const SEGMENT_NOTE = 4;
const NOTE_HEADER = 12;
const NOTE_OWNER = "Xen";
/** XEN_ELFNOTE_PHYS32_ENTRY. */
const NOTE_PHYS32_ENTRY = 18;

/** Machines that people try, by their number in the header. */
const MACHINES: Readonly<Record<number, string>> = {
  2: "SPARC",
  8: "MIPS",
  20: "PowerPC",
  21: "PowerPC 64",
  22: "S/390",
  40: "Arm",
  183: "arm64",
  243: "RISC-V",
  258: "LoongArch",
};

/** Offsets that differ between the two classes. `wide` fields are 8 bytes in ELF64. */
interface HeaderLayout {
  readonly headerSize: number;
  readonly entry: number;
  readonly programHeaders: number;
  readonly programHeaderSize: number;
  readonly programHeaderCount: number;
  readonly segmentHeaderSize: number;
  readonly segmentOffset: number;
  readonly segmentAddress: number;
  readonly segmentFileSize: number;
  readonly segmentMemorySize: number;
  readonly segmentAlignment: number;
}

const LAYOUT_32: HeaderLayout = {
  headerSize: 52,
  entry: 24,
  programHeaders: 28,
  programHeaderSize: 42,
  programHeaderCount: 44,
  segmentHeaderSize: 32,
  segmentOffset: 4,
  segmentAddress: 12,
  segmentFileSize: 16,
  segmentMemorySize: 20,
  segmentAlignment: 28,
};

const LAYOUT_64: HeaderLayout = {
  headerSize: 64,
  entry: 24,
  programHeaders: 32,
  programHeaderSize: 54,
  programHeaderCount: 56,
  segmentHeaderSize: 56,
  segmentOffset: 8,
  segmentAddress: 24,
  segmentFileSize: 32,
  segmentMemorySize: 40,
  segmentAlignment: 48,
};

/** Whether bytes begin like an ELF file. */
export function isElf(image: Uint8Array): boolean {
  return image.length >= 4 && viewOf(image).getUint32(0) === MAGIC;
}

/**
 * Reads an executable's headers.
 *
 * @throws {BootError} It is no ELF executable for x86, or is cut short.
 */
export function parseElf(image: Uint8Array): ElfImage {
  if (!isElf(image)) throw new BootError("Cannot read the kernel as ELF: it does not begin with 7f 45 4c 46");
  const view = viewOf(image);
  if (image.length < LAYOUT_32.headerSize) throw truncated("its header", LAYOUT_32.headerSize, image.length);
  const elfClass = image[CLASS_OFFSET];
  if (elfClass !== CLASS_32 && elfClass !== CLASS_64) {
    throw new BootError(`Cannot load the ELF kernel: class ${elfClass}, expected 1 (32-bit) or 2 (64-bit)`);
  }
  const bits = elfClass === CLASS_64 ? 64 : 32;
  const layout = bits === 64 ? LAYOUT_64 : LAYOUT_32;
  if (image.length < layout.headerSize) throw truncated("its header", layout.headerSize, image.length);
  if (image[DATA_OFFSET] !== LITTLE_ENDIAN) {
    throw new BootError("Cannot load the ELF kernel: it is big-endian; expected one built for x86");
  }
  const machine = view.getUint16(MACHINE_OFFSET, true);
  if (machine !== MACHINE_386 && machine !== MACHINE_X86_64) {
    throw new BootError(
      `Cannot load the ELF kernel: it is built for ${
        MACHINES[machine] ?? "machine"
      } (${machine}); expected x86-64 (62) or `
        + "i386 (3)",
    );
  }
  const type = view.getUint16(TYPE_OFFSET, true);
  if (type !== TYPE_EXECUTABLE && type !== TYPE_SHARED) {
    throw new BootError(
      `Cannot load the ELF kernel: file type ${type}; expected an executable (2). Object files and modules cannot boot`,
    );
  }
  const wide = (at: number, what: string): number => bits === 32 ? view.getUint32(at, true) : number64(view, at, what);
  const table = wide(layout.programHeaders, "e_phoff");
  const entrySize = view.getUint16(layout.programHeaderSize, true);
  const count = view.getUint16(layout.programHeaderCount, true);
  if (count > 0 && entrySize < layout.segmentHeaderSize) {
    throw new BootError(
      `Cannot load the ELF kernel: program headers of ${entrySize} bytes, expected ${layout.segmentHeaderSize}`,
    );
  }
  const tableEnd = table + entrySize * count;
  if (tableEnd > image.length) throw truncated("its program headers", tableEnd, image.length);

  const segments: ElfSegment[] = [];
  let pvhEntry: number | undefined;
  for (let at = table; at < tableEnd; at += entrySize) {
    const kind = view.getUint32(at, true);
    if (kind !== SEGMENT_LOAD && kind !== SEGMENT_NOTE) continue;
    const offset = wide(at + layout.segmentOffset, "p_offset");
    const fileSize = wide(at + layout.segmentFileSize, "p_filesz");
    const memorySize = wide(at + layout.segmentMemorySize, "p_memsz");
    const address = wide(at + layout.segmentAddress, "p_paddr");
    if (offset + fileSize > image.length) {
      throw truncated(`the segment for ${hex(address)}`, offset + fileSize, image.length);
    }
    if (kind === SEGMENT_NOTE) {
      const alignment = wide(at + layout.segmentAlignment, "p_align") === 8 ? 8 : 4;
      pvhEntry ??= findPvhEntry(view, offset, offset + fileSize, alignment);
    } else if (memorySize > 0) {
      if (fileSize > memorySize) {
        throw new BootError(
          `Cannot load the ELF kernel: the segment for ${
            hex(address)
          } has ${fileSize} bytes in the file, more than its `
            + `${memorySize} in memory. The file is damaged`,
        );
      }
      segments.push({ offset, fileSize, memorySize, address });
    }
  }
  if (segments.length === 0) {
    throw new BootError("Cannot load the ELF kernel: it has no segment to load (PT_LOAD). Is it a debug-symbol file?");
  }
  return { bits, entry: wide(layout.entry, "e_entry"), segments, pvhEntry };
}

/**
 * Copies an executable's segments to where they belong in guest RAM.
 *
 * @param image The file. It may itself lie in guest RAM, where it was unpacked; its bytes are then moved.
 * @throws {BootError} A segment is not wholly in RAM, lies below 1 MiB, or overlaps another.
 */
export function loadElfSegments(memory: GuestMemory, image: Uint8Array, elf: ElfImage): LoadedRange {
  const segments = elf.segments.toSorted((a, b) => a.address - b.address);
  segments.forEach((segment, index) => requireRoom(memory, segment, segments[index - 1]));
  const target = (segment: ElfSegment): number => memory.offsetOf(segment.address, segment.memorySize);
  if (image.buffer === memory.bytes.buffer) {
    moveSegments(memory.bytes, image, segments, target);
  } else {
    for (const segment of segments) {
      memory.bytes.set(image.subarray(segment.offset, segment.offset + segment.fileSize), target(segment));
    }
  }
  // Last, since the file may have been where zeros belong.
  for (const segment of segments) {
    const start = target(segment);
    memory.bytes.fill(0, start + segment.fileSize, start + segment.memorySize);
  }
  const last = segments[segments.length - 1];
  return { start: segments[0].address, end: last.address + last.memorySize };
}

function requireRoom(memory: GuestMemory, segment: ElfSegment, before: ElfSegment | undefined): void {
  const { address, memorySize } = segment;
  const span = `${hex(address)}-${hex(address + memorySize - 1)}`;
  if (address < HIGH_MEMORY_ADDRESS) {
    throw new BootError(
      `Cannot load the kernel's segment at ${span}: below ${hex(HIGH_MEMORY_ADDRESS)} the machine keeps its boot data. `
        + "Link the kernel to load at 1 MiB or above",
    );
  }
  if (before !== undefined && before.address + before.memorySize > address) {
    throw new BootError(
      `Cannot load the kernel's segment at ${span}: it overlaps the one at ${hex(before.address)}. The file is damaged`,
    );
  }
  if (memory.offsetOf(address, memorySize) === NOT_RAM) {
    const ram = memory.regions.map((r) => `${hex(r.address)}-${hex(r.address + r.length - 1)}`).join(", ");
    throw new BootError(`Cannot load the kernel's segment at ${span}: RAM is ${ram}. Give the machine more memory`);
  }
}

/**
 * Moves segments within RAM from the file to their places. Where all of them move down, or all up, in the file's order, none is
 * overwritten before its turn; else the file is copied first.
 */
function moveSegments(
  ram: Uint8Array,
  image: Uint8Array,
  segments: readonly ElfSegment[],
  target: (segment: ElfSegment) => number,
): void {
  const source = (segment: ElfSegment): number => image.byteOffset - ram.byteOffset + segment.offset;
  const inFileOrder = segments.every((segment, i) =>
    i === 0 || segments[i - 1].offset + segments[i - 1].fileSize <= segment.offset
  );
  const allDown = inFileOrder && segments.every((segment) => target(segment) <= source(segment));
  const allUp = inFileOrder && segments.every((segment) => target(segment) >= source(segment));
  if (!allDown && !allUp) {
    const copy = image.slice();
    for (const segment of segments) {
      ram.set(copy.subarray(segment.offset, segment.offset + segment.fileSize), target(segment));
    }
    return;
  }
  for (const segment of allDown ? segments : segments.toReversed()) {
    const start = source(segment);
    if (start !== target(segment)) ram.copyWithin(target(segment), start, start + segment.fileSize);
  }
}

/** The PVH entry point among the notes in [at, end), if it is there. Both forms occur: 4 bytes, and 8 (Linux on x86-64). */
function findPvhEntry(view: DataView, at: number, end: number, alignment: number): number | undefined {
  const align = (value: number): number => Math.ceil(value / alignment) * alignment;
  let next = at;
  while (next + NOTE_HEADER <= end) {
    const nameSize = view.getUint32(next, true);
    const descriptionSize = view.getUint32(next + 4, true);
    const type = view.getUint32(next + 8, true);
    const name = next + NOTE_HEADER;
    const description = at + align(name + nameSize - at);
    if (description + descriptionSize > end) return undefined;
    if (type === NOTE_PHYS32_ENTRY && isOwner(view, name, nameSize)) {
      if (descriptionSize === 4) return view.getUint32(description, true);
      if (descriptionSize === 8) return number64(view, description, "XEN_ELFNOTE_PHYS32_ENTRY");
      throw new BootError(
        `Cannot read the kernel's PVH entry note: ${descriptionSize} bytes long, expected 4 or 8`,
      );
    }
    next = at + align(description + descriptionSize - at);
  }
  return undefined;
}

/** Whether a note's name of `size` bytes, its NUL included, is Xen's. */
function isOwner(view: DataView, at: number, size: number): boolean {
  if (size !== NOTE_OWNER.length + 1) return false;
  for (let i = 0; i < NOTE_OWNER.length; i++) {
    if (view.getUint8(at + i) !== NOTE_OWNER.charCodeAt(i)) return false;
  }
  return true;
}

function number64(view: DataView, at: number, what: string): number {
  const value = Number(view.getBigUint64(at, true));
  if (Number.isSafeInteger(value)) return value;
  throw new BootError(
    `Cannot load the ELF kernel: ${what} is ${
      hex(value)
    }, more than any machine's memory. The file is damaged, or not meant `
      + "to be loaded by physical address",
  );
}

function truncated(what: string, needed: number, length: number): BootError {
  return new BootError(
    `Cannot load the ELF kernel: the file is cut short: ${what} ends at byte ${needed}, the file at ${length}. Copy it again`,
  );
}

function viewOf(image: Uint8Array): DataView {
  return new DataView(image.buffer, image.byteOffset, image.byteLength);
}
