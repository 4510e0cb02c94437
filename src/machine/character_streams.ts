/**
 * Character streams of devices: to a file, to nowhere, or by way of the control isolate to a terminal or a script.
 *
 * @module
 */
import { type Descriptor, OpenFlag, openPath } from "../../ffi/descriptor.ts";
import { writeFully } from "../../ffi/file_io.ts";
import type { CharacterStream } from "../plugin/definition.ts";
import { CREDIT_BASE, type FromMachine, INPUT_CREDIT_BASE, STREAM_HIGH_WATER, STREAM_LIMIT } from "./protocol.ts";

/** Output is handed on when so many bytes are there, at the end of a line, or when the machine goes to sleep. */
const BATCH_BYTES = 4096;
const LINE_FEED = 0x0a;
const NEW_FILE_MODE = 0o644;
const FILE_PREFIX = "file=";

/** Is told of an error and of the operation in which it was thrown. */
export type CallFailed = (operation: string, cause: unknown) => void;

/** All character streams of a machine. */
export class CharacterStreams implements Disposable {
  readonly #credit: Int32Array;
  readonly #post: (message: FromMachine) => void;
  readonly #keepFiles: boolean;
  readonly #forwarded: ForwardedStream[] = [];
  readonly #all: Disposable[] = [];

  /**
   * @param shared The words shared with the control isolate.
   * @param post Sends a message there.
   * @param keepFiles Whether output to a file is added to what is in it, instead of replacing it.
   */
  constructor(shared: SharedArrayBuffer, post: (message: FromMachine) => void, keepFiles = false) {
    this.#credit = new Int32Array(shared);
    this.#post = post;
    this.#keepFiles = keepFiles;
  }

