/* Rows are sorted once by falling score, equal scores by place, so that the figures do not depend on the sort. */
#include "scene/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/json.h"

static int by_falling_score(const void *a, const void *b)
{
    const struct metrics_row *x = *(const struct metrics_row *const *)a, *y = *(const struct metrics_row *const *)b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x < y ? -1 : x > y;
}

static int is_good(const struct metrics_row *row)
{
    return row->label == 0;
}

static int is_risky(const struct metrics_row *row)
{
    return row->label != 0 && row->label != METRICS_LABEL_UNKNOWN;
}

/* Of pairs of a risky and a good row the share in which the risky one scores higher, equal scores half. */
static double auc_roc(const struct metrics_row *const *sorted, uint32_t count)
{
    double right = 0.0, risky_above = 0.0, good = 0.0;
    for (uint32_t i = 0, end; i < count; i = end) {
        double risky_here = 0.0, good_here = 0.0;
        for (end = i; end < count && sorted[end]->score == sorted[i]->score; end++) {
            risky_here += is_risky(sorted[end]);
            good_here += is_good(sorted[end]);
        }
        right += good_here * (risky_above + risky_here / 2.0);
        risky_above += risky_here;
        good += good_here;
    }
    return right / (risky_above * good);
}

/* scene 0: all risky rows; otherwise that scene's against good ones. */
static double average_precision(const struct metrics_row *const *sorted, uint32_t count, uint8_t scene)
{
    double found = 0.0, seen = 0.0, sum = 0.0;
    for (uint32_t i = 0, end; i < count; i = end) {
        double found_here = 0.0;
        for (end = i; end < count && sorted[end]->score == sorted[i]->score; end++) {
            int hit = scene ? sorted[end]->label == scene : is_risky(sorted[end]);
            found_here += hit;
            seen += hit || is_good(sorted[end]);
        }
        found += found_here;
        sum += seen > 0.0 ? found_here * found / seen : 0.0;
    }
    return sum / found;
}

struct card {
    uint64_t account;
    const struct metrics_row *best; /* its highest score of the day */
    uint8_t risky, found;
    uint32_t day; /* day + 1 of best and risky; 0: none yet */
};

static struct card *card_find(struct card *cards, uint32_t mask, uint64_t account)
{
    uint32_t at = (uint32_t)(account * 0x9e3779b97f4a7c15u >> 32) & mask;
    while (cards[at].best && cards[at].account != account)
        at = (at + 1) & mask;
    return &cards[at];
}

static void card_note(struct card *card, const struct metrics_row *row)
{
    if (!card->best || card->day != row->day + 1) {
        card->account = row->account;
        card->best = row;
        card->risky = 0;
        card->day = row->day + 1;
    }
    card->best = row->score > card->best->score ? row : card->best;
    card->risky |= (uint8_t)is_risky(row);
}

static int by_falling_best(const void *a, const void *b)
{
    const struct card *x = *(const struct card *const *)a, *y = *(const struct card *const *)b;
    if (x->best->score != y->best->score)
        return x->best->score > y->best->score ? -1 : 1;
    return x->best < y->best ? -1 : x->best > y->best;
}

/* Risky ones among the day's k cards of highest score, cards found on earlier days left out; marks them found. */
static double day_precision(struct card *cards, struct card **top, uint32_t mask, uint32_t day, uint32_t k)
{
    uint32_t count = 0, hits = 0;
    for (uint32_t i = 0; i <= mask; i++)
        if (cards[i].best && cards[i].day == day + 1 && !cards[i].found)
            top[count++] = &cards[i];
    qsort(top, count, sizeof *top, by_falling_best);
    for (uint32_t i = 0; i < count && i < k; i++)
        if (top[i]->risky)
            top[i]->found = 1, hits++;
    return (double)hits / k;
}

/* Rows come in the order of time: a day's rows lie together. */
static enum fault card_precision(double *out, const struct metrics_row *rows, uint32_t count, uint32_t k, struct fault_note *note)
{
    uint32_t size = 16;
    while (size < 2 * (uint64_t)count && size < 1u << 30)
        size *= 2;
    struct card *cards = memory_take_zeroed(size, sizeof *cards), **top = memory_take_zeroed(count + 1, sizeof(struct card *));
    if (!cards || !top) {
        memory_give(cards);
        memory_give(top);
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the figures of %u rows", count);
    }
    double sum = 0.0, days = 0.0;
    for (uint32_t i = 0, end; i < count; i = end) {
        for (end = i; end < count && rows[end].day == rows[i].day; end++)
            card_note(card_find(cards, size - 1, rows[end].account), &rows[end]);
        sum += day_precision(cards, top, size - 1, rows[i].day, k);
        days += 1.0;
    }
    *out = sum / days;
    memory_give(cards);
    memory_give(top);
    return FAULT_NONE;
}

static void count_row(struct metrics *out, const struct metrics_row *row, uint32_t scene_count)
{
    out->rows++;
    out->alerts += row->alerted;
    if (row->label >= scene_count)
        return;
    out->labelled++;
    out->scenes[row->label].rows++;
    out->scenes[row->label].alerted += row->alerted;
    out->scenes[row->label].named_right += row->label == row->named;
    out->confusion[row->label][row->alerted ? row->named : 0]++;
    out->risky += is_risky(row) != 0;
    out->alerts_right += is_risky(row) && row->alerted;
}

enum fault metrics_measure(struct metrics *out, const struct metrics_row *rows, uint32_t row_count, uint32_t scene_count, uint32_t k,
                           struct fault_note *note)
{
    memset(out, 0, sizeof *out);
    const struct metrics_row **sorted = memory_take_zeroed(row_count, sizeof *sorted);
    if (!sorted)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the figures of %u rows", row_count);
    uint64_t right = 0;
    for (uint32_t i = 0; i < row_count; i++) {
        sorted[i] = &rows[i];
        count_row(out, &rows[i], scene_count);
    }
    qsort(sorted, row_count, sizeof *sorted, by_falling_score);
    out->auc_roc = auc_roc(sorted, row_count);
    out->average_precision = average_precision(sorted, row_count, 0);
    for (uint32_t s = 1; s < scene_count; s++) {
        out->scenes[s].average_precision = average_precision(sorted, row_count, (uint8_t)s);
        right += out->scenes[s].named_right;
    }
    out->named_right = (double)right / (double)out->risky;
    memory_give(sorted);
    out->card_precision = NAN;
    return k ? card_precision(&out->card_precision, rows, row_count, k, note) : FAULT_NONE;
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
