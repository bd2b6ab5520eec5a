/* A batch into a frame: one block of memory, its bound computed first, so that nothing in between can fail.
 * Texts name columns and ops, never numbers: a later list of columns reads old frames. */
#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "ledger/filter.h"
#include "ledger/frame.h"
#include "ledger/pack.h"

enum { META_BYTES = 512 };

static size_t values_bytes(const struct column *column)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < column->value_count; i++)
        bytes += column->values[i].bytes;
    return bytes;
}

static bool is_dict(const struct column *column)
{
    return column->form == FORM_DICT8 || column->form == FORM_DICT16 || column->form == FORM_DICT32;
}

static unsigned code_width(const struct column *column)
{
    return column->form == FORM_DICT8 ? 1 : column->form == FORM_DICT16 ? 2 : 4;
}

static uint32_t str_bounds(const struct column *column, uint32_t row)
{
    uint32_t bound;
    memcpy(&bound, column->offsets + 4 * (size_t)row, sizeof bound);
    return bound;
}

/* Calls for every column that is there, known ones first. */
struct column_walk {
    const struct batch *batch;
    unsigned next;
};
static const struct column *walk_next(struct column_walk *walk, struct text *name)
{
    const struct batch *batch = walk->batch;
    while (walk->next < COLUMN_COUNT + batch->other_count) {
        unsigned i = walk->next++;
        const struct column *column = i < COLUMN_COUNT ? &batch->columns[i] : &batch->others[i - COLUMN_COUNT];
        *name = i < COLUMN_COUNT ? text_of(column_name((uint16_t)i)) : column->name;
        if (column->form != FORM_ABSENT)
            return column;
    }
    return NULL;
}

struct bounds { /* bytes of the body at the most, and of scratch for one column */
    size_t body, scratch, count_max;
};

static void bound_column(struct bounds *bounds, const struct column *column, struct text name, uint32_t rows)
{
    size_t scratch = 8 * ((size_t)rows + 1);
    bounds->body += 8 * PACK_BLOCK_BYTES + name.bytes + rows / 8 + 1 + 8 * (size_t)rows;
    if (column->form == FORM_STR) {
        size_t bytes = str_bounds(column, rows) - str_bounds(column, 0);
        bounds->body += bytes;
        scratch = bytes > scratch ? bytes : scratch;
    } else if (is_dict(column)) {
        size_t bytes = values_bytes(column);
        bounds->body += 4 * (size_t)column->value_count + bytes;
        scratch = 8 * (size_t)column->value_count + 2 * bytes;
        bounds->count_max = column->value_count > bounds->count_max ? column->value_count : bounds->count_max;
    }
    bounds->scratch = scratch > bounds->scratch ? scratch : bounds->scratch;
}

static size_t bound_fields(const void *fields, const struct frame_field *list, unsigned count, uint32_t rows)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < count; i++)
        if (frame_field_get(fields, &list[i]))
            bytes += PACK_BLOCK_BYTES + (size_t)list[i].width * rows;
    return bytes;
}

static size_t bound_reasons(const struct results *results)
{
    size_t bytes = 0;
    for (uint32_t i = 0; results->reasons && i < results->slice_count; i++)
        bytes += 4 * PACK_BLOCK_BYTES + results->reasons[i].count * (5 + REASONS_MAX * sizeof(struct reason));
    return bytes;
}

