#ifndef SLUICE_BATCH_MERGED_H
#define SLUICE_BATCH_MERGED_H

#include "base/hash.h"
#include "batch/batch.h"

/* What a processor merged out of the transfers of a second batch, or of a part of it, before it executes them. */

enum { MERGED_SUMS_MAX = 32, MERGED_SAME_MAX = 32 };

struct merged_set { /* digests of texts, ascending, each once */
    struct digest *items;
    uint32_t count;
    bool is_there;
};
struct merged {
    struct merged_set part; /* transfer_ids that the fields are about; not there: all */
    struct merged_set payers, payees;
    bool has_count, has_sums;
    int64_t count;
    uint32_t sum_count, same_count;
    struct merged_sum {
        struct text currency; /* borrowed */
        int64_t amount;
    } sums[MERGED_SUMS_MAX];
    struct merged_same { /* every transfer has this in that column */
        struct text name, text;
        bool is_text;
        int64_t integer;
    } same[MERGED_SAME_MAX];
};

void merged_set_sort(struct merged_set *set);                              /* and leaves out what is there twice */
int64_t merged_set_find(const struct merged_set *set, struct digest item); /* its place; -1: not in it */
void merged_fini(struct merged *merged);

#endif
