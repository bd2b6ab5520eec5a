#ifndef SLUICE_HISTORY_TABLE_H
#define SLUICE_HISTORY_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A set-associative table of equal records that never grows: a hash has two buckets of eight slots, a record stays where
 * it is. A byte per slot tells most strangers apart without touching their records. When both buckets are full, the
 * record that was active longest ago gives way: what is remembered depends on calls alone, never on addresses. */

enum { BUCKET_SLOTS = 8 };
#define SLOT_NONE UINT32_MAX

struct record_head { /* every record begins with it */
    uint32_t id;     /* low half of the hash */
    uint32_t active; /* second of the last activity */
};

struct table_counts {
    uint64_t used, evicted;
};

struct table {
    unsigned char *tags;    /* 0: free */
    unsigned char *records; /* slot_count × record_bytes */
    struct table_counts *counts;
    uint64_t bucket_count;
    size_t record_bytes;
};

uint64_t table_bucket_count(uint64_t records_max); /* a fifth stays free: of records_max records one in 5,000 gave way too early */

/* A slot for a hash that is not in the table: free in the emptier bucket, or the one of the record that gives way. */
uint32_t table_room(const struct table *table, uint64_t hash);
/* Takes the slot for the hash: the record is zeroed but for its id. */
void *table_claim(struct table *table, uint32_t slot, uint64_t hash);
void table_release(struct table *table, uint32_t slot);

static inline uint64_t hash_mix(uint64_t key) /* a bijection: equal hashes are equal keys */
{
    key ^= key >> 32;
    key *= 0xd6e8feb86659fd93u;
    key ^= key >> 32;
    key *= 0xd6e8feb86659fd93u;
    return key ^ key >> 32;
}

static inline uint64_t table_bucket_first(const struct table *table, uint64_t hash)
{
    return (hash >> 32) * table->bucket_count >> 32;
}

static inline uint64_t table_bucket_second(const struct table *table, uint64_t hash)
{
    return (hash * 0x9e3779b97f4a7c15u >> 32) * table->bucket_count >> 32;
}

static inline unsigned char table_tag(uint64_t hash)
{
    return (unsigned char)(1 + ((hash >> 32 & 0xff) * 255 >> 8));
}

static inline uint64_t table_tags(const struct table *table, uint64_t bucket)
{
    uint64_t tags;
    memcpy(&tags, table->tags + BUCKET_SLOTS * bucket, sizeof tags);
    return tags;
}

/* The top bit of every byte of tags that equals tag. */
static inline uint64_t tags_equal(uint64_t tags, unsigned char tag)
{
    const uint64_t low = 0x7f7f7f7f7f7f7f7fu;
    uint64_t x = tags ^ tag * 0x0101010101010101u;
    return ~(((x & low) + low) | x | low);
}

static inline void *table_record(const struct table *table, uint32_t slot)
{
    return table->records + slot * table->record_bytes;
}

static inline uint32_t table_find_in(const struct table *table, uint64_t bucket, uint64_t hash, size_t record_bytes, bool whole)
{
    for (uint64_t match = tags_equal(table_tags(table, bucket), table_tag(hash)); match; match &= match - 1) {
        uint32_t slot = (uint32_t)(bucket * BUCKET_SLOTS + (unsigned)__builtin_ctzll(match) / 8);
        const unsigned char *record = table->records + slot * record_bytes;
        uint32_t id, high;
        memcpy(&id, record, sizeof id);
        memcpy(&high, record + sizeof(struct record_head), sizeof high);
        if (id == (uint32_t)hash && (!whole || high == (uint32_t)(hash >> 32)))
            return slot;
    }
    return SLOT_NONE;
}

/* record_bytes and whole (records whose third word is the hash's high half) are constants where it is called. */
static inline uint32_t table_find(const struct table *table, uint64_t hash, size_t record_bytes, bool whole)
{
    uint32_t slot = table_find_in(table, table_bucket_first(table, hash), hash, record_bytes, whole);
    return slot != SLOT_NONE ? slot : table_find_in(table, table_bucket_second(table, hash), hash, record_bytes, whole);
}

static inline void table_prefetch_tags(const struct table *table, uint64_t hash)
{
    __builtin_prefetch(table->tags + BUCKET_SLOTS * table_bucket_first(table, hash));
    __builtin_prefetch(table->tags + BUCKET_SLOTS * table_bucket_second(table, hash));
}

#endif
