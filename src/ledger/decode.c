/* A frame back into a batch. Hostile-safe: checksum first, then every length, code, row and name is checked as if there
 * were none; the arena's size is bounded by the frame's own bytes. */
#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "ledger/filter.h"
#include "ledger/frame.h"
#include "ledger/pack.h"

enum { FRAME_ROWS_MAX = 1 << 27 };

static enum fault frame_broken(struct fault_note *note, const char *what)
{
    return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "the frame is damaged: %s", what);
}

static void broken_if(struct unpacker *unpacker, bool condition)
{
    unpacker->broken = unpacker->broken || condition;
}

/* A text of at most 255 bytes, with its end mark, into out. */
static const char *decode_short(struct unpacker *unpacker, char out[256])
{
    size_t bytes = unpack_uint(unpacker, 1);
    const unsigned char *at = unpack_raw(unpacker, bytes);
    if (at)
        memcpy(out, at, bytes);
    out[at ? bytes : 0] = '\0';
    return out;
}

static void decode_meta(struct batch *batch, struct unpacker *unpacker)
{
    char op[256];
    batch->now_us = (int64_t)unpack_uint(unpacker, 8);
    batch->digest.low = unpack_uint(unpacker, 8);
    batch->digest.high = unpack_uint(unpacker, 8);
    batch->scene_epoch = unpack_uint(unpacker, 8);
    batch->config_epoch = unpack_uint(unpacker, 8);
    batch->key_seed = unpack_uint(unpacker, 8);
    batch->feedback_delay_us = (int64_t)unpack_uint(unpacker, 8);
    unsigned kind = (unsigned)unpack_uint(unpacker, 1);
    batch->reply_in_rows = unpack_uint(unpacker, 1) != 0;
    batch->op = op_find(text_of(decode_short(unpacker, op)));
    batch->tenant = unpack_text(unpacker);
    batch->id = unpack_text(unpacker);
    batch->name = unpack_text(unpacker);
    broken_if(unpacker, kind >= OBSERVE_COUNT || batch->op == OP_COUNT);
    batch->observe_kind = unpacker->broken ? OBSERVE_NONE : (enum observe_kind)kind;
    batch->op = unpacker->broken ? OP_hello : batch->op;
}

static void decode_str(struct column *column, struct unpacker *unpacker, uint32_t rows)
{
    unsigned char *offsets = unpack_ints(unpacker, 4, rows + 1);
    uint32_t bytes = (uint32_t)unpack_uint(unpacker, 4), before = 0, bound = 0;
    column->data = unpack_texts(unpacker, bytes, rows);
    column->offsets = offsets;
    for (uint32_t row = 0; offsets && row <= rows; row++, before = bound) {
        memcpy(&bound, offsets + 4 * (size_t)row, 4);
        broken_if(unpacker, bound < before || bound > bytes || (row == 0 && bound != 0));
    }
    broken_if(unpacker, bound != bytes);
}

static struct text *decode_texts(struct unpacker *unpacker, uint32_t count)
{
    struct text *values = unpack_array(unpacker, count * sizeof *values);
    const unsigned char *lengths = unpack_ints(unpacker, 4, count);
    uint32_t bytes = (uint32_t)unpack_uint(unpacker, 4), left = bytes;
    const char *at = unpack_texts(unpacker, bytes, count);
    for (uint32_t i = 0; values && at && lengths && i < count; i++) {
        uint32_t length;
        memcpy(&length, lengths + 4 * (size_t)i, 4);
        broken_if(unpacker, length > left);
        length = length > left ? 0 : length;
        values[i] = (struct text){.data = at, .bytes = length};
        at += length, left -= length;
    }
    broken_if(unpacker, left != 0);
    return values;
}

static void decode_dict(struct column *column, struct unpacker *unpacker, uint32_t rows)
{
    unsigned width = column->form == FORM_DICT8 ? 1 : column->form == FORM_DICT16 ? 2 : 4;
    column->value_count = (uint32_t)unpack_uint(unpacker, 4);
    column->values = decode_texts(unpacker, unpacker->broken ? 0 : column->value_count);
    column->data = unpack_ints(unpacker, width, rows);
    for (uint32_t row = 0; column->data && row < rows; row++)
        broken_if(unpacker, column_is_valid(column, row) && column_code(column, row) >= column->value_count);
}

static void decode_cells(struct column *column, struct unpacker *unpacker, uint32_t rows)
{
    unsigned form = (unsigned)unpack_uint(unpacker, 1), has_valid = (unsigned)unpack_uint(unpacker, 1);
    broken_if(unpacker, form == FORM_ABSENT || form > FORM_DICT32 || has_valid > 1);
    if (unpacker->broken)
        return;
    column->form = (enum column_form)form;
    column->valid = has_valid ? unpack_bytes(unpacker, ((size_t)rows + 7) / 8) : NULL;
    if (column->form == FORM_I64 || column->form == FORM_F64)
        column->data = unpack_ints(unpacker, 8, rows);
    else if (column->form == FORM_STR)
        decode_str(column, unpacker, rows);
    else if (!unpacker->broken)
        decode_dict(column, unpacker, rows);
}

