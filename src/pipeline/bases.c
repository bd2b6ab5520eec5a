/* The bases' thread: what the model team asks for, one after the other. A change is made ready here beside the running epoch,
 * takes its number in the log as a batch without rows, and acts when the ledger thread has recorded it. */
#include "pipeline/internal.h"
#include "pipeline/life.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/must.h"
#include "wire/pack.h"

enum { BELOW_WORKERS = 10 /* nice */, HEX_BYTES = 33, DIGITS_MIN = 6, SIGNATURE_FILE_BYTES_MAX = 256 };

static bool digest_is_none(struct digest digest)
{
    return digest.low == 0 && digest.high == 0;
}

/* --- what the log says ----------------------------------------------------------------------------------------------- */

static bool is_activation(enum op op)
{
    return op == OP_base_activate || op == OP_base_rollback;
}

static bool last_take(void *context, const struct ledger_base_change *change)
{
    struct ledger_base_change *last = context;
    if (is_activation(change->op))
        *last = *change;
    return !is_activation(change->op);
}

enum fault bases_start(struct pipeline *pipeline, struct fault_note *note)
{
    struct bases *bases = &pipeline->bases;
    struct ledger_base_change last = {.op = OP_base_list};
    char hex[HEX_BYTES];
    enum fault fault = base_store_open(pipeline, note);
    if (fault == FAULT_NONE)
        fault = pipeline->ledger_ops->base_changes(pipeline->ledger, false, last_take, &last, note);
    if (fault != FAULT_NONE || !is_activation(last.op))
        return fault;
    bases->by_log = bases->has_before = true;
    bases->active = last.digest;
    bases->before = last.before;
    digest_to_hex(hex, last.digest);
    log_line(LOG_INFO, "bases", "%s by %s, batch %" PRIu64 ", made %s %s %s the active scene base", op_names[last.op], last.who,
             last.sequence, digest_is_none(last.digest) ? "none" : hex, last.name, last.version);
    return fault;
}

/* The configured file is only the first base: said when it is another than the active one. */
static void configured_tell(const struct config *config, struct digest active)
{
    struct file_map map;
    struct fault_note note = {0};
    char hex[HEX_BYTES], active_hex[HEX_BYTES];
    if (config->base_path[0] == '\0' || file_map_open(&map, config->base_path, &note) != FAULT_NONE)
        return;
    struct digest configured = hash128(0, map.data, map.bytes);
    file_map_close(&map);
    if (digest_equal(configured, active))
        return;
    digest_to_hex(hex, configured);
    digest_to_hex(active_hex, active);
    log_line(LOG_WARN, "bases", "the configured base %s (%s) is not used: %s is active, as the ledger says; base.activate changes that",
             config->base_path, hex, digest_is_none(active) ? "none" : active_hex);
}

static enum fault base_open_kept(struct scene_base **out, struct pipeline *pipeline, struct digest digest, struct fault_note *note)
{
    char *bytes = NULL;
    size_t byte_count = 0;
    *out = NULL;
    if (digest_is_none(digest))
        return FAULT_NONE;
    enum fault fault = base_bytes_read(&bytes, &byte_count, pipeline, digest, note);
    if (fault == FAULT_NONE)
        fault = scene_base_read(out, (const unsigned char *)bytes, byte_count, note);
    memory_give(bytes);
    return fault;
}

/* With base_signed the configured file has its signature beside it. */
static enum fault configured_check(const struct config *config, struct fault_note *note)
{
    struct ledger_base_change unused = {.op = OP_base_put};
    char path[sizeof config->base_path + 8], *bytes = NULL, *signature = NULL;
    size_t byte_count = 0, signature_bytes = 0;
    if (!config->base_signed)
        return FAULT_NONE;
    snprintf(path, sizeof path, "%s.sig", config->base_path);
    enum fault fault = file_read_all(&bytes, &byte_count, config->base_path, SCENE_BASE_BYTES_MAX, note);
    if (fault == FAULT_NONE && file_exists(path))
        fault = file_read_all(&signature, &signature_bytes, path, SIGNATURE_FILE_BYTES_MAX, note);
    if (fault == FAULT_NONE)
        fault = base_signer_check(&unused, config, (struct text){.data = signature, .bytes = (uint32_t)signature_bytes}, bytes, byte_count,
                                  note);
    memory_give(bytes);
    memory_give(signature);
    return fault;
}

