/* The columns form: every blob stays where it lies in the message. Sizes, offsets, codes and bitmaps are checked here, once,
 * so that later rooms may index without looking. */
#include "wire/batch_read.h"

#include <math.h>

enum part { PART_type, PART_data, PART_valid, PART_offsets, PART_values, PART_codes, PART_code, PART_COUNT };

static const struct {
    const char *name;
    enum wire_type type;
} parts[PART_COUNT] = {{"type", WIRE_STR},     {"data", WIRE_BIN},  {"valid", WIRE_BIN}, {"offsets", WIRE_BIN},
                       {"values", WIRE_ARRAY}, {"codes", WIRE_BIN}, {"code", WIRE_STR}};

/* One column on the wire. */
struct raw {
    struct batch_reader *reader;
    struct text name;
    struct wire_value parts[PART_COUNT];
    bool has[PART_COUNT];
};

#define REFUSE(fault, row, ...) reader_fault(raw->reader, fault, row, raw->name, __VA_ARGS__)

static enum fault read_part(struct raw *raw, const unsigned char **at, const unsigned char *end)
{
    struct wire_value key, value;
    if (!wire_next(&key, at, end) || !wire_next(&value, at, end))
        return REFUSE(FAULT_syntax, ROW_NONE, "it ends early");
    for (unsigned i = 0; i < PART_COUNT && key.type == WIRE_STR; i++) {
        if (!text_equal(key.text, text_of(parts[i].name)))
            continue;
        if (raw->has[i])
            return REFUSE(FAULT_schema, ROW_NONE, "%s is there twice", parts[i].name);
        if (value.type == WIRE_NIL)
            return FAULT_NONE;
        if (value.type != parts[i].type)
            return REFUSE(FAULT_schema, ROW_NONE, "%s must be %s, is %s", parts[i].name, wire_type_name(parts[i].type),
                          wire_type_name(value.type));
        raw->has[i] = true;
        raw->parts[i] = value;
        return FAULT_NONE;
    }
    return REFUSE(FAULT_schema, ROW_NONE, "it has type, data, valid, offsets, values, codes and code, nothing else");
}

/* The parts that its type needs, and beside them only valid, and code of a dict. */
static enum fault check_parts(struct raw *raw, const char *type, unsigned needed)
{
    unsigned taken = needed | 1u << PART_type | 1u << PART_valid | (needed >> PART_codes & 1) << PART_code;
    for (unsigned i = 0; i < PART_COUNT; i++) {
        if (raw->has[i] && !(taken >> i & 1))
            return REFUSE(FAULT_schema, ROW_NONE, "type %s has no %s", type, parts[i].name);
        if (!raw->has[i] && (needed >> i & 1))
            return REFUSE(FAULT_schema, ROW_NONE, "type %s needs %s", type, parts[i].name);
    }
    return FAULT_NONE;
}

static enum fault check_bytes(struct raw *raw, enum part part, uint64_t bytes)
{
    if (raw->parts[part].text.bytes == bytes)
        return FAULT_NONE;
    return REFUSE(FAULT_schema, ROW_NONE, "%s has %u bytes, must have %llu for %u rows", parts[part].name, raw->parts[part].text.bytes,
                  (unsigned long long)bytes, raw->reader->batch->row_count);
}

static const unsigned char *bytes_of(const struct raw *raw, enum part part)
{
    return (const unsigned char *)raw->parts[part].text.data;
}

static uint32_t u32_at(const unsigned char *bytes, size_t index)
{
    uint32_t value;
    memcpy(&value, bytes + 4 * index, sizeof value);
    return value;
}

static enum fault read_number(struct column *out, struct raw *raw, enum column_form form)
{
    uint32_t row_count = raw->reader->batch->row_count;
    const char *type = form == FORM_I64 ? "i64" : "f64";
    enum fault fault = check_parts(raw, type, 1u << PART_data);
    if (fault == FAULT_NONE)
        fault = check_bytes(raw, PART_data, 8ull * row_count);
    if (fault != FAULT_NONE)
        return fault;
    out->form = form;
    out->data = bytes_of(raw, PART_data);
    for (uint32_t row = 0; form == FORM_F64 && row < row_count; row++) {
        double value;
        memcpy(&value, out->data + 8 * (size_t)row, sizeof value);
        if (!isfinite(value) && column_is_valid(out, row))
            return REFUSE(FAULT_schema, row, "row %u is not a finite number", row);
    }
    return FAULT_NONE;
}

