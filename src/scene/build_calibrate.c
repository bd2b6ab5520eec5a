/* Anomaly sets, thresholds and figures. Thresholds come from rows behind the training window, never from its own. */
#include "scene/builder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "scene/golden.h"

enum { ERROR_SLICES = 8, TABLE_SLICES = 64 }; /* of background, evenly spaced */
#define THRESHOLD_LEAST 1e-3f

/* ψ rows of normal traffic for every segment, no row twice within one. */
static void draw_points(struct builder *builder, float *points, uint32_t stride, const struct matrix *rows)
{
    uint32_t each = builder->options->points_per_segment;
    for (uint32_t t = 0; t < ANOMALY_SEGMENTS; t++) {
        uint32_t taken[CLUSTERS_MAX / ANOMALY_SEGMENTS];
        for (uint32_t i = 0; i < each;) {
            uint32_t row = random_below(&builder->random, rows->row_count);
            bool again = false;
            for (uint32_t k = 0; k < i; k++)
                again |= taken[k] == row;
            if (again)
                continue;
            taken[i] = row;
            for (uint32_t j = 0; j < rows->column_count; j++)
                points[(size_t)(t * each + i) * stride + j] = *matrix_at(rows, row, j);
            i++;
        }
    }
}

enum fault build_anomaly(struct builder *builder)
{
    uint32_t count = ANOMALY_SEGMENTS * builder->options->points_per_segment;
    for (int i = 0; i < ANOMALY_COUNT; i++) {
        struct anomaly_set *set = &builder->draft.anomaly[i];
        struct matrix rows;
        if (set->column_count == 0)
            continue;
        enum fault fault = build_matrix(&rows, builder, set->columns, set->column_count, 0);
        if (fault != FAULT_NONE)
            return fault;
        set->point_stride = (set->column_count + 15) / 16 * 16;
        builder->points[i] = memory_take_aligned((size_t)count * set->point_stride * sizeof(float), 64);
        builder->table[i] = memory_take_zeroed(ANOMALY_TABLE_MAX, sizeof(float));
        if (builder->points[i] && builder->table[i])
            draw_points(builder, builder->points[i], set->point_stride, &rows);
        else
            fault = build_no_memory(builder);
        matrix_fini(&rows);
        if (fault != FAULT_NONE)
            return fault;
        set->ensemble.point_count = count;
        set->points = builder->points[i];
        set->table = builder->table[i];
        set->table_count = 1; /* until build_calibrate */
        set->threshold = 1.0f;
    }
    return FAULT_NONE;
}

static double kernel_match(double difference)
{
    float ratio = kernel_exp((float)fmin(fmax(difference, -80.0), 80.0));
    return (double)(ratio / (1.0f + ratio));
}

/* Golden evidence of one row of the chunk, from the tiles of each dimension. */
static void add_golden(double *evidence, const struct scene_base *base, int g, const float *z, uint32_t lane)
{
    const struct scene_dimension *dimension = &base->dimensions[g];
    const float *row = z + (size_t)(lane / TILE_ROWS) * dimension->column_count * TILE_ROWS + lane % TILE_ROWS;
    for (uint32_t s = 0; s < base->scene_count; s++)
        if (scene_has_clusters(base, g, s))
            evidence[s] -= (double)base->scenes[s].weight[g] * golden_distance(row, dimension, s);
}

static double slice_match_error(struct chunk_scores *scores, const struct builder *builder, uint32_t first, uint32_t count)
{
    const struct scene_base *base = builder->base;
    const struct feature_block slice = build_slice(builder, first, count);
    double(*golden)[SCENES_MAX] = scores->golden, error = 0.0;
    chunk_scenes_score(scores, builder, &slice);
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t s = 0; s < base->scene_count; s++)
            golden[i][s] = (double)base->scenes[s].bias;
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        const struct scene_dimension *dimension = &base->dimensions[g];
        if (dimension->panel.cluster_count == 0)
            continue;
        scene_columns_tile(scores->z, dimension->columns, dimension->column_count, &slice, &builder->kernels, scores->scratch);
        for (uint32_t i = 0; i < count; i++)
            add_golden(golden[i], base, g, scores->z, i);
    }
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t s = 1; s < base->scene_count; s++) {
            double got = kernel_match(scores->evidence[s][i] - scores->evidence[0][i]);
            error = fmax(error, fabs(got - golden_match(golden[i][s] - golden[i][0])));
        }
    return error;
}

struct errors {
    const struct builder *builder;
    uint32_t background, step; /* slices of background that are looked at, and from one to the next */
    double most[TEAM_THREADS_MAX];
};

static uint32_t slices_of(uint32_t rows)
{
    return (rows + SLICE_ROWS - 1) / SLICE_ROWS;
}

