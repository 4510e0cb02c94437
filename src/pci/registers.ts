/**
 * Registers and bits of PCI configuration space, one to one from the PCI Local Bus Specification 3.0 (chapter 6) and the PCI Express
 * Base Specification (section 7.2, ECAM).
 *
 * @module
 */

/** Bytes of configuration space of one function: 256 conventional, the rest extended. */
export const CONFIGURATION_SPACE_SIZE = 4096;
/** Bytes of the part that config mechanism #1 reaches. */
export const CONVENTIONAL_SPACE_SIZE = 256;
/** Length of the header of type 0. Capabilities may start here. */
export const HEADER_SIZE = 0x40;
/** Functions of device number 0-31 on one bus. */
export const SLOT_COUNT = 32;

/** Vendor ID (6.2.1), 2 bytes. */
export const VENDOR_ID = 0x00;
/** Device ID (6.2.1), 2 bytes. */
export const DEVICE_ID = 0x02;
/** Command (6.2.2), 2 bytes. */
export const COMMAND = 0x04;
/** Status (6.2.3), 2 bytes. */
export const STATUS = 0x06;
/** Revision ID (6.2.1), 1 byte. */
export const REVISION_ID = 0x08;
/** Class Code (6.2.1), 3 bytes: programming interface, subclass, class. */
export const CLASS_CODE = 0x09;
/** Cacheline Size (6.2.4), 1 byte. */
export const CACHE_LINE_SIZE = 0x0c;
/** Latency Timer (6.2.4), 1 byte. */
export const LATENCY_TIMER = 0x0d;
/** Header Type (6.2.1), 1 byte. */
export const HEADER_TYPE = 0x0e;
/** The first of six Base Address Registers (6.2.5), 4 bytes each. */
export const BASE_ADDRESS_0 = 0x10;
/** Subsystem Vendor ID (6.2.4), 2 bytes. */
export const SUBSYSTEM_VENDOR_ID = 0x2c;
/** Subsystem ID (6.2.4), 2 bytes. */
export const SUBSYSTEM_ID = 0x2e;
/** Expansion ROM Base Address (6.2.5.2), 4 bytes. */
export const EXPANSION_ROM = 0x30;
/** Capabilities Pointer (6.7), 1 byte. */
export const CAPABILITIES_POINTER = 0x34;
/** Interrupt Line (6.2.4), 1 byte: the guest's scratch register. */
export const INTERRUPT_LINE = 0x3c;
/** Interrupt Pin (6.2.4), 1 byte: 0 for none. */
export const INTERRUPT_PIN = 0x3d;

/** Command: I/O Space. */
export const COMMAND_IO_SPACE = 1 << 0;
/** Command: Memory Space. */
export const COMMAND_MEMORY_SPACE = 1 << 1;
/** Command: Bus Master. */
export const COMMAND_BUS_MASTER = 1 << 2;
/** Command: Parity Error Response. */
export const COMMAND_PARITY_ERROR_RESPONSE = 1 << 6;
/** Command: SERR# Enable. */
export const COMMAND_SERR_ENABLE = 1 << 8;
/** Command: Interrupt Disable. */
export const COMMAND_INTERRUPT_DISABLE = 1 << 10;
/** The bits of Command that a guest may change. */
export const COMMAND_WRITABLE = COMMAND_IO_SPACE | COMMAND_MEMORY_SPACE | COMMAND_BUS_MASTER
  | COMMAND_PARITY_ERROR_RESPONSE | COMMAND_SERR_ENABLE | COMMAND_INTERRUPT_DISABLE;

/** Status: Capabilities List. */
export const STATUS_CAPABILITIES_LIST = 1 << 4;
/** Status: the error bits (8, 11-15), cleared by writing 1. */
export const STATUS_ERRORS = 0xf900;

/** Base Address Registers of a header of type 0. */
export const BAR_COUNT = 6;
/** BAR: I/O space indicator (6.2.5.1). */
export const BAR_IO = 1 << 0;
/** BAR: memory type "64 bits wide". */
export const BAR_MEMORY_64 = 0b10 << 1;
/** BAR: prefetchable memory. */
export const BAR_PREFETCHABLE = 1 << 3;
/** Smallest memory BAR: four low bits hold flags. */
export const BAR_MINIMUM_MEMORY = 16;
/** Smallest I/O BAR: two low bits hold flags. */
export const BAR_MINIMUM_IO = 4;

/** Capability ID: vendor specific. */
export const CAPABILITY_VENDOR_SPECIFIC = 0x09;
/** Capability ID: MSI-X. */
export const CAPABILITY_MSIX = 0x11;
/** Bytes of a capability's own header: its ID and the pointer to the next. */
export const CAPABILITY_HEADER_SIZE = 2;

/** MSI-X capability: Message Control (6.8.2.3), 2 bytes. */
export const MSIX_MESSAGE_CONTROL = 2;
/** MSI-X capability: table offset and BAR indicator (6.8.2.4), 4 bytes. */
export const MSIX_TABLE_OFFSET = 4;
/** MSI-X capability: pending bit array offset and BAR indicator (6.8.2.5), 4 bytes. */
export const MSIX_PBA_OFFSET = 8;
/** Length of the MSI-X capability. */
export const MSIX_CAPABILITY_SIZE = 12;
/** Message Control: Function Mask. */
export const MSIX_FUNCTION_MASK = 1 << 14;
/** Message Control: MSI-X Enable. */
export const MSIX_ENABLE = 1 << 15;
/** Vectors that one function may have at most: the table size field has 11 bits. */
export const MSIX_MAXIMUM_VECTORS = 2048;
/** Bytes of one table entry: message address (8), message data (4), vector control (4). */
export const MSIX_ENTRY_SIZE = 16;
/** Vector Control: Mask Bit (6.8.2.9). */
export const MSIX_ENTRY_MASKED = 1;

/** Port of CONFIG_ADDRESS (3.2.2.3.2), 4 bytes. */
export const CONFIG_ADDRESS_PORT = 0xcf8;
/** First port of CONFIG_DATA, 4 bytes. */
export const CONFIG_DATA_PORT = 0xcfc;
/** CONFIG_ADDRESS: enable. */
export const CONFIG_ADDRESS_ENABLE = 0x8000_0000;
/** CONFIG_ADDRESS: the bits that can be written (enable, bus, device, function, dword). */
export const CONFIG_ADDRESS_WRITABLE = 0x80ff_fffc;
/** Bytes of ECAM space per bus: 32 devices of 8 functions of 4096 bytes. */
export const ECAM_BUS_SIZE = 1 << 20;

/** Class 06, subclass 00: host bridge. */
export const CLASS_HOST_BRIDGE = 0x060000;
