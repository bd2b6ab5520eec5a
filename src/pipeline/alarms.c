/* What is told stands in the ledger with its message, in one transaction. What the ledger cannot keep, since it is itself in
 * trouble, is sent past it, from this thread's memory alone. */
#define _GNU_SOURCE /* gethostname */
#include "pipeline/alarms.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/must.h"
#include "pipeline/internal.h"
#include "pipeline/outward.h"
#include "pipeline/posts.h"

enum { ALARMS_MAGIC = 0x414c524d, TROUBLES_MAX = 512, LOOK_MS = 500, DIRECT_PAUSE_US = 5000000 };

struct trouble {
    struct ledger_alarm is; /* since_us: when it was first seen, and what its messages are named by */
    int64_t seen_us;
    bool told, kept; /* kept: in the ledger */
    int64_t direct_us;
    bool sent[ALARM_CONNECTORS_MAX][CONNECTOR_TO_MAX];
};

struct alarms {
    unsigned magic;
    struct pipeline *pipeline;
    struct config *config; /* connectors and alarms of the start's, no more: no epoch is held up */
    char host[64];
    struct thread thread;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool closing;
    atomic_uint told;
    uint32_t count;
    struct trouble troubles[TROUBLES_MAX];
};

/* --- what is wrong ------------------------------------------------------------------------------------------------------ */

static struct trouble *trouble_find(struct alarms *alarms, const char *name)
{
    for (uint32_t i = 0; i < alarms->count; i++)
        if (strcmp(alarms->troubles[i].is.name, name) == 0)
            return &alarms->troubles[i];
    return NULL;
}

static void trouble_see(struct alarms *alarms, int64_t now_us, const char *name, const char *what)
{
    struct trouble *trouble = trouble_find(alarms, name);
    if (!trouble) {
        if (alarms->count == TROUBLES_MAX)
            return;
        trouble = &alarms->troubles[alarms->count];
        *trouble = (struct trouble){.is.since_us = now_us};
        snprintf(trouble->is.name, sizeof trouble->is.name, "%s", name);
        snprintf(trouble->is.what, sizeof trouble->is.what, "%s", what);
        alarms->count++;
    }
    trouble->seen_us = now_us;
}

static void brakes_look(struct alarms *alarms, int64_t now_us)
{
    struct pipeline *pipeline = alarms->pipeline;
    char names[16][129];
    uint32_t count = 0;
    pthread_mutex_lock(&pipeline->line_lock);
    for (uint32_t i = 0; i < pipeline->line_count && count < 16; i++)
        if (pipeline->lines[i].epochs > 0 && atomic_load(&pipeline->lines[i].brake.acts))
            snprintf(names[count++], sizeof names[0], "%s", pipeline->lines[i].name);
    pthread_mutex_unlock(&pipeline->line_lock);
    for (uint32_t i = 0; i < count; i++) {
        char name[96], what[160];
        snprintf(name, sizeof name, "brake.%.80s", names[i]);
        snprintf(what, sizeof what, "the brake of tenant %.80s acts: too many rows are held or rejected", names[i]);
        trouble_see(alarms, now_us, name, what);
    }
}

static void connectors_look(struct alarms *alarms, int64_t now_us)
{
    struct outward *outward = alarms->pipeline->outward;
    for (uint32_t i = 0; i < outward_count(outward); i++) {
        struct connector_health health;
        char name[96], what[160];
        struct connector *connector = outward_connector(outward, i);
        connector_health(connector, &health);
        snprintf(name, sizeof name, "connector.%.80s", connector_name(connector));
        const struct trouble *known = trouble_find(alarms, name);
        bool answered = !known || health.last_done_us > known->is.since_us || health.counters[CONNECT_COUNT_refused] > 0;
        if (health.breaker == BREAKER_CLOSED && answered) /* behind a start nobody was asked yet */
            continue;
        snprintf(what, sizeof what, "connector %.60s does not answer: %.70s", connector_name(connector), health.last_failure);
        trouble_see(alarms, now_us, name, what);
    }
}

