/* The state lies in one block, taken at open: head, tables, pools. Unused parts of it stay zero and are never touched. */
#define _DEFAULT_SOURCE /* madvise */
#include "history/state.h"

#include <sys/mman.h>

#include "base/memory.h"
#include "base/must.h"
#include "history/sides.h"

_Static_assert(sizeof(struct account) == 64 && sizeof(struct place) == 64 && sizeof(struct link) == 24, "sizes that docs/history.md tells");

const char *const figure_names[FIGURE_COUNT] = {
#define FIGURE(name, text) [FIGURE_##name] = #name,
#include "history/figures.tbl"
#undef FIGURE
};

enum { STATE_ALIGN = 1 << 21, PART_ALIGN = 64, WAITING_SHARE = 16 };
#define RECORDS_MAX (1ull << 31)

/* --- where everything lies ------------------------------------------------------------------------------------------ */

static void *part_take(unsigned char *state, size_t *used, size_t count, size_t bytes)
{
    void *part = state ? state + *used : NULL;
    *used += (count * bytes + PART_ALIGN - 1) / PART_ALIGN * PART_ALIGN;
    return part;
}

static void table_lay(struct table *table, unsigned char *state, size_t *used, uint64_t records_max, size_t record_bytes,
                      struct table_counts *counts)
{
    *table = (struct table){.set_count = table_set_count(records_max), .record_bytes = record_bytes, .counts = counts};
    table->sets = part_take(state, used, table->set_count, table_set_bytes(record_bytes));
}

/* Sets every pointer into state (NULL: only counts) and returns the bytes of state. */
static size_t state_lay(struct history *history, unsigned char *state)
{
    const struct history_limits *limits = &history->limits;
    size_t used = 0;
    struct history_head *head = history->head = part_take(state, &used, 1, sizeof *history->head);
    history->due_max = (uint32_t)(limits->events_max / WAITING_SHARE);
    history->ring_units = (uint32_t)((limits->events_max / RING_UNIT_EVENTS + RING_CHUNK_UNITS - 1) / RING_CHUNK_UNITS * RING_CHUNK_UNITS);
    history->busy_max = (uint32_t)limits->busy_max;
    table_lay(&history->accounts, state, &used, limits->accounts_max, sizeof(struct account), head ? &head->accounts : NULL);
    table_lay(&history->links, state, &used, limits->links_max, sizeof(struct link), head ? &head->links : NULL);
    table_lay(&history->places, state, &used, limits->places_max, sizeof(struct place), head ? &head->places : NULL);
    table_lay(&history->waiting, state, &used, history->due_max, sizeof(struct waiting), head ? &head->waiting : NULL);
    history->ring_events = part_take(state, &used, history->ring_units, RING_UNIT_EVENTS * sizeof *history->ring_events);
    history->ring_free_heads = part_take(state, &used, history->ring_units, sizeof *history->ring_free_heads);
    history->busies = part_take(state, &used, history->busy_max, sizeof *history->busies);
    table_lay(&history->seen, state, &used, limits->transfers_max, sizeof(struct seen), head ? &head->seen : NULL);
    history->listed_slots = lists_slots(limits->listed_max);
    history->listed = part_take(state, &used, history->listed_slots, sizeof *history->listed);
    history->dues = part_take(state, &used, history->due_max, sizeof *history->dues);
    return used;
}

size_t history_bytes(const struct history_limits *limits)
{
    struct history history = {.limits = *limits};
    return sizeof history + STATE_ALIGN + SNAPSHOT_ROOM_BYTES + state_lay(&history, NULL);
}

static enum fault limits_check(const struct history_limits *limits, struct fault_note *note)
{
    const struct {
        const char *name;
        uint64_t value;
    } all[] = {{"accounts", limits->accounts_max}, {"events", limits->events_max}, {"busy", limits->busy_max},
               {"links", limits->links_max},       {"places", limits->places_max}, {"transfers", limits->transfers_max},
               {"listed", limits->listed_max}};
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].value > RECORDS_MAX)
            return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "history: %s_max is %llu, at most %llu", all[i].name,
                             (unsigned long long)all[i].value, RECORDS_MAX);
    return FAULT_NONE;
}

static void history_close(struct history **history_p)
{
    struct history *history = *history_p;
    if (!history)
        return;
    MUST(history->magic == (unsigned)HISTORY_MAGIC);
    memory_give(history->memory);
    memory_give(history);
    *history_p = NULL;
}

static enum fault history_open(struct history **out, const struct history_limits *limits, struct fault_note *note)
{
    *out = NULL;
    enum fault fault = limits_check(limits, note);
    if (fault != FAULT_NONE)
        return fault;
    struct history *history = memory_take_zeroed(1, sizeof *history);
    if (!history)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for history");
    history->magic = (unsigned)HISTORY_MAGIC;
    history->limits = *limits;
    history->state_bytes = state_lay(history, NULL);
    history->memory = memory_take_zeroed(1, history->state_bytes + STATE_ALIGN);
    if (!history->memory) {
        fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a history of %zu bytes", history->state_bytes);
        history_close(&history);
        return fault;
    }
    history->state = (unsigned char *)(((uintptr_t)history->memory + STATE_ALIGN - 1) / STATE_ALIGN * STATE_ALIGN);
    madvise(history->state, history->state_bytes, MADV_HUGEPAGE); /* advice: large pages save half of a lookup's misses */
    state_lay(history, history->state);
    *out = history;
    return FAULT_NONE;
}

