import assert from "node:assert/strict";
import { GuestMemory } from "../../src/memory/guest_memory.ts";
import * as constants from "../../src/virtio/constants.ts";
import { SplitQueue } from "../../src/virtio/split_queue.ts";
import { GuestAllocator, SplitRingDriver } from "../support/split_ring_driver.ts";
import { LOST_AFTER, RINGS_AT, type StressOrder } from "./ring_stress_worker.ts";

const CHAINS = 30_000;

for (const eventIndex of [true, false]) {
  Deno.test(`QUE-6, NTF-4: driver and device on two threads, ${eventIndex ? "EVENT_IDX" : "flags"}: no chain, kick or interrupt is lost`, async () => {
    const size = 8;
    const shared = new SharedArrayBuffer(1 << 20);
    const signals = new SharedArrayBuffer(8);
    const signal = new Int32Array(signals);
    // Typed arrays work on shared memory alike; only the types know the difference.
    const memory = new GuestMemory(shared as unknown as ArrayBuffer, [{ address: 0, length: 1 << 20, offset: 0 }]);
    const worker = new Worker(import.meta.resolve("./ring_stress_worker.ts"), { type: "module" });
    const messages: string[] = [];
    let wake = (): void => {};
    worker.onmessage = (event: MessageEvent<string>) => {
      messages.push(event.data);
      wake();
    };
    const message = async (): Promise<string> => {
      while (messages.length === 0) await new Promise<void>((resolve) => wake = resolve);
      return messages.shift() ?? "";
    };
    worker.postMessage({ memory: shared, signals, size, eventIndex, chains: CHAINS, seed: 7 } satisfies StressOrder);
    assert.equal(await message(), "ready");
    // The same allocator gives the same addresses; this twin is only asked for them, on memory of its own.
    const twin = new SplitRingDriver(GuestMemory.allocate(1 << 20), new GuestAllocator(RINGS_AT, 1 << 20), size);
    const statistics = { kicks: 0, interrupts: 0, chains: 0, refusedChains: 0 };
    const queue = new SplitQueue(0, memory, statistics, {
      touched: () => {},
      failed: (_ring, error) => assert.fail(error),
    });
    queue.start(size, twin, eventIndex ? constants.FEATURE_RING_EVENT_IDX : 0n);
    let kicks = -1;
    let served = 0;
    while (served < CHAINS) {
      const now = Atomics.load(signal, 0);
      // Kicks from before the queue was started count as one.
      if (now === kicks && Atomics.wait(signal, 0, kicks, LOST_AFTER) === "timed-out") break;
      kicks = Atomics.load(signal, 0);
      for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
        const number = chain.readU32(0);
        assert.equal(number, served, "the descriptor and its buffer are those that were published");
        for (let i = 0; i < 4; i++) chain.writeU8(i, number >>> (8 * i));
        queue.push(chain, 4);
        served++;
      }
      if (queue.settle()) {
        Atomics.add(signal, 1, 1);
        Atomics.notify(signal, 1);
      }
      if (queue.wantsAttention) {
        queue.wantsAttention = false;
        kicks = -1;
      }
    }
    assert.equal(served, CHAINS, `a kick was lost after ${served}`);
    assert.equal(await message(), `done ${CHAINS}`);
    worker.terminate();
  });
}
