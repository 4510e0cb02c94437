/* Entropy device: virtio 1.2, section 5.4. */
#include "interrupts.h"
#include "report.h"
#include "virtio_checks.h"

#define REQUEST_LENGTH 64
#define REQUEST_COUNT 8
#define SMALLEST_QUEUE (2 * CHAIN_LENGTH)

static uint8_t bytes[REQUEST_LENGTH * (QUEUE_SIZE_LIMIT / CHAIN_LENGTH)];

static void submit(struct queue *queue, uint32_t slot) {
  struct buffer buffer = {bytes + slot * REQUEST_LENGTH, REQUEST_LENGTH, true};
  queue_submit(queue, slot, &buffer, 1);
}

const struct repeatable entropy_request = {.queue = 0, .submit = submit};

static bool same(const uint8_t *left, const uint8_t *right, uint32_t length) {
  for (uint32_t i = 0; i < length; i++)
    if (left[i] != right[i]) return false;
  return true;
}

static uint32_t request_bytes(struct queue *queue, uint32_t slot) {
  uint32_t before = queue_interrupts(queue), ended = 0, length = 0;
  submit(queue, slot);
  queue_ring(queue);
  if (wait_for_message(queue->vector, before + 1)) queue_sample_latency(queue);
  queue_poll(queue, 1);
  return queue_take(queue, &ended, &length) && ended == slot ? length : 0;
}

void drive_entropy(struct virtio_device *device) {
  const struct pci_function *function = device->function;
  if (!start_device(device, 0, 1)) return;
  struct queue *queue = &device->queues[0];
  if (!check(function, "-", "entropy: it has a queue", queue->size != 0)) return;
  if (queue->size < SMALLEST_QUEUE) {
    skip(function, "-", "entropy: requests", "its queue is too small for this driver");
    return;
  }
  uint32_t first = request_bytes(queue, 0), second = request_bytes(queue, 1);
  check(function, "-", "entropy: requests return 1 to 64 bytes",
        first && first <= REQUEST_LENGTH && second && second <= REQUEST_LENGTH);
  uint32_t shorter = first < second ? first : second;
  check(function, "-", "entropy: two requests return different bytes",
        shorter && !same(bytes, bytes + REQUEST_LENGTH, shorter));
  bool all = true;
  for (uint32_t i = 0; i < REQUEST_COUNT; i++) all &= request_bytes(queue, i % (queue->size / CHAIN_LENGTH)) != 0;
  check(function, "-", "entropy: eight more requests are served", all);
  check_delivery(device, &entropy_request);
}
