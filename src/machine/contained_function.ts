/**
 * A plugin's PCI function, fenced in: what it throws ends here, as a device's behind the virtio transport does.
 *
 * @module
 */
import type { AccessWidth, BarRequest, PciDevice, PciSlot } from "../pci/device.ts";
import { messageOf } from "../plugin/error.ts";

/** What an access reads that failed. */
const FAILED_READ = 0;

/** {@linkcode PciDevice} that never throws because of an access. */
export class ContainedFunction implements PciDevice {
  /** @inheritdoc */
  readonly id: string;
  /** @inheritdoc */
  readonly bars: readonly BarRequest[];
  readonly #device: PciDevice;
  readonly #report: (error: Error) => void;

  /**
   * @param device The plugin's function. Disposed with this one.
   * @param report Is told what went wrong. A guest can cause any number of these.
   */
  constructor(device: PciDevice, report: (error: Error) => void) {
    this.id = device.id;
    this.bars = device.bars;
    this.#device = device;
    this.#report = report;
  }

  /** Throws what the function throws: it cannot be placed. */
  attached(slot: PciSlot): void {
    this.#device.attached(slot);
  }

  /** @inheritdoc */
  readConfiguration(offset: number, width: AccessWidth): number {
    try {
      return this.#device.readConfiguration(offset, width);
    } catch (cause) {
      this.#fail("readConfiguration", cause);
      return FAILED_READ;
    }
  }

  /** @inheritdoc */
  writeConfiguration(offset: number, width: AccessWidth, value: number): void {
    try {
      this.#device.writeConfiguration(offset, width, value);
    } catch (cause) {
      this.#fail("writeConfiguration", cause);
    }
  }

  /** @inheritdoc */
  readBar(index: number, offset: number, width: AccessWidth): number {
    try {
      return this.#device.readBar(index, offset, width);
    } catch (cause) {
      this.#fail("readBar", cause);
      return FAILED_READ;
    }
  }

  /** @inheritdoc */
  writeBar(index: number, offset: number, width: AccessWidth, value: number): void {
    try {
      this.#device.writeBar(index, offset, width, value);
    } catch (cause) {
      this.#fail("writeBar", cause);
    }
  }

  /** @inheritdoc */
  reset(): void {
    try {
      this.#device.reset();
    } catch (cause) {
      this.#fail("reset", cause);
    }
  }

  /** @inheritdoc */
  [Symbol.dispose](): void {
    try {
      this.#device[Symbol.dispose]();
    } catch (cause) {
      this.#fail("disposing", cause);
    }
  }

  #fail(operation: string, cause: unknown): void {
    this.#report(new Error(`PCI function ${this.id}: ${operation} failed: ${messageOf(cause)}`, { cause }));
  }
}