enum fault bases_active_open(struct scene_base **out, bool *out_kept, struct pipeline *pipeline, const struct config *config,
                             struct fault_note *note)
{
    struct bases *bases = &pipeline->bases;
    *out = NULL;
    pthread_mutex_lock(&bases->lock);
    *out_kept = bases->by_log;
    struct digest active = bases->active;
    pthread_mutex_unlock(&bases->lock);
    if (!*out_kept && config->base_path[0] == '\0')
        return FAULT_NONE;
    enum fault fault = *out_kept ? FAULT_NONE : configured_check(config, note);
    if (!*out_kept)
        return fault == FAULT_NONE ? scene_base_open(out, config->base_path, note) : fault;
    configured_tell(config, active);
    return base_open_kept(out, pipeline, active, note);
}

void bases_reloaded(struct pipeline *pipeline, const struct epoch *running)
{
    struct bases *bases = &pipeline->bases;
    pthread_mutex_lock(&bases->lock);
    struct epoch *kept = bases->kept;
    bases->kept = NULL;
    if (!bases->by_log)
        bases->active = running->base ? running->base->digest : (struct digest){0};
    pthread_mutex_unlock(&bases->lock);
    epoch_release(&kept);
}

/* --- a change on its way --------------------------------------------------------------------------------------------- */

void base_reply(struct wire_buffer *out, struct text id, uint64_t sequence, const struct ledger_base_change *record, bool is_known)
{
    char hex[HEX_BYTES], before[HEX_BYTES];
    bool is_put = record->op == OP_base_put;
    digest_to_hex(hex, record->digest);
    digest_to_hex(before, record->before);
    wire_pack_map(out, is_put ? 14 : 11);
    pack_key_i64(out, "v", 1);
    pack_key_str(out, "id", id);
    pack_key_text(out, "status", "ok");
    pack_key_text(out, "op", op_names[record->op]);
    pack_key_i64(out, "sequence", (int64_t)sequence);
    pack_key_text(out, "base", record->name);
    pack_key_text(out, "base_version", record->version);
    pack_key_text(out, "base_digest", digest_is_none(record->digest) ? "" : hex);
    pack_key_text(out, "by", record->who);
    wire_pack_text(out, "known");
    wire_pack_bool(out, is_known);
    pack_key_text(out, is_put ? "state" : "before", is_put ? "ready" : digest_is_none(record->before) ? "" : before);
    if (!is_put)
        return;
    pack_key_i64(out, "offset", (int64_t)record->bytes);
    pack_key_i64(out, "golden_rows", record->golden_rows);
    pack_key_text(out, "signer", record->signer);
}

void base_change_act(struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    struct bases *bases = &pipeline->bases;
    struct base_change *change = job->change;
    struct epoch *before = NULL, *kept = NULL;
    change->acted = true;
    if (!change->epoch)
        return;
    FAILPOINT(base_swap_before);
    int64_t begin_ns = clock_steady_ns();
    before = epoch_swap(pipeline, change->epoch);
    change->epoch = NULL; /* the pipeline's now */
    pthread_mutex_lock(&bases->lock);
    kept = bases->kept;
    bases->kept = before;
    bases->by_log = bases->has_before = true;
    bases->active = change->record.digest;
    bases->before = change->record.before;
    pthread_mutex_unlock(&bases->lock);
    epoch_release(&kept);
    FAILPOINT(base_swap_after);
    histogram_add(&pipeline->metrics.swap, clock_steady_ns() - begin_ns);
}

void base_change_over(struct base_change *change, struct pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->bases.lock);
    change->over = true;
    pthread_cond_broadcast(&pipeline->bases.changed);
    pthread_mutex_unlock(&pipeline->bases.lock);
}

void base_who(struct ledger_base_change *out, const struct job *job)
{
    const char *name = job->credential->name;
    snprintf(out->who, sizeof out->who, "%s%s%s", job->epoch->config->tenants[job->tenant_index].name, *name ? "/" : "", name);
}

void base_answer(struct job *job, const struct ledger_base_change *record)
{
    base_reply(&job->reply, job->request.id, record->sequence, record, true);
    if (job->reply.failed)
        job_fail(job, FAULT_memory, "no memory for the reply");
    else
        job_answer(job, &job->reply);
}

struct wanted_change {
    uint64_t sequence;
    struct ledger_base_change found;
};

static bool change_is(void *context, const struct ledger_base_change *change)
{
    struct wanted_change *wanted = context;
    if (change->sequence == wanted->sequence)
        wanted->found = *change;
    return change->sequence > wanted->sequence;
}

