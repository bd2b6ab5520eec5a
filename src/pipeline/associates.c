/* Each system has its line of batches and as many threads as calls may be under way. A batch that waits belongs to the line, then to the
 * thread that asks, then to the worker that it is given back to. What was answered becomes columns of the batch and is recorded with it:
 * nothing later asks again. */
#include "pipeline/associates.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/must.h"
#include "connect/associated.h"
#include "connect/http.h"
#include "pipeline/internal.h"
#include "pipeline/outward.h"

enum { CALLS_MAX = 32, REQUEST_KEY_BYTES = 6 * ASSOCIATED_KEY_BYTES_MAX + 128, ALIGN = 64 };

struct system {
    struct associates *associates;
    char name[54];
    struct connector *connector;
    struct associated *associated;
    pthread_cond_t changed;
    struct job *first, *last;
    uint32_t waiting, thread_count;
    struct thread threads[CALLS_MAX];
    atomic_uint_fast64_t batches, asked, kept, silent; /* keys, but for batches */
};

struct associates {
    struct pipeline *pipeline;
    struct http *http;
    pthread_mutex_t lock; /* lines, stopping */
    bool stopping;
    uint32_t system_count;
    struct system systems[];
};

/* --- one batch asks ----------------------------------------------------------------------------------------------------- */

static void fallback_set(struct associated_value *out, enum associated_type type, const char *text)
{
    *out = (struct associated_value){.is_known = text != NULL};
    if (text && type == ASSOCIATED_I64)
        out->integer = strtoll(text, NULL, 10);
    else if (text && type == ASSOCIATED_F64)
        out->real = strtod(text, NULL);
    else if (text) {
        out->text_bytes = (uint8_t)strlen(text);
        memcpy(out->text, text, out->text_bytes);
    }
}

static void plan_make(struct associated_plan *out, const struct profile_ask *ask)
{
    static const enum associated_type types[] = {[PROFILE_ANSWER_TEXT] = ASSOCIATED_TEXT,
                                                 [PROFILE_ANSWER_INT] = ASSOCIATED_I64,
                                                 [PROFILE_ANSWER_REAL] = ASSOCIATED_F64,
                                                 [PROFILE_ANSWER_ANY] = ASSOCIATED_ANY};
    static const enum associated_silence silences[] = {
        [PROFILE_HOLD] = ASSOCIATED_HOLD, [PROFILE_DEFAULTS] = ASSOCIATED_DEFAULTS, [PROFILE_REFUSE] = ASSOCIATED_REFUSE};
    *out = (struct associated_plan){.field_count = ask->answer_count, .silence = silences[ask->silence]};
    snprintf(out->key_name, sizeof out->key_name, "%s", ask->key_name);
    for (uint32_t i = 0; i < ask->answer_count; i++) {
        struct associated_field *field = &out->fields[i];
        snprintf(field->name, sizeof field->name, "%s", ask->answers[i].name);
        field->type = types[ask->answers[i].type];
        fallback_set(&field->fallback, field->type, ask->answers[i].fallback);
    }
}

/* Room first, so that what asking takes of the arena can be given back. */
struct rooms {
    unsigned char *data[ASSOCIATED_FIELDS_MAX];
    uint32_t *offsets[ASSOCIATED_FIELDS_MAX];
    uint8_t *valid[ASSOCIATED_FIELDS_MAX], *marks;
};

static bool is_text(const struct associated_field *field)
{
    return field->type == ASSOCIATED_TEXT || field->type == ASSOCIATED_ANY;
}

