/* Open addressing over digests, at most half full. */
#include "pipeline/label_table.h"

#include "base/memory.h"

enum { PLACES_LEAST = 4096 };

static struct digest key_of(struct text tenant, struct text transfer)
{
    return hash128(hash64(0, tenant.data, tenant.bytes), transfer.data, transfer.bytes);
}

static bool is_empty(const struct label_entry *entry)
{
    return entry->transfer.low == 0 && entry->transfer.high == 0;
}

static struct label_entry *place_of(struct label_entry *places, uint64_t size, struct digest key)
{
    uint64_t at = key.low & (size - 1);
    while (!is_empty(&places[at]) && !digest_equal(places[at].transfer, key))
        at = (at + 1) & (size - 1);
    return &places[at];
}

static bool grow(struct label_table *table)
{
    uint64_t size = table->size ? 2 * table->size : PLACES_LEAST;
    struct label_entry *places = memory_take_zeroed(size, sizeof *places);
    if (!places)
        return false;
    for (uint64_t i = 0; i < table->size; i++)
        if (!is_empty(&table->places[i]))
            *place_of(places, size, table->places[i].transfer) = table->places[i];
    memory_give(table->places);
    table->places = places;
    table->size = size;
    return true;
}

bool label_table_put(struct label_table *table, struct text tenant, struct text transfer, uint8_t label)
{
    if (2 * (table->count + 1) > table->size && !grow(table))
        return false;
    struct digest key = key_of(tenant, transfer);
    struct label_entry *place = place_of(table->places, table->size, key);
    if (is_empty(place)) {
        *place = (struct label_entry){.transfer = key, .label = label};
        table->count++;
    }
    return true;
}

bool label_table_find(const struct label_table *table, struct text tenant, struct text transfer, uint8_t *out)
{
    if (table->count == 0)
        return false;
    const struct label_entry *place = place_of(table->places, table->size, key_of(tenant, transfer));
    *out = place->label;
    return !is_empty(place);
}

void label_table_fini(struct label_table *table)
{
    memory_give(table->places);
    *table = (struct label_table){0};
}
