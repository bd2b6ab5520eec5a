#ifndef SLUICE_HISTORY_TABLE_H
#define SLUICE_HISTORY_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A table of equal records in sets of sixteen slots that never grows; a record stays where it is. A set's head, one cache
 * line, tells most strangers apart and holds the quarters of an hour of last activity, so that neither looking for what is
 * not there nor choosing who gives way touches a record. What finds its set full goes to a second one, which is looked at
 * only where the first is full. When both are full, the record that was active longest ago gives way, among equals one
 * that the newcomer's hash picks: calls alone decide, never addresses. */

enum { SET_SLOTS = 16 };
#define SLOT_NONE UINT32_MAX

struct set {
    uint16_t tags[SET_SLOTS];     /* 0: never used; even: released; both are free, but the set of a released one counts as full */
    uint16_t quarters[SET_SLOTS]; /* of last activity, since the epoch, the low 16 bits: 680 days */
};

struct table_counts {
    uint64_t used, evicted;
    uint64_t newest_quarter;
};

struct table {           /* a record begins with the low half of its hash; a whole one goes on with the high half */
    unsigned char *sets; /* a set is its head and, right behind it (one page as a rule), its records */
    struct table_counts *counts;
    uint64_t set_count;
    size_t record_bytes;
};

uint64_t table_set_count(uint64_t records_max); /* a fifth stays free: one in 200 of records_max gives way too early */

/* A slot for a hash that is not in the table: free, or of the record that gives way. */
uint32_t table_room(const struct table *table, uint64_t hash);
/* Takes the slot for the hash: the record is zeroed but for its hash. */
void *table_claim(struct table *table, uint32_t slot, uint64_t hash, bool whole);
void table_release(struct table *table, uint32_t slot);
/* The record was active then; an earlier second than before changes nothing. */
void table_touch(struct table *table, uint32_t slot, uint32_t second);
/* A hash, and the slot where a record with its tag was seen: told ahead, held to the record when it is used. */
struct lookup {
    uint64_t hash;
    uint32_t slot;
};

/* What will be needed: first the set; when that is here, the record, or the room where it would be made. */
void table_fetch_set(const struct table *table, const struct lookup *lookup);
void table_fetch_record(const struct table *table, struct lookup *lookup);
void table_fetch_room(const struct table *table, struct lookup *lookup);

static inline struct lookup lookup_of(uint64_t hash)
{
    return (struct lookup){.hash = hash, .slot = SLOT_NONE};
}

static inline uint64_t hash_mix(uint64_t key) /* a bijection: equal hashes are equal keys */
{
    key ^= key >> 32;
    key *= 0xd6e8feb86659fd93u;
    key ^= key >> 32;
    key *= 0xd6e8feb86659fd93u;
    return key ^ key >> 32;
}

static inline uint32_t table_set_first(const struct table *table, uint64_t hash)
{
    return (uint32_t)((hash >> 32) * table->set_count >> 32);
}

static inline uint32_t table_set_second(const struct table *table, uint64_t hash)
{
    return (uint32_t)((hash * 0x9e3779b97f4a7c15u >> 32) * table->set_count >> 32);
}

static inline size_t table_set_bytes(size_t record_bytes)
{
    return sizeof(struct set) + SET_SLOTS * record_bytes;
}

static inline struct set *set_at(const struct table *table, uint32_t set, size_t record_bytes)
{
    return (struct set *)(void *)(table->sets + set * table_set_bytes(record_bytes));
}

static inline void *record_at(const struct table *table, uint32_t slot, size_t record_bytes)
{
    return table->sets + slot / SET_SLOTS * table_set_bytes(record_bytes) + sizeof(struct set) + slot % SET_SLOTS * record_bytes;
}

static inline struct set *table_set(const struct table *table, uint32_t set)
{
    return set_at(table, set, table->record_bytes);
}

static inline void *table_record(const struct table *table, uint32_t slot)
{
    return record_at(table, slot, table->record_bytes);
}

static inline bool table_is_used(const struct table *table, uint32_t slot)
{
    return table_set(table, slot / SET_SLOTS)->tags[slot % SET_SLOTS] & 1;
}

static inline uint16_t tag_of(uint64_t hash)
{
    return (uint16_t)(hash >> 32 | 1);
}

/* One bit for every slot of the set whose tag is this one; slot_of_bit tells which. */
static inline uint64_t set_match(const struct set *set, uint16_t tag)
{
    const uint64_t low = 0x7fff7fff7fff7fffu, pattern = tag * 0x0001000100010001u;
    uint64_t words[SET_SLOTS / 4], match = 0;
    memcpy(words, set->tags, sizeof words);
    for (unsigned i = 0; i < SET_SLOTS / 4; i++) {
        uint64_t x = words[i] ^ pattern;
        match |= ~(((x & low) + low) | x | low) >> (15 - i);
    }
    return match;
}

static inline unsigned slot_of_bit(uint64_t match) /* the lowest */
{
    unsigned bit = (unsigned)__builtin_ctzll(match);
    return bit / 16 + bit % 16 * 4;
}

static inline bool table_holds(const struct table *table, uint32_t slot, uint64_t hash, size_t record_bytes, bool whole)
{
    uint64_t kept = 0;
    memcpy(&kept, record_at(table, slot, record_bytes), whole ? sizeof(uint64_t) : sizeof(uint32_t));
    return kept == (whole ? hash : (uint32_t)hash);
}

static inline uint32_t table_find_in(const struct table *table, uint32_t set, uint64_t hash, size_t record_bytes, bool whole)
{
    for (uint64_t match = set_match(set_at(table, set, record_bytes), tag_of(hash)); match; match &= match - 1) {
        uint32_t slot = set * SET_SLOTS + slot_of_bit(match);
        if (table_holds(table, slot, hash, record_bytes, whole))
            return slot;
    }
    return SLOT_NONE;
}

/* The record's slot, noted in the lookup; SLOT_NONE: none. record_bytes and whole are constants where it is called. */
static inline uint32_t table_find(const struct table *table, struct lookup *lookup, size_t record_bytes, bool whole)
{
    uint64_t hash = lookup->hash;
    uint32_t slot = lookup->slot;
    if (slot != SLOT_NONE && set_at(table, slot / SET_SLOTS, record_bytes)->tags[slot % SET_SLOTS] == tag_of(hash) &&
        table_holds(table, slot, hash, record_bytes, whole))
        return slot;
    uint32_t first = table_set_first(table, hash);
    slot = table_find_in(table, first, hash, record_bytes, whole);
    if (slot == SLOT_NONE && !set_match(set_at(table, first, record_bytes), 0))
        slot = table_find_in(table, table_set_second(table, hash), hash, record_bytes, whole);
    return lookup->slot = slot;
}

#endif
