/**
 * A PCI function of its own kind, without virtio: write a number, read its factorial. An interrupt (MSI-X, vector 0) tells
 * when it is done, for drivers that do not wish to wait.
 *
 *     denovisor run --kernel vmlinuz --device ./factorial.ts
 *
 * In the guest: `setpci -d 1234:00fa BASE_ADDRESS_0` tells where its 32-bit registers are.
 *
 * @module
 */
import { type AccessWidth, definePciDevice, PciFunction, type PciPlugin } from "@denovisor/denovisor/plugin";

/** Offsets in BAR 0. */
const Register = { identification: 0x00, argument: 0x04, result: 0x08, interruptEnable: 0x0c } as const;
const IDENTIFICATION = 0x0100_00fa;
/** MSI-X table and pending bits share BAR 1. */
const MSIX = { vectors: 1, tableBar: 1, tableOffset: 0, pbaBar: 1, pbaOffset: 0x800 };

const factorial: PciPlugin = definePciDevice({
  name: "factorial",
  description: "computes factorials modulo 2^32",
  create: (_options, host) => new Factorial(host.id),
});

export default factorial;

class Factorial extends PciFunction {
  readonly #values = new Map<number, number>([[Register.identification, IDENTIFICATION]]);

  constructor(id: string) {
    super({
      id,
      identity: { vendorId: 0x1234, deviceId: 0x00fa, classCode: 0xff0000 },
      bars: [{ index: 0, kind: "memory32", size: 4096 }, { index: 1, kind: "memory32", size: 4096 }],
      msix: MSIX,
    });
  }

  override reset(): void {
    super.reset();
    this.#values.clear();
    this.#values.set(Register.identification, IDENTIFICATION);
  }

  protected override readRegister(bar: number, offset: number, width: AccessWidth): number {
    return bar === 0 && width === 4 ? this.#values.get(offset) ?? 0 : 0;
  }

  protected override writeRegister(bar: number, offset: number, width: AccessWidth, value: number): void {
    if (bar !== 0 || width !== 4) return;
    if (offset === Register.interruptEnable) this.#values.set(offset, value & 1);
    if (offset !== Register.argument) return;
    let result = 1;
    // From 34 on the product is a multiple of 2^32: a guest cannot make us loop for long.
    for (let factor = Math.min(value, 34); factor > 1; factor--) result = Math.imul(result, factor) >>> 0;
    this.#values.set(Register.argument, value).set(Register.result, result);
    if (this.#values.get(Register.interruptEnable) === 1) this.msix?.trigger(0);
  }
}