static void error_work(void *context, uint32_t part, uint32_t thread)
{
    struct errors *errors = context;
    const uint32_t *scene_first = errors->builder->picked.scene_first, risky = scene_first[1];
    uint32_t end = errors->builder->picked.count, first = risky + (part - errors->background) * SLICE_ROWS;
    if (part < errors->background) {
        end = risky;
        first = part * errors->step * SLICE_ROWS;
    }
    double error =
        slice_match_error(errors->builder->scores[thread], errors->builder, first, end - first < SLICE_ROWS ? end - first : SLICE_ROWS);
    errors->most[thread] = fmax(errors->most[thread], error);
}

enum fault build_match_error(struct builder *builder, double *error)
{
    const uint32_t background = builder->picked.scene_first[1], slices = slices_of(background);
    struct errors errors = {.builder = builder, .step = (slices + ERROR_SLICES - 1) / ERROR_SLICES};
    errors.background = (slices + errors.step - 1) / errors.step;
    team_run(builder->team, errors.background + slices_of(builder->picked.count - background), error_work, &errors);
    *error = 0.0;
    for (uint32_t thread = 0; thread < TEAM_THREADS_MAX; thread++)
        *error = fmax(*error, errors.most[thread]);
    return FAULT_NONE;
}

static int by_rising(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static uint32_t sample_rows(const struct build_sample *sample)
{
    uint32_t rows = 0;
    for (uint32_t c = 0; c < sample->chunk_count; c++)
        rows += sample->chunks[c].features.row_count;
    return rows;
}

static uint32_t rows_before(const struct build_sample *sample, uint32_t chunk)
{
    uint32_t rows = 0;
    for (uint32_t c = 0; c < chunk; c++)
        rows += sample->chunks[c].features.row_count;
    return rows;
}

struct degrees {
    struct builder *builder;
    float *of[ANOMALY_COUNT];
    uint32_t count, step; /* from one slice of background to the next */
};

static void degrees_score(struct degrees *degrees, const struct feature_block *features, uint32_t first, uint32_t thread)
{
    struct chunk_scores *scores = degrees->builder->scores[thread];
    chunk_anomaly_score(scores, degrees->builder, features);
    for (int i = 0; i < ANOMALY_COUNT; i++)
        memcpy(degrees->of[i] + first, scores->anomaly[i], features->row_count * sizeof(float));
}

static void background_work(void *context, uint32_t part, uint32_t thread)
{
    struct degrees *degrees = context;
    const uint32_t first = part * degrees->step * SLICE_ROWS, left = degrees->builder->picked.scene_first[1] - first;
    const struct feature_block slice = build_slice(degrees->builder, first, left < SLICE_ROWS ? left : SLICE_ROWS);
    degrees_score(degrees, &slice, part * SLICE_ROWS, thread);
}

static void later_work(void *context, uint32_t part, uint32_t thread)
{
    struct degrees *degrees = context;
    const struct build_sample *later = degrees->builder->later;
    degrees_score(degrees, &later->chunks[part].features, rows_before(later, part), thread);
}

/* At most ANOMALY_TABLE_MAX of the sorted degrees, evenly spaced by rank. */
static void make_table(struct anomaly_set *set, float *table, float *degrees, uint32_t count)
{
    qsort(degrees, count, sizeof *degrees, by_rising);
    set->table_count = count < ANOMALY_TABLE_MAX ? count : ANOMALY_TABLE_MAX;
    for (uint32_t i = 0; i < set->table_count; i++)
        table[i] = degrees[((uint64_t)2 * i + 1) * count / (2 * set->table_count)];
}

/* The least value that at most the given share of the rising values reaches; 1 when there is none. */
static float cut_for_share(const float *rising, uint32_t count, double share)
{
    uint32_t over = (uint32_t)(share * (double)count);
    if (over == 0 || count == 0)
        return 1.0f;
    uint32_t at = count - over;
    while (at < count && at > 0 && rising[at - 1] == rising[at])
        at++;
    return at < count ? rising[at] : 1.0f;
}

static void table_work(void *context, uint32_t part, uint32_t thread)
{
    struct degrees *degrees = context;
    (void)thread;
    if (degrees->builder->draft.anomaly[part].column_count)
        make_table(&degrees->builder->draft.anomaly[part], degrees->builder->table[part], degrees->of[part], degrees->count);
}

static void threshold_work(void *context, uint32_t part, uint32_t thread)
{
    struct degrees *degrees = context;
    struct anomaly_set *set = &degrees->builder->draft.anomaly[part];
    float *of = degrees->of[part];
    (void)thread;
    for (uint32_t row = 0; set->column_count && row < degrees->count; row++)
        of[row] = scene_anomaly_calibrate(set, of[row]);
    qsort(of, degrees->count, sizeof *of, by_rising);
    set->threshold = cut_for_share(of, degrees->count, degrees->builder->options->anomaly_rate);
}

/* Tables from a sample of the background that is learned from, thresholds from the later rows. */
static void calibrate_anomaly(struct degrees *degrees)
{
    struct builder *builder = degrees->builder;
    const uint32_t rows = builder->picked.scene_first[1], slices = slices_of(rows);
    degrees->step = (slices + TABLE_SLICES - 1) / TABLE_SLICES;
    const uint32_t scored = (slices + degrees->step - 1) / degrees->step, last = rows - (scored - 1) * degrees->step * SLICE_ROWS;
    degrees->count = (scored - 1) * SLICE_ROWS + (last < SLICE_ROWS ? last : SLICE_ROWS);
    team_run(builder->team, scored, background_work, degrees);
    team_run(builder->team, ANOMALY_COUNT, table_work, degrees);
    degrees->count = sample_rows(builder->later);
    team_run(builder->team, builder->later->chunk_count, later_work, degrees);
    team_run(builder->team, ANOMALY_COUNT, threshold_work, degrees);
}

static void match_chunk(struct matched *out, uint32_t first, const struct scene_base *base, const struct chunk_scores *scores,
                        const struct build_chunk *chunk)
{
    for (uint32_t i = 0; i < chunk->features.row_count; i++) {
        double sum = 0.0, best = -INFINITY;
        struct metrics_row *row = &out->rows[first + i];
        *row = (struct metrics_row){.label = chunk->scene[i]};
        out->amount[first + i] = chunk->features.column[FEATURE_amount] ? chunk->features.column[FEATURE_amount][i] : 0.0f;
        for (uint32_t s = 1; s < base->scene_count; s++) {
            double difference = fmin(fmax(scores->evidence[s][i] - scores->evidence[0][i], -80.0), 80.0);
            sum += (double)kernel_exp((float)difference);
            if (out->evidence)
                out->evidence[(size_t)(first + i) * base->scene_count + s] = difference;
            if (scores->evidence[s][i] > best) {
                best = scores->evidence[s][i];
                row->named = (uint8_t)s;
                out->match[first + i] = (float)kernel_match(best - scores->evidence[0][i]);
            }
        }
        row->score = (float)(sum / (1.0 + sum));
    }
}

void matched_fini(struct matched *matched)
{
    memory_give(matched->rows);
    memory_give(matched->match);
    memory_give(matched->amount);
    memory_give(matched->evidence);
    *matched = (struct matched){0};
}

struct matching {
    struct builder *builder;
    const struct build_sample *sample;
    struct matched *out;
};

static void match_work(void *context, uint32_t part, uint32_t thread)
{
    const struct matching *matching = context;
    const struct builder *builder = matching->builder;
    const struct build_chunk *chunk = &matching->sample->chunks[part];
    chunk_scenes_score(builder->scores[thread], builder, &chunk->features);
    match_chunk(matching->out, rows_before(matching->sample, part), builder->base, builder->scores[thread], chunk);
}

enum fault build_match(struct matched *out, struct builder *builder, const struct build_sample *sample, bool with_evidence)
{
    size_t rows = sample_rows(sample), cells = with_evidence ? rows * builder->options->scene_count : 0;
    struct matching matching = {.builder = builder, .sample = sample, .out = out};
    *out = (struct matched){.count = (uint32_t)rows,
                            .rows = memory_take_zeroed(rows, sizeof *out->rows),
                            .match = memory_take_zeroed(rows, sizeof *out->match),
                            .amount = memory_take_zeroed(rows, sizeof *out->amount),
                            .evidence = cells ? memory_take_zeroed(cells, sizeof *out->evidence) : NULL};
    if (!out->rows || !out->match || !out->amount || (cells && !out->evidence)) {
        matched_fini(out);
        return build_no_memory(builder);
    }
    team_run(builder->team, sample->chunk_count, match_work, &matching);
    return FAULT_NONE;
}

struct labelled_match {
    float match, amount; /* amount: log1p of it */
    uint8_t right;
};

static int by_falling_match(const void *a, const void *b)
{
    float x = ((const struct labelled_match *)a)->match, y = ((const struct labelled_match *)b)->match;
    return (x < y) - (x > y);
}

/* The labelled rows that name the scene, the best matches first. */
static uint32_t alerts_sort(struct labelled_match *alerts, const struct matched *matched, uint8_t scene)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < matched->count; i++)
        if (matched->rows[i].named == scene && matched->rows[i].label != SCENE_UNKNOWN)
            alerts[count++] = (struct labelled_match){matched->match[i], matched->amount[i], matched->rows[i].label != 0};
    qsort(alerts, count, sizeof *alerts, by_falling_match);
    return count;
}

