/* DeLong, DeLong, Clarke-Pearson 1988: each row's own part of the AUC, and the variance of the difference from these parts.
 * A risky row's part is the share of good rows below it, a good row's the share of risky rows above it, equal ones half; in one
 * pass over the order each. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "scene/compare.h"
#include "scene/rank.h"

static void step_parts(double *parts, const struct ranked *ranked, uint32_t begin, uint32_t end, double risky_above, double good_above,
                       const double all[2])
{
    double risky = 0.0, good = 0.0;
    for (uint32_t i = begin; i < end; i++) {
        good += ranked->label[i] == 0;
        risky += ranked->label[i] != 0 && ranked->label[i] != METRICS_LABEL_UNKNOWN;
    }
    for (uint32_t i = begin; i < end; i++)
        parts[ranked_row(ranked, i)] =
            ranked->label[i] == 0 ? (risky_above + risky / 2.0) / all[1] : (all[0] - good_above - good / 2.0) / all[0];
}

/* parts[row] of labelled rows; all: good and risky rows. */
static enum fault parts_find(double *parts, double all[2], const struct metrics_row *rows, uint32_t row_count, struct fault_note *note)
{
    struct ranked ranked;
    double risky = 0.0, good = 0.0;
    enum fault fault = ranked_take(&ranked, rows, row_count, METRICS_RISK, note);
    if (fault != FAULT_NONE)
        return fault;
    all[0] = all[1] = 0.0;
    for (uint32_t i = 0; i < row_count; i++) {
        all[0] += metrics_is_good(&rows[i]);
        all[1] += metrics_is_risky(&rows[i]);
    }
    for (uint32_t begin = 0, end; begin < row_count && all[0] > 0.0 && all[1] > 0.0; begin = end) {
        for (end = begin; !ranked_ends(&ranked, end); end++)
            ;
        end++;
        step_parts(parts, &ranked, begin, end, risky, good, all);
        for (uint32_t i = begin; i < end; i++) {
            good += ranked.label[i] == 0;
            risky += ranked.label[i] != 0 && ranked.label[i] != METRICS_LABEL_UNKNOWN;
        }
    }
    ranked_give(&ranked);
    return FAULT_NONE;
}

enum fault compare_delong(struct comparison *out, const struct metrics_row *first, const struct metrics_row *second, uint32_t row_count,
                          struct fault_note *note)
{
    double all[2], sum[2] = {0.0}, squares[2] = {0.0}, variance = 0.0;
    double *parts[2];
    out->auc_error = out->auc_p = NAN;
    for (int s = 0; s < 2; s++)
        parts[s] = memory_take_zeroed((size_t)row_count + 1, sizeof(double));
    enum fault fault = parts[0] && parts[1]
                           ? parts_find(parts[0], all, first, row_count, note)
                           : fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to compare %u rows", row_count);
    if (fault == FAULT_NONE)
        fault = parts_find(parts[1], all, second, row_count, note);
    for (uint32_t i = 0; fault == FAULT_NONE && i < row_count; i++) {
        int class = metrics_is_risky(&first[i]);
        double difference = parts[1][i] - parts[0][i];
        if (first[i].label == METRICS_LABEL_UNKNOWN)
            continue;
        sum[class] += difference;
        squares[class] += difference * difference;
    }
    for (int s = 0; s < 2; s++)
        memory_give(parts[s]);
    if (fault != FAULT_NONE || all[0] < 2.0 || all[1] < 2.0)
        return fault;
    for (int class = 0; class < 2; class ++)
        variance += fmax(squares[class] - sum[class] * sum[class] / all[class], 0.0) / (all[class] - 1.0) / all[class];
    double difference = sum[1] / all[1];
    out->auc_error = sqrt(variance);
    out->auc_p = variance > 0.0 ? erfc(fabs(difference) / sqrt(2.0 * variance)) : 1.0;
    return FAULT_NONE;
}
