/**
 * Guest RAM as one array of bytes: bounds-checked, typed, allocation-free.
 *
 * All RAM lies in one host mapping, whatever holes the guest-physical layout has. A guest-physical address becomes an
 * index ("offset") into that mapping once, where it enters; from there on only indices are used.
 *
 * @module
 */

/** One contiguous range of guest-physical addresses backed by RAM. */
export interface MemoryRegion {
  /** First guest-physical address. */
  readonly address: number;
  /** Length in bytes. */
  readonly length: number;
  /** Index of the first byte in the mapping that holds all regions. */
  readonly offset: number;
}

/** The value that {@linkcode GuestMemory.offsetOf} returns for a range that is not RAM. */
export const NOT_RAM = -1;

/** Guest RAM: regions over one host mapping, seen through typed views of different widths. */
export class GuestMemory {
  /** Every byte of RAM, indexed by offset. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The same memory as 16-bit words; the index is `offset >>> 1` (use division above 4 GiB). */
  readonly words16: Uint16Array<ArrayBuffer>;
  /** The same memory as 32-bit words; the index is `offset / 4`. */
  readonly words32: Uint32Array<ArrayBuffer>;
  /** The same memory for accesses at any alignment. */
  readonly view: DataView<ArrayBuffer>;
  /** The regions in ascending order of address; they never overlap. */
  readonly regions: readonly MemoryRegion[];
  /** Address of the mapping in this process, for system calls; 0n where the memory is only an ArrayBuffer. */
  readonly hostAddress: bigint;

  /**
   * Memory over a mapping that somebody else owns.
   *
   * @param buffer The mapping that holds all regions.
   * @param regions Where its parts appear to the guest, in ascending order.
   * @param hostAddress Address of the mapping in this process.
   * @throws {RangeError} A region overlaps its neighbour, is empty, or reaches beyond the mapping.
   */
  constructor(buffer: ArrayBuffer, regions: readonly MemoryRegion[], hostAddress = 0n) {
    let end = 0;
    for (const region of regions) {
      const { address, length, offset } = region;
      if (address < end || length <= 0 || offset < 0 || offset + length > buffer.byteLength) {
        throw new RangeError(
          `Cannot lay out guest memory: region ${JSON.stringify(region)} is empty, overlaps the one before it `
            + `(which ends at 0x${end.toString(16)}) or exceeds the mapping of ${buffer.byteLength} bytes`,
        );
      }
      end = address + length;
    }
    this.bytes = new Uint8Array(buffer);
    this.words16 = new Uint16Array(buffer);
    this.words32 = new Uint32Array(buffer);
    this.view = new DataView(buffer);
    this.regions = regions;
    this.hostAddress = hostAddress;
  }

  /**
   * Memory of `length` bytes at address 0 that belongs to nobody else: for tests and tools.
   *
   * @example
   * ```ts
   * import { GuestMemory } from "./guest_memory.ts";
   * const memory = GuestMemory.allocate(1 << 20);
   * memory.bytes[memory.offsetOf(0x1000, 1)] = 42;
   * ```
   */
  static allocate(length: number): GuestMemory {
    return new GuestMemory(new ArrayBuffer(length), [{ address: 0, length, offset: 0 }]);
  }

  /** Total RAM in bytes. */
  get size(): number {
    return this.bytes.length;
  }

  /**
   * The index into {@linkcode bytes} of a guest-physical range, or {@linkcode NOT_RAM} when any byte of it is not RAM.
   * The only way from a guest's number to host memory. Never throws, never allocates.
   *
   * @param address Guest-physical address; anything but a safe non-negative integer is not RAM.
   * @param length Bytes, ≥ 0.
   */
  offsetOf(address: number, length: number): number {
    const regions = this.regions;
    for (let i = 0; i < regions.length; i++) {
      const region = regions[i];
      const inside = address - region.address;
      if (inside >= 0 && inside <= region.length && length <= region.length - inside) return region.offset + inside;
    }
    return NOT_RAM;
  }

  /**
   * Copies bytes into guest RAM.
   *
   * @throws {RangeError} The range is not wholly RAM.
   */
  write(address: number, data: Uint8Array): void {
    this.bytes.set(data, this.#require("write", address, data.length));
  }

  /**
   * A copy of a range of guest RAM.
   *
   * @throws {RangeError} The range is not wholly RAM.
   */
  read(address: number, length: number): Uint8Array<ArrayBuffer> {
    const offset = this.#require("read", address, length);
    return this.bytes.slice(offset, offset + length);
  }

  #require(verb: string, address: number, length: number): number {
    const offset = this.offsetOf(address, length);
    if (offset !== NOT_RAM) return offset;
    const ram = this.regions.map((r) => `0x${r.address.toString(16)}-0x${(r.address + r.length - 1).toString(16)}`);
    throw new RangeError(
      `Cannot ${verb} ${length} bytes at guest address 0x${address.toString(16)}: RAM is ${ram.join(", ")}`,
    );
  }
}
