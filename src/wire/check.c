/* Nothing is believed before it has been seen to lie inside the message: a count of items is never larger than the bytes
 * that are left, and the stack of open containers is 16 deep. Nothing is allocated. */
#include "wire/wire.h"

#include "wire/lead.h"

enum { DEPTH_MAX = 16 };

#define X4(n)   n, n, n, n
#define X16(n)  X4(n), X4(n), X4(n), X4(n)
#define UP4(n)  n, n + 1, n + 2, n + 3
#define UP16(n) UP4(n), UP4(n + 4), UP4(n + 8), UP4(n + 12)

const uint8_t lead_bytes[256] = {
    X16(1),  X16(1),   X16(1), X16(1), X16(1), X16(1), X16(1), X16(1), /* 00: small positive integers */
    1,       X4(0),    X4(0),  X4(0),  0,      0,      0,              /* 80: maps; the empty one has nothing inside */
    1,       X4(0),    X4(0),  X4(0),  0,      0,      0,              /* 90: arrays, likewise */
    UP16(1), UP16(17),                                                 /* a0: short str */
    1,       0,        1,      1,      0,      0,      0,      0,      /* c0: nil, none, false, true, bin, ext */
    0,       0,        5,      9,      2,      3,      5,      9,      /* c8: ext, floats, unsigned integers */
    2,       3,        5,      9,      3,      4,      6,      10,     /* d0: signed integers, fixed ext */
    18,      0,        0,      0,      0,      0,      0,      0,      /* d8: fixed ext, str, array, map */
    X16(1),  X16(1),                                                   /* e0: small negative integers */
};

static bool sized(struct lead *out, const unsigned char *at, const unsigned char *end, size_t length_bytes, size_t extra)
{
    if ((size_t)(end - at) < 1 + length_bytes)
        return false;
    *out = (struct lead){.bytes = 1 + length_bytes + extra + lead_integer(at + 1, length_bytes)};
    return true;
}

static bool container(struct lead *out, const unsigned char *at, const unsigned char *end, size_t length_bytes, size_t items_each)
{
    if ((size_t)(end - at) < 1 + length_bytes)
        return false;
    *out = (struct lead){.bytes = 1 + length_bytes, .items = items_each * lead_integer(at + 1, length_bytes)};
    return true;
}

bool lead_read(struct lead *out, const unsigned char *at, const unsigned char *end)
{
    unsigned char first = *at;
    if (lead_bytes[first])
        return *out = (struct lead){.bytes = lead_bytes[first]}, true;
    if (first < 0xa0)
        return *out = (struct lead){.bytes = 1, .items = (first & 0xfu) << (first < 0x90)}, true;
    switch (first) {
    case 0xc4:
    case 0xc5:
    case 0xc6:
        return sized(out, at, end, (size_t)1 << (first - 0xc4), 0); /* bin */
    case 0xc7:
    case 0xc8:
    case 0xc9:
        return sized(out, at, end, (size_t)1 << (first - 0xc7), 1); /* ext */
    case 0xd9:
    case 0xda:
    case 0xdb:
        return sized(out, at, end, (size_t)1 << (first - 0xd9), 0); /* str */
    case 0xdc:
    case 0xdd:
        return container(out, at, end, (size_t)2 << (first - 0xdc), 1);
    case 0xde:
    case 0xdf:
        return container(out, at, end, (size_t)2 << (first - 0xde), 2);
    default:
        return false;
    }
}

const unsigned char *lead_skip(const unsigned char *at, const unsigned char *end)
{
    uint64_t waiting = 1;
    while (waiting > 0 && at < end) {
        struct lead lead = {.bytes = lead_bytes[*at]};
        if ((!lead.bytes && !lead_read(&lead, at, end)) || lead.bytes > (size_t)(end - at))
            return NULL;
        at += lead.bytes;
        waiting += lead.items - 1;
    }
    return waiting == 0 ? at : NULL;
}

static enum fault refuse(struct fault_note *note, enum fault fault, const char *what, size_t offset)
{
    return fault_set(note, fault, ROW_NONE, COLUMN_NONE, "the message %s at byte %zu", what, offset);
}

enum fault wire_check(const void *bytes, size_t byte_count, struct fault_note *note)
{
    const unsigned char *start = bytes, *at = start, *end = start + byte_count;
    uint64_t outer[DEPTH_MAX], waiting = 1; /* values still to come: in the containers around, in this one */
    for (size_t depth = 0;;) {
        if (at == end)
            return refuse(note, FAULT_syntax, "ends inside a value", byte_count);
        struct lead lead = {.bytes = lead_bytes[*at]};
        if (!lead.bytes && !lead_read(&lead, at, end))
            return refuse(note, FAULT_syntax, "is no msgpack", (size_t)(at - start));
        if (lead.bytes > (size_t)(end - at))
            return refuse(note, FAULT_syntax, "ends inside a value that begins", (size_t)(at - start));
        if (lead.items > (size_t)(end - at) - lead.bytes)
            return refuse(note, FAULT_syntax, "claims more values than bytes are left", (size_t)(at - start));
        if (lead.items && depth == DEPTH_MAX)
            return refuse(note, FAULT_limit, "is nested more than 16 deep", (size_t)(at - start));
        at += lead.bytes;
        waiting--;
        if (lead.items) {
            outer[depth++] = waiting;
            waiting = lead.items;
        }
        while (waiting == 0 && depth > 0)
            waiting = outer[--depth];
        if (waiting == 0)
            break;
    }
    return at == end ? FAULT_NONE : refuse(note, FAULT_syntax, "goes on behind its one value", (size_t)(at - start));
}
