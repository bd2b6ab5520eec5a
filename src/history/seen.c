/* Ids of screened transfers, so that a transfer sent twice is noticed: one record each, the longest unseen gives way. The time
 * is that of the batch, never a clock's, so that the log alone decides. */
#include "history/state.h"

enum { SEEN_SETS = 16, SEEN_RECORDS = 8, SEEN_RING = 32 }; /* rows ahead */

/* Ids are a tenant's own, also where accounts are shared. */
static uint64_t tenant_of(const struct batch *batch)
{
    return hash64(batch->key_seed, batch->tenant.data, batch->tenant.bytes);
}

static uint64_t seen_key(uint64_t transfer, uint64_t tenant)
{
    uint64_t key = hash_mix(transfer ^ tenant);
    return key ? key : 1;
}

static bool is_recent(const struct seen *seen, const struct batch *batch)
{
    return batch->duplicate_us > 0 && batch->now_us - seen->last_us <= batch->duplicate_us;
}

static void row_seen(struct history *history, const struct batch *batch, uint32_t row, struct lookup *lookup, bool add)
{
    struct table *table = &history->seen;
    struct seen *seen = NULL;
    if (table_find(table, lookup, sizeof *seen, true) != SLOT_NONE)
        seen = lookup_record(lookup, sizeof *seen);
    if (seen && batch->facts.flags && is_recent(seen, batch))
        batch->facts.flags[row] |= FLAG_SEEN;
    if (!add)
        return;
    if (!seen) {
        lookup_set(lookup, table, table_room(table, lookup->hash), sizeof *seen);
        seen = table_claim(table, lookup->slot, lookup->hash, true);
    }
    seen->last_us = batch->now_us;
    table_touch(table, lookup, second_of(batch->now_us));
}

void seen_relate(struct history *history, const struct batch *batch, uint32_t first, uint32_t count, bool add)
{
    const struct batch_facts *facts = &batch->facts;
    struct lookup ring[SEEN_RING];
    if (!history->limits.transfers_max || !facts->transfer || (batch->op != OP_screen && batch->op != OP_score))
        return;
    const uint64_t tenant = tenant_of(batch);
    for (uint32_t i = 0; i < count + SEEN_SETS; i++) {
        if (i < count) {
            ring[i % SEEN_RING] = lookup_of(seen_key(facts->transfer[first + i], tenant));
            table_fetch_set(&history->seen, &ring[i % SEEN_RING], sizeof(struct seen));
        }
        uint32_t near = i - (SEEN_SETS - SEEN_RECORDS), here = i - SEEN_SETS; /* beyond count where there is none yet */
        if (near < count)
            table_fetch_record(&history->seen, &ring[near % SEEN_RING], sizeof(struct seen), add);
        if (here < count && !facts->invalid[first + here])
            row_seen(history, batch, first + here, &ring[here % SEEN_RING], add);
    }
}
