/* Writing, reading and refusing scene bases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/secret.h"
#include "base/json.h"
#include "scene/safetensors.h"
#include "scene/seal.h"
#include "tiny_base.h"

static char *write_tiny(const struct tiny_base *tiny, size_t *byte_count)
{
    struct fault_note note = {0};
    char *bytes = NULL;
    assert_int_equal(scene_base_write(&bytes, byte_count, &tiny->base, "{\"from\": \"a test\"}", NULL, &note), FAULT_NONE);
    return bytes;
}

static void expect_refused(const void *bytes, size_t byte_count, const char *word)
{
    struct scene_base *base = NULL;
    struct fault_note note = {0};
    enum fault fault = scene_base_read(&base, bytes, byte_count, &note);
    if (fault != FAULT_model || !strstr(note.text, word))
        print_error("expected \"%s\", got %s: \"%s\"\n", word, fault_name(fault), note.text);
    assert_int_equal(fault, FAULT_model);
    assert_non_null(strstr(note.text, word));
    assert_null(base);
}

static void refused_after(void (*change)(struct tiny_base *), const char *word)
{
    struct tiny_base tiny;
    size_t byte_count;
    tiny_base_init(&tiny, 4, 6, 3, 7);
    change(&tiny);
    char *bytes = write_tiny(&tiny, &byte_count);
    expect_refused(bytes, byte_count, word);
    memory_give(bytes);
    tiny_base_fini(&tiny);
}

static void expect_same_column(const struct scene_column *got, const struct scene_column *put)
{
    assert_int_equal(got->feature, put->feature);
    assert_int_equal(got->form, put->form);
    assert_true(got->edge == put->edge && got->edge_scale == put->edge_scale);
    assert_true(got->mean == put->mean && got->rscale == put->rscale);
}

static void reads_back(void **state)
{
    (void)state;
    struct tiny_base tiny;
    struct fault_note note = {0};
    struct scene_base *base = NULL;
    size_t byte_count;
    tiny_base_init(&tiny, 5, 6, 3, 42);
    char *bytes = write_tiny(&tiny, &byte_count);
    assert_int_equal(scene_base_read(&base, (unsigned char *)bytes, byte_count, &note), FAULT_NONE);
    assert_string_equal(base->name, "tiny");
    assert_int_equal(base->scene_count, 5);
    for (uint32_t s = 0; s < 5; s++)
        assert_memory_equal(&base->scenes[s], &tiny.base.scenes[s], sizeof base->scenes[s]);
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        const struct scene_dimension *got = &base->dimensions[g], *put = &tiny.base.dimensions[g];
        size_t cells = (size_t)put->panel.cluster_count * put->column_count;
        assert_int_equal(got->column_count, put->column_count);
        for (uint32_t j = 0; j < put->column_count; j++)
            expect_same_column(&got->columns[j], &put->columns[j]);
        assert_memory_equal(got->centres, put->centres, cells * sizeof(float));
        assert_memory_equal(got->panel.segment_first, put->panel.segment_first, 6 * sizeof(uint32_t));
        for (size_t i = 0; i < cells; i++) {
            float a = sqrtf(put->precisions[i] / 2.0f);
            assert_true(got->panel.ab[2 * i] == a && got->panel.ab[2 * i + 1] == -put->centres[i] * a);
        }
        assert_true(got->panel.start[1] == -put->offsets[1]);
    }
    for (int i = 0; i < ANOMALY_COUNT; i++) {
        assert_int_equal(base->anomaly[i].ensemble.segment_count, ANOMALY_SEGMENTS);
        assert_true(base->anomaly[i].ensemble.weight[0] == -2.0f * tiny.base.anomaly[i].points[0]);
        assert_true(base->anomaly[i].threshold == tiny.base.anomaly[i].threshold);
    }
    assert_non_null(strstr(base->metadata, "a test"));
    assert_true(base->features.bits[0] & 1);
    assert_true(digest_equal(base->digest, hash128(0, bytes, byte_count)));
    scene_base_close(&base);
    scene_base_close(&base);
    memory_give(bytes);
    tiny_base_fini(&tiny);
}

static void reference_reads_back(void **state)
{
    (void)state;
    struct tiny_base tiny;
    struct fault_note note = {0};
    struct scene_base *base = NULL;
    size_t byte_count;
    tiny_base_init(&tiny, 3, 6, 3, 42);
    tiny_reference(&tiny);
    tiny.counts[2][7] = 4000000000;
    char *bytes = write_tiny(&tiny, &byte_count);
    assert_int_equal(scene_base_read(&base, (unsigned char *)bytes, byte_count, &note), FAULT_NONE);
    uint32_t count = tiny.base.reference.feature_count;
    assert_int_equal(base->reference.feature_count, count);
    assert_memory_equal(base->reference.feature, tiny.reference, count * sizeof(uint16_t));
    assert_memory_equal(base->reference.edges, tiny.edges, count * sizeof tiny.edges[0]);
    assert_memory_equal(base->reference.counts, tiny.counts, count * sizeof tiny.counts[0]);
    assert_memory_equal(base->reference.known, tiny.known, count * sizeof tiny.known[0]);
    assert_memory_equal(base->reference.scenes, tiny.scenes, 3 * sizeof tiny.scenes[0]);
    assert_memory_equal(base->reference.far, tiny.far, sizeof tiny.far);
    assert_memory_equal(base->reference.distances, tiny.distances, sizeof tiny.distances);
    scene_base_close(&base);
    memory_give(bytes);
    tiny_base_fini(&tiny);
}

static void same_base_same_bytes(void **state)
{
    (void)state;
    struct tiny_base tiny;
    size_t a_count, b_count;
    tiny_base_init(&tiny, 3, 5, 2, 9);
    char *a = write_tiny(&tiny, &a_count), *b = write_tiny(&tiny, &b_count);
    assert_int_equal(a_count, b_count);
    assert_memory_equal(a, b, a_count);
    memory_give(a);
    memory_give(b);
    tiny_base_fini(&tiny);
}

#define BLANK "0000000000000000000000000000000000000000000000000000000000000000"

static const struct tensor f32 = {.type = TENSOR_F32, .rank = 2};

/* A file made by hand whose clusters are not sorted by scene, with I32 indices. */
static void unsorted_clusters_are_sorted_stably(void **state)
{
    (void)state;
    static const char text[] =
        "{\"format\":1,\"seal\":\"" BLANK
        "\",\"name\":\"n\",\"version\":\"v\",\"dimensions\":{\"social\":[{\"feature\":\"payee_count_1d\",\"form\":\"value\"}]},"
        "\"scenes\":[{\"name\":\"background\",\"bias\":0,\"weights\":{\"social\":1}},"
        "{\"name\":\"a\",\"risk_type\":\"r\",\"bias\":0,\"weights\":{\"social\":1},\"threshold\":0.5}],\"anomaly\":{}}";
    const float centres[4] = {1, 2, 3, 4}, ones[4] = {1, 1, 1, 1};
    const int32_t scene[4] = {1, 0, 1, 0};
    struct tensor tensors[6] = {f32, f32, f32, f32, f32, {.type = TENSOR_I32, .rank = 1}};
    const char *const names[6] = {"centres", "precisions", "offsets", "mean", "rscale", "scene"};
    const void *const data[6] = {centres, ones, ones, ones, ones, scene};
    for (int i = 0; i < 6; i++) {
        bool one = i == 3 || i == 4;
        snprintf(tensors[i].name, sizeof tensors[i].name, "social.%s", names[i]);
        tensors[i].rank = i < 2 ? 2 : 1;
        tensors[i].shape[0] = one ? 1 : 4;
        tensors[i].shape[1] = 1;
        tensors[i].data = data[i];
        tensors[i].bytes = one ? 4 : 16;
    }
    char *bytes;
    size_t byte_count;
    struct scene_base *base = NULL;
    struct fault_note note = {0};
    assert_int_equal(safetensors_write(&bytes, &byte_count, text, tensors, 6, &note), FAULT_NONE);
    expect_refused(bytes, byte_count, "checksum does not match");
    assert_int_equal(seal_put(bytes, byte_count, text, &note), FAULT_NONE);
    assert_int_equal(scene_base_read(&base, (unsigned char *)bytes, byte_count, &note), FAULT_NONE);
    const float sorted[4] = {2, 4, 1, 3};
    assert_memory_equal(base->dimensions[DIMENSION_social].centres, sorted, sizeof sorted);
    assert_int_equal(base->dimensions[DIMENSION_social].panel.segment_first[1], 2);
    assert_int_equal(base->dimensions[DIMENSION_device].panel.cluster_count, 0);
    scene_base_close(&base);
    memory_give(bytes);
}