static enum fault read_str(struct column *out, struct raw *raw)
{
    uint32_t row_count = raw->reader->batch->row_count, data_bytes = raw->parts[PART_data].text.bytes, backward = 0;
    enum fault fault = check_parts(raw, "str", 1u << PART_data | 1u << PART_offsets);
    if (fault == FAULT_NONE)
        fault = check_bytes(raw, PART_offsets, 4 * ((uint64_t)row_count + 1));
    if (fault != FAULT_NONE)
        return fault;
    const unsigned char *offsets = bytes_of(raw, PART_offsets);
    for (uint32_t row = 0; row < row_count; row++)
        backward |= u32_at(offsets, row) > u32_at(offsets, row + 1);
    for (uint32_t row = 0; backward && row < row_count; row++)
        if (u32_at(offsets, row) > u32_at(offsets, row + 1))
            return REFUSE(FAULT_schema, row, "offsets fall from %u to %u at row %u", u32_at(offsets, row), u32_at(offsets, row + 1), row);
    if (u32_at(offsets, row_count) > data_bytes)
        return REFUSE(FAULT_schema, ROW_NONE, "the last offset is %u, but data has %u bytes", u32_at(offsets, row_count), data_bytes);
    out->form = FORM_STR;
    out->offsets = offsets;
    out->data = bytes_of(raw, PART_data);
    return FAULT_NONE;
}

static enum fault read_values(struct column *out, struct raw *raw)
{
    const struct wire_value *array = &raw->parts[PART_values];
    uint32_t values_max = raw->reader->limits->dict_values_max;
    if (array->count > values_max)
        return REFUSE(FAULT_limit, ROW_NONE, "%u values, at most %u are taken", array->count, values_max);
    struct text *values = arena_take(&raw->reader->batch->arena, sizeof *values * array->count, 8);
    if (!values)
        return reader_arena_fault(raw->reader);
    const unsigned char *at = array->inside;
    for (uint32_t i = 0; i < array->count; i++) {
        struct wire_value value;
        if (!wire_next(&value, &at, array->end) || value.type != WIRE_STR)
            return REFUSE(FAULT_schema, ROW_NONE, "value %u must be text, is %s", i, wire_type_name(value.type));
        values[i] = value.text;
    }
    out->values = values;
    out->value_count = array->count;
    return FAULT_NONE;
}

static enum fault read_code(enum column_form *out, size_t *out_bytes, struct raw *raw)
{
    static const char *const names[] = {"u8", "u16", "u32"};
    *out = FORM_DICT16;
    *out_bytes = 2;
    for (unsigned i = 0; i < 3 && raw->has[PART_code]; i++)
        if (text_equal(raw->parts[PART_code].text, text_of(names[i])))
            return *out = (enum column_form)(FORM_DICT8 + i), *out_bytes = (size_t)1 << i, FAULT_NONE;
    return raw->has[PART_code] ? REFUSE(FAULT_schema, ROW_NONE, "code must be u8, u16 or u32") : FAULT_NONE;
}

static uint32_t largest_code(const struct column *column, uint32_t row_count)
{
    uint32_t largest = 0;
    if (column->form == FORM_DICT8) {
        for (uint32_t row = 0; row < row_count; row++)
            largest = column->data[row] > largest ? column->data[row] : largest;
        return largest;
    }
    for (uint32_t row = 0; row < row_count; row++) {
        uint32_t code = column_code(column, row);
        largest = code > largest ? code : largest;
    }
    return largest;
}

static enum fault read_dict(struct column *out, struct raw *raw)
{
    uint32_t row_count = raw->reader->batch->row_count;
    size_t code_bytes = 0;
    enum column_form form = FORM_ABSENT;
    enum fault fault = check_parts(raw, "dict", 1u << PART_values | 1u << PART_codes);
    if (fault == FAULT_NONE)
        fault = read_code(&form, &code_bytes, raw);
    if (fault == FAULT_NONE)
        fault = check_bytes(raw, PART_codes, (uint64_t)code_bytes * row_count);
    if (fault == FAULT_NONE)
        fault = read_values(out, raw);
    if (fault != FAULT_NONE)
        return fault;
    out->form = form;
    out->data = bytes_of(raw, PART_codes);
    if (largest_code(out, row_count) < out->value_count)
        return FAULT_NONE;
    for (uint32_t row = 0; row < row_count; row++)
        if (column_is_valid(out, row) && column_code(out, row) >= out->value_count)
            return REFUSE(FAULT_schema, row, "row %u has code %u, but there are %u values", row, column_code(out, row), out->value_count);
    return FAULT_NONE;
}

