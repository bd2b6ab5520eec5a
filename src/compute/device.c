/* The processor's devices. A resident borrows the base's panels as they are packed; a scratch is one thread's. What is
 * scored depends on the base and the rows alone: every device here gives the same bits. */
#include "compute/device.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "compute/internal.h"

enum { ALIGN = 64 };

static const struct device_ops *const devices[] = {&device_cpu, &device_ref, &device_blas};

const struct device_ops *device_find(const char *name)
{
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        if (strcmp(devices[i]->name, name) == 0)
            return devices[i];
    return NULL;
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
    device->magic = 0;
    memory_give(device);
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

const struct panel *base_panel(const struct scene_base *base, unsigned index)
{
    const struct panel *panel = index < DIMENSION_COUNT ? &base->dimensions[index].panel : &base->anomaly[index - DIMENSION_COUNT].panel;
    return panel->cluster_count ? panel : NULL;
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
    arena_fini(&resident->arena);
    resident->magic = 0;
    memory_give(resident);
}

static size_t weights_bytes(const struct scene_base *base)
{
    size_t bytes = ALIGN;
    for (unsigned i = 0; i < PANEL_COUNT; i++)
        bytes += base_panel(base, i) ? rounded(blas_weights_floats(base_panel(base, i))) : 0;
    return bytes;
}

static bool weights_take(struct resident *resident)
{
    if (!arena_init(&resident->arena, weights_bytes(resident->base)))
        return false;
    for (unsigned i = 0; i < PANEL_COUNT; i++) {
        const struct panel *panel = base_panel(resident->base, i);
        if (!panel)
            continue;
        resident->weights[i] = arena_take(&resident->arena, rounded(blas_weights_floats(panel)), ALIGN);
        blas_weights(resident->weights[i], panel);
    }
    return true;
}

static enum fault resident_prepare(struct resident **out, struct device *device, const struct scene_base *base, struct fault_note *note)
{
    MUST(device->magic == (unsigned)DEVICE_MAGIC && base->magic == (unsigned)SCENE_BASE_MAGIC);
    struct resident *resident = memory_take_zeroed(1, sizeof *resident);
    if (resident) {
        *resident = (struct resident){.magic = (unsigned)RESIDENT_MAGIC, .device = device, .base = base};
        if (!device->proposes || weights_take(resident))
            return *out = resident, FAULT_NONE;
    }
    resident_release(&resident);
    return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to make scene base %s ready", base->name);
}

/* --- a thread's working memory ------------------------------------------------------------------------------------ */

/* Takes every block from the arena, or, without one, only counts. */
static float *block_take(struct arena *arena, size_t *bytes, size_t floats)
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
        const struct panel *panel = base_panel(base, DIMENSION_COUNT + i);
        if (!panel)
            continue;
        scores->anomaly[i] = block_take(arena, &bytes, SLICE_ROWS);
        scores->z_anomaly[i] = block_take(arena, &bytes, (size_t)SLICE_ROWS * panel->column_count);
    }
    return bytes;
}

static size_t scratch_lay(struct scratch *scratch, struct arena *arena, const struct scene_base *base, bool proposes)
{
    size_t bytes = scores_lay(&scratch->scores, arena, base), clusters = 0, packed = 0, segments = 0;
    for (unsigned i = 0; i < PANEL_COUNT; i++) {
        const struct panel *panel = base_panel(base, i);
        if (!panel)
            continue;
        size_t floats = blas_scratch_floats(PROPOSAL_ROWS, panel);
        clusters = clusters < panel->cluster_count ? panel->cluster_count : clusters;
        segments = i >= DIMENSION_COUNT && segments < panel->segment_count ? panel->segment_count : segments;
        packed = packed < floats ? floats : packed;
    }
    scratch->column = block_take(arena, &bytes, SLICE_ROWS);
    scratch->minima = block_take(arena, &bytes, segments * SLICE_ROWS);
    if (proposes) {
        scratch->approx = block_take(arena, &bytes, clusters * PROPOSAL_ROWS);
        scratch->bound = block_take(arena, &bytes, PROPOSAL_ROWS);
        scratch->packed = block_take(arena, &bytes, packed);
    }
    return bytes;
}

size_t scratch_bytes(const struct scene_base *base)
{
    struct scratch counted = {0};
    return sizeof counted + scratch_lay(&counted, NULL, base, true);
}

static void scratch_give(struct scratch **scratch_p)
{
    struct scratch *scratch = *scratch_p;
    *scratch_p = NULL;
    if (!scratch)
        return;
    MUST(scratch->magic == (unsigned)SCRATCH_MAGIC);
    arena_fini(&scratch->arena);
    scratch->magic = 0;
    memory_give(scratch);
}

static enum fault scratch_take(struct scratch **out, const struct resident *resident, struct fault_note *note)
{
    MUST(resident->magic == (unsigned)RESIDENT_MAGIC);
    struct scratch *scratch = memory_take_zeroed(1, sizeof *scratch), counted = {0};
    if (scratch) {
        scratch->magic = (unsigned)SCRATCH_MAGIC;
        bool proposes = resident->device->proposes;
        if (arena_init(&scratch->arena, scratch_lay(&counted, NULL, resident->base, proposes))) {
            scratch_lay(scratch, &scratch->arena, resident->base, proposes);
            MUST(!arena_overflowed(&scratch->arena));
            return *out = scratch, FAULT_NONE;
        }
    }
    scratch_give(&scratch);
    return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to score with");
}

/* --- scoring ------------------------------------------------------------------------------------------------------ */

static void minima_of(float *out, struct scratch *scratch, const struct resident *resident, unsigned index, const float *z,
                      uint32_t row_count)
{
    const struct panel *panel = base_panel(resident->base, index);
    if (resident->device->proposes)
        proposal_minima(out, scratch, z, row_count, panel, resident->weights[index]);
    else
        resident->device->kernels.panel_min(out, SLICE_ROWS, z, tile_count(row_count), panel);
}

static enum fault slice_score(struct scores *out, struct scratch *scratch, const struct resident *resident,
                              const struct feature_block *features, struct fault_note *note)
{
    MUST(scratch->magic == (unsigned)SCRATCH_MAGIC && resident->magic == (unsigned)RESIDENT_MAGIC && features->row_count <= SLICE_ROWS);
    (void)note;
    const struct scene_base *base = resident->base;
    const struct kernels *kernels = &resident->device->kernels;
    const struct scores *scores = &scratch->scores;
    const uint32_t rows = features->row_count;
    for (unsigned g = 0; g < DIMENSION_COUNT; g++) {
        const struct scene_dimension *dimension = &base->dimensions[g];
        if (!base_panel(base, g))
            continue;
        scene_columns_tile(scores->z[g], dimension->columns, dimension->column_count, features, kernels, scratch->column);
        minima_of(scores->distance[g], scratch, resident, g, scores->z[g], rows);
    }
    for (unsigned i = 0; i < ANOMALY_COUNT; i++) {
        const struct anomaly_set *set = &base->anomaly[i];
        if (!base_panel(base, DIMENSION_COUNT + i))
            continue;
        scene_columns_tile(scores->z_anomaly[i], set->columns, set->column_count, features, kernels, scratch->column);
        minima_of(scratch->minima, scratch, resident, DIMENSION_COUNT + i, scores->z_anomaly[i], rows);
        kernels->sqrt_mean(scores->anomaly[i], scratch->minima, SLICE_ROWS, rows, set->panel.segment_count);
    }
    *out = *scores;
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