static bool form_fits(enum column_form form, enum column_id id)
{
    bool is_text = form != FORM_I64 && form != FORM_F64;
    return form != FORM_F64 && is_text == (column_type_of((uint16_t)id) == COLUMN_TEXT);
}

static void decode_columns(struct batch *batch, struct unpacker *unpacker)
{
    unsigned count = (unsigned)unpack_uint(unpacker, 2);
    for (unsigned i = 0; i < count && !unpacker->broken; i++) {
        bool is_other = unpack_uint(unpacker, 1) != 0;
        struct column column = {.name = unpack_text(unpacker)};
        enum column_id id = is_other ? COLUMN_COUNT : column_find(column.name);
        decode_cells(&column, unpacker, batch->row_count);
        broken_if(unpacker, is_other ? batch->other_count == OTHER_COLUMNS_MAX : id == COLUMN_COUNT);
        if (unpacker->broken)
            return;
        if (is_other)
            batch->others[batch->other_count++] = column;
        else if (form_fits(column.form, id) && batch->columns[id].form == FORM_ABSENT)
            batch->columns[id] = column;
        else
            unpacker->broken = true;
    }
}

static void *decode_as_column(const struct batch *batch, struct unpacker *unpacker, const struct frame_field *field)
{
    bool fits = field->column < COLUMN_COUNT && batch->columns[field->column].form == FORM_I64;
    void *array = fits ? unpack_array(unpacker, 8 * (size_t)batch->row_count) : NULL;
    if (array && batch->row_count)
        memcpy(array, batch->columns[field->column].data, 8 * (size_t)batch->row_count);
    broken_if(unpacker, !array);
    return array;
}

static void *decode_as_keys(const struct batch *batch, struct unpacker *unpacker, uint16_t id, unsigned width)
{
    bool fits = id < COLUMN_COUNT && batch->columns[id].form != FORM_ABSENT && column_type_of(id) == COLUMN_TEXT;
    uint64_t *keys = fits ? unpack_array(unpacker, 8 * (size_t)batch->row_count) : NULL;
    uint64_t *scratch = keys ? unpack_array(unpacker, 8 * (size_t)batch->columns[id].value_count) : NULL;
    broken_if(unpacker, !scratch);
    if (!scratch)
        return NULL;
    uint64_t empty = filter_key(batch->key_seed, FILTER_ACCOUNT, text_of(""));
    column_hashes(&batch->columns[id], batch->row_count, batch->key_seed, keys, scratch);
    for (uint32_t row = 0; row < batch->row_count; row++) { /* in place: what is written is never wider than what was read */
        uint64_t key = frame_key_of(keys[row], empty, width);
        memcpy((unsigned char *)keys + (size_t)width * row, &key, width);
    }
    return keys;
}

static void decode_fields(void *fields, const struct batch *batch, struct unpacker *unpacker, const struct frame_field *list,
                          unsigned list_count)
{
    unsigned count = (unsigned)unpack_uint(unpacker, 1);
    broken_if(unpacker, count > list_count);
    for (unsigned i = 0; i < count && !unpacker->broken; i++) {
        unsigned how = (unsigned)unpack_uint(unpacker, 1);
        if (how == FIELD_HERE)
            frame_field_set(fields, &list[i], unpack_ints(unpacker, list[i].width, batch->row_count));
        else if (how == FIELD_AS_COLUMN)
            frame_field_set(fields, &list[i], decode_as_column(batch, unpacker, &list[i]));
        else if (how >= FIELD_AS_KEYS && how < FIELD_HOW_COUNT)
            frame_field_set(fields, &list[i], decode_as_keys(batch, unpacker, list[i].keyed[how - FIELD_AS_KEYS], list[i].width));
        else
            broken_if(unpacker, how != FIELD_ABSENT);
    }
}

static void codes_check(struct unpacker *unpacker, const uint8_t *codes, uint32_t rows, unsigned bound)
{
    unsigned highest = 0;
    for (uint32_t row = 0; codes && !unpacker->broken && row < rows; row++)
        highest = codes[row] > highest ? codes[row] : highest;
    broken_if(unpacker, highest >= bound);
}

static void decode_block(struct reason_block *block, struct unpacker *unpacker, uint32_t rows)
{
    block->count = (uint32_t)unpack_uint(unpacker, 4);
    broken_if(unpacker, block->count > rows);
    if (block->count == 0 || unpacker->broken)
        return;
    block->row = unpack_ints(unpacker, 4, block->count);
    block->reason_count = unpack_ints(unpacker, 1, block->count);
    block->reasons = unpack_array(unpacker, block->count * REASONS_MAX * sizeof *block->reasons);
    for (uint32_t i = 0; i < block->count && !unpacker->broken; i++) {
        broken_if(unpacker, block->row[i] >= rows || (i && block->row[i] <= block->row[i - 1]) || block->reason_count[i] > REASONS_MAX);
        for (unsigned k = 0; !unpacker->broken && k < block->reason_count[i]; k++) {
            struct reason *reason = &block->reasons[(size_t)i * REASONS_MAX + k];
            const unsigned char *at = unpack_raw(unpacker, 12);
            if (!at)
                return;
            memcpy(&reason->feature, at, 2);
            memcpy(&reason->dimension, at + 2, 2);
            memcpy(&reason->value, at + 4, 4);
            memcpy(&reason->share, at + 8, 4);
        }
    }
}

