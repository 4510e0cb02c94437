/**
 * Whether the hot path allocates: how much the heap grows over millions of chains. It is looked at often enough that a collection
 * in between cannot hide anything.
 *
 * `deno run -A bench/heap.ts`
 *
 * @module
 */
import { BATCH, BusyRing, type ChainForm } from "./support/ring.ts";
import { printTable } from "./support/samples.ts";

const CHAINS = 4_000_000;
/** Chains between two looks: 16 bytes for each would show as 1.6 MB. */
const CHAINS_PER_LOOK = 100_000;
/** Chains before the first look: the compiler is done by then. */
const WARM_UP = 1_000_000;

const rows = (["direct", "indirect"] satisfies ChainForm[]).map((form) => {
  const ring = new BusyRing(form);
  ring.serve(WARM_UP / BATCH);
  const before = Deno.memoryUsage().heapUsed;
  let growth = 0;
  let served = 0;
  while (served < CHAINS) {
    served += ring.serve(CHAINS_PER_LOOK / BATCH);
    growth = Math.max(growth, Deno.memoryUsage().heapUsed - before);
  }
  return [`${CHAINS / 1e6} million chains of three ${form} descriptors`, String(growth), (growth / CHAINS).toFixed(3)];
});
console.log("\nGreatest growth of the JavaScript heap, the looks themselves included\n");
printTable(["what", "bytes", "bytes per chain"], rows);
