/* Sketches of what was scored, one for each worker and epoch: counters of the last spans of time. Only its worker writes a sketch and
 * waits for nobody; who reads looks at its version before and after, and again when it changed. Sums are of whole numbers, so that it
 * does not matter which worker counted what. */
#include "pipeline/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "wire/pack.h"

enum { SPANS = 12, READ_TRIES = 100, READ_PAUSE_NS = 100000 };
enum { COUNTERS_MAX = FEATURE_COUNT * (REFERENCE_EDGES + 1) + SCENES_MAX + DIMENSION_COUNT + 1 };
#define FALL_BACK 0.9 /* of a limit: below it a level is left again */

struct sketch {
    atomic_uint_fast64_t version; /* odd while it is written */
    atomic_uint_fast64_t number[SPANS];
    atomic_uint_fast64_t counters[SPANS][COUNTERS_MAX];
};

struct drift {
    const struct scene_base *base;
    struct drift_settings settings;
    int64_t span_ns, looked_ns;
    uint32_t counter_count, sketch_count;
    atomic_uint told; /* the level that was logged last */
    struct drift_report report;
    uint64_t counters[COUNTERS_MAX], one[COUNTERS_MAX]; /* the timer's */
    struct sketch *sketches;
};

size_t drift_bytes(uint32_t worker_count)
{
    return sizeof(struct drift) + worker_count * sizeof(struct sketch);
}

enum fault drift_open(struct drift **out, const struct scene_base *base, const struct drift_settings *settings, uint32_t worker_count,
                      struct fault_note *note)
{
    struct drift *drift = *out = memory_take_zeroed(1, sizeof *drift);
    if (drift)
        drift->sketches = memory_take_zeroed(worker_count, sizeof *drift->sketches);
    if (!drift || !drift->sketches)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to count drift");
    drift->base = base;
    drift->settings = *settings;
    drift->span_ns = settings->window_s * 1000000000LL / SPANS;
    drift->counter_count = drift_counter_count(base);
    drift->sketch_count = worker_count;
    return FAULT_NONE;
}

void drift_close(struct drift **drift_p)
{
    if (*drift_p)
        memory_give((*drift_p)->sketches);
    memory_give(*drift_p);
    *drift_p = NULL;
}

/* --- writing ----------------------------------------------------------------------------------------------------------- */

static uint64_t span_now(const struct drift *drift)
{
    return (uint64_t)(clock_steady_ns() / drift->span_ns) + SPANS; /* 0: never written */
}

static void counter_set(atomic_uint_fast64_t *counter, uint64_t value)
{
    atomic_store_explicit(counter, value, memory_order_release);
}

static void sketch_add(struct sketch *sketch, const uint32_t *counts, uint32_t count, uint64_t number)
{
    uint64_t version = atomic_load_explicit(&sketch->version, memory_order_relaxed);
    atomic_uint_fast64_t *counters = sketch->counters[number % SPANS];
    atomic_store_explicit(&sketch->version, version + 1, memory_order_relaxed);
    bool stale = atomic_load_explicit(&sketch->number[number % SPANS], memory_order_relaxed) != number;
    if (stale)
        counter_set(&sketch->number[number % SPANS], number);
    for (uint32_t i = 0; i < count; i++)
        counter_set(&counters[i], (stale ? 0 : atomic_load_explicit(&counters[i], memory_order_relaxed)) + counts[i]);
    atomic_store_explicit(&sketch->version, version + 2, memory_order_release);
}

void drift_slice_count(struct worker *worker, const struct slice *slice, const struct scores *scores)
{
    const struct job *job = slice->job;
    struct drift *drift = job->epoch->drift;
    uint32_t counts[COUNTERS_MAX];
    if (!drift || drift->counter_count == 0 || job->batch.op != OP_screen)
        return;
    const struct drift_slice rows = {.base = drift->base,
                                     .batch = &job->batch,
                                     .first = slice->first,
                                     .count = slice->count,
                                     .features = &worker->features,
                                     .figures = &slice->figures,
                                     .distance = scores->distance};
    drift_count(counts, &rows, drift_part(slice->count, job->batch.sequence + slice->index));
    sketch_add(&drift->sketches[worker->index], counts, drift->counter_count, span_now(drift));
}

