/**
 * Panic notification: a guest tells that it crashed (QEMU's pvpanic interface, which Linux has a driver for).
 *
 * @module
 */
import { BytePortDevice, OPEN_BUS } from "./port_device.ts";

/** Its customary port. */
export const PVPANIC_PORT = 0x505;

/** The events, as bits; reading the port tells which of them are understood. */
export const PanicEvent = {
  /** The guest has panicked and will do no more. */
  panicked: 0x01,
  /** The guest has panicked, and a kernel that saves its memory goes on. */
  crashLoaded: 0x02,
} as const satisfies Readonly<Record<string, number>>;

const SUPPORTED = PanicEvent.panicked | PanicEvent.crashLoaded;

/** Panic notification. */
export class PvPanic extends BytePortDevice {
  readonly #report: (event: keyof typeof PanicEvent) => void;

  /** @param report Is told each event. */
  constructor(report: (event: keyof typeof PanicEvent) => void) {
    super();
    this.#report = report;
  }

  protected readByte(offset: number): number {
    return offset === 0 ? SUPPORTED : OPEN_BUS;
  }

  /** Of both events the final one counts. */
  protected writeByte(offset: number, value: number): void {
    if (offset !== 0) return;
    if ((value & PanicEvent.panicked) !== 0) this.#report("panicked");
    else if ((value & PanicEvent.crashLoaded) !== 0) this.#report("crashLoaded");
  }
}
