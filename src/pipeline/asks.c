/* Questions. hello, health and stats are answered where they arrive, under any load; what reads the ledger runs on one thread
 * of its own, so that no reader stands in the way of a batch. A tenant sees only its own. */
#include "pipeline/internal.h"
#include "pipeline/alarms.h"
#include "pipeline/signed_on.h"
#include "pipeline/associates.h"
#include "pipeline/outward.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "wire/pack.h"

enum { QUERY_ROWS_DEFAULT = 100, QUERY_ROWS_MAX = 10000, QUERY_BYTES_MAX = 4 << 20 };

static void pack_head(struct wire_buffer *out, struct text id, uint32_t further_pairs)
{
    wire_pack_map(out, 3 + further_pairs);
    wire_pack_text(out, "v");
    wire_pack_i64(out, 1);
    wire_pack_text(out, "id");
    wire_pack_str(out, id);
    wire_pack_text(out, "status");
    wire_pack_text(out, "ok");
}

static void pack_pair_i64(struct wire_buffer *out, const char *key, int64_t value)
{
    wire_pack_text(out, key);
    wire_pack_i64(out, value);
}

static void pack_pair_text(struct wire_buffer *out, const char *key, const char *value)
{
    wire_pack_text(out, key);
    wire_pack_text(out, value);
}

static void pack_pair_str(struct wire_buffer *out, const char *key, struct text value)
{
    wire_pack_text(out, key);
    wire_pack_str(out, value);
}

