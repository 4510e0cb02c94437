/* Discovery and negotiation. */
#include "virtio.h"

#include "interrupts.h"
#include "memory.h"
#include "report.h"

#define RESET_READS 1000
#define ISR_LENGTH 1

static struct region read_region(const struct pci_function *function, uint8_t at) {
  struct region region = {
      .bar = config_read8(function, at + CAPABILITY_BAR),
      .offset = config_read32(function, at + CAPABILITY_OFFSET),
      .length = config_read32(function, at + CAPABILITY_SIZE),
  };
  if (region.bar >= BAR_COUNT) return region;
  const struct bar *bar = &function->bars[region.bar];
  region.present = bar->present && !bar->io && bar->address && region.length &&
                   (uint64_t)region.offset + region.length <= bar->size;
  region.address = bar->address + region.offset;
  return region;
}

/* Of several structures of one type a driver takes the first that it can use. */
static void take_region(struct region *slot, const struct pci_function *function, uint8_t at) {
  if (!slot->present) *slot = read_region(function, at);
}

static void read_virtio_capability(struct virtio_device *device, uint8_t at) {
  const struct pci_function *function = device->function;
  switch (config_read8(function, at + CAPABILITY_TYPE)) {
    case CAPABILITY_COMMON:
      take_region(&device->common, function, at);
      break;
    case CAPABILITY_NOTIFY:
      if (device->notify.present) break;
      take_region(&device->notify, function, at);
      device->notify_multiplier = config_read32(function, at + CAPABILITY_NOTIFY_MULTIPLIER);
      break;
    case CAPABILITY_ISR:
      take_region(&device->isr, function, at);
      break;
    case CAPABILITY_DEVICE:
      take_region(&device->configuration, function, at);
      break;
    case CAPABILITY_WINDOW:
      if (!device->window) device->window = at;
      break;
  }
}

static void read_msix_capability(struct virtio_device *device, uint8_t at) {
  const struct pci_function *function = device->function;
  uint32_t table = config_read32(function, at + MSIX_TABLE);
  uint32_t pending = config_read32(function, at + MSIX_PENDING);
  uint32_t vectors = (config_read16(function, at + MSIX_CONTROL) & MSIX_CONTROL_SIZE) + 1u;
  uint32_t table_bar = table & 7, pending_bar = pending & 7;
  bool inside = table_bar < BAR_COUNT && pending_bar < BAR_COUNT && function->bars[table_bar].address &&
                function->bars[pending_bar].address &&
                (table & ~7u) + vectors * MSIX_ENTRY_SIZE <= function->bars[table_bar].size &&
                (pending & ~7u) + (vectors + 7) / 8 <= function->bars[pending_bar].size;
  if (!check(function, "CAP-7", "MSI-X table and pending bits lie inside their BARs", inside)) return;
  device->msix = at;
  device->vectors = vectors;
  device->table = function->bars[table_bar].address + (table & ~7u);
  device->pending = function->bars[pending_bar].address + (pending & ~7u);
}

