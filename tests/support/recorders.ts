/**
 * The interrupt and doorbell seams as recorders: they note what a function did and let a test ring doorbells, without any kernel.
 *
 * @module
 */
import type { Doorbell, Doorbells } from "../../src/pci/doorbells.ts";
import type { InterruptController, InterruptVectors } from "../../src/pci/interrupt_controller.ts";

/** Where one vector's message goes. */
export interface RecordedRoute {
  readonly addressLow: number;
  readonly addressHigh: number;
  readonly data: number;
}

/** The vectors that one function was given. */
export class RecorderInterruptVectors implements InterruptVectors {
  readonly owner: string;
  readonly deviceId: number;
  readonly count: number;
  /** Current route per vector; undefined while detached. */
  readonly routes: (RecordedRoute | undefined)[];
  /** Deliveries per vector. */
  readonly delivered: number[];
  /** Every vector delivered, in order. */
  readonly order: number[] = [];
  /** How often `attach` was called. */
  attachments = 0;
  /** How often `detach` was called on an attached vector. */
  detachments = 0;
  disposed = false;
  /** When set, `attach` throws it. */
  attachError: Error | undefined;

  constructor(owner: string, deviceId: number, count: number) {
    this.owner = owner;
    this.deviceId = deviceId;
    this.count = count;
    this.routes = new Array<RecordedRoute | undefined>(count).fill(undefined);
    this.delivered = new Array<number>(count).fill(0);
  }

  attach(vector: number, addressLow: number, addressHigh: number, data: number): void {
    this.#check(vector);
    if (this.attachError !== undefined) throw this.attachError;
    this.attachments++;
    this.routes[vector] = { addressLow, addressHigh, data };
  }

  detach(vector: number): void {
    this.#check(vector);
    if (this.routes[vector] !== undefined) this.detachments++;
    this.routes[vector] = undefined;
  }

  /** Throws for a detached vector: whoever triggers has to check masks first. */
  trigger(vector: number): void {
    this.#check(vector);
    if (this.routes[vector] === undefined) {
      throw new Error(`Cannot deliver vector ${vector} of ${this.owner}: detached`);
    }
    this.delivered[vector]++;
    this.order.push(vector);
  }

  /** A made-up descriptor: 1000 + vector. */
  notifier(vector: number): number {
    this.#check(vector);
    return 1000 + vector;
  }

  /** All deliveries so far. */
  get total(): number {
    return this.order.length;
  }

  [Symbol.dispose](): void {
    this.disposed = true;
    this.routes.fill(undefined);
  }

  #check(vector: number): void {
    if (this.disposed) throw new Error(`Vectors of ${this.owner} are disposed`);
    if (!(vector >= 0 && vector < this.count)) {
      throw new RangeError(`No vector ${vector}: ${this.count} were allocated`);
    }
  }
}

/** An interrupt controller that only takes notes. */
export class RecorderInterruptController implements InterruptController {
  /** Every allocation so far. */
  readonly allocations: RecorderInterruptVectors[] = [];

  allocate(owner: string, deviceId: number, count: number): RecorderInterruptVectors {
    const vectors = new RecorderInterruptVectors(owner, deviceId, count);
    this.allocations.push(vectors);
    return vectors;
  }

  /** The vectors that a function got last. Throws when it never asked. */
  of(owner: string): RecorderInterruptVectors {
    const found = this.allocations.findLast((vectors) => vectors.owner === owner);
    if (found === undefined) throw new Error(`${owner} has allocated no vectors`);
    return found;
  }
}

/** One recorded doorbell. */
export class RecorderDoorbell implements Doorbell {
  readonly descriptor: undefined = undefined;
  /** Where it is attached now. */
  address: number | undefined;
  disposed = false;
  readonly #owner: RecorderDoorbells;
  readonly #onRing: () => void;

  constructor(owner: RecorderDoorbells, onRing: () => void) {
    this.#owner = owner;
    this.#onRing = onRing;
  }

  attach(address: number): void {
    if (this.disposed) throw new Error("Cannot attach a doorbell that is disposed");
    if (this.#owner.attachError !== undefined) throw this.#owner.attachError;
    const taken = this.#owner.all.find((other) => other !== this && other.address === address);
    if (taken !== undefined) throw new Error(`Cannot attach a doorbell at 0x${address.toString(16)}: there is another`);
    this.address = address;
  }

  detach(): void {
    this.address = undefined;
  }

  /** Calls back as the machine does. */
  ring(): void {
    this.#onRing();
  }

  [Symbol.dispose](): void {
    this.detach();
    this.disposed = true;
  }
}

/** Doorbells that a test rings by hand. */
export class RecorderDoorbells implements Doorbells {
  /** Every doorbell made, in order. */
  readonly all: RecorderDoorbell[] = [];
  /** When set, attaching throws it. */
  attachError: Error | undefined;

  create(onRing: () => void): RecorderDoorbell {
    const doorbell = new RecorderDoorbell(this, onRing);
    this.all.push(doorbell);
    return doorbell;
  }

  /** Addresses at which a doorbell is attached, ascending. */
  get addresses(): number[] {
    return this.all.flatMap((doorbell) => doorbell.address ?? []).sort((a, b) => a - b);
  }

  /** A guest's write to an address: rings the doorbell there and reports whether there was one. */
  ring(address: number): boolean {
    const found = this.all.find((doorbell) => doorbell.address === address);
    found?.ring();
    return found !== undefined;
  }
}
