/* What a processor asks before it executes (consolidate) and what it tells behind that (report), of a second batch or of a part of it:
 * planned from what is committed, recorded as one change of the life of the batch. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "pipeline/life.h"
#include "verdict/consolidated.h"
#include "wire/merged.h"

struct line { /* what was told before */
    struct line *next;
    enum row_state state;
    size_t bytes;
    unsigned char rows[];
};

struct telling {
    struct job *job;
    struct job_life *life;
    struct ledger_outbox outbox;
    int64_t released_us;
    struct merged merged;
    struct consolidated_tally tally;
    struct line *first, **last;
    unsigned char *states; /* of the rows of the batch at hand */
    unsigned char *found;  /* of the part: which were met */
    uint32_t found_count, part_count, same_count;
    uint64_t seed;
    enum row_state to;
    enum consolidated verdict;
};

#define REFUSE(telling, fault, ...) fault_set(&(telling)->job->note, fault, ROW_NONE, COLUMN_NONE, __VA_ARGS__)

static bool line_keep(void *context, const struct ledger_told *told)
{
    struct telling *telling = context;
    struct line *line = memory_take(sizeof *line + told->rows_bytes + 1);
    if (!line)
        return REFUSE(telling, FAULT_memory, "no memory for what was told of a second batch"), false;
    *line = (struct line){.state = told->state, .bytes = told->rows_bytes};
    if (told->rows_bytes)
        memcpy(line->rows, told->rows, told->rows_bytes);
    *telling->last = line;
    telling->last = &line->next;
    return true;
}

/* What was told last of each row of this batch. */
static bool states_fill(struct telling *telling, const struct batch *batch)
{
    memset(telling->states, ROW_RELEASED, batch->row_count);
    for (const struct line *line = telling->first; line; line = line->next) {
        struct row_set_reader rows;
        row_set_read(&rows, line->rows, line->bytes);
        while (row_set_next_source(&rows) && rows.sequence != batch->sequence)
            continue;
        while (!rows.broken && rows.sequence == batch->sequence && row_set_next_run(&rows)) {
            if (rows.row_at > batch->row_count)
                rows.broken = true;
            else
                memset(telling->states + rows.first, (int)line->state, rows.count);
        }
        if (rows.broken)
            return REFUSE(telling, FAULT_ledger, "what was told of second batch %.60s is damaged", telling->outbox.derived_id), false;
    }
    return true;
}

/* A check asks of what was released; a report follows a check that passed. The same report again changes nothing. */
static bool may_become(struct telling *telling, enum row_state from, struct text transfer)
{
    enum row_state needed = telling->to == ROW_CONSOLIDATED ? ROW_RELEASED : ROW_CONSOLIDATED;
    if (from == needed || (from == telling->to && telling->to != ROW_CONSOLIDATED))
        return true;
    REFUSE(telling, FAULT_conflict, "transfer %.*s is %s", (int)(transfer.bytes < 40 ? transfer.bytes : 40), transfer.data,
           row_state_names[from]);
    return false;
}

/* Whether it is in the part, and not met before. */
static bool part_takes(struct telling *telling, struct text transfer)
{
    if (!telling->merged.part.is_there)
        return true;
    int64_t place = merged_set_find(&telling->merged.part, hash128(telling->seed, transfer.data, transfer.bytes));
    if (place < 0 || telling->found[place])
        return false;
    telling->found[place] = 1;
    telling->found_count++;
    return true;
}

static bool row_tell(struct telling *telling, const struct batch *batch, uint32_t row)
{
    const struct column *ids = &batch->columns[COLUMN_transfer_id];
    struct text transfer = column_is_valid(ids, row) ? column_text(ids, row) : text_of("");
    enum row_state from = (enum row_state)telling->states[row];
    if (!part_takes(telling, transfer))
        return true;
    telling->part_count++;
    if (!may_become(telling, from, transfer))
        return false;
    if (telling->to == ROW_CONSOLIDATED)
        consolidated_row(&telling->tally, batch, row);
    if (from == telling->to)
        telling->same_count++;
    else
        row_set_add(&telling->life->rows, row);
    return true;
}

static bool rows_tell(void *context, const struct batch *batch, const uint32_t *rows, uint32_t row_count)
{
    struct telling *telling = context;
    memory_give(telling->states);
    telling->states = memory_take((size_t)batch->row_count + 1);
    if (!telling->states)
        return REFUSE(telling, FAULT_memory, "no memory for the states of %u rows", batch->row_count), false;
    if (!states_fill(telling, batch))
        return false;
    row_set_source(&telling->life->rows, batch->sequence);
    for (uint32_t i = 0; i < row_count; i++)
        if (!row_tell(telling, batch, rows[i]))
            return false;
    return true;
}

