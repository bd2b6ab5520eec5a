/* Discriminative training of centres, precisions and biases: softmax cross-entropy over background and scenes
 * under the scoring formula itself, hard minimum in the forward pass, gradient through the nearest cluster of every scene.
 * Adam (Kingma and Ba 2015) on c, log l and β; the rate falls to 0. Offsets are 0, so that
 * evidence is biases and feature distances alone and a feature's share tells all that it did. Precisions decay, so that columns which tell
 * nothing apart fade. Distances and exp are the twin's, sums run in double in row order: the same bits on any machine. */
#include "scene/builder.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

enum { BATCH_ROWS = 512, EPOCHS = 30, STEPS_MAX = 6000 };
#define RATE            0.05
#define KEEP_FIRST      0.9
#define KEEP_SECOND     0.999
#define DECAY           0.07 /* of log precisions, times the rate */
#define LOG_LEAST       (-20.0)
#define PRECISION_START 4.0 /* sharper ones grow by themselves where they help */
#define START_WEIGHT    0.2 /* dimensions overlap: their likelihoods count less than if they were independent */
#define EVIDENCE_MAX    80.0

struct moments { /* of Adam, for count parameters */
    size_t count;
    double *value, *gradient, *first, *second;
};

struct part { /* one dimension */
    struct scene_dimension *dimension;
    const uint32_t *scene_first;
    uint32_t columns, clusters;
    float *rows; /* [row][column] */
    struct moments centres, logs;
    float *centre, *precision, *offset, *ab, *start; /* as the kernels read them */
    float *z, *delta;                                /* tiles of the batch; [scene][BATCH_ROWS] */
    uint32_t *nearest;                               /* [scene][BATCH_ROWS], from the scene's first cluster on */
};

struct training {
    struct builder *builder;
    uint32_t scenes, rows, batch_rows, next;
    uint32_t *order;
    struct part parts[DIMENSION_COUNT];
    struct moments biases;
    float *ratio;                   /* [scene][BATCH_ROWS]: exp(e_s − e_0) */
    double *residual;               /* [scene][BATCH_ROWS]: what the loss falls by per unit of evidence */
    double first_left, second_left; /* powers of KEEP_*, for the moments' bias */
};

static bool moments_take(struct moments *moments, size_t count)
{
    moments->count = count;
    moments->value = memory_take_zeroed(4 * count, sizeof(double));
    moments->gradient = moments->value + count;
    moments->first = moments->value + 2 * count;
    moments->second = moments->value + 3 * count;
    return moments->value != NULL;
}

static void part_fini(struct part *part)
{
    memory_give(part->rows);
    memory_give(part->centres.value);
    memory_give(part->logs.value);
    memory_give(part->centre);
    memory_give(part->precision);
    memory_give(part->offset);
    memory_give(part->ab);
    memory_give(part->start);
    memory_give(part->z);
    memory_give(part->delta);
    memory_give(part->nearest);
}

static bool part_take(struct part *part, uint32_t rows, uint32_t scenes)
{
    size_t cells = (size_t)part->clusters * part->columns, batch = (size_t)BATCH_ROWS * sizeof(float);
    part->rows = memory_take_zeroed((size_t)rows * part->columns, sizeof(float));
    part->centre = memory_take_aligned(cells * sizeof(float), 64);
    part->precision = memory_take_aligned(cells * sizeof(float), 64);
    part->offset = memory_take_aligned(part->clusters * sizeof(float), 64);
    part->ab = memory_take_aligned(2 * cells * sizeof(float), 64);
    part->start = memory_take_aligned(part->clusters * sizeof(float), 64);
    part->z = memory_take_aligned(batch * part->columns, 64);
    part->delta = memory_take_aligned(batch * scenes, 64);
    part->nearest = memory_take_aligned(batch * scenes, 64);
    return moments_take(&part->centres, cells) && moments_take(&part->logs, cells) && part->rows && part->centre && part->precision &&
           part->offset && part->ab && part->start && part->z && part->delta && part->nearest;
}

