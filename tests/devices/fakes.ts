/**
 * The device's side of the seams, faked: a queue that a test fills with buffers, a host with a file in memory and a stream.
 *
 * @module
 */
import { GuestMemory } from "../../src/memory/guest_memory.ts";
import type {
  Activation,
  CharacterStream,
  DescriptorChain,
  DeviceFile,
  DeviceHost,
  OpenFileOptions,
  QueueDeclaration,
  VirtioDevice,
  Virtqueue,
} from "../../src/plugin/api.ts";

/** A buffer as a test describes it: what the device can read, or how many bytes it can write. */
export type FakeBuffer = Uint8Array | number;

const MEMORY_SIZE = 4 << 20;
const FIRST_BUFFER = 0x1000;

/** A chain of buffers in the memory of a {@linkcode FakeQueue}. */
export class FakeChain implements DescriptorChain {
  readonly count: number;
  readonly readableCount: number;
  readonly readableLength: number;
  readonly writableLength: number;
  readonly offsets: Float64Array;
  readonly lengths: Uint32Array;
  /** Bytes written as the device says; undefined until it has returned the chain. */
  used: number | undefined;

  constructor(readonly queue: FakeQueue, readonly slot: number, buffers: readonly FakeBuffer[]) {
    const lengths = buffers.map((buffer) => typeof buffer === "number" ? buffer : buffer.length);
    this.count = buffers.length;
    this.readableCount = buffers.filter((buffer) => typeof buffer !== "number").length;
    this.readableLength = sum(lengths.slice(0, this.readableCount));
    this.writableLength = sum(lengths.slice(this.readableCount));
    this.lengths = Uint32Array.from(lengths);
    this.offsets = Float64Array.from(lengths, (length) => queue.allocate(length));
    buffers.forEach((buffer, i) => {
      if (typeof buffer !== "number") queue.memory.bytes.set(buffer, this.offsets[i]);
    });
  }

  /** What the writable buffers hold now. */
  get written(): Uint8Array {
    const content = new Uint8Array(this.writableLength);
    this.#copy(this.readableCount, this.count, 0, content.length, (offset, length, at) => {
      content.set(this.queue.memory.bytes.subarray(offset, offset + length), at);
    });
    return content;
  }

  read(at: number, into: Uint8Array): number {
    return this.#copy(0, this.readableCount, at, into.length, (offset, length, done) => {
      into.set(this.queue.memory.bytes.subarray(offset, offset + length), done);
    });
  }

  write(at: number, from: Uint8Array): number {
    return this.#copy(this.readableCount, this.count, at, from.length, (offset, length, done) => {
      this.queue.memory.bytes.set(from.subarray(done, done + length), offset);
    });
  }

  readU8(at: number): number {
    return this.#number(at, 1);
  }

  readU16(at: number): number {
    return this.#number(at, 2);
  }

  readU32(at: number): number {
    return this.#number(at, 4);
  }

  readU64(at: number): number {
    const value = this.readU32(at) + this.readU32(at + 4) * 2 ** 32;
    if (at + 8 > this.readableLength) return 0;
    return Number.isSafeInteger(value) ? value : NaN;
  }

  writeU8(at: number, value: number): void {
    if (at >= 0) this.write(at, Uint8Array.of(value));
  }

  #number(at: number, width: number): number {
    const bytes = new Uint8Array(width);
    if (this.read(at, bytes) < width) return 0;
    return bytes.reduceRight((value, byte) => value * 256 + byte, 0);
  }

  #copy(
    first: number,
    end: number,
    at: number,
    length: number,
    each: (offset: number, length: number, done: number) => void,
  ): number {
    let skip = at;
    let done = 0;
    for (let i = first; i < end && done < length; i++) {
      const part = Math.min(this.lengths[i] - skip, length - done);
      if (part > 0) {
        each(this.offsets[i] + skip, part, done);
        done += part;
      }
      skip = Math.max(0, skip - this.lengths[i]);
    }
    return done;
  }
}

