/* Rows in order: a row's figures are read, then the row is added. Figures are put into a block of sixteen rows, a row to a
 * lane, and leave it for their columns in whole cache lines. */
#include "history/state.h"

#include "base/must.h"
#include "history/sides.h"

enum { SWEEP_PACE = 4 };
#define PUT(figure, value) (row[(size_t)FIGURE_##figure * BLOCK_ROWS] = (value))

/* --- reading -------------------------------------------------------------------------------------------------------- */

static float gap_of(uint32_t now, uint32_t then) /* -1: never; chosen among integers, which takes no branch */
{
    const int64_t gap = now > then ? (int64_t)now - then : 0;
    return (float)(then ? gap : -1);
}

static uint32_t second_of_hour(uint32_t hour)
{
    return hour ? (hour - HOUR_OFFSET) * HOUR_S : 0;
}

static void payer_read(float *row, const struct history *history, const struct row_keys *keys, const struct account *payer,
                       const struct side_question *question)
{
    struct side_answer sent, received;
    side_answer_clear(&sent);
    side_answer_clear(&received);
    if (payer) {
        side_read(&sent, history, payer, SENT, question, SIDE_WHOLE);
        side_read(&received, history, payer, RECEIVED, question, SIDE_WEEK);
        PUT(payer_age, gap_of(keys->second, payer->since));
        PUT(payer_changed, gap_of(keys->second, payer->changed));
        PUT(payer_out_gap, gap_of(keys->second, payer->last[SENT]));
        PUT(payer_in_gap, gap_of(keys->second, payer->last[RECEIVED]));
    }
    PUT(payer_out_count_1d, (float)sent.count[0]);
    PUT(payer_out_count_7d, (float)sent.count[1]);
    PUT(payer_out_count_30d, (float)sent.count[2]);
    PUT(payer_out_sum_1d, (float)(int64_t)sent.sum[0]);
    PUT(payer_out_sum_7d, (float)(int64_t)sent.sum[1]);
    PUT(payer_out_sum_30d, (float)(int64_t)sent.sum[2]);
    PUT(payer_out_peers_1d, (float)popcount64(sent.peers[0]));
    PUT(payer_out_peers_30d, (float)popcount64(sent.peers[2]));
    PUT(payer_in_sum_1d, (float)(int64_t)received.sum[0]);
    PUT(payer_in_peers_7d, (float)popcount64(received.peers[1]));
    PUT(payer_max_30d, sent.count[2] ? (float)(int64_t)sent.max : -1.0f);
    PUT(payer_bad_1d, (float)sent.bad[0]);
    PUT(payer_bad_7d, (float)sent.bad[1]);
    PUT(payer_bad_30d, (float)sent.bad[2]);
    PUT(payer_known_1d, (float)sent.known[0]);
    PUT(payer_known_7d, (float)sent.known[1]);
    PUT(payer_known_30d, (float)sent.known[2]);
    PUT(payer_bad_gap, gap_of(keys->second, second_of_hour(sent.bad_hour)));
    PUT(payer_good_gap, gap_of(keys->second, second_of_hour(sent.good_hour)));
    PUT(payer_bad_since, gap_of(keys->second, second_of_hour(sent.bad_since_hour)));
    PUT(payer_bad_run, (float)sent.bad_run);
    PUT(payer_median, sent.has_recent ? sent.median : -1.0f);
    PUT(payer_recent_max, sent.has_recent ? sent.recent_max : -1.0f);
}

