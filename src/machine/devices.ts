/**
 * Plugs the devices of a machine in: loads their plugins, makes them, puts them on the bus behind their transport.
 *
 * @module
 */
import type { GuestMemory } from "../memory/guest_memory.ts";
import type { PciBus } from "../pci/bus.ts";
import type { PciDevice } from "../pci/device.ts";
import type { Doorbells } from "../pci/doorbells.ts";
import type { InterruptController } from "../pci/interrupt_controller.ts";
import { createDevice } from "../plugin/create.ts";
import type { DeviceHost, OpenFileOptions, Plugin } from "../plugin/definition.ts";
import { DeviceType } from "../plugin/device_type.ts";
import { messageOf } from "../plugin/error.ts";
import { VirtioPciTransport } from "../virtio/pci_transport.ts";
import type { CallFailed, CharacterStreams } from "./character_streams.ts";
import { ContainedFunction } from "./contained_function.ts";
import type { DeviceFiles } from "./device_files.ts";
import type { EventLoop } from "./event_loop.ts";
import type { DeviceRequest } from "./protocol.ts";
import type { DeviceStatistics } from "./statistics.ts";

/** What devices are given by the machine they are in. */
export interface DeviceEnvironment {
  readonly memory: GuestMemory;
  readonly bus: PciBus;
  readonly interrupts: InterruptController;
  readonly doorbells: Doorbells;
  readonly loop: EventLoop;
  readonly files: DeviceFiles;
  readonly streams: CharacterStreams;
  /** A line for the people who run the machine. */
  log(device: string, message: string): void;
}

/** The devices of a machine. */
export class Devices implements Disposable {
  readonly #environment: DeviceEnvironment;
  readonly #transports: VirtioPciTransport[] = [];
  readonly #functions: PciDevice[] = [];
  readonly #ids = new Set<string>();

  /** No devices yet, for a machine that offers `environment`. */
  constructor(environment: DeviceEnvironment) {
    this.#environment = environment;
  }

  /**
   * Adds a device.
   *
   * @param plugin What `request.plugin` names.
   * @throws {Error} The plugin refuses its options, the name or the slot is taken.
   */
  add(request: DeviceRequest, plugin: Plugin): void {
    const id = this.#claimId(request.id, plugin.name);
    const { log, files, streams } = this.#environment;
    // Devices are made before their transport, and get its services through this.
    const late: { transport?: VirtioPciTransport } = {};
    const report = limitReports((message) => log(id, message));
    const failed = (operation: string, cause: unknown) => {
      const message = `${operation} failed: ${messageOf(cause)}`;
      if (late.transport === undefined) report(new Error(message, { cause }));
      else late.transport.needsReset(message);
    };
    const host: DeviceHost = {
      id,
      log: (message) => log(id, message),
      configurationChanged: () => late.transport?.configurationChanged(),
      needsReset: (reason) => late.transport?.needsReset(reason),
      openFile: (path, options) => files.open(path, { ...options, completed: guardCompleted(options, failed) }),
      openCharacterStream: (name) => streams.open(name, failed),
    };
    if (plugin.kind === "pci") {
      this.#place(new ContainedFunction(createDevice(plugin, request.options, host), report), request.slot);
      return;
    }
    const device = createDevice(plugin, request.options, host);
    const transport = late.transport = new VirtioPciTransport({
      id,
      device,
      deviceType: plugin.deviceType,
      ...(plugin.pciClass === undefined ? {} : { pciClass: plugin.pciClass }),
      memory: this.#environment.memory,
      interrupts: this.#environment.interrupts,
      doorbells: this.#environment.doorbells,
      // Firmware that boots from a disk addresses 32 bits only.
      bar64: plugin.deviceType !== DeviceType.block,
      reportError: report,
      schedule: (callback) => this.#environment.loop.schedule(callback),
    });
    this.#transports.push(transport);
    this.#place(transport, request.slot);
  }

  /** Publishes what the devices did in this round. */
  endBatch(): void {
    for (let i = 0; i < this.#transports.length; i++) this.#transports[i].endBatch();
  }

  /** Counters of every virtio device. */
  statistics(): DeviceStatistics[] {
    return this.#transports.map(({ id, statistics }) => ({ id, counters: { ...statistics } }));
  }

  /** Takes all devices off the bus and ends them. */
  [Symbol.dispose](): void {
    for (const device of this.#functions.toReversed()) {
      this.#environment.bus.remove(device);
      device[Symbol.dispose]();
    }
    this.#functions.length = 0;
  }

  #place(device: PciDevice, slot: number | undefined): void {
    this.#functions.push(device);
    this.#environment.bus.add(device, slot);
  }

  #claimId(wanted: string | undefined, name: string): string {
    let id = wanted ?? name;
    for (let number = 1; wanted === undefined && this.#ids.has(id); number++) id = `${name}${number}`;
    if (this.#ids.has(id)) throw new Error(`Cannot add a second device with the id "${id}": choose another id`);
    this.#ids.add(id);
    return id;
  }
}

/** What a device throws when its operation completes is its own trouble. */
function guardCompleted(options: OpenFileOptions, failed: CallFailed): OpenFileOptions["completed"] {
  return (chain, result) => {
    try {
      options.completed(chain, result);
    } catch (cause) {
      failed("completion of a file operation", cause);
    }
  };
}

/** Reports of one device in {@linkcode REPORT_WINDOW_MILLISECONDS}; what a guest does wrong can be without end. */
const REPORT_LIMIT = 8;
const REPORT_WINDOW_MILLISECONDS = 10_000;

function limitReports(log: (message: string) => void): (error: Error) => void {
  let windowStart = -Infinity;
  let reports = 0;
  return (error) => {
    const now = performance.now();
    if (now - windowStart > REPORT_WINDOW_MILLISECONDS) {
      if (reports > REPORT_LIMIT) log(`${reports - REPORT_LIMIT} more reports like the last ones were left out`);
      windowStart = now;
      reports = 0;
    }
    if (++reports <= REPORT_LIMIT) log(error.message);
  };
}
