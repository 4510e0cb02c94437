/**
 * The virtio-PCI transport: makes a {@linkcode PciDevice} of a {@linkcode VirtioDevice} (virtio 1.2, section 4.1).
 *
 * It knows nothing of who drives the bus, delivers interrupts or rings doorbells: those are seams. It stands between two parties it does not trust:
 * whatever the guest writes is checked here and in the queues, and whatever the device throws ends here.
 *
 * @module
 */
import type { GuestMemory } from "../memory/guest_memory.ts";
import type { AccessWidth, PciSlot } from "../pci/device.ts";
import type { Doorbells } from "../pci/doorbells.ts";
import type { InterruptController } from "../pci/interrupt_controller.ts";
import { PciFunction } from "../pci/pci_function.ts";
import * as layout from "./capabilities.ts";
import { COMMON_CONFIGURATION_SIZE, CommonConfiguration } from "./common_configuration.ts";
import * as constants from "./constants.ts";
import { checkQueues, offeredFeatures, pciClassOf } from "./declaration.ts";
import type { VirtioDevice } from "./device.ts";
import { DeviceQueues } from "./device_queues.ts";
import { Notification, notifiedQueue } from "./notification.ts";
import { PciConfigurationAccess } from "./pci_configuration_access.ts";
import type { DeviceStatistics, Ring } from "./ring.ts";

/** What a transport is made of. */
export interface VirtioPciTransportOptions {
  /** Unique name of the device on its machine. */
  readonly id: string;
  /** The specification's device type. */
  readonly deviceType: number;
  /** PCI class code as 0xCCSSPP; chosen by device type if omitted. */
  readonly pciClass?: number;
  /** The device. The transport disposes it. */
  readonly device: VirtioDevice;
  /** The guest's RAM. */
  readonly memory: GuestMemory;
  /** Where interrupt vectors come from. */
  readonly interrupts: InterruptController;
  /** Where doorbells come from. */
  readonly doorbells: Doorbells;
  /** Whether the BAR may lie above 4 GiB. Firmware wants boot disks below. */
  readonly bar64: boolean;
  /** Calls back in the next round of the machine's loop. */
  schedule(callback: () => void): void;
  /** Is told what went wrong: in the device, or in what the guest did to its queues. A guest can cause any number of these. */
  reportError(error: Error): void;
}

/** A virtio device as a PCI function; see the module. */
export class VirtioPciTransport extends PciFunction {
  /** Counters; they only grow. */
  readonly statistics: DeviceStatistics = { kicks: 0, interrupts: 0, chains: 0, refusedChains: 0 };
  /** The state of the common configuration. */
  readonly common: CommonConfiguration;
  /** ISR status. Plain state. */
  isr = 0;
  readonly #device: VirtioDevice;
  readonly #memory: GuestMemory;
  readonly #doorbells: Doorbells;
  readonly #reportError: (error: Error) => void;
  readonly #queues: DeviceQueues;
  readonly #window: PciConfigurationAccess;
  #notification: Notification | undefined;
  /** Whether the device runs: it was activated and has not been reset. */
  #active = false;
  /** Whether the device was called at all since its last reset, so that it has something to reset. */
  #dirty = false;
  /** The device changed its configuration and the driver has not read it since. */
  #configurationChanged = false;

