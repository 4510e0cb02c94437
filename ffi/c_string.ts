/**
 * Text as C wants it.
 *
 * @module
 */

const encoder = new TextEncoder();

/**
 * UTF-8 with a zero byte at its end.
 *
 * @throws {TypeError} The text has a zero byte inside, where C would cut it off.
 */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) {
    throw new TypeError(`Cannot pass ${JSON.stringify(text)} to a system call: it has a zero byte inside`);
  }
  return encoder.encode(`${text}\0`);
}