static void decode_results(struct batch *batch, struct unpacker *unpacker)
{
    struct results *results = &batch->results;
    decode_fields(results, batch, unpacker, frame_result_fields, frame_result_field_count);
    codes_check(unpacker, results->verdict, batch->row_count, VERDICT_COUNT);
    codes_check(unpacker, results->would, batch->row_count, VERDICT_COUNT);
    codes_check(unpacker, results->level, batch->row_count, LEVEL_COUNT);
    codes_check(unpacker, results->cause, batch->row_count, CAUSE_COUNT);
    uint32_t slice_count = (uint32_t)unpack_uint(unpacker, 4);
    broken_if(unpacker, slice_count > batch->row_count + 1);
    if (unpacker->broken)
        return;
    results->reasons = unpack_array(unpacker, slice_count * sizeof *results->reasons);
    results->slice_count = results->reasons ? slice_count : 0;
    for (uint32_t i = 0; i < results->slice_count && !unpacker->broken; i++)
        decode_block(&results->reasons[i], unpacker, batch->row_count);
    if (slice_count == 0)
        results->reasons = NULL;
}

/* Columns are decoded before; COLUMN_NONE: no column is called so. */
static uint16_t decode_named(const struct batch *batch, struct text name)
{
    enum column_id known = column_find(name);
    for (uint16_t i = 0; known == COLUMN_COUNT && i < batch->other_count; i++)
        if (text_equal(batch->others[i].name, name))
            return (uint16_t)(COLUMN_COUNT + i);
    return known == COLUMN_COUNT ? COLUMN_NONE : (uint16_t)known;
}

static void decode_notes(struct batch *batch, struct unpacker *unpacker)
{
    char name[256], text[256];
    uint32_t count = (uint32_t)unpack_uint(unpacker, 4);
    broken_if(unpacker, count > (size_t)(unpacker->end - unpacker->at) / 6);
    if (unpacker->broken)
        return;
    batch->notes = unpack_array(unpacker, count * sizeof *batch->notes);
    for (uint32_t i = 0; i < count && !unpacker->broken; i++) {
        struct check_note *check = &batch->notes[i];
        check->row = (uint32_t)unpack_uint(unpacker, 4);
        check->column = decode_named(batch, text_of(decode_short(unpacker, name)));
        text_copy(check->text, sizeof check->text, text_of(decode_short(unpacker, text)));
        broken_if(unpacker, check->row >= batch->row_count && check->row != ROW_NONE);
    }
    batch->note_count = batch->note_max = unpacker->broken ? 0 : count;
}

static void decode_rule_counts(struct batch *batch, struct unpacker *unpacker)
{
    char name[256];
    for (uint32_t count; (count = (uint32_t)unpack_uint(unpacker, 4)) != 0;) {
        unsigned rule = (unsigned)unpack_uint(unpacker, 1);
        uint16_t column = decode_named(batch, text_of(decode_short(unpacker, name)));
        broken_if(unpacker, rule >= RULE_COUNT || column == COLUMN_NONE);
        if (unpacker->broken)
            return;
        batch->rule_counts[column][rule] = count;
    }
}

static bool decode_body(struct batch *batch, struct unpacker *unpacker)
{
    decode_meta(batch, unpacker);
    decode_columns(batch, unpacker);
    decode_fields(&batch->facts, batch, unpacker, frame_fact_fields, frame_fact_field_count);
    decode_results(batch, unpacker);
    decode_notes(batch, unpacker);
    decode_rule_counts(batch, unpacker);
    return !unpacker->broken;
}

enum fault frame_decode(struct batch *out, const void *bytes, size_t byte_count, struct fault_note *note)
{
    struct frame_header header;
    *out = (struct batch){0};
    if (!frame_is_whole(bytes, byte_count))
        return frame_broken(note, "length or checksum");
    memcpy(&header, bytes, sizeof header);
    if (header.arena_bytes / FRAME_RATIO_MAX > header.body_bytes || header.row_count > FRAME_ROWS_MAX ||
        header.row_count > header.arena_bytes)
        return frame_broken(note, "size");
    void *workspace = memory_take(unpack_workspace_bytes());
    if (!workspace)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to decode a frame");
    enum fault fault = batch_init(out, header.arena_bytes, note);
    if (fault == FAULT_NONE) {
        const unsigned char *body = (const unsigned char *)bytes + sizeof header;
        struct unpacker unpacker = {
            .at = body, .end = body + header.body_bytes, .context = unpack_context_init(workspace), .arena = &out->arena};
        out->row_count = header.row_count;
        out->sequence = header.sequence;
        if (!decode_body(out, &unpacker)) {
            batch_fini(out);
            fault = frame_broken(note, "body");
        }
    }
    memory_give(workspace);
    return fault;
}
