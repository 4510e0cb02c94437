/* Smallest, middle and largest of a set of measurements. */
#pragma once

#include "pci.h"

/* Sorts `values` and reports them as one `time` line, in ticks of the time stamp counter; nothing without any. */
void report_samples(const char *name, const struct pci_function *function, uint64_t *values, uint32_t count);
