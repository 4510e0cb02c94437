/* Block device: virtio 1.2, section 5.2. */
#include "interrupts.h"
#include "options.h"
#include "report.h"
#include "virtio_checks.h"

#define FEATURE_READ_ONLY (1ull << 5)
#define FEATURE_BLOCK_SIZE (1ull << 6)
#define FEATURE_FLUSH (1ull << 9)
#define FEATURE_QUEUES (1ull << 12)

#define CONFIG_CAPACITY 0
#define CONFIG_BLOCK_SIZE 20
#define CONFIG_QUEUES 34

#define TYPE_IN 0
#define TYPE_OUT 1
#define TYPE_FLUSH 4
#define TYPE_GET_ID 8
#define TYPE_UNKNOWN 0x7fff

#define STATUS_OK 0
#define STATUS_ERROR 1
#define STATUS_UNSUPPORTED 2
#define STATUS_NONE 0xff

#define SECTOR_SIZE 512
#define ID_LENGTH 20
#define SLOT_COUNT (QUEUE_SIZE_LIMIT / CHAIN_LENGTH)
#define FLIGHT_COUNT 8
#define SMALLEST_QUEUE (QUEUE_LIMIT * CHAIN_LENGTH) /* a slot of its own for each queue's request */

struct header {
  uint32_t type;
  uint32_t reserved;
  uint64_t sector;
};

static struct header headers[SLOT_COUNT];
static volatile uint8_t statuses[SLOT_COUNT];
static uint8_t data[SLOT_COUNT][SECTOR_SIZE] __attribute__((aligned(SECTOR_SIZE)));
static uint64_t indirect_table[2 * CHAIN_LENGTH] __attribute__((aligned(16)));

static uint32_t fill_request(struct buffer *buffers, uint32_t slot, uint32_t type, uint64_t sector, uint32_t length) {
  uint32_t count = 0;
  headers[slot] = (struct header){.type = type, .sector = sector};
  statuses[slot] = STATUS_NONE;
  buffers[count++] = (struct buffer){&headers[slot], sizeof(struct header), false};
  if (length) buffers[count++] = (struct buffer){data[slot], length, type != TYPE_OUT};
  buffers[count++] = (struct buffer){&statuses[slot], 1, true};
  return count;
}

static void submit(struct queue *queue, uint32_t slot, uint32_t type, uint64_t sector, uint32_t length) {
  struct buffer buffers[CHAIN_LENGTH];
  queue_submit(queue, slot, buffers, fill_request(buffers, slot, type, sector, length));
}

static void submit_read(struct queue *queue, uint32_t slot) { submit(queue, slot, TYPE_IN, 0, SECTOR_SIZE); }

const struct repeatable block_request = {.queue = 0, .submit = submit_read};

/* One request from doorbell to status; STATUS_NONE when it never ended. */
static uint8_t run(struct queue *queue, uint32_t slot, uint32_t type, uint64_t sector, uint32_t length) {
  uint32_t before = queue_interrupts(queue), ended, written;
  submit(queue, slot, type, sector, length);
  queue_ring(queue);
  if (wait_for_message(queue->vector, before + 1)) queue_sample_latency(queue);
  queue_poll(queue, 1);
  if (!queue_take(queue, &ended, &written) || ended != slot) return STATUS_NONE;
  return statuses[slot];
}

static bool same_data(uint32_t left, uint32_t right) {
  const uint64_t *a = (const uint64_t *)data[left], *b = (const uint64_t *)data[right];
  for (uint32_t i = 0; i < SECTOR_SIZE / 8; i++)
    if (a[i] != b[i]) return false;
  return true;
}

static void drive_identity(struct virtio_device *device, struct queue *queue) {
  uint8_t status = run(queue, 0, TYPE_GET_ID, 0, ID_LENGTH);
  check_equal(device->function, "-", "block: get-id succeeds", status, STATUS_OK);
  char name[ID_LENGTH + 1] = {0};
  copy_bytes(name, data[0], ID_LENGTH);
  report("device\t%f\tserial\t%s", device->function, name);
}

static void drive_reads(struct virtio_device *device, struct queue *queue, uint64_t capacity) {
  const struct pci_function *function = device->function;
  check_equal(function, "-", "block: sector 0 can be read", run(queue, 0, TYPE_IN, 0, SECTOR_SIZE), STATUS_OK);
  report("device\t%f\tsector-0\t%8x%8x %8x%8x", function, (uint64_t)__builtin_bswap32(*(uint32_t *)&data[0][0]),
         (uint64_t)__builtin_bswap32(*(uint32_t *)&data[0][4]), (uint64_t)__builtin_bswap32(*(uint32_t *)&data[0][504]),
         (uint64_t)__builtin_bswap32(*(uint32_t *)&data[0][508]));
  check_equal(function, "-", "block: the last sector can be read", run(queue, 1, TYPE_IN, capacity - 1, SECTOR_SIZE),
              STATUS_OK);
  check_equal(function, "-", "block: a read beyond the end fails", run(queue, 1, TYPE_IN, capacity, SECTOR_SIZE),
              STATUS_ERROR);
  check_equal(function, "-", "block: an unknown request is answered as unsupported",
              run(queue, 1, TYPE_UNKNOWN, 0, 0), STATUS_UNSUPPORTED);
  if (device->accepted & FEATURE_FLUSH)
    check_equal(function, "-", "block: flush succeeds", run(queue, 1, TYPE_FLUSH, 0, 0), STATUS_OK);
}

