/**
 * Names of numbers that specifications assign, as far as the probe meets them.
 *
 * @module
 */

/** Base class and sub-class: PCI Code and ID Assignment specification. */
const CLASSES: ReadonlyMap<number, string> = new Map([
  [0x00ff, "unclassified device"],
  [0x0100, "SCSI storage controller"],
  [0x0106, "SATA controller"],
  [0x0108, "NVM Express controller"],
  [0x0180, "mass storage controller"],
  [0x0200, "network controller"],
  [0x0300, "VGA controller"],
  [0x0380, "display controller"],
  [0x0401, "audio device"],
  [0x0500, "memory controller"],
  [0x0600, "host bridge"],
  [0x0601, "ISA bridge"],
  [0x0604, "PCI bridge"],
  [0x0700, "serial controller"],
  [0x0780, "communication controller"],
  [0x0880, "system peripheral"],
  [0x0980, "input device"],
  [0x0c03, "USB controller"],
  [0x0c05, "SMBus"],
  [0xffff, "unassigned class"],
]);

/** Feature bits that belong to the transport: virtio 1.3, section 6. */
const TRANSPORT_FEATURES: ReadonlyMap<number, string> = new Map([
  [28, "INDIRECT_DESC"],
  [29, "EVENT_IDX"],
  [32, "VERSION_1"],
  [33, "ACCESS_PLATFORM"],
  [34, "RING_PACKED"],
  [35, "IN_ORDER"],
  [36, "ORDER_PLATFORM"],
  [37, "SR_IOV"],
  [38, "NOTIFICATION_DATA"],
  [39, "NOTIF_CONFIG_DATA"],
  [40, "RING_RESET"],
  [41, "ADMIN_VQ"],
]);

/** Bits below this one belong to the device type. */
const FIRST_TRANSPORT_FEATURE = 24;

/**
 * What kind of function a class code stands for.
 *
 * @param classCode 0xCCSSPP.
 */
export function className(classCode: number): string {
  return CLASSES.get(classCode >>> 8) ?? `class ${classCode.toString(16).padStart(6, "0")}`;
}

/** The names of the transport's feature bits; those of the device type are one list of bit numbers. */
export function featureNames(features: bigint): string[] {
  const names: string[] = [];
  const device: number[] = [];
  for (let bit = 0; bit < 64; bit++) {
    if (!(features >> BigInt(bit) & 1n)) continue;
    if (bit < FIRST_TRANSPORT_FEATURE) device.push(bit);
    else names.push(TRANSPORT_FEATURES.get(bit) ?? `bit ${bit}`);
  }
  if (device.length) names.unshift(`device's own ${device.join(" ")}`);
  return names.length ? names : ["none"];
}
