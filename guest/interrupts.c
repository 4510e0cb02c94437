#include "interrupts.h"

#include "memory.h"
#include "report.h"

#define EXCEPTION_COUNT 32
#define TIMER_VECTOR 0x20
#define SPURIOUS_VECTOR 0x3f
#define MESSAGE_VECTOR 0x40
#define VECTOR_COUNT (MESSAGE_VECTOR + MESSAGE_COUNT)
#define STUB_SIZE 16

#define CODE_SELECTOR 0x08
#define GATE_INTERRUPT 0x8e

/* Local APIC: Intel SDM volume 3A, table 11-1. */
#define MSR_APIC_BASE 0x1b
#define APIC_BASE_ADDRESS 0xffffff000ull
#define APIC_GLOBAL_ENABLE (1 << 11)
#define APIC_ID 0x20
#define APIC_TASK_PRIORITY 0x80
#define APIC_END_OF_INTERRUPT 0xb0
#define APIC_SPURIOUS 0xf0
#define APIC_SOFTWARE_ENABLE 0x100
#define APIC_COMMAND_LOW 0x300
#define APIC_LVT_TIMER 0x320
#define APIC_LVT_LINT0 0x350
#define APIC_LVT_LINT1 0x360
#define APIC_LVT_MASKED (1 << 16)
#define APIC_TIMER_INITIAL 0x380
#define APIC_TIMER_DIVIDE 0x3e0
#define APIC_DIVIDE_BY_ONE 0xb

#define COMMAND_ALL_BUT_SELF (3 << 18)
#define COMMAND_ASSERT (1 << 14)
#define COMMAND_INIT (5 << 8)
#define COMMAND_START_UP (6 << 8)

/* KVM's and QEMU's local APIC timers both run at 1 GHz; only the length of time-outs depends on it. */
#define TIMER_TICKS_PER_MICROSECOND 1000
#define LONG_WAIT_MICROSECONDS 4000000 /* near the longest that the timer's 32 bits can count */
#define SHORT_WAIT_MICROSECONDS 250000

#define MESSAGE_ADDRESS_BASE 0xfee00000

#define PIC_MASTER_DATA 0x21
#define PIC_SLAVE_DATA 0xa1

struct gate {
  uint16_t offset_low;
  uint16_t selector;
  uint8_t stack;
  uint8_t type;
  uint16_t offset_middle;
  uint32_t offset_high;
  uint32_t reserved;
};

/* What interrupt_common in start.S leaves on the stack. */
struct interrupt_frame {
  uint64_t r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax;
  uint64_t vector, error;
  uint64_t rip, cs, rflags, rsp, ss;
};

extern const uint8_t interrupt_stubs[];

struct message messages[MESSAGE_COUNT];

static struct gate gates[VECTOR_COUNT];
static uint64_t apic;
static volatile bool timer_fired;
static bool disappointed;

void interrupt_dispatch(struct interrupt_frame *frame);

static uint64_t fault_address(void) {
  uint64_t value;
  __asm__ volatile("movq %%cr2, %0" : "=r"(value));
  return value;
}

void interrupt_dispatch(struct interrupt_frame *frame) {
  uint64_t now = read_time_stamp();
  uint32_t vector = (uint32_t)frame->vector;
  if (vector < EXCEPTION_COUNT) {
    report("fault\t%d\t0x%x\t0x%x\t0x%x", frame->vector, frame->error, frame->rip, fault_address());
    exit_with(EXIT_FAULT);
  }
  if (vector >= MESSAGE_VECTOR) {
    struct message *message = &messages[vector - MESSAGE_VECTOR];
    message->time_stamp = now;
    message->count++;
  } else if (vector == TIMER_VECTOR) {
    timer_fired = true;
  }
  if (vector != SPURIOUS_VECTOR) write32(apic + APIC_END_OF_INTERRUPT, 0);
}