  /**
   * Opens a stream: `null`, `file=PATH`, or any other name for one that the control isolate serves.
   *
   * @param failed Is told what the stream's owner throws when it is called back, and during what.
   * @throws {Error} The file cannot be made, or there are too many streams.
   */
  open(name: string, failed?: CallFailed): CharacterStream {
    const stream = name === "null"
      ? new NullStream(failed)
      : name.startsWith(FILE_PREFIX)
      ? new FileStream(name.slice(FILE_PREFIX.length), this.#keepFiles, failed)
      : this.#forward(name, failed);
    this.#all.push(stream);
    return stream;
  }

  /** Input has come for a stream. */
  input(stream: number, data: Uint8Array): void {
    this.#forwarded[stream]?.receive(data);
  }

  /** The terminal behind a stream has a new size. */
  resize(stream: number, columns: number, rows: number): void {
    this.#forwarded[stream]?.resize(columns, rows);
  }

  /** The receiver of a stream has caught up. */
  drained(stream: number): void {
    this.#forwarded[stream]?.drained();
  }

  /** Hands on what was collected. */
  flush(): void {
    for (let i = 0; i < this.#forwarded.length; i++) this.#forwarded[i].flush();
  }

  /** Flushes and closes all streams. */
  [Symbol.dispose](): void {
    this.flush();
    for (const stream of this.#all) stream[Symbol.dispose]();
  }

  #forward(name: string, failed: CallFailed | undefined): ForwardedStream {
    const index = this.#forwarded.length;
    if (index >= STREAM_LIMIT) {
      throw new Error(`Cannot open the character stream "${name}": a machine has at most ${STREAM_LIMIT} of them`);
    }
    const stream = new ForwardedStream(index, this.#credit, this.#post, failed);
    this.#forwarded.push(stream);
    this.#post({ type: "stream", stream: index, name });
    return stream;
  }
}

abstract class BaseStream implements CharacterStream {
  onReadable: (() => void) | undefined;
  onWritable: (() => void) | undefined;
  onResize: (() => void) | undefined;
  columns = 0;
  rows = 0;
  readonly #failed: CallFailed | undefined;

  constructor(failed: CallFailed | undefined) {
    this.#failed = failed;
  }

  abstract write(data: Uint8Array): boolean;

  read(_into: Uint8Array): number {
    return 0;
  }

  [Symbol.dispose](): void {
    this.onReadable = this.onWritable = this.onResize = undefined;
  }

  /** Calls the owner back; what it throws is its own trouble, not the machine's. */
  protected call(operation: "onReadable" | "onWritable" | "onResize"): void {
    try {
      this[operation]?.();
    } catch (cause) {
      if (this.#failed === undefined) throw cause;
      this.#failed(operation, cause);
    }
  }
}

class NullStream extends BaseStream {
  write(_data: Uint8Array): boolean {
    return true;
  }
}

class FileStream extends BaseStream {
  readonly #file: Descriptor;

  constructor(path: string, keep: boolean, failed: CallFailed | undefined) {
    super(failed);
    const flags = OpenFlag.writeOnly | OpenFlag.create | OpenFlag.append | (keep ? 0 : OpenFlag.truncate);
    this.#file = openPath(path, flags, NEW_FILE_MODE);
  }

  write(data: Uint8Array): boolean {
    writeFully(this.#file.fd, new Uint8Array(data));
    return true;
  }

  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    this.#file[Symbol.dispose]();
  }
}

class ForwardedStream extends BaseStream {
  readonly #index: number;
  readonly #credit: Int32Array;
  readonly #post: (message: FromMachine) => void;
  readonly #batch = new Uint8Array(BATCH_BYTES);
  #batched = 0;
  readonly #input: Uint8Array[] = [];
  #inputAt = 0;
  #heldBack = false;

  constructor(
    index: number,
    credit: Int32Array,
    post: (message: FromMachine) => void,
    failed: CallFailed | undefined,
  ) {
    super(failed);
    this.#index = index;
    this.#credit = credit;
    this.#post = post;
  }

  write(data: Uint8Array): boolean {
    if (this.#batched + data.length > BATCH_BYTES) this.flush();
    if (data.length > BATCH_BYTES) this.#send(data.slice());
    else {
      this.#batch.set(data, this.#batched);
      this.#batched += data.length;
      if (data[data.length - 1] === LINE_FEED) this.flush();
    }
    if (Atomics.load(this.#credit, CREDIT_BASE + this.#index) < STREAM_HIGH_WATER) return true;
    this.#heldBack = true;
    return false;
  }

  flush(): void {
    if (this.#batched === 0) return;
    const data = this.#batch.slice(0, this.#batched);
    this.#batched = 0;
    this.#send(data);
  }

  override read(into: Uint8Array): number {
    let taken = 0;
    while (taken < into.length && this.#input.length > 0) {
      const first = this.#input[0];
      const count = Math.min(first.length - this.#inputAt, into.length - taken);
      into.set(first.subarray(this.#inputAt, this.#inputAt + count), taken);
      taken += count;
      this.#inputAt += count;
      if (this.#inputAt === first.length) {
        this.#input.shift();
        this.#inputAt = 0;
      }
    }
    const word = INPUT_CREDIT_BASE + this.#index;
    const before = Atomics.sub(this.#credit, word, taken);
    if (before >= STREAM_HIGH_WATER && before - taken < STREAM_HIGH_WATER) {
      this.#post({ type: "input-drained", stream: this.#index });
    }
    return taken;
  }

  receive(data: Uint8Array): void {
    this.#input.push(data);
    this.call("onReadable");
  }

  resize(columns: number, rows: number): void {
    this.columns = columns;
    this.rows = rows;
    this.call("onResize");
  }

  drained(): void {
    if (!this.#heldBack) return;
    this.#heldBack = false;
    this.call("onWritable");
  }

  #send(data: Uint8Array<ArrayBuffer>): void {
    Atomics.add(this.#credit, CREDIT_BASE + this.#index, data.length);
    this.#post({ type: "output", stream: this.#index, data });
  }
}
