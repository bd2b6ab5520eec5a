/* `sluice tune`: finds how panel.cl is best compiled for an OpenCL device, one number at a time from what the table has, on the
 * shapes of a base; prints the line for kernels/opencl/tunables.tbl. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "command/command.h"
#include "compute/opencl.h"
#include "scene/scene_base.h"

enum { SETS = DIMENSION_COUNT + ANOMALY_COUNT, ROUNDS = 9, NUMBERS = 5, PASSES_MAX = 4, ACCUMULATORS_MAX = 64 };

struct tuning {
    const char *base_path;
    int index;
    struct scene_base *base;
    struct opencl_info info;
    struct opencl_set sets[SETS];
    size_t columns, lines;
    float *z, *out;
};

static const struct argp_option options[] = {
    {"base", 'b', "FILE", 0, "The scene base whose shapes count; needed", 1},
    {"device", 'd', "N", 0, "The OpenCL device, as `sluice devices` numbers it (default 0)", 1},
    {0},
};

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    struct tuning *out = state->input;
    if (key == 'b')
        out->base_path = argument;
    else if (key == 'd')
        out->index = (int)command_integer(state, "device", argument, 0, OPENCL_DEVICES_MAX - 1);
    else if (key == ARGP_KEY_ARG)
        argp_error(state, "no arguments are taken, not '%s'", argument);
    else if (key == ARGP_KEY_END && !out->base_path)
        argp_error(state, "no --base given");
    else
        return key == ARGP_KEY_END ? 0 : ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct argp tune_argp = {
    .options = options,
    .parser = option_parse,
    .doc = "Finds how the OpenCL kernel is best compiled for a device.\v"
           "Every number that is tried is told on stderr with its rate; the line for kernels/opencl/tunables.tbl goes to stdout. "
           "The bits are the same with all.",
};

/* --- one trial ------------------------------------------------------------------------------------------------------------ */

static double slice_seconds(const struct tuning *tuning, struct opencl_queue *queue)
{
    double least = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t begin_ns = clock_steady_ns();
        if (!opencl_minima(queue, tuning->out, SLICE_ROWS, tuning->z, SLICE_ROWS))
            return 0;
        double seconds = 1e-9 * (double)(clock_steady_ns() - begin_ns);
        least = least == 0 || seconds < least ? seconds : least;
    }
    return least;
}

/* Seconds of a slice, 0: these numbers do not work on this device. */
static double trial(const struct tuning *tuning, const struct opencl_tunables *t)
{
    struct opencl *opencl = NULL;
    struct opencl_base *base = NULL;
    struct opencl_queue *queue = NULL;
    struct fault_note note = {0};
    double seconds = 0;
    if (t->vectors * t->clusters > ACCUMULATORS_MAX)
        return 0;
    if (opencl_open(&opencl, tuning->index, t, &note) == FAULT_NONE &&
        opencl_base_put(&base, opencl, tuning->sets, SETS, &note) == FAULT_NONE &&
        opencl_queue_take(&queue, base, SLICE_ROWS, &note) == FAULT_NONE)
        seconds = slice_seconds(tuning, queue);
    opencl_queue_give(&queue);
    opencl_base_drop(&base);
    opencl_close(&opencl);
    if (seconds > 0)
        fprintf(stderr, "%2u rows x %u vectors, %2u clusters, group %3u, part %4u: %8.3f million rows/s\n", t->vector, t->vectors,
                t->clusters, t->group, t->part_clusters, 1e-6 * SLICE_ROWS / seconds);
    return seconds;
}

/* --- the search ----------------------------------------------------------------------------------------------------------- */

static uint32_t *number_of(struct opencl_tunables *t, unsigned number)
{
    uint32_t *const numbers[NUMBERS] = {&t->vector, &t->vectors, &t->clusters, &t->group, &t->part_clusters};
    return numbers[number];
}