void ask_deliver(struct job *job)
{
    if (job->note.fault == FAULT_NONE && job->reply.failed)
        fault_set(&job->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the reply");
    if (job->note.fault != FAULT_NONE)
        job_fail_note(job);
    else
        job_answer(job, &job->reply);
}

/* --- at once --------------------------------------------------------------------------------------------------------- */

static void pack_limits(struct wire_buffer *out, const struct job *job)
{
    const struct batch_limits *limits = &job->epoch->config->limits;
    wire_pack_text(out, "limits");
    wire_pack_map(out, 9);
    pack_pair_i64(out, "message_bytes", (int64_t)limits->message_bytes_max);
    pack_pair_i64(out, "rows", limits->rows_max);
    pack_pair_i64(out, "columns", limits->columns_max);
    pack_pair_i64(out, "text_bytes", limits->text_bytes_max);
    pack_pair_i64(out, "id_bytes", limits->id_bytes_max);
    pack_pair_i64(out, "dict_values", limits->dict_values_max);
    pack_pair_i64(out, "notes", limits->notes_max);
    pack_pair_i64(out, "reply_bytes", (int64_t)job->pipeline->reply_bytes_max);
    pack_pair_i64(out, "in_flight", line_share(job->pipeline, job->epoch));
}

static void answer_hello(struct job *job)
{
    struct wire_buffer *out = &job->reply;
    static const char *const type_names[] = {"text", "i64", "i64"};
    pack_head(out, job->request.id, 7);
    pack_pair_text(out, "server", "sluice");
    pack_pair_text(out, "version", SLUICE_VERSION);
    pack_limits(out, job);
    wire_pack_text(out, "ops");
    wire_pack_array(out, OP_COUNT);
    for (unsigned i = 0; i < OP_COUNT; i++)
        wire_pack_text(out, op_names[i]);
    wire_pack_text(out, "columns");
    wire_pack_map(out, COLUMN_COUNT);
    for (uint16_t i = 0; i < COLUMN_COUNT; i++)
        pack_pair_text(out, column_name(i), type_names[column_type_of(i)]);
    pack_pair_text(out, "base", job->epoch->names.base_name);
    pack_pair_text(out, "kernel", job->epoch->names.kernel);
}

static void gauges_read(struct pipeline *pipeline, const struct epoch *epoch, struct metrics_gauges *out, struct drift_report *drift)
{
    drift_tell(drift, epoch);
    pthread_mutex_lock(&pipeline->line_lock);
    *out = (struct metrics_gauges){.in_flight = pipeline->in_flight,
                                   .waiting = pipeline->waiting,
                                   .reserved_bytes = pipeline->reserved_bytes,
                                   .budget_bytes = pipeline->budget_bytes,
                                   .total_bytes = pipeline->total_bytes,
                                   .history = pipeline->history_counts};
    pthread_mutex_unlock(&pipeline->line_lock);
    out->idle_bytes = arena_pool_bytes(&pipeline->arenas);
    out->ledger_bytes = pipeline->ledger_ops->disk_bytes(pipeline->ledger);
    out->last_sequence = pipeline->ledger_ops->last_sequence(pipeline->ledger);
    out->epoch = epoch->number;
    out->ready = atomic_load(&pipeline->ready) && atomic_load(&pipeline->records);
    out->brakes = brakes_acting(pipeline);
    out->drift_rows = drift->rows;
    out->drift_level = drift->level;
    out->drift_warnings = drift->over[DRIFT_WARN];
    out->drift_alarms = drift->over[DRIFT_ALARM];
    struct sign_on_health on;
    signed_on_tell(pipeline, &on);
    out->sign_on_keys = on.keys, out->sign_on_accepted = on.accepted, out->sign_on_refused = on.refused;
    out->base = epoch->names.base_name;
    out->kernel = epoch->names.kernel;
}

static void answer_stats(struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    struct metrics_gauges gauges;
    struct drift_report drift;
    char digest[33];
    gauges_read(pipeline, job->epoch, &gauges, &drift);
    pthread_mutex_lock(&pipeline->line_lock);
    digest_to_hex(digest, pipeline->history_digest);
    pthread_mutex_unlock(&pipeline->line_lock);
    pack_head(&job->reply, job->request.id, 2);
    pack_pair_text(&job->reply, "history_digest_at_start", digest);
    wire_pack_text(&job->reply, "stats");
    metrics_pack(&pipeline->metrics, &gauges, &job->reply);
}

static void answer_health(struct job *job)
{
    char why[160] = "";
    bool ready = pipeline_ready(job->pipeline, why, sizeof why);
    pack_head(&job->reply, job->request.id, 4);
    pack_pair_i64(&job->reply, "brakes", brakes_acting(job->pipeline));
    pack_pair_text(&job->reply, "drift", drift_level_names[drift_level_told(job->epoch)]);
    wire_pack_text(&job->reply, "ready");
    wire_pack_bool(&job->reply, ready);
    pack_pair_text(&job->reply, "why", why);
}

void ask_inline(struct job *job)
{
    if (job->request.op == OP_hello)
        answer_hello(job);
    else if (job->request.op == OP_stats)
        answer_stats(job);
    else
        answer_health(job);
    ask_deliver(job);
}

/* --- from the ledger ---------------------------------------------------------------------------------------------- */

struct flying {
    bool any, takes_name; /* of that name; one of them with transfers */
};

/* From admission on, wherever the batch is. */
static struct flying in_flight(struct pipeline *pipeline, const struct job *asking)
{
    struct flying found = {0};
    pthread_mutex_lock(&pipeline->line_lock);
    for (const struct job *job = pipeline->flying; job; job = job->flying_next)
        if (op_changes_state(job->request.op) && text_equal(job->request.tenant, asking->request.tenant) &&
            text_equal(job->request.batch, asking->request.batch)) {
            found.any = true;
            found.takes_name |= op_takes_name(job->request.op);
        }
    pthread_mutex_unlock(&pipeline->line_lock);
    return found;
}

static void answer_status(struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    struct wire_buffer *out = &job->reply;
    struct ledger_batch found;
    struct flying flying = in_flight(pipeline, job); /* before the ledger is asked: what commits in between is found there */
    enum fault fault = pipeline->ledger_ops->find_batch(pipeline->ledger, &found, job->request.tenant, job->request.batch, &job->note);
    if ((fault == FAULT_not_found && flying.any) || (fault == FAULT_NONE && !op_takes_name(found.op) && flying.takes_name)) {
        job->note = (struct fault_note){0};
        pack_head(out, job->request.id, 2);
        pack_pair_str(out, "batch", job->request.batch);
        pack_pair_text(out, "state", "in_flight");
        return;
    }
    if (fault != FAULT_NONE)
        return;
    struct ledger_life life;
    struct fault_note none = {0};
    bool lives = pipeline->ledger_ops->life_find(pipeline->ledger, &life, found.sequence, &none) == FAULT_NONE;
    pack_head(out, job->request.id, lives ? 10 : 7);
    pack_pair_str(out, "batch", job->request.batch);
    pack_pair_text(out, "state", "recorded");
    pack_pair_text(out, "op", op_names[found.op]);
    pack_pair_i64(out, "sequence", (int64_t)found.sequence);
    pack_pair_i64(out, "rows", found.row_count);
    pack_pair_i64(out, "time", found.now_us);
    wire_pack_text(out, "counts");
    wire_pack_map(out, VERDICT_COUNT);
    for (unsigned i = 0; i < VERDICT_COUNT; i++)
        pack_pair_i64(out, verdict_names[i], found.verdict_counts[i]);
    if (!lives)
        return;
    pack_pair_text(out, "life", life_state_names[life.state]);
    pack_pair_i64(out, "releases", life.releases);
    pack_pair_i64(out, "corrections_until", life.due_us);
}

static bool line_take(void *context, const struct ledger_batch *line)
{
    *(struct ledger_batch *)context = *line;
    return false;
}

/* Names of the epoch that decided this very batch: its name alone may be another's as well. */
enum fault stored_names_of(struct stored_names **out, struct pipeline *pipeline, const struct batch *batch, struct fault_note *note)
{
    char tenant[129];
    struct ledger_batch found = {0};
    text_copy(tenant, sizeof tenant, batch->tenant);
    const struct ledger_query query = {.tenant = tenant, .verdict = -1, .after_sequence = batch->sequence + 1, .rows_max = 1};
    enum fault fault = pipeline->ledger_ops->batches(pipeline->ledger, &query, line_take, &found, note);
    if (fault == FAULT_NONE && found.sequence != batch->sequence)
        fault = fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "batch %" PRIu64 " is not in the index", batch->sequence);
    return fault == FAULT_NONE ? epoch_names_stored(out, pipeline, found.config_digest, note) : fault;
}

