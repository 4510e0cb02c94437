/**
 * The I/O ports that the machine isolate answers, except those of PCI functions.
 *
 * @module
 */
import type { PortDevice } from "../legacy/port_device.ts";
import type { AccessWidth } from "../pci/device.ts";
import { PortClaim } from "./mailbox.ts";

interface PortClaim {
  readonly name: string;
  readonly first: number;
  readonly device: PortDevice;
}

/** Devices by port. */
export class PortBus {
  readonly #claims = new Map<number, PortClaim>();
  readonly #claimed: Uint8Array;

  /** @param claimed One byte per port, of {@linkcode PortClaim}, all 0. */
  constructor(claimed: Uint8Array) {
    this.#claimed = claimed;
  }

  /**
   * Gives ports [first, first + count) to a device.
   *
   * @throws {Error} One of them is taken.
   */
  claim(name: string, first: number, count: number, device: PortDevice): void {
    for (let port = first; port < first + count; port++) {
      const holder = this.#claims.get(port);
      if (holder !== undefined) {
        throw new Error(`Cannot give port 0x${port.toString(16)} to ${name}: ${holder.name} has it`);
      }
      this.#claims.set(port, { name, first, device });
      this.#claimed[port] = PortClaim.machine;
    }
  }

  /** Lets vCPU isolates forward a range though no device here claims it: a PCI function's I/O BAR, say. */
  forward(first: number, count: number, on: boolean): void {
    for (let port = first; port < first + count; port++) {
      this.#claimed[port] = on || this.#claims.has(port) ? PortClaim.machine : PortClaim.none;
    }
  }

  /** Lets vCPU isolates answer a range by `SharedPorts`. */
  share(first: number, count: number): void {
    this.#claimed.fill(PortClaim.shared, first, first + count);
  }

  /** Name of the device at a port, for statistics. */
  nameAt(port: number): string | undefined {
    return this.#claims.get(port)?.name;
  }

  /** Reads a port; undefined where no device is. */
  read(port: number, width: AccessWidth): number | undefined {
    const claim = this.#claims.get(port);
    return claim?.device.readPort(port - claim.first, width);
  }

  /** Writes a port; returns whether a device is there. */
  write(port: number, width: AccessWidth, value: number): boolean {
    const claim = this.#claims.get(port);
    if (claim === undefined) return false;
    claim.device.writePort(port - claim.first, width, value);
    return true;
  }
}
