/* The journey of a batch, read top to bottom: every step is one call into one room. decode, check and fill take a whole
 * batch and run on a worker; relate runs on the history thread in sequence order; feature to decide take a slice and run
 * on any worker; record encodes on a worker, the ledger thread commits; the reply leaves after the commit. */
#include "pipeline/associates.h"
#include "pipeline/internal.h"
#include "pipeline/life.h"

#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/memory.h"

enum { WAITED_MS_TOLD = 10 };

static bool hashes_grow(struct worker *worker, uint32_t row_count)
{
    if (row_count <= worker->hash_capacity)
        return true;
    memory_give(worker->hashes);
    worker->hashes = memory_take((size_t)row_count * sizeof *worker->hashes);
    worker->hash_capacity = worker->hashes ? row_count : 0;
    return worker->hashes != NULL;
}

/* A second batch under a name would hide the first one from whoever asks for it. */
static enum fault name_is_free(struct job *job)
{
    const struct batch *batch = &job->batch;
    struct ledger_batch found;
    if (!op_takes_name(batch->op))
        return FAULT_NONE;
    enum fault fault = job->pipeline->ledger_ops->find_batch(job->pipeline->ledger, &found, batch->tenant, batch->name, &job->note);
    if (fault == FAULT_NONE && op_takes_name(found.op))
        return fault_set(&job->note, FAULT_conflict, ROW_NONE, COLUMN_NONE, "a batch of that name is recorded, of id %.80s", found.id);
    if (fault != FAULT_NONE && fault != FAULT_not_found)
        return fault;
    return job->note = (struct fault_note){0}, FAULT_NONE;
}

/* A known id answers what is stored; the same id with other content is refused, and so is another id under a name that is taken. */
static enum step_next answer_repeat(struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    struct batch *batch = &job->batch;
    struct ledger_request known;
    bool is_twin = false;
    if (registry_enter(job, &is_twin) != FAULT_NONE)
        return STEP_FAULT;
    if (is_twin)
        return STEP_DONE;
    enum fault fault = pipeline->ledger_ops->find_request(pipeline->ledger, &known, batch->tenant, batch->id, &job->note);
    if (fault == FAULT_not_found)
        return job->note = (struct fault_note){0}, name_is_free(job) == FAULT_NONE ? STEP_NEXT : STEP_FAULT;
    if (fault != FAULT_NONE)
        return STEP_FAULT;
    if (!digest_equal(known.digest, batch->digest) || known.op != batch->op)
        return fault_set(&job->note, FAULT_conflict, ROW_NONE, COLUMN_NONE, "id was used before with other content"), STEP_FAULT;
    jobs_fail(order_leave(job));
    ask_stored(job, known.sequence);
    return STEP_DONE;
}

