/* Rows in order: a row's figures are read, then the row is added. Keys of rows ahead are hashed and what they will touch
 * is fetched in three steps (sets, records, transfers), so that the one thread waits little for memory. Nothing of that
 * changes what is read. */
#include "history/state.h"

#include "base/must.h"
#include "history/sides.h"

enum { AHEAD_SETS = 24, AHEAD_RECORDS = 14, AHEAD_SIDES = 6 };

/* --- ahead ---------------------------------------------------------------------------------------------------------- */

static uint64_t key_of(const uint64_t *keys, uint32_t row)
{
    return keys ? keys[row] : 0;
}

static void keys_fill(struct row_keys *out, const struct batch_facts *facts, uint32_t row)
{
    out->payer = hash_mix(facts->payer[row]);
    out->payee = hash_mix(facts->payee[row]);
    out->pair = link_hash(LINK_PAIR, out->payer, out->payee);
    out->back = link_hash(LINK_PAIR, out->payee, out->payer);
    out->payer_device = key_of(facts->payer_device, row);
    out->payee_device = key_of(facts->payee_device, row);
    out->payer_address = key_of(facts->payer_address, row);
    out->payee_address = key_of(facts->payee_address, row);
    out->second = second_of(facts->time_us[row]);
    out->payer_network = facts->payer_network ? facts->payer_network[row] : 0;
    out->payee_network = facts->payee_network ? facts->payee_network[row] : 0;
}

typedef void fetch_fn(const struct table *table, uint64_t hash);

/* fetch: what is only read; make: what is made when it is not there. */
static void row_fetch(const struct history *history, const struct row_keys *keys, fetch_fn *fetch, fetch_fn *make)
{
    make(&history->accounts, keys->payer);
    make(&history->accounts, keys->payee);
    make(&history->links, keys->pair);
    fetch(&history->links, keys->back);
    if (keys->payer_device) {
        make(&history->links, link_hash(LINK_DEVICE, keys->payer, keys->payer_device));
        make(&history->places, place_hash(PLACE_DEVICE, keys->payer_device));
    }
    if (keys->payer_address) {
        make(&history->links, link_hash(LINK_ADDRESS, keys->payer, keys->payer_address));
        make(&history->places, place_hash(PLACE_ADDRESS, keys->payer_address));
    }
    if (keys->payee_device)
        make(&history->places, place_hash(PLACE_DEVICE, keys->payee_device));
    if (keys->payee_address)
        make(&history->places, place_hash(PLACE_ADDRESS, keys->payee_address));
}

static void sides_prefetch(const struct history *history, uint64_t hash)
{
    uint32_t slot = account_find(history, hash);
    if (slot == SLOT_NONE)
        return;
    side_prefetch(history, &account_at(history, slot)->sides[SENT]);
    side_prefetch(history, &account_at(history, slot)->sides[RECEIVED]);
}

/* Row i comes into sight; rows nearer by have got so far that their next step can be fetched. */
static void row_ahead(struct history *history, const struct batch *batch, uint32_t first, uint32_t i, uint32_t end)
{
    if (i < end) {
        struct row_keys *keys = &history->ahead[i % AHEAD];
        keys_fill(keys, &batch->facts, i);
        row_fetch(history, keys, table_fetch_set, table_fetch_set);
    }
    uint32_t behind = AHEAD_SETS - AHEAD_RECORDS;
    if (i >= first + behind && i - behind < end)
        row_fetch(history, &history->ahead[(i - behind) % AHEAD], table_fetch_record, table_fetch_room);
    behind = AHEAD_SETS - AHEAD_SIDES;
    if (i >= first + behind && i - behind < end) {
        const struct row_keys *keys = &history->ahead[(i - behind) % AHEAD];
        sides_prefetch(history, keys->payer);
        sides_prefetch(history, keys->payee);
    }
}

/* --- reading -------------------------------------------------------------------------------------------------------- */

static float gap_of(uint32_t now, uint32_t then) /* -1: never */
{
    return then == 0 ? -1.0f : now > then ? (float)(now - then) : 0.0f;
}

static uint32_t second_of_hour(uint32_t hour)
{
    return hour ? (hour - HOUR_OFFSET) * HOUR_S : 0;
}

