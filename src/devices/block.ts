/**
 * Block device (virtio 1.3, 5.2) over a file or a block device of the host.
 *
 * @module
 */
import {
  type AccessWidth,
  type Activation,
  defineVirtioDevice,
  type DescriptorChain,
  type DeviceFile,
  type DeviceHost,
  DeviceType,
  option,
  optional,
  type QueueDeclaration,
  type VirtioDevice,
  type VirtioPlugin,
  type Virtqueue,
} from "../plugin/api.ts";
import {
  BlockFeature,
  Field,
  Header,
  ID_LENGTH,
  Range,
  RANGE_FLAG_UNMAP,
  RequestType,
  SECTOR,
  Status,
} from "./block_protocol.ts";

/** Longest range of one discard or write-zeroes request: 1 GiB. */
const MAXIMUM_RANGE_SECTORS = 2 ** 21;
/** Block size of the disks and page caches behind most images: what the driver is told is best. */
const PHYSICAL_BLOCK = 4096;
const MAXIMUM_BLOCK = 4096;
/** Header and status take a buffer each, usually. */
const OVERHEAD_SEGMENTS = 2;
/** Linux: the operation is not supported by what the file lies on. */
const EOPNOTSUPP = 95;

const options = {
  path: option.path(),
  readonly: optional(option.boolean(), false),
  direct: optional(option.boolean(), false),
  queues: optional(option.integer({ min: 1, max: 256 }), 1),
  "queue-size": optional(option.integer({ min: 4, max: 1024 }), 256),
  "block-size": optional(option.size()),
  id: optional(option.text()),
};

interface Settings {
  readonly path: string;
  readonly isReadOnly: boolean;
  readonly isDirect: boolean;
  readonly queueCount: number;
  readonly queueSize: number;
  readonly blockSize: number | undefined;
  readonly id: string;
}

/** Block device. Its option `path` names the image; `id` is what the guest shows as serial number. */
const block: VirtioPlugin = defineVirtioDevice({
  name: "block",
  description: "disk over an image file or block device",
  deviceType: DeviceType.block,
  options,
  create(values, host) {
    const queueSize = values["queue-size"];
    if ((queueSize & (queueSize - 1)) !== 0) {
      throw new RangeError(`"queue-size" ${queueSize} is not a power of two; take 64, 128, 256, 512 or 1024`);
    }
    const settings = {
      path: values.path,
      isReadOnly: values.readonly,
      isDirect: values.direct,
      queueCount: values.queues,
      queueSize,
      blockSize: values["block-size"],
      id: values.id ?? host.id,
    };
    return new Block(settings, host);
  },
});

export default block;

/** What is remembered of a request in flight, by slot of its chain. */
interface InFlight {
  /** Bytes that the driver may look at once the request has succeeded. */
  readonly written: Float64Array;
  /** 1 where a flush follows the write. */
  readonly flushAfter: Uint8Array;
}

class Block implements VirtioDevice {
  readonly features: bigint;
  readonly queues: readonly QueueDeclaration[];
  readonly configuration = new Uint8Array(Field.end);

  readonly #file: DeviceFile;
  readonly #host: DeviceHost;
  readonly #isReadOnly: boolean;
  readonly #capacity: number;
  readonly #id: Uint8Array;
  readonly #inFlight: readonly InFlight[];
  /** What the driver and we agreed on. */
  #accepted = 0n;
  /** Each write is durable before it completes. */
  #isWriteThrough = true;

