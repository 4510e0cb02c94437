/**
 * One PCI bus of 32 slots: places functions, allocates their BARs, decodes accesses.
 *
 * Every method that serves a guest's access is total: whatever the numbers, it answers. Where nobody decodes, the answer is
 * {@linkcode UNCLAIMED}, so that a machine can count such accesses and look further.
 *
 * @module
 */
import { AddressAllocator, type AddressRange, formatRange, overlaps } from "./address_allocator.ts";
import { AddressDecoder, type DecodedRange } from "./address_decoder.ts";
import { allOnes } from "./configuration_space.ts";
import type { AccessWidth, BarKind, BarMapping, BarRequest, PciDevice, PciSlot } from "./device.ts";
import type { InterruptController } from "./interrupt_controller.ts";
import * as registers from "./registers.ts";

/** What {@linkcode PciBus.readMemory} and {@linkcode PciBus.readPort} return where nobody decodes. */
export const UNCLAIMED = -1;

/** 64-bit BARs start at multiples of this, so that a guest has room to rearrange them. */
const STRIDE_64 = 8 << 20;

/** What a bus is made of. */
export interface PciBusOptions {
  /** Where BARs may lie, by kind of address space. */
  readonly windows: {
    readonly memory32: AddressRange;
    readonly memory64?: AddressRange;
    readonly io?: AddressRange;
  };
  /** Memory ranges that no BAR may ever cover, be they in a window or not: RAM, ECAM, the interrupt controllers. */
  readonly reserved?: readonly AddressRange[];
  /** Handed to functions that bring no interrupt controller of their own. */
  readonly interrupts?: InterruptController;
}

/** One BAR of a function on the bus. */
interface PlacedBar {
  readonly device: PciDevice;
  readonly request: BarRequest;
  /** The allocator that {@linkcode held} belongs to. */
  allocator: AddressAllocator | undefined;
  /** Its reserved address, whether it is decoded or not; undefined when another BAR took it over. */
  held: number | undefined;
  /** Where it is decoded. */
  decoded: DecodedRange<PlacedBar> | undefined;
}

/** Device numbers, BAR windows, and the two ways to configuration space. */
export class PciBus {
  readonly #slots: (PciDevice | undefined)[] = new Array<PciDevice | undefined>(registers.SLOT_COUNT).fill(undefined);
  readonly #bars = new Map<PciDevice, readonly PlacedBar[]>();
  readonly #allocators: Readonly<Record<BarKind, AddressAllocator | undefined>>;
  readonly #interrupts: InterruptController | undefined;
  readonly #memory = new AddressDecoder<PlacedBar>();
  readonly #ports = new AddressDecoder<PlacedBar>();
  /** CONFIG_ADDRESS of config mechanism #1. Plain state. */
  configAddress = 0;

