/* The PCI configuration access window, for whoever wants to reach a register through it. */
#pragma once

#include "virtio.h"

void window_select(const struct virtio_device *device, uint8_t bar, uint32_t offset, uint32_t length);
uint32_t window_read(const struct virtio_device *device);
void window_write(const struct virtio_device *device, uint32_t value);
