/* The order of things: what the guest does, and in which mode. README.md tells it to people. */
#include "boot_information.h"
#include "interrupts.h"
#include "loops.h"
#include "memory.h"
#include "options.h"
#include "pci.h"
#include "processors.h"
#include "report.h"
#include "virtio_checks.h"

#define PROTOCOL_VERSION 1

#define CPUID_HYPERVISOR 0x40000000
#define CPUID_HYPERVISOR_TIMING 0x40000010
#define CPUID_TIME_STAMP 0x15
#define CPUID_HYPERVISOR_PRESENT (1u << 31)

void guest_main(void);

/* Frequency of the time stamp counter in kHz; 0 where the processor does not tell. */
static uint64_t time_stamp_frequency(void) {
  if (cpuid(1).ecx & CPUID_HYPERVISOR_PRESENT && cpuid(CPUID_HYPERVISOR).eax >= CPUID_HYPERVISOR_TIMING) {
    uint64_t frequency = cpuid(CPUID_HYPERVISOR_TIMING).eax;
    if (frequency) return frequency;
  }
  if (cpuid(0).eax < CPUID_TIME_STAMP) return 0;
  struct cpuid_result ratio = cpuid(CPUID_TIME_STAMP);
  return ratio.eax ? (uint64_t)ratio.ecx * ratio.ebx / ratio.eax / 1000 : 0;
}

static void report_processor(void) {
  struct cpuid_result vendor = cpuid(0);
  char name[13] = {0};
  copy_bytes(name, &vendor.ebx, 4);
  copy_bytes(name + 4, &vendor.edx, 4);
  copy_bytes(name + 8, &vendor.ecx, 4);
  report("cpu\t%s\t%d\t%d", name, time_stamp_frequency(), (uint64_t)local_apic_id());
}

/* Modern devices only: those of virtio 0.9 have identities below. */
static bool is_virtio(const struct pci_function *function) {
  return function->vendor == VENDOR_VIRTIO && function->identity >= DEVICE_ID_BASE &&
         function->identity < DEVICE_ID_BASE + DEVICE_TYPE_COUNT;
}

static void examine_machine(void) {
  report_processor();
  examine_boot_information();
  enumerate_bus();
  for (uint32_t i = 0; i < function_count; i++) examine_function(&functions[i]);
  check_overlaps();
  for (uint32_t i = 0; i < function_count; i++)
    if (is_virtio(&functions[i])) examine_virtio(&functions[i]);
  if (options.smp) examine_processors();
}

void guest_main(void) {
  interrupts_start();
  const char *line = boot_command_line();
  report("begin\t%d\t%s", (uint64_t)PROTOCOL_VERSION, line);
  if (!read_options(line)) exit_with(EXIT_BAD_COMMAND_LINE);
  if (text_equal(options.mode, "exit")) {
    report("end\t0");
    exit_with((uint8_t)options.code);
  }
  if (text_equal(options.mode, "demo") || text_equal(options.mode, "probe")) {
    examine_machine();
  } else if (text_equal(options.mode, "smp")) {
    report_processor();
    examine_boot_information();
    examine_processors();
  } else if (!run_loop_mode()) {
    report("note\tmode=%s is not known", options.mode);
    exit_with(EXIT_BAD_COMMAND_LINE);
  }
  finish();
}
