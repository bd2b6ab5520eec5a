#ifndef SLUICE_PIPELINE_LABEL_TABLE_H
#define SLUICE_PIPELINE_LABEL_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "batch/batch.h"

/* Transfers whose label is known, by tenant and id. One thread fills it, any reads it then. */

struct label_entry {
    struct digest transfer; /* both 0: empty place */
    uint8_t label;
};
struct label_table {
    struct label_entry *places;
    uint64_t count, size; /* size: a power of two, or 0 */
};

/* The first one of a transfer stays. false: no memory. */
bool label_table_put(struct label_table *table, struct text tenant, struct text transfer, uint8_t label);
bool label_table_find(const struct label_table *table, struct text tenant, struct text transfer, uint8_t *out);
void label_table_fini(struct label_table *table); /* safe on zeroed memory */

#endif
