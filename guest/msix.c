/* MSI-X from the driver's side. Entry i delivers message i unless it is programmed otherwise. */
#include "interrupts.h"
#include "virtio.h"

static uint64_t entry_address(const struct virtio_device *device, uint32_t entry) {
  return device->table + (uint64_t)entry * MSIX_ENTRY_SIZE;
}

static void change_control(struct virtio_device *device, uint16_t set, uint16_t clear) {
  if (!device->msix) return;
  uint16_t control = config_read16(device->function, device->msix + MSIX_CONTROL);
  config_write16(device->function, device->msix + MSIX_CONTROL, (uint16_t)((control & ~clear) | set));
}

void msix_program(struct virtio_device *device, uint32_t entry, uint32_t message) {
  uint64_t address = entry_address(device, entry);
  write32(address + MSIX_ENTRY_ADDRESS, (uint32_t)message_address());
  write32(address + MSIX_ENTRY_ADDRESS + 4, 0);
  write32(address + MSIX_ENTRY_DATA, message_data(message));
  write32(address + MSIX_ENTRY_CONTROL, 0);
}

void msix_enable(struct virtio_device *device) {
  if (!device->msix) return;
  /* All masked while the table is being filled: no half-written entry is ever used. */
  change_control(device, MSIX_CONTROL_ENABLE | MSIX_CONTROL_FUNCTION_MASK, 0);
  for (uint32_t entry = 0; entry < device->vectors && entry < VECTOR_LIMIT; entry++) msix_program(device, entry, entry);
  common_write16(device, COMMON_CONFIG_VECTOR, 0);
  change_control(device, 0, MSIX_CONTROL_FUNCTION_MASK);
}

void msix_disable(struct virtio_device *device) {
  change_control(device, 0, MSIX_CONTROL_ENABLE | MSIX_CONTROL_FUNCTION_MASK);
}

void msix_mask_entry(struct virtio_device *device, uint32_t entry, bool masked) {
  write32(entry_address(device, entry) + MSIX_ENTRY_CONTROL, masked ? MSIX_ENTRY_MASKED : 0);
}

void msix_mask_function(struct virtio_device *device, bool masked) {
  change_control(device, masked ? MSIX_CONTROL_FUNCTION_MASK : 0, masked ? 0 : MSIX_CONTROL_FUNCTION_MASK);
}

bool msix_is_pending(struct virtio_device *device, uint32_t entry) {
  return read32(device->pending + entry / 32 * 4) >> (entry % 32) & 1;
}