static struct bounds bounds_of(const struct batch *batch)
{
    struct bounds bounds = {.body = META_BYTES, .count_max = (size_t)batch->row_count + 1};
    struct column_walk walk = {.batch = batch};
    const struct column *column;
    struct text name;
    while ((column = walk_next(&walk, &name)))
        bound_column(&bounds, column, name, batch->row_count);
    bounds.body += batch->tenant.bytes + batch->id.bytes + batch->name.bytes;
    bounds.body += bound_fields(&batch->facts, frame_fact_fields, frame_fact_field_count, batch->row_count);
    bounds.body += bound_fields(&batch->results, frame_result_fields, frame_result_field_count, batch->row_count);
    bounds.body += bound_reasons(&batch->results);
    bounds.body += batch->note_count * (sizeof(struct check_note) + 64);
    bounds.body += sizeof batch->rule_counts / sizeof batch->rule_counts[0][0] * (4 + 1 + 64);
    bounds.body += 8 * bounds.count_max + 2 * PACK_BLOCK_BYTES; /* narrowing's room, see pack_ints */
    bounds.body = (bounds.body + FRAME_ALIGN - 1) / FRAME_ALIGN * FRAME_ALIGN;
    return bounds;
}

/* Bytes of every value; 0: they differ. */
static unsigned values_width(const struct text *values, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        if (values[i].bytes != values[0].bytes)
            return 0;
    return count ? values[0].bytes : 0;
}

static void encode_values(struct packer *packer, const struct text *values, uint32_t count, unsigned char *scratch)
{
    unsigned char *texts = scratch + 4 * (size_t)count, *at = texts;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(scratch + 4 * (size_t)i, &values[i].bytes, 4);
        if (values[i].bytes)
            memcpy(at, values[i].data, values[i].bytes);
        at += values[i].bytes;
    }
    size_t bytes = (size_t)(at - texts);
    pack_array_taken(packer, count * sizeof(struct text));
    pack_ints(packer, scratch, 4, count, true);
    pack_uint(packer, bytes, 4);
    pack_texts(packer, texts, bytes, values_width(values, count), count, at);
}

/* Bytes of every cell; 0: they differ. */
static unsigned str_width(const struct column *column, uint32_t rows)
{
    uint32_t first = str_bounds(column, 0), width = rows ? str_bounds(column, 1) - first : 0;
    for (uint32_t row = 0; row <= rows; row++)
        if (str_bounds(column, row) - first != (uint64_t)row * width)
            return 0;
    return width;
}

static void encode_str(struct packer *packer, const struct column *column, uint32_t rows, unsigned char *scratch)
{
    uint32_t first = str_bounds(column, 0), bytes = str_bounds(column, rows) - first, width = str_width(column, rows);
    for (uint32_t row = 0; first && !width && row <= rows; row++) {
        uint32_t bound = str_bounds(column, row) - first;
        memcpy(scratch + 4 * (size_t)row, &bound, 4);
    }
    if (width)
        pack_bounds(packer, width, rows + 1);
    else
        pack_ints(packer, first ? scratch : column->offsets, 4, rows + 1, true);
    pack_uint(packer, bytes, 4);
    pack_texts(packer, column->data + first, bytes, width, rows, scratch);
}

static void encode_column(struct packer *packer, const struct column *column, struct text name, uint32_t rows, unsigned char *scratch)
{
    pack_text(packer, name);
    pack_uint(packer, column->form, 1);
    pack_uint(packer, column->valid != NULL, 1);
    if (column->valid) {
        pack_array_taken(packer, (rows + 7) / 8);
        pack_block(packer, column->valid, (rows + 7) / 8, true);
    }
    if (column->form == FORM_I64 || column->form == FORM_F64) {
        pack_ints(packer, column->data, 8, rows, column->form == FORM_I64);
    } else if (column->form == FORM_STR) {
        encode_str(packer, column, rows, scratch);
    } else {
        pack_uint(packer, column->value_count, 4);
        encode_values(packer, column->values, column->value_count, scratch);
        pack_ints(packer, column->data, code_width(column), rows, true);
    }
}

static void encode_columns(struct packer *packer, const struct batch *batch, unsigned char *scratch)
{
    struct column_walk walk = {.batch = batch};
    const struct column *column;
    struct text name;
    uint32_t count = 0;
    while (walk_next(&walk, &name))
        count++;
    pack_uint(packer, count, 2);
    for (walk.next = 0; (column = walk_next(&walk, &name));) {
        pack_uint(packer, walk.next > COLUMN_COUNT, 1);
        encode_column(packer, column, name, batch->row_count, scratch);
    }
}

