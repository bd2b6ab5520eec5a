/* Eight draws at a time: a payer's copies in them are eight bytes, so that one pass over the order serves all. What is a sum
 * over rows is summed by payer once and weighted afterwards; only the two figures of order need the rows. */
#include "scene/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "scene/random.h"
#include "scene/rank.h"

enum { LANES = 8, COPIES_MAX = 8 };

const char *const compared_names[COMPARED_COUNT] = {"auc_roc", "average_precision", "brier",        "scene_named_right", "precision",
                                                    "recall",  "alert_rate",        "amount_caught"};

enum sum { SUM_ROWS, SUM_RISKY, SUM_ALERTS, SUM_RIGHT, SUM_NAMED, SUM_BRIER, SUM_AMOUNT, SUM_CAUGHT, SUM_COUNT };

struct ordered { /* a labelled row in the order of the score */
    uint32_t account;
    uint8_t is_risky, is_last; /* of its step: rows of one score, or of several that follow each other without a risky one */
};

struct side {
    const struct metrics_row *rows;
    struct ordered *order;
    double (*sums)[SUM_COUNT]; /* by account */
};

struct lanes {
    uint8_t copies[LANES];
};

struct comparing {
    uint32_t row_count, ordered_count, account_count, draws;
    uint32_t *account; /* of a row */
    struct side sides[2];
    struct lanes *lanes;                /* by account */
    double (*drawn)[3][COMPARED_COUNT]; /* [draw][first, second, difference] */
    double *values;                     /* of one figure over the draws */
};

/* Copies of 1/65536 below these bounds: the distribution of Poisson(1), whose tail beyond 8 copies is below that. */
static const uint32_t poisson_bounds[COPIES_MAX] = {24109, 48219, 60274, 64292, 65296, 65497, 65531, 65535};

static void draw_copies(struct comparing *comparing, uint64_t seed, uint32_t block)
{
    struct random random = {.state = seed + 0x9e3779b97f4a7c15u * ((uint64_t)block * comparing->account_count * 2)};
    for (uint32_t a = 0; a < comparing->account_count; a++)
        for (uint32_t half = 0; half < 2; half++) {
            uint64_t bits = random_u64(&random);
            for (uint32_t l = 0; l < LANES / 2; l++) {
                uint32_t draw = (uint32_t)(bits >> 16 * l & 65535), copies = 0;
                for (uint32_t i = 0; i < COPIES_MAX; i++)
                    copies += draw >= poisson_bounds[i];
                comparing->lanes[a].copies[half * (LANES / 2) + l] = (uint8_t)copies;
            }
        }
}

static void one_copy_each(struct comparing *comparing)
{
    memset(comparing->lanes, 1, comparing->account_count * sizeof *comparing->lanes);
}

struct order_sums {
    double right[LANES], precision[LANES];
    double risky[LANES], good[LANES];
    uint32_t risky_here[LANES], good_here[LANES];
};

static void step_end(struct order_sums *sums)
{
    for (uint32_t l = 0; l < LANES; l++) {
        double risky_here = sums->risky_here[l], good_here = sums->good_here[l];
        sums->right[l] += good_here * (sums->risky[l] + risky_here / 2.0);
        sums->good[l] += good_here;
        sums->risky[l] += risky_here;
        sums->precision[l] += risky_here > 0.0 ? risky_here * sums->risky[l] / (sums->risky[l] + sums->good[l]) : 0.0;
        sums->risky_here[l] = sums->good_here[l] = 0;
    }
}

static void sum_order(struct order_sums *out, const struct comparing *comparing, const struct side *side)
{
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < comparing->ordered_count; i++) {
        const struct ordered *row = &side->order[i];
        const uint8_t *copies = comparing->lanes[row->account].copies;
        uint32_t *here = row->is_risky ? out->risky_here : out->good_here;
        for (uint32_t l = 0; l < LANES; l++)
            here[l] += copies[l];
        if (row->is_last)
            step_end(out);
    }
}

static double ratio(double part, double all)
{
    return all > 0.0 ? part / all : NAN;
}

