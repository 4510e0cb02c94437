/**
 * VIRTIO_PCI_CAP_PCI_CFG (virtio 1.2, section 4.1.4.9): a window in configuration space through which firmware reaches the
 * structures before BARs are mapped.
 *
 * The driver writes `bar`, `offset` and `length`, then touches `pci_cfg_data`: an access that includes its first byte performs one
 * access of `length` bytes behind the window. The bytes after the first only hold what was read or what is to be written.
 *
 * @module
 */
import type { ConfigurationSpace } from "../pci/configuration_space.ts";
import type { AccessWidth } from "../pci/device.ts";
import {
  CAPABILITY_BAR,
  CAPABILITY_LENGTH,
  CAPABILITY_OFFSET,
  CAPABILITY_SIZE,
  STRUCTURES_BAR,
  STRUCTURES_BAR_SIZE,
} from "./capabilities.ts";

/** What the window opens on. */
export interface WindowTarget {
  /** Reads the BAR of the structures. */
  readBar(index: number, offset: number, width: AccessWidth): number;
  /** Writes the BAR of the structures. */
  writeBar(index: number, offset: number, width: AccessWidth, value: number): void;
}

/** The window of one function. */
export class PciConfigurationAccess {
  readonly #space: ConfigurationSpace;
  readonly #at: number;
  readonly #data: number;
  readonly #target: WindowTarget;

  /**
   * @param space Configuration space.
   * @param at Offset of the capability in it.
   * @param target What the window opens on.
   */
  constructor(space: ConfigurationSpace, at: number, target: WindowTarget) {
    this.#space = space;
    this.#at = at;
    this.#data = at + CAPABILITY_SIZE;
    this.#target = target;
    space.allowWrites(at + CAPABILITY_BAR, 1, 0xff);
    space.allowWrites(at + CAPABILITY_OFFSET, 4, 0xffff_ffff);
    space.allowWrites(at + CAPABILITY_LENGTH, 4, 0xffff_ffff);
    space.allowWrites(this.#data, 4, 0xffff_ffff);
  }

  /** Before a read of configuration space: fetches `pci_cfg_data` if the read includes it. */
  beforeRead(offset: number, width: AccessWidth): void {
    if (!this.#includesData(offset, width)) return;
    const length = this.#accessWidth();
    const value = length === undefined ? 0 : this.#target.readBar(STRUCTURES_BAR, this.#offset(), length);
    this.#space.set(this.#data, 4, value);
  }

  /** After a write of configuration space: performs the access if the write included `pci_cfg_data`. */
  afterWrite(offset: number, width: AccessWidth): void {
    if (!this.#includesData(offset, width)) return;
    const length = this.#accessWidth();
    if (length === undefined) return;
    this.#target.writeBar(STRUCTURES_BAR, this.#offset(), length, this.#space.read(this.#data, length));
  }

  /** Power-on state. */
  reset(): void {
    this.#space.set(this.#at + CAPABILITY_BAR, 1, STRUCTURES_BAR);
    this.#space.set(this.#at + CAPABILITY_OFFSET, 4, 0);
    this.#space.set(this.#at + CAPABILITY_LENGTH, 4, 0);
    this.#space.set(this.#data, 4, 0);
  }

  #includesData(offset: number, width: number): boolean {
    return offset <= this.#data && offset + width > this.#data;
  }

  #offset(): number {
    return this.#space.read(this.#at + CAPABILITY_OFFSET, 4);
  }

  /** The width of the access behind the window; undefined when what the driver wrote makes none. */
  #accessWidth(): AccessWidth | undefined {
    const length = this.#space.read(this.#at + CAPABILITY_LENGTH, 4);
    const offset = this.#offset();
    if (length !== 1 && length !== 2 && length !== 4) return undefined;
    if (this.#space.read(this.#at + CAPABILITY_BAR, 1) !== STRUCTURES_BAR) return undefined;
    return offset % length === 0 && offset + length <= STRUCTURES_BAR_SIZE ? length : undefined;
  }
}
