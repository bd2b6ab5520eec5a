/* The processor's devices. A resident borrows the base's panels as they are packed; a scratch is one thread's. What is
 * scored depends on the base and the rows alone: every device here gives the same bits. */
#include "compute/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "compute/internal.h"

enum { ALIGN = 64 };

static const struct device_ops *const devices[] = {&device_cpu, &device_ref, &device_blas, &device_opencl, &device_auto};

enum { NO_INDEX = -2 };

/* "opencl" is the first that can be used, "opencl:1" the second of the list. */
static int opencl_index(const char *name)
{
    const size_t own = strlen(device_opencl.name);
    if (!name || strcmp(name, device_opencl.name) == 0)
        return OPENCL_FIRST;
    if (strncmp(name, device_opencl.name, own) != 0 || name[own] != ':')
        return NO_INDEX;
    const char *number = name + own + 1;
    const size_t digits = strlen(number);
    return digits >= 1 && digits <= 2 && strspn(number, "0123456789") == digits ? atoi(number) : NO_INDEX;
}

const struct device_ops *device_find(const char *name)
{
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        if (strcmp(devices[i]->name, name) == 0)
            return devices[i];
    return opencl_index(name) == NO_INDEX ? NULL : &device_opencl;
}

static enum fault device_take(struct device **out, bool proposes, unsigned cpu_mask, struct fault_note *note)
{
    struct device *device = memory_take_zeroed(1, sizeof *device);
    if (!device)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the compute device");
    device->magic = (unsigned)DEVICE_MAGIC;
    device->proposes = proposes;
    kernels_select(&device->kernels, cpu_mask);
    *out = device;
    return FAULT_NONE;
}

static enum fault cpu_open(struct device **out, const struct device_options *options, struct fault_note *note)
{
    enum fault fault = device_take(out, false, options->cpu_mask, note);
    if (fault == FAULT_NONE)
        snprintf((*out)->description, sizeof(*out)->description, "cpu %s", (*out)->kernels.name);
    return fault;
}

static enum fault ref_open(struct device **out, const struct device_options *options, struct fault_note *note)
{
    (void)options;
    enum fault fault = device_take(out, false, 0, note);
    if (fault == FAULT_NONE)
        snprintf((*out)->description, sizeof(*out)->description, "ref");
    return fault;
}

static enum fault blas_open(struct device **out, const struct device_options *options, struct fault_note *note)
{
    enum fault fault = device_take(out, true, options->cpu_mask, note);
    if (fault == FAULT_NONE)
        snprintf((*out)->description, sizeof(*out)->description, "blas %s + %s", blas_core_name(), (*out)->kernels.name);
    return fault;
}

static void device_close(struct device **device_p)
{
    struct device *device = *device_p;
    *device_p = NULL;
    if (!device)
        return;
    MUST(device->magic == (unsigned)DEVICE_MAGIC);
    opencl_close(&device->opencl);
    device->magic = 0;
    memory_give(device);
}

static enum fault opencl_device_open(struct device **out, const struct device_options *options, struct fault_note *note)
{
    enum fault fault = device_take(out, false, options->cpu_mask, note);
    if (fault == FAULT_NONE)
        fault = opencl_open(&(*out)->opencl, opencl_index(options->name), NULL, note);
    if (fault == FAULT_NONE)
        snprintf((*out)->description, sizeof(*out)->description, "opencl %s", opencl_info_of((*out)->opencl)->name);
    else
        device_close(out);
    return fault;
}

static const char *device_describe(const struct device *device)
{
    MUST(device->magic == (unsigned)DEVICE_MAGIC);
    return device->description;
}

static const struct kernels *device_kernels(const struct device *device)
{
    MUST(device->magic == (unsigned)DEVICE_MAGIC);
    return &device->kernels;
}

const struct panel *base_panel(const struct scene_base *base, unsigned dimension)
{
    const struct panel *panel = &base->dimensions[dimension].panel;
    return panel->cluster_count ? panel : NULL;
}

