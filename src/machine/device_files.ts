/**
 * Files of devices: asynchronous transfers between a file and guest memory, without a copy, through the machine's io_uring.
 *
 * @module
 */
import { type Descriptor, fileInformation, lockFile, OpenFlag, openPath } from "../../ffi/descriptor.ts";
import { EAGAIN, EINTR, EINVAL, EIO, EOPNOTSUPP, SystemError } from "../../ffi/errno.ts";
import { readAt, writeAt } from "../../ffi/file_io.ts";
import { IovecTable } from "../../ffi/iovec.ts";
import type { GuestMemory } from "../memory/guest_memory.ts";
import type { DeviceFile, OpenFileOptions } from "../plugin/definition.ts";
import type { DescriptorChain } from "../virtio/device.ts";
import type { CompletionTarget, EventLoop } from "./event_loop.ts";

/** Buffers handed to the kernel at once; a chain with more is transferred in several steps. */
const SEGMENTS = 128;
/** Operations that get their iovec slots at the start; further ones get theirs when they are first needed. */
const SLOTS_PER_TABLE = 64;
/** Bytes of zeroes written at once where the file system cannot zero a range by itself. */
const ZERO_CHUNK: number = 1 << 20;

/** FALLOC_FL_* of linux/falloc.h. */
const Fallocate = { keepSize: 1, punchHole: 2, zeroRange: 16 } as const;

/** What an operation does. */
const Kind = { read: 0, write: 1, flush: 2, discard: 3, zero: 4 } as const;

/** Opens files for devices. */
export class DeviceFiles implements Disposable {
  readonly #loop: EventLoop;
  readonly #memory: GuestMemory;
  readonly #pool: FileOperation[] = [];
  readonly #files = new Set<RingFile>();
  #table: IovecTable | undefined;
  #usedSlots = 0;

  /**
   * @param loop Whose ring carries the operations.
   * @param memory Guest RAM, mapped in this process.
   */
  constructor(loop: EventLoop, memory: GuestMemory) {
    this.#loop = loop;
    this.#memory = memory;
  }

  /**
   * Opens a file. Several readers share it; a writer has it alone.
   *
   * @throws {Error} It is missing, of the wrong kind, not permitted, or in use; the message says which and what to do.
   */
  open(path: string, options: OpenFileOptions): DeviceFile {
    const mode = options.writable ? OpenFlag.readWrite : OpenFlag.readOnly;
    const descriptor = openPath(path, mode | (options.direct ? OpenFlag.direct : 0));
    try {
      const { kind, size, logicalBlockSize } = fileInformation(descriptor.fd);
      if (kind !== "file" && kind !== "block" && kind !== "character") {
        throw new Error(`Cannot use ${path}: it is a ${kind}, expected a regular file or a block device`);
      }
      if (kind !== "character" && !lockFile(descriptor.fd, options.writable)) {
        throw new Error(
          `Cannot open ${path} for ${options.writable ? "writing" : "reading"}: another process has it open; `
            + "end that one, or open the image read-only in both",
        );
      }
      const file = new RingFile(this, descriptor, size, logicalBlockSize, options);
      this.#files.add(file);
      return file;
    } catch (error) {
      descriptor[Symbol.dispose]();
      throw error;
    }
  }

  /** A file was closed. */
  closed(file: RingFile): void {
    this.#files.delete(file);
  }

  /** Closes what devices left open: one that could not be made, say, after it had opened its file. */
  [Symbol.dispose](): void {
    for (const file of this.#files) file[Symbol.dispose]();
  }

  /** An operation nobody uses. */
  take(): FileOperation {
    return this.#pool.pop() ?? this.#grow();
  }

  /** Takes an operation back. */
  release(operation: FileOperation): void {
    this.#pool.push(operation);
  }

  /** Waits until `done` holds; completions are handled meanwhile, everything else waits for its turn. */
  waitUntil(done: () => boolean): void {
    this.#loop.waitForCompletions(done);
  }

  #grow(): FileOperation {
    if (this.#table === undefined || this.#usedSlots === SLOTS_PER_TABLE) {
      this.#table = new IovecTable(SLOTS_PER_TABLE, SEGMENTS, this.#memory.hostAddress);
      this.#usedSlots = 0;
    }
    return new FileOperation(this.#loop, this.#table, this.#usedSlots++);
  }
}

class RingFile implements DeviceFile {
  readonly size: number;
  readonly blockSize: number;
  readonly descriptor: Descriptor;
  readonly #files: DeviceFiles;
  readonly #completed: (chain: DescriptorChain, result: number) => void;
  #inFlight = 0;

  constructor(files: DeviceFiles, descriptor: Descriptor, size: number, blockSize: number, options: OpenFileOptions) {
    this.#files = files;
    this.descriptor = descriptor;
    this.size = size;
    this.blockSize = blockSize;
    this.#completed = (chain, result) => options.completed(chain, result);
  }

  read(chain: DescriptorChain, at: number, length: number, position: number): void {
    this.#start(Kind.read, chain, at, length, position);
  }

  write(chain: DescriptorChain, at: number, length: number, position: number): void {
    this.#start(Kind.write, chain, at, length, position);
  }

  flush(chain: DescriptorChain): void {
    this.#start(Kind.flush, chain, 0, 0, 0);
  }