/* Where the parameters start: the clusters found, their precisions bounded, all of it times START_WEIGHT. */
static void part_start(struct part *part, const struct clusters *clusters)
{
    for (size_t i = 0; i < part->centres.count; i++) {
        double precision = (double)clusters->precisions[i] < PRECISION_START ? (double)clusters->precisions[i] : PRECISION_START;
        part->centres.value[i] = (double)clusters->centres[i];
        part->logs.value[i] = (double)kernel_log((float)(START_WEIGHT * precision));
    }
}

static enum fault part_open(struct training *training, int g)
{
    struct builder *builder = training->builder;
    struct part *part = &training->parts[g];
    struct matrix matrix;
    part->dimension = &builder->draft.dimensions[g];
    part->columns = part->dimension->column_count;
    part->clusters = builder->clusters[g].count;
    part->scene_first = builder->segment_first[g];
    if (part->columns == 0)
        return FAULT_NONE;
    if (!part_take(part, training->rows, training->scenes))
        return build_no_memory(builder);
    enum fault fault = build_matrix(&matrix, builder, part->dimension->columns, part->columns, SCENE_UNKNOWN);
    if (fault != FAULT_NONE)
        return fault;
    for (uint32_t i = 0; i < training->rows; i++)
        for (uint32_t j = 0; j < part->columns; j++)
            part->rows[(size_t)i * part->columns + j] = *matrix_at(&matrix, i, j);
    matrix_fini(&matrix);
    part_start(part, &builder->clusters[g]);
    return FAULT_NONE;
}

static void training_fini(struct training *training)
{
    for (int g = 0; g < DIMENSION_COUNT; g++)
        part_fini(&training->parts[g]);
    memory_give(training->biases.value);
    memory_give(training->order);
    memory_give(training->ratio);
    memory_give(training->residual);
    memory_give(training);
}

static enum fault training_open(struct training *training)
{
    const struct picked *picked = &training->builder->picked;
    double rows[SCENES_MAX] = {0};
    enum fault fault = FAULT_NONE;
    training->order = memory_take_zeroed(training->rows, sizeof *training->order);
    training->ratio = memory_take_aligned((size_t)training->scenes * BATCH_ROWS * sizeof *training->ratio, 64);
    training->residual = memory_take_zeroed((size_t)training->scenes * BATCH_ROWS, sizeof *training->residual);
    if (!training->order || !training->ratio || !training->residual || !moments_take(&training->biases, training->scenes))
        return build_no_memory(training->builder);
    for (uint32_t i = 0; i < training->rows; i++) {
        training->order[i] = i;
        rows[picked->scene[i]] += picked->scene[i] ? 1.0 : picked->background_weight;
    }
    for (uint32_t s = 1; s < training->scenes; s++)
        training->biases.value[s] = (double)kernel_log((float)(rows[s] / rows[0]));
    for (int g = 0; fault == FAULT_NONE && g < DIMENSION_COUNT; g++)
        fault = part_open(training, g);
    return fault;
}

/* The next rows of the drawn order; a new order when not enough are left (Fisher and Yates). */
static const uint32_t *draw_batch(struct training *training)
{
    if (training->next + training->batch_rows > training->rows || training->next == 0) {
        for (uint32_t i = training->rows - 1; i > 0; i--) {
            uint32_t other = random_below(&training->builder->random, i + 1), row = training->order[i];
            training->order[i] = training->order[other];
            training->order[other] = row;
        }
        training->next = 0;
    }
    const uint32_t *batch = training->order + training->next;
    training->next += training->batch_rows;
    return batch;
}

static void part_pack(struct part *part, const struct kernels *kernels)
{
    for (size_t i = 0; i < part->centres.count; i++) {
        part->centre[i] = (float)part->centres.value[i];
        part->precision[i] = (float)part->logs.value[i];
    }
    kernels->exp(part->precision, part->precision, part->logs.count);
}

