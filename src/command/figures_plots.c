/* The plots of one score: its curves, how it is spread, whether it is a probability. */
#include "command/figures_plots.h"

#include <math.h>

#include "base/memory.h"
#include "command/figures.h"
#include "command/plot.h"

static const enum plot_colour side_colours[EVALUATE_SIDES] = {PLOT_FIRST, PLOT_SECOND};

static const char *side_name(const struct evaluation *evaluation, uint32_t side)
{
    const char *name = evaluation->sides[side].base_name;
    return name[0] ? name : "scores";
}

/* Its mark tells the thresholds of the base. */
static void roc_draw(FILE *out, const struct evaluation *evaluation)
{
    static double points[METRICS_CURVE_MAX + 1][2];
    struct plot plot;
    plot_begin(&plot, out, "Risky rows found against good rows alerted (ROC)", 560, 560, 64, 24, 52);
    plot_axis_x(&plot, 0.0, 1.0, false, "share of good rows above the cut");
    plot_axis_y(&plot, 0.0, 1.0, false, "share of risky rows above the cut");
    plot_segment(&plot, plot_x(&plot, 0.0), plot_y(&plot, 0.0), plot_x(&plot, 1.0), plot_y(&plot, 1.0), PLOT_QUIET, true);
    for (uint32_t s = 0; s < evaluation->side_count; s++) {
        const struct metrics *metrics = &evaluation->sides[s].metrics;
        double risky = (double)metrics->risky, good = (double)(metrics->labelled - metrics->risky);
        points[0][0] = points[0][1] = 0.0;
        for (uint32_t i = 0; i < metrics->curve_count; i++) {
            points[i + 1][0] = (double)metrics->curve[i].good / good;
            points[i + 1][1] = (double)metrics->curve[i].risky / risky;
        }
        plot_line(&plot, (const double(*)[2])points, metrics->curve_count + 1, side_colours[s], false);
        plot_legend(&plot, PLOT_BOX, side_colours[s], "%.40s, area %.4f", side_name(evaluation, s), metrics->auc_roc);
    }
    for (uint32_t s = 0; s < evaluation->side_count && evaluation->knows_alerts; s++) {
        const struct metrics *metrics = &evaluation->sides[s].metrics;
        plot_mark(&plot, plot_x(&plot, (double)metrics->scenes[0].alerted / (double)metrics->scenes[0].rows),
                  plot_y(&plot, figures_recall(metrics)), PLOT_DIAMOND, side_colours[s]);
    }
    if (evaluation->knows_alerts)
        plot_legend(&plot, PLOT_DIAMOND, PLOT_INK, "at its thresholds");
    plot_legend(&plot, PLOT_DASH, PLOT_QUIET, "chance");
    plot_end(&plot);
}

static void precision_recall_draw(FILE *out, const struct evaluation *evaluation)
{
    static double points[METRICS_CURVE_MAX + 1][2];
    const struct metrics *first = &evaluation->sides[0].metrics;
    double chance = (double)first->risky / (double)first->labelled;
    struct plot plot;
    plot_begin(&plot, out, "Precision against recall", 560, 560, 64, 24, 52);
    plot_axis_x(&plot, 0.0, 1.0, false, "recall: share of risky rows above the cut");
    plot_axis_y(&plot, 0.0, 1.0, false, "precision: share of rows above the cut that are risky");
    plot_segment(&plot, plot.left, plot_y(&plot, chance), plot.right, plot_y(&plot, chance), PLOT_QUIET, true);
    for (uint32_t s = 0; s < evaluation->side_count; s++) {
        const struct metrics *metrics = &evaluation->sides[s].metrics;
        for (uint32_t i = 0; i < metrics->curve_count; i++) {
            points[i][0] = (double)metrics->curve[i].risky / (double)metrics->risky;
            points[i][1] = (double)metrics->curve[i].risky / (double)(metrics->curve[i].risky + metrics->curve[i].good);
        }
        plot_line(&plot, (const double(*)[2])points, metrics->curve_count, side_colours[s], false);
        plot_legend(&plot, PLOT_BOX, side_colours[s], "%.40s, average precision %.4f", side_name(evaluation, s),
                    metrics->average_precision);
    }
    for (uint32_t s = 0; s < evaluation->side_count && evaluation->knows_alerts; s++) {
        const struct metrics *metrics = &evaluation->sides[s].metrics;
        if (metrics->alerts_labelled)
            plot_mark(&plot, plot_x(&plot, figures_recall(metrics)), plot_y(&plot, figures_precision(metrics)), PLOT_DIAMOND,
                      side_colours[s]);
    }
    if (evaluation->knows_alerts)
        plot_legend(&plot, PLOT_DIAMOND, PLOT_INK, "at its thresholds");
    plot_legend(&plot, PLOT_DASH, PLOT_QUIET, "share of risky rows, %.3g %%", 100.0 * chance);
    plot_end(&plot);
}

