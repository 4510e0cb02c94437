import assert from "node:assert/strict";
import { renderStatistics } from "../../src/machine/statistics.ts";

Deno.test("statistics are lines, the busiest first, and nothing that did not happen", () => {
  assert.equal(
    renderStatistics({
      vcpus: [{ portRead: 3, portWrite: 0, halt: 7 }, { portRead: 0 }],
      places: { "pci bars": 2, "unclaimed": 0, "cmos": 40 },
      devices: [{ id: "block", counters: { kicks: 5, chains: 12, refusedChains: 0 } }, { id: "rng", counters: {} }],
      sleeps: 17,
      timeStampKhz: 2000,
      timeline: { isolate: 21.04, running: 60.96 },
    }),
    [
      "vcpu 0 exits: portRead 3, halt 7",
      "vcpu 1 exits: none",
      "exits answered by the machine: cmos 40, pci bars 2",
      "device block: kicks 5, chains 12",
      "device rng: none",
      "machine slept: 17",
      "timeline in ms: isolate 21.0, running 61.0",
    ].join("\n"),
  );
});
