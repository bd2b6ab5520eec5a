/* What bucketing costs: the twelve windowed figures of the Fraud Detection Handbook (counts and mean amounts of the
 * customer, counts and risk of the terminal with a feedback delay of 7 days, over 1, 7 and 30 days) from history, against
 * the same over exact windows of earlier transfers. Rows from day 45 on.
 * usage: zstd -dc transactions.csv.zst | bench_windows */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/must.h"
#include "history/history.h"

enum { FIGURES = 12, WINDOWS = 3, DAY_S = 86400, DELAY_S = 7 * DAY_S, FROM_S = 45 * DAY_S };
static const int64_t window_s[WINDOWS] = {DAY_S, 7 * DAY_S, 30 * DAY_S};
static const char *const names[FIGURES] = {"customer count 1d",  "customer count 7d", "customer count 30d", "customer mean 1d",
                                           "customer mean 7d",   "customer mean 30d", "terminal count 1d",  "terminal count 7d",
                                           "terminal count 30d", "terminal risk 1d",  "terminal risk 7d",   "terminal risk 30d"};

struct table {
    uint32_t row_count, rows_max;
    int64_t *second, *amount;
    uint32_t *customer, *terminal;
    uint8_t *fraud;
};

struct past {             /* rows of one key (customer or terminal), in order, with running totals before each */
    uint32_t *first;      /* of each key, key_count + 1 */
    int64_t *second;      /* by place */
    double *sum, *frauds; /* before the place; one more than rows */
    uint32_t *place;      /* of each row */
};

static void *take(size_t count, size_t bytes)
{
    void *block = memory_take_zeroed(count, bytes);
    MUST(block);
    return block;
}

static void table_read(struct table *out, FILE *file)
{
    char line[256];
    *out = (struct table){.rows_max = 3000000};
    out->second = take(out->rows_max, sizeof *out->second), out->amount = take(out->rows_max, sizeof *out->amount);
    out->customer = take(out->rows_max, sizeof *out->customer), out->terminal = take(out->rows_max, sizeof *out->terminal);
    out->fraud = take(out->rows_max, sizeof *out->fraud);
    while (fgets(line, sizeof line, file) && out->row_count < out->rows_max) {
        long long id, second, amount;
        unsigned customer, terminal, fraud;
        if (sscanf(line, "%lld,%lld,%u,%u,%lld,%u", &id, &second, &customer, &terminal, &amount, &fraud) != 6)
            continue;
        uint32_t row = out->row_count++;
        out->second[row] = second, out->amount[row] = amount;
        out->customer[row] = customer, out->terminal[row] = terminal;
        out->fraud[row] = fraud != 0;
    }
}

/* --- exact windows --------------------------------------------------------------------------------------------------- */

static struct past past_of(const struct table *table, const uint32_t *key)
{
    uint32_t key_count = 1;
    for (uint32_t row = 0; row < table->row_count; row++)
        key_count = key[row] >= key_count ? key[row] + 1 : key_count;
    struct past past = {.first = take(key_count + 1, sizeof *past.first),
                        .second = take(table->row_count, sizeof *past.second),
                        .sum = take(table->row_count + 1, sizeof *past.sum),
                        .frauds = take(table->row_count + 1, sizeof *past.frauds),
                        .place = take(table->row_count, sizeof *past.place)};
    uint32_t *next = take(key_count, sizeof *next), *row_at = take(table->row_count, sizeof *row_at);
    for (uint32_t row = 0; row < table->row_count; row++)
        past.first[key[row] + 1]++;
    for (uint32_t k = 0; k < key_count; k++)
        past.first[k + 1] += past.first[k], next[k] = past.first[k];
    for (uint32_t row = 0; row < table->row_count; row++) {
        past.place[row] = next[key[row]]++;
        past.second[past.place[row]] = table->second[row];
        row_at[past.place[row]] = row;
    }
    for (uint32_t i = 0; i < table->row_count; i++) {
        past.sum[i + 1] = past.sum[i] + (double)table->amount[row_at[i]];
        past.frauds[i + 1] = past.frauds[i] + table->fraud[row_at[i]];
    }
    memory_give(next);
    memory_give(row_at);
    return past;
}

