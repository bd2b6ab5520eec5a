#include "history/table.h"

#include "base/must.h"

enum { TAG_RELEASED = 2 };

uint64_t table_set_count(uint64_t records_max)
{
    return (records_max + records_max / 4) / SET_SLOTS + 1;
}

static uint64_t set_free(const struct set *set)
{
    uint64_t fresh = set_match(set, 0);
    return fresh ? fresh : set_match(set, TAG_RELEASED);
}

static unsigned set_oldest(const struct set *set, uint16_t newest, unsigned from)
{
    unsigned oldest = from % SET_SLOTS;
    for (unsigned i = from + 1; i < from + SET_SLOTS; i++)
        if ((uint16_t)(newest - set->quarters[i % SET_SLOTS]) > (uint16_t)(newest - set->quarters[oldest]))
            oldest = i % SET_SLOTS;
    return oldest;
}

uint32_t table_room(const struct table *table, uint64_t hash)
{
    uint32_t first = table_set_first(table, hash), second = table_set_second(table, hash);
    uint64_t free = set_free(table_set(table, first));
    if (free)
        return first * SET_SLOTS + slot_of_bit(free);
    free = set_free(table_set(table, second));
    if (free)
        return second * SET_SLOTS + slot_of_bit(free);
    uint16_t newest = (uint16_t)table->counts->newest_quarter;
    const unsigned from = hash % SET_SLOTS;
    unsigned a = set_oldest(table_set(table, first), newest, from), b = set_oldest(table_set(table, second), newest, from);
    uint16_t age_a = (uint16_t)(newest - table_set(table, first)->quarters[a]),
             age_b = (uint16_t)(newest - table_set(table, second)->quarters[b]);
    return age_b > age_a ? second * SET_SLOTS + b : first * SET_SLOTS + a;
}

void *table_claim(struct table *table, uint32_t slot, uint64_t hash, bool whole)
{
    struct set *set = table_set(table, slot / SET_SLOTS);
    unsigned char *record = table_record(table, slot);
    if (table_is_used(table, slot))
        table->counts->evicted++;
    else
        table->counts->used++;
    set->tags[slot % SET_SLOTS] = tag_of(hash);
    set->quarters[slot % SET_SLOTS] = (uint16_t)(table->counts->newest_quarter + 1); /* older than any */
    memset(record, 0, table->record_bytes);
    memcpy(record, &hash, whole ? sizeof(uint64_t) : sizeof(uint32_t));
    return record;
}

void table_release(struct table *table, uint32_t slot)
{
    struct set *set = table_set(table, slot / SET_SLOTS);
    MUST(table_is_used(table, slot) && table->counts->used > 0);
    set->tags[slot % SET_SLOTS] = TAG_RELEASED;
    memset(table_record(table, slot), 0, table->record_bytes);
    table->counts->used--;
}

void table_touch(struct table *table, uint32_t slot, uint32_t second)
{
    uint16_t *kept = &table_set(table, slot / SET_SLOTS)->quarters[slot % SET_SLOTS];
    uint64_t quarter = second / 900, *newest = &table->counts->newest_quarter;
    *newest = quarter > *newest ? quarter : *newest;
    if (*newest - quarter < (uint16_t)(*newest - *kept))
        *kept = (uint16_t)quarter;
}

/* --- ahead of use --------------------------------------------------------------------------------------------------- */

void table_fetch_set(const struct table *table, const struct lookup *lookup)
{
    __builtin_prefetch(table_set(table, table_set_first(table, lookup->hash)));
}

/* Inline by force: a function that only fetches ahead does nothing in gcc's eyes, and calls of it vanish. */
static inline __attribute__((always_inline)) void record_fetch(const struct table *table, uint32_t slot)
{
    const char *record = table_record(table, slot);
    __builtin_prefetch(record);
    if ((uintptr_t)record % 64 + table->record_bytes > 64)
        __builtin_prefetch(record + table->record_bytes - 1);
}

static bool fetch_in(const struct table *table, uint32_t set, struct lookup *lookup)
{
    uint64_t match = set_match(table_set(table, set), tag_of(lookup->hash));
    if (!match)
        return false;
    lookup->slot = set * SET_SLOTS + slot_of_bit(match);
    record_fetch(table, lookup->slot);
    return true;
}

void table_fetch_record(const struct table *table, struct lookup *lookup)
{
    uint32_t first = table_set_first(table, lookup->hash);
    if (!fetch_in(table, first, lookup) && !set_match(table_set(table, first), 0))
        fetch_in(table, table_set_second(table, lookup->hash), lookup);
}

void table_fetch_room(const struct table *table, struct lookup *lookup)
{
    uint32_t first = table_set_first(table, lookup->hash);
    if (fetch_in(table, first, lookup))
        return;
    uint64_t free = set_match(table_set(table, first), 0);
    if (free)
        record_fetch(table, first * SET_SLOTS + slot_of_bit(free));
    else if (!fetch_in(table, table_set_second(table, lookup->hash), lookup))
        record_fetch(table, table_room(table, lookup->hash));
}
