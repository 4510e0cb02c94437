/**
 * Serial port 16550A. Registers and bits are those of the PC16550D data sheet, section 8.
 *
 * The line has no speed: a byte is on its way as soon as it is written, until the receiver is full; then the transmitter
 * is busy, as it would be behind a slow line, and the guest waits.
 *
 * @module
 */
import { ByteQueue } from "./byte_queue.ts";
import { BytePortDevice, OPEN_BUS } from "./port_device.ts";

/** How a serial port reaches the rest of the machine. */
export interface SerialConnections {
  /** Raises or lowers the interrupt line. Called on changes only. */
  interruptLine(level: boolean): void;
  /** Takes a byte that the guest sent. False: no more until {@linkcode Serial16550.transmitterReady} is called. */
  transmit(byte: number): boolean;
  /** There is room again for input after {@linkcode Serial16550.receive} took less than all. */
  receiverReady?(): void;
}

/** How many ports it decodes. */
export const SERIAL_PORT_COUNT = 8;

/** Offsets of the registers; two lie elsewhere while DLAB is set. */
const Register = {
  /** Receiver buffer when read, transmitter holding when written; divisor low with DLAB. */
  data: 0,
  /** Interrupt enable; divisor high with DLAB. */
  interruptEnable: 1,
  /** Interrupt identification when read, FIFO control when written. */
  identification: 2,
  lineControl: 3,
  modemControl: 4,
  lineStatus: 5,
  modemStatus: 6,
  scratch: 7,
} as const;

/** Interrupt enable register: one bit per source. */
const Enable = { received: 0x01, transmitterEmpty: 0x02, lineStatus: 0x04, modemStatus: 0x08, all: 0x0f } as const;

/** Interrupt identification register: the pending source of the highest priority. */
const Identification = {
  modemStatus: 0x00,
  none: 0x01,
  transmitterEmpty: 0x02,
  received: 0x04,
  lineStatus: 0x06,
  /** Fewer bytes than the trigger level have waited for a while. */
  timeout: 0x0c,
  fifosEnabled: 0xc0,
} as const;

/** FIFO control register. */
const FifoControl = { enable: 0x01, clearReceiver: 0x02, clearTransmitter: 0x04, triggerShift: 6 } as const;
/** Bytes that must wait before "received" is signalled, by the two upper bits of the FIFO control register. */
const TRIGGER_LEVELS = [1, 4, 8, 14];

const LINE_CONTROL_DIVISOR = 0x80;
const MODEM_CONTROL_LOOPBACK = 0x10;
const MODEM_CONTROL_ALL = 0x1f;

/** Line status register. */
const LineStatus = { received: 0x01, overrun: 0x02, holdingEmpty: 0x20, transmitterEmpty: 0x40 } as const;

/** Modem status register: the inputs, and in the lower half which of them changed. */
const ModemStatus = { clearToSend: 0x10, dataSetReady: 0x20, ringIndicator: 0x40, carrierDetect: 0x80 } as const;
/** The other end is always there and ready. */
const CONNECTED = ModemStatus.clearToSend | ModemStatus.dataSetReady | ModemStatus.carrierDetect;

/** Which output of the modem control register feeds which input in loopback mode. */
const LOOPBACK = [
  { output: 0x01, input: ModemStatus.dataSetReady },
  { output: 0x02, input: ModemStatus.clearToSend },
  { output: 0x04, input: ModemStatus.ringIndicator },
  { output: 0x08, input: ModemStatus.carrierDetect },
];

const TRANSMIT_FIFO = 16;
/** More than the 16 bytes of the chip: fewer interrupts for a paste, and drivers read on while data is ready. */
const RECEIVE_FIFO = 256;
/** 9600 bit/s, which means nothing here. */
const DEFAULT_DIVISOR = 12;

