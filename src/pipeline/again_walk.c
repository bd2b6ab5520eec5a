/* Two walks at the most, each of all frames from the first that is kept: what is decoded is looked through, and only what touches
 * the row is added. */
#include "pipeline/again_walk.h"

#include <string.h>

#include "base/clock.h"
#include "base/memory.h"

enum { ACCOUNTS_MAX = 1 << 16 };

const struct history_limits walk_limits = {.accounts_max = ACCOUNTS_MAX,
                                           .events_max = 16 * ACCOUNTS_MAX,
                                           .busy_max = ACCOUNTS_MAX / 64,
                                           .links_max = 4 * ACCOUNTS_MAX,
                                           .places_max = ACCOUNTS_MAX};

static uint64_t key_at(const uint64_t *keys, uint32_t row)
{
    return keys ? keys[row] : 0;
}

static bool is_one_of(const struct walking *walking, uint64_t place)
{
    const uint64_t *places = walking->places;
    return place && (place == places[0] || place == places[1] || place == places[2] || place == places[3]);
}

static bool is_party(const struct walking *walking, uint64_t account)
{
    return account && (account == walking->parties[0].key || account == walking->parties[1].key);
}

static bool row_touches(const struct walking *walking, const struct batch_facts *facts, uint32_t row)
{
    return is_party(walking, facts->payer[row]) || is_party(walking, facts->payee[row]) ||
           is_one_of(walking, key_at(facts->payer_device, row)) || is_one_of(walking, key_at(facts->payer_address, row)) ||
           is_one_of(walking, key_at(facts->payee_device, row)) || is_one_of(walking, key_at(facts->payee_address, row));
}

static void clock_tell(struct walking *walking)
{
    if (walking->clock_us <= walking->told_us)
        return;
    walking->told_us = walking->tick_us = walking->clock_us;
    walking->pipeline->history_ops->relate(walking->history, &walking->tick, 0, 1, 0, true, NULL);
}

/* Device and address last used, as history keeps them. */
static void party_follow(struct walking *walking, uint64_t account, int64_t time_us, uint64_t device, uint64_t address)
{
    uint32_t second = (uint32_t)(time_us / 1000000 > 1 ? time_us / 1000000 : 1);
    for (unsigned i = 0; i < 2; i++) {
        struct walk_party *party = &walking->parties[i];
        if (!account || party->key != account)
            continue;
        if (second >= party->active) {
            party->device = device ? device : party->device;
            party->address = address ? address : party->address;
            party->active = second;
        }
    }
}

static void transfers_follow(struct walking *walking, const struct batch *batch, uint32_t row_count)
{
    const struct batch_facts *facts = &batch->facts;
    for (uint32_t row = 0; row < row_count; row++) {
        if (facts->invalid[row])
            continue;
        party_follow(walking, facts->payer[row], facts->time_us[row], key_at(facts->payer_device, row), key_at(facts->payer_address, row));
        party_follow(walking, facts->payee[row], facts->time_us[row], key_at(facts->payee_device, row), key_at(facts->payee_address, row));
    }
}

static void observations_follow(struct walking *walking, const struct batch *batch)
{
    const struct batch_facts *facts = &batch->facts;
    bool is_use = batch->observe_kind == OBSERVE_USE, ties = is_use || batch->observe_kind == OBSERVE_REGISTRATION;
    for (uint32_t row = 0; row < batch->row_count; row++)
        if (!facts->invalid[row])
            party_follow(walking, facts->payer[row], facts->time_us[row], ties ? key_at(facts->payer_device, row) : 0,
                         is_use ? key_at(facts->payer_address, row) : 0);
}

static void transfers_add(struct walking *walking, const struct batch *batch, uint32_t row_count)
{
    const struct batch_facts *facts = &batch->facts;
    for (uint32_t row = 0; row < row_count; row++) {
        if (facts->invalid[row])
            continue;
        if (row_touches(walking, facts, row)) {
            clock_tell(walking);
            walking->pipeline->history_ops->relate(walking->history, batch, row, 1, batch->feedback_delay_us, true, NULL);
        }
        walking->clock_us = facts->time_us[row] > walking->clock_us ? facts->time_us[row] : walking->clock_us;
    }
}

