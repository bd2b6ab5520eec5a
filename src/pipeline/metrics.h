#ifndef SLUICE_PIPELINE_METRICS_H
#define SLUICE_PIPELINE_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/fault.h"
#include "batch/batch.h"
#include "history/history.h"
#include "pipeline/steps.h"
#include "wire/wire.h"

/* Counters and histograms. Any thread; relaxed atomics, once per batch or slice, never per row. */

enum { HISTOGRAM_BUCKETS = 28 }; /* upper bounds 1 µs · 2^i, the last without bound */

struct histogram {
    atomic_uint_fast64_t buckets[HISTOGRAM_BUCKETS], sum_ns, count;
};

struct metrics {
    struct histogram steps[STEP_COUNT]; /* wall time of each step's call */
    atomic_uint_fast64_t step_cpu_ns[STEP_COUNT];
    struct histogram request[OP_COUNT], wait, commit, snapshot, swap;
    atomic_uint_fast64_t requests[OP_COUNT], rows[OP_COUNT], verdicts[VERDICT_COUNT], faults[FAULT_COUNT];
    atomic_uint_fast64_t commit_batches, commit_groups, commit_failures, snapshots, reloads, twins, score_refused, bytes_in, bytes_out,
        device_fallbacks, monitored_held, abnormal, challenger_rows, challenger_switched;
};

/* STEP_anomaly stays empty: scene and anomaly are one call, timed as STEP_scene. */
struct step_watch {
    int64_t wall_ns, cpu_ns;
};
struct step_watch watch_begin(void);
void watch_end(struct metrics *metrics, enum batch_step step, struct step_watch watch);
void histogram_add(struct histogram *histogram, int64_t ns);
uint64_t histogram_quantile_ns(const struct histogram *histogram, double quantile); /* upper bound of the bucket */

void buffer_append(struct wire_buffer *out, const void *data, size_t bytes); /* failed is sticky */

struct metrics_gauges { /* what is read at the moment of asking */
    uint64_t in_flight, waiting, reserved_bytes, budget_bytes, idle_bytes, total_bytes, ledger_bytes, last_sequence, epoch;
    struct history_counts history;
    uint64_t brakes;
    uint64_t sign_on_keys, sign_on_accepted, sign_on_refused;
    uint64_t drift_rows, drift_level, drift_warnings, drift_alarms;
    int ready;
    const char *base, *kernel;
};
void metrics_prometheus(const struct metrics *metrics, const struct metrics_gauges *gauges, struct wire_buffer *out);
void metrics_pack(const struct metrics *metrics, const struct metrics_gauges *gauges, struct wire_buffer *out); /* a msgpack map */

#endif
