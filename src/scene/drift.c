/* Counters of a base: per feature of its reference the rows above each edge, then the rows where it is not known; rows by scene;
 * rows far from all clusters by dimension; all rows. A row that a check refused is taken back out, so the many need no branch. */
#include "scene/drift.h"

#include <math.h>
#include <string.h>

#include "base/must.h"

enum { OF_FEATURE = REFERENCE_EDGES + 1 };

const char *const drift_level_names[DRIFT_LEVEL_COUNT] = {"none", "warn", "alarm"};

/* --- counting ---------------------------------------------------------------------------------------------------------- */

static uint32_t scenes_at(const struct scene_base *base)
{
    return base->reference.feature_count * OF_FEATURE;
}

static uint32_t far_at(const struct scene_base *base)
{
    return scenes_at(base) + base->scene_count;
}

static uint32_t rows_at(const struct scene_base *base)
{
    return far_at(base) + DIMENSION_COUNT;
}

uint32_t drift_counter_count(const struct scene_base *base)
{
    return base->reference.feature_count ? rows_at(base) + 1 : 0;
}

uint32_t drift_part(uint32_t row_count, uint64_t turn)
{
    uint32_t parts = (row_count + DRIFT_ROWS - 1) / DRIFT_ROWS;
    return parts > 1 ? (uint32_t)(turn % parts) * DRIFT_ROWS : 0;
}

/* Three edges at a time: so many edges and counts stay in registers of any instruction set. */
static void count_above(uint32_t *out, const float *x, uint32_t count, const float *edges)
{
    for (uint32_t j = 0; j < REFERENCE_EDGES; j += 3) {
        const float a = edges[j], b = edges[j + 1], c = edges[j + 2];
        uint32_t above_a = 0, above_b = 0, above_c = 0;
        for (uint32_t i = 0; i < count; i++) {
            above_a += x[i] > a;
            above_b += x[i] > b;
            above_c += x[i] > c;
        }
        out[j] = above_a, out[j + 1] = above_b, out[j + 2] = above_c;
    }
}
_Static_assert(REFERENCE_EDGES % 3 == 0, "edges are counted in threes");

static void count_features(uint32_t *out, const struct drift_slice *slice, uint32_t from, uint32_t count)
{
    const struct scene_base *base = slice->base;
    const struct scene_reference *reference = &base->reference;
    uint32_t unknown[FEATURE_COUNT];
    feature_unknown_count(unknown, &base->features, slice->batch, slice->first, from, count, slice->figures);
    for (uint32_t i = 0; i < reference->feature_count; i++) {
        uint16_t feature = reference->feature[i];
        count_above(out + (size_t)i * OF_FEATURE, slice->features->column[feature] + from, count,
                    reference->edges + (size_t)i * REFERENCE_EDGES);
        out[(size_t)i * OF_FEATURE + REFERENCE_EDGES] = unknown[feature];
    }
}

/* The scene that a row is told to belong to: its best one, where the match reaches that one's threshold. */
static void count_scenes(uint32_t *out, const struct drift_slice *slice, uint32_t from, uint32_t count)
{
    const struct results *results = &slice->batch->results;
    for (uint32_t row = slice->first + from; row < slice->first + from + count; row++) {
        uint8_t scene = results->scene[row];
        out[scene && results->match[row] >= slice->base->scenes[scene].threshold ? scene : 0]++;
    }
}

static uint32_t count_far(const struct scene_base *base, int g, const float *distance, uint32_t count)
{
    float nearest[DRIFT_ROWS];
    const float limit = base->reference.far[g];
    uint32_t far = 0;
    for (uint32_t i = 0; i < count; i++)
        nearest[i] = distance[i];
    for (uint32_t s = 1; s < base->scene_count; s++)
        for (uint32_t i = 0; i < count; i++) {
            float other = distance[(size_t)s * SLICE_ROWS + i];
            nearest[i] = other < nearest[i] ? other : nearest[i];
        }
    for (uint32_t i = 0; i < count; i++)
        far += nearest[i] > limit;
    return far;
}

static void count_rows(uint32_t *out, const struct drift_slice *slice, uint32_t from, uint32_t count)
{
    const struct scene_base *base = slice->base;
    memset(out + scenes_at(base), 0, (size_t)(drift_counter_count(base) - scenes_at(base)) * sizeof *out);
    count_features(out, slice, from, count);
    count_scenes(out + scenes_at(base), slice, from, count);
    for (int g = 0; g < DIMENSION_COUNT; g++)
        if (base->dimensions[g].panel.cluster_count)
            out[far_at(base) + (uint32_t)g] = count_far(base, g, slice->distance[g] + from, count);
    out[rows_at(base)] = count;
}

/* One refused row taken back, so that nothing of a row needs a second look where all are valid. */
static void take_back(uint32_t *out, const struct drift_slice *slice, uint32_t at)
{
    enum { COUNTERS_MAX = FEATURE_COUNT * OF_FEATURE + SCENES_MAX + DIMENSION_COUNT + 1 };
    uint32_t one[COUNTERS_MAX];
    count_rows(one, slice, at, 1);
    for (uint32_t i = 0; i < drift_counter_count(slice->base); i++)
        out[i] -= one[i];
}

