/* A map of merged fields, each known and there once: count, sums, payers, payees, same. */
#include "wire/merged.h"

#include "base/memory.h"

struct reading {
    const struct batch_limits *limits;
    uint64_t seed;
    struct fault_note *note;
};

#define REFUSE(fault, ...) fault_set(reading->note, fault, ROW_NONE, COLUMN_NONE, __VA_ARGS__)

static enum fault text_check(const struct reading *reading, const struct wire_value *value, const char *what, uint32_t bytes_max)
{
    if (value->type != WIRE_STR)
        return REFUSE(FAULT_schema, "%s takes texts, there is %s", what, wire_type_name(value->type));
    if (value->text.bytes > bytes_max)
        return REFUSE(FAULT_limit, "%s has a text of %u bytes, at most %u are taken", what, value->text.bytes, bytes_max);
    return FAULT_NONE;
}

static enum fault set_read(struct merged_set *out, const struct wire_value *array, const char *what, const struct reading *reading)
{
    struct wire_value item;
    const unsigned char *at = array->inside;
    if (out->is_there)
        return REFUSE(FAULT_schema, "%s is there twice", what);
    if (array->type != WIRE_ARRAY)
        return REFUSE(FAULT_schema, "%s must be an array, is %s", what, wire_type_name(array->type));
    if (array->count > reading->limits->rows_max)
        return REFUSE(FAULT_limit, "%s has %u items, at most %u are taken", what, array->count, reading->limits->rows_max);
    out->is_there = true;
    out->items = memory_take((size_t)array->count * sizeof *out->items + 1);
    if (!out->items)
        return REFUSE(FAULT_memory, "no memory for %u items of %s", array->count, what);
    while (out->count < array->count && wire_next(&item, &at, array->end)) {
        enum fault fault = text_check(reading, &item, what, reading->limits->text_bytes_max);
        if (fault != FAULT_NONE)
            return fault;
        out->items[out->count++] = hash128(reading->seed, item.text.data, item.text.bytes);
    }
    merged_set_sort(out);
    if (out->count < array->count)
        return REFUSE(FAULT_schema, "%s names %u items, %u of them again", what, array->count, array->count - out->count);
    return FAULT_NONE;
}

static enum fault sums_read(struct merged *out, const struct wire_value *map, const struct reading *reading)
{
    struct wire_value currency, amount;
    const unsigned char *at = map->inside;
    if (map->type != WIRE_MAP || map->count > MERGED_SUMS_MAX || out->has_sums)
        return REFUSE(FAULT_schema, "sums must be one map of at most %d currencies", MERGED_SUMS_MAX);
    out->has_sums = true;
    for (uint32_t i = 0; i < map->count && wire_next(&currency, &at, map->end) && wire_next(&amount, &at, map->end); i++) {
        enum fault fault = text_check(reading, &currency, "sums", reading->limits->text_bytes_max);
        if (fault != FAULT_NONE)
            return fault;
        for (uint32_t k = 0; k < out->sum_count; k++)
            if (text_equal(out->sums[k].currency, currency.text))
                return REFUSE(FAULT_schema, "sums has a currency twice");
        if (amount.type != WIRE_INT)
            return REFUSE(FAULT_schema, "a sum must be an integer of minor units, is %s", wire_type_name(amount.type));
        out->sums[out->sum_count++] = (struct merged_sum){.currency = currency.text, .amount = amount.integer};
    }
    return FAULT_NONE;
}

static enum fault same_read(struct merged *out, const struct wire_value *map, const struct reading *reading)
{
    struct wire_value name, value;
    const unsigned char *at = map->inside;
    if (map->type != WIRE_MAP || map->count > MERGED_SAME_MAX || out->same_count > 0)
        return REFUSE(FAULT_schema, "same must be one map of at most %d columns", MERGED_SAME_MAX);
    for (uint32_t i = 0; i < map->count && wire_next(&name, &at, map->end) && wire_next(&value, &at, map->end); i++) {
        enum fault fault = text_check(reading, &name, "same", reading->limits->id_bytes_max);
        if (fault == FAULT_NONE && value.type != WIRE_INT)
            fault = text_check(reading, &value, "same", reading->limits->text_bytes_max);
        if (fault != FAULT_NONE)
            return fault;
        out->same[out->same_count++] =
            (struct merged_same){.name = name.text, .is_text = value.type == WIRE_STR, .text = value.text, .integer = value.integer};
    }
    return FAULT_NONE;
}

static enum fault field_read(struct merged *out, struct text name, const struct wire_value *value, const struct reading *reading)
{
    if (text_equal(name, text_of("payers")))
        return set_read(&out->payers, value, "payers", reading);
    if (text_equal(name, text_of("payees")))
        return set_read(&out->payees, value, "payees", reading);
    if (text_equal(name, text_of("sums")))
        return sums_read(out, value, reading);
    if (text_equal(name, text_of("same")))
        return same_read(out, value, reading);
    if (!text_equal(name, text_of("count")))
        return REFUSE(FAULT_schema, "unknown merged field %.*s", (int)(name.bytes < 40 ? name.bytes : 40), name.data);
    if (value->type != WIRE_INT || value->integer < 0 || out->has_count)
        return REFUSE(FAULT_schema, "count must be one integer, not negative");
    out->has_count = true;
    out->count = value->integer;
    return FAULT_NONE;
}

static enum fault fields_read(struct merged *out, struct text fields, const struct reading *reading)
{
    struct wire_value map, name, value;
    const unsigned char *at = (const unsigned char *)fields.data, *end = at + fields.bytes;
    if (!wire_next(&map, &at, end) || map.type != WIRE_MAP || map.count == 0)
        return REFUSE(FAULT_schema, "fields must be a map of merged fields, one at least");
    at = map.inside;
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; i < map.count && fault == FAULT_NONE; i++) {
        if (!wire_next(&name, &at, map.end) || !wire_next(&value, &at, map.end) || name.type != WIRE_STR)
            return REFUSE(FAULT_schema, "a name of a merged field must be text");
        fault = field_read(out, name.text, &value, reading);
    }
    return fault;
}

enum fault wire_merged_read(struct merged *out, const struct request *request, const struct batch_limits *limits, uint64_t seed,
                            struct fault_note *note)
{
    const struct reading rules = {.limits = limits, .seed = seed, .note = note}, *reading = &rules;
    struct wire_value part;
    const unsigned char *at = (const unsigned char *)request->part.data;
    enum fault fault = FAULT_NONE;
    *out = (struct merged){0};
    if (request->part.bytes > 0 && wire_next(&part, &at, at + request->part.bytes))
        fault = part.count > 0 ? set_read(&out->part, &part, "part", reading) : REFUSE(FAULT_schema, "part names no transfer");
    if (fault == FAULT_NONE && request->fields.bytes > 0)
        fault = fields_read(out, request->fields, reading);
    return fault;
}