static void nan_centre(struct tiny_base *tiny)
{
    tiny->values[0][3] = NAN;
}
static void negative_precision(struct tiny_base *tiny)
{
    tiny->values[1][0] = -1.0f;
}
static void infinite_offset(struct tiny_base *tiny)
{
    tiny->values[2][0] = INFINITY;
}
static void zero_rscale(struct tiny_base *tiny)
{
    tiny->columns[0][0].rscale = 0.0f;
}
static void falling_table(struct tiny_base *tiny)
{
    ((float *)tiny->base.anomaly[0].table)[5] = 0.5f;
}
static void odd_points(struct tiny_base *tiny)
{
    tiny->base.anomaly[0].ensemble.point_count -= 1;
}
static void no_background(struct tiny_base *tiny)
{
    tiny->first[1][1] = 0;
}
static void twin_names(struct tiny_base *tiny)
{
    snprintf(tiny->base.scenes[2].name, sizeof tiny->base.scenes[2].name, "scene_1");
}
static void no_name(struct tiny_base *tiny)
{
    tiny->base.name[0] = '\0';
}
static void large_threshold(struct tiny_base *tiny)
{
    tiny->base.scenes[1].threshold = 1.5f;
}
static void nan_weight(struct tiny_base *tiny)
{
    tiny->base.scenes[1].weight[2] = NAN;
}
static void falling_edges(struct tiny_base *tiny)
{
    tiny_reference(tiny);
    tiny->edges[1][4] = 0.0f;
}
static void nan_edge(struct tiny_base *tiny)
{
    tiny_reference(tiny);
    tiny->edges[0][0] = NAN;
}
static void infinite_far(struct tiny_base *tiny)
{
    tiny_reference(tiny);
    tiny->far[2] = INFINITY;
}
static void foreign_feature(struct tiny_base *tiny)
{
    tiny_reference(tiny);
    tiny->reference[0] = FEATURE_fan_out_payees;
}
static void feature_twice(struct tiny_base *tiny)
{
    tiny_reference(tiny);
    tiny->reference[1] = tiny->reference[0];
}
static void no_scenes(struct tiny_base *tiny)
{
    tiny->base.scene_count = 0;
}
static void fewer_scenes(struct tiny_base *tiny)
{
    tiny->base.scene_count = 2;
}

