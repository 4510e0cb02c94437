/**
 * Hands out aligned ranges of an address window, first fit.
 *
 * @module
 */

/** A range of addresses or ports. */
export interface AddressRange {
  /** First address. */
  readonly address: number;
  /** Length in bytes. */
  readonly length: number;
}

/** Whether two ranges share an address. */
export function overlaps(a: AddressRange, b: AddressRange): boolean {
  return a.address < b.address + b.length && b.address < a.address + a.length;
}

/** An address range as people read it. */
export function formatRange({ address, length }: AddressRange): string {
  return `0x${address.toString(16)}-0x${(address + length - 1).toString(16)}`;
}

/** The free and taken ranges of one window. */
export class AddressAllocator {
  /** The window. */
  readonly window: AddressRange;
  readonly #excluded: readonly AddressRange[];
  /** Taken ranges, ascending, never overlapping. */
  readonly #taken: AddressRange[] = [];

  /**
   * @param window What may be handed out.
   * @param excluded What may not, though it lies in the window.
   */
  constructor(window: AddressRange, excluded: readonly AddressRange[] = []) {
    this.window = window;
    this.#excluded = excluded.filter((range) => overlaps(range, window));
  }

  /** Whether a range lies wholly in the window and touches nothing that is excluded. */
  permits(range: AddressRange): boolean {
    return range.address >= this.window.address
      && range.address + range.length <= this.window.address + this.window.length
      && !this.#excluded.some((excluded) => overlaps(excluded, range));
  }

  /**
   * Takes the lowest free range.
   *
   * @param length Bytes.
   * @param alignment Power of two.
   * @returns Its first address, or undefined when there is no room.
   */
  allocate(length: number, alignment: number): number | undefined {
    let address = alignUp(this.window.address, alignment);
    for (;;) {
      const range = { address, length };
      const obstacle = this.#excluded.find((excluded) => overlaps(excluded, range))
        ?? this.#taken.find((taken) => overlaps(taken, range));
      if (obstacle === undefined) return this.reserve(address, length) ? address : undefined;
      address = alignUp(obstacle.address + obstacle.length, alignment);
    }
  }

  /** Takes a given range; false when it is not wholly in the window or not wholly free. */
  reserve(address: number, length: number): boolean {
    const range = { address, length };
    if (!this.permits(range) || this.#taken.some((taken) => overlaps(taken, range))) return false;
    const at = this.#taken.findIndex((taken) => taken.address > address);
    this.#taken.splice(at < 0 ? this.#taken.length : at, 0, range);
    return true;
  }

  /** Gives back exactly what was taken; false when no such range is taken. */
  free(address: number, length: number): boolean {
    const at = this.#taken.findIndex((taken) => taken.address === address && taken.length === length);
    if (at < 0) return false;
    this.#taken.splice(at, 1);
    return true;
  }

  /** The taken ranges, ascending. */
  get taken(): readonly AddressRange[] {
    return this.#taken;
  }
}

/** The next multiple of `alignment`. */
function alignUp(address: number, alignment: number): number {
  return Math.ceil(address / alignment) * alignment;
}
