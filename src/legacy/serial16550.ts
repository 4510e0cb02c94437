/**
 * Serial port 16550A. Registers and bits are those of the PC16550D data sheet, section 8.
 *
 * The line has no speed: a byte is on its way as soon as it is written, until the receiver is full; then the transmitter
 * is busy, as it would be behind a slow line, and the guest waits.
 *
 * @module
 */
import { ByteQueue, byteQueueWords } from "./byte_queue.ts";
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

/** Where each part of the state lies, in 32-bit words. */
const State = {
  interruptEnable: 0,
  lineControl: 1,
  modemControl: 2,
  modemStatus: 3,
  scratch: 4,
  divisor: 5,
  /** Whether the FIFOs are enabled: 0 or 1, as all that follow. */
  fifosEnabled: 6,
  triggerLevel: 7,
  isReceiverFull: 8,
  isInputHeldBack: 9,
  hasOverrun: 10,
  /** The holding register became empty and the guest has not been told yet. */
  isEmptyPending: 11,
  level: 12,
  received: 16,
  unsent: 16 + byteQueueWords(RECEIVE_FIFO),
  end: 16 + byteQueueWords(RECEIVE_FIFO) + byteQueueWords(TRANSMIT_FIFO),
} as const;

/** Words of a port's state. */
export const SERIAL_STATE_WORDS: number = State.end;

/**
 * A 16550A. Its state lies in words that it can be given, so that several isolates can each have an object for the same
 * port; they must then take turns by a lock.
 */
export class Serial16550 extends BytePortDevice {
  readonly #connections: SerialConnections;
  readonly #state: Int32Array;
  readonly #received: ByteQueue;
  /** Bytes that the receiver had no room for; the transmitter is busy while there are any. */
  readonly #unsent: ByteQueue;

  /**
   * @param connections Interrupt line and the other end of the cable.
   * @param state {@linkcode SERIAL_STATE_WORDS} words: of a port that was powered on, or all zero and yet to be.
   */
  constructor(connections: SerialConnections, state: Int32Array = Serial16550.powerOn()) {
    super();
    this.#connections = connections;
    this.#state = state;
    this.#received = new ByteQueue(state.subarray(State.received, State.unsent));
    this.#unsent = new ByteQueue(state.subarray(State.unsent, State.end));
  }

  /** Brings a port's state to what it is at power-on. */
  static powerOn(state: Int32Array = new Int32Array(SERIAL_STATE_WORDS)): Int32Array {
    state.fill(0);
    state[State.modemStatus] = CONNECTED;
    state[State.divisor] = DEFAULT_DIVISOR;
    state[State.triggerLevel] = 1;
    return state;
  }

