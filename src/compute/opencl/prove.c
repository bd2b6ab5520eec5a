/* What a driver says of its arithmetic is believed after it was tried: a panel and points with cancellation, subnormals, ties
 * and an empty segment must come out with the twin's bits. It also warms up: compilers finish at the first launch. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "compute/opencl/internal.h"

enum { ROWS = 100, COLUMNS = 7, CLUSTERS = 29, SEGMENTS = 4, LINES = 2 * SEGMENTS };
enum { STRIDE = (ROWS + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS, Z_FLOATS = STRIDE * COLUMNS };

struct proof {
    struct panel panel;
    struct points points;
    uint32_t first[SEGMENTS + 1];
    _Alignas(64) float values[2 * COLUMNS * CLUSTERS], start[CLUSTERS];
    _Alignas(64) float z[2 * Z_FLOATS]; /* the panel's, the points' */
    _Alignas(64) float got[LINES][STRIDE], wanted[LINES][STRIDE];
};

static float next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) * 0x1p-22f - 2.0f;
}

static void products_want(struct proof *proof)
{
    for (uint32_t segment = 0; segment < SEGMENTS; segment++)
        for (uint32_t row = 0; row < STRIDE; row++) {
            const float *z = proof->z + Z_FLOATS + row / TILE_ROWS * TILE_ROWS * COLUMNS + row % TILE_ROWS;
            float least = INFINITY;
            for (uint32_t p = proof->first[segment]; p < proof->first[segment + 1]; p++) {
                float product = kernel_point(z, TILE_ROWS, &proof->points, p);
                least = least < product ? least : product;
            }
            proof->wanted[SEGMENTS + segment][row] = least;
        }
}

static void proof_fill(struct proof *proof)
{
    static const uint32_t first[SEGMENTS + 1] = {0, 16, 16, 22, CLUSTERS};
    uint32_t state = 1;
    memcpy(proof->first, first, sizeof first);
    for (int i = 0; i < 2 * COLUMNS * CLUSTERS; i++)
        proof->values[i] = next(&state) * (i / 2 / COLUMNS % 5 == 4 ? 0x1p-70f : 1.0f);
    for (int k = 0; k < CLUSTERS; k++)
        proof->start[k] = k % 5 == 4 ? 0x1p-149f : next(&state);
    for (int i = 0; i < 2 * Z_FLOATS; i++)
        proof->z[i] = next(&state) * (i % 3 ? 3.0f : 0x1p-60f);
    proof->panel = (struct panel){COLUMNS, CLUSTERS, SEGMENTS, proof->first, proof->values, proof->start};
    proof->points = (struct points){COLUMNS, CLUSTERS, SEGMENTS, proof->first, proof->values, proof->start};
    kernels_ref.panel_min(proof->wanted[0], STRIDE, proof->z, STRIDE / TILE_ROWS, &proof->panel);
    products_want(proof);
}

static enum fault proof_run(struct proof *proof, struct opencl *opencl, struct fault_note *note)
{
    const struct opencl_set sets[] = {opencl_set_of_panel(&proof->panel), opencl_set_of_points(&proof->points)};
    struct opencl_base *base = NULL;
    struct opencl_queue *queue = NULL;
    enum fault fault = opencl_base_put(&base, opencl, sets, sizeof sets / sizeof *sets, note);
    if (fault == FAULT_NONE)
        fault = opencl_queue_take(&queue, base, ROWS, note);
    if (fault == FAULT_NONE && !opencl_minima(queue, proof->got[0], STRIDE, proof->z, ROWS))
        fault = fault_set(note, FAULT_device, ROW_NONE, COLUMN_NONE, "OpenCL device %s failed its first slice", opencl->info.name);
    if (fault == FAULT_NONE && memcmp(proof->got, proof->wanted, sizeof proof->got) != 0)
        fault = fault_set(note, FAULT_device, ROW_NONE, COLUMN_NONE, "OpenCL device %s gives other bits than the specification",
                          opencl->info.name);
    opencl_queue_give(&queue);
    opencl_base_drop(&base);
    return fault;
}

enum fault opencl_prove(struct opencl *opencl, struct fault_note *note)
{
    struct proof *proof = memory_take_aligned(sizeof *proof, 64);
    if (!proof)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to try the compute device");
    proof_fill(proof);
    enum fault fault = proof_run(proof, opencl, note);
    memory_give(proof);
    return fault;
}
