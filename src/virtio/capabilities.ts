/**
 * Where the structures of virtio-PCI lie in their BAR, and the capabilities that say so (virtio 1.2, section 4.1.4).
 *
 * @module
 */
import type { MsixPlacement } from "../pci/msix.ts";
import type { CapabilityDeclaration } from "../pci/pci_function.ts";
import { CAPABILITY_HEADER_SIZE, CAPABILITY_VENDOR_SPECIFIC } from "../pci/registers.ts";
import { COMMON_CONFIGURATION_SIZE } from "./common_configuration.ts";
import * as constants from "./constants.ts";

/** The BAR of all structures. */
export const STRUCTURES_BAR = 0;
/** Its size. Everything in it is 8 KiB apart, as the MSI-X structures should be from the rest (PCI 3.0, 6.8.2). */
export const STRUCTURES_BAR_SIZE = 0x80000;
/** Offset of the common configuration. */
export const COMMON_OFFSET = 0x0000;
/** Offset of the ISR status, one byte. */
export const ISR_OFFSET = 0x2000;
/** Length of the ISR status. */
export const ISR_SIZE = 1;
/** Offset of the device's own configuration. */
export const DEVICE_OFFSET = 0x4000;
/** Length of the device's own configuration. */
export const DEVICE_SIZE = 0x1000;
/** Offset of the notification area. */
export const NOTIFY_OFFSET = 0x6000;
/** Length of the notification area. */
export const NOTIFY_SIZE = 0x1000;
/** Bytes from one queue's notification register to the next. */
export const NOTIFY_MULTIPLIER = 4;
/** Queues whose notification registers fit. */
export const QUEUE_COUNT_MAXIMUM: number = NOTIFY_SIZE / NOTIFY_MULTIPLIER;
/** Offset of the MSI-X table. */
export const MSIX_TABLE_OFFSET = 0x8000;
/** Offset of the MSI-X pending bits. */
export const MSIX_PBA_OFFSET = 0x48000;

/** Offset of `bar` in a virtio capability (struct virtio_pci_cap). */
export const CAPABILITY_BAR = 4;
/** Offset of `offset`. */
export const CAPABILITY_OFFSET = 8;
/** Offset of `length`. */
export const CAPABILITY_LENGTH = 12;
/** Length of a plain virtio capability; what follows depends on its type. */
export const CAPABILITY_SIZE = 16;
/** Length of `notify_off_multiplier` and of `pci_cfg_data`, which follow. */
const EXTRA_SIZE = 4;

/** A virtio capability; `extra` is the 32-bit field that follows in those that have one. */
function virtioCapability(type: number, offset: number, length: number, extra?: number): CapabilityDeclaration {
  const size = CAPABILITY_SIZE + (extra === undefined ? 0 : EXTRA_SIZE);
  const capability = new DataView(new ArrayBuffer(size));
  // Bytes 0 and 1, ID and next pointer, belong to the list.
  capability.setUint8(2, size);
  capability.setUint8(3, type);
  capability.setUint8(CAPABILITY_BAR, STRUCTURES_BAR);
  capability.setUint32(CAPABILITY_OFFSET, offset, true);
  capability.setUint32(CAPABILITY_LENGTH, length, true);
  if (extra !== undefined) capability.setUint32(CAPABILITY_SIZE, extra, true);
  return {
    id: CAPABILITY_VENDOR_SPECIFIC,
    body: new Uint8Array(capability.buffer, CAPABILITY_HEADER_SIZE),
  };
}

/** The capabilities of a device in the order of their list; the one for access through configuration space is the last. */
export function virtioCapabilities(hasConfiguration: boolean): readonly CapabilityDeclaration[] {
  return [
    virtioCapability(constants.CAPABILITY_COMMON, COMMON_OFFSET, COMMON_CONFIGURATION_SIZE),
    virtioCapability(constants.CAPABILITY_ISR, ISR_OFFSET, ISR_SIZE),
    // Drivers refuse a device configuration of length 0.
    ...hasConfiguration ? [virtioCapability(constants.CAPABILITY_DEVICE, DEVICE_OFFSET, DEVICE_SIZE)] : [],
    virtioCapability(constants.CAPABILITY_NOTIFY, NOTIFY_OFFSET, NOTIFY_SIZE, NOTIFY_MULTIPLIER),
    virtioCapability(constants.CAPABILITY_PCI_CONFIGURATION, 0, 0, 0),
  ];
}

/** MSI-X with one vector per queue and one for the configuration. */
export function virtioMsix(queues: number): MsixPlacement {
  return {
    vectors: queues + 1,
    tableBar: STRUCTURES_BAR,
    tableOffset: MSIX_TABLE_OFFSET,
    pbaBar: STRUCTURES_BAR,
    pbaOffset: MSIX_PBA_OFFSET,
  };
}