static void figures_of(double out[LANES][COMPARED_COUNT], const struct comparing *comparing, const struct side *side)
{
    struct order_sums order;
    double sums[SUM_COUNT][LANES] = {{0.0}};
    sum_order(&order, comparing, side);
    for (uint32_t a = 0; a < comparing->account_count; a++)
        for (uint32_t s = 0; s < SUM_COUNT; s++)
            for (uint32_t l = 0; l < LANES; l++)
                sums[s][l] += side->sums[a][s] * comparing->lanes[a].copies[l];
    for (uint32_t l = 0; l < LANES; l++) {
        out[l][COMPARED_AUC_ROC] = ratio(order.right[l], order.risky[l] * order.good[l]);
        out[l][COMPARED_AVERAGE_PRECISION] = ratio(order.precision[l], order.risky[l]);
        out[l][COMPARED_BRIER] = ratio(sums[SUM_BRIER][l], sums[SUM_ROWS][l]);
        out[l][COMPARED_NAMED_RIGHT] = ratio(sums[SUM_NAMED][l], sums[SUM_RISKY][l]);
        out[l][COMPARED_PRECISION] = ratio(sums[SUM_RIGHT][l], sums[SUM_ALERTS][l]);
        out[l][COMPARED_RECALL] = ratio(sums[SUM_RIGHT][l], sums[SUM_RISKY][l]);
        out[l][COMPARED_ALERT_RATE] = ratio(sums[SUM_ALERTS][l], sums[SUM_ROWS][l]);
        out[l][COMPARED_AMOUNT_CAUGHT] = ratio(sums[SUM_CAUGHT][l], sums[SUM_AMOUNT][l]);
    }
}

static void sum_row(double sums[SUM_COUNT], const struct metrics_row *row)
{
    double is_risky = metrics_is_risky(row), miss = (double)row->score - is_risky;
    sums[SUM_ROWS] += 1.0;
    sums[SUM_RISKY] += is_risky;
    sums[SUM_ALERTS] += row->alerted;
    sums[SUM_RIGHT] += is_risky * row->alerted;
    sums[SUM_NAMED] += is_risky * (row->named == row->label);
    sums[SUM_BRIER] += miss * miss;
    sums[SUM_AMOUNT] += is_risky * (double)row->amount;
    sums[SUM_CAUGHT] += is_risky * row->alerted * (double)row->amount;
}

static enum fault no_memory(const struct comparing *comparing, struct fault_note *note)
{
    return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to compare %u rows", comparing->row_count);
}

/* What good rows add to the sums of order depends on the risky ones above alone: steps without any are taken together. */
static void join_steps(struct ordered *order, uint32_t count)
{
    bool was_risky = true, is_risky = false;
    uint32_t last = 0; /* of the step before */
    for (uint32_t i = 0; i < count; i++) {
        is_risky |= order[i].is_risky;
        if (!order[i].is_last)
            continue;
        if (!was_risky && !is_risky)
            order[last].is_last = 0;
        was_risky = is_risky;
        is_risky = false;
        last = i;
    }
}

static enum fault side_take(struct comparing *comparing, struct side *side, struct fault_note *note)
{
    struct ranked ranked;
    uint32_t count = 0;
    side->order = memory_take(((size_t)comparing->row_count + 1) * sizeof *side->order);
    side->sums = memory_take_zeroed((size_t)comparing->account_count + 1, sizeof *side->sums);
    if (!side->order || !side->sums)
        return no_memory(comparing, note);
    enum fault fault = ranked_take(&ranked, side->rows, comparing->row_count, METRICS_RISK, note);
    if (fault != FAULT_NONE)
        return fault;
    for (uint32_t i = 0; i < comparing->row_count; i++) {
        const struct metrics_row *row = &side->rows[ranked_row(&ranked, i)];
        uint32_t account = comparing->account[ranked_row(&ranked, i)];
        if (row->label != METRICS_LABEL_UNKNOWN) {
            side->order[count++] = (struct ordered){.account = account, .is_risky = metrics_is_risky(row)};
            sum_row(side->sums[account], row);
        }
        if (count > 0 && ranked_ends(&ranked, i))
            side->order[count - 1].is_last = 1;
    }
    join_steps(side->order, count);
    comparing->ordered_count = count;
    ranked_give(&ranked);
    return FAULT_NONE;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const double *rising, uint32_t count, double share)
{
    double place = share * (count - 1);
    uint32_t below = (uint32_t)place;
    return below + 1 < count ? rising[below] + (place - below) * (rising[below + 1] - rising[below]) : rising[count - 1];
}

