/**
 * A machine in its isolate: built from a request, run until it ends, taken apart.
 *
 * @module
 */
import type { EventDescriptor } from "../../ffi/event_descriptor.ts";
import { Capability } from "../../ffi/kvm/constants.ts";
import type { KvmMachine } from "../../ffi/kvm/machine.ts";
import { KvmSystem } from "../../ffi/kvm/system.ts";
import { MemoryMapping } from "../../ffi/memory_mapping.ts";
import { buildAcpiTables, RESET_VALUE } from "../boot/acpi/tables.ts";
import { type BootRequest, type LoadedKernel, loadKernel } from "../boot/loader.ts";
import { writeResetVector } from "../boot/reset_vector.ts";
import { BUILT_IN_DEVICES } from "../devices/built_in.ts";
import { PVPANIC_PORT } from "../legacy/pvpanic.ts";
import { RESET_CONTROL_PORT } from "../legacy/reset_control.ts";
import { GuestMemory } from "../memory/guest_memory.ts";
import { PciBus } from "../pci/bus.ts";
import { HOST_BRIDGE_SLOT, HostBridge } from "../pci/host_bridge.ts";
import { loadPlugin } from "../plugin/load.ts";
import { CharacterStreams } from "./character_streams.ts";
import { DeviceFiles } from "./device_files.ts";
import { Devices } from "./devices.ts";
import { KvmDoorbells } from "./doorbells.ts";
import { type Ending, ending } from "./ending.ts";
import { EventLoop } from "./event_loop.ts";
import { Exits } from "./exits.ts";
import { explainKvmFailure } from "./host.ts";
import { KvmInterrupts } from "./interrupts.ts";
import * as layout from "./layout.ts";
import { addLegacyDevices } from "./legacy_devices.ts";
import { MACHINE_SLEEPS, Sleep } from "./mailbox.ts";
import { PortBus } from "./port_bus.ts";
import { PortOutput } from "./port_output.ts";
import type { FromMachine, MachineRequest, SharedBlocks, ToMachine } from "./protocol.ts";
import { SERIAL_INTERRUPT, SERIAL_PORT, sharedPortRanges, SharedPorts } from "./shared_ports.ts";
import type { Statistics } from "./statistics.ts";
import { physicalAddressBits } from "./vcpu_state.ts";
import { maySpin, Vcpus } from "./vcpus.ts";

/** Ports of PCI configuration mechanism #1. */
const PCI_CONFIGURATION_PORTS = { first: 0xcf8, count: 8 } as const;
/** Rounds without work before the isolate sleeps: about 20 µs. */
const IDLE_ROUNDS = 200;
/** Rounds at most, and time in each, for what is under way when the vCPUs have ended. */
const SETTLE_ROUNDS = 100;
const SETTLE_MILLISECONDS = 1;
/** In a busy machine, output is moved once in so many rounds. */
const OUTPUT_ROUNDS = 256;
/** How long output is collected before it is handed on. */
const OUTPUT_PAUSE_MILLISECONDS = 5;
/** Steps of the launch, by name, in milliseconds since it began. */
type Timeline = Record<string, number>;

/** One machine. */
export class Machine implements Disposable {
  readonly #resources = new DisposableStack();
  readonly #request: MachineRequest;
  readonly #post: (message: FromMachine) => void;
  readonly #shared: Int32Array;
  readonly #loop: EventLoop;
  readonly #streams: CharacterStreams;
  readonly #controlEvent: EventDescriptor;
  readonly #timeline: Timeline = {};
  #exits!: Exits;
  #devices!: Devices;
  #vcpus!: Vcpus;
  #output!: PortOutput;
  #ending: Ending | undefined;
  /** The kernel has begun to panic; it is given the time to say all it has to say. */
  #panic: Ending | undefined;
  #announced = 0;
  #sleeps = 0;

  private constructor(
    request: MachineRequest,
    blocks: SharedBlocks,
    controlEvent: EventDescriptor,
    post: (message: FromMachine) => void,
  ) {
    this.#request = request;
    this.#post = post;
    this.#shared = new Int32Array(blocks.shared);
    this.#mark("isolate");
    this.#loop = this.#resources.use(new EventLoop());
    this.#controlEvent = controlEvent;
    const watch = this.#loop.watch(this.#controlEvent.fd, () => this.#announced += this.#controlEvent.read());
    this.#resources.use(watch);
    this.#streams = this.#resources.use(new CharacterStreams(blocks.shared, post, request.isReboot));
  }

