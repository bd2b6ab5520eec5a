#ifndef SLUICE_WIRE_RELEASE_H
#define SLUICE_WIRE_RELEASE_H

#include "wire/wire.h"

/* A second batch as JSON, for a processor: {"id", "tenant", "batch", "rows", "transfers": [{column: value, …}, …]}. The same rows of the
 * same recorded batches give the same bytes. docs/connectors.md */

struct release_head {
    const char *id, *tenant, *batch;
    uint32_t row_count;
};
void release_begin(struct wire_buffer *out, const struct release_head *head);
/* Rows of one recorded batch, ascending; may be called for several batches. *told: rows written so far, 0 at first. Ends before the last
 * row when out has more than bytes_max. */
void release_rows(struct wire_buffer *out, const struct batch *batch, const uint32_t *rows, uint32_t row_count, size_t bytes_max,
                  uint32_t *told);
/* FAULT_memory when the buffer failed. */
enum fault release_end(struct wire_buffer *out, struct fault_note *note);

#endif
