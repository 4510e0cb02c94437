/* Identity and capabilities of a virtio function as configuration space shows them. */
#include "options.h"
#include "report.h"
#include "virtio_checks.h"

#define VIRTIO_REVISION 1
#define LAYOUT_BAR 0
#define LAYOUT_BAR_SIZE 0x80000
#define LAYOUT_SHARED_BAR 2
#define LAYOUT_MULTIPLIER 4

#define PLAIN_LENGTH 16
#define NOTIFY_LENGTH 20
#define WINDOW_LENGTH 20
#define SHARED_LENGTH 24

/* Class codes as base and sub-class. */
#define CLASS_NETWORK 0x0200
#define CLASS_BLOCK 0x0180
#define CLASS_OTHER 0xffff

static uint8_t type_at(const struct pci_function *function, uint32_t index) {
  uint8_t at = function->capabilities[index];
  uint8_t id = config_read8(function, at);
  return id == PCI_CAPABILITY_VENDOR ? config_read8(function, at + CAPABILITY_TYPE) : id;
}

static void check_identity(const struct pci_function *function, uint16_t type) {
  check_equal(function, "ID-1", "revision is 1", config_read8(function, PCI_REVISION), VIRTIO_REVISION);
  check(function, "ID-1", "device id is 0x1040 + virtio device type", type >= 1 && type < DEVICE_TYPE_COUNT);
  if (!options.strict) return;
  check_equal(function, "ID-1", "subsystem ids equal vendor and device", config_read32(function, PCI_SUBSYSTEM_VENDOR),
              (uint32_t)function->identity << 16 | function->vendor);
  uint32_t class_code = config_read32(function, PCI_REVISION) >> 16;
  /* Other types may override their class, so there is nothing to compare with. */
  if (type == TYPE_NETWORK) check_equal(function, "ID-2", "class is network", class_code, CLASS_NETWORK);
  if (type == TYPE_BLOCK) check_equal(function, "ID-2", "class is mass storage", class_code, CLASS_BLOCK);
  if (type == TYPE_ENTROPY) check_equal(function, "ID-2", "class is unassigned", class_code, CLASS_OTHER);
}

static void check_lengths(const struct pci_function *function) {
  bool covered = true, sized = true;
  for (uint32_t i = 0; i < function->capability_count; i++) {
    uint8_t at = function->capabilities[i];
    if (config_read8(function, at) != PCI_CAPABILITY_VENDOR) continue;
    uint8_t length = config_read8(function, at + CAPABILITY_LENGTH);
    uint8_t type = type_at(function, i);
    uint32_t size = config_read32(function, at + CAPABILITY_SIZE);
    switch (type) {
      case CAPABILITY_NOTIFY:
        covered &= length >= NOTIFY_LENGTH;
        break;
      case CAPABILITY_WINDOW:
        covered &= length >= WINDOW_LENGTH;
        break;
      case CAPABILITY_SHARED_MEMORY:
        covered &= length >= SHARED_LENGTH;
        break;
      default:
        covered &= length >= PLAIN_LENGTH;
    }
    if (type != CAPABILITY_WINDOW && type != CAPABILITY_SHARED_MEMORY) sized &= size != 0;
  }
  check(function, "CAP-2", "cap_len covers each structure: 16, notify 20, PCI-cfg 20, shared memory 24", covered);
  check(function, "CAP-6", "no structure has the length 0", sized);
}

/* common, ISR, device (or not), notify, PCI-cfg, MSI-X, any number of shared memory. */
static void check_order(const struct pci_function *function) {
  static const uint8_t order[] = {CAPABILITY_COMMON, CAPABILITY_ISR,      CAPABILITY_DEVICE,       CAPABILITY_NOTIFY,
                                  CAPABILITY_WINDOW, PCI_CAPABILITY_MSIX, CAPABILITY_SHARED_MEMORY};
  uint32_t position = 0;
  bool ordered = true;
  for (uint32_t i = 0; i < function->capability_count; i++) {
    uint8_t type = type_at(function, i);
    while (position < sizeof order && order[position] != type) position++;
    ordered &= position < sizeof order;
    if (type != CAPABILITY_SHARED_MEMORY) position++;
  }
  check(function, "CAP-1", "order is common, ISR, device, notify, PCI-cfg, MSI-X, shared memory", ordered);
}

static void check_region(const struct pci_function *function, const char *text, const struct region *region,
                         uint32_t offset) {
  check(function, "CAP-3", text, region->bar == LAYOUT_BAR && region->offset == offset);
}

