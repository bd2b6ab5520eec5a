/* Rows are sorted once by each score; every figure is one pass over that order, or over the rows as they came. */
#include "scene/metrics.h"

#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "scene/rank.h"

enum { BAND_NONE = 255 };

const char *const metrics_score_names[METRICS_SCORE_COUNT] = {"risk", "match", "anomaly", "anomaly_own", "anomaly_linked"};

float metrics_score_of(const struct metrics_row *row, enum metrics_score which)
{
    switch (which) {
    case METRICS_MATCH:
        return row->match;
    case METRICS_ANOMALY:
        return row->anomaly_own > row->anomaly_linked ? row->anomaly_own : row->anomaly_linked;
    case METRICS_ANOMALY_OWN:
        return row->anomaly_own;
    case METRICS_ANOMALY_LINKED:
        return row->anomaly_linked;
    default:
        return row->score;
    }
}

static uint8_t band_of(int64_t amount, uint32_t decimals)
{
    int64_t edge = 10;
    uint8_t band = 0;
    for (uint32_t i = 0; i < decimals && i < 6; i++)
        edge *= 10;
    for (; band + 1 < METRICS_BANDS && amount >= edge; band++)
        edge *= 10;
    return amount > 0 ? band : BAND_NONE;
}

static void count_amount(struct metrics *out, const struct metrics_row *row, uint32_t decimals)
{
    uint8_t place = band_of(row->amount, decimals);
    if (place == BAND_NONE)
        return;
    struct metrics_band *band = &out->bands[place];
    bool is_risky = metrics_is_risky(row), is_caught = is_risky && row->alerted;
    band->rows++;
    band->risky += is_risky;
    band->alerts += row->alerted;
    band->alerts_right += is_caught;
    band->amount_risky += is_risky ? row->amount : 0;
    band->amount_caught += is_caught ? row->amount : 0;
    out->amount_caught += is_caught ? row->amount : 0;
    out->amount_missed += is_risky && !row->alerted ? row->amount : 0;
    out->amount_held_good += !is_risky && row->alerted ? row->amount : 0;
    out->scenes[row->label].amount += row->amount;
    out->scenes[row->label].amount_caught += row->alerted ? row->amount : 0;
}

static void count_row(struct metrics *out, const struct metrics_row *row, const struct metrics_options *options)
{
    out->rows++;
    out->alerts += row->alerted;
    if (row->label >= options->scene_count)
        return;
    struct metrics_scene *scene = &out->scenes[row->label];
    bool is_risky = metrics_is_risky(row);
    out->labelled++;
    out->alerts_labelled += row->alerted;
    scene->rows++;
    scene->alerted += row->alerted;
    scene->named_right += row->label == row->named;
    out->confusion[row->label][row->alerted ? row->named : 0]++;
    out->best[row->label][row->named]++;
    out->risky += is_risky;
    out->alerts_right += is_risky && row->alerted;
    if (row->score >= 0.0f && row->score <= 1.0f) {
        uint32_t bin = (uint32_t)(row->score * METRICS_HISTOGRAM_BINS);
        out->histogram[is_risky][bin < METRICS_HISTOGRAM_BINS ? bin : METRICS_HISTOGRAM_BINS - 1]++;
    }
    count_amount(out, row, options->decimals);
}

static void calibrate(struct metrics_calibration *out, const struct metrics_row *rows, uint32_t count, enum metrics_score which)
{
    double sums[METRICS_BINS] = {0.0}, all = 0.0, risky = 0.0;
    *out = (struct metrics_calibration){0};
    for (uint32_t i = 0; i < count; i++) {
        double score = (double)metrics_score_of(&rows[i], which), is_risky = metrics_is_risky(&rows[i]);
        if (rows[i].label == METRICS_LABEL_UNKNOWN)
            continue;
        if (!(score >= 0.0 && score <= 1.0)) {
            out->outside++;
            continue;
        }
        uint32_t bin = (uint32_t)(score * METRICS_BINS);
        bin = bin < METRICS_BINS ? bin : METRICS_BINS - 1;
        out->bins[bin].rows++;
        out->bins[bin].risky += is_risky != 0.0;
        sums[bin] += score;
        out->brier += (score - is_risky) * (score - is_risky);
        all += 1.0;
        risky += is_risky;
    }
    for (uint32_t b = 0; b < METRICS_BINS; b++) {
        struct metrics_bin *bin = &out->bins[b];
        bin->mean = bin->rows ? sums[b] / (double)bin->rows : NAN;
        out->error += fabs(sums[b] - (double)bin->risky);
    }
    out->error = all > 0.0 ? out->error / all : NAN;
    out->brier = all > 0.0 ? out->brier / all : NAN;
    out->brier_base = all > 0.0 ? risky / all * (1.0 - risky / all) : NAN;
}

