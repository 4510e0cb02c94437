/* The guest's account of itself: text lines on the debug port. The protocol is described in README.md. */
#pragma once

#include "machine.h"

struct pci_function;

/* Exit codes that are the guest's own; `mode=exit` can give any other. */
enum exit_code {
  EXIT_PASSED = 0,
  EXIT_CHECK_FAILED = 1,
  EXIT_BAD_COMMAND_LINE = 2,
  EXIT_FAULT = 3,
};

/*
 * Writes one line. Conversions: %s text, %d unsigned decimal, %x hexadecimal, %2x %4x %8x the same with leading zeros,
 * %f a struct pci_function * as bus:device.function ("-" when null). Numbers are uint64_t, always cast.
 */
void report(const char *format, ...);

/* A check of a rule: `id` is the row of the conformance list ("-" where none fits), `function` may be null. */
bool check(const struct pci_function *function, const char *id, const char *text, bool passed);

/* A check that two numbers are equal; says both when they are not. */
bool check_equal(const struct pci_function *function, const char *id, const char *text, uint64_t actual,
                 uint64_t expected);

/* A check that cannot be made here, and why. */
void skip(const struct pci_function *function, const char *id, const char *text, const char *reason);

/* How many checks have failed so far. */
extern uint32_t failures;

/* While set, nothing is written and no failure counted: for what must be done but is not the subject. */
extern bool report_muted;

/* Says that the report is complete and ends the guest with 0 or EXIT_CHECK_FAILED. */
_Noreturn void finish(void);

/* Ends the guest with a code. */
_Noreturn void exit_with(uint8_t code);