/* --- accounts ------------------------------------------------------------------------------------------------------- */

static void account_forget(struct history *history, struct account *account)
{
    side_release(history, &account->sides[SENT]);
    side_release(history, &account->sides[RECEIVED]);
}

struct account *account_make(struct history *history, struct lookup *lookup, uint32_t second)
{
    if (account_find(history, lookup) != SLOT_NONE)
        return lookup_record(lookup, sizeof(struct account));
    lookup_set(lookup, &history->accounts, table_room(&history->accounts, lookup->hash), sizeof(struct account));
    if (table_is_used(&history->accounts, lookup->slot))
        account_forget(history, account_at(history, lookup->slot));
    struct account *account = table_claim(&history->accounts, lookup->slot, lookup->hash, true);
    account->since = account->active = second;
    return account;
}

void account_seen(struct history *history, const struct lookup *lookup, uint32_t second)
{
    struct account *account = lookup_record(lookup, sizeof(struct account));
    table_touch(&history->accounts, lookup, second);
    account->since = second < account->since ? second : account->since;
    account->active = second > account->active ? second : account->active;
}

void history_sweep(struct history *history, uint32_t slot_count, uint32_t idle_hours, uint32_t except)
{
    struct history_head *head = history->head;
    uint32_t slots = (uint32_t)(history->accounts.set_count * SET_SLOTS), hour = hour_of(head->clock);
    for (uint32_t i = 0; i < slot_count; i++) {
        struct account *account = account_at(history, head->sweep);
        for (unsigned which = SENT; which <= RECEIVED; which++)
            if (account->sides[which].form != SIDE_EMPTY && head->sweep != except && hour_of(account->last[which]) + idle_hours < hour)
                side_release(history, &account->sides[which]);
        head->sweep = head->sweep + 1 < slots ? head->sweep + 1 : 0;
        __builtin_prefetch(account_at(history, head->sweep));
    }
}

/* --- labels --------------------------------------------------------------------------------------------------------- */

static void label_side(struct history *history, uint64_t account, uint64_t peer, int which, struct event event, uint8_t before)
{
    struct lookup lookup = lookup_of(account);
    uint32_t slot = account_find(history, &lookup);
    event.peer = (uint8_t)(peer >> 58);
    if (slot != SLOT_NONE)
        side_label(history, slot, which, &event, before);
}

static void label_device(struct history *history, uint64_t device, uint32_t second, int change)
{
    struct lookup lookup = lookup_of(place_hash(PLACE_DEVICE, device));
    if (device && change)
        place_label(history, &lookup, second, change);
}

void label_apply(struct history *history, const struct history_label *label, uint8_t before)
{
    uint32_t second = second_of(label->time_us);
    uint64_t payer = hash_mix(label->payer), payee = hash_mix(label->payee);
    const struct event event = {.hour = hour_of(second), .label = label->after, .amount = amount_kept(label->amount)};
    if (before == label->after)
        return;
    label_side(history, payer, payee, SENT, event, before);
    label_side(history, payee, payer, RECEIVED, event, before);
    label_device(history, label->payer_device, second, (label->after == 2) - (before == 2));
    label_device(history, label->payee_device, second, (label->after == 2) - (before == 2));
}

static void history_label(struct history *history, const struct history_label *label)
{
    MUST(history->magic == (unsigned)HISTORY_MAGIC);
    label_apply(history, label, waiting_take(history, label) ? 0 : label->before);
}

/* --- the room's ops ------------------------------------------------------------------------------------------------- */

static void history_count(const struct history *history, struct history_counts *out)
{
    const struct history_head *head = history->head;
    *out = (struct history_counts){
        .accounts = head->accounts.used,
        .busy = head->busy_used,
        .events = head->events,
        .links = head->links.used,
        .places = head->places.used,
        .transfers = head->seen.used,
        .listed = head->listed_used,
        .evicted = head->accounts.evicted + head->links.evicted + head->places.evicted + head->seen.evicted,
        .bytes = history_bytes(&history->limits),
        .dropped = head->dropped,
        .account_bytes = head->accounts.used * (sizeof(struct account) + sizeof(struct set) / SET_SLOTS) * 5 / 4 +
                         head->ring_units_used * (RING_UNIT_EVENTS * sizeof(uint64_t) + 1) + head->busy_used * sizeof(struct busy),
    };
}

const struct history_ops history_memory = {
    .name = "memory",
    .open = history_open,
    .close = history_close,
    .relate = history_relate,
    .observe = history_observe,
    .list = lists_edit,
    .label = history_label,
    .state_digest = history_state_digest,
    .save = history_save,
    .load = history_load,
    .count = history_count,
};