static void observations_add(struct walking *walking, struct batch *batch)
{
    const struct batch_facts *facts = &batch->facts;
    uint32_t count = 0;
    for (uint32_t row = 0; row < batch->row_count; row++) {
        bool touches =
            !facts->invalid[row] && (is_party(walking, facts->payer[row]) || is_one_of(walking, key_at(facts->payer_device, row)) ||
                                     is_one_of(walking, key_at(facts->payer_address, row)));
        facts->invalid[row] = !touches;
        count += touches;
    }
    if (count == 0)
        return;
    clock_tell(walking);
    walking->pipeline->history_ops->observe(walking->history, batch);
}

static void labels_add(struct walking *walking, struct batch *batch)
{
    const struct batch_facts *facts = &batch->facts;
    uint32_t count = 0;
    for (uint32_t row = 0; row < batch->row_count; row++) {
        facts->invalid[row] |= !row_touches(walking, facts, row);
        count += !facts->invalid[row];
    }
    if (count == 0)
        return;
    clock_tell(walking);
    history_add_labels(walking->pipeline->history_ops, walking->history, batch);
}

/* Whether nothing but times was refused in the batch. */
static bool only_times_failed(const struct batch *batch)
{
    uint32_t others = 0;
    for (uint16_t c = 0; c < BATCH_COLUMNS_MAX; c++)
        for (unsigned rule = 0; rule < RULE_COUNT; rule++)
            others += c == COLUMN_time && rule == RULE_TIME ? 0 : batch->rule_counts[c][rule];
    return others == 0;
}

/* A row that was refused for its time alone stood in the batch when its rows were looked at together: it passed the check, and so
 * it has an amount, unless it is about no money. */
static enum fault rows_together(struct arena *own, struct batch *batch, struct fault_note *note)
{
    struct batch_facts *facts = &batch->facts;
    struct arena arena = batch->arena;
    bool all = only_times_failed(batch);
    uint8_t *invalid = memory_take(batch->row_count);
    if (!invalid || !arena_init(own, feature_in_batch_bytes(batch->row_count))) {
        memory_give(invalid);
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a batch of %u rows", batch->row_count);
    }
    memcpy(invalid, facts->invalid, batch->row_count);
    for (uint32_t row = 0; row < batch->row_count; row++)
        facts->invalid[row] = facts->invalid[row] && !all && facts->amount[row] == 0;
    batch->arena = *own;
    enum fault fault = feature_in_batch(batch, note);
    *own = batch->arena;
    batch->arena = arena;
    memcpy(facts->invalid, invalid, batch->row_count);
    memory_give(invalid);
    return fault;
}

static enum fault row_read(struct walking *walking, struct batch *batch, struct fault_note *note)
{
    struct again *again = walking->again;
    struct arena own = {0};
    clock_tell(walking);
    if (batch->facts.time_us[walking->row] > walking->clock_us) /* as when the row itself is added */
        walking->clock_us = batch->facts.time_us[walking->row], clock_tell(walking);
    walking->pipeline->history_ops->relate(walking->history, batch, walking->row, 1, batch->feedback_delay_us, false, &again->figures);
    enum fault fault = again->base->needs_batch_scope ? rows_together(&own, batch, note) : FAULT_NONE;
    if (fault == FAULT_NONE)
        feature_compute(&again->features, &again->base->features, batch, walking->row, 1, &again->figures, again->kernels);
    arena_fini(&own);
    return fault;
}

static bool is_over(struct walking *walking, struct fault_note *note)
{
    struct pipeline *pipeline = walking->pipeline;
    pthread_mutex_lock(&pipeline->line_lock);
    bool draining = pipeline->draining;
    pthread_mutex_unlock(&pipeline->line_lock);
    if (draining)
        fault_set(note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "the server is draining");
    else if (clock_steady_ns() > walking->until_ns)
        fault_set(note, FAULT_deadline, ROW_NONE, COLUMN_NONE, "batches before it could not be walked in time");
    else
        return false;
    return true;
}

