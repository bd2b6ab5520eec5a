/* JSON into msgpack, value by value as it is read: the counts of objects and arrays are put in when their ends are there. */
#include "wire/json_wire.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "wire/pack.h"

enum { NUMBER_BYTES_MAX = 64, HEAD_BYTES = 5, CODE_POINT_MAX = 0x10ffff };

struct reader {
    const char *begin, *at, *end;
    struct wire_buffer *out;
    size_t bytes_max;
    uint32_t depth;
    bool has_version, has_form; /* of the request */
    struct fault_note *note;
};

#define WRONG(...) fault_set(reader->note, FAULT_syntax, ROW_NONE, COLUMN_NONE, "JSON, byte " __VA_ARGS__)
#define PLACE      (size_t)(reader->at - reader->begin)

static enum fault value_read(struct reader *reader);

static void blanks_skip(struct reader *reader)
{
    while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\t' || *reader->at == '\n' || *reader->at == '\r'))
        reader->at++;
}

static bool mark_take(struct reader *reader, char mark)
{
    blanks_skip(reader);
    bool is = reader->at < reader->end && *reader->at == mark;
    reader->at += is;
    return is;
}

static enum fault room_check(struct reader *reader)
{
    if (reader->out->failed)
        return fault_set(reader->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to read JSON");
    if (reader->out->bytes <= reader->bytes_max)
        return FAULT_NONE;
    return fault_set(reader->note, FAULT_limit, ROW_NONE, COLUMN_NONE, "the request has more than %zu bytes as a message",
                     reader->bytes_max);
}

/* --- heads: written before their lengths and counts are known --------------------------------------------------------------- */

static size_t head_begin(struct reader *reader)
{
    static const char room[HEAD_BYTES] = {0};
    pack_bytes(reader->out, room, sizeof room);
    return reader->out->bytes;
}

static void head_write(struct reader *reader, size_t behind, unsigned char lead, uint32_t count)
{
    if (reader->out->failed)
        return;
    unsigned char *head = (unsigned char *)reader->out->data + behind - HEAD_BYTES;
    head[0] = lead;
    for (int i = 1; i < HEAD_BYTES; i++)
        head[i] = (unsigned char)(count >> (8 * (HEAD_BYTES - 1 - i)));
}

/* Short texts are most: their head is one byte, and they move up to it. */
static void text_close(struct reader *reader, size_t behind)
{
    size_t bytes = reader->out->failed ? 0 : reader->out->bytes - behind;
    if (bytes >= 32 || reader->out->failed) {
        head_write(reader, behind, 0xdb, (uint32_t)bytes);
        return;
    }
    char *head = reader->out->data + behind - HEAD_BYTES;
    *head = (char)(unsigned char)(0xa0 | bytes);
    memmove(head + 1, head + HEAD_BYTES, bytes);
    reader->out->bytes -= HEAD_BYTES - 1;
}

/* --- texts ------------------------------------------------------------------------------------------------------------------ */

static bool hex_read(uint32_t *out, const char *at, const char *end)
{
    *out = 0;
    if (end - at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit > 15)
            return false;
        *out = *out << 4 | digit;
    }
    return true;
}

static void character_write(struct wire_buffer *out, uint32_t code)
{
    char bytes[4];
    size_t count = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = count; i-- > 1; code >>= 6)
        bytes[i] = (char)(unsigned char)(0x80 | (code & 0x3f));
    bytes[0] = (char)(unsigned char)(leads[count] | code);
    pack_bytes(out, bytes, count);
}

/* Behind \u: one code unit, or the two of a pair. */
static enum fault unicode_read(struct reader *reader)
{
    uint32_t code, low;
    if (!hex_read(&code, reader->at, reader->end))
        return WRONG("%zu: \\u needs four hex digits", PLACE);
    reader->at += 4;
    if (code >= 0xd800 && code < 0xe000) {
        bool pair = code < 0xdc00 && reader->end - reader->at >= 6 && reader->at[0] == '\\' && reader->at[1] == 'u' &&
                    hex_read(&low, reader->at + 2, reader->end) && low >= 0xdc00 && low < 0xe000;
        if (!pair)
            return WRONG("%zu: half of a surrogate pair", PLACE);
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        reader->at += 6;
    }
    character_write(reader->out, code);
    return FAULT_NONE;
}

static enum fault escape_read(struct reader *reader)
{
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    char c = reader->at < reader->end ? *reader->at++ : '\0';
    if (c == 'u')
        return unicode_read(reader);
    const char *found = c ? strchr(names, c) : NULL;
    if (!found)
        return WRONG("%zu: no such escape", PLACE);
    pack_bytes(reader->out, meant + (found - names), 1);
    return FAULT_NONE;
}

