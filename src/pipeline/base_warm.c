/* Test rows on a base that is to score: every worker's scratch is touched, the device compiles what it compiles, and what comes
 * out must be the bits of the reference. Rows are made from the base's own columns, so that they fall among its clusters. */
#include "pipeline/internal.h"

#include <string.h>

#include "base/memory.h"

enum { COMPARED_ROWS = TILE_ROWS }; /* with the reference: plain C takes its time */

struct test_rows {
    struct feature_block block;
    float *memory;
};

/* Spreads around the mean of a column that reads the feature; the same on every machine. */
static void feature_fill(float *out, uint16_t feature, const struct scene_base *base)
{
    float mean = 0.0f, scale = 1.0f;
    for (int g = 0; g < DIMENSION_COUNT; g++)
        for (uint32_t j = 0; j < base->dimensions[g].column_count; j++)
            if (base->dimensions[g].columns[j].feature == feature && base->dimensions[g].columns[j].form == FORM_VALUE) {
                mean = base->dimensions[g].columns[j].mean;
                scale = 1.0f / base->dimensions[g].columns[j].rscale;
            }
    for (uint32_t i = 0; i < SLICE_ROWS; i++) {
        uint64_t drawn = hash64_pair(feature, i, 0) >> 40;
        out[i] = mean + scale * ((float)drawn / (float)(1 << 21) - 3.0f);
    }
}

static bool rows_make(struct test_rows *rows, const struct scene_base *base)
{
    rows->memory = memory_take_aligned((size_t)FEATURE_COUNT * SLICE_ROWS * sizeof(float), 64);
    if (!rows->memory)
        return false;
    rows->block = (struct feature_block){.row_count = SLICE_ROWS};
    for (uint16_t f = 0; f < FEATURE_COUNT; f++) {
        rows->block.column[f] = rows->memory + (size_t)f * SLICE_ROWS;
        feature_fill(rows->block.column[f], f, base);
    }
    return true;
}

static bool same_scores(const struct scores *a, const struct scores *b, const struct scene_base *base)
{
    bool same = true;
    for (int g = 0; g < DIMENSION_COUNT; g++)
        for (uint32_t s = 0; s < base->scene_count && same; s++)
            if (scene_has_clusters(base, g, s))
                same = memcmp(a->distance[g] + (size_t)s * SLICE_ROWS, b->distance[g] + (size_t)s * SLICE_ROWS,
                              COMPARED_ROWS * sizeof(float)) == 0;
    for (int i = 0; i < ANOMALY_COUNT && same; i++)
        if (base->anomaly[i].ensemble.point_count)
            same = memcmp(a->anomaly[i], b->anomaly[i], COMPARED_ROWS * sizeof(float)) == 0;
    return same;
}

struct reference {
    struct device *device;
    struct resident *resident;
    struct scratch *scratch;
    struct scores scores;
};

static enum fault reference_score(struct reference *out, const struct scene_base *base, const struct test_rows *rows,
                                  struct fault_note *note)
{
    const struct device_options options = {.name = device_ref.name};
    struct feature_block few = rows->block;
    few.row_count = COMPARED_ROWS;
    enum fault fault = device_ref.open(&out->device, &options, note);
    if (fault == FAULT_NONE)
        fault = device_ref.prepare(&out->resident, out->device, base, note);
    if (fault == FAULT_NONE)
        fault = device_ref.scratch_take(&out->scratch, out->resident, note);
    return fault == FAULT_NONE ? device_ref.score(&out->scores, out->scratch, out->resident, &few, note) : fault;
}

static void reference_fini(struct reference *reference)
{
    if (reference->scratch)
        device_ref.scratch_give(&reference->scratch);
    if (reference->resident)
        device_ref.release(&reference->resident);
    if (reference->device)
        device_ref.close(&reference->device);
}

static enum fault scratches_score(const struct epoch *epoch, const struct test_rows *rows, const struct scores *want,
                                  struct fault_note *note)
{
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; i < epoch->pipeline->worker_count && fault == FAULT_NONE; i++) {
        struct scores got = {0};
        fault = epoch->device_ops->score(&got, epoch->scratches[i], epoch->resident, &rows->block, note);
        if (fault == FAULT_NONE && got.fell_back)
            fault = fault_set(note, FAULT_device, ROW_NONE, COLUMN_NONE, "%s failed on the test rows",
                              epoch->device_ops->describe(epoch->device));
        if (fault == FAULT_NONE && !same_scores(&got, want, epoch->base))
            fault = fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "%s gives the test rows other distances than the reference",
                              epoch->device_ops->describe(epoch->device));
    }
    return fault;
}

enum fault epoch_warm(const struct epoch *epoch, struct fault_note *note)
{
    struct test_rows rows = {.memory = NULL};
    struct reference reference = {.device = NULL};
    if (!epoch->base)
        return FAULT_NONE;
    if (!rows_make(&rows, epoch->base))
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for test rows");
    enum fault fault = reference_score(&reference, epoch->base, &rows, note);
    if (fault == FAULT_NONE)
        fault = scratches_score(epoch, &rows, &reference.scores, note);
    reference_fini(&reference);
    memory_give(rows.memory);
    return fault;
}
