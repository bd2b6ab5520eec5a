#ifndef SLUICE_LEDGER_ROW_SET_H
#define SLUICE_LEDGER_ROW_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rows of recorded batches, small: for every batch its sequence, then runs of ascending rows. All integers have seven bits a byte,
 * lowest first.
 *     source: sequence, runs, then of each run: rows left out since the run before, rows of it */

struct row_set { /* being written; zeroed: empty */
    unsigned char *bytes;
    size_t byte_count, capacity, runs_at; /* runs_at: of the current source's run count, 4 bytes */
    uint32_t row_count;                   /* of all sources */
    uint32_t source_rows, runs, run_first, run_end, last_end;
    bool failed; /* memory ran out */
};
void row_set_source(struct row_set *set, uint64_t sequence); /* the rows that follow are of it; each sequence once */
void row_set_add(struct row_set *set, uint32_t row);         /* ascending within its source */
void row_set_end(struct row_set *set);                       /* nothing follows */
void row_set_fini(struct row_set *set);

struct row_set_reader {
    const unsigned char *at, *end;
    uint64_t sequence;          /* of the current source */
    uint32_t first, count;      /* the current run */
    uint32_t runs_left, row_at; /* row_at: behind the current run */
    bool broken;
};
void row_set_read(struct row_set_reader *reader, const void *bytes, size_t byte_count);
bool row_set_next_source(struct row_set_reader *reader); /* passes over what is left of the one before */
bool row_set_next_run(struct row_set_reader *reader);    /* of the current source; false: no more, or broken */

#endif