/* --- reading ----------------------------------------------------------------------------------------------------------- */

static bool sketch_try_read(uint64_t *out, const struct sketch *sketch, uint32_t count, uint64_t number)
{
    uint64_t version = atomic_load_explicit(&sketch->version, memory_order_acquire);
    memset(out, 0, count * sizeof *out);
    for (uint32_t span = 0; span < SPANS; span++) {
        if (atomic_load_explicit(&sketch->number[span], memory_order_acquire) + SPANS <= number)
            continue;
        for (uint32_t i = 0; i < count; i++)
            out[i] += atomic_load_explicit(&sketch->counters[span][i], memory_order_acquire);
    }
    return version % 2 == 0 && atomic_load_explicit(&sketch->version, memory_order_relaxed) == version;
}

/* Its writer is done within microseconds, unless it lost its processor. */
static void sketch_read(uint64_t *out, const struct sketch *sketch, uint32_t count, uint64_t number)
{
    const struct timespec pause = {.tv_nsec = READ_PAUSE_NS};
    for (int i = 0; i < READ_TRIES && !sketch_try_read(out, sketch, count, number); i++)
        nanosleep(&pause, NULL);
}

static void drift_merge(struct drift *drift, uint64_t *counters, uint64_t *one, struct drift_report *out)
{
    uint64_t number = span_now(drift);
    memset(counters, 0, drift->counter_count * sizeof *counters);
    for (uint32_t w = 0; w < drift->sketch_count; w++) {
        sketch_read(one, &drift->sketches[w], drift->counter_count, number);
        for (uint32_t i = 0; i < drift->counter_count; i++)
            counters[i] += one[i];
    }
    drift_report(out, drift->base, counters, &drift->settings.limits);
}

void drift_tell(struct drift_report *out, const struct epoch *epoch)
{
    uint64_t counters[COUNTERS_MAX], one[COUNTERS_MAX];
    if (epoch->drift)
        drift_merge(epoch->drift, counters, one, out);
    else
        drift_report(out, NULL, NULL, NULL);
}

enum drift_level drift_level_told(const struct epoch *epoch)
{
    return epoch->drift ? (enum drift_level)atomic_load_explicit(&epoch->drift->told, memory_order_relaxed) : DRIFT_NONE;
}

/* --- alarms ------------------------------------------------------------------------------------------------------------ */

/* A level is left only well below its limit: what stands at it is told once. */
static enum drift_level level_next(const struct drift *drift, enum drift_level told)
{
    const struct drift_report *report = &drift->report;
    const float limit = told == DRIFT_ALARM ? drift->settings.limits.alarm : drift->settings.limits.warn;
    if (report->level >= told || !report->judged)
        return report->level > told ? report->level : told;
    return report->worst_psi < FALL_BACK * (double)limit ? report->level : told;
}

void drift_watch(struct pipeline *pipeline)
{
    enum { LOOK_NS = 1000000000 };
    struct epoch *epoch = epoch_hold(pipeline);
    struct drift *drift = epoch->drift;
    int64_t now_ns = clock_steady_ns();
    if (drift && drift->counter_count && now_ns - drift->looked_ns >= LOOK_NS) {
        drift->looked_ns = now_ns;
        drift_merge(drift, drift->counters, drift->one, &drift->report);
        const struct drift_report *report = &drift->report;
        enum drift_level told = drift_level_told(epoch), next = level_next(drift, told);
        if (next != told)
            log_line(next > told ? LOG_WARN : LOG_INFO, "drift",
                     "%s: base %s %s, %llu rows counted of the last %lld s; %u of its distributions over %g, %u over %g, most of all %s "
                     "at %.3f",
                     drift_level_names[next], drift->base->name, drift->base->version, (unsigned long long)report->rows,
                     (long long)drift->settings.window_s, report->over[DRIFT_ALARM], (double)drift->settings.limits.alarm,
                     report->over[DRIFT_WARN] + report->over[DRIFT_ALARM], (double)drift->settings.limits.warn, report->worst,
                     report->worst_psi);
        atomic_store_explicit(&drift->told, next, memory_order_relaxed);
    }
    epoch_release(&epoch);
}

/* --- told ---------------------------------------------------------------------------------------------------------------- */

