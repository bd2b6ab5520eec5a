/* A slice's results lie by themselves, the drift counters ask for them at the batch's rows: the part that is counted is put there. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "pipeline/measured.h"
#include "scene/drift.h"

enum fault base_drift_init(struct base_drift *out, const struct scene_base *base, uint32_t batch_rows, struct fault_note *note)
{
    uint32_t counters = drift_counter_count(base);
    *out = (struct base_drift){0};
    if (counters == 0)
        return FAULT_NONE;
    *out = (struct base_drift){.base = base,
                               .counters = memory_take_zeroed(counters, sizeof *out->counters),
                               .part = memory_take_zeroed(counters, sizeof *out->part),
                               .scene = memory_take_zeroed(batch_rows, sizeof *out->scene),
                               .match = memory_take_zeroed(batch_rows, sizeof *out->match)};
    return out->counters && out->part && out->scene && out->match
               ? FAULT_NONE
               : fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to follow the features");
}

void base_drift_fini(struct base_drift *drift)
{
    memory_give(drift->counters);
    memory_give(drift->part);
    memory_give(drift->scene);
    memory_give(drift->match);
    *drift = (struct base_drift){0};
}

static bool is_measured(const struct evaluate_options *options, const struct past_slice *slice, uint32_t from, uint32_t count)
{
    for (uint32_t row = slice->first + from; row < slice->first + from + count; row++)
        if (slice->batch->facts.time_us[row] < options->from_us || slice->batch->facts.time_us[row] >= options->to_us)
            return false;
    return true;
}

void base_drift_add(struct base_drift *drift, const struct evaluate_options *options, const struct past_slice *slice,
                    const struct results *results, float *const *distance)
{
    struct batch view = *slice->batch;
    const struct drift_slice counted = {.base = drift->base,
                                        .batch = &view,
                                        .first = slice->first,
                                        .count = slice->count,
                                        .features = &slice->features,
                                        .figures = slice->figures,
                                        .distance = distance};
    if (!drift->base)
        return;
    uint32_t from = drift_part(slice->count, drift->turn++), count = slice->count - from < DRIFT_ROWS ? slice->count - from : DRIFT_ROWS;
    if (!is_measured(options, slice, from, count))
        return;
    memcpy(drift->scene + slice->first, results->scene, slice->count * sizeof *drift->scene);
    memcpy(drift->match + slice->first, results->match, slice->count * sizeof *drift->match);
    view.results.scene = drift->scene;
    view.results.match = drift->match;
    drift_count(drift->part, &counted, from);
    for (uint32_t i = 0; i < drift_counter_count(drift->base); i++)
        drift->counters[i] += drift->part[i];
}

enum fault base_drift_tell(struct evaluation *out, const struct base_drift *drift, struct fault_note *note)
{
    struct drift_report *report = drift->base ? memory_take(sizeof *report) : NULL;
    if (!drift->base)
        return FAULT_NONE;
    if (!report)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to follow the features");
    drift_report(report, drift->base, drift->counters, &DRIFT_LIMITS_DEFAULT);
    for (uint32_t i = 0; report->judged && i < drift->base->reference.feature_count; i++)
        out->shifts[i] = (struct shift){.feature = drift->base->reference.feature[i],
                                        .psi = report->features[i].values.psi,
                                        .mean_before = NAN,
                                        .mean_after = NAN,
                                        .unknown_before = report->features[i].unknown.share_reference,
                                        .unknown_after = report->features[i].unknown.share};
    if (report->judged) {
        out->shift_count = drift->base->reference.feature_count;
        out->shift_from_base = true;
        out->shift_rows = report->rows;
        shift_sort(out->shifts, out->shift_count);
    }
    memory_give(report);
    return FAULT_NONE;
}
