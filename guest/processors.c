#include "processors.h"

#include "boot_information.h"
#include "interrupts.h"
#include "report.h"

/* Must be TRAMPOLINE_ADDRESS of start.S: a page of low RAM, which the start-up interrupt names by its number. */
#define TRAMPOLINE_ADDRESS 0x8000
#define LISTED_PROCESSORS 64

extern const uint8_t processor_trampoline[];
extern const uint8_t processor_trampoline_end[];
extern volatile uint32_t processors_counted;
extern uint8_t processor_ids[LISTED_PROCESSORS];

void examine_processors(void) {
  report("processor\t%d\tboot", (uint64_t)local_apic_id());
  if (acpi.processors <= 1) {
    report("note\tthe MADT names %d processors: there is no other to start", (uint64_t)acpi.processors);
    return;
  }
  copy_bytes((void *)TRAMPOLINE_ADDRESS, processor_trampoline,
             (size_t)(processor_trampoline_end - processor_trampoline));
  uint64_t started = read_time_stamp();
  start_other_processors(TRAMPOLINE_ADDRESS);
  patience_start();
  while (processors_counted < acpi.processors - 1 && !deadline_passed()) relax();
  uint64_t elapsed = read_time_stamp() - started;
  uint32_t arrived = processors_counted;
  for (uint32_t i = 0; i < arrived && i < LISTED_PROCESSORS; i++)
    report("processor\t%d\tstarted", (uint64_t)processor_ids[i]);
  check_equal(NULL, "-", "SMP: every processor of the MADT starts by INIT and SIPI and counts itself", arrived,
              acpi.processors - 1);
  report("time\tprocessors-started\t-\t1\t%d\t%d\t%d", elapsed, elapsed, elapsed);
}
