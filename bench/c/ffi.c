/* The C twin of bench/ffi_bench.ts: the same calls, `count` times in a row. A shared library, so that both run in one table. */
#include <linux/kvm.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>



void call_api_version(int fd, int count) {
  for (int i = 0; i < count; i++) ioctl(fd, KVM_GET_API_VERSION, 0);
}

int signal_event(int fd, int count) {
  uint64_t one = 1;
  int good = 0;
  for (int i = 0; i < count; i++) good += write(fd, &one, sizeof one) == sizeof one;
  return good;
}

int signal_and_take_event(int fd, int count) {
  uint64_t one = 1, value;
  int good = 0;
  for (int i = 0; i < count; i++) {
    good += write(fd, &one, sizeof one) == sizeof one;
    good += read(fd, &value, sizeof value) == sizeof value;
  }
  return good;
}

/* Copies by the length as it comes at run time, as a call from outside must. */
void copy_memory(uint8_t *to, const uint8_t *from, uint32_t length, int count) {
  for (int i = 0; i < count; i++) {
    memcpy(to, from, length);
    __asm__ volatile("" : : "r"(to) : "memory");
  }
}
