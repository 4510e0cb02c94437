/* A driver for the virtio-PCI transport: capabilities, negotiation, MSI-X, split virtqueues. Virtio 1.2, 4.1. */
#pragma once

#include "pci.h"

/* Common configuration: section 4.1.4.3. */
enum {
  COMMON_DEVICE_FEATURE_SELECT = 0x00,
  COMMON_DEVICE_FEATURE = 0x04,
  COMMON_DRIVER_FEATURE_SELECT = 0x08,
  COMMON_DRIVER_FEATURE = 0x0c,
  COMMON_CONFIG_VECTOR = 0x10,
  COMMON_QUEUE_COUNT = 0x12,
  COMMON_STATUS = 0x14,
  COMMON_GENERATION = 0x15,
  COMMON_QUEUE_SELECT = 0x16,
  COMMON_QUEUE_SIZE = 0x18,
  COMMON_QUEUE_VECTOR = 0x1a,
  COMMON_QUEUE_ENABLE = 0x1c,
  COMMON_QUEUE_NOTIFY_OFFSET = 0x1e,
  COMMON_QUEUE_DESCRIPTORS = 0x20,
  COMMON_QUEUE_AVAILABLE = 0x28,
  COMMON_QUEUE_USED = 0x30,
  COMMON_QUEUE_NOTIFY_DATA = 0x38,
  COMMON_QUEUE_RESET = 0x3a,
  COMMON_LENGTH = 0x38,          /* of version 1.0 */
  COMMON_LENGTH_EXTENDED = 0x40, /* of version 1.2 and 1.3 */
};

/* Device status: section 2.1. */
enum {
  STATUS_ACKNOWLEDGE = 1,
  STATUS_DRIVER = 2,
  STATUS_DRIVER_OK = 4,
  STATUS_FEATURES_OK = 8,
  STATUS_NEEDS_RESET = 64,
  STATUS_FAILED = 128,
  STATUS_RUNNING = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK,
};

/* Features that belong to the transport: section 6. */
#define FEATURE_INDIRECT (1ull << 28)
#define FEATURE_EVENT_INDEX (1ull << 29)
#define FEATURE_VERSION_1 (1ull << 32)
#define FEATURE_RING_PACKED (1ull << 34)
#define FEATURE_RING_RESET (1ull << 40)

/* virtio_pci_cap: section 4.1.4. */
enum {
  CAPABILITY_LENGTH = 2,
  CAPABILITY_TYPE = 3,
  CAPABILITY_BAR = 4,
  CAPABILITY_ID = 5,
  CAPABILITY_OFFSET = 8,
  CAPABILITY_SIZE = 12,
  CAPABILITY_NOTIFY_MULTIPLIER = 16,
  CAPABILITY_WINDOW_DATA = 16,
  CAPABILITY_OFFSET_HIGH = 16,
  CAPABILITY_SIZE_HIGH = 20,

  CAPABILITY_COMMON = 1,
  CAPABILITY_NOTIFY = 2,
  CAPABILITY_ISR = 3,
  CAPABILITY_DEVICE = 4,
  CAPABILITY_WINDOW = 5,
  CAPABILITY_SHARED_MEMORY = 8,
};

/* An entry of the MSI-X table: PCI 3.0, section 6.8.2. */
enum {
  MSIX_ENTRY_SIZE = 16,
  MSIX_ENTRY_ADDRESS = 0,
  MSIX_ENTRY_DATA = 8,
  MSIX_ENTRY_CONTROL = 12,
  MSIX_ENTRY_MASKED = 1,
};

#define DEVICE_ID_BASE 0x1040
#define DEVICE_TYPE_COUNT 0x40
#define TYPE_NETWORK 1
#define TYPE_BLOCK 2
#define TYPE_CONSOLE 3
#define TYPE_ENTROPY 4

#define NO_VECTOR 0xffff
#define QUEUE_LIMIT 8        /* queues that this driver sets up */
#define QUEUE_SIZE_LIMIT 64  /* descriptors that it uses of each: all three rings then fit in one page */
#define CHAIN_LENGTH 4       /* descriptors per request */
#define VECTOR_LIMIT 16      /* MSI-X entries that it programs */
#define SAMPLE_LIMIT 512

struct region {
  bool present;
  uint8_t bar;
  uint32_t offset;
  uint32_t length;
  uint64_t address;
};

/* One buffer of a request. */
struct buffer {
  const volatile void *data;
  uint32_t length;
  bool writable; /* by the device */
};

struct virtio_device;

