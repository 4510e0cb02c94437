/* The BAR that holds the common configuration, moved to another address and back, with the device at work there. */
#include "boot_information.h"
#include "memory.h"
#include "options.h"
#include "report.h"
#include "virtio_checks.h"

#define CANDIDATES 64
#define FOUR_GIB 0x100000000ull
#define CONTROLLERS_START 0xfec00000ull /* the interrupt controllers and the firmware's ROM lie from here to 4 GiB */
#define ECAM_SIZE 0x10000000ull

static bool overlap(uint64_t left, uint64_t left_size, uint64_t right, uint64_t right_size) {
  return left < right + right_size && right < left + left_size;
}

static bool is_free(uint64_t address, uint64_t size) {
  if (overlaps_memory(address, size)) return false;
  if (overlap(address, size, CONTROLLERS_START, FOUR_GIB - CONTROLLERS_START)) return false;
  if (acpi.ecam && overlap(address, size, acpi.ecam, ECAM_SIZE)) return false;
  for (uint32_t i = 0; i < function_count * BAR_COUNT; i++) {
    const struct bar *bar = &functions[i / BAR_COUNT].bars[i % BAR_COUNT];
    if (bar->present && !bar->io && overlap(address, size, bar->address, bar->size)) return false;
  }
  return true;
}

/* A free place near the present one: above it or, where firmware packed BARs from the top down, below. 0: none. */
static uint64_t find_place(const struct bar *bar) {
  for (uint64_t step = 1; step <= CANDIDATES; step++)
    if (is_free(bar->address + step * bar->size, bar->size)) return bar->address + step * bar->size;
  for (uint64_t step = 1; step <= CANDIDATES && step * bar->size < bar->address; step++)
    if (is_free(bar->address - step * bar->size, bar->size)) return bar->address - step * bar->size;
  return 0;
}

/* While Memory Space is off the new address only waits. */
static void move(struct virtio_device *device, uint8_t index, uint64_t address) {
  struct pci_function *function = device->function;
  uint16_t command = config_read16(function, PCI_COMMAND);
  config_write16(function, PCI_COMMAND, command & (uint16_t)~PCI_COMMAND_MEMORY);
  config_write32(function, PCI_BAR + index * 4u, (uint32_t)address);
  if (function->bars[index].wide) config_write32(function, PCI_BAR + index * 4u + 4, (uint32_t)(address >> 32));
  config_write16(function, PCI_COMMAND, command);
  function->bars[index].address = address;
  /* All addresses follow from the BAR; what was counted so far must survive. */
  uint64_t doorbells = device->doorbells;
  uint32_t sample_count = device->sample_count;
  report_muted = true;
  virtio_discover(device, function);
  report_muted = false;
  device->doorbells = doorbells;
  device->sample_count = sample_count;
}

void check_move(struct virtio_device *device, const struct repeatable *request) {
  struct pci_function *function = device->function;
  uint8_t index = device->common.bar;
  uint64_t home = function->bars[index].address;
  uint64_t place = find_place(&function->bars[index]);
  if (!place) {
    skip(function, "BAR-3", "a BAR can be moved", "there is no free address near it");
    return;
  }
  virtio_reset(device);
  msix_disable(device);
  uint64_t old_address = device->common.address;
  uint64_t features = virtio_offered_features(device);
  move(device, index, place);
  uint32_t low = config_read32(function, PCI_BAR + index * 4u) & ~15u;
  check(function, "BAR-3", "a BAR moved while Memory Space was off decodes at its new address",
        low == (uint32_t)place && virtio_offered_features(device) == features);
  if (options.strict)
    check_equal(function, "BAR-4", "and no longer at the old one", read32(old_address + COMMON_DEVICE_FEATURE),
                0xffffffff);
  if (start_device(device, request->features, request->queue + 1u))
    check_single(&device->queues[request->queue], request);
  virtio_reset(device);
  msix_disable(device);
  move(device, index, home);
  check(function, "BAR-4", "and back at its old address once it is moved back",
        virtio_offered_features(device) == features);
}
