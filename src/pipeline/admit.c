/* Admission and leaving: every accepted request gets exactly one answer, and gives back all that it held. The lines of the
 * tenants are bounded: by requests in flight, by memory reserved, and by the time that a request may wait. */
#include "pipeline/internal.h"
#include "pipeline/signed_on.h"
#include "pipeline/life.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/memory.h"
#include "base/must.h"
#include "base/secret.h"

/* When a request that is refused now has a chance: behind those that wait, each taking as long as the last ones did. */
static uint32_t retry_after_ms(struct pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->line_lock);
    int64_t wait = pipeline->request_ns / 1000000 * (pipeline->waiting + 1) / pipeline->worker_count;
    pthread_mutex_unlock(&pipeline->line_lock);
    return wait < 5 ? 5 : wait > 5000 ? 5000 : (uint32_t)wait;
}

bool job_is_late(const struct job *job)
{
    return job->deadline_ns && clock_steady_ns() >= job->deadline_ns;
}

/* The place is free before the reply is out: who has it may send the next. The last one in flight ends a drain. */
static void line_leave(struct job *job, int64_t took_ns)
{
    struct pipeline *pipeline = job->pipeline;
    if (!job->in_flight_counted)
        return;
    pthread_mutex_lock(&pipeline->line_lock);
    pipeline->in_flight--;
    job->line->in_flight--;
    if (job->note.fault == FAULT_NONE)
        pipeline->request_ns += (took_ns - pipeline->request_ns) / 8;
    if (pipeline->in_flight == 0)
        pthread_cond_broadcast(&pipeline->idle);
    pthread_mutex_unlock(&pipeline->line_lock);
}

static void line_release_memory(struct job *job)
{
    if (!job->in_flight_counted)
        return;
    pthread_mutex_lock(&job->pipeline->line_lock);
    job->pipeline->reserved_bytes -= job->reserved_bytes;
    pthread_mutex_unlock(&job->pipeline->line_lock);
}

/* Repeats of an id that was in flight: the stored reply when the first was recorded, its fault when it was not. */
static void twins_answer(struct job *twins, uint64_t sequence, const struct fault_note *note)
{
    while (twins) {
        struct job *twin = twins;
        twins = twin->next;
        twin->next = NULL;
        if (note->fault == FAULT_NONE) {
            ask_stored(twin, sequence);
        } else {
            twin->note = *note;
            job_fail_note(twin);
        }
    }
}

/* Before the message is the caller's again: whoever looks at what is in flight reads names in it. */
static void flying_leave(struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    if (!job->in_flight_counted)
        return;
    pthread_mutex_lock(&pipeline->line_lock);
    *(job->flying_before ? &job->flying_before->flying_next : &pipeline->flying) = job->flying_next;
    if (job->flying_next)
        job->flying_next->flying_before = job->flying_before;
    pthread_mutex_unlock(&pipeline->line_lock);
}

static void flying_enter(struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    job->flying_next = pipeline->flying;
    if (job->flying_next)
        job->flying_next->flying_before = job;
    pipeline->flying = job;
    job->in_flight_counted = true;
}

/* Rows and verdicts are those of work done: an answer given again adds none. */
static void job_count(const struct job *job, size_t reply_bytes, int64_t took_ns)
{
    struct metrics *metrics = &job->pipeline->metrics;
    enum op op = job->request.op;
    histogram_add(&metrics->request[op], took_ns);
    atomic_fetch_add_explicit(&metrics->bytes_out, reply_bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&metrics->faults[job->note.fault], 1, memory_order_relaxed);
    if (job->note.fault != FAULT_NONE || job->stored_sequence)
        return;
    atomic_fetch_add_explicit(&metrics->rows[op], job->batch.row_count, memory_order_relaxed);
    for (unsigned i = 0; i < VERDICT_COUNT && op == OP_screen; i++)
        atomic_fetch_add_explicit(&metrics->verdicts[i], job->verdict_counts[i], memory_order_relaxed);
    atomic_fetch_add_explicit(&metrics->monitored_held, job->monitored_held, memory_order_relaxed);
    atomic_fetch_add_explicit(&metrics->abnormal, job->abnormal, memory_order_relaxed);
}

/* What follows a reply: all that the job held is given back. */
static void step_follow_up(struct job *job)
{
    FAILPOINT(step_follow_up);
    arena_pool_give(&job->pipeline->arenas, &job->batch.arena);
    batch_fini(&job->batch);
    frame_give(&job->frame);
    wire_buffer_fini(&job->reply);
    line_release_memory(job);
    if (job->change)
        base_change_over(job->change, job->pipeline);
    life_give(&job->life);
    outbox_fini(&job->outbox);
    pthread_mutex_destroy(&job->arena_lock);
    epoch_release(&job->epoch);
    memory_give(job);
}

