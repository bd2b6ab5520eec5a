/* The table, and what table, JSON and plots share. */
#include "command/figures.h"

#include <inttypes.h>
#include <math.h>
#include <time.h>

#include "base/clock.h"

enum { SHIFTS_TOLD = 5 };

double figures_share(double part, double all)
{
    return all > 0.0 ? part / all : NAN;
}

double figures_precision(const struct metrics *metrics)
{
    return figures_share((double)metrics->alerts_right, (double)metrics->alerts_labelled);
}

double figures_recall(const struct metrics *metrics)
{
    return figures_share((double)metrics->alerts_right, (double)metrics->risky);
}

double figures_money(const struct evaluation *evaluation, int64_t minor)
{
    double value = (double)minor;
    for (uint32_t i = 0; i < evaluation->decimals; i++)
        value /= 10.0;
    return value;
}

const char *figures_band(char out[48], const struct evaluation *evaluation, uint32_t band, bool plain)
{
    double low = pow(10.0, band), high = pow(10.0, band + 1);
    const char *unit = plain ? "" : " ", *currency = plain ? "" : evaluation->currency;
    if (band == 0)
        snprintf(out, 48, "below %.0f%s%s", high, unit, currency);
    else if (band + 1 == METRICS_BANDS)
        snprintf(out, 48, "%.0f%s%s and more", low, unit, currency);
    else
        snprintf(out, 48, "%.0f to %.0f%s%s", low, high, unit, currency);
    return out;
}

const char *figures_date(char out[16], uint32_t day)
{
    time_t second = (time_t)day * 86400;
    struct tm utc;
    gmtime_r(&second, &utc);
    strftime(out, 16, "%Y-%m-%d", &utc);
    return out;
}

const char *figures_moment(char out[32], int64_t time_us)
{
    time_t second = (time_t)(time_us / US_PER_SECOND);
    struct tm utc;
    gmtime_r(&second, &utc);
    strftime(out, 32, "%Y-%m-%d %H:%M:%S", &utc);
    return out;
}

/* A share or an area with four places, "-" where there is none. */
static const char *told(char out[16], double value)
{
    snprintf(out, 16, isfinite(value) ? "%.4f" : "-", value);
    return out;
}

static void line_print(FILE *out, const struct evaluation *evaluation, const char *name, double first, double second)
{
    char a[16], b[16];
    if (evaluation->side_count > 1)
        fprintf(out, "%-26s %9s %9s\n", name, told(a, first), told(b, second));
    else
        fprintf(out, "%-26s %9s\n", name, told(a, first));
}

static void head_print(FILE *out, const struct evaluation *evaluation)
{
    const struct metrics *metrics = &evaluation->sides[0].metrics;
    for (uint32_t s = 0; s < evaluation->side_count && evaluation->knows_alerts; s++) {
        const struct evaluated *side = &evaluation->sides[s];
        fprintf(out, "base %s, version %s, %s\n", side->base_name, side->base_version, side->base_digest);
    }
    fprintf(out, "%" PRIu64 " rows, %" PRIu64 " labelled, %" PRIu64 " risky", metrics->rows, metrics->labelled, metrics->risky);
    for (uint32_t s = 0; s < evaluation->side_count && evaluation->knows_alerts; s++) {
        metrics = &evaluation->sides[s].metrics;
        fprintf(out, "%s%" PRIu64 " did not pass, %" PRIu64 " of them rightly", s ? "; against " : ", ", metrics->alerts,
                metrics->alerts_right);
    }
    fprintf(out, "\n");
    figures_notes(out, evaluation);
    fprintf(out, "\n");
}

