#include "statistics.h"

#include "report.h"

/* Shell's sort: short, in place, and quick enough for a few hundred values. */
static void sort(uint64_t *values, uint32_t count) {
  for (uint32_t gap = count / 2; gap; gap /= 2) {
    for (uint32_t i = gap; i < count; i++) {
      uint64_t value = values[i];
      uint32_t at = i;
      for (; at >= gap && values[at - gap] > value; at -= gap) values[at] = values[at - gap];
      values[at] = value;
    }
  }
}

void report_samples(const char *name, const struct pci_function *function, uint64_t *values, uint32_t count) {
  if (!count) return;
  sort(values, count);
  report("time\t%s\t%f\t%d\t%d\t%d\t%d", name, function, (uint64_t)count, values[0], values[count / 2],
         values[count - 1]);
}