void job_answer(struct job *job, struct wire_buffer *reply)
{
    struct pipeline *pipeline = job->pipeline;
    struct fault_note note = job->note;
    uint64_t sequence = job->stored_sequence ? job->stored_sequence : job->batch.sequence;
    int64_t took_ns = clock_steady_ns() - job->received_ns;
    bool is_batch = job->in_flight_counted;
    struct job *refused = order_leave(job);
    registry_leave(job);
    labels_leave(job);
    flying_leave(job);
    line_leave(job, took_ns);
    struct job *twins = job->twins;
    job_count(job, reply->bytes, took_ns);
    struct wire_buffer out = *reply;
    *reply = (struct wire_buffer){0};
    struct step_watch watch = watch_begin();
    job->delivery.deliver(job->delivery.context, &out); /* the message is the caller's again: no view into it is read past here */
    if (is_batch)
        watch_end(&pipeline->metrics, STEP_reply, watch);
    watch = watch_begin();
    step_follow_up(job);
    if (is_batch)
        watch_end(&pipeline->metrics, STEP_follow_up, watch);
    twins_answer(twins, sequence, &note);
    jobs_fail(refused);
}

void job_fail_note(struct job *job)
{
    struct wire_buffer reply = {0};
    if (job->note.fault == FAULT_busy && job->note.retry_after_ms == 0)
        job->note.retry_after_ms = retry_after_ms(job->pipeline);
    wire_reply_fault(&reply, job->request.id, &job->note);
    job_answer(job, &reply);
}