/* Its characters behind what is written; reader->at stands behind the opening quote. */
static enum fault characters_read(struct reader *reader)
{
    enum fault fault = FAULT_NONE;
    while (fault == FAULT_NONE) {
        const char *from = reader->at;
        while (reader->at < reader->end && *reader->at != '"' && *reader->at != '\\' && (unsigned char)*reader->at >= 0x20)
            reader->at++;
        pack_bytes(reader->out, from, (size_t)(reader->at - from));
        if ((fault = room_check(reader)) != FAULT_NONE)
            return fault;
        if (reader->at == reader->end)
            return WRONG("%zu: a text is not closed", PLACE);
        char c = *reader->at;
        if (c != '"' && c != '\\')
            return WRONG("%zu: a control character in a text", PLACE);
        reader->at++;
        if (c == '"')
            return FAULT_NONE;
        fault = escape_read(reader);
    }
    return fault;
}

static enum fault text_read(struct reader *reader)
{
    size_t behind = head_begin(reader);
    enum fault fault = characters_read(reader);
    if (fault == FAULT_NONE)
        text_close(reader, behind);
    return fault;
}

/* --- numbers and words ------------------------------------------------------------------------------------------------------ */

static size_t digits_count(const char *at, const char *end)
{
    const char *from = at;
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return (size_t)(at - from);
}

/* Bytes of the number at `at`, 0: none; *is_whole: an integer. */
static size_t number_bytes(const char *at, const char *end, bool *is_whole)
{
    const char *from = at;
    at += at < end && *at == '-';
    size_t digits = digits_count(at, end);
    if (digits == 0 || (digits > 1 && *at == '0'))
        return 0;
    at += digits;
    *is_whole = true;
    if (at < end && *at == '.') {
        *is_whole = false;
        if ((digits = digits_count(at + 1, end)) == 0)
            return 0;
        at += 1 + digits;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        *is_whole = false;
        at++;
        at += at < end && (*at == '+' || *at == '-');
        if ((digits = digits_count(at, end)) == 0)
            return 0;
        at += digits;
    }
    return (size_t)(at - from);
}

static bool integer_of(int64_t *out, const char *at, size_t bytes)
{
    bool negative = *at == '-';
    uint64_t value = 0, most = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
    if (bytes - negative > 19)
        return false;
    for (size_t i = negative; i < bytes; i++)
        value = 10 * value + (uint64_t)(at[i] - '0');
    *out = (int64_t)(negative ? 0 - value : value);
    return value <= most;
}

static enum fault number_read(struct reader *reader)
{
    char copy[NUMBER_BYTES_MAX + 1];
    bool is_whole;
    int64_t integer;
    size_t bytes = number_bytes(reader->at, reader->end, &is_whole);
    if (bytes == 0 || bytes > NUMBER_BYTES_MAX)
        return WRONG("%zu: %s", PLACE, bytes ? "a number of more than 64 characters" : "no value");
    if (is_whole && integer_of(&integer, reader->at, bytes)) {
        wire_pack_i64(reader->out, integer);
    } else {
        memcpy(copy, reader->at, bytes);
        copy[bytes] = '\0';
        double real = strtod(copy, NULL);
        if (!isfinite(real))
            return WRONG("%zu: a number beyond what a float holds", PLACE);
        wire_pack_f64(reader->out, real);
    }
    reader->at += bytes;
    return FAULT_NONE;
}

static bool word_take(struct reader *reader, const char *word)
{
    size_t bytes = strlen(word);
    bool is = (size_t)(reader->end - reader->at) >= bytes && memcmp(reader->at, word, bytes) == 0;
    reader->at += is ? bytes : 0;
    return is;
}

static enum fault word_read(struct reader *reader)
{
    if (word_take(reader, "null"))
        wire_pack_nil(reader->out);
    else if (word_take(reader, "true"))
        wire_pack_bool(reader->out, true);
    else if (word_take(reader, "false"))
        wire_pack_bool(reader->out, false);
    else
        return number_read(reader);
    return FAULT_NONE;
}

/* --- base64 ----------------------------------------------------------------------------------------------------------------- */

static int base64_value(char c)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c ? strchr(letters, c) : NULL;
    return found ? (int)(found - letters) : -1;
}

/* A text in base64, as a bin; in place, since it only shrinks. */
static enum fault bytes_read(struct reader *reader)
{
    if (!mark_take(reader, '"'))
        return WRONG("%zu: bytes must be text in base64", PLACE);
    size_t behind = head_begin(reader), to;
    enum fault fault = characters_read(reader);
    if (fault != FAULT_NONE || reader->out->failed)
        return fault;
    char *text = reader->out->data;
    size_t end = reader->out->bytes, bits = 0, padding = 0;
    uint32_t held = 0;
    if ((end - behind) % 4)
        return WRONG("%zu: not base64: its length is no multiple of 4", PLACE);
    while (padding < 2 && end > behind && text[end - 1] == '=')
        end--, padding++;
    to = behind;
    for (size_t i = behind; i < end; i++) {
        int value = base64_value(text[i]);
        if (value < 0)
            return WRONG("%zu: not base64", PLACE);
        held = held << 6 | (uint32_t)value;
        if ((bits += 6) >= 8)
            text[to++] = (char)(unsigned char)(held >> (bits -= 8) & 0xff);
    }
    reader->out->bytes = to;
    head_write(reader, behind, 0xc6, (uint32_t)(to - behind));
    return FAULT_NONE;
}