/* Distance to every scene's nearest cluster, and which that is. */
static void part_forward(struct part *part, const struct training *training, const uint32_t *batch)
{
    const struct kernels *kernels = &training->builder->kernels;
    struct matrix tiles = {.row_count = training->batch_rows, .column_count = part->columns, .z = part->z};
    for (uint32_t i = 0; i < training->batch_rows; i++)
        for (uint32_t j = 0; j < part->columns; j++)
            *matrix_at(&tiles, i, j) = part->rows[(size_t)batch[i] * part->columns + j];
    part_pack(part, kernels);
    scene_panel_pack(part->ab, part->start, part->centre, part->precision, part->offset, part->clusters, part->columns);
    for (uint32_t s = 0; s < training->scenes; s++) {
        uint32_t first = part->scene_first[s], ends[2] = {0, part->scene_first[s + 1] - first};
        struct panel panel = {.column_count = part->columns,
                              .cluster_count = ends[1],
                              .segment_count = 1,
                              .segment_first = ends,
                              .ab = part->ab + 2 * (size_t)first * part->columns,
                              .start = part->start + first};
        kernels->panel_nearest(part->nearest + s * BATCH_ROWS, part->delta + s * BATCH_ROWS, part->z, tile_count(training->batch_rows),
                               &panel);
    }
}

static double evidence_of(const struct training *training, uint32_t scene, uint32_t row)
{
    double evidence = training->biases.value[scene];
    for (int g = 0; g < DIMENSION_COUNT; g++)
        if (training->parts[g].columns)
            evidence -= (double)training->parts[g].delta[scene * BATCH_ROWS + row];
    return evidence;
}

static void find_residuals(struct training *training, const uint32_t *batch)
{
    const struct picked *picked = &training->builder->picked;
    uint32_t rows = training->batch_rows;
    for (uint32_t i = 0; i < BATCH_ROWS; i++)
        for (uint32_t s = 1; s < training->scenes; s++) {
            double difference = i < rows ? evidence_of(training, s, i) - evidence_of(training, 0, i) : 0.0;
            difference = difference < EVIDENCE_MAX ? difference : EVIDENCE_MAX;
            training->ratio[s * BATCH_ROWS + i] = (float)(difference > -EVIDENCE_MAX ? difference : -EVIDENCE_MAX);
        }
    float *ratio = training->ratio + BATCH_ROWS;
    training->builder->kernels.exp(ratio, ratio, (size_t)(training->scenes - 1) * BATCH_ROWS);
    for (uint32_t i = 0; i < rows; i++) {
        uint8_t label = picked->scene[batch[i]];
        double weight = (label ? 1.0 : picked->background_weight) / (double)rows, sum = 1.0;
        for (uint32_t s = 1; s < training->scenes; s++)
            sum += (double)training->ratio[s * BATCH_ROWS + i];
        for (uint32_t s = 0; s < training->scenes; s++) {
            double share = s ? (double)training->ratio[s * BATCH_ROWS + i] / sum : 1.0 / sum;
            training->residual[s * BATCH_ROWS + i] = weight * (share - (label == s));
        }
    }
}

static void add_row(struct part *part, uint32_t cluster, uint32_t row, double residual)
{
    size_t at = (size_t)cluster * part->columns;
    const float *z = part->z + (size_t)(row / TILE_ROWS) * part->columns * TILE_ROWS + row % TILE_ROWS;
    double *restrict centres = part->centres.gradient + at, *restrict logs = part->logs.gradient + at;
    for (uint32_t j = 0; j < part->columns; j++) {
        double offset = (double)z[j * TILE_ROWS] - part->centres.value[at + j];
        centres[j] += residual * offset;
        logs[j] -= residual * 0.5 * offset * offset;
    }
}

static void part_backward(struct part *part, const struct training *training)
{
    memset(part->centres.gradient, 0, part->centres.count * sizeof(double));
    memset(part->logs.gradient, 0, part->logs.count * sizeof(double));
    for (uint32_t s = 0; s < training->scenes; s++)
        for (uint32_t i = 0; i < training->batch_rows; i++)
            add_row(part, part->scene_first[s] + part->nearest[s * BATCH_ROWS + i], i, training->residual[s * BATCH_ROWS + i]);
    for (size_t i = 0; i < part->centres.count; i++) {
        part->centres.gradient[i] *= (double)part->precision[i];
        part->logs.gradient[i] *= (double)part->precision[i];
    }
}

static void biases_backward(struct training *training)
{
    for (uint32_t s = 1; s < training->scenes; s++) {
        training->biases.gradient[s] = 0.0;
        for (uint32_t i = 0; i < training->batch_rows; i++)
            training->biases.gradient[s] += training->residual[s * BATCH_ROWS + i];
    }
}

