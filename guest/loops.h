/* Modes that do one thing: for benches, and for tests of how a run can end. */
#pragma once

#include "machine.h"

/* Runs the mode of that name; false when there is none. Some modes never return. */
bool run_loop_mode(void);