static void print(struct wire_buffer *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void print(struct wire_buffer *out, const char *format, ...)
{
    char line[320];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (bytes >= 0 && (size_t)bytes < sizeof line)
        buffer_append(out, line, (size_t)bytes);
}

/* A name may hold what ends a label. */
static const char *label_of(char out[2 * 64], const char *name)
{
    char *at = out;
    for (; *name; name++) {
        if (*name == '"' || *name == '\\')
            *at++ = '\\';
        *at++ = *name;
    }
    *at = '\0';
    return out;
}

static const char *feature_name(const struct scene_base *base, uint32_t i)
{
    return feature_infos[base->reference.feature[i]].name;
}

void drift_prometheus(const struct drift_report *report, const struct scene_base *base, struct wire_buffer *out)
{
    char label[2 * sizeof base->scenes[0].name];
    if (!report->reference)
        return;
    print(out, "# HELP sluice_drift_psi Population stability index against the scene base's reference.\n# TYPE sluice_drift_psi gauge\n");
    for (uint32_t i = 0; i < base->reference.feature_count; i++) {
        print(out, "sluice_drift_psi{kind=\"values\",of=\"%s\"} %.6f\n", feature_name(base, i), report->features[i].values.psi);
        print(out, "sluice_drift_psi{kind=\"unknown\",of=\"%s\"} %.6f\n", feature_name(base, i), report->features[i].unknown.psi);
    }
    print(out, "sluice_drift_psi{kind=\"scenes\",of=\"all\"} %.6f\n", report->scenes.psi);
    for (int g = 0; g < DIMENSION_COUNT; g++)
        print(out, "sluice_drift_psi{kind=\"far\",of=\"%s\"} %.6f\n", dimension_names[g], report->far[g].psi);
    print(out, "# HELP sluice_drift_share Share of counted rows: not known, of a scene, far from every cluster.\n"
               "# TYPE sluice_drift_share gauge\n");
    for (uint32_t i = 0; i < base->reference.feature_count; i++)
        print(out, "sluice_drift_share{kind=\"unknown\",of=\"%s\"} %.6f\n", feature_name(base, i), report->features[i].unknown.share);
    for (uint32_t s = 0; s < base->scene_count; s++)
        print(out, "sluice_drift_share{kind=\"scene\",of=\"%s\"} %.6f\n", s ? label_of(label, base->scenes[s].name) : "none",
              report->scene_share[s]);
    for (int g = 0; g < DIMENSION_COUNT; g++)
        print(out, "sluice_drift_share{kind=\"far\",of=\"%s\"} %.6f\n", dimension_names[g], report->far[g].share);
}

static void pack_key_f64(struct wire_buffer *out, const char *key, double value)
{
    wire_pack_text(out, key);
    wire_pack_f64(out, value);
}

static double psi_of(const struct drift_feature *feature)
{
    return feature->values.psi > feature->unknown.psi ? feature->values.psi : feature->unknown.psi;
}

/* Places of the features, what moved most first. */
static void features_order(uint32_t out[FEATURE_COUNT], const struct drift_report *report, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = i;
        for (; at > 0 && psi_of(&report->features[out[at - 1]]) < psi_of(&report->features[i]); at--)
            out[at] = out[at - 1];
        out[at] = i;
    }
}

static void pack_bins(struct wire_buffer *out, const struct scene_reference *reference, const struct drift_feature *feature, uint32_t i)
{
    wire_pack_text(out, "edges");
    wire_pack_array(out, REFERENCE_EDGES);
    for (uint32_t j = 0; j < REFERENCE_EDGES; j++)
        wire_pack_f64(out, (double)reference->edges[(size_t)i * REFERENCE_EDGES + j]);
    wire_pack_text(out, "counts");
    wire_pack_array(out, REFERENCE_BINS);
    for (uint32_t j = 0; j < REFERENCE_BINS; j++)
        wire_pack_i64(out, (int64_t)feature->counts[j]);
    wire_pack_text(out, "reference_counts");
    wire_pack_array(out, REFERENCE_BINS);
    for (uint32_t j = 0; j < REFERENCE_BINS; j++)
        wire_pack_i64(out, reference->counts[(size_t)i * REFERENCE_BINS + j]);
}