static enum fault measure_bands(struct metrics *out, const struct ranked *ranked, const struct metrics_row *rows, uint32_t decimals,
                                struct fault_note *note)
{
    uint8_t *band = memory_take((size_t)ranked->count + 1);
    struct rank_classes classes;
    if (!band)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the figures of %u rows", ranked->count);
    rank_classes_of(&classes, 0);
    for (uint32_t i = 0; i < ranked->count; i++)
        band[i] = band_of(rows[ranked_row(ranked, i)].amount, decimals);
    for (uint8_t b = 0; b < METRICS_BANDS; b++)
        out->bands[b].risk = rank_measure_part(ranked, &classes, band, b);
    memory_give(band);
    return FAULT_NONE;
}

static enum fault measure_score(struct metrics *out, const struct metrics_row *rows, uint32_t count, const struct metrics_options *options,
                                enum metrics_score which, struct fault_note *note)
{
    struct ranked ranked;
    struct rank_classes classes;
    enum fault fault = ranked_take(&ranked, rows, count, which, note);
    if (fault != FAULT_NONE)
        return fault;
    rank_classes_of(&classes, 0);
    out->of_score[which] = rank_measure(&ranked, &classes);
    for (uint32_t s = 1; which == METRICS_RISK && s < options->scene_count; s++) {
        rank_classes_of(&classes, (uint8_t)s);
        struct metrics_pair pair = rank_measure(&ranked, &classes);
        out->scenes[s].auc_roc = pair.auc_roc;
        out->scenes[s].average_precision = pair.average_precision;
    }
    if (which == METRICS_RISK) {
        out->curve_count = rank_curve(out->curve, METRICS_CURVE_MAX, &ranked);
        fault = measure_bands(out, &ranked, rows, options->decimals, note);
    }
    ranked_give(&ranked);
    return fault;
}

enum fault metrics_measure(struct metrics *out, const struct metrics_row *rows, uint32_t row_count, const struct metrics_options *options,
                           struct fault_note *note)
{
    enum fault fault = FAULT_NONE;
    uint64_t right = 0;
    memset(out, 0, sizeof *out);
    out->precision_top = out->card_precision = NAN;
    for (uint32_t i = 0; i < row_count; i++)
        count_row(out, &rows[i], options);
    for (int which = 0; which < METRICS_SCORE_COUNT && fault == FAULT_NONE; which++)
        fault = measure_score(out, rows, row_count, options, (enum metrics_score)which, note);
    if (fault != FAULT_NONE)
        return fault;
    out->auc_roc = out->of_score[METRICS_RISK].auc_roc;
    out->average_precision = out->of_score[METRICS_RISK].average_precision;
    for (uint32_t s = 1; s < options->scene_count; s++)
        right += out->scenes[s].named_right;
    out->named_right = out->risky ? (double)right / (double)out->risky : NAN;
    calibrate(&out->calibration[0], rows, row_count, METRICS_RISK);
    calibrate(&out->calibration[1], rows, row_count, METRICS_MATCH);
    return FAULT_NONE;
}

void metrics_days_mean(struct metrics *out, const struct metrics_days *days)
{
    double precision = 0.0, card_precision = 0.0;
    for (uint32_t d = 0; d < days->count; d++) {
        precision += days->days[d].precision;
        card_precision += days->days[d].card_precision;
    }
    out->precision_top = days->count ? precision / days->count : NAN;
    out->card_precision = days->count ? card_precision / days->count : NAN;
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *scenes_json(const struct metrics *metrics, const char *const *names, uint32_t scene_count)
{
    json_t *array = json_array();
    for (uint32_t s = 0; s < scene_count; s++) {
        const struct metrics_scene *scene = &metrics->scenes[s];
        json_t *named = json_object();
        for (uint32_t n = 0; n < scene_count; n++)
            json_object_set_new(named, n ? names[n] : "passed", json_integer((json_int_t)metrics->confusion[s][n]));
        json_t *object = json_pack("{s:s, s:I, s:I, s:I, s:o}", "scene", names[s], "rows", (json_int_t)scene->rows, "alerted",
                                   (json_int_t)scene->alerted, "named_right", (json_int_t)scene->named_right, "named_as", named);
        if (s > 0)
            json_object_set_new(object, "average_precision", number(scene->average_precision));
        json_array_append_new(array, object);
    }
    return array;
}

char *metrics_text(const struct metrics *metrics, const char *const *names, uint32_t scene_count)
{
    json_t *root = json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "rows", (json_int_t)metrics->rows, "labelled",
                             (json_int_t)metrics->labelled, "risky", (json_int_t)metrics->risky, "alerts", (json_int_t)metrics->alerts,
                             "alerts_right", (json_int_t)metrics->alerts_right, "auc_roc", number(metrics->auc_roc), "average_precision",
                             number(metrics->average_precision), "card_precision_100", number(metrics->card_precision), "scene_named_right",
                             number(metrics->named_right), "scenes", scenes_json(metrics, names, scene_count));
    return json_text(root, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
}
