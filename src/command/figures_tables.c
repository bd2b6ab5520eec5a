/* The plots that are tables at heart: scenes, days, amounts, features. */
#include <inttypes.h>
#include <math.h>

#include "command/figures.h"
#include "command/figures_plots.h"
#include "command/plot.h"

enum { SHIFTS_DRAWN = 20, DAY_LABELS = 8, CELL = 46 };

/* One cell: its share of the row as depth of colour, the rows as a number. */
static void cell_draw(struct plot *plot, double x, double y, double share, const char *text, enum plot_colour colour)
{
    plot_bar(plot, x, y, CELL - 2, CELL - 20, colour, 0.06 + 0.6 * share);
    plot_text(plot, x + (CELL - 2) / 2.0, y + 17.0, 'm', 11, PLOT_INK, "%s", text);
}

/* Columns are told by numbers, which the rows' names begin with. */
void figures_plot_confusion(FILE *out, const struct evaluation *evaluation)
{
    const struct metrics *metrics = &evaluation->sides[0].metrics;
    uint32_t columns = evaluation->scene_count - 1;
    bool with_passed = evaluation->knows_alerts;
    struct plot plot;
    double left = 210.0, width = left + (columns + with_passed * 1.4) * CELL + 24.0, row = CELL - 18;
    char title[120];
    snprintf(title, sizeof title, "Label against named scene%s%s", evaluation->side_count > 1 ? ", " : "",
             evaluation->side_count > 1 ? evaluation->sides[0].base_name : "");
    plot_begin(&plot, out, title, width < 640.0 ? 640.0 : width, 118.0 + (columns + 1) * row, left, 24, 20);
    for (uint32_t n = 0; n < columns; n++)
        plot_text(&plot, left + n * CELL + (CELL - 2) / 2.0, plot.top + 4.0, 'm', 11, PLOT_INK, "%u", n + 1);
    if (with_passed)
        plot_text(&plot, left + (columns + 0.4) * CELL + (CELL - 2) / 2.0, plot.top + 4.0, 'm', 11, PLOT_INK, "passed");
    plot_text(&plot, left, 46.0, 's', 11, PLOT_QUIET, "scene of most evidence; depth of colour: share of the row");
    for (uint32_t r = 0; r <= columns; r++) {
        uint32_t label = r < columns ? r + 1 : 0;
        double y = plot.top + 12.0 + r * row, rows = (double)metrics->scenes[label].rows;
        char text[32];
        if (label)
            plot_text(&plot, left - 10.0, y + 17.0, 'e', 12, PLOT_INK, "%.24s  %u", evaluation->scene_names[label], label);
        else
            plot_text(&plot, left - 10.0, y + 17.0, 'e', 12, PLOT_INK, "good  ");
        for (uint32_t n = 1; n <= columns && rows > 0.0; n++) {
            uint64_t here = metrics->best[label][n];
            snprintf(text, sizeof text, here >= 100000 ? "%.0fk" : "%.0f", here >= 100000 ? (double)here / 1000.0 : (double)here);
            cell_draw(&plot, left + (n - 1) * CELL, y, (double)here / rows, text, n == label ? PLOT_THIRD : PLOT_FIRST);
        }
        if (with_passed && rows > 0.0) {
            double passed = 1.0 - (double)metrics->scenes[label].alerted / rows;
            snprintf(text, sizeof text, "%.0f %%", 100.0 * passed);
            cell_draw(&plot, left + (columns + 0.4) * CELL, y, passed, text, PLOT_SECOND);
        }
    }
    plot_end(&plot);
}

