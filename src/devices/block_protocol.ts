/**
 * Numbers and layouts of the block device's protocol (virtio 1.3, 5.2).
 *
 * A request is a chain of these parts, which buffers may cut anywhere (2.7.4):
 *
 * ```text
 *   readable: header (16) ── data to write, or a range (16)
 *   writable: data to read ── status (1)
 * ```
 *
 * @module
 */

/** Feature bits (5.2.3). */
export const BlockFeature = {
  /** The driver is told how many buffers a request can have. */
  segmentMaximum: 1n << 2n,
  /** The device cannot be written. */
  readOnly: 1n << 5n,
  /** The driver is told the block size. */
  blockSize: 1n << 6n,
  /** The device understands flush. */
  flush: 1n << 9n,
  /** The driver is told what sizes are best. */
  topology: 1n << 10n,
  /** The driver may switch between write-back and write-through. */
  configureWriteback: 1n << 11n,
  /** There are several queues. */
  multipleQueues: 1n << 12n,
  /** The device understands discard. */
  discard: 1n << 13n,
  /** The device understands write-zeroes. */
  writeZeroes: 1n << 14n,
} as const satisfies Readonly<Record<string, bigint>>;

/** Types of requests (5.2.6). */
export const RequestType = {
  read: 0,
  write: 1,
  flush: 4,
  getId: 8,
  discard: 11,
  writeZeroes: 13,
} as const satisfies Readonly<Record<string, number>>;

/** Status bytes (5.2.6). */
export const Status = { ok: 0, ioError: 1, unsupported: 2 } as const satisfies Readonly<Record<string, number>>;

/** Byte offsets in the configuration space (5.2.4). */
export const Field = {
  capacity: 0,
  segmentMaximum: 12,
  blockSize: 20,
  physicalBlockExponent: 24,
  minimumIoSize: 26,
  writeback: 32,
  queueCount: 34,
  maximumDiscardSectors: 36,
  maximumDiscardRanges: 40,
  discardAlignment: 44,
  maximumWriteZeroesSectors: 48,
  maximumWriteZeroesRanges: 52,
  writeZeroesMayDeallocate: 56,
  end: 60,
} as const;

/** Byte offsets in the header (5.2.6). */
export const Header = { type: 0, sector: 8, end: 16 } as const;

/** Byte offsets in the range of discard and write-zeroes, which follows the header (5.2.6). */
export const Range = {
  sector: Header.end,
  sectorCount: Header.end + 8,
  flags: Header.end + 12,
  end: Header.end + 16,
} as const;

/** The only flag of a range that exists: the space may be deallocated (5.2.6). */
export const RANGE_FLAG_UNMAP = 1;
/** The unit of every number of the protocol, whatever the block size (5.2.4). */
export const SECTOR = 512;
/** Length of the identification string that a get-id request returns (5.2.6.1). */
export const ID_LENGTH = 20;
