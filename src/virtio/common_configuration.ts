/**
 * The common configuration structure of virtio-PCI (virtio 1.2, section 4.1.4.3): a table of registers over plain state.
 *
 * What has consequences beyond the structure itself is handed to {@linkcode CommonConfigurationEvents}.
 *
 * @module
 */
import type { AccessWidth } from "../pci/device.ts";
import { NO_VECTOR } from "../pci/msix.ts";
import * as constants from "./constants.ts";
import type { QueueDeclaration } from "./device.ts";
import type { RingAddresses } from "./ring.ts";

/** Length of the structure, with the fields that version 1.2 added. */
export const COMMON_CONFIGURATION_SIZE = 64;

const TWO_TO_32 = 2 ** 32;

/** What a transport does on behalf of the common configuration. */
export interface CommonConfigurationEvents {
  /** The device's verdict on a set of features that was offered. Must not throw. */
  acceptFeatures(features: bigint): boolean;
  /** The status has just become ready. Must not throw. */
  activate(): void;
  /** The device is to be reset. False when it cannot. Must not throw. */
  reset(): boolean;
  /** A queue was enabled while the device runs, after it had been reset on its own. Must not throw. */
  enableQueue(index: number): void;
  /** A queue is reset on its own. Must not throw. */
  resetQueue(index: number): void;
}

/** The registers of one queue. Plain state. */
export interface QueueRegisters {
  /** The largest size, which is the one after reset. */
  readonly maximumSize: number;
  /** queue_size. */
  size: number;
  /** queue_enable. */
  enabled: boolean;
  /** Whether it was reset on its own and may be set up while the device runs. */
  renewable: boolean;
  /** queue_msix_vector. */
  vector: number;
  /** queue_desc, the low half. */
  descriptorsLow: number;
  /** queue_desc, the high half. */
  descriptorsHigh: number;
  /** queue_driver, the low half. */
  availableLow: number;
  /** queue_driver, the high half. */
  availableHigh: number;
  /** queue_device, the low half. */
  usedLow: number;
  /** queue_device, the high half. */
  usedHigh: number;
}

/** One register: where it is and what accesses do. A register without `write` is read-only. */
export interface CommonRegister {
  /** Name in the specification's structure. */
  readonly name: string;
  /** Byte offset in the structure. */
  readonly offset: number;
  /** Width of the field, the only one that is answered. */
  readonly width: AccessWidth;
  /** The selected queue is undefined when the driver selected one that does not exist. */
  read(state: CommonConfiguration, queue: QueueRegisters | undefined): number;
  /** What a write does. */
  write?(state: CommonConfiguration, value: number, queue: QueueRegisters | undefined): void;
}

/** Names of the six halves of a queue's addresses. */
type AddressHalf = "descriptorsLow" | "descriptorsHigh" | "availableLow" | "availableHigh" | "usedLow" | "usedHigh";

/** Half of a queue address. */
function addressRegister(offset: number, name: string, half: AddressHalf): CommonRegister {
  return {
    name,
    offset,
    width: 4,
    read: (_state, queue) => queue?.[half] ?? 0,
    write: (state, value, queue) => {
      if (queue !== undefined && state.isQueueOpen(queue)) queue[half] = value;
    },
  };
}