static void check_layout(const struct virtio_device *device) {
  const struct pci_function *function = device->function;
  check_equal(function, "CAP-3", "BAR 0 is 512 KiB", function->bars[LAYOUT_BAR].size, LAYOUT_BAR_SIZE);
  check_region(function, "common configuration at 0x0000", &device->common, 0x0000);
  check(function, "CAP-3", "common configuration is 56 or 64 bytes long",
        device->common.length == COMMON_LENGTH || device->common.length == COMMON_LENGTH_EXTENDED);
  check_region(function, "ISR at 0x2000", &device->isr, 0x2000);
  if (device->configuration.present)
    check_region(function, "device configuration at 0x4000", &device->configuration, 0x4000);
  check_region(function, "notifications at 0x6000", &device->notify, 0x6000);
  check_equal(function, "CAP-4", "the notify multiplier is 4", device->notify_multiplier, LAYOUT_MULTIPLIER);
  if (!check(function, "CAP-7", "there is an MSI-X capability", device->msix != 0)) return;
  check_equal(function, "CAP-3", "MSI-X table at 0x8000 of BAR 0", config_read32(function, device->msix + MSIX_TABLE),
              0x8000);
  check_equal(function, "CAP-3", "MSI-X pending bits at 0x48000 of BAR 0",
              config_read32(function, device->msix + MSIX_PENDING), 0x48000);
  check_equal(function, "CAP-7", "MSI-X has one vector per queue and one for configuration", device->vectors,
              common_read16(device, COMMON_QUEUE_COUNT) + 1u);
  if (device->type == TYPE_ENTROPY)
    check(function, "CAP-6", "a device without configuration space has no device capability",
          !device->configuration.present);
}

static void check_shared_memory(const struct pci_function *function) {
  uint64_t ids = 0;
  bool found = false, distinct = true, placed = true;
  for (uint32_t i = 0; i < function->capability_count; i++) {
    uint8_t at = function->capabilities[i];
    if (config_read8(function, at) != PCI_CAPABILITY_VENDOR || type_at(function, i) != CAPABILITY_SHARED_MEMORY)
      continue;
    found = true;
    uint8_t id = config_read8(function, at + CAPABILITY_ID);
    distinct &= !(ids >> (id & 63) & 1);
    ids |= 1ull << (id & 63);
    uint8_t index = config_read8(function, at + CAPABILITY_BAR);
    const struct bar *bar = &function->bars[index < BAR_COUNT ? index : 0];
    uint64_t offset = config_read32(function, at + CAPABILITY_OFFSET) |
                      (uint64_t)config_read32(function, at + CAPABILITY_OFFSET_HIGH) << 32;
    uint64_t length = config_read32(function, at + CAPABILITY_SIZE) |
                      (uint64_t)config_read32(function, at + CAPABILITY_SIZE_HIGH) << 32;
    placed &= index < BAR_COUNT && bar->present && length <= bar->size && offset <= bar->size - length;
    if (options.strict) placed &= index == LAYOUT_SHARED_BAR && bar->wide && bar->prefetchable;
  }
  if (!found) return;
  check(function, "CAP-5", "shared memory regions have distinct ids and lie inside their BAR", distinct && placed);
}

/* Enable and Function Mask can be written, the rest of Message Control cannot. */
static void check_msix_control(struct virtio_device *device) {
  if (!device->msix) return;
  const struct pci_function *function = device->function;
  uint32_t at = device->msix + MSIX_CONTROL;
  uint16_t original = config_read16(function, at);
  check(function, "CAP-7", "MSI-X Enable reads 0 at power-on", !(original & MSIX_CONTROL_ENABLE));
  config_write16(function, at, 0xffff);
  uint16_t ones = config_read16(function, at);
  config_write16(function, at, 0);
  uint16_t zeros = config_read16(function, at);
  uint16_t writable = MSIX_CONTROL_ENABLE | MSIX_CONTROL_FUNCTION_MASK;
  check(function, "CAP-7", "MSI-X Enable and Function Mask are writable, the table size is not",
        ones == ((original & MSIX_CONTROL_SIZE) | writable) && zeros == (original & MSIX_CONTROL_SIZE));
}

void check_virtio_layout(struct virtio_device *device) {
  struct pci_function *function = device->function;
  check_identity(function, device->type);
  check_lengths(function);
  check_shared_memory(function);
  if (options.strict) {
    check_order(function);
    check_layout(device);
  }
  check_msix_control(device);
}