struct queue {
  struct virtio_device *device;
  uint16_t index;
  uint16_t size;
  uint16_t vector; /* MSI-X entry, which is also the index of the message */
  uint64_t doorbell;
  uint64_t descriptors, available, used;
  uint16_t next_available;
  uint16_t taken; /* how many used elements have been looked at */
  uint64_t rung_at;
};

struct virtio_device {
  struct pci_function *function;
  uint16_t type;
  struct region common, notify, isr, configuration;
  uint8_t window;
  uint32_t notify_multiplier;
  uint8_t msix;
  uint32_t vectors;
  uint64_t table, pending;
  uint64_t offered, accepted;
  uint16_t queue_count;
  struct queue queues[QUEUE_LIMIT];
  uint64_t doorbells;
  uint32_t sample_count;
};

/* Time stamp ticks from a doorbell to its interrupt, of the device under examination. */
extern uint64_t samples[SAMPLE_LIMIT];

/* Finds the structures of a virtio function, maps them, lets it decode and master; false: it cannot be driven. */
bool virtio_discover(struct virtio_device *device, struct pci_function *function);

/* Registers of the common configuration. */
uint8_t common_read8(const struct virtio_device *device, uint32_t offset);
uint16_t common_read16(const struct virtio_device *device, uint32_t offset);
uint32_t common_read32(const struct virtio_device *device, uint32_t offset);
void common_write8(const struct virtio_device *device, uint32_t offset, uint8_t value);
void common_write16(const struct virtio_device *device, uint32_t offset, uint16_t value);
void common_write32(const struct virtio_device *device, uint32_t offset, uint32_t value);

uint8_t virtio_status(const struct virtio_device *device);
void virtio_set_status(const struct virtio_device *device, uint8_t status);

/* Writes 0 to the status and waits for it to read 0; false when it does not. */
bool virtio_reset(struct virtio_device *device);

uint64_t virtio_offered_features(const struct virtio_device *device);
uint64_t virtio_driver_features(const struct virtio_device *device);
void virtio_write_driver_features(const struct virtio_device *device, uint64_t features);

/* Reset to FEATURES_OK with those of `wanted` that are offered (VERSION_1 always is); false when it does not stick. */
bool virtio_negotiate(struct virtio_device *device, uint64_t wanted);

/* Gives rings to a queue and enables it. Only between FEATURES_OK and DRIVER_OK (or after a queue reset). */
bool queue_enable(struct virtio_device *device, uint16_t index);

/* The usual way up: negotiate, MSI-X (if wanted), up to `queue_count` queues, DRIVER_OK; false: a step was refused. */
bool virtio_start(struct virtio_device *device, uint64_t wanted, uint16_t queue_count, bool with_messages);

/* MSI-X. */
void msix_enable(struct virtio_device *device);
void msix_disable(struct virtio_device *device);
void msix_program(struct virtio_device *device, uint32_t entry, uint32_t message);
void msix_mask_entry(struct virtio_device *device, uint32_t entry, bool masked);
void msix_mask_function(struct virtio_device *device, bool masked);
bool msix_is_pending(struct virtio_device *device, uint32_t entry);

/* Makes a chain out of the descriptors of `slot` (slot < size / CHAIN_LENGTH) available to the device. */
void queue_submit(struct queue *queue, uint32_t slot, const struct buffer *buffers, uint32_t count);

/* The same through a table of indirect descriptors, which must stay until the request ends. */
void queue_submit_indirect(struct queue *queue, uint32_t slot, const struct buffer *buffers, uint32_t count,
                           void *table);

void queue_ring(struct queue *queue);

/* How many requests the device has ended that were not taken. */
uint16_t queue_ended(const struct queue *queue);

/* Takes one ended request; false when there is none. */
bool queue_take(struct queue *queue, uint32_t *slot, uint32_t *length);

/* Sleeps until `count` requests have ended; woken by interrupts. False when they do not in time. */
bool queue_wait(struct queue *queue, uint16_t count);

/* The same without interrupts. */
bool queue_poll(struct queue *queue, uint16_t count);

/* Interrupts that the queue's vector has delivered. */
uint32_t queue_interrupts(const struct queue *queue);

/* Notes the time from the last doorbell of the queue to its last interrupt. */
void queue_sample_latency(struct queue *queue);

/* Flags and event indices of the split virtqueue: sections 2.7.7 and 2.7.10. */
void queue_set_interrupt_suppression(struct queue *queue, bool suppressed);
void queue_set_used_event(struct queue *queue, uint16_t event);
uint16_t queue_available_event(const struct queue *queue);