const struct points *base_points(const struct scene_base *base, unsigned set)
{
    const struct points *points = &base->anomaly[set].ensemble;
    return points->point_count ? points : NULL;
}

static size_t rounded(size_t floats)
{
    return (floats * sizeof(float) + ALIGN - 1) / ALIGN * ALIGN;
}

/* --- a base made ready -------------------------------------------------------------------------------------------- */

static void resident_release(struct resident **resident_p)
{
    struct resident *resident = *resident_p;
    *resident_p = NULL;
    if (!resident)
        return;
    MUST(resident->magic == (unsigned)RESIDENT_MAGIC);
    opencl_base_drop(&resident->opencl);
    arena_fini(&resident->arena);
    resident->magic = 0;
    memory_give(resident);
}

static size_t weights_bytes(const struct scene_base *base)
{
    size_t bytes = ALIGN;
    for (unsigned g = 0; g < DIMENSION_COUNT; g++)
        bytes += base_panel(base, g) ? rounded(blas_weights_floats(base_panel(base, g))) : 0;
    for (unsigned i = 0; i < ANOMALY_COUNT; i++)
        bytes += base_points(base, i) ? rounded(blas_points_weights_floats(base_points(base, i))) : 0;
    return bytes;
}

static bool weights_take(struct resident *resident)
{
    if (!arena_init(&resident->arena, weights_bytes(resident->base)))
        return false;
    for (unsigned g = 0; g < DIMENSION_COUNT; g++) {
        const struct panel *panel = base_panel(resident->base, g);
        if (!panel)
            continue;
        resident->weights[g] = arena_take(&resident->arena, rounded(blas_weights_floats(panel)), ALIGN);
        blas_weights(resident->weights[g], panel);
    }
    for (unsigned i = 0; i < ANOMALY_COUNT; i++) {
        const struct points *points = base_points(resident->base, i);
        if (!points)
            continue;
        resident->points_weights[i] = arena_take(&resident->arena, rounded(blas_points_weights_floats(points)), ALIGN);
        blas_points_weights(resident->points_weights[i], points);
    }
    return true;
}

static enum fault resident_prepare(struct resident **out, struct device *device, const struct scene_base *base, struct fault_note *note)
{
    MUST(device->magic == (unsigned)DEVICE_MAGIC && base->magic == (unsigned)SCENE_BASE_MAGIC);
    struct resident *resident = memory_take_zeroed(1, sizeof *resident);
    if (resident) {
        *resident = (struct resident){.magic = (unsigned)RESIDENT_MAGIC, .device = device, .base = base};
        struct opencl_set sets[SET_COUNT];
        at_once_sets(sets, base);
        enum fault fault = device->opencl ? opencl_base_put(&resident->opencl, device->opencl, sets, SET_COUNT, note) : FAULT_NONE;
        if (fault != FAULT_NONE)
            return resident_release(&resident), fault;
        if (!device->proposes || weights_take(resident))
            return *out = resident, FAULT_NONE;
    }
    resident_release(&resident);
    return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to make scene base %s ready", base->name);
}

/* --- a thread's working memory ------------------------------------------------------------------------------------ */

/* Takes every block from the arena, or, without one, only counts. */
float *block_take(struct arena *arena, size_t *bytes, size_t floats)
{
    *bytes += rounded(floats);
    return arena ? arena_take(arena, rounded(floats), ALIGN) : NULL;
}

