/* Writing of a frame's body. Nothing here fails: a block that zstd does not shrink is kept as it is. */
#include "ledger/pack.h"

#include <string.h>

#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include "base/must.h"
#include "ledger/ints.h"

enum { ZSTD_LEVEL = -20, TRY_BYTES_MIN = 64, SAMPLE_BYTES = 4096, TURN_WIDTH_MAX = 64, TURN_COUNT_MIN = 16, SPARSE_SHARE = 16 };

size_t pack_workspace_bytes(void)
{
    return ZSTD_estimateCCtxSize(ZSTD_LEVEL);
}

void *pack_context_init(void *workspace)
{
    void *context = ZSTD_initStaticCCtx(workspace, pack_workspace_bytes());
    MUST(context);
    MUST(!ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, ZSTD_LEVEL)));
    MUST(!ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_literalCompressionMode, ZSTD_ps_enable)));
    return context;
}

void pack_uint(struct packer *packer, uint64_t value, unsigned width)
{
    MUST(width <= (size_t)(packer->end - packer->at));
    memcpy(packer->at, &value, width);
    packer->at += width;
}

void pack_raw(struct packer *packer, const void *data, size_t bytes)
{
    MUST(bytes <= (size_t)(packer->end - packer->at));
    if (bytes)
        memcpy(packer->at, data, bytes);
    packer->at += bytes;
}

void pack_text(struct packer *packer, struct text text)
{
    pack_uint(packer, text.bytes, 4);
    pack_raw(packer, text.data, text.bytes);
    pack_array_taken(packer, text.bytes);
}

void pack_array_taken(struct packer *packer, size_t bytes)
{
    packer->arena_bytes += (bytes + 8 + 63) & ~(size_t)63;
}

/* Bytes stored at out, fewer than bytes; 0: no gain. A piece of a large block is tried before the whole. */
static size_t compress(struct packer *packer, unsigned char *out, const unsigned char *data, size_t bytes)
{
    ZSTD_CCtx *context = packer->context;
    if (bytes > 4 * SAMPLE_BYTES) {
        size_t sample = ZSTD_compress2(context, out, SAMPLE_BYTES - SAMPLE_BYTES / 8, data + bytes / 2, SAMPLE_BYTES);
        if (ZSTD_isError(sample))
            return 0;
    }
    size_t stored = ZSTD_compress2(context, out, bytes - 1, data, bytes);
    return ZSTD_isError(stored) ? 0 : stored;
}

/* The block's data is already at `at` or elsewhere; raw and stored sizes stand before it. */
void pack_block(struct packer *packer, const void *data, size_t bytes, bool gains)
{
    MUST(bytes <= UINT32_MAX && bytes + 8 <= (size_t)(packer->end - packer->at));
    size_t stored = gains && packer->context && bytes >= TRY_BYTES_MIN ? compress(packer, packer->at + 8, data, bytes) : 0;
    if (!stored && bytes)
        memcpy(packer->at + 8, data, bytes);
    if (!stored)
        stored = bytes;
    pack_uint(packer, bytes, 4);
    pack_uint(packer, stored, 4);
    packer->at += stored;
}

/* Narrowed values are laid out behind where the compressed ones will stand, then brought forward. */
static void pack_narrow(struct packer *packer, const unsigned char *values, const struct ints_form *form, uint32_t count, bool gains)
{
    size_t bytes = (size_t)form->width * count;
    unsigned char *narrow = packer->at + 8 + bytes;
    MUST(narrow + bytes + 8 <= packer->end);
    ints_narrow(narrow, values, form, count);
    pack_block(packer, narrow, bytes, gains);
}

/* Most values are one: the others, each with its place. false: they are too many, or none. */
static bool pack_sparse(struct packer *packer, const unsigned char *values, uint32_t count)
{
    enum { HEAD_BYTES = 6 };
    size_t bytes_max = count / SPARSE_SHARE;
    MUST(HEAD_BYTES + bytes_max <= (size_t)(packer->end - packer->at));
    unsigned char usual = count ? values[count / 2] : 0;
    size_t bytes = sparse_write(packer->at + HEAD_BYTES, bytes_max, values, count, usual);
    if (bytes == 0)
        return false;
    pack_uint(packer, INTS_SPARSE, 1);
    pack_uint(packer, usual, 1);
    pack_uint(packer, bytes, 4);
    packer->at += bytes;
    return true;
}

void pack_bounds(struct packer *packer, uint32_t width, uint32_t count)
{
    pack_array_taken(packer, 4 * (size_t)count);
    pack_uint(packer, INTS_STEPS, 1);
    pack_uint(packer, width, 8);
    pack_uint(packer, 0 - (uint64_t)width, 8);
    pack_block(packer, NULL, 0, false);
}

void pack_ints(struct packer *packer, const void *values, unsigned width, uint32_t count, bool gains)
{
    pack_array_taken(packer, (size_t)width * count);
    if (width == 1 && gains && pack_sparse(packer, values, count))
        return;
    struct ints_form form = ints_form_of(values, width, count, gains);
    pack_uint(packer, form.width | (form.steps ? INTS_STEPS : 0), 1);
    if (form.width == width && !form.steps) {
        pack_block(packer, values, (size_t)width * count, gains);
        return;
    }
    pack_uint(packer, (uint64_t)form.base, 8);
    if (form.steps)
        pack_uint(packer, (uint64_t)form.first, 8);
    pack_narrow(packer, values, &form, count, gains);
}

void pack_texts(struct packer *packer, const void *data, size_t bytes, unsigned width, uint32_t count, unsigned char *scratch)
{
    bool turns = packer->context && width > 1 && width <= TURN_WIDTH_MAX && count >= TURN_COUNT_MIN;
    MUST(!turns || (size_t)width * count == bytes);
    pack_uint(packer, turns ? width : 0, 1);
    pack_array_taken(packer, bytes);
    if (turns) {
        texts_turn(scratch, data, width, count);
        pack_array_taken(packer, bytes);
    }
    pack_block(packer, turns ? scratch : data, bytes, true);
}
