/**
 * The three console ports of a guest that runs one command: what the host sends and gets.
 *
 * | port | host to guest | guest to host |
 * |---|---|---|
 * | hvc0 | standard input, encoded by {@linkcode encodeCommandInput} (a person's terminal: as it is) | standard output, as it is |
 * | hvc1 | | standard error, as it is |
 * | hvc2 | | the line `ready`, then the exit code in decimal and a newline |
 *
 * Before `ready`, input would be echoed or lost.
 *
 * A console port has no end of file. The guest's line discipline has one in its line mode: the EOF character. The initramfs sets
 * the port to that mode with two characters that mean something: EOF hands on what has come so far (nothing: the input ends), and
 * LNEXT takes away the meaning of the character behind it.
 *
 * @module
 */

/** What the status port has said so far. */
export interface CommandStatus {
  /** Whether input may be sent. */
  readonly ready: boolean;
  /** The command's exit code, once it has ended: 0-255, and 128 + n after signal n. */
  readonly exitCode: number | undefined;
}

/** The line that says that input may be sent. */
export const READY_LINE = "ready";

/**
 * Reads what has come from the status port.
 *
 * @param text All of it, from the beginning. Lines that mean nothing are passed over: the guest may write anything.
 */
export function parseCommandStatus(text: string): CommandStatus {
  const complete = text.split("\n").slice(0, -1).map((line) => line.trim());
  const code = complete.findLast((line) => /^\d{1,3}$/.test(line));
  return {
    ready: complete.includes(READY_LINE),
    exitCode: code === undefined || Number(code) > 255 ? undefined : Number(code),
  };
}

/** EOF (Ctrl-D). */
const END = 0x04;
const NEWLINE = 0x0a;
/** LNEXT (Ctrl-V). */
const LITERAL = 0x16;
/** The guest's buffer of one line holds 4095 characters; what comes beyond is lost. */
const LONGEST_RUN = 1024;

/**
 * Encodes a piece of input. The command gets it at once, whether or not it ends with a newline.
 *
 * @param data Any bytes.
 * @returns What is to be sent to the guest's first console port.
 */
export function encodeCommandInput(data: Uint8Array): Uint8Array {
  const runs = Math.ceil(data.length / LONGEST_RUN);
  const encoded = new Uint8Array(data.length * 2 + runs);
  let at = 0;
  for (let i = 0; i < data.length; i++) {
    const byte = data[i];
    if (byte === END || byte === LITERAL) encoded[at++] = LITERAL;
    encoded[at++] = byte;
    const runEnds = (i + 1) % LONGEST_RUN === 0 || i + 1 === data.length;
    // Behind a newline, an EOF would be one of an empty line: the end of the input.
    if (runEnds && byte !== NEWLINE) encoded[at++] = END;
  }
  return encoded.subarray(0, at);
}

/** What is to be sent when the input has ended. */
export function endOfCommandInput(): Uint8Array {
  return Uint8Array.of(END);
}
