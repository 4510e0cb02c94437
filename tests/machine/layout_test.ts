import assert from "node:assert/strict";
import {
  ECAM,
  HIGH_MEMORY_START,
  IDENTITY_MAP_ADDRESS,
  IO_APIC,
  LOCAL_APIC,
  LOW_MEMORY_LIMIT,
  MEMORY32_WINDOW,
  memory64Window,
  memoryRegions,
  MINIMUM_MEMORY,
  TSS_ADDRESS,
} from "../../src/machine/layout.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

Deno.test("RAM up to 3 GiB is one region", () => {
  for (const size of [MINIMUM_MEMORY, 64 * MIB, 3 * GIB]) {
    assert.deepEqual(memoryRegions(size), [{ address: 0, length: size, offset: 0 }]);
  }
});

Deno.test("what does not fit below 3 GiB goes on at 4 GiB", () => {
  assert.deepEqual(memoryRegions(3 * GIB + 4096), [
    { address: 0, length: 3 * GIB, offset: 0 },
    { address: 4 * GIB, length: 4096, offset: 3 * GIB },
  ]);
  assert.deepEqual(memoryRegions(1024 * GIB)[1], { address: 4 * GIB, length: 1021 * GIB, offset: 3 * GIB });
});

Deno.test("an impossible size of memory is refused, and the message says what is possible", () => {
  for (const size of [0, -4096, 1, MINIMUM_MEMORY - 4096, MINIMUM_MEMORY + 1, 2 ** 53, 1.5, NaN, Infinity]) {
    assert.throws(() => memoryRegions(size), {
      name: "RangeError",
      message: `Cannot give the guest ${size} bytes of memory: expected a multiple of 4096, at least 2097152`,
    });
  }
});

Deno.test("64-bit BARs lie above RAM and within what the processor can address", () => {
  const window = (size: number, bits: number) => memory64Window(memoryRegions(size), bits);
  assert.deepEqual(window(64 * MIB, 40), { address: 4 * GIB, length: 64 * GIB });
  assert.deepEqual(window(3 * GIB, 40), { address: 4 * GIB, length: 64 * GIB });
  assert.deepEqual(window(3 * GIB + 4096, 40), { address: 5 * GIB, length: 64 * GIB });
  assert.deepEqual(window(16 * GIB, 36), { address: 17 * GIB, length: 47 * GIB });
});

Deno.test("too much RAM for the processor's addresses is refused", () => {
  assert.throws(() => memory64Window(memoryRegions(62 * GIB + 4096), 36), {
    name: "RangeError",
    message: "Cannot place 64-bit BARs: RAM ends at 0xfc0001000 and the processor addresses only 36 bits; "
      + "give the guest less memory",
  });
  assert.throws(() => memory64Window(memoryRegions(100 * GIB), 36), RangeError);
});

Deno.test("nothing in the hole below 4 GiB overlaps", () => {
  const ranges = [
    { address: 0, length: LOW_MEMORY_LIMIT },
    MEMORY32_WINDOW,
    ECAM,
    IO_APIC,
    LOCAL_APIC,
    { address: IDENTITY_MAP_ADDRESS, length: 4096 },
    { address: TSS_ADDRESS, length: 3 * 4096 },
  ].sort((a, b) => a.address - b.address);
  for (let i = 1; i < ranges.length; i++) {
    const before = ranges[i - 1];
    assert.ok(before.address + before.length <= ranges[i].address, JSON.stringify([before, ranges[i]]));
  }
  const last = ranges[ranges.length - 1];
  assert.ok(last.address + last.length <= HIGH_MEMORY_START);
});