static void day_ticks(struct plot *plot, const struct metrics_days *days, double first)
{
    uint32_t every = (days->count + DAY_LABELS - 1) / DAY_LABELS;
    char date[16];
    for (uint32_t d = 0; d < days->count; d += every) {
        double x = plot_x(plot, (double)days->days[d].day - first);
        plot_segment(plot, x, plot->bottom, x, plot->bottom + 4.0, PLOT_INK, false);
        plot_text(plot, x, plot->bottom + 18.0, 'm', 11, PLOT_INK, "%s", figures_date(date, days->days[d].day));
    }
    plot_segment(plot, plot->left, plot->bottom, plot->right, plot->bottom, PLOT_INK, false);
    plot_text(plot, (plot->left + plot->right) / 2.0, plot->bottom + 38.0, 'm', 12, PLOT_INK, "day, UTC");
}

static void days_line(struct plot *plot, const struct metrics_days *days, double first, int which, uint32_t k, enum plot_colour colour,
                      bool dashed)
{
    fprintf(plot->out, "<polyline class=\"p-s%d\" fill=\"none\" stroke-width=\"%d\"%s points=\"", (int)colour, which == 2 ? 1 : 2,
            dashed ? " stroke-dasharray=\"6 4\"" : "");
    for (uint32_t d = 0; d < days->count; d++) {
        const struct metrics_day *day = &days->days[d];
        double most = day->risky < k ? (double)day->risky / k : 1.0;
        double value = which == 0 ? day->precision : which == 1 ? day->card_precision : most;
        fprintf(plot->out, "%s%.1f,%.1f", d ? " " : "", plot_x(plot, (double)day->day - first), plot_y(plot, value));
    }
    fputs("\"/>\n", plot->out);
}

void figures_plot_days(FILE *out, const struct evaluation *evaluation)
{
    const struct metrics_days *days = &evaluation->sides[0].days;
    double first = days->days[0].day, last = days->days[days->count - 1].day, most = 0.0;
    char name[64];
    struct plot plot;
    for (uint32_t d = 0; d < days->count; d++)
        most = fmax(most, fmin((double)days->days[d].risky / evaluation->top, 1.0));
    most = most > 0.8 ? 1.0 : ceil(most * 11.0) / 10.0;
    snprintf(name, sizeof name, "Precision of the %u highest a day", evaluation->top);
    plot_begin(&plot, out, name, 760, 420, 64, 44, 52);
    plot.x = (struct plot_axis){.low = 0.0, .high = last - first, .begin = plot.left, .end = plot.right};
    snprintf(name, sizeof name, "share that is risky, of %u", evaluation->top);
    plot_axis_y(&plot, 0.0, most > 0.0 ? most : 1.0, false, name);
    day_ticks(&plot, days, first);
    days_line(&plot, days, first, 2, evaluation->top, PLOT_QUIET, true);
    for (uint32_t s = evaluation->side_count; s-- > 0;) {
        days_line(&plot, &evaluation->sides[s].days, first, 0, evaluation->top, PLOT_FIRST, s == 1);
        days_line(&plot, &evaluation->sides[s].days, first, 1, evaluation->top, PLOT_SECOND, s == 1);
    }
    plot_legend(&plot, PLOT_BOX, PLOT_FIRST, "transfers, mean %.3f", evaluation->sides[0].metrics.precision_top);
    plot_legend(&plot, PLOT_BOX, PLOT_SECOND, "payers not found before, mean %.3f", evaluation->sides[0].metrics.card_precision);
    plot_legend(&plot, PLOT_DASH, PLOT_QUIET, "thin: most that the day's risky transfers allow");
    if (evaluation->side_count > 1)
        plot_legend(&plot, PLOT_DASH, PLOT_FIRST, "dashed: %.40s", evaluation->sides[1].base_name);
    plot_end(&plot);
}

