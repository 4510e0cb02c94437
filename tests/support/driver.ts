/**
 * A driver twin: finds a virtio function's structures through its PCI capabilities, negotiates, sets up queues, kicks and collects, as a
 * guest's driver does (virtio 1.2, sections 3.1 and 4.1).
 *
 * ```ts
 * const driver = new VirtioPciDriver(directAccess(transport), memory);
 * driver.negotiate(VERSION_1);
 * const queue = driver.setUpQueue(0);
 * driver.start();
 * queue.add([{ address: driver.allocator.take(64), length: 64, writable: true }]);
 * driver.kick(0);
 * transport.endBatch();
 * const [used] = queue.collect();
 * ```
 *
 * @module
 */
import type { GuestMemory } from "../../src/memory/guest_memory.ts";
import type { AccessWidth, PciDevice, PciSlot } from "../../src/pci/device.ts";
import { GuestAllocator, SplitRingDriver } from "./split_ring_driver.ts";
export { type DriverBuffer, GuestAllocator, SplitRingDriver, type UsedChain } from "./split_ring_driver.ts";

/** How a driver reaches one function. */
export interface PciAccess {
  readConfiguration(offset: number, width: AccessWidth): number;
  writeConfiguration(offset: number, width: AccessWidth, value: number): void;
  readBar(index: number, offset: number, width: AccessWidth): number;
  writeBar(index: number, offset: number, width: AccessWidth, value: number): void;
}

/** A PCI function's structure as a virtio capability describes it. */
export interface VirtioCapability {
  /** Offset of the capability in configuration space. */
  readonly at: number;
  /** `cap_len`. */
  readonly length: number;
  /** `cfg_type`. */
  readonly type: number;
  readonly bar: number;
  readonly id: number;
  /** Offset within the BAR. */
  readonly offset: number;
  /** Length within the BAR. */
  readonly size: number;
}

/** First address of the BARs of a function that {@linkcode directAccess} places. */
export const DIRECT_BAR_ADDRESS = 0xc000_0000;

/**
 * Places a function on no bus at all and gives access to it. Every `decode` is granted.
 *
 * @param device A function that is attached nowhere yet.
 * @param slot Device number that it is told.
 */
export function directAccess(device: PciDevice, slot = 1): PciAccess {
  let address = DIRECT_BAR_ADDRESS;
  const allocated = device.bars.map((bar) => {
    address = Math.ceil(address / bar.size) * bar.size;
    const mapping = { index: bar.index, address };
    address += bar.size;
    return mapping;
  });
  const place: PciSlot = { device: slot, allocated, decode: () => true };
  device.attached(place);
  return device;
}

/** The part of a bus that {@linkcode busAccess} needs. */
export interface BusLike {
  readEcam(offset: number, width: AccessWidth): number;
  writeEcam(offset: number, width: AccessWidth, value: number): void;
  readMemory(address: number, width: AccessWidth): number;
  writeMemory(address: number, width: AccessWidth, value: number): boolean;
}

/** Access to a function on a bus, through ECAM and through the addresses in its BARs. */
export function busAccess(bus: BusLike, device: number): PciAccess {
  const configuration = (offset: number): number => (device << 15) + offset;
  const barAddress = (index: number): number => {
    const low = bus.readEcam(configuration(0x10 + 4 * index), 4);
    const high = (low & 0x6) === 0x4 ? bus.readEcam(configuration(0x14 + 4 * index), 4) : 0;
    return high * 2 ** 32 + (low & ~0xf) % 2 ** 32 + ((low & ~0xf) < 0 ? 2 ** 32 : 0);
  };
  return {
    readConfiguration: (offset, width) => bus.readEcam(configuration(offset), width),
    writeConfiguration: (offset, width, value) => bus.writeEcam(configuration(offset), width, value),
    readBar: (index, offset, width) => bus.readMemory(barAddress(index) + offset, width),
    writeBar: (index, offset, width, value) => void bus.writeMemory(barAddress(index) + offset, width, value),
  };
}

