/* Who and what is on a tenant's lists. Nothing gives way here: an entry that does not fit is refused, and one whose time is over
 * makes room only when it is looked for. Time is the batch's, so that the log alone decides. */
#include "history/state.h"

#include "base/must.h"

uint64_t lists_slots(uint64_t listed_max)
{
    uint64_t slots = 16;
    while (slots < 2 * listed_max)
        slots *= 2;
    return listed_max ? slots : 0;
}

/* Lists are a tenant's own, also where accounts are shared. */
static uint64_t key_of(uint64_t named, uint64_t tenant, enum listed_kind kind)
{
    uint64_t key = hash_mix(named ^ tenant) + (uint64_t)kind;
    return key ? key : 1;
}

static uint64_t tenant_of(const struct batch *batch)
{
    return hash64(~batch->key_seed, batch->tenant.data, batch->tenant.bytes);
}

static uint64_t home_of(const struct history *history, uint64_t key)
{
    return hash_mix(key) & (history->listed_slots - 1);
}

static struct listed *slot_of(const struct history *history, uint64_t key) /* its own, or the free one where it would stand */
{
    uint64_t at = home_of(history, key);
    while (history->listed[at].key && history->listed[at].key != key)
        at = (at + 1) & (history->listed_slots - 1);
    return &history->listed[at];
}

/* Those behind it move up, so that no search ends too early. */
static void slot_free(struct history *history, struct listed *slot)
{
    uint64_t mask = history->listed_slots - 1, hole = (uint64_t)(slot - history->listed);
    for (uint64_t at = (hole + 1) & mask; history->listed[at].key; at = (at + 1) & mask) {
        uint64_t home = home_of(history, history->listed[at].key);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            history->listed[hole] = history->listed[at];
            hole = at;
        }
    }
    memset(&history->listed[hole], 0, sizeof history->listed[hole]);
    history->head->listed_used--;
}

static bool is_over(const struct listed *listed, uint32_t now)
{
    bool over = true;
    for (unsigned list = 0; list < LIST_COUNT; list++)
        over = over && (listed->until[list] == 0 || listed->until[list] <= now);
    return over;
}

/* One batch of edits. The entries that are over are counted when there is no room for the first time, and followed from there. */
struct editing {
    struct history *history;
    uint32_t now;
    bool counted;
    uint64_t over;
};

static void over_count(struct editing *editing)
{
    const struct history *history = editing->history;
    for (uint64_t at = 0; !editing->counted && at < history->listed_slots; at++)
        editing->over += history->listed[at].key && is_over(&history->listed[at], editing->now);
    editing->counted = true;
}

static void sweep(struct editing *editing)
{
    struct history *history = editing->history;
    for (uint64_t at = 0; at < history->listed_slots;) {
        struct listed *slot = &history->listed[at];
        if (slot->key && is_over(slot, editing->now))
            slot_free(history, slot); /* another one may stand here now */
        else
            at++;
    }
    editing->over = 0;
}

static void entry_put(struct history *history, uint64_t key, enum party_list list, uint32_t until)
{
    struct listed *slot = slot_of(history, key);
    history->head->listed_used += slot->key == 0;
    slot->key = key;
    slot->until[list] = until;
}

static void entry_remove(struct history *history, uint64_t key, enum party_list list)
{
    struct listed *slot = slot_of(history, key);
    if (!slot->key)
        return;
    slot->until[list] = 0;
    if (is_over(slot, 0))
        slot_free(history, slot);
}

static uint32_t end_of(const struct batch *batch, uint32_t row)
{
    const struct column *ends = &batch->columns[COLUMN_until];
    if (!column_is_valid(ends, row))
        return UINT32_MAX;
    int64_t second = column_i64(ends, row) / 1000000 + (column_i64(ends, row) % 1000000 > 0);
    return second < 1 ? 1 : second < UINT32_MAX ? (uint32_t)second : UINT32_MAX;
}

static uint64_t named_in(const uint64_t *keys, uint32_t row)
{
    return keys ? keys[row] : 0;
}

struct row_keys_listed { /* of what a row names; 0: nothing of that kind */
    uint64_t key[LISTED_COUNT];
};

static struct row_keys_listed keys_of(const struct batch *batch, uint32_t row, uint64_t tenant)
{
    const struct batch_facts *facts = &batch->facts;
    const uint64_t named[LISTED_COUNT] = {facts->payer[row], named_in(facts->payer_device, row), named_in(facts->payer_address, row)};
    struct row_keys_listed keys = {{0}};
    for (enum listed_kind kind = 0; kind < LISTED_COUNT; kind++)
        keys.key[kind] = named[kind] ? key_of(named[kind], tenant, kind) : 0;
    return keys;
}