/** A queue whose chains a test adds. */
export class FakeQueue implements Virtqueue {
  readonly memory: GuestMemory = GuestMemory.allocate(MEMORY_SIZE);
  readonly available: FakeChain[] = [];
  /** Chains that the device has returned, in order. */
  readonly returned: FakeChain[] = [];
  /** How often the device asked to be notified again. */
  deferred = 0;
  /** How many chains may be popped before the wake-up is over. */
  budget: number = Infinity;
  #popped: FakeChain | undefined;
  #slots = 0;
  #nextOffset = FIRST_BUFFER;

  constructor(readonly index: number, readonly size: number) {}

  /** Makes a chain available. */
  add(...buffers: FakeBuffer[]): FakeChain {
    const chain = new FakeChain(this, this.#slots++ % this.size, buffers);
    this.available.push(chain);
    return chain;
  }

  allocate(length: number): number {
    const offset = this.#nextOffset;
    this.#nextOffset += length;
    if (this.#nextOffset > MEMORY_SIZE) throw new RangeError("The fake queue's memory is used up");
    return offset;
  }

  pop(): FakeChain | undefined {
    if (this.budget <= 0) return undefined;
    this.#popped = this.available.shift();
    if (this.#popped !== undefined) this.budget--;
    return this.#popped;
  }

  undoPop(): void {
    if (this.#popped !== undefined) this.available.unshift(this.#popped);
    this.#popped = undefined;
  }

  push(chain: DescriptorChain, written: number): void {
    if (!(chain instanceof FakeChain) || chain.queue !== this) throw new Error("A chain was returned to a wrong queue");
    if (chain.used !== undefined) throw new Error("A chain was returned twice");
    if (!(written >= 0 && written <= chain.writableLength)) {
      throw new RangeError(`${written} bytes were not written: the chain has room for ${chain.writableLength}`);
    }
    chain.used = written;
    this.returned.push(chain);
  }

  defer(): void {
    this.deferred++;
  }
}

/** One call of a device to its file. */
export interface FileOperation {
  readonly kind: "read" | "write" | "flush" | "discard" | "writeZeroes";
  readonly chain: DescriptorChain;
  readonly position: number;
  readonly length: number;
  readonly mayDeallocate?: boolean;
}

/** A file in memory whose operations complete when the test says so, or at once. */
export class FakeFile implements DeviceFile {
  readonly content: Uint8Array;
  readonly pending: (() => void)[] = [];
  /** Everything that was asked for. */
  readonly operations: FileOperation[] = [];
  /** Whether operations wait for {@linkcode drain}. */
  holdsBack = false;
  /** When not 0, the result of the operations that follow. */
  failure = 0;
  isClosed = false;

  constructor(
    readonly size: number,
    readonly options: OpenFileOptions,
    readonly blockSize: number = 512,
  ) {
    this.content = Uint8Array.from({ length: size }, (_, i) => (i * 7 + (i >> 9)) & 0xff);
  }

  read(chain: DescriptorChain, at: number, length: number, position: number): void {
    this.#start({ kind: "read", chain, position, length }, () => {
      // A device such as /dev/urandom has no size and any number of bytes.
      const content = this.size === 0 ? new Uint8Array(length).fill(0x5a) : this.#slice(position, length);
      if (chain.write(at, content) !== length) throw new RangeError("A read exceeds its chain");
    });
  }

  write(chain: DescriptorChain, at: number, length: number, position: number): void {
    this.#start({ kind: "write", chain, position, length }, () => {
      if (chain.read(at, this.#slice(position, length)) !== length) throw new RangeError("A write exceeds its chain");
    });
  }

  flush(chain: DescriptorChain): void {
    this.#start({ kind: "flush", chain, position: 0, length: 0 }, () => {});
  }

  discard(chain: DescriptorChain, position: number, length: number): void {
    this.#start({ kind: "discard", chain, position, length }, () => void this.#slice(position, length).fill(0));
  }

  writeZeroes(chain: DescriptorChain, position: number, length: number, mayDeallocate: boolean): void {
    const operation: FileOperation = { kind: "writeZeroes", chain, position, length, mayDeallocate };
    this.#start(operation, () => void this.#slice(position, length).fill(0));
  }

  readSync(into: Uint8Array, position: number): number {
    const content = this.content.subarray(position, position + into.length);
    into.set(content);
    return content.length;
  }

  drain(): void {
    for (let next = this.pending.shift(); next !== undefined; next = this.pending.shift()) next();
  }

  [Symbol.dispose](): void {
    this.drain();
    this.isClosed = true;
  }

  #start(operation: FileOperation, act: () => void): void {
    if (this.isClosed) throw new Error("A closed file was used");
    this.operations.push(operation);
    const result = this.failure !== 0 ? this.failure : operation.length;
    this.pending.push(() => {
      if (result >= 0) act();
      this.options.completed(operation.chain, result);
    });
    if (!this.holdsBack) this.drain();
  }

  #slice(position: number, length: number): Uint8Array {
    if (!(position >= 0 && position + length <= this.size)) throw new RangeError("An operation exceeds its file");
    return this.content.subarray(position, position + length);
  }
}

