/* Console device: virtio 1.2, section 5.3; without MULTIPORT, so that queue 1 is the output of port 0. */
#include "interrupts.h"
#include "memory.h"
#include "report.h"
#include "virtio_checks.h"

#define FEATURE_SIZE (1ull << 0)
#define CONFIG_COLUMNS 0
#define CONFIG_ROWS 2
#define RECEIVE_QUEUE 0
#define TRANSMIT_QUEUE 1

static const char greeting[] = "denovisor: the embedded guest says hello\r\n";

void drive_console(struct virtio_device *device) {
  const struct pci_function *function = device->function;
  if (!start_device(device, FEATURE_SIZE, TRANSMIT_QUEUE + 1)) return;
  if (device->accepted & FEATURE_SIZE && device->configuration.present)
    report("device\t%f\tsize\t%dx%d", function, (uint64_t)read16(device->configuration.address + CONFIG_COLUMNS),
           (uint64_t)read16(device->configuration.address + CONFIG_ROWS));
  struct queue *receive = &device->queues[RECEIVE_QUEUE], *transmit = &device->queues[TRANSMIT_QUEUE];
  if (!check(function, "-", "console: it has both queues", receive->size && transmit->size)) return;
  struct buffer input = {take_page(), PAGE_SIZE, true};
  queue_submit(receive, 0, &input, 1);
  queue_ring(receive);

  struct buffer output = {greeting, sizeof greeting - 1, false};
  uint32_t before = queue_interrupts(transmit), slot, length;
  queue_submit(transmit, 0, &output, 1);
  queue_ring(transmit);
  bool came = wait_for_message(transmit->vector, before + 1);
  if (came) queue_sample_latency(transmit);
  bool ended = queue_poll(transmit, 1) && queue_take(transmit, &slot, &length);
  check(function, "-", "console: a line is taken from the transmit queue", came && ended && slot == 0);
  virtio_reset(device);
  msix_disable(device);
}
