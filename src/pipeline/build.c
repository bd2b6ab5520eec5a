/* One pass over the file: history, features, two windows of rows; then the build itself, which is scene's. */
#include "pipeline/build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "pipeline/collect.h"
#include "scene/card.h"
#include "base/json.h"

enum { PROGRESS_ROWS = 200000 };

struct base_builder {
    const struct base_build_options *options;
    struct fault_note *note;
    struct labels labels;
    struct collect train, validate, later;
    struct feature_set collected; /* beside those that are learned from, what thresholds ask for */
    struct build_options build;
    uint32_t known[FEATURE_COUNT][2]; /* background rows of training where a feature is known, and is not */
    uint64_t rows, rows_invalid, rows_said;
};

static void say(const struct base_builder *builder, const char *text)
{
    if (builder->options->progress)
        builder->options->progress(text);
}

static bool set_has(const struct feature_set *set, uint32_t feature)
{
    return set->bits[feature / 64] >> feature % 64 & 1;
}

static void set_add(struct feature_set *set, uint32_t feature)
{
    set->bits[feature / 64] |= 1ull << feature % 64;
}

bool base_features_add(struct feature_set *set, const char *name, size_t bytes)
{
    int feature = feature_find(name, bytes);
    bool found = feature >= 0;
    if (found)
        set_add(set, (uint32_t)feature);
    for (uint32_t f = 0; f < FEATURE_COUNT; f++) {
        const char *dimension = dimension_names[feature_infos[f].dimension];
        if (strlen(dimension) != bytes || memcmp(dimension, name, bytes) != 0)
            continue;
        set_add(set, f);
        found = true;
    }
    return found;
}

/* Of the features whose figures a file can give those that are wanted. */
static struct feature_set wanted_features(const struct base_build_options *options)
{
    struct feature_set set = {0};
    bool chosen = false;
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        chosen |= set_has(&options->include, f);
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        if ((options->batch_features || !feature_infos[f].batch_scope) && (!chosen || set_has(&options->include, f)) &&
            !set_has(&options->exclude, f))
            set_add(&set, f);
    return set;
}

static enum fault label_of(uint8_t *out, struct base_builder *builder, const struct batch *batch, uint32_t row, bool is_train)
{
    const struct column *labels = &batch->columns[COLUMN_label];
    struct text name = column_is_valid(labels, row) ? column_text(labels, row) : (struct text){0};
    if (name.bytes == 0)
        return *out = is_train && !builder->options->labelled_only ? 0 : SCENE_UNKNOWN, FAULT_NONE;
    return labels_find(out, &builder->labels, name, builder->note);
}

static void count_known(struct base_builder *builder, const struct past_slice *slice, uint32_t row)
{
    uint32_t unknown[FEATURE_COUNT] = {0};
    feature_unknown_count(unknown, &builder->build.features, slice->batch, slice->first, row, 1, slice->figures);
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        builder->known[f][unknown[f]]++;
}

static enum fault take_slice(struct base_builder *builder, const struct past_slice *slice)
{
    const struct base_build_options *options = builder->options;
    const struct batch *batch = slice->batch;
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; slice->has_features && i < slice->count && fault == FAULT_NONE; i++) {
        uint32_t row = slice->first + i;
        int64_t time_us = batch->facts.time_us[row];
        bool is_train = time_us < options->train_to_us;
        uint8_t label;
        if (batch->facts.invalid[row] || time_us < options->train_from_us || time_us >= options->until_us)
            continue;
        fault = label_of(&label, builder, batch, row, is_train);
        if (fault == FAULT_NONE)
            fault = collect_row(is_train                            ? &builder->train
                                : time_us < options->validate_to_us ? &builder->validate
                                                                    : &builder->later,
                                &slice->features, i, label, builder->note);
        if (is_train && label == 0)
            count_known(builder, slice, i);
    }
    return fault;
}

static void say_rows(struct base_builder *builder, const struct past *past)
{
    char text[120];
    if (past_rows(past) < builder->rows_said + PROGRESS_ROWS)
        return;
    builder->rows_said = past_rows(past);
    snprintf(text, sizeof text, "%llu rows read, %u for training, %u behind", (unsigned long long)past_rows(past), builder->train.row_count,
             builder->validate.row_count + builder->later.row_count);
    say(builder, text);
}

