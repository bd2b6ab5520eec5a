/* What a submitter tells beside transfers: when an account was opened and last changed, whom it knows, what it registered
 * and used. Nothing here moves a window. */
#include "history/state.h"

#include "base/must.h"

static int64_t time_cell(const struct batch *batch, enum column_id column, uint32_t row) /* 0: not told */
{
    const struct column *cells = &batch->columns[column];
    return cells->form == FORM_I64 && column_is_valid(cells, row) ? column_i64(cells, row) : 0;
}

static uint64_t key_cell(const uint64_t *keys, uint32_t row)
{
    return keys ? keys[row] : 0;
}

static void attribute_observe(const struct batch *batch, uint32_t row, struct account *account, uint32_t second)
{
    int64_t opened_us = time_cell(batch, COLUMN_opened_time, row), changed_us = time_cell(batch, COLUMN_changed_time, row);
    uint32_t opened = opened_us ? second_of(opened_us) : second, changed = changed_us ? second_of(changed_us) : 0;
    account->since = opened < account->since ? opened : account->since;
    changed = changed < second ? changed : second;
    account->changed = changed > account->changed ? changed : account->changed;
}

static void contact_observe(struct history *history, uint64_t account, uint64_t contact_key, uint32_t second)
{
    struct lookup pair = lookup_of(link_hash(LINK_PAIR, account, hash_mix(contact_key)));
    if (contact_key)
        link_meet(history, &pair, second);
}

static void device_observe(struct history *history, uint64_t account, uint64_t device, uint32_t network, uint32_t second, bool is_use)
{
    struct lookup place = lookup_of(place_hash(PLACE_DEVICE, device)), use = lookup_of(link_hash(LINK_DEVICE, account, device));
    struct place *used = place_use(history, &place, account, network_bit(network), second, is_use);
    if (is_use)
        place_network(used, network, second);
    if (is_use)
        link_use(history, &use, second);
    else
        link_meet(history, &use, second);
}

static void address_observe(struct history *history, uint64_t account, uint64_t address, uint32_t network, uint32_t second)
{
    struct lookup place = lookup_of(place_hash(PLACE_ADDRESS, address)), use = lookup_of(link_hash(LINK_ADDRESS, account, address));
    place_use(history, &place, account, network_bit(network), second, true);
    link_use(history, &use, second);
}

static void row_observe(struct history *history, const struct batch *batch, uint32_t row)
{
    const struct batch_facts *facts = &batch->facts;
    struct lookup lookup = lookup_of(hash_mix(facts->payer[row]));
    uint64_t device = key_cell(facts->payer_device, row), address = key_cell(facts->payer_address, row);
    uint32_t second = second_of(facts->time_us[row]), network = facts->payer_network ? facts->payer_network[row] : 0;
    bool is_use = batch->observe_kind == OBSERVE_USE;
    struct account *account = account_make(history, &lookup, second);
    bool is_newest = second >= account->active;
    account_seen(history, &lookup, second);
    if (is_newest && device && (is_use || batch->observe_kind == OBSERVE_REGISTRATION))
        account->device = device;
    if (is_newest && address && is_use)
        account->address = address;
    if (is_newest && network && is_use)
        account->network = network;
    if (batch->observe_kind == OBSERVE_ATTRIBUTE)
        attribute_observe(batch, row, account, second);
    else if (batch->observe_kind == OBSERVE_CONTACT)
        contact_observe(history, lookup.hash, facts->payee[row], second);
    else if (device)
        device_observe(history, lookup.hash, device, network, second, is_use);
    if (is_use && address)
        address_observe(history, lookup.hash, address, network, second);
}

void history_observe(struct history *history, const struct batch *batch)
{
    MUST(history->magic == (unsigned)HISTORY_MAGIC);
    for (uint32_t row = 0; row < batch->row_count; row++)
        if (!batch->facts.invalid[row] && batch->facts.payer[row])
            row_observe(history, batch, row);
}
