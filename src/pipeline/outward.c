/* The ledger's outbox as the senders see it. Whatever fails between a release and its mark makes the same bytes leave again. */
#include "pipeline/outward.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "connect/connector.h"
#include "connect/http.h"
#include "connect/sender.h"
#include "pipeline/internal.h"
#include "pipeline/posts.h"
#include "wire/release.h"

enum { ANSWER_BYTES_MAX = 64 << 10 };

/* Texts of second batches in memory: one is made at a time, when those on their way have at most bytes_max together. */
struct bodies {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool making;
    size_t bytes, bytes_max;
};

struct way { /* of one tenant */
    struct bodies *bodies;
    const struct ledger_ops *ledger_ops;
    struct ledger *ledger;
    char tenant[129];
    struct connector *connector;
    struct sender *sender;
};

struct outward {
    struct http *http;
    struct posts *posts;
    struct bodies bodies;
    uint32_t way_count;
    struct way ways[]; /* one for each tenant that names a processor */
};

/* <tenant>/<derived id>: one processor may serve several tenants. In the tenant's name / and % stand as %2F and %25. */
static void key_of(char *out, size_t bytes, const char *tenant, const char *derived_id)
{
    size_t used = 0;
    for (; *tenant && used + 4 < bytes; tenant++) {
        if (*tenant == '/' || *tenant == '%')
            used += (size_t)snprintf(out + used, bytes - used, "%%%02X", (unsigned char)*tenant);
        else
            out[used++] = *tenant;
    }
    snprintf(out + used, bytes - used, "/%s", derived_id);
}

static enum fault way_next(void *context, struct outbox_entry *out, uint64_t after, int64_t now_us, struct fault_note *note)
{
    struct way *way = context;
    struct ledger_outbox found;
    enum fault fault = way->ledger_ops->outbox_next(way->ledger, &found, way->tenant, after, now_us, note);
    *out = (struct outbox_entry){.entry = found.entry, .attempts = found.attempts};
    key_of(out->id, sizeof out->id, way->tenant, found.derived_id);
    snprintf(out->name, sizeof out->name, "%s", found.derived_id);
    return fault;
}

static void making_begin(struct bodies *bodies)
{
    pthread_mutex_lock(&bodies->lock);
    while (bodies->making || bodies->bytes > bodies->bytes_max)
        pthread_cond_wait(&bodies->changed, &bodies->lock);
    bodies->making = true;
    pthread_mutex_unlock(&bodies->lock);
}

static void making_end(struct bodies *bodies, size_t bytes)
{
    pthread_mutex_lock(&bodies->lock);
    bodies->making = false;
    bodies->bytes += bytes;
    pthread_cond_broadcast(&bodies->changed);
    pthread_mutex_unlock(&bodies->lock);
}

static void way_give(void *context, char *bytes, size_t byte_count)
{
    struct bodies *bodies = ((struct way *)context)->bodies;
    memory_give(bytes);
    pthread_mutex_lock(&bodies->lock);
    bodies->bytes -= byte_count;
    pthread_cond_broadcast(&bodies->changed);
    pthread_mutex_unlock(&bodies->lock);
}

struct writing {
    struct wire_buffer buffer;
    size_t bytes_max;
    uint32_t told;
};

static bool rows_write(void *context, const struct batch *batch, const uint32_t *rows, uint32_t row_count)
{
    struct writing *writing = context;
    release_rows(&writing->buffer, batch, rows, row_count, writing->bytes_max, &writing->told);
    return !writing->buffer.failed && writing->buffer.bytes <= writing->bytes_max;
}

