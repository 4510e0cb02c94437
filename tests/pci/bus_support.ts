/** A bus with the windows of a small machine and a function that remembers what is done to it. */
import { PciBus } from "../../src/pci/bus.ts";
import type { AccessWidth, BarRequest } from "../../src/pci/device.ts";
import { PciFunction } from "../../src/pci/pci_function.ts";

export const RAM = { address: 0, length: 0xc000_0000 };
export const MEMORY32 = { address: 0xc000_0000, length: 0x2000_0000 };
export const ECAM = { address: 0xe000_0000, length: 0x10_0000 };
export const IOAPIC = { address: 0xfec0_0000, length: 0x1000 };
export const MEMORY64 = { address: 0x40_0000_0000, length: 0x40_0000_0000 };
export const IO = { address: 0x1000, length: 0x8000 };

export function smallBus(): PciBus {
  return new PciBus({
    windows: { memory32: MEMORY32, memory64: MEMORY64, io: IO },
    reserved: [RAM, ECAM, IOAPIC],
  });
}

/** A function whose registers answer with their own offset and which notes everything. */
export class NotingFunction extends PciFunction {
  readonly moves: [number, number | undefined][] = [];
  readonly writes: [number, number, AccessWidth, number][] = [];
  readonly busMasterChanges: boolean[] = [];
  readonly errors: Error[] = [];
  /** Moving there throws. */
  forbidden: number | undefined;

  constructor(id: string, bars: readonly BarRequest[]) {
    const errors: Error[] = [];
    super({
      id,
      identity: { vendorId: 0x1234, deviceId: 0x5678, classCode: 0xff0000 },
      bars,
      reportError: (error) => void errors.push(error),
    });
    this.errors = errors;
  }

  protected override readRegister(bar: number, offset: number, width: AccessWidth): number {
    return (bar * 0x100_0000 + offset) % 2 ** (8 * width);
  }

  protected override writeRegister(bar: number, offset: number, width: AccessWidth, value: number): void {
    this.writes.push([bar, offset, width, value]);
  }

  protected override barMoved(index: number, address: number | undefined): void {
    if (address !== undefined && address === this.forbidden) throw new Error("no room for a doorbell");
    this.moves.push([index, address]);
  }

  protected override busMasterChanged(enabled: boolean): void {
    this.busMasterChanges.push(enabled);
  }
}