  /**
   * @param options What the transport is made of.
   * @throws {RangeError} The device declares impossible queues.
   */
  constructor(options: VirtioPciTransportOptions) {
    const { id, deviceType, device, memory } = options;
    checkQueues(id, device);
    const deviceId = constants.PCI_DEVICE_BASE + deviceType;
    const capabilities = layout.virtioCapabilities((device.configuration?.length ?? 0) > 0);
    const msix = layout.virtioMsix(device.queues.length);
    const kind = options.bar64 ? "memory64" : "memory32";
    super({
      id,
      identity: {
        vendorId: constants.PCI_VENDOR,
        deviceId,
        revision: constants.PCI_REVISION,
        classCode: options.pciClass ?? pciClassOf(deviceType),
      },
      bars: [{ index: layout.STRUCTURES_BAR, kind, size: layout.STRUCTURES_BAR_SIZE }],
      capabilities,
      msix,
      interrupts: options.interrupts,
      reportError: (error) => options.reportError(error),
    });
    this.#device = device;
    this.#memory = memory;
    this.#doorbells = options.doorbells;
    this.#reportError = (error) => options.reportError(error);
    this.#window = new PciConfigurationAccess(
      this.configurationSpace,
      this.capabilityOffsets[capabilities.length - 1],
      this,
    );
    this.#queues = new DeviceQueues(device.queues.length, memory, this.statistics, {
      interrupt: (index) => this.#interruptQueue(index),
      look: (queue) => this.#look(queue),
      failed: (_queue, error) => this.#fail("use of its queue", error),
      schedule: (callback) => options.schedule(callback),
    });
    this.common = new CommonConfiguration(offeredFeatures(device), device.queues, msix.vectors, {
      acceptFeatures: (features) => this.#acceptFeatures(features),
      activate: () => this.#activate(),
      reset: () => this.#resetDevice(),
      enableQueue: (index) => this.#enableQueue(index),
      resetQueue: (index) => this.#resetQueue(index),
    });
  }

  /** Whether the device runs. */
  get active(): boolean {
    return this.#active;
  }

  /** The event descriptor behind a queue's doorbell, where there is one. */
  doorbellDescriptor(queue: number): number | undefined {
    return this.#notification?.descriptor(queue);
  }

  /** Ends a batch: what the device returned since the last one becomes visible, and due interrupts are raised. */
  endBatch(): void {
    this.#queues.endBatch();
  }

  /** The device's configuration has changed: the driver is told. */
  configurationChanged(): void {
    this.#configurationChanged = true;
    if (this.#isDriverOk()) this.#interruptConfiguration();
  }

  /** The device cannot go on: DEVICE_NEEDS_RESET is set and the driver is told. */
  needsReset(reason: string): void {
    this.#fail("its own operation", new Error(reason));
  }

  /** A doorbell rang. Kicks to queues that do not run are ignored. */
  notifyQueue(index: number): void {
    const queue = this.#queues.all[index];
    if (!this.#active || queue === undefined || !queue.running) return;
    this.statistics.kicks++;
    this.#look(queue);
    this.#queues.endBatch();
  }

  /** Makes the doorbells and takes the slot. */
  override attached(slot: PciSlot): void {
    this.#notification?.[Symbol.dispose]();
    this.#notification = undefined;
    this.#notification = new Notification(this.#doorbells, this.#device.queues.length, (index) => {
      this.notifyQueue(index);
    });
    super.attached(slot);
  }

  /** Configuration space, with the window of the PCI-cfg capability. */
  override readConfiguration(offset: number, width: AccessWidth): number {
    this.#window.beforeRead(offset, width);
    return super.readConfiguration(offset, width);
  }

  /** See {@linkcode readConfiguration}. */
  override writeConfiguration(offset: number, width: AccessWidth, value: number): void {
    super.writeConfiguration(offset, width, value);
    this.#window.afterWrite(offset, width);
  }

  /** Power-on state of device and function. */
  override reset(): void {
    this.common.writeStatus(0);
    super.reset();
    this.#window.reset();
  }

  /** Stops the device, disposes it, and frees doorbells and vectors. */
  override [Symbol.dispose](): void {
    this.#resetDevice();
    try {
      this.#device[Symbol.dispose]?.();
    } catch (cause) {
      this.#report("disposing", cause);
    }
    this.#notification?.[Symbol.dispose]();
    this.#notification = undefined;
    super[Symbol.dispose]();
  }

  /** Common configuration, ISR, device configuration. */
  protected override readRegister(bar: number, offset: number, width: AccessWidth): number {
    if (bar !== layout.STRUCTURES_BAR) return 0;
    if (offset < COMMON_CONFIGURATION_SIZE) return this.common.read(offset, width);
    if (offset === layout.ISR_OFFSET) {
      const { isr } = this;
      this.isr = 0;
      return isr;
    }
    const inDevice = offset - layout.DEVICE_OFFSET;
    return inDevice >= 0 && inDevice < layout.DEVICE_SIZE ? this.#readDeviceConfiguration(inDevice, width) : 0;
  }

  /** Common configuration, ISR, notifications, device configuration. */
  protected override writeRegister(bar: number, offset: number, width: AccessWidth, value: number): void {
    if (bar !== layout.STRUCTURES_BAR) return;
    if (offset < COMMON_CONFIGURATION_SIZE) {
      this.common.write(offset, width, value);
      return;
    }
    if (offset === layout.ISR_OFFSET) {
      this.isr &= ~value;
      return;
    }
    const queue = notifiedQueue(offset);
    if (queue >= 0) {
      this.notifyQueue(queue);
      return;
    }
    const inDevice = offset - layout.DEVICE_OFFSET;
    if (inDevice >= 0 && inDevice < layout.DEVICE_SIZE) this.#writeDeviceConfiguration(inDevice, width, value);
  }

  /** The doorbells move with the BAR. */
  protected override barMoved(index: number, address: number | undefined): void {
    if (index === layout.STRUCTURES_BAR) this.#notification?.move(address);
  }

  /** The queues are looked at when the device may touch memory again. */
  protected override busMasterChanged(): void {
    this.#updateHold();
    if (this.#active && !this.#queues.held) this.#queues.lookAtAll();
  }

  /** Queues stand still without Bus Master, and while the device awaits a reset. */
  #updateHold(): void {
    this.#queues.held = !this.busMaster || (this.common.status & constants.STATUS_NEEDS_RESET) !== 0;
  }

  #isDriverOk(): boolean {
    return (this.common.status & constants.STATUS_DRIVER_OK) !== 0;
  }

  #acceptFeatures(features: bigint): boolean {
    try {
      return this.#device.acceptFeatures?.(features) ?? true;
    } catch (cause) {
      this.#report("acceptFeatures", cause);
      return false;
    }
  }

  #activate(): void {
    if (this.#active) return;
    const running = this.common.queues.map((registers, index) => registers.enabled && this.#startQueue(index));
    // A driver that enabled nothing has nothing to be served.
    if (running.length > 0 && !running.includes(true)) return;
    const queues = this.#queues.all.map((queue, index) => running[index] ? queue : undefined);
    this.#updateHold();
    this.#dirty = true;
    try {
      this.#device.activate({ memory: this.#memory, features: this.common.driverFeatures, queues });
    } catch (cause) {
      this.#fail("activate", cause);
      return;
    }
    // The device itself may have asked for a reset meanwhile.
    if (this.common.status !== constants.STATUS_READY) return;
    this.#active = true;
    // Kicks that came before found nobody.
    this.#queues.lookAtAll();
  }

  /** Starts a queue at the rings that its registers name; false, and reported, when those cannot be used. */
  #startQueue(index: number): boolean {
    const registers = this.common.queues[index];
    const queue = this.#queues.all[index];
    const addresses = this.common.addresses(registers);
    const objection = queue.check(registers.size, addresses);
    if (objection !== undefined) {
      this.#report("the driver's set-up", new Error(`Queue ${index} is left out: ${objection}`));
      return false;
    }
    queue.start(registers.size, addresses, this.common.driverFeatures);
    return true;
  }

  #enableQueue(index: number): void {
    if (!this.#active || !this.#startQueue(index)) return;
    this.#look(this.#queues.all[index]);
    this.#queues.endBatch();
  }

  #resetQueue(index: number): void {
    const queue = this.#queues.all[index];
    try {
      if (this.#active && queue.running) this.#device.resetQueue?.(queue);
    } catch (cause) {
      this.#fail("resetQueue", cause);
    }
    queue.stop();
  }

  /** Ends everything; false when the device could not be reset, which then may be tried again. */
  #resetDevice(): boolean {
    this.#active = false;
    let done = true;
    if (this.#dirty) {
      try {
        this.#device.reset?.();
        this.#dirty = false;
      } catch (cause) {
        this.#report("reset", cause);
        done = false;
      }
    }
    this.#queues.stop();
    this.isr = 0;
    this.#configurationChanged = false;
    return done;
  }

  #look(queue: Ring): void {
    if (!this.#active || this.#queues.held) return;
    try {
      this.#device.notify(queue);
    } catch (cause) {
      this.#fail("notify", cause);
    }
  }

  #readDeviceConfiguration(offset: number, width: AccessWidth): number {
    // Once per read rather than per change: 255 changes between two reads must not look like none (4.1.4.3.1).
    if (this.#configurationChanged) {
      this.#configurationChanged = false;
      this.common.generation = (this.common.generation + 1) & 0xff;
    }
    const bytes = this.#device.configuration;
    if (bytes === undefined) return 0;
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + (bytes[offset + i] ?? 0);
    return value;
  }

  #writeDeviceConfiguration(offset: number, width: AccessWidth, value: number): void {
    const device = this.#device;
    if (device.writeConfiguration === undefined || offset + width > (device.configuration?.length ?? 0)) return;
    this.#dirty = true;
    try {
      device.writeConfiguration(offset, width, value);
    } catch (cause) {
      this.#fail("writeConfiguration", cause);
    }
  }

  #interruptQueue(index: number): void {
    const { msix } = this;
    if (msix?.enabled === true) {
      if (msix.trigger(this.common.queues[index].vector)) this.statistics.interrupts++;
    } else {
      this.isr |= constants.ISR_QUEUE;
    }
  }

  #interruptConfiguration(): void {
    this.isr |= constants.ISR_CONFIGURATION;
    if (this.msix?.trigger(this.common.configVector) === true) this.statistics.interrupts++;
  }

  /** The device or its driver did what makes going on impossible. */
  #fail(operation: string, cause: unknown): void {
    const { common } = this;
    if (common.status !== 0 && (common.status & constants.STATUS_NEEDS_RESET) === 0) {
      common.status |= constants.STATUS_NEEDS_RESET;
      this.#updateHold();
      if (this.#isDriverOk()) this.#interruptConfiguration();
    }
    this.#report(operation, cause);
  }

  #report(operation: string, cause: unknown): void {
    const reason = cause instanceof Error ? cause.message : String(cause);
    this.#reportError(new Error(`Virtio device ${this.id}: ${operation} failed: ${reason}`, { cause }));
  }
}
