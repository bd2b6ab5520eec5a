/* Discriminative training of centres, precisions and biases: softmax cross-entropy over background and scenes
 * under the scoring formula itself, hard minimum in the forward pass, gradient through the nearest cluster of every scene.
 * Adam (Kingma and Ba 2015) on c, log l and β; the rate falls to 0. Offsets are 0, so that
 * evidence is biases and feature distances alone and a feature's share tells all that it did. Precisions decay, so that columns which tell
 * nothing apart fade. Rows are shuffled into blocks once, blocks are drawn; every block is a part of its own whose sums are added in
 * the order of the draw: the same bits on any machine, instruction set and number of threads. */
#include "scene/builder.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

enum { BATCH_ROWS = 512, STEPS_MAX = 6000 };
enum { BLOCK_ROWS = 128, BLOCK_TILES = BLOCK_ROWS / TILE_ROWS, BATCH_BLOCKS = BATCH_ROWS / BLOCK_ROWS };
enum { LOSS_STEPS = 1 };     /* every so many steps the loss is looked at */
enum { STEP_CLUSTERS = 12 }; /* that a thread takes a step for at once */
#define KEEP_FIRST      0.9f
#define KEEP_SECOND     0.999f
#define LOG_LEAST       (-20.0f)
#define PRECISION_START 4.0f /* sharper ones grow by themselves where they help */
#define START_WEIGHT    0.2f /* dimensions overlap: their likelihoods count less than if they were independent */

struct moments { /* of Adam: parameters and their running means, lines of clusters */
    float *value, *first, *second;
};

struct part { /* one dimension */
    const uint32_t *scene_first;
    uint32_t columns, clusters;
    size_t stride, cells; /* floats of a line; of all clusters */
    float *tiles, *lines; /* all rows, block after block */
    struct moments centres, logs;
    float *precision;  /* exp of logs */
    float *best;       /* centres, then precisions, of the best pass; NULL: the last is kept */
    float *ab, *start; /* as the distance kernel reads them */
};

struct block_sums {                     /* of one block of the batch */
    float *delta[DIMENSION_COUNT];      /* [scene][BLOCK_ROWS] */
    uint32_t *nearest[DIMENSION_COUNT]; /* the same, from the scene's first cluster on */
    float *residual;                    /* [scene][BLOCK_ROWS]: what the loss changes by per unit of evidence */
    float *centres[DIMENSION_COUNT], *logs[DIMENSION_COUNT], *biases;
};

struct training {
    struct builder *builder;
    uint32_t scenes, rows, block_count, batch_blocks, next;
    uint32_t *order; /* of blocks */
    float *label, *weight, *ones;
    struct part parts[DIMENSION_COUNT];
    struct moments biases;
    float best_biases[SCENES_MAX];
    bool is_judged;           /* there are rows to validate, and the best pass is kept */
    double loss, loss_weight; /* since the last pass */
    struct block_sums sums[BATCH_BLOCKS];
    float *memory;                    /* what the pointers above point into */
    size_t sums_stride;               /* floats from a block's sums to those of the next */
    const uint32_t *batch, *upcoming; /* blocks of this step; of the next, or NULL */
    struct adam centre_step, log_step;
};

/* Two passes over the same text: the first, without a base, counts. */
struct carving {
    float *base;
    size_t used;
};

static float *carve(struct carving *carving, size_t floats)
{
    float *from = carving->base ? carving->base + carving->used : NULL;
    carving->used += tile_count(floats) * TILE_ROWS;
    return from;
}

static void carve_moments(struct moments *moments, struct carving *carving, size_t floats)
{
    moments->value = carve(carving, floats);
    moments->first = carve(carving, floats);
    moments->second = carve(carving, floats);
}

static void carve_sums(const struct training *training, struct block_sums *sums, struct carving *carving)
{
    size_t cells = (size_t)training->scenes * BLOCK_ROWS;
    sums->residual = carve(carving, cells);
    sums->biases = carve(carving, SCENES_MAX);
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        const struct part *part = &training->parts[g];
        sums->delta[g] = carve(carving, part->columns ? cells : 0);
        sums->nearest[g] = (uint32_t *)(void *)carve(carving, part->columns ? cells : 0);
        sums->centres[g] = carve(carving, part->cells);
        sums->logs[g] = carve(carving, part->cells);
    }
}