/* Several requests behind one doorbell, each into memory of its own. */
static void drive_flight(struct virtio_device *device, struct queue *queue, uint64_t capacity) {
  uint32_t count = queue->size / CHAIN_LENGTH < FLIGHT_COUNT ? queue->size / CHAIN_LENGTH : FLIGHT_COUNT;
  bool good = true;
  for (uint32_t slot = 0; slot < count; slot++) submit(queue, slot, TYPE_IN, slot % capacity, SECTOR_SIZE);
  queue_ring(queue);
  bool ended = queue_wait(queue, (uint16_t)count);
  uint32_t slot, length, seen = 0;
  while (queue_take(queue, &slot, &length)) {
    good &= slot < count && !(seen >> slot & 1) && statuses[slot] == STATUS_OK && length == SECTOR_SIZE + 1;
    seen |= 1u << slot;
  }
  check(device->function, "-", "block: eight reads in flight behind one doorbell all end", ended && good);
}

static void drive_queues(struct virtio_device *device) {
  if (device->queue_count < 2) return;
  bool good = true;
  uint32_t used = 0;
  for (uint16_t i = 0; i < device->queue_count && i < QUEUE_LIMIT; i++) {
    if (device->queues[i].size < SMALLEST_QUEUE) continue;
    used++;
    good &= run(&device->queues[i], i, TYPE_IN, 0, SECTOR_SIZE) == STATUS_OK && (i == 0 || same_data(0, i));
  }
  check(device->function, "-", "block: every queue reads the same sector", good && used > 1);
}

static void drive_indirect(struct virtio_device *device, struct queue *queue) {
  if (!(device->accepted & FEATURE_INDIRECT)) return;
  struct buffer buffers[CHAIN_LENGTH];
  uint32_t slot, length;
  uint32_t count = fill_request(buffers, 1, TYPE_IN, 0, SECTOR_SIZE);
  queue_submit_indirect(queue, 1, buffers, count, indirect_table);
  queue_ring(queue);
  bool ended = queue_wait(queue, 1) && queue_take(queue, &slot, &length);
  check(device->function, "-", "block: a read through indirect descriptors succeeds",
        ended && slot == 1 && statuses[1] == STATUS_OK && same_data(0, 1));
}

static void drive_write(struct virtio_device *device, struct queue *queue, uint64_t capacity) {
  const struct pci_function *function = device->function;
  uint64_t sector = capacity - 1;
  if (device->accepted & FEATURE_READ_ONLY) {
    check_equal(function, "-", "block: a read-only disk refuses a write", run(queue, 2, TYPE_OUT, sector, SECTOR_SIZE),
                STATUS_ERROR);
    return;
  }
  if (!options.write) {
    skip(function, "-", "block: what is written is read back", "write=1 was not given");
    return;
  }
  bool kept = run(queue, 2, TYPE_IN, sector, SECTOR_SIZE) == STATUS_OK; /* slot 2 keeps the old content */
  uint64_t stamp = read_time_stamp();
  for (uint32_t i = 0; i < SECTOR_SIZE / 8; i++) ((uint64_t *)data[3])[i] = stamp + i;
  bool written = kept && run(queue, 3, TYPE_OUT, sector, SECTOR_SIZE) == STATUS_OK;
  bool read = written && run(queue, 4, TYPE_IN, sector, SECTOR_SIZE) == STATUS_OK;
  check(function, "-", "block: what is written is read back", read && same_data(3, 4));
  if (!written) return;
  check_equal(function, "-", "block: the sector's old content is put back",
              run(queue, 2, TYPE_OUT, sector, SECTOR_SIZE), STATUS_OK);
}

void drive_block(struct virtio_device *device) {
  const struct pci_function *function = device->function;
  if (!check(function, "CAP-1", "block: it has a device configuration", device->configuration.present)) return;
  uint64_t wanted = FEATURE_READ_ONLY | FEATURE_BLOCK_SIZE | FEATURE_FLUSH | FEATURE_QUEUES | FEATURE_INDIRECT;
  if (!start_device(device, wanted, QUEUE_LIMIT)) return;
  uint64_t address = device->configuration.address;
  uint64_t capacity = read32(address + CONFIG_CAPACITY) | (uint64_t)read32(address + CONFIG_CAPACITY + 4) << 32;
  report("device\t%f\tcapacity\t%d", function, capacity * SECTOR_SIZE);
  if (device->accepted & FEATURE_BLOCK_SIZE)
    report("device\t%f\tblock-size\t%d", function, (uint64_t)read32(address + CONFIG_BLOCK_SIZE));
  if (device->accepted & FEATURE_READ_ONLY) report("device\t%f\tread-only\tyes", function);
  if (device->accepted & FEATURE_QUEUES)
    check(function, "-", "block: num_queues is that of the transport",
          read16(address + CONFIG_QUEUES) == device->queue_count);
  struct queue *queue = &device->queues[0];
  if (!check(function, "-", "block: it has a queue and a sector", queue->size && capacity)) return;
  if (queue->size < SMALLEST_QUEUE) {
    skip(function, "-", "block: requests", "its queue is too small for this driver");
    return;
  }
  drive_identity(device, queue);
  drive_reads(device, queue, capacity);
  drive_flight(device, queue, capacity);
  drive_queues(device);
  drive_indirect(device, queue);
  drive_write(device, queue, capacity);
  check_delivery(device, &block_request);
}