static enum fault read_rows(struct base_builder *builder)
{
    struct past_options options = builder->options->past;
    struct past *past = NULL;
    struct past_slice slice = {0};
    options.wanted = builder->collected;
    options.from_us = builder->options->train_from_us;
    options.kernels = builder->build.kernels;
    enum fault fault = past_open(&past, &options, builder->note);
    while (fault == FAULT_NONE) {
        fault = past_next(past, &slice, builder->note);
        if (fault != FAULT_NONE || slice.count == 0)
            break;
        fault = take_slice(builder, &slice);
        say_rows(builder, past);
    }
    if (past) {
        char text[280];
        builder->rows = past_rows(past);
        builder->rows_invalid = past_rows_invalid(past);
        if (builder->rows_invalid) {
            snprintf(text, sizeof text, "%llu rows are invalid and left out, the first: %s", (unsigned long long)builder->rows_invalid,
                     past_first_check(past));
            say(builder, text);
        }
    }
    past_close(&past);
    return fault;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *risk_type_of(const struct base_build_options *options, const char *scene)
{
    for (uint32_t i = 0; i < options->risk_type_count; i++)
        if (strcmp(options->risk_types[i].scene, scene) == 0)
            return options->risk_types[i].risk_type;
    return scene;
}

static void count_labels(uint32_t count[256], const struct collect *rows)
{
    memset(count, 0, 256 * sizeof *count);
    for (uint32_t c = 0; c < rows->chunk_count; c++)
        for (uint32_t i = 0; i < rows->chunks[c].features.row_count; i++)
            count[rows->chunks[c].scene[i]]++;
}

/* Labels that the training window has enough rows of become scenes, in the order of their names; rows of others are unknown. */
static enum fault name_scenes(struct base_builder *builder)
{
    uint32_t rows[256];
    uint8_t to[256];
    struct build_options *build = &builder->build;
    count_labels(rows, &builder->train);
    build->scene_count = 1;
    for (uint32_t label = 1; label < builder->labels.count; label++) {
        char text[160];
        if (rows[label] >= builder->options->scene_rows_least && build->scene_count == SCENES_MAX)
            return fault_set(builder->note, FAULT_limit, ROW_NONE, COLUMN_label, "more than %d scenes", SCENES_MAX - 1);
        if (rows[label] >= builder->options->scene_rows_least) {
            build->scene_names[build->scene_count++] = builder->labels.name[label];
            continue;
        }
        snprintf(text, sizeof text, "label %s: %u rows in the training window make no scene", builder->labels.name[label], rows[label]);
        say(builder, text);
    }
    qsort(build->scene_names + 1, build->scene_count - 1, sizeof *build->scene_names, by_name);
    memset(to, SCENE_UNKNOWN, sizeof to);
    to[0] = 0;
    for (uint32_t s = 1; s < build->scene_count; s++) {
        build->risk_types[s] = risk_type_of(builder->options, build->scene_names[s]);
        to[(build->scene_names[s] - builder->labels.name[0]) / LABEL_BYTES] = (uint8_t)s;
    }
    collect_relabel(&builder->train, to);
    collect_relabel(&builder->validate, to);
    collect_relabel(&builder->later, to);
    return FAULT_NONE;
}

static const char *time_text(char out[32], int64_t time_us)
{
    if (time_us == INT64_MIN || time_us == INT64_MAX)
        return NULL;
    time_t second = (time_t)(time_us / US_PER_SECOND);
    struct tm utc;
    gmtime_r(&second, &utc);
    strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return out;
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static char *provenance(const struct base_builder *builder)
{
    const struct base_build_options *options = builder->options;
    char from[32], to[32], until[32];
    const struct build_origin origin = {
        .input = file_name(options->past.path),
        .rows = builder->rows,
        .rows_invalid = builder->rows_invalid,
        .train_rows = builder->train.row_count,
        .train_from = time_text(from, options->train_from_us),
        .train_to = time_text(to, options->train_to_us),
        .until = time_text(until, options->until_us),
        .delay_days = (double)options->past.delay_us / (double)US_PER_DAY,
        .batch_features = options->batch_features,
        .batch_rows = options->past.batch_rows,
    };
    return card_provenance(&origin, &builder->build);
}

static enum fault folder_make(const char *folder, struct fault_note *note)
{
    if (!folder || mkdir(folder, 0777) == 0 || errno == EEXIST)
        return FAULT_NONE;
    return fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "cannot make folder %s: %s", folder, strerror(errno));
}

static enum fault write_file(const char *stem, const char *ending, const void *data, size_t bytes, struct fault_note *note)
{
    char path[512];
    if ((size_t)snprintf(path, sizeof path, "%s%s", stem, ending) >= sizeof path)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "path too long: %.100s", stem);
    return file_replace(path, data, bytes, note);
}