static size_t ids_bytes(const struct batch *batch)
{
    const struct column *ids = &batch->columns[COLUMN_transfer_id];
    size_t bytes = 0;
    for (uint32_t row = 0; row < batch->row_count; row++)
        bytes += column_is_valid(ids, row) ? column_text(ids, row).bytes : 0;
    return bytes;
}

static void answer_verdicts(struct job *job, const struct batch *stored)
{
    struct pipeline *pipeline = job->pipeline;
    struct stored_names *stored_names = NULL;
    if (stored_names_of(&stored_names, pipeline, stored, &job->note) == FAULT_NONE) {
        struct reply_names *names = &stored_names->names;
        names->with_margins = job->rights & RIGHT_EXPLAIN;
        names->language = job_language(job);
        if (stored->reply_in_rows && bounds_reply_of(names, stored->row_count, ids_bytes(stored), true) > pipeline->reply_bytes_max)
            fault_set(&job->note, FAULT_limit, ROW_NONE, COLUMN_NONE,
                      "a reply in rows to %u rows may have more than %zu bytes: ask for form columns", stored->row_count,
                      pipeline->reply_bytes_max);
        else
            wire_reply_verdicts(&job->reply, stored, names, &job->note);
    }
    stored_names_give(&stored_names);
}

/* The reply of a recorded batch again, made from the ledger with the names of the epoch that decided it. */
static void answer_stored(struct job *job, uint64_t sequence)
{
    struct pipeline *pipeline = job->pipeline;
    struct batch stored = {0};
    if (pipeline->ledger_ops->read(pipeline->ledger, &stored, sequence, &job->note) != FAULT_NONE)
        return;
    stored.reply_in_rows = job->request.reply_in_rows;
    if (stored.op == OP_screen)
        answer_verdicts(job, &stored);
    else
        wire_reply_done(&job->reply, &stored, 0, &job->note);
    batch_fini(&stored);
    atomic_fetch_add_explicit(&pipeline->metrics.twins, 1, memory_order_relaxed);
}

static void answer_result(struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    struct ledger_batch found;
    if (pipeline->ledger_ops->find_batch(pipeline->ledger, &found, job->request.tenant, job->request.batch, &job->note) == FAULT_NONE)
        answer_stored(job, found.sequence);
}

/* --- query ------------------------------------------------------------------------------------------------------------ */

struct query_page {
    struct wire_buffer rows;
    struct job *job;
    struct stored_names *names; /* of the epoch of the batch looked at last */
    uint64_t names_sequence, last_sequence;
    uint32_t row_count, row_max, last_row;
    bool failed, full;
};

static bool page_names(struct query_page *page, const struct batch *batch)
{
    if (page->names && page->names_sequence == batch->sequence)
        return true;
    stored_names_give(&page->names);
    page->names_sequence = batch->sequence;
    return stored_names_of(&page->names, page->job->pipeline, batch, &page->job->note) == FAULT_NONE;
}

