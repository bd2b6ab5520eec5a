/* The rows form, by own cursor. First pass: every key finds its column and leaves the place of its value there; keys
 * come in the same order in most rows, so the key that followed last time is tried first. Second pass, column by column:
 * places become values, in the same memory. A place is 4 bytes from the start of the rows; 0 means null. */
#include "wire/batch_read.h"

#include <math.h>

#include "wire/lead.h"

enum { SLOTS_MAX = COLUMN_COUNT + OTHER_COLUMNS_MAX, SLOT_NONE = SLOTS_MAX };

struct slot { /* a column in the making */
    struct column *column;
    struct text name;
    uint16_t known;      /* enum column_id; COLUMN_NONE: an unknown column */
    unsigned char *data; /* row_count + 1 numbers of 8 bytes, or offsets of 4; before that, places in the upper half */
    unsigned char *valid;
};

struct rows {
    struct batch_reader *reader;
    const unsigned char *start, *end;
    uint32_t row_count, slot_count;
    struct slot slots[SLOTS_MAX];
    uint32_t follower[SLOTS_MAX + 1]; /* the slot whose key came behind this one's; [SLOT_NONE]: the first of a row */
};

/* Filling goes up row by row: number i ends at 8 i + 8, at or before where place i + 1 begins, 4 (row_count + i + 1). */
static uint32_t place_get(const struct rows *rows, const struct slot *slot, uint32_t row)
{
    uint32_t place;
    memcpy(&place, slot->data + 4 * ((size_t)rows->row_count + row), sizeof place);
    return place;
}

static void place_set(const struct rows *rows, struct slot *slot, uint32_t row, uint32_t place)
{
    memcpy(slot->data + 4 * ((size_t)rows->row_count + row), &place, sizeof place);
}

static enum fault slot_open(uint32_t *out, struct rows *rows, struct text name)
{
    struct batch_reader *reader = rows->reader;
    struct arena *arena = &reader->batch->arena;
    size_t valid_bytes = ((size_t)rows->row_count + 7) / 8;
    if (rows->slot_count == reader->limits->columns_max || rows->slot_count == SLOTS_MAX)
        return reader_fault(reader, FAULT_limit, ROW_NONE, name, "more than %u columns", rows->slot_count);
    struct slot *slot = &rows->slots[rows->slot_count];
    enum column_id known = column_find(name);
    *slot = (struct slot){.name = name, .known = known == COLUMN_COUNT ? COLUMN_NONE : (uint16_t)known};
    enum fault fault = reader_column(&slot->column, reader, name);
    if (fault != FAULT_NONE)
        return fault;
    slot->data = arena_take_zeroed(arena, 8 * ((size_t)rows->row_count + 1), 8);
    slot->valid = arena_take(arena, valid_bytes, 8);
    if (slot->valid)
        memset(slot->valid, 0xff, valid_bytes);
    rows->follower[rows->slot_count] = SLOT_NONE;
    *out = rows->slot_count++;
    return reader_arena_fault(reader);
}

static bool slot_is(const struct rows *rows, uint32_t slot, struct text name)
{
    return slot != SLOT_NONE && text_equal(rows->slots[slot].name, name);
}

static enum fault slot_find(uint32_t *out, struct rows *rows, uint32_t before, struct text name)
{
    uint32_t slot = rows->follower[before];
    if (!slot_is(rows, slot, name) && slot != SLOT_NONE)
        slot = rows->follower[slot]; /* one left out */
    for (uint32_t i = 0; !slot_is(rows, slot, name) && i < rows->slot_count; i++)
        slot = i;
    enum fault fault = slot_is(rows, slot, name) ? FAULT_NONE : slot_open(&slot, rows, name);
    if (fault == FAULT_NONE)
        *out = rows->follower[before] = slot;
    return fault;
}

static bool text_at(struct text *out, const unsigned char *at)
{
    const unsigned char *data = NULL;
    bool is_text = lead_text(&data, &out->bytes, at);
    out->data = (const char *)data;
    return is_text;
}