/** A 16550A. */
export class Serial16550 extends BytePortDevice {
  readonly #connections: SerialConnections;
  readonly #received = new ByteQueue(RECEIVE_FIFO);
  /** Bytes that the receiver had no room for; the transmitter is busy while there are any. */
  readonly #unsent = new ByteQueue(TRANSMIT_FIFO);

  #interruptEnable = 0;
  #lineControl = 0;
  #modemControl = 0;
  #modemStatus: number = CONNECTED;
  #scratch = 0;
  #divisor = DEFAULT_DIVISOR;
  #fifosEnabled = false;
  #triggerLevel = 1;

  #isReceiverFull = false;
  #isInputHeldBack = false;
  #hasOverrun = false;
  /** The holding register became empty and the guest has not been told yet. */
  #isEmptyPending = false;
  #level = false;

  /** @param connections Interrupt line and the other end of the cable. */
  constructor(connections: SerialConnections) {
    super();
    this.#connections = connections;
  }

  /**
   * Input from the outside.
   *
   * @returns How many bytes were taken. If that is not all, `receiverReady` will be called when there is room.
   */
  receive(data: Uint8Array): number {
    let taken = 0;
    while (taken < data.length && this.#received.push(data[taken])) taken++;
    this.#isInputHeldBack ||= taken < data.length;
    this.#updateLine();
    return taken;
  }

  /** The receiver of the output has room again. */
  transmitterReady(): void {
    this.#isReceiverFull = false;
    while (!this.#isReceiverFull) {
      const byte = this.#unsent.shift();
      if (byte === undefined) break;
      this.#isReceiverFull = !this.#connections.transmit(byte);
    }
    this.#updateTransmitter();
  }

  protected readByte(offset: number): number {
    switch (offset) {
      case Register.data:
        return this.#hasDivisorAccess ? this.#divisor & 0xff : this.#readData();
      case Register.interruptEnable:
        return this.#hasDivisorAccess ? this.#divisor >> 8 : this.#interruptEnable;
      case Register.identification:
        return this.#readIdentification();
      case Register.lineControl:
        return this.#lineControl;
      case Register.modemControl:
        return this.#modemControl;
      case Register.lineStatus:
        return this.#readLineStatus();
      case Register.modemStatus:
        return this.#readModemStatus();
      case Register.scratch:
        return this.#scratch;
      default:
        return OPEN_BUS;
    }
  }

  protected writeByte(offset: number, value: number): void {
    switch (offset) {
      case Register.data:
        if (this.#hasDivisorAccess) this.#divisor = (this.#divisor & 0xff00) | value;
        else this.#writeData(value);
        break;
      case Register.interruptEnable:
        if (this.#hasDivisorAccess) this.#divisor = (this.#divisor & 0xff) | (value << 8);
        else this.#writeInterruptEnable(value);
        break;
      case Register.identification:
        this.#writeFifoControl(value);
        break;
      case Register.lineControl:
        this.#lineControl = value;
        break;
      case Register.modemControl:
        this.#writeModemControl(value & MODEM_CONTROL_ALL);
        break;
      case Register.scratch:
        this.#scratch = value;
        break;
    }
  }

  get #hasDivisorAccess(): boolean {
    return (this.#lineControl & LINE_CONTROL_DIVISOR) !== 0;
  }

  get #isTransmitterEmpty(): boolean {
    return !this.#isReceiverFull && this.#unsent.length === 0;
  }

  /** The hottest exit of a booting guest: without interrupts it is one call. */
  #writeData(byte: number): void {
    if ((this.#modemControl & MODEM_CONTROL_LOOPBACK) !== 0) this.#loopBack(byte);
    else if (this.#isReceiverFull) this.#unsent.push(byte);
    else this.#isReceiverFull = !this.#connections.transmit(byte);
    if (this.#interruptEnable !== 0) this.#updateTransmitter();
  }

  #loopBack(byte: number): void {
    if (!this.#received.push(byte)) this.#hasOverrun = true;
    this.#updateLine();
  }

  /** After bytes were written or sent: is there news about the holding register? */
  #updateTransmitter(): void {
    this.#isEmptyPending = this.#isTransmitterEmpty;
    this.#updateLine();
  }

  #readData(): number {
    const byte = this.#received.shift() ?? 0;
    this.#updateLine();
    if (this.#isInputHeldBack && this.#received.length === 0) {
      this.#isInputHeldBack = false;
      this.#connections.receiverReady?.();
    }
    return byte;
  }

  /** Enabling the interrupt of an empty transmitter raises it at once; drivers begin to send that way. */
  #writeInterruptEnable(value: number): void {
    const wasEnabled = (this.#interruptEnable & Enable.transmitterEmpty) !== 0;
    this.#interruptEnable = value & Enable.all;
    if (!wasEnabled) this.#isEmptyPending = this.#isTransmitterEmpty;
    this.#updateLine();
  }

  #readIdentification(): number {
    const source = this.#pendingSource();
    if (source === Identification.transmitterEmpty) {
      this.#isEmptyPending = false;
      this.#updateLine();
    }
    return source | (this.#fifosEnabled ? Identification.fifosEnabled : 0);
  }

  #writeFifoControl(value: number): void {
    const enabled = (value & FifoControl.enable) !== 0;
    const isChanged = enabled !== this.#fifosEnabled;
    this.#fifosEnabled = enabled;
    this.#triggerLevel = enabled ? TRIGGER_LEVELS[value >> FifoControl.triggerShift] : 1;
    if (isChanged || (value & FifoControl.clearReceiver) !== 0) this.#received.clear();
    if (isChanged || (value & FifoControl.clearTransmitter) !== 0) this.#unsent.clear();
    this.#updateLine();
    if (this.#isInputHeldBack && this.#received.length === 0) {
      this.#isInputHeldBack = false;
      this.#connections.receiverReady?.();
    }
  }

  #readLineStatus(): number {
    const status = (this.#received.length > 0 ? LineStatus.received : 0)
      | (this.#hasOverrun ? LineStatus.overrun : 0)
      | (this.#isTransmitterEmpty ? LineStatus.holdingEmpty | LineStatus.transmitterEmpty : 0);
    if (this.#hasOverrun) {
      this.#hasOverrun = false;
      this.#updateLine();
    }
    return status;
  }

  /** In loopback mode the modem's inputs come from our own outputs; a change sets the bit of the lower half. */
  #writeModemControl(value: number): void {
    this.#modemControl = value;
    let inputs: number = CONNECTED;
    if ((value & MODEM_CONTROL_LOOPBACK) !== 0) {
      inputs = 0;
      for (const { output, input } of LOOPBACK) if ((value & output) !== 0) inputs |= input;
    }
    const changed = (inputs ^ this.#modemStatus) >> 4;
    this.#modemStatus = inputs | (this.#modemStatus & 0x0f) | changed;
    this.#updateLine();
  }

  #readModemStatus(): number {
    const status = this.#modemStatus;
    this.#modemStatus &= 0xf0;
    this.#updateLine();
    return status;
  }

  /** The pending and enabled source of the highest priority. */
  #pendingSource(): number {
    const enable = this.#interruptEnable;
    if ((enable & Enable.lineStatus) !== 0 && this.#hasOverrun) return Identification.lineStatus;
    const waiting = this.#received.length;
    if ((enable & Enable.received) !== 0 && waiting > 0) {
      return waiting >= this.#triggerLevel ? Identification.received : Identification.timeout;
    }
    if ((enable & Enable.transmitterEmpty) !== 0 && this.#isEmptyPending) return Identification.transmitterEmpty;
    if ((enable & Enable.modemStatus) !== 0 && (this.#modemStatus & 0x0f) !== 0) return Identification.modemStatus;
    return Identification.none;
  }

  #updateLine(): void {
    const level = this.#interruptEnable !== 0 && this.#pendingSource() !== Identification.none;
    if (level === this.#level) return;
    this.#level = level;
    this.#connections.interruptLine(level);
  }
}
