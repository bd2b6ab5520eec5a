#include "history/table.h"

#include "base/must.h"

enum { TAG_RELEASED = 2 };

uint64_t table_set_count(uint64_t records_max)
{
    return (records_max + records_max / 4) / SET_SLOTS + 1;
}

static uint32_t set_free(const struct set *set)
{
    uint32_t fresh = set_match(set, 0);
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
    uint32_t free = set_free(table_set(table, first));
    if (free)
        return first * SET_SLOTS + free_slot(free);
    free = set_free(table_set(table, second));
    if (free)
        return second * SET_SLOTS + free_slot(free);
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

void table_fetch_apart(const struct table *table, struct lookup *lookup, bool makes)
{
    uint32_t second = table_set_second(table, lookup->hash), match = set_match(table_set(table, second), tag_of(lookup->hash));
    uint32_t slot = match ? second * SET_SLOTS + slot_of_bit(match) : makes ? table_room(table, lookup->hash) : SLOT_NONE;
    if (slot == SLOT_NONE)
        return;
    struct set *set = table_set(table, slot / SET_SLOTS);
    record_fetch(set, slot, table->record_bytes);
    if (match) {
        lookup->slot = slot;
        lookup->set = set;
    }
}
