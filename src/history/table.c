#include "history/table.h"

#include "base/must.h"

uint64_t table_bucket_count(uint64_t records_max)
{
    return (records_max + records_max / 4) / BUCKET_SLOTS + 1;
}

static uint32_t slot_of(const struct table *table, const struct bucket *bucket, unsigned i)
{
    return (uint32_t)(bucket - table->buckets) * BUCKET_SLOTS + i;
}

static unsigned bucket_oldest(const struct bucket *bucket, uint16_t newest, unsigned from)
{
    unsigned oldest = from % BUCKET_SLOTS;
    for (unsigned i = from + 1; i < from + BUCKET_SLOTS; i++)
        if ((uint16_t)(newest - bucket->quarters[i % BUCKET_SLOTS]) > (uint16_t)(newest - bucket->quarters[oldest]))
            oldest = i % BUCKET_SLOTS;
    return oldest;
}

uint32_t table_room(const struct table *table, uint64_t hash)
{
    const struct bucket *first = table_bucket_first(table, hash), *second = table_bucket_second(table, hash);
    uint64_t first_free = bucket_match(first, 0), second_free = bucket_match(second, 0);
    if (first_free | second_free) {
        bool take_second = __builtin_popcountll(second_free) > __builtin_popcountll(first_free);
        return take_second ? slot_of(table, second, bit_slot(second_free)) : slot_of(table, first, bit_slot(first_free));
    }
    uint16_t newest = (uint16_t)table->counts->newest_quarter;
    unsigned from = hash % BUCKET_SLOTS, a = bucket_oldest(first, newest, from), b = bucket_oldest(second, newest, from);
    bool take_second = (uint16_t)(newest - second->quarters[b]) > (uint16_t)(newest - first->quarters[a]);
    return take_second ? slot_of(table, second, b) : slot_of(table, first, a);
}

void *table_claim(struct table *table, uint32_t slot, uint64_t hash, bool whole)
{
    struct bucket *bucket = &table->buckets[slot / BUCKET_SLOTS];
    unsigned char *record = table_record(table, slot);
    if (bucket->tags[slot % BUCKET_SLOTS])
        table->counts->evicted++;
    else
        table->counts->used++;
    bucket->tags[slot % BUCKET_SLOTS] = tag_of(hash);
    bucket->quarters[slot % BUCKET_SLOTS] = (uint16_t)(table->counts->newest_quarter + 1); /* older than any */
    memset(record, 0, table->record_bytes);
    memcpy(record, &hash, whole ? sizeof(uint64_t) : sizeof(uint32_t));
    return record;
}

void table_release(struct table *table, uint32_t slot)
{
    struct bucket *bucket = &table->buckets[slot / BUCKET_SLOTS];
    MUST(bucket->tags[slot % BUCKET_SLOTS] != 0 && table->counts->used > 0);
    bucket->tags[slot % BUCKET_SLOTS] = bucket->quarters[slot % BUCKET_SLOTS] = 0;
    memset(table_record(table, slot), 0, table->record_bytes);
    table->counts->used--;
}

void table_touch(struct table *table, uint32_t slot, uint32_t second)
{
    uint16_t *kept = &table->buckets[slot / BUCKET_SLOTS].quarters[slot % BUCKET_SLOTS];
    uint64_t quarter = second / 900, *newest = &table->counts->newest_quarter;
    *newest = quarter > *newest ? quarter : *newest;
    if (*newest - quarter < (uint16_t)(*newest - *kept))
        *kept = (uint16_t)quarter;
}

/* --- ahead of use --------------------------------------------------------------------------------------------------- */

void table_fetch_buckets(const struct table *table, uint64_t hash)
{
    __builtin_prefetch(table_bucket_first(table, hash));
    __builtin_prefetch(table_bucket_second(table, hash));
}

static void record_fetch(const struct table *table, uint32_t slot)
{
    const char *record = table_record(table, slot);
    __builtin_prefetch(record);
    __builtin_prefetch(record + table->record_bytes - 1);
}

static bool fetch_in(const struct table *table, const struct bucket *bucket, uint64_t hash)
{
    uint64_t match = bucket_match(bucket, tag_of(hash));
    if (match)
        record_fetch(table, slot_of(table, bucket, bit_slot(match)));
    return match != 0;
}

void table_fetch_record(const struct table *table, uint64_t hash)
{
    if (!fetch_in(table, table_bucket_first(table, hash), hash))
        fetch_in(table, table_bucket_second(table, hash), hash);
}

void table_fetch_room(const struct table *table, uint64_t hash)
{
    if (!fetch_in(table, table_bucket_first(table, hash), hash) && !fetch_in(table, table_bucket_second(table, hash), hash))
        record_fetch(table, table_room(table, hash));
}