static enum fault rooms_take(struct rooms *out, struct batch *batch, const struct associated_plan *plan, struct fault_note *note)
{
    size_t rows = batch->row_count;
    out->marks = arena_take(&batch->arena, rows, ALIGN);
    for (uint32_t i = 0; i < plan->field_count; i++) {
        bool text = is_text(&plan->fields[i]);
        out->data[i] = arena_take(&batch->arena, rows * (text ? ASSOCIATED_TEXT_BYTES_MAX : 8), ALIGN);
        out->offsets[i] = text ? arena_take(&batch->arena, 4 * (rows + 1), ALIGN) : NULL;
        out->valid[i] = arena_take_zeroed(&batch->arena, (rows + 7) / 8, ALIGN);
    }
    return arena_overflowed(&batch->arena)
               ? fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "the batch does not fit its arena of %zu bytes", batch->arena.size)
               : FAULT_NONE;
}

static void column_fill(struct column *out, const struct rooms *rooms, const struct associated_plan *plan, uint32_t field,
                        const struct associated_answers *answers, uint32_t row_count)
{
    bool text = is_text(&plan->fields[field]);
    uint32_t used = 0;
    for (uint32_t row = 0; row < row_count; row++) {
        const struct associated_value *value = &answers->values[(size_t)row * plan->field_count + field];
        if (text)
            rooms->offsets[field][row] = used;
        if (value->is_known)
            rooms->valid[field][row / 8] |= (uint8_t)(1u << row % 8);
        if (!text)
            memcpy(rooms->data[field] + 8 * (size_t)row, &value->integer, 8); /* or the bits of the real number */
        else if (value->is_known) {
            memcpy(rooms->data[field] + used, value->text, value->text_bytes);
            used += value->text_bytes;
        }
    }
    if (text)
        rooms->offsets[field][row_count] = used;
    *out = (struct column){.form = text                                         ? FORM_STR
                                   : plan->fields[field].type == ASSOCIATED_F64 ? FORM_F64
                                                                                : FORM_I64,
                           .data = rooms->data[field],
                           .offsets = (const unsigned char *)rooms->offsets[field],
                           .valid = rooms->valid[field]};
}

static enum fault held_mark(struct job *job, const uint8_t *marks)
{
    struct batch *batch = &job->batch;
    if (!job->unanswered)
        job->unanswered = arena_take_zeroed(&batch->arena, batch->row_count, ALIGN);
    if (!job->unanswered)
        return fault_set(&job->note, FAULT_limit, ROW_NONE, COLUMN_NONE, "the batch does not fit its arena of %zu bytes",
                         batch->arena.size);
    for (uint32_t row = 0; row < batch->row_count; row++)
        job->unanswered[row] |= marks[row] == PROFILE_SILENT;
    return FAULT_NONE;
}

static void counted(struct system *system, const struct associated_answers *answers)
{
    atomic_fetch_add(&system->batches, 1);
    atomic_fetch_add(&system->asked, answers->asked);
    atomic_fetch_add(&system->kept, answers->kept);
    atomic_fetch_add(&system->silent, answers->silent);
}

static enum fault keys_take(struct text **out, struct batch *batch, const struct profile *profile, uint32_t index, struct fault_note *note)
{
    *out = arena_take(&batch->arena, sizeof **out * batch->row_count, ALIGN);
    if (!*out)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "the batch does not fit its arena of %zu bytes", batch->arena.size);
    profile_ask_keys(*out, batch, profile, index);
    return FAULT_NONE;
}

/* The marks too. */
static void columns_fill(struct column *out, const struct rooms *rooms, const struct associated_plan *plan,
                         const struct associated_answers *answers, uint32_t row_count)
{
    static const uint8_t marks_of[] = {
        [ASSOCIATED_ANSWERED] = PROFILE_ANSWERED, [ASSOCIATED_UNKNOWN] = PROFILE_UNKNOWN, [ASSOCIATED_SILENT] = PROFILE_SILENT};
    for (uint32_t row = 0; row < row_count; row++)
        rooms->marks[row] = marks_of[answers->state[row]];
    for (uint32_t i = 0; i < plan->field_count; i++)
        column_fill(&out[i], rooms, plan, i, answers, row_count);
}