static uint64_t key_at(const unsigned char *keys, unsigned width, uint32_t row)
{
    uint64_t key;
    uint32_t tag;
    if (width == 8)
        return memcpy(&key, keys + 8 * (size_t)row, sizeof key), key;
    return memcpy(&tag, keys + 4 * (size_t)row, sizeof tag), tag;
}

/* hashes: of every row (str) or value (dict). */
static bool column_gives_keys(const struct column *column, const uint64_t *hashes, const unsigned char *keys, unsigned width, uint32_t rows,
                              uint64_t empty)
{
    uint64_t differ = 0;
    for (uint32_t row = 0; column->form == FORM_STR && row < rows; row++)
        differ |= key_at(keys, width, row) ^ frame_key_of(hashes[row], empty, width);
    for (uint32_t row = 0; column->form != FORM_STR && row < rows; row++) {
        uint64_t hash = column_is_valid(column, row) ? hashes[column_code(column, row)] : 0;
        differ |= key_at(keys, width, row) ^ frame_key_of(hash, empty, width);
    }
    return differ == 0;
}

/* FIELD_AS_KEYS and which, or FIELD_HERE. */
static unsigned keys_how(const struct batch *batch, const struct frame_field *field, const void *keys, const struct filter_keys *known,
                         uint64_t *scratch)
{
    uint64_t empty = filter_key(batch->key_seed, FILTER_ACCOUNT, text_of(""));
    for (unsigned i = 0; i < 2; i++) {
        enum column_id id = field->keyed[i];
        if (id == COLUMN_COUNT || batch->columns[id].form == FORM_ABSENT)
            continue;
        const struct column *column = &batch->columns[id];
        const uint64_t *hashes = id == COLUMN_transfer_id ? known->keys[0]
                                 : id == COLUMN_payer_id  ? known->keys[1]
                                 : id == COLUMN_payee_id  ? known->keys[2]
                                                          : NULL;
        if (!hashes) {
            column_hashes(column, column->form == FORM_STR ? batch->row_count : 0, batch->key_seed, scratch, scratch);
            hashes = scratch;
        }
        if (column_gives_keys(column, hashes, keys, field->width, batch->row_count, empty))
            return FIELD_AS_KEYS + i;
    }
    return FIELD_HERE;
}

/* What can be made again from a column is not stored. */
static unsigned field_how(const struct batch *batch, const struct frame_field *field, const void *array, const struct filter_keys *keys,
                          unsigned char *scratch)
{
    size_t bytes = (size_t)field->width * batch->row_count;
    if (!array)
        return FIELD_ABSENT;
    if (field->column < COLUMN_COUNT && batch->columns[field->column].form == FORM_I64 &&
        memcmp(batch->columns[field->column].data, array, bytes) == 0)
        return FIELD_AS_COLUMN;
    return field->keyed[0] < COLUMN_COUNT ? keys_how(batch, field, array, keys, (uint64_t *)(void *)scratch) : FIELD_HERE;
}

static void encode_fields(struct packer *packer, const struct batch *batch, const void *fields, const struct frame_field *list,
                          unsigned count, const struct filter_keys *keys, unsigned char *scratch)
{
    pack_uint(packer, count, 1);
    for (unsigned i = 0; i < count; i++) {
        const void *array = frame_field_get(fields, &list[i]);
        unsigned how = field_how(batch, &list[i], array, keys, scratch);
        pack_uint(packer, how, 1);
        if (how == FIELD_HERE)
            pack_ints(packer, array, list[i].width, batch->row_count, list[i].gains);
        else if (how != FIELD_ABSENT)
            pack_array_taken(packer, (how >= FIELD_AS_KEYS ? 8 : (size_t)list[i].width) * batch->row_count);
        if (how >= FIELD_AS_KEYS)
            pack_array_taken(packer, 8 * (size_t)batch->columns[list[i].keyed[how - FIELD_AS_KEYS]].value_count);
    }
}

