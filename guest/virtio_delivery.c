/* From doorbell to interrupt: what can only be seen with a request that the device answers. */
#include "interrupts.h"
#include "memory.h"
#include "options.h"
#include "report.h"
#include "virtio_checks.h"
#include "virtio_window.h"

/* Long enough for an interrupt that should not come to have come. */
#define QUIET_MICROSECONDS 5000
#define OTHER_MESSAGE (MESSAGE_COUNT - 1)
#define DOORBELL_WIDTH 2

static void drain(struct queue *queue) {
  uint32_t slot, length;
  while (queue_take(queue, &slot, &length)) continue;
}

/* Submits one request and rings; true when it has ended, by polling, and nothing else has happened for a while. */
static bool run_quietly(struct queue *queue, const struct repeatable *request) {
  request->submit(queue, 0);
  queue_ring(queue);
  bool ended = queue_poll(queue, 1);
  sleep_microseconds(QUIET_MICROSECONDS);
  return ended;
}

/* What follows a completion follows it a moment later, and a busy host makes moments long. */
static bool becomes_pending(struct virtio_device *device, uint32_t entry) {
  patience_start();
  while (!msix_is_pending(device, entry) && !deadline_passed()) relax();
  return patience_end(msix_is_pending(device, entry));
}

static uint8_t read_isr(struct virtio_device *device) {
  uint8_t value;
  patience_start();
  while (!(value = read8(device->isr.address)) && !deadline_passed()) relax();
  patience_end(value != 0);
  return value;
}

static uint16_t awaited_available_event(struct queue *queue) {
  patience_start();
  while (queue_available_event(queue) != queue->next_available && !deadline_passed()) relax();
  return queue_available_event(queue);
}

void check_single(struct queue *queue, const struct repeatable *request) {
  const struct pci_function *function = queue->device->function;
  uint32_t before = queue_interrupts(queue);
  request->submit(queue, 0);
  queue_ring(queue);
  bool came = wait_for_message(queue->vector, before + 1);
  if (came) queue_sample_latency(queue);
  uint64_t ended = queue_ended(queue), interrupts = queue_interrupts(queue) - before;
  /* The specification permits needless interrupts; this project does not. */
  bool counted = options.strict ? interrupts == 1 : interrupts >= 1;
  if (!check(function, "NTF-1", "one doorbell, one completion, one interrupt", came && ended == 1 && counted))
    report("note\t%f: %d completions and %d interrupts for one doorbell", function, ended, interrupts);
  queue_poll(queue, 1);
  drain(queue);
}

static void check_masks(struct queue *queue, const struct repeatable *request) {
  struct virtio_device *device = queue->device;
  const struct pci_function *function = device->function;
  for (int whole = 0; whole < 2; whole++) {
    uint32_t before = queue_interrupts(queue);
    whole ? msix_mask_function(device, true) : msix_mask_entry(device, queue->vector, true);
    bool ended = run_quietly(queue, request);
    bool pending = becomes_pending(device, queue->vector);
    check(function, "MSI-2",
          whole ? "while the function is masked an interrupt waits as a pending bit"
                : "while its entry is masked an interrupt waits as a pending bit",
          ended && pending && queue_interrupts(queue) == before);
    whole ? msix_mask_function(device, false) : msix_mask_entry(device, queue->vector, false);
    wait_for_message(queue->vector, before + 1);
    sleep_microseconds(QUIET_MICROSECONDS);
    check(function, "MSI-3", "unmasking delivers it once and clears the pending bit",
          queue_interrupts(queue) == before + 1 && !msix_is_pending(device, queue->vector));
    drain(queue);
  }
}

static void check_route(struct queue *queue, const struct repeatable *request) {
  uint32_t before = queue_interrupts(queue), other = messages[OTHER_MESSAGE].count;
  msix_program(queue->device, queue->vector, OTHER_MESSAGE);
  request->submit(queue, 0);
  queue_ring(queue);
  bool came = wait_for_message(OTHER_MESSAGE, other + 1);
  check(queue->device->function, "MSI-6", "rewriting an unmasked entry re-routes its interrupts",
        came && queue_interrupts(queue) == before);
  msix_program(queue->device, queue->vector, queue->vector);
  queue_poll(queue, 1);
  drain(queue);
}