static void pack_features(struct wire_buffer *out, const struct drift_report *report, const struct scene_base *base)
{
    uint32_t order[FEATURE_COUNT], count = base->reference.feature_count;
    features_order(order, report, count);
    wire_pack_text(out, "features");
    wire_pack_array(out, count);
    for (uint32_t k = 0; k < count; k++) {
        const struct drift_feature *feature = &report->features[order[k]];
        wire_pack_map(out, 10);
        pack_key_text(out, "feature", feature_name(base, order[k]));
        pack_key_f64(out, "psi", feature->values.psi);
        pack_key_text(out, "level", drift_level_names[feature->values.level]);
        pack_key_f64(out, "unknown", feature->unknown.share);
        pack_key_f64(out, "unknown_reference", feature->unknown.share_reference);
        pack_key_f64(out, "unknown_psi", feature->unknown.psi);
        pack_key_text(out, "unknown_level", drift_level_names[feature->unknown.level]);
        pack_bins(out, &base->reference, feature, order[k]);
    }
}

static void pack_scenes(struct wire_buffer *out, const struct drift_report *report, const struct scene_base *base)
{
    pack_key_f64(out, "scenes_psi", report->scenes.psi);
    pack_key_text(out, "scenes_level", drift_level_names[report->scenes.level]);
    wire_pack_text(out, "scenes");
    wire_pack_array(out, base->scene_count);
    for (uint32_t s = 0; s < base->scene_count; s++) {
        wire_pack_map(out, 3);
        pack_key_text(out, "scene", s ? base->scenes[s].name : "none");
        pack_key_f64(out, "share", report->scene_share[s]);
        pack_key_f64(out, "reference", report->scene_share_reference[s]);
    }
}

static void pack_far(struct wire_buffer *out, const struct drift_report *report)
{
    wire_pack_text(out, "far");
    wire_pack_array(out, DIMENSION_COUNT);
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        wire_pack_map(out, 5);
        pack_key_text(out, "dimension", dimension_names[g]);
        pack_key_f64(out, "share", report->far[g].share);
        pack_key_f64(out, "reference", report->far[g].share_reference);
        pack_key_f64(out, "psi", report->far[g].psi);
        pack_key_text(out, "level", drift_level_names[report->far[g].level]);
    }
}

static void pack_drift(struct wire_buffer *out, const struct drift_report *report, const struct epoch *epoch)
{
    const struct drift_settings *settings = &epoch->config->drift;
    pack_key_text(out, "base", epoch->names.base_name);
    pack_key_text(out, "base_version", epoch->names.base_version);
    pack_key_text(out, "base_digest", epoch->names.base_digest);
    pack_key_i64(out, "epoch", (int64_t)epoch->number);
    pack_key_text(out, "why",
                  report->reference ? report->judged ? "" : "not enough rows yet"
                  : epoch->base     ? "not in this base"
                                    : "no base");
    pack_key_i64(out, "window_s", settings->window_s);
    pack_key_i64(out, "rows", (int64_t)report->rows);
    pack_key_i64(out, "rows_min", settings->limits.rows_min);
    pack_key_f64(out, "warn", (double)settings->limits.warn);
    pack_key_f64(out, "alarm", (double)settings->limits.alarm);
    pack_key_text(out, "level", drift_level_names[report->level]);
    pack_key_i64(out, "warnings", report->over[DRIFT_WARN]);
    pack_key_i64(out, "alarms", report->over[DRIFT_ALARM]);
    pack_key_text(out, "worst", report->worst);
    pack_key_f64(out, "worst_psi", report->worst_psi);
}

/* Of the base that was active when the question came. */
void answer_drift(struct job *job)
{
    enum { HEAD_PAIRS = 3, PAIRS = 15, REFERENCE_PAIRS = 5 };
    struct wire_buffer *out = &job->reply;
    struct drift_report report;
    drift_tell(&report, job->epoch);
    wire_pack_map(out, HEAD_PAIRS + PAIRS + (report.reference ? REFERENCE_PAIRS : 0));
    pack_key_i64(out, "v", 1);
    pack_key_str(out, "id", job->request.id);
    pack_key_text(out, "status", "ok");
    pack_drift(out, &report, job->epoch);
    if (!report.reference)
        return;
    pack_features(out, &report, job->epoch->base);
    pack_scenes(out, &report, job->epoch->base);
    pack_far(out, &report);
}