static enum fault system_ask(struct system *system, struct job *job)
{
    struct batch *batch = &job->batch;
    struct profile_ask ask;
    struct associated_plan plan;
    struct associated_answers answers = {0};
    struct rooms rooms = {0};
    struct column columns[ASSOCIATED_FIELDS_MAX];
    struct text *keys;
    profile_ask_of(&ask, job->profile, job->ask_index);
    plan_make(&plan, &ask);
    enum fault fault = rooms_take(&rooms, batch, &plan, &job->note);
    size_t used = batch->arena.used;
    if (fault == FAULT_NONE)
        fault = keys_take(&keys, batch, job->profile, job->ask_index, &job->note);
    if (fault == FAULT_NONE)
        fault = associated_ask(system->associated, &plan, keys, batch->row_count, job->deadline_ns, &batch->arena, &answers, &job->note);
    counted(system, &answers);
    if (fault != FAULT_NONE)
        return fault;
    job->note = (struct fault_note){0}; /* of an attempt that failed */
    columns_fill(columns, &rooms, &plan, &answers, batch->row_count);
    batch->arena.used = used;
    if (plan.silence == ASSOCIATED_HOLD && answers.silent > 0)
        fault = held_mark(job, rooms.marks);
    return fault == FAULT_NONE ? profile_ask_take(batch, job->profile, job->ask_index, columns, rooms.marks, &job->note) : fault;
}

/* --- with answers at hand ----------------------------------------------------------------------------------------------- */

/* The part of the file that is this system's. */
static enum fault part_of(char **out, json_t *root, const char *system, struct fault_note *note)
{
    json_t *part = json_object_get(root, system);
    *out = NULL;
    if (!part)
        return FAULT_NONE;
    *out = json_text(json_incref(part), JSON_COMPACT);
    return *out ? FAULT_NONE : fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for what %s answers", system);
}

static enum fault one_try(struct associated *nobody, struct batch *batch, const struct profile *profile, uint32_t index, json_t *root,
                          associates_show_fn *show, struct fault_note *note)
{
    struct profile_ask ask;
    struct associated_plan plan;
    struct associated_answers answers = {0};
    struct rooms rooms = {0};
    struct column columns[ASSOCIATED_FIELDS_MAX];
    struct text *keys;
    char *text = NULL, *request = NULL;
    profile_ask_of(&ask, profile, index);
    plan_make(&plan, &ask);
    enum fault fault = rooms_take(&rooms, batch, &plan, note);
    if (fault == FAULT_NONE)
        fault = keys_take(&keys, batch, profile, index, note);
    if (fault == FAULT_NONE)
        fault = part_of(&text, root, ask.system, note);
    if (fault == FAULT_NONE)
        fault =
            associated_try(nobody, &plan, keys, batch->row_count, text, text ? strlen(text) : 0, &batch->arena, &answers, &request, note);
    if (fault == FAULT_NONE) {
        show(ask.system, request);
        columns_fill(columns, &rooms, &plan, &answers, batch->row_count);
        fault = profile_ask_take(batch, profile, index, columns, rooms.marks, note);
    }
    json_text_give(request);
    json_text_give(text);
    return fault;
}

enum fault associates_try(struct batch *batch, const struct profile *profile, const char *text, size_t bytes, associates_show_fn *show,
                          struct fault_note *note)
{
    const struct associated_options options = {.keys_max = 1, .attempts_max = 1};
    struct associated *nobody = NULL;
    json_t *root = NULL;
    enum fault fault = associated_open(&nobody, &options, note);
    if (fault == FAULT_NONE && text)
        fault = json_read(&root, text, bytes, FAULT_syntax, "the file of answers", note);
    for (uint32_t i = 0; fault == FAULT_NONE && i < profile_ask_count(profile); i++)
        fault = one_try(nobody, batch, profile, i, root, show, note);
    json_decref(root);
    associated_close(&nobody);
    return fault;
}

/* --- lines -------------------------------------------------------------------------------------------------------------- */