/* --- containers ------------------------------------------------------------------------------------------------------------- */

static enum fault depth_enter(struct reader *reader)
{
    if (++reader->depth > JSON_DEPTH_MAX)
        return WRONG("%zu: nested deeper than %d", PLACE, JSON_DEPTH_MAX);
    return FAULT_NONE;
}

/* The name of a pair and its colon; *out_name points into what was written. */
static enum fault name_read(struct reader *reader, struct text *out_name)
{
    if (!mark_take(reader, '"'))
        return WRONG("%zu: a name in quotes must be here", PLACE);
    size_t from = reader->out->bytes;
    enum fault fault = text_read(reader);
    if (fault != FAULT_NONE)
        return fault;
    if (reader->out->failed)
        return room_check(reader);
    size_t head = (unsigned char)reader->out->data[from] == 0xdb ? HEAD_BYTES : 1;
    *out_name = (struct text){.data = reader->out->data + from + head, .bytes = (uint32_t)(reader->out->bytes - from - head)};
    return mark_take(reader, ':') ? FAULT_NONE : WRONG("%zu: a colon must be here", PLACE);
}

/* What a field of the request is, by its name. */
static enum fault field_read(struct reader *reader, struct text name)
{
    if (text_equal(name, text_of("op")) || text_equal(name, text_of("token")))
        return fault_set(reader->note, FAULT_schema, ROW_NONE, COLUMN_NONE, "field %.*s is told by the %s, not by the object",
                         (int)name.bytes, name.data, name.bytes == 2 ? "path" : "header Authorization");
    reader->has_version |= text_equal(name, text_of("v"));
    reader->has_form |= text_equal(name, text_of("form"));
    if (text_equal(name, text_of("data")) || text_equal(name, text_of("golden")))
        return bytes_read(reader);
    return value_read(reader);
}

static enum fault pairs_read(struct reader *reader, uint32_t *count, bool is_request)
{
    struct text name;
    if (mark_take(reader, '}'))
        return FAULT_NONE;
    do {
        enum fault fault = name_read(reader, &name);
        if (fault == FAULT_NONE)
            fault = is_request ? field_read(reader, name) : value_read(reader);
        if (fault != FAULT_NONE)
            return fault;
        ++*count;
    } while (mark_take(reader, ','));
    return mark_take(reader, '}') ? FAULT_NONE : WRONG("%zu: a comma or } must be here", PLACE);
}

static enum fault object_read(struct reader *reader)
{
    uint32_t count = 0;
    enum fault fault = depth_enter(reader);
    size_t behind = head_begin(reader);
    if (fault == FAULT_NONE)
        fault = pairs_read(reader, &count, false);
    head_write(reader, behind, 0xdf, count);
    reader->depth--;
    return fault;
}

static enum fault array_read(struct reader *reader)
{
    uint32_t count = 0;
    enum fault fault = depth_enter(reader);
    size_t behind = head_begin(reader);
    if (fault == FAULT_NONE && !mark_take(reader, ']')) {
        do {
            fault = value_read(reader);
            count++;
        } while (fault == FAULT_NONE && mark_take(reader, ','));
        if (fault == FAULT_NONE && !mark_take(reader, ']'))
            fault = WRONG("%zu: a comma or ] must be here", PLACE);
    }
    head_write(reader, behind, 0xdd, count);
    reader->depth--;
    return fault;
}

static enum fault value_read(struct reader *reader)
{
    enum fault fault;
    if (mark_take(reader, '{'))
        fault = object_read(reader);
    else if (mark_take(reader, '['))
        fault = array_read(reader);
    else if (mark_take(reader, '"'))
        fault = text_read(reader);
    else
        fault = word_read(reader);
    return fault == FAULT_NONE ? room_check(reader) : fault;
}

enum fault wire_json_request(struct wire_buffer *out, struct text op, struct text token, const char *json, size_t byte_count,
                             const struct batch_limits *limits, struct fault_note *note)
{
    struct reader own = {
        .begin = json, .at = json, .end = json + byte_count, .out = out, .bytes_max = limits->message_bytes_max, .depth = 1, .note = note};
    struct reader *reader = &own;
    uint32_t count = 2;
    enum fault fault = FAULT_NONE;
    size_t behind = head_begin(reader);
    pack_key_str(out, "op", op);
    pack_key_str(out, "token", token);
    blanks_skip(reader);
    if (reader->at < reader->end)
        fault = mark_take(reader, '{') ? pairs_read(reader, &count, true) : WRONG("%zu: the request must be an object", PLACE);
    blanks_skip(reader);
    if (fault == FAULT_NONE && reader->at < reader->end)
        fault = WRONG("%zu: more behind the object", PLACE);
    if (fault != FAULT_NONE)
        return fault;
    if (!reader->has_version)
        pack_key_i64(out, "v", 1);
    if (!reader->has_form)
        pack_key_text(out, "form", "rows");
    head_write(reader, behind, 0xdf, count + !reader->has_version + !reader->has_form);
    return room_check(reader);
}