static enum fault body_make(struct way *way, const struct outbox_entry *entry, char **out, size_t *out_bytes, struct fault_note *note)
{
    struct ledger_outbox found;
    struct writing writing = {.bytes_max = way->bodies->bytes_max};
    enum fault fault = way->ledger_ops->outbox_next(way->ledger, &found, way->tenant, entry->entry - 1, INT64_MAX, note);
    if (fault == FAULT_NONE && found.entry != entry->entry)
        fault = fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "second batch %" PRIu64 " waits no more", entry->entry);
    if (fault == FAULT_NONE) {
        release_begin(&writing.buffer, &(struct release_head){found.derived_id, found.tenant, found.batch, found.row_count});
        fault = way->ledger_ops->outbox_rows(way->ledger, entry->entry, rows_write, &writing, note);
    }
    if (fault == FAULT_NONE && writing.buffer.bytes > writing.bytes_max)
        fault = fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE,
                          "it has more than %zu bytes as JSON: raise limits.message_max or rows_max", writing.bytes_max);
    if (fault == FAULT_NONE)
        fault = release_end(&writing.buffer, note);
    if (fault == FAULT_NONE && writing.told != found.row_count)
        fault = fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "second batch %.60s has %u rows, %u were released", entry->name,
                          writing.told, found.row_count);
    if (fault != FAULT_NONE) {
        memory_give(writing.buffer.data);
        return fault;
    }
    *out = writing.buffer.data;
    *out_bytes = writing.buffer.bytes;
    return FAULT_NONE;
}

static enum fault way_payload(void *context, const struct outbox_entry *entry, char **out, size_t *out_bytes, struct fault_note *note)
{
    struct way *way = context;
    making_begin(way->bodies);
    *out_bytes = 0;
    enum fault fault = body_make(way, entry, out, out_bytes, note);
    making_end(way->bodies, *out_bytes);
    return fault;
}

static enum fault way_mark(void *context, const struct outbox_entry *entry, enum outbox_mark mark, uint32_t attempts, int64_t due_us,
                           const char *why, struct fault_note *note)
{
    static const enum outbox_state states[] = {
        [OUTBOX_MARK_DONE] = OUTBOX_ACKNOWLEDGED, [OUTBOX_MARK_AGAIN] = OUTBOX_WAITING, [OUTBOX_MARK_REFUSED] = OUTBOX_DEAD};
    struct way *way = context;
    (void)why; /* in the log */
    return way->ledger_ops->outbox_mark(way->ledger, entry->entry, states[mark], attempts, due_us, note);
}

_Static_assert(CONNECT_ID_BYTES_MAX >= 3 * 128 + 1 + sizeof((struct ledger_outbox *)0)->derived_id, "room for a key");
static const struct outbox_ops way_ops = {.next = way_next, .payload = way_payload, .give = way_give, .mark = way_mark};

/* A relative file lies beside the configuration. */
enum fault outward_secret(struct connect_secret *out, const struct config *config, const char *from, size_t least, struct fault_note *note)
{
    char path[1024];
    const char *slash = strrchr(config->source, '/');
    *out = (struct connect_secret){0};
    if (from[0] == '\0')
        return FAULT_NONE;
    if (strncmp(from, "file:", 5) != 0 || from[5] == '/' || !slash)
        return connect_secret_read(out, from, least, note);
    snprintf(path, sizeof path, "file:%.*s%.256s", (int)(slash + 1 - config->source), config->source, from + 5);
    return connect_secret_read(out, path, least, note);
}

static enum fault way_open(struct way *way, struct http *http, const struct config *config, const struct config_tenant *tenant,
                           struct fault_note *note)
{
    struct connect_secret key = {0}, token = {0};
    char name[CONNECT_NAME_BYTES_MAX + 1];
    snprintf(name, sizeof name, "processor.%s", tenant->name);
    snprintf(way->tenant, sizeof way->tenant, "%s", tenant->name);
    enum fault fault = outward_secret(&key, config, tenant->processor_key, CONNECT_SECRET_BYTES_MIN, note);
    if (fault == FAULT_NONE)
        fault = outward_secret(&token, config, tenant->processor_token, CONNECT_SECRET_BYTES_MIN, note);
    const struct connect_settings *settings = &config->connect;
    const struct connector_options options = {.name = name,
                                              .url = tenant->processor,
                                              .key = &key,
                                              .token = &token,
                                              .connect_ms = settings->timeout_ms,
                                              .total_ms = settings->timeout_ms,
                                              .answer_bytes_max = ANSWER_BYTES_MAX,
                                              .calls_max = 1,
                                              .retry = {.first_ms = settings->retry_first_ms, .most_ms = settings->retry_most_ms},
                                              .failures_max = settings->breaker_failures,
                                              .open_ms = settings->breaker_open_ms};
    if (fault == FAULT_NONE)
        fault = connector_open(&way->connector, http, &options, note);
    connect_secret_wipe(&key);
    connect_secret_wipe(&token);
    const struct sender_options sending = {.subject = "release",
                                           .content_type = "application/json",
                                           .connector = way->connector,
                                           .outbox = &way_ops,
                                           .context = way,
                                           .answer = sender_release_answer};
    return fault == FAULT_NONE ? sender_open(&way->sender, &sending, note) : fault;
}

