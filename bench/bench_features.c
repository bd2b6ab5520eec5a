/* Features alone, one thread: the whole catalogue from figures, in slices, and the joins of rows received together.
 * usage: bench_features [ROWS] (default 1,000,000) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/must.h"
#include "feature/feature.h"

static uint64_t random_state = 1;

static uint64_t random64(void)
{
    uint64_t x = random_state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static double cpu_seconds(void)
{
    struct timespec spent;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return (double)spent.tv_sec + (double)spent.tv_nsec * 1e-9;
}

static void batch_open(struct batch *out, uint32_t row_count)
{
    struct fault_note note = {0};
    MUST(batch_init(out, (size_t)row_count * 40 + 4096 + feature_in_batch_bytes(row_count), &note) == FAULT_NONE);
    out->op = OP_screen;
    out->row_count = row_count;
    MUST(out->facts.payer = arena_take(&out->arena, row_count * sizeof(uint64_t), 64));
    MUST(out->facts.payee = arena_take(&out->arena, row_count * sizeof(uint64_t), 64));
    MUST(out->facts.amount = arena_take(&out->arena, row_count * sizeof(int64_t), 64));
    MUST(out->facts.time_us = arena_take(&out->arena, row_count * sizeof(int64_t), 64));
    MUST(out->facts.invalid = arena_take_zeroed(&out->arena, row_count, 64));
    for (uint32_t i = 0; i < row_count; i++) {
        out->facts.payer[i] = random64() % (row_count / 4 + 1) * 0x9e3779b97f4a7c15u + 1;
        out->facts.payee[i] = random64() % (row_count / 4 + 1) * 0x9e3779b97f4a7c15u + 1;
        out->facts.amount[i] = (int64_t)(random64() % 1000000);
        out->facts.time_us[i] = (int64_t)(random64() % 1000000000000000);
    }
}

static void bench_in_batch(struct batch *batch, const char *kind)
{
    struct fault_note note = {0};
    double start = cpu_seconds();
    MUST(feature_in_batch(batch, &note) == FAULT_NONE);
    printf("joins of %u rows, %s: %.3f s\n", batch->row_count, kind, cpu_seconds() - start);
}

static void bench_compute(const struct batch *batch)
{
    struct feature_set all;
    struct feature_block block;
    struct figures figures;
    struct kernels kernels;
    kernels_select(&kernels, CPU_MASK_ALL);
    memset(&all, 0xff, sizeof all);
    for (unsigned f = 0; f < FEATURE_COUNT; f++)
        MUST(block.column[f] = memory_take_aligned(SLICE_ROWS * sizeof(float), 64));
    for (unsigned f = 0; f < FIGURE_COUNT; f++) {
        MUST(figures.column[f] = memory_take_aligned(SLICE_ROWS * sizeof(float), 64));
        for (uint32_t i = 0; i < SLICE_ROWS; i++)
            figures.column[f][i] = (float)(random64() % 1000) - 1.0f;
    }
    double start = cpu_seconds();
    uint32_t row_count = batch->row_count / SLICE_ROWS * SLICE_ROWS;
    for (uint32_t first = 0; first < row_count; first += SLICE_ROWS)
        feature_compute(&block, &all, batch, first, SLICE_ROWS, &figures, &kernels);
    printf("all %d features, kernels %s: %.2f million rows/s\n", FEATURE_COUNT, kernels.name,
           (double)row_count * 1e-6 / (cpu_seconds() - start));
    for (unsigned f = 0; f < FEATURE_COUNT; f++)
        memory_give(block.column[f]);
    for (unsigned f = 0; f < FIGURE_COUNT; f++)
        memory_give(figures.column[f]);
}

int main(int count, char **arguments)
{
    struct batch batch;
    uint32_t row_count = count > 1 ? (uint32_t)strtoul(arguments[1], NULL, 10) : 1000000;
    batch_open(&batch, row_count);
    bench_in_batch(&batch, "spread over accounts");
    bench_compute(&batch);
    for (uint32_t i = 0; i < row_count; i++)
        batch.facts.payer[i] = batch.facts.payee[i] = 1;
    bench_in_batch(&batch, "all of one pair");
    batch_fini(&batch);
    return 0;
}