static struct system *system_next(struct associates *associates, const struct job *job)
{
    struct profile_ask ask;
    if (job->ask_index == profile_ask_count(job->profile))
        return NULL;
    profile_ask_of(&ask, job->profile, job->ask_index);
    for (uint32_t i = 0; i < associates->system_count; i++)
        if (strcmp(associates->systems[i].name, ask.system) == 0)
            return &associates->systems[i];
    MUST(!"a system that the configuration at start had");
    return NULL;
}

static void line_join(struct system *system, struct job *job)
{
    pthread_mutex_lock(&system->associates->lock);
    job->next = NULL;
    *(system->last ? &system->last->next : &system->first) = job;
    system->last = job;
    system->waiting++;
    pthread_cond_signal(&system->changed);
    pthread_mutex_unlock(&system->associates->lock);
}

/* Under the lock: the first, or the first that is late. NULL: there is none. */
static struct job *line_leave(struct system *system, bool late_only)
{
    struct job *before = NULL, *job = system->first;
    for (; job && late_only && !job_is_late(job); job = job->next)
        before = job;
    if (!job)
        return NULL;
    *(before ? &before->next : &system->first) = job->next;
    if (system->last == job)
        system->last = before;
    system->waiting--;
    job->next = NULL;
    return job;
}

static void job_go_on(struct system *system, struct job *job)
{
    struct associates *associates = system->associates;
    struct pipeline *pipeline = associates->pipeline;
    bool failed = system_ask(system, job) != FAULT_NONE;
    job->ask_index++;
    struct system *next = failed ? NULL : system_next(associates, job);
    atomic_fetch_add_explicit(&pipeline->progress, 1, memory_order_relaxed);
    if (next) {
        line_join(next, job);
        return;
    }
    atomic_fetch_sub(&pipeline->asking, 1);
    if (failed)
        job_fail_note(job);
    else
        worker_give_encode(pipeline, job);
}

static void system_run(void *argument)
{
    struct system *system = argument;
    struct associates *associates = system->associates;
    pthread_mutex_lock(&associates->lock);
    for (;;) {
        struct job *job = line_leave(system, false);
        if (job) {
            pthread_mutex_unlock(&associates->lock);
            job_go_on(system, job);
            pthread_mutex_lock(&associates->lock);
        } else if (associates->stopping) {
            break;
        } else {
            pthread_cond_wait(&system->changed, &associates->lock);
        }
    }
    pthread_mutex_unlock(&associates->lock);
}

bool associates_park(struct job *job)
{
    struct associates *associates = job->pipeline->associates;
    job->ask_index = 0;
    if (!job->profile || !associates || job->batch.op == OP_import)
        return false;
    struct system *system = system_next(associates, job);
    if (!system)
        return false;
    atomic_fetch_add(&job->pipeline->asking, 1);
    line_join(system, job);
    return true;
}

void associates_expire(struct associates *associates)
{
    for (uint32_t i = 0; associates && i < associates->system_count; i++) {
        struct job *job;
        do {
            pthread_mutex_lock(&associates->lock);
            job = line_leave(&associates->systems[i], true);
            pthread_mutex_unlock(&associates->lock);
            if (job)
                job_go_on(&associates->systems[i], job); /* asks nobody: its time is over */
        } while (job);
    }
}

/* --- opening ------------------------------------------------------------------------------------------------------------ */

size_t associates_scratch_bytes(const struct profile *profile, uint32_t row_count)
{
    size_t most = 0;
    struct profile_ask ask;
    for (uint32_t i = 0; i < profile_ask_count(profile); i++) {
        profile_ask_of(&ask, profile, i);
        size_t bytes = associated_arena_bytes(ask.answer_count, row_count);
        most = bytes > most ? bytes : most;
    }
    return most;
}

uint64_t associates_bytes(const struct config *config)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < config->associated_count; i++) {
        const struct config_associated *system = &config->associated[i];
        uint64_t call = (uint64_t)system->keys_max * REQUEST_KEY_BYTES + 12 * system->answer_bytes_max; /* and its values in memory */
        bytes += associated_kept_bytes(system->cached_max) + system->calls_max * call;
    }
    return bytes;
}

