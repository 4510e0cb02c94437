#include "loops.h"

#include "boot_information.h"
#include "interrupts.h"
#include "memory.h"
#include "options.h"
#include "report.h"
#include "statistics.h"
#include "virtio_checks.h"

#define KEYBOARD_COMMAND_PORT 0x64
#define KEYBOARD_PULSE_RESET 0xfe
#define UNASSIGNED_ADDRESS 0xfea00000ull /* below the I/O APIC: nothing lives there on the machines we know */
#define FAULT_ADDRESS 0xfffff00000000000ull

static void report_loop(const char *name, uint64_t count, uint64_t started) {
  report("loop\t%s\t%d\t%d", name, count, read_time_stamp() - started);
}

static void port_writes(void) {
  uint16_t port = (uint16_t)options.port;
  uint64_t started = read_time_stamp();
  for (uint64_t i = 0; i < options.count; i++) {
    if (options.width == 4)
      out32(port, (uint32_t)i);
    else if (options.width == 2)
      out16(port, (uint16_t)i);
    else
      out8(port, (uint8_t)i);
  }
  report_loop("port-writes", options.count, started);
}

static void port_reads(void) {
  uint16_t port = (uint16_t)options.port;
  uint64_t started = read_time_stamp();
  for (uint64_t i = 0; i < options.count; i++) {
    if (options.width == 4)
      in32(port);
    else if (options.width == 2)
      in16(port);
    else
      in8(port);
  }
  report_loop("port-reads", options.count, started);
}

static uint64_t loop_address(void) {
  uint64_t address = options.address ? options.address : UNASSIGNED_ADDRESS;
  map_physical(address, PAGE_SIZE);
  return address;
}

static void memory_writes(void) {
  uint64_t address = loop_address();
  uint64_t started = read_time_stamp();
  for (uint64_t i = 0; i < options.count; i++) write32(address, (uint32_t)i);
  report_loop("mmio-writes", options.count, started);
}

static void memory_reads(void) {
  uint64_t address = loop_address();
  uint64_t started = read_time_stamp();
  for (uint64_t i = 0; i < options.count; i++) read32(address);
  report_loop("mmio-reads", options.count, started);
}

/* The first virtio function of a type that answers requests; types in order of preference. */
static struct pci_function *find_function(struct virtio_device *device) {
  static const uint16_t preference[] = {TYPE_ENTROPY, TYPE_BLOCK};
  report_muted = true;
  examine_boot_information();
  enumerate_bus();
  struct pci_function *found = NULL;
  for (size_t type = 0; !found && type < sizeof preference / sizeof preference[0]; type++) {
    for (uint32_t i = 0; !found && i < function_count; i++) {
      if (functions[i].vendor != VENDOR_VIRTIO || functions[i].identity != DEVICE_ID_BASE + preference[type]) continue;
      examine_function(&functions[i]);
      if (virtio_discover(device, &functions[i])) found = &functions[i];
    }
  }
  report_muted = false;
  if (!found) check(NULL, "-", "there is an entropy or block device to work with", false);
  return found;
}

static void doorbells(void) {
  static struct virtio_device device;
  if (!find_function(&device) || !start_device(&device, 0, 1)) return;
  struct queue *queue = &device.queues[0];
  uint64_t started = read_time_stamp();
  for (uint64_t i = 0; i < options.count; i++) write16(queue->doorbell, queue->index);
  report_loop("doorbells", options.count, started);
  virtio_reset(&device);
}

static void request_latencies(void) {
  static struct virtio_device device;
  if (!find_function(&device)) return;
  const struct repeatable *request = device.type == TYPE_ENTROPY ? &entropy_request : &block_request;
  if (!start_device(&device, 0, 1)) return;
  struct queue *queue = &device.queues[0];
  if (queue->size < CHAIN_LENGTH) {
    skip(device.function, "-", "latency of requests", "its queue is too small for this driver");
    return;
  }
  uint64_t started = read_time_stamp();
  uint64_t served = 0;
  for (; served < options.count; served++) {
    uint32_t before = queue_interrupts(queue), slot, length;
    request->submit(queue, 0);
    queue_ring(queue);
    if (!wait_for_message(queue->vector, before + 1)) break;
    queue_sample_latency(queue);
    queue_take(queue, &slot, &length);
  }
  report_loop("requests", served, started);
  check_equal(device.function, "-", "every request was answered by an interrupt", served, options.count);
  report_samples("doorbell-to-interrupt", device.function, samples, device.sample_count);
  virtio_reset(&device);
}

static void spin(void) {
  disable_interrupts();
  for (;;) relax();
}

static void halt(void) {
  for (;;) {
    disable_interrupts();
    __asm__ volatile("hlt");
  }
}

/* An exception without a table to find its handler in; the handler of that exception cannot be found either. */
static void triple_fault(void) {
  static const struct {
    uint16_t limit;
    uint64_t base;
  } __attribute__((packed)) nothing = {0, 0};
  __asm__ volatile("lidt %0\n\tud2" : : "m"(nothing));
}

static void fault(void) { read32(FAULT_ADDRESS); }

static void reset(void) {
  out8(KEYBOARD_COMMAND_PORT, KEYBOARD_PULSE_RESET);
  halt();
}

bool run_loop_mode(void) {
  static const struct {
    const char *name;
    void (*run)(void);
  } modes[] = {
      {"ioloop", port_writes},      {"ioreadloop", port_reads}, {"mmioloop", memory_writes},
      {"mmioreadloop", memory_reads}, {"doorbells", doorbells},   {"latency", request_latencies},
      {"spin", spin},               {"halt", halt},             {"triple-fault", triple_fault},
      {"fault", fault},             {"reset", reset},
  };
  for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
    if (!text_equal(modes[i].name, options.mode)) continue;
    modes[i].run();
    return true;
  }
  return false;
}
