/**
 * The doorbell seam on KVM: an ioeventfd each, so that a guest's notification never leaves the kernel on its vCPU.
 *
 * @module
 */
import { EventDescriptor } from "../../ffi/event_descriptor.ts";
import type { KvmMachine } from "../../ffi/kvm/machine.ts";
import type { Doorbell, Doorbells } from "../pci/doorbells.ts";
import type { EventLoop, Watch } from "./event_loop.ts";

/** {@linkcode Doorbells} of a KVM machine. */
export class KvmDoorbells implements Doorbells {
  readonly #machine: KvmMachine;
  readonly #loop: EventLoop;

  /** Doorbells of `machine` that call back from `loop`. */
  constructor(machine: KvmMachine, loop: EventLoop) {
    this.#machine = machine;
    this.#loop = loop;
  }

  /** @inheritdoc */
  create(onRing: () => void): Doorbell {
    return new KvmDoorbell(this.#machine, this.#loop, onRing);
  }
}

class KvmDoorbell implements Doorbell {
  readonly #machine: KvmMachine;
  readonly #loop: EventLoop;
  readonly #event = new EventDescriptor();
  readonly #onRing: () => void;
  #watch: Watch | undefined;
  #address: number | undefined;

  constructor(machine: KvmMachine, loop: EventLoop, onRing: () => void) {
    this.#machine = machine;
    this.#loop = loop;
    this.#onRing = onRing;
  }

  get descriptor(): number {
    return this.#event.fd;
  }

  attach(address: number): void {
    if (this.#address === address) return;
    this.detach();
    // Length 0 lets KVM match a write of any width, and by its fastest path.
    this.#machine.attachDoorbell(this.#event.fd, address, { length: 0 });
    this.#address = address;
    this.#watch ??= this.#loop.watch(this.#event.fd, this.#onRing);
  }

  detach(): void {
    if (this.#address === undefined) return;
    this.#machine.detachDoorbell(this.#event.fd, this.#address, { length: 0 });
    this.#address = undefined;
  }

  [Symbol.dispose](): void {
    this.detach();
    this.#watch?.[Symbol.dispose]();
    this.#event[Symbol.dispose]();
  }
}