struct parties { /* both accounts of a row as they stand before it; NULL: not known */
    const struct account *payer, *payee;
    uint64_t payer_device, payee_device, payer_address, payee_address; /* named, or last used */
};

static void payer_read(float *row, const struct history *history, const struct row_keys *keys, const struct account *payer,
                       const struct side_question *question)
{
    struct side_answer sent = {0}, received = {0};
    if (payer) {
        uint32_t slot = (uint32_t)(payer - account_at(history, 0));
        side_read(&sent, history, slot, SENT, question, SIDE_WHOLE);
        side_read(&received, history, slot, RECEIVED, question, SIDE_BRIEF);
        row[FIGURE_payer_age] = gap_of(keys->second, payer->since);
        row[FIGURE_payer_changed] = gap_of(keys->second, payer->changed);
        row[FIGURE_payer_out_gap] = gap_of(keys->second, payer->last[SENT]);
        row[FIGURE_payer_in_gap] = gap_of(keys->second, payer->last[RECEIVED]);
    }
    row[FIGURE_payer_out_count_1d] = (float)sent.count[0];
    row[FIGURE_payer_out_count_7d] = (float)sent.count[1];
    row[FIGURE_payer_out_count_30d] = (float)sent.count[2];
    row[FIGURE_payer_out_sum_1d] = (float)sent.sum[0];
    row[FIGURE_payer_out_sum_7d] = (float)sent.sum[1];
    row[FIGURE_payer_out_sum_30d] = (float)sent.sum[2];
    row[FIGURE_payer_out_peers_1d] = (float)sent.peers[0];
    row[FIGURE_payer_out_peers_30d] = (float)sent.peers[2];
    row[FIGURE_payer_in_count_1d] = (float)received.count[0];
    row[FIGURE_payer_in_count_7d] = (float)received.count[1];
    row[FIGURE_payer_in_sum_1d] = (float)received.sum[0];
    row[FIGURE_payer_in_sum_7d] = (float)received.sum[1];
    row[FIGURE_payer_in_peers_7d] = (float)received.peers[1];
    row[FIGURE_payer_max_30d] = sent.count[2] ? (float)sent.max : -1.0f;
    row[FIGURE_payer_bad_1d] = (float)sent.bad[0];
    row[FIGURE_payer_bad_7d] = (float)sent.bad[1];
    row[FIGURE_payer_bad_30d] = (float)sent.bad[2];
    row[FIGURE_payer_known_1d] = (float)sent.known[0];
    row[FIGURE_payer_known_7d] = (float)sent.known[1];
    row[FIGURE_payer_known_30d] = (float)sent.known[2];
    row[FIGURE_payer_bad_gap] = gap_of(keys->second, second_of_hour(sent.bad_hour));
}

static void payee_read(float *row, const struct history *history, const struct row_keys *keys, const struct account *payee,
                       const struct side_question *question)
{
    struct side_answer sent = {0}, received = {0};
    if (payee) {
        uint32_t slot = (uint32_t)(payee - account_at(history, 0));
        side_read(&sent, history, slot, SENT, question, SIDE_BRIEF);
        side_read(&received, history, slot, RECEIVED, question, SIDE_WHOLE);
        row[FIGURE_payee_age] = gap_of(keys->second, payee->since);
        row[FIGURE_payee_changed] = gap_of(keys->second, payee->changed);
        row[FIGURE_payee_in_gap] = gap_of(keys->second, payee->last[RECEIVED]);
        row[FIGURE_payee_out_gap] = gap_of(keys->second, payee->last[SENT]);
    }
    row[FIGURE_payee_in_count_1d] = (float)received.count[0];
    row[FIGURE_payee_in_count_7d] = (float)received.count[1];
    row[FIGURE_payee_in_count_30d] = (float)received.count[2];
    row[FIGURE_payee_in_sum_1d] = (float)received.sum[0];
    row[FIGURE_payee_in_sum_7d] = (float)received.sum[1];
    row[FIGURE_payee_in_sum_30d] = (float)received.sum[2];
    row[FIGURE_payee_in_peers_1d] = (float)received.peers[0];
    row[FIGURE_payee_in_peers_30d] = (float)received.peers[2];
    row[FIGURE_payee_max_30d] = received.count[2] ? (float)received.max : -1.0f;
    row[FIGURE_payee_out_count_1d] = (float)sent.count[0];
    row[FIGURE_payee_out_count_7d] = (float)sent.count[1];
    row[FIGURE_payee_out_sum_1d] = (float)sent.sum[0];
    row[FIGURE_payee_out_sum_7d] = (float)sent.sum[1];
    row[FIGURE_payee_bad_1d] = (float)received.bad[0];
    row[FIGURE_payee_bad_7d] = (float)received.bad[1];
    row[FIGURE_payee_bad_30d] = (float)received.bad[2];
    row[FIGURE_payee_known_1d] = (float)received.known[0];
    row[FIGURE_payee_known_7d] = (float)received.known[1];
    row[FIGURE_payee_known_30d] = (float)received.known[2];
    row[FIGURE_payee_bad_gap] = gap_of(keys->second, second_of_hour(received.bad_hour));
}

