/* Numbers that are not known are null. */
#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "command/figures.h"

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *count(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static void set(json_t *object, const char *name, json_t *value)
{
    json_object_set_new(object, name, value);
}

static json_t *named(const struct evaluation *evaluation, const uint64_t counts[SCENES_MAX], const char *none)
{
    json_t *object = json_object();
    for (uint32_t n = 0; n < evaluation->scene_count; n++)
        set(object, n ? evaluation->scene_names[n] : none, count(counts[n]));
    return object;
}

static json_t *scenes(const struct evaluation *evaluation, const struct metrics *metrics)
{
    json_t *array = json_array();
    for (uint32_t s = 0; s < evaluation->scene_count; s++) {
        const struct metrics_scene *scene = &metrics->scenes[s];
        json_t *object = json_object();
        set(object, "scene", json_string(s ? evaluation->scene_names[s] : "good"));
        set(object, "rows", count(scene->rows));
        if (evaluation->knows_alerts) {
            set(object, "alerted", count(scene->alerted));
            set(object, "named_as", named(evaluation, metrics->confusion[s], "passed"));
        }
        if (evaluation->knows_scenes) {
            set(object, "named_right", count(scene->named_right));
            set(object, "best", named(evaluation, metrics->best[s], "background"));
        }
        if (evaluation->currency[0]) {
            set(object, "amount", number(figures_money(evaluation, scene->amount)));
            set(object, "amount_alerted", evaluation->knows_alerts ? number(figures_money(evaluation, scene->amount_caught)) : json_null());
        }
        if (s > 0) {
            set(object, "auc_roc", number(scene->auc_roc));
            set(object, "average_precision", number(scene->average_precision));
        }
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *thresholds(const struct evaluation *evaluation, const struct metrics *metrics)
{
    json_t *object = json_object();
    const struct metrics_scene *good = &metrics->scenes[0];
    set(object, "precision", number(figures_precision(metrics)));
    set(object, "recall", number(figures_recall(metrics)));
    set(object, "alert_rate", number(figures_share((double)metrics->alerts, (double)metrics->rows)));
    set(object, "false_alert_rate", number(figures_share((double)good->alerted, (double)good->rows)));
    set(object, "amount_caught", number(figures_money(evaluation, metrics->amount_caught)));
    set(object, "amount_missed", number(figures_money(evaluation, metrics->amount_missed)));
    set(object, "amount_good_alerted", number(figures_money(evaluation, metrics->amount_held_good)));
    return object;
}

static json_t *top(const struct evaluation *evaluation, const struct evaluated *side)
{
    json_t *object = json_object(), *array = json_array();
    char date[16];
    set(object, "k", count(evaluation->top));
    set(object, "precision", number(side->metrics.precision_top));
    set(object, "card_precision", number(side->metrics.card_precision));
    set(object, "payers", count(side->days.accounts));
    for (uint32_t d = 0; d < side->days.count; d++) {
        const struct metrics_day *day = &side->days.days[d];
        json_t *entry = json_object();
        set(entry, "day", json_string(figures_date(date, day->day)));
        set(entry, "rows", count(day->rows));
        set(entry, "risky", count(day->risky));
        if (evaluation->knows_alerts) {
            set(entry, "alerts", count(day->alerts));
            set(entry, "alerts_right", count(day->alerts_right));
        }
        set(entry, "precision", number(day->precision));
        set(entry, "card_precision", number(day->card_precision));
        json_array_append_new(array, entry);
    }
    set(object, "days", array);
    return object;
}

static json_t *amounts(const struct evaluation *evaluation, const struct metrics *metrics)
{
    json_t *object = json_object(), *array = json_array();
    set(object, "currency", json_string(evaluation->currency));
    for (uint32_t i = 0; i < METRICS_BANDS; i++) {
        const struct metrics_band *band = &metrics->bands[i];
        json_t *entry = json_object();
        set(entry, "from", number(i ? pow(10.0, i) : 0.0));
        set(entry, "below", i + 1 < METRICS_BANDS ? number(pow(10.0, i + 1)) : json_null());
        set(entry, "rows", count(band->rows));
        set(entry, "risky", count(band->risky));
        set(entry, "auc_roc", number(band->risk.auc_roc));
        set(entry, "average_precision", number(band->risk.average_precision));
        set(entry, "amount_risky", number(figures_money(evaluation, band->amount_risky)));
        if (evaluation->knows_alerts) {
            set(entry, "alerts", count(band->alerts));
            set(entry, "alerts_right", count(band->alerts_right));
            set(entry, "amount_caught", number(figures_money(evaluation, band->amount_caught)));
        }
        json_array_append_new(array, entry);
    }
    set(object, "bands", array);
    return object;
}

static json_t *calibration(const struct metrics_calibration *calibration)
{
    json_t *object = json_object(), *array = json_array();
    set(object, "error", number(calibration->error));
    set(object, "brier", number(calibration->brier));
    set(object, "brier_base", number(calibration->brier_base));
    set(object, "outside", count(calibration->outside));
    for (uint32_t b = 0; b < METRICS_BINS; b++) {
        const struct metrics_bin *bin = &calibration->bins[b];
        json_t *entry = json_object();
        set(entry, "from", number((double)b / METRICS_BINS));
        set(entry, "to", number((double)(b + 1) / METRICS_BINS));
        set(entry, "rows", count(bin->rows));
        set(entry, "risky", count(bin->risky));
        set(entry, "mean", number(bin->mean));
        json_array_append_new(array, entry);
    }
    set(object, "bins", array);
    return object;
}

static json_t *anomaly(const struct evaluation *evaluation, const struct metrics *metrics)
{
    json_t *object = json_object();
    static const char *const names[] = {"larger", "own", "linked"};
    for (int i = 0; i < (evaluation->knows_alerts ? 3 : 1); i++) {
        json_t *entry = json_object();
        set(entry, "auc_roc", number(metrics->of_score[METRICS_ANOMALY + i].auc_roc));
        set(entry, "average_precision", number(metrics->of_score[METRICS_ANOMALY + i].average_precision));
        set(object, names[i], entry);
    }
    return object;
}

static json_t *curve(const struct metrics *metrics)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < metrics->curve_count; i++) {
        json_t *entry = json_object();
        set(entry, "risk", number((double)metrics->curve[i].score));
        set(entry, "risky", count(metrics->curve[i].risky));
        set(entry, "good", count(metrics->curve[i].good));
        json_array_append_new(array, entry);
    }
    return array;
}

/* All of one base, or of the file of scores, put into object. */
static void side_set(json_t *object, const struct evaluation *evaluation, const struct evaluated *side)
{
    const struct metrics *metrics = &side->metrics;
    char name[32];
    if (evaluation->knows_alerts) {
        json_t *base = json_object();
        set(base, "name", json_string(side->base_name));
        set(base, "version", json_string(side->base_version));
        set(base, "digest", json_string(side->base_digest));
        set(object, "base", base);
        set(object, "alerts", count(metrics->alerts));
        set(object, "alerts_right", count(metrics->alerts_right));
    }
    set(object, "auc_roc", number(metrics->auc_roc));
    set(object, "average_precision", number(metrics->average_precision));
    snprintf(name, sizeof name, "precision_%u", evaluation->top);
    set(object, name, number(metrics->precision_top));
    snprintf(name, sizeof name, "card_precision_%u", evaluation->top);
    set(object, name, number(metrics->card_precision));
    set(object, "scene_named_right", evaluation->knows_scenes ? number(metrics->named_right) : json_null());
    set(object, "scenes", scenes(evaluation, metrics));
    if (evaluation->knows_alerts)
        set(object, "thresholds", thresholds(evaluation, metrics));
    set(object, "top", top(evaluation, side));
    if (evaluation->currency[0])
        set(object, "amounts", amounts(evaluation, metrics));
    json_t *calibrations = json_object();
    set(calibrations, "risk", calibration(&metrics->calibration[0]));
    if (evaluation->knows_match)
        set(calibrations, "match", calibration(&metrics->calibration[1]));
    set(object, "calibration", calibrations);
    if (evaluation->knows_anomaly)
        set(object, "anomaly", anomaly(evaluation, metrics));
    set(object, "curve", curve(metrics));
}

static json_t *drift(const struct evaluation *evaluation)
{
    json_t *object = json_object(), *array = json_array();
    set(object, "before", json_string(evaluation->shift_from_base ? "reference of the base" : "earlier half"));
    set(object, "rows", count(evaluation->shift_rows));
    for (uint32_t i = 0; i < evaluation->shift_count; i++) {
        const struct shift *shift = &evaluation->shifts[i];
        json_t *entry = json_object();
        set(entry, "feature", json_string(feature_infos[shift->feature].name));
        set(entry, "psi", number(shift->psi));
        set(entry, "mean_before", number(shift->mean_before));
        set(entry, "mean_after", number(shift->mean_after));
        set(entry, "unknown_before", number(shift->unknown_before));
        set(entry, "unknown_after", number(shift->unknown_after));
        json_array_append_new(array, entry);
    }
    set(object, "features", array);
    return object;
}

static json_t *interval(const struct interval *interval)
{
    json_t *object = json_object();
    set(object, "value", number(interval->value));
    set(object, "low", number(interval->low));
    set(object, "high", number(interval->high));
    return object;
}

static json_t *comparison(const struct comparison *comparison)
{
    static const char *const classes[3] = {"good", "risky", "unlabelled"};
    json_t *object = json_object(), *figures = json_object(), *agreement = json_object();
    for (int f = 0; f < COMPARED_COUNT; f++) {
        json_t *figure = json_object();
        set(figure, "base", interval(&comparison->figures[f].first));
        set(figure, "against", interval(&comparison->figures[f].second));
        set(figure, "difference", interval(&comparison->figures[f].difference));
        set(figures, compared_names[f], figure);
    }
    for (int i = 0; i < 3; i++) {
        json_t *class = json_object();
        set(class, "both_pass", count(comparison->agreement[i][0][0]));
        set(class, "base_alerts", count(comparison->agreement[i][1][0]));
        set(class, "against_alerts", count(comparison->agreement[i][0][1]));
        set(class, "both_alert", count(comparison->agreement[i][1][1]));
        set(agreement, classes[i], class);
    }
    set(object, "draws", count(comparison->draws));
    set(object, "payers", count(comparison->accounts));
    set(object, "figures", figures);
    set(object, "auc_roc_error", number(comparison->auc_error));
    set(object, "auc_roc_p", number(comparison->auc_p));
    set(object, "agreement", agreement);
    set(object, "switched", count(comparison->switched));
    set(object, "renamed", count(comparison->renamed));
    return object;
}

char *figures_json(const struct evaluation *evaluation)
{
    const struct metrics *metrics = &evaluation->sides[0].metrics;
    json_t *root = json_object();
    char moment[32];
    set(root, "rows", count(metrics->rows));
    set(root, "rows_invalid", count(evaluation->rows_invalid));
    set(root, "labelled", count(metrics->labelled));
    set(root, "risky", count(metrics->risky));
    set(root, "from", json_string(figures_moment(moment, evaluation->first_us)));
    set(root, "to", json_string(figures_moment(moment, evaluation->last_us)));
    side_set(root, evaluation, &evaluation->sides[0]);
    if (evaluation->shift_count > 0)
        set(root, "drift", drift(evaluation));
    if (evaluation->side_count > 1) {
        json_t *against = json_object();
        side_set(against, evaluation, &evaluation->sides[1]);
        set(root, "against", against);
        set(root, "comparison", comparison(&evaluation->comparison));
    }
    return json_text(root, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
}
