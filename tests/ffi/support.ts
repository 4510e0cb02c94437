/**
 * What the tests of this folder share.
 *
 * @module
 */

import assert from "node:assert/strict";

/** How many descriptors this process has open. */
export function openDescriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

/** A range of addresses of this process. */
export interface MappedRange {
  readonly start: bigint;
  readonly end: bigint;
  readonly permissions: string;
  readonly name: string;
}

/** All that is mapped in this process. */
export function mappedRanges(): MappedRange[] {
  return Deno.readTextFileSync("/proc/self/maps").trim().split("\n").map((line) => {
    const match = line.match(/^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)$/);
    assert.ok(match, line);
    return { start: BigInt(`0x${match[1]}`), end: BigInt(`0x${match[2]}`), permissions: match[3], name: match[4] };
  });
}

/** Calls back with the path of an empty file, and removes it. */
export async function withFile(body: (path: string) => void | Promise<void>): Promise<void> {
  const path = await Deno.makeTempFile();
  try {
    await body(path);
  } finally {
    await Deno.remove(path);
  }
}

/** Asserts that `body` leaves as many descriptors as there were. */
export function assertNoDescriptorIsLeft(body: () => void): void {
  const before = openDescriptors();
  body();
  assert.equal(openDescriptors(), before);
}
