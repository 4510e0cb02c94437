/* PCI functions of bus 0: access to configuration space, and what was found out about each. */
#pragma once

#include "machine.h"

/* Configuration space header, type 0: PCI Local Bus specification 3.0, section 6.1. */
enum {
  PCI_VENDOR = 0x00,
  PCI_DEVICE = 0x02,
  PCI_COMMAND = 0x04,
  PCI_STATUS = 0x06,
  PCI_REVISION = 0x08,
  PCI_CLASS = 0x09,
  PCI_HEADER_TYPE = 0x0e,
  PCI_BAR = 0x10,
  PCI_SUBSYSTEM_VENDOR = 0x2c,
  PCI_SUBSYSTEM = 0x2e,
  PCI_CAPABILITIES = 0x34,
  PCI_HEADER_LENGTH = 0x40,

  PCI_COMMAND_IO = 1 << 0,
  PCI_COMMAND_MEMORY = 1 << 1,
  PCI_COMMAND_BUS_MASTER = 1 << 2,
  PCI_COMMAND_INTERRUPT_DISABLE = 1 << 10,
  PCI_STATUS_CAPABILITIES = 1 << 4,

  PCI_MULTIFUNCTION = 0x80,

  PCI_CAPABILITY_VENDOR = 0x09,
  PCI_CAPABILITY_MSIX = 0x11,

  /* MSI-X capability: section 6.8.2. */
  MSIX_CONTROL = 2,
  MSIX_TABLE = 4,
  MSIX_PENDING = 8,
  MSIX_CONTROL_SIZE = 0x7ff,
  MSIX_CONTROL_FUNCTION_MASK = 1 << 14,
  MSIX_CONTROL_ENABLE = 1 << 15,
};

#define BAR_COUNT 6
#define CAPABILITY_LIMIT 48 /* that many dwords fit between the header and the end of the 256 bytes */
#define VENDOR_ABSENT 0xffff
#define VENDOR_VIRTIO 0x1af4

struct bar {
  bool present;
  bool io;
  bool wide; /* 64-bit */
  bool prefetchable;
  uint64_t address;
  uint64_t size;
};

struct pci_function {
  uint8_t bus, device, function;
  uint16_t vendor, identity; /* vendor and device id */
  uint8_t header_type;
  struct bar bars[BAR_COUNT];
  uint8_t capabilities[CAPABILITY_LIMIT]; /* offsets, in the order of the list */
  uint8_t capability_count;
};

#define FUNCTION_LIMIT 48
extern struct pci_function functions[FUNCTION_LIMIT];
extern uint32_t function_count;

/* Through configuration mechanism #1. */
uint8_t config_read8(const struct pci_function *function, uint32_t offset);
uint16_t config_read16(const struct pci_function *function, uint32_t offset);
uint32_t config_read32(const struct pci_function *function, uint32_t offset);
void config_write8(const struct pci_function *function, uint32_t offset, uint8_t value);
void config_write16(const struct pci_function *function, uint32_t offset, uint16_t value);
void config_write32(const struct pci_function *function, uint32_t offset, uint32_t value);

/* Address of a register in ECAM; only where acpi.ecam is not 0. */
uint64_t config_address(const struct pci_function *function, uint32_t offset);

/* Finds and reports every function of bus 0 and checks the bus itself. */
void enumerate_bus(void);

/* Header, capability list and BARs of one function: reported and checked. */
void examine_function(struct pci_function *function);

/* After all of them: no two BARs, and no BAR and RAM, may overlap. */
void check_overlaps(void);