/* What is recorded under the id, told again. */
static enum fault repeat_answer(struct job *job, const struct ledger_request *known)
{
    struct pipeline *pipeline = job->pipeline;
    struct wanted_change wanted = {.sequence = known->sequence};
    if (known->op != job->batch.op || !digest_equal(known->digest, job->batch.digest))
        return fault_set(&job->note, FAULT_conflict, ROW_NONE, COLUMN_NONE, "id was used before with other content");
    enum fault fault = pipeline->ledger_ops->base_changes(pipeline->ledger, known->op == OP_base_put, change_is, &wanted, &job->note);
    if (fault == FAULT_NONE && wanted.found.sequence != known->sequence)
        fault = fault_set(&job->note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "batch %" PRIu64 " is no change of a base", known->sequence);
    if (fault == FAULT_NONE)
        base_answer(job, &wanted.found);
    return fault;
}

/* The job as a batch without rows under its id. *out_over: it was answered, or waits for the first of its id. */
enum fault base_job_enter(struct job *job, const void *content, size_t content_bytes, bool *out_over)
{
    struct pipeline *pipeline = job->pipeline;
    struct batch *batch = &job->batch;
    struct ledger_request known;
    batch->magic = (unsigned)BATCH_MAGIC;
    batch->op = job->request.op;
    batch->tenant = job->request.tenant;
    batch->id = batch->name = job->request.id;
    batch->tenant_index = job->tenant_index;
    batch->key_seed = job->epoch->key_seed[job->tenant_index];
    batch->digest = hash128(pipeline->ledger_ops->secret(pipeline->ledger) + (uint64_t)batch->op, content, content_bytes);
    *out_over = false;
    if (registry_enter(job, out_over) != FAULT_NONE || *out_over)
        return job->note.fault;
    enum fault fault = pipeline->ledger_ops->find_request(pipeline->ledger, &known, batch->tenant, batch->id, &job->note);
    if (fault == FAULT_not_found)
        return job->note = (struct fault_note){0}, FAULT_NONE;
    if (fault == FAULT_NONE)
        fault = repeat_answer(job, &known);
    *out_over = fault == FAULT_NONE;
    return fault;
}

/* Through the log. The job is gone afterwards; what was not recorded is the caller's still. */
void base_job_run(struct job *job, struct base_change *change)
{
    struct bases *bases = &job->pipeline->bases;
    job->change = change;
    sequence_take(job);
    pthread_mutex_lock(&bases->lock);
    while (!change->over)
        pthread_cond_wait(&bases->changed, &bases->lock);
    pthread_mutex_unlock(&bases->lock);
    epoch_release(&change->epoch);
    if (change->acted && op_is_of_models(change->record.op))
        log_line(LOG_INFO, "bases", "%s by %s: scene base %s %s", op_names[change->record.op], change->record.who,
                 change->record.name[0] ? change->record.name : "none", change->record.version);
}

/* --- activate and roll back ------------------------------------------------------------------------------------------ */

struct naming {
    char name[129];
    struct ledger_base_change found;
    unsigned others; /* digests with the same first digits */
};

static bool put_is_named(void *context, const struct ledger_base_change *put)
{
    struct naming *naming = context;
    char hex[HEX_BYTES];
    size_t digits = strlen(naming->name);
    digest_to_hex(hex, put->digest);
    bool by_digits = digits >= DIGITS_MIN && strncmp(hex, naming->name, digits) == 0;
    if (!by_digits && strcmp(put->name, naming->name) != 0)
        return true;
    if (naming->found.sequence == 0)
        naming->found = *put;
    else
        naming->others += by_digits && !digest_equal(put->digest, naming->found.digest); /* put again: signed later */
    return true;
}

/* A base that the configuration named has no put; the ledger keeps it all the same, and digests find it. */
static enum fault unput_find(struct ledger_base_change *out, struct pipeline *pipeline, const char *name, struct fault_note *note)
{
    struct bases *bases = &pipeline->bases;
    struct scene_base *base = NULL;
    struct digest digest;
    char active[HEX_BYTES], before[HEX_BYTES];
    pthread_mutex_lock(&bases->lock);
    digest_to_hex(active, bases->active);
    digest_to_hex(before, bases->before);
    pthread_mutex_unlock(&bases->lock);
    size_t digits = strlen(name);
    const char *hex = digits >= DIGITS_MIN && strncmp(active, name, digits) == 0   ? active
                      : digits >= DIGITS_MIN && strncmp(before, name, digits) == 0 ? before
                                                                                   : name;
    if (!digest_from_hex(&digest, hex, strlen(hex)) || digest_is_none(digest) ||
        base_open_kept(&base, pipeline, digest, note) != FAULT_NONE)
        return fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "no base %.64s was put: base.list tells what is there", name);
    out->digest = digest;
    snprintf(out->name, sizeof out->name, "%s", base->name);
    snprintf(out->version, sizeof out->version, "%s", base->version);
    scene_base_close(&base);
    return FAULT_NONE;
}

