/**
 * All queues of one device: who was used in this batch, who wants to be looked at again.
 *
 * @module
 */
import type { GuestMemory } from "../memory/guest_memory.ts";
import type { DeviceStatistics, Ring, RingEvents } from "./ring.ts";
import { SplitQueue } from "./split_queue.ts";

/** What the queues ask of their transport. */
export interface DeviceQueuesEvents {
  /** The driver is to be interrupted for a queue. */
  interrupt(index: number): void;
  /** A queue has new work, or may have. */
  look(queue: Ring): void;
  /** The ring is broken or misused. */
  failed(queue: Ring, error: Error): void;
  /** Calls back in the machine's next round. */
  schedule(callback: () => void): void;
}

/** The queues of one device. */
export class DeviceQueues implements RingEvents {
  /** The queues by index. They live as long as the device, started and stopped with its resets. */
  readonly all: readonly Ring[];
  readonly #events: DeviceQueuesEvents;
  readonly #touched: Ring[] = [];
  #scheduled = false;
  #held = false;

  /**
   * @param count Number of queues.
   * @param memory The guest's RAM.
   * @param statistics The device's counters.
   * @param events The transport.
   */
  constructor(count: number, memory: GuestMemory, statistics: DeviceStatistics, events: DeviceQueuesEvents) {
    this.#events = events;
    this.all = Array.from({ length: count }, (_, index) => new SplitQueue(index, memory, statistics, this));
  }

  touched(queue: Ring): void {
    this.#touched.push(queue);
  }

  failed(queue: Ring, error: Error): void {
    this.#events.failed(queue, error);
  }

  /** While held, nothing is taken from the rings and nothing is published. */
  get held(): boolean {
    return this.#held;
  }

  set held(held: boolean) {
    this.#held = held;
    for (const queue of this.all) queue.held = held;
  }

  /** Publishes what was pushed and interrupts the driver where it wants that. Cheap when nothing was. */
  endBatch(): void {
    const touched = this.#touched;
    if (touched.length === 0 || this.#held) return;
    let again = false;
    for (let i = 0; i < touched.length; i++) {
      const queue = touched[i];
      if (queue.settle()) this.#events.interrupt(queue.index);
      again ||= queue.wantsAttention;
    }
    touched.length = 0;
    if (!again || this.#scheduled) return;
    this.#scheduled = true;
    this.#events.schedule(this.#resume);
  }

  /** Looks at every running queue. */
  lookAtAll(): void {
    for (const queue of this.all) if (queue.running) this.#events.look(queue);
    this.endBatch();
  }

  /** Stops all queues: chains in flight are dropped. */
  stop(): void {
    for (const queue of this.all) {
      queue.stop();
      queue.settle();
    }
    this.#touched.length = 0;
    this.held = false;
  }

  /** What was left over or deferred in an earlier round. */
  readonly #resume = (): void => {
    this.#scheduled = false;
    for (const queue of this.all) {
      if (!queue.wantsAttention) continue;
      queue.wantsAttention = false;
      if (queue.running) this.#events.look(queue);
    }
    this.endBatch();
  };
}