/** A stream that keeps what is written and gives what a test types. */
export class FakeStream implements CharacterStream {
  onReadable: (() => void) | undefined;
  onWritable: (() => void) | undefined;
  onResize: (() => void) | undefined;
  columns = 80;
  rows = 25;
  output = "";
  /** How many more writes are taken before the receiver is behind. */
  room = Infinity;
  waiting: Uint8Array = new Uint8Array(0);
  isClosed = false;

  write(data: Uint8Array): boolean {
    if (this.room <= 0) throw new Error("The device wrote although the receiver is behind");
    this.output += String.fromCharCode(...data);
    return --this.room > 0;
  }

  read(into: Uint8Array): number {
    const taken = this.waiting.subarray(0, into.length);
    into.set(taken);
    this.waiting = this.waiting.subarray(taken.length);
    return taken.length;
  }

  /** Input arrives. */
  type(text: string): void {
    this.waiting = new Uint8Array([...this.waiting, ...new TextEncoder().encode(text)]);
    this.onReadable?.();
  }

  /** The receiver catches up, with room for so many writes. */
  catchUp(room: number): void {
    this.room = room;
    this.onWritable?.();
  }

  [Symbol.dispose](): void {
    this.isClosed = true;
  }
}

/** A host that keeps what the device does. */
export class FakeHost implements DeviceHost {
  readonly id = "dev0";
  readonly messages: string[] = [];
  readonly resetReasons: string[] = [];
  readonly stream: FakeStream = new FakeStream();
  configurationChanges = 0;
  opened: { readonly path: string; readonly file: FakeFile } | undefined;

  constructor(readonly fileSize: number = 0, readonly fileBlockSize: number = 512) {}

  /** The file that the device has opened. */
  get file(): FakeFile {
    if (this.opened === undefined) throw new Error("The device has opened no file");
    return this.opened.file;
  }

  log(message: string): void {
    this.messages.push(message);
  }

  configurationChanged(): void {
    this.configurationChanges++;
  }

  needsReset(reason: string): void {
    this.resetReasons.push(reason);
  }

  openFile(path: string, options: OpenFileOptions): DeviceFile {
    if (path === "missing.img") throw new Error("Cannot open missing.img: there is no such file; check the path");
    const file = new FakeFile(this.fileSize, options, this.fileBlockSize);
    this.opened = { path, file };
    return file;
  }

  openCharacterStream(): CharacterStream {
    return this.stream;
  }
}

/** Activates a device with one fake queue per declaration. */
export function activate(device: VirtioDevice, features: bigint = device.features): FakeQueue[] {
  const queues = device.queues.map(({ size }: QueueDeclaration, index: number) => new FakeQueue(index, size));
  const activation: Activation = { memory: GuestMemory.allocate(MEMORY_SIZE), features, queues };
  device.activate(activation);
  return queues;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
