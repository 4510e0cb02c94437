/**
 * Levels of interrupt lines. Alone in its file, since a vCPU's isolate needs nothing more of a machine.
 *
 * @module
 */
import { check } from "../errno.ts";
import { ioctl } from "../ioctl.ts";
import { allocate } from "../struct.ts";
import { KVM_IRQ_LINE } from "./requests.ts";
import { kvmIrqLevel } from "./structs.ts";

/** Sets lines of the chips inside KVM. Allocates nothing per call. */
export class InterruptLines {
  readonly #machine: number;
  readonly #argument = allocate(kvmIrqLevel);

  /** @param machine The descriptor of the machine. */
  constructor(machine: number) {
    this.#machine = machine;
  }

  /**
   * Sets the level of a line.
   *
   * @param gsi The line's number.
   * @throws {SystemError} The machine has no interrupt chip.
   */
  set(gsi: number, level: boolean): void {
    this.#argument.setUint32(kvmIrqLevel.offsets.$line, gsi, true);
    this.#argument.setUint32(kvmIrqLevel.offsets.level, level ? 1 : 0, true);
    const result = ioctl(this.#machine, KVM_IRQ_LINE, this.#argument);
    if (result < 0) check(result, `ioctl(KVM_IRQ_LINE, ${gsi}, ${level})`);
  }
}
