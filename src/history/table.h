#ifndef SLUICE_HISTORY_TABLE_H
#define SLUICE_HISTORY_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

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
/* A hash, and the slot where a record with its tag was seen: told ahead, held to the record when it is used. */
struct lookup {
    uint64_t hash;
    struct set *set; /* the slot's; without a slot the one that was fetched */
    uint32_t slot;
};

static inline struct lookup lookup_of(uint64_t hash)
{
    return (struct lookup){.hash = hash, .set = NULL, .slot = SLOT_NONE};
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

/* One bit for every slot of the set whose tag is this one. */
static inline uint32_t set_match(const struct set *set, uint16_t tag)
{
#ifdef __SSE2__
    const __m128i wanted = _mm_set1_epi16((short)tag), *tags = (const __m128i *)(const void *)set->tags;
    __m128i low = _mm_cmpeq_epi16(_mm_loadu_si128(tags), wanted), high = _mm_cmpeq_epi16(_mm_loadu_si128(tags + 1), wanted);
    return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(low, high));
#else
    uint32_t match = 0;
    for (unsigned i = 0; i < SET_SLOTS; i++)
        match |= (uint32_t)(set->tags[i] == tag) << i;
    return match;
#endif
}

static inline unsigned slot_of_bit(uint32_t match) /* the lowest */
{
    return (unsigned)__builtin_ctz(match);
}

/* Which of the free slots is taken: 0, 4, 8, 12, 1, 5 … Another turn would make another history of the same log. */
static inline unsigned free_slot(uint32_t free)
{
    unsigned turn = 0;
    while (!(free & 0x1111u << turn))
        turn++;
    return slot_of_bit(free & 0x1111u << turn);
}

static inline void *slot_record(struct set *set, uint32_t slot, size_t record_bytes)
{
    return (unsigned char *)set + sizeof *set + slot % SET_SLOTS * record_bytes;
}

static inline void *lookup_record(const struct lookup *lookup, size_t record_bytes) /* of a slot that was found or made */
{
    return slot_record(lookup->set, lookup->slot, record_bytes);
}

static inline void lookup_set(struct lookup *lookup, const struct table *table, uint32_t slot, size_t record_bytes)
{
    lookup->slot = slot;
    lookup->set = set_at(table, slot / SET_SLOTS, record_bytes);
}

static inline bool set_holds(struct set *set, uint32_t slot, uint64_t hash, size_t record_bytes, bool whole)
{
    uint64_t kept = 0;
    memcpy(&kept, slot_record(set, slot, record_bytes), whole ? sizeof(uint64_t) : sizeof(uint32_t));
    return kept == (whole ? hash : (uint32_t)hash);
}

static inline bool table_find_in(const struct table *table, struct lookup *lookup, uint32_t number, size_t record_bytes, bool whole)
{
    struct set *set = set_at(table, number, record_bytes);
    for (uint32_t match = set_match(set, tag_of(lookup->hash)); match; match &= match - 1) {
        uint32_t slot = number * SET_SLOTS + slot_of_bit(match);
        if (!set_holds(set, slot, lookup->hash, record_bytes, whole))
            continue;
        lookup->slot = slot;
        lookup->set = set;
        return true;
    }
    return false;
}

/* The record's slot, noted in the lookup; SLOT_NONE: none. record_bytes and whole are constants where it is called. */
static inline uint32_t table_find(const struct table *table, struct lookup *lookup, size_t record_bytes, bool whole)
{
    const uint64_t hash = lookup->hash;
    const uint32_t slot = lookup->slot;
    if (slot != SLOT_NONE && lookup->set->tags[slot % SET_SLOTS] == tag_of(hash) && set_holds(lookup->set, slot, hash, record_bytes, whole))
        return slot;
    const uint32_t first = table_set_first(table, hash);
    lookup->slot = SLOT_NONE;
    if (!table_find_in(table, lookup, first, record_bytes, whole) && !set_match(set_at(table, first, record_bytes), 0))
        table_find_in(table, lookup, table_set_second(table, hash), record_bytes, whole);
    return lookup->slot;
}

/* The record was active then; an earlier second than before changes nothing. */
static inline void table_touch(const struct table *table, const struct lookup *lookup, uint32_t second)
{
    uint16_t *kept = &lookup->set->quarters[lookup->slot % SET_SLOTS];
    const uint64_t quarter = second / 900, before = table->counts->newest_quarter, newest = quarter > before ? quarter : before;
    table->counts->newest_quarter = newest;
    if (newest - quarter < (uint16_t)(newest - *kept))
        *kept = (uint16_t)quarter;
}

/* --- ahead of use: first the set; when that is here, the record, or the room where it would be made ----------------- */

#define ALWAYS_INLINE \
    inline __attribute__((always_inline)) /* what only fetches ahead does nothing in gcc's eyes, and calls of it vanish \
                                           */

void table_fetch_apart(const struct table *table, struct lookup *lookup, bool makes); /* of what is not in its first set, which is full */

static ALWAYS_INLINE void record_fetch(struct set *set, uint32_t slot, size_t record_bytes)
{
    const char *record = slot_record(set, slot, record_bytes);
    __builtin_prefetch(record);
    if (64 % record_bytes != 0 && (uintptr_t)record % 64 + record_bytes > 64)
        __builtin_prefetch(record + record_bytes - 1);
}

static ALWAYS_INLINE void table_fetch_set(const struct table *table, struct lookup *lookup, size_t record_bytes)
{
    lookup->set = set_at(table, table_set_first(table, lookup->hash), record_bytes);
    __builtin_prefetch(lookup->set);
}

static ALWAYS_INLINE void table_fetch_record(const struct table *table, struct lookup *lookup, size_t record_bytes, bool makes)
{
    uint32_t match = set_match(lookup->set, tag_of(lookup->hash)), free = set_match(lookup->set, 0);
    if (match) {
        lookup->slot = table_set_first(table, lookup->hash) * SET_SLOTS + slot_of_bit(match);
        record_fetch(lookup->set, lookup->slot, record_bytes);
    } else if (!free) {
        table_fetch_apart(table, lookup, makes);
    } else if (makes) {
        record_fetch(lookup->set, free_slot(free), record_bytes);
    }
}

#endif