static void pairs_read(float *row, const struct history *history, const struct row_keys *keys)
{
    const struct link *pair = link_find(history, keys->pair), *back = link_find(history, keys->back);
    row[FIGURE_pair_count] = pair ? (float)pair->count : 0.0f;
    row[FIGURE_pair_sum] = pair ? (float)pair->sum : 0.0f;
    row[FIGURE_pair_gap] = pair && pair->count ? gap_of(keys->second, pair->last) : -1.0f;
    row[FIGURE_contact_age] = pair ? gap_of(keys->second, pair->first) : -1.0f;
    row[FIGURE_back_count] = back ? (float)back->count : 0.0f;
    row[FIGURE_back_gap] = back && back->count ? gap_of(keys->second, back->last) : -1.0f;
}

static void payer_device_read(float *row, const struct history *history, const struct row_keys *keys, uint64_t device, uint32_t known_by)
{
    const struct place *place = place_find(history, place_hash(PLACE_DEVICE, device));
    const struct link *link = link_find(history, link_hash(LINK_DEVICE, keys->payer, device));
    row[FIGURE_payer_device_age] = place ? gap_of(keys->second, place->first) : -1.0f;
    row[FIGURE_payer_device_gap] = place ? gap_of(keys->second, place->last) : -1.0f;
    row[FIGURE_payer_device_count] = place ? (float)place->count : 0.0f;
    row[FIGURE_payer_device_accounts] = place ? (float)popcount64(place->accounts) : 0.0f;
    row[FIGURE_payer_device_networks] = place ? (float)popcount64(place->networks) : 0.0f;
    row[FIGURE_payer_device_bad] = place ? (float)place_bad(place, known_by) : 0.0f;
    row[FIGURE_payer_device_link_age] = link ? gap_of(keys->second, link->first) : -1.0f;
    row[FIGURE_payer_device_link_count] = link ? (float)link->count : 0.0f;
}

static void payer_address_read(float *row, const struct history *history, const struct row_keys *keys, uint64_t address)
{
    const struct place *place = place_find(history, place_hash(PLACE_ADDRESS, address));
    const struct link *link = link_find(history, link_hash(LINK_ADDRESS, keys->payer, address));
    row[FIGURE_payer_address_age] = place ? gap_of(keys->second, place->first) : -1.0f;
    row[FIGURE_payer_address_accounts] = place ? (float)popcount64(place->accounts) : 0.0f;
    row[FIGURE_payer_address_count] = place ? (float)place->count : 0.0f;
    row[FIGURE_payer_address_link_age] = link ? gap_of(keys->second, link->first) : -1.0f;
}

static void payee_places_read(float *row, const struct history *history, const struct row_keys *keys, const struct parties *parties,
                              uint32_t known_by)
{
    const struct place *place;
    if (parties->payee_device) {
        place = place_find(history, place_hash(PLACE_DEVICE, parties->payee_device));
        row[FIGURE_payee_device_age] = place ? gap_of(keys->second, place->first) : -1.0f;
        row[FIGURE_payee_device_accounts] = place ? (float)popcount64(place->accounts) : 0.0f;
        row[FIGURE_payee_device_count] = place ? (float)place->count : 0.0f;
        row[FIGURE_payee_device_bad] = place ? (float)place_bad(place, known_by) : 0.0f;
    }
    if (parties->payee_address) {
        place = place_find(history, place_hash(PLACE_ADDRESS, parties->payee_address));
        row[FIGURE_payee_address_age] = place ? gap_of(keys->second, place->first) : -1.0f;
        row[FIGURE_payee_address_accounts] = place ? (float)popcount64(place->accounts) : 0.0f;
    }
}

