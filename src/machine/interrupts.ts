/**
 * The interrupt seam on KVM: one irqfd and one GSI per message-signalled vector, one routing table for the machine.
 *
 * @module
 */
import { EventDescriptor } from "../../ffi/event_descriptor.ts";
import { InterruptChip } from "../../ffi/kvm/constants.ts";
import { InterruptRoutingTable, type KvmMachine } from "../../ffi/kvm/machine.ts";
import type { InterruptController, InterruptVectors } from "../pci/interrupt_controller.ts";

/** GSIs 0-23 are the IOAPIC's pins. */
const FIRST_MESSAGE_GSI = 24;
const IO_APIC_PINS = 24;
const PIC_PINS = 8;

/** Routes of the pins of both legacy controllers, as KVM sets them up by itself. */
function addLegacyRoutes(table: InterruptRoutingTable): void {
  for (let pin = 0; pin < IO_APIC_PINS; pin++) {
    // The timer's IRQ 0 arrives at IOAPIC pin 2, as on every PC and as the ACPI tables say; at the PIC it is pin 0.
    table.setChip(pin, InterruptChip.ioApic, pin === 0 ? 2 : pin);
    if (pin < PIC_PINS) table.setChip(pin, InterruptChip.picMaster, pin);
    else if (pin < 2 * PIC_PINS) table.setChip(pin, InterruptChip.picSlave, pin - PIC_PINS);
  }
}

/** {@linkcode InterruptController} of a KVM machine. */
export class KvmInterrupts implements InterruptController {
  readonly #machine: KvmMachine;
  readonly #table = new InterruptRoutingTable();
  readonly #limit: number;
  readonly #free: number[] = [];
  #next = FIRST_MESSAGE_GSI;

  /**
   * @param machine With its interrupt chip created.
   * @param limit Number of GSIs that the host routes (KVM_CAP_IRQ_ROUTING).
   */
  constructor(machine: KvmMachine, limit: number) {
    this.#machine = machine;
    this.#limit = limit;
    addLegacyRoutes(this.#table);
  }

  /** @inheritdoc */
  allocate(owner: string, _deviceId: number, count: number): InterruptVectors {
    const left = this.#limit - this.#next + this.#free.length;
    if (count > left) {
      throw new Error(
        `Cannot give ${count} interrupt vectors to ${owner}: the host routes ${this.#limit} and ${left} are left; `
          + "use fewer queues or fewer devices",
      );
    }
    const gsis = Array.from({ length: count }, () => this.#free.pop() ?? this.#next++);
    return new KvmVectors(this.#machine, this.#table, gsis, (gsi) => this.#free.push(gsi));
  }
}

class KvmVectors implements InterruptVectors {
  readonly count: number;
  readonly #machine: KvmMachine;
  readonly #table: InterruptRoutingTable;
  readonly #gsis: readonly number[];
  readonly #release: (gsi: number) => void;
  /** Made when a vector is first needed: most devices use fewer than they have. */
  readonly #events: (EventDescriptor | undefined)[];
  readonly #attached: Uint8Array;

  constructor(
    machine: KvmMachine,
    table: InterruptRoutingTable,
    gsis: readonly number[],
    release: (gsi: number) => void,
  ) {
    this.count = gsis.length;
    this.#machine = machine;
    this.#table = table;
    this.#gsis = gsis;
    this.#release = release;
    this.#events = new Array<EventDescriptor | undefined>(gsis.length).fill(undefined);
    this.#attached = new Uint8Array(gsis.length);
  }

  attach(vector: number, addressLow: number, addressHigh: number, data: number): void {
    const gsi = this.#gsis[vector];
    this.#table.setMessage(gsi, addressLow, addressHigh, data);
    this.#machine.setInterruptRouting(this.#table);
    if (this.#attached[vector] === 0) {
      this.#machine.attachInterrupt(this.#event(vector).fd, gsi);
      this.#attached[vector] = 1;
    }
  }

  detach(vector: number): void {
    if (this.#attached[vector] === 0) return;
    this.#machine.detachInterrupt(this.#event(vector).fd, this.#gsis[vector]);
    this.#attached[vector] = 0;
  }

  trigger(vector: number): void {
    if (this.#attached[vector] !== 0) this.#events[vector]?.write();
  }

  notifier(vector: number): number | undefined {
    return vector < this.count ? this.#event(vector).fd : undefined;
  }

  [Symbol.dispose](): void {
    for (let vector = 0; vector < this.count; vector++) {
      this.detach(vector);
      this.#events[vector]?.[Symbol.dispose]();
      this.#table.remove(this.#gsis[vector]);
      this.#release(this.#gsis[vector]);
    }
  }

  #event(vector: number): EventDescriptor {
    return this.#events[vector] ??= new EventDescriptor();
  }
}