static void moments_step(struct moments *moments, const struct training *training, double rate)
{
    const double small = 1e-8;
    for (size_t i = 0; i < moments->count; i++) {
        double gradient = moments->gradient[i];
        moments->first[i] = KEEP_FIRST * moments->first[i] + (1.0 - KEEP_FIRST) * gradient;
        moments->second[i] = KEEP_SECOND * moments->second[i] + (1.0 - KEEP_SECOND) * gradient * gradient;
        moments->value[i] -=
            rate * (moments->first[i] / (1.0 - training->first_left)) / (sqrt(moments->second[i] / (1.0 - training->second_left)) + small);
    }
}

static void part_step(struct part *part, const struct training *training, double rate, double log_most)
{
    moments_step(&part->centres, training, rate);
    moments_step(&part->logs, training, rate);
    for (size_t i = 0; i < part->logs.count; i++) {
        double value = part->logs.value[i] - rate * DECAY;
        part->logs.value[i] = value > log_most ? log_most : value < LOG_LEAST ? LOG_LEAST : value;
    }
}

/* From RATE to 0 along 1 − 3t² + 2t³, which is a cosine but for 0.01. */
static double rate_at(uint32_t step, uint32_t steps)
{
    double t = (double)step / (double)steps;
    return RATE * (1.0 - t * t * (3.0 - 2.0 * t));
}

static void train(struct training *training, uint32_t steps)
{
    double log_most = (double)kernel_log((float)training->builder->precision_max);
    for (uint32_t step = 0; step < steps; step++) {
        const uint32_t *batch = draw_batch(training);
        double rate = rate_at(step, steps);
        training->first_left *= KEEP_FIRST;
        training->second_left *= KEEP_SECOND;
        for (int g = 0; g < DIMENSION_COUNT; g++)
            if (training->parts[g].columns)
                part_forward(&training->parts[g], training, batch);
        find_residuals(training, batch);
        for (int g = 0; g < DIMENSION_COUNT; g++)
            if (training->parts[g].columns)
                part_backward(&training->parts[g], training);
        biases_backward(training);
        for (int g = 0; g < DIMENSION_COUNT; g++)
            if (training->parts[g].columns)
                part_step(&training->parts[g], training, rate, log_most);
        moments_step(&training->biases, training, rate);
    }
}

/* What was learnt, into the draft's clusters and scenes; dimensions weigh alike, their precisions tell how much. */
static void keep(struct training *training)
{
    struct builder *builder = training->builder;
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        struct part *part = &training->parts[g];
        struct clusters *clusters = &builder->clusters[g];
        if (part->columns == 0)
            continue;
        part_pack(part, &builder->kernels);
        memcpy(clusters->centres, part->centre, part->centres.count * sizeof(float));
        memcpy(clusters->precisions, part->precision, part->logs.count * sizeof(float));
        memcpy(clusters->offsets, part->offset, part->clusters * sizeof(float));
    }
    for (uint32_t s = 0; s < training->scenes; s++) {
        builder->draft.scenes[s].bias = (float)training->biases.value[s];
        for (int g = 0; g < DIMENSION_COUNT; g++)
            builder->draft.scenes[s].weight[g] = training->parts[g].columns ? 1.0f : 0.0f;
    }
}

enum fault build_train(struct builder *builder)
{
    struct training *training = memory_take_zeroed(1, sizeof *training);
    if (!training)
        return build_no_memory(builder);
    training->builder = builder;
    training->scenes = builder->options->scene_count;
    training->rows = builder->picked.count;
    training->batch_rows = training->rows < BATCH_ROWS ? training->rows : BATCH_ROWS;
    training->first_left = training->second_left = 1.0;
    uint32_t steps = (uint32_t)((uint64_t)EPOCHS * training->rows / training->batch_rows);
    steps = training->scenes < 2 ? 0 : steps < STEPS_MAX ? steps : STEPS_MAX;
    build_say(builder, "training: %u steps of %u rows", steps, training->batch_rows);
    enum fault fault = training_open(training);
    if (fault == FAULT_NONE) {
        train(training, steps);
        keep(training);
    }
    training_fini(training);
    return fault;
}
