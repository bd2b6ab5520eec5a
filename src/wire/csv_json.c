/* JSON lines: an object a line, its keys name the columns. An unknown column takes the type of its first value. */
#include "wire/csv.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

static const char *json_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "text";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number with a fraction";
    default:
        return json_is_null(value) ? "null" : "a truth value";
    }
}

static enum fault sink_of(struct sink **out, struct csv_reader *reader, const char *key)
{
    struct text name = text_of(key);
    uint32_t at = 0;
    while (at < reader->sink_count && !text_equal(reader->sinks[at].name, name))
        at++;
    enum fault fault = at < reader->sink_count ? FAULT_NONE : sink_add(reader, name);
    *out = &reader->sinks[at];
    return fault;
}

/* A place in this batch, null in the rows before. */
static enum fault sink_begin(struct csv_reader *reader, struct sink *sink, uint32_t row)
{
    enum fault fault = sink_open(reader, sink);
    while (fault == FAULT_NONE && sink->row_count < row)
        sink_put_null(sink);
    return fault;
}

/* Of a known column the server is told of the cell; of an unknown one it could not be, so that the row does not hold. */
static enum fault value_is_wrong(struct csv_reader *reader, struct sink *sink, const json_t *value)
{
    char name[33], number[40] = "";
    const char *shown = json_is_string(value) ? json_string_value(value) : number;
    if (json_is_number(value))
        snprintf(number, sizeof number, "%.15g", json_number_value(value));
    if (sink->known != COLUMN_NONE)
        return sink_put_wrong(reader, sink, text_of(shown), "must be %s, is %s%s%.40s", sink_wanted(sink), json_name(value),
                              *shown ? " " : "", shown);
    text_copy(name, sizeof name, sink->name);
    return row_void(reader, "column %s: must be %s, is %s%s%.40s", name, sink_wanted(sink), json_name(value), *shown ? " " : "", shown);
}

static enum fault put_value(struct csv_reader *reader, struct sink *sink, const json_t *value)
{
    if (sink->form == FORM_ABSENT)
        sink->form = json_is_string(value) ? FORM_STR : json_is_integer(value) ? FORM_I64 : json_is_real(value) ? FORM_F64 : FORM_ABSENT;
    if (sink->known == COLUMN_NONE && sink->form == FORM_I64 && json_is_real(value))
        sink_make_floats(sink);
    if (sink->form == FORM_STR && json_is_string(value))
        return sink_put_text(reader, sink, json_string_value(value), json_string_length(value));
    if (sink->form == FORM_I64 && json_is_integer(value))
        return sink_put_i64(sink, json_integer_value(value)), FAULT_NONE;
    if (sink->form == FORM_F64 && json_is_number(value))
        return sink_put_f64(sink, json_number_value(value)), FAULT_NONE;
    if (sink->is_time && json_is_string(value))
        return sink_put_number_text(reader, sink, json_string_value(value), json_string_length(value));
    return value_is_wrong(reader, sink, value);
}

static enum fault put_pair(struct csv_reader *reader, const char *key, const json_t *value, uint32_t row)
{
    struct sink *sink;
    enum fault fault = sink_of(&sink, reader, key);
    if (fault == FAULT_NONE && !sink->is_open)
        fault = sink_begin(reader, sink, row);
    if (fault != FAULT_NONE)
        return fault;
    if (json_is_null(value))
        return sink_put_null(sink), FAULT_NONE;
    return put_value(reader, sink, value);
}

static enum fault put_object(struct csv_reader *reader, json_t *object, uint32_t row)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        enum fault fault = put_pair(reader, key, value, row);
        if (fault != FAULT_NONE || reader->row_is_void)
            return fault;
    }
    for (uint32_t i = 0; i < reader->sink_count; i++)
        if (reader->sinks[i].is_open && reader->sinks[i].row_count == row)
            sink_put_null(&reader->sinks[i]);
    return FAULT_NONE;
}

enum fault csv_json_row(struct csv_reader *reader, const struct record *record)
{
    json_t *object;
    struct fault_note why = {0};
    enum fault fault = json_read(&object, record->at, (size_t)(record->end - record->at), FAULT_syntax, "JSON", &why);
    bool is_object = fault == FAULT_NONE && json_is_object(object);
    if (fault == FAULT_NONE && !is_object)
        fault = fault_set(&why, FAULT_syntax, ROW_NONE, COLUMN_NONE, "must be an object, is %s", json_name(object));
    if (is_object)
        fault = put_object(reader, object, reader->row);
    else if (fault == FAULT_syntax && reader->has_rows)
        fault = row_void(reader, "%s", why.text);
    else
        fault = csv_fault(reader, fault, NULL, "%s%s", why.text, fault == FAULT_syntax ? " (JSON lines have one object a line)" : "");
    json_decref(object);
    return fault;
}
