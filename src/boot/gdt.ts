/**
 * The descriptor table that a guest starts with.
 *
 * @module
 */
import type { GuestMemory } from "../memory/guest_memory.ts";
import { segmentDescriptor, type SegmentState } from "./cpu_state.ts";
import { GDT_ADDRESS, IDT_ADDRESS } from "./layout.ts";

const DESCRIPTOR = 8;

/**
 * Writes the segments' descriptors where their selectors say, and an empty interrupt table behind them.
 *
 * @returns The table's limit: its length less one.
 */
export function writeGdt(memory: GuestMemory, segments: readonly SegmentState[]): number {
  const entries = Math.max(...segments.map((segment) => segment.selector / DESCRIPTOR)) + 1;
  const table = new BigUint64Array(entries);
  for (const segment of segments) table[segment.selector / DESCRIPTOR] = segmentDescriptor(segment);
  memory.write(GDT_ADDRESS, new Uint8Array(table.buffer));
  memory.write(IDT_ADDRESS, new Uint8Array(DESCRIPTOR));
  return table.byteLength - 1;
}