static enum fault ways_open(struct outward *outward, struct pipeline *pipeline, const struct config *config, struct fault_note *note)
{
    const char *hosts[CONNECT_HOSTS_MAX];
    for (uint32_t i = 0; i < config->connect_host_count; i++)
        hosts[i] = config->connect_hosts[i];
    const struct http_options options = {
        .hosts = hosts, .host_count = config->connect_host_count, .plain = config->connect.plain, .ca_file = config->connect.ca_file};
    enum fault fault = http_open(&outward->http, &options, note);
    if (fault == FAULT_NONE)
        fault = posts_open(&outward->posts, pipeline, config, outward->http, note);
    for (uint32_t i = 0; i < config->tenant_count && fault == FAULT_NONE; i++) {
        if (config->tenants[i].processor[0] == '\0')
            continue;
        struct way *way = &outward->ways[outward->way_count++];
        way->ledger_ops = pipeline->ledger_ops;
        way->ledger = pipeline->ledger;
        way->bodies = &outward->bodies;
        fault = way_open(way, outward->http, config, &config->tenants[i], note);
    }
    return fault;
}

enum fault outward_open(struct outward **out, struct pipeline *pipeline, const struct config *config, struct fault_note *note)
{
    uint32_t count = 0;
    *out = NULL;
    for (uint32_t i = 0; i < config->tenant_count; i++)
        count += config->tenants[i].processor[0] != '\0';
    if (count == 0 && config->connector_count == 0)
        return FAULT_NONE;
    struct outward *outward = memory_take_zeroed(1, sizeof *outward + count * sizeof *outward->ways);
    if (!outward)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for what leaves");
    pthread_mutex_init(&outward->bodies.lock, NULL);
    pthread_cond_init(&outward->bodies.changed, NULL);
    outward->bodies.bytes_max = bounds_body_bytes(config);
    enum fault fault = ways_open(outward, pipeline, config, note);
    if (fault != FAULT_NONE)
        outward_close(&outward);
    *out = outward;
    return fault;
}

void outward_close(struct outward **outward_p)
{
    struct outward *outward = *outward_p;
    *outward_p = NULL;
    if (!outward)
        return;
    http_stop(outward->http); /* senders may still begin a call, which ends at once */
    posts_stop(outward->posts);
    for (uint32_t i = 0; i < outward->way_count; i++) {
        sender_close(&outward->ways[i].sender);
        connector_close(&outward->ways[i].connector);
    }
    posts_close(&outward->posts);
    http_close(&outward->http);
    pthread_cond_destroy(&outward->bodies.changed);
    pthread_mutex_destroy(&outward->bodies.lock);
    memory_give(outward);
}

uint32_t outward_tenants(const struct outward *outward, const char **out, uint32_t most)
{
    uint32_t count = 0;
    for (uint32_t i = 0; outward && i < outward->way_count && count < most; i++)
        out[count++] = outward->ways[i].tenant;
    return count;
}

void outward_wake(struct outward *outward)
{
    for (uint32_t i = 0; outward && i < outward->way_count; i++)
        sender_wake(outward->ways[i].sender);
    posts_wake(outward ? outward->posts : NULL);
}

struct posts *outward_posts(struct outward *outward)
{
    return outward ? outward->posts : NULL;
}

uint32_t outward_count(const struct outward *outward)
{
    return outward ? outward->way_count + posts_count(outward->posts) : 0;
}

struct connector *outward_connector(const struct outward *outward, uint32_t index)
{
    return index < outward->way_count ? outward->ways[index].connector : posts_connector(outward->posts, index - outward->way_count);
}

const char *outward_kind(const struct outward *outward, uint32_t index)
{
    return index < outward->way_count ? "processor" : connector_kind_names[posts_config(outward->posts, index - outward->way_count)->kind];
}
