#ifndef SLUICE_TESTS_FLOW_BASE_FILES_H
#define SLUICE_TESTS_FLOW_BASE_FILES_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/must.h"
#include "base/secret.h"
#include "flow/harness.h"
#include "tiny_base.h"

/* Base files for tests of a running server, good ones and bad ones of each kind, and who may bring them. */

enum base_kind { BASE_GOOD, BASE_NOT_FINITE, BASE_UNKNOWN_FEATURE, BASE_LARGE };

static inline void file_digest(char out[40], const char *path)
{
    size_t bytes;
    char *content = flow_read(path, &bytes);
    digest_to_hex(out, hash128(0, content, bytes));
    free(content);
}

/* The bytes of name become other bytes as many times as they are there. */
static inline void bytes_replace(char *bytes, size_t byte_count, const char *from, const char *to)
{
    size_t length = strlen(from);
    MUST(strlen(to) == length);
    for (size_t i = 0; i + length <= byte_count; i++)
        if (memcmp(bytes + i, from, length) == 0)
            memcpy(bytes + i, to, length);
}

/* The seal over a file that was changed by hand. */
static inline void bytes_seal(char *bytes, size_t byte_count)
{
    unsigned char hash[SECRET_HASH_BYTES];
    char hex[2 * SECRET_HASH_BYTES + 1], *at = NULL;
    static const char key[] = "\\\"seal\\\": \\\"";
    for (size_t i = 0; i + sizeof key < byte_count && !at; i++)
        at = memcmp(bytes + i, key, sizeof key - 1) == 0 ? bytes + i + sizeof key - 1 : NULL;
    MUST(at);
    memset(at, '0', 64);
    secret_hash(hash, bytes, byte_count);
    secret_to_hex(hex, hash, sizeof hash);
    memcpy(at, hex, 64);
}

static inline void base_file_shape(const char *path, const char *name, const char *version, uint64_t seed, enum base_kind kind,
                                   uint32_t scenes, uint32_t columns, uint32_t clusters)
{
    struct tiny_base tiny;
    struct fault_note note = {0};
    char *bytes = NULL;
    size_t byte_count = 0;
    tiny_base_init(&tiny, scenes, columns, clusters, seed);
    snprintf(tiny.base.name, sizeof tiny.base.name, "%s", name);
    snprintf(tiny.base.version, sizeof tiny.base.version, "%s", version);
    if (kind == BASE_NOT_FINITE)
        tiny.values[0][1] = (float)NAN;
    MUST(scene_base_write(&bytes, &byte_count, &tiny.base, NULL, NULL, &note) == FAULT_NONE);
    if (kind == BASE_UNKNOWN_FEATURE) {
        const char *known = feature_infos[tiny.columns[0][0].feature].name;
        char unknown[64];
        snprintf(unknown, sizeof unknown, "X%s", known + 1);
        bytes_replace(bytes, byte_count, known, unknown);
        bytes_seal(bytes, byte_count);
    }
    flow_write(path, bytes, byte_count);
    memory_give(bytes);
    tiny_base_fini(&tiny);
}

static inline void base_file_write(const char *path, const char *name, const char *version, uint64_t seed, enum base_kind kind)
{
    if (kind == BASE_LARGE)
        base_file_shape(path, name, version, seed, kind, 32, 16, 120);
    else
        base_file_shape(path, name, version, seed, kind, 4, 8, 4);
}

/* Columns up to as many as there may be: features again, in the form above, with other edges. */
static inline uint32_t columns_fill(struct scene_column *columns, uint32_t count)
{
    for (uint32_t j = count; j < DIMENSION_COLUMNS_MAX; j++) {
        columns[j] = columns[j % count];
        columns[j].form = FORM_ABOVE;
        columns[j].edge = 0.37f * (float)j;
        columns[j].edge_scale = 1.0f;
    }
    return DIMENSION_COLUMNS_MAX;
}

/* Close to the largest base that the format's bounds allow: gives its bytes. */
static inline size_t base_file_largest(const char *path, const char *name, uint64_t seed)
{
    enum { SCENES = 32, CLUSTERS = 4096 / (SCENES + 1) }; /* background has twice as many */
    struct tiny_base tiny;
    struct fault_note note = {0};
    char *bytes = NULL;
    size_t byte_count = 0, numbers = (size_t)CLUSTERS_MAX * DIMENSION_COLUMNS_MAX;
    tiny_base_init(&tiny, SCENES, DIMENSION_COLUMNS_MAX, CLUSTERS, seed);
    snprintf(tiny.base.name, sizeof tiny.base.name, "%s", name);
    float *centres = malloc(numbers * sizeof *centres), *precisions = malloc(numbers * sizeof *precisions);
    MUST(centres && precisions);
    for (size_t i = 0; i < numbers; i++)
        centres[i] = tiny_random(&tiny, -2.0f, 2.0f), precisions[i] = tiny_random(&tiny, 0.0f, 0.1f);
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        tiny.base.dimensions[g].column_count = columns_fill(tiny.columns[g], tiny.base.dimensions[g].column_count);
        tiny.base.dimensions[g].centres = centres;
        tiny.base.dimensions[g].precisions = precisions;
    }
    for (int i = 0; i < ANOMALY_COUNT; i++) {
        struct anomaly_set *set = &tiny.base.anomaly[i];
        set->column_count = columns_fill(tiny.columns[DIMENSION_COUNT + i], set->column_count);
        set->ensemble.point_count = CLUSTERS_MAX;
        set->point_stride = set->column_count;
        set->points = centres;
    }
    MUST(scene_base_write(&bytes, &byte_count, &tiny.base, NULL, NULL, &note) == FAULT_NONE);
    flow_write(path, bytes, byte_count);
    memory_give(bytes);
    free(centres);
    free(precisions);
    tiny_base_fini(&tiny);
    return byte_count;
}

/* YAML of one more tenant. */
static inline void tenant_lines(char *out, size_t out_bytes, const char *name, const char *token, const char *rights)
{
    unsigned char hash[SECRET_HASH_BYTES];
    char hex[2 * SECRET_HASH_BYTES + 1];
    MUST(secret_open());
    secret_hash(hash, token, strlen(token));
    secret_to_hex(hex, hash, sizeof hash);
    snprintf(out, out_bytes, "  - name: %s\n    token_hash: %s\n    rights: %s\n", name, hex, rights);
}

#endif
