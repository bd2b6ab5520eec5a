/* Labelled rows against their labels, with the figures that `sluice eval` gives. */
#include <math.h>

#include "base/memory.h"
#include "pipeline/replay.h"
#include "scene/metrics.h"

enum { GOOD, RISKY, KINDS };

enum fault replay_measure(struct replay_quality *out, const struct replay_scored *rows, uint32_t row_count, struct fault_note *note)
{
    *out = (struct replay_quality){.average_precision = NAN};
    if (row_count == 0)
        return FAULT_NONE;
    struct metrics *metrics = memory_take(sizeof *metrics);
    struct metrics_row *measured = memory_take_zeroed(row_count, sizeof *measured);
    if (!metrics || !measured) {
        memory_give(metrics);
        memory_give(measured);
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to measure %u labelled rows", row_count);
    }
    for (uint32_t i = 0; i < row_count; i++)
        measured[i] =
            (struct metrics_row){.score = rows[i].risk, .label = rows[i].risky ? RISKY : GOOD, .named = RISKY, .alerted = rows[i].alerted};
    enum fault fault = metrics_measure(metrics, measured, row_count, &(struct metrics_options){.scene_count = KINDS}, note);
    if (fault == FAULT_NONE)
        *out = (struct replay_quality){.labelled = metrics->labelled,
                                       .risky = metrics->risky,
                                       .alerts = metrics->alerts,
                                       .alerts_right = metrics->alerts_right,
                                       .average_precision = metrics->average_precision};
    memory_give(metrics);
    memory_give(measured);
    return fault;
}