static void pack_cell(struct wire_buffer *out, const struct batch *batch, enum column_id id, uint32_t row)
{
    const struct column *column = &batch->columns[id];
    wire_pack_text(out, column_name((uint16_t)id));
    if (!column_is_valid(column, row))
        wire_pack_nil(out);
    else if (column->form == FORM_I64)
        wire_pack_i64(out, column_i64(column, row));
    else
        wire_pack_str(out, column_text(column, row));
}

static const char *name_at(const char *const *names, uint32_t count, uint32_t code)
{
    return code < count ? names[code] : "";
}

static void pack_result(struct wire_buffer *out, const struct results *results, uint32_t row, const struct reply_names *names)
{
    const char *measure = name_at(names->countermeasures, names->countermeasure_count, results->countermeasure[row]);
    pack_pair_text(out, "verdict", verdict_names[results->verdict[row]]);
    pack_pair_text(out, "level", level_names_of_risk[results->level[row]]);
    pack_pair_text(out, "cause", cause_names[results->cause[row]]);
    pack_pair_text(out, "scene", name_at(names->scenes, names->scene_count, results->scene[row]));
    pack_pair_text(out, "runner_up", name_at(names->scenes, names->scene_count, results->runner_up[row]));
    pack_pair_text(out, "risk_type", name_at(names->risk_types, names->risk_type_count, results->risk_type[row]));
    pack_pair_str(out, "countermeasure", measure_name(measure));
    const float *numbers[] = {results->match, results->runner_match, results->risk, results->anomaly_own, results->anomaly_linked};
    static const char *const number_names[] = {"match", "runner_match", "risk", "anomaly_own", "anomaly_linked"};
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        wire_pack_text(out, number_names[i]);
        wire_pack_f64(out, (double)numbers[i][row]);
    }
}

/* All else that is recorded of a row: the rest of the request, and what a profile made of it. */
static void pack_columns(struct wire_buffer *out, const struct batch *batch, uint32_t row)
{
    uint32_t count = 0;
    double real;
    for (uint16_t i = COLUMN_currency + 1; i < COLUMN_COUNT + batch->other_count; i++)
        count += column_is_valid(i < COLUMN_COUNT ? &batch->columns[i] : &batch->others[i - COLUMN_COUNT], row);
    wire_pack_text(out, "columns");
    wire_pack_map(out, count);
    for (uint16_t i = COLUMN_currency + 1; i < COLUMN_COUNT + batch->other_count; i++) {
        const struct column *column = i < COLUMN_COUNT ? &batch->columns[i] : &batch->others[i - COLUMN_COUNT];
        if (!column_is_valid(column, row))
            continue;
        wire_pack_str(out, batch_column_name(batch, i));
        if (column->form == FORM_F64)
            wire_pack_f64(out, (memcpy(&real, column->data + 8 * (size_t)row, sizeof real), real));
        else if (column->form == FORM_I64)
            wire_pack_i64(out, column_i64(column, row));
        else
            wire_pack_str(out, column_text(column, row));
    }
}

/* As its last verdict says, until something became of it. */
static bool pack_state(struct query_page *page, const struct batch *batch, uint32_t row)
{
    const struct pipeline *pipeline = page->job->pipeline;
    enum row_state state;
    if (pipeline->ledger_ops->row_state(pipeline->ledger, &state, batch->sequence, row, &page->job->note) != FAULT_NONE)
        return false;
    pack_pair_text(&page->rows, "state", state == ROW_SCREENED ? verdict_names[batch->results.verdict[row]] : row_state_names[state]);
    return true;
}