static void carve_all(struct training *training, struct carving *carving)
{
    size_t rows = (size_t)training->block_count * BLOCK_ROWS;
    training->label = carve(carving, rows);
    training->weight = carve(carving, rows);
    training->ones = carve(carving, SCENES_MAX);
    carve_moments(&training->biases, carving, SCENES_MAX);
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        struct part *part = &training->parts[g];
        part->tiles = carve(carving, rows * part->columns);
        part->lines = carve(carving, rows * part->stride);
        carve_moments(&part->centres, carving, part->cells);
        carve_moments(&part->logs, carving, part->cells);
        part->precision = carve(carving, part->cells);
        part->best = training->is_judged ? carve(carving, 2 * part->cells) : NULL;
        part->ab = carve(carving, 2 * (size_t)part->clusters * part->columns);
        part->start = carve(carving, part->clusters);
    }
    for (int b = 0; b < BATCH_BLOCKS; b++) {
        size_t before = carving->used;
        carve_sums(training, &training->sums[b], carving);
        training->sums_stride = carving->used - before;
    }
}

static bool training_take(struct training *training)
{
    struct carving carving = {0};
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        struct part *part = &training->parts[g];
        part->columns = training->builder->draft.dimensions[g].column_count;
        part->clusters = part->columns ? training->builder->clusters[g].count : 0;
        part->stride = tile_count(part->columns) * TILE_ROWS;
        part->cells = part->stride * part->clusters;
        part->scene_first = training->builder->segment_first[g];
    }
    carve_all(training, &carving);
    carving = (struct carving){.base = memory_take_aligned(carving.used * sizeof(float), 64)};
    training->memory = carving.base;
    training->order = memory_take_zeroed(training->block_count, sizeof *training->order);
    if (training->memory)
        carve_all(training, &carving);
    return training->memory && training->order;
}

static void training_fini(struct training *training)
{
    memory_give(training->memory);
    memory_give(training->order);
    memory_give(training);
}

/* Where the parameters start: the clusters found, their precisions bounded, all of it times START_WEIGHT. */
static void part_start(struct part *part, const struct clusters *clusters, const struct kernels *kernels)
{
    for (size_t k = 0; k < part->clusters; k++)
        for (size_t j = 0; j < part->columns; j++) {
            float precision = clusters->precisions[k * part->columns + j];
            part->centres.value[k * part->stride + j] = clusters->centres[k * part->columns + j];
            part->precision[k * part->stride + j] = START_WEIGHT * (precision < PRECISION_START ? precision : PRECISION_START);
        }
    for (size_t k = 0; k < part->clusters; k++)
        for (size_t j = part->columns; j < part->stride; j++)
            part->precision[k * part->stride + j] = 1.0f;
    kernels->log(part->logs.value, part->precision, part->cells);
    kernels->exp(part->precision, part->logs.value, part->cells);
    kernels->panel_pack(part->ab, part->centres.value, part->precision, part->stride, part->columns, part->clusters);
}

/* The lines of a block from its tiles. */
static void lines_work(void *context, uint32_t block, uint32_t thread)
{
    const struct part *part = context;
    const size_t first = (size_t)block * BLOCK_ROWS;
    const struct matrix tiles = {.column_count = part->columns, .z = part->tiles + first * part->columns};
    (void)thread;
    for (uint32_t i = 0; i < BLOCK_ROWS; i++)
        for (uint32_t j = 0; j < part->columns; j++)
            part->lines[(first + i) * part->stride + j] = *matrix_at(&tiles, i, j);
}

/* Rows in the drawn order, in tiles and in lines; what the last block lacks is 0. */
static void part_open(struct training *training, int g, const uint32_t *drawn)
{
    struct builder *builder = training->builder;
    struct part *part = &training->parts[g];
    const struct matrix tiles = {.row_count = training->rows, .column_count = part->columns, .z = part->tiles};
    if (part->columns == 0)
        return;
    build_tiles(&tiles, builder, builder->draft.dimensions[g].columns, drawn);
    team_run(builder->team, training->block_count, lines_work, part);
    part_start(part, &builder->clusters[g], &builder->kernels);
}

/* Fisher and Yates. */
static void shuffle(uint32_t *order, uint32_t count, struct random *random)
{
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t other = random_below(random, i + 1), held = order[i];
        order[i] = order[other];
        order[other] = held;
    }
}