static enum fault base_find(struct ledger_base_change *out, struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    struct naming naming = {.others = 0};
    text_copy(naming.name, sizeof naming.name, job->request.base.base);
    enum fault fault = pipeline->ledger_ops->base_changes(pipeline->ledger, true, put_is_named, &naming, &job->note);
    if (fault != FAULT_NONE)
        return fault;
    if (naming.found.sequence && strcmp(naming.found.name, naming.name) != 0 && naming.others > 0)
        return fault_set(&job->note, FAULT_conflict, ROW_NONE, COLUMN_NONE, "%u digests begin with %.64s", naming.others + 1, naming.name);
    if (naming.found.sequence == 0)
        return unput_find(out, pipeline, naming.name, &job->note);
    *out = naming.found;
    return FAULT_NONE;
}

static bool put_is_of(void *context, const struct ledger_base_change *put)
{
    struct ledger_base_change *wanted = context;
    if (digest_equal(put->digest, wanted->digest))
        *wanted = *put;
    return !digest_equal(put->digest, wanted->digest);
}

static enum fault before_find(struct ledger_base_change *out, struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    struct bases *bases = &pipeline->bases;
    pthread_mutex_lock(&bases->lock);
    bool has_before = bases->has_before;
    out->digest = bases->before;
    pthread_mutex_unlock(&bases->lock);
    if (!has_before)
        return fault_set(&job->note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "no base was activated yet: there is none to go back to");
    enum fault fault = pipeline->ledger_ops->base_changes(pipeline->ledger, true, put_is_of, out, &job->note);
    char hex[HEX_BYTES];
    digest_to_hex(hex, out->digest);
    if (fault == FAULT_NONE && out->sequence == 0 && !digest_is_none(out->digest))
        fault = unput_find(out, pipeline, hex, &job->note);
    return fault;
}

/* The epoch of the base before is ready as long as the configuration is the same. */
static struct epoch *kept_take(struct pipeline *pipeline, struct digest digest)
{
    struct bases *bases = &pipeline->bases;
    struct epoch *found = NULL;
    pthread_mutex_lock(&bases->lock);
    struct epoch *kept = bases->kept;
    if (kept && (kept->base ? digest_equal(kept->base->digest, digest) : digest_is_none(digest))) {
        atomic_fetch_add(&kept->users, 1);
        found = kept;
    }
    pthread_mutex_unlock(&bases->lock);
    return found;
}

static enum fault epoch_of(struct epoch **out, struct pipeline *pipeline, const struct ledger_base_change *record, struct fault_note *note)
{
    struct scene_base *base = NULL;
    struct epoch *running;
    if ((*out = kept_take(pipeline, record->digest)))
        return FAULT_NONE;
    enum fault fault = epoch_await_room(pipeline, EPOCHS_MAX - 2, note);
    if (fault == FAULT_NONE)
        fault = base_open_kept(&base, pipeline, record->digest, note);
    if (fault != FAULT_NONE)
        return fault;
    running = epoch_hold(pipeline);
    fault = epoch_make(out, pipeline, running->config, base, note);
    epoch_release(&running);
    if (fault == FAULT_NONE)
        (*out)->base_is_kept = true;
    if (fault == FAULT_NONE)
        fault = epoch_warm(*out, note);
    return fault;
}

/* A key may have been withdrawn since the put. */
static enum fault still_signed(struct pipeline *pipeline, struct ledger_base_change *record, struct fault_note *note)
{
    struct epoch *running = epoch_hold(pipeline);
    char *bytes = NULL;
    size_t byte_count = 0;
    enum fault fault = FAULT_NONE;
    if (running->config->base_signed && !digest_is_none(record->digest)) {
        fault = base_bytes_read(&bytes, &byte_count, pipeline, record->digest, note);
        if (fault == FAULT_NONE)
            fault = base_signer_check(record, running->config, (struct text){0}, bytes, byte_count, note);
    }
    memory_give(bytes);
    epoch_release(&running);
    return fault;
}

