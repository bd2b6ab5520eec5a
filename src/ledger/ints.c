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

/* --- texts of one length ---------------------------------------------------------------------------------------------- */

enum { TILE_ROWS = 16, TILE_BYTES = 8 };
typedef unsigned char bytes16 __attribute__((vector_size(16)));
typedef uint64_t words2 __attribute__((vector_size(16)));
#define LOW_HALVES(a, b)  __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH_HALVES(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)

/* 128 bytes: the byte at place abcdefg (bits) moves to place bcdefga. */
static inline void tile_shuffle(bytes16 v[8])
{
    bytes16 a = v[0], b = v[1], c = v[2], d = v[3], e = v[4], f = v[5], g = v[6], h = v[7];
    v[0] = LOW_HALVES(a, e), v[1] = HIGH_HALVES(a, e);
    v[2] = LOW_HALVES(b, f), v[3] = HIGH_HALVES(b, f);
    v[4] = LOW_HALVES(c, g), v[5] = HIGH_HALVES(c, g);
    v[6] = LOW_HALVES(d, h), v[7] = HIGH_HALVES(d, h);
}

/* 16 rows of 8 bytes to 8 rows of 16: four bits of the place are the row. */
static void tile_turn(unsigned char *out, size_t out_stride, const unsigned char *in, size_t in_stride)
{
    bytes16 v[8];
    for (unsigned i = 0; i < 8; i++) {
        uint64_t rows[2];
        memcpy(&rows[0], in + in_stride * (2 * i), 8);
        memcpy(&rows[1], in + in_stride * (2 * i + 1), 8);
        v[i] = (bytes16)(words2){rows[0], rows[1]};
    }
    for (unsigned i = 0; i < 4; i++)
        tile_shuffle(v);
    for (unsigned i = 0; i < 8; i++)
        memcpy(out + out_stride * i, &v[i], 16);
}

static void tile_turn_back(unsigned char *out, size_t out_stride, const unsigned char *in, size_t in_stride)
{
    bytes16 v[8];
    for (unsigned i = 0; i < 8; i++)
        memcpy(&v[i], in + in_stride * i, 16);
    for (unsigned i = 0; i < 3; i++)
        tile_shuffle(v);
    for (unsigned i = 0; i < 8; i++) {
        words2 rows = (words2)v[i];
        memcpy(out + out_stride * (2 * i), &(uint64_t){rows[0]}, 8);
        memcpy(out + out_stride * (2 * i + 1), &(uint64_t){rows[1]}, 8);
    }
}

static uint32_t rows_in_tiles(unsigned width, uint32_t count)
{
    return width < TILE_BYTES ? 0 : count / TILE_ROWS * TILE_ROWS;
}

/* The last tile of a row begins early enough to end with it. */
static unsigned tile_start(unsigned at, unsigned width)
{
    return at + TILE_BYTES <= width ? at : width - TILE_BYTES;
}

void texts_turn(unsigned char *out, const unsigned char *texts, unsigned width, uint32_t count)
{
    uint32_t tiled = rows_in_tiles(width, count);
    for (uint32_t row = 0; row < tiled; row += TILE_ROWS)
        for (unsigned at = 0; at < width; at += TILE_BYTES) {
            unsigned start = tile_start(at, width);
            tile_turn(out + (size_t)start * count + row, count, texts + (size_t)row * width + start, width);
        }
    for (unsigned at = 0; at < width; at++)
        for (uint32_t row = tiled; row < count; row++)
            out[(size_t)at * count + row] = texts[(size_t)row * width + at];
}

void texts_turn_back(unsigned char *out, const unsigned char *turned, unsigned width, uint32_t count)
{
    uint32_t tiled = rows_in_tiles(width, count);
    for (uint32_t row = 0; row < tiled; row += TILE_ROWS)
        for (unsigned at = 0; at < width; at += TILE_BYTES) {
            unsigned start = tile_start(at, width);
            tile_turn_back(out + (size_t)row * width + start, width, turned + (size_t)start * count + row, count);
        }
    for (uint32_t row = tiled; row < count; row++)
        for (unsigned at = 0; at < width; at++)
            out[(size_t)row * width + at] = turned[(size_t)at * count + row];
}

/* --- bytes that are mostly one ------------------------------------------------------------------------------------------ */

enum { GAP_GOES_ON = 255 };

size_t sparse_write(unsigned char *out, size_t bytes_max, const unsigned char *values, uint32_t count, unsigned char usual)
{
    uint64_t usuals = 0x0101010101010101u * usual, eight;
    size_t at = 0;
    uint32_t gap = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i + 8 <= count && (memcpy(&eight, values + i, 8), eight == usuals)) {
            gap += 8, i += 7;
            continue;
        }
        if (values[i] == usual) {
            gap++;
            continue;
        }
        if (at + gap / GAP_GOES_ON + 2 > bytes_max)
            return 0;
        for (; gap >= GAP_GOES_ON; gap -= GAP_GOES_ON)
            out[at++] = GAP_GOES_ON;
        out[at++] = (unsigned char)gap;
        out[at++] = values[i];
        gap = 0;
    }
    return at;
}

bool sparse_read(unsigned char *out, uint32_t count, unsigned char usual, const unsigned char *in, size_t bytes)
{
    uint64_t place = 0;
    memset(out, usual, count);
    for (size_t i = 0; i < bytes; i++) {
        place += in[i];
        if (in[i] == GAP_GOES_ON)
            continue;
        if (place >= count || ++i == bytes)
            return false;
        out[place++] = in[i];
    }
    return true;
}
