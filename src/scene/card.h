#ifndef SLUICE_SCENE_CARD_H
#define SLUICE_SCENE_CARD_H

#include <stddef.h>
#include <stdint.h>

#include "scene/build.h"
#include "scene/scene_base.h"

/* Where a base comes from, for people: in the base as `provenance`, and beside it as its card. */

struct build_origin {
    const char *input; /* name of the file, without its folder */
    uint64_t rows, rows_invalid, train_rows;
    const char *train_from, *train_to, *until; /* ISO 8601, UTC; NULL: open */
    double delay_days;
    bool batch_features;
    uint32_t batch_rows;
};

char *card_provenance(const struct build_origin *origin,
                      const struct build_options *options); /* JSON text (json_text_give); NULL: memory */
/* The card in Markdown (free), out of the base's own metadata; NULL: memory. page: where its figures are shown, or NULL. */
char *card_text(const struct scene_base *base, const char *page);

#endif