void figures_plot_drift(FILE *out, const struct evaluation *evaluation)
{
    uint32_t count = evaluation->shift_count < SHIFTS_DRAWN ? evaluation->shift_count : SHIFTS_DRAWN;
    double most = fmax(evaluation->shifts[0].psi * 1.5, 1.0), row = 20.0;
    static const double guides[] = {0.1, 0.25};
    struct plot plot;
    plot_begin(&plot, out, "Features that moved most", 760, 80.0 + row * count + 52.0, 230, 60, 52);
    plot_axis_x(&plot, 0.001, most, true,
                evaluation->shift_from_base ? "population stability index against what the base was built on"
                                            : "population stability index, later half against earlier half");
    for (int i = 0; i < 2; i++)
        plot_segment(&plot, plot_x(&plot, guides[i]), plot.top, plot_x(&plot, guides[i]), plot.bottom, PLOT_QUIET, true);
    for (uint32_t i = 0; i < count; i++) {
        const struct shift *shift = &evaluation->shifts[i];
        double y = plot.top + row * i + 3.0, end = plot_x(&plot, shift->psi);
        enum plot_colour colour = shift->psi >= guides[1] ? PLOT_FIRST : shift->psi >= guides[0] ? PLOT_SECOND : PLOT_QUIET;
        plot_text(&plot, plot.left - 10.0, y + 11.0, 'e', 11, PLOT_INK, "%s", feature_infos[shift->feature].name);
        plot_bar(&plot, plot.left, y, fmax(end - plot.left, 1.0), row - 6.0, colour, 1.0);
        plot_text(&plot, plot.right + 10.0, y + 11.0, 's', 11, PLOT_INK, "%.3f", shift->psi);
    }
    plot_legend(&plot, PLOT_BOX, PLOT_QUIET, "below 0.1: as before");
    plot_legend(&plot, PLOT_BOX, PLOT_SECOND, "0.1 to 0.25: moved");
    plot_legend(&plot, PLOT_BOX, PLOT_FIRST, "above: another distribution");
    plot_end(&plot);
}

void figures_plot_amounts(FILE *out, const struct evaluation *evaluation)
{
    double most = 1.0, row = 22.0 * evaluation->side_count + 14.0;
    char name[64];
    struct plot plot;
    for (uint32_t b = 0; b < METRICS_BANDS; b++)
        most = fmax(most, figures_money(evaluation, evaluation->sides[0].metrics.bands[b].amount_risky));
    plot_begin(&plot, out, "Risky money, by amount of the transfer", 760, 80.0 + row * METRICS_BANDS + 52.0, 170, 150, 52);
    snprintf(name, sizeof name, "sum of risky amounts, %s", evaluation->currency);
    plot_axis_x(&plot, 0.0, most, false, name);
    for (uint32_t b = 0; b < METRICS_BANDS; b++)
        for (uint32_t s = 0; s < evaluation->side_count; s++) {
            const struct metrics_band *band = &evaluation->sides[s].metrics.bands[b];
            double y = plot.top + row * b + 22.0 * s + 7.0, middle = plot_x(&plot, figures_money(evaluation, band->amount_caught));
            double end = plot_x(&plot, figures_money(evaluation, band->amount_risky));
            char text[48];
            if (s == 0)
                plot_text(&plot, plot.left - 10.0, y + 13.0 + 11.0 * (evaluation->side_count - 1), 'e', 11, PLOT_INK, "%s",
                          figures_band(text, evaluation, b, true));
            plot_bar(&plot, plot.left, y, middle - plot.left, 18.0, PLOT_THIRD, s ? 0.6 : 1.0);
            plot_bar(&plot, middle, y, end - middle, 18.0, PLOT_FIRST, s ? 0.6 : 1.0);
            if (band->risky)
                plot_text(&plot, end + 6.0, y + 13.0, 's', 11, PLOT_INK, "%" PRIu64 " of %" PRIu64 " rows", band->alerts_right,
                          band->risky);
        }
    plot_legend(&plot, PLOT_BOX, PLOT_THIRD, "did not pass");
    plot_legend(&plot, PLOT_BOX, PLOT_FIRST, "passed");
    if (evaluation->side_count > 1)
        plot_legend(&plot, PLOT_BOX, PLOT_QUIET, "pale: %.40s", evaluation->sides[1].base_name);
    plot_end(&plot);
}