static void wrong_content_is_refused(void **state)
{
    (void)state;
    refused_after(nan_centre, "transaction.centres: a value is not finite");
    refused_after(negative_precision, "transaction.precisions: a value");
    refused_after(infinite_offset, "transaction.offsets: a value");
    refused_after(zero_rscale, "transaction.rscale: a value");
    refused_after(falling_table, "anomaly_own.table: scores do not ascend");
    refused_after(odd_points, "points are not 64 subsamples");
    refused_after(no_background, "device.scene: no cluster of the background");
    refused_after(twin_names, "the name is that of scenes[1]");
    refused_after(no_name, "name is not a text");
    refused_after(large_threshold, "scenes[1]: threshold");
    refused_after(nan_weight, "scenes[1].weights: behaviour");
    refused_after(falling_edges, "reference.edges: edges fall");
    refused_after(nan_edge, "reference.edges: a value is not finite");
    refused_after(infinite_far, "reference.far: a value");
    refused_after(foreign_feature, "reference.edges: of a feature that no column has");
    refused_after(feature_twice, "reference.edges: of a feature that is named twice");
    refused_after(no_scenes, "scenes: not an array");
    refused_after(fewer_scenes, "names a scene that the metadata does not list");
}

/* So that what stands behind the checksum is met; where there is nothing to seal it stays as it is. */
static void reseal(char *bytes, size_t byte_count)
{
    struct safetensors file;
    if (safetensors_read(&file, bytes, byte_count, NULL) != FAULT_NONE)
        return;
    if (file.metadata)
        seal_put(bytes, byte_count, file.metadata, NULL);
    safetensors_fini(&file);
}

