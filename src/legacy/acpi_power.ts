/**
 * Sleep and reset registers of a hardware-reduced ACPI machine (ACPI 6.5, 4.8.3.6 to 4.8.3.8). The FADT and the DSDT name
 * the ports and values that are exported here.
 *
 * @module
 */
import { BytePortDevice, OPEN_BUS } from "./port_device.ts";

/** First port. */
export const ACPI_POWER_PORT = 0x600;
/** How many ports it decodes. */
export const ACPI_POWER_PORT_COUNT = 8;
/** FADT SLEEP_CONTROL_REG: one byte in I/O space. */
export const SLEEP_CONTROL_PORT: number = ACPI_POWER_PORT + 0;
/** FADT SLEEP_STATUS_REG: one byte in I/O space. */
export const SLEEP_STATUS_PORT: number = ACPI_POWER_PORT + 1;
/** FADT RESET_REG: one byte in I/O space. */
export const RESET_PORT: number = ACPI_POWER_PORT + 4;
/** FADT RESET_VALUE. */
export const RESET_VALUE = 0x01;
/** SLP_TYP of soft-off, for the DSDT's `\_S5` package. */
export const SLEEP_TYPE_SOFT_OFF = 5;

const Offset = { sleepControl: 0, sleepStatus: 1, reset: 4 } as const;
/** Sleep control register: SLP_TYPx in bits 2 to 4, SLP_EN in bit 5. */
const SLEEP_TYPE_SHIFT = 2;
const SLEEP_TYPE_MASK = 0x07;
const SLEEP_ENABLE = 0x20;
/** The machine has never slept: WAK_STS is clear. */
const SLEEP_STATUS = 0x00;

/** What a guest can ask for. */
export type PowerRequest = "poweroff" | "reset";

/** Sleep and reset registers. */
export class AcpiPower extends BytePortDevice {
  readonly #request: (request: PowerRequest) => void;

  /** @param request Is told what the guest wants. */
  constructor(request: (request: PowerRequest) => void) {
    super();
    this.#request = request;
  }

  protected readByte(offset: number): number {
    // SLP_EN always reads as zero, and no sleep type is in effect.
    return offset === Offset.sleepControl || offset === Offset.sleepStatus ? SLEEP_STATUS : OPEN_BUS;
  }

  protected writeByte(offset: number, value: number): void {
    if (offset === Offset.reset && value === RESET_VALUE) this.#request("reset");
    if (offset !== Offset.sleepControl || (value & SLEEP_ENABLE) === 0) return;
    const type = (value >> SLEEP_TYPE_SHIFT) & SLEEP_TYPE_MASK;
    if (type === SLEEP_TYPE_SOFT_OFF) this.#request("poweroff");
  }
}
