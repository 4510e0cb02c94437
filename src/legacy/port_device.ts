/**
 * The `PortDevice` seam: what a device on x86 I/O ports is to whoever dispatches the ports.
 *
 * @module
 */
import type { AccessWidth } from "../pci/device.ts";

/**
 * A device on a range of I/O ports. Neither method ever throws, whatever offset, width and value a guest picks: what
 * means nothing reads all ones and writes nothing.
 */
export interface PortDevice {
  /** Reads at an offset from the device's first port. The result is an unsigned number of `width` bytes. */
  readPort(offset: number, width: AccessWidth): number;
  /** Writes at an offset from the device's first port. */
  writePort(offset: number, width: AccessWidth, value: number): void;
}

/** What an 8-bit port reads at which nobody answers. */
export const OPEN_BUS = 0xff;

/** A device with 8-bit ports. A wider access reaches the ports one after the other, lowest first, as on an ISA bus. */
export abstract class BytePortDevice implements PortDevice {
  /** Reads one port: 0 to 255. */
  protected abstract readByte(offset: number): number;
  /** Writes one port: 0 to 255. */
  protected abstract writeByte(offset: number, value: number): void;

  /** See {@linkcode PortDevice.readPort}. */
  readPort(offset: number, width: AccessWidth): number {
    if (width === 1) return this.readByte(offset);
    let value = 0;
    for (let i = 0; i < width && i < 4; i++) value |= this.readByte(offset + i) << (8 * i);
    return value >>> 0;
  }

  /** See {@linkcode PortDevice.writePort}. */
  writePort(offset: number, width: AccessWidth, value: number): void {
    if (width === 1) return this.writeByte(offset, value & 0xff);
    for (let i = 0; i < width && i < 4; i++) this.writeByte(offset + i, (value >>> (8 * i)) & 0xff);
  }
}