/* The header with one part of its text replaced (same length or shorter, padded with spaces). */
static void refused_with_text(const char *old, const char *new, const char *word)
{
    struct tiny_base tiny;
    size_t byte_count;
    tiny_base_init(&tiny, 3, 4, 2, 3);
    char *bytes = write_tiny(&tiny, &byte_count), *header = bytes + 8;
    uint64_t header_bytes;
    memcpy(&header_bytes, bytes, 8);
    char *end = header + header_bytes, *at = NULL;
    for (char *p = header; p + strlen(old) <= end && !at; p++)
        at = memcmp(p, old, strlen(old)) == 0 ? p : NULL;
    assert_non_null(at);
    assert_true(strlen(new) <= strlen(old));
    memcpy(at, new, strlen(new));
    memmove(at + strlen(new), at + strlen(old), (size_t)(end - at) - strlen(old));
    memset(end - (strlen(old) - strlen(new)), ' ', strlen(old) - strlen(new));
    reseal(bytes, byte_count);
    expect_refused(bytes, byte_count, word);
    memory_give(bytes);
    tiny_base_fini(&tiny);
}

static void wrong_headers_are_refused(void **state)
{
    (void)state;
    refused_with_text("\"F32\"", "\"F16\"", "dtype is not");
    refused_with_text("\"data_offsets\":[0,", "\"data_offsets\":[4,", "its shape needs");
    refused_with_text("transaction.centres", "transaction.centers", "transaction.centres: missing");
    refused_with_text("transaction.offsets", "transaction.centres", "duplicate");
    refused_with_text("anomaly_own.table", "anomaly_owe.table", "anomaly_own.table: missing");
    refused_with_text("\\\"format\\\": 1", "\\\"format\\\": 2", "format is not 1");
    refused_with_text("\\\"amount\\\"", "\\\"amounz\\\"", "amounz is not in this server's catalogue");
    refused_with_text("\\\"social\\\"", "\\\"sozial\\\"", "sozial is not a dimension");
    refused_with_text("\"sluice\"", "\"sluic3\"", "no metadata under the key sluice");
    refused_with_text("\\\"overshoot\\\"", "\\\"undershot\\\"", "form is not value");
    refused_with_text("\"shape\":[", "\"shape\":{", "header:");
}

static void wrong_sizes_are_refused(void **state)
{
    (void)state;
    struct tiny_base tiny;
    size_t byte_count;
    tiny_base_init(&tiny, 3, 4, 2, 3);
    char *bytes = write_tiny(&tiny, &byte_count);
    expect_refused(bytes, 0, "too short");
    expect_refused(bytes, 7, "too short");
    expect_refused(bytes, 8, "above the file's size");
    for (size_t cut = 9; cut < byte_count; cut += 97) {
        struct scene_base *base = NULL;
        struct fault_note note = {0};
        assert_int_equal(scene_base_read(&base, (unsigned char *)bytes, cut, &note), FAULT_model);
    }
    expect_refused(bytes, byte_count - 1, "data_offsets are not inside the file");
    memset(bytes, 0xff, 8);
    expect_refused(bytes, byte_count, "no scene base");
    memcpy(bytes, "transfer_id,payer_id", 20);
    expect_refused(bytes, byte_count, "no scene base: it does not begin with a header");
    memory_give(bytes);
    tiny_base_fini(&tiny);
}

/* No byte of a base can change unnoticed: one bit, or all eight. */
static void every_flip_is_refused(void **state)
{
    (void)state;
    struct tiny_base tiny;
    size_t byte_count, flips = 0;
    tiny_base_init(&tiny, 2, 2, 1, 5);
    char *bytes = write_tiny(&tiny, &byte_count);
    uint64_t header_bytes = safetensors_header_bytes(bytes, byte_count);
    for (size_t at = 0; at < byte_count; at++)
        for (int bit = 0; bit <= 8; bit++, flips++) {
            char mask = (char)(bit < 8 ? 1 << bit : 0xff);
            bytes[at] ^= mask;
            expect_refused(bytes, byte_count, at < 8 + header_bytes ? "" : "checksum does not match");
            bytes[at] ^= mask;
        }
    struct scene_base *base = NULL;
    assert_int_equal(scene_base_read(&base, (unsigned char *)bytes, byte_count, NULL), FAULT_NONE);
    scene_base_close(&base);
    print_message("figure: %zu flips of a base of %zu bytes, each refused\n", flips, byte_count);
    memory_give(bytes);
    tiny_base_fini(&tiny);
}

