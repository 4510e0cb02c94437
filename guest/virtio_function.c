/* One virtio function from discovery to its totals. */
#include "interrupts.h"
#include "memory.h"
#include "report.h"
#include "statistics.h"
#include "virtio_checks.h"

#define LISTED_QUEUES 16

static const char *type_name(uint16_t type) {
  static const char *const names[] = {"reserved", "network", "block", "console", "entropy"};
  return type < sizeof names / sizeof names[0] ? names[type] : "other";
}

static void describe(struct virtio_device *device) {
  const struct pci_function *function = device->function;
  virtio_reset(device);
  device->queue_count = common_read16(device, COMMON_QUEUE_COUNT);
  device->offered = virtio_offered_features(device);
  report("virtio\t%f\t%d\t%s\tfeatures=0x%x queues=%d vectors=%d", function, (uint64_t)device->type,
         type_name(device->type), device->offered, (uint64_t)device->queue_count, (uint64_t)device->vectors);
  for (uint16_t i = 0; i < device->queue_count && i < LISTED_QUEUES; i++) {
    common_write16(device, COMMON_QUEUE_SELECT, i);
    report("queue\t%f\t%d\t%d", function, (uint64_t)i, (uint64_t)common_read16(device, COMMON_QUEUE_SIZE));
  }
}

static void report_totals(struct virtio_device *device) {
  uint64_t interrupts = 0;
  for (uint32_t i = 0; i < MESSAGE_COUNT; i++) interrupts += messages[i].count;
  report("count\tdoorbells\t%f\t%d", device->function, device->doorbells);
  report("count\tinterrupts\t%f\t%d", device->function, interrupts);
  report_samples("doorbell-to-interrupt", device->function, samples, device->sample_count);
}

void examine_virtio(struct pci_function *function) {
  static struct virtio_device device;
  messages_clear();
  if (!virtio_discover(&device, function)) return;
  describe(&device);
  check_virtio_layout(&device);
  check_table(&device);
  check_window(&device);
  check_registers(&device);
  check_life(&device);
  switch (device.type) {
    case TYPE_BLOCK:
      drive_block(&device);
      break;
    case TYPE_CONSOLE:
      drive_console(&device);
      break;
    case TYPE_ENTROPY:
      drive_entropy(&device);
      break;
  }
  virtio_reset(&device);
  msix_disable(&device);
  report_totals(&device);
}
