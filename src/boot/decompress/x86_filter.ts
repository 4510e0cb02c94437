/**
 * The x86 branch filter of `.xz` ("BCJ"), undone: call and jump targets become relative again.
 *
 * Before compression the filter replaced the relative target of each CALL (E8) and JMP (E9) by an absolute one, so that calls of
 * one function look alike. Which opcodes it took for such depends on the bytes before them; undoing has to judge in the same way.
 * Source of the rules: the .xz file format 1.1.0, 5.3.2, and XZ Embedded (public domain).
 *
 * @module
 */

/** Bytes of a call or jump: opcode and target. */
const INSTRUCTION = 5;
/** Which patterns of opcodes among the three bytes before allow another one here. */
const ALLOWED = [true, true, true, false, true, false, false, false];
/** Which byte of the target decides for a pattern. */
const DECIDING_BYTE = [0, 1, 2, 2, 3, 3, 3, 3];

/**
 * Undoes the filter in place.
 *
 * @param bytes One whole block as it came out of the decompressor.
 */
export function undoX86Filter(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let pattern = 0;
  let previous = -1;
  for (let at = 0; at + INSTRUCTION <= bytes.length; at++) {
    if ((bytes[at] & 0xfe) !== 0xe8) continue;
    const since = at - previous;
    if (since > 3) {
      pattern = 0;
    } else {
      pattern = pattern << since - 1 & 7;
      if (pattern !== 0) {
        const decider = bytes[at + 4 - DECIDING_BYTE[pattern]];
        if (!ALLOWED[pattern] || isSignByte(decider)) {
          previous = at;
          pattern = pattern << 1 | 1;
          continue;
        }
      }
    }
    previous = at;
    if (!isSignByte(bytes[at + 4])) {
      pattern = pattern << 1 | 1;
      continue;
    }
    let target = view.getUint32(at + 1, true);
    for (;;) {
      target = target - (at + INSTRUCTION) >>> 0;
      if (pattern === 0) break;
      const shift = DECIDING_BYTE[pattern] * 8;
      if (!isSignByte(target >>> 24 - shift & 0xff)) break;
      target = (target ^ (2 ** (32 - shift) - 1)) >>> 0;
    }
    // The topmost byte is the sign of the 25-bit number.
    target = (target & 0x01ff_ffff) << 7 >> 7;
    view.setInt32(at + 1, target, true);
    at += INSTRUCTION - 1;
  }
}

/** Whether a byte can be the sign extension of a small number. */
function isSignByte(byte: number): boolean {
  return byte === 0 || byte === 0xff;
}
