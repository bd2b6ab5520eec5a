/* What a slice costs on a device, on the base's real shapes. Times decide what computes, never what comes out. */
#include "compute/internal.h"

#include "base/clock.h"
#include "base/memory.h"

enum { ROUNDS = 7 };
#define ROUND_NS 2000000 /* a round repeats a slice for so long */

const uint32_t device_sizes[DEVICE_SIZES] = {16, 256, SLICE_ROWS};

static bool features_take(struct feature_block *out, float **memory)
{
    uint32_t state = 1;
    *memory = memory_take_aligned((size_t)FEATURE_COUNT * SLICE_ROWS * sizeof(float), 64);
    if (!*memory)
        return false;
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        out->column[f] = *memory + (size_t)f * SLICE_ROWS;
    for (size_t i = 0; i < (size_t)FEATURE_COUNT * SLICE_ROWS; i++) {
        state = state * 1664525u + 1013904223u;
        (*memory)[i] = (float)(state >> 8) * 0x1p-22f - 2.0f;
    }
    return true;
}

/* Seconds of one call in this round. */
static double round_run(const struct device_ops *ops, struct scratch *scratch, const struct resident *resident,
                        const struct feature_block *features)
{
    struct scores scores;
    int64_t begin_ns = clock_steady_ns(), spent_ns;
    uint64_t calls = 0;
    do {
        ops->score(&scores, scratch, resident, features, NULL);
        calls++;
        spent_ns = clock_steady_ns() - begin_ns;
    } while (spent_ns < ROUND_NS);
    return 1e-9 * (double)spent_ns / (double)calls;
}

enum fault device_time(double out[DEVICE_SIZES], const struct device_ops *ops, const struct resident *resident, struct fault_note *note)
{
    const uint32_t cores = resident->device->opencl ? opencl_cores(resident->device->opencl) : 1;
    struct feature_block features = {0};
    struct scratch *scratch = NULL;
    float *memory = NULL;
    enum fault fault = ops->scratch_take(&scratch, resident, note);
    if (fault == FAULT_NONE && !features_take(&features, &memory))
        fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to time a device");
    for (unsigned i = 0; i < DEVICE_SIZES && fault == FAULT_NONE; i++) {
        out[i] = 1e9;
        features.row_count = device_sizes[i];
        for (int round = 0; round < ROUNDS; round++) {
            double seconds = round_run(ops, scratch, resident, &features);
            out[i] = seconds < out[i] ? seconds : out[i];
        }
        out[i] *= cores < features.row_count / TILE_ROWS ? cores : features.row_count / TILE_ROWS;
    }
    if (scratch)
        ops->scratch_give(&scratch);
    memory_give(memory);
    return fault;
}
