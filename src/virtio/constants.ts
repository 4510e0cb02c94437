/**
 * Numbers of the virtio specification (version 1.2), with the sections they come from.
 *
 * @module
 */

/** Device status: the guest has found the device (2.1). */
export const STATUS_ACKNOWLEDGE = 1;
/** Device status: the guest knows how to drive it. */
export const STATUS_DRIVER = 2;
/** Device status: the driver is ready. */
export const STATUS_DRIVER_OK = 4;
/** Device status: feature negotiation is complete. */
export const STATUS_FEATURES_OK = 8;
/** Device status: the device cannot go on until it is reset. Only the device sets it. */
export const STATUS_NEEDS_RESET = 64;
/** Device status: the guest has given up on the device. */
export const STATUS_FAILED = 128;
/** The status with which a device is live. */
export const STATUS_READY = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK;

/** Feature: indirect descriptors (2.7.5.3, section 6). */
export const FEATURE_RING_INDIRECT_DESC = 1n << 28n;
/** Feature: used_event and avail_event (2.7.7, 2.7.10). */
export const FEATURE_RING_EVENT_IDX = 1n << 29n;
/** Feature: the device follows version 1 of the specification. Always offered and always required. */
export const FEATURE_VERSION_1 = 1n << 32n;
/** Feature: the device is behind an IOMMU or needs platform translation. */
export const FEATURE_ACCESS_PLATFORM = 1n << 33n;
/** Feature: the packed ring format (2.8). */
export const FEATURE_RING_PACKED = 1n << 34n;
/** Feature: buffers are used in the order in which they were made available. */
export const FEATURE_IN_ORDER = 1n << 35n;
/** Feature: memory accesses are ordered as the platform orders them. */
export const FEATURE_ORDER_PLATFORM = 1n << 36n;
/** Feature: single-root I/O virtualisation. */
export const FEATURE_SR_IOV = 1n << 37n;
/** Feature: notifications carry the available index. */
export const FEATURE_NOTIFICATION_DATA = 1n << 38n;
/** Feature: notifications carry a value that the device chose. */
export const FEATURE_NOTIF_CONFIG_DATA = 1n << 39n;
/** Feature: one queue can be reset on its own (2.6.1). */
export const FEATURE_RING_RESET = 1n << 40n;

/** The bits that belong to rings and transports (2.2): 24 to 40. A device offers none of them by itself. */
export const RESERVED_FEATURES: bigint = (1n << 41n) - (1n << 24n);

/** Names of the feature bits that belong to the ring and the transport. */
export const FEATURE_NAMES: ReadonlyMap<bigint, string> = new Map([
  [FEATURE_RING_INDIRECT_DESC, "RING_INDIRECT_DESC"],
  [FEATURE_RING_EVENT_IDX, "RING_EVENT_IDX"],
  [FEATURE_VERSION_1, "VERSION_1"],
  [FEATURE_ACCESS_PLATFORM, "ACCESS_PLATFORM"],
  [FEATURE_RING_PACKED, "RING_PACKED"],
  [FEATURE_IN_ORDER, "IN_ORDER"],
  [FEATURE_ORDER_PLATFORM, "ORDER_PLATFORM"],
  [FEATURE_SR_IOV, "SR_IOV"],
  [FEATURE_NOTIFICATION_DATA, "NOTIFICATION_DATA"],
  [FEATURE_NOTIF_CONFIG_DATA, "NOTIF_CONFIG_DATA"],
  [FEATURE_RING_RESET, "RING_RESET"],
]);

/** Device type: network card (section 5). */
export const DEVICE_TYPE_NETWORK = 1;
/** Device type: block device. */
export const DEVICE_TYPE_BLOCK = 2;
/** Device type: console. */
export const DEVICE_TYPE_CONSOLE = 3;
/** Device type: entropy source. */
export const DEVICE_TYPE_ENTROPY = 4;

/** Descriptor flag: the chain goes on at `next` (2.7.5). */
export const DESCRIPTOR_NEXT = 1;
/** Descriptor flag: the device writes the buffer. */
export const DESCRIPTOR_WRITE = 2;
/** Descriptor flag: the buffer is a table of descriptors. */
export const DESCRIPTOR_INDIRECT = 4;
/** Bytes of one descriptor: address (8), length (4), flags (2), next (2). */
export const DESCRIPTOR_SIZE = 16;

/** Available ring flag: the driver wants no interrupts (2.7.6). */
export const AVAILABLE_NO_INTERRUPT = 1;
/** Used ring flag: the device wants no notifications (2.7.8). */
export const USED_NO_NOTIFY = 1;
/** Bytes of flags and index that both rings start with. */
export const RING_HEADER_SIZE = 4;
/** Bytes of one entry of the available ring. */
export const AVAILABLE_ENTRY_SIZE = 2;
/** Bytes of one entry of the used ring: id (4), length (4). */
export const USED_ENTRY_SIZE = 8;
/** Bytes of used_event and avail_event, which stand behind the entries. */
export const RING_EVENT_SIZE = 2;
/** Alignment of the descriptor table (2.7). */
export const DESCRIPTOR_TABLE_ALIGNMENT = 16;
/** Alignment of the available ring. */
export const AVAILABLE_RING_ALIGNMENT = 2;
/** Alignment of the used ring. */
export const USED_RING_ALIGNMENT = 4;
/** Largest size of a split queue (2.7). */
export const QUEUE_SIZE_MAXIMUM = 32768;

/** PCI vendor of all virtio devices (4.1.2). */
export const PCI_VENDOR = 0x1af4;
/** PCI device ID of device type 0 (4.1.2). */
export const PCI_DEVICE_BASE = 0x1040;
/** PCI revision of devices without a legacy interface (4.1.2.1). */
export const PCI_REVISION = 1;

/** `cfg_type` of the common configuration (4.1.4). */
export const CAPABILITY_COMMON = 1;
/** `cfg_type` of the notification area. */
export const CAPABILITY_NOTIFY = 2;
/** `cfg_type` of the ISR status. */
export const CAPABILITY_ISR = 3;
/** `cfg_type` of the device's own configuration. */
export const CAPABILITY_DEVICE = 4;
/** `cfg_type` of the access through configuration space. */
export const CAPABILITY_PCI_CONFIGURATION = 5;
/** `cfg_type` of a shared memory region. */
export const CAPABILITY_SHARED_MEMORY = 8;

/** ISR status bit: a queue has used buffers (4.1.4.5). */
export const ISR_QUEUE = 1;
/** ISR status bit: the device configuration changed. */
export const ISR_CONFIGURATION = 2;