static bool query_row(void *context, const struct ledger_row *found)
{
    static const enum column_id cells[] = {COLUMN_transfer_id, COLUMN_payer_id, COLUMN_payee_id, COLUMN_amount, COLUMN_currency};
    enum { CELLS = sizeof cells / sizeof *cells, RESULT_PAIRS = 13 };
    struct query_page *page = context;
    const struct batch *batch = found->batch;
    bool with_result = batch->op == OP_screen;
    if (with_result && !page_names(page, batch)) {
        page->failed = true;
        return false;
    }
    struct wire_buffer *out = &page->rows;
    wire_pack_map(out, 6 + CELLS + (with_result ? RESULT_PAIRS + (batch->results.would != NULL) + (batch->results.rule != NULL) : 0));
    pack_pair_str(out, "batch", batch->name);
    pack_pair_text(out, "op", op_names[batch->op]);
    pack_pair_i64(out, "sequence", (int64_t)batch->sequence);
    pack_pair_i64(out, "row", found->row);
    pack_pair_i64(out, "time", batch->facts.time_us[found->row]);
    for (unsigned i = 0; i < CELLS; i++)
        pack_cell(out, batch, cells[i], found->row);
    pack_columns(out, batch, found->row);
    if (with_result && batch->results.would)
        pack_pair_text(out, "would", verdict_names[batch->results.would[found->row]]);
    const struct reply_names *names = with_result ? &page->names->names : NULL;
    if (with_result && batch->results.rule)
        pack_pair_text(out, "rule", name_at(names->rules, names->rule_count, batch->results.rule[found->row]));
    if (with_result) {
        page->failed = !pack_state(page, batch, found->row);
        pack_result(out, &batch->results, found->row, names);
    }
    page->row_count++;
    page->last_sequence = batch->sequence;
    page->last_row = found->row;
    page->full = page->row_count == page->row_max || out->bytes >= QUERY_BYTES_MAX; /* a cell may be as long as its message was */
    return !out->failed && !page->failed && !page->full;
}

static int verdict_wanted(struct text name)
{
    for (int i = 0; i < VERDICT_COUNT; i++)
        if (text_equal(name, text_of(verdict_names[i])))
            return i;
    return -1;
}

/* A verdict stands for a row that nothing became of yet. */
static enum fault states_read(struct ledger_query *out, const struct request *request, struct fault_note *note)
{
    int verdict = verdict_wanted(request->state);
    for (int i = 0; i < LEVEL_COUNT; i++)
        if (text_equal(request->level, text_of(level_names_of_risk[i])))
            out->level = 1 + i;
    for (int i = ROW_SCREENED + 1; i < ROW_STATE_COUNT; i++)
        if (text_equal(request->state, text_of(row_state_names[i])))
            out->state = 1 + i;
    if (request->level.bytes && out->level == 0)
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "level is none, low, medium, high or critical");
    if (request->state.bytes && out->state == 0 && verdict < 0)
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "state is a verdict, released, expired, cancelled or what follows");
    if (verdict >= 0 && out->verdict >= 0 && verdict != out->verdict)
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "state is another verdict than verdict");
    if (verdict >= 0)
        out->state = 1 + ROW_SCREENED, out->verdict = verdict;
    return FAULT_NONE;
}

static enum fault query_read(struct ledger_query *out, const struct job *job, char names[5][256], struct fault_note *note)
{
    const struct request *request = &job->request;
    struct text batch = request->batch.data == request->id.data ? (struct text){0} : request->batch; /* absent: stands for the id */
    const struct text scene = request->scene.bytes ? request->scene : request->best_scene;
    const struct text texts[5] = {request->tenant, batch, request->transfer, request->account, scene};
    for (unsigned i = 0; i < 5; i++)
        text_copy(names[i], 256, texts[i]);
    *out = (struct ledger_query){.tenant = names[0],
                                 .verdict = verdict_wanted(request->verdict),
                                 .batch = names[1][0] ? names[1] : NULL,
                                 .transfer = names[2][0] ? names[2] : NULL,
                                 .account = names[3][0] ? names[3] : NULL,
                                 .scene = names[4][0] ? names[4] : NULL,
                                 .scene_decides = request->scene.bytes > 0,
                                 .from_us = request->from_us > 0 ? request->from_us : 0,
                                 .to_us = request->to_us > 0 ? request->to_us : 0};
    if (request->verdict.bytes && out->verdict < 0)
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "verdict is pass, hold, reject or invalid");
    if (states_read(out, request, note) != FAULT_NONE)
        return note->fault;
    if (request->scene.bytes && request->best_scene.bytes)
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "scene or best_scene, not both");
    if (request->rows_max < 0 || request->rows_max > QUERY_ROWS_MAX)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "rows_max is 1 to %d", QUERY_ROWS_MAX);
    out->rows_max = request->rows_max ? (uint32_t)request->rows_max : QUERY_ROWS_DEFAULT;
    char cursor[64], *end = cursor;
    text_copy(cursor, sizeof cursor, request->cursor);
    if (cursor[0]) {
        out->after_sequence = strtoull(cursor, &end, 10);
        out->after_row = *end == ':' ? (uint32_t)strtoul(end + 1, &end, 10) : 0;
        if (*end || out->after_sequence == 0)
            return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "cursor is not one that this server gave");
    }
    return FAULT_NONE;
}