bool virtio_discover(struct virtio_device *device, struct pci_function *function) {
  *device = (struct virtio_device){.function = function, .type = (uint16_t)(function->identity - DEVICE_ID_BASE)};
  for (uint32_t i = 0; i < BAR_COUNT; i++) {
    const struct bar *bar = &function->bars[i];
    if (bar->present && !bar->io && bar->address) map_physical(bar->address, bar->size);
  }
  uint16_t command = config_read16(function, PCI_COMMAND);
  config_write16(function, PCI_COMMAND, command | PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
  check_equal(function, "BUS-3", "Memory Space and Bus Master can be enabled",
              config_read16(function, PCI_COMMAND) & (PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER),
              PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
  for (uint32_t i = 0; i < function->capability_count; i++) {
    uint8_t at = function->capabilities[i];
    uint8_t id = config_read8(function, at);
    if (id == PCI_CAPABILITY_VENDOR) read_virtio_capability(device, at);
    if (id == PCI_CAPABILITY_MSIX && !device->msix) read_msix_capability(device, at);
  }
  bool usable = device->common.present && device->common.length >= COMMON_LENGTH && device->notify.present &&
                device->isr.present && device->isr.length >= ISR_LENGTH;
  return check(function, "CAP-1", "common, notify and ISR structures are there and lie inside their BARs", usable);
}

uint8_t common_read8(const struct virtio_device *device, uint32_t offset) {
  return read8(device->common.address + offset);
}
uint16_t common_read16(const struct virtio_device *device, uint32_t offset) {
  return read16(device->common.address + offset);
}
uint32_t common_read32(const struct virtio_device *device, uint32_t offset) {
  return read32(device->common.address + offset);
}
void common_write8(const struct virtio_device *device, uint32_t offset, uint8_t value) {
  write8(device->common.address + offset, value);
}
void common_write16(const struct virtio_device *device, uint32_t offset, uint16_t value) {
  write16(device->common.address + offset, value);
}
void common_write32(const struct virtio_device *device, uint32_t offset, uint32_t value) {
  write32(device->common.address + offset, value);
}

uint8_t virtio_status(const struct virtio_device *device) { return common_read8(device, COMMON_STATUS); }
void virtio_set_status(const struct virtio_device *device, uint8_t status) {
  common_write8(device, COMMON_STATUS, status);
}

bool virtio_reset(struct virtio_device *device) {
  virtio_set_status(device, 0);
  for (uint32_t i = 0; i < RESET_READS; i++)
    if (virtio_status(device) == 0) return true;
  return false;
}

uint64_t virtio_offered_features(const struct virtio_device *device) {
  common_write32(device, COMMON_DEVICE_FEATURE_SELECT, 0);
  uint64_t low = common_read32(device, COMMON_DEVICE_FEATURE);
  common_write32(device, COMMON_DEVICE_FEATURE_SELECT, 1);
  return low | (uint64_t)common_read32(device, COMMON_DEVICE_FEATURE) << 32;
}

uint64_t virtio_driver_features(const struct virtio_device *device) {
  common_write32(device, COMMON_DRIVER_FEATURE_SELECT, 0);
  uint64_t low = common_read32(device, COMMON_DRIVER_FEATURE);
  common_write32(device, COMMON_DRIVER_FEATURE_SELECT, 1);
  return low | (uint64_t)common_read32(device, COMMON_DRIVER_FEATURE) << 32;
}

void virtio_write_driver_features(const struct virtio_device *device, uint64_t features) {
  common_write32(device, COMMON_DRIVER_FEATURE_SELECT, 0);
  common_write32(device, COMMON_DRIVER_FEATURE, (uint32_t)features);
  common_write32(device, COMMON_DRIVER_FEATURE_SELECT, 1);
  common_write32(device, COMMON_DRIVER_FEATURE, (uint32_t)(features >> 32));
}

bool virtio_negotiate(struct virtio_device *device, uint64_t wanted) {
  release_pages();
  if (!virtio_reset(device)) return false;
  virtio_set_status(device, STATUS_ACKNOWLEDGE);
  virtio_set_status(device, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
  device->offered = virtio_offered_features(device);
  device->accepted = device->offered & (wanted | FEATURE_VERSION_1);
  virtio_write_driver_features(device, device->accepted);
  virtio_set_status(device, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
  device->queue_count = common_read16(device, COMMON_QUEUE_COUNT);
  return virtio_status(device) & STATUS_FEATURES_OK;
}

bool virtio_start(struct virtio_device *device, uint64_t wanted, uint16_t queue_count, bool with_messages) {
  msix_disable(device);
  if (!virtio_negotiate(device, wanted)) return false;
  if (with_messages) msix_enable(device);
  bool enabled = true;
  for (uint16_t i = 0; i < queue_count && i < device->queue_count && i < QUEUE_LIMIT; i++)
    enabled &= queue_enable(device, i);
  virtio_set_status(device, STATUS_RUNNING);
  return enabled && virtio_status(device) == STATUS_RUNNING;
}
