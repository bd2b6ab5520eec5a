#ifndef SLUICE_WIRE_LEAD_H
#define SLUICE_WIRE_LEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How msgpack values begin: what check, cursor and rows share. */

/* Whole size of a value that tells it by its first byte alone; 0: a length or a count follows, or it is no value. */
extern const uint8_t lead_bytes[256];

struct lead {
    uint64_t bytes; /* of the value's head and own content, without the items of a container */
    uint64_t items; /* values inside: twice the pairs of a map */
};
/* false: no such first byte, or its length does not lie before end. Knows nothing of whether bytes are there. */
bool lead_read(struct lead *out, const unsigned char *at, const unsigned char *end);
/* Behind the value at `at` with all that is inside; NULL when it reaches beyond end. */
const unsigned char *lead_skip(const unsigned char *at, const unsigned char *end);

struct wire_value;
/* The value at `at` as wire_next gives it, but for its end, which a container's items would have to be skipped for. */
bool value_begin(struct wire_value *out, const unsigned char *at, const unsigned char *end);

/* Big-endian integer of 1, 2, 4 or 8 bytes. */
static inline uint64_t lead_integer(const unsigned char *at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

/* The integer at `at`; false when it is none, or beyond INT64_MAX. Of checked bytes. */
static inline bool lead_int(int64_t *out, const unsigned char *at)
{
    unsigned char first = *at;
    if (first < 0x80 || first >= 0xe0)
        return *out = (int8_t)first, true;
    if (first < 0xcc || first > 0xd3)
        return false;
    size_t bytes = (size_t)1 << (first & 3);
    uint64_t value = lead_integer(at + 1, bytes), sign = (uint64_t)1 << (8 * bytes - 1);
    *out = (int64_t)(first < 0xd0 ? value : (value ^ sign) - sign);
    return first >= 0xd0 || value <= INT64_MAX;
}

/* Text at `at`: where it begins and its bytes; false when it is none. Of checked bytes. */
static inline bool lead_text(const unsigned char **out, uint32_t *out_bytes, const unsigned char *at)
{
    unsigned char first = *at;
    if (first >= 0xa0 && first < 0xc0)
        return *out = at + 1, *out_bytes = first & 0x1fu, true;
    if (first < 0xd9 || first > 0xdb)
        return false;
    size_t length_bytes = (size_t)1 << (first - 0xd9);
    *out_bytes = (uint32_t)lead_integer(at + 1, length_bytes);
    return *out = at + 1 + length_bytes, true;
}

#endif
