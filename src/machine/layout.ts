/**
 * Where things are in guest-physical address space.
 *
 * | from | to | what |
 * |---|---|---|
 * | 0 | min(RAM, 3 GiB) | RAM |
 * | 3 GiB | 3.5 GiB | 32-bit BARs |
 * | 3.5 GiB | + 1 MiB | ECAM of bus 0 |
 * | 0xfec0_0000 | + 4 KiB | IOAPIC |
 * | 0xfee0_0000 | + 1 MiB | local APICs and MSI messages |
 * | 0xfeff_c000 | + 16 KiB | pages KVM keeps for real mode on older Intel processors |
 * | 4 GiB | 4 GiB + rest | RAM that does not fit below 3 GiB |
 * | after RAM, at 1 GiB | + 64 GiB at most | 64-bit BARs |
 *
 * @module
 */
import type { MemoryRegion } from "../memory/guest_memory.ts";

const GIBIBYTE = 2 ** 30;
const MEBIBYTE = 2 ** 20;

/** RAM below 4 GiB ends here at the latest. */
export const LOW_MEMORY_LIMIT: number = 3 * GIBIBYTE;
/** RAM that does not fit below {@linkcode LOW_MEMORY_LIMIT} begins here. */
export const HIGH_MEMORY_START: number = 4 * GIBIBYTE;
/** Enhanced Configuration Access Mechanism: 1 MiB for the one bus there is. */
export const ECAM: AddressRange = { address: 0xe000_0000, length: MEBIBYTE };
/** Where 32-bit BARs are allocated. */
export const MEMORY32_WINDOW: AddressRange = { address: LOW_MEMORY_LIMIT, length: 0xe000_0000 - LOW_MEMORY_LIMIT };
/** Where I/O BARs are allocated. */
export const IO_WINDOW: AddressRange = { address: 0x1000, length: 0xf000 };
/** The interrupt controllers, at the addresses that KVM emulates them. */
export const IO_APIC: AddressRange = { address: 0xfec0_0000, length: 0x1000 };
/** See {@linkcode IO_APIC}. */
export const LOCAL_APIC: AddressRange = { address: 0xfee0_0000, length: MEBIBYTE };
/** One page for KVM_SET_IDENTITY_MAP_ADDR. */
export const IDENTITY_MAP_ADDRESS = 0xfeff_c000;
/** Three pages for KVM_SET_TSS_ADDR. */
export const TSS_ADDRESS = 0xfeff_d000;

const MEMORY64_WINDOW_ALIGNMENT = GIBIBYTE;
const MEMORY64_WINDOW_LIMIT = 64 * GIBIBYTE;
const PAGE = 4096;

/** Least RAM a machine can have. */
export const MINIMUM_MEMORY: number = 2 * MEBIBYTE;

/** A range of guest-physical addresses (or ports). */
export interface AddressRange {
  /** First address. */
  readonly address: number;
  /** Bytes. */
  readonly length: number;
}

/**
 * The RAM regions of a machine with `size` bytes of memory.
 *
 * @throws {RangeError} The size is no multiple of the page size or is too small.
 */
export function memoryRegions(size: number): MemoryRegion[] {
  if (!Number.isSafeInteger(size) || size % PAGE !== 0 || size < MINIMUM_MEMORY) {
    throw new RangeError(
      `Cannot give the guest ${size} bytes of memory: expected a multiple of ${PAGE}, at least ${MINIMUM_MEMORY}`,
    );
  }
  const low = Math.min(size, LOW_MEMORY_LIMIT);
  const regions: MemoryRegion[] = [{ address: 0, length: low, offset: 0 }];
  if (size > low) regions.push({ address: HIGH_MEMORY_START, length: size - low, offset: low });
  return regions;
}

/**
 * Where 64-bit BARs are allocated: above RAM, within what the processor can address.
 *
 * @param regions RAM.
 * @param physicalAddressBits From CPUID leaf 0x8000_0008.
 * @throws {RangeError} No address space is left above RAM.
 */
export function memory64Window(regions: readonly MemoryRegion[], physicalAddressBits: number): AddressRange {
  const last = regions[regions.length - 1];
  const ramEnd = Math.max(last.address + last.length, HIGH_MEMORY_START);
  const address = Math.ceil(ramEnd / MEMORY64_WINDOW_ALIGNMENT) * MEMORY64_WINDOW_ALIGNMENT;
  const length = Math.min(MEMORY64_WINDOW_LIMIT, 2 ** physicalAddressBits - address);
  if (length < GIBIBYTE) {
    throw new RangeError(
      `Cannot place 64-bit BARs: RAM ends at 0x${ramEnd.toString(16)} and the processor addresses only `
        + `${physicalAddressBits} bits; give the guest less memory`,
    );
  }
  return { address, length };
}