/** The structure, field by field. */
export const COMMON_REGISTERS: readonly CommonRegister[] = [
  {
    name: "device_feature_select",
    offset: 0x00,
    width: 4,
    read: (state) => state.deviceFeatureSelect,
    write: (state, value) => void (state.deviceFeatureSelect = value),
  },
  {
    name: "device_feature",
    offset: 0x04,
    width: 4,
    read: (state) => state.offeredWords[state.deviceFeatureSelect] ?? 0,
  },
  {
    name: "driver_feature_select",
    offset: 0x08,
    width: 4,
    read: (state) => state.driverFeatureSelect,
    write: (state, value) => void (state.driverFeatureSelect = value),
  },
  {
    name: "driver_feature",
    offset: 0x0c,
    width: 4,
    read: (state) => state.driverWords[state.driverFeatureSelect] ?? 0,
    write: (state, value) => {
      if (state.isNegotiating() && state.driverFeatureSelect < state.driverWords.length) {
        state.driverWords[state.driverFeatureSelect] = value;
      }
    },
  },
  {
    name: "config_msix_vector",
    offset: 0x10,
    width: 2,
    read: (state) => state.configVector,
    write: (state, value) => void (state.configVector = state.vector(value)),
  },
  { name: "num_queues", offset: 0x12, width: 2, read: (state) => state.queues.length },
  {
    name: "device_status",
    offset: 0x14,
    width: 1,
    read: (state) => state.status,
    write: (state, value) => state.writeStatus(value),
  },
  { name: "config_generation", offset: 0x15, width: 1, read: (state) => state.generation },
  {
    name: "queue_select",
    offset: 0x16,
    width: 2,
    read: (state) => state.queueSelect,
    write: (state, value) => void (state.queueSelect = value),
  },
  {
    name: "queue_size",
    offset: 0x18,
    width: 2,
    read: (_state, queue) => queue?.size ?? 0,
    write: (state, value, queue) => {
      if (queue !== undefined && state.isQueueOpen(queue) && state.isQueueSize(value, queue)) queue.size = value;
    },
  },
  {
    name: "queue_msix_vector",
    offset: 0x1a,
    width: 2,
    read: (_state, queue) => queue?.vector ?? NO_VECTOR,
    write: (state, value, queue) => {
      if (queue !== undefined) queue.vector = state.vector(value);
    },
  },
  {
    name: "queue_enable",
    offset: 0x1c,
    width: 2,
    read: (_state, queue) => queue?.enabled === true ? 1 : 0,
    write: (state, value, queue) => {
      if (value === 1 && queue !== undefined) state.enable(queue);
    },
  },
  {
    name: "queue_notify_off",
    offset: 0x1e,
    width: 2,
    read: (state, queue) => queue === undefined ? 0 : state.queueSelect,
  },
  addressRegister(0x20, "queue_desc (low)", "descriptorsLow"),
  addressRegister(0x24, "queue_desc (high)", "descriptorsHigh"),
  addressRegister(0x28, "queue_driver (low)", "availableLow"),
  addressRegister(0x2c, "queue_driver (high)", "availableHigh"),
  addressRegister(0x30, "queue_device (low)", "usedLow"),
  addressRegister(0x34, "queue_device (high)", "usedHigh"),
  // NOTIF_CONFIG_DATA is not offered.
  { name: "queue_notif_config_data", offset: 0x38, width: 2, read: () => 0 },
  {
    name: "queue_reset",
    offset: 0x3a,
    width: 2,
    // A queue's reset is complete when the write returns.
    read: () => 0,
    write: (state, value, queue) => {
      if (value === 1 && queue !== undefined) state.resetQueue(queue);
    },
  },
  // There are no administration queues.
  { name: "admin_queue_index", offset: 0x3c, width: 2, read: () => 0 },
  { name: "admin_queue_num", offset: 0x3e, width: 2, read: () => 0 },
];

/** {@linkcode COMMON_REGISTERS} by offset. */
const REGISTER_AT: readonly (CommonRegister | undefined)[] = Array.from(
  { length: COMMON_CONFIGURATION_SIZE },
  (_, offset) => COMMON_REGISTERS.find((register) => register.offset === offset),
);

/** The only bit that a driver may set next, by what is set already (3.1.1). */
const NEXT_STATUS_BIT: ReadonlyMap<number, number> = new Map([
  [0, constants.STATUS_ACKNOWLEDGE],
  [constants.STATUS_ACKNOWLEDGE, constants.STATUS_DRIVER],
  [constants.STATUS_ACKNOWLEDGE | constants.STATUS_DRIVER, constants.STATUS_FEATURES_OK],
  [
    constants.STATUS_ACKNOWLEDGE | constants.STATUS_DRIVER | constants.STATUS_FEATURES_OK,
    constants.STATUS_DRIVER_OK,
  ],
]);

/** The state behind the registers, and the rules for changing it. */
export class CommonConfiguration {
  /** device_status. */
  status = 0;
  /** config_generation. */
  generation = 0;
  /** device_feature_select. */
  deviceFeatureSelect = 0;
  /** driver_feature_select. */
  driverFeatureSelect = 0;
  /** queue_select. */
  queueSelect = 0;
  /** config_msix_vector. */
  configVector: number = NO_VECTOR;
  /** The features that the driver wrote, as 32-bit words. */
  readonly driverWords: Uint32Array<ArrayBuffer> = new Uint32Array(2);
  /** The offered features, as 32-bit words. */
  readonly offeredWords: Uint32Array<ArrayBuffer>;
  /** The queues' registers. */
  readonly queues: readonly QueueRegisters[];
  readonly #offered: bigint;
  readonly #vectorCount: number;
  readonly #events: CommonConfigurationEvents;

  /**
   * @param offered All feature bits that are offered.
   * @param queues The device's queues.
   * @param vectorCount Number of MSI-X vectors.
   * @param events The transport.
   */
  constructor(
    offered: bigint,
    queues: readonly QueueDeclaration[],
    vectorCount: number,
    events: CommonConfigurationEvents,
  ) {
    this.#offered = offered;
    this.offeredWords = new Uint32Array([Number(offered & 0xffff_ffffn), Number(offered >> 32n & 0xffff_ffffn)]);
    this.#vectorCount = vectorCount;
    this.#events = events;
    this.queues = queues.map(({ size }) => {
      const queue: QueueRegisters = { maximumSize: size, ...QUEUE_AT_RESET, size };
      return queue;
    });
  }

  /** The feature bits that the driver wrote. They count once FEATURES_OK is set. */
  get driverFeatures(): bigint {
    return BigInt(this.driverWords[1]) << 32n | BigInt(this.driverWords[0]);
  }

