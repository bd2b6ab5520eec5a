#include "ledger/row_set.h"

#include <string.h>

#include "base/memory.h"
#include "base/must.h"

enum { VARINT_MAX = 10, CAPACITY_LEAST = 64, RUNS_BYTES = 4 };

static bool room(struct row_set *set, size_t bytes)
{
    size_t capacity = set->capacity ? set->capacity : CAPACITY_LEAST;
    while (capacity - set->byte_count < bytes)
        capacity *= 2;
    if (!set->failed && capacity != set->capacity) {
        unsigned char *grown = memory_resize(set->bytes, capacity);
        set->failed = !grown;
        if (grown)
            set->bytes = grown, set->capacity = capacity;
    }
    return !set->failed;
}

static void put(struct row_set *set, uint64_t value)
{
    if (!room(set, VARINT_MAX))
        return;
    for (; value >= 0x80; value >>= 7)
        set->bytes[set->byte_count++] = (unsigned char)(value | 0x80);
    set->bytes[set->byte_count++] = (unsigned char)value;
}

static void run_end(struct row_set *set)
{
    if (set->run_end == set->run_first)
        return;
    put(set, set->run_first - set->last_end);
    put(set, set->run_end - set->run_first);
    set->runs++;
    set->last_end = set->run_first = set->run_end;
}

/* The count has its place before it is known: four bytes, each but the last marked as followed. */
static void source_end(struct row_set *set)
{
    run_end(set);
    if (set->failed || set->runs_at == 0)
        return;
    for (unsigned i = 0; i < RUNS_BYTES; i++)
        set->bytes[set->runs_at + i] = (unsigned char)((set->runs >> 7 * i & 0x7f) | (i + 1 < RUNS_BYTES ? 0x80 : 0));
}

void row_set_source(struct row_set *set, uint64_t sequence)
{
    source_end(set);
    put(set, sequence);
    set->runs_at = set->byte_count;
    if (room(set, RUNS_BYTES))
        set->byte_count += RUNS_BYTES;
    set->runs = set->run_first = set->run_end = set->last_end = 0;
}

void row_set_add(struct row_set *set, uint32_t row)
{
    MUST(row >= set->run_end);
    if (row != set->run_end || set->run_first == set->run_end) {
        run_end(set);
        set->run_first = row;
    }
    set->run_end = row + 1;
    set->row_count++;
}

void row_set_end(struct row_set *set)
{
    source_end(set);
    set->runs_at = 0;
}

void row_set_fini(struct row_set *set)
{
    memory_give(set->bytes);
    *set = (struct row_set){0};
}

static uint64_t get(struct row_set_reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && reader->at < reader->end; shift += 7) {
        unsigned char byte = *reader->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    reader->broken = true;
    return 0;
}

void row_set_read(struct row_set_reader *reader, const void *bytes, size_t byte_count)
{
    *reader = (struct row_set_reader){.at = bytes, .end = byte_count ? (const unsigned char *)bytes + byte_count : bytes};
}

bool row_set_next_source(struct row_set_reader *reader)
{
    while (row_set_next_run(reader))
        ;
    if (reader->broken || reader->at == reader->end)
        return false;
    reader->sequence = get(reader);
    uint64_t runs = get(reader);
    reader->broken |= runs > (uint64_t)(reader->end - reader->at); /* each has two bytes at least */
    reader->runs_left = reader->broken ? 0 : (uint32_t)runs;
    reader->row_at = reader->first = reader->count = 0;
    return !reader->broken;
}

bool row_set_next_run(struct row_set_reader *reader)
{
    if (reader->runs_left == 0 || reader->broken)
        return false;
    uint64_t gap = get(reader), count = get(reader);
    if (reader->broken || count == 0 || gap > UINT32_MAX || count > UINT32_MAX || reader->row_at + gap + count > UINT32_MAX)
        return reader->broken = true, false;
    reader->first = reader->row_at + (uint32_t)gap;
    reader->count = (uint32_t)count;
    reader->row_at = reader->first + reader->count;
    reader->runs_left--;
    return true;
}
