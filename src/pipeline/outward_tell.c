/* What is told of what leaves: figures, what waits and what is dead, and how each connector is. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "connect/connector.h"
#include "pipeline/internal.h"
#include "pipeline/outward.h"
#include "wire/pack.h"

enum { LETTERS_DEFAULT = 100, LETTERS_MAX = 1000, LETTER_PAIRS = 12, COUNTS_MAX = 512, ENTRY_BYTES = 32 };

struct counts { /* of what the ledger holds */
    uint32_t count;
    struct ledger_letter_count of[COUNTS_MAX];
};

static void count_take(void *context, const struct ledger_letter_count *count)
{
    struct counts *counts = context;
    if (counts->count < COUNTS_MAX && (count->waiting || count->dead))
        counts->of[counts->count++] = *count;
}

static struct counts *counts_read(struct pipeline *pipeline, struct fault_note *note)
{
    struct counts *counts = memory_take_zeroed(1, sizeof *counts);
    if (!counts)
        fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to count what waits");
    else
        pipeline->ledger_ops->messages->counts(pipeline->ledger, count_take, counts, note);
    return counts;
}

static const struct ledger_letter_count *count_of(const struct counts *counts, const char *connector)
{
    static const struct ledger_letter_count none;
    for (uint32_t i = 0; counts && i < counts->count; i++)
        if (strcmp(counts->of[i].connector, connector) == 0)
            return &counts->of[i];
    return &none;
}

/* --- figures ----------------------------------------------------------------------------------------------------------- */

/* Tenants' names are printable; quotes and backslashes are escaped as the text format wants it. */
static void label_of(char *out, size_t bytes, const char *name)
{
    size_t used = 0;
    for (; *name && used + 3 < bytes; name++) {
        if (*name == '"' || *name == '\\')
            out[used++] = '\\';
        out[used++] = *name;
    }
    out[used] = 0;
}

static void line_put(struct wire_buffer *out, const char *metric, const char *connector, uint64_t value)
{
    char label[2 * CONNECT_NAME_BYTES_MAX + 1], line[512];
    label_of(label, sizeof label, connector);
    int bytes = snprintf(line, sizeof line, "sluice_connector_%s{connector=\"%s\"} %" PRIu64 "\n", metric, label, value);
    buffer_append(out, line, (size_t)bytes);
}

static void head_put(struct wire_buffer *out, const char *metric, const char *kind, const char *help)
{
    char line[320];
    int bytes = snprintf(line, sizeof line, "# HELP sluice_connector_%s %s\n# TYPE sluice_connector_%s %s\n", metric, help, metric, kind);
    buffer_append(out, line, (size_t)bytes);
}

static void counts_put(struct pipeline *pipeline, struct wire_buffer *out)
{
    static const char *const names[] = {"waiting", "dead", "oldest_seconds"};
    static const char *const helps[] = {"Second batches or messages that wait.", "Dead letters.", "Age of the oldest that waits."};
    struct fault_note note = {0};
    struct counts *counts = counts_read(pipeline, &note);
    for (unsigned figure = 0; figure < 3; figure++) {
        head_put(out, names[figure], "gauge", helps[figure]);
        for (uint32_t i = 0; i < outward_count(pipeline->outward); i++) {
            const char *name = connector_name(outward_connector(pipeline->outward, i));
            const struct ledger_letter_count *count = count_of(counts, name);
            int64_t age_us = count->oldest_us ? clock_wall_us() - count->oldest_us : 0;
            const uint64_t values[] = {count->waiting, count->dead, age_us > 0 ? (uint64_t)age_us / US_PER_SECOND : 0};
            line_put(out, names[figure], name, values[figure]);
        }
    }
    memory_give(counts);
}

void outward_prometheus(struct pipeline *pipeline, struct wire_buffer *out)
{
    struct outward *outward = pipeline->outward;
    struct connector_health health;
    if (!outward)
        return;
    for (unsigned counter = 0; counter < CONNECT_COUNTERS; counter++) {
        char metric[64];
        snprintf(metric, sizeof metric, "%s_total", connect_counter_names[counter]);
        head_put(out, metric, "counter", connect_counter_helps[counter]);
        for (uint32_t i = 0; i < outward_count(outward); i++) {
            connector_health(outward_connector(outward, i), &health);
            line_put(out, metric, connector_name(outward_connector(outward, i)), health.counters[counter]);
        }
    }
    head_put(out, "breaker", "gauge", "0: calls go through, 1: kept back, 2: one tries.");
    for (uint32_t i = 0; i < outward_count(outward); i++) {
        connector_health(outward_connector(outward, i), &health);
        line_put(out, "breaker", connector_name(outward_connector(outward, i)), health.breaker);
    }
    counts_put(pipeline, out);
}