static enum fault walk_batch(void *context, struct batch *batch, struct fault_note *note)
{
    struct walking *walking = context;
    bool is_last = batch->sequence == walking->sequence;
    if (is_over(walking, note))
        return note->fault;
    uint32_t row_count = is_last ? walking->row : batch->row_count;
    if (batch->op == OP_screen || batch->op == OP_import)
        walking->history ? transfers_add(walking, batch, row_count) : transfers_follow(walking, batch, row_count);
    else if (batch->op == OP_observe)
        walking->history ? observations_add(walking, batch) : observations_follow(walking, batch);
    else if (walking->history && batch->op == OP_label)
        labels_add(walking, batch);
    if (!is_last)
        return FAULT_NONE;
    walking->is_there = true;
    enum fault fault = walking->history ? row_read(walking, batch, note) : FAULT_NONE;
    return fault == FAULT_NONE ? fault_set(note, FAULT_conflict, ROW_NONE, COLUMN_NONE, "far enough") : fault;
}

static enum fault walk(struct walking *walking, struct fault_note *note)
{
    struct pipeline *pipeline = walking->pipeline;
    struct fault_note why = {0};
    walking->is_there = false;
    enum fault fault =
        pipeline->ledger_ops->replay(pipeline->ledger, pipeline->ledger_ops->kept_from(pipeline->ledger), walk_batch, walking, &why);
    if (walking->is_there && fault == FAULT_conflict)
        return FAULT_NONE;
    return fault == FAULT_NONE ? fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "its batch is not in the log")
                               : fault_set(note, fault, ROW_NONE, COLUMN_NONE, "%s", why.text);
}

/* What the row leaves out is what its accounts had used last. */
static enum fault places_find(struct walking *walking, struct fault_note *note)
{
    const uint64_t *places = walking->places;
    if (places[0] && places[1] && places[2] && places[3])
        return FAULT_NONE;
    enum fault fault = walk(walking, note);
    for (unsigned i = 0; i < PLACES_OF_ROW; i++) {
        const struct walk_party *party = &walking->parties[i / 2];
        if (!walking->places[i])
            walking->places[i] = i % 2 ? party->address : party->device;
    }
    return fault;
}

/* A row of nobody's: all keys are 0. */
static void tick_make(struct walking *walking)
{
    struct batch_facts *facts = &walking->tick.facts;
    walking->tick.op = OP_screen, walking->tick.row_count = 1;
    facts->payer = &walking->nobody, facts->payee = &walking->nobody;
    facts->amount = &walking->nothing, facts->time_us = &walking->tick_us, facts->invalid = &walking->is_refused;
}

void walk_begin(struct walking *out, struct pipeline *pipeline, struct again *again, uint64_t sequence, uint32_t row, int64_t until_ns)
{
    *out = (struct walking){.pipeline = pipeline, .again = again, .sequence = sequence, .row = row, .until_ns = until_ns};
    tick_make(out);
}

void walk_end(struct walking *walking)
{
    if (walking->history)
        walking->pipeline->history_ops->close(&walking->history);
}

void walk_look(struct walking *walking, const struct batch *batch)
{
    const struct batch_facts *facts = &batch->facts;
    uint32_t row = walking->row;
    walking->parties[0].key = facts->payer[row], walking->parties[1].key = facts->payee[row];
    walking->places[0] = key_at(facts->payer_device, row), walking->places[1] = key_at(facts->payer_address, row);
    walking->places[2] = key_at(facts->payee_device, row), walking->places[3] = key_at(facts->payee_address, row);
}

enum fault walk_whole(struct walking *walking, struct fault_note *note)
{
    enum fault fault = places_find(walking, note);
    if (fault == FAULT_NONE)
        fault = walking->pipeline->history_ops->open(&walking->history, &walk_limits, note);
    return fault == FAULT_NONE ? walk(walking, note) : fault;
}

bool walk_held_all(const struct walking *walking)
{
    struct history_counts counts;
    walking->pipeline->history_ops->count(walking->history, &counts);
    return counts.evicted + counts.dropped == 0;
}
