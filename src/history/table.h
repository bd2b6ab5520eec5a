#ifndef SLUICE_HISTORY_TABLE_H
#define SLUICE_HISTORY_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A set-associative table of equal records that never grows: a hash has two buckets of eight slots, a record stays where
 * it is. A bucket's head tells most strangers apart and holds the quarters of an hour of last activity, so that neither
 * looking for what is not there nor choosing who gives way touches a record. When both buckets are full, the record that
 * was active longest ago gives way, among equals one that the newcomer's hash picks: calls alone decide, never addresses. */

enum { BUCKET_SLOTS = 8 };
#define SLOT_NONE UINT32_MAX

struct bucket {
    uint16_t tags[BUCKET_SLOTS];     /* 0: free */
    uint16_t quarters[BUCKET_SLOTS]; /* of last activity, since the epoch, the low 16 bits: 680 days */
};

struct table_counts {
    uint64_t used, evicted;
    uint64_t newest_quarter;
};

struct table { /* a record begins with the low half of its hash; a whole one goes on with the high half */
    struct bucket *buckets;
    unsigned char *records; /* slot_count × record_bytes */
    struct table_counts *counts;
    uint64_t bucket_count;
    size_t record_bytes;
};

uint64_t table_bucket_count(uint64_t records_max); /* a fifth stays free: of records_max records one in 5,000 gives way too early */

/* A slot for a hash that is not in the table: free in the emptier bucket, or the one of the record that gives way. */
uint32_t table_room(const struct table *table, uint64_t hash);
/* Takes the slot for the hash: the record is zeroed but for its hash. */
void *table_claim(struct table *table, uint32_t slot, uint64_t hash, bool whole);
void table_release(struct table *table, uint32_t slot);
/* The record was active then; an earlier second than before changes nothing. */
void table_touch(struct table *table, uint32_t slot, uint32_t second);
/* What will be needed of the hash: its buckets; then, when they are here, its record, or where it would be made. */
void table_fetch_buckets(const struct table *table, uint64_t hash);
void table_fetch_record(const struct table *table, uint64_t hash);
void table_fetch_room(const struct table *table, uint64_t hash);

static inline uint64_t hash_mix(uint64_t key) /* a bijection: equal hashes are equal keys */
{
    key ^= key >> 32;
    key *= 0xd6e8feb86659fd93u;
    key ^= key >> 32;
    key *= 0xd6e8feb86659fd93u;
    return key ^ key >> 32;
}

static inline struct bucket *table_bucket_first(const struct table *table, uint64_t hash)
{
    return table->buckets + ((hash >> 32) * table->bucket_count >> 32);
}

static inline struct bucket *table_bucket_second(const struct table *table, uint64_t hash)
{
    return table->buckets + ((hash * 0x9e3779b97f4a7c15u >> 32) * table->bucket_count >> 32);
}

static inline bool table_is_used(const struct table *table, uint32_t slot)
{
    return table->buckets[slot / BUCKET_SLOTS].tags[slot % BUCKET_SLOTS] != 0;
}

static inline void *table_record(const struct table *table, uint32_t slot)
{
    return table->records + slot * table->record_bytes;
}

static inline uint16_t tag_of(uint64_t hash)
{
    return (uint16_t)(hash >> 32 | 1);
}

/* One bit for every slot of the bucket whose tag is this one; bit_slot tells which. */
static inline uint64_t bucket_match(const struct bucket *bucket, uint16_t tag)
{
    const uint64_t low = 0x7fff7fff7fff7fffu, pattern = tag * 0x0001000100010001u;
    uint64_t a, b;
    memcpy(&a, bucket->tags, sizeof a);
    memcpy(&b, bucket->tags + BUCKET_SLOTS / 2, sizeof b);
    a ^= pattern;
    b ^= pattern;
    return ~(((a & low) + low) | a | low) >> 1 | ~(((b & low) + low) | b | low);
}

static inline unsigned bit_slot(uint64_t match)
{
    unsigned bit = (unsigned)__builtin_ctzll(match);
    return bit / 16 + (bit & 1) * (BUCKET_SLOTS / 2);
}

static inline uint32_t table_find_in(const struct table *table, const struct bucket *bucket, uint64_t hash, size_t record_bytes, bool whole)
{
    for (uint64_t match = bucket_match(bucket, tag_of(hash)); match; match &= match - 1) {
        uint32_t slot = (uint32_t)(bucket - table->buckets) * BUCKET_SLOTS + bit_slot(match);
        uint64_t kept = 0;
        memcpy(&kept, table->records + slot * record_bytes, whole ? sizeof(uint64_t) : sizeof(uint32_t));
        if (kept == (whole ? hash : (uint32_t)hash))
            return slot;
    }
    return SLOT_NONE;
}

/* record_bytes and whole are constants where it is called. */
static inline uint32_t table_find(const struct table *table, uint64_t hash, size_t record_bytes, bool whole)
{
    uint32_t slot = table_find_in(table, table_bucket_first(table, hash), hash, record_bytes, whole);
    return slot != SLOT_NONE ? slot : table_find_in(table, table_bucket_second(table, hash), hash, record_bytes, whole);
}

#endif