/* A text without a seal gets one; the rule is the one of the documents: SHA-256 over the file with 64 zeros in its place. */
static void seal_is_added(void **state)
{
    (void)state;
    struct tiny_base tiny;
    size_t byte_count, sealed_count;
    char *sealed, digits[SEAL_DIGITS + 1];
    unsigned char hash[SECRET_HASH_BYTES];
    struct scene_base *base = NULL;
    tiny_base_init(&tiny, 3, 4, 2, 3);
    char *bytes = write_tiny(&tiny, &byte_count), *at = strstr(bytes + 8, "\\\"seal\\\"");
    assert_non_null(at);
    memcpy(at, "\\\"zeal\\\"", strlen("\\\"zeal\\\""));
    expect_refused(bytes, byte_count, "no seal in the metadata");
    assert_int_equal(seal_add(&sealed, &sealed_count, bytes, byte_count, NULL), FAULT_NONE);
    assert_int_equal(scene_base_read(&base, (unsigned char *)sealed, sealed_count, NULL), FAULT_NONE);
    assert_non_null(strstr(base->metadata, "zeal"));
    at = strstr(sealed + 8, "\\\"seal\\\": \\\"") + strlen("\\\"seal\\\": \\\"");
    memcpy(digits, at, SEAL_DIGITS);
    digits[SEAL_DIGITS] = '\0';
    memcpy(at, BLANK, SEAL_DIGITS);
    secret_hash(hash, sealed, sealed_count);
    char expected[SEAL_DIGITS + 1];
    secret_to_hex(expected, hash, sizeof hash);
    assert_string_equal(digits, expected);
    scene_base_close(&base);
    memory_give(sealed);
    assert_int_equal(seal_add(&sealed, &sealed_count, "{}", 2, NULL), FAULT_model);
    assert_null(sealed);
    memory_give(bytes);
    tiny_base_fini(&tiny);
}

static void expect_header_refused(const char *header, size_t data_bytes, const char *word)
{
    size_t header_bytes = strlen(header);
    char *bytes = calloc(1, 8 + header_bytes + data_bytes);
    memcpy(bytes, &(uint64_t){header_bytes}, 8);
    memcpy(bytes + 8, header, header_bytes);
    reseal(bytes, 8 + header_bytes + data_bytes);
    expect_refused(bytes, 8 + header_bytes + data_bytes, word);
    free(bytes);
}

static void hostile_headers_are_refused(void **state)
{
    (void)state;
    char deep[4001];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    expect_header_refused(deep, 0, "nested deeper");
    expect_header_refused("[1]", 0, "not a JSON object");
    expect_header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1048576,1048576],\"data_offsets\":[0,4]}}", 4, "its shape needs");
    expect_header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999],\"data_offsets\":[0,4]}}", 4, "shape is not");
    expect_header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "shape is not");
    expect_header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1],\"data_offsets\":[0,4]}}", 4, "shape is not");
    expect_header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,18446744073709551615]}}", 4, "header:");
    expect_header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "not inside");
    expect_header_refused(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}}",
        6, "overlap or leave a hole");
    expect_header_refused(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
        12, "overlap or leave a hole");
    expect_header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 5, "behind the last tensor");
    expect_header_refused("{\"__metadata__\":{\"sluice\":7}}", 0, "not a map of texts");
    expect_header_refused("{\"__metadata__\":{\"sluice\":\"[\"}}", 0, "metadata:");
    expect_header_refused("{\"__metadata__\":{\"sluice\":\"{}\"}}", 0, "no seal");
    expect_header_refused("{\"__metadata__\":{\"sluice\":\"{\\\"seal\\\":7}\"}}", 0, "seal is not 64 digits");
    expect_header_refused("{}", 0, "no metadata");
}

