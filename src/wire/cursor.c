/* Reading of bytes that wire_check has passed. Every value is borrowed; nothing reaches beyond end. */
#include "wire/wire.h"

#include "wire/lead.h"

static void read_integer(struct wire_value *out, const unsigned char *at)
{
    out->type = WIRE_INT;
    if (lead_int(&out->integer, at))
        return;
    out->type = WIRE_FLOAT;
    out->integer = 0;
    out->real = (double)lead_integer(at + 1, 8);
}

static void read_float(struct wire_value *out, const unsigned char *at)
{
    out->type = WIRE_FLOAT;
    if (*at == 0xca) {
        uint32_t bits = (uint32_t)lead_integer(at + 1, 4);
        float narrow;
        memcpy(&narrow, &bits, sizeof narrow);
        out->real = narrow;
    } else {
        uint64_t bits = lead_integer(at + 1, 8);
        memcpy(&out->real, &bits, sizeof out->real);
    }
}

static void read_bytes(struct wire_value *out, enum wire_type type, const unsigned char *at, uint64_t bytes, size_t head_bytes)
{
    out->type = type;
    out->text = (struct text){.data = (const char *)at + head_bytes, .bytes = (uint32_t)(bytes - head_bytes)};
}

static void read_container(struct wire_value *out, enum wire_type type, const unsigned char *at, const struct lead *lead)
{
    out->type = type;
    out->count = (uint32_t)(type == WIRE_MAP ? lead->items / 2 : lead->items);
    out->inside = at + lead->bytes;
}

static void read_value(struct wire_value *out, const unsigned char *at, const struct lead *lead)
{
    unsigned char first = *at;
    if (first < 0x80 || first >= 0xe0 || (first >= 0xcc && first <= 0xd3))
        read_integer(out, at);
    else if (first < 0x90 || first == 0xde || first == 0xdf)
        read_container(out, WIRE_MAP, at, lead);
    else if (first < 0xa0 || first == 0xdc || first == 0xdd)
        read_container(out, WIRE_ARRAY, at, lead);
    else if (first < 0xc0)
        read_bytes(out, WIRE_STR, at, lead->bytes, 1);
    else if (first == 0xc0)
        out->type = WIRE_NIL;
    else if (first == 0xc2 || first == 0xc3)
        out->type = WIRE_BOOL, out->integer = first == 0xc3;
    else if (first >= 0xc4 && first <= 0xc6)
        read_bytes(out, WIRE_BIN, at, lead->bytes, 1 + ((size_t)1 << (first - 0xc4)));
    else if (first == 0xca || first == 0xcb)
        read_float(out, at);
    else if (first >= 0xd9 && first <= 0xdb)
        read_bytes(out, WIRE_STR, at, lead->bytes, 1 + ((size_t)1 << (first - 0xd9)));
    else
        out->type = WIRE_EXT;
}

bool value_begin(struct wire_value *out, const unsigned char *at, const unsigned char *end)
{
    struct lead lead;
    *out = (struct wire_value){.at = at};
    if (at >= end || !lead_read(&lead, at, end) || lead.bytes > (size_t)(end - at))
        return false;
    read_value(out, at, &lead);
    out->end = at + lead.bytes;
    return true;
}

bool wire_next(struct wire_value *out, const unsigned char **at, const unsigned char *end)
{
    if (!value_begin(out, *at, end))
        return false;
    if (out->count > 0)
        out->end = lead_skip(*at, end);
    if (!out->end)
        return false;
    *at = out->end;
    return true;
}

bool wire_find(struct wire_value *out, const struct wire_value *map, const char *key)
{
    struct text wanted = text_of(key);
    struct wire_value name;
    const unsigned char *at = map->inside;
    for (uint32_t i = 0; map->type == WIRE_MAP && i < map->count; i++) {
        if (!wire_next(&name, &at, map->end) || !wire_next(out, &at, map->end))
            break;
        if (name.type == WIRE_STR && text_equal(name.text, wanted))
            return true;
    }
    *out = (struct wire_value){0};
    return false;
}

const char *wire_type_name(enum wire_type type)
{
    static const char *const names[] = {"nil",   "a truth value", "an integer", "a float",     "text",
                                        "bytes", "an array",      "a map",      "an extension"};
    return names[type];
}
