/* The checks of a virtio function, from what can be read to what can only be seen while it works. */
#pragma once

#include "virtio.h"

/* Identity, capabilities, places of structures. */
void check_virtio_layout(struct virtio_device *device);

/* The PCI configuration access window. */
void check_window(struct virtio_device *device);

/* Status, features, queue registers, vectors: everything before a queue runs. Leaves the device reset. */
void check_registers(struct virtio_device *device);

/* MSI-X table and pending bits at rest. */
void check_table(struct virtio_device *device);

/* Activation, doorbells that mean nothing, reset of a running device. */
void check_life(struct virtio_device *device);

/* A request that can be repeated at will, for checks that any device with such a request must pass. */
struct repeatable {
  uint64_t features; /* to be negotiated for it */
  uint16_t queue;
  void (*submit)(struct queue *queue, uint32_t slot);
};

extern const struct repeatable entropy_request;
extern const struct repeatable block_request;

/* Doorbell to completion to interrupt: masks, routes, suppression, windows, resets. Leaves the device reset. */
void check_delivery(struct virtio_device *device, const struct repeatable *request);

/* One request: doorbell, completion, exactly one interrupt; its latency is noted. */
void check_single(struct queue *queue, const struct repeatable *request);

/* The device's BAR moved away and back. Leaves the device reset. */
void check_move(struct virtio_device *device, const struct repeatable *request);

/* Activation with all queues and MSI-X, as the device-specific parts begin; reports when a step was refused. */
bool start_device(struct virtio_device *device, uint64_t features, uint16_t queue_count);

/* The device-specific parts. */
void drive_entropy(struct virtio_device *device);
void drive_block(struct virtio_device *device);
void drive_console(struct virtio_device *device);

/* Everything, for one function. */
void examine_virtio(struct pci_function *function);
