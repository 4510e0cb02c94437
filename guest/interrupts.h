/* Interrupts: exceptions end the guest with a report; messages of devices and the local APIC's timer are counted. */
#pragma once

#include "machine.h"

#define MESSAGE_COUNT 32 /* vectors that devices can be given */

/* One counter per message vector. `time_stamp` is that of the latest arrival. */
struct message {
  volatile uint32_t count;
  volatile uint64_t time_stamp;
};

extern struct message messages[MESSAGE_COUNT];

void interrupts_start(void);

/* What a device must be told to deliver message `index` to this processor. */
uint64_t message_address(void);
uint32_t message_data(uint32_t index);

void messages_clear(void);

/* Sleeps until messages[index].count reaches `target`; false when that does not happen in time. */
bool wait_for_message(uint32_t index, uint32_t target);

/*
 * Deadlines of waits for what ought to happen. They are long, for busy hosts, until one has passed: what is broken
 * should not cost that much every time. messages_clear makes them long again.
 */
void patience_start(void);
/* Ends such a wait and returns whether it was of use. */
bool patience_end(bool happened);

/* Starts a deadline; deadline_passed becomes true after that time. */
void deadline_start(uint32_t microseconds);
bool deadline_passed(void);

/* Sleeps that long, taking interrupts. */
void sleep_microseconds(uint32_t microseconds);

uint8_t local_apic_id(void);

/* INIT and start-up interrupts to every other processor; they begin in real mode at a page below 1 MiB. */
void start_other_processors(uint64_t page);
