#ifndef SLUICE_PIPELINE_LIFE_H
#define SLUICE_PIPELINE_LIFE_H

#include "ledger/row_set.h"
#include "pipeline/internal.h"

/* What one job does to the life of a batch. */
struct job_life {
    struct ledger_life_change change;
    struct ledger_told told; /* change.told */
    struct row_set rows;     /* that it releases */
    const char *before;      /* the state that it found; NULL: not told */
};

bool life_row_is_final(const struct strategy *strategy, const struct results *results, uint32_t row);
enum fault life_begin(struct job *job);                               /* a screened batch, decided, before it is recorded */
void life_released(struct job_life *life, const struct batch *batch); /* life->rows leave; nothing when there are none */
void life_run(struct job *job);                                       /* release, cancel; the bases' thread */
void life_due(struct pipeline *pipeline);                             /* whose time is over; the bases' thread */
int64_t life_pace_ns(void);                                           /* when it is looked at again */
/* consolidate, report; out_text: what the reply and the log say of it */
enum fault told_plan(struct job_life *life, struct job *job, char *out_text, size_t text_bytes);
enum life_state told_life(const struct ledger_told_counts *counts); /* of a batch that waits for no correction */
void life_give(struct job_life **life_p);
enum fault outcome_add(struct job *job); /* outcomes.c: of one that is about to be recorded; what its tenant's webhook is told */

#endif
