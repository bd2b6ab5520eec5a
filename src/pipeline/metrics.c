#include "pipeline/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/memory.h"

static const char *const step_names[STEP_COUNT] = {
#define STEP(name) #name,
    BATCH_STEPS(STEP)
#undef STEP
};

enum { STEPS_TIMED = STEP_COUNT - 1 };

/* One call scores scenes and anomaly, and is told as scene. */
static bool step_is_timed(unsigned step)
{
    return step != STEP_anomaly;
}

static uint64_t read_counter(const atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void add(atomic_uint_fast64_t *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

static int64_t thread_cpu_ns(void)
{
    struct timespec spent;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return spent.tv_sec * 1000000000LL + spent.tv_nsec;
}

struct step_watch watch_begin(void)
{
    return (struct step_watch){.wall_ns = clock_steady_ns(), .cpu_ns = thread_cpu_ns()};
}

void watch_end(struct metrics *metrics, enum batch_step step, struct step_watch watch)
{
    add(&metrics->step_cpu_ns[step], (uint64_t)(thread_cpu_ns() - watch.cpu_ns));
    histogram_add(&metrics->steps[step], clock_steady_ns() - watch.wall_ns);
}

static unsigned bucket_of(int64_t ns)
{
    unsigned bucket = 0;
    for (uint64_t us = ns > 0 ? ((uint64_t)ns + 999) / 1000 : 0; us > 1 && bucket < HISTOGRAM_BUCKETS - 1; us = (us + 1) >> 1)
        bucket++;
    return bucket;
}

void histogram_add(struct histogram *histogram, int64_t ns)
{
    add(&histogram->buckets[bucket_of(ns)], 1);
    add(&histogram->sum_ns, ns > 0 ? (uint64_t)ns : 0);
    add(&histogram->count, 1);
}

uint64_t histogram_quantile_ns(const struct histogram *histogram, double quantile)
{
    uint64_t total = 0, seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        total += read_counter(&histogram->buckets[i]);
    if (total == 0)
        return 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += read_counter(&histogram->buckets[i]);
        if ((double)seen >= quantile * (double)total)
            return 1000ull << i;
    }
    return 1000ull << (HISTOGRAM_BUCKETS - 1);
}

void buffer_append(struct wire_buffer *out, const void *data, size_t bytes)
{
    if (out->failed || bytes == 0)
        return;
    if (bytes > out->capacity - out->bytes) {
        size_t capacity = 2 * out->capacity + bytes + 16384;
        char *grown = memory_resize(out->data, capacity);
        if (!grown) {
            out->failed = true;
            return;
        }
        out->data = grown;
        out->capacity = capacity;
    }
    memcpy(out->data + out->bytes, data, bytes);
    out->bytes += bytes;
}

static void print(struct wire_buffer *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void print(struct wire_buffer *out, const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (bytes >= 0 && (size_t)bytes < sizeof line)
        buffer_append(out, line, (size_t)bytes);
}

static void print_head(struct wire_buffer *out, const char *name, const char *kind, const char *help)
{
    print(out, "# HELP sluice_%s %s\n# TYPE sluice_%s %s\n", name, help, name, kind);
}

static void print_histogram(struct wire_buffer *out, const char *name, const char *label, const char *value, const struct histogram *h)
{
    uint64_t seen = 0;
    char selector[96] = "";
    if (label)
        snprintf(selector, sizeof selector, "%s=\"%s\",", label, value);
    for (unsigned i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        seen += read_counter(&h->buckets[i]);
        print(out, "sluice_%s_bucket{%sle=\"%.6f\"} %" PRIu64 "\n", name, selector, 1e-6 * (double)(1ull << i), seen);
    }
    seen += read_counter(&h->buckets[HISTOGRAM_BUCKETS - 1]);
    print(out, "sluice_%s_bucket{%sle=\"+Inf\"} %" PRIu64 "\n", name, selector, seen);
    if (label)
        snprintf(selector, sizeof selector, "{%s=\"%s\"}", label, value);
    print(out, "sluice_%s_sum%s %.9f\nsluice_%s_count%s %" PRIu64 "\n", name, selector, 1e-9 * (double)read_counter(&h->sum_ns), name,
          selector, seen);
}

static void print_families(const struct metrics *m, struct wire_buffer *out)
{
    print_head(out, "requests_total", "counter", "Requests that could be read, by op; those refused later are among them.");
    for (unsigned i = 0; i < OP_COUNT; i++)
        print(out, "sluice_requests_total{op=\"%s\"} %" PRIu64 "\n", op_names[i], read_counter(&m->requests[i]));
    print_head(out, "rows_total", "counter", "Rows of batches answered without a fault, by op; answers given again are not counted again.");
    for (unsigned i = 0; i < OP_COUNT; i++)
        if (op_carries_rows((enum op)i))
            print(out, "sluice_rows_total{op=\"%s\"} %" PRIu64 "\n", op_names[i], read_counter(&m->rows[i]));
    print_head(out, "verdicts_total", "counter", "Rows screened and recorded, by verdict.");
    for (unsigned i = 0; i < VERDICT_COUNT; i++)
        print(out, "sluice_verdicts_total{verdict=\"%s\"} %" PRIu64 "\n", verdict_names[i], read_counter(&m->verdicts[i]));
    print_head(out, "faults_total", "counter", "Requests answered with a fault, by fault.");
    for (unsigned i = 1; i < FAULT_COUNT; i++)
        print(out, "sluice_faults_total{fault=\"%s\"} %" PRIu64 "\n", fault_name((enum fault)i), read_counter(&m->faults[i]));
    print_head(out, "step_cpu_seconds_total", "counter", "Thread time spent in each step; anomaly is within scene.");
    for (unsigned i = 0; i < STEP_COUNT; i++)
        if (step_is_timed(i))
            print(out, "sluice_step_cpu_seconds_total{step=\"%s\"} %.9f\n", step_names[i], 1e-9 * (double)read_counter(&m->step_cpu_ns[i]));
    print_head(out, "step_seconds", "histogram",
               "Wall time of each call of a step: a batch, a slice or a commit group; anomaly is within scene.");
    for (unsigned i = 0; i < STEP_COUNT; i++)
        if (step_is_timed(i))
            print_histogram(out, "step_seconds", "step", step_names[i], &m->steps[i]);
    print_head(out, "request_seconds", "histogram", "From receipt to reply, by op.");
    for (unsigned i = 0; i < OP_COUNT; i++)
        print_histogram(out, "request_seconds", "op", op_names[i], &m->request[i]);
    print_head(out, "wait_seconds", "histogram", "In the tenant's line, before decode.");
    print_histogram(out, "wait_seconds", NULL, NULL, &m->wait);
    print_head(out, "commit_seconds", "histogram", "One commit group: append, sync, transaction.");
    print_histogram(out, "commit_seconds", NULL, NULL, &m->commit);
    print_head(out, "snapshot_seconds", "histogram", "A snapshot of history while it runs: so long no batch enters history.");
    print_histogram(out, "snapshot_seconds", NULL, NULL, &m->snapshot);
    print_head(out, "base_swap_seconds", "histogram",
               "Another scene base put in the running one's place: what the ledger thread spends on it.");
    print_histogram(out, "base_swap_seconds", NULL, NULL, &m->swap);
}

/* Name, kind, help, value: one line each of what is counted once and what is read at the moment. */
#define SINGLE_METRICS(ONE) \
    ONE(commit_batches_total, "counter", "Batches committed.", read_counter(&m->commit_batches)) \
    ONE(commit_groups_total, "counter", "Commit groups.", read_counter(&m->commit_groups)) \
    ONE(commit_failures_total, "counter", "Commit groups that the ledger refused.", read_counter(&m->commit_failures)) \
    ONE(snapshots_total, "counter", "History snapshots saved.", read_counter(&m->snapshots)) \
    ONE(reloads_total, "counter", "Configurations taken over while running.", read_counter(&m->reloads)) \
    ONE(device_fallbacks_total, "counter", "Slices that the device failed at and the processor scored.", \
        read_counter(&m->device_fallbacks)) \
    ONE(challenger_rows_total, "counter", "Rows scored under a challenger too.", read_counter(&m->challenger_rows)) \
    ONE(challenger_switched_total, "counter", "Of these, rows with another verdict.", read_counter(&m->challenger_switched)) \
    ONE(repeats_total, "counter", "Requests answered with a stored reply.", read_counter(&m->twins)) \
    ONE(score_refused_total, "counter", "Batches to score that were over their tenant's score_rows_per_minute.", \
        read_counter(&m->score_refused)) \
    ONE(received_bytes_total, "counter", "Bytes of requests.", read_counter(&m->bytes_in)) \
    ONE(sent_bytes_total, "counter", "Bytes of replies.", read_counter(&m->bytes_out)) \
    ONE(in_flight, "gauge", "Batches between admission and reply.", g->in_flight) \
    ONE(waiting, "gauge", "Batches in the tenants' lines.", g->waiting) \
    ONE(batch_reserved_bytes, "gauge", "Memory reserved by batches in flight.", g->reserved_bytes) \
    ONE(batch_budget_bytes, "gauge", "Memory that batches in flight may reserve.", g->budget_bytes) \
    ONE(batch_idle_bytes, "gauge", "Memory of batches that ended, kept for the next.", g->idle_bytes) \
    ONE(memory_bound_bytes, "gauge", "Memory that the process takes at the most, computed from the configuration.", g->total_bytes) \
    ONE(ledger_bytes, "gauge", "Disk taken by the ledger.", g->ledger_bytes) \
    ONE(last_sequence, "gauge", "Last committed sequence number.", g->last_sequence) \
    ONE(epoch, "gauge", "Number of the configuration and base in use.", g->epoch) \
    ONE(history_accounts, "gauge", "Accounts remembered.", g->history.accounts) \
    ONE(history_busy_accounts, "gauge", "Accounts with bucket records.", g->history.busy) \
    ONE(history_events, "gauge", "Events in rings.", g->history.events) \
    ONE(history_links, "gauge", "Links remembered.", g->history.links) \
    ONE(history_places, "gauge", "Devices and addresses remembered.", g->history.places) \
    ONE(history_transfers, "gauge", "Ids of transfers remembered, so that a second one is noticed.", g->history.transfers) \
    ONE(history_listed, "gauge", "Accounts, devices and addresses on lists.", g->history.listed) \
    ONE(history_evicted_total, "counter", "Records that gave way to newer ones.", g->history.evicted) \
    ONE(history_dropped_total, "counter", "Events, bucket records and waiting labels given up because a pool was used up.", \
        g->history.dropped) \
    ONE(history_bytes, "gauge", "Memory of history, taken at start.", g->history.bytes) \
    ONE(history_account_bytes, "gauge", "What of it the accounts take, with their rings and bucket records.", g->history.account_bytes) \
    ONE(drift_rows, "gauge", "Rows counted for drift, of the window.", g->drift_rows) \
    ONE(drift_level, "gauge", "0: traffic is as the scene base's reference, 1: warn, 2: alarm.", g->drift_level) \
    ONE(drift_warnings, "gauge", "Distributions from drift.warn on, below drift.alarm.", g->drift_warnings) \
    ONE(drift_alarms, "gauge", "Distributions from drift.alarm on.", g->drift_alarms) \
    ONE(monitored_held_rows_total, "counter", "Rows that were monitored and would have been held or rejected.", \
        read_counter(&m->monitored_held)) \
    ONE(abnormal_rows_total, "counter", "Rows of a level from which on their tenant calls a result abnormal.", read_counter(&m->abnormal)) \
    ONE(brakes, "gauge", "Tenants whose brake acts.", g->brakes) \
    ONE(sign_on_keys, "gauge", "Keys known of the provider through which users sign on.", g->sign_on_keys) \
    ONE(sign_on_accepted_total, "counter", "Tokens of the provider that were good.", g->sign_on_accepted) \
    ONE(sign_on_refused_total, "counter", "Tokens that looked like the provider's and were not good.", g->sign_on_refused) \
    ONE(ready, "gauge", "1: requests are taken and can be recorded.", (uint64_t)g->ready)

void metrics_prometheus(const struct metrics *m, const struct metrics_gauges *g, struct wire_buffer *out)
{
    print_families(m, out);
#define ONE(name, kind, help, value) \
    print_head(out, #name, kind, help); \
    print(out, "sluice_%s %" PRIu64 "\n", #name, (uint64_t)(value));
    SINGLE_METRICS(ONE)
#undef ONE
}

static void pack_counters(struct wire_buffer *out, const char *key, const atomic_uint_fast64_t *counters, const char *const *names,
                          uint32_t count)
{
    wire_pack_text(out, key);
    wire_pack_map(out, count);
    for (uint32_t i = 0; i < count; i++) {
        wire_pack_text(out, names[i]);
        wire_pack_i64(out, (int64_t)read_counter(&counters[i]));
    }
}

static void pack_steps(struct wire_buffer *out, const struct metrics *m)
{
    wire_pack_text(out, "step_cpu_ns");
    wire_pack_map(out, STEPS_TIMED);
    for (unsigned i = 0; i < STEP_COUNT; i++)
        if (step_is_timed(i)) {
            wire_pack_text(out, step_names[i]);
            wire_pack_i64(out, (int64_t)read_counter(&m->step_cpu_ns[i]));
        }
    wire_pack_text(out, "step_us");
    wire_pack_map(out, STEPS_TIMED);
    for (unsigned i = 0; i < STEP_COUNT; i++)
        if (step_is_timed(i)) {
            wire_pack_text(out, step_names[i]);
            wire_pack_map(out, 3);
            wire_pack_text(out, "count");
            wire_pack_i64(out, (int64_t)read_counter(&m->steps[i].count));
            wire_pack_text(out, "p50");
            wire_pack_f64(out, 1e-3 * (double)histogram_quantile_ns(&m->steps[i], 0.50));
            wire_pack_text(out, "p99");
            wire_pack_f64(out, 1e-3 * (double)histogram_quantile_ns(&m->steps[i], 0.99));
        }
}

void metrics_pack(const struct metrics *m, const struct metrics_gauges *g, struct wire_buffer *out)
{
    enum { FAMILIES = 6, STRINGS = 2 };
    uint32_t singles = 0;
#define ONE(name, kind, help, value) singles++;
    SINGLE_METRICS(ONE)
#undef ONE
    const char *fault_names[FAULT_COUNT];
    for (unsigned i = 0; i < FAULT_COUNT; i++)
        fault_names[i] = fault_name((enum fault)i);
    wire_pack_map(out, FAMILIES + STRINGS + singles);
    pack_counters(out, "requests", m->requests, op_names, OP_COUNT);
    pack_counters(out, "rows", m->rows, op_names, OP_COUNT);
    pack_counters(out, "verdicts", m->verdicts, verdict_names, VERDICT_COUNT);
    pack_counters(out, "faults", m->faults, fault_names, FAULT_COUNT);
    pack_steps(out, m);
    wire_pack_text(out, "base");
    wire_pack_text(out, g->base);
    wire_pack_text(out, "kernel");
    wire_pack_text(out, g->kernel);
#define ONE(name, kind, help, value) \
    wire_pack_text(out, #name); \
    wire_pack_i64(out, (int64_t)(value));
    SINGLE_METRICS(ONE)
#undef ONE
}