  /** Reads a register; anything but its exact offset and width reads 0. */
  read(offset: number, width: AccessWidth): number {
    const register = REGISTER_AT[offset];
    return register?.width === width ? register.read(this, this.queues[this.queueSelect]) : 0;
  }

  /** Writes a register; anything but its exact offset and width is ignored. */
  write(offset: number, width: AccessWidth, value: number): void {
    const register = REGISTER_AT[offset];
    if (register?.width !== width) return;
    register.write?.(
      this,
      width === 4 ? value >>> 0 : value & (width === 2 ? 0xffff : 0xff),
      this.queues[this.queueSelect],
    );
  }

  /** A queue's addresses as numbers. Those of 2^53 and more are beyond any RAM and become Infinity, never rounded. */
  addresses(queue: QueueRegisters): RingAddresses {
    return {
      descriptors: joinAddress(queue.descriptorsHigh, queue.descriptorsLow),
      available: joinAddress(queue.availableHigh, queue.availableLow),
      used: joinAddress(queue.usedHigh, queue.usedLow),
    };
  }

  /** Power-on state. */
  reset(): void {
    this.status = 0;
    this.generation = 0;
    this.deviceFeatureSelect = 0;
    this.driverFeatureSelect = 0;
    this.queueSelect = 0;
    this.configVector = NO_VECTOR;
    this.driverWords.fill(0);
    for (const queue of this.queues) Object.assign(queue, QUEUE_AT_RESET, { size: queue.maximumSize });
  }

  /** A vector as it is kept: one that does not exist becomes NO_VECTOR. */
  vector(value: number): number {
    return value < this.#vectorCount ? value : NO_VECTOR;
  }

  /** Whether the driver may write its features. */
  isNegotiating(): boolean {
    return (this.status & (constants.STATUS_DRIVER | constants.STATUS_FEATURES_OK)) === constants.STATUS_DRIVER;
  }

  /** Whether the driver may set a queue up. */
  isQueueOpen(queue: QueueRegisters): boolean {
    if (queue.enabled || (this.status & constants.STATUS_FEATURES_OK) === 0) return false;
    return queue.renewable || (this.status & constants.STATUS_DRIVER_OK) === 0;
  }

  /** Whether a queue may have a size. */
  isQueueSize(size: number, queue: QueueRegisters): boolean {
    if (size === 0 || size > queue.maximumSize) return false;
    return (size & (size - 1)) === 0 || (this.driverFeatures & constants.FEATURE_RING_PACKED) !== 0n;
  }

  /** queue_enable: only reset takes it back. */
  enable(queue: QueueRegisters): void {
    if (!this.isQueueOpen(queue)) return;
    queue.enabled = true;
    if (!queue.renewable) return;
    queue.renewable = false;
    this.#events.enableQueue(this.queues.indexOf(queue));
  }

  /** queue_reset (2.6.1). */
  resetQueue(queue: QueueRegisters): void {
    const negotiated = (this.driverFeatures & constants.FEATURE_RING_RESET) !== 0n;
    if (!negotiated || !queue.enabled || (this.status & constants.STATUS_DRIVER_OK) === 0) return;
    this.#events.resetQueue(this.queues.indexOf(queue));
    Object.assign(queue, QUEUE_AT_RESET, { size: queue.maximumSize, renewable: true });
  }

  /** device_status: forward by one bit, FAILED at any time, or 0 for a reset. NEEDS_RESET is the device's own. */
  writeStatus(value: number): void {
    if (value === 0) {
      if (this.#events.reset()) this.reset();
      else this.status = constants.STATUS_FAILED;
      return;
    }
    if ((this.status & constants.STATUS_FAILED) !== 0) return;
    if ((value & constants.STATUS_FAILED) !== 0) {
      this.status |= constants.STATUS_FAILED;
      return;
    }
    const current = this.status & ~constants.STATUS_NEEDS_RESET;
    const wanted = value & ~constants.STATUS_NEEDS_RESET;
    const bit = NEXT_STATUS_BIT.get(current);
    if (bit === undefined || wanted !== (current | bit)) return;
    if (bit === constants.STATUS_FEATURES_OK && !this.#acceptable()) return;
    this.status |= bit;
    if (this.status === constants.STATUS_READY) this.#events.activate();
  }

  #acceptable(): boolean {
    const features = this.driverFeatures;
    return (features & ~this.#offered) === 0n && (features & constants.FEATURE_VERSION_1) !== 0n
      && this.#events.acceptFeatures(features);
  }
}

/** A queue's registers after reset, but for its size. */
const QUEUE_AT_RESET = {
  enabled: false,
  renewable: false,
  vector: NO_VECTOR,
  descriptorsLow: 0,
  descriptorsHigh: 0,
  availableLow: 0,
  availableHigh: 0,
  usedLow: 0,
  usedHigh: 0,
};

function joinAddress(high: number, low: number): number {
  const address = high * TWO_TO_32 + low;
  return Number.isSafeInteger(address) ? address : Infinity;
}
