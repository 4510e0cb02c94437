/**
 * The table that tells KVM what each GSI (global system interrupt) leads to.
 *
 * @module
 */

import { allocate } from "../struct.ts";
import { kvmIrqRouting, kvmIrqRoutingEntry, kvmIrqRoutingIrqchip, kvmIrqRoutingMsi } from "./structs.ts";

/** Kinds of route. Source: KVM_IRQ_ROUTING_* of linux/kvm.h. */
const ROUTE_TO_CHIP = 1;
const ROUTE_TO_MESSAGE = 2;

const ENTRY = kvmIrqRoutingEntry.offsets;
const CHIP = ENTRY.u + kvmIrqRoutingIrqchip.offsets.irqchip;
const PIN = ENTRY.u + kvmIrqRoutingIrqchip.offsets.pin;
const ADDRESS_LOW = ENTRY.u + kvmIrqRoutingMsi.offsets.address_lo;
const ADDRESS_HIGH = ENTRY.u + kvmIrqRoutingMsi.offsets.address_hi;
const DATA = ENTRY.u + kvmIrqRoutingMsi.offsets.data;

interface ChipRoute {
  readonly chip: number;
  readonly pin: number;
}

interface MessageRoute {
  readonly addressLow: number;
  readonly addressHigh: number;
  readonly data: number;
}

/**
 * Routes of GSIs: to pins of the chips inside KVM, or to a message. Nothing takes effect until the table is committed by
 * {@linkcode KvmMachine.setInterruptRouting}, which replaces all routes at once.
 */
export class InterruptRoutingTable {
  readonly #chips: Map<number, ChipRoute[]> = new Map();
  readonly #messages: Map<number, MessageRoute> = new Map();

  /** Number of routes. */
  get size(): number {
    let size = this.#messages.size;
    for (const routes of this.#chips.values()) size += routes.length;
    return size;
  }

  /**
   * Leads a GSI to a pin of a chip. A GSI can lead to one pin of each chip at once.
   *
   * @param gsi The interrupt.
   * @param chip Of {@linkcode InterruptChip}.
   * @param pin The chip's input.
   */
  setChip(gsi: number, chip: number, pin: number): void {
    this.#messages.delete(gsi);
    const others = (this.#chips.get(gsi) ?? []).filter((route) => route.chip !== chip);
    this.#chips.set(gsi, [...others, { chip, pin }]);
  }

  /** Leads a GSI to a message, instead of what it led to. */
  setMessage(gsi: number, addressLow: number, addressHigh: number, data: number): void {
    this.#chips.delete(gsi);
    this.#messages.set(gsi, { addressLow, addressHigh, data });
  }

  /** Leads a GSI nowhere. */
  remove(gsi: number): void {
    this.#chips.delete(gsi);
    this.#messages.delete(gsi);
  }

  /** The table as a `struct kvm_irq_routing`. */
  toBytes(): Uint8Array<ArrayBuffer> {
    const count = this.size;
    const view = allocate(kvmIrqRouting, count * kvmIrqRoutingEntry.size);
    view.setUint32(kvmIrqRouting.offsets.nr, count, true);
    let entry: number = kvmIrqRouting.offsets.entries;
    for (const [gsi, routes] of this.#chips) {
      for (const { chip, pin } of routes) {
        view.setUint32(entry + ENTRY.gsi, gsi, true);
        view.setUint32(entry + ENTRY.type, ROUTE_TO_CHIP, true);
        view.setUint32(entry + CHIP, chip, true);
        view.setUint32(entry + PIN, pin, true);
        entry += kvmIrqRoutingEntry.size;
      }
    }
    for (const [gsi, { addressLow, addressHigh, data }] of this.#messages) {
      view.setUint32(entry + ENTRY.gsi, gsi, true);
      view.setUint32(entry + ENTRY.type, ROUTE_TO_MESSAGE, true);
      view.setUint32(entry + ADDRESS_LOW, addressLow, true);
      view.setUint32(entry + ADDRESS_HIGH, addressHigh, true);
      view.setUint32(entry + DATA, data, true);
      entry += kvmIrqRoutingEntry.size;
    }
    return new Uint8Array(view.buffer);
  }
}