/* Without EVENT_IDX: the flag of the available ring. */
static void check_suppression(struct queue *queue, const struct repeatable *request) {
  uint32_t before = queue_interrupts(queue);
  queue_set_interrupt_suppression(queue, true);
  bool ended = run_quietly(queue, request);
  check(queue->device->function, "NTF-4", "no interrupt while the driver asks for none",
        ended && queue_interrupts(queue) == before);
  queue_set_interrupt_suppression(queue, false);
  drain(queue);
}

/* A doorbell is an address: whatever is written there, in any width, rings it. */
static void check_doorbell_widths(struct queue *queue, const struct repeatable *request) {
  uint32_t before = queue_interrupts(queue);
  request->submit(queue, 0);
  write8(queue->doorbell, (uint8_t)queue->index);
  bool narrow = wait_for_message(queue->vector, before + 1) && queue_poll(queue, 1);
  drain(queue);
  request->submit(queue, 0);
  write32(queue->doorbell, queue->index);
  bool wide = wait_for_message(queue->vector, before + 2) && queue_poll(queue, 1);
  drain(queue);
  queue->device->doorbells += 2;
  check(queue->device->function, "NTF-1", "doorbells of 1 and 4 bytes notify as well", narrow && wide);
}

static void check_doorbell_window(struct queue *queue, const struct repeatable *request) {
  struct virtio_device *device = queue->device;
  if (!device->window) return;
  uint32_t before = queue_interrupts(queue);
  request->submit(queue, 0);
  window_select(device, device->notify.bar,
                device->notify.offset + (uint32_t)(queue->doorbell - device->notify.address), DOORBELL_WIDTH);
  window_write(device, queue->index);
  device->doorbells++;
  bool came = wait_for_message(queue->vector, before + 1);
  check(device->function, "CFG-4", "a doorbell through the window notifies the queue", came);
  window_select(device, 0, 0, 0);
  queue_poll(queue, 1);
  drain(queue);
}

static void check_bus_master(struct queue *queue, const struct repeatable *request) {
  const struct pci_function *function = queue->device->function;
  uint32_t before = queue_interrupts(queue);
  uint16_t command = config_read16(function, PCI_COMMAND);
  config_write16(function, PCI_COMMAND, command & (uint16_t)~PCI_COMMAND_BUS_MASTER);
  request->submit(queue, 0);
  queue_ring(queue);
  sleep_microseconds(QUIET_MICROSECONDS);
  check(function, "BUS-3", "no descriptor is read while Bus Master is clear", queue_ended(queue) == 0);
  config_write16(function, PCI_COMMAND, command);
  queue_ring(queue);
  bool came = wait_for_message(queue->vector, before + 1);
  check(function, "BUS-3", "and the request is served once it is set", came && queue_poll(queue, 1));
  drain(queue);
}

static void check_early_kick(struct virtio_device *device, const struct repeatable *request) {
  const struct pci_function *function = device->function;
  msix_disable(device);
  if (!virtio_negotiate(device, request->features)) return;
  msix_enable(device);
  for (uint16_t i = 0; i <= request->queue; i++) queue_enable(device, i);
  struct queue *queue = &device->queues[request->queue];
  uint32_t before = queue_interrupts(queue);
  request->submit(queue, 0);
  queue_ring(queue);
  sleep_microseconds(QUIET_MICROSECONDS);
  check(function, "NTF-3", "nothing happens before DRIVER_OK", queue_ended(queue) == 0);
  virtio_set_status(device, STATUS_RUNNING);
  bool came = wait_for_message(queue->vector, before + 1);
  check(function, "ACT-6", "a doorbell rung before DRIVER_OK is not lost", came && queue_poll(queue, 1));
}