/* Behind a start nothing is, until enough rows were counted. */
static bool drift_is_judged(const struct epoch *epoch)
{
    struct drift_report report = {0};
    drift_tell(&report, epoch);
    return !epoch->drift || report.judged;
}

static void server_look(struct alarms *alarms, int64_t now_us)
{
    struct pipeline *pipeline = alarms->pipeline;
    char what[160];
    struct epoch *epoch = epoch_hold(pipeline);
    if (drift_level_told(epoch) == DRIFT_ALARM || (trouble_find(alarms, "drift") && !drift_is_judged(epoch)))
        trouble_see(alarms, now_us, "drift", "the traffic drifts away from what the scene base was built from");
    epoch_release(&epoch);
    if (!pipeline_alive(pipeline))
        trouble_see(alarms, now_us, "stuck", "a stage of the pipeline stands still with work waiting");
    if (!atomic_load(&pipeline->records)) {
        pthread_mutex_lock(&pipeline->line_lock);
        snprintf(what, sizeof what, "the ledger cannot record: %.120s", pipeline->record_fault);
        pthread_mutex_unlock(&pipeline->line_lock);
        trouble_see(alarms, now_us, "ledger", what);
    }
}

/* --- telling ----------------------------------------------------------------------------------------------------------- */

static void id_of(char *out, size_t bytes, const struct trouble *trouble, bool over)
{
    snprintf(out, bytes, "%s/%s/%lld", over ? "over" : "alarm", trouble->is.name, (long long)trouble->is.since_us);
}

static void moment(char *out, size_t bytes, int64_t us)
{
    time_t seconds = (time_t)(us / US_PER_SECOND);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(out, bytes, "%Y-%m-%d %H:%M:%S UTC", &tm);
}

/* Fields of its message; NULL: no memory. */
static char *payload_of(const struct alarms *alarms, const struct trouble *trouble, bool over)
{
    char since[40], now[40], title[320], text[800], what[sizeof trouble->is.what];
    moment(since, sizeof since, trouble->is.since_us);
    moment(now, sizeof now, clock_wall_us());
    snprintf(what, sizeof what, "%s", trouble->is.what);
    for (char *at = what; *at; at++)
        if ((unsigned char)*at < ' ' || (unsigned char)*at > 0x7e) /* of another's answer, cut anywhere */
            *at = '?';
    snprintf(title, sizeof title, "%s: %s: %s", over ? "OVER" : "ALARM", alarms->host, what);
    snprintf(text, sizeof text, "%s\n%s\nserver: %s\nsince: %s\n%s%s%s", over ? "This is over:" : "This is wrong:", what, alarms->host,
             since, over ? "until: " : "", over ? now : "", over ? "\n" : "");
    return json_text(json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "title", title, "text", text, "name", trouble->is.name, "what", what,
                               "state", over ? "over" : "alarm", "server", alarms->host, "since", since),
                     JSON_COMPACT);
}

/* Into the ledger, with the note that it was told. */
static bool keep(struct alarms *alarms, struct trouble *trouble, bool over)
{
    struct outbox outbox = {0};
    struct fault_note note = {0};
    char id[LETTER_ID_BYTES_MAX + 1];
    struct ledger_alarm alarm = trouble->is;
    char *payload = payload_of(alarms, trouble, over);
    enum fault fault = payload ? FAULT_NONE : FAULT_memory;
    id_of(id, sizeof id, trouble, over);
    for (uint32_t i = 0; i < alarms->config->alarm_connector_count && fault == FAULT_NONE; i++)
        fault = outbox_add(&outbox, alarms->config, alarms->config->alarm_connectors[i], over ? "over" : "alarm", id, NULL, payload, &note);
    alarm.since_us = over ? 0 : alarm.since_us;
    struct pipeline *pipeline = alarms->pipeline;
    if (fault == FAULT_NONE)
        fault = pipeline->ledger_ops->messages->put(pipeline->ledger, outbox.messages, outbox.count, clock_wall_us(), &alarm, &note);
    outbox_fini(&outbox);
    json_text_give(payload);
    if (fault == FAULT_NONE)
        outward_wake(pipeline->outward);
    return fault == FAULT_NONE;
}

