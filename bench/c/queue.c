/*
 * The C twin of bench/queue_bench.ts: the device's half of a split virtqueue with the checks that our queue makes, on the same
 * ring in the same memory. A shared library: the bench gives it the memory, and calls `serve` for a batch at a time.
 *
 * Source: virtio 1.2, section 2.7.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define DESCRIPTOR_NEXT 1
#define DESCRIPTOR_WRITE 2
#define DESCRIPTOR_INDIRECT 4
#define CHAIN_BUFFERS 256
#define CHAIN_LENGTH_MAXIMUM (64u << 20)
#define NO_INTERRUPT 1
#define QUEUE_SIZE_MAXIMUM 1024

struct descriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags, next;
};

struct used_entry {
  uint32_t head, written;
};

struct chain {
  uint16_t head;
  bool in_flight;
  uint32_t count, readable_count, readable_length, writable_length;
  uint64_t offsets[CHAIN_BUFFERS];
  uint32_t lengths[CHAIN_BUFFERS];
};

static struct {
  uint8_t *memory;
  uint64_t memory_size;
  uint32_t size;
  struct descriptor *descriptors;
  _Atomic uint16_t *available; /* flags, index, then the ring and used_event */
  _Atomic uint16_t *used;      /* flags, index */
  struct used_entry *entries;
  uint16_t next, next_used, published, seen;
  struct chain chains[QUEUE_SIZE_MAXIMUM];
} queue;

void queue_start(uint8_t *memory, uint64_t memory_size, uint32_t size, uint64_t descriptors, uint64_t available, uint64_t used) {
  queue.memory = memory;
  queue.memory_size = memory_size;
  queue.size = size;
  queue.descriptors = (struct descriptor *)(memory + descriptors);
  queue.available = (_Atomic uint16_t *)(memory + available);
  queue.used = (_Atomic uint16_t *)(memory + used);
  queue.entries = (struct used_entry *)(memory + used + 4);
  queue.next = queue.next_used = queue.published = queue.seen = 0;
  for (uint32_t i = 0; i < size; i++) queue.chains[i].in_flight = false;
}

static bool is_memory(uint64_t address, uint64_t length) {
  return address <= queue.memory_size && length <= queue.memory_size - address;
}

static struct chain *pop(void) {
  if (queue.next == queue.seen) {
    uint16_t index = atomic_load(&queue.available[1]);
    if (index == queue.next) {
      atomic_store(&queue.used[2 + 4 * queue.size], queue.next); /* avail_event */
      index = atomic_load(&queue.available[1]);
      if (index == queue.next) return 0;
    }
    if ((uint16_t)(index - queue.next) > queue.size) return 0;
    queue.seen = index;
  }
  uint16_t head = atomic_load_explicit(&queue.available[2 + (queue.next & (queue.size - 1))], memory_order_relaxed);
  if (head >= queue.size) return 0;
  struct chain *chain = &queue.chains[head];
  if (chain->in_flight) return 0;
  chain->head = head;
  chain->count = chain->readable_count = chain->readable_length = chain->writable_length = 0;
  volatile struct descriptor *table = queue.descriptors;
  uint32_t limit = queue.size, index = head;
  bool in_indirect = false;
  for (;;) {
    if (index >= limit) return 0;
    struct descriptor descriptor = {table[index].address, table[index].length, table[index].flags, table[index].next};
    if (descriptor.length == 0 || !is_memory(descriptor.address, descriptor.length)) return 0;
    if (descriptor.flags & DESCRIPTOR_INDIRECT) {
      if (in_indirect || descriptor.flags & DESCRIPTOR_NEXT || descriptor.length % sizeof descriptor) return 0;
      in_indirect = true;
      table = (struct descriptor *)(queue.memory + descriptor.address);
      limit = descriptor.length / sizeof descriptor;
      index = 0;
      continue;
    }
    bool writable = descriptor.flags & DESCRIPTOR_WRITE;
    if (chain->count == queue.size || chain->count == CHAIN_BUFFERS) return 0;
    if (!writable && chain->writable_length > 0) return 0;
    if ((uint64_t)chain->readable_length + chain->writable_length + descriptor.length > CHAIN_LENGTH_MAXIMUM) return 0;
    chain->offsets[chain->count] = descriptor.address;
    chain->lengths[chain->count] = descriptor.length;
    chain->count++;
    if (writable) {
      chain->writable_length += descriptor.length;
    } else {
      chain->readable_count = chain->count;
      chain->readable_length += descriptor.length;
    }
    if (!(descriptor.flags & DESCRIPTOR_NEXT)) break;
    index = descriptor.next;
  }
  queue.next++;
  chain->in_flight = true;
  return chain;
}

static void push(struct chain *chain, uint32_t written) {
  if (!chain->in_flight) return;
  chain->in_flight = false;
  volatile struct used_entry *entry = &queue.entries[queue.next_used & (queue.size - 1)];
  entry->head = chain->head;
  entry->written = written < chain->writable_length ? written : chain->writable_length;
  queue.next_used++;
}

static bool settle(void) {
  uint16_t old = queue.published, now = queue.next_used;
  if (old == now) return false;
  queue.published = now;
  atomic_store(&queue.used[1], now);
  uint16_t event = atomic_load(&queue.available[2 + queue.size]);
  return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

/* The driver makes `batch` chains available, the device takes and returns them; `batches` times. Returns the chains served. */
uint32_t queue_serve(uint32_t batches, uint32_t batch, uint32_t written) {
  uint32_t served = 0;
  for (uint32_t i = 0; i < batches; i++) {
    uint16_t index = atomic_load_explicit(&queue.available[1], memory_order_relaxed);
    atomic_store(&queue.available[1], (uint16_t)(index + batch));
    for (struct chain *chain; (chain = pop()) != 0; served++) push(chain, written);
    settle();
  }
  return served;
}
