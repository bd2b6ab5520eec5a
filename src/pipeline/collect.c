/* Rows lie in chunks of SLICE_ROWS, each one block of its own; all chunks but the last are full. */
#include "pipeline/collect.h"

#include <string.h>

#include "base/hash.h"
#include "base/memory.h"

void labels_init(struct labels *labels)
{
    *labels = (struct labels){.count = 1, .name = {"good"}};
}

enum fault labels_find(uint8_t *out, struct labels *labels, struct text name, struct fault_note *note)
{
    for (uint32_t i = 0; i < labels->count; i++)
        if (text_equal(name, text_of(labels->name[i])))
            return *out = (uint8_t)i, FAULT_NONE;
    if (labels->count == LABELS_MAX || name.bytes >= LABEL_BYTES)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_label, "label %.*s: more than %d labels, or longer than %d bytes",
                         (int)(name.bytes < 40 ? name.bytes : 40), name.data, LABELS_MAX, LABEL_BYTES - 1);
    text_copy(labels->name[labels->count], LABEL_BYTES, name);
    *out = (uint8_t)labels->count++;
    return FAULT_NONE;
}

void collect_init(struct collect *collect, const struct feature_set *wanted, uint32_t rows_max, bool thin_all, uint64_t seed)
{
    *collect = (struct collect){.wanted = *wanted, .rows_max = rows_max, .thin_all = thin_all, .seed = seed};
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        collect->feature_count += wanted->bits[f / 64] >> f % 64 & 1;
}

static void chunk_fini(struct build_chunk *chunk)
{
    memory_give(chunk->scene); /* the block's beginning */
}

void collect_fini(struct collect *collect)
{
    for (uint32_t i = 0; i < collect->chunk_count; i++)
        chunk_fini(&collect->chunks[i]);
    memory_give(collect->chunks);
    memory_give(collect->rank);
    *collect = (struct collect){0};
}

/* Labels first, then the wanted columns, in one block. */
static bool chunk_take(struct build_chunk *out, const struct collect *collect)
{
    size_t label_bytes = SLICE_ROWS, column_bytes = SLICE_ROWS * sizeof(float);
    uint8_t *block = memory_take_aligned(label_bytes + column_bytes * collect->feature_count, 64);
    *out = (struct build_chunk){.scene = block};
    float *at = (float *)(void *)(block + label_bytes);
    for (uint32_t f = 0; block && f < FEATURE_COUNT; f++)
        if (collect->wanted.bits[f / 64] >> f % 64 & 1) {
            out->features.column[f] = at;
            at += SLICE_ROWS;
        }
    return block != NULL;
}

static bool chunks_grow(struct collect *collect)
{
    if (collect->chunk_count == collect->chunk_capacity) {
        uint32_t capacity = collect->chunk_capacity ? 2 * collect->chunk_capacity : 64;
        struct build_chunk *chunks = memory_resize(collect->chunks, capacity * sizeof *chunks);
        if (chunks)
            collect->chunks = chunks;
        uint8_t(*rank)[SLICE_ROWS] = memory_resize(collect->rank, capacity * sizeof *rank);
        if (rank)
            collect->rank = rank;
        if (!chunks || !rank)
            return false;
        collect->chunk_capacity = capacity;
    }
    if (!chunk_take(&collect->chunks[collect->chunk_count], collect))
        return false;
    collect->chunk_count++;
    return true;
}

static void row_copy(struct build_chunk *to, uint32_t to_row, const struct feature_block *from, uint32_t from_row)
{
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        if (to->features.column[f])
            to->features.column[f][to_row] = from->column[f][from_row];
}

static bool stays(const struct collect *collect, uint8_t label, uint8_t rank)
{
    return rank >= collect->shift || (label != 0 && !collect->thin_all);
}

/* Halves what may be thinned and closes the gaps. */
static void thin(struct collect *collect)
{
    uint32_t kept = 0;
    collect->shift++;
    for (uint32_t c = 0; c < collect->chunk_count; c++) {
        struct build_chunk *from = &collect->chunks[c];
        uint32_t count = from->features.row_count;
        from->features.row_count = 0;
        for (uint32_t i = 0; i < count; i++) {
            uint8_t label = from->scene[i], rank = collect->rank[c][i];
            if (!stays(collect, label, rank))
                continue;
            struct build_chunk *to = &collect->chunks[kept / SLICE_ROWS];
            row_copy(to, kept % SLICE_ROWS, &from->features, i);
            to->scene[kept % SLICE_ROWS] = label;
            collect->rank[kept / SLICE_ROWS][kept % SLICE_ROWS] = rank;
            to->features.row_count = kept++ % SLICE_ROWS + 1;
        }
    }
    collect->row_count = kept;
    uint32_t used = kept / SLICE_ROWS + (kept % SLICE_ROWS != 0);
    while (collect->chunk_count > used)
        chunk_fini(&collect->chunks[--collect->chunk_count]);
}

enum fault collect_row(struct collect *collect, const struct feature_block *block, uint32_t row, uint8_t label, struct fault_note *note)
{
    uint64_t hash = hash64_pair(collect->seed, collect->place++, 0);
    uint8_t rank = (uint8_t)(hash ? __builtin_clzll(hash) : 64);
    if (!stays(collect, label, rank))
        return FAULT_NONE;
    if (collect->row_count == collect->rows_max)
        thin(collect);
    if (collect->row_count == collect->rows_max)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "more than %u risky rows in a window", collect->rows_max);
    if (!stays(collect, label, rank))
        return FAULT_NONE;
    if (collect->row_count == collect->chunk_count * SLICE_ROWS && !chunks_grow(collect))
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for more than %u rows of features", collect->row_count);
    struct build_chunk *chunk = &collect->chunks[collect->chunk_count - 1];
    uint32_t at = chunk->features.row_count++;
    row_copy(chunk, at, block, row);
    chunk->scene[at] = label;
    collect->rank[collect->chunk_count - 1][at] = rank;
    collect->row_count++;
    return FAULT_NONE;
}

void collect_relabel(struct collect *collect, const uint8_t to[256])
{
    for (uint32_t c = 0; c < collect->chunk_count; c++)
        for (uint32_t i = 0; i < collect->chunks[c].features.row_count; i++)
            collect->chunks[c].scene[i] = to[collect->chunks[c].scene[i]];
}

struct build_sample collect_sample(const struct collect *collect)
{
    return (struct build_sample){
        .chunk_count = collect->chunk_count, .chunks = collect->chunks, .background_weight = (double)(1ull << collect->shift)};
}
