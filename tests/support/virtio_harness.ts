/**
 * A virtio device behind its transport, with a driver twin, recorders, and no machine.
 *
 * ```ts
 * const { driver, round } = virtioHarness({ deviceType: 4, device });
 * const [queue] = driver.bringUp();
 * queue.add([{ address: driver.allocator.take(64), length: 64, writable: true }]);
 * driver.kick(0);
 * round();
 * const used = queue.collect();
 * ```
 *
 * @module
 */
import { GuestMemory } from "../../src/memory/guest_memory.ts";
import type { VirtioDevice } from "../../src/virtio/device.ts";
import { VirtioPciTransport } from "../../src/virtio/pci_transport.ts";
import { directAccess, type PciAccess, VirtioPciDriver } from "./driver.ts";
import { RecorderDoorbells, RecorderInterruptController, type RecorderInterruptVectors } from "./recorders.ts";

/** What a harness is made of. */
export interface VirtioHarnessOptions {
  readonly device: VirtioDevice;
  /** Device type; 42 if omitted. */
  readonly deviceType?: number;
  /** "device0" if omitted. */
  readonly id?: string;
  readonly pciClass?: number;
  /** Whether the BAR is a 64-bit one; true if omitted. */
  readonly bar64?: boolean;
  /** 1 MiB at address 0 if omitted. */
  readonly memory?: GuestMemory;
}

/** A device ready to be driven. */
export interface VirtioHarness extends Disposable {
  readonly transport: VirtioPciTransport;
  readonly access: PciAccess;
  readonly driver: VirtioPciDriver;
  readonly memory: GuestMemory;
  readonly vectors: RecorderInterruptVectors;
  readonly doorbells: RecorderDoorbells;
  /** Errors reported by the transport. */
  readonly errors: Error[];
  /** Callbacks waiting for the next round. */
  readonly scheduled: (() => void)[];
  /** One round of a machine's loop: what was scheduled, then the end of the batch. Returns how many callbacks ran. */
  round(): number;
}

/** Puts a device behind a transport and places it. */
export function virtioHarness(options: VirtioHarnessOptions): VirtioHarness {
  const { device, deviceType = 42, id = "device0", pciClass, bar64 = true } = options;
  const memory = options.memory ?? GuestMemory.allocate(1 << 20);
  const interrupts = new RecorderInterruptController();
  const doorbells = new RecorderDoorbells();
  const errors: Error[] = [];
  const scheduled: (() => void)[] = [];
  const transport = new VirtioPciTransport({
    id,
    deviceType,
    ...(pciClass !== undefined && { pciClass }),
    device,
    memory,
    interrupts,
    doorbells,
    bar64,
    schedule: (callback) => void scheduled.push(callback),
    reportError: (error) => void errors.push(error),
  });
  const access = directAccess(transport);
  const driver = new VirtioPciDriver(access, memory);
  return {
    transport,
    access,
    driver,
    memory,
    vectors: interrupts.of(id),
    doorbells,
    errors,
    scheduled,
    round() {
      const callbacks = scheduled.splice(0);
      for (const callback of callbacks) callback();
      transport.endBatch();
      return callbacks.length;
    },
    [Symbol.dispose]() {
      transport[Symbol.dispose]();
    },
  };
}