/* Shares of each class in each bin, as steps; a logarithmic axis, since most good rows are in the lowest bin. */
static void scores_draw(FILE *out, const struct evaluation *evaluation)
{
    static double points[2 * METRICS_HISTOGRAM_BINS + 2][2];
    struct plot plot;
    double least = 1.0;
    plot_begin(&plot, out, "How the risk is spread", 760, 420, 64, 24, 52);
    for (uint32_t s = 0; s < evaluation->side_count; s++) {
        const struct metrics *metrics = &evaluation->sides[s].metrics;
        double rows[2] = {(double)(metrics->labelled - metrics->risky), (double)metrics->risky};
        for (int class = 0; class < 2; class ++)
            for (uint32_t b = 0; b < METRICS_HISTOGRAM_BINS; b++)
                if (metrics->histogram[class][b] > 0)
                    least = fmin(least, (double)metrics->histogram[class][b] / rows[class]);
    }
    least = pow(10.0, floor(log10(least)));
    plot_axis_x(&plot, 0.0, 1.0, false, "risk");
    plot_axis_y(&plot, least < 0.1 ? least : 0.1, 1.0, true, "share of the class's rows, by 1/40 of risk");
    for (uint32_t s = 0; s < evaluation->side_count; s++)
        for (int class = 0; class < 2; class ++) {
            const struct metrics *metrics = &evaluation->sides[s].metrics;
            double rows = class ? (double)metrics->risky : (double)(metrics->labelled - metrics->risky);
            uint32_t count = 0;
            for (uint32_t b = 0; b < METRICS_HISTOGRAM_BINS && rows > 0.0; b++) {
                double share = (double)metrics->histogram[class][b] / rows;
                points[count][0] = (double)b / METRICS_HISTOGRAM_BINS;
                points[count++][1] = share;
                points[count][0] = (double)(b + 1) / METRICS_HISTOGRAM_BINS;
                points[count++][1] = share;
            }
            plot_line(&plot, (const double(*)[2])points, count, class ? PLOT_FIRST : PLOT_SECOND, s == 1);
            if (s == 0)
                plot_legend(&plot, PLOT_BOX, class ? PLOT_FIRST : PLOT_SECOND, "%s, %.0f rows", class ? "risky" : "good", rows);
        }
    if (evaluation->side_count > 1)
        plot_legend(&plot, PLOT_DASH, PLOT_QUIET, "%.40s", side_name(evaluation, 1));
    plot_end(&plot);
}

/* Wilson's interval of a share, 95 %. */
static void share_interval(double *low, double *high, double part, double all)
{
    double z = 1.959964, share = part / all, scale = 1.0 + z * z / all;
    double middle = (share + z * z / (2.0 * all)) / scale, arm = z / scale * sqrt(share * (1.0 - share) / all + z * z / (4.0 * all * all));
    *low = middle - arm;
    *high = middle + arm;
}

static void reliability_series(struct plot *plot, const struct metrics_calibration *calibration, enum plot_colour colour,
                               enum plot_mark mark, double moved)
{
    for (uint32_t b = 0; b < METRICS_BINS; b++) {
        const struct metrics_bin *bin = &calibration->bins[b];
        double low, high;
        if (bin->rows == 0)
            continue;
        share_interval(&low, &high, (double)bin->risky, (double)bin->rows);
        double x = plot_x(plot, bin->mean) + moved;
        plot_segment(plot, x, plot_y(plot, low), x, plot_y(plot, high), colour, false);
        plot_mark(plot, x, plot_y(plot, (double)bin->risky / (double)bin->rows), mark, colour);
    }
}

