/**
 * The reset control register of PC chip sets: what ACPI names as the reset register, and what kernels try by themselves.
 *
 * @module
 */
import { BytePortDevice } from "./port_device.ts";

/** Its port, in the middle of PCI's configuration ports, told from them by its width. */
export const RESET_CONTROL_PORT = 0xcf9;

/** Which kind of reset is meant; kept, without effect here. */
const SYSTEM_RESET = 0x02;
/** Setting it resets. */
const RESET_CPU = 0x04;
/** A full reset, power cycle included. */
const FULL_RESET = 0x08;

/** Resets the machine. */
export class ResetControl extends BytePortDevice {
  readonly #reset: () => void;
  #kind = 0;

  /** @param reset Called when the guest resets the machine. */
  constructor(reset: () => void) {
    super();
    this.#reset = reset;
  }

  protected readByte(): number {
    return this.#kind;
  }

  protected writeByte(_offset: number, value: number): void {
    this.#kind = value & (SYSTEM_RESET | FULL_RESET);
    if ((value & RESET_CPU) !== 0) this.#reset();
  }
}