static enum fault read_pair(struct rows *rows, uint32_t row, uint32_t *slot, const unsigned char **at)
{
    struct text name;
    if (!text_at(&name, *at))
        return fault_set(rows->reader->note, FAULT_schema, row, COLUMN_NONE, "row %u: a key must be text", row);
    enum fault fault = slot_find(slot, rows, *slot, name);
    if (fault != FAULT_NONE)
        return fault;
    if (place_get(rows, &rows->slots[*slot], row) != 0)
        return reader_fault(rows->reader, FAULT_schema, row, name, "row %u has it twice", row);
    const unsigned char *value = (const unsigned char *)name.data + name.bytes;
    place_set(rows, &rows->slots[*slot], row, (uint32_t)(value - rows->start));
    *at = lead_bytes[*value] ? value + lead_bytes[*value] : lead_skip(value, rows->end);
    return FAULT_NONE;
}

static enum fault read_places(struct rows *rows, const unsigned char *at)
{
    for (uint32_t row = 0; row < rows->row_count; row++) {
        struct lead map;
        if ((*at & 0xf0) != 0x80 && *at != 0xde && *at != 0xdf)
            return fault_set(rows->reader->note, FAULT_schema, row, COLUMN_NONE, "row %u must be a map", row);
        lead_read(&map, at, rows->end);
        at += map.bytes;
        uint32_t slot = SLOT_NONE;
        for (uint64_t i = 0; i < map.items / 2; i++) {
            enum fault fault = read_pair(rows, row, &slot, &at);
            if (fault != FAULT_NONE)
                return fault;
        }
    }
    return FAULT_NONE;
}

static struct wire_value value_at(const struct rows *rows, uint32_t place)
{
    struct wire_value value = {0};
    const unsigned char *at = rows->start + place;
    if (place != 0)
        wire_next(&value, &at, rows->end);
    return value; /* place 0: nil */
}

/* The cell is null; when there was a value after all, its type is wrong and the row invalid. */
static enum fault cell_fails(struct rows *rows, struct slot *slot, uint32_t row, uint32_t place, const char *wanted)
{
    struct batch_reader *reader = rows->reader;
    struct wire_value value = value_at(rows, place);
    slot->column->valid = slot->valid;
    slot->valid[row >> 3] &= (unsigned char)~(1u << (row & 7));
    if (value.type == WIRE_NIL)
        return FAULT_NONE;
    enum fault fault = batch_take_checks(reader->batch, reader->limits->notes_max, reader->note);
    if (fault == FAULT_NONE)
        batch_row_fails(reader->batch, row, slot->known, RULE_TYPE, "must be %s, is %s", wanted, wire_type_name(value.type));
    return fault;
}

static enum fault fill_text(struct rows *rows, struct slot *slot)
{
    struct text text;
    size_t text_bytes = 0;
    for (uint32_t row = 0; row < rows->row_count; row++) {
        uint32_t place = place_get(rows, slot, row);
        text_bytes += place && text_at(&text, rows->start + place) ? text.bytes : 0;
    }
    char *data = arena_take(&rows->reader->batch->arena, text_bytes, 1);
    if (!data)
        return reader_arena_fault(rows->reader);
    enum fault fault = FAULT_NONE;
    uint32_t used = 0;
    for (uint32_t row = 0; row < rows->row_count && fault == FAULT_NONE; row++) {
        uint32_t place = place_get(rows, slot, row);
        memcpy(slot->data + 4 * (size_t)row, &used, sizeof used);
        if (place && text_at(&text, rows->start + place)) {
            memcpy(data + used, text.data, text.bytes);
            used += text.bytes;
        } else {
            fault = cell_fails(rows, slot, row, place, "text");
        }
    }
    memcpy(slot->data + 4 * (size_t)rows->row_count, &used, sizeof used);
    slot->column->form = FORM_STR;
    slot->column->offsets = slot->data;
    slot->column->data = (const unsigned char *)data;
    return fault;
}