static void memory_faults_leave_nothing(void **state)
{
    (void)state;
    struct tiny_base tiny;
    size_t byte_count;
    tiny_base_init(&tiny, 3, 4, 2, 3);
    char *bytes = write_tiny(&tiny, &byte_count);
    uint64_t live = memory_live_count();
    enum fault fault = FAULT_memory;
    uint64_t nth = 0;
    for (; fault == FAULT_memory; nth++) {
        struct scene_base *base = NULL;
        struct fault_note note = {0};
        memory_fail_at(nth);
        fault = scene_base_read(&base, (unsigned char *)bytes, byte_count, &note);
        memory_fail_at(UINT64_MAX);
        scene_base_close(&base);
        assert_int_equal(memory_live_count(), live);
    }
    assert_int_equal(fault, FAULT_NONE);
    assert_true(nth > 500); /* jansson's are among them */
    fault = FAULT_memory;
    for (nth = 0; fault == FAULT_memory; nth++) {
        char *again = NULL;
        size_t again_count;
        struct fault_note note = {0};
        memory_fail_at(nth);
        fault = scene_base_write(&again, &again_count, &tiny.base, "{\"from\": \"a test\"}", NULL, &note);
        memory_fail_at(UINT64_MAX);
        if (fault == FAULT_NONE)
            assert_true(again_count == byte_count && memcmp(again, bytes, byte_count) == 0);
        memory_give(again);
        assert_int_equal(memory_live_count(), live);
    }
    assert_int_equal(fault, FAULT_NONE);
    assert_true(nth > 500);
    memory_give(bytes);
    tiny_base_fini(&tiny);
}

static void columns_take_their_forms(void **state)
{
    (void)state;
    static _Alignas(64) float x[SLICE_ROWS], scratch[SLICE_ROWS], z[2 * 3 * TILE_ROWS];
    struct scene_column columns[3] = {
        {.feature = 0, .form = FORM_VALUE, .mean = 1.0f, .rscale = 2.0f},
        {.feature = 0, .form = FORM_OVERSHOOT, .edge = 2.0f, .edge_scale = 0.5f, .mean = 0.0f, .rscale = 1.0f},
        {.feature = 0, .form = FORM_ABOVE, .edge = 2.0f, .mean = 0.0f, .rscale = 1.0f},
    };
    struct feature_block features = {.row_count = 17, .column = {x}};
    for (int i = 0; i < 17; i++)
        x[i] = (float)i;
    scene_columns_tile(z, columns, 3, &features, &kernels_ref, scratch);
    assert_true(z[0 * 16 + 3] == 4.0f && z[0 * 16 + 0] == -2.0f && z[0 * 16 + 15] == Z_HIGH);
    assert_true(z[1 * 16 + 2] == 0.0f && z[1 * 16 + 3] == kernel_log1p(16.0f));
    assert_true(z[2 * 16 + 2] == 0.0f && z[2 * 16 + 3] == 1.0f);
    assert_true(z[3 * 16 + 2 * 16] == 1.0f && z[3 * 16 + 2 * 16 + 1] == 0.0f);
}

static void calibration_counts_what_is_below(void **state)
{
    (void)state;
    const float table[] = {1.0f, 2.0f, 2.0f, 2.0f, 3.0f, 5.0f, 5.0f, 8.0f};
    const float scores[] = {0.0f, 1.0f, 1.5f, 2.0f, 2.5f, 3.0f, 5.0f, 7.0f, 8.0f, 9.0f};
    for (uint32_t count = 1; count <= 8; count++) {
        const struct anomaly_set set = {.table_count = count, .table = table};
        for (size_t i = 0; i < sizeof scores / sizeof *scores; i++) {
            uint32_t below = 0;
            for (uint32_t k = 0; k < count; k++)
                below += table[k] < scores[i];
            float lanes[TILE_ROWS] = {scores[i], -1.0f, [TILE_ROWS - 1] = 9.0f}, degrees[TILE_ROWS];
            scene_anomaly_calibrate_tile(degrees, &set, lanes);
            assert_true(scene_anomaly_calibrate(&set, scores[i]) == (float)below / (float)count);
            assert_true(degrees[0] == (float)below / (float)count && degrees[1] == 0.0f && degrees[TILE_ROWS - 1] == 1.0f);
        }
    }
}

int main(void)
{
    json_use_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_back),
        cmocka_unit_test(reference_reads_back),
        cmocka_unit_test(same_base_same_bytes),
        cmocka_unit_test(unsorted_clusters_are_sorted_stably),
        cmocka_unit_test(wrong_content_is_refused),
        cmocka_unit_test(wrong_headers_are_refused),
        cmocka_unit_test(wrong_sizes_are_refused),
        cmocka_unit_test(hostile_headers_are_refused),
        cmocka_unit_test(every_flip_is_refused),
        cmocka_unit_test(seal_is_added),
        cmocka_unit_test(memory_faults_leave_nothing),
        cmocka_unit_test(columns_take_their_forms),
        cmocka_unit_test(calibration_counts_what_is_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
