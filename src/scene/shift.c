/* When the sample is full every second row of it goes, and from then on every second one that would have been kept. */
#include "scene/shift.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum fault shift_sample_init(struct shift_sample *out, const struct feature_set *wanted, struct fault_note *note)
{
    *out = (struct shift_sample){.every = 1};
    for (uint16_t f = 0; f < FEATURE_COUNT; f++)
        if (wanted->bits[f / 64] >> f % 64 & 1)
            out->feature[out->feature_count++] = f;
    out->values = memory_take((size_t)SHIFT_ROWS_MAX * (out->feature_count + 1) * sizeof *out->values);
    return out->values ? FAULT_NONE : fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to follow the features");
}

void shift_sample_fini(struct shift_sample *sample)
{
    memory_give(sample->values);
    *sample = (struct shift_sample){0};
}

static float *row_of(const struct shift_sample *sample, uint32_t row)
{
    return sample->values + (size_t)row * sample->feature_count;
}

void shift_sample_add(struct shift_sample *sample, const struct feature_block *features, uint32_t row)
{
    if (sample->seen++ % sample->every != 0)
        return;
    if (sample->row_count == SHIFT_ROWS_MAX) {
        for (uint32_t i = 0; i < SHIFT_ROWS_MAX / 2; i++)
            memmove(row_of(sample, i), row_of(sample, 2 * i), sample->feature_count * sizeof(float));
        sample->row_count /= 2;
        sample->every *= 2;
        if ((sample->seen - 1) % sample->every != 0)
            return;
    }
    float *to = row_of(sample, sample->row_count++);
    for (uint32_t i = 0; i < sample->feature_count; i++)
        to[i] = features->column[sample->feature[i]][row];
}

static int by_rising(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Below all earlier values, up to each edge, above all of them. */
static uint32_t bin_of(const float *edges, uint32_t edge_count, float least, float value)
{
    uint32_t bin = 1;
    if (value < least)
        return 0;
    while (bin <= edge_count && value > edges[bin - 1])
        bin++;
    return bin;
}

double shift_psi(float *before, uint32_t before_count, const float *after, uint32_t after_count)
{
    float edges[SHIFT_BINS];
    uint32_t edge_count = 0;
    double from[SHIFT_BINS + 2] = {0.0}, to[SHIFT_BINS + 2] = {0.0}, sum = 0.0;
    qsort(before, before_count, sizeof *before, by_rising);
    for (uint32_t i = 1; i <= SHIFT_BINS; i++) {
        uint32_t at = (uint32_t)((uint64_t)i * before_count / SHIFT_BINS);
        float edge = before[at < before_count ? at : before_count - 1];
        if (edge_count == 0 || edge > edges[edge_count - 1])
            edges[edge_count++] = edge;
    }
    for (uint32_t i = 0; i < before_count; i++)
        from[bin_of(edges, edge_count, before[0], before[i])] += 1.0;
    for (uint32_t i = 0; i < after_count; i++)
        to[bin_of(edges, edge_count, before[0], after[i])] += 1.0;
    double added = 0.5 * (edge_count + 2);
    for (uint32_t b = 0; b < edge_count + 2; b++) {
        double p = (from[b] + 0.5) / (before_count + added), q = (to[b] + 0.5) / (after_count + added);
        sum += (q - p) * log(q / p);
    }
    return sum;
}

static int by_falling_psi(const void *a, const void *b)
{
    const struct shift *x = a, *y = b;
    if (x->psi != y->psi)
        return x->psi > y->psi ? -1 : 1;
    return x->feature < y->feature ? -1 : x->feature > y->feature;
}

void shift_sort(struct shift *shifts, uint32_t count)
{
    qsort(shifts, count, sizeof *shifts, by_falling_psi);
}

static double mean(const float *values, uint32_t count)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < count; i++)
        sum += (double)values[i];
    return sum / count;
}

enum fault shift_measure(struct shift out[FEATURE_COUNT], uint32_t *count, const struct shift_sample *sample, struct fault_note *note)
{
    uint32_t before = sample->row_count / 2, after = sample->row_count - before;
    float *values = memory_take(((size_t)sample->row_count + 1) * sizeof *values);
    *count = 0;
    if (!values)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to follow the features");
    for (uint32_t f = 0; sample->row_count >= 2 * SHIFT_BINS && f < sample->feature_count; f++) {
        for (uint32_t i = 0; i < sample->row_count; i++)
            values[i] = row_of(sample, i)[f];
        struct shift *shift = &out[(*count)++];
        *shift = (struct shift){.feature = sample->feature[f], .unknown_before = NAN, .unknown_after = NAN};
        shift->mean_before = mean(values, before);
        shift->mean_after = mean(values + before, after);
        shift->psi = shift_psi(values, before, values + before, after);
    }
    memory_give(values);
    shift_sort(out, *count);
    return FAULT_NONE;
}