static void past_give(struct past *past)
{
    memory_give(past->first);
    memory_give(past->second);
    memory_give(past->sum);
    memory_give(past->frauds);
    memory_give(past->place);
}

static uint32_t place_after(const struct past *past, uint32_t from, uint32_t to, int64_t second) /* first place later than second */
{
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (past->second[middle] > second)
            to = middle;
        else
            from = middle + 1;
    }
    return from;
}

static void exact_read(double out[FIGURES], const struct table *table, const struct past *customers, const struct past *terminals,
                       uint32_t row)
{
    int64_t now = table->second[row], known = now - DELAY_S;
    uint32_t from = customers->first[table->customer[row]], end = customers->place[row];
    uint32_t terminal_from = terminals->first[table->terminal[row]], terminal_end = terminals->place[row];
    uint32_t known_end = place_after(terminals, terminal_from, terminal_end, known);
    for (unsigned w = 0; w < WINDOWS; w++) {
        uint32_t start = place_after(customers, from, end, now - window_s[w]);
        uint32_t known_start = place_after(terminals, terminal_from, known_end, known - window_s[w]);
        out[w] = end - start;
        out[WINDOWS + w] = (customers->sum[end] - customers->sum[start]) / fmax(end - start, 1);
        out[2 * WINDOWS + w] = known_end - known_start;
        out[3 * WINDOWS + w] = (terminals->frauds[known_end] - terminals->frauds[known_start]) / fmax(known_end - known_start, 1);
    }
}

/* --- history's ------------------------------------------------------------------------------------------------------- */

struct feed { /* slices of the table as an import batch */
    struct history *history;
    struct batch batch;
    struct figures figures;
    uint64_t payer[SLICE_ROWS], payee[SLICE_ROWS];
    int64_t amount[SLICE_ROWS], time_us[SLICE_ROWS];
    uint8_t invalid[SLICE_ROWS], label[SLICE_ROWS];
};

static void feed_open(struct feed *out)
{
    const struct history_limits limits = {
        .accounts_max = 20000, .events_max = 4000000, .busy_max = 20000, .links_max = 3000000, .places_max = 16};
    MUST(history_memory.open(&out->history, &limits, NULL) == FAULT_NONE);
    out->batch = (struct batch){.magic = BATCH_MAGIC, .op = OP_import};
    out->batch.facts = (struct batch_facts){.payer = out->payer,
                                            .payee = out->payee,
                                            .amount = out->amount,
                                            .time_us = out->time_us,
                                            .invalid = out->invalid,
                                            .label = out->label};
    for (unsigned f = 0; f < FIGURE_COUNT; f++)
        out->figures.column[f] = take(SLICE_ROWS, sizeof(float));
}

static void feed_close(struct feed *feed)
{
    history_memory.close(&feed->history);
    for (unsigned f = 0; f < FIGURE_COUNT; f++)
        memory_give(feed->figures.column[f]);
}

static void feed_relate(struct feed *feed, const struct table *table, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        feed->payer[i] = 1 + table->customer[first + i];
        feed->payee[i] = (1ull << 32) + table->terminal[first + i];
        feed->amount[i] = table->amount[first + i];
        feed->time_us[i] = (17622 * (int64_t)DAY_S + table->second[first + i]) * US_PER_SECOND; /* from 2018-04-01 on */
        feed->label[i] = table->fraud[first + i] ? 2 : 1;
    }
    feed->batch.row_count = count;
    history_memory.relate(feed->history, &feed->batch, 0, count, DELAY_S * US_PER_SECOND, true, &feed->figures);
}

