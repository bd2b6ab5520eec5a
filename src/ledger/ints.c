/* Integers to few bytes and back, a chunk of values at a time. Arithmetic wraps, so every 64-bit pattern comes back. */
#include "ledger/ints.h"

#include <string.h>

enum { CHUNK = 512 };

static void chunk_load(uint64_t *out, const unsigned char *values, unsigned width, uint32_t count)
{
    uint32_t word;
    uint16_t half;
    if (width == 8)
        memcpy(out, values, 8 * (size_t)count);
    for (uint32_t i = 0; width == 4 && i < count; i++)
        memcpy(&word, values + 4 * (size_t)i, 4), out[i] = word;
    for (uint32_t i = 0; width == 2 && i < count; i++)
        memcpy(&half, values + 2 * (size_t)i, 2), out[i] = half;
    for (uint32_t i = 0; width == 1 && i < count; i++)
        out[i] = values[i];
}

static void chunk_store(unsigned char *out, const uint64_t *values, unsigned width, uint32_t count)
{
    if (width == 8)
        memcpy(out, values, 8 * (size_t)count);
    for (uint32_t i = 0; width == 4 && i < count; i++)
        memcpy(out + 4 * (size_t)i, &values[i], 4);
    for (uint32_t i = 0; width == 2 && i < count; i++)
        memcpy(out + 2 * (size_t)i, &values[i], 2);
    for (uint32_t i = 0; width == 1 && i < count; i++)
        out[i] = (unsigned char)values[i];
}

/* Widths that no type has: eight bytes are stored or loaded, the next value begins inside them. */
static void odd_store(unsigned char *out, const uint64_t *values, unsigned width, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        memcpy(out + (size_t)width * i, &values[i], 8);
}

static void odd_load(uint64_t *out, const unsigned char *values, unsigned width, uint32_t count)
{
    uint64_t mask = (UINT64_C(1) << 8 * width) - 1;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(&out[i], values + (size_t)width * i, 8);
        out[i] &= mask;
    }
}

static bool width_is_plain(unsigned width)
{
    return width == 1 || width == 2 || width == 4 || width == 8;
}

static unsigned width_of(uint64_t range)
{
    unsigned width = 0;
    for (; width < 8 && range >> 8 * width; width++)
        ;
    return width;
}

struct span {
    int64_t low, high;
};

static void span_add(struct span *span, const uint64_t *values, uint32_t count)
{
    int64_t low = span->low, high = span->high;
    for (uint32_t i = 0; i < count; i++) {
        int64_t value = (int64_t)values[i];
        low = value < low ? value : low;
        high = value > high ? value : high;
    }
    *span = (struct span){low, high};
}

static void steps_of(uint64_t *values, uint64_t before, uint32_t count)
{
    for (uint32_t i = count - 1; i > 0; i--)
        values[i] -= values[i - 1];
    values[0] -= before;
}

struct ints_form ints_form_of(const void *values, unsigned value_width, uint32_t count, bool search)
{
    const unsigned char *bytes = values;
    struct ints_form form = {.value_width = value_width, .width = value_width};
    struct span plain = {INT64_MAX, INT64_MIN}, steps = plain;
    uint64_t chunk[CHUNK], before;
    chunk_load(chunk, bytes, value_width, count < 2 ? count : 2);
    if (count == 0 || memcmp(bytes, bytes + value_width, (size_t)value_width * (count - 1)) == 0) {
        form.base = count ? (int64_t)chunk[0] : 0, form.width = 0;
        return form;
    }
    before = 2 * chunk[0] - chunk[1]; /* so that the first step is the second */
    form.first = (int64_t)before;
    for (uint32_t done = 0; search && value_width > 1 && done < count; done += CHUNK) {
        uint32_t part = count - done < CHUNK ? count - done : CHUNK;
        chunk_load(chunk, bytes + (size_t)value_width * done, value_width, part);
        uint64_t last = chunk[part - 1];
        span_add(&plain, chunk, part);
        if (value_width >= 4) {
            steps_of(chunk, before, part);
            span_add(&steps, chunk, part);
        }
        before = last;
    }
    if (!search || value_width == 1)
        return form;
    unsigned width = width_of((uint64_t)plain.high - (uint64_t)plain.low);
    unsigned step_width = value_width >= 4 ? width_of((uint64_t)steps.high - (uint64_t)steps.low) : 8;
    form.steps = step_width < width;
    form.width = form.steps ? step_width : width;
    form.base = form.steps ? steps.low : plain.low;
    return form;
}

void ints_narrow(unsigned char *out, const unsigned char *values, const struct ints_form *form, uint32_t count)
{
    uint64_t chunk[CHUNK], before = (uint64_t)form->first;
    for (uint32_t done = 0; form->width && done < count; done += CHUNK) {
        uint32_t part = count - done < CHUNK ? count - done : CHUNK;
        chunk_load(chunk, values + (size_t)form->value_width * done, form->value_width, part);
        uint64_t last = chunk[part - 1];
        if (form->steps)
            steps_of(chunk, before, part);
        before = last;
        for (uint32_t i = 0; i < part; i++)
            chunk[i] -= (uint64_t)form->base;
        if (width_is_plain(form->width))
            chunk_store(out + (size_t)form->width * done, chunk, form->width, part);
        else
            odd_store(out + (size_t)form->width * done, chunk, form->width, part);
    }
}

void ints_widen(unsigned char *out, const struct ints_form *form, uint32_t count)
{
    uint64_t chunk[CHUNK] = {0}, before = (uint64_t)form->first;
    const unsigned char *narrow = out + (size_t)(form->value_width - form->width) * count;
    for (uint32_t done = 0; done < count; done += CHUNK) {
        uint32_t part = count - done < CHUNK ? count - done : CHUNK;
        if (form->width == 0)
            memset(chunk, 0, sizeof chunk);
        else if (width_is_plain(form->width))
            chunk_load(chunk, narrow + (size_t)form->width * done, form->width, part);
        else
            odd_load(chunk, narrow + (size_t)form->width * done, form->width, part);
        for (uint32_t i = 0; i < part; i++)
            chunk[i] += (uint64_t)form->base;
        for (uint32_t i = 0; form->steps && i < part; i++)
            before = chunk[i] += before;
        chunk_store(out + (size_t)form->value_width * done, chunk, form->value_width, part);
    }
}

enum { TILE = 64 };

void texts_turn(unsigned char *out, const unsigned char *texts, unsigned width, uint32_t count)
{
    for (uint32_t done = 0; done < count; done += TILE) {
        uint32_t part = count - done < TILE ? count - done : TILE;
        for (unsigned at = 0; at < width; at++)
            for (uint32_t i = done; i < done + part; i++)
                out[(size_t)at * count + i] = texts[(size_t)i * width + at];
    }
}

void texts_turn_back(unsigned char *out, const unsigned char *turned, unsigned width, uint32_t count)
{
    for (uint32_t done = 0; done < count; done += TILE) {
        uint32_t part = count - done < TILE ? count - done : TILE;
        for (unsigned at = 0; at < width; at++)
            for (uint32_t i = done; i < done + part; i++)
                out[(size_t)i * width + at] = turned[(size_t)at * count + i];
    }
}