void job_fail(struct job *job, enum fault fault, const char *format, ...)
{
    char text[sizeof job->note.text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fault_set(&job->note, fault, ROW_NONE, COLUMN_NONE, "%s", text);
    job_fail_note(job);
}

/* --- ids in flight ---------------------------------------------------------------------------------------------- */

static bool same_request(const struct job *a, const struct job *b)
{
    return text_equal(a->batch.tenant, b->batch.tenant) && text_equal(a->batch.id, b->batch.id);
}

static bool takes_same_name(const struct job *a, const struct job *b)
{
    return op_takes_name(a->batch.op) && op_takes_name(b->batch.op) && text_equal(a->batch.tenant, b->batch.tenant) &&
           text_equal(a->batch.name, b->batch.name);
}

enum fault registry_enter(struct job *job, bool *out_is_twin)
{
    struct pipeline *pipeline = job->pipeline;
    enum fault fault = FAULT_NONE;
    struct job *refused = NULL;
    *out_is_twin = false;
    pthread_mutex_lock(&pipeline->registry_lock);
    struct job *first = NULL, *namesake = NULL;
    for (uint32_t i = 0; i < pipeline->registry_count && !first; i++) {
        first = same_request(pipeline->registry[i], job) ? pipeline->registry[i] : NULL;
        namesake = takes_same_name(pipeline->registry[i], job) ? pipeline->registry[i] : namesake;
    }
    if (first && !digest_equal(first->batch.digest, job->batch.digest)) {
        fault = fault_set(&job->note, FAULT_conflict, ROW_NONE, COLUMN_NONE, "id is in flight with other content");
    } else if (first) {
        refused = order_leave(job);
        job->next = first->twins;
        first->twins = job;
        *out_is_twin = true;
    } else if (namesake) {
        fault = fault_set(&job->note, FAULT_conflict, ROW_NONE, COLUMN_NONE, "a batch of that name is in flight under another id");
    } else {
        MUST(pipeline->registry_count < pipeline->in_flight_max + 1); /* and a change of the bases */
        pipeline->registry[pipeline->registry_count++] = job;
        job->registered = true;
    }
    pthread_mutex_unlock(&pipeline->registry_lock);
    jobs_fail(refused);
    return fault;
}

void registry_leave(struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    if (!job->registered)
        return;
    pthread_mutex_lock(&pipeline->registry_lock);
    for (uint32_t i = 0; i < pipeline->registry_count; i++)
        if (pipeline->registry[i] == job) {
            pipeline->registry[i] = pipeline->registry[--pipeline->registry_count];
            break;
        }
    job->registered = false;
    pthread_mutex_unlock(&pipeline->registry_lock);
}

/* --- lines ------------------------------------------------------------------------------------------------------ */

enum { BATCH_COSTS_ROWS = 100, TURN_SCALE = 1000 }; /* what a batch costs beside its rows; weights are 1 to 1000 */

/* The job behind before (NULL: the first) leaves its line. */
static struct job *line_take(struct pipeline *pipeline, struct tenant_line *line, struct job *before)
{
    struct job **place = before ? &before->next : &line->first, *job = *place;
    *place = job->next;
    if (line->last == job)
        line->last = before;
    job->next = NULL;
    line->waiting--;
    pipeline->waiting--;
    return job;
}

/* Every line has a turn: what it was served so far, by rows over weight. The least is next; a line that was empty joins at
 * the turn that is being served, so that waiting for nothing earns nothing. */
struct job *line_pick(struct pipeline *pipeline)
{
    struct tenant_line *next = NULL;
    for (uint32_t i = 0; pipeline->waiting > 0 && i < pipeline->line_count; i++) {
        struct tenant_line *line = &pipeline->lines[i];
        if (!line->first)
            continue;
        line->turn = line->turn < pipeline->turn ? pipeline->turn : line->turn;
        if (!next || line->turn < next->turn)
            next = line;
    }
    if (!next)
        return NULL;
    pipeline->turn = next->turn;
    next->turn += ((uint64_t)next->first->request.row_count + BATCH_COSTS_ROWS) * TURN_SCALE / next->weight;
    struct job *job = line_take(pipeline, next, NULL);
    order_enter(job);
    return job;
}

static bool wait_is_over(const struct pipeline *pipeline, const struct job *job, int64_t now_ns)
{
    return (job->deadline_ns && now_ns >= job->deadline_ns) || now_ns - job->received_ns >= pipeline->queue_wait_ns_max;
}

/* Those of one line whose wait is over, in front of the others. */
static struct job *line_sweep(struct pipeline *pipeline, struct tenant_line *line, int64_t now_ns, struct job *over)
{
    for (struct job *before = NULL, *job = line->first; job; job = before ? before->next : line->first) {
        if (!wait_is_over(pipeline, job, now_ns)) {
            before = job;
            continue;
        }
        line_take(pipeline, line, before);
        job->next = over;
        over = job;
    }
    return over;
}

void line_expire(struct pipeline *pipeline)
{
    int64_t now_ns = clock_steady_ns();
    struct job *over = NULL;
    pthread_mutex_lock(&pipeline->line_lock);
    for (uint32_t i = 0; i < pipeline->line_count; i++)
        over = line_sweep(pipeline, &pipeline->lines[i], now_ns, over);
    pthread_mutex_unlock(&pipeline->line_lock);
    while (over) {
        struct job *job = over;
        over = job->next;
        job->next = NULL;
        if (job->deadline_ns && now_ns >= job->deadline_ns)
            job_fail(job, FAULT_deadline, "deadline passed while waiting for a worker");
        else
            job_fail(job, FAULT_busy, "waited %lld ms for a worker", (long long)((now_ns - job->received_ns) / 1000000));
    }
}

/* One tenant never takes the last quarter of the places while others exist. */
uint32_t line_share(const struct pipeline *pipeline, const struct epoch *epoch)
{
    return epoch->config->tenant_count > 1 ? pipeline->in_flight_max - pipeline->in_flight_max / 4 : pipeline->in_flight_max;
}

/* Who may score without being recorded can learn how to pass: so many rows a minute, saved up for one minute at the most. */
static enum fault score_refuses(struct pipeline *pipeline, struct job *job)
{
    const int64_t minute_ns = 60000000000;
    uint32_t rows = job->request.row_count, rows_max = job->epoch->config->tenants[job->tenant_index].score_rows_per_minute;
    struct tenant_line *line = job->line;
    if (rows_max == 0)
        return FAULT_NONE;
    if (rows > rows_max)
        return fault_set(&job->note, FAULT_limit, ROW_NONE, COLUMN_NONE, "%u rows to score, this tenant may score %u a minute", rows,
                         rows_max);
    int64_t now_ns = clock_steady_ns(), paid_ns = line->score_paid_ns > now_ns ? line->score_paid_ns : now_ns;
    paid_ns += minute_ns * rows / rows_max;
    if (paid_ns - now_ns > minute_ns) {
        atomic_fetch_add_explicit(&pipeline->metrics.score_refused, 1, memory_order_relaxed);
        job->note.retry_after_ms = (uint32_t)((paid_ns - now_ns - minute_ns) / 1000000 + 1);
        return fault_set(&job->note, FAULT_busy, ROW_NONE, COLUMN_NONE, "this tenant may score %u rows a minute", rows_max);
    }
    line->score_paid_ns = paid_ns;
    return FAULT_NONE;
}

static enum fault line_refuses(struct pipeline *pipeline, struct job *job)
{
    if (pipeline->draining)
        return job->note.retry_after_ms = 1000, fault_set(&job->note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "the server is draining");
    if (brake_refuses(job))
        return job->note.retry_after_ms = 1000, fault_set(&job->note, FAULT_unavailable, ROW_NONE, COLUMN_NONE,
                                                          "the brake of this tenant acts: too many of its rows were held or rejected");
    if (pipeline->in_flight >= pipeline->in_flight_max)
        return fault_set(&job->note, FAULT_busy, ROW_NONE, COLUMN_NONE, "%u requests are in flight", pipeline->in_flight);
    if (job->line->in_flight >= line_share(pipeline, job->epoch))
        return fault_set(&job->note, FAULT_busy, ROW_NONE, COLUMN_NONE, "%u requests of this tenant are in flight", job->line->in_flight);
    if (job->reserved_bytes > pipeline->budget_bytes)
        return fault_set(&job->note, FAULT_limit, ROW_NONE, COLUMN_NONE, "the batch needs %zu bytes, memory for batches is %llu",
                         job->reserved_bytes, (unsigned long long)pipeline->budget_bytes);
    if (pipeline->reserved_bytes + job->reserved_bytes > pipeline->budget_bytes)
        return fault_set(&job->note, FAULT_busy, ROW_NONE, COLUMN_NONE, "memory for batches in flight is taken");
    return job->request.op == OP_score ? score_refuses(pipeline, job) : FAULT_NONE;
}

static enum fault line_enter(struct pipeline *pipeline, struct job *job)
{
    pthread_mutex_lock(&pipeline->line_lock);
    enum fault fault = line_refuses(pipeline, job);
    if (fault == FAULT_NONE) {
        struct tenant_line *line = job->line;
        *(line->last ? &line->last->next : &line->first) = job;
        line->last = job;
        line->waiting++;
        line->in_flight++;
        pipeline->waiting++;
        pipeline->in_flight++;
        pipeline->reserved_bytes += job->reserved_bytes;
        flying_enter(job);
        pthread_cond_signal(&pipeline->line_changed);
    }
    pthread_mutex_unlock(&pipeline->line_lock);
    return fault;
}

/* --- requests ---------------------------------------------------------------------------------------------------- */

/* Every place of the tenant is compared, whichever fits and however many are used: the time tells neither. */
static const struct config_credential *credential_find(const struct config_tenant *tenant, const unsigned char hash[32])
{
    const struct config_credential *found = NULL;
    for (uint32_t i = 0; i < CREDENTIALS_MAX; i++) {
        bool fits = secret_equal(tenant->credentials[i].token_hash, hash, sizeof tenant->credentials[i].token_hash);
        found = fits && i < tenant->credential_count ? &tenant->credentials[i] : found;
    }
    return found;
}

/* Every place of every tenant is compared. */
bool pipeline_knows_token(struct pipeline *pipeline, struct text token)
{
    unsigned char hash[32];
    bool known = false;
    struct epoch *epoch = epoch_hold(pipeline);
    secret_hash(hash, token.data, token.bytes);
    for (uint32_t i = 0; i < epoch->config->tenant_count; i++)
        known = credential_find(&epoch->config->tenants[i], hash) != NULL || known;
    epoch_release(&epoch);
    return known || signed_on_knows(pipeline, token);
}

/* The same answer and the same work for a tenant that does not exist and for a wrong token. */
static enum fault job_authenticate(struct job *job)
{
    static const struct config_tenant nobody = {.credential_count = 0};
    const struct config *config = job->epoch->config;
    const struct config_tenant *tenant = &nobody;
    unsigned char hash[32];
    for (uint32_t i = 0; i < config->tenant_count; i++)
        if (text_equal(job->request.tenant, text_of(config->tenants[i].name)))
            tenant = &config->tenants[i], job->tenant_index = i;
    secret_hash(hash, job->request.token.data, job->request.token.bytes);
    const struct config_credential *credential = credential_find(tenant, hash);
    if (!credential && tenant == &nobody)
        (void)signed_on_knows(job->pipeline, job->request.token); /* the same work */
    else if (!credential && signed_on_find(job->pipeline, config, job->request.tenant, job->request.token, &job->own))
        credential = &job->own;
    if (!credential)
        return fault_set(&job->note, FAULT_auth, ROW_NONE, COLUMN_NONE, "the tenant or its token is not known");
    enum right right = op_right(job->request.op);
    if (right != RIGHT_NONE && !(credential->rights & right))
        return fault_set(&job->note, FAULT_denied, ROW_NONE, COLUMN_NONE, "the credential %s%shas no right to %s", credential->name,
                         credential->name[0] ? " " : "", op_names[job->request.op]);
    job->rights = credential->rights;
    job->credential = credential;
    job->line = job->epoch->lines[job->tenant_index];
    return FAULT_NONE;
}

static enum fault job_read(struct job *job)
{
    const struct batch_limits *limits = &job->epoch->config->limits;
    if (job->message_bytes > limits->message_bytes_max) {
        job->request.id = wire_peek_id(job->message, job->message_bytes, limits);
        return fault_set(&job->note, FAULT_limit, ROW_NONE, COLUMN_NONE, "message of %zu bytes, at most %zu are taken", job->message_bytes,
                         limits->message_bytes_max);
    }
    enum fault fault = wire_check(job->message, job->message_bytes, &job->note);
    if (fault == FAULT_NONE)
        fault = wire_request_read(&job->request, job->message, job->message_bytes, limits, &job->note);
    if (fault == FAULT_NONE && op_right(job->request.op) != RIGHT_NONE)
        fault = job_authenticate(job);
    return fault;
}

/* What could not be recorded is not begun: history would have to be reloaded behind it. */
static enum fault ledger_refuses(struct pipeline *pipeline, struct job *job)
{
    pthread_mutex_lock(&pipeline->line_lock);
    fault_set(&job->note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "the ledger cannot record: %.80s", pipeline->record_fault);
    pthread_mutex_unlock(&pipeline->line_lock);
    return FAULT_ledger;
}

static enum fault job_enqueue(struct pipeline *pipeline, struct job *job)
{
    if (job->request.op == OP_base_challenger)
        return bases_question(job);
    if (!op_carries_rows(job->request.op) && !op_changes_state(job->request.op)) {
        if (op_right(job->request.op) == RIGHT_NONE || job->request.op == OP_stats)
            return ask_inline(job), FAULT_NONE;
        return ask_question(job);
    }
    if (job_is_late(job))
        return fault_set(&job->note, FAULT_deadline, ROW_NONE, COLUMN_NONE, "deadline passed before the request was taken");
    if (!atomic_load(&pipeline->ready))
        return job->note.retry_after_ms = RELOAD_RETRY_MS,
               fault_set(&job->note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "history is being reloaded after a failed commit");
    if (op_changes_state(job->request.op) && !atomic_load(&pipeline->records))
        return ledger_refuses(pipeline, job);
    if (!op_carries_rows(job->request.op))
        return bases_question(job);
    enum fault fault = bounds_reserve(job);
    return fault == FAULT_NONE ? line_enter(pipeline, job) : fault;
}

static void deliver_no_memory(const struct delivery *delivery)
{
    struct wire_buffer reply = {0};
    struct fault_note note = {0};
    fault_set(&note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to take the request");
    wire_reply_fault(&reply, (struct text){0}, &note);
    delivery->deliver(delivery->context, &reply);
}

void pipeline_request(struct pipeline *pipeline, const void *message, size_t message_bytes, int64_t received_ns,
                      const struct delivery *delivery)
{
    struct job *job = memory_take_zeroed(1, sizeof *job);
    if (!job) {
        deliver_no_memory(delivery);
        return;
    }
    job->magic = (unsigned)JOB_MAGIC;
    job->pipeline = pipeline;
    job->message = message;
    job->message_bytes = message_bytes;
    job->received_ns = received_ns;
    job->delivery = *delivery;
    pthread_mutex_init(&job->arena_lock, NULL);
    job->epoch = epoch_hold(pipeline);
    atomic_fetch_add_explicit(&pipeline->metrics.bytes_in, message_bytes, memory_order_relaxed);
    enum fault fault = job_read(job);
    if (fault == FAULT_NONE) {
        atomic_fetch_add_explicit(&pipeline->metrics.requests[job->request.op], 1, memory_order_relaxed);
        if (job->request.deadline_ms > 0)
            job->deadline_ns = received_ns + job->request.deadline_ms * 1000000;
        fault = job_enqueue(pipeline, job);
    }
    if (fault != FAULT_NONE)
        job_fail_note(job);
}