static void check_event_index(struct virtio_device *device, const struct repeatable *request) {
  const struct pci_function *function = device->function;
  if (!(device->offered & FEATURE_EVENT_INDEX)) return;
  if (!virtio_start(device, request->features | FEATURE_EVENT_INDEX, request->queue + 1, true)) return;
  struct queue *queue = &device->queues[request->queue];
  if (queue->size < 3 * CHAIN_LENGTH) return;
  /* A device may interrupt at its first completion, having nothing to compare with. */
  check_single(queue, request);
  uint32_t before = queue_interrupts(queue);
  queue_set_used_event(queue, queue->taken + 2); /* the third completion from here is the next to interrupt */
  bool ended = run_quietly(queue, request);
  check(function, "NTF-4", "EVENT_IDX: no interrupt before used_event", ended && queue_interrupts(queue) == before);
  check_equal(function, "NTF-4", "EVENT_IDX: an idle queue asks for the next doorbell",
              awaited_available_event(queue), queue->next_available);
  request->submit(queue, 1);
  request->submit(queue, 2);
  queue_ring(queue);
  bool came = wait_for_message(queue->vector, before + 1);
  check(function, "NTF-4", "EVENT_IDX: an interrupt at used_event", came && queue_poll(queue, 3));
}

/* MSI-X off: the driver finds out by the ISR. Its line is masked at both interrupt controllers. */
static void check_isr(struct virtio_device *device, const struct repeatable *request) {
  const struct pci_function *function = device->function;
  if (!virtio_start(device, request->features, request->queue + 1, false)) return;
  struct queue *queue = &device->queues[request->queue];
  read8(device->isr.address);
  bool ended = run_quietly(queue, request);
  uint8_t first = read_isr(device);
  uint8_t second = read8(device->isr.address);
  check(function, "ISR-2", "without MSI-X a completion sets the queue bit", ended && first == 1);
  check_equal(function, "ISR-1", "reading the ISR clears it", second, 0);
}

static void check_queue_reset(struct virtio_device *device, const struct repeatable *request) {
  const struct pci_function *function = device->function;
  if (!(device->offered & FEATURE_RING_RESET) || device->common.length < COMMON_QUEUE_RESET + 2) return;
  if (!virtio_start(device, request->features | FEATURE_RING_RESET, request->queue + 1, true)) return;
  struct queue *queue = &device->queues[request->queue];
  check_single(queue, request);
  common_write16(device, COMMON_QUEUE_SELECT, queue->index);
  common_write16(device, COMMON_QUEUE_RESET, 1);
  patience_start();
  while (common_read16(device, COMMON_QUEUE_RESET) && !deadline_passed()) relax();
  check(function, "COM-10", "a queue reset ends: queue_reset and queue_enable read 0",
        common_read16(device, COMMON_QUEUE_RESET) == 0 && common_read16(device, COMMON_QUEUE_ENABLE) == 0);
  check(function, "COM-10", "and the queue can be enabled anew while the device runs",
        queue_enable(device, queue->index) && virtio_status(device) == STATUS_RUNNING);
  check_single(queue, request);
}

void check_delivery(struct virtio_device *device, const struct repeatable *request) {
  if (!device->msix) {
    skip(device->function, "MSI-2", "delivery of interrupts", "the device has no MSI-X");
    return;
  }
  if (!start_device(device, request->features, request->queue + 1)) return;
  struct queue *queue = &device->queues[request->queue];
  check_single(queue, request);
  check_masks(queue, request);
  check_route(queue, request);
  check_suppression(queue, request);
  check_doorbell_window(queue, request);
  if (options.strict) check_doorbell_widths(queue, request);
  if (options.strict) check_bus_master(queue, request);
  check_event_index(device, request);
  check_queue_reset(device, request);
  if (options.strict) check_early_kick(device, request);
  check_isr(device, request);
  check_move(device, request);
  virtio_reset(device);
  msix_disable(device);
}
