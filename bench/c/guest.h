/*
 * A KVM machine with one vCPU in flat 32-bit protected mode and the pieces that our own machine has: interrupt chip, timer,
 * memory file, CPUID. Shared by all C twins that run a guest.
 */
#ifndef BENCH_GUEST_H
#define BENCH_GUEST_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MEMORY_SIZE (16u << 20)
#define GDT_ADDRESS 0x1000
#define CODE_SELECTOR 0x08
#define DATA_SELECTOR 0x10
#define TASK_SELECTOR 0x18
#define TSS_ADDRESS 0xfeffd000
#define IDENTITY_MAP_ADDRESS 0xfeffc000
#define CPUID_ENTRIES 128
#define DEBUG_PORT 0xe9
#define EXIT_PORT 0xf4

struct guest {
  int system, machine, vcpu;
  uint8_t *memory;
  struct kvm_run *run;
};

static inline void require(bool good, const char *what) {
  if (good) return;
  perror(what);
  exit(1);
}

static inline int64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000ll + now.tv_nsec;
}

/* As the PVH protocol begins: flat code and data of 4 GiB, no paging, interrupts off. */
static inline void begin_at(struct guest *guest, uint32_t entry) {
  static const uint64_t gdt[] = {0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00008b0000000067};
  memcpy(guest->memory + GDT_ADDRESS, gdt, sizeof gdt);
  struct kvm_sregs special;
  require(ioctl(guest->vcpu, KVM_GET_SREGS, &special) == 0, "KVM_GET_SREGS");
  struct kvm_segment code = {.limit = 0xffffffff, .selector = CODE_SELECTOR, .type = 0xb, .present = 1, .db = 1, .s = 1, .g = 1};
  struct kvm_segment data = code, task = code;
  data.selector = DATA_SELECTOR;
  data.type = 0x3;
  task.selector = TASK_SELECTOR;
  task.limit = 0x67;
  task.db = task.s = task.g = 0;
  special.cs = code;
  special.ds = special.es = special.fs = special.gs = special.ss = data;
  special.tr = task;
  special.gdt.base = GDT_ADDRESS;
  special.gdt.limit = sizeof gdt - 1;
  special.cr0 = 0x11;
  special.cr3 = special.cr4 = special.efer = 0;
  require(ioctl(guest->vcpu, KVM_SET_SREGS, &special) == 0, "KVM_SET_SREGS");
  struct kvm_regs registers = {.rip = entry, .rflags = 2};
  require(ioctl(guest->vcpu, KVM_SET_REGS, &registers) == 0, "KVM_SET_REGS");
}

static inline void set_cpuid(struct guest *guest) {
  struct kvm_cpuid2 *cpuid = calloc(1, sizeof *cpuid + CPUID_ENTRIES * sizeof cpuid->entries[0]);
  cpuid->nent = CPUID_ENTRIES;
  require(ioctl(guest->system, KVM_GET_SUPPORTED_CPUID, cpuid) == 0, "KVM_GET_SUPPORTED_CPUID");
  require(ioctl(guest->vcpu, KVM_SET_CPUID2, cpuid) == 0, "KVM_SET_CPUID2");
  free(cpuid);
}

static inline struct guest make_guest(void) {
  struct guest guest;
  guest.system = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  require(guest.system >= 0, "open(/dev/kvm)");
  guest.machine = ioctl(guest.system, KVM_CREATE_VM, 0);
  require(guest.machine >= 0, "KVM_CREATE_VM");
  int file = memfd_create("guest-memory", MFD_CLOEXEC);
  require(file >= 0 && ftruncate(file, MEMORY_SIZE) == 0, "memfd_create");
  guest.memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
  require(guest.memory != MAP_FAILED, "mmap");
  struct kvm_userspace_memory_region region = {.memory_size = MEMORY_SIZE, .userspace_addr = (uintptr_t)guest.memory};
  require(ioctl(guest.machine, KVM_SET_USER_MEMORY_REGION, &region) == 0, "KVM_SET_USER_MEMORY_REGION");
  uint64_t identity = IDENTITY_MAP_ADDRESS;
  require(ioctl(guest.machine, KVM_SET_TSS_ADDR, TSS_ADDRESS) == 0, "KVM_SET_TSS_ADDR");
  require(ioctl(guest.machine, KVM_SET_IDENTITY_MAP_ADDR, &identity) == 0, "KVM_SET_IDENTITY_MAP_ADDR");
  require(ioctl(guest.machine, KVM_CREATE_IRQCHIP, 0) == 0, "KVM_CREATE_IRQCHIP");
  struct kvm_pit_config timer = {0};
  require(ioctl(guest.machine, KVM_CREATE_PIT2, &timer) == 0, "KVM_CREATE_PIT2");
  guest.vcpu = ioctl(guest.machine, KVM_CREATE_VCPU, 0);
  require(guest.vcpu >= 0, "KVM_CREATE_VCPU");
  int length = ioctl(guest.system, KVM_GET_VCPU_MMAP_SIZE, 0);
  guest.run = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, guest.vcpu, 0);
  require(guest.run != MAP_FAILED, "mmap(vcpu)");
  set_cpuid(&guest);
  return guest;
}

/* Reads a guest's bytes from a file and puts them where they belong. */
static inline void load_guest(struct guest *guest, const char *path, uint32_t base) {
  FILE *file = fopen(path, "rb");
  require(file != NULL, path);
  require(fread(guest->memory + base, 1, MEMORY_SIZE - base, file) > 0, path);
  fclose(file);
}

/* Enters the guest until it leaves for something other than a signal. */
static inline void enter_guest(struct guest *guest) {
  while (ioctl(guest->vcpu, KVM_RUN, 0) < 0) require(errno == EINTR || errno == EAGAIN, "KVM_RUN");
}

static inline uint8_t *port_data(struct guest *guest) { return (uint8_t *)guest->run + guest->run->io.data_offset; }

#endif