static void bucketed_read(double out[FIGURES], const struct figures *figures, uint32_t i)
{
    static const enum figure_id counts[] = {FIGURE_payer_out_count_1d, FIGURE_payer_out_count_7d, FIGURE_payer_out_count_30d};
    static const enum figure_id sums[] = {FIGURE_payer_out_sum_1d, FIGURE_payer_out_sum_7d, FIGURE_payer_out_sum_30d};
    static const enum figure_id known[] = {FIGURE_payee_known_1d, FIGURE_payee_known_7d, FIGURE_payee_known_30d};
    static const enum figure_id bad[] = {FIGURE_payee_bad_1d, FIGURE_payee_bad_7d, FIGURE_payee_bad_30d};
    for (unsigned w = 0; w < WINDOWS; w++) {
        out[w] = (double)figures->column[counts[w]][i];
        out[WINDOWS + w] = (double)figures->column[sums[w]][i] / fmax(out[w], 1);
        out[2 * WINDOWS + w] = (double)figures->column[known[w]][i];
        out[3 * WINDOWS + w] = (double)figures->column[bad[w]][i] / fmax(out[2 * WINDOWS + w], 1);
    }
}

/* --- comparing ------------------------------------------------------------------------------------------------------- */

struct comparison {
    double n, x, y, xx, yy, xy, apart, equal;
};

static void comparison_add(struct comparison *to, double x, double y)
{
    to->n++, to->x += x, to->y += y;
    to->xx += x * x, to->yy += y * y, to->xy += x * y;
    to->apart += fabs(x - y);
    to->equal += fabs(x - y) <= 1e-6 * fmax(fabs(x), 1);
}

static void comparison_print(const struct comparison *c, const char *name)
{
    double covariance = c->xy / c->n - c->x / c->n * (c->y / c->n);
    double spread = sqrt((c->xx / c->n - c->x / c->n * (c->x / c->n)) * (c->yy / c->n - c->y / c->n * (c->y / c->n)));
    printf("%-20s %12.4f %12.4f %12.4f %11.2f %% %11.1f %%\n", name, c->x / c->n, c->y / c->n, covariance / spread, 100 * c->apart / c->x,
           100 * c->equal / c->n);
}

int main(void)
{
    static struct feed feed;
    static struct comparison comparisons[FIGURES];
    struct table table = {0};
    if (!isatty(STDIN_FILENO))
        table_read(&table, stdin);
    if (table.row_count == 0) {
        printf("bench_windows: skipped, no transactions on standard input\n");
        return 0;
    }
    struct past customers = past_of(&table, table.customer), terminals = past_of(&table, table.terminal);
    feed_open(&feed);
    for (uint32_t first = 0; first < table.row_count; first += SLICE_ROWS) {
        uint32_t count = table.row_count - first < SLICE_ROWS ? table.row_count - first : SLICE_ROWS;
        feed_relate(&feed, &table, first, count);
        for (uint32_t i = 0; i < count; i++) {
            double exact[FIGURES], bucketed[FIGURES];
            if (table.second[first + i] < FROM_S)
                continue;
            exact_read(exact, &table, &customers, &terminals, first + i);
            bucketed_read(bucketed, &feed.figures, i);
            for (unsigned f = 0; f < FIGURES; f++)
                comparison_add(&comparisons[f], exact[f], bucketed[f]);
        }
    }
    printf("%-20s %12s %12s %12s %13s %13s\n", "figure", "mean, exact", "bucketed", "correlation", "mean apart", "rows equal");
    for (unsigned f = 0; f < FIGURES; f++)
        comparison_print(&comparisons[f], names[f]);
    feed_close(&feed);
    past_give(&customers);
    past_give(&terminals);
    memory_give(table.second), memory_give(table.amount), memory_give(table.customer), memory_give(table.terminal),
        memory_give(table.fraud);
    return 0;
}
