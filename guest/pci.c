#include "pci.h"

#include "boot_information.h"
#include "memory.h"
#include "options.h"
#include "report.h"

#define CONFIG_ADDRESS_PORT 0xcf8
#define CONFIG_DATA_PORT 0xcfc
#define CONFIG_ENABLE 0x80000000u
#define ECAM_BUS_SIZE 0x100000
#define DEVICES_PER_BUS 32
#define FUNCTIONS_PER_DEVICE 8
#define ALL_ONES 0xffffffffu

struct pci_function functions[FUNCTION_LIMIT];
uint32_t function_count;

static void select_register(const struct pci_function *function, uint32_t offset) {
  out32(CONFIG_ADDRESS_PORT, CONFIG_ENABLE | (uint32_t)function->bus << 16 | (uint32_t)function->device << 11 |
                                 (uint32_t)function->function << 8 | (offset & 0xfc));
}

uint8_t config_read8(const struct pci_function *function, uint32_t offset) {
  select_register(function, offset);
  return in8((uint16_t)(CONFIG_DATA_PORT + (offset & 3)));
}

uint16_t config_read16(const struct pci_function *function, uint32_t offset) {
  select_register(function, offset);
  return in16((uint16_t)(CONFIG_DATA_PORT + (offset & 2)));
}

uint32_t config_read32(const struct pci_function *function, uint32_t offset) {
  select_register(function, offset);
  return in32(CONFIG_DATA_PORT);
}

void config_write8(const struct pci_function *function, uint32_t offset, uint8_t value) {
  select_register(function, offset);
  out8((uint16_t)(CONFIG_DATA_PORT + (offset & 3)), value);
}

void config_write16(const struct pci_function *function, uint32_t offset, uint16_t value) {
  select_register(function, offset);
  out16((uint16_t)(CONFIG_DATA_PORT + (offset & 2)), value);
}

void config_write32(const struct pci_function *function, uint32_t offset, uint32_t value) {
  select_register(function, offset);
  out32(CONFIG_DATA_PORT, value);
}

uint64_t config_address(const struct pci_function *function, uint32_t offset) {
  return acpi.ecam + ((uint64_t)function->bus << 20 | (uint64_t)function->device << 15 |
                      (uint64_t)function->function << 12 | offset);
}

static void add_function(struct pci_function at, uint32_t identity) {
  at.vendor = (uint16_t)identity;
  at.identity = (uint16_t)(identity >> 16);
  at.header_type = config_read8(&at, PCI_HEADER_TYPE);
  if (options.has_function && options.function != (uint64_t)(at.device << 3 | at.function)) return;
  if (function_count == FUNCTION_LIMIT) {
    report("note\tmore than %d functions: the rest is not examined", (uint64_t)FUNCTION_LIMIT);
    return;
  }
  functions[function_count++] = at;
}

static void check_absent(const struct pci_function *absent) {
  bool ones = config_read32(absent, PCI_VENDOR) == ALL_ONES && config_read16(absent, PCI_DEVICE) == 0xffff &&
              config_read8(absent, PCI_HEADER_TYPE) == 0xff;
  check(NULL, "BUS-1", "an absent function reads all ones through CF8/CFC", ones);
  if (!acpi.ecam) return;
  uint64_t address = config_address(absent, 0);
  ones = read32(address + PCI_VENDOR) == ALL_ONES && read16(address + PCI_DEVICE) == 0xffff &&
         read8(address + PCI_HEADER_TYPE) == 0xff;
  check(NULL, "BUS-1", "an absent function reads all ones through ECAM", ones);
  config_write32(absent, PCI_BAR, ALL_ONES);
  write32(address + PCI_BAR, ALL_ONES);
  check(NULL, "BUS-1", "an absent function ignores writes", read32(address + PCI_BAR) == ALL_ONES);
}

/* Configuration mechanism #1 answers only while its enable bit is set. */
static void check_mechanism(void) {
  if (!options.strict) return;
  out32(CONFIG_ADDRESS_PORT, 0);
  check_equal(NULL, "BUS-1", "CFC reads all ones while the enable bit of CF8 is clear", in32(CONFIG_DATA_PORT),
              ALL_ONES);
  out32(CONFIG_ADDRESS_PORT, CONFIG_ENABLE | 0x1234);
  check_equal(NULL, "BUS-1", "CF8 reads back what was written, its two lowest bits clear", in32(CONFIG_ADDRESS_PORT),
              CONFIG_ENABLE | 0x1234);
}

void enumerate_bus(void) {
  if (acpi.ecam) map_physical(acpi.ecam, ECAM_BUS_SIZE);
  struct pci_function absent = {.device = 0xff};
  for (uint8_t device = 0; device < DEVICES_PER_BUS; device++) {
    struct pci_function at = {.device = device};
    uint32_t identity = config_read32(&at, PCI_VENDOR);
    if ((uint16_t)identity == VENDOR_ABSENT) {
      absent = at;
      continue;
    }
    add_function(at, identity);
    if (!(config_read8(&at, PCI_HEADER_TYPE) & PCI_MULTIFUNCTION)) continue;
    for (at.function = 1; at.function < FUNCTIONS_PER_DEVICE; at.function++) {
      identity = config_read32(&at, PCI_VENDOR);
      if ((uint16_t)identity != VENDOR_ABSENT) add_function(at, identity);
    }
  }
  struct pci_function bridge = {.device = 0};
  check_equal(NULL, "BUS-2", "a host bridge (class 06/00) is at 00:00.0", config_read32(&bridge, PCI_REVISION) >> 16,
              0x0600);
  if (acpi.ecam) {
    check(NULL, "BUS-1", "ACPI's MCFG tells where ECAM is", true);
  } else if (options.strict) {
    check(NULL, "BUS-1", "ACPI's MCFG tells where ECAM is", false);
  }
  if (absent.device != 0xff) check_absent(&absent);
  check_mechanism();
}
