/* Stored against again, array by array as a frame keeps them: bits, never a tolerance. Figures of an invalid row are compared
 * as well. Of a batch the first row that differs is told, with the first of its columns. */
#include <stdio.h>
#include <string.h>

#include "ledger/frame.h"
#include "pipeline/replay_internal.h"

static void value_tell(char *out, size_t out_bytes, const void *array, unsigned width, uint32_t row)
{
    uint64_t bits = 0;
    float real;
    if (!array) {
        snprintf(out, out_bytes, "nothing");
        return;
    }
    memcpy(&bits, (const char *)array + (size_t)row * width, width);
    memcpy(&real, (const char *)array + (size_t)row * width, width == sizeof real ? sizeof real : 0);
    if (width == sizeof real)
        snprintf(out, out_bytes, "%.9g (%08x)", (double)real, (unsigned)bits);
    else
        snprintf(out, out_bytes, width == 8 ? "%lld" : "%llu", (long long)bits);
}

static void row_differs(struct replay_job *job, uint32_t row, const char *column, const char *recorded, const char *again)
{
    struct replay_difference *first = &job->difference;
    if (job->differs && first->row <= row)
        return;
    job->differs = true;
    *first = (struct replay_difference){.sequence = job->stored.sequence, .row = row};
    text_copy(first->tenant, sizeof first->tenant, job->stored.tenant);
    text_copy(first->id, sizeof first->id, job->stored.id);
    const struct column *ids = &job->stored.columns[COLUMN_transfer_id];
    if (row != ROW_NONE && column_is_valid(ids, row))
        text_copy(first->transfer, sizeof first->transfer, column_text(ids, row));
    snprintf(first->column, sizeof first->column, "%s", column);
    snprintf(first->recorded, sizeof first->recorded, "%s", recorded);
    snprintf(first->again, sizeof first->again, "%s", again);
}

/* In the batch's arena, which is not used for anything else any more; NULL when it is full: rows are not counted then. */
static void mark(uint8_t *marks, uint32_t row)
{
    if (marks)
        marks[row] = 1;
}

static void field_compare(struct replay_job *job, const void *stored_of, const void *again_of, const struct frame_field *field,
                          uint8_t *marks)
{
    const char *stored = frame_field_get(stored_of, field), *again = frame_field_get(again_of, field);
    uint32_t rows = job->stored.row_count;
    char told[2][48];
    if ((!stored && !again) || (stored && again && memcmp(stored, again, (size_t)rows * field->width) == 0))
        return;
    bool found = false;
    for (uint32_t row = 0; row < rows; row++) {
        size_t at = (size_t)row * field->width;
        if (stored && again && memcmp(stored + at, again + at, field->width) == 0)
            continue;
        mark(marks, row);
        if (!found) {
            value_tell(told[0], sizeof told[0], stored, field->width, row);
            value_tell(told[1], sizeof told[1], again, field->width, row);
            row_differs(job, row, field->name, told[0], told[1]);
        }
        found = true;
    }
}

static void rules_compare(struct replay_job *job)
{
    char told[2][48];
    for (uint16_t c = 0; c < BATCH_COLUMNS_MAX; c++)
        for (unsigned rule = 0; rule < RULE_COUNT; rule++) {
            uint32_t stored = job->stored.rule_counts[c][rule], again = job->job.batch.rule_counts[c][rule];
            if (stored == again)
                continue;
            snprintf(told[0], sizeof told[0], "%u × %s", stored, check_rule_names[rule]);
            snprintf(told[1], sizeof told[1], "%u × %s", again, check_rule_names[rule]);
            row_differs(job, ROW_NONE, column_name(c), told[0], told[1]);
        }
}

static void reason_tell(char *out, size_t out_bytes, const struct reason *reason)
{
    if (!reason)
        snprintf(out, out_bytes, "none");
    else
        snprintf(out, out_bytes, "%.24s %.9g", reason->feature < FEATURE_COUNT ? feature_infos[reason->feature].name : "?",
                 (double)reason->share);
}

static bool reason_equal(const struct reason *a, const struct reason *b)
{
    return a->feature == b->feature && a->dimension == b->dimension && memcmp(&a->value, &b->value, sizeof a->value) == 0 &&
           memcmp(&a->share, &b->share, sizeof a->share) == 0;
}

/* Of the i-th row that did not pass. */
static void reasons_of_row(struct replay_job *job, const struct reason_block *stored, const struct reason_block *again, uint32_t i,
                           uint8_t *marks)
{
    char told[2][48];
    uint32_t row = stored->row[i];
    unsigned least = stored->reason_count[i] < again->reason_count[i] ? stored->reason_count[i] : again->reason_count[i], k = 0;
    const struct reason *a = stored->reasons + (size_t)i * REASONS_MAX, *b = again->reasons + (size_t)i * REASONS_MAX;
    while (k < least && reason_equal(a + k, b + k))
        k++;
    if (k == stored->reason_count[i] && k == again->reason_count[i])
        return;
    mark(marks, row);
    reason_tell(told[0], sizeof told[0], k < stored->reason_count[i] ? a + k : NULL);
    reason_tell(told[1], sizeof told[1], k < again->reason_count[i] ? b + k : NULL);
    row_differs(job, row, "reasons", told[0], told[1]);
}

static void reasons_compare(struct replay_job *job, uint8_t *marks)
{
    const struct results *stored = &job->stored.results, *again = &job->job.batch.results;
    char told[2][48];
    for (uint32_t s = 0; s < again->slice_count; s++) {
        static const struct reason_block none = {0};
        const struct reason_block *a = s < stored->slice_count ? &stored->reasons[s] : &none, *b = &again->reasons[s];
        if (a->count != b->count || (a->count && memcmp(a->row, b->row, a->count * sizeof *a->row) != 0)) {
            snprintf(told[0], sizeof told[0], "of %u rows", a->count);
            snprintf(told[1], sizeof told[1], "of %u rows", b->count);
            mark(marks, s * SLICE_ROWS);
            row_differs(job, s * SLICE_ROWS, "reasons", told[0], told[1]);
            continue;
        }
        for (uint32_t i = 0; i < a->count; i++)
            reasons_of_row(job, a, b, i, marks);
    }
}

void replay_compare(struct replay_job *job, bool results)
{
    struct batch *again = &job->job.batch;
    uint8_t *marks = arena_take_zeroed(&again->arena, again->row_count, 64);
    rules_compare(job);
    for (unsigned i = 0; i < frame_fact_field_count; i++)
        field_compare(job, &job->stored.facts, &again->facts, &frame_fact_fields[i], marks);
    for (unsigned i = 0; results && i < frame_result_field_count; i++)
        field_compare(job, &job->stored.results, &again->results, &frame_result_fields[i], marks);
    if (results)
        reasons_compare(job, marks);
    for (uint32_t row = 0; marks && row < again->row_count; row++)
        job->rows_differ += marks[row];
    if (job->differs && job->rows_differ == 0 && job->difference.row != ROW_NONE)
        job->rows_differ = 1;
}
