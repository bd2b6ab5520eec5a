#ifndef SLUICE_PIPELINE_EXPLAIN_H
#define SLUICE_PIPELINE_EXPLAIN_H

#include "pipeline/again.h"
#include "pipeline/internal.h"

/* The part of an explanation that is worked out again: ask_explain.c packs what was recorded, explain_pack.c this. */

enum { EXPLAIN_AGAIN_PAIRS = 9, EXPLAIN_IDS = 6, EXPLAIN_ID_BYTES = 129 };

struct explain_ids { /* of the transfer's own nodes; "" where it names none */
    const char *nodes[EXPLAIN_IDS];
    char texts[EXPLAIN_IDS][EXPLAIN_ID_BYTES];
};

/* again NULL or not exact: nil and empty lists, and why. */
void explain_pack_again(struct wire_buffer *out, const struct again *again, const char *why, const struct explain_ids *ids);

#endif