static enum fault telling_begin(struct telling *telling)
{
    struct job *job = telling->job;
    struct pipeline *pipeline = job->pipeline;
    const struct ledger_ops *ops = pipeline->ledger_ops;
    telling->last = &telling->first;
    telling->seed = ops->secret(pipeline->ledger);
    telling->to = job->request.op == OP_consolidate                                      ? ROW_CONSOLIDATED
                  : text_equal(job->request.state, text_of(row_state_names[ROW_FAILED])) ? ROW_FAILED
                                                                                         : ROW_EXECUTED;
    enum fault fault = wire_merged_read(&telling->merged, &job->request, &job->epoch->config->limits, telling->seed, &job->note);
    if (fault == FAULT_NONE)
        fault = ops->outbox_find(pipeline->ledger, &telling->outbox, &telling->released_us, job->request.tenant, job->request.batch,
                                 &job->note);
    if (fault == FAULT_NONE && telling->outbox.state == OUTBOX_DEAD)
        fault = REFUSE(telling, FAULT_conflict, "its processor refused second batch %.60s", telling->outbox.derived_id);
    if (fault == FAULT_NONE)
        fault = ops->life_find(pipeline->ledger, &telling->life->change.life, telling->outbox.batch_sequence, &job->note);
    if (fault == FAULT_NONE)
        fault = ops->told(pipeline->ledger, telling->outbox.entry, line_keep, telling, &job->note);
    if (fault != FAULT_NONE || job->note.fault != FAULT_NONE)
        return job->note.fault;
    telling->found = memory_take_zeroed((size_t)telling->merged.part.count + 1, 1);
    if (!telling->found)
        return REFUSE(telling, FAULT_memory, "no memory for a part of a second batch");
    return consolidated_begin(&telling->tally, &telling->merged, telling->seed,
                              telling->to == ROW_CONSOLIDATED ? telling->outbox.row_count : 0, &job->note);
}

/* --- the verdict ------------------------------------------------------------------------------------------------------------ */

struct listing {
    struct telling *telling;
    int64_t now_us;
    bool found;
    char last[2];
};

static bool listed_meets(void *context, const struct ledger_listed *entry)
{
    struct listing *listing = context;
    const struct merged_set *parties = listing->telling->tally.parties;
    struct digest value = hash128(listing->telling->seed, entry->value.data, entry->value.bytes);
    bool bars = entry->list != LIST_ALLOW && (entry->until_us == 0 || entry->until_us > listing->now_us);
    bool is_party = entry->kind == LISTED_ACCOUNT
                        ? merged_set_find(&parties[PARTY_PAYER], value) >= 0 || merged_set_find(&parties[PARTY_PAYEE], value) >= 0
                        : merged_set_find(&parties[entry->kind == LISTED_DEVICE ? PARTY_DEVICE : PARTY_ADDRESS], value) >= 0;
    if (!bars || !is_party)
        return true;
    snprintf(listing->telling->tally.why, sizeof listing->telling->tally.why, "%s %.*s is on list %s", listed_names[entry->kind],
             (int)(entry->value.bytes < 24 ? entry->value.bytes : 24), entry->value.data, list_names[entry->list]);
    listing->found = true;
    return false;
}

static enum fault verdict_find(struct telling *telling)
{
    struct job *job = telling->job;
    struct pipeline *pipeline = job->pipeline;
    const struct config_tenant *tenant = &job->epoch->config->tenants[job->tenant_index];
    struct listing listing = {.telling = telling, .now_us = clock_wall_us()};
    const struct ledger_list_query query = {.tenant = job->request.tenant,
                                            .list = -1,
                                            .value = text_of(""),
                                            .after_list = -1,
                                            .after_value = text_of(""),
                                            .rows_max = UINT32_MAX};
    bool agrees = consolidated_end(&telling->tally);
    if (tenant->consolidate_us > 0 && listing.now_us - telling->released_us > tenant->consolidate_us) {
        snprintf(telling->tally.why, sizeof telling->tally.why, "the time for it is over");
        return telling->verdict = CONSOLIDATED_LATE, FAULT_NONE;
    }
    if (!agrees)
        return telling->verdict = CONSOLIDATED_DIFFERS, FAULT_NONE;
    enum fault fault = pipeline->ledger_ops->listed(pipeline->ledger, &query, listed_meets, &listing, &job->note);
    if (fault == FAULT_not_found)
        job->note = (struct fault_note){0}, fault = FAULT_NONE;
    telling->verdict = listing.found ? CONSOLIDATED_LISTED : CONSOLIDATED_AGREES;
    return fault;
}