static void payee_read(float *row, const struct history *history, const struct row_keys *keys, const struct account *payee,
                       const struct side_question *question)
{
    struct side_answer sent, received;
    side_answer_clear(&sent);
    side_answer_clear(&received);
    if (payee) {
        side_read(&sent, history, payee, SENT, question, SIDE_DAY);
        side_read(&received, history, payee, RECEIVED, question, SIDE_WHOLE);
        PUT(payee_age, gap_of(keys->second, payee->since));
        PUT(payee_changed, gap_of(keys->second, payee->changed));
        PUT(payee_out_gap, gap_of(keys->second, payee->last[SENT]));
    }
    PUT(payee_in_count_1d, (float)received.count[0]);
    PUT(payee_in_count_7d, (float)received.count[1]);
    PUT(payee_in_count_30d, (float)received.count[2]);
    PUT(payee_in_sum_7d, (float)(int64_t)received.sum[1]);
    PUT(payee_in_sum_30d, (float)(int64_t)received.sum[2]);
    PUT(payee_in_peers_1d, (float)popcount64(received.peers[0]));
    PUT(payee_in_peers_30d, (float)popcount64(received.peers[2]));
    PUT(payee_max_30d, received.count[2] ? (float)(int64_t)received.max : -1.0f);
    PUT(payee_out_sum_1d, (float)(int64_t)sent.sum[0]);
    PUT(payee_bad_1d, (float)received.bad[0]);
    PUT(payee_bad_7d, (float)received.bad[1]);
    PUT(payee_bad_30d, (float)received.bad[2]);
    PUT(payee_known_1d, (float)received.known[0]);
    PUT(payee_known_7d, (float)received.known[1]);
    PUT(payee_known_30d, (float)received.known[2]);
    PUT(payee_bad_gap, gap_of(keys->second, second_of_hour(received.bad_hour)));
    PUT(payee_good_gap, gap_of(keys->second, second_of_hour(received.good_hour)));
    PUT(payee_bad_since, gap_of(keys->second, second_of_hour(received.bad_since_hour)));
    PUT(payee_bad_run, (float)received.bad_run);
}

static void pairs_read(float *row, const struct history *history, struct row_keys *keys)
{
    const struct link *pair = link_find(history, &keys->pair), *back = link_find(history, &keys->back);
    PUT(pair_count, pair ? (float)pair->count : 0.0f);
    PUT(pair_sum, pair ? (float)(int64_t)pair->sum : 0.0f);
    PUT(pair_gap, pair && pair->count ? gap_of(keys->second, pair->last) : -1.0f);
    PUT(contact_age, pair ? gap_of(keys->second, pair->first) : -1.0f);
    PUT(back_count, back ? (float)back->count : 0.0f);
    PUT(back_contact_age, back ? gap_of(keys->second, back->first) : -1.0f);
}

static float is_new(uint32_t network, uint32_t known) /* -1: one of them is not known */
{
    const int is_known = (network != 0) & (known != 0);
    return (float)(is_known ? (int)(network != known) : -1);
}

static void payer_device_read(float *row, const struct history *history, struct row_keys *keys)
{
    const struct place *place = place_find(history, &keys->places[PAYER_DEVICE]);
    const struct link *use = link_find(history, &keys->uses[PAYER_DEVICE]);
    PUT(payer_device_age, place ? gap_of(keys->second, place->first) : -1.0f);
    PUT(payer_device_gap, place ? gap_of(keys->second, place->last) : -1.0f);
    PUT(payer_device_count, place ? (float)place->count : 0.0f);
    PUT(payer_device_accounts, place ? (float)popcount64(place->accounts) : 0.0f);
    PUT(payer_device_networks, place ? (float)popcount64(place->networks) : 0.0f);
    PUT(payer_device_bad, place ? (float)place_bad(place, keys->known_by) : 0.0f);
    PUT(payer_device_link_age, use ? gap_of(keys->second, use->first) : -1.0f);
    PUT(payer_device_link_count, use ? (float)use->count : 0.0f);
    if (place && !keys->networks[SENT])
        PUT(payer_network_change, is_new(place->network, keys->last_networks[SENT]));
}

