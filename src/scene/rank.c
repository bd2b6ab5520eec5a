/* A radix sort of (score, row): equal scores stay in the order of their places, so that nothing depends on the sort. */
#include "scene/rank.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS, PASSES = 3, CURVE_STEPS = 200 };

/* Bits that rise as the score falls; +0 and −0 are the same. */
static uint32_t falling_bits(float score)
{
    uint32_t bits;
    score += 0.0f;
    memcpy(&bits, &score, sizeof bits);
    return bits >> 31 ? bits : ~bits & 0x7fffffffu;
}

float ranked_score(const struct ranked *ranked, uint32_t at)
{
    uint32_t bits = (uint32_t)(ranked->keys[at] >> 32);
    float score;
    bits = bits >> 31 ? bits : ~bits & 0x7fffffffu;
    memcpy(&score, &bits, sizeof score);
    return score;
}

static void sort_pass(uint64_t *to, const uint64_t *from, uint32_t count, int shift)
{
    uint32_t first[DIGITS] = {0}, sum = 0;
    for (uint32_t i = 0; i < count; i++)
        first[from[i] >> shift & (DIGITS - 1)]++;
    for (uint32_t d = 0; d < DIGITS; d++) {
        uint32_t here = first[d];
        first[d] = sum;
        sum += here;
    }
    for (uint32_t i = 0; i < count; i++)
        to[first[from[i] >> shift & (DIGITS - 1)]++] = from[i];
}

enum fault ranked_take(struct ranked *out, const struct metrics_row *rows, uint32_t row_count, enum metrics_score which,
                       struct fault_note *note)
{
    uint64_t *keys = memory_take(((size_t)row_count + 1) * sizeof *keys), *other = memory_take(((size_t)row_count + 1) * sizeof *other);
    *out = (struct ranked){.count = row_count, .keys = keys, .label = memory_take((size_t)row_count + 1)};
    if (!keys || !other || !out->label) {
        memory_give(other);
        ranked_give(out);
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the figures of %u rows", row_count);
    }
    for (uint32_t i = 0; i < row_count; i++)
        keys[i] = (uint64_t)falling_bits(metrics_score_of(&rows[i], which)) << 32 | i;
    for (int pass = 0; pass < PASSES; pass++) {
        sort_pass(other, keys, row_count, 32 + pass * DIGIT_BITS);
        uint64_t *swap = keys;
        keys = other;
        other = swap;
    }
    memory_give(other);
    out->keys = keys;
    for (uint32_t i = 0; i < row_count; i++)
        out->label[i] = rows[(uint32_t)keys[i]].label;
    return FAULT_NONE;
}

void ranked_give(struct ranked *ranked)
{
    memory_give(ranked->keys);
    memory_give(ranked->label);
    *ranked = (struct ranked){0};
}

void rank_classes_of(struct rank_classes *out, uint8_t scene)
{
    memset(out->of_label, scene ? RANK_LEFT_OUT : RANK_RISKY, sizeof out->of_label);
    out->of_label[0] = RANK_GOOD;
    out->of_label[METRICS_LABEL_UNKNOWN] = RANK_LEFT_OUT;
    if (scene)
        out->of_label[scene] = RANK_RISKY;
}

struct rank_sums { /* counts are exact in double */
    double risky, good, risky_here, good_here, right, precision;
};

/* Ends a step: rows of one score. */
static void step_end(struct rank_sums *sums)
{
    sums->right += sums->good_here * (sums->risky + sums->risky_here / 2.0);
    sums->risky += sums->risky_here;
    sums->good += sums->good_here;
    sums->precision += sums->risky_here > 0.0 ? sums->risky_here * sums->risky / (sums->risky + sums->good) : 0.0;
    sums->risky_here = sums->good_here = 0.0;
}

struct metrics_pair rank_measure_part(const struct ranked *ranked, const struct rank_classes *classes, const uint8_t *part, uint8_t which)
{
    struct rank_sums sums = {0};
    for (uint32_t i = 0; i < ranked->count; i++) {
        enum rank_class class = !part || part[i] == which ? (enum rank_class)classes->of_label[ranked->label[i]] : RANK_LEFT_OUT;
        sums.risky_here += class == RANK_RISKY;
        sums.good_here += class == RANK_GOOD;
        if (ranked_ends(ranked, i))
            step_end(&sums);
    }
    double pairs = sums.risky * sums.good;
    return (struct metrics_pair){.auc_roc = pairs > 0.0 ? sums.right / pairs : NAN,
                                 .average_precision = sums.risky > 0.0 ? sums.precision / sums.risky : NAN};
}

struct metrics_pair rank_measure(const struct ranked *ranked, const struct rank_classes *classes)
{
    return rank_measure_part(ranked, classes, NULL, 0);
}

static double share(uint64_t part, uint64_t all)
{
    return all ? (double)part / (double)all : 0.0;
}

uint32_t rank_curve(struct metrics_point *out, uint32_t points_max, const struct ranked *ranked)
{
    struct metrics_point here = {0}, all = {0}, kept = {0};
    uint32_t count = 0;
    for (uint32_t i = 0; i < ranked->count; i++) {
        all.good += ranked->label[i] == 0;
        all.risky += ranked->label[i] != 0 && ranked->label[i] != METRICS_LABEL_UNKNOWN;
    }
    for (uint32_t i = 0; i < ranked->count; i++) {
        here.good += ranked->label[i] == 0;
        here.risky += ranked->label[i] != 0 && ranked->label[i] != METRICS_LABEL_UNKNOWN;
        if (!ranked_ends(ranked, i) || here.good + here.risky == kept.good + kept.risky)
            continue;
        double moved = fmax(share(here.risky - kept.risky, all.risky), share(here.good - kept.good, all.good));
        moved = fmax(moved, fabs(share(here.risky, here.risky + here.good) - share(kept.risky, kept.risky + kept.good)));
        bool is_last = here.good + here.risky == all.good + all.risky;
        if (!is_last && (count + 1 >= points_max || (count > 0 && moved < 1.0 / CURVE_STEPS)))
            continue;
        here.score = ranked_score(ranked, i);
        out[count++] = kept = here;
    }
    return count;
}