void interrupts_start(void) {
  for (uint32_t vector = 0; vector < VECTOR_COUNT; vector++) {
    uint64_t handler = (uint64_t)interrupt_stubs + vector * STUB_SIZE;
    gates[vector] = (struct gate){
        .offset_low = (uint16_t)handler,
        .selector = CODE_SELECTOR,
        .type = GATE_INTERRUPT,
        .offset_middle = (uint16_t)(handler >> 16),
    };
  }
  struct {
    uint16_t limit;
    uint64_t base;
  } __attribute__((packed)) pointer = {sizeof gates - 1, (uint64_t)gates};
  __asm__ volatile("lidt %0" : : "m"(pointer));

  out8(PIC_MASTER_DATA, 0xff);
  out8(PIC_SLAVE_DATA, 0xff);

  uint64_t base = read_msr(MSR_APIC_BASE);
  if (!(base & APIC_GLOBAL_ENABLE)) write_msr(MSR_APIC_BASE, base | APIC_GLOBAL_ENABLE);
  apic = base & APIC_BASE_ADDRESS;
  map_physical(apic, PAGE_SIZE);
  /* First of all: while the APIC is disabled by software its local vectors cannot be unmasked (section 11.4.7.2). */
  write32(apic + APIC_SPURIOUS, APIC_SOFTWARE_ENABLE | SPURIOUS_VECTOR);
  write32(apic + APIC_TASK_PRIORITY, 0);
  write32(apic + APIC_LVT_LINT0, APIC_LVT_MASKED);
  write32(apic + APIC_LVT_LINT1, APIC_LVT_MASKED);
  write32(apic + APIC_TIMER_DIVIDE, APIC_DIVIDE_BY_ONE);
  write32(apic + APIC_LVT_TIMER, TIMER_VECTOR);
  enable_interrupts();
}

uint8_t local_apic_id(void) { return (uint8_t)(read32(apic + APIC_ID) >> 24); }

uint64_t message_address(void) { return MESSAGE_ADDRESS_BASE | (uint64_t)local_apic_id() << 12; }

uint32_t message_data(uint32_t index) { return MESSAGE_VECTOR + index; }

void messages_clear(void) {
  for (uint32_t i = 0; i < MESSAGE_COUNT; i++) messages[i].count = 0;
  disappointed = false;
}

void deadline_start(uint32_t microseconds) {
  write32(apic + APIC_TIMER_INITIAL, 0);
  timer_fired = false;
  write32(apic + APIC_TIMER_INITIAL, microseconds * TIMER_TICKS_PER_MICROSECOND);
}

bool deadline_passed(void) { return timer_fired; }

void patience_start(void) { deadline_start(disappointed ? SHORT_WAIT_MICROSECONDS : LONG_WAIT_MICROSECONDS); }

bool patience_end(bool happened) {
  if (!happened) disappointed = true;
  return happened;
}

bool wait_for_message(uint32_t index, uint32_t target) {
  if (messages[index].count >= target) return true;
  patience_start();
  for (;;) {
    disable_interrupts();
    bool arrived = messages[index].count >= target;
    if (arrived || timer_fired) {
      enable_interrupts();
      return patience_end(arrived);
    }
    enable_interrupts_and_halt();
  }
}

void sleep_microseconds(uint32_t microseconds) {
  deadline_start(microseconds);
  for (;;) {
    disable_interrupts();
    if (timer_fired) break;
    enable_interrupts_and_halt();
  }
  enable_interrupts();
}

void start_other_processors(uint64_t page) {
  write32(apic + APIC_COMMAND_LOW, COMMAND_ALL_BUT_SELF | COMMAND_ASSERT | COMMAND_INIT);
  sleep_microseconds(1000);
  write32(apic + APIC_COMMAND_LOW, COMMAND_ALL_BUT_SELF | COMMAND_ASSERT | COMMAND_START_UP | (uint32_t)(page >> 12));
}
