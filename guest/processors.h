/* Further processors: started, counted, stopped. */
#pragma once

/* Starts every other processor and reports which ones came. */
void examine_processors(void);
