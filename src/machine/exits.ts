/**
 * Answers the exits that vCPU isolates post: ports, configuration space, BARs.
 *
 * @module
 */
import { type PciBus, UNCLAIMED } from "../pci/bus.ts";
import type { AccessWidth } from "../pci/device.ts";
import { ECAM } from "./layout.ts";
import { Field, RequestKind } from "./mailbox.ts";
import type { PortBus } from "./port_bus.ts";

const TWO_TO_32 = 2 ** 32;
const DWORD = 4;
/** What is read where nobody answers. */
const ALL_ONES = 0xffff_ffff;

/** Counts of exits by place. */
export type PlaceCounts = Record<string, number>;

/** Dispatches posted exits. */
export class Exits {
  readonly #ports: PortBus;
  readonly #pci: PciBus;
  /** How many exits each place has answered. */
  readonly places: PlaceCounts = { "pci configuration": 0, "pci bars": 0, "unclaimed": 0, "unaligned": 0 };

  /** Exits go to `ports` first, then to `pci`. */
  constructor(ports: PortBus, pci: PciBus) {
    this.#ports = ports;
    this.#pci = pci;
  }

  /** Answers the request in a mailbox. */
  readonly handle = (mailbox: Int32Array): void => {
    const low = mailbox[Field.addressLow] >>> 0;
    const width = mailbox[Field.width];
    const data = mailbox[Field.dataLow] >>> 0;
    switch (mailbox[Field.kind]) {
      case RequestKind.portRead:
        mailbox[Field.dataLow] = this.#readPort(low, width as AccessWidth);
        break;
      case RequestKind.portWrite:
        this.#writePort(low, width as AccessWidth, data);
        break;
      case RequestKind.memoryRead:
        this.#readMemory(mailbox, this.#address(mailbox, low), width);
        break;
      case RequestKind.memoryWrite:
        this.#writeMemory(this.#address(mailbox, low), width, data, mailbox[Field.dataHigh] >>> 0);
        break;
    }
  };

  #address(mailbox: Int32Array, low: number): number {
    return (mailbox[Field.addressHigh] >>> 0) * TWO_TO_32 + low;
  }

  #readPort(port: number, width: AccessWidth): number {
    const value = this.#ports.read(port, width);
    if (value !== undefined) {
      this.#count(this.#ports.nameAt(port) ?? "unclaimed");
      return value;
    }
    const configured = this.#pci.readPort(port, width);
    this.#count(configured === UNCLAIMED ? "unclaimed" : "pci configuration");
    return configured === UNCLAIMED ? ALL_ONES : configured;
  }

  #writePort(port: number, width: AccessWidth, value: number): void {
    if (this.#ports.write(port, width, value)) this.#count(this.#ports.nameAt(port) ?? "unclaimed");
    else this.#count(this.#pci.writePort(port, width, value) ? "pci configuration" : "unclaimed");
  }

  #readMemory(mailbox: Int32Array, address: number, width: number): void {
    mailbox[Field.dataHigh] = 0;
    if (width === 8) {
      mailbox[Field.dataLow] = this.#readWord(address, DWORD);
      mailbox[Field.dataHigh] = this.#readWord(address + DWORD, DWORD);
    } else if (width === 1 || width === 2 || width === DWORD) {
      mailbox[Field.dataLow] = this.#readWord(address, width);
    } else {
      // KVM splits what an instruction does into such pieces at page borders only.
      this.#count("unaligned");
      mailbox[Field.dataLow] = mailbox[Field.dataHigh] = 0;
    }
  }

  #readWord(address: number, width: AccessWidth): number {
    const inEcam = address - ECAM.address;
    if (inEcam >= 0 && inEcam < ECAM.length) {
      this.#count("pci configuration");
      return this.#pci.readEcam(inEcam, width);
    }
    const value = this.#pci.readMemory(address, width);
    this.#count(value === UNCLAIMED ? "unclaimed" : "pci bars");
    return value === UNCLAIMED ? ALL_ONES : value;
  }

  #writeMemory(address: number, width: number, low: number, high: number): void {
    if (width === 8) {
      this.#writeWord(address, DWORD, low);
      this.#writeWord(address + DWORD, DWORD, high);
    } else if (width === 1 || width === 2 || width === DWORD) {
      this.#writeWord(address, width, low);
    } else {
      this.#count("unaligned");
    }
  }

  #writeWord(address: number, width: AccessWidth, value: number): void {
    const inEcam = address - ECAM.address;
    if (inEcam >= 0 && inEcam < ECAM.length) {
      this.#count("pci configuration");
      this.#pci.writeEcam(inEcam, width, value);
    } else {
      this.#count(this.#pci.writeMemory(address, width, value) ? "pci bars" : "unclaimed");
    }
  }

  #count(place: string): void {
    this.places[place] = (this.places[place] ?? 0) + 1;
  }
}
