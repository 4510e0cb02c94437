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

/** One port's way out. */
class Outlet {
  readonly #channel: ByteChannel;
  readonly #stream: CharacterStream;
  readonly #watch: PanicWatch | undefined;
  /** The receiver has fallen behind: what the port prints waits in the channel, and then the guest. */
  #isHeldBack = false;

  constructor(channel: ByteChannel, stream: CharacterStream, watch: PanicWatch | undefined) {
    this.#channel = channel;
    this.#stream = stream;
    this.#watch = watch;
    stream.onWritable = () => this.#isHeldBack = false;
  }

  /** Whether {@linkcode move} would do anything. */
  get pending(): boolean {
    return !this.#isHeldBack && !this.#channel.isEmpty;
  }

  /** Moves at most one piece: what a guest prints without end leaves time for everything else. */
  move(piece: Uint8Array): boolean {
    return !this.#isHeldBack && this.#take(piece);
  }

  /** Moves all that is left, however far behind the receiver is: a channel holds little. */
  finish(piece: Uint8Array): void {
    while (this.#take(piece));
  }

  #take(piece: Uint8Array): boolean {
    const count = this.#channel.receive(piece);
    if (count === 0) return false;
    if (this.#watch !== undefined) { for (let i = 0; i < count; i++) this.#watch.see(piece[i]); }
    this.#isHeldBack = !this.#stream.write(piece.subarray(0, count));
    return true;
  }
}

/** Moves characters between ports and streams. */
export class PortOutput {
  readonly #ports: SharedPorts;
  readonly #serialStream: CharacterStream | undefined;
  readonly #debug: Outlet;
  readonly #serial: Outlet | undefined;
  readonly #piece = new Uint8Array(PIECE);
  /** Input that the serial port has not taken yet. */
  #held: Uint8Array = new Uint8Array(0);

  /** @param panic Where a kernel's panic is told; undefined to let it pass. */
  constructor(ports: SharedPorts, streams: PortStreams, panic: PanicConnections | undefined) {
    const { debug, serial } = streams;
    this.#ports = ports;
    this.#serialStream = serial;
    this.#debug = new Outlet(ports.debugOutput, debug, undefined);
    if (serial === undefined) return;
    this.#serial = new Outlet(ports.serialOutput, serial, panic && watchFor(panic));
    serial.onReadable = () => this.#bringInput();
  }

  /** Moves what there is; returns whether there was anything. */
  move(): boolean {
    let moved = this.#debug.move(this.#piece);
    if (this.#serial === undefined) return moved;
    if (this.#serial.move(this.#piece)) {
      this.#ports.resumeOutput();
      moved = true;
    }
    if (this.#ports.takeInputWanted()) this.#bringInput();
    return moved;
  }

  /** Moves what is left when the guest prints no more. */
  finish(): void {
    this.#debug.finish(this.#piece);
    this.#serial?.finish(this.#piece);
  }

  /** Whether {@linkcode move} would do anything. */
  get pending(): boolean {
    return this.#debug.pending || (this.#serial?.pending ?? false) || this.#ports.isInputWanted;
  }

  #bringInput(): void {
    const serial = this.#serialStream;
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