static void encode_reason(struct packer *packer, const struct reason *reason)
{
    pack_uint(packer, reason->feature, 2);
    pack_uint(packer, reason->dimension, 2);
    pack_raw(packer, &reason->value, sizeof reason->value);
    pack_raw(packer, &reason->share, sizeof reason->share);
}

static void encode_reasons(struct packer *packer, const struct results *results)
{
    uint32_t slice_count = results->reasons ? results->slice_count : 0;
    pack_uint(packer, slice_count, 4);
    pack_array_taken(packer, slice_count * sizeof(struct reason_block));
    for (uint32_t i = 0; i < slice_count; i++) {
        const struct reason_block *block = &results->reasons[i];
        pack_uint(packer, block->count, 4);
        if (block->count == 0)
            continue;
        pack_ints(packer, block->row, 4, block->count, true);
        pack_ints(packer, block->reason_count, 1, block->count, true);
        pack_array_taken(packer, block->count * REASONS_MAX * sizeof(struct reason));
        for (uint32_t j = 0; j < block->count; j++)
            for (unsigned k = 0; k < block->reason_count[j]; k++)
                encode_reason(packer, &block->reasons[(size_t)j * REASONS_MAX + k]);
    }
}

/* The name of a column; "": none. At most 255 bytes, as every text here. */
static void encode_short(struct packer *packer, struct text text)
{
    pack_uint(packer, text.bytes, 1);
    pack_raw(packer, text.data, text.bytes);
}

static void encode_notes(struct packer *packer, const struct batch *batch)
{
    pack_uint(packer, batch->note_count, 4);
    pack_array_taken(packer, batch->note_count * sizeof(struct check_note));
    for (uint32_t i = 0; i < batch->note_count; i++) {
        const struct check_note *note = &batch->notes[i];
        pack_uint(packer, note->row, 4);
        encode_short(packer, batch_column_name(batch, note->column));
        encode_short(packer, text_of(note->text));
    }
}

static void encode_rule_counts(struct packer *packer, const struct batch *batch)
{
    for (uint16_t column = 0; column < COLUMN_COUNT + batch->other_count; column++)
        for (unsigned rule = 0; rule < RULE_COUNT; rule++)
            if (batch->rule_counts[column][rule]) {
                pack_uint(packer, batch->rule_counts[column][rule], 4);
                pack_uint(packer, rule, 1);
                encode_short(packer, batch_column_name(batch, column));
            }
    pack_uint(packer, 0, 4);
}

static void encode_meta(struct packer *packer, const struct batch *batch)
{
    pack_uint(packer, (uint64_t)batch->now_us, 8);
    pack_uint(packer, batch->digest.low, 8);
    pack_uint(packer, batch->digest.high, 8);
    pack_uint(packer, batch->scene_epoch, 8);
    pack_uint(packer, batch->config_epoch, 8);
    pack_uint(packer, batch->key_seed, 8);
    pack_uint(packer, (uint64_t)batch->feedback_delay_us, 8);
    pack_uint(packer, batch->observe_kind, 1);
    pack_uint(packer, batch->reply_in_rows, 1);
    encode_short(packer, text_of(op_names[batch->op]));
    pack_text(packer, batch->tenant);
    pack_text(packer, batch->id);
    pack_text(packer, batch->name);
}

