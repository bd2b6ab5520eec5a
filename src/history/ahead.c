/* The one thread must not wait for memory: what a row will touch is fetched in four steps while it comes nearer, each
 * from what the step before brought. Nothing here changes what is read; what was seen ahead is held to the records when
 * it is used, because rows in between may have changed them. */
#include "history/sides.h"

enum { AT_SETS = AHEAD_ROWS, AT_RECORDS = 16, AT_SIDES = 10, AT_REST = 4 };

static const enum place_kind place_kinds[ROW_PLACES] = {PLACE_DEVICE, PLACE_ADDRESS, PLACE_DEVICE, PLACE_ADDRESS};
static const enum link_kind use_kinds[PAYER_PLACES] = {LINK_DEVICE, LINK_ADDRESS};

static void key_set(struct row_keys *keys, enum row_place i, uint64_t key)
{
    keys->key[i] = key;
    keys->places[i] = lookup_of(key ? place_hash(place_kinds[i], key) : 0);
    if (i < PAYER_PLACES)
        keys->uses[i] = lookup_of(key ? link_hash(use_kinds[i], keys->accounts[SENT].hash, key) : 0);
}

static void key_complete(struct row_keys *keys, enum row_place i, uint64_t last)
{
    if (!keys->named[i] && keys->key[i] != last)
        key_set(keys, i, last);
}

void keys_complete(struct row_keys *keys, const struct account *payer, const struct account *payee)
{
    key_complete(keys, PAYER_DEVICE, payer ? payer->device : 0);
    key_complete(keys, PAYER_ADDRESS, payer ? payer->address : 0);
    key_complete(keys, PAYEE_DEVICE, payee ? payee->device : 0);
    key_complete(keys, PAYEE_ADDRESS, payee ? payee->address : 0);
}

static uint32_t known_by(int64_t time_us, int64_t delay_us)
{
    return second_of(time_us > delay_us ? time_us - delay_us : 0);
}

static void keys_fill(struct row_keys *out, const struct batch_facts *facts, uint32_t row, int64_t delay_us)
{
    const uint64_t *const columns[ROW_PLACES] = {facts->payer_device, facts->payer_address, facts->payee_device, facts->payee_address};
    uint64_t payer = hash_mix(facts->payer[row]), payee = hash_mix(facts->payee[row]);
    out->second = second_of(facts->time_us[row]);
    out->known_by = known_by(facts->time_us[row], delay_us);
    out->networks[SENT] = facts->payer_network ? facts->payer_network[row] : 0;
    out->networks[RECEIVED] = facts->payee_network ? facts->payee_network[row] : 0;
    out->accounts[SENT] = lookup_of(payer);
    out->accounts[RECEIVED] = lookup_of(payee);
    out->pair = lookup_of(link_hash(LINK_PAIR, payer, payee));
    out->back = lookup_of(link_hash(LINK_PAIR, payee, payer));
    for (unsigned i = 0; i < ROW_PLACES; i++) {
        out->named[i] = columns[i] ? columns[i][row] : 0;
        key_set(out, (enum row_place)i, out->named[i]);
    }
}

static void sets_fetch(const struct history *history, const struct row_keys *keys)
{
    table_fetch_set(&history->accounts, &keys->accounts[SENT]);
    table_fetch_set(&history->accounts, &keys->accounts[RECEIVED]);
    table_fetch_set(&history->links, &keys->pair);
    table_fetch_set(&history->links, &keys->back);
}

/* Of the places that the row names (or of those that it does not). */
static void place_sets_fetch(const struct history *history, const struct row_keys *keys, bool named)
{
    for (unsigned i = 0; i < ROW_PLACES; i++) {
        if (!keys->key[i] || (keys->named[i] != 0) != named)
            continue;
        table_fetch_set(&history->places, &keys->places[i]);
        if (i < PAYER_PLACES)
            table_fetch_set(&history->links, &keys->uses[i]);
    }
}

static void records_fetch(const struct history *history, struct row_keys *keys)
{
    table_fetch_room(&history->accounts, &keys->accounts[SENT]);
    table_fetch_room(&history->accounts, &keys->accounts[RECEIVED]);
    table_fetch_room(&history->links, &keys->pair);
    table_fetch_record(&history->links, &keys->back);
}

static void place_records_fetch(const struct history *history, struct row_keys *keys, bool named)
{
    for (unsigned i = 0; i < ROW_PLACES; i++) {
        if (!keys->key[i] || (keys->named[i] != 0) != named)
            continue;
        table_fetch_room(&history->places, &keys->places[i]);
        if (i < PAYER_PLACES)
            table_fetch_room(&history->links, &keys->uses[i]);
    }
}

static const struct account *account_ahead(const struct history *history, struct lookup *lookup)
{
    uint32_t slot = account_find(history, lookup);
    return slot == SLOT_NONE ? NULL : account_at(history, slot);
}

static void sides_fetch(const struct history *history, struct row_keys *keys, bool reads)
{
    const struct account *payer = account_ahead(history, &keys->accounts[SENT]), *payee = account_ahead(history, &keys->accounts[RECEIVED]);
    if (payer)
        side_fetch(history, &payer->sides[SENT]);
    if (payee)
        side_fetch(history, &payee->sides[RECEIVED]);
    if (!reads)
        return;
    if (payer)
        side_fetch(history, &payer->sides[RECEIVED]);
    if (payee)
        side_fetch(history, &payee->sides[SENT]);
    keys_complete(keys, payer, payee);
    place_sets_fetch(history, keys, false);
}

static void rest_fetch(const struct history *history, struct row_keys *keys)
{
    const struct account *payer = account_ahead(history, &keys->accounts[SENT]), *payee = account_ahead(history, &keys->accounts[RECEIVED]);
    const struct side_question question = {.hour = hour_of(keys->second), .risk_end = hour_of(keys->known_by) / RISK_HOURS};
    if (payer)
        side_fetch_rest(history, &payer->sides[SENT], &question);
    if (payee)
        side_fetch_rest(history, &payee->sides[RECEIVED], &question);
    place_records_fetch(history, keys, false);
}

void ahead_step(struct history *history, const struct batch *batch, uint32_t first, uint32_t i, uint32_t end, int64_t delay_us, bool reads)
{
    struct row_keys *keys = &history->ahead[i % AHEAD];
    if (i < end) {
        keys_fill(keys, &batch->facts, i, delay_us);
        sets_fetch(history, keys);
        place_sets_fetch(history, keys, true);
    }
    uint32_t at = i - (AT_SETS - AT_RECORDS);
    if (i >= first + (AT_SETS - AT_RECORDS) && at < end) {
        records_fetch(history, &history->ahead[at % AHEAD]);
        place_records_fetch(history, &history->ahead[at % AHEAD], true);
    }
    at = i - (AT_SETS - AT_SIDES);
    if (i >= first + (AT_SETS - AT_SIDES) && at < end)
        sides_fetch(history, &history->ahead[at % AHEAD], reads);
    at = i - (AT_SETS - AT_REST);
    if (reads && i >= first + (AT_SETS - AT_REST) && at < end)
        rest_fetch(history, &history->ahead[at % AHEAD]);
}