  constructor(settings: Settings, host: DeviceHost) {
    const { path, isReadOnly, isDirect, queueCount, queueSize } = settings;
    this.#host = host;
    this.#isReadOnly = isReadOnly;
    this.#id = encodeId(settings.id);
    this.#file = host.openFile(path, {
      writable: !isReadOnly,
      direct: isDirect,
      completed: (chain, result) => this.#completed(chain, result),
    });
    try {
      const blockSize = settings.blockSize ?? this.#file.blockSize;
      requireAligned(path, this.#file, blockSize);
      this.#capacity = this.#file.size / SECTOR;
      this.features = featuresFor(isReadOnly, queueCount);
      this.#fillConfiguration(blockSize, settings);
    } catch (error) {
      this.#file[Symbol.dispose]();
      throw error;
    }
    this.queues = Array.from({ length: queueCount }, (_, index) => ({ name: `requestq${index}`, size: queueSize }));
    this.#inFlight = this.queues.map(({ size }) => ({
      written: new Float64Array(size),
      flushAfter: new Uint8Array(size),
    }));
  }

  activate({ features }: Activation): void {
    this.#accepted = features;
    this.#chooseCacheMode();
  }

  notify(queue: Virtqueue): void {
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) this.#start(chain);
  }

  /** The driver may switch the write-back cache on and off (5.2.5); nothing else can be written. */
  writeConfiguration(offset: number, width: AccessWidth, value: number): void {
    if (offset !== Field.writeback || width !== 1 || this.#isReadOnly) return;
    this.configuration[Field.writeback] = value & 1;
    this.#chooseCacheMode();
  }

  reset(): void {
    this.#file.drain();
    this.#accepted = 0n;
    this.configuration[Field.writeback] = this.#isReadOnly ? 0 : 1;
    for (const { flushAfter } of this.#inFlight) flushAfter.fill(0);
  }

  resetQueue(): void {
    this.#file.drain();
  }

  save(): { readonly capacity: number; readonly writeback: number } {
    return { capacity: this.#capacity, writeback: this.configuration[Field.writeback] };
  }

  restore(state: unknown): void {
    const { capacity, writeback } = (state ?? {}) as { capacity?: unknown; writeback?: unknown };
    if (capacity !== this.#capacity || (writeback !== 0 && writeback !== 1)) {
      throw new Error(
        `Cannot restore block device "${this.#host.id}": it has ${this.#capacity} sectors, the saved state is `
          + `${JSON.stringify(state)}; start it with the image that it was saved with`,
      );
    }
    this.configuration[Field.writeback] = writeback;
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }

  /** Begins one request. Every path ends in exactly one push. */
  #start(chain: DescriptorChain): void {
    if (chain.writableLength < 1) {
      this.#host.needsReset("a request has no room for its status byte");
      chain.queue.push(chain, 0);
      return;
    }
    if (chain.readableLength < Header.end) return this.#finish(chain, Status.ioError, 1);
    switch (chain.readU32(Header.type)) {
      case RequestType.read:
        return this.#read(chain);
      case RequestType.write:
        return this.#write(chain);
      case RequestType.flush:
        return this.#flush(chain);
      case RequestType.getId:
        return this.#getId(chain);
      case RequestType.discard:
        return this.#discard(chain);
      case RequestType.writeZeroes:
        return this.#writeZeroes(chain);
      default:
        return this.#finish(chain, Status.unsupported, 1);
    }
  }

  #read(chain: DescriptorChain): void {
    const length = chain.writableLength - 1;
    const sector = chain.readU64(Header.sector);
    if (!this.#holds(sector, length)) return this.#finish(chain, Status.ioError, 1);
    if (length === 0) return this.#finish(chain, Status.ok, 1);
    this.#expect(chain, length + 1, false);
    this.#file.read(chain, 0, length, sector * SECTOR);
  }

  #write(chain: DescriptorChain): void {
    const length = chain.readableLength - Header.end;
    const sector = chain.readU64(Header.sector);
    if (this.#isReadOnly || !this.#holds(sector, length)) return this.#finish(chain, Status.ioError, 1);
    if (length === 0) return this.#finish(chain, Status.ok, 1);
    this.#expect(chain, 1, this.#isWriteThrough);
    this.#file.write(chain, Header.end, length, sector * SECTOR);
  }

  #flush(chain: DescriptorChain): void {
    this.#expect(chain, 1, false);
    this.#file.flush(chain);
  }

  #getId(chain: DescriptorChain): void {
    const id = this.#id.subarray(0, chain.writableLength - 1);
    this.#finish(chain, Status.ok, chain.write(0, id) + 1);
  }

  /** Gives space back. Any flag makes the request an unsupported one (5.2.6.2). */
  #discard(chain: DescriptorChain): void {
    const sector = chain.readU64(Range.sector);
    const count = chain.readU32(Range.sectorCount);
    const flags = chain.readU32(Range.flags);
    if (!this.#agreedOn(BlockFeature.discard) || flags !== 0) return this.#finish(chain, Status.unsupported, 1);
    if (!this.#isRange(chain, sector, count)) return this.#finish(chain, Status.ioError, 1);
    if (count === 0) return this.#finish(chain, Status.ok, 1);
    this.#expect(chain, 1, false);
    this.#file.discard(chain, sector * SECTOR, count * SECTOR);
  }

  #writeZeroes(chain: DescriptorChain): void {
    const sector = chain.readU64(Range.sector);
    const count = chain.readU32(Range.sectorCount);
    const flags = chain.readU32(Range.flags);
    const isSupported = this.#agreedOn(BlockFeature.writeZeroes) && (flags & ~RANGE_FLAG_UNMAP) === 0;
    if (!isSupported) return this.#finish(chain, Status.unsupported, 1);
    if (!this.#isRange(chain, sector, count)) return this.#finish(chain, Status.ioError, 1);
    if (count === 0) return this.#finish(chain, Status.ok, 1);
    this.#expect(chain, 1, this.#isWriteThrough);
    this.#file.writeZeroes(chain, sector * SECTOR, count * SECTOR, (flags & RANGE_FLAG_UNMAP) !== 0);
  }

  /** Remembers what is to happen when the file has done its part. */
  #expect(chain: DescriptorChain, written: number, flushAfter: boolean): void {
    const inFlight = this.#inFlight[chain.queue.index];
    inFlight.written[chain.slot] = written;
    inFlight.flushAfter[chain.slot] = flushAfter ? 1 : 0;
  }

  #completed(chain: DescriptorChain, result: number): void {
    const { written, flushAfter } = this.#inFlight[chain.queue.index];
    if (result < 0) {
      return this.#finish(chain, result === -EOPNOTSUPP ? Status.unsupported : Status.ioError, 1);
    }
    if (flushAfter[chain.slot] === 0) return this.#finish(chain, Status.ok, written[chain.slot]);
    flushAfter[chain.slot] = 0;
    this.#file.flush(chain);
  }

  /** Writes the status, the last byte of the chain, and returns the chain to the driver. */
  #finish(chain: DescriptorChain, status: number, written: number): void {
    chain.writeU8(chain.writableLength - 1, status);
    chain.queue.push(chain, written);
  }

  /** Whether the device has these whole sectors. A sector of 2^53 or more arrives as NaN, and it has none such. */
  #holds(sector: number, length: number): boolean {
    return length % SECTOR === 0 && sector + length / SECTOR <= this.#capacity;
  }

  /** Whether the request carries one range, which is not too long and on the device. */
  #isRange(chain: DescriptorChain, sector: number, count: number): boolean {
    return chain.readableLength === Range.end && count <= MAXIMUM_RANGE_SECTORS && this.#holds(sector, count * SECTOR);
  }

  #agreedOn(feature: bigint): boolean {
    return (this.#accepted & feature) !== 0n;
  }

  /** Without a way to flush, the driver relies on each write being durable (5.2.6.2). */
  #chooseCacheMode(): void {
    this.#isWriteThrough = this.#agreedOn(BlockFeature.configureWriteback)
      ? this.configuration[Field.writeback] === 0
      : !this.#agreedOn(BlockFeature.flush);
  }

  #fillConfiguration(blockSize: number, { queueCount, queueSize }: Settings): void {
    const view = new DataView(this.configuration.buffer);
    const blocksPerPhysical = Math.max(1, PHYSICAL_BLOCK / blockSize);
    view.setBigUint64(Field.capacity, BigInt(this.#capacity), true);
    view.setUint32(Field.segmentMaximum, queueSize - OVERHEAD_SEGMENTS, true);
    view.setUint32(Field.blockSize, blockSize, true);
    view.setUint8(Field.physicalBlockExponent, Math.log2(blocksPerPhysical));
    view.setUint16(Field.minimumIoSize, blocksPerPhysical, true);
    view.setUint16(Field.queueCount, queueCount, true);
    if (this.#isReadOnly) return;
    view.setUint8(Field.writeback, 1);
    view.setUint32(Field.maximumDiscardSectors, MAXIMUM_RANGE_SECTORS, true);
    view.setUint32(Field.maximumDiscardRanges, 1, true);
    view.setUint32(Field.discardAlignment, blockSize / SECTOR, true);
    view.setUint32(Field.maximumWriteZeroesSectors, MAXIMUM_RANGE_SECTORS, true);
    view.setUint32(Field.maximumWriteZeroesRanges, 1, true);
    view.setUint8(Field.writeZeroesMayDeallocate, 1);
  }
}

function featuresFor(isReadOnly: boolean, queueCount: number): bigint {
  const { segmentMaximum, blockSize, topology, flush, multipleQueues, readOnly } = BlockFeature;
  const { configureWriteback, discard, writeZeroes } = BlockFeature;
  return segmentMaximum | blockSize | topology | flush
    | (queueCount > 1 ? multipleQueues : 0n)
    | (isReadOnly ? readOnly : configureWriteback | discard | writeZeroes);
}

/** A driver reads and writes whole blocks: an image that ends amid one would lose its end. */
function requireAligned(path: string, file: DeviceFile, blockSize: number): void {
  const isPowerOfTwo = (blockSize & (blockSize - 1)) === 0;
  if (!isPowerOfTwo || blockSize < file.blockSize || blockSize > MAXIMUM_BLOCK) {
    throw new RangeError(
      `Cannot use blocks of ${blockSize} bytes for ${path}: "block-size" must be a power of two from `
        + `${file.blockSize} to ${MAXIMUM_BLOCK}`,
    );
  }
  if (file.size % blockSize !== 0 || file.size === 0) {
    const rounded = Math.max(1, Math.ceil(file.size / blockSize)) * blockSize;
    throw new RangeError(
      `Cannot use ${path} as a disk: it has ${file.size} bytes, not one or more whole blocks of ${blockSize} bytes; `
        + `extend it: truncate -s ${rounded} '${path}'`,
    );
  }
}

/** The identification string: 20 bytes, padded with NUL, without a terminator when all are used (5.2.6.1). */
function encodeId(id: string): Uint8Array {
  const bytes = new Uint8Array(ID_LENGTH);
  new TextEncoder().encodeInto(id, bytes);
  return bytes;
}