static void encode_body(struct packer *packer, const struct batch *batch, const struct filter_keys *keys, unsigned char *scratch)
{
    encode_meta(packer, batch);
    encode_columns(packer, batch, scratch);
    encode_fields(packer, batch, &batch->facts, frame_fact_fields, frame_fact_field_count, keys, scratch);
    encode_fields(packer, batch, &batch->results, frame_result_fields, frame_result_field_count, keys, scratch);
    encode_reasons(packer, &batch->results);
    encode_notes(packer, batch);
    encode_rule_counts(packer, batch);
    if (packer->arena_bytes < batch->row_count) /* decode bounds the rows by it */
        packer->arena_bytes = batch->row_count;
    size_t bytes = (size_t)(packer->at - packer->start), least = packer->arena_bytes / FRAME_RATIO_MAX + 1;
    size_t padded = ((bytes > least ? bytes : least) + FRAME_ALIGN - 1) / FRAME_ALIGN * FRAME_ALIGN;
    MUST(padded <= (size_t)(packer->end - packer->start));
    memset(packer->at, 0, padded - bytes);
    packer->at += padded - bytes;
}

static void count_rows(struct frame *frame, const struct batch *batch)
{
    const struct results *results = &batch->results;
    for (uint32_t row = 0; results->verdict && row < batch->row_count; row++)
        frame->verdict_counts[results->verdict[row] < VERDICT_COUNT ? results->verdict[row] : VERDICT_INVALID]++;
    for (uint32_t row = 0; results->scene && row < batch->row_count; row++)
        frame->scene_mask |= UINT32_C(1) << (results->scene[row] < 31 ? results->scene[row] : 31);
}

/* Header and filter around the body that lies between them. */
static void frame_finish(struct frame *frame, const struct batch *batch, const struct packer *packer, void *bitmap)
{
    struct frame_header header = {.magic = FRAME_MAGIC,
                                  .version = FRAME_VERSION,
                                  .sequence = batch->sequence,
                                  .body_bytes = (uint64_t)(packer->at - packer->start),
                                  .arena_bytes = packer->arena_bytes + FRAME_ALIGN,
                                  .key_seed = batch->key_seed,
                                  .filter_blocks = filter_block_count(&frame->keys, bitmap),
                                  .row_count = batch->row_count};
    MUST(header.filter_blocks <= filter_blocks_max(batch));
    filter_write(packer->at, header.filter_blocks, &frame->keys);
    frame->filter_blocks = header.filter_blocks;
    frame->bytes = sizeof header + header.body_bytes + (size_t)header.filter_blocks * FILTER_BLOCK_BYTES;
    memcpy(frame->data, &header, sizeof header);
    header.checksum = frame_checksum(frame->data, frame->bytes);
    memcpy(frame->data, &header, sizeof header);
}

static size_t up(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

/* Two blocks: the frame, which stays as large as it could have become, and what it is worked out in. */
enum fault frame_encode(struct frame **out, const struct batch *batch, struct fault_note *note)
{
    MUST(batch->magic == (unsigned)BATCH_MAGIC);
    struct bounds bounds = bounds_of(batch);
    size_t scratch_room = up(bounds.scratch > filter_bitmap_bytes(batch) ? bounds.scratch : filter_bitmap_bytes(batch));
    size_t workspace_room = bounds.body > FRAME_RATIO_MAX ? pack_workspace_bytes() : 0;
    size_t data_room = sizeof(struct frame_header) + bounds.body + filter_blocks_max(batch) * FILTER_BLOCK_BYTES;
    unsigned char *scratch = memory_take(scratch_room + workspace_room);
    struct frame *frame = scratch ? memory_take(sizeof *frame + data_room + filter_keys_bytes(batch)) : NULL;
    if (frame) {
        *frame = (struct frame){.magic = (unsigned)FRAME_HELD_MAGIC};
        unsigned char *body = frame->data + sizeof(struct frame_header);
        struct packer packer = {.start = body,
                                .at = body,
                                .end = body + bounds.body,
                                .context = workspace_room ? pack_context_init(scratch + scratch_room) : NULL};
        filter_collect(&frame->keys, frame->data + data_room, batch);
        encode_body(&packer, batch, &frame->keys, scratch);
        frame_finish(frame, batch, &packer, scratch);
        count_rows(frame, batch);
    }
    memory_give(scratch);
    *out = frame;
    return frame ? FAULT_NONE
                 : fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to encode a batch of %u rows", batch->row_count);
}