/* Tries every value of one number; true: a better one was found. */
static bool number_tune(const struct tuning *tuning, struct opencl_tunables *best, double *best_seconds, unsigned number)
{
    static const uint32_t values[NUMBERS][8] = {
        {1, 4, 8, 16}, {1, 2, 3, 4}, {2, 3, 4, 5, 6, 8, 12}, {1, 32, 64, 128, 256}, {0, 16, 32, 64, 256}};
    static const unsigned counts[NUMBERS] = {4, 4, 7, 5, 5};
    bool better = false;
    for (unsigned i = 0; i < counts[number]; i++) {
        struct opencl_tunables t = *best;
        if (*number_of(&t, number) == values[number][i])
            continue;
        *number_of(&t, number) = values[number][i];
        double seconds = trial(tuning, &t);
        if (seconds == 0 || seconds >= 0.98 * *best_seconds)
            continue;
        *best = t;
        *best_seconds = seconds;
        better = true;
    }
    return better;
}

static int tune_run(const struct tuning *tuning)
{
    char text[192];
    snprintf(text, sizeof text, "%s %s %s", tuning->info.type, tuning->info.platform, tuning->info.name);
    struct opencl_tunables best = *opencl_tunables_of(text);
    double seconds = trial(tuning, &best);
    if (seconds == 0)
        return command_fail(COMMAND_REFUSED, "tune", "device %d fails with the table's numbers: `sluice devices` tells more",
                            tuning->index);
    bool better = true;
    for (int pass = 0; pass < PASSES_MAX && better; pass++) {
        better = false;
        for (unsigned number = 0; number < NUMBERS; number++)
            better |= number_tune(tuning, &best, &seconds, number);
    }
    printf("TUNABLES(\"%s\", %u, %u, %u, %u, %u)\n", tuning->info.name, best.vector, best.vectors, best.clusters, best.group,
           best.part_clusters);
    return COMMAND_DONE;
}

static bool shapes_take(struct tuning *tuning)
{
    uint32_t state = 1;
    for (unsigned i = 0; i < SETS; i++) {
        if (i < DIMENSION_COUNT && tuning->base->dimensions[i].panel.cluster_count)
            tuning->sets[i] = opencl_set_of_panel(&tuning->base->dimensions[i].panel);
        else if (i >= DIMENSION_COUNT && tuning->base->anomaly[i - DIMENSION_COUNT].ensemble.point_count)
            tuning->sets[i] = opencl_set_of_points(&tuning->base->anomaly[i - DIMENSION_COUNT].ensemble);
        tuning->columns += tuning->sets[i].column_count;
        tuning->lines += tuning->sets[i].segment_count;
    }
    tuning->z = memory_take_aligned((tuning->columns + 1) * SLICE_ROWS * sizeof(float), 64);
    tuning->out = memory_take_aligned((tuning->lines + 1) * SLICE_ROWS * sizeof(float), 64);
    for (size_t i = 0; tuning->z && i < tuning->columns * SLICE_ROWS; i++) {
        state = state * 1664525u + 1013904223u;
        tuning->z[i] = (float)(state >> 8) * 0x1p-22f - 2.0f;
    }
    return tuning->z && tuning->out;
}

int command_tune(int argc, char **argv)
{
    struct tuning tuning = {0};
    struct opencl_info infos[OPENCL_DEVICES_MAX];
    struct fault_note note = {0};
    char why[80];
    argp_parse(&tune_argp, argc, argv, 0, NULL, &tuning);
    if (scene_base_open(&tuning.base, tuning.base_path, &note) != FAULT_NONE)
        return command_fail(COMMAND_REFUSED, "tune", "%s", note.text);
    uint32_t count = opencl_list(infos, why);
    int status = COMMAND_REFUSED;
    if ((uint32_t)tuning.index >= count)
        command_fail(status, "tune", "no OpenCL device %d%s%s", tuning.index, why[0] ? ": " : "", why);
    else if (infos[tuning.index].refused[0])
        command_fail(status, "tune", "%s: %s", infos[tuning.index].name, infos[tuning.index].refused);
    else if (!shapes_take(&tuning))
        command_fail(status, "tune", "no memory");
    else {
        tuning.info = infos[tuning.index];
        status = tune_run(&tuning);
    }
    memory_give(tuning.z);
    memory_give(tuning.out);
    scene_base_close(&tuning.base);
    return status;
}