static size_t scores_lay(struct scores *scores, struct arena *arena, const struct scene_base *base)
{
    size_t bytes = 0;
    for (unsigned g = 0; g < DIMENSION_COUNT; g++) {
        const struct panel *panel = base_panel(base, g);
        if (!panel)
            continue;
        scores->distance[g] = block_take(arena, &bytes, (size_t)SLICE_ROWS * panel->segment_count);
        scores->z[g] = block_take(arena, &bytes, (size_t)SLICE_ROWS * panel->column_count);
    }
    for (unsigned i = 0; i < ANOMALY_COUNT; i++) {
        const struct points *points = base_points(base, i);
        if (!points)
            continue;
        scores->anomaly[i] = block_take(arena, &bytes, SLICE_ROWS);
        scores->z_anomaly[i] = block_take(arena, &bytes, (size_t)SLICE_ROWS * points->column_count);
    }
    return bytes;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* What a proposal needs, for the largest panel or set. */
static void proposal_lay(struct scratch *scratch, struct arena *arena, size_t *bytes, const struct scene_base *base)
{
    size_t count = 0, packed = 0, segments = 0;
    for (unsigned g = 0; g < DIMENSION_COUNT; g++) {
        const struct panel *panel = base_panel(base, g);
        count = larger(count, panel ? panel->cluster_count : 0);
        packed = larger(packed, panel ? blas_scratch_floats(PROPOSAL_ROWS, panel) : 0);
    }
    for (unsigned i = 0; i < ANOMALY_COUNT; i++) {
        const struct points *points = base_points(base, i);
        count = larger(count, points ? points->point_count : 0);
        packed = larger(packed, points ? blas_points_scratch_floats(PROPOSAL_ROWS, points) : 0);
        segments = larger(segments, points ? points->segment_count : 0);
    }
    scratch->minima = block_take(arena, bytes, segments * SLICE_ROWS);
    scratch->norm = block_take(arena, bytes, SLICE_ROWS);
    scratch->approx = block_take(arena, bytes, count * PROPOSAL_ROWS);
    scratch->bound = block_take(arena, bytes, PROPOSAL_ROWS);
    scratch->packed = block_take(arena, bytes, packed);
}

static size_t scratch_lay(struct scratch *scratch, struct arena *arena, const struct scene_base *base, bool proposes, bool at_once)
{
    size_t bytes = at_once ? 0 : scores_lay(&scratch->scores, arena, base);
    scratch->column = block_take(arena, &bytes, SLICE_ROWS);
    if (at_once)
        at_once_lay(scratch, arena, &bytes, base);
    if (proposes)
        proposal_lay(scratch, arena, &bytes, base);
    return bytes;
}

size_t scratch_bytes(const struct scene_base *base)
{
    struct scratch counted = {0};
    size_t proposing = scratch_lay(&counted, NULL, base, true, false), at_once = scratch_lay(&counted, NULL, base, false, true);
    return sizeof counted + larger(proposing, at_once);
}

size_t scratch_bytes_max(void)
{
    struct scene_base base = {.scene_count = SCENES_MAX};
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        base.dimensions[g].column_count = base.dimensions[g].panel.column_count = DIMENSION_COLUMNS_MAX;
        base.dimensions[g].panel.cluster_count = CLUSTERS_MAX;
        base.dimensions[g].panel.segment_count = SCENES_MAX;
    }
    for (int i = 0; i < ANOMALY_COUNT; i++) {
        base.anomaly[i].column_count = base.anomaly[i].ensemble.column_count = DIMENSION_COLUMNS_MAX;
        base.anomaly[i].ensemble.point_count = CLUSTERS_MAX;
        base.anomaly[i].ensemble.segment_count = ANOMALY_SEGMENTS;
        base.anomaly[i].point_stride = DIMENSION_COLUMNS_MAX;
    }
    return scratch_bytes(&base);
}

static void scratch_give(struct scratch **scratch_p)
{
    struct scratch *scratch = *scratch_p;
    *scratch_p = NULL;
    if (!scratch)
        return;
    MUST(scratch->magic == (unsigned)SCRATCH_MAGIC);
    opencl_queue_give(&scratch->queue);
    arena_fini(&scratch->arena);
    scratch->magic = 0;
    memory_give(scratch);
}