/** Offsets in the common configuration (4.1.4.3), with their widths. */
export const COMMON = {
  deviceFeatureSelect: [0x00, 4],
  deviceFeature: [0x04, 4],
  driverFeatureSelect: [0x08, 4],
  driverFeature: [0x0c, 4],
  configMsixVector: [0x10, 2],
  numQueues: [0x12, 2],
  deviceStatus: [0x14, 1],
  configGeneration: [0x15, 1],
  queueSelect: [0x16, 2],
  queueSize: [0x18, 2],
  queueMsixVector: [0x1a, 2],
  queueEnable: [0x1c, 2],
  queueNotifyOff: [0x1e, 2],
  queueDescLow: [0x20, 4],
  queueDescHigh: [0x24, 4],
  queueDriverLow: [0x28, 4],
  queueDriverHigh: [0x2c, 4],
  queueDeviceLow: [0x30, 4],
  queueDeviceHigh: [0x34, 4],
  queueNotifyConfigData: [0x38, 2],
  queueReset: [0x3a, 2],
  adminQueueIndex: [0x3c, 2],
  adminQueueNum: [0x3e, 2],
} as const satisfies Record<string, readonly [number, AccessWidth]>;

/** Name of a field of the common configuration. */
export type CommonField = keyof typeof COMMON;

/** Feature bit 29: EVENT_IDX. */
const EVENT_IDX = 1n << 29n;

/** A driver of one virtio function. */
export class VirtioPciDriver {
  readonly access: PciAccess;
  readonly memory: GuestMemory;
  readonly allocator: GuestAllocator;
  /** All capabilities in order: [id, offset]. */
  readonly capabilityList: readonly (readonly [number, number])[];
  /** The virtio capabilities in order. */
  readonly capabilities: readonly VirtioCapability[];
  /** Queues set up so far, by index. */
  readonly queues: (SplitRingDriver | undefined)[] = [];
  /** What was negotiated. */
  features = 0n;
  readonly #common: VirtioCapability;
  readonly #notify: VirtioCapability;
  readonly #notifyMultiplier: number;

  /**
   * @param access How the function is reached.
   * @param memory The guest's RAM.
   * @param allocator Where rings and buffers may lie; by default everything from 64 KiB in the first region.
   */
  constructor(access: PciAccess, memory: GuestMemory, allocator?: GuestAllocator) {
    this.access = access;
    this.memory = memory;
    const [first] = memory.regions;
    this.allocator = allocator ?? new GuestAllocator(first.address + 0x10000, first.address + first.length);
    // Memory Space and Bus Master.
    access.writeConfiguration(0x04, 2, access.readConfiguration(0x04, 2) | 0x6);
    const list: [number, number][] = [];
    for (let at = access.readConfiguration(0x34, 1); at !== 0; at = access.readConfiguration(at + 1, 1)) {
      if (list.length >= 48 || at < 0x40) throw new Error("The capability list is broken");
      list.push([access.readConfiguration(at, 1), at]);
    }
    this.capabilityList = list;
    this.capabilities = list.filter(([id]) => id === 0x09).map(([, at]) => ({
      at,
      length: access.readConfiguration(at + 2, 1),
      type: access.readConfiguration(at + 3, 1),
      bar: access.readConfiguration(at + 4, 1),
      id: access.readConfiguration(at + 5, 1),
      offset: access.readConfiguration(at + 8, 4),
      size: access.readConfiguration(at + 12, 4),
    }));
    this.#common = this.capability(1);
    this.#notify = this.capability(2);
    this.#notifyMultiplier = access.readConfiguration(this.#notify.at + 16, 4);
  }

  /** The first virtio capability of a type. */
  capability(type: number): VirtioCapability {
    const found = this.capabilities.find((capability) => capability.type === type);
    if (found === undefined) throw new Error(`The function has no virtio capability of type ${type}`);
    return found;
  }