static enum fault read_by_type(struct column *out, struct raw *raw)
{
    struct text type = raw->parts[PART_type].text;
    if (text_equal(type, text_of("i64")))
        return read_number(out, raw, FORM_I64);
    if (text_equal(type, text_of("f64")))
        return read_number(out, raw, FORM_F64);
    if (text_equal(type, text_of("str")))
        return read_str(out, raw);
    if (text_equal(type, text_of("dict")))
        return read_dict(out, raw);
    return REFUSE(FAULT_schema, ROW_NONE, "type must be i64, f64, str or dict, is %.*s", type.bytes < 32 ? (int)type.bytes : 32,
                  type.data ? type.data : "");
}

/* Texts of unknown columns; those of known ones are intake's, which can note them row by row. */
static enum fault check_lengths(const struct column *column, struct raw *raw)
{
    uint32_t bytes_max = raw->reader->limits->text_bytes_max;
    for (uint32_t i = 0; i < column->value_count; i++)
        if (column->values[i].bytes > bytes_max)
            return REFUSE(FAULT_limit, ROW_NONE, "value %u has %u bytes, at most %u are taken", i, column->values[i].bytes, bytes_max);
    for (uint32_t row = 0; column->form == FORM_STR && row < raw->reader->batch->row_count; row++)
        if (column_text(column, row).bytes > bytes_max)
            return REFUSE(FAULT_limit, row, "row %u has %u bytes, at most %u are taken", row, column_text(column, row).bytes, bytes_max);
    return FAULT_NONE;
}

/* A known column has the type of columns.tbl. */
static enum fault check_known(const struct column *column, struct raw *raw)
{
    enum column_id known = column_find(raw->name);
    if (known == COLUMN_COUNT)
        return check_lengths(column, raw);
    bool is_text = column->form != FORM_I64 && column->form != FORM_F64, must_be_text = column_type_of((uint16_t)known) == COLUMN_TEXT;
    if (must_be_text ? is_text : column->form == FORM_I64)
        return FAULT_NONE;
    return REFUSE(FAULT_schema, ROW_NONE, "type must be %s, is %.*s", must_be_text ? "str or dict" : "i64",
                  (int)raw->parts[PART_type].text.bytes, raw->parts[PART_type].text.data);
}

static enum fault read_column(struct raw *raw, const struct wire_value *map)
{
    struct column *column = NULL;
    enum fault fault = reader_column(&column, raw->reader, raw->name);
    if (fault == FAULT_NONE && map->type != WIRE_MAP)
        fault = REFUSE(FAULT_schema, ROW_NONE, "it must be a map, is %s", wire_type_name(map->type));
    const unsigned char *at = map->inside;
    for (uint32_t i = 0; fault == FAULT_NONE && i < map->count; i++)
        fault = read_part(raw, &at, map->end);
    if (fault == FAULT_NONE && raw->has[PART_valid]) {
        fault = check_bytes(raw, PART_valid, ((uint64_t)raw->reader->batch->row_count + 7) / 8);
        column->valid = bytes_of(raw, PART_valid);
    }
    if (fault == FAULT_NONE)
        fault = read_by_type(column, raw);
    return fault == FAULT_NONE ? check_known(column, raw) : fault;
}

enum fault columns_read(struct batch_reader *reader, const struct wire_value *columns)
{
    if (columns->count > reader->limits->columns_max)
        return fault_set(reader->note, FAULT_limit, ROW_NONE, COLUMN_NONE, "%u columns, at most %u are taken", columns->count,
                         reader->limits->columns_max);
    const unsigned char *at = columns->inside;
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; i < columns->count && fault == FAULT_NONE; i++) {
        struct wire_value name, map;
        if (!wire_next(&name, &at, columns->end) || !wire_next(&map, &at, columns->end) || name.type != WIRE_STR)
            return fault_set(reader->note, FAULT_schema, ROW_NONE, COLUMN_NONE, "a column's name must be text");
        struct raw raw = {.reader = reader, .name = name.text};
        fault = read_column(&raw, &map);
    }
    return fault;
}
