/* Every measured row becomes one metrics_row of each side; what they come from differs: bases, or a file of scores. */
#include "pipeline/evaluate.h"

#include <string.h>

#include "base/memory.h"
#include "pipeline/measured.h"

static enum fault grow(struct measured *measured)
{
    uint32_t capacity = measured->capacity ? 2 * measured->capacity : 65536;
    if (measured->capacity >= EVALUATE_ROWS_MAX)
        return fault_set(measured->note, FAULT_limit, ROW_NONE, COLUMN_NONE, "more than %d rows to measure: narrow --from and --to",
                         EVALUATE_ROWS_MAX);
    for (uint32_t s = 0; s < measured->out->side_count; s++) {
        struct metrics_row *rows = memory_resize(measured->rows[s], capacity * sizeof *rows);
        if (!rows)
            return fault_set(measured->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to measure %u transfers", capacity);
        measured->rows[s] = rows;
    }
    measured->capacity = capacity;
    return FAULT_NONE;
}

enum fault measured_add(struct measured *measured, const struct metrics_row row[EVALUATE_SIDES], int64_t time_us)
{
    struct evaluation *out = measured->out;
    enum fault fault = measured->count == measured->capacity ? grow(measured) : FAULT_NONE;
    if (fault != FAULT_NONE)
        return fault;
    out->first_us = measured->count == 0 || time_us < out->first_us ? time_us : out->first_us;
    out->last_us = measured->count == 0 || time_us > out->last_us ? time_us : out->last_us;
    for (uint32_t s = 0; s < out->side_count; s++)
        measured->rows[s][measured->count] = row[s];
    measured->count++;
    return FAULT_NONE;
}

enum fault measured_scene(uint8_t *out, struct measured *measured, struct text name)
{
    struct evaluation *names = measured->out;
    *out = 0;
    if (name.bytes == 0)
        return FAULT_NONE;
    for (uint32_t i = 0; i < names->scene_count; i++)
        if (text_equal(name, text_of(names->scene_names[i])))
            return *out = (uint8_t)i, FAULT_NONE;
    if (names->scene_count == SCENES_MAX || name.bytes >= sizeof names->scene_names[0])
        return fault_set(measured->note, FAULT_limit, ROW_NONE, COLUMN_label, "scene %.*s: more than %d scenes, or the name is too long",
                         (int)(name.bytes < 40 ? name.bytes : 40), name.data, SCENES_MAX - 1);
    if (!text_is_id(name)) /* it is printed */
        return fault_set(measured->note, FAULT_schema, ROW_NONE, COLUMN_label, "a label or scene with control characters or no UTF-8");
    *out = (uint8_t)names->scene_count;
    text_copy(names->scene_names[names->scene_count++], sizeof names->scene_names[0], name);
    return FAULT_NONE;
}

enum fault measured_label(uint8_t *out, struct measured *measured, const struct batch *batch, uint32_t row)
{
    const struct column *labels = &batch->columns[COLUMN_label];
    struct text name = column_is_valid(labels, row) ? column_text(labels, row) : (struct text){0};
    *out = name.bytes == 0 ? METRICS_LABEL_UNKNOWN : 0;
    if (name.bytes == 0 || text_equal(name, text_of("good")))
        return FAULT_NONE;
    return measured_scene(out, measured, name);
}

static enum fault make_figures(struct measured *measured)
{
    struct evaluation *out = measured->out;
    const struct metrics_options options = {.scene_count = out->scene_count, .decimals = out->decimals};
    enum fault fault = FAULT_NONE;
    for (uint32_t s = 0; s < out->side_count && fault == FAULT_NONE; s++) {
        struct evaluated *side = &out->sides[s];
        fault = metrics_measure(&side->metrics, measured->rows[s], measured->count, &options, measured->note);
        if (fault == FAULT_NONE)
            fault = metrics_days_take(&side->days, measured->rows[s], measured->count, out->top, measured->note);
        if (fault == FAULT_NONE)
            metrics_days_mean(&side->metrics, &side->days);
    }
    if (fault == FAULT_NONE && out->side_count == EVALUATE_SIDES)
        fault = compare_measure(&out->comparison, measured->rows[0], measured->rows[1], measured->count, measured->options->draws,
                                measured->options->seed, measured->note);
    if (fault == FAULT_NONE && measured->shift.values && !out->shift_from_base) {
        out->shift_rows = measured->shift.row_count;
        fault = shift_measure(out->shifts, &out->shift_count, &measured->shift, measured->note);
    }
    return fault;
}

static enum fault nothing_measured(const struct measured *measured)
{
    const struct evaluation *out = measured->out;
    const char *path = measured->options->past.path;
    if (out->rows_read > 0 && out->rows_invalid == out->rows_read && out->invalid_first[0])
        return fault_set(measured->note, FAULT_schema, ROW_NONE, COLUMN_NONE,
                         "no row to measure in %.60s: all are invalid, the first: %.100s", path, out->invalid_first);
    return fault_set(measured->note, FAULT_schema, ROW_NONE, COLUMN_NONE,
                     "no row to measure in %.60s: %llu rows read, %llu of them invalid%s", path, (unsigned long long)out->rows_read,
                     (unsigned long long)out->rows_invalid,
                     out->rows_read > out->rows_invalid ? ", the others outside --from and --to" : "");
}

enum fault evaluate_run(struct evaluation *out, const struct evaluate_options *options, struct fault_note *note)
{
    struct measured measured = {.options = options, .out = out, .note = note};
    memset(out, 0, sizeof *out);
    out->side_count = options->base_paths[1] ? 2 : 1;
    out->top = options->top;
    enum fault fault = options->base_paths[0] ? measure_base(&measured) : measure_scores(&measured);
    if (fault == FAULT_NONE && measured.count == 0)
        fault = nothing_measured(&measured);
    if (fault == FAULT_NONE)
        fault = make_figures(&measured);
    for (int s = 0; s < EVALUATE_SIDES; s++)
        memory_give(measured.rows[s]);
    shift_sample_fini(&measured.shift);
    return fault;
}

void evaluation_fini(struct evaluation *evaluation)
{
    for (int s = 0; s < EVALUATE_SIDES; s++)
        metrics_days_give(&evaluation->sides[s].days);
}