  /**
   * Builds a machine up to the point where its vCPUs can run.
   *
   * @param controlEvent Signalled once for every message of the control isolate. It stays its maker's.
   * @throws {Error} Whatever is missing or wrong; everything made so far has been given back.
   */
  static async build(
    request: MachineRequest,
    blocks: SharedBlocks,
    controlEvent: EventDescriptor,
    post: (message: FromMachine) => void,
  ): Promise<Machine> {
    const machine = new Machine(request, blocks, controlEvent, post);
    try {
      await machine.#build(blocks);
      return machine;
    } catch (error) {
      machine[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Runs the machine until it ends. Everything it held has been given back when the promise resolves.
   *
   * @param takeMessage Resolves with the next message of the control isolate.
   */
  async run(takeMessage: () => Promise<ToMachine>): Promise<{ ending: Ending; statistics: Statistics }> {
    try {
      const reason = await this.#runToEnd(takeMessage);
      this.#vcpus.end();
      this.#settle();
      const details = this.#request.verbose ? { details: this.#vcpus.describe() } : {};
      return { ending: { ...reason, ...details }, statistics: this.#statistics() };
    } finally {
      this[Symbol.dispose]();
    }
  }

  async #runToEnd(takeMessage: () => Promise<ToMachine>): Promise<Ending> {
    this.#vcpus.start();
    this.#mark("running");
    const idleLimit = maySpin(this.#request.cpus) ? IDLE_ROUNDS : 0;
    let idleRounds = 0;
    for (let round = 0; this.#ending === undefined; round = (round + 1) % OUTPUT_ROUNDS) {
      const served = this.#vcpus.serve();
      const worked = this.#loop.dispatch() || served;
      if (worked) this.#loop.endRound();
      // Looked at in every round: a guest that keeps us busy must not keep anybody from stopping it.
      for (; this.#announced > 0; this.#announced--) this.#obey(await takeMessage());
      this.#ending ??= this.#vcpus.findEnding();
      if (worked && round === 0) this.#output.move();
      idleRounds = worked ? 0 : idleRounds + 1;
      if (this.#ending !== undefined || idleRounds <= idleLimit) continue;
      // While output is flowing it is collected for some milliseconds: a message per character would cost more than all else.
      if (this.#output.move()) this.#sleep(Sleep.light, OUTPUT_PAUSE_MILLISECONDS);
      else this.#sleep(Sleep.deep);
    }
    return this.#ending;
  }

  /** Milliseconds from the launch to each step so far. */
  get timeline(): Readonly<Record<string, number>> {
    return this.#timeline;
  }

  /** What was chosen on the way. */
  readonly notes: string[] = [];

  /** Gives everything back. */
  [Symbol.dispose](): void {
    this.#resources[Symbol.dispose]();
  }

  async #build(blocks: SharedBlocks): Promise<void> {
    const request = this.#request;
    const images = awaitedLater(readImages(request));
    const plugins = request.devices.map(({ plugin }) => awaitedLater(loadPlugin(plugin, Deno.cwd(), BUILT_IN_DEVICES)));
    const system = this.#resources.use(openKvm());
    const machine = this.#resources.use(system.createMachine());
    this.#mark("kvm");
    const memory = this.#addMemory(machine);
    machine.setTssAddress(layout.TSS_ADDRESS);
    machine.setIdentityMapAddress(layout.IDENTITY_MAP_ADDRESS);
    machine.createInterruptChip();
    machine.createTimer();
    const supportedCpuid = system.supportedCpuid();
    const memory64 = layout.memory64Window(memory.regions, physicalAddressBits(supportedCpuid));
    const interrupts = new KvmInterrupts(machine, system.checkExtension(Capability.interruptRouting));
    const bus = this.#makeBus(memory, memory64, interrupts);
    const ports = new PortBus(new Uint8Array(blocks.claimedPorts));
    ports.forward(PCI_CONFIGURATION_PORTS.first, PCI_CONFIGURATION_PORTS.count, true);
    this.#exits = new Exits(ports, bus);
    this.#vcpus = this.#resources.use(new Vcpus(system, machine, blocks, this.#loop, this.#exits.handle));
    this.#mark("machine");
    this.#addLegacy(ports, memory, machine, blocks);
    const files = this.#resources.use(new DeviceFiles(this.#loop, memory));
    this.#devices = this.#resources.use(
      new Devices({
        memory,
        bus,
        interrupts,
        doorbells: new KvmDoorbells(machine, this.#loop),
        loop: this.#loop,
        files,
        streams: this.#streams,
        log: (device, message) => this.#post({ type: "log", device, message }),
      }),
    );
    for (const [index, device] of request.devices.entries()) this.#devices.add(device, await plugins[index]);
    this.#loop.atRoundEnd(() => this.#devices.endBatch());
    this.#mark("devices");
    const acpi = buildAcpiTables({
      vcpus: request.cpus,
      ecam: { address: layout.ECAM.address, buses: 1 },
      memoryWindows: [
        { ...layout.MEMORY32_WINDOW, prefetchable: false },
        { ...memory64, prefetchable: true },
      ],
      ioWindows: [layout.IO_WINDOW],
      serialPorts: request.serial === undefined ? [] : [{ port: SERIAL_PORT, interrupt: SERIAL_INTERRUPT }],
      rtc: true,
      keyboardController: false,
      panicPort: PVPANIC_PORT,
      resetPort: RESET_CONTROL_PORT,
    });
    memory.write(acpi.address, acpi.bytes);
    writeResetVector(memory, RESET_CONTROL_PORT, RESET_VALUE);
    const kernel = await loadNamedKernel(memory, request, {
      ...await images,
      commandLine: request.cmdline,
      rsdpAddress: acpi.rsdpAddress,
      reserved: [layout.ECAM],
    });
    this.notes.push(`${kernel.protocol}: ${kernel.note}`);
    this.#mark("kernel");
    this.#vcpus.configure(supportedCpuid, kernel.state);
    this.#mark("vcpus");
  }

  #addMemory(machine: KvmMachine): GuestMemory {
    const regions = layout.memoryRegions(this.#request.memory);
    const mapping = this.#resources.use(MemoryMapping.anonymous(this.#request.memory));
    regions.forEach(({ address, length, offset }, slot) =>
      machine.setMemorySlot(slot, address, length, mapping.address + BigInt(offset))
    );
    return new GuestMemory(mapping.buffer, regions, mapping.address);
  }

  #makeBus(memory: GuestMemory, memory64: layout.AddressRange, interrupts: KvmInterrupts): PciBus {
    const bus = new PciBus({
      windows: { memory32: layout.MEMORY32_WINDOW, memory64, io: layout.IO_WINDOW },
      reserved: [...memory.regions, layout.ECAM, layout.IO_APIC, layout.LOCAL_APIC],
      interrupts,
    });
    bus.add(new HostBridge(), HOST_BRIDGE_SLOT);
    return bus;
  }

  #addLegacy(ports: PortBus, memory: GuestMemory, machine: KvmMachine, blocks: SharedBlocks): void {
    const { serial, watchForPanic } = this.#request;
    const panic = {
      panicking: (message: string) => this.#panic ??= ending("panic", message),
      panicked: () => this.#end(this.#panic ?? ending("panic", "the guest's kernel panicked (told by pvpanic)")),
    };
    addLegacyDevices(ports, memory, {
      power: (request) => this.#end(this.#panic ?? power(request)),
      exit: (exitCode) => this.#end({ kind: "debug-exit", message: `the guest ended with code ${exitCode}`, exitCode }),
      panicked: panic.panicked,
    });
    const shared = new SharedPorts(blocks.sharedPorts, {
      interruptLine: (level) => machine.setInterruptLine(SERIAL_INTERRUPT, level),
      call: () => {},
      stopping: () => false,
    });
    shared.powerOn();
    for (const [first, count] of sharedPortRanges(serial !== undefined)) ports.share(first, count);
    const streams = {
      debug: this.#streams.open("debug"),
      serial: serial === undefined ? undefined : this.#streams.open(serial),
    };
    this.#output = new PortOutput(shared, streams, watchForPanic ? panic : undefined);
  }

  #obey(message: ToMachine): void {
    switch (message.type) {
      case "stop":
        this.#end(message.ending);
        break;
      case "input":
        this.#streams.input(message.stream, message.data);
        break;
      case "resize":
        this.#streams.resize(message.stream, message.columns, message.rows);
        break;
      case "drained":
        this.#streams.drained(message.stream);
        break;
      case "vcpu-failed":
        this.#end(ending("host-error", `the isolate of vCPU ${message.index} crashed: ${message.message}`));
        break;
      case "build":
      case "release":
        break;
    }
    this.#loop.endRound();
  }

  /** The first ending counts. */
  #end(reason: Ending): void {
    this.#ending ??= reason;
  }

  /** What the guest had handed to its devices before it ended is still done: its last words are among it. */
  #settle(): void {
    for (let round = 0; round < SETTLE_ROUNDS; round++) {
      this.#loop.wait(SETTLE_MILLISECONDS);
      if (!this.#loop.dispatch()) break;
      this.#loop.endRound();
    }
    this.#output.finish();
  }

  #sleep(depth: number, milliseconds?: number): void {
    if (depth === Sleep.deep) this.#streams.flush();
    Atomics.store(this.#shared, MACHINE_SLEEPS, depth);
    // Looked at once more: whoever posted before this word was set did not know that we must be woken.
    if (!this.#vcpus.pending && !this.#loop.pending && (depth === Sleep.light || !this.#output.pending)) {
      this.#sleeps++;
      this.#loop.wait(milliseconds);
    }
    Atomics.store(this.#shared, MACHINE_SLEEPS, Sleep.none);
  }

  #statistics(): Statistics {
    return {
      vcpus: this.#vcpus.counts(),
      places: this.#exits.places,
      devices: this.#devices.statistics(),
      sleeps: this.#sleeps,
      timeStampKhz: this.#vcpus.timeStampKhz,
      timeline: this.#timeline,
    };
  }

  #mark(step: string): void {
    this.#timeline[step] = performance.timeOrigin + performance.now() - this.#request.launchedAt;
  }
}

function power(request: "poweroff" | "reset"): Ending {
  return request === "poweroff"
    ? ending("power-off", "the guest powered off")
    : ending("reset", "the guest reset the machine");
}

function openKvm(): KvmSystem {
  try {
    return KvmSystem.open();
  } catch (cause) {
    const { check, detail, remedy } = explainKvmFailure(cause);
    throw new Error(`${check} ${detail}. Remedy: ${remedy}`, { cause });
  }
}

/** Files are read, and plugins loaded, while the machine is being made. */
async function readImages(
  { kernel, initramfs }: MachineRequest,
): Promise<{ kernel: Uint8Array; initramfs?: Uint8Array }> {
  const images = [readImage("kernel", kernel), ...(initramfs === undefined ? [] : [readImage("initramfs", initramfs)])];
  const [first, second] = await Promise.all(images);
  return { kernel: first, ...(second === undefined ? {} : { initramfs: second }) };
}

async function readImage(what: string, image: string | Uint8Array): Promise<Uint8Array> {
  if (typeof image !== "string") return image;
  try {
    return await Deno.readFile(image);
  } catch (cause) {
    throw new Error(`Cannot read the ${what} ${image}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}

/** The boot layer sees bytes only: what is wrong with them is told with the names of their files. */
async function loadNamedKernel(
  memory: GuestMemory,
  { kernel, initramfs }: MachineRequest,
  boot: BootRequest,
): Promise<LoadedKernel> {
  try {
    return await loadKernel(memory, boot);
  } catch (cause) {
    const name = (image: string | Uint8Array) => typeof image === "string" ? image : "bytes";
    const files = `kernel ${name(kernel)}${initramfs === undefined ? "" : `, initramfs ${name(initramfs)}`}`;
    throw new Error(`${cause instanceof Error ? cause.message : cause} (${files})`, { cause });
  }
}

/** A promise that is awaited at its turn: a failure before it must not pass for one that nobody handles. */
function awaitedLater<Value>(promise: Promise<Value>): Promise<Value> {
  promise.catch(() => {});
  return promise;
}