void drift_count(uint32_t *out, const struct drift_slice *slice, uint32_t from)
{
    MUST(from <= slice->count && slice->count <= SLICE_ROWS);
    uint32_t left = slice->count - from, count = left < DRIFT_ROWS ? left : DRIFT_ROWS;
    const uint8_t *invalid = slice->batch->facts.invalid + slice->first;
    count_rows(out, slice, from, count);
    for (uint32_t at = from; at < from + count; at++)
        if (invalid[at])
            take_back(out, slice, at);
}

/* --- comparing --------------------------------------------------------------------------------------------------------- */

double drift_psi(const uint64_t *counts, const uint32_t *reference, uint32_t bin_count)
{
    double rows = 0.0, rows_reference = 0.0, psi = 0.0;
    uint32_t used = 0;
    for (uint32_t i = 0; i < bin_count; i++) {
        rows += (double)counts[i];
        rows_reference += reference[i];
        used += counts[i] || reference[i];
    }
    if (rows == 0.0 || rows_reference == 0.0)
        return 0.0;
    for (uint32_t i = 0; i < bin_count; i++) {
        if (!counts[i] && !reference[i])
            continue;
        double p = ((double)counts[i] + 0.5) / (rows + 0.5 * used), q = (reference[i] + 0.5) / (rows_reference + 0.5 * used);
        psi += (p - q) * log(p / q);
    }
    return psi;
}

static void figure_judge(struct drift_report *report, struct drift_figure *figure, const char *what, const struct drift_limits *limits)
{
    figure->level = !report->judged                        ? DRIFT_NONE
                    : figure->psi >= (double)limits->alarm ? DRIFT_ALARM
                    : figure->psi >= (double)limits->warn  ? DRIFT_WARN
                                                           : DRIFT_NONE;
    report->over[figure->level]++;
    report->level = figure->level > report->level ? figure->level : report->level;
    if (figure->psi > report->worst_psi) {
        report->worst_psi = figure->psi;
        report->worst = what;
    }
}

/* Two sides: as it should be, and odd. */
static struct drift_figure figure_of_sides(uint64_t rows, uint64_t odd, const uint32_t reference[REFERENCE_SIDES])
{
    const uint64_t sides[REFERENCE_SIDES] = {rows - odd, odd};
    double all = (double)reference[0] + reference[1];
    return (struct drift_figure){.psi = drift_psi(sides, reference, REFERENCE_SIDES),
                                 .share = rows ? (double)odd / (double)rows : 0.0,
                                 .share_reference = all > 0.0 ? reference[1] / all : 0.0};
}

static void report_feature(struct drift_report *out, uint32_t i, const struct scene_base *base, const uint64_t *counters,
                           const struct drift_limits *limits)
{
    const struct scene_reference *reference = &base->reference;
    const uint64_t *above = counters + (size_t)i * OF_FEATURE;
    struct drift_feature *feature = &out->features[i];
    const char *name = feature_infos[reference->feature[i]].name;
    feature->counts[0] = out->rows - above[0];
    for (uint32_t j = 1; j < REFERENCE_EDGES; j++)
        feature->counts[j] = above[j - 1] - above[j];
    feature->counts[REFERENCE_EDGES] = above[REFERENCE_EDGES - 1];
    feature->values =
        (struct drift_figure){.psi = drift_psi(feature->counts, reference->counts + (size_t)i * REFERENCE_BINS, REFERENCE_BINS)};
    feature->unknown = figure_of_sides(out->rows, above[REFERENCE_EDGES], reference->known + (size_t)i * REFERENCE_SIDES);
    figure_judge(out, &feature->values, name, limits);
    figure_judge(out, &feature->unknown, name, limits);
}

static void report_scenes(struct drift_report *out, const struct scene_base *base, const uint64_t *counts,
                          const struct drift_limits *limits)
{
    const uint32_t *reference = base->reference.scenes;
    double rows = (double)out->rows, rows_reference = 0.0;
    for (uint32_t s = 0; s < base->scene_count; s++)
        rows_reference += reference[s];
    for (uint32_t s = 0; s < base->scene_count; s++) {
        out->scene_share[s] = rows > 0.0 ? (double)counts[s] / rows : 0.0;
        out->scene_share_reference[s] = rows_reference > 0.0 ? reference[s] / rows_reference : 0.0;
    }
    out->scenes = (struct drift_figure){.psi = drift_psi(counts, reference, base->scene_count),
                                        .share = rows > 0.0 ? 1.0 - out->scene_share[0] : 0.0,
                                        .share_reference = rows_reference > 0.0 ? 1.0 - out->scene_share_reference[0] : 0.0};
    figure_judge(out, &out->scenes, "scenes", limits);
}

void drift_report(struct drift_report *out, const struct scene_base *base, const uint64_t *counters, const struct drift_limits *limits)
{
    *out = (struct drift_report){.worst = "", .reference = base && base->reference.feature_count};
    if (!out->reference)
        return;
    out->rows = counters[rows_at(base)];
    out->judged = out->rows > 0 && out->rows >= limits->rows_min;
    for (uint32_t i = 0; i < base->reference.feature_count; i++)
        report_feature(out, i, base, counters, limits);
    report_scenes(out, base, counters + scenes_at(base), limits);
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        if (!base->dimensions[g].panel.cluster_count)
            continue;
        const uint32_t *reference = base->reference.distances + (size_t)g * REFERENCE_SIDES;
        out->far[g] = figure_of_sides(out->rows, counters[far_at(base) + (uint32_t)g], reference);
        figure_judge(out, &out->far[g], dimension_names[g], limits);
    }
}
