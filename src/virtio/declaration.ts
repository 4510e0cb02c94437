/**
 * What follows from a device's declaration before any driver appears: its class, the features that are offered for it, and
 * whether its queues can be.
 *
 * @module
 */
import { QUEUE_COUNT_MAXIMUM } from "./capabilities.ts";
import * as constants from "./constants.ts";
import type { VirtioDevice } from "./device.ts";

/** Class codes (0xCCSSPP) by device type; all other types have {@linkcode CLASS_OTHER}. */
const CLASS_BY_TYPE: ReadonlyMap<number, number> = new Map([
  // Ethernet controller.
  [constants.DEVICE_TYPE_NETWORK, 0x020000],
  // Other mass storage controller.
  [constants.DEVICE_TYPE_BLOCK, 0x018000],
]);
/** Class "unassigned". */
const CLASS_OTHER = 0xffff00;

/** The PCI class code (0xCCSSPP) of a device type. */
export function pciClassOf(deviceType: number): number {
  return CLASS_BY_TYPE.get(deviceType) ?? CLASS_OTHER;
}

/** What the device offers, with what every device gets from here. Bits of ring and transport are not the device's to offer. */
export function offeredFeatures(device: VirtioDevice): bigint {
  const common = constants.FEATURE_VERSION_1 | constants.FEATURE_RING_INDIRECT_DESC | constants.FEATURE_RING_EVENT_IDX;
  // A device that has something in flight has to know how to end it for one queue alone.
  const canResetQueue = device.resetQueue !== undefined || device.reset === undefined;
  const reset = canResetQueue ? constants.FEATURE_RING_RESET : 0n;
  return device.features & ~constants.RESERVED_FEATURES | common | reset;
}

/**
 * Checks a device's queues.
 *
 * @throws {RangeError} There are too many, or one has an impossible size.
 */
export function checkQueues(id: string, device: VirtioDevice): void {
  if (device.queues.length > QUEUE_COUNT_MAXIMUM) {
    throw new RangeError(
      `Cannot make virtio device ${id} with ${device.queues.length} queues: expected at most ${QUEUE_COUNT_MAXIMUM}`,
    );
  }
  for (const { name, size } of device.queues) {
    if (!(size >= 1 && size <= constants.QUEUE_SIZE_MAXIMUM && Number.isInteger(Math.log2(size)))) {
      throw new RangeError(
        `Cannot make queue "${name}" of virtio device ${id} with ${size} descriptors: expected a power of two up to `
          + `${constants.QUEUE_SIZE_MAXIMUM}`,
      );
    }
  }
}