static void payer_address_read(float *row, const struct history *history, struct row_keys *keys)
{
    const struct place *place = place_find(history, &keys->places[PAYER_ADDRESS]);
    const struct link *use = link_find(history, &keys->uses[PAYER_ADDRESS]);
    PUT(payer_address_age, place ? gap_of(keys->second, place->first) : -1.0f);
    PUT(payer_address_accounts, place ? (float)popcount64(place->accounts) : 0.0f);
    PUT(payer_address_count, place ? (float)place->count : 0.0f);
    PUT(payer_address_link_age, use ? gap_of(keys->second, use->first) : -1.0f);
}

static void payee_device_read(float *row, const struct history *history, struct row_keys *keys)
{
    const struct place *place = place_find(history, &keys->places[PAYEE_DEVICE]);
    const struct link *use = link_find(history, &keys->uses[PAYEE_DEVICE]);
    PUT(payee_device_age, place ? gap_of(keys->second, place->first) : -1.0f);
    PUT(payee_device_gap, place ? gap_of(keys->second, place->last) : -1.0f);
    PUT(payee_device_count, place ? (float)place->count : 0.0f);
    PUT(payee_device_accounts, place ? (float)popcount64(place->accounts) : 0.0f);
    PUT(payee_device_networks, place ? (float)popcount64(place->networks) : 0.0f);
    PUT(payee_device_bad, place ? (float)place_bad(place, keys->known_by) : 0.0f);
    PUT(payee_device_link_age, use ? gap_of(keys->second, use->first) : -1.0f);
    PUT(payee_device_link_count, use ? (float)use->count : 0.0f);
    if (place && !keys->networks[RECEIVED])
        PUT(payee_network_change, is_new(place->network, keys->last_networks[RECEIVED]));
}

static void payee_address_read(float *row, const struct history *history, struct row_keys *keys)
{
    const struct place *place = place_find(history, &keys->places[PAYEE_ADDRESS]);
    const struct link *use = link_find(history, &keys->uses[PAYEE_ADDRESS]);
    PUT(payee_address_age, place ? gap_of(keys->second, place->first) : -1.0f);
    PUT(payee_address_accounts, place ? (float)popcount64(place->accounts) : 0.0f);
    PUT(payee_address_count, place ? (float)place->count : 0.0f);
    PUT(payee_address_link_age, use ? gap_of(keys->second, use->first) : -1.0f);
}

static void places_read(float *row, const struct history *history, struct row_keys *keys)
{
    const uint64_t *key = keys->key;
    if (key[PAYER_DEVICE])
        payer_device_read(row, history, keys);
    if (key[PAYER_ADDRESS])
        payer_address_read(row, history, keys);
    if (key[PAYEE_DEVICE])
        payee_device_read(row, history, keys);
    if (key[PAYEE_ADDRESS])
        payee_address_read(row, history, keys);
    if (key[PAYER_DEVICE] && key[PAYEE_DEVICE])
        PUT(shared_device, (float)(key[PAYER_DEVICE] == key[PAYEE_DEVICE]));
    if (key[PAYER_ADDRESS] && key[PAYEE_ADDRESS])
        PUT(shared_address, (float)(key[PAYER_ADDRESS] == key[PAYEE_ADDRESS]));
}

static const struct account *party_find(const struct history *history, struct lookup *lookup) /* NULL: not known */
{
    return account_find(history, lookup) == SLOT_NONE ? NULL : lookup_record(lookup, sizeof(struct account));
}

static void accounts_read(float *row, const struct history *history, struct row_keys *keys)
{
    const struct account *payer = party_find(history, &keys->accounts[SENT]), *payee = party_find(history, &keys->accounts[RECEIVED]);
    keys_complete(keys, payer, payee);
    payer_read(row, history, keys, payer, &keys->question);
    payee_read(row, history, keys, payee, &keys->question);
    keys->last_networks[SENT] = payer ? payer->network : 0;
    keys->last_networks[RECEIVED] = payee ? payee->network : 0;
    const float payer_new = is_new(keys->networks[SENT], keys->last_networks[SENT]);
    const float payee_new = is_new(keys->networks[RECEIVED], keys->last_networks[RECEIVED]);
    PUT(payer_network_new, payer_new), PUT(payee_network_new, payee_new);
    PUT(payer_network_change, payer_new), PUT(payee_network_change, payee_new); /* devices may tell more */
}