static void draw_rows(struct training *training, uint32_t *drawn)
{
    const struct picked *picked = &training->builder->picked;
    uint32_t batch_rows = training->rows < BATCH_ROWS ? training->rows : BATCH_ROWS;
    double background = picked->background_weight * (double)picked->scene_first[1];
    for (uint32_t i = 0; i < training->rows; i++)
        drawn[i] = i;
    shuffle(drawn, training->rows, &training->builder->random);
    for (uint32_t i = 0; i < training->rows; i++) {
        uint32_t scene = 0;
        while (drawn[i] >= picked->scene_first[scene + 1])
            scene++;
        training->label[i] = (float)scene;
        training->weight[i] = (float)((scene ? 1.0 : picked->background_weight) / batch_rows);
    }
    for (uint32_t s = 1; s < training->scenes; s++)
        training->biases.value[s] = kernel_log((float)((double)(picked->scene_first[s + 1] - picked->scene_first[s]) / background));
    for (uint32_t i = 0; i < training->block_count; i++)
        training->order[i] = i;
    for (uint32_t s = 0; s < SCENES_MAX; s++)
        training->ones[s] = 1.0f;
}

static enum fault training_open(struct training *training)
{
    uint32_t *drawn = memory_take_zeroed(training->rows, sizeof *drawn);
    bool has_all = drawn && training_take(training);
    if (has_all) {
        draw_rows(training, drawn);
        for (int g = 0; g < DIMENSION_COUNT; g++)
            part_open(training, g, drawn);
    }
    memory_give(drawn);
    return has_all ? FAULT_NONE : build_no_memory(training->builder);
}

/* The next blocks of the drawn order; a new order when not enough are left. */
static const uint32_t *draw_batch(struct training *training)
{
    if (training->next + training->batch_blocks > training->block_count || training->next == 0) {
        shuffle(training->order, training->block_count, &training->builder->random);
        training->next = 0;
    }
    const uint32_t *batch = training->order + training->next;
    training->next += training->batch_blocks;
    training->upcoming = training->next + training->batch_blocks <= training->block_count ? training->order + training->next : NULL;
    return batch;
}

/* Distance to every scene's nearest cluster, and which that is. */
static void part_forward(const struct training *training, struct block_sums *sums, int g, uint32_t block)
{
    const struct part *part = &training->parts[g];
    const float *z = part->tiles + (size_t)block * BLOCK_ROWS * part->columns;
    for (uint32_t s = 0; s < training->scenes; s++) {
        uint32_t first = part->scene_first[s], ends[2] = {0, part->scene_first[s + 1] - first};
        const struct panel panel = {.column_count = part->columns,
                                    .cluster_count = ends[1],
                                    .segment_count = 1,
                                    .segment_first = ends,
                                    .ab = part->ab + 2 * (size_t)first * part->columns,
                                    .start = part->start + first};
        training->builder->kernels.panel_nearest(sums->nearest[g] + s * BLOCK_ROWS, sums->delta[g] + s * BLOCK_ROWS, z, BLOCK_TILES,
                                                 &panel);
    }
}

static void part_backward(const struct training *training, struct block_sums *sums, int g, uint32_t block)
{
    const struct part *part = &training->parts[g];
    memset(sums->centres[g], 0, part->cells * sizeof(float));
    memset(sums->logs[g], 0, part->cells * sizeof(float));
    training->builder->kernels.offset_sums(sums->centres[g], sums->logs[g], part->centres.value,
                                           part->lines + (size_t)block * BLOCK_ROWS * part->stride, part->stride, BLOCK_ROWS,
                                           sums->nearest[g], sums->residual, part->scene_first, training->scenes, BLOCK_ROWS);
}

static void biases_backward(const struct training *training, struct block_sums *sums)
{
    for (uint32_t s = 1; s < training->scenes; s++) {
        float sum = 0.0f;
        for (uint32_t i = 0; i < BLOCK_ROWS; i++)
            sum += sums->residual[s * BLOCK_ROWS + i];
        sums->biases[s] = sum;
    }
}

static void fetch(const float *from, size_t floats)
{
    for (size_t i = 0; i < floats; i += TILE_ROWS)
        __builtin_prefetch(from + i, 0, 2);
}

static void block_fetch(const struct training *training, uint32_t block)
{
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        const struct part *part = &training->parts[g];
        fetch(part->tiles + (size_t)block * BLOCK_ROWS * part->columns, BLOCK_ROWS * (size_t)part->columns);
        fetch(part->lines + (size_t)block * BLOCK_ROWS * part->stride, BLOCK_ROWS * part->stride);
    }
}