static bool last_of_equals(const struct labelled_match *alerts, uint32_t count, uint32_t i)
{
    return i + 1 == count || alerts[i + 1].match < alerts[i].match;
}

/* The least match from which on the scene's alerts are right often enough; 1 when nothing is known of it. */
static float cut_for_precision(struct labelled_match *alerts, const struct matched *matched, uint8_t scene, double precision)
{
    uint32_t count = alerts_sort(alerts, matched, scene), right = 0;
    float cut = 1.0f;
    for (uint32_t i = 0; i < count; i++) {
        right += alerts[i].right;
        if (last_of_equals(alerts, count, i) && (double)right >= precision * (double)(i + 1))
            cut = alerts[i].match;
    }
    return cut;
}

/* The match from which on alerting costs least: so much for each that is wrong, the amount of each fraud below it. */
static float cut_for_cost(struct labelled_match *alerts, const struct matched *matched, uint8_t scene, double alert_cost)
{
    uint32_t count = alerts_sort(alerts, matched, scene);
    double cost = 0.0, least = 0.0;
    float cut = 1.0f;
    for (uint32_t i = 0; i < count; i++) {
        cost += alerts[i].right ? 1.0 - (double)kernel_exp(alerts[i].amount) : alert_cost;
        if (last_of_equals(alerts, count, i) && cost < least) {
            least = cost;
            cut = alerts[i].match;
        }
    }
    return cut;
}

