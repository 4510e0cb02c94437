/**
 * The `PciDevice` seam: what a PCI function is to the bus, whoever drives the bus (our own machine, a vfio-user client,
 * a test).
 *
 * @module
 */
import type { InterruptController } from "./interrupt_controller.ts";

/** Bytes of one access. An 8-byte access of a guest arrives as two 4-byte ones, low half first. */
export type AccessWidth = 1 | 2 | 4;

/** What a Base Address Register decodes. */
export type BarKind = "memory32" | "memory64" | "io";

/** One Base Address Register as its function wants it. */
export interface BarRequest {
  /** 0-5; a `memory64` BAR takes the next index too. */
  readonly index: number;
  /** Kind of address space. */
  readonly kind: BarKind;
  /** A power of two, ≥ 16 for memory and ≥ 4 for I/O. */
  readonly size: number;
  /** Whether reads have no side effects. */
  readonly prefetchable?: boolean;
}

/** Where a BAR is decoded now. */
export interface BarMapping {
  /** The BAR's index. */
  readonly index: number;
  /** Guest-physical address (or port) of its first byte. */
  readonly address: number;
}

/**
 * A PCI function, the value that sits on a bus.
 *
 * Life: constructed → placed on a bus ({@linkcode attached}) → configuration accesses, BAR accesses, moves → disposed.
 * None of the access methods may throw because of what a guest does: a wrong access reads 0 and writes nothing.
 */
export interface PciDevice extends Disposable {
  /** Unique name on its machine, for people. */
  readonly id: string;
  /** The BARs to be allocated before the guest runs. */
  readonly bars: readonly BarRequest[];
  /** The bus has placed the function and tells how it can be reached. */
  attached(slot: PciSlot): void;
  /** Reads configuration space at a byte offset below 4096. */
  readConfiguration(offset: number, width: AccessWidth): number;
  /** Writes configuration space at a byte offset below 4096. */
  writeConfiguration(offset: number, width: AccessWidth, value: number): void;
  /** Reads at a byte offset of a BAR. The result is an unsigned number of `width` bytes. */
  readBar(index: number, offset: number, width: AccessWidth): number;
  /** Writes at a byte offset of a BAR. */
  writeBar(index: number, offset: number, width: AccessWidth, value: number): void;
  /** The function is reset as by power-on. */
  reset(): void;
}

/** What the bus gives to a function that it has placed. */
export interface PciSlot {
  /** Device number, 0-31. */
  readonly device: number;
  /** Where the BARs were allocated. The function writes them to its configuration space. */
  readonly allocated: readonly BarMapping[];
  /** Where a function without a controller of its own gets interrupt vectors; absent on a bus without interrupts. */
  readonly interrupts?: InterruptController;
  /**
   * The function asks that a BAR be decoded at another address, or not at all (`undefined`). The bus checks for
   * overlaps, moves the decoding and reports whether it did. On `false` nothing has changed.
   */
  decode(index: number, address: number | undefined): boolean;
}