  /** Reads a field of the common configuration. */
  read(field: CommonField): number {
    const [offset, width] = COMMON[field];
    return this.access.readBar(this.#common.bar, this.#common.offset + offset, width);
  }

  /** Writes a field of the common configuration. */
  write(field: CommonField, value: number): void {
    const [offset, width] = COMMON[field];
    this.access.writeBar(this.#common.bar, this.#common.offset + offset, width, value);
  }

  /** The device status. */
  get status(): number {
    return this.read("deviceStatus");
  }

  /** Resets the device and waits for nothing: the device has to be reset when the write returns. */
  reset(): void {
    this.write("deviceStatus", 0);
    this.queues.length = 0;
    if (this.status !== 0) throw new Error(`The device did not reset: status 0x${this.status.toString(16)}`);
  }

  /** The features that the device offers. */
  offeredFeatures(): bigint {
    this.write("deviceFeatureSelect", 0);
    const low = BigInt(this.read("deviceFeature"));
    this.write("deviceFeatureSelect", 1);
    return low | BigInt(this.read("deviceFeature")) << 32n;
  }

  /** Writes the features that the driver accepts. */
  writeFeatures(features: bigint): void {
    this.write("driverFeatureSelect", 0);
    this.write("driverFeature", Number(features & 0xffff_ffffn));
    this.write("driverFeatureSelect", 1);
    this.write("driverFeature", Number(features >> 32n));
  }

  /**
   * Reset, ACKNOWLEDGE, DRIVER, features, FEATURES_OK.
   *
   * @param wanted Features to accept where offered; by default all but RING_PACKED, NOTIFICATION_DATA and NOTIF_CONFIG_DATA.
   * @returns What was negotiated.
   */
  negotiate(wanted: bigint = ~(1n << 34n | 1n << 38n | 1n << 39n)): bigint {
    this.reset();
    this.write("deviceStatus", 0x1);
    this.write("deviceStatus", 0x3);
    this.features = this.offeredFeatures() & wanted;
    this.writeFeatures(this.features);
    this.write("deviceStatus", 0xb);
    if (this.status !== 0xb) throw new Error(`FEATURES_OK did not stick for features 0x${this.features.toString(16)}`);
    return this.features;
  }

  /** Makes rings for a queue and enables it. */
  setUpQueue(index: number, size?: number, vector = 0xffff): SplitRingDriver {
    this.write("queueSelect", index);
    const maximum = this.read("queueSize");
    if (maximum === 0) throw new Error(`Queue ${index} does not exist`);
    if (size !== undefined) this.write("queueSize", size);
    const queue = new SplitRingDriver(
      this.memory,
      this.allocator,
      this.read("queueSize"),
      (this.features & EVENT_IDX) !== 0n,
    );
    this.write("queueDescLow", queue.descriptors % 2 ** 32);
    this.write("queueDescHigh", Math.floor(queue.descriptors / 2 ** 32));
    this.write("queueDriverLow", queue.available % 2 ** 32);
    this.write("queueDriverHigh", Math.floor(queue.available / 2 ** 32));
    this.write("queueDeviceLow", queue.used % 2 ** 32);
    this.write("queueDeviceHigh", Math.floor(queue.used / 2 ** 32));
    this.write("queueMsixVector", vector);
    this.write("queueEnable", 1);
    this.queues[index] = queue;
    return queue;
  }

  /** Sets DRIVER_OK. */
  start(): void {
    this.write("deviceStatus", this.status | 0x4);
  }

  /** negotiate, set up all queues (queue i on vector i + 1, configuration on 0), enable MSI-X, start. */
  bringUp(wanted?: bigint, size?: number): SplitRingDriver[] {
    this.negotiate(wanted);
    const count = this.read("numQueues");
    this.enableMsix(count + 1);
    this.write("configMsixVector", 0);
    const queues = Array.from({ length: count }, (_, i) => this.setUpQueue(i, size, i + 1));
    this.start();
    return queues;
  }

  /** Programs and unmasks `count` MSI-X entries and enables MSI-X. Vector i carries data 0x20 + i. */
  enableMsix(count: number): void {
    const capability = this.capabilityList.find(([id]) => id === 0x11);
    if (capability === undefined) throw new Error("The function has no MSI-X capability");
    const [, at] = capability;
    const table = this.access.readConfiguration(at + 4, 4);
    for (let i = 0; i < count; i++) {
      const entry = (table & ~7) + 16 * i;
      this.access.writeBar(table & 7, entry, 4, 0xfee0_0000);
      this.access.writeBar(table & 7, entry + 4, 4, 0);
      this.access.writeBar(table & 7, entry + 8, 4, 0x20 + i);
      this.access.writeBar(table & 7, entry + 12, 4, 0);
    }
    this.access.writeConfiguration(at + 2, 2, 0x8000);
  }

  /** Writes the queue's notification register. */
  kick(index: number): void {
    this.write("queueSelect", index);
    const offset = this.#notify.offset + this.read("queueNotifyOff") * this.#notifyMultiplier;
    this.access.writeBar(this.#notify.bar, offset, 2, index);
  }

  /** Reads and clears the ISR. */
  readIsr(): number {
    const isr = this.capability(3);
    return this.access.readBar(isr.bar, isr.offset, 1);
  }

  /** Reads the device's own configuration space. */
  readDevice(offset: number, width: AccessWidth): number {
    const device = this.capability(4);
    return this.access.readBar(device.bar, device.offset + offset, width);
  }

  /** Writes the device's own configuration space. */
  writeDevice(offset: number, width: AccessWidth, value: number): void {
    const device = this.capability(4);
    this.access.writeBar(device.bar, device.offset + offset, width, value);
  }
}
