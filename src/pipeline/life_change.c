/* What is asked for about a recorded batch: release and cancel, and what its time brings. One after the other on the bases' thread, each
 * from what is committed to its own commit, so that no two of them stand on the same state. */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "pipeline/life.h"

enum { DUE_PACE_NS = 1000000000, DUE_FAILURES_MAX = 16, TELL_BYTES = 4096 };
#define DUE_TELL_NS 60000000000
static const char due_mark[] = "\x1f"; /* begins ids that no request can have */

/* Nothing leaves by itself for a tenant that is there no more. */
static enum release_policy policy_of(const struct job *job)
{
    return job->line ? job->epoch->config->tenants[job->tenant_index].release : RELEASE_PARTIAL;
}

static enum fault batch_of(struct ledger_batch *out, struct ledger_life *life, struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    enum fault fault = pipeline->ledger_ops->find_batch(pipeline->ledger, out, job->request.tenant, job->request.batch, &job->note);
    if (fault == FAULT_NONE && out->op != OP_screen)
        return fault_set(&job->note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "the batch was not screened: it has no second one");
    if (fault == FAULT_NONE)
        fault = pipeline->ledger_ops->life_find(pipeline->ledger, life, out->sequence, &job->note);
    return fault;
}

static enum fault rows_of(struct job_life *life, struct job *job, uint64_t sequence)
{
    struct batch batch = {0};
    struct pipeline *pipeline = job->pipeline;
    enum fault fault = pipeline->ledger_ops->read(pipeline->ledger, &batch, sequence, &job->note);
    if (fault != FAULT_NONE)
        return fault;
    row_set_source(&life->rows, sequence);
    for (uint32_t row = 0; batch.results.verdict && row < batch.row_count; row++)
        if (batch.results.verdict[row] == VERDICT_PASS)
            row_set_add(&life->rows, row);
    life_released(life, &batch);
    batch_fini(&batch);
    return life->rows.failed ? fault_set(&job->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the rows of a second batch")
                             : FAULT_NONE;
}

/* Nothing waits for a correction any more: where the batch is then says what its processor told. */
static enum fault released_before(struct ledger_life *to, struct job *job)
{
    struct ledger_told_counts counts;
    enum fault fault = job->pipeline->ledger_ops->told_counts(job->pipeline->ledger, &counts, to->sequence, &job->note);
    if (fault == FAULT_NONE)
        to->state = told_life(&counts);
    return fault;
}

/* Rows that did not pass may be corrected still: only where one second batch is all, its release ends that. */
static enum fault release_plan(struct job_life *life, struct job *job, const struct ledger_batch *batch, bool is_due)
{
    struct ledger_life *to = &life->change.life;
    bool has_passes = batch->verdict_counts[VERDICT_PASS] > 0, ends = is_due || policy_of(job) == RELEASE_SETTLED;
    bool releases = to->releases == 0 && has_passes && !(is_due && policy_of(job) == RELEASE_PARTIAL);
    if (to->state == LIFE_CANCELLED || to->state == LIFE_CLOSED)
        return fault_set(&job->note, FAULT_conflict, ROW_NONE, COLUMN_NONE, "the batch is %s", life_state_names[to->state]);
    if (!is_due && !releases)
        return fault_set(&job->note, FAULT_conflict, ROW_NONE, COLUMN_NONE, "nothing waits to be released: %u second batches left",
                         to->releases);
    enum fault fault = releases ? rows_of(life, job, batch->sequence) : FAULT_NONE;
    if (ends) {
        to->state = life->change.released ? LIFE_RELEASED : has_passes ? LIFE_OPEN : LIFE_CLOSED;
        if (to->releases > 0 && !life->change.released && fault == FAULT_NONE)
            fault = released_before(to, job);
        to->due_us = 0;
        life->change.expires = true;
    } else if (to->state == LIFE_OPEN) {
        to->state = LIFE_RELEASED;
    }
    return fault;
}

static enum fault cancel_plan(struct ledger_life *to, struct job *job)
{
    if (to->releases > 0)
        return fault_set(&job->note, FAULT_conflict, ROW_NONE, COLUMN_NONE, "the batch was released and cannot be cancelled");
    if (to->state == LIFE_CANCELLED)
        return fault_set(&job->note, FAULT_conflict, ROW_NONE, COLUMN_NONE, "the batch is cancelled");
    to->state = LIFE_CANCELLED;
    to->due_us = 0;
    return FAULT_NONE;
}

/* What the reply and the log say of it, now and whenever it is asked for again. */
static enum fault note_take(struct check_note **out, struct job *job)
{
    struct batch *batch = &job->batch;
    if (!arena_pool_take(&job->pipeline->arenas, &batch->arena, TELL_BYTES))
        return fault_set(&job->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a change of a batch");
    enum fault fault = batch_take_checks(batch, 1, &job->note);
    if (fault == FAULT_NONE) {
        *out = &batch->notes[batch->note_count++];
        **out = (struct check_note){.row = ROW_NONE, .column = COLUMN_NONE};
    }
    return fault;
}

static enum fault change_tell(struct job *job, const struct job_life *life, const char *name, bool is_due)
{
    const char *by = is_due ? "the time for corrections" : job->credential->name[0] ? job->credential->name : "the tenant";
    char where[56];
    struct check_note *note;
    enum fault fault = note_take(&note, job);
    if (fault != FAULT_NONE)
        return fault;
    snprintf(where, sizeof where, "%.40s/r%u", name, life->change.life.releases);
    if (life->change.released)
        snprintf(note->text, sizeof note->text, "%u leave as %s by %.20s", life->change.released_rows, where, by);
    else
        snprintf(note->text, sizeof note->text, "%s by %.24s", life_state_names[life->change.life.state], by);
    return FAULT_NONE;
}

/* Of all that the request says; for release and cancel that is the batch. */
static struct digest digest_of(const struct job *job)
{
    const struct request *request = &job->request;
    const struct text more[] = {request->part, request->fields, request->state, request->why};
    uint64_t seed = job->pipeline->ledger_ops->secret(job->pipeline->ledger) + (uint64_t)request->op;
    struct digest digest = hash128(seed, request->batch.data, request->batch.bytes);
    for (unsigned i = 0; op_is_told(request->op) && i < sizeof more / sizeof *more; i++)
        digest = hash128(hash64_pair(digest.low, digest.high, more[i].bytes), more[i].data, more[i].bytes);
    return digest;
}

static enum fault job_enter(struct job *job, bool *out_over)
{
    struct pipeline *pipeline = job->pipeline;
    struct batch *batch = &job->batch;
    struct ledger_request known;
    batch->magic = (unsigned)BATCH_MAGIC;
    batch->op = job->request.op;
    batch->tenant = job->request.tenant;
    batch->id = job->request.id;
    batch->name = job->request.batch;
    batch->tenant_index = job->tenant_index;
    batch->key_seed = job->epoch->key_seed[job->tenant_index];
    batch->digest = digest_of(job);
    if (registry_enter(job, out_over) != FAULT_NONE || *out_over)
        return job->note.fault;
    enum fault fault = pipeline->ledger_ops->find_request(pipeline->ledger, &known, batch->tenant, batch->id, &job->note);
    if (fault == FAULT_not_found)
        return job->note = (struct fault_note){0}, FAULT_NONE;
    if (fault == FAULT_NONE && (known.op != batch->op || !digest_equal(known.digest, batch->digest)))
        return fault_set(&job->note, FAULT_conflict, ROW_NONE, COLUMN_NONE, "id was used before with other content");
    if (fault == FAULT_NONE)
        *out_over = true, registry_leave(job), ask_stored(job, known.sequence); /* recorded: the next one finds it there */
    return fault;
}

/* Told once a minute at the most: it is tried again every second. */
static void due_fail_tell(const struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    int64_t now_ns = clock_steady_ns();
    if (pipeline->due_told_ns != 0 && now_ns - pipeline->due_told_ns < DUE_TELL_NS)
        return;
    pipeline->due_told_ns = now_ns;
    log_line(LOG_ERROR, "pipeline", "batch %.*s: its time for corrections is over, but that cannot be recorded: %s",
             (int)job->request.batch.bytes, job->request.batch.data, job->note.text);
}

static enum fault told_make(struct job_life *life, struct job *job)
{
    struct check_note *note = NULL;
    enum fault fault = note_take(&note, job);
    return fault == FAULT_NONE ? told_plan(life, job, note->text, sizeof note->text) : fault;
}

static enum fault life_make(struct job_life *life, struct job *job, bool is_due)
{
    struct ledger_batch found;
    if (op_is_told(job->request.op))
        return told_make(life, job);
    enum fault fault = batch_of(&found, &life->change.life, job);
    if (fault == FAULT_NONE)
        life->before = life_state_names[life->change.life.state];
    if (fault == FAULT_NONE)
        fault = job->request.op == OP_release ? release_plan(life, job, &found, is_due) : cancel_plan(&life->change.life, job);
    return fault == FAULT_NONE ? change_tell(job, life, found.name, is_due) : fault;
}

void life_run(struct job *job)
{
    struct base_change change = {.record.op = job->request.op};
    bool over = false, is_due = job->request.id.data[0] == due_mark[0];
    enum fault fault = job_enter(job, &over);
    if (fault == FAULT_NONE && over)
        return;
    struct job_life *life = fault == FAULT_NONE ? memory_take_zeroed(1, sizeof *life) : NULL;
    job->life = life;
    if (fault == FAULT_NONE && !life)
        fault = fault_set(&job->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a change of a batch");
    if (fault == FAULT_NONE)
        fault = life_make(life, job, is_due);
    if (fault != FAULT_NONE && is_due)
        due_fail_tell(job);
    if (fault == FAULT_NONE)
        base_job_run(job, &change);
    else
        job_fail_note(job);
}

/* --- time ---------------------------------------------------------------------------------------------------------------- */

struct due { /* what the job's texts lie in */
    struct ledger_batch batch;
    char id[40];
};

static void due_delivered(void *context, struct wire_buffer *reply)
{
    memory_give(context);
    wire_buffer_fini(reply);
}

static bool tenant_take(struct job *job, const char *name)
{
    const struct config *config = job->epoch->config;
    for (uint32_t i = 0; i < config->tenant_count; i++)
        if (strcmp(config->tenants[i].name, name) == 0) {
            job->tenant_index = i;
            job->line = job->epoch->lines[i];
            return true;
        }
    return false;
}

static void due_run(struct pipeline *pipeline, struct due *due)
{
    struct job *job = memory_take_zeroed(1, sizeof *job);
    if (!job) {
        memory_give(due);
        return;
    }
    job->magic = (unsigned)JOB_MAGIC;
    job->pipeline = pipeline;
    job->received_ns = clock_steady_ns();
    job->delivery = (struct delivery){.context = due, .deliver = due_delivered};
    pthread_mutex_init(&job->arena_lock, NULL);
    job->epoch = epoch_hold(pipeline);
    tenant_take(job, due->batch.tenant);
    snprintf(due->id, sizeof due->id, "%sdue %" PRIu64, due_mark, due->batch.sequence);
    job->request =
        (struct request){.op = OP_release, .tenant = text_of(due->batch.tenant), .id = text_of(due->id), .batch = text_of(due->batch.name)};
    life_run(job);
}

int64_t life_pace_ns(void)
{
    return clock_steady_ns() + DUE_PACE_NS;
}

/* What cannot be changed, since its rows cannot be read say, is passed by and looked at again when all others were. */
void life_due(struct pipeline *pipeline)
{
    for (uint32_t failures = 0; failures < DUE_FAILURES_MAX;) {
        struct fault_note note = {0};
        pthread_mutex_lock(&pipeline->line_lock);
        bool draining = pipeline->draining;
        pthread_mutex_unlock(&pipeline->line_lock);
        if (draining || !atomic_load(&pipeline->ready) || !atomic_load(&pipeline->records))
            return;
        struct due *due = memory_take_zeroed(1, sizeof *due);
        uint64_t before = pipeline->ledger_ops->last_sequence(pipeline->ledger);
        if (!due ||
            pipeline->ledger_ops->life_due(pipeline->ledger, &due->batch, &pipeline->due_cursor, clock_wall_us(), &note) != FAULT_NONE) {
            pipeline->due_cursor = (struct ledger_due){0};
            memory_give(due);
            return;
        }
        due_run(pipeline, due);
        failures += pipeline->ledger_ops->last_sequence(pipeline->ledger) == before; /* not recorded: later again */
    }
}