static enum fault scratch_take(struct scratch **out, const struct resident *resident, struct fault_note *note)
{
    MUST(resident->magic == (unsigned)RESIDENT_MAGIC);
    struct scratch *scratch = memory_take_zeroed(1, sizeof *scratch), counted = {0};
    enum fault fault = FAULT_memory;
    if (scratch) {
        scratch->magic = (unsigned)SCRATCH_MAGIC;
        const bool proposes = resident->device->proposes, at_once = resident->opencl;
        if (arena_init(&scratch->arena, scratch_lay(&counted, NULL, resident->base, proposes, at_once))) {
            scratch_lay(scratch, &scratch->arena, resident->base, proposes, at_once);
            MUST(!arena_overflowed(&scratch->arena));
            fault = at_once ? opencl_queue_take(&scratch->queue, resident->opencl, SLICE_ROWS, note) : FAULT_NONE;
        }
    }
    if (fault == FAULT_memory)
        fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to score with");
    if (fault == FAULT_NONE)
        *out = scratch;
    else
        scratch_give(&scratch);
    return fault;
}

/* --- scoring ------------------------------------------------------------------------------------------------------ */

static void distances_take(float *out, struct scratch *scratch, const struct resident *resident, unsigned g, const float *z,
                           uint32_t row_count)
{
    const struct panel *panel = base_panel(resident->base, g);
    if (resident->device->proposes)
        proposal_minima(out, scratch, z, row_count, panel, resident->weights[g]);
    else
        resident->device->kernels.panel_min(out, SLICE_ROWS, z, tile_count(row_count), panel);
}

static void degrees_take(float *out, struct scratch *scratch, const struct resident *resident, unsigned set, const float *z,
                         uint32_t row_count)
{
    const struct points *points = base_points(resident->base, set);
    const struct kernels *kernels = &resident->device->kernels;
    if (!resident->device->proposes) {
        kernels->points_mean(out, z, tile_count(row_count), points);
        return;
    }
    proposal_points_minima(scratch->minima, scratch, z, row_count, points, resident->points_weights[set]);
    kernels->row_norm(scratch->norm, z, tile_count(row_count), points->column_count);
    kernels->sqrt_mean(out, scratch->minima, SLICE_ROWS, scratch->norm, row_count, points->segment_count);
}

static void slice_score_by_sets(struct scratch *scratch, const struct resident *resident, const struct feature_block *features)
{
    const struct scene_base *base = resident->base;
    const struct kernels *kernels = &resident->device->kernels;
    const struct scores *scores = &scratch->scores;
    const uint32_t rows = features->row_count;
    for (unsigned g = 0; g < DIMENSION_COUNT; g++) {
        const struct scene_dimension *dimension = &base->dimensions[g];
        if (!base_panel(base, g))
            continue;
        scene_columns_tile(scores->z[g], dimension->columns, dimension->column_count, features, kernels, scratch->column);
        distances_take(scores->distance[g], scratch, resident, g, scores->z[g], rows);
    }
    for (unsigned i = 0; i < ANOMALY_COUNT; i++) {
        const struct anomaly_set *set = &base->anomaly[i];
        if (!base_points(base, i))
            continue;
        scene_columns_tile(scores->z_anomaly[i], set->columns, set->column_count, features, kernels, scratch->column);
        degrees_take(scores->anomaly[i], scratch, resident, i, scores->z_anomaly[i], rows);
    }
}

static enum fault slice_score(struct scores *out, struct scratch *scratch, const struct resident *resident,
                              const struct feature_block *features, struct fault_note *note)
{
    MUST(scratch->magic == (unsigned)SCRATCH_MAGIC && resident->magic == (unsigned)RESIDENT_MAGIC && features->row_count <= SLICE_ROWS);
    (void)note;
    if (scratch->queue)
        at_once_score(scratch, resident, features);
    else
        slice_score_by_sets(scratch, resident, features);
    *out = scratch->scores;
    return FAULT_NONE;
}

#define DEVICE(title, opener) \
    const struct device_ops device_##title = {.name = #title, \
                                              .open = opener, \
                                              .close = device_close, \
                                              .describe = device_describe, \
                                              .kernels = device_kernels, \
                                              .prepare = resident_prepare, \
                                              .release = resident_release, \
                                              .scratch_take = scratch_take, \
                                              .scratch_give = scratch_give, \
                                              .score = slice_score}

DEVICE(cpu, cpu_open);
DEVICE(ref, ref_open);
DEVICE(blas, blas_open);
DEVICE(opencl, opencl_device_open);