static void order_print(FILE *out, const struct evaluation *evaluation)
{
    const struct metrics *a = &evaluation->sides[0].metrics, *b = &evaluation->sides[1].metrics;
    char name[40];
    if (evaluation->side_count > 1)
        fprintf(out, "%-26s %9s %9s\n", "", "base", "against");
    line_print(out, evaluation, "auc_roc", a->auc_roc, b->auc_roc);
    line_print(out, evaluation, "average_precision", a->average_precision, b->average_precision);
    snprintf(name, sizeof name, "precision_%u", evaluation->top);
    line_print(out, evaluation, name, a->precision_top, b->precision_top);
    snprintf(name, sizeof name, "card_precision_%u", evaluation->top);
    line_print(out, evaluation, name, a->card_precision, b->card_precision);
    if (evaluation->knows_scenes)
        line_print(out, evaluation, "scene_named_right", a->named_right, b->named_right);
    line_print(out, evaluation, "calibration_error", a->calibration[0].error, b->calibration[0].error);
    line_print(out, evaluation, "brier", a->calibration[0].brier, b->calibration[0].brier);
    if (evaluation->knows_match)
        line_print(out, evaluation, "brier_of_match", a->calibration[1].brier, b->calibration[1].brier);
    for (int which = METRICS_ANOMALY; which < METRICS_SCORE_COUNT && evaluation->knows_anomaly; which++) {
        if (which > METRICS_ANOMALY && !evaluation->knows_alerts)
            break;
        snprintf(name, sizeof name, "%s_auc_roc", metrics_score_names[which]);
        line_print(out, evaluation, name, a->of_score[which].auc_roc, b->of_score[which].auc_roc);
        snprintf(name, sizeof name, "%s_ap", metrics_score_names[which]);
        line_print(out, evaluation, name, a->of_score[which].average_precision, b->of_score[which].average_precision);
    }
}

static void thresholds_print(FILE *out, const struct evaluation *evaluation)
{
    const struct metrics *a = &evaluation->sides[0].metrics, *b = &evaluation->sides[1].metrics;
    fprintf(out, "\nat the base's thresholds\n");
    line_print(out, evaluation, "precision", figures_precision(a), figures_precision(b));
    line_print(out, evaluation, "recall", figures_recall(a), figures_recall(b));
    line_print(out, evaluation, "alert_rate", figures_share((double)a->alerts, (double)a->rows),
               figures_share((double)b->alerts, (double)b->rows));
    for (uint32_t s = 0; s < evaluation->side_count; s++) {
        const struct metrics *metrics = &evaluation->sides[s].metrics;
        fprintf(out, "%s of risky transfers: %.2f %s caught, %.2f missed; of good ones %.2f held\n", s ? "against, amounts" : "amounts",
                figures_money(evaluation, metrics->amount_caught), evaluation->currency, figures_money(evaluation, metrics->amount_missed),
                figures_money(evaluation, metrics->amount_held_good));
    }
}

static void scenes_print(FILE *out, const struct evaluation *evaluation, const struct metrics *metrics)
{
    bool with_alerts = evaluation->knows_alerts;
    char text[16];
    fprintf(out, "\n%-24s %9s %9s %9s %12s", "scene", "rows", "auc_roc", "precision", "named right");
    fprintf(out, with_alerts ? " %9s\n" : "\n", "alerted");
    for (uint32_t s = 1; s < evaluation->scene_count; s++) {
        const struct metrics_scene *scene = &metrics->scenes[s];
        fprintf(out, "%-24s %9" PRIu64 " %9s", evaluation->scene_names[s], scene->rows, told(text, scene->auc_roc));
        fprintf(out, " %9s %12" PRIu64, told(text, scene->average_precision), scene->named_right);
        if (with_alerts)
            fprintf(out, " %9" PRIu64, scene->alerted);
        fprintf(out, "\n");
    }
    if (with_alerts)
        fprintf(out, "%-24s %9" PRIu64 " %9s %9s %12s %9" PRIu64 "\n", "good", metrics->scenes[0].rows, "", "", "",
                metrics->scenes[0].alerted);
}

static void bands_print(FILE *out, const struct evaluation *evaluation, const struct metrics *metrics)
{
    char band[48], a[16], b[16], c[16], d[16];
    fprintf(out, "\n%-24s %9s %9s %9s %9s", "amount", "rows", "risky", "auc_roc", "precision");
    fprintf(out, evaluation->knows_alerts ? " %9s %9s\n" : "\n", "right", "recall");
    for (uint32_t i = 0; i < METRICS_BANDS; i++) {
        const struct metrics_band *here = &metrics->bands[i];
        fprintf(out, "%-24s %9" PRIu64 " %9" PRIu64 " %9s %9s", figures_band(band, evaluation, i, false), here->rows, here->risky,
                told(a, here->risk.auc_roc), told(b, here->risk.average_precision));
        if (evaluation->knows_alerts)
            fprintf(out, " %9s %9s", told(c, figures_share((double)here->alerts_right, (double)here->alerts)),
                    told(d, figures_share((double)here->alerts_right, (double)here->risky)));
        fprintf(out, "\n");
    }
}

