/**
 * The part of the i8042 keyboard controller that resets a PC.
 *
 * There is no keyboard behind it, and it says so quickly: its output buffer is always full, of nothing. A driver that
 * wants to empty the buffer first gives up after a few reads, rather than waiting half a second for each answer of a
 * self-test; one that only waits for room to write a command, as reset code does, never waits at all.
 *
 * @module
 */
import { BytePortDevice, OPEN_BUS } from "./port_device.ts";

/** First port (0x60, data) and number of ports up to the command port (0x64). */
export const I8042_PORT = 0x60;
/** See {@linkcode I8042_PORT}. Port 0x61 belongs to the interval timer. */
export const I8042_COMMAND_PORT = 0x64;

const COMMAND_OFFSET = I8042_COMMAND_PORT - I8042_PORT;
const STATUS_OUTPUT_FULL = 0x01;
/** The next data byte is written to the output port. */
const COMMAND_WRITE_OUTPUT_PORT = 0xd1;
/** Commands 0xf0-0xff pulse the output port's lines whose bits are 0. */
const COMMAND_PULSE = 0xf0;
/** Line 0 of the output port is the processor's reset, active low. */
const OUTPUT_NO_RESET = 0x01;

/** Keyboard controller without a keyboard. Offset 0 is port 0x60, offset 4 port 0x64. */
export class I8042 extends BytePortDevice {
  readonly #reset: () => void;
  #expectsOutputPort = false;

  /** @param reset The guest pulled the reset line. */
  constructor(reset: () => void) {
    super();
    this.#reset = reset;
  }

  protected readByte(offset: number): number {
    if (offset === COMMAND_OFFSET) return STATUS_OUTPUT_FULL;
    return offset === 0 ? 0 : OPEN_BUS;
  }

  protected writeByte(offset: number, value: number): void {
    if (offset === COMMAND_OFFSET) this.#command(value);
    else if (offset === 0) this.#data(value);
  }

  #command(command: number): void {
    this.#expectsOutputPort = command === COMMAND_WRITE_OUTPUT_PORT;
    if (command >= COMMAND_PULSE && (command & OUTPUT_NO_RESET) === 0) this.#reset();
  }

  #data(value: number): void {
    const isOutputPort = this.#expectsOutputPort;
    this.#expectsOutputPort = false;
    if (isOutputPort && (value & OUTPUT_NO_RESET) === 0) this.#reset();
  }
}
