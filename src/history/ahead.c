/* The one thread must not wait for memory: what a row will touch is fetched in four steps while it comes nearer, each
 * from what the step before brought. Nothing here changes what is read; what was seen ahead is held to the records when
 * it is used, because rows in between may have changed them. */
#include "history/sides.h"

static const enum place_kind place_kinds[ROW_PLACES] = {PLACE_DEVICE, PLACE_ADDRESS, PLACE_DEVICE, PLACE_ADDRESS};
static const enum link_kind use_kinds[ROW_PLACES] = {LINK_DEVICE, LINK_ADDRESS, LINK_DEVICE, LINK_ADDRESS};

static void key_set(struct row_keys *keys, enum row_place i, uint64_t key)
{
    keys->key[i] = key;
    keys->places[i] = lookup_of(key ? place_hash(place_kinds[i], key) : 0);
    keys->uses[i] = lookup_of(key ? link_hash(use_kinds[i], keys->accounts[i < PAYER_PLACES ? SENT : RECEIVED].hash, key) : 0);
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
    out->network_bits[SENT] = network_bit(out->networks[SENT]);
    out->network_bits[RECEIVED] = network_bit(out->networks[RECEIVED]);
    out->accounts[SENT] = lookup_of(payer);
    out->accounts[RECEIVED] = lookup_of(payee);
    out->pair = lookup_of(link_hash(LINK_PAIR, payer, payee));
    out->back = lookup_of(link_hash(LINK_PAIR, payee, payer));
    for (unsigned i = 0; i < ROW_PLACES; i++) {
        out->named[i] = columns[i] ? columns[i][row] : 0;
        key_set(out, (enum row_place)i, out->named[i]);
    }
}

void ahead_keys(const struct walk *walk, uint32_t row)
{
    const struct history *history = walk->history;
    struct row_keys *keys = &walk->history->ahead[row % AHEAD];
    if (row >= walk->end)
        return;
    keys_fill(keys, &walk->batch->facts, row, walk->delay_us);
    table_fetch_set(&history->accounts, &keys->accounts[SENT], sizeof(struct account));
    table_fetch_set(&history->accounts, &keys->accounts[RECEIVED], sizeof(struct account));
    table_fetch_set(&history->links, &keys->pair, sizeof(struct link));
    table_fetch_set(&history->links, &keys->back, sizeof(struct link));
    for (unsigned i = 0; i < ROW_PLACES; i++)
        if (keys->key[i])
            table_fetch_set(&history->places, &keys->places[i], sizeof(struct place));
    for (unsigned i = 0; i < (walk->reads ? ROW_PLACES : PAYER_PLACES); i++)
        if (keys->key[i])
            table_fetch_set(&history->links, &keys->uses[i], sizeof(struct link));
}

void ahead_records(const struct walk *walk, uint32_t row)
{
    const struct history *history = walk->history;
    struct row_keys *keys = &walk->history->ahead[row % AHEAD];
    if (row >= walk->end)
        return;
    table_fetch_record(&history->accounts, &keys->accounts[SENT], sizeof(struct account), walk->adds);
    table_fetch_record(&history->accounts, &keys->accounts[RECEIVED], sizeof(struct account), walk->adds);
    table_fetch_record(&history->links, &keys->pair, sizeof(struct link), walk->adds);
    table_fetch_record(&history->links, &keys->back, sizeof(struct link), false);
    for (unsigned i = 0; i < ROW_PLACES; i++)
        if (keys->key[i])
            table_fetch_record(&history->places, &keys->places[i], sizeof(struct place), walk->adds);
    for (unsigned i = 0; i < (walk->reads ? ROW_PLACES : PAYER_PLACES); i++)
        if (keys->key[i])
            table_fetch_record(&history->links, &keys->uses[i], sizeof(struct link), walk->adds && i < PAYER_PLACES);
}

/* As far as it was seen: who is new, or has moved since, is not waited for. */
static const struct account *account_ahead(const struct lookup *lookup)
{
    const struct account *account = lookup->slot == SLOT_NONE ? NULL : lookup_record(lookup, sizeof(struct account));
    return account && account->hash == lookup->hash ? account : NULL;
}

/* Of the places that the row does not name. */
static void last_places_fetch(const struct history *history, struct row_keys *keys)
{
    for (unsigned i = 0; i < ROW_PLACES; i++) {
        if (keys->named[i] || !keys->key[i])
            continue;
        table_fetch_set(&history->places, &keys->places[i], sizeof(struct place));
        table_fetch_set(&history->links, &keys->uses[i], sizeof(struct link));
    }
}

static void last_place_records_fetch(const struct history *history, struct row_keys *keys)
{
    for (unsigned i = 0; i < ROW_PLACES; i++) {
        if (keys->named[i] || !keys->key[i])
            continue;
        table_fetch_record(&history->places, &keys->places[i], sizeof(struct place), false);
        table_fetch_record(&history->links, &keys->uses[i], sizeof(struct link), false);
    }
}

void ahead_sides(const struct walk *walk, uint32_t row)
{
    const struct history *history = walk->history;
    struct row_keys *keys = &walk->history->ahead[row % AHEAD];
    if (row >= walk->end)
        return;
    const struct account *payer = account_ahead(&keys->accounts[SENT]), *payee = account_ahead(&keys->accounts[RECEIVED]);
    if (payer)
        side_fetch(history, &payer->sides[SENT]);
    if (payee)
        side_fetch(history, &payee->sides[RECEIVED]);
    if (!walk->reads)
        return;
    if (payer)
        side_fetch(history, &payer->sides[RECEIVED]);
    if (payee)
        side_fetch(history, &payee->sides[SENT]);
    keys_complete(keys, payer, payee);
    last_places_fetch(history, keys);
}

void ahead_rest(const struct walk *walk, uint32_t row)
{
    const struct history *history = walk->history;
    struct row_keys *keys = &walk->history->ahead[row % AHEAD];
    if (row >= walk->end || !walk->reads)
        return;
    const struct account *payer = account_ahead(&keys->accounts[SENT]), *payee = account_ahead(&keys->accounts[RECEIVED]);
    keys->question = side_question_of(hour_of(keys->second), hour_of(keys->known_by) / RISK_HOURS);
    if (payer)
        side_fetch_rest(history, &payer->sides[SENT], &keys->question);
    if (payee)
        side_fetch_rest(history, &payee->sides[RECEIVED], &keys->question);
    last_place_records_fetch(history, keys);
}

void ahead_begin(const struct walk *walk)
{
    for (uint32_t i = 0; i < AT_KEYS; i++)
        ahead_keys(walk, walk->first + i);
    for (uint32_t i = 0; i < AT_RECORDS; i++)
        ahead_records(walk, walk->first + i);
    for (uint32_t i = 0; i < AT_SIDES; i++)
        ahead_sides(walk, walk->first + i);
    for (uint32_t i = 0; i < AT_REST; i++)
        ahead_rest(walk, walk->first + i);
}