static enum fault system_open(struct system *system, const struct config *config, const struct config_associated *from,
                              struct fault_note *note)
{
    struct connect_secret key = {0}, token = {0};
    char name[CONNECT_NAME_BYTES_MAX + 1];
    const struct connect_settings *settings = &config->connect;
    snprintf(name, sizeof name, "associated.%s", from->name);
    enum fault fault = outward_secret(&key, config, from->key, CONNECT_SECRET_BYTES_MIN, note);
    if (fault == FAULT_NONE)
        fault = outward_secret(&token, config, from->token, CONNECT_SECRET_BYTES_MIN, note);
    const struct connector_options options = {.name = name,
                                              .url = from->url,
                                              .key = &key,
                                              .token = &token,
                                              .connect_ms = from->timeout_ms,
                                              .total_ms = from->timeout_ms,
                                              .answer_bytes_max = from->answer_bytes_max,
                                              .calls_max = from->calls_max + 1, /* the timer's never calls */
                                              .retry = {.first_ms = settings->retry_first_ms, .most_ms = settings->retry_most_ms},
                                              .failures_max = settings->breaker_failures,
                                              .open_ms = settings->breaker_open_ms};
    if (fault == FAULT_NONE)
        fault = connector_open(&system->connector, system->associates->http, &options, note);
    connect_secret_wipe(&key);
    connect_secret_wipe(&token);
    const struct associated_options asking = {.connector = system->connector,
                                              .keys_max = from->keys_max,
                                              .attempts_max = from->attempts_max,
                                              .cached_max = from->cached_max,
                                              .expiry_ms = from->expiry_ms};
    if (fault == FAULT_NONE)
        fault = associated_open(&system->associated, &asking, note);
    for (uint32_t i = 0; i < from->calls_max && fault == FAULT_NONE; i++) {
        if (!thread_start(&system->threads[i], system->name, CPU_ANY, system_run, system))
            fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no thread to ask %s", system->name);
        system->thread_count++;
    }
    return fault;
}

static enum fault http_take(struct associates *associates, const struct config *config, struct fault_note *note)
{
    const char *hosts[CONNECT_HOSTS_MAX];
    for (uint32_t i = 0; i < config->connect_host_count; i++)
        hosts[i] = config->connect_hosts[i];
    const struct http_options options = {
        .hosts = hosts, .host_count = config->connect_host_count, .plain = config->connect.plain, .ca_file = config->connect.ca_file};
    return http_open(&associates->http, &options, note);
}

enum fault associates_open(struct associates **out, struct pipeline *pipeline, const struct config *config, struct fault_note *note)
{
    uint32_t count = config->associated_count;
    *out = NULL;
    if (count == 0)
        return FAULT_NONE;
    struct associates *associates = memory_take_zeroed(1, sizeof *associates + count * sizeof *associates->systems);
    if (!associates)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for associated systems");
    associates->pipeline = pipeline;
    pthread_mutex_init(&associates->lock, NULL);
    enum fault fault = http_take(associates, config, note);
    for (uint32_t i = 0; i < count && fault == FAULT_NONE; i++) {
        struct system *system = &associates->systems[associates->system_count++];
        system->associates = associates;
        snprintf(system->name, sizeof system->name, "%s", config->associated[i].name);
        pthread_cond_init(&system->changed, NULL);
        fault = system_open(system, config, &config->associated[i], note);
    }
    if (fault != FAULT_NONE)
        associates_close(&associates);
    *out = associates;
    return fault;
}

void associates_stop(struct associates *associates)
{
    if (!associates)
        return;
    pthread_mutex_lock(&associates->lock);
    associates->stopping = true;
    for (uint32_t i = 0; i < associates->system_count; i++)
        pthread_cond_broadcast(&associates->systems[i].changed);
    pthread_mutex_unlock(&associates->lock);
    for (uint32_t i = 0; i < associates->system_count; i++)
        for (uint32_t k = 0; k < associates->systems[i].thread_count; k++)
            thread_join(&associates->systems[i].threads[k]);
}

