/**
 * The PVH boot protocol: 32-bit protected mode without paging, everything told by one structure.
 *
 * Source: Xen, docs/misc/pvh.pandoc and public/arch-x86/hvm/start_info.h.
 *
 * @module
 */
import type { GuestMemory } from "../memory/guest_memory.ts";
import {
  type CpuState,
  CR0_ET,
  CR0_PE,
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
  MODULE_LIST_ADDRESS,
  PVH_MEMORY_MAP_ADDRESS,
  START_INFO_ADDRESS,
  ZERO_PAGE_ADDRESS,
} from "./layout.ts";

/** HVM_START_MAGIC_VALUE, "xEn3" with the top bit of E set. */
const START_MAGIC = 0x336ec578;
/** Version of hvm_start_info that has a memory map. */
const START_VERSION = 1;
/** struct hvm_start_info. */
const START_INFO = {
  magic: 0,
  version: 4,
  flags: 8,
  moduleCount: 12,
  moduleListAddress: 16,
  commandLineAddress: 24,
  rsdpAddress: 32,
  memoryMapAddress: 40,
  memoryMapEntries: 48,
  size: 56,
} as const;
/** struct hvm_modlist_entry. */
const MODULE = { address: 0, size: 8, length: 32 } as const;
/** struct hvm_memmap_table_entry. */
const MAP_ENTRY = { address: 0, size: 8, type: 16, length: 24 } as const;
/** Lines for which there is room. */
const MAP_ROOM = Math.floor((ZERO_PAGE_ADDRESS - PVH_MEMORY_MAP_ADDRESS) / MAP_ENTRY.length);

const CODE_SELECTOR = 0x08;
const DATA_SELECTOR = 0x10;
const TASK_SELECTOR = 0x18;

/** What a kernel is told by the PVH protocol. */
export interface PvhBoot {
  /** Physical address of its entry point. */
  readonly entry: number;
  /** The memory map. */
  readonly memoryMap: readonly MemoryMapEntry[];
  /** The initramfs, already in memory. */
  readonly initramfs: AddressRange | undefined;
  /** The ACPI root pointer; 0 for none. */
  readonly rsdpAddress: number;
}

/**
 * Writes the start info and what it points to (the command line excepted, see `writeCommandLine`).
 *
 * @returns The state in which the first vCPU is to start.
 * @throws {BootError} The entry point is not within 4 GiB, or the memory map is too long.
 */
export function setUpPvh(memory: GuestMemory, boot: PvhBoot): CpuState {
  if (boot.entry > 0xffff_ffff) {
    throw new BootError(`Cannot enter the kernel at 0x${boot.entry.toString(16)}: PVH starts in 32-bit mode`);
  }
  if (boot.memoryMap.length > MAP_ROOM) {
    throw new BootError(`Cannot describe memory in ${boot.memoryMap.length} ranges: there is room for ${MAP_ROOM}`);
  }
  memory.write(START_INFO_ADDRESS, startInfo(boot));
  memory.write(MODULE_LIST_ADDRESS, moduleList(boot.initramfs));
  memory.write(PVH_MEMORY_MAP_ADDRESS, memoryMap(boot.memoryMap));

  const code = flatCode(CODE_SELECTOR, 32);
  const data = flatData(DATA_SELECTOR);
  const task = taskSegment(TASK_SELECTOR);
  return {
    registers: generalRegisters({ rip: BigInt(boot.entry), rbx: BigInt(START_INFO_ADDRESS) }),
    segments: { cs: code, ds: data, es: data, fs: data, gs: data, ss: data, tr: task, ldt: unusableSegment() },
    gdt: { base: GDT_ADDRESS, limit: writeGdt(memory, [code, data, task]) },
    idt: { base: IDT_ADDRESS, limit: 7 },
    cr0: CR0_PE + CR0_ET,
    cr3: 0,
    cr4: 0,
    efer: 0,
  };
}

function startInfo(boot: PvhBoot): Uint8Array {
  const view = new DataView(new ArrayBuffer(START_INFO.size));
  view.setUint32(START_INFO.magic, START_MAGIC, true);
  view.setUint32(START_INFO.version, START_VERSION, true);
  if (boot.initramfs !== undefined) {
    view.setUint32(START_INFO.moduleCount, 1, true);
    view.setBigUint64(START_INFO.moduleListAddress, BigInt(MODULE_LIST_ADDRESS), true);
  }
  view.setBigUint64(START_INFO.commandLineAddress, BigInt(COMMAND_LINE_ADDRESS), true);
  view.setBigUint64(START_INFO.rsdpAddress, BigInt(boot.rsdpAddress), true);
  view.setBigUint64(START_INFO.memoryMapAddress, BigInt(PVH_MEMORY_MAP_ADDRESS), true);
  view.setUint32(START_INFO.memoryMapEntries, boot.memoryMap.length, true);
  return new Uint8Array(view.buffer);
}

function moduleList(initramfs: AddressRange | undefined): Uint8Array {
  const view = new DataView(new ArrayBuffer(MODULE.length));
  if (initramfs !== undefined) {
    view.setBigUint64(MODULE.address, BigInt(initramfs.address), true);
    view.setBigUint64(MODULE.size, BigInt(initramfs.length), true);
  }
  return new Uint8Array(view.buffer);
}

function memoryMap(entries: readonly MemoryMapEntry[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(entries.length * MAP_ENTRY.length));
  entries.forEach(({ address, length, type }, index) => {
    const at = index * MAP_ENTRY.length;
    view.setBigUint64(at + MAP_ENTRY.address, BigInt(address), true);
    view.setBigUint64(at + MAP_ENTRY.size, BigInt(length), true);
    view.setUint32(at + MAP_ENTRY.type, type, true);
  });
  return new Uint8Array(view.buffer);
}
