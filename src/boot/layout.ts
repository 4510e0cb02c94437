/**
 * Where things lie in the guest's first megabyte, and the map of memory that the guest is told.
 *
 * | address | length | what | for |
 * |---|---|---|---|
 * | 0x00500 | 0x28 | global descriptor table, empty interrupt table behind it | both protocols |
 * | 0x06000 | 0x1000 | hvm_start_info, its module list, its memory map | PVH |
 * | 0x07000 | 0x1000 | boot_params, the "zero page" | 64-bit Linux |
 * | 0x09000 | 0x6000 | page tables: the low 4 GiB mapped to themselves | 64-bit Linux |
 * | 0x20000 | 0x10000 | command line, NUL-terminated | both |
 * | 0x9fc00 | 0x400 | where a BIOS keeps its extended data: reserved, empty | |
 * | 0xa0000 | 0x40000 | legacy video and option ROMs: in no map, nothing is there | |
 * | 0xe0000 | 0x20000 | ACPI tables, the RSDP first: reserved | both |
 * | 0xffff0 | 0x10 | in the same range: the reset vector, see reset_vector.ts | both |
 *
 * The kernel is at 1 MiB or above, wherever its file says; the initramfs is as high below 4 GiB as it can be.
 *
 * @module
 */
import type { GuestMemory } from "../memory/guest_memory.ts";
import { BootError, hex } from "./errors.ts";

/** Global descriptor table. */
export const GDT_ADDRESS = 0x500;
/** Interrupt descriptor table: eight zero bytes, so that an early exception ends in a triple fault and not in a surprise. */
export const IDT_ADDRESS = 0x528;
/** hvm_start_info of the PVH protocol. */
export const START_INFO_ADDRESS = 0x6000;
/** hvm_modlist_entry of the PVH protocol. */
export const MODULE_LIST_ADDRESS = 0x6040;
/** hvm_memmap_table_entry[] of the PVH protocol. */
export const PVH_MEMORY_MAP_ADDRESS = 0x6080;
/** boot_params of the Linux protocol. */
export const ZERO_PAGE_ADDRESS = 0x7000;
/** Page-map level 4, then one page of directory pointers, then four page directories. */
export const PAGE_TABLES_ADDRESS = 0x9000;
/** The command line. */
export const COMMAND_LINE_ADDRESS = 0x20000;
/** Room for the command line, its NUL included. */
export const COMMAND_LINE_ROOM = 0x10000;
/** End of conventional memory. */
export const EXTENDED_BIOS_DATA_ADDRESS = 0x9fc00;
/** Legacy video memory begins; nothing is there. */
export const LEGACY_VIDEO_ADDRESS = 0xa0000;
/** The ACPI tables. Guests that are told nothing search the RSDP from here on (ACPI 6.5, 5.2.5.1). */
export const ACPI_ADDRESS = 0xe0000;
/** Room for the ACPI tables. */
export const ACPI_ROOM = 0x20000;
/** First address at which a kernel may be. */
export const HIGH_MEMORY_ADDRESS = 0x100000;
/** Bytes of a page. */
export const PAGE_SIZE = 4096;
/** First address that 32 bits cannot hold. */
export const FOUR_GIB = 0x1_0000_0000;

/** Kinds of range in a memory map (ACPI 6.5, table 15.3; the PVH protocol uses the same numbers). */
export const MEMORY_RAM = 1;
/** See {@linkcode MEMORY_RAM}: not to be used by the guest. */
export const MEMORY_RESERVED = 2;

/** A range of guest-physical addresses. */
export interface AddressRange {
  /** First address. */
  readonly address: number;
  /** Bytes. */
  readonly length: number;
}

/** One line of the memory map that the guest is told. */
export interface MemoryMapEntry extends AddressRange {
  /** {@linkcode MEMORY_RAM} or {@linkcode MEMORY_RESERVED}. */
  readonly type: number;
}

/**
 * The memory map ("e820") of a machine, in ascending order.
 *
 * @param memory The machine's RAM; it begins at address 0.
 * @param reserved Ranges that are no RAM and that the guest shall know to be taken: the ECAM window. Linux uses ECAM only when it is
 * listed so.
 * @throws {BootError} RAM does not reach beyond 1 MiB, or a reserved range lies in RAM.
 */
export function buildMemoryMap(memory: GuestMemory, reserved: readonly AddressRange[] = []): MemoryMapEntry[] {
  const [low, ...others] = memory.regions;
  if (low === undefined || low.address !== 0 || low.length <= HIGH_MEMORY_ADDRESS) {
    throw new BootError(
      `Cannot boot with RAM of ${low?.length ?? 0} bytes at ${hex(low?.address ?? 0)}: expected more than `
        + `${HIGH_MEMORY_ADDRESS} bytes at 0x0. Give the machine more memory, 64 MiB at least for Linux`,
    );
  }
  for (const range of reserved) {
    for (const region of memory.regions) {
      if (range.address < region.address + region.length && region.address < range.address + range.length) {
        throw new BootError(
          `Cannot reserve ${hex(range.address)}-${hex(range.address + range.length - 1)}: RAM is at `
            + `${hex(region.address)}-${
              hex(region.address + region.length - 1)
            }. Ranges of devices must lie outside of RAM`,
        );
      }
    }
  }
  const entries: MemoryMapEntry[] = [
    { address: 0, length: EXTENDED_BIOS_DATA_ADDRESS, type: MEMORY_RAM },
    {
      address: EXTENDED_BIOS_DATA_ADDRESS,
      length: LEGACY_VIDEO_ADDRESS - EXTENDED_BIOS_DATA_ADDRESS,
      type: MEMORY_RESERVED,
    },
    { address: ACPI_ADDRESS, length: ACPI_ROOM, type: MEMORY_RESERVED },
    { address: HIGH_MEMORY_ADDRESS, length: low.length - HIGH_MEMORY_ADDRESS, type: MEMORY_RAM },
    ...others.map(({ address, length }) => ({ address, length, type: MEMORY_RAM })),
    ...reserved.map(({ address, length }) => ({ address, length, type: MEMORY_RESERVED })),
  ];
  return entries.sort((a, b) => a.address - b.address);
}

/** The lowest region's end, but at most 4 GiB: boot protocols hand over 32-bit addresses. */
export function endOfLowMemory(memory: GuestMemory): number {
  const low = memory.regions[0];
  return low === undefined ? 0 : Math.min(low.address + low.length, FOUR_GIB);
}