  /** @param options Windows and reserved ranges. */
  constructor(options: PciBusOptions) {
    const { windows, reserved = [], interrupts } = options;
    this.#allocators = {
      memory32: new AddressAllocator(windows.memory32, reserved),
      memory64: windows.memory64 && new AddressAllocator(windows.memory64, reserved),
      io: windows.io && new AddressAllocator(windows.io),
    };
    this.#interrupts = interrupts;
  }

  /**
   * Places a function.
   *
   * @param device The function. It is told its slot.
   * @param slot Device number; the lowest free one if omitted.
   * @returns Its device number.
   * @throws {RangeError} The slot is taken or does not exist, or there is no slot left.
   * @throws {Error} A window has no room for a BAR, or the function refused.
   */
  add(device: PciDevice, slot?: number): number {
    const number = slot ?? this.#slots.indexOf(undefined);
    if (slot === undefined && number < 0) {
      throw new RangeError(`Cannot add ${device.id} to the PCI bus: all ${registers.SLOT_COUNT} slots are taken`);
    }
    if (!Number.isInteger(number) || number < 0 || number >= registers.SLOT_COUNT) {
      throw new RangeError(
        `Cannot add ${device.id} to the PCI bus at slot ${number}: expected 0-${registers.SLOT_COUNT - 1}`,
      );
    }
    const taken = this.#slots[number];
    if (taken !== undefined) {
      throw new RangeError(`Cannot add ${device.id} to the PCI bus at slot ${number}: ${taken.id} is there`);
    }
    if (this.#bars.has(device)) throw new Error(`Cannot add ${device.id} to the PCI bus: it is on the bus already`);
    const bars: PlacedBar[] = [];
    this.#bars.set(device, bars);
    try {
      for (const request of device.bars) bars.push(this.#allocate(device, request));
      device.attached(this.#slotOf(number, bars));
    } catch (error) {
      this.#release(device);
      throw error;
    }
    this.#slots[number] = device;
    return number;
  }

  /**
   * Takes a function off the bus and frees its BARs. Dispose it next: its doorbells and vectors are its own.
   *
   * @returns Whether it was on the bus.
   */
  remove(device: PciDevice): boolean {
    const slot = this.#slots.indexOf(device);
    if (slot < 0) return false;
    this.#slots[slot] = undefined;
    this.#release(device);
    return true;
  }

  /** The function in a slot. */
  device(slot: number): PciDevice | undefined {
    return this.#slots[slot];
  }

  /** All functions, by device number. */
  get devices(): readonly (PciDevice | undefined)[] {
    return this.#slots;
  }

  /** Power-on state: CONFIG_ADDRESS and every function. */
  reset(): void {
    this.configAddress = 0;
    for (const device of this.#slots) device?.reset();
  }

  /** A read of memory space; {@linkcode UNCLAIMED} where no BAR decodes all of it. */
  readMemory(address: number, width: AccessWidth): number {
    const range = this.#memory.find(address, width);
    if (range === undefined) return UNCLAIMED;
    return range.owner.device.readBar(range.owner.request.index, address - range.address, width);
  }

  /** A write of memory space; false where no BAR decodes all of it. */
  writeMemory(address: number, width: AccessWidth, value: number): boolean {
    const range = this.#memory.find(address, width);
    if (range === undefined) return false;
    range.owner.device.writeBar(range.owner.request.index, address - range.address, width, value);
    return true;
  }

  /** A read of a port: config mechanism #1 or an I/O BAR; else {@linkcode UNCLAIMED}. */
  readPort(port: number, width: AccessWidth): number {
    if (port === registers.CONFIG_ADDRESS_PORT && width === 4) return this.configAddress;
    const at = port - registers.CONFIG_DATA_PORT;
    if (at >= 0 && at < 4) return this.#configEnabled() ? this.#readConfigData(at, width) : UNCLAIMED;
    const range = this.#ports.find(port, width);
    if (range === undefined) return UNCLAIMED;
    return range.owner.device.readBar(range.owner.request.index, port - range.address, width);
  }

  /** A write of a port; false where nobody decodes it. */
  writePort(port: number, width: AccessWidth, value: number): boolean {
    if (port === registers.CONFIG_ADDRESS_PORT && width === 4) {
      this.configAddress = (value & registers.CONFIG_ADDRESS_WRITABLE) >>> 0;
      return true;
    }
    const at = port - registers.CONFIG_DATA_PORT;
    if (at >= 0 && at < 4) {
      if (!this.#configEnabled()) return false;
      this.#writeConfigData(at, width, value);
      return true;
    }
    const range = this.#ports.find(port, width);
    if (range === undefined) return false;
    range.owner.device.writeBar(range.owner.request.index, port - range.address, width, value);
    return true;
  }

  /** A read of the enhanced configuration area at a byte offset from its start; all ones where no function is. */
  readEcam(offset: number, width: AccessWidth): number {
    const device = this.#ecamDevice(offset);
    return device === undefined ? allOnes(width) : device.readConfiguration(offset & 0xfff, width);
  }

  /** A write of the enhanced configuration area; ignored where no function is. */
  writeEcam(offset: number, width: AccessWidth, value: number): void {
    this.#ecamDevice(offset)?.writeConfiguration(offset & 0xfff, width, value);
  }

  /** Bus 0, function 0 only: all other functions are absent. */
  #ecamDevice(offset: number): PciDevice | undefined {
    if (!(offset >= 0 && offset < registers.ECAM_BUS_SIZE) || (offset >>> 12 & 7) !== 0) return undefined;
    return this.#slots[offset >>> 15];
  }

  #configEnabled(): boolean {
    return this.configAddress >= registers.CONFIG_ADDRESS_ENABLE;
  }

  #configDevice(): PciDevice | undefined {
    const busAndFunction = this.configAddress & 0x00ff_0700;
    return busAndFunction === 0 ? this.#slots[this.configAddress >>> 11 & 0x1f] : undefined;
  }

  #readConfigData(at: number, width: AccessWidth): number {
    const device = this.#configDevice();
    const register = this.configAddress & 0xfc;
    if (device === undefined) return allOnes(width);
    if (at + width <= 4) return device.readConfiguration(register + at, width);
    // The access leaves CONFIG_DATA: only the bytes inside are configuration.
    let value = 0;
    for (let i = width - 1; i >= 0; i--) {
      value = value * 256 + (at + i < 4 ? device.readConfiguration(register + at + i, 1) : 0xff);
    }
    return value;
  }

  #writeConfigData(at: number, width: AccessWidth, value: number): void {
    const device = this.#configDevice();
    const register = this.configAddress & 0xfc;
    if (device === undefined) return;
    if (at + width <= 4) {
      device.writeConfiguration(register + at, width, value);
      return;
    }
    for (let i = 0; at + i < 4; i++) device.writeConfiguration(register + at + i, 1, value >>> (8 * i) & 0xff);
  }

  #slotOf(device: number, bars: readonly PlacedBar[]): PciSlot {
    const allocated: BarMapping[] = [];
    for (const bar of bars) if (bar.held !== undefined) allocated.push({ index: bar.request.index, address: bar.held });
    return {
      device,
      allocated,
      ...(this.#interrupts && { interrupts: this.#interrupts }),
      decode: (index, address) => {
        const bar = bars.find(({ request }) => request.index === index);
        return bar !== undefined && this.#decode(bar, address);
      },
    };
  }

  #allocate(device: PciDevice, request: BarRequest): PlacedBar {
    const { kind, size } = request;
    // A 64-bit BAR may as well lie below 4 GiB.
    const high = kind === "memory64" ? this.#allocators.memory64 : undefined;
    const allocator = high ?? this.#allocators[kind === "io" ? "io" : "memory32"];
    const held = allocator?.allocate(size, high === undefined ? size : Math.max(size, STRIDE_64));
    if (allocator === undefined || held === undefined) {
      const where = allocator === undefined
        ? "the bus has no window for it"
        : `${formatRange(allocator.window)} is full`;
      throw new Error(`Cannot place BAR ${request.index} of ${device.id} (${kind}, ${size} bytes): ${where}`);
    }
    return { device, request, allocator, held, decoded: undefined };
  }

  /** Moves one BAR; see {@linkcode PciSlot.decode}. */
  #decode(bar: PlacedBar, address: number | undefined): boolean {
    const decoder = bar.request.kind === "io" ? this.#ports : this.#memory;
    if (address === undefined) {
      if (bar.decoded !== undefined) decoder.remove(bar.decoded);
      bar.decoded = undefined;
      return true;
    }
    const range = { address, length: bar.request.size, owner: bar };
    if (!Number.isSafeInteger(address) || address % range.length !== 0 || !decoder.isFree(range, bar.decoded)) {
      return false;
    }
    const allocator = this.#allocatorFor(bar.request.kind, range);
    if (allocator === undefined) return false;
    this.#hold(bar, allocator, range);
    if (bar.decoded !== undefined) decoder.remove(bar.decoded);
    decoder.add(range);
    bar.decoded = range;
    return true;
  }

  /** The window where a BAR may be decoded at a range. */
  #allocatorFor(kind: BarKind, range: AddressRange): AddressAllocator | undefined {
    const { memory32, memory64, io } = this.#allocators;
    if (kind === "io") return io?.permits(range) ? io : undefined;
    if (memory32?.permits(range)) return memory32;
    return kind === "memory64" && memory64?.permits(range) ? memory64 : undefined;
  }

  /** Moves a BAR's reservation. A BAR that is not decoded has to give way: the guest is rearranging. */
  #hold(bar: PlacedBar, allocator: AddressAllocator, range: AddressRange): void {
    this.#letGo(bar);
    for (const bars of this.#bars.values()) {
      for (const other of bars) {
        if (other.allocator !== allocator || other.decoded !== undefined || other.held === undefined) continue;
        if (overlaps({ address: other.held, length: other.request.size }, range)) this.#letGo(other);
      }
    }
    bar.allocator = allocator;
    bar.held = allocator.reserve(range.address, range.length) ? range.address : undefined;
  }

  #letGo(bar: PlacedBar): void {
    if (bar.held !== undefined) bar.allocator?.free(bar.held, bar.request.size);
    bar.held = undefined;
  }

  #release(device: PciDevice): void {
    for (const bar of this.#bars.get(device) ?? []) {
      this.#decode(bar, undefined);
      this.#letGo(bar);
    }
    this.#bars.delete(device);
  }
}
