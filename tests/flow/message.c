/* What message_ask sends is taken as it is: nothing here checks it. */
#include "flow/message.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"

enum { ANSWER_BYTES = 1 << 20, ANSWER_LIMIT_MS = 60000 };

char message_note[256];

void message_begin_as(struct wire_buffer *out, const char *tenant, const char *token, const char *op, const char *id,
                      uint32_t further_pairs)
{
    *out = (struct wire_buffer){0};
    wire_pack_map(out, 5 + further_pairs);
    message_integer(out, "v", 1);
    message_pair(out, "op", op);
    message_pair(out, "tenant", tenant);
    message_pair(out, "token", token);
    message_pair(out, "id", id);
}

void message_begin(struct wire_buffer *out, const char *op, const char *id, uint32_t further_pairs)
{
    message_begin_as(out, "flow", FLOW_TOKEN, op, id, further_pairs);
}

void message_pair(struct wire_buffer *out, const char *key, const char *value)
{
    wire_pack_text(out, key);
    wire_pack_text(out, value);
}

void message_integer(struct wire_buffer *out, const char *key, int64_t value)
{
    wire_pack_text(out, key);
    wire_pack_i64(out, value);
}

static bool is_named(const char *const *names, const char *name)
{
    for (size_t i = 0; names && names[i]; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static void pack_cell(struct wire_buffer *out, const char *name, const char *cell)
{
    enum column_id id = column_find(text_of(name));
    if (id != COLUMN_COUNT && column_type_of((uint16_t)id) != COLUMN_TEXT)
        message_integer(out, name, strtoll(cell, NULL, 10));
    else
        message_pair(out, name, cell);
}

void message_transfers(struct wire_buffer *out, const struct table *table, uint32_t first, uint32_t count, const char *const *left_out)
{
    wire_pack_text(out, "transfers");
    wire_pack_array(out, count);
    for (uint32_t row = first; row < first + count; row++) {
        uint32_t pairs = 0;
        for (uint32_t i = 0; i < table->column_count; i++)
            pairs += !is_named(left_out, table->names[i]) && table_cell(table, row, table->names[i])[0];
        wire_pack_map(out, pairs);
        for (uint32_t i = 0; i < table->column_count; i++)
            if (!is_named(left_out, table->names[i]) && table_cell(table, row, table->names[i])[0])
                pack_cell(out, table->names[i], table_cell(table, row, table->names[i]));
    }
}

void message_column_i64(struct wire_buffer *out, const char *name, const int64_t *values, uint32_t count)
{
    wire_pack_text(out, name);
    wire_pack_map(out, 2);
    message_pair(out, "type", "i64");
    wire_pack_text(out, "data");
    wire_pack_bin(out, values, count * sizeof *values);
}

void message_column_str(struct wire_buffer *out, const char *name, const char *const *values, uint32_t count)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += strlen(values[i]);
    uint32_t *offsets = calloc(count + 1, sizeof *offsets);
    char *data = malloc(bytes + 1);
    MUST(offsets && data);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t length = (uint32_t)strlen(values[i]);
        memcpy(data + offsets[i], values[i], length);
        offsets[i + 1] = offsets[i] + length;
    }
    wire_pack_text(out, name);
    wire_pack_map(out, 3);
    message_pair(out, "type", "str");
    wire_pack_text(out, "offsets");
    wire_pack_bin(out, offsets, (count + 1) * sizeof *offsets);
    wire_pack_text(out, "data");
    wire_pack_bin(out, data, bytes);
    free(offsets);
    free(data);
}

struct wire_value message_map(const void *bytes, size_t byte_count)
{
    struct wire_value map;
    const unsigned char *at = bytes;
    MUST(wire_check(bytes, byte_count, NULL) == FAULT_NONE);
    MUST(wire_next(&map, &at, at + byte_count) && map.type == WIRE_MAP);
    return map;
}

struct wire_value reply_map(const struct sluice_reply *reply)
{
    size_t bytes = 0;
    const void *message = sluice_reply_bytes(reply, &bytes);
    return message_map(message, bytes);
}

bool map_text(char *out, size_t out_bytes, const struct wire_value *map, const char *key)
{
    struct wire_value value;
    if (!wire_find(&value, map, key) || value.type != WIRE_STR)
        return false;
    text_copy(out, out_bytes, value.text);
    return true;
}

double map_number(const struct wire_value *map, const char *key)
{
    struct wire_value value;
    MUST(wire_find(&value, map, key) && (value.type == WIRE_INT || value.type == WIRE_FLOAT));
    return value.type == WIRE_INT ? (double)value.integer : value.real;
}

static void note_take(const unsigned char *reply, size_t bytes)
{
    struct wire_value map = message_map(reply, bytes), notes, note;
    message_note[0] = '\0';
    if (!wire_find(&notes, &map, "notes") || notes.type != WIRE_ARRAY || notes.count == 0)
        return;
    const unsigned char *at = notes.inside;
    if (wire_next(&note, &at, notes.end) && note.type == WIRE_MAP)
        map_text(message_note, sizeof message_note, &note, "text");
}

const char *message_ask(const char *url, struct wire_buffer *message)
{
    static unsigned char reply[ANSWER_BYTES];
    MUST(!message->failed);
    size_t bytes = raw_ask(url, message->data, message->bytes, reply, sizeof reply, ANSWER_LIMIT_MS);
    wire_buffer_fini(message);
    if (bytes == 0)
        return "silence";
    const char *fault = raw_fault(reply, bytes);
    if (strcmp(fault, "unreadable") != 0)
        note_take(reply, bytes);
    return fault;
}
