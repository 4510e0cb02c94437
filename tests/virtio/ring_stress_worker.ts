/** The driver of ring_stress_test.ts, on a thread of its own. */
import { GuestMemory } from "../../src/memory/guest_memory.ts";
import { GuestAllocator, SplitRingDriver } from "../support/split_ring_driver.ts";

/** What the device tells its driver to do. */
export interface StressOrder {
  readonly memory: SharedArrayBuffer;
  /** [kicks, interrupts]: each side counts up one and waits on the other. */
  readonly signals: SharedArrayBuffer;
  readonly size: number;
  readonly eventIndex: boolean;
  readonly chains: number;
  readonly seed: number;
}

/** Milliseconds after which a signal counts as lost. */
export const LOST_AFTER = 5000;
/** Where the rings are made. */
export const RINGS_AT = 0x1000;

function drive({ memory: shared, signals, size, eventIndex, chains, seed }: StressOrder): string {
  const memory = new GuestMemory(shared as unknown as ArrayBuffer, [{
    address: 0,
    length: shared.byteLength,
    offset: 0,
  }]);
  const driver = new SplitRingDriver(memory, new GuestAllocator(RINGS_AT, shared.byteLength), size, eventIndex);
  const signal = new Int32Array(signals);
  let random = seed;
  const next = (below: number): number =>
    (random = (Math.imul(random, 1103515245) + 12345) >>> 0) / 2 ** 32 * below | 0;
  // A chain takes two descriptors.
  const limit = size / 2;
  let added = 0;
  let used = 0;
  let interrupts = Atomics.load(signal, 1);
  // The rings are ready.
  postMessage("ready");
  while (used < chains) {
    const burst = Math.min(1 + next(4), limit - (added - used), chains - added);
    for (let i = 0; i < burst; i++) {
      // Each chain carries its running number, which the device checks and returns.
      const at = 0x8_0000 + 16 * (added % size);
      memory.view.setUint32(at, added, true);
      driver.add([{ address: at, length: 4 }, { address: at + 8, length: 4, writable: true }]);
      added++;
    }
    if (burst > 0 && driver.needsKick()) {
      Atomics.add(signal, 0, 1);
      Atomics.notify(signal, 0);
    }
    for (;;) {
      const done = driver.collect();
      for (const { written } of done) {
        if (written !== 4) return `chain ${used}: ${written} bytes written`;
        const answer = memory.view.getUint32(0x8_0000 + 16 * (used % size) + 8, true);
        if (answer !== used) return `chain ${used}: answered ${answer}`;
        used++;
      }
      if (done.length > 0 || added - used < limit && added < chains && next(2) === 0) break;
      if (added === used) break;
      const now = Atomics.load(signal, 1);
      if (now !== interrupts) {
        interrupts = now;
        continue;
      }
      if (Atomics.wait(signal, 1, interrupts, LOST_AFTER) === "timed-out") return `an interrupt was lost after ${used}`;
    }
  }
  return `done ${used}`;
}

if (typeof DedicatedWorkerGlobalScope !== "undefined" && self instanceof DedicatedWorkerGlobalScope) {
  addEventListener("message", (event: MessageEvent<StressOrder>) => {
    postMessage(drive(event.data));
    close();
  });
}
