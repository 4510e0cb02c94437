/**
 * The ports that print: the serial port and the debug port. A booting guest writes them thousands of times, a byte an exit,
 * so that vCPU isolates answer them themselves. The port's state lies in shared memory, under a lock; what was printed goes to
 * the machine isolate through a channel, in batches.
 *
 * @module
 */
import { DEBUG_PORT, DebugPort } from "../legacy/debug_port.ts";
import { Serial16550, SERIAL_PORT_COUNT, SERIAL_STATE_WORDS } from "../legacy/serial16550.ts";
import type { AccessWidth } from "../pci/device.ts";
import { ByteChannel, channelBytes } from "./byte_channel.ts";
import { acquire, LOCK_HELD, release } from "./shared_lock.ts";

/** First port and interrupt line of COM1. */
export const SERIAL_PORT = 0x3f8;
/** See {@linkcode SERIAL_PORT}. */
export const SERIAL_INTERRUPT = 4;

/** Bytes a guest can print before it has to wait for the machine isolate. */
const CHANNEL_CAPACITY = 16384;

/** The block's words and, behind them, its channels. */
const Word = {
  lock: 0,
  /** The serial port has room for input again. */
  inputWanted: 1,
  /** The serial port could not print. */
  outputHeldBack: 2,
  /** Of the debug port alone, since its writer may wait for the machine isolate. */
  debugLock: 3,
  serialState: 4,
  end: 4 + SERIAL_STATE_WORDS,
} as const;
const SERIAL_CHANNEL: number = Word.end * 4;
const DEBUG_CHANNEL: number = SERIAL_CHANNEL + channelBytes(CHANNEL_CAPACITY);

/** Bytes of the block that all isolates of a machine share. */
export const SHARED_PORTS_BYTES: number = DEBUG_CHANNEL + channelBytes(CHANNEL_CAPACITY);

/** What the ports need of the isolate that they are used in. */
export interface SharedPortsHost {
  /** Sets the serial port's interrupt line. */
  interruptLine(level: boolean): void;
  /** There is something to print, or room for input: the machine isolate should look, if it sleeps. */
  call(): void;
  /** Whether this isolate is to end: nobody takes what it prints any more. */
  stopping(): boolean;
}

/** The ports as one isolate uses them. */
export class SharedPorts {
  readonly #words: Int32Array;
  readonly #serial: Serial16550;
  readonly #debug: DebugPort;
  /** What the serial port printed. */
  readonly serialOutput: ByteChannel;
  /** What the debug port printed. */
  readonly debugOutput: ByteChannel;

  /**
   * @param block {@linkcode SHARED_PORTS_BYTES} bytes, all zero when the machine is made.
   * @param host Services of this isolate.
   */
  constructor(block: SharedArrayBuffer, host: SharedPortsHost) {
    this.#words = new Int32Array(block, 0, Word.end);
    this.serialOutput = new ByteChannel(block, SERIAL_CHANNEL, CHANNEL_CAPACITY);
    this.debugOutput = new ByteChannel(block, DEBUG_CHANNEL, CHANNEL_CAPACITY);
    this.#serial = new Serial16550({
      interruptLine: (level) => host.interruptLine(level),
      transmit: (byte) => {
        const sent = this.serialOutput.send(byte);
        if (!sent) Atomics.store(this.#words, Word.outputHeldBack, 1);
        host.call();
        return sent;
      },
      receiverReady: () => {
        Atomics.store(this.#words, Word.inputWanted, 1);
        host.call();
      },
    }, this.#words.subarray(Word.serialState, Word.end));
    this.#debug = new DebugPort((byte) => this.#printDebug(byte, host));
  }

  /** Brings the ports to what they are at power-on. */
  powerOn(): void {
    Serial16550.powerOn(this.#words.subarray(Word.serialState, Word.end));
  }

  /** Reads a port that is one of these. */
  read(port: number, width: AccessWidth): number {
    if (port === DEBUG_PORT) return this.#debug.readPort(0, width);
    acquire(this.#words, Word.lock);
    try {
      return this.#serial.readPort(port - SERIAL_PORT, width);
    } finally {
      release(this.#words, Word.lock);
    }
  }

  /** Writes a port that is one of these. */
  write(port: number, width: AccessWidth, value: number): void {
    const word = port === DEBUG_PORT ? Word.debugLock : Word.lock;
    acquire(this.#words, word);
    try {
      if (port === DEBUG_PORT) this.#debug.writePort(0, width, value);
      else this.#serial.writePort(port - SERIAL_PORT, width, value);
    } finally {
      release(this.#words, word);
    }
  }

  /** Input for the serial port; returns how many bytes it took. */
  receive(data: Uint8Array): number {
    acquire(this.#words, Word.lock);
    try {
      return this.#serial.receive(data);
    } finally {
      release(this.#words, Word.lock);
    }
  }

  /** Whether the serial port has room for input again; asked once per answer. */
  takeInputWanted(): boolean {
    return Atomics.exchange(this.#words, Word.inputWanted, 0) !== 0;
  }

  /** To be called after the serial port's output was received: lets it go on if it had to wait. */
  resumeOutput(): void {
    if (Atomics.exchange(this.#words, Word.outputHeldBack, 0) === 0) return;
    acquire(this.#words, Word.lock);
    try {
      this.#serial.transmitterReady();
    } finally {
      release(this.#words, Word.lock);
    }
  }

  /** Whether the serial port has room for input again, without taking note of it. */
  get isInputWanted(): boolean {
    return Atomics.load(this.#words, Word.inputWanted) !== 0;
  }

  /** The debug port has no flow control: its writer waits for room, however long that takes. */
  #printDebug(byte: number, host: SharedPortsHost): void {
    while (!this.debugOutput.send(byte) && !host.stopping()) {
      Atomics.wait(this.#words, Word.debugLock, LOCK_HELD, DEBUG_PAUSE_MILLISECONDS);
    }
    host.call();
  }
}

/** After so long the debug port's writer looks again whether there is room. */
const DEBUG_PAUSE_MILLISECONDS = 1;

/** The ports that are answered here, as ranges of first port and count. */
export function sharedPortRanges(withSerial: boolean): readonly (readonly [first: number, count: number])[] {
  return withSerial ? [[DEBUG_PORT, 1], [SERIAL_PORT, SERIAL_PORT_COUNT]] : [[DEBUG_PORT, 1]];
}