enum fault bases_epoch_named(struct epoch **out, struct job *job)
{
    struct ledger_base_change record = {.op = OP_base_challenger};
    enum fault fault = base_find(&record, job);
    if (fault == FAULT_NONE)
        fault = still_signed(job->pipeline, &record, &job->note);
    return fault == FAULT_NONE ? epoch_of(out, job->pipeline, &record, &job->note) : fault;
}

static enum fault change_prepare(struct base_change *change, struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    struct ledger_base_change *record = &change->record;
    enum fault fault = job->request.op == OP_base_activate ? base_find(record, job) : before_find(record, job);
    if (fault != FAULT_NONE)
        return fault;
    record->op = job->request.op;
    base_who(record, job);
    pthread_mutex_lock(&pipeline->bases.lock);
    record->before = pipeline->bases.active;
    bool by_log = pipeline->bases.by_log, is_active = digest_equal(record->before, record->digest);
    pthread_mutex_unlock(&pipeline->bases.lock);
    if ((change->is_known = is_active && by_log))
        return FAULT_NONE;
    fault = still_signed(pipeline, record, &job->note);
    if (fault == FAULT_NONE && is_active) /* the configured one: from now on the log says so */
        change->epoch = epoch_hold(pipeline);
    else if (fault == FAULT_NONE)
        fault = epoch_of(&change->epoch, pipeline, record, &job->note);
    if (fault == FAULT_NONE)
        fault = epoch_keep(pipeline, change->epoch, &job->note);
    return fault;
}

static void base_change_run(struct job *job)
{
    struct base_change change = {.epoch = NULL};
    bool over = false;
    enum fault fault = base_job_enter(job, job->request.base.base.data, job->request.base.base.bytes, &over);
    if (fault == FAULT_NONE && over)
        return;
    if (fault == FAULT_NONE)
        fault = change_prepare(&change, job);
    if (fault != FAULT_NONE) {
        epoch_release(&change.epoch);
        job_fail_note(job);
    } else if (change.is_known) {
        change.record.sequence = 0; /* nothing is recorded */
        base_answer(job, &change.record);
    } else {
        base_job_run(job, &change);
    }
}

/* --- the thread ------------------------------------------------------------------------------------------------------ */

static void bases_thread_run(void *argument)
{
    struct pipeline *pipeline = argument;
    struct job *job;
    setpriority(PRIO_PROCESS, 0, BELOW_WORKERS); /* of this thread: what is made ready does not take the workers' cores */
    int64_t due_ns = life_pace_ns();
    while (!queue_is_closed(&pipeline->bases.queue)) {
        job = queue_pop_until(&pipeline->bases.queue, due_ns);
        if (clock_steady_ns() >= due_ns) { /* however many requests come */
            life_due(pipeline);
            due_ns = life_pace_ns();
        }
        if (!job)
            continue;
        pthread_mutex_lock(&pipeline->bases.change_lock);
        if (job_is_late(job))
            job_fail(job, FAULT_deadline, "deadline passed before it was this request's turn");
        else if (job->request.op == OP_base_challenger)
            challenger_run(job);
        else if (op_lives(job->request.op))
            life_run(job);
        else if (job->request.op == OP_base_put)
            base_put(job);
        else
            base_change_run(job);
        pthread_mutex_unlock(&pipeline->bases.change_lock);
    }
}

enum fault bases_question(struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    pthread_mutex_lock(&pipeline->line_lock);
    bool draining = pipeline->draining;
    pthread_mutex_unlock(&pipeline->line_lock);
    if (draining)
        return job->note.retry_after_ms = 1000, fault_set(&job->note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "the server is draining");
    if (!queue_try_push(&pipeline->bases.queue, job))
        return fault_set(&job->note, FAULT_busy, ROW_NONE, COLUMN_NONE, "%d requests about bases wait", BASE_QUESTIONS_MAX);
    return FAULT_NONE;
}

bool bases_open(struct pipeline *pipeline)
{
    return queue_init(&pipeline->bases.queue, BASE_QUESTIONS_MAX);
}

bool bases_run(struct pipeline *pipeline)
{
    return thread_start(&pipeline->bases.thread, "bases", CPU_ANY, bases_thread_run, pipeline);
}

void bases_stop(struct pipeline *pipeline)
{
    if (pipeline->bases.queue.items)
        queue_close(&pipeline->bases.queue);
    thread_join(&pipeline->bases.thread);
}

/* Behind all threads: nobody uses an epoch any more. */
void bases_close(struct pipeline *pipeline)
{
    challenger_off(pipeline);
    epoch_release(&pipeline->bases.kept);
    epochs_bury(pipeline);
    queue_fini(&pipeline->bases.queue);
}
