#ifndef SLUICE_PIPELINE_LIFE_H
#define SLUICE_PIPELINE_LIFE_H

#include "ledger/row_set.h"
#include "pipeline/internal.h"

/* What one job does to the life of a batch. */
struct job_life {
    struct ledger_life_change change;
    struct row_set rows; /* that it releases */
};

bool life_row_is_final(const struct strategy *strategy, const struct results *results, uint32_t row);
enum fault life_begin(struct job *job); /* a screened batch, decided, before it is recorded */
void life_give(struct job_life **life_p);

#endif