/* All that the block at this place of the batch tells. */
static void block_work(void *context, uint32_t place, uint32_t thread)
{
    const struct training *training = context;
    struct block_sums *sums = &((struct training *)context)->sums[place];
    uint32_t block = training->batch[place], count = 0;
    (void)thread;
    const float *distance[DIMENSION_COUNT];
    if (training->upcoming)
        block_fetch(training, training->upcoming[place]);
    for (int g = 0; g < DIMENSION_COUNT; g++)
        if (training->parts[g].columns) {
            part_forward(training, sums, g, block);
            distance[count++] = sums->delta[g];
        }
    training->builder->kernels.residuals(sums->residual, BLOCK_ROWS, BLOCK_ROWS, distance, count, training->biases.value, training->scenes,
                                         training->label + (size_t)block * BLOCK_ROWS, training->weight + (size_t)block * BLOCK_ROWS);
    for (int g = 0; g < DIMENSION_COUNT; g++)
        if (training->parts[g].columns)
            part_backward(training, sums, g, block);
    biases_backward(training, sums);
}

/* Adam for some clusters of a dimension, and what the next forward pass reads of them. */
static void step_work(void *context, uint32_t unit, uint32_t thread)
{
    struct training *training = context;
    const struct kernels *kernels = &training->builder->kernels;
    int g = 0;
    (void)thread;
    for (; unit >= (training->parts[g].clusters + STEP_CLUSTERS - 1) / STEP_CLUSTERS; g++)
        unit -= (training->parts[g].clusters + STEP_CLUSTERS - 1) / STEP_CLUSTERS;
    const struct part *part = &training->parts[g];
    const struct block_sums *sums = &training->sums[0];
    const size_t first = (size_t)unit * STEP_CLUSTERS, left = part->clusters - first,
                 clusters = left < STEP_CLUSTERS ? left : STEP_CLUSTERS;
    const size_t at = first * part->stride, count = clusters * part->stride;
    kernels->adam(part->centres.value + at, part->centres.first + at, part->centres.second + at, sums->centres[g] + at,
                  training->batch_blocks, training->sums_stride, part->precision + at, count, &training->centre_step);
    kernels->adam(part->logs.value + at, part->logs.first + at, part->logs.second + at, sums->logs[g] + at, training->batch_blocks,
                  training->sums_stride, part->precision + at, count, &training->log_step);
    kernels->exp(part->precision + at, part->logs.value + at, count);
    kernels->panel_pack(part->ab + 2 * first * part->columns, part->centres.value + at, part->precision + at, part->stride, part->columns,
                        (uint32_t)clusters);
}

static uint32_t step_units(const struct training *training)
{
    uint32_t units = 0;
    for (int g = 0; g < DIMENSION_COUNT; g++)
        units += (training->parts[g].clusters + STEP_CLUSTERS - 1) / STEP_CLUSTERS;
    return units;
}

/* From 1 to 0 along 1 − 3t² + 2t³, which is a cosine but for 0.01. */
static double rate_at(uint32_t step, uint32_t steps)
{
    double t = (double)step / (double)steps;
    return (1.0 - t * t * (3.0 - 2.0 * t));
}

/* Loss of the batch before its step: a residual is the weight times what the label's probability lacks. */
static void batch_loss(struct training *training)
{
    for (uint32_t b = 0; b < training->batch_blocks; b++)
        for (uint32_t i = 0; i < BLOCK_ROWS; i++) {
            const size_t row = (size_t)training->batch[b] * BLOCK_ROWS + i;
            const float weight = training->weight[row], *residual = training->sums[b].residual;
            if (weight == 0.0f)
                continue;
            training->loss +=
                (double)(weight * build_cross_entropy(1.0f + residual[(size_t)training->label[row] * BLOCK_ROWS + i] / weight));
            training->loss_weight += (double)weight;
        }
}

static void train_step(struct training *training, double rate, double first_left, double second_left)
{
    struct builder *builder = training->builder;
    const size_t biases = tile_count(training->scenes) * TILE_ROWS;
    training->centre_step = (struct adam){.factor = 1.0f,
                                          .keep_first = KEEP_FIRST,
                                          .keep_second = KEEP_SECOND,
                                          .rate = (float)(rate / (1.0 - first_left)),
                                          .second_scale = (float)(1.0 / (1.0 - second_left)),
                                          .small = 1e-8f,
                                          .low = -INFINITY,
                                          .high = INFINITY};
    training->log_step = training->centre_step;
    training->log_step.factor = -0.5f;
    training->log_step.shift = (float)(rate * builder->options->decay);
    training->log_step.low = LOG_LEAST;
    training->log_step.high = kernel_log((float)builder->precision_max);
    team_run(builder->team, step_units(training), step_work, training);
    builder->kernels.adam(training->biases.value, training->biases.first, training->biases.second, training->sums[0].biases,
                          training->batch_blocks, training->sums_stride, training->ones, biases, &training->centre_step);
}

