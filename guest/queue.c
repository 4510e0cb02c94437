/* The split virtqueue from the driver's side: virtio 1.2, section 2.7. */
#include "interrupts.h"
#include "memory.h"
#include "virtio.h"

#define DESCRIPTOR_SIZE 16
#define DESCRIPTOR_NEXT 1
#define DESCRIPTOR_WRITE 2
#define DESCRIPTOR_INDIRECT 4
#define AVAILABLE_NO_INTERRUPT 1
#define RING_INDEX 2
#define RING_ENTRIES 4
#define USED_ENTRY_SIZE 8

/* Where the rings lie in their page; each start satisfies the alignment of section 2.7 (16, 2, 4). */
#define AVAILABLE_AT (QUEUE_SIZE_LIMIT * DESCRIPTOR_SIZE)
#define USED_AT (AVAILABLE_AT + 1024)

struct descriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags;
  uint16_t next;
};

uint64_t samples[SAMPLE_LIMIT];

static void write_address(struct virtio_device *device, uint32_t offset, uint64_t address) {
  common_write32(device, offset, (uint32_t)address);
  common_write32(device, offset + 4, (uint32_t)(address >> 32));
}

bool queue_enable(struct virtio_device *device, uint16_t index) {
  common_write16(device, COMMON_QUEUE_SELECT, index);
  uint16_t size = common_read16(device, COMMON_QUEUE_SIZE);
  if (!size) return true; /* the device does without this queue */
  if (size > QUEUE_SIZE_LIMIT) size = QUEUE_SIZE_LIMIT;
  struct queue *queue = &device->queues[index];
  uint64_t page = (uint64_t)take_page();
  *queue = (struct queue){
      .device = device,
      .index = index,
      .size = size,
      .vector = NO_VECTOR,
      .descriptors = page,
      .available = page + AVAILABLE_AT,
      .used = page + USED_AT,
  };
  if (device->vectors) {
    uint32_t last = device->vectors < VECTOR_LIMIT ? device->vectors - 1 : VECTOR_LIMIT - 1;
    queue->vector = (uint16_t)(index + 1u <= last ? index + 1u : last);
    common_write16(device, COMMON_QUEUE_VECTOR, queue->vector);
  }
  common_write16(device, COMMON_QUEUE_SIZE, size);
  write_address(device, COMMON_QUEUE_DESCRIPTORS, queue->descriptors);
  write_address(device, COMMON_QUEUE_AVAILABLE, queue->available);
  write_address(device, COMMON_QUEUE_USED, queue->used);
  queue->doorbell = device->notify.address +
                    (uint64_t)common_read16(device, COMMON_QUEUE_NOTIFY_OFFSET) * device->notify_multiplier;
  common_write16(device, COMMON_QUEUE_ENABLE, 1);
  return common_read16(device, COMMON_QUEUE_ENABLE) == 1;
}

static void fill(struct descriptor *table, uint32_t first, const struct buffer *buffers, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    bool last = i + 1 == count;
    table[first + i] = (struct descriptor){
        .address = (uint64_t)buffers[i].data,
        .length = buffers[i].length,
        .flags = (uint16_t)((buffers[i].writable ? DESCRIPTOR_WRITE : 0) | (last ? 0 : DESCRIPTOR_NEXT)),
        .next = last ? 0 : (uint16_t)(first + i + 1),
    };
  }
}

static void make_available(struct queue *queue, uint16_t head) {
  write16(queue->available + RING_ENTRIES + 2u * (queue->next_available % queue->size), head);
  queue->next_available++;
  /* x86 keeps stores in order, so that the index is never seen before the entry. */
  write16(queue->available + RING_INDEX, queue->next_available);
  full_barrier();
}

void queue_submit(struct queue *queue, uint32_t slot, const struct buffer *buffers, uint32_t count) {
  uint32_t first = slot * CHAIN_LENGTH;
  fill((struct descriptor *)queue->descriptors, first, buffers, count);
  make_available(queue, (uint16_t)first);
}

void queue_submit_indirect(struct queue *queue, uint32_t slot, const struct buffer *buffers, uint32_t count,
                           void *table) {
  uint32_t first = slot * CHAIN_LENGTH;
  fill(table, 0, buffers, count);
  ((struct descriptor *)queue->descriptors)[first] = (struct descriptor){
      .address = (uint64_t)table,
      .length = count * DESCRIPTOR_SIZE,
      .flags = DESCRIPTOR_INDIRECT,
  };
  make_available(queue, (uint16_t)first);
}

void queue_ring(struct queue *queue) {
  queue->device->doorbells++;
  queue->rung_at = read_time_stamp();
  write16(queue->doorbell, queue->index);
}

uint16_t queue_ended(const struct queue *queue) {
  return (uint16_t)(read16(queue->used + RING_INDEX) - queue->taken);
}

bool queue_take(struct queue *queue, uint32_t *slot, uint32_t *length) {
  if (!queue_ended(queue)) return false;
  uint64_t entry = queue->used + RING_ENTRIES + (uint64_t)USED_ENTRY_SIZE * (queue->taken % queue->size);
  *slot = read32(entry) / CHAIN_LENGTH;
  *length = read32(entry + 4);
  queue->taken++;
  return true;
}

bool queue_wait(struct queue *queue, uint16_t count) {
  if (queue_ended(queue) >= count) return true;
  patience_start();
  for (;;) {
    disable_interrupts();
    if (queue_ended(queue) >= count || deadline_passed()) break;
    enable_interrupts_and_halt();
  }
  enable_interrupts();
  return patience_end(queue_ended(queue) >= count);
}

bool queue_poll(struct queue *queue, uint16_t count) {
  patience_start();
  while (queue_ended(queue) < count && !deadline_passed()) relax();
  return patience_end(queue_ended(queue) >= count);
}

uint32_t queue_interrupts(const struct queue *queue) {
  return queue->vector < MESSAGE_COUNT ? messages[queue->vector].count : 0;
}

void queue_sample_latency(struct queue *queue) {
  struct virtio_device *device = queue->device;
  if (device->sample_count == SAMPLE_LIMIT || queue->vector >= MESSAGE_COUNT) return;
  /* A counter that was set back (the processor moved to another core of the host) measures nothing. */
  uint64_t arrived = messages[queue->vector].time_stamp;
  if (arrived >= queue->rung_at) samples[device->sample_count++] = arrived - queue->rung_at;
}

void queue_set_interrupt_suppression(struct queue *queue, bool suppressed) {
  write16(queue->available, suppressed ? AVAILABLE_NO_INTERRUPT : 0);
  full_barrier();
}

void queue_set_used_event(struct queue *queue, uint16_t event) {
  write16(queue->available + RING_ENTRIES + 2u * queue->size, event);
  full_barrier();
}

uint16_t queue_available_event(const struct queue *queue) {
  return read16(queue->used + RING_ENTRIES + (uint64_t)USED_ENTRY_SIZE * queue->size);
}
