/**
 * The machine isolate's side of the ports that print: hands on what vCPU isolates collected, and brings input.
 *
 * @module
 */
import type { CharacterStream } from "../plugin/definition.ts";
import type { ByteChannel } from "./byte_channel.ts";
import { PanicWatch } from "./panic_watch.ts";
import type { SharedPorts } from "./shared_ports.ts";

const PIECE = 4096;

/** What is to be done when the serial port shows a kernel panic. */
export interface PanicConnections {
  /** The guest's kernel begins to panic, and still has things to print. */
  panicking(message: string): void;
  /** The guest's kernel has panicked and will do no more. */
  panicked(): void;
}

/** Where the ports' characters go. */
export interface PortStreams {
  readonly debug: CharacterStream;
  readonly serial: CharacterStream | undefined;
}

/** Moves characters between ports and streams. */
export class PortOutput {
  readonly #ports: SharedPorts;
  readonly #streams: PortStreams;
  readonly #panic: PanicWatch | undefined;
  readonly #piece = new Uint8Array(PIECE);
  /** Input that the serial port has not taken yet. */
  #held: Uint8Array = new Uint8Array(0);
  #isSerialHeldBack = false;

  /** @param panic Where a kernel's panic is told; undefined to let it pass. */
  constructor(ports: SharedPorts, streams: PortStreams, panic: PanicConnections | undefined) {
    this.#ports = ports;
    this.#streams = streams;
    this.#panic = panic && watchFor(panic);
    const { serial } = streams;
    if (serial === undefined) return;
    serial.onReadable = () => this.#bringInput();
    serial.onWritable = () => this.#isSerialHeldBack = false;
  }

  /** Moves what there is; returns whether there was anything. */
  move(): boolean {
    let moved = this.#drain(this.#ports.debugOutput, this.#streams.debug, undefined);
    const { serial } = this.#streams;
    if (serial === undefined) return moved;
    if (!this.#isSerialHeldBack && this.#drain(this.#ports.serialOutput, serial, this.#panic)) {
      this.#ports.resumeOutput();
      moved = true;
    }
    if (this.#ports.takeInputWanted()) this.#bringInput();
    return moved;
  }

  /** Whether {@linkcode move} would do anything. */
  get pending(): boolean {
    return !this.#isSerialHeldBack && this.#ports.pending;
  }

  /** Moves at most one piece: what a guest prints without end leaves time for everything else. */
  #drain(channel: ByteChannel, stream: CharacterStream, watch: PanicWatch | undefined): boolean {
    const count = channel.receive(this.#piece);
    if (count === 0) return false;
    if (watch !== undefined) { for (let i = 0; i < count; i++) watch.see(this.#piece[i]); }
    const isOpen = stream.write(this.#piece.subarray(0, count));
    if (stream === this.#streams.serial) this.#isSerialHeldBack = !isOpen;
    return true;
  }

  #bringInput(): void {
    const { serial } = this.#streams;
    while (serial !== undefined) {
      if (this.#held.length === 0) {
        const count = serial.read(this.#piece);
        if (count === 0) return;
        this.#held = this.#piece.slice(0, count);
      }
      this.#held = this.#held.subarray(this.#ports.receive(this.#held));
      if (this.#held.length > 0) return;
    }
  }
}

function watchFor(panic: PanicConnections): PanicWatch {
  return new PanicWatch((reason, isLast) => {
    if (isLast) panic.panicked();
    else panic.panicking(`the guest's kernel panicked: ${reason}`);
  });
}
