/**
 * The notification area of virtio-PCI (virtio 1.2, section 4.1.4.4): one doorbell per queue, which moves with the BAR.
 *
 * @module
 */
import type { Doorbell, Doorbells } from "../pci/doorbells.ts";
import { NOTIFY_MULTIPLIER, NOTIFY_OFFSET, NOTIFY_SIZE } from "./capabilities.ts";

/** The doorbells of one function. */
export class Notification implements Disposable {
  readonly #doorbells: readonly Doorbell[];

  /**
   * @param doorbells Where doorbells come from.
   * @param count Number of queues.
   * @param notify Called with the queue's index when its doorbell rings.
   * @throws {Error} A doorbell could not be made; none is left behind.
   */
  constructor(doorbells: Doorbells, count: number, notify: (queue: number) => void) {
    const made: Doorbell[] = [];
    try {
      for (let queue = 0; queue < count; queue++) made.push(doorbells.create(() => notify(queue)));
    } catch (error) {
      for (const doorbell of made) doorbell[Symbol.dispose]();
      throw error;
    }
    this.#doorbells = made;
  }

  /**
   * Puts the doorbells where the BAR is decoded now.
   *
   * @param barAddress Address of the BAR; undefined to take them off.
   * @throws {Error} A doorbell could not be attached; all are off then.
   */
  move(barAddress: number | undefined): void {
    // All go off first, lest one is put where another still is.
    this.#detach();
    if (barAddress === undefined) return;
    try {
      this.#doorbells.forEach((doorbell, queue) => {
        doorbell.attach(barAddress + NOTIFY_OFFSET + queue * NOTIFY_MULTIPLIER);
      });
    } catch (error) {
      this.#detach();
      throw error;
    }
  }

  /** The event descriptor behind a queue's doorbell, where there is one. */
  descriptor(queue: number): number | undefined {
    return this.#doorbells[queue]?.descriptor;
  }

  [Symbol.dispose](): void {
    for (const doorbell of this.#doorbells) doorbell[Symbol.dispose]();
  }

  #detach(): void {
    for (const doorbell of this.#doorbells) doorbell.detach();
  }
}

/** The queue whose notification register is at an offset of the BAR; -1 when none is. */
export function notifiedQueue(offset: number): number {
  const inside = offset - NOTIFY_OFFSET;
  return inside >= 0 && inside < NOTIFY_SIZE && inside % NOTIFY_MULTIPLIER === 0 ? inside / NOTIFY_MULTIPLIER : -1;
}
