#include "history/table.h"

#include "base/must.h"

uint64_t table_bucket_count(uint64_t records_max)
{
    return (records_max + records_max / 4) / BUCKET_SLOTS + 1;
}

static uint32_t bucket_oldest(const struct table *table, uint64_t bucket)
{
    uint32_t oldest = (uint32_t)(bucket * BUCKET_SLOTS);
    for (uint32_t slot = oldest + 1; slot < bucket * BUCKET_SLOTS + BUCKET_SLOTS; slot++) {
        const struct record_head *head = table_record(table, slot), *best = table_record(table, oldest);
        if (head->active < best->active)
            oldest = slot;
    }
    return oldest;
}

uint32_t table_room(const struct table *table, uint64_t hash)
{
    uint64_t first = table_bucket_first(table, hash), second = table_bucket_second(table, hash);
    uint64_t first_free = tags_equal(table_tags(table, first), 0), second_free = tags_equal(table_tags(table, second), 0);
    if (first_free | second_free) {
        bool take_second = __builtin_popcountll(second_free) > __builtin_popcountll(first_free);
        uint64_t bucket = take_second ? second : first;
        return (uint32_t)(bucket * BUCKET_SLOTS + (unsigned)__builtin_ctzll(take_second ? second_free : first_free) / 8);
    }
    uint32_t a = bucket_oldest(table, first), b = bucket_oldest(table, second);
    const struct record_head *head_a = table_record(table, a), *head_b = table_record(table, b);
    return head_b->active < head_a->active ? b : a;
}

void *table_claim(struct table *table, uint32_t slot, uint64_t hash)
{
    struct record_head *head = table_record(table, slot);
    if (table->tags[slot])
        table->counts->evicted++;
    else
        table->counts->used++;
    table->tags[slot] = table_tag(hash);
    memset(head, 0, table->record_bytes);
    head->id = (uint32_t)hash;
    return head;
}

void table_release(struct table *table, uint32_t slot)
{
    MUST(table->tags[slot] != 0 && table->counts->used > 0);
    table->tags[slot] = 0;
    memset(table_record(table, slot), 0, table->record_bytes);
    table->counts->used--;
}