/* What was learnt, into the draft's clusters and scenes; dimensions weigh alike, their precisions tell how much. */
static void keep(struct training *training)
{
    struct builder *builder = training->builder;
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        const struct part *part = &training->parts[g];
        struct clusters *clusters = &builder->clusters[g];
        for (size_t k = 0; k < part->clusters; k++) {
            memcpy(clusters->centres + k * part->columns, part->centres.value + k * part->stride, part->columns * sizeof(float));
            memcpy(clusters->precisions + k * part->columns, part->precision + k * part->stride, part->columns * sizeof(float));
            clusters->offsets[k] = 0.0f;
        }
    }
    for (uint32_t s = 0; s < training->scenes; s++) {
        builder->draft.scenes[s].bias = training->biases.value[s];
        for (int g = 0; g < DIMENSION_COUNT; g++)
            builder->draft.scenes[s].weight[g] = training->parts[g].columns ? 1.0f : 0.0f;
    }
}

static void best_keep(struct training *training)
{
    memcpy(training->best_biases, training->biases.value, sizeof training->best_biases);
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        struct part *part = &training->parts[g];
        memcpy(part->best, part->centres.value, part->cells * sizeof(float));
        memcpy(part->best + part->cells, part->precision, part->cells * sizeof(float));
    }
}

static void best_take(struct training *training)
{
    memcpy(training->biases.value, training->best_biases, sizeof training->best_biases);
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        struct part *part = &training->parts[g];
        memcpy(part->centres.value, part->best, part->cells * sizeof(float));
        memcpy(part->precision, part->best + part->cells, part->cells * sizeof(float));
    }
}

static enum fault pass_end(struct training *training, struct build_watch *watch)
{
    bool is_best;
    watch->pass++;
    watch->loss = training->loss_weight > 0.0 ? training->loss / training->loss_weight : NAN;
    training->loss = training->loss_weight = 0.0;
    if (training->is_judged)
        keep(training);
    enum fault fault = build_watch_pass(watch, &is_best, training->builder);
    if (fault == FAULT_NONE && is_best)
        best_keep(training);
    return fault;
}

static enum fault train(struct training *training, uint32_t steps)
{
    struct builder *builder = training->builder;
    const struct build_options *options = builder->options;
    const uint32_t passes = steps < options->passes ? steps : options->passes;
    struct build_watch watch = {
        .seed = options->seed, .passes = passes, .validation_loss = NAN, .least_loss = INFINITY, .average_precision = NAN};
    double first_left = 1.0, second_left = 1.0; /* powers of KEEP_*, for the moments' bias */
    enum fault fault = FAULT_NONE;
    for (uint32_t step = 0; fault == FAULT_NONE && step < steps; step++) {
        training->batch = draw_batch(training);
        team_run(builder->team, training->batch_blocks, block_work, training);
        if (options->watch && step % LOSS_STEPS == 0)
            batch_loss(training);
        first_left *= (double)KEEP_FIRST;
        second_left *= (double)KEEP_SECOND;
        train_step(training, options->rate * rate_at(step, steps), first_left, second_left);
        if (step + 1 >= (uint64_t)steps * (watch.pass + 1) / passes)
            fault = pass_end(training, &watch);
        if (build_watch_ended(&watch, options))
            break;
    }
    if (watch.best_pass && watch.best_pass < watch.pass)
        best_take(training);
    if (watch.best_pass)
        build_say(builder, "training: pass %u of %u was the best, loss to validate %.5f", watch.best_pass, watch.pass, watch.least_loss);
    return fault;
}

enum fault build_train(struct builder *builder)
{
    struct training *training = memory_take_zeroed(1, sizeof *training);
    if (!training)
        return build_no_memory(builder);
    training->builder = builder;
    training->scenes = builder->options->scene_count;
    training->rows = builder->picked.count;
    training->is_judged = builder->options->patience && builder->validate->chunk_count && training->scenes > 1;
    training->block_count = (training->rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    training->batch_blocks = training->block_count < BATCH_BLOCKS ? training->block_count : BATCH_BLOCKS;
    uint32_t batch_rows = training->rows < BATCH_ROWS ? training->rows : BATCH_ROWS;
    uint32_t steps = (uint32_t)((uint64_t)builder->options->passes * training->rows / batch_rows);
    steps = training->scenes < 2 ? 0 : steps < STEPS_MAX ? steps : STEPS_MAX;
    build_say(builder, "training: %u steps of %u rows", steps, batch_rows);
    enum fault fault = training_open(training);
    if (fault == FAULT_NONE)
        fault = train(training, steps);
    if (fault == FAULT_NONE)
        keep(training);
    training_fini(training);
    return fault;
}
