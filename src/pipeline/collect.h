#ifndef SLUICE_PIPELINE_COLLECT_H
#define SLUICE_PIPELINE_COLLECT_H

#include "pipeline/past.h"
#include "scene/build.h"

/* Feature rows of a window, in order. At most rows_max are held: whenever they are full, every second thinnable row goes,
 * by a hash of its place, so that what stays does not depend on when it came. */

enum { LABELS_MAX = SCENE_UNKNOWN, LABEL_BYTES = 64 };

struct labels { /* names in the order in which they came; 0 is good */
    uint32_t count;
    char name[LABELS_MAX][LABEL_BYTES];
};
void labels_init(struct labels *labels);
/* Index of the label; a new one is added. FAULT_limit: too many or too long. */
enum fault labels_find(uint8_t *out, struct labels *labels, struct text name, struct fault_note *note);

struct collect {
    struct feature_set wanted;
    uint32_t feature_count, rows_max, row_count, chunk_count, chunk_capacity, shift;
    bool thin_all; /* rows of any label thin out, not only background */
    uint64_t seed, place;
    struct build_chunk *chunks;
    uint8_t (*rank)[SLICE_ROWS];
};

void collect_init(struct collect *collect, const struct feature_set *wanted, uint32_t rows_max, bool thin_all, uint64_t seed);
void collect_fini(struct collect *collect); /* safe on zeroed memory */
/* One row of the block, labelled. */
enum fault collect_row(struct collect *collect, const struct feature_block *block, uint32_t row, uint8_t label, struct fault_note *note);
void collect_relabel(struct collect *collect, const uint8_t to[256]);
struct build_sample collect_sample(const struct collect *collect); /* borrows */

#endif