/* Whether what the row names fits; without what is over, if swept. */
static bool has_room(const struct editing *editing, const struct row_keys_listed *keys, bool swept)
{
    const struct history *history = editing->history;
    uint64_t fresh = 0;
    for (enum listed_kind kind = 0; kind < LISTED_COUNT; kind++) {
        const struct listed *slot = keys->key[kind] ? slot_of(history, keys->key[kind]) : NULL;
        fresh += slot && (!slot->key || (swept && is_over(slot, editing->now)));
    }
    return history->head->listed_used - (swept ? editing->over : 0) + fresh <= history->limits.listed_max;
}

/* A row that is refused leaves everything as it is: a rebuild, which passes it by, comes to the same. */
static bool room_make(struct editing *editing, const struct row_keys_listed *keys)
{
    if (has_room(editing, keys, false))
        return true;
    over_count(editing);
    if (!has_room(editing, keys, true))
        return false;
    sweep(editing);
    return true;
}

static bool key_is_over(const struct editing *editing, uint64_t key)
{
    const struct listed *slot = slot_of(editing->history, key);
    return slot->key && is_over(slot, editing->now);
}

/* All that a row names, or nothing of it. */
static bool row_edit(struct editing *editing, const struct batch *batch, uint32_t row, uint64_t tenant)
{
    const struct row_keys_listed keys = keys_of(batch, row, tenant);
    struct history *history = editing->history;
    bool puts = batch->op == OP_list_put;
    if (puts && !room_make(editing, &keys))
        return false;
    for (enum listed_kind kind = 0; kind < LISTED_COUNT; kind++)
        for (enum party_list list = 0; list < LIST_COUNT && keys.key[kind]; list++) {
            if (batch->facts.flags[row] != list_flag(list))
                continue;
            bool was_over = key_is_over(editing, keys.key[kind]);
            puts ? entry_put(history, keys.key[kind], list, end_of(batch, row)) : entry_remove(history, keys.key[kind], list);
            editing->over = editing->over - was_over + key_is_over(editing, keys.key[kind]);
        }
    return true;
}

uint32_t lists_edit(struct history *history, struct batch *batch)
{
    MUST(history->magic == (unsigned)HISTORY_MAGIC && op_edits_lists(batch->op));
    struct editing editing = {.history = history, .now = second_of(batch->now_us)};
    const uint64_t tenant = tenant_of(batch);
    uint32_t left_out = 0;
    for (uint32_t row = 0; row < batch->row_count; row++) {
        if (batch->facts.invalid[row])
            continue;
        bool fits = history->listed_slots > 0 && row_edit(&editing, batch, row, tenant);
        left_out += !fits;
        if (!fits)
            batch_row_fails(batch, row, COLUMN_list, RULE_RANGE, "the lists are full: history.listed_max is %llu",
                            (unsigned long long)history->limits.listed_max);
    }
    return left_out;
}

static uint8_t flags_of(const struct history *history, uint64_t named, uint64_t tenant, enum listed_kind kind, uint32_t now)
{
    uint8_t flags = 0;
    const struct listed *slot = named ? slot_of(history, key_of(named, tenant, kind)) : NULL;
    for (enum party_list list = 0; slot && slot->key && list < LIST_COUNT; list++)
        flags |= slot->until[list] > now ? list_flag(list) : 0;
    return flags;
}

void lists_relate(const struct history *history, const struct batch *batch, uint32_t first, uint32_t count)
{
    const struct batch_facts *facts = &batch->facts;
    if (history->head->listed_used == 0 || !facts->flags || (batch->op != OP_screen && batch->op != OP_score))
        return;
    const struct {
        const uint64_t *keys;
        enum listed_kind kind;
    } parties[] = {{facts->payer, LISTED_ACCOUNT},       {facts->payee, LISTED_ACCOUNT},         {facts->payer_device, LISTED_DEVICE},
                   {facts->payee_device, LISTED_DEVICE}, {facts->payer_address, LISTED_ADDRESS}, {facts->payee_address, LISTED_ADDRESS}};
    const uint64_t tenant = tenant_of(batch);
    const uint32_t now = second_of(batch->now_us);
    for (unsigned i = 0; i < sizeof parties / sizeof *parties; i++)
        for (uint32_t row = first; parties[i].keys && row < first + count; row++)
            if (!facts->invalid[row])
                facts->flags[row] |= flags_of(history, parties[i].keys[row], tenant, parties[i].kind, now);
}

bool lists_hold(const struct history *history)
{
    uint64_t used = 0;
    for (uint64_t at = 0; at < history->listed_slots; at++) {
        const struct listed *slot = &history->listed[at];
        used += slot->key != 0;
        if (slot->key && slot_of(history, slot->key) != slot)
            return false;
    }
    return used == history->head->listed_used && used <= history->limits.listed_max;
}
