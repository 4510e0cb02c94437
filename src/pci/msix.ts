/**
 * MSI-X (PCI 3.0, section 6.8.2): the vector table, the pending bits, the masks, over an {@linkcode InterruptVectors} seam.
 *
 * A vector is attached to the interrupt controller exactly while MSI-X is enabled and neither mask is set, so that not even the holder of its
 * notifier can get past a mask.
 *
 * @module
 */
import type { AccessWidth } from "./device.ts";
import type { InterruptVectors } from "./interrupt_controller.ts";
import * as registers from "./registers.ts";

/** "No vector": what a virtio driver reads where none is bound. Any vector beyond the table is treated alike. */
export const NO_VECTOR = 0xffff;

/** 32-bit words of one table entry. */
const ENTRY_WORDS = registers.MSIX_ENTRY_SIZE / 4;
const ADDRESS_LOW = 0;
const ADDRESS_HIGH = 1;
const DATA = 2;
const VECTOR_CONTROL = 3;

/** The MSI-X capability of one function (6.8.2.3-5), without ID and next pointer. */
export function msixCapability(
  { vectors, tableBar, tableOffset, pbaBar, pbaOffset }: MsixPlacement,
): Uint8Array {
  const body = new DataView(new ArrayBuffer(registers.MSIX_CAPABILITY_SIZE - registers.CAPABILITY_HEADER_SIZE));
  body.setUint16(registers.MSIX_MESSAGE_CONTROL - registers.CAPABILITY_HEADER_SIZE, vectors - 1, true);
  body.setUint32(registers.MSIX_TABLE_OFFSET - registers.CAPABILITY_HEADER_SIZE, tableOffset | tableBar, true);
  body.setUint32(registers.MSIX_PBA_OFFSET - registers.CAPABILITY_HEADER_SIZE, pbaOffset | pbaBar, true);
  return new Uint8Array(body.buffer);
}

/** Where a function keeps its MSI-X structures. */
export interface MsixPlacement {
  /** Number of vectors, 1-2048. */
  readonly vectors: number;
  /** BAR of the table. */
  readonly tableBar: number;
  /** Offset of the table in its BAR, a multiple of 8. */
  readonly tableOffset: number;
  /** BAR of the pending bits. */
  readonly pbaBar: number;
  /** Offset of the pending bits in their BAR, a multiple of 8. */
  readonly pbaOffset: number;
}

/** The MSI-X state of one function. */
export class Msix {
  /** Number of vectors. */
  readonly count: number;
  /** The table as 32-bit words, four per entry. Plain state. */
  readonly table: Uint32Array<ArrayBuffer>;
  /** The pending bits as 32-bit words. Plain state. */
  readonly pending: Uint32Array<ArrayBuffer>;
  /** MSI-X Enable. */
  enabled = false;
  /** Function Mask. */
  functionMasked = false;
  readonly #reportError: (error: Error) => void;
  /** Which vectors are attached to the controller, and with which message. */
  readonly #attached: (boolean | undefined)[] = [];
  #vectors: InterruptVectors | undefined;

  /**
   * A table with all entries masked.
   *
   * @param count Number of vectors.
   * @param reportError Is told when the controller fails on something that the guest asked for.
   * @throws {RangeError} The count is not 1-2048.
   */
  constructor(count: number, reportError: (error: Error) => void) {
    if (!(count >= 1 && count <= registers.MSIX_MAXIMUM_VECTORS)) {
      throw new RangeError(
        `Cannot make an MSI-X table of ${count} vectors: expected 1-${registers.MSIX_MAXIMUM_VECTORS}`,
      );
    }
    this.count = count;
    this.table = new Uint32Array(count * ENTRY_WORDS);
    this.pending = new Uint32Array(2 * Math.ceil(count / 64));
    this.#reportError = reportError;
    this.#maskAll();
  }

  /** Takes over the vectors that the controller has allocated. */
  connect(vectors: InterruptVectors): void {
    this.#vectors = vectors;
    this.#attached.length = 0;
    this.#apply();
  }

  /** Bytes of the table. */
  get tableSize(): number {
    return this.count * registers.MSIX_ENTRY_SIZE;
  }

  /** Bytes of the pending bit array: whole 8-byte words. */
  get pbaSize(): number {
    return this.pending.length * 4;
  }

  /** Reads the table: aligned 4-byte accesses only, everything else reads 0. */
  readTable(offset: number, width: AccessWidth): number {
    return width === 4 && offset % 4 === 0 ? this.table[offset / 4] ?? 0 : 0;
  }

