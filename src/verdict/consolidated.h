#ifndef SLUICE_VERDICT_CONSOLIDATED_H
#define SLUICE_VERDICT_CONSOLIDATED_H

#include "batch/merged.h"

/* The consolidated check: what was released of a part, row by row, then held against merged fields. Pure; docs/decisions/0030. */

enum consolidated_party { PARTY_PAYER, PARTY_PAYEE, PARTY_DEVICE, PARTY_ADDRESS, PARTY_COUNT };
struct consolidated_tally {
    const struct merged *merged; /* borrowed */
    uint64_t seed;               /* of digests, the one that merged has */
    uint32_t count, rows_max, sum_count;
    bool overflows;
    struct merged_sum sums[MERGED_SUMS_MAX]; /* currencies borrowed from what holds texts */
    char currencies[MERGED_SUMS_MAX][16];
    struct merged_set parties[PARTY_COUNT]; /* sorted by consolidated_end */
    char why[64];                           /* the first difference of a row; empty: none */
};

enum fault consolidated_begin(struct consolidated_tally *out, const struct merged *merged, uint64_t seed, uint32_t rows_max,
                              struct fault_note *note);
void consolidated_row(struct consolidated_tally *tally, const struct batch *batch, uint32_t row); /* rows_max times at the most */
/* All rows are told. false: they differ from what was merged, tally->why says in what. */
bool consolidated_end(struct consolidated_tally *tally);
void consolidated_fini(struct consolidated_tally *tally);

#endif
