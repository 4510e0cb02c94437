/**
 * Recognises a Linux kernel's panic on the serial port: the only sign of one that comes before any driver is loaded.
 *
 * @module
 */

const MARK = "Kernel panic - not syncing";
/** What stands before the mark in the last line that a panicking kernel prints. */
const LAST_LINE = "---[ end ";
const LINE_FEED = 0x0a;
/** A line of the kernel's log is shorter; of longer ones the beginning is enough. */
const LINE_LIMIT = 512;

/** Watches characters one by one; calls back with each line that tells of a panic. */
export class PanicWatch {
  readonly #report: (reason: string, isLast: boolean) => void;
  readonly #line = new Uint8Array(LINE_LIMIT);
  readonly #decoder = new TextDecoder();
  #length = 0;

  /** @param report Called with a line from the mark on, and whether the kernel will print nothing more. */
  constructor(report: (reason: string, isLast: boolean) => void) {
    this.#report = report;
  }

  /** A character was sent. */
  see(character: number): void {
    if (character !== LINE_FEED) {
      if (this.#length < LINE_LIMIT) this.#line[this.#length++] = character;
      return;
    }
    const length = this.#length;
    this.#length = 0;
    if (length < MARK.length) return;
    const line = this.#decoder.decode(this.#line.subarray(0, length));
    const at = line.indexOf(MARK);
    if (at >= 0) this.#report(line.slice(at).trimEnd(), line.includes(LAST_LINE));
  }
}
