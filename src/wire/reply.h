#ifndef SLUICE_WIRE_REPLY_H
#define SLUICE_WIRE_REPLY_H

#include "wire/pack.h"

/* Reasons of the rows that did not pass, in both forms of a reply. */

/* Key `feature` of the tables: the features that this reply names, in the order of the catalogue. */
void reply_feature_table(struct wire_buffer *out, const struct batch *batch, const struct reply_names *names);
/* Keys `reasons` of the columns form: rows, count, feature, dimension, and value and share for who may see margins. */
void reply_reasons(struct wire_buffer *out, const struct batch *batch, const struct reply_names *names);

/* Walks over the reason blocks row by row, ascending. */
struct reason_cursor {
    uint32_t block, index;
};
/* Reasons of the row at which the cursor stands, moving it on; NULL when there are none of that row. */
const struct reason *reason_next(struct reason_cursor *cursor, uint32_t *out_count, const struct batch *batch, uint32_t row);
void reply_row_reasons(struct wire_buffer *out, const struct reason *reasons, uint32_t count, const struct reply_names *names);

#endif