  discard(chain: DescriptorChain, position: number, length: number): void {
    this.#start(Kind.discard, chain, 0, length, position);
  }

  writeZeroes(chain: DescriptorChain, position: number, length: number, mayDeallocate: boolean): void {
    this.#start(Kind.zero, chain, mayDeallocate ? 1 : 0, length, position);
  }

  readSync(into: Uint8Array<ArrayBuffer>, position: number): number {
    return readAt(this.descriptor.fd, into, position);
  }

  drain(): void {
    if (this.#inFlight > 0) this.#files.waitUntil(() => this.#inFlight === 0);
  }

  finish(operation: FileOperation, chain: DescriptorChain, result: number): void {
    this.#inFlight--;
    this.#files.release(operation);
    this.#completed(chain, result);
  }

  [Symbol.dispose](): void {
    this.drain();
    this.descriptor[Symbol.dispose]();
    this.#files.closed(this);
  }

  #start(kind: number, chain: DescriptorChain, at: number, length: number, position: number): void {
    this.#inFlight++;
    this.#files.take().start(this, kind, chain, at, length, position);
  }
}

/** One transfer, reused for ever. */
class FileOperation implements CompletionTarget {
  readonly #loop: EventLoop;
  readonly #table: IovecTable;
  readonly #slot: number;
  readonly #token: number;
  #file!: RingFile;
  #chain!: DescriptorChain;
  #kind = 0;
  #at = 0;
  #length = 0;
  #done = 0;
  #position = 0;

  constructor(loop: EventLoop, table: IovecTable, slot: number) {
    this.#loop = loop;
    this.#table = table;
    this.#slot = slot;
    this.#token = loop.register(this);
  }

  start(file: RingFile, kind: number, chain: DescriptorChain, at: number, length: number, position: number): void {
    this.#file = file;
    this.#kind = kind;
    this.#chain = chain;
    this.#at = at;
    this.#length = length;
    this.#done = 0;
    this.#position = position;
    this.#submit();
  }

  completed(result: number, _flags: number): void {
    if (result === -EINTR || result === -EAGAIN) return this.#submit();
    if (this.#kind === Kind.zero || this.#kind === Kind.discard) return this.#completeRange(result);
    if (result < 0 || this.#kind === Kind.flush) return this.#file.finish(this, this.#chain, result);
    this.#done += result;
    if (this.#done === this.#length) return this.#file.finish(this, this.#chain, this.#length);
    // The file ended before its size at opening: somebody truncated it.
    if (result === 0) return this.#file.finish(this, this.#chain, -EIO);
    this.#submit();
  }

  #submit(): void {
    const ring = this.#loop.ring;
    const fd = this.#file.descriptor.fd;
    switch (this.#kind) {
      case Kind.read:
      case Kind.write: {
        const count = this.#gather();
        if (count === 0) return this.#file.finish(this, this.#chain, this.#length === 0 ? 0 : -EINVAL);
        const position = this.#position + this.#done;
        const address = this.#table.addressOf(this.#slot);
        if (this.#kind === Kind.read) ring.readv(fd, address, count, position, this.#token);
        else ring.writev(fd, address, count, position, this.#token);
        break;
      }
      case Kind.flush:
        ring.fsync(fd, true, this.#token);
        break;
      default: {
        const punch = this.#kind === Kind.discard || this.#at === 1;
        const mode = Fallocate.keepSize | (punch ? Fallocate.punchHole : Fallocate.zeroRange);
        ring.fallocate(fd, mode, this.#position, this.#length, this.#token);
      }
    }
  }

  /** Fills the iovecs with what is left to transfer; returns their number. */
  #gather(): number {
    const chain = this.#chain;
    const isRead = this.#kind === Kind.read;
    const end = isRead ? chain.count : chain.readableCount;
    let skip = this.#at + this.#done;
    let left = this.#length - this.#done;
    let count = 0;
    for (let i = isRead ? chain.readableCount : 0; i < end && left > 0 && count < SEGMENTS; i++) {
      const length = chain.lengths[i];
      if (skip >= length) {
        skip -= length;
        continue;
      }
      const taken = Math.min(length - skip, left);
      this.#table.set(this.#slot, count++, chain.offsets[i] + skip, taken);
      skip = 0;
      left -= taken;
    }
    return count;
  }

  /** Discarding is a hint; zeroing is not, and is done by hand where the file system does not know how. */
  #completeRange(result: number): void {
    let outcome = result;
    if (result === -EOPNOTSUPP) outcome = this.#kind === Kind.discard ? 0 : this.#writeZeroes();
    this.#file.finish(this, this.#chain, outcome);
  }

  #writeZeroes(): number {
    zeroes ??= new Uint8Array(ZERO_CHUNK);
    const end = this.#position + this.#length;
    try {
      for (let position = this.#position; position < end; position += ZERO_CHUNK) {
        const length = Math.min(ZERO_CHUNK, end - position);
        writeAt(this.#file.descriptor.fd, length === ZERO_CHUNK ? zeroes : zeroes.subarray(0, length), position);
      }
      return 0;
    } catch (error) {
      if (error instanceof SystemError) return -error.errno;
      throw error;
    }
  }
}

let zeroes: Uint8Array<ArrayBuffer> | undefined;