/* --- what becomes of the batch ---------------------------------------------------------------------------------------------- */

enum life_state told_life(const struct ledger_told_counts *counts)
{
    uint64_t left = counts->released - counts->rows[ROW_RETURNED], told = counts->rows[ROW_EXECUTED] + counts->rows[ROW_FAILED];
    if (left == 0)
        return LIFE_CLOSED;
    return told == left ? LIFE_EXECUTED : counts->rows[ROW_CONSOLIDATED] == left ? LIFE_CONSOLIDATED : LIFE_RELEASED;
}

static enum fault change_make(struct telling *telling)
{
    struct job *job = telling->job;
    struct job_life *life = telling->life;
    struct ledger_life *to = &life->change.life;
    struct ledger_told_counts counts;
    enum fault fault = job->pipeline->ledger_ops->told_counts(job->pipeline->ledger, &counts, to->sequence, &job->note);
    if (fault != FAULT_NONE)
        return fault;
    if (telling->verdict != CONSOLIDATED_AGREES)
        telling->to = ROW_RETURNED;
    row_set_end(&life->rows);
    counts.rows[telling->to] += life->rows.row_count;
    life->told = (struct ledger_told){.entry = telling->outbox.entry,
                                      .state = telling->to,
                                      .rows = life->rows.bytes,
                                      .rows_bytes = life->rows.byte_count,
                                      .row_count = life->rows.row_count};
    life->change.told = &life->told;
    if (telling->to == ROW_RETURNED) {
        int64_t corrections_us = job->epoch->config->tenants[job->tenant_index].corrections_us;
        to->state = LIFE_AWAITING;
        to->due_us = corrections_us > 0 ? clock_wall_us() + corrections_us : 0;
    } else if (to->state != LIFE_AWAITING && to->state != LIFE_OPEN) {
        to->state = told_life(&counts);
    }
    return life->rows.failed ? REFUSE(telling, FAULT_memory, "no memory for the rows of a second batch") : FAULT_NONE;
}

static void tell(const struct telling *telling, char *out, size_t bytes)
{
    const struct job *job = telling->job;
    const char *by = job->credential->name[0] ? job->credential->name : "the tenant";
    if (telling->verdict != CONSOLIDATED_AGREES)
        snprintf(out, bytes, "%s: %s", consolidated_names[telling->verdict].risk_type, telling->tally.why);
    else if (telling->to == ROW_CONSOLIDATED)
        snprintf(out, bytes, "execute %u, by %.40s", telling->part_count, by);
    else
        snprintf(out, bytes, "%u %s, %u of them known, by %.20s%s%.*s", telling->part_count, row_state_names[telling->to],
                 telling->same_count, by, job->request.why.bytes ? ": " : "",
                 (int)(job->request.why.bytes < 30 ? job->request.why.bytes : 30), job->request.why.bytes ? job->request.why.data : "");
}

static void telling_end(struct telling *telling)
{
    for (struct line *line = telling->first, *next; line; line = next) {
        next = line->next;
        memory_give(line);
    }
    memory_give(telling->states);
    memory_give(telling->found);
    consolidated_fini(&telling->tally);
    merged_fini(&telling->merged);
}

enum fault told_plan(struct job_life *life, struct job *job, char *out_text, size_t text_bytes)
{
    struct telling telling = {.job = job, .life = life};
    struct pipeline *pipeline = job->pipeline;
    enum fault fault = telling_begin(&telling);
    life->before = life_state_names[life->change.life.state];
    if (fault == FAULT_NONE)
        fault = pipeline->ledger_ops->outbox_rows(pipeline->ledger, telling.outbox.entry, rows_tell, &telling, &job->note);
    if (fault == FAULT_NONE)
        fault = job->note.fault;
    if (fault == FAULT_NONE && telling.found_count < telling.merged.part.count)
        fault = REFUSE(&telling, FAULT_not_found, "%u transfers of the part are not in %.60s",
                       telling.merged.part.count - telling.found_count, telling.outbox.derived_id);
    if (fault == FAULT_NONE && telling.to == ROW_CONSOLIDATED)
        fault = verdict_find(&telling);
    if (fault == FAULT_NONE)
        fault = change_make(&telling);
    if (fault == FAULT_NONE)
        tell(&telling, out_text, text_bytes);
    telling_end(&telling);
    return fault;
}