static enum fault fill_integers(struct rows *rows, struct slot *slot)
{
    enum fault fault = FAULT_NONE;
    for (uint32_t row = 0; row < rows->row_count && fault == FAULT_NONE; row++) {
        int64_t value = 0;
        uint32_t place = place_get(rows, slot, row);
        if (!place || !lead_int(&value, rows->start + place))
            fault = cell_fails(rows, slot, row, place, "an integer below 2^63");
        memcpy(slot->data + 8 * (size_t)row, &value, sizeof value);
    }
    slot->column->form = FORM_I64;
    slot->column->data = slot->data;
    return fault;
}

/* Of an unknown column: numbers, at least one of them a float. */
static void fill_floats(struct rows *rows, struct slot *slot)
{
    for (uint32_t row = 0; row < rows->row_count; row++) {
        uint32_t place = place_get(rows, slot, row);
        struct wire_value value = value_at(rows, place);
        double real = value.type == WIRE_FLOAT ? value.real : (double)value.integer;
        if (value.type == WIRE_NIL)
            cell_fails(rows, slot, row, 0, "");
        memcpy(slot->data + 8 * (size_t)row, &real, sizeof real);
    }
    slot->column->form = FORM_F64;
    slot->column->data = slot->data;
}

/* An unknown column takes the type that its values have: text, or integers, or numbers. Without any it is dropped. */
static enum fault fill_other(struct rows *rows, struct slot *slot)
{
    struct batch_reader *reader = rows->reader;
    bool has_text = false, has_integer = false, has_float = false;
    for (uint32_t row = 0; row < rows->row_count; row++) {
        struct wire_value value = value_at(rows, place_get(rows, slot, row));
        has_text |= value.type == WIRE_STR;
        has_integer |= value.type == WIRE_INT;
        has_float |= value.type == WIRE_FLOAT;
        if (value.type != WIRE_NIL && value.type != WIRE_STR && value.type != WIRE_INT && value.type != WIRE_FLOAT)
            return reader_fault(reader, FAULT_schema, row, slot->name, "row %u is %s; an unknown column takes text or numbers", row,
                                wire_type_name(value.type));
        if (has_text && (has_integer || has_float))
            return reader_fault(reader, FAULT_schema, row, slot->name, "row %u is %s, unlike the rows before it", row,
                                wire_type_name(value.type));
        if (value.type == WIRE_STR && value.text.bytes > reader->limits->text_bytes_max)
            return reader_fault(reader, FAULT_limit, row, slot->name, "row %u has %u bytes, at most %u are taken", row, value.text.bytes,
                                reader->limits->text_bytes_max);
        if (value.type == WIRE_FLOAT && !isfinite(value.real))
            return reader_fault(reader, FAULT_schema, row, slot->name, "row %u is not a finite number", row);
    }
    if (has_text)
        return fill_text(rows, slot);
    if (has_float)
        return fill_floats(rows, slot), FAULT_NONE;
    return has_integer ? fill_integers(rows, slot) : FAULT_NONE;
}

static void drop_empty(struct batch *batch)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < batch->other_count; i++)
        if (batch->others[i].form != FORM_ABSENT)
            batch->others[kept++] = batch->others[i];
    batch->other_count = kept;
}

enum fault rows_read(struct batch_reader *reader, const struct wire_value *array)
{
    struct rows rows = {.reader = reader, .start = array->at, .end = array->end, .row_count = reader->batch->row_count};
    rows.follower[SLOT_NONE] = SLOT_NONE;
    enum fault fault = read_places(&rows, array->inside);
    for (uint32_t i = 0; i < rows.slot_count && fault == FAULT_NONE; i++) {
        struct slot *slot = &rows.slots[i];
        if (slot->known == COLUMN_NONE)
            fault = fill_other(&rows, slot);
        else
            fault = column_type_of(slot->known) == COLUMN_TEXT ? fill_text(&rows, slot) : fill_integers(&rows, slot);
    }
    drop_empty(reader->batch);
    return fault;
}