static float is_new(uint32_t named, uint32_t known) /* -1: one of them is not known */
{
    return named && known ? (float)(named != known) : -1.0f;
}

static void places_read(float *row, const struct history *history, const struct row_keys *keys, const struct parties *parties,
                        uint32_t known_by)
{
    if (parties->payer_device)
        payer_device_read(row, history, keys, parties->payer_device, known_by);
    if (parties->payer_address)
        payer_address_read(row, history, keys, parties->payer_address);
    if (parties->payee_device || parties->payee_address)
        payee_places_read(row, history, keys, parties, known_by);
    row[FIGURE_payer_network_new] = is_new(keys->payer_network, parties->payer ? parties->payer->network : 0);
    row[FIGURE_payee_network_new] = is_new(keys->payee_network, parties->payee ? parties->payee->network : 0);
    if (parties->payer_device && parties->payee_device)
        row[FIGURE_shared_device] = (float)(parties->payer_device == parties->payee_device);
    if (parties->payer_address && parties->payee_address)
        row[FIGURE_shared_address] = (float)(parties->payer_address == parties->payee_address);
}

static const struct account *party_find(const struct history *history, uint64_t hash)
{
    uint32_t slot = account_find(history, hash);
    return slot == SLOT_NONE ? NULL : account_at(history, slot);
}

static uint64_t key_or(uint64_t named, uint64_t last)
{
    return named ? named : last;
}

static void row_read(float *row, const struct history *history, const struct row_keys *keys, uint32_t known_by)
{
    const struct account *payer = party_find(history, keys->payer), *payee = party_find(history, keys->payee);
    const struct side_question question = {.hour = hour_of(keys->second), .risk_end = hour_of(known_by) / RISK_HOURS};
    const struct parties parties = {
        .payer = payer,
        .payee = payee,
        .payer_device = key_or(keys->payer_device, payer ? payer->device : 0),
        .payee_device = key_or(keys->payee_device, payee ? payee->device : 0),
        .payer_address = key_or(keys->payer_address, payer ? payer->address : 0),
        .payee_address = key_or(keys->payee_address, payee ? payee->address : 0),
    };
    payer_read(row, history, keys, payer, &question);
    payee_read(row, history, keys, payee, &question);
    pairs_read(row, history, keys);
    places_read(row, history, keys, &parties, known_by);
}

/* --- adding --------------------------------------------------------------------------------------------------------- */

static void party_add(struct history *history, uint64_t hash, int which, const struct event *event, const struct row_keys *keys)
{
    uint32_t slot = account_make(history, hash, keys->second);
    struct account *account = account_at(history, slot);
    uint64_t device = which == SENT ? keys->payer_device : keys->payee_device;
    uint64_t address = which == SENT ? keys->payer_address : keys->payee_address;
    uint32_t network = which == SENT ? keys->payer_network : keys->payee_network;
    if (keys->second >= account->active) {
        account->device = device ? device : account->device;
        account->address = address ? address : account->address;
        account->network = network ? network : account->network;
    }
    account_seen(history, slot, keys->second);
    if (keys->second > account->last[which])
        account->last[which] = keys->second;
    side_add(history, slot, which, event);
}

static void pair_add(struct history *history, uint64_t hash, uint32_t second, uint64_t amount)
{
    struct link *link = link_make(history, hash, second);
    if (!link->count || second > link->last)
        link->last = second;
    link->count += link->count < UINT32_MAX;
    link->sum += amount;
}

