/* VIRTIO_PCI_CAP_PCI_CFG: BAR accesses through configuration space. Virtio 1.2, section 4.1.4.9. */
#include "options.h"
#include "report.h"
#include "virtio_checks.h"
#include "virtio_window.h"

#define BAD_BAR 5
#define FAR_OFFSET 0x7ffffff0

void window_select(const struct virtio_device *device, uint8_t bar, uint32_t offset, uint32_t length) {
  config_write8(device->function, device->window + CAPABILITY_BAR, bar);
  config_write32(device->function, device->window + CAPABILITY_OFFSET, offset);
  config_write32(device->function, device->window + CAPABILITY_SIZE, length);
}

uint32_t window_read(const struct virtio_device *device) {
  return config_read32(device->function, device->window + CAPABILITY_WINDOW_DATA);
}

void window_write(const struct virtio_device *device, uint32_t value) {
  config_write32(device->function, device->window + CAPABILITY_WINDOW_DATA, value);
}

static void check_writable(struct virtio_device *device) {
  const struct pci_function *function = device->function;
  uint32_t head = config_read32(function, device->window);
  config_write32(function, device->window, ~head);
  window_select(device, device->common.bar, device->common.offset + COMMON_STATUS, 1);
  bool kept = config_read8(function, device->window + CAPABILITY_BAR) == device->common.bar &&
              config_read32(function, device->window + CAPABILITY_OFFSET) == device->common.offset + COMMON_STATUS &&
              config_read32(function, device->window + CAPABILITY_SIZE) == 1;
  check(function, "CFG-1", "bar, offset and length of the window are writable", kept);
  check(function, "CFG-1", "the window's other fields are read-only", config_read32(function, device->window) == head);
}

static void check_widths(struct virtio_device *device) {
  const struct pci_function *function = device->function;
  uint8_t bar = device->common.bar;
  uint32_t base = device->common.offset;
  common_write32(device, COMMON_DEVICE_FEATURE_SELECT, 1);
  window_select(device, bar, base + COMMON_DEVICE_FEATURE, 4);
  bool wide = window_read(device) == common_read32(device, COMMON_DEVICE_FEATURE);
  window_select(device, bar, base + COMMON_QUEUE_COUNT, 2);
  bool half = (window_read(device) & 0xffff) == common_read16(device, COMMON_QUEUE_COUNT);
  common_write8(device, COMMON_STATUS, STATUS_ACKNOWLEDGE);
  window_select(device, bar, base + COMMON_STATUS, 1);
  bool narrow = (window_read(device) & 0xff) == STATUS_ACKNOWLEDGE;
  check(function, "CFG-2", "1-, 2- and 4-byte reads through the window see the registers", wide && half && narrow);
  window_write(device, 0);
  check_equal(function, "CFG-2", "a 1-byte write through the window arrives", virtio_status(device), 0);
}

static void check_refusals(struct virtio_device *device) {
  const struct pci_function *function = device->function;
  uint8_t bar = device->common.bar;
  uint32_t count = device->common.offset + COMMON_QUEUE_COUNT;
  static const struct {
    const char *text;
    uint8_t bar;
    uint32_t offset, length;
  } cases[] = {
      {"another BAR reads 0", BAD_BAR, 0, 4},
      {"a length of 3 reads 0", 0, 0, 3},
      {"a length of 0 reads 0", 0, 0, 0},
      {"a length of 8 reads 0", 0, 0, 8},
      {"a misaligned offset reads 0", 0, 1, 2},
      {"an offset outside the BAR reads 0", 0, FAR_OFFSET, 4},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    window_select(device, cases[i].bar == BAD_BAR ? BAD_BAR : bar,
                  cases[i].offset == FAR_OFFSET ? FAR_OFFSET : count + cases[i].offset, cases[i].length);
    window_write(device, 0xffffffff);
    check_equal(function, "CFG-3", cases[i].text, window_read(device), 0);
  }
  check_equal(function, "CFG-3", "and nothing was changed by writing there", virtio_status(device), 0);
}

void check_window(struct virtio_device *device) {
  if (!device->window) {
    if (options.strict) check(device->function, "CFG-1", "there is a PCI-cfg capability", false);
    return;
  }
  virtio_reset(device);
  check_writable(device);
  check_widths(device);
  if (options.strict) check_refusals(device);
  window_select(device, 0, 0, 0);
}