/* --- adding --------------------------------------------------------------------------------------------------------- */

static void party_add(struct history *history, struct row_keys *keys, int which, struct event event)
{
    if (!keys->accounts[which].hash)
        return;
    struct account *account = account_make(history, &keys->accounts[which], keys->second);
    uint64_t device = keys->named[which == SENT ? PAYER_DEVICE : PAYEE_DEVICE];
    uint64_t address = keys->named[which == SENT ? PAYER_ADDRESS : PAYEE_ADDRESS];
    if (keys->second >= account->active) {
        const uint64_t last_device = account->device, last_address = account->address;
        const uint32_t last_network = account->network;
        account->device = device ? device : last_device;
        account->address = address ? address : last_address;
        account->network = keys->networks[which] ? keys->networks[which] : last_network;
    }
    account_seen(history, &keys->accounts[which], keys->second);
    const uint32_t last = account->last[which];
    account->last[which] = keys->second > last ? keys->second : last;
    event.peer = (uint8_t)(keys->accounts[!which].hash >> 58);
    side_add(history, account, keys->accounts[which].slot, which, &event);
}

static void pair_add(struct history *history, struct row_keys *keys, uint64_t amount)
{
    if (!keys->accounts[SENT].hash || !keys->accounts[RECEIVED].hash)
        return;
    struct link *link = link_make(history, &keys->pair, keys->second);
    const uint32_t last = link->count ? link->last : 0;
    link->last = keys->second > last ? keys->second : last;
    link->count += link->count < UINT32_MAX;
    link->sum += amount;
}

static void places_add(struct history *history, struct row_keys *keys, bool is_risky)
{
    for (unsigned i = 0; i < ROW_PLACES; i++) {
        unsigned which = i < PAYER_PLACES ? SENT : RECEIVED;
        if (!keys->named[i])
            continue;
        struct place *used =
            place_use(history, &keys->places[i], keys->accounts[which].hash, keys->network_bits[which], keys->second, true);
        const bool is_device = i == PAYER_DEVICE || i == PAYEE_DEVICE;
        if (is_device)
            place_network(used, keys->networks[which], keys->second);
        if (i < PAYER_PLACES)
            link_use(history, &keys->uses[i], keys->second);
        if (is_risky && is_device)
            place_label(history, &keys->places[i], keys->second, 1);
    }
}

static uint64_t key_of(const uint64_t *keys, uint32_t row)
{
    return keys ? keys[row] : 0;
}

/* The label that an imported row is added with: 0 where it is not known yet and waits. */
static uint8_t row_label(struct history *history, const struct batch *batch, uint32_t row, int64_t delay_us)
{
    const struct batch_facts *facts = &batch->facts;
    const struct column *times = &batch->columns[COLUMN_label_time];
    uint8_t label = facts->label && batch->op == OP_import ? facts->label[row] & 3 : 0;
    if (!label || times->form != FORM_I64 || !column_is_valid(times, row))
        return label;
    int64_t known_us = column_i64(times, row);
    uint32_t due = second_of(known_us < INT64_MAX - 999999 ? known_us + 999999 : known_us);
    if (known_us <= 0 || known_us - delay_us <= facts->time_us[row] || due <= history->head->clock)
        return label;
    const struct history_label later = {
        .payer = facts->payer[row],
        .payee = facts->payee[row],
        .payer_device = key_of(facts->payer_device, row),
        .payee_device = key_of(facts->payee_device, row),
        .time_us = facts->time_us[row],
        .amount = facts->amount[row],
        .after = label,
    };
    waiting_add(history, &later, due);
    return 0;
}