static void places_add(struct history *history, const struct row_keys *keys)
{
    uint32_t second = keys->second;
    if (keys->payer_device) {
        place_use(history, place_hash(PLACE_DEVICE, keys->payer_device), keys->payer, keys->payer_network, second, true);
        link_use(history, link_hash(LINK_DEVICE, keys->payer, keys->payer_device), second);
    }
    if (keys->payer_address) {
        place_use(history, place_hash(PLACE_ADDRESS, keys->payer_address), keys->payer, keys->payer_network, second, true);
        link_use(history, link_hash(LINK_ADDRESS, keys->payer, keys->payer_address), second);
    }
    if (keys->payee_device)
        place_use(history, place_hash(PLACE_DEVICE, keys->payee_device), keys->payee, keys->payee_network, second, true);
    if (keys->payee_address)
        place_use(history, place_hash(PLACE_ADDRESS, keys->payee_address), keys->payee, keys->payee_network, second, true);
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

static void row_add(struct history *history, const struct batch *batch, uint32_t row, const struct row_keys *keys, int64_t delay_us)
{
    struct event event = {.hour = hour_of(keys->second), .amount = amount_kept(batch->facts.amount[row])};
    event.label = row_label(history, batch, row, delay_us);
    if (keys->payer) {
        event.peer = (uint8_t)(keys->payee >> 58);
        party_add(history, keys->payer, SENT, &event, keys);
    }
    if (keys->payee) {
        event.peer = (uint8_t)(keys->payer >> 58);
        party_add(history, keys->payee, RECEIVED, &event, keys);
    }
    if (keys->payer && keys->payee)
        pair_add(history, keys->pair, keys->second, event.amount);
    places_add(history, keys);
    if (event.label == 2 && keys->payer_device)
        place_label(history, place_hash(PLACE_DEVICE, keys->payer_device), keys->second, 1);
    if (event.label == 2 && keys->payee_device)
        place_label(history, place_hash(PLACE_DEVICE, keys->payee_device), keys->second, 1);
    history_sweep(history, 1, IDLE_HOURS, SLOT_NONE);
}

/* --- rows in order -------------------------------------------------------------------------------------------------- */

static void block_clear(float *row)
{
    for (unsigned f = 0; f < FIGURES_PADDED; f++)
        row[f] = -1.0f;
}

/* Rows of the block into their columns, whole cache lines at a time. */
static void block_store(struct figures *out, float block[BLOCK_ROWS][FIGURES_PADDED], uint32_t at, uint32_t row_count)
{
    for (unsigned f = 0; f < FIGURE_COUNT; f++)
        for (uint32_t i = 0; i < row_count; i++)
            out->column[f][at + i] = block[i][f];
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

static uint32_t known_by(int64_t time_us, int64_t delay_us) /* transfers up to this second may have acting labels */
{
    return second_of(time_us > delay_us ? time_us - delay_us : 0);
}

static void row_relate(struct history *history, const struct batch *batch, uint32_t row, int64_t delay_us, bool add, float *out)
{
    const struct row_keys *keys = &history->ahead[row % AHEAD];
    if (out)
        block_clear(out);
    if (batch->facts.invalid[row])
        return;
    if (add)
        clock_advance(history, keys->second);
    if (out)
        row_read(out, history, keys, known_by(batch->facts.time_us[row], delay_us));
    if (add)
        row_add(history, batch, row, keys, delay_us);
}

void history_relate(struct history *history, const struct batch *batch, uint32_t first, uint32_t count, int64_t delay_us, bool add,
                    struct figures *out)
{
    MUST(history->magic == (unsigned)HISTORY_MAGIC && first <= batch->row_count && count <= batch->row_count - first);
    MUST(!out || count <= SLICE_ROWS);
    uint32_t end = first + count;
    delay_us = delay_us < 0 ? 0 : delay_us > HISTORY_DELAY_MAX_US ? HISTORY_DELAY_MAX_US : delay_us;
    for (uint32_t i = first; i < end && i < first + AHEAD_SETS; i++)
        row_ahead(history, batch, first, i, end);
    for (uint32_t row = first; row < end; row++) {
        uint32_t at = row - first;
        row_ahead(history, batch, first, row + AHEAD_SETS, end);
        row_relate(history, batch, row, delay_us, add, out ? history->block[at % BLOCK_ROWS] : NULL);
        if (out && (at % BLOCK_ROWS == BLOCK_ROWS - 1 || row + 1 == end))
            block_store(out, history->block, at / BLOCK_ROWS * BLOCK_ROWS, at % BLOCK_ROWS + 1);
    }
}
