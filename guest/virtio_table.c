/* The MSI-X table and its pending bits at rest. PCI 3.0, section 6.8.2. */
#include "options.h"
#include "report.h"
#include "virtio_checks.h"

#define PATTERN_ADDRESS 0xfee01000u
#define PATTERN_DATA 0x4711u
#define ALL_ONES 0xffffffffu

static void check_sizes(struct virtio_device *device) {
  const struct pci_function *function = device->function;
  uint64_t entry = device->table;
  write64(entry, PATTERN_ADDRESS);
  write64(entry + MSIX_ENTRY_DATA, (uint64_t)MSIX_ENTRY_MASKED << 32 | (PATTERN_DATA + 1));
  check(function, "MSI-1", "8-byte accesses of the table agree with 4-byte ones",
        read32(entry) == PATTERN_ADDRESS && read32(entry + MSIX_ENTRY_DATA) == PATTERN_DATA + 1 &&
            read64(entry) == PATTERN_ADDRESS);
  write8(entry + MSIX_ENTRY_DATA, 0);
  write16(entry + MSIX_ENTRY_DATA, 0);
  check(function, "MSI-1", "1- and 2-byte accesses of the table read 0 and write nothing",
        read8(entry + MSIX_ENTRY_DATA) == 0 && read16(entry + MSIX_ENTRY_DATA) == 0 &&
            read32(entry + MSIX_ENTRY_DATA) == PATTERN_DATA + 1);
  uint64_t beyond = device->table + (uint64_t)device->vectors * MSIX_ENTRY_SIZE;
  write32(beyond, ALL_ONES);
  write32(beyond + MSIX_ENTRY_CONTROL, 0);
  check(function, "MSI-1", "an entry beyond the table reads 0",
        read32(beyond) == 0 && read32(beyond + MSIX_ENTRY_CONTROL) == 0);
}

void check_table(struct virtio_device *device) {
  if (!device->msix) return;
  const struct pci_function *function = device->function;
  bool masked = true;
  for (uint32_t i = 0; i < device->vectors && i < VECTOR_LIMIT; i++)
    masked &= read32(device->table + (uint64_t)i * MSIX_ENTRY_SIZE + MSIX_ENTRY_CONTROL) & MSIX_ENTRY_MASKED;
  check(function, "MSI-1", "every entry is masked at power-on", masked);

  uint64_t entry = device->table;
  write32(entry + MSIX_ENTRY_ADDRESS, PATTERN_ADDRESS);
  write32(entry + MSIX_ENTRY_DATA, PATTERN_DATA);
  check(function, "MSI-1", "address and data of an entry read back",
        read32(entry + MSIX_ENTRY_ADDRESS) == PATTERN_ADDRESS && read32(entry + MSIX_ENTRY_DATA) == PATTERN_DATA);
  if (options.strict) check_sizes(device);

  uint32_t before = read32(device->pending);
  write32(device->pending, ALL_ONES);
  check_equal(function, "MSI-4", "pending bits are read-only", read32(device->pending), before);
}
