#include "wire/iso20022/decimal.h"

#include <stdio.h>

static const uint32_t tens[DECIMAL_PLACES_MAX + 1] = {1, 10, 100, 1000, 10000, 100000};
static const uint64_t whole_end = 1000000000000000000u;

bool decimal_read(struct decimal *out, struct text text)
{
    uint32_t at = 0, digits = 0;
    *out = (struct decimal){0};
    if (at < text.bytes && text.data[at] == '+')
        at++;
    for (; at < text.bytes && text.data[at] >= '0' && text.data[at] <= '9'; at++, digits++) {
        out->whole = 10 * out->whole + (uint64_t)(text.data[at] - '0');
        if (out->whole >= whole_end)
            return false;
    }
    if (at < text.bytes && text.data[at] == '.')
        for (at++; at < text.bytes && text.data[at] >= '0' && text.data[at] <= '9'; at++, digits++, out->places++) {
            uint32_t digit = (uint32_t)(text.data[at] - '0');
            if (out->places < DECIMAL_PLACES_MAX)
                out->fraction += digit * tens[DECIMAL_PLACES_MAX - 1 - out->places];
            else if (digit)
                return false;
        }
    if (out->places > DECIMAL_PLACES_MAX)
        out->places = DECIMAL_PLACES_MAX;
    return at == text.bytes && digits > 0;
}

bool decimal_add(struct decimal *sum, const struct decimal *part)
{
    uint32_t fraction = sum->fraction + part->fraction;
    sum->whole += part->whole + fraction / DECIMAL_UNIT;
    sum->fraction = fraction % DECIMAL_UNIT;
    sum->places = sum->places > part->places ? sum->places : part->places;
    return sum->whole < whole_end;
}

bool decimal_equal(const struct decimal *a, const struct decimal *b)
{
    return a->whole == b->whole && a->fraction == b->fraction;
}

size_t decimal_print(char out[DECIMAL_BYTES], const struct decimal *value)
{
    uint32_t places = value->places < DECIMAL_PLACES_MAX ? value->places : DECIMAL_PLACES_MAX;
    int bytes = snprintf(out, DECIMAL_BYTES, "%llu", (unsigned long long)value->whole);
    if (places)
        bytes += snprintf(out + bytes, DECIMAL_BYTES - (size_t)bytes, ".%0*u", (int)places,
                          (unsigned)(value->fraction / tens[DECIMAL_PLACES_MAX - places]));
    return (size_t)bytes;
}

bool decimal_to_minor(int64_t *out, const struct decimal *value, int exponent)
{
    if (exponent < 0 || exponent > DECIMAL_PLACES_MAX)
        return false;
    uint32_t unit = tens[DECIMAL_PLACES_MAX - exponent];
    if (value->fraction % unit || value->whole > (uint64_t)INT64_MAX / tens[exponent] - 1)
        return false;
    *out = (int64_t)(value->whole * tens[exponent] + value->fraction / unit);
    return true;
}

void decimal_from_minor(struct decimal *out, int64_t minor, int exponent)
{
    uint64_t value = minor > 0 ? (uint64_t)minor : 0;
    uint32_t places = exponent > 0 && exponent <= DECIMAL_PLACES_MAX ? (uint32_t)exponent : 0;
    out->whole = value / tens[places];
    out->fraction = (uint32_t)(value % tens[places]) * tens[DECIMAL_PLACES_MAX - places];
    out->places = places;
}
