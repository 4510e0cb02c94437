/**
 * A ready base for PCI functions: configuration space, BARs with sizing and moves, and MSI-X.
 *
 * @example A function with one register that counts its reads
 * ```ts
 * import { PciFunction } from "./pci_function.ts";
 *
 * class Counter extends PciFunction {
 *   #reads = 0;
 *   constructor() {
 *     super({
 *       id: "counter",
 *       identity: { vendorId: 0x1234, deviceId: 0x0001, classCode: 0xff0000 },
 *       bars: [{ index: 0, kind: "memory32", size: 4096 }],
 *     });
 *   }
 *   protected override readRegister(_bar: number, offset: number): number {
 *     return offset === 0 ? ++this.#reads : 0;
 *   }
 * }
 * ```
 *
 * @module
 */
import { BaseAddressRegisters } from "./bars.ts";
import { ConfigurationSpace, type FunctionIdentity } from "./configuration_space.ts";
import type { AccessWidth, BarRequest, PciDevice, PciSlot } from "./device.ts";
import type { InterruptController } from "./interrupt_controller.ts";
import { Msix, msixCapability, type MsixPlacement } from "./msix.ts";
import * as registers from "./registers.ts";

/** A capability as a function declares it. */
export interface CapabilityDeclaration {
  /** Capability ID. */
  readonly id: number;
  /** What follows ID and next pointer. */
  readonly body: Uint8Array;
}

/** What a function is made of. */
export interface PciFunctionOptions {
  /** Unique name on its machine, for people. */
  readonly id: string;
  /** The header's constant fields. */
  readonly identity: FunctionIdentity;
  /** The BARs; none if omitted. */
  readonly bars?: readonly BarRequest[];
  /** Capabilities in the order of the list; that of MSI-X is appended. */
  readonly capabilities?: readonly CapabilityDeclaration[];
  /** MSI-X, if the function interrupts. */
  readonly msix?: MsixPlacement;
  /** Where the vectors come from; the slot's controller if omitted. */
  readonly interrupts?: InterruptController;
  /** Is told about failures that the guest cannot be told about. */
  readonly reportError?: (error: Error) => void;
}

/** A PCI function with the standard parts done. Extend it and override what is `protected`. */
export class PciFunction implements PciDevice {
  readonly id: string;
  readonly bars: readonly BarRequest[];
  /** Configuration space. */
  readonly configurationSpace: ConfigurationSpace;
  /** MSI-X; undefined for a function without. */
  readonly msix: Msix | undefined;
  /** Offset of each declared capability, in the order of the declaration. */
  readonly capabilityOffsets: readonly number[];
  readonly #registers: BaseAddressRegisters;
  readonly #placement: MsixPlacement | undefined;
  readonly #msixCapability: number;
  readonly #interrupts: InterruptController | undefined;

  /**
   * A function that is on no bus yet.
   *
   * @param options What the function is made of.
   * @throws {RangeError} BARs or capabilities are impossible.
   */
  constructor(options: PciFunctionOptions) {
    const { id, identity, bars = [], capabilities = [], msix, interrupts, reportError } = options;
    this.id = id;
    this.bars = bars;
    this.configurationSpace = new ConfigurationSpace(identity);
    const report = (error: Error): void => {
      reportError?.(new Error(`PCI function ${id}: ${error.message}`, { cause: error }));
    };
    const moved = (index: number, address: number | undefined): void => this.barMoved(index, address);
    this.#registers = new BaseAddressRegisters(this.configurationSpace, bars, moved, report);
    this.capabilityOffsets = capabilities.map(({ id, body }) => this.configurationSpace.addCapability(id, body));
    this.#placement = msix;
    this.#interrupts = interrupts;
    this.#msixCapability = 0;
    if (msix !== undefined) {
      this.msix = new Msix(msix.vectors, report);
      const at = this.configurationSpace.addCapability(registers.CAPABILITY_MSIX, msixCapability(msix));
      const control = at + registers.MSIX_MESSAGE_CONTROL;
      this.configurationSpace.allowWrites(control, 2, registers.MSIX_ENABLE | registers.MSIX_FUNCTION_MASK);
      this.#msixCapability = at;
    }
  }

  /** See {@linkcode PciDevice.attached}. Override to learn the slot; call `super.attached(slot)` first. */
  attached(slot: PciSlot): void {
    this.#registers.attach(slot);
    if (this.msix === undefined) return;
    const controller = this.#interrupts ?? slot.interrupts;
    if (controller === undefined) {
      throw new Error(
        `Cannot place PCI function ${this.id}: it uses MSI-X, but neither it nor the bus has an interrupt controller`,
      );
    }
    // Requester ID: bus 0, device, function 0.
    this.msix.connect(controller.allocate(this.id, slot.device << 3, this.msix.count));
  }

