/**
 * Configuration space of one PCI function: 4096 bytes, and for every bit of them what a guest's write does to it.
 *
 * @module
 */
import type { AccessWidth } from "./device.ts";
import * as registers from "./registers.ts";

/** What a function is, for the fields of its header that never change. */
export interface FunctionIdentity {
  /** Vendor ID. */
  readonly vendorId: number;
  /** Device ID. */
  readonly deviceId: number;
  /** Revision; 0 if omitted. */
  readonly revision?: number;
  /** Class code as 0xCCSSPP. */
  readonly classCode: number;
  /** Subsystem vendor; the vendor if omitted. */
  readonly subsystemVendorId?: number;
  /** Subsystem; the device ID if omitted. */
  readonly subsystemId?: number;
}

/** What reads of `width` bytes return where there is nothing. */
export function allOnes(width: AccessWidth): number {
  return width === 4 ? 0xffff_ffff : width === 2 ? 0xffff : 0xff;
}

/**
 * A type 0 header, the capabilities behind it, and extended space.
 *
 * Each byte has two masks: bits that a guest's write sets, and bits that a guest clears by writing 1. All others are read-only.
 */
export class ConfigurationSpace {
  /** The bytes as the guest reads them. */
  readonly bytes: Uint8Array<ArrayBuffer> = new Uint8Array(registers.CONFIGURATION_SPACE_SIZE);
  /** Bits that a write changes. */
  readonly writable: Uint8Array<ArrayBuffer> = new Uint8Array(registers.CONFIGURATION_SPACE_SIZE);
  /** Bits that writing 1 clears. */
  readonly writeOneToClear: Uint8Array<ArrayBuffer> = new Uint8Array(registers.CONFIGURATION_SPACE_SIZE);
  /** Where the next capability goes. */
  #nextCapability: number = registers.HEADER_SIZE;
  /** The byte that points to it. */
  #lastPointer: number = registers.CAPABILITIES_POINTER;

  /**
   * A configuration space without BARs and capabilities.
   *
   * @param identity The header's constant fields.
   */
  constructor(identity: FunctionIdentity) {
    this.set(registers.VENDOR_ID, 2, identity.vendorId);
    this.set(registers.DEVICE_ID, 2, identity.deviceId);
    this.set(registers.REVISION_ID, 1, identity.revision ?? 0);
    this.set(registers.CLASS_CODE, 1, identity.classCode & 0xff);
    this.set(registers.CLASS_CODE + 1, 2, identity.classCode >>> 8);
    this.set(registers.SUBSYSTEM_VENDOR_ID, 2, identity.subsystemVendorId ?? identity.vendorId);
    this.set(registers.SUBSYSTEM_ID, 2, identity.subsystemId ?? identity.deviceId);
    this.allowWrites(registers.COMMAND, 2, registers.COMMAND_WRITABLE);
    this.allowWrites(registers.CACHE_LINE_SIZE, 1, 0xff);
    this.allowWrites(registers.INTERRUPT_LINE, 1, 0xff);
    this.writeOneToClear[registers.STATUS + 1] = registers.STATUS_ERRORS >>> 8;
  }

  /** The Command register. */
  get command(): number {
    return this.bytes[registers.COMMAND] | this.bytes[registers.COMMAND + 1] << 8;
  }

  /** What the guest reads. Bytes beyond the end read all ones. */
  read(offset: number, width: AccessWidth): number {
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + (this.bytes[offset + i] ?? 0xff);
    return value;
  }

  /** The guest's write, through the masks. Bytes beyond the end go nowhere. */
  write(offset: number, width: AccessWidth, value: number): void {
    for (let i = 0; i < width && offset + i < registers.CONFIGURATION_SPACE_SIZE; i++) {
      const at = offset + i;
      const written = value >>> (8 * i) & 0xff;
      const mask = this.writable[at];
      this.bytes[at] = this.bytes[at] & ~mask & ~(written & this.writeOneToClear[at]) | written & mask;
    }
  }

  /** Sets bytes past the masks, as the function itself. */
  set(offset: number, width: AccessWidth, value: number): void {
    for (let i = 0; i < width; i++) this.bytes[offset + i] = value >>> (8 * i);
  }

  /** Makes the bits of `mask` writable for the guest, and the others read-only. */
  allowWrites(offset: number, width: AccessWidth, mask: number): void {
    for (let i = 0; i < width; i++) this.writable[offset + i] = mask >>> (8 * i);
  }

  /**
   * Appends a capability to the list.
   *
   * @param id Capability ID.
   * @param body What follows ID and next pointer.
   * @returns Its offset, always a multiple of four.
   * @throws {RangeError} It does not fit below 256 any more.
   */
  addCapability(id: number, body: Uint8Array): number {
    const at = this.#nextCapability;
    const end = at + registers.CAPABILITY_HEADER_SIZE + body.length;
    if (end > registers.CONVENTIONAL_SPACE_SIZE) {
      throw new RangeError(
        `Cannot add PCI capability 0x${id.toString(16)} of ${body.length + registers.CAPABILITY_HEADER_SIZE} bytes at `
          + `0x${at.toString(16)}: it would end at 0x${
            end.toString(16)
          }, beyond the 256 bytes that capabilities may use; `
          + `give the function fewer or shorter ones`,
      );
    }
    this.bytes[at] = id;
    this.bytes[at + 1] = 0;
    this.bytes.set(body, at + registers.CAPABILITY_HEADER_SIZE);
    this.bytes[this.#lastPointer] = at;
    this.#lastPointer = at + 1;
    this.#nextCapability = (end + 3) & ~3;
    this.bytes[registers.STATUS] |= registers.STATUS_CAPABILITIES_LIST;
    return at;
  }
}
