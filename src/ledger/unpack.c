/* Reading of a frame's body. Every length is checked against the bytes that are left, every size against the arena. */
#include <string.h>

#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include "base/must.h"
#include "ledger/ints.h"
#include "ledger/pack.h"

size_t unpack_workspace_bytes(void)
{
    return ZSTD_estimateDCtxSize();
}

void *unpack_context_init(void *workspace)
{
    void *context = ZSTD_initStaticDCtx(workspace, unpack_workspace_bytes());
    MUST(context);
    return context;
}

static bool unpack_fails(struct unpacker *unpacker)
{
    unpacker->broken = true;
    return false;
}

const unsigned char *unpack_raw(struct unpacker *unpacker, size_t bytes)
{
    if (unpacker->broken || bytes > (size_t)(unpacker->end - unpacker->at))
        return unpack_fails(unpacker), NULL;
    const unsigned char *at = unpacker->at;
    unpacker->at += bytes;
    return at;
}

uint64_t unpack_uint(struct unpacker *unpacker, unsigned width)
{
    uint64_t value = 0;
    const unsigned char *at = unpack_raw(unpacker, width);
    if (at)
        memcpy(&value, at, width);
    return value;
}

static void *unpack_room(struct unpacker *unpacker, size_t bytes)
{
    if (unpacker->broken || bytes > unpacker->arena->size)
        return unpack_fails(unpacker), NULL;
    void *room = arena_take(unpacker->arena, (bytes + 8 + 63) & ~(size_t)63, 64);
    if (!room)
        unpack_fails(unpacker);
    return room;
}

void *unpack_array(struct unpacker *unpacker, size_t bytes)
{
    void *array = unpack_room(unpacker, bytes);
    return array ? memset(array, 0, bytes) : NULL;
}

struct text unpack_text(struct unpacker *unpacker)
{
    uint32_t bytes = (uint32_t)unpack_uint(unpacker, 4);
    const unsigned char *at = unpack_raw(unpacker, bytes);
    char *copy = at ? unpack_room(unpacker, bytes) : NULL;
    if (!copy)
        return (struct text){.data = "", .bytes = 0};
    memcpy(copy, at, bytes);
    return (struct text){.data = copy, .bytes = bytes};
}

/* A block of exactly bytes into out. */
static bool unpack_into(struct unpacker *unpacker, unsigned char *out, size_t bytes)
{
    size_t raw = unpack_uint(unpacker, 4), stored = unpack_uint(unpacker, 4);
    const unsigned char *at = unpack_raw(unpacker, stored);
    if (!at || raw != bytes || stored > raw)
        return unpack_fails(unpacker);
    if (stored == raw) {
        memcpy(out, at, raw);
        return true;
    }
    return ZSTD_decompressDCtx(unpacker->context, out, raw, at, stored) == raw || unpack_fails(unpacker);
}

void *unpack_bytes(struct unpacker *unpacker, size_t bytes)
{
    unsigned char *out = unpack_room(unpacker, bytes);
    return out && unpack_into(unpacker, out, bytes) ? out : NULL;
}

void *unpack_texts(struct unpacker *unpacker, size_t bytes, uint32_t count)
{
    unsigned width = (unsigned)unpack_uint(unpacker, 1);
    if (width && (size_t)width * count != bytes)
        return unpack_fails(unpacker), NULL;
    unsigned char *raw = unpack_bytes(unpacker, bytes), *out = raw && width ? unpack_room(unpacker, bytes) : raw;
    if (out && width)
        texts_turn_back(out, raw, width, count);
    return out;
}

static void *unpack_sparse(struct unpacker *unpacker, uint32_t count)
{
    unsigned char usual = (unsigned char)unpack_uint(unpacker, 1);
    size_t bytes = unpack_uint(unpacker, 4);
    const unsigned char *at = unpack_raw(unpacker, bytes);
    unsigned char *out = at ? unpack_room(unpacker, count) : NULL;
    if (out && !sparse_read(out, count, usual, at, bytes))
        unpack_fails(unpacker);
    return out;
}

void *unpack_ints(struct unpacker *unpacker, unsigned width, uint32_t count)
{
    unsigned mode = (unsigned)unpack_uint(unpacker, 1);
    if (mode == INTS_SPARSE && width == 1)
        return unpack_sparse(unpacker, count);
    struct ints_form form = {.value_width = width, .width = mode & 0xf, .steps = mode & INTS_STEPS};
    if (mode > (INTS_STEPS | 8) || form.width > width)
        return unpack_fails(unpacker), NULL;
    bool as_it_is = form.width == width && !form.steps;
    if (!as_it_is)
        form.base = (int64_t)unpack_uint(unpacker, 8);
    if (form.steps)
        form.first = (int64_t)unpack_uint(unpacker, 8);
    unsigned char *out = unpack_room(unpacker, (size_t)width * count);
    if (!out || !unpack_into(unpacker, out + (size_t)(width - form.width) * count, (size_t)form.width * count))
        return NULL;
    if (!as_it_is)
        ints_widen(out, &form, count);
    return out;
}