  /** Writes the table: aligned 4-byte accesses only, everything else is ignored. */
  writeTable(offset: number, width: AccessWidth, value: number): void {
    const word = offset / 4;
    if (width !== 4 || offset % 4 !== 0 || !(word < this.table.length)) return;
    const field = word % ENTRY_WORDS;
    // Reserved bits of Vector Control read 0, those of the address keep it dword-aligned (6.8.2.6, 6.8.2.9).
    const kept = field === VECTOR_CONTROL
      ? value & registers.MSIX_ENTRY_MASKED
      : field === ADDRESS_LOW
      ? value & ~3
      : value;
    if (this.table[word] === kept >>> 0) return;
    this.table[word] = kept;
    const vector = Math.trunc(word / ENTRY_WORDS);
    if (field !== VECTOR_CONTROL) this.#detach(vector);
    this.#applyTo(vector);
  }

  /** Reads the pending bits: aligned 4-byte accesses only. They cannot be written. */
  readPending(offset: number, width: AccessWidth): number {
    return width === 4 && offset % 4 === 0 ? this.pending[offset / 4] ?? 0 : 0;
  }

  /** The guest wrote Message Control. */
  setControl(control: number): void {
    const enabled = (control & registers.MSIX_ENABLE) !== 0;
    const masked = (control & registers.MSIX_FUNCTION_MASK) !== 0;
    if (enabled === this.enabled && masked === this.functionMasked) return;
    this.enabled = enabled;
    this.functionMasked = masked;
    this.#apply();
  }

  /** Whether either mask holds a vector back. */
  masked(vector: number): boolean {
    return this.functionMasked
      || (this.table[vector * ENTRY_WORDS + VECTOR_CONTROL] & registers.MSIX_ENTRY_MASKED) !== 0;
  }

  /**
   * Raises a vector: delivered, or marked pending while masked. Vectors beyond the table and a disabled MSI-X swallow it.
   *
   * @returns Whether the message went out.
   */
  trigger(vector: number): boolean {
    if (!this.enabled || !(vector < this.count)) return false;
    if (this.masked(vector)) {
      this.pending[vector >>> 5] |= 1 << (vector & 31);
      return false;
    }
    return this.#deliver(vector);
  }

  /** The event descriptor of a vector, to be handed to the kernel or to another process; undefined where there is none. */
  notifier(vector: number): number | undefined {
    return vector < this.count ? this.#vectors?.notifier(vector) : undefined;
  }

  /** Power-on state: disabled, all entries zero and masked, nothing pending. */
  reset(): void {
    this.enabled = false;
    this.functionMasked = false;
    this.#apply();
    this.#maskAll();
    this.pending.fill(0);
  }

  /** Gives the vectors back to the controller. */
  [Symbol.dispose](): void {
    this.enabled = false;
    this.#vectors?.[Symbol.dispose]();
    this.#vectors = undefined;
  }

  #maskAll(): void {
    this.table.fill(0);
    for (let i = VECTOR_CONTROL; i < this.table.length; i += ENTRY_WORDS) this.table[i] = registers.MSIX_ENTRY_MASKED;
  }

  #apply(): void {
    for (let vector = 0; vector < this.count; vector++) this.#applyTo(vector);
  }

  /** Attaches or detaches one vector as enable and masks want it, and delivers what was pending. */
  #applyTo(vector: number): void {
    if (!this.enabled || this.masked(vector)) {
      this.#detach(vector);
      return;
    }
    if (!this.#attach(vector)) return;
    const bit = 1 << (vector & 31);
    if ((this.pending[vector >>> 5] & bit) === 0) return;
    this.pending[vector >>> 5] &= ~bit;
    this.#deliver(vector);
  }

  #attach(vector: number): boolean {
    if (this.#attached[vector] === true) return true;
    const at = vector * ENTRY_WORDS;
    try {
      this.#vectors?.attach(vector, this.table[at + ADDRESS_LOW], this.table[at + ADDRESS_HIGH], this.table[at + DATA]);
      this.#attached[vector] = true;
      return true;
    } catch (cause) {
      this.#reportError(new Error(`Cannot attach MSI-X vector ${vector}: its interrupts are lost`, { cause }));
      return false;
    }
  }

  #detach(vector: number): void {
    if (this.#attached[vector] !== true) return;
    this.#attached[vector] = false;
    try {
      this.#vectors?.detach(vector);
    } catch (cause) {
      this.#reportError(
        new Error(`Cannot detach MSI-X vector ${vector}: it may be delivered though masked`, { cause }),
      );
    }
  }

  #deliver(vector: number): boolean {
    if (this.#attached[vector] !== true) return false;
    try {
      this.#vectors?.trigger(vector);
      return true;
    } catch (cause) {
      this.#reportError(new Error(`Cannot deliver MSI-X vector ${vector}`, { cause }));
      return false;
    }
  }
}