static enum fault scene_thresholds(struct builder *builder, const struct matched *matched)
{
    const struct build_options *options = builder->options;
    struct labelled_match *alerts = memory_take_zeroed(matched->count, sizeof *alerts);
    float *rising = memory_take_zeroed(matched->count, sizeof *rising), cut = 1.0f;
    if (alerts && rising) {
        memcpy(rising, matched->match, matched->count * sizeof *rising);
        qsort(rising, matched->count, sizeof *rising, by_rising);
        cut = cut_for_share(rising, matched->count, options->alert_rate);
        for (uint32_t s = 1; s < options->scene_count; s++) {
            if (options->precision > 0.0)
                cut = cut_for_precision(alerts, matched, (uint8_t)s, options->precision);
            else if (options->alert_cost > 0.0)
                cut = cut_for_cost(alerts, matched, (uint8_t)s, options->alert_cost);
            builder->draft.scenes[s].threshold = cut > THRESHOLD_LEAST ? cut : THRESHOLD_LEAST;
            build_say(builder, "%s: threshold %.3f", options->scene_names[s], (double)builder->draft.scenes[s].threshold);
        }
    }
    enum fault fault = alerts && rising ? FAULT_NONE : build_no_memory(builder);
    memory_give(alerts);
    memory_give(rising);
    return fault;
}

static void count_scenes(struct builder *builder, const struct matched *matched)
{
    for (uint32_t i = 0; i < matched->count; i++) {
        uint8_t named = matched->rows[i].named;
        builder->reference.scenes[named && matched->match[i] >= builder->draft.scenes[named].threshold ? named : 0]++;
    }
}

enum fault build_calibrate(struct builder *builder)
{
    uint32_t train = builder->picked.scene_first[1], later = sample_rows(builder->later), rows = train > later ? train : later;
    struct degrees degrees = {.builder = builder};
    struct matched matched;
    enum fault fault = FAULT_NONE;
    for (int i = 0; i < ANOMALY_COUNT; i++)
        if (!(degrees.of[i] = memory_take_zeroed(rows, sizeof(float))))
            fault = build_no_memory(builder);
    if (fault == FAULT_NONE)
        calibrate_anomaly(&degrees);
    for (int i = 0; i < ANOMALY_COUNT; i++)
        memory_give(degrees.of[i]);
    if (fault == FAULT_NONE)
        fault = build_match(&matched, builder, builder->later, false);
    if (fault != FAULT_NONE)
        return fault;
    fault = scene_thresholds(builder, &matched);
    count_scenes(builder, &matched);
    matched_fini(&matched);
    return fault;
}

char *build_metrics(struct builder *builder)
{
    struct matched matched;
    struct metrics metrics;
    const char *names[SCENES_MAX];
    const struct metrics_options options = {.scene_count = builder->base->scene_count};
    if (build_match(&matched, builder, builder->later, false) != FAULT_NONE)
        return NULL;
    for (uint32_t s = 0; s < builder->base->scene_count; s++)
        names[s] = builder->base->scenes[s].name;
    for (uint32_t i = 0; i < matched.count; i++)
        matched.rows[i].alerted = matched.rows[i].named && matched.match[i] >= builder->base->scenes[matched.rows[i].named].threshold;
    enum fault fault = metrics_measure(&metrics, matched.rows, matched.count, &options, builder->note);
    matched_fini(&matched);
    return fault == FAULT_NONE ? metrics_text(&metrics, names, builder->base->scene_count) : NULL;
}