static uint32_t post_index(const struct posts *posts, const char *name)
{
    uint32_t i = 0;
    while (i < posts_count(posts) && strcmp(posts_config(posts, i)->name, name) != 0)
        i++;
    return i;
}

static bool is_closing(struct alarms *alarms)
{
    pthread_mutex_lock(&alarms->lock);
    bool closing = alarms->closing;
    pthread_mutex_unlock(&alarms->lock);
    return closing;
}

/* Past the ledger. true: everybody knows. */
static bool send_direct(struct alarms *alarms, struct trouble *trouble, int64_t now_us)
{
    struct posts *posts = outward_posts(alarms->pipeline->outward);
    char id[LETTER_ID_BYTES_MAX + 1];
    bool all = true;
    if (now_us < trouble->direct_us)
        return false;
    char *payload = payload_of(alarms, trouble, false);
    id_of(id, sizeof id, trouble, false);
    for (uint32_t i = 0; i < alarms->config->alarm_connector_count && payload; i++) {
        uint32_t index = post_index(posts, alarms->config->alarm_connectors[i]);
        const struct config_connector *to = posts_config(posts, index);
        uint32_t recipients = to->to_count ? to->to_count : 1;
        for (uint32_t k = 0; k < recipients; k++) {
            struct fault_note note = {0};
            if (trouble->sent[i][k] || is_closing(alarms))
                continue;
            enum connect_outcome outcome = posts_send_now(posts, index, "alarm", id, to->to_count ? to->to[k] : id, payload, &note);
            trouble->sent[i][k] = outcome != CONNECT_AGAIN;
            all &= outcome != CONNECT_AGAIN;
            if (outcome != CONNECT_DONE)
                log_line(LOG_ERROR, "alarm", "%s could not be told of %s: %s", to->name, trouble->is.name, note.text);
        }
    }
    trouble->direct_us = clock_wall_us() + DIRECT_PAUSE_US;
    all &= payload != NULL;
    json_text_give(payload);
    return all;
}

/* The ledger may stand still as well as refuse: what is wrong with it is not put into it first. */
static void begin_tell(struct alarms *alarms, struct trouble *trouble, int64_t now_us)
{
    bool of_ledger = strcmp(trouble->is.name, "ledger") == 0 || strcmp(trouble->is.name, "stuck") == 0;
    bool begun = trouble->direct_us > 0;
    if (!begun)
        log_line(LOG_ERROR, "alarm", "%s: %s", trouble->is.name, trouble->is.what);
    if (!of_ledger && !begun && atomic_load(&alarms->pipeline->records) && keep(alarms, trouble, false))
        trouble->told = trouble->kept = true;
    else
        trouble->told = send_direct(alarms, trouble, now_us);
}

/* false: it is told and gone. */
static bool trouble_goes_on(struct alarms *alarms, struct trouble *trouble, int64_t now_us)
{
    const struct config_alarms *rules = &alarms->config->alarms;
    bool is_there = trouble->seen_us == now_us;
    if (!trouble->told && is_there && now_us - trouble->is.since_us >= rules->delay_us)
        begin_tell(alarms, trouble, now_us);
    if (is_there)
        return true;
    if (!trouble->told && trouble->direct_us == 0)
        return false; /* nobody was told */
    if (now_us - trouble->seen_us < rules->settle_us)
        return true;
    if (!keep(alarms, trouble, true))
        return true;
    log_line(LOG_INFO, "alarm", "%s: over", trouble->is.name);
    return false;
}

