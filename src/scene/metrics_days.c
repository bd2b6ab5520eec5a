/* Rows are laid out by day twice: in the order of time, to know each payer's first row, and by falling score. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "scene/rank.h"

struct account {
    uint64_t key;
    uint32_t number; /* + 1; 0: empty place */
};

enum fault metrics_accounts(uint32_t **number, uint32_t *account_count, const struct metrics_row *rows, uint32_t row_count,
                            struct fault_note *note)
{
    size_t size = 16;
    while (size < 2 * (size_t)row_count)
        size *= 2;
    struct account *places = memory_take_zeroed(size, sizeof *places);
    *number = memory_take(((size_t)row_count + 1) * sizeof **number);
    *account_count = 0;
    if (!places || !*number) {
        memory_give(places);
        memory_give(*number);
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the accounts of %u rows", row_count);
    }
    for (uint32_t i = 0; i < row_count; i++) {
        size_t at = (rows[i].account * 0x9e3779b97f4a7c15u >> 32) & (size - 1);
        while (places[at].number && places[at].key != rows[i].account)
            at = (at + 1) & (size - 1);
        if (!places[at].number)
            places[at] = (struct account){.key = rows[i].account, .number = ++*account_count};
        (*number)[i] = places[at].number - 1;
    }
    memory_give(places);
    return FAULT_NONE;
}

struct card {             /* of one payer on the day under way */
    uint32_t day, listed; /* + 1: the day that `first` and `risky` are of, the day on which it was listed */
    uint32_t first;
    bool risky, found;
};

struct by_day {
    const struct metrics_row *rows;
    uint32_t *account, *time, *rank; /* payer of a row; rows of a day in the order of time, and by falling score */
    uint32_t *edge;                  /* [day + 1] of the span: where the day's rows begin */
    uint32_t first_day, day_count;
    struct card *cards;
    uint32_t *top;
    uint32_t k;
};

