/*
 * The C twin of bench/interrupts.ts: a doorbell's way to its handler, and an interrupt's way to the guest.
 *
 *   interrupts GUEST BASE ENTRY doorbell ADDRESS FIRST WORD
 *   interrupts GUEST BASE ENTRY interrupt VECTOR COUNT WORD PAUSE_MICROSECONDS
 *
 * The doorbell's handler blocks in read(), the quickest way there is, and answers in guest memory. With "spin" as an eighth argument it
 * looks again and again without blocking. Samples go to stdout as 32-bit numbers: the guest's ticks for doorbells, nanoseconds
 * for interrupts.
 */
#include "guest.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#define MESSAGE_GSI 24
#define MESSAGE_ADDRESS 0xfee00000
#define OUTPUT_ROOM (1u << 20)

static struct guest guest;
static uint8_t output[OUTPUT_ROOM];
static size_t printed;
static atomic_bool over;

static void *run_vcpu(void *unused) {
  (void)unused;
  for (;;) {
    enter_guest(&guest);
    require(guest.run->exit_reason == KVM_EXIT_IO, "unexpected exit");
    if (guest.run->io.port == EXIT_PORT) break;
    if (guest.run->io.port != DEBUG_PORT) continue;
    for (uint32_t i = 0; i < guest.run->io.count && printed < OUTPUT_ROOM; i++) output[printed++] = port_data(&guest)[i];
  }
  atomic_store(&over, true);
  return NULL;
}

static void measure_doorbells(char **arguments, bool spin) {
  int event = eventfd(0, EFD_CLOEXEC | (spin ? EFD_NONBLOCK : 0));
  uint64_t address = strtoull(arguments[0], NULL, 0);
  uint32_t number = strtoul(arguments[1], NULL, 0);
  atomic_uint *word = (atomic_uint *)(guest.memory + strtoul(arguments[2], NULL, 0));
  struct kvm_ioeventfd doorbell = {.addr = address, .fd = event};
  require(ioctl(guest.machine, KVM_IOEVENTFD, &doorbell) == 0, "KVM_IOEVENTFD");
  pthread_t thread;
  require(pthread_create(&thread, NULL, run_vcpu, NULL) == 0, "pthread_create");
  for (uint64_t rings; number > 0;) {
    if (read(event, &rings, sizeof rings) == sizeof rings) atomic_store(word, number--);
  }
  pthread_join(thread, NULL);
}

static void measure_interrupts(char **arguments) {
  uint32_t vector = strtoul(arguments[0], NULL, 0), count = strtoul(arguments[1], NULL, 0);
  atomic_uint *word = (atomic_uint *)(guest.memory + strtoul(arguments[2], NULL, 0));
  struct timespec pause = {.tv_nsec = strtoul(arguments[3], NULL, 0) * 1000};
  struct {
    struct kvm_irq_routing table;
    struct kvm_irq_routing_entry entry;
  } routing = {
      .table = {.nr = 1},
      .entry = {.gsi = MESSAGE_GSI, .type = KVM_IRQ_ROUTING_MSI, .u.msi = {.address_lo = MESSAGE_ADDRESS, .data = vector}},
  };
  require(ioctl(guest.machine, KVM_SET_GSI_ROUTING, &routing) == 0, "KVM_SET_GSI_ROUTING");
  int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct kvm_irqfd line = {.fd = event, .gsi = MESSAGE_GSI};
  require(ioctl(guest.machine, KVM_IRQFD, &line) == 0, "KVM_IRQFD");
  pthread_t thread;
  require(pthread_create(&thread, NULL, run_vcpu, NULL) == 0, "pthread_create");
  uint64_t one = 1;
  struct timespec settle = {.tv_nsec = 50000000};
  nanosleep(&settle, NULL);
  for (uint32_t i = 0; i < count; i++) {
    nanosleep(&pause, NULL);
    int64_t began = nanoseconds();
    require(write(event, &one, sizeof one) == sizeof one, "write(eventfd)");
    while (atomic_load(word) <= i) {}
    uint32_t taken = nanoseconds() - began;
    memcpy(output + printed, &taken, sizeof taken);
    printed += sizeof taken;
  }
  pthread_join(thread, NULL);
}

int main(int count, char **arguments) {
  if (count < 8) return 2;
  guest = make_guest();
  load_guest(&guest, arguments[1], strtoul(arguments[2], NULL, 0));
  begin_at(&guest, strtoul(arguments[3], NULL, 0));
  if (strcmp(arguments[4], "doorbell") == 0) measure_doorbells(arguments + 5, count > 8);
  else measure_interrupts(arguments + 5);
  fwrite(output, 1, printed, stdout);
  return 0;
}
