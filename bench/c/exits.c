/*
 * The C twin of bench/exits.ts: runs the same guest and answers its exits with as little as possible.
 *
 *   exits GUEST BASE ENTRY local|forwarded
 *
 * "forwarded" answers in a second thread through a shared word, as our vCPU isolate asks our machine isolate: whoever asks
 * looks for the answer for a while and then sleeps. What the guest prints goes to stdout.
 */
#include "guest.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#define SPIN_LIMIT 2000
#define OUTPUT_ROOM (1u << 20)

enum { IDLE, POSTED, WAITING, ANSWERED };

static struct {
  _Alignas(64) atomic_int state;
  uint64_t address, data;
  uint32_t width;
  bool is_write;
  _Alignas(64) atomic_bool over;
} mailbox;

static uint8_t output[OUTPUT_ROOM];
static size_t printed;

/* Nothing lives anywhere: all ones, as a bus without a device answers. */
static void answer(void) {
  if (!mailbox.is_write) mailbox.data = ~0ull;
}

static void *serve(void *unused) {
  (void)unused;
  while (!atomic_load(&mailbox.over)) {
    int state = atomic_load(&mailbox.state);
    if (state != POSTED && state != WAITING) continue;
    answer();
    if (atomic_exchange(&mailbox.state, ANSWERED) == WAITING) syscall(SYS_futex, &mailbox.state, FUTEX_WAKE, 1);
  }
  return NULL;
}

static void post(void) {
  atomic_store(&mailbox.state, POSTED);
  for (int i = 0; i < SPIN_LIMIT; i++) {
    if (atomic_load(&mailbox.state) == ANSWERED) return;
  }
  int expected = POSTED;
  if (!atomic_compare_exchange_strong(&mailbox.state, &expected, WAITING)) return;
  while (atomic_load(&mailbox.state) == WAITING) syscall(SYS_futex, &mailbox.state, FUTEX_WAIT, WAITING, NULL);
}

static void handle(bool forwarded, uint64_t address, uint32_t width, bool is_write, uint8_t *data) {
  mailbox.address = address;
  mailbox.width = width;
  mailbox.is_write = is_write;
  if (is_write) memcpy(&mailbox.data, data, width);
  if (forwarded) post();
  else answer();
  if (!is_write) memcpy(data, &mailbox.data, width);
}

static bool handle_port(struct guest *guest, bool forwarded) {
  uint8_t *data = port_data(guest);
  uint32_t port = guest->run->io.port, width = guest->run->io.size;
  bool is_write = guest->run->io.direction == KVM_EXIT_IO_OUT;
  for (uint32_t i = 0; i < guest->run->io.count; i++, data += width) {
    if (port == EXIT_PORT) return false;
    if (port == DEBUG_PORT && printed < OUTPUT_ROOM) output[printed++] = *data;
    else handle(forwarded, port, width, is_write, data);
  }
  return true;
}

int main(int count, char **arguments) {
  if (count != 5) return 2;
  struct guest guest = make_guest();
  load_guest(&guest, arguments[1], strtoul(arguments[2], NULL, 0));
  begin_at(&guest, strtoul(arguments[3], NULL, 0));
  bool forwarded = strcmp(arguments[4], "forwarded") == 0;
  pthread_t server;
  if (forwarded) require(pthread_create(&server, NULL, serve, NULL) == 0, "pthread_create");
  for (bool going = true; going;) {
    enter_guest(&guest);
    struct kvm_run *run = guest.run;
    switch (run->exit_reason) {
      case KVM_EXIT_IO:
        going = handle_port(&guest, forwarded);
        break;
      case KVM_EXIT_MMIO:
        handle(forwarded, run->mmio.phys_addr, run->mmio.len, run->mmio.is_write, run->mmio.data);
        break;
      default:
        fprintf(stderr, "unexpected exit %u\n", run->exit_reason);
        return 1;
    }
  }
  atomic_store(&mailbox.over, true);
  if (forwarded) pthread_join(server, NULL);
  fwrite(output, 1, printed, stdout);
  return 0;
}