static void interval_find(struct interval *out, struct comparing *comparing, uint32_t which, uint32_t figure)
{
    uint32_t count = 0;
    for (uint32_t d = 0; d < comparing->draws; d++)
        if (isfinite(comparing->drawn[d][which][figure]))
            comparing->values[count++] = comparing->drawn[d][which][figure];
    out->low = out->high = NAN;
    if (count == 0 || !isfinite(out->value))
        return;
    qsort(comparing->values, count, sizeof *comparing->values, by_value);
    out->low = quantile(comparing->values, count, 0.025);
    out->high = quantile(comparing->values, count, 0.975);
}

static void draw_all(struct comparison *out, struct comparing *comparing, uint64_t seed)
{
    double figures[2][LANES][COMPARED_COUNT];
    one_copy_each(comparing);
    for (int s = 0; s < 2; s++)
        figures_of(figures[s], comparing, &comparing->sides[s]);
    for (uint32_t f = 0; f < COMPARED_COUNT; f++) {
        out->figures[f].first.value = figures[0][0][f];
        out->figures[f].second.value = figures[1][0][f];
        out->figures[f].difference.value = figures[1][0][f] - figures[0][0][f];
    }
    for (uint32_t d = 0; d < comparing->draws; d += LANES) {
        draw_copies(comparing, seed, d / LANES);
        for (int s = 0; s < 2; s++)
            figures_of(figures[s], comparing, &comparing->sides[s]);
        for (uint32_t l = 0; l < LANES && d + l < comparing->draws; l++)
            for (uint32_t f = 0; f < COMPARED_COUNT; f++) {
                comparing->drawn[d + l][0][f] = figures[0][l][f];
                comparing->drawn[d + l][1][f] = figures[1][l][f];
                comparing->drawn[d + l][2][f] = figures[1][l][f] - figures[0][l][f];
            }
    }
    for (uint32_t f = 0; f < COMPARED_COUNT; f++) {
        interval_find(&out->figures[f].first, comparing, 0, f);
        interval_find(&out->figures[f].second, comparing, 1, f);
        interval_find(&out->figures[f].difference, comparing, 2, f);
    }
}

static void count_agreement(struct comparison *out, const struct metrics_row *first, const struct metrics_row *second, uint32_t row_count)
{
    for (uint32_t i = 0; i < row_count; i++) {
        int class = metrics_is_good(&first[i]) ? 0 : metrics_is_risky(&first[i]) ? 1 : 2;
        out->agreement[class][first[i].alerted != 0][second[i].alerted != 0]++;
        out->switched += (first[i].alerted != 0) != (second[i].alerted != 0);
        out->renamed += first[i].alerted && second[i].alerted && first[i].named != second[i].named;
    }
}

static void comparing_give(struct comparing *comparing)
{
    for (int s = 0; s < 2; s++) {
        memory_give(comparing->sides[s].order);
        memory_give(comparing->sides[s].sums);
    }
    memory_give(comparing->account);
    memory_give(comparing->lanes);
    memory_give(comparing->drawn);
    memory_give(comparing->values);
}

enum fault compare_measure(struct comparison *out, const struct metrics_row *first, const struct metrics_row *second, uint32_t row_count,
                           uint32_t draws, uint64_t seed, struct fault_note *note)
{
    struct comparing comparing = {.row_count = row_count, .draws = draws, .sides = {{.rows = first}, {.rows = second}}};
    memset(out, 0, sizeof *out);
    enum fault fault = metrics_accounts(&comparing.account, &comparing.account_count, first, row_count, note);
    if (fault != FAULT_NONE)
        return fault;
    comparing.lanes = memory_take((size_t)(comparing.account_count + 1) * sizeof *comparing.lanes);
    comparing.drawn = memory_take_zeroed((size_t)draws + 1, sizeof *comparing.drawn);
    comparing.values = memory_take_zeroed((size_t)draws + 1, sizeof *comparing.values);
    if (!comparing.lanes || !comparing.drawn || !comparing.values)
        fault = no_memory(&comparing, note);
    for (int s = 0; s < 2 && fault == FAULT_NONE; s++)
        fault = side_take(&comparing, &comparing.sides[s], note);
    if (fault == FAULT_NONE) {
        out->draws = draws;
        out->accounts = comparing.account_count;
        draw_all(out, &comparing, seed);
        count_agreement(out, first, second, row_count);
        fault = compare_delong(out, first, second, row_count, note);
    }
    comparing_give(&comparing);
    return fault;
}