/* --- answers ----------------------------------------------------------------------------------------------------------- */

static void head_pack(struct job *job, uint32_t further_pairs)
{
    wire_pack_map(&job->reply, 3 + further_pairs);
    pack_key_i64(&job->reply, "v", 1);
    pack_key_str(&job->reply, "id", job->request.id);
    pack_key_text(&job->reply, "status", "ok");
}

static void connector_pack(struct wire_buffer *out, struct connector *connector, const char *kind, const struct ledger_letter_count *count)
{
    struct connector_health health;
    connector_health(connector, &health);
    wire_pack_map(out, 13);
    pack_key_text(out, "name", connector_name(connector));
    pack_key_text(out, "kind", kind);
    pack_key_text(out, "breaker", breaker_state_names[health.breaker]);
    pack_key_i64(out, "failures", health.failures);
    pack_key_i64(out, "waiting", (int64_t)count->waiting);
    pack_key_i64(out, "dead", (int64_t)count->dead);
    pack_key_i64(out, "oldest", count->oldest_us);
    pack_key_i64(out, "last_done", health.last_done_us);
    pack_key_i64(out, "last_failed", health.last_failed_us);
    pack_key_i64(out, "delivered", (int64_t)health.counters[CONNECT_COUNT_delivered]);
    pack_key_i64(out, "refused", (int64_t)health.counters[CONNECT_COUNT_refused]);
    pack_key_i64(out, "failed", (int64_t)health.counters[CONNECT_COUNT_failed]);
    wire_pack_text(out, "last_failure");
    pack_clean(out, text_of(health.last_failure));
}

static void answer_health(struct job *job)
{
    struct outward *outward = job->pipeline->outward;
    struct counts *counts = counts_read(job->pipeline, &job->note);
    if (job->note.fault == FAULT_NONE) {
        head_pack(job, 1);
        wire_pack_text(&job->reply, "connectors");
        wire_pack_array(&job->reply, outward_count(outward));
        for (uint32_t i = 0; i < outward_count(outward); i++) {
            struct connector *connector = outward_connector(outward, i);
            connector_pack(&job->reply, connector, outward_kind(outward, i), count_of(counts, connector_name(connector)));
        }
    }
    memory_give(counts);
}

struct page {
    struct wire_buffer rows;
    uint32_t count;
    uint64_t last_release, last;
};

static bool letter_pack(void *context, const struct ledger_letter *letter)
{
    struct page *page = context;
    struct wire_buffer *out = &page->rows;
    char entry[ENTRY_BYTES];
    snprintf(entry, sizeof entry, "%c%" PRIu64, letter->is_release ? 'r' : 'm', letter->entry);
    wire_pack_map(out, LETTER_PAIRS);
    pack_key_text(out, "entry", entry);
    pack_key_text(out, "connector", letter->connector);
    pack_key_text(out, "subject", letter->subject);
    pack_key_text(out, "recipient", letter->recipient);
    pack_key_text(out, "id", letter->id);
    pack_key_text(out, "state", outbox_state_names[letter->state]);
    pack_key_i64(out, "attempts", letter->attempts);
    pack_key_i64(out, "made", letter->made_us);
    pack_key_i64(out, "due", letter->due_us);
    pack_key_i64(out, "sequence", (int64_t)letter->sequence);
    wire_pack_text(out, "why");
    pack_clean(out, text_of(letter->why));
    pack_key_i64(out, "waits_since", letter->since_us);
    *(letter->is_release ? &page->last_release : &page->last) = letter->entry;
    page->count++;
    return !out->failed;
}

/* "r<entry>m<entry>": behind these. */
static bool cursor_read(struct ledger_letter_query *out, struct text cursor)
{
    char text[64], *end = text;
    text_copy(text, sizeof text, cursor);
    if (text[0] == 0)
        return true;
    if (text[0] != 'r')
        return false;
    out->after_release = strtoull(text + 1, &end, 10);
    if (*end != 'm')
        return false;
    out->after = strtoull(end + 1, &end, 10);
    return *end == 0;
}

