/* Features of a file of labelled transfers, as `sluice build` learns from them: OUT.features holds float32 column by column (those
 * that vary), OUT.labels one byte a row (0 good). Prints rows and columns. What peers are given to learn from.
 * usage: features_of_past FILE FROM_US TO_US OUT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/must.h"
#include "pipeline/collect.h"

enum { ROWS_MAX = 4000000 };

static void rows_collect(struct collect *out, struct labels *labels, struct past *past, int64_t from_us, int64_t to_us)
{
    struct past_slice slice;
    while (past_next(past, &slice, NULL) == FAULT_NONE && slice.count > 0)
        for (uint32_t i = 0; slice.has_features && i < slice.count; i++) {
            const struct batch *batch = slice.batch;
            uint32_t row = slice.first + i;
            uint8_t label;
            if (batch->facts.invalid[row] || batch->facts.time_us[row] < from_us || batch->facts.time_us[row] >= to_us)
                continue;
            MUST(labels_find(&label, labels, column_text(&batch->columns[COLUMN_label], row), NULL) == FAULT_NONE);
            MUST(collect_row(out, &slice.features, i, label, NULL) == FAULT_NONE);
        }
}

static bool varies(const struct collect *rows, uint32_t feature)
{
    for (uint32_t c = 0; c < rows->chunk_count; c++)
        for (uint32_t i = 0; i < rows->chunks[c].features.row_count; i++)
            if (rows->chunks[c].features.column[feature][i] < rows->chunks[0].features.column[feature][0] ||
                rows->chunks[c].features.column[feature][i] > rows->chunks[0].features.column[feature][0])
                return true;
    return false;
}

static FILE *file_open(const char *stem, const char *ending)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s", stem, ending);
    FILE *file = fopen(path, "wb");
    MUST(file);
    return file;
}

static uint32_t features_write(const struct collect *rows, const char *stem)
{
    FILE *file = file_open(stem, ".features"), *names = file_open(stem, ".names");
    uint32_t columns = 0;
    for (uint32_t f = 0; f < FEATURE_COUNT; f++) {
        if (!(rows->wanted.bits[f / 64] >> f % 64 & 1) || !varies(rows, f))
            continue;
        for (uint32_t c = 0; c < rows->chunk_count; c++) {
            const struct feature_block *block = &rows->chunks[c].features;
            MUST(fwrite(block->column[f], sizeof(float), block->row_count, file) == block->row_count);
        }
        MUST(fprintf(names, "%s\n", feature_infos[f].name) > 0);
        columns++;
    }
    MUST(fclose(file) == 0 && fclose(names) == 0);
    return columns;
}

static void labels_write(const struct collect *rows, const char *stem)
{
    FILE *file = file_open(stem, ".labels");
    for (uint32_t c = 0; c < rows->chunk_count; c++)
        MUST(fwrite(rows->chunks[c].scene, 1, rows->chunks[c].features.row_count, file) == rows->chunks[c].features.row_count);
    MUST(fclose(file) == 0);
}

int main(int argc, char **argv)
{
    static struct labels labels;
    struct kernels kernels;
    struct collect rows;
    struct past *past = NULL;
    struct fault_note note = {0};
    struct feature_set wanted = {0};
    if (argc != 5)
        return fprintf(stderr, "usage: features_of_past FILE FROM_US TO_US OUT\n"), 2;
    kernels_select(&kernels, CPU_MASK_ALL);
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        if (!feature_infos[f].batch_scope)
            wanted.bits[f / 64] |= 1ull << f % 64;
    int64_t from_us = strtoll(argv[2], NULL, 10), to_us = strtoll(argv[3], NULL, 10);
    const struct past_options options = {
        .path = argv[1], .delay_us = 7 * US_PER_DAY, .batch_rows = SLICE_ROWS, .wanted = wanted, .from_us = from_us, .kernels = &kernels};
    labels_init(&labels);
    collect_init(&rows, &wanted, ROWS_MAX, false, 1);
    if (past_open(&past, &options, &note) != FAULT_NONE)
        return fprintf(stderr, "features_of_past: %s\n", note.text), 2;
    rows_collect(&rows, &labels, past, from_us, to_us);
    past_close(&past);
    labels_write(&rows, argv[4]);
    printf("%u %u\n", rows.row_count, features_write(&rows, argv[4]));
    collect_fini(&rows);
    return 0;
}
