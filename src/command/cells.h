#ifndef SLUICE_COMMAND_CELLS_H
#define SLUICE_COMMAND_CELLS_H

#include "batch/batch.h"

/* Cells as CSV on standard output. */
void cells_print_exact(int64_t value, unsigned scale); /* 1250 of scale 2: 12.50 */
void cells_print_text(struct text text);               /* in quotes */

#endif
