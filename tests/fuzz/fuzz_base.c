/* Scene bases: bytes as they come. What is taken must be
 * whole: every number finite, panels inside their memory, scored without a NaN. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "scene/drift.h"
#include "scene/golden.h"
#include "scene/scene_base.h"
#include "scene/seal.h"

enum { ROWS = TILE_ROWS };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static _Alignas(64) float features[FEATURE_COUNT][SLICE_ROWS], z[DIMENSION_COLUMNS_MAX * TILE_ROWS], scratch[SLICE_ROWS];
static _Alignas(64) float minima[ANOMALY_SEGMENTS][TILE_ROWS];

static void score(const struct panel *panel, const struct scene_column *columns, uint32_t column_count)
{
    struct feature_block block = {.row_count = ROWS};
    if (panel->cluster_count == 0)
        return;
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        block.column[f] = features[f];
    scene_columns_tile(z, columns, column_count, &block, &kernels_ref, scratch);
    kernels_ref.panel_min(minima[0], TILE_ROWS, z, 1, panel);
    for (uint32_t s = 0; s < panel->segment_count; s++)
        for (uint32_t i = 0; i < ROWS; i++)
            MUST(!isnan(minima[s][i]) && (isfinite(minima[s][i]) || panel->segment_first[s] == panel->segment_first[s + 1]));
}

static void score_set(const struct anomaly_set *set)
{
    struct feature_block block = {.row_count = ROWS};
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        block.column[f] = features[f];
    scene_columns_tile(z, set->columns, set->column_count, &block, &kernels_ref, scratch);
    kernels_ref.points_mean(minima[0], z, 1, &set->ensemble);
    for (uint32_t i = 0; i < ROWS; i++)
        MUST(isfinite(minima[0][i]) && minima[0][i] >= 0 && scene_anomaly_calibrate(set, minima[0][i]) <= 1.0f);
}

static void use(const struct scene_base *base)
{
    MUST(base->scene_count >= 1 && base->scene_count <= SCENES_MAX && base->metadata);
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        for (uint32_t i = 0; i < ROWS; i++)
            features[f][i] = (float)i * (i % 2 ? 1e6f : -0.25f);
    for (int g = 0; g < DIMENSION_COUNT; g++)
        score(&base->dimensions[g].panel, base->dimensions[g].columns, base->dimensions[g].column_count);
    for (int i = 0; i < ANOMALY_COUNT; i++) {
        if (base->anomaly[i].ensemble.point_count)
            score_set(&base->anomaly[i]);
    }
}

/* Counters as full as they can be, and empty ones: every figure a number. */
static void judge(const struct scene_base *base)
{
    static uint64_t counters[FEATURE_COUNT * (REFERENCE_EDGES + 1) + SCENES_MAX + DIMENSION_COUNT + 1];
    static struct drift_report report;
    const struct drift_limits limits = DRIFT_LIMITS_DEFAULT;
    MUST(drift_counter_count(base) <= sizeof counters / sizeof *counters);
    for (uint64_t rows = 0; rows <= 1u << 20; rows += 1u << 20) {
        for (uint32_t i = 0; i < drift_counter_count(base); i++)
            counters[i] = rows;
        drift_report(&report, base, counters, &limits);
        MUST(report.rows == (report.reference ? rows : 0) && isfinite(report.worst_psi) && isfinite(report.scenes.psi));
        for (uint32_t i = 0; i < base->reference.feature_count; i++)
            MUST(isfinite(report.features[i].values.psi) && isfinite(report.features[i].unknown.psi));
    }
}

/* What was read is written and read again, the same. */
static void write_again(const struct scene_base *base)
{
    char *bytes = NULL;
    size_t byte_count;
    struct scene_base *again = NULL;
    if (scene_base_write(&bytes, &byte_count, base, NULL, NULL, NULL) != FAULT_NONE)
        return;
    MUST(scene_base_read(&again, (const unsigned char *)bytes, byte_count, NULL) == FAULT_NONE);
    MUST(again->scene_count == base->scene_count && memcmp(&again->features, &base->features, sizeof base->features) == 0);
    scene_base_close(&again);
    memory_give(bytes);
}

static void read_and_use(const uint8_t *data, size_t size)
{
    struct scene_base *base = NULL;
    struct fault_note note = {0};
    struct golden_errors errors;
    enum fault fault = scene_base_read(&base, data, size, &note);
    MUST(fault == FAULT_NONE || ((fault == FAULT_model || fault == FAULT_memory) && note.text[0] && !base));
    if (base) {
        use(base);
        judge(base);
        write_again(base);
        golden_verify(&errors, base, data, size, &kernels_ref, NULL);
    }
    scene_base_close(&base);
}

/* As they come, which is refused but for the seeds; and sealed, so that what stands behind the checksum is met too. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *sealed;
    size_t sealed_count;
    uint64_t live = memory_live_count();
    read_and_use(data, size);
    if (seal_add(&sealed, &sealed_count, data, size, NULL) == FAULT_NONE)
        read_and_use((const uint8_t *)sealed, sealed_count);
    memory_give(sealed);
    MUST(memory_live_count() == live);
    return 0;
}
