#ifndef SLUICE_FEATURE_FEATURE_H
#define SLUICE_FEATURE_FEATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batch/batch.h"
#include "history/history.h"
#include "kernels.h"

/* Relation tuples as numbers: every feature belongs to a dimension and names source node, target node and edge
 * attribute. A definition never changes under its name. Pure and parallel: figures and facts in, columns out. */

enum feature_id {
#define FEATURE(name, ...) FEATURE_##name,
#include "feature/features.tbl"
#undef FEATURE
    FEATURE_COUNT
};

struct feature_info {
    const char *name;
    enum dimension dimension;
    const char *source, *target, *edge; /* the relation tuple behind it */
    const char *unit, *definition;
    bool batch_scope;   /* exempt from the cut test; false: row scope */
    bool needs_history; /* false: from the transfer's own parameters alone */
    float unknown;      /* value when it is not known, after the transform */
};
extern const struct feature_info feature_infos[FEATURE_COUNT];
int feature_find(const char *name, size_t bytes); /* -1: not in the catalogue */

struct feature_set {
    uint64_t bits[(FEATURE_COUNT + 63) / 64];
};

struct feature_block { /* one slice's; a column is SLICE_ROWS floats, 64-byte aligned, zero from row_count to the end of its tile */
    uint32_t row_count;
    float *column[FEATURE_COUNT];
};

/* Batch-scope figures of all rows received together into batch->facts.in_batch, taken from the batch's arena: same multiset
 * of rows, same figures; -1 for rows that a check refused. FAULT_limit when the arena lacks feature_in_batch_bytes. */
enum fault feature_in_batch(struct batch *batch, struct fault_note *note);
size_t feature_in_batch_bytes(uint32_t row_count); /* of arena that feature_in_batch may need, scratch and results */

/* The wanted features of rows [first, first + count), transforms done; never NaN, never infinite. figures NULL, or facts
 * without in_batch: what needs them has its unknown value. */
void feature_compute(struct feature_block *out, const struct feature_set *wanted, const struct batch *batch, uint32_t first, uint32_t count,
                     const struct figures *figures, const struct kernels *kernels);

/* In how many of the rows [from, from + count) of that slice each wanted feature is not known, and so has its unknown value. What the
 * transfer alone gives is always known, and so is a feature that tells whether something is (contact). */
void feature_unknown_count(uint32_t unknown[FEATURE_COUNT], const struct feature_set *wanted, const struct batch *batch, uint32_t first,
                           uint32_t from, uint32_t count, const struct figures *figures);

#endif
