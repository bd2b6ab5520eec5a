/* Only the features that are named travel: codes of a reply count them in the catalogue's order. Blocks are in row order
 * and hold REASONS_MAX places a row, of which reason_count are filled. */
#include "wire/reply.h"

#include "base/must.h"

enum { FEATURES_MAX = 1024 };

struct feature_codes {
    uint16_t code[FEATURES_MAX]; /* 1-based; 0: not named */
    uint32_t named_count;
};

/* A visit to every reason, in order. */
typedef void reason_fn(struct wire_buffer *out, struct feature_codes *codes, const struct reason *reason);

static void each_reason(struct wire_buffer *out, struct feature_codes *codes, const struct batch *batch, reason_fn *visit)
{
    for (uint32_t slice = 0; slice < batch->results.slice_count; slice++) {
        const struct reason_block *block = &batch->results.reasons[slice];
        for (uint32_t i = 0; i < block->count; i++)
            for (uint32_t k = 0; k < block->reason_count[i]; k++)
                visit(out, codes, &block->reasons[(size_t)i * REASONS_MAX + k]);
    }
}

static void mark_feature(struct wire_buffer *out, struct feature_codes *codes, const struct reason *reason)
{
    (void)out;
    MUST(reason->feature < FEATURES_MAX);
    codes->code[reason->feature] = 1;
}

static void number_features(struct feature_codes *out, const struct batch *batch, const struct reply_names *names)
{
    *out = (struct feature_codes){0};
    MUST(names->feature_count <= FEATURES_MAX);
    each_reason(NULL, out, batch, mark_feature);
    for (uint32_t i = 0; i < names->feature_count; i++)
        if (out->code[i])
            out->code[i] = (uint16_t)++out->named_count;
}

void reply_feature_table(struct wire_buffer *out, const struct batch *batch, const struct reply_names *names)
{
    struct feature_codes codes;
    number_features(&codes, batch, names);
    wire_pack_text(out, "feature");
    wire_pack_array(out, codes.named_count);
    for (uint32_t i = 0; i < names->feature_count; i++)
        if (codes.code[i])
            wire_pack_text(out, names->features[i]);
}

static void put_feature(struct wire_buffer *out, struct feature_codes *codes, const struct reason *reason)
{
    uint16_t code = (uint16_t)(codes->code[reason->feature] - 1);
    pack_bytes(out, &code, sizeof code);
}

static void put_dimension(struct wire_buffer *out, struct feature_codes *codes, const struct reason *reason)
{
    (void)codes;
    uint8_t dimension = (uint8_t)reason->dimension;
    pack_bytes(out, &dimension, sizeof dimension);
}

static void put_value(struct wire_buffer *out, struct feature_codes *codes, const struct reason *reason)
{
    (void)codes;
    pack_bytes(out, &reason->value, sizeof reason->value);
}

static void put_share(struct wire_buffer *out, struct feature_codes *codes, const struct reason *reason)
{
    (void)codes;
    pack_bytes(out, &reason->share, sizeof reason->share);
}

void reply_reasons(struct wire_buffer *out, const struct batch *batch, const struct reply_names *names)
{
    const struct results *results = &batch->results;
    struct feature_codes codes;
    number_features(&codes, batch, names);
    size_t row_count = 0, reason_count = 0;
    for (uint32_t slice = 0; slice < results->slice_count; slice++) {
        row_count += results->reasons[slice].count;
        for (uint32_t i = 0; i < results->reasons[slice].count; i++)
            reason_count += results->reasons[slice].reason_count[i];
    }
    wire_pack_text(out, "reasons");
    wire_pack_map(out, names->with_margins ? 6 : 4);
    wire_pack_text(out, "rows");
    pack_bin_head(out, row_count * sizeof(uint32_t));
    for (uint32_t slice = 0; slice < results->slice_count; slice++)
        pack_bytes(out, results->reasons[slice].row, results->reasons[slice].count * sizeof(uint32_t));
    wire_pack_text(out, "count");
    pack_bin_head(out, row_count);
    for (uint32_t slice = 0; slice < results->slice_count; slice++)
        pack_bytes(out, results->reasons[slice].reason_count, results->reasons[slice].count);
    const struct {
        const char *key;
        size_t bytes;
        reason_fn *put;
    } parts[] = {{"feature", sizeof(uint16_t), put_feature},
                 {"dimension", sizeof(uint8_t), put_dimension},
                 {"value", sizeof(float), put_value},
                 {"share", sizeof(float), put_share}};
    for (size_t i = 0; i < (names->with_margins ? 4u : 2u); i++) {
        wire_pack_text(out, parts[i].key);
        pack_bin_head(out, reason_count * parts[i].bytes);
        each_reason(out, &codes, batch, parts[i].put);
    }
}

const struct reason *reason_next(struct reason_cursor *cursor, uint32_t *out_count, const struct batch *batch, uint32_t row)
{
    const struct results *results = &batch->results;
    while (cursor->block < results->slice_count && cursor->index == results->reasons[cursor->block].count)
        *cursor = (struct reason_cursor){.block = cursor->block + 1};
    *out_count = 0;
    if (cursor->block == results->slice_count || results->reasons[cursor->block].row[cursor->index] != row)
        return NULL;
    const struct reason_block *block = &results->reasons[cursor->block];
    *out_count = block->reason_count[cursor->index];
    return &block->reasons[(size_t)cursor->index++ * REASONS_MAX];
}

void reply_row_reasons(struct wire_buffer *out, const struct reason *reasons, uint32_t count, const struct reply_names *names)
{
    wire_pack_text(out, "reasons");
    wire_pack_array(out, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct reason *reason = &reasons[i];
        wire_pack_map(out, names->with_margins ? 4 : 2);
        pack_key_text(out, "feature", reason->feature < names->feature_count ? names->features[reason->feature] : "");
        pack_key_text(out, "dimension", reason->dimension < DIMENSION_COUNT ? dimension_names[reason->dimension] : "");
        if (!names->with_margins)
            continue;
        pack_key_f32(out, "value", reason->value);
        pack_key_f32(out, "share", reason->share);
    }
}
