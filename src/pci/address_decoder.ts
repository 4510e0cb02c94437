/**
 * Finds who decodes an address: sorted ranges, binary search, and the last hit remembered, since accesses come in runs.
 *
 * @module
 */
import type { AddressRange } from "./address_allocator.ts";

/** A decoded range and whose it is. */
export interface DecodedRange<Owner> extends AddressRange {
  /** Who answers. */
  readonly owner: Owner;
}

/** Ranges that never overlap, each with an owner. */
export class AddressDecoder<Owner> {
  readonly #ranges: DecodedRange<Owner>[] = [];
  #last: DecodedRange<Owner> | undefined;

  /** Adds a range. The caller has checked that it {@linkcode isFree}. */
  add(range: DecodedRange<Owner>): void {
    this.#ranges.splice(this.#firstAbove(range.address), 0, range);
  }

  /** Removes a range that was added. */
  remove(range: DecodedRange<Owner>): void {
    const at = this.#ranges.indexOf(range);
    if (at >= 0) this.#ranges.splice(at, 1);
    if (this.#last === range) this.#last = undefined;
  }

  /** Whether nobody but `except` decodes any address of a range. */
  isFree(range: AddressRange, except?: DecodedRange<Owner>): boolean {
    const end = range.address + range.length;
    for (let i = this.#firstAbove(range.address) - 1; i < this.#ranges.length; i++) {
      const other = this.#ranges[i];
      if (other === undefined || other === except) continue;
      if (other.address >= end) break;
      if (other.address + other.length > range.address) return false;
    }
    return true;
  }

  /** The range that holds all `width` bytes from `address`; undefined when there is none. */
  find(address: number, width: number): DecodedRange<Owner> | undefined {
    let range = this.#last;
    if (range === undefined || address < range.address || address >= range.address + range.length) {
      range = this.#ranges[this.#firstAbove(address) - 1];
      if (range === undefined) return undefined;
    }
    if (address + width > range.address + range.length) return undefined;
    this.#last = range;
    return range;
  }

  /** All ranges, ascending. */
  get ranges(): readonly DecodedRange<Owner>[] {
    return this.#ranges;
  }

  /** Index of the first range that starts above an address. */
  #firstAbove(address: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ranges[middle].address > address) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