static bool is_labelled(const struct metrics_row *row)
{
    return row->label != METRICS_LABEL_UNKNOWN;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Risky ones among the k of the highest scores; the last step shares the places that are left. */
static double day_precision(const struct by_day *days, uint32_t begin, uint32_t end)
{
    double hits = 0.0, places = days->k;
    for (uint32_t i = begin, next; i < end && places > 0.0; i = next) {
        double risky = 0.0, rows = 0.0;
        float score = days->rows[days->rank[i]].score;
        for (next = i; next < end && days->rows[days->rank[next]].score == score; next++) {
            rows += 1.0;
            risky += metrics_is_risky(&days->rows[days->rank[next]]);
        }
        hits += rows <= places ? risky : risky * places / rows;
        places -= rows <= places ? rows : places;
    }
    return hits / days->k;
}

static void note_cards(struct by_day *days, uint32_t begin, uint32_t end, uint32_t day)
{
    for (uint32_t i = begin; i < end; i++) {
        uint32_t row = days->time[i];
        struct card *card = &days->cards[days->account[row]];
        if (card->day != day + 1)
            *card = (struct card){.day = day + 1, .first = row, .found = card->found};
        card->risky |= metrics_is_risky(&days->rows[row]);
    }
}

/* Payers in the order of their highest score, equal ones by their first row; those found before are left out. */
static double day_card_precision(struct by_day *days, uint32_t begin, uint32_t end, uint32_t day)
{
    uint32_t listed = 0, hits = 0;
    note_cards(days, begin, end, day);
    for (uint32_t i = begin, next; i < end && listed < days->k; i = next) {
        float score = days->rows[days->rank[i]].score;
        uint32_t step = listed;
        for (next = i; next < end && days->rows[days->rank[next]].score == score; next++) {
            struct card *card = &days->cards[days->account[days->rank[next]]];
            if (!card->found && card->listed != day + 1)
                days->top[listed++] = card->first;
            card->listed = day + 1;
        }
        qsort(days->top + step, listed - step, sizeof *days->top, by_number);
    }
    for (uint32_t i = 0; i < listed && i < days->k; i++) {
        struct card *card = &days->cards[days->account[days->top[i]]];
        hits += card->risky;
        card->found = card->found || card->risky;
    }
    return (double)hits / days->k;
}

/* Labelled rows by day, each day's in the order that `order` gives. */
static void lay_out(uint32_t *out, struct by_day *days, uint32_t row_count, const struct ranked *order)
{
    memset(days->edge, 0, ((size_t)days->day_count + 1) * sizeof *days->edge);
    for (uint32_t i = 0; i < row_count; i++)
        if (is_labelled(&days->rows[i]) && days->rows[i].day - days->first_day + 1 < days->day_count)
            days->edge[days->rows[i].day - days->first_day + 1]++;
    for (uint32_t d = 1; d < days->day_count; d++)
        days->edge[d] += days->edge[d - 1];
    for (uint32_t i = 0; i < row_count; i++) {
        uint32_t row = order ? ranked_row(order, i) : i;
        if (is_labelled(&days->rows[row]))
            out[days->edge[days->rows[row].day - days->first_day]++] = row;
    }
    for (uint32_t d = days->day_count; d > 0; d--)
        days->edge[d] = days->edge[d - 1];
    days->edge[0] = 0;
}

static void measure_days(struct metrics_days *out, struct by_day *days)
{
    for (uint32_t d = 0; d < days->day_count; d++) {
        uint32_t begin = days->edge[d], end = days->edge[d + 1];
        struct metrics_day day = {.day = days->first_day + d, .rows = end - begin};
        if (begin == end)
            continue;
        for (uint32_t i = begin; i < end; i++) {
            const struct metrics_row *row = &days->rows[days->time[i]];
            day.risky += metrics_is_risky(row);
            day.alerts += row->alerted;
            day.alerts_right += row->alerted && metrics_is_risky(row);
        }
        day.precision = day_precision(days, begin, end);
        day.card_precision = day_card_precision(days, begin, end, day.day);
        out->days[out->count++] = day;
    }
}

static void by_day_give(struct by_day *days)
{
    memory_give(days->account);
    memory_give(days->time);
    memory_give(days->rank);
    memory_give(days->edge);
    memory_give(days->cards);
    memory_give(days->top);
}

enum fault metrics_days_take(struct metrics_days *out, const struct metrics_row *rows, uint32_t row_count, uint32_t k,
                             struct fault_note *note)
{
    struct by_day days = {.rows = rows, .first_day = UINT32_MAX, .k = k};
    struct ranked ranked = {0};
    size_t bytes = ((size_t)row_count + 1) * sizeof(uint32_t);
    uint32_t last_day = 0;
    *out = (struct metrics_days){0};
    for (uint32_t i = 0; i < row_count; i++) {
        days.first_day = rows[i].day < days.first_day ? rows[i].day : days.first_day;
        last_day = rows[i].day > last_day ? rows[i].day : last_day;
    }
    days.day_count = row_count ? last_day - days.first_day + 1 : 0;
    enum fault fault = metrics_accounts(&days.account, &out->accounts, rows, row_count, note);
    if (fault != FAULT_NONE)
        return fault;
    days.time = memory_take(bytes);
    days.rank = memory_take(bytes);
    days.top = memory_take(bytes);
    days.edge = memory_take_zeroed((size_t)days.day_count + 2, sizeof *days.edge);
    days.cards = memory_take_zeroed((size_t)out->accounts + 1, sizeof *days.cards);
    out->days = memory_take_zeroed((days.day_count < row_count ? days.day_count : row_count) + 1, sizeof *out->days);
    if (!days.time || !days.rank || !days.top || !days.edge || !days.cards || !out->days)
        fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the figures of %u days", days.day_count);
    if (fault == FAULT_NONE)
        fault = ranked_take(&ranked, rows, row_count, METRICS_RISK, note);
    if (fault == FAULT_NONE) {
        lay_out(days.time, &days, row_count, NULL);
        lay_out(days.rank, &days, row_count, &ranked);
        measure_days(out, &days);
    }
    ranked_give(&ranked);
    by_day_give(&days);
    if (fault != FAULT_NONE)
        metrics_days_give(out);
    return fault;
}

void metrics_days_give(struct metrics_days *days)
{
    memory_give(days->days);
    *days = (struct metrics_days){0};
}