  /** See {@linkcode PciDevice.readConfiguration}. */
  readConfiguration(offset: number, width: AccessWidth): number {
    return this.configurationSpace.read(offset, width);
  }

  /** See {@linkcode PciDevice.writeConfiguration}. */
  writeConfiguration(offset: number, width: AccessWidth, value: number): void {
    const space = this.configurationSpace;
    const before = space.command;
    space.write(offset, width, value);
    const changed = before ^ space.command;
    if ((changed & (registers.COMMAND_IO_SPACE | registers.COMMAND_MEMORY_SPACE)) !== 0) this.#registers.update();
    else if (this.#registers.touches(offset, width)) this.#registers.update(offset);
    if ((changed & registers.COMMAND_BUS_MASTER) !== 0) this.busMasterChanged(this.busMaster);
    if (this.msix !== undefined) {
      this.msix.setControl(space.read(this.#msixCapability + registers.MSIX_MESSAGE_CONTROL, 2));
    }
  }

  /** See {@linkcode PciDevice.readBar}. The MSI-X structures are answered here, the rest by {@linkcode readRegister}. */
  readBar(index: number, offset: number, width: AccessWidth): number {
    const { msix } = this;
    const placement = this.#placement;
    if (msix !== undefined && placement !== undefined) {
      if (index === placement.tableBar) {
        const inside = offset - placement.tableOffset;
        if (inside >= 0 && inside < msix.tableSize) return msix.readTable(inside, width);
      }
      if (index === placement.pbaBar) {
        const inside = offset - placement.pbaOffset;
        if (inside >= 0 && inside < msix.pbaSize) return msix.readPending(inside, width);
      }
    }
    return this.readRegister(index, offset, width);
  }

  /** See {@linkcode PciDevice.writeBar}. */
  writeBar(index: number, offset: number, width: AccessWidth, value: number): void {
    const { msix } = this;
    const placement = this.#placement;
    if (msix !== undefined && placement !== undefined) {
      if (index === placement.tableBar) {
        const inside = offset - placement.tableOffset;
        if (inside >= 0 && inside < msix.tableSize) {
          msix.writeTable(inside, width, value);
          return;
        }
      }
      // The pending bits are read-only.
      if (index === placement.pbaBar) {
        const inside = offset - placement.pbaOffset;
        if (inside >= 0 && inside < msix.pbaSize) return;
      }
    }
    this.writeRegister(index, offset, width, value);
  }

  /** See {@linkcode PciDevice.reset}. Override to reset more; call `super.reset()`. */
  reset(): void {
    this.writeConfiguration(registers.COMMAND, 2, 0);
    this.configurationSpace.set(registers.CACHE_LINE_SIZE, 1, 0);
    this.configurationSpace.set(registers.INTERRUPT_LINE, 1, 0);
    this.#registers.reset();
    if (this.msix === undefined) return;
    this.msix.reset();
    this.configurationSpace.set(this.#msixCapability + registers.MSIX_MESSAGE_CONTROL, 2, this.msix.count - 1);
  }

  /** Gives interrupt vectors back. Override to free more; call `super[Symbol.dispose]()`. */
  [Symbol.dispose](): void {
    this.msix?.[Symbol.dispose]();
  }

  /** Command: Bus Master, without which a function may not touch memory. */
  get busMaster(): boolean {
    return (this.configurationSpace.command & registers.COMMAND_BUS_MASTER) !== 0;
  }

  /** Where a BAR is decoded now; undefined while it is not. */
  barAddress(index: number): number | undefined {
    return this.#registers.state(index)?.decoded;
  }

  /** Answers reads of BARs beside the MSI-X structures. Must not throw; unknown registers read 0. */
  protected readRegister(_bar: number, _offset: number, _width: AccessWidth): number {
    return 0;
  }

  /** Takes writes to BARs beside the MSI-X structures. Must not throw; unknown registers ignore them. */
  protected writeRegister(_bar: number, _offset: number, _width: AccessWidth, _value: number): void {}

  /** A BAR is decoded at another address now, or nowhere. Throwing takes the move back. */
  protected barMoved(_index: number, _address: number | undefined): void {}

  /** The guest changed Bus Master. */
  protected busMasterChanged(_enabled: boolean): void {}
}
