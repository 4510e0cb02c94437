/**
 * Device types (virtio 1.3, section 5). A type that is not listed is given as its number.
 *
 * @module
 */

/** Numbers of the device types that drivers of common systems know. */
export const DeviceType = {
  network: 1,
  block: 2,
  console: 3,
  entropy: 4,
  balloon: 5,
  scsiHost: 8,
  plan9: 9,
  gpu: 16,
  input: 18,
  socket: 19,
  crypto: 20,
  iommu: 23,
  memory: 24,
  sound: 25,
  fileSystem: 26,
  persistentMemory: 27,
} as const satisfies Readonly<Record<string, number>>;