enum step_next step_decode(struct worker *worker, struct job *job)
{
    const struct request *request = &job->request;
    const struct batch_limits *limits = &job->epoch->config->limits;
    struct batch *batch = &job->batch;
    FAILPOINT(step_decode);
    if (job_is_late(job))
        return fault_set(&job->note, FAULT_deadline, ROW_NONE, COLUMN_NONE, "deadline passed before decode"), STEP_FAULT;
    batch->magic = (unsigned)BATCH_MAGIC;
    if (!arena_pool_take(&job->pipeline->arenas, &batch->arena, job->arena_bytes))
        return fault_set(&job->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a batch of %zu bytes", job->arena_bytes),
               STEP_FAULT;
    batch->tenant_index = job->tenant_index;
    batch->feedback_delay_us = job->epoch->config->tenants[job->tenant_index].feedback_delay_us;
    batch->duplicate_us = job->epoch->config->tenants[job->tenant_index].duplicate_days * US_PER_DAY;
    batch->key_seed = job->epoch->key_seed[job->tenant_index];
    if (wire_batch_read(batch, request, limits, &job->note) != FAULT_NONE)
        return STEP_FAULT;
    if (!op_changes_state(batch->op))
        return STEP_NEXT;
    if (!hashes_grow(worker, batch->row_count))
        return fault_set(&job->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the digest"), STEP_FAULT;
    batch->digest = batch_digest(batch, job->pipeline->ledger_ops->secret(job->pipeline->ledger), worker->hashes);
    return answer_repeat(job);
}

static struct intake_rules intake_rules_of(const struct job *job)
{
    struct intake_rules rules = job->epoch->intake;
    rules.key_seed = job->batch.key_seed;
    return rules;
}

/* Rows of transfers come in the words of their tenant: what is theirs becomes Sluice's own, and `fill` is computed. */
static enum fault profile_apply(struct job *job, struct intake_rules *rules)
{
    const struct config_tenant *tenant = &job->epoch->config->tenants[job->tenant_index];
    struct batch *batch = &job->batch;
    struct profile *profiles[TENANT_PROFILES_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < tenant->profile_count; i++)
        if (tenant->profiles[i])
            profiles[count++] = tenant->profiles[i]->profile;
    if (count == 0 || !column_taken_by(COLUMN_amount, batch->op))
        return FAULT_NONE;
    enum fault fault = batch_take_checks(batch, rules->limits.notes_max, &job->note);
    if (fault == FAULT_NONE)
        fault = profile_choose(&job->profile, profiles, count, batch, &job->note);
    rules->profile = job->profile;
    if (fault == FAULT_NONE)
        profile_part(batch, job->profile, profiles, count);
    return fault == FAULT_NONE ? profile_take(batch, job->profile, job->epoch->kernels, &job->note) : fault;
}

/* A row that is invalid here goes no further. Where a template makes columns at the end, which facts there are is known then. */
enum step_next step_check(struct worker *worker, struct job *job)
{
    (void)worker;
    struct intake_rules rules = intake_rules_of(job);
    FAILPOINT(step_check);
    if (profile_apply(job, &rules) != FAULT_NONE)
        return STEP_FAULT;
    if (!job->profile && batch_take_facts(&job->batch, &job->note) != FAULT_NONE)
        return STEP_FAULT;
    if (intake_check(&job->batch, &rules, &job->note) != FAULT_NONE)
        return STEP_FAULT;
    return associates_park(job) ? STEP_DONE : STEP_NEXT;
}

/* `post`, over all that is there by now. */
static enum fault profile_end(struct job *job, struct intake_rules *rules)
{
    rules->profile = job->profile;
    if (!job->profile)
        return FAULT_NONE;
    enum fault fault = profile_finish(&job->batch, job->profile, job->epoch->kernels, &job->note);
    return fault == FAULT_NONE ? intake_check_made(&job->batch, rules, &job->note) : fault;
}

static bool needs_batch_scope(const struct job *job)
{
    return (job->epoch->base && job->epoch->base->needs_batch_scope) || atomic_load(&job->pipeline->challengers.needs_batch_scope);
}

static bool may_be_monitored(const struct job *job)
{
    const struct config_tenant *tenant = &job->epoch->config->tenants[job->tenant_index];
    return tenant->is_monitored || tenant->brake.fallback == BRAKE_MONITOR;
}

static void unanswered_flag(struct job *job)
{
    for (uint32_t row = 0; job->unanswered && job->batch.facts.flags && row < job->batch.row_count; row++)
        if (job->unanswered[row] && !job->batch.facts.invalid[row])
            job->batch.facts.flags[row] |= FLAG_UNANSWERED;
}

enum fault fill_batch(struct job *job)
{
    struct intake_rules rules = intake_rules_of(job);
    struct batch *batch = &job->batch;
    bool scored = batch->op == OP_screen || batch->op == OP_score;
    enum fault fault = profile_end(job, &rules);
    if (fault == FAULT_NONE)
        fault = intake_fill(batch, &rules, &job->note);
    if (fault == FAULT_NONE)
        unanswered_flag(job);
    if (fault == FAULT_NONE && scored && needs_batch_scope(job))
        fault = feature_in_batch(batch, &job->note);
    if (fault == FAULT_NONE && scored)
        fault = batch_take_results(batch, &job->note);
    if (fault == FAULT_NONE && scored && may_be_monitored(job))
        fault = batch_take_would(batch, &job->note);
    if (fault == FAULT_NONE && scored && job->epoch->config->tenants[job->tenant_index].rules)
        fault = batch_take_rule(batch, &job->note);
    return fault;
}

enum step_next step_fill(struct worker *worker, struct job *job)
{
    (void)worker;
    FAILPOINT(step_fill);
    if (job->batch.op == OP_label)
        return labels_claim(job) ? labels_fill(job) : STEP_DONE;
    if (fill_batch(job) != FAULT_NONE)
        return STEP_FAULT;
    sequence_take(job);
    return STEP_DONE;
}

void step_relate(struct pipeline *pipeline, struct job *job, struct slice *slice)
{
    const struct batch *batch = &job->batch;
    FAILPOINT(step_relate);
    pipeline->history_ops->relate(pipeline->history, batch, slice->first, slice->count, batch->feedback_delay_us, batch->op == OP_screen,
                                  &slice->figures);
}

void step_feature(struct worker *worker, struct slice *slice)
{
    const struct epoch *epoch = slice->job->epoch;
    FAILPOINT(step_feature);
    feature_compute(&worker->features, &epoch->base->features, &slice->job->batch, slice->first, slice->count, &slice->figures,
                    epoch->kernels);
}

/* Scenes and anomaly are one call: the device scores both on the same tiles. */
enum fault step_scene(struct worker *worker, struct slice *slice, struct scores *scores, struct fault_note *note)
{
    const struct epoch *epoch = slice->job->epoch;
    FAILPOINT(step_scene);
    enum fault fault = epoch->device_ops->score(scores, epoch->scratches[worker->index], epoch->resident, &worker->features, note);
    FAILPOINT(step_anomaly);
    return fault;
}

struct level_rules levels_of(const struct job *job)
{
    return config_levels(job->epoch->config, job->tenant_index);
}

static bool rules_scratch_grow(struct worker *worker, const struct tenant_rules *rules)
{
    if (rules->scratch_bytes <= worker->rules_bytes)
        return true;
    memory_give(worker->rules_scratch);
    worker->rules_scratch = memory_take_aligned(rules->scratch_bytes, 64);
    worker->rules_bytes = worker->rules_scratch ? rules->scratch_bytes : 0;
    return worker->rules_scratch != NULL;
}

enum fault step_decide(struct worker *worker, struct slice *slice, const struct scores *scores, struct fault_note *note)
{
    struct job *job = slice->job;
    const struct epoch *epoch = job->epoch;
    const struct level_rules levels = levels_of(job);
    const struct tenant_rules *rules = job->batch.results.rule ? epoch->config->tenants[job->tenant_index].rules : NULL;
    if (rules && !rules_scratch_grow(worker, rules))
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the rules of a tenant");
    struct rules_judging judging = {.rules = rules,
                                    .figures = &slice->figures,
                                    .scenes = epoch->names.scenes,
                                    .scene_count = epoch->names.scene_count,
                                    .kernels = epoch->kernels,
                                    .scratch = worker->rules_scratch};
    const struct decide_input input = {.base = epoch->base,
                                       .strategy = &epoch->strategy,
                                       .levels = &levels,
                                       .scores = scores,
                                       .features = &worker->features,
                                       .kernels = epoch->kernels,
                                       .rules = epoch->rules,
                                       .judge = rules ? rules_judge : NULL,
                                       .judge_context = &judging};
    FAILPOINT(step_decide);
    return verdict_decide(&job->batch, slice->first, slice->count, &input, worker->decide_scratch, &job->arena_lock, note);
}

enum fault step_record(struct job *job)
{
    FAILPOINT(step_record);
    if (job->batch.op == OP_screen && life_begin(job) != FAULT_NONE)
        return job->note.fault;
    return frame_encode(&job->frame, &job->batch, &job->note);
}

enum language job_language(const struct job *job)
{
    return job->request.language ? (enum language)(job->request.language - 1) : job->epoch->config->tenants[job->tenant_index].language;
}

/* A wait that a client would notice is said. */
static uint32_t waited_ms(const struct job *job)
{
    return job->waited_ns >= WAITED_MS_TOLD * 1000000LL ? (uint32_t)(job->waited_ns / 1000000) : 0;
}

enum fault step_reply(struct job *job)
{
    FAILPOINT(step_reply);
    if (job->change && !job->life) {
        base_reply(&job->reply, job->batch.id, job->batch.sequence, &job->change->record, false);
        return FAULT_NONE;
    }
    if (job->batch.op != OP_screen && job->batch.op != OP_score)
        return wire_reply_done(&job->reply, &job->batch, waited_ms(job), &job->note);
    struct reply_names names = job->epoch->names;
    names.with_margins = job->rights & RIGHT_EXPLAIN;
    names.language = job_language(job);
    names.waited_ms = waited_ms(job);
    return wire_reply_verdicts(&job->reply, &job->batch, &names, &job->note);
}