static void row_add(struct history *history, const struct batch *batch, uint32_t row, struct row_keys *keys, int64_t delay_us)
{
    const struct event event = {
        .hour = hour_of(keys->second), .amount = amount_kept(batch->facts.amount[row]), .label = row_label(history, batch, row, delay_us)};
    party_add(history, keys, SENT, event);
    party_add(history, keys, RECEIVED, event);
    pair_add(history, keys, event.amount);
    places_add(history, keys, event.label == 2);
    if (history->head->added++ % SWEEP_PACE == 0)
        history_sweep(history, 1, IDLE_HOURS, SLOT_NONE);
}

/* --- rows in order -------------------------------------------------------------------------------------------------- */

static void block_clear(struct history *history) /* nothing is known */
{
    for (unsigned f = 0; f < FIGURE_COUNT; f++)
        for (unsigned i = 0; i < BLOCK_ROWS; i++)
            history->block[f][i] = -1.0f;
}

static void block_store(struct figures *out, const struct history *history, uint32_t at, uint32_t row_count)
{
    if (row_count == BLOCK_ROWS) {
        for (unsigned f = 0; f < FIGURE_COUNT; f++)
            memcpy(out->column[f] + at, history->block[f], sizeof history->block[f]);
        return;
    }
    for (unsigned f = 0; f < FIGURE_COUNT; f++)
        memcpy(out->column[f] + at, history->block[f], row_count * sizeof(float));
}

static void clock_advance(struct history *history, uint32_t second)
{
    struct history_head *head = history->head;
    if (second <= head->clock)
        return;
    head->clock = second;
    if (head->due_count)
        waiting_fire(history);
}

/* What is fetched for the rows to come is spread over the row, so that memory always has something to do, but not too much. */
static void row_relate(const struct walk *walk, uint32_t row, float *out)
{
    struct history *history = walk->history;
    struct row_keys *keys = &history->ahead[row % AHEAD];
    const bool is_valid = !walk->batch->facts.invalid[row];
    ahead_keys(walk, row + AT_KEYS);
    if (is_valid && walk->adds)
        clock_advance(history, keys->second);
    if (is_valid && walk->reads)
        accounts_read(out, history, keys);
    ahead_records(walk, row + AT_RECORDS);
    if (is_valid && walk->reads) {
        pairs_read(out, history, keys);
        places_read(out, history, keys);
    }
    ahead_sides(walk, row + AT_SIDES);
    if (is_valid && walk->adds)
        row_add(history, walk->batch, row, keys, walk->delay_us);
    ahead_rest(walk, row + AT_REST);
}

void history_relate(struct history *history, const struct batch *batch, uint32_t first, uint32_t count, int64_t delay_us, bool add,
                    struct figures *out)
{
    MUST(history->magic == (unsigned)HISTORY_MAGIC && first <= batch->row_count && count <= batch->row_count - first);
    MUST(!out || count <= SLICE_ROWS);
    const struct walk walk = {.history = history,
                              .batch = batch,
                              .first = first,
                              .end = first + count,
                              .delay_us = delay_us < 0                      ? 0
                                          : delay_us > HISTORY_DELAY_MAX_US ? HISTORY_DELAY_MAX_US
                                                                            : delay_us,
                              .adds = add,
                              .reads = out != NULL};
    ahead_begin(&walk);
    for (uint32_t row = first; row < walk.end; row++) {
        uint32_t lane = (row - first) % BLOCK_ROWS;
        if (out && lane == 0)
            block_clear(history);
        row_relate(&walk, row, &history->block[0][lane]);
        if (out && (lane == BLOCK_ROWS - 1 || row + 1 == walk.end))
            block_store(out, history, row - first - lane, lane + 1);
    }
    seen_relate(history, batch, first, count, add);
    lists_relate(history, batch, first, count);
}
