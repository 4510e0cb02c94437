/**
 * Taking chains of three descriptors from a split virtqueue and returning them, beside the same algorithm in C on the same memory.
 * An iteration is {@linkcode CHAINS} chains, made available in batches.
 *
 * `deno bench -A bench/queue_bench.ts`
 *
 * @module
 */
import { compileTwin } from "./support/c_twin.ts";
import { BATCH, BusyRing, type ChainForm, QUEUE_SIZE, WRITTEN } from "./support/ring.ts";

/** Chains of an iteration: microseconds of a figure are then nanoseconds of a chain. */
const CHAINS = 32_000;
const BATCHES = CHAINS / BATCH;

const twin = compileTwin("queue", "library");
if (typeof twin === "string") console.log(twin);
else globalThis.addEventListener("unload", () => twin[Symbol.dispose]());

/** The C twin's queue. It has one queue at a time: `start` begins it anew. */
function openTwin(path: string): { start(ring: BusyRing): void; serve(): number } {
  const { symbols } = Deno.dlopen(path, {
    // void queue_start(uint8_t *, uint64_t size, uint32_t queue size, uint64_t, uint64_t, uint64_t addresses);
    queue_start: { parameters: ["buffer", "u64", "u32", "u64", "u64", "u64"], result: "void" },
    // uint32_t queue_serve(uint32_t batches, uint32_t batch, uint32_t written);
    queue_serve: { parameters: ["u32", "u32", "u32"], result: "u32" },
  });
  return {
    start: ({ memory, addresses }) =>
      symbols.queue_start(
        memory.bytes,
        BigInt(memory.size),
        QUEUE_SIZE,
        BigInt(addresses.descriptors),
        BigInt(addresses.available),
        BigInt(addresses.used),
      ),
    serve: () => symbols.queue_serve(BATCHES, BATCH, WRITTEN),
  };
}

const c = typeof twin === "string" ? undefined : openTwin(twin.path);

function require(served: number): void {
  if (served !== CHAINS) throw new Error(`The queue served ${served} chains, expected ${CHAINS}`);
}

for (const form of ["direct", "indirect"] satisfies ChainForm[]) {
  const group = `${CHAINS / 1000}k chains of three ${form} descriptors: pop and push`;
  if (c !== undefined) {
    const ring = new BusyRing(form);
    let started = false;
    Deno.bench(`C, ${form}`, { group, baseline: true }, () => {
      if (!started) c.start(ring);
      started = true;
      require(c.serve());
    });
  }
  const ring = new BusyRing(form);
  Deno.bench(`SplitQueue, ${form}`, { group }, () => require(ring.serve(BATCHES)));
}
