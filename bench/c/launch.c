/*
 * The C twin of bench/launch.ts: from nothing to the guest's first instructions, which print one character.
 *
 *   launch GUEST BASE ENTRY
 *
 * Prints a line of JSON with the milliseconds from main to the first exit as soon as it has happened, then waits to be looked at
 * (its memory is measured from outside) until stdin ends.
 */
#include "guest.h"

int main(int count, char **arguments) {
  if (count != 4) return 2;
  int64_t began = nanoseconds();
  struct guest guest = make_guest();
  load_guest(&guest, arguments[1], strtoul(arguments[2], NULL, 0));
  begin_at(&guest, strtoul(arguments[3], NULL, 0));
  enter_guest(&guest);
  if (guest.run->exit_reason != KVM_EXIT_IO || guest.run->io.port != DEBUG_PORT) return 1;
  printf("{\"firstOutput\":%.3f}\n", (nanoseconds() - began) / 1e6);
  fflush(stdout);
  return getchar() == EOF ? 0 : 1;
}
