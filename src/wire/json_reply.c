#include "wire/json_wire.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "wire/pack.h"

struct writer {
    struct wire_buffer *out;
    size_t bytes_max;
};

static void words_write(struct writer *writer, const char *words)
{
    pack_bytes(writer->out, words, strlen(words));
}

/* Bytes of the UTF-8 character at `at`, 0 where there is none. */
static uint32_t character_bytes(const unsigned char *at, uint32_t left)
{
    uint32_t count = *at < 0x80 ? 1 : *at >= 0xc2 && *at < 0xe0 ? 2 : (*at & 0xf0) == 0xe0 ? 3 : *at >= 0xf0 && *at < 0xf5 ? 4 : 0;
    struct text one = {.data = (const char *)at, .bytes = count};
    return count && count <= left && text_is_utf8(one) ? count : 0;
}

static void text_write(struct writer *writer, struct text text)
{
    const unsigned char *at = (const unsigned char *)text.data, *end = at + text.bytes;
    char escape[8];
    words_write(writer, "\"");
    while (at < end) {
        const unsigned char *from = at;
        while (at < end && *at >= 0x20 && *at < 0x7f && *at != '"' && *at != '\\')
            at++;
        pack_bytes(writer->out, from, (size_t)(at - from));
        if (at == end)
            break;
        uint32_t count = character_bytes(at, (uint32_t)(end - at));
        if (count > 1)
            pack_bytes(writer->out, at, count);
        else if (count == 0)
            words_write(writer, "\xef\xbf\xbd");
        else
            pack_bytes(writer->out, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", *at));
        at += count ? count : 1;
    }
    words_write(writer, "\"");
}

static void bytes_write(struct writer *writer, struct text bytes)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *at = (const unsigned char *)bytes.data;
    words_write(writer, "\"");
    for (uint32_t left = bytes.bytes; left > 0;) {
        uint32_t some = left < 3 ? left : 3, held = (uint32_t)at[0] << 16;
        held |= some > 1 ? (uint32_t)at[1] << 8 : 0;
        held |= some > 2 ? at[2] : 0;
        const char four[] = {letters[held >> 18], letters[held >> 12 & 63], some > 1 ? letters[held >> 6 & 63] : '=',
                             some > 2 ? letters[held & 63] : '='};
        pack_bytes(writer->out, four, sizeof four);
        at += some;
        left -= some;
    }
    words_write(writer, "\"");
}

static void number_write(struct writer *writer, const struct wire_value *value)
{
    char text[40];
    bool is_narrow = *value->at == 0xca;
    if (value->type == WIRE_INT)
        snprintf(text, sizeof text, "%lld", (long long)value->integer);
    else if (!isfinite(value->real))
        snprintf(text, sizeof text, "null");
    else
        snprintf(text, sizeof text, is_narrow ? "%.9g" : "%.17g", value->real);
    words_write(writer, text);
}

static bool value_write(struct writer *writer, const struct wire_value *value);

static bool name_write(struct writer *writer, const struct wire_value *name)
{
    if (name->type == WIRE_STR)
        text_write(writer, name->text);
    else
        words_write(writer, "\"?\""); /* no reply of ours has it */
    words_write(writer, ":");
    return true;
}

/* Of an array its items, of a map its pairs. */
static bool items_write(struct writer *writer, const struct wire_value *value)
{
    bool is_map = value->type == WIRE_MAP;
    const unsigned char *at = value->inside;
    struct wire_value item;
    words_write(writer, is_map ? "{" : "[");
    for (uint32_t i = 0; i < value->count; i++) {
        if (i)
            words_write(writer, ",");
        if (is_map && (!wire_next(&item, &at, value->end) || !name_write(writer, &item)))
            return false;
        if (!wire_next(&item, &at, value->end) || !value_write(writer, &item))
            return false;
    }
    words_write(writer, is_map ? "}" : "]");
    return true;
}

/* false: no room, or no memory. Depth was bounded by wire_check. */
static bool value_write(struct writer *writer, const struct wire_value *value)
{
    switch (value->type) {
    case WIRE_INT:
    case WIRE_FLOAT:
        number_write(writer, value);
        break;
    case WIRE_BOOL:
        words_write(writer, value->integer ? "true" : "false");
        break;
    case WIRE_STR:
        text_write(writer, value->text);
        break;
    case WIRE_BIN:
        bytes_write(writer, value->text);
        break;
    case WIRE_ARRAY:
    case WIRE_MAP:
        if (!items_write(writer, value))
            return false;
        break;
    default:
        words_write(writer, "null");
    }
    return !writer->out->failed && writer->out->bytes <= writer->bytes_max;
}

static void fault_find(struct json_reply *told, const struct wire_value *reply)
{
    struct wire_value value;
    char name[32];
    *told = (struct json_reply){.fault = FAULT_NONE};
    if (wire_find(&value, reply, "fault") && value.type == WIRE_STR) {
        text_copy(name, sizeof name, value.text);
        told->fault = fault_from_name(name);
    }
    if (wire_find(&value, reply, "retry_after_ms") && value.type == WIRE_INT)
        told->retry_after_ms = value.integer;
}

enum fault wire_json_reply(struct wire_buffer *out, struct json_reply *told, const void *message, size_t byte_count, size_t bytes_max,
                           struct fault_note *note)
{
    struct writer writer = {.out = out, .bytes_max = bytes_max};
    const unsigned char *at = message;
    struct wire_value value;
    enum fault fault = wire_check(message, byte_count, note);
    if (fault != FAULT_NONE || !wire_next(&value, &at, at + byte_count))
        return fault;
    fault_find(told, &value);
    if (value_write(&writer, &value)) {
        words_write(&writer, "\n");
        if (!out->failed)
            return FAULT_NONE;
    }
    if (out->failed)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the reply as JSON");
    return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "the reply has more than %zu bytes as JSON", bytes_max);
}