static void reliability_draw(FILE *out, const struct evaluation *evaluation)
{
    struct plot plot;
    plot_begin(&plot, out, "Is the risk a probability?", 560, 560, 64, 24, 52);
    plot_axis_x(&plot, 0.0, 1.0, false, "mean score of the rows in a tenth of 0 to 1");
    plot_axis_y(&plot, 0.0, 1.0, false, "share of them that is risky, with 95 % interval");
    plot_segment(&plot, plot_x(&plot, 0.0), plot_y(&plot, 0.0), plot_x(&plot, 1.0), plot_y(&plot, 1.0), PLOT_QUIET, true);
    for (uint32_t s = 0; s < evaluation->side_count; s++) {
        const struct metrics_calibration *calibration = &evaluation->sides[s].metrics.calibration[0];
        reliability_series(&plot, calibration, side_colours[s], PLOT_DOT, s ? 3.0 : -3.0);
        plot_legend(&plot, PLOT_DOT, side_colours[s], "risk%s%.32s: error %.4f, Brier %.4f", evaluation->side_count > 1 ? ", " : "",
                    evaluation->side_count > 1 ? side_name(evaluation, s) : "", calibration->error, calibration->brier);
    }
    if (evaluation->side_count == 1 && evaluation->knows_match) {
        const struct metrics_calibration *calibration = &evaluation->sides[0].metrics.calibration[1];
        reliability_series(&plot, calibration, PLOT_SECOND, PLOT_DIAMOND, 3.0);
        plot_legend(&plot, PLOT_DIAMOND, PLOT_SECOND, "best match: error %.4f, Brier %.4f", calibration->error, calibration->brier);
    }
    plot_end(&plot);
}

static bool has_both(const struct evaluation *evaluation)
{
    const struct metrics *metrics = &evaluation->sides[0].metrics;
    return metrics->risky > 0 && metrics->risky < metrics->labelled;
}

static bool has_risky(const struct evaluation *evaluation)
{
    return evaluation->sides[0].metrics.risky > 0;
}

static bool has_probabilities(const struct evaluation *evaluation)
{
    const struct metrics *metrics = &evaluation->sides[0].metrics;
    return metrics->labelled > metrics->calibration[0].outside;
}

static bool has_scenes(const struct evaluation *evaluation)
{
    return evaluation->knows_scenes && evaluation->scene_count > 1 && has_risky(evaluation);
}

static bool has_amounts(const struct evaluation *evaluation)
{
    const struct metrics *metrics = &evaluation->sides[0].metrics;
    return evaluation->knows_alerts && evaluation->currency[0] && metrics->amount_caught + metrics->amount_missed > 0;
}

static bool has_days(const struct evaluation *evaluation)
{
    return evaluation->sides[0].days.count > 1 && has_risky(evaluation);
}

static bool has_shifts(const struct evaluation *evaluation)
{
    return evaluation->shift_count > 0;
}

const struct figures_plot figures_plots[FIGURES_PLOTS] = {
    {"roc", "Every cut of the risk. The area is the share of pairs of a risky and a good row in which the risky one scores higher.",
     has_both, roc_draw},
    {"precision-recall", "The same cuts, as who works the alerts sees them.", has_both, precision_recall_draw},
    {"scores", "Good and risky rows by their risk; the axis is logarithmic.", has_probabilities, scores_draw},
    {"reliability", "On the dashed line a score of 0.3 means that three in ten are risky.", has_probabilities, reliability_draw},
    {"confusion", "Rows of each label by the scene that has most evidence, whether or not it reaches its threshold; beside it what passed.",
     has_scenes, figures_plot_confusion},
    {"amounts", "Risky amounts by size of the transfer: what did not pass, and what did.", has_amounts, figures_plot_amounts},
    {"days", "Day by day, who looks at the highest scores alone.", has_days, figures_plot_days},
    {"drift", "How far the distribution of each feature moved: from what the base was built on, or between the halves of the rows.",
     has_shifts, figures_plot_drift},
};
