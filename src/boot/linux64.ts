/**
 * The 64-bit boot protocol of Linux: long mode with the low 4 GiB mapped to themselves, everything told by the zero page.
 *
 * Source: Linux, Documentation/arch/x86/boot.rst ("64-bit Boot Protocol") and zero-page.rst.
 *
 * @module
 */
import type { GuestMemory } from "../memory/guest_memory.ts";
import { BOOT_FLAG, LOADED_HIGH, SETUP, SETUP_HEADER_OFFSET, SETUP_MAGIC } from "./bzimage.ts";
import {
  type CpuState,
  CR0_ET,
  CR0_PE,
  CR0_PG,
  CR4_PAE,
  EFER_LMA,
  EFER_LME,
  flatCode,
  flatData,
  generalRegisters,
  taskSegment,
  unusableSegment,
} from "./cpu_state.ts";
import { BootError } from "./errors.ts";
import { writeGdt } from "./gdt.ts";
import {
  type AddressRange,
  COMMAND_LINE_ADDRESS,
  GDT_ADDRESS,
  IDT_ADDRESS,
  type MemoryMapEntry,
  PAGE_SIZE,
  PAGE_TABLES_ADDRESS,
  ZERO_PAGE_ADDRESS,
} from "./layout.ts";

/** Fields of boot_params outside of the setup header. */
const BOOT_PARAMS = {
  rsdpAddress: 0x70,
  memoryMapCount: 0x1e8,
  memoryMap: 0x2d0,
} as const;
/** Bytes of one e820 line. */
const MAP_ENTRY = 20;
/** E820_MAX_ENTRIES_ZEROPAGE. */
const MAP_ROOM = 128;
/** type_of_loader: one without a number of its own. */
const LOADER_UNDEFINED = 0xff;
/** Newest protocol version that is spoken, told to a kernel that comes without a header of its own. */
const PROTOCOL_VERSION = 0x20f;

/** __BOOT_CS. */
const CODE_SELECTOR = 0x10;
/** __BOOT_DS. */
const DATA_SELECTOR = 0x18;
const TASK_SELECTOR = 0x20;

/** Page-table entry: present and writable. */
const PRESENT_WRITABLE = 0x3n;
/** Page-directory entry: maps 2 MiB itself. */
const LARGE_PAGE = 0x80n;
const LARGE_PAGE_SIZE = 0x20_0000n;
const ENTRIES_PER_TABLE = 512;
const DIRECTORIES = 4;

/** What a kernel is told by the 64-bit protocol. */
export interface Linux64Boot {
  /** Physical address of its 64-bit entry point. */
  readonly entry: number;
  /** Address that the protected-mode kernel was loaded at. */
  readonly loadAddress: number;
  /** The image whose setup header is handed on; undefined for an ELF file, which has none. */
  readonly image: Uint8Array | undefined;
  /** The memory map. */
  readonly memoryMap: readonly MemoryMapEntry[];
  /** The initramfs, already in memory. */
  readonly initramfs: AddressRange | undefined;
  /** Length of the command line, already in memory. */
  readonly commandLineLength: number;
  /** The ACPI root pointer; 0 for none. */
  readonly rsdpAddress: number;
}

/**
 * Writes zero page, page tables and descriptor table.
 *
 * @returns The state in which the first vCPU is to start.
 * @throws {BootError} The memory map is too long.
 */
export function setUpLinux64(memory: GuestMemory, boot: Linux64Boot): CpuState {
  memory.write(ZERO_PAGE_ADDRESS, zeroPage(boot));
  memory.write(PAGE_TABLES_ADDRESS, identityPageTables());

  const code = flatCode(CODE_SELECTOR, 64);
  const data = flatData(DATA_SELECTOR);
  const task = taskSegment(TASK_SELECTOR);
  return {
    registers: generalRegisters({ rip: BigInt(boot.entry), rsi: BigInt(ZERO_PAGE_ADDRESS) }),
    segments: { cs: code, ds: data, es: data, fs: data, gs: data, ss: data, tr: task, ldt: unusableSegment() },
    gdt: { base: GDT_ADDRESS, limit: writeGdt(memory, [code, data, task]) },
    idt: { base: IDT_ADDRESS, limit: 7 },
    cr0: CR0_PG + CR0_ET + CR0_PE,
    cr3: PAGE_TABLES_ADDRESS,
    cr4: CR4_PAE,
    efer: EFER_LME + EFER_LMA,
  };
}

function zeroPage(boot: Linux64Boot): Uint8Array {
  const { image, memoryMap, initramfs } = boot;
  if (memoryMap.length > MAP_ROOM) {
    throw new BootError(`Cannot describe memory in ${memoryMap.length} ranges: the zero page has room for ${MAP_ROOM}`);
  }
  const page = new Uint8Array(PAGE_SIZE);
  const view = new DataView(page.buffer);
  if (image === undefined) {
    view.setUint16(SETUP.bootFlag, BOOT_FLAG, true);
    view.setUint32(SETUP.magic, SETUP_MAGIC, true);
    view.setUint16(SETUP.version, PROTOCOL_VERSION, true);
    page[SETUP.loadFlags] = LOADED_HIGH;
    view.setUint32(SETUP.commandLineSize, boot.commandLineLength, true);
  } else {
    // The header ends where the jump instruction at 0x200 leads to.
    const end = SETUP.magic + image[SETUP.jumpLength];
    page.set(image.subarray(SETUP_HEADER_OFFSET, end), SETUP_HEADER_OFFSET);
  }
  page[SETUP.typeOfLoader] = LOADER_UNDEFINED;
  view.setUint32(SETUP.code32Start, boot.loadAddress, true);
  view.setUint32(SETUP.commandLine, COMMAND_LINE_ADDRESS, true);
  if (initramfs !== undefined) {
    view.setUint32(SETUP.ramdiskImage, initramfs.address, true);
    view.setUint32(SETUP.ramdiskSize, initramfs.length, true);
  }
  view.setBigUint64(BOOT_PARAMS.rsdpAddress, BigInt(boot.rsdpAddress), true);
  page[BOOT_PARAMS.memoryMapCount] = memoryMap.length;
  memoryMap.forEach(({ address, length, type }, index) => {
    const at = BOOT_PARAMS.memoryMap + index * MAP_ENTRY;
    view.setBigUint64(at, BigInt(address), true);
    view.setBigUint64(at + 8, BigInt(length), true);
    view.setUint32(at + 16, type, true);
  });
  return page;
}

/** One page-map level 4, one page of directory pointers, four directories of 2 MiB pages. */
function identityPageTables(): Uint8Array {
  const tables = new BigUint64Array((2 + DIRECTORIES) * ENTRIES_PER_TABLE);
  const pageAddress = (index: number): bigint => BigInt(PAGE_TABLES_ADDRESS + index * PAGE_SIZE);
  tables[0] = pageAddress(1) | PRESENT_WRITABLE;
  for (let directory = 0; directory < DIRECTORIES; directory++) {
    tables[ENTRIES_PER_TABLE + directory] = pageAddress(2 + directory) | PRESENT_WRITABLE;
  }
  for (let page = 0; page < DIRECTORIES * ENTRIES_PER_TABLE; page++) {
    tables[2 * ENTRIES_PER_TABLE + page] = BigInt(page) * LARGE_PAGE_SIZE | LARGE_PAGE | PRESENT_WRITABLE;
  }
  return new Uint8Array(tables.buffer);
}