static enum fault write_card(const struct base_builder *builder, const struct build_result *result)
{
    struct scene_base *base = NULL;
    enum fault fault = scene_base_read(&base, (const unsigned char *)result->bytes, result->byte_count, builder->note);
    if (fault != FAULT_NONE)
        return fault;
    char *text = card_text(base, builder->options->page);
    fault = text ? write_file(builder->options->stem, ".card.md", text, strlen(text), builder->note)
                 : fault_set(builder->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the card");
    free(text);
    scene_base_close(&base);
    return fault;
}

/* With every seed; the base kept is the one that is best on the rows to validate, the first of equals. */
static enum fault build_best(struct build_result *best, struct base_builder *builder)
{
    const struct base_build_options *options = builder->options;
    struct build_sample train = collect_sample(&builder->train), validate = collect_sample(&builder->validate),
                        later = collect_sample(&builder->later);
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; fault == FAULT_NONE && i < (options->seed_count ? options->seed_count : 1); i++) {
        struct build_result result = {0};
        builder->build.seed = options->seed_count ? options->seeds[i] : options->build.seed;
        char *text = provenance(builder), line[120];
        builder->build.provenance = text;
        fault = scene_build(&result, &builder->build, &train, &validate, &later, builder->note);
        json_text_give(text);
        if (fault == FAULT_NONE && options->seed_count > 1) {
            snprintf(line, sizeof line, "seed %llu: average precision %.4f on the rows to validate",
                     (unsigned long long)builder->build.seed, result.validation);
            say(builder, line);
        }
        bool is_best = fault == FAULT_NONE && (!best->bytes || result.validation > best->validation);
        build_result_fini(is_best ? best : &result);
        if (is_best)
            *best = result;
    }
    return fault;
}

static enum fault build_and_write(struct base_builder *builder)
{
    struct build_result result = {0};
    const char *stem = builder->options->stem;
    enum fault fault = folder_make(builder->options->folder, builder->note);
    if (fault == FAULT_NONE)
        fault = build_best(&result, builder);
    if (fault == FAULT_NONE)
        fault = write_file(stem, ".safetensors", result.bytes, result.byte_count, builder->note);
    if (fault == FAULT_NONE)
        fault = write_file(stem, ".golden.safetensors", result.golden, result.golden_byte_count, builder->note);
    if (fault == FAULT_NONE)
        fault = write_card(builder, &result);
    build_result_fini(&result);
    return fault;
}

static enum fault options_check(const struct base_build_options *options, struct fault_note *note)
{
    if (options->seed_count > 1 && options->validate_to_us <= options->train_to_us)
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE,
                         "several seeds need rows to validate: name validate_to behind train_to");
    if (options->validate_to_us > options->until_us)
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "validate_to lies behind until: no rows are left for the thresholds");
    return FAULT_NONE;
}

enum fault base_build(const struct base_build_options *options, struct fault_note *note)
{
    struct kernels kernels;
    struct base_builder *builder = memory_take_zeroed(1, sizeof *builder);
    if (!builder)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to build a scene base");
    kernels_select(&kernels, CPU_MASK_ALL);
    builder->options = options;
    builder->note = note;
    builder->build = options->build;
    builder->build.features = builder->collected = wanted_features(options);
    if (options->build.alert_cost > 0.0)
        set_add(&builder->collected, FEATURE_amount);
    if (options->seed_count)
        builder->build.seed = options->seeds[0];
    builder->build.kernels = &kernels;
    builder->build.progress = options->progress;
    builder->build.known = (const uint32_t(*)[2])builder->known;
    labels_init(&builder->labels);
    collect_init(&builder->train, &builder->collected, options->rows_max, false, builder->build.seed);
    collect_init(&builder->validate, &builder->collected, options->rows_max, true, builder->build.seed);
    collect_init(&builder->later, &builder->collected, options->rows_max, true, builder->build.seed);
    enum fault fault = options_check(options, note);
    if (fault == FAULT_NONE)
        fault = read_rows(builder);
    if (fault == FAULT_NONE)
        fault = name_scenes(builder);
    if (fault == FAULT_NONE)
        fault = build_and_write(builder);
    collect_fini(&builder->train);
    collect_fini(&builder->validate);
    collect_fini(&builder->later);
    memory_give(builder);
    return fault;
}
