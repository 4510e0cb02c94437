/**
 * Debug exit: a guest without a driver ends its machine with a code of its choice.
 *
 * @module
 */
import type { AccessWidth } from "../pci/device.ts";
import { OPEN_BUS, type PortDevice } from "./port_device.ts";

/** Its customary port. */
export const DEBUG_EXIT_PORT = 0xf4;

/** Ends the machine when it is written. */
export class DebugExit implements PortDevice {
  readonly #exit: (code: number) => void;

  /** @param exit Is given the low byte of what the guest wrote. */
  constructor(exit: (code: number) => void) {
    this.#exit = exit;
  }

  /** See {@linkcode PortDevice.readPort}. */
  readPort(): number {
    return OPEN_BUS;
  }

  /** See {@linkcode PortDevice.writePort}. */
  writePort(offset: number, _width: AccessWidth, value: number): void {
    if (offset === 0) this.#exit(value & 0xff);
  }
}
