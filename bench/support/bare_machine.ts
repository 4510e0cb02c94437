/**
 * A machine of nothing but memory, interrupt chip and one vCPU, whose doorbells and interrupts are those of our machine. It is
 * driven from the calling isolate, which so takes the place of the machine isolate.
 *
 * @module
 */
import { Capability } from "../../ffi/kvm/constants.ts";
import { KvmSystem } from "../../ffi/kvm/system.ts";
import { KvmVcpu } from "../../ffi/kvm/vcpu.ts";
import { MemoryMapping, Protection } from "../../ffi/memory_mapping.ts";
import { setUpPvh } from "../../src/boot/pvh.ts";
import { KvmDoorbells } from "../../src/machine/doorbells.ts";
import { EventLoop } from "../../src/machine/event_loop.ts";
import { KvmInterrupts } from "../../src/machine/interrupts.ts";
import { IDENTITY_MAP_ADDRESS, TSS_ADDRESS } from "../../src/machine/layout.ts";
import { configureVcpu, cpuidOf } from "../../src/machine/vcpu_state.ts";
import { GuestMemory } from "../../src/memory/guest_memory.ts";
import type { GuestProgram } from "./assembler.ts";
import { Shared, type VcpuStart } from "./vcpu_worker.ts";

const MEMORY_SIZE = 16 << 20;
const OUTPUT_ROOM = 1 << 20;

/** See the module. */
export class BareMachine implements Disposable {
  readonly #resources = new DisposableStack();
  readonly #shared = new SharedArrayBuffer(Shared.bytes + OUTPUT_ROOM);
  readonly #words = new Int32Array(this.#shared, 0, Shared.bytes / Int32Array.BYTES_PER_ELEMENT);
  /** The machine's one wait. */
  readonly loop: EventLoop = this.#resources.use(new EventLoop());
  readonly doorbells: KvmDoorbells;
  readonly interrupts: KvmInterrupts;
  readonly memory: GuestMemory;
  readonly #start: VcpuStart;

  private constructor(guest: GuestProgram) {
    const system = this.#resources.use(KvmSystem.open());
    const machine = this.#resources.use(system.createMachine());
    const mapping = this.#resources.use(MemoryMapping.memfd("bench-guest-memory", MEMORY_SIZE));
    machine.setMemorySlot(0, 0, MEMORY_SIZE, mapping.address);
    this.memory = new GuestMemory(mapping.buffer, [{ address: 0, length: MEMORY_SIZE, offset: 0 }], mapping.address);
    machine.setTssAddress(TSS_ADDRESS);
    machine.setIdentityMapAddress(IDENTITY_MAP_ADDRESS);
    machine.createInterruptChip();
    machine.createTimer();
    this.doorbells = new KvmDoorbells(machine, this.loop);
    this.interrupts = new KvmInterrupts(machine, system.checkExtension(Capability.interruptRouting));
    const vcpu = this.#resources.use(machine.createVcpu(0));
    const length = system.vcpuMapSize();
    const page = this.#resources.use(MemoryMapping.ofDescriptor(vcpu.fd, 0, length, Protection.readWrite));
    this.memory.write(guest.base, guest.bytes);
    const state = setUpPvh(this.memory, { entry: guest.entry, memoryMap: [], initramfs: undefined, rsdpAddress: 0 });
    configureVcpu(new KvmVcpu(vcpu.fd, page.address, length), cpuidOf(system.supportedCpuid(), 0, 1), state);
    this.#start = { fd: vcpu.fd, address: page.address, length, shared: this.#shared };
  }

  /** A machine with a guest, whose vCPU isolate is ready to run. */
  static async build(guest: GuestProgram): Promise<BareMachine> {
    const machine = new BareMachine(guest);
    const ready = Promise.withResolvers<void>();
    const worker = new Worker(import.meta.resolve("./vcpu_worker.ts"), { type: "module" });
    worker.onmessage = () => ready.resolve();
    worker.onerror = (event) => ready.reject(new Error(`The vCPU isolate crashed: ${event.message}`));
    worker.postMessage(machine.#start);
    await ready.promise;
    return machine;
  }

  /** Lets the guest run. */
  go(): void {
    Atomics.store(this.#words, Shared.go, 1);
    Atomics.notify(this.#words, Shared.go);
  }

  /** Whether the guest has ended. */
  get isOver(): boolean {
    return Atomics.load(this.#words, Shared.over) !== 0;
  }

  /**
   * What the guest has printed.
   *
   * @throws {Error} The guest did not end by itself.
   */
  get output(): Uint8Array {
    const wrong = this.#words[Shared.wrong];
    if (wrong !== 0) throw new Error(`The measured guest stopped with exit reason or errno ${wrong}`);
    return new Uint8Array(this.#shared, Shared.bytes, this.#words[Shared.printed]);
  }

  /** Gives everything back. Only when the guest has ended. */
  [Symbol.dispose](): void {
    this.#resources[Symbol.dispose]();
  }
}