static enum fault query_read(struct ledger_letter_query *out, const struct job *job, struct fault_note *note)
{
    const struct request *request = &job->request;
    *out = (struct ledger_letter_query){.connector = request->connector, .state = -1, .rows_max = LETTERS_DEFAULT};
    for (int i = 0; i < OUTBOX_COUNT; i++)
        if (text_equal(request->state, text_of(outbox_state_names[i])))
            out->state = i;
    if (request->state.bytes && out->state < 0)
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "state is waiting, acknowledged or dead");
    if (request->rows_max < 0 || request->rows_max > LETTERS_MAX)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "rows_max is 1 to %d", LETTERS_MAX);
    if (request->rows_max)
        out->rows_max = (uint32_t)request->rows_max;
    return cursor_read(out, request->cursor)
               ? FAULT_NONE
               : fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "cursor is not one that this server gave");
}

static void answer_list(struct job *job)
{
    struct ledger_letter_query query;
    char cursor[64] = "";
    if (query_read(&query, job, &job->note) != FAULT_NONE)
        return;
    struct page page = {.last = query.after, .last_release = query.after_release};
    if (job->pipeline->ledger_ops->messages->list(job->pipeline->ledger, &query, letter_pack, &page, &job->note) == FAULT_NONE) {
        if (page.count == query.rows_max)
            snprintf(cursor, sizeof cursor, "r%" PRIu64 "m%" PRIu64, page.last_release, page.last);
        head_pack(job, 2);
        pack_key_text(&job->reply, "cursor", cursor);
        wire_pack_text(&job->reply, "messages");
        wire_pack_array(&job->reply, page.count);
        buffer_append(&job->reply, page.rows.data, page.rows.bytes);
        job->reply.failed |= page.rows.failed;
    }
    wire_buffer_fini(&page.rows);
}

static bool entry_read(struct text text, bool *out_release, uint64_t *out_entry)
{
    char copy[ENTRY_BYTES], *end = copy;
    text_copy(copy, sizeof copy, text);
    *out_release = copy[0] == 'r';
    *out_entry = copy[0] ? strtoull(copy + 1, &end, 10) : 0;
    return (copy[0] == 'r' || copy[0] == 'm') && end > copy + 1 && *end == 0 && *out_entry > 0;
}

static void answer_resend(struct job *job)
{
    const struct request *request = &job->request;
    struct pipeline *pipeline = job->pipeline;
    const struct ledger_message_ops *ops = pipeline->ledger_ops->messages;
    uint32_t releases = 0, messages = 0;
    uint64_t entry = 0;
    bool release = false;
    if (request->entry.bytes == 0 && request->connector.bytes == 0) {
        fault_set(&job->note, FAULT_schema, ROW_NONE, COLUMN_NONE, "connect.resend needs entry or connector");
        return;
    }
    if (request->entry.bytes && !entry_read(request->entry, &release, &entry)) {
        fault_set(&job->note, FAULT_schema, ROW_NONE, COLUMN_NONE, "entry is not one that connect.list tells");
        return;
    }
    enum fault fault = FAULT_NONE;
    if (entry == 0 || release)
        fault = ops->resend(pipeline->ledger, true, entry, request->connector, clock_wall_us(), &releases, &job->note);
    if (fault == FAULT_NONE && (entry == 0 || !release))
        fault = ops->resend(pipeline->ledger, false, entry, request->connector, clock_wall_us(), &messages, &job->note);
    if (fault != FAULT_NONE)
        return;
    if (entry > 0 && releases + messages == 0) {
        fault_set(&job->note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "no such dead letter");
        return;
    }
    log_line(LOG_INFO, "connect", "%u dead letters of %.*s are sent again, by %.*s/%s", releases + messages,
             request->entry.bytes ? (int)request->entry.bytes : (int)request->connector.bytes,
             request->entry.bytes ? request->entry.data : request->connector.data, (int)request->tenant.bytes, request->tenant.data,
             job->credential->name);
    outward_wake(pipeline->outward);
    head_pack(job, 1);
    pack_key_i64(&job->reply, "count", releases + messages);
}

void answer_connect(struct job *job)
{
    if (job->request.op == OP_connect_list)
        answer_list(job);
    else if (job->request.op == OP_connect_resend)
        answer_resend(job);
    else
        answer_health(job);
}
