/* A device's way up and down, with nothing in its queues. */
#include "interrupts.h"
#include "memory.h"
#include "options.h"
#include "report.h"
#include "virtio_checks.h"

#define QUIET_MICROSECONDS 2000
#define LAST_DOORBELL_BYTES 4

bool start_device(struct virtio_device *device, uint64_t features, uint16_t queue_count) {
  if (virtio_start(device, features, queue_count, true)) return true;
  return check_equal(device->function, "ACT-1", "the device can be started", virtio_status(device), STATUS_RUNNING);
}

static bool running(const struct virtio_device *device) { return virtio_status(device) == STATUS_RUNNING; }

/* Doorbells that stand for nothing: the device must not care. */
static void ring_nonsense(struct virtio_device *device) {
  uint32_t last = (device->notify.length & ~3u) - LAST_DOORBELL_BYTES;
  write16(device->notify.address + last, 0xffff);
  write32(device->notify.address + last, 0xffffffff);
  write16(device->notify.address, device->queue_count);
  device->doorbells += 3;
}

static void check_empty_activation(struct virtio_device *device) {
  virtio_start(device, 0, 0, false);
  check(device->function, "ACT-4", "DRIVER_OK without a queue does no harm",
        !(virtio_status(device) & STATUS_FAILED) && virtio_reset(device));
}

static void check_activation(struct virtio_device *device) {
  const struct pci_function *function = device->function;
  bool started = virtio_start(device, 0, QUEUE_LIMIT, true);
  if (!check(function, "ACT-1", "the device starts with its queues enabled and MSI-X on", started)) return;
  for (uint16_t i = 0; i < device->queue_count && i < QUEUE_LIMIT; i++)
    if (device->queues[i].size) queue_ring(&device->queues[i]);
  sleep_microseconds(QUIET_MICROSECONDS);
  check(function, "NTF-3", "doorbells of empty queues do no harm", running(device));
  if (!options.strict) return;
  ring_nonsense(device);
  sleep_microseconds(QUIET_MICROSECONDS);
  check(function, "NTF-3", "doorbells of queues that do not exist do no harm", running(device));
  common_write16(device, COMMON_QUEUE_SELECT, 0);
  uint16_t size = common_read16(device, COMMON_QUEUE_SIZE);
  common_write16(device, COMMON_QUEUE_SIZE, size / 2 ? size / 2 : 2);
  check_equal(function, "ROB-4", "queue_size cannot be changed while the device runs",
              common_read16(device, COMMON_QUEUE_SIZE), size);
}

static void check_reset(struct virtio_device *device) {
  const struct pci_function *function = device->function;
  check(function, "RST-1", "a running device can be reset", virtio_reset(device));
  bool idle = common_read16(device, COMMON_CONFIG_VECTOR) == NO_VECTOR;
  if (options.strict) idle &= virtio_driver_features(device) == 0;
  for (uint16_t i = 0; i < device->queue_count && i < QUEUE_LIMIT; i++) {
    common_write16(device, COMMON_QUEUE_SELECT, i);
    idle &= common_read16(device, COMMON_QUEUE_ENABLE) == 0 && common_read16(device, COMMON_QUEUE_VECTOR) == NO_VECTOR;
  }
  check(function, "RST-1", "and forgets queues, vectors and features", idle);
  if (options.strict) {
    ring_nonsense(device);
    write16(device->notify.address, 0);
    device->doorbells++;
    check_equal(function, "NTF-3", "doorbells after a reset do no harm", virtio_status(device), 0);
  }
  bool again = virtio_start(device, 0, QUEUE_LIMIT, true);
  check(function, "RST-1", "and can be started again", again);
  virtio_reset(device);
  msix_disable(device);
}

void check_life(struct virtio_device *device) {
  check_empty_activation(device);
  check_activation(device);
  check_reset(device);
}