static void answer_query(struct job *job)
{
    struct query_page page = {.job = job};
    struct ledger_query query;
    char names[5][256], cursor[48] = "";
    if (query_read(&query, job, names, &job->note) != FAULT_NONE)
        return;
    page.row_max = query.rows_max;
    if (job->pipeline->ledger_ops->query(job->pipeline->ledger, &query, query_row, &page, &job->note) == FAULT_NONE && !page.failed) {
        if (page.full)
            snprintf(cursor, sizeof cursor, "%" PRIu64 ":%" PRIu32, page.last_sequence, page.last_row);
        pack_head(&job->reply, job->request.id, 2);
        pack_pair_text(&job->reply, "cursor", cursor);
        wire_pack_text(&job->reply, "transfers");
        wire_pack_array(&job->reply, page.row_count);
        buffer_append(&job->reply, page.rows.data, page.rows.bytes);
        job->reply.failed |= page.rows.failed;
    }
    stored_names_give(&page.names);
    wire_buffer_fini(&page.rows);
}

enum fault ask_question(struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    if (job->request.op == OP_explain)
        return ask_explain(job);
    if (atomic_fetch_add(&pipeline->questions, 1) < QUESTIONS_MAX && queue_try_push(&pipeline->ask_queue, job))
        return FAULT_NONE;
    atomic_fetch_sub(&pipeline->questions, 1);
    return fault_set(&job->note, FAULT_busy, ROW_NONE, COLUMN_NONE, "too many questions wait");
}

void ask_stored(struct job *job, uint64_t sequence)
{
    job->stored_sequence = sequence;
    MUST(queue_try_push(&job->pipeline->ask_queue, job)); /* it has a place for each */
}

/* A fault says of itself that nothing was recorded: here it must say more. */
static void answer_repeat(struct job *job)
{
    char text[sizeof job->note.text];
    answer_stored(job, job->stored_sequence);
    if (job->note.fault == FAULT_NONE)
        return;
    snprintf(text, sizeof text, "%s", job->note.text);
    fault_set(&job->note, job->note.fault, ROW_NONE, COLUMN_NONE, "recorded before, but its reply cannot be given: %.100s", text);
}

static void ask_answer(struct job *job)
{
    if (job->stored_sequence) {
        answer_repeat(job);
        ask_deliver(job);
        return;
    }
    atomic_fetch_sub(&job->pipeline->questions, 1);
    if (job_is_late(job))
        fault_set(&job->note, FAULT_deadline, ROW_NONE, COLUMN_NONE, "deadline passed before the ledger was asked");
    else if (job->request.op == OP_status)
        answer_status(job);
    else if (job->request.op == OP_result)
        answer_result(job);
    else if (job->request.op == OP_base_list)
        answer_bases(job);
    else if (job->request.op == OP_list_list)
        answer_lists(job);
    else if (job->request.op == OP_case_list || job->request.op == OP_case_show)
        answer_cases(job);
    else if (op_is_of_connect(job->request.op))
        answer_connect(job);
    else if (job->request.op == OP_base_drift)
        answer_drift(job);
    else if (job->request.op == OP_base_compare)
        challenger_tell(job, true);
    else
        answer_query(job);
    ask_deliver(job);
}

void ask_run(void *argument)
{
    struct pipeline *pipeline = argument;
    struct job *job;
    while ((job = queue_pop(&pipeline->ask_queue)))
        ask_answer(job);
}

enum fault pipeline_metrics(struct pipeline *pipeline, struct wire_buffer *out)
{
    struct metrics_gauges gauges;
    struct drift_report drift;
    struct epoch *epoch = epoch_hold(pipeline);
    gauges_read(pipeline, epoch, &gauges, &drift);
    metrics_prometheus(&pipeline->metrics, &gauges, out);
    drift_prometheus(&drift, epoch->base, out);
    outward_prometheus(pipeline, out);
    alarms_prometheus(pipeline->alarms, out);
    associates_prometheus(pipeline->associates, out);
    epoch_release(&epoch);
    return out->failed ? FAULT_memory : FAULT_NONE;
}