static void shifts_print(FILE *out, const struct evaluation *evaluation)
{
    bool from_base = evaluation->shift_from_base;
    char a[16], b[16];
    if (evaluation->shift_count > 0)
        fprintf(out, "\nfeatures that moved most, %s\n%-26s %9s %13s %13s\n",
                from_base ? "from what the base was built on" : "from the earlier half of the rows to the later", "", "psi",
                from_base ? "not known" : "mean before", from_base ? "now" : "after");
    for (uint32_t i = 0; i < evaluation->shift_count && i < SHIFTS_TOLD; i++) {
        const struct shift *shift = &evaluation->shifts[i];
        fprintf(out, "%-26s %9.4f", feature_infos[shift->feature].name, shift->psi);
        fprintf(out, " %13s %13s\n", told(a, from_base ? shift->unknown_before : shift->mean_before),
                told(b, from_base ? shift->unknown_after : shift->mean_after));
    }
}

static void comparison_print(FILE *out, const struct evaluation *evaluation)
{
    const struct comparison *comparison = &evaluation->comparison;
    static const char *const classes[3] = {"good", "risky", "no label"};
    char a[16], b[16], c[16];
    fprintf(out, "\n%-26s %9s   95 %% by %u draws of %u payers\n", "against − base", "", comparison->draws, comparison->accounts);
    for (int f = 0; f < COMPARED_COUNT; f++) {
        const struct interval *difference = &comparison->figures[f].difference;
        fprintf(out, "%-26s %9s   %s to %s\n", compared_names[f], told(a, difference->value), told(b, difference->low),
                told(c, difference->high));
    }
    fprintf(out, "%-26s %9s   p %s (DeLong, rows taken one by one)\n", "standard error of auc_roc", told(a, comparison->auc_error),
            told(b, comparison->auc_p));
    fprintf(out, "\n%-26s %9s %9s %9s %9s\n", "rows", "both pass", "base", "against", "both");
    for (int i = 0; i < 3; i++)
        fprintf(out, "%-26s %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 "\n", classes[i], comparison->agreement[i][0][0],
                comparison->agreement[i][1][0], comparison->agreement[i][0][1], comparison->agreement[i][1][1]);
    fprintf(out, "%" PRIu64 " rows switched between pass and alert, %" PRIu64 " alerts changed their scene\n", comparison->switched,
            comparison->renamed);
}

void figures_print(FILE *out, const struct evaluation *evaluation)
{
    head_print(out, evaluation);
    order_print(out, evaluation);
    if (evaluation->knows_alerts)
        thresholds_print(out, evaluation);
    if (evaluation->knows_scenes)
        scenes_print(out, evaluation, &evaluation->sides[0].metrics);
    if (evaluation->currency[0])
        bands_print(out, evaluation, &evaluation->sides[0].metrics);
    shifts_print(out, evaluation);
    if (evaluation->side_count > 1)
        comparison_print(out, evaluation);
}

void figures_notes(FILE *out, const struct evaluation *evaluation)
{
    const struct metrics *metrics = &evaluation->sides[0].metrics;
    if (evaluation->rows_invalid)
        fprintf(out, "%" PRIu64 " rows are invalid and left out%s%s\n", evaluation->rows_invalid,
                evaluation->invalid_first[0] ? ", the first: " : "", evaluation->invalid_first);
    if (metrics->labelled == 0)
        fprintf(out, "no row has a label: nothing can be said of how good the scores are\n");
    else if (metrics->risky == 0)
        fprintf(out, "no row is risky: auc_roc, average_precision and recall have no value\n");
    else if (metrics->risky == metrics->labelled)
        fprintf(out, "no row is good: auc_roc has no value, every alert is right\n");
    if (metrics->calibration[0].outside)
        fprintf(out, "%" PRIu64 " rows have a risk outside 0 to 1: the calibration is of the others\n", metrics->calibration[0].outside);
    for (uint32_t i = 1; i < evaluation->scene_count && evaluation->knows_alerts; i++)
        for (uint32_t s = 0; s < evaluation->side_count; s++)
            if (!evaluation->sides[s].is_scene[i])
                fprintf(out, "label %s, %" PRIu64 " rows, is no scene of base %s: risky, but never named right\n",
                        evaluation->scene_names[i], metrics->scenes[i].rows, evaluation->sides[s].base_name);
}