void associates_close(struct associates **associates_p)
{
    struct associates *associates = *associates_p;
    *associates_p = NULL;
    if (!associates)
        return;
    associates_stop(associates);
    http_stop(associates->http);
    for (uint32_t i = 0; i < associates->system_count; i++) {
        struct system *system = &associates->systems[i];
        MUST(!system->first);
        associated_close(&system->associated);
        connector_close(&system->connector);
        pthread_cond_destroy(&system->changed);
    }
    http_close(&associates->http);
    pthread_mutex_destroy(&associates->lock);
    memory_give(associates);
}

/* --- figures ------------------------------------------------------------------------------------------------------------ */

static void head_put(struct wire_buffer *out, const char *metric, const char *kind, const char *help)
{
    char text[320];
    int bytes = snprintf(text, sizeof text, "# HELP sluice_associated_%s %s\n# TYPE sluice_associated_%s %s\n", metric, help, metric, kind);
    buffer_append(out, text, (size_t)bytes);
}

static void line_put(struct wire_buffer *out, const char *metric, const struct system *system, uint64_t value)
{
    char text[256];
    char label[2 * sizeof system->name];
    size_t used = 0;
    for (const char *at = system->name; *at; at++) {
        if (*at == '"' || *at == '\\')
            label[used++] = '\\';
        label[used++] = *at;
    }
    label[used] = '\0';
    int bytes = snprintf(text, sizeof text, "sluice_associated_%s{system=\"%s\"} %" PRIu64 "\n", metric, label, value);
    buffer_append(out, text, (size_t)bytes);
}

static uint64_t figure_of(struct system *system, unsigned figure)
{
    atomic_uint_fast64_t *const counters[] = {&system->batches, &system->asked, &system->kept, &system->silent};
    return atomic_load(counters[figure]);
}

void associates_prometheus(struct associates *associates, struct wire_buffer *out)
{
    static const char *const figures[][2] = {{"batches_total", "Batches that asked."},
                                             {"keys_asked_total", "Keys sent, each once for a batch."},
                                             {"keys_kept_total", "Keys whose answer was kept from before."},
                                             {"keys_silent_total", "Keys without an answer."}};
    struct connector_health health;
    if (!associates)
        return;
    for (unsigned i = 0; i < sizeof figures / sizeof *figures; i++) {
        head_put(out, figures[i][0], "counter", figures[i][1]);
        for (uint32_t s = 0; s < associates->system_count; s++)
            line_put(out, figures[i][0], &associates->systems[s], figure_of(&associates->systems[s], i));
    }
    for (unsigned counter = 0; counter < CONNECT_COUNTERS; counter++) {
        char metric[64];
        snprintf(metric, sizeof metric, "%s_total", connect_counter_names[counter]);
        head_put(out, metric, "counter", connect_counter_helps[counter]);
        for (uint32_t s = 0; s < associates->system_count; s++) {
            connector_health(associates->systems[s].connector, &health);
            line_put(out, metric, &associates->systems[s], health.counters[counter]);
        }
    }
    head_put(out, "breaker", "gauge", "0: requests go through, 1: kept back, 2: one tries.");
    for (uint32_t s = 0; s < associates->system_count; s++) {
        connector_health(associates->systems[s].connector, &health);
        line_put(out, "breaker", &associates->systems[s], health.breaker);
    }
    head_put(out, "waiting", "gauge", "Batches that wait to ask.");
    for (uint32_t s = 0; s < associates->system_count; s++) {
        pthread_mutex_lock(&associates->lock);
        uint32_t waiting = associates->systems[s].waiting;
        pthread_mutex_unlock(&associates->lock);
        line_put(out, "waiting", &associates->systems[s], waiting);
    }
}
