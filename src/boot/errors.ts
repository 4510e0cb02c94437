/**
 * The error of this layer.
 *
 * @module
 */

/**
 * What was given to boot from (a kernel, an initramfs, a command line, an amount of RAM) cannot be booted. The message is for the
 * person who gave it: it says what was attempted, what was found, what was expected and what to do.
 */
export class BootError extends Error {
  /** Name by which the class is recognised across isolates. */
  override readonly name = "BootError";
}

/** A number as people write addresses. */
export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