static void look(struct alarms *alarms)
{
    int64_t now_us = clock_wall_us();
    uint32_t kept = 0, told = 0;
    brakes_look(alarms, now_us);
    connectors_look(alarms, now_us);
    server_look(alarms, now_us);
    for (uint32_t i = 0; i < alarms->count; i++)
        if (trouble_goes_on(alarms, &alarms->troubles[i], now_us)) {
            told += alarms->troubles[i].told;
            if (kept != i)
                alarms->troubles[kept] = alarms->troubles[i];
            kept++;
        }
    alarms->count = kept;
    atomic_store(&alarms->told, told);
}

static void alarms_run(void *context)
{
    struct alarms *alarms = context;
    for (bool closing = false; !closing;) {
        look(alarms);
        int64_t until_ns = clock_steady_ns() + LOOK_MS * 1000000LL;
        const struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
        pthread_mutex_lock(&alarms->lock);
        while (!alarms->closing && pthread_cond_timedwait(&alarms->woken, &alarms->lock, &until) == 0)
            ;
        closing = alarms->closing;
        pthread_mutex_unlock(&alarms->lock);
    }
}

/* --- opening ----------------------------------------------------------------------------------------------------------- */

static void known_take(void *context, const struct ledger_alarm *alarm)
{
    struct alarms *alarms = context;
    if (alarms->count < TROUBLES_MAX)
        alarms->troubles[alarms->count++] = (struct trouble){.is = *alarm, .seen_us = clock_wall_us(), .told = true, .kept = true};
}

static struct config *config_copy(const struct config *config)
{
    struct config *copy = memory_take_zeroed(1, sizeof *copy);
    if (!copy)
        return NULL;
    copy->alarms = config->alarms;
    copy->alarm_connector_count = config->alarm_connector_count;
    memcpy(copy->alarm_connectors, config->alarm_connectors, sizeof copy->alarm_connectors);
    copy->connector_count = config->connector_count;
    memcpy(copy->connectors, config->connectors, config->connector_count * sizeof *copy->connectors);
    return copy;
}

enum fault alarms_open(struct alarms **out, struct pipeline *pipeline, const struct config *config, struct fault_note *note)
{
    pthread_condattr_t attributes;
    *out = NULL;
    if (config->alarm_connector_count == 0)
        return FAULT_NONE;
    struct alarms *alarms = memory_take_zeroed(1, sizeof *alarms);
    if (!alarms)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for alarms");
    alarms->magic = ALARMS_MAGIC;
    alarms->pipeline = pipeline;
    gethostname(alarms->host, sizeof alarms->host - 1);
    pthread_mutex_init(&alarms->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&alarms->woken, &attributes);
    pthread_condattr_destroy(&attributes);
    *out = alarms;
    if (!(alarms->config = config_copy(config)))
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for alarms");
    enum fault fault = pipeline->ledger_ops->messages->alarms(pipeline->ledger, known_take, alarms, note);
    if (fault == FAULT_NONE && !thread_start(&alarms->thread, "alarms", CPU_ANY, alarms_run, alarms))
        fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no thread for alarms");
    return fault;
}

void alarms_close(struct alarms **alarms_p)
{
    struct alarms *alarms = *alarms_p;
    *alarms_p = NULL;
    if (!alarms)
        return;
    MUST(alarms->magic == ALARMS_MAGIC);
    pthread_mutex_lock(&alarms->lock);
    alarms->closing = true;
    pthread_cond_broadcast(&alarms->woken);
    pthread_mutex_unlock(&alarms->lock);
    thread_join(&alarms->thread);
    pthread_cond_destroy(&alarms->woken);
    pthread_mutex_destroy(&alarms->lock);
    memory_give(alarms->config);
    alarms->magic = 0;
    memory_give(alarms);
}

void alarms_prometheus(struct alarms *alarms, struct wire_buffer *out)
{
    char line[160];
    int bytes = snprintf(line, sizeof line,
                         "# HELP sluice_alarms Troubles that were told and are not over.\n# TYPE sluice_alarms gauge\nsluice_alarms %u\n",
                         alarms ? atomic_load(&alarms->told) : 0);
    buffer_append(out, line, (size_t)bytes);
}