  /**
   * Input from the outside.
   *
   * @returns How many bytes were taken. If that is not all, `receiverReady` will be called when there is room.
   */
  receive(data: Uint8Array): number {
    let taken = 0;
    while (taken < data.length && this.#received.push(data[taken])) taken++;
    if (taken < data.length) this.#state[State.isInputHeldBack] = 1;
    this.#updateLine();
    return taken;
  }

  /** The receiver of the output has room again. */
  transmitterReady(): void {
    this.#state[State.isReceiverFull] = 0;
    while (this.#state[State.isReceiverFull] === 0) {
      const byte = this.#unsent.shift();
      if (byte === undefined) break;
      this.#state[State.isReceiverFull] = Number(!this.#connections.transmit(byte));
    }
    this.#updateTransmitter();
  }

  protected readByte(offset: number): number {
    switch (offset) {
      case Register.data:
        return this.#hasDivisorAccess ? this.#state[State.divisor] & 0xff : this.#readData();
      case Register.interruptEnable:
        return this.#hasDivisorAccess ? this.#state[State.divisor] >> 8 : this.#state[State.interruptEnable];
      case Register.identification:
        return this.#readIdentification();
      case Register.lineControl:
        return this.#state[State.lineControl];
      case Register.modemControl:
        return this.#state[State.modemControl];
      case Register.lineStatus:
        return this.#readLineStatus();
      case Register.modemStatus:
        return this.#readModemStatus();
      case Register.scratch:
        return this.#state[State.scratch];
      default:
        return OPEN_BUS;
    }
  }

  protected writeByte(offset: number, value: number): void {
    switch (offset) {
      case Register.data:
        if (this.#hasDivisorAccess) this.#state[State.divisor] = (this.#state[State.divisor] & 0xff00) | value;
        else this.#writeData(value);
        break;
      case Register.interruptEnable:
        if (this.#hasDivisorAccess) this.#state[State.divisor] = (this.#state[State.divisor] & 0xff) | (value << 8);
        else this.#writeInterruptEnable(value);
        break;
      case Register.identification:
        this.#writeFifoControl(value);
        break;
      case Register.lineControl:
        this.#state[State.lineControl] = value;
        break;
      case Register.modemControl:
        this.#writeModemControl(value & MODEM_CONTROL_ALL);
        break;
      case Register.scratch:
        this.#state[State.scratch] = value;
        break;
    }
  }

  get #hasDivisorAccess(): boolean {
    return (this.#state[State.lineControl] & LINE_CONTROL_DIVISOR) !== 0;
  }

  get #isTransmitterEmpty(): boolean {
    return this.#state[State.isReceiverFull] === 0 && this.#unsent.length === 0;
  }

  /** The hottest exit of a booting guest: without interrupts it is one call. */
  #writeData(byte: number): void {
    if ((this.#state[State.modemControl] & MODEM_CONTROL_LOOPBACK) !== 0) this.#loopBack(byte);
    else if (this.#state[State.isReceiverFull] !== 0) this.#unsent.push(byte);
    else this.#state[State.isReceiverFull] = Number(!this.#connections.transmit(byte));
    if (this.#state[State.interruptEnable] !== 0) this.#updateTransmitter();
  }

  #loopBack(byte: number): void {
    if (!this.#received.push(byte)) this.#state[State.hasOverrun] = 1;
    this.#updateLine();
  }

  /** After bytes were written or sent: is there news about the holding register? */
  #updateTransmitter(): void {
    this.#state[State.isEmptyPending] = Number(this.#isTransmitterEmpty);
    this.#updateLine();
  }

  #readData(): number {
    const byte = this.#received.shift() ?? 0;
    this.#updateLine();
    if (this.#state[State.isInputHeldBack] !== 0 && this.#received.length === 0) {
      this.#state[State.isInputHeldBack] = 0;
      this.#connections.receiverReady?.();
    }
    return byte;
  }

  /** Enabling the interrupt of an empty transmitter raises it at once; drivers begin to send that way. */
  #writeInterruptEnable(value: number): void {
    const wasEnabled = (this.#state[State.interruptEnable] & Enable.transmitterEmpty) !== 0;
    this.#state[State.interruptEnable] = value & Enable.all;
    if (!wasEnabled) this.#state[State.isEmptyPending] = Number(this.#isTransmitterEmpty);
    this.#updateLine();
  }

  #readIdentification(): number {
    const source = this.#pendingSource();
    if (source === Identification.transmitterEmpty) {
      this.#state[State.isEmptyPending] = 0;
      this.#updateLine();
    }
    return source | (this.#state[State.fifosEnabled] !== 0 ? Identification.fifosEnabled : 0);
  }

  #writeFifoControl(value: number): void {
    const enabled = (value & FifoControl.enable) !== 0;
    const isChanged = enabled !== (this.#state[State.fifosEnabled] !== 0);
    this.#state[State.fifosEnabled] = Number(enabled);
    this.#state[State.triggerLevel] = enabled ? TRIGGER_LEVELS[value >> FifoControl.triggerShift] : 1;
    if (isChanged || (value & FifoControl.clearReceiver) !== 0) this.#received.clear();
    if (isChanged || (value & FifoControl.clearTransmitter) !== 0) this.#unsent.clear();
    this.#updateLine();
    if (this.#state[State.isInputHeldBack] !== 0 && this.#received.length === 0) {
      this.#state[State.isInputHeldBack] = 0;
      this.#connections.receiverReady?.();
    }
  }

  #readLineStatus(): number {
    const status = (this.#received.length > 0 ? LineStatus.received : 0)
      | (this.#state[State.hasOverrun] !== 0 ? LineStatus.overrun : 0)
      | (this.#isTransmitterEmpty ? LineStatus.holdingEmpty | LineStatus.transmitterEmpty : 0);
    if (this.#state[State.hasOverrun] !== 0) {
      this.#state[State.hasOverrun] = 0;
      this.#updateLine();
    }
    return status;
  }

  /** In loopback mode the modem's inputs come from our own outputs; a change sets the bit of the lower half. */
  #writeModemControl(value: number): void {
    this.#state[State.modemControl] = value;
    let inputs: number = CONNECTED;
    if ((value & MODEM_CONTROL_LOOPBACK) !== 0) {
      inputs = 0;
      for (const { output, input } of LOOPBACK) if ((value & output) !== 0) inputs |= input;
    }
    const changed = (inputs ^ this.#state[State.modemStatus]) >> 4;
    this.#state[State.modemStatus] = inputs | (this.#state[State.modemStatus] & 0x0f) | changed;
    this.#updateLine();
  }

  #readModemStatus(): number {
    const status = this.#state[State.modemStatus];
    this.#state[State.modemStatus] &= 0xf0;
    this.#updateLine();
    return status;
  }

  /** The pending and enabled source of the highest priority. */
  #pendingSource(): number {
    const enable = this.#state[State.interruptEnable];
    if ((enable & Enable.lineStatus) !== 0 && this.#state[State.hasOverrun] !== 0) return Identification.lineStatus;
    const waiting = this.#received.length;
    if ((enable & Enable.received) !== 0 && waiting > 0) {
      return waiting >= this.#state[State.triggerLevel] ? Identification.received : Identification.timeout;
    }
    if ((enable & Enable.transmitterEmpty) !== 0 && this.#state[State.isEmptyPending] !== 0) {
      return Identification.transmitterEmpty;
    }
    if ((enable & Enable.modemStatus) !== 0 && (this.#state[State.modemStatus] & 0x0f) !== 0) {
      return Identification.modemStatus;
    }
    return Identification.none;
  }

  #updateLine(): void {
    const level = this.#state[State.interruptEnable] !== 0 && this.#pendingSource() !== Identification.none;
    if (level === (this.#state[State.level] !== 0)) return;
    this.#state[State.level] = Number(level);
    this.#connections.interruptLine(level);
  }
}
