/**
 * Debug port: text without a driver, one byte per write, as Bochs and QEMU have it.
 *
 * @module
 */
import { BytePortDevice } from "./port_device.ts";

/** Its customary port. */
export const DEBUG_PORT = 0xe9;

/** A sink of text. Reading it returns {@linkcode DEBUG_PORT}, by which a guest finds out whether it is there. */
export class DebugPort extends BytePortDevice {
  readonly #write: (byte: number) => void;

  /** @param write Takes a byte that the guest wrote. */
  constructor(write: (byte: number) => void) {
    super();
    this.#write = write;
  }

  protected readByte(): number {
    return DEBUG_PORT;
  }

  /** The bytes of a wide access are all text. */
  protected writeByte(_offset: number, value: number): void {
    this.#write(value);
  }
}
