/* A batch is read, checked and filled whole; then slice by slice its rows are related, in order with the observations of the
 * time between them. Nothing is recorded anywhere. */
#include "pipeline/past.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"
#include "intake/intake.h"
#include "ledger/ledger.h"
#include "pipeline/currencies.h"
#include "pipeline/past_ledger.h"
#include "wire/wire.h"

enum { LINE_BYTES_MEAN_MAX = 512, SPAN_ROWS = 4096 };
#define LONG_AFTER_US (INT64_MAX / 4) /* no time of a file is ahead of it */

/* Defaults of sluice.yaml, for files that belong to no server. */
static const char default_config[] = "ledger: none\nlisten: {data: ['ipc://none']}\ntenants: [{name: none, "
                                     "token_hash: 0000000000000000000000000000000000000000000000000000000000000000}]\n";

struct observed { /* one file of observations, one row ahead */
    struct csv_reader *reader;
    enum observe_kind kind;
    struct batch batch;
    int64_t time_us; /* of the row in batch; INT64_MAX: none left */
};

struct past {
    struct past_options options;
    struct config *own_config;
    struct intake_rules rules;
    struct csv_reader *reader;
    struct past_ledger *ledger; /* instead of the reader and history */
    struct batch batch;
    uint32_t next; /* row of batch that the next slice begins at */
    struct history *history;
    struct figures figures;
    float *figure_memory, *feature_memory;
    struct feature_block features;
    struct observed observed[PAST_OBSERVATIONS_MAX];
    uint64_t rows, rows_invalid;
    char first_check[200];
};

static size_t read_arena_bytes(const struct batch_limits *limits, uint32_t rows)
{
    size_t bytes = (size_t)rows * LINE_BYTES_MEAN_MAX + (size_t)limits->text_bytes_max * COLUMN_COUNT;
    return batch_arena_bytes(limits, rows, bytes);
}

static void batch_empty(struct batch *batch)
{
    struct arena arena = batch->arena;
    arena_reset(&arena);
    *batch = (struct batch){.magic = (unsigned)BATCH_MAGIC, .arena = arena};
}

static enum fault no_memory(struct fault_note *note)
{
    return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to read past transfers");
}

/* --- observations --------------------------------------------------------------------------------------------------- */

static enum fault observed_next(struct observed *observed, const struct intake_rules *rules, struct fault_note *note)
{
    struct batch *batch = &observed->batch;
    batch_empty(batch);
    observed->time_us = INT64_MAX;
    enum fault fault = csv_read(observed->reader, batch, 1, note);
    if (fault != FAULT_NONE || batch->row_count == 0)
        return fault;
    batch->op = OP_observe;
    batch->observe_kind = observed->kind;
    if ((fault = intake_check(batch, rules, note)) != FAULT_NONE || (fault = intake_fill(batch, rules, note)) != FAULT_NONE)
        return fault;
    intake_fill_times(batch, LONG_AFTER_US);
    observed->time_us = column_is_valid(&batch->columns[COLUMN_time], 0) ? batch->facts.time_us[0] : INT64_MIN;
    return FAULT_NONE;
}

/* Tells history what was observed until time_us; then `next_us` is when the next observation comes. */
static enum fault observe_until(struct past *past, int64_t time_us, int64_t *next_us, struct fault_note *note)
{
    for (;;) {
        struct observed *earliest = NULL;
        for (uint32_t i = 0; i < past->options.observation_count; i++)
            if (!earliest || past->observed[i].time_us < earliest->time_us)
                earliest = &past->observed[i];
        *next_us = earliest ? earliest->time_us : INT64_MAX;
        if (*next_us > time_us || *next_us == INT64_MAX)
            return FAULT_NONE;
        history_memory.observe(past->history, &earliest->batch);
        enum fault fault = observed_next(earliest, &past->rules, note);
        if (fault != FAULT_NONE)
            return csv_fault_of(note, past->options.observations[earliest - past->observed].path, fault);
    }
}

/* --- open ----------------------------------------------------------------------------------------------------------- */

static enum fault open_observations(struct past *past, struct fault_note *note)
{
    for (uint32_t i = 0; i < past->options.observation_count; i++) {
        struct observed *observed = &past->observed[i];
        observed->kind = past->options.observations[i].kind;
        enum fault fault = batch_init(&observed->batch, read_arena_bytes(&past->rules.limits, 1), note);
        if (fault == FAULT_NONE)
            fault = csv_open(&observed->reader, past->options.observations[i].path, &past->rules.limits, note);
        if (fault == FAULT_NONE)
            fault = observed_next(observed, &past->rules, note);
        if (fault != FAULT_NONE)
            return csv_fault_of(note, past->options.observations[i].path, fault);
    }
    return FAULT_NONE;
}

/* Distinct counts are sketched by key: only the server's own keys give the server's own bits. */
static enum fault take_server_keys(struct past *past, struct fault_note *note)
{
    const struct config *config = past->options.config;
    const char *space = config->tenants[past->options.tenant_index].namespace_name;
    struct ledger_options options = {.folder = config->ledger_folder};
    struct ledger *ledger = NULL;
    enum fault fault = ledger_sqlite.open(&ledger, &options, note);
    if (fault != FAULT_NONE)
        return fault;
    past->rules.key_seed = hash64(ledger_sqlite.secret(ledger), space, strlen(space));
    ledger_sqlite.close(&ledger);
    return FAULT_NONE;
}

static bool columns_take(struct past *past)
{
    past->figure_memory = memory_take_aligned((size_t)FIGURE_COUNT * SLICE_ROWS * sizeof(float), 64);
    past->feature_memory = memory_take_aligned((size_t)FEATURE_COUNT * SLICE_ROWS * sizeof(float), 64);
    if (!past->figure_memory || !past->feature_memory)
        return false;
    for (uint32_t i = 0; i < FIGURE_COUNT; i++)
        past->figures.column[i] = past->figure_memory + (size_t)i * SLICE_ROWS;
    for (uint32_t i = 0; i < FEATURE_COUNT; i++)
        past->features.column[i] = past->feature_memory + (size_t)i * SLICE_ROWS;
    return true;
}

static enum fault open_parts(struct past *past, struct fault_note *note)
{
    enum fault fault = FAULT_NONE;
    if (!columns_take(past))
        return no_memory(note);
    if (past->options.is_ledger)
        return past_ledger_open(&past->ledger, past->options.path, past->options.from_us, note);
    if (!past->options.config) {
        fault = config_open_text(&past->own_config, "default", default_config, sizeof default_config - 1, note);
        past->options.config = past->own_config;
    }
    if (fault == FAULT_NONE)
        fault = currencies_from_config(&past->rules.currencies, past->options.config, note);
    if (fault == FAULT_NONE && past->options.server_keys)
        fault = take_server_keys(past, note);
    if (fault != FAULT_NONE)
        return fault;
    past->rules.limits = past->options.config->limits;
    fault = history_memory.open(&past->history, &past->options.config->history, note);
    if (fault == FAULT_NONE)
        fault = batch_init(&past->batch, read_arena_bytes(&past->rules.limits, past->options.batch_rows), note);
    if (fault == FAULT_NONE)
        fault = csv_fault_of(note, past->options.path, csv_open(&past->reader, past->options.path, &past->rules.limits, note));
    return fault == FAULT_NONE ? open_observations(past, note) : fault;
}

enum fault past_open(struct past **out, const struct past_options *options, struct fault_note *note)
{
    struct past *past = *out = memory_take_zeroed(1, sizeof *past);
    if (!past)
        return no_memory(note);
    past->options = *options;
    enum fault fault = open_parts(past, note);
    if (fault != FAULT_NONE)
        past_close(out);
    return fault;
}

void past_close(struct past **past_p)
{
    struct past *past = *past_p;
    *past_p = NULL;
    if (!past)
        return;
    for (uint32_t i = 0; i < PAST_OBSERVATIONS_MAX; i++) {
        if (past->observed[i].reader)
            csv_close(&past->observed[i].reader);
        batch_fini(&past->observed[i].batch);
    }
    if (past->reader)
        csv_close(&past->reader);
    past_ledger_close(&past->ledger);
    if (past->history)
        history_memory.close(&past->history);
    batch_fini(&past->batch);
    memory_give(past->figure_memory);
    memory_give(past->feature_memory);
    if (past->own_config)
        config_close(&past->own_config);
    memory_give(past);
}

/* --- slices --------------------------------------------------------------------------------------------------------- */

static void refuse_timeless_rows(struct batch *batch)
{
    for (uint32_t row = 0; row < batch->row_count; row++)
        if (!batch->facts.invalid[row] && !column_is_valid(&batch->columns[COLUMN_time], row))
            batch_row_fails(batch, row, COLUMN_time, RULE_MISSING, "a past transfer needs its time");
}

/* Keeps the check of the first row that failed one; they are noted column by column. */
static void note_checks(struct past *past)
{
    const struct batch *batch = &past->batch;
    const struct check_note *first = batch->notes;
    for (uint32_t i = 1; i < batch->note_count; i++)
        first = batch->notes[i].row < first->row ? &batch->notes[i] : first;
    if (batch->note_count > 0 && past->first_check[0] == '\0')
        snprintf(past->first_check, sizeof past->first_check, "row %llu%s%s: %s", (unsigned long long)(past->rows + first->row + 1),
                 first->column == COLUMN_NONE ? "" : ", ", column_name(first->column), first->text);
    for (uint32_t row = 0; row < batch->row_count; row++)
        past->rows_invalid += batch->facts.invalid[row];
    past->rows += batch->row_count;
}

static enum fault read_batch(struct past *past, struct fault_note *note)
{
    struct batch *batch = &past->batch;
    batch_empty(batch);
    past->next = 0;
    enum fault fault = csv_fault_of(note, past->options.path, csv_read(past->reader, batch, past->options.batch_rows, note));
    if (fault != FAULT_NONE || batch->row_count == 0)
        return fault;
    batch->op = OP_import;
    batch->feedback_delay_us = past->options.delay_us;
    if (batch->columns[COLUMN_time].form == FORM_ABSENT)
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_time, "past transfers need a column time");
    if ((fault = intake_check(batch, &past->rules, note)) != FAULT_NONE)
        return fault;
    refuse_timeless_rows(batch);
    if ((fault = intake_fill(batch, &past->rules, note)) != FAULT_NONE)
        return fault;
    intake_fill_times(batch, LONG_AFTER_US);
    note_checks(past);
    return feature_in_batch(batch, note);
}

/* Its arena holds what is joined across the batch; all else is the source's. */
static enum fault read_ledger_batch(struct past *past, struct fault_note *note)
{
    struct batch *batch = &past->batch, *recorded = NULL;
    past->next = 0;
    batch->row_count = 0;
    enum fault fault = past_ledger_next(past->ledger, &recorded, note);
    if (fault != FAULT_NONE || !recorded)
        return fault;
    size_t bytes = feature_in_batch_bytes(recorded->row_count);
    if (batch->arena.size < bytes) {
        batch_fini(batch);
        if ((fault = batch_init(batch, bytes, note)) != FAULT_NONE)
            return fault;
    }
    struct arena arena = batch->arena;
    arena_reset(&arena);
    *batch = *recorded;
    batch->arena = arena;
    note_checks(past);
    return feature_in_batch(batch, note);
}

/* Rows [first, first + count), in order with the observations of their time. */
static enum fault relate(struct past *past, uint32_t first, uint32_t count, bool wanted, struct fault_note *note)
{
    const struct batch *batch = &past->batch;
    if (past->ledger)
        return past_ledger_relate(past->ledger, first, count, wanted ? &past->figures : NULL), FAULT_NONE;
    for (uint32_t at = first, end; at < first + count; at = end) {
        int64_t next_us;
        enum fault fault = observe_until(past, batch->facts.time_us[at], &next_us, note);
        if (fault != FAULT_NONE)
            return fault;
        for (end = at + 1; end < first + count && batch->facts.time_us[end] < next_us;)
            end++;
        struct figures figures;
        for (uint32_t i = 0; i < FIGURE_COUNT; i++)
            figures.column[i] = past->figures.column[i] + (at - first);
        history_memory.relate(past->history, batch, at, end - at, past->options.delay_us, true, wanted ? &figures : NULL);
    }
    return FAULT_NONE;
}

static bool reaches(const struct past *past, uint32_t first, uint32_t count)
{
    for (uint32_t row = first; row < first + count; row++)
        if (past->batch.facts.time_us[row] >= past->options.from_us)
            return true;
    return false;
}

enum fault past_next(struct past *past, struct past_slice *out, struct fault_note *note)
{
    struct batch *batch = &past->batch;
    *out = (struct past_slice){.batch = batch};
    if (past->next == batch->row_count) {
        enum fault fault = past->ledger ? read_ledger_batch(past, note) : read_batch(past, note);
        if (fault != FAULT_NONE || batch->row_count == 0)
            return fault;
    }
    out->first = past->next;
    out->count = batch->row_count - past->next < SLICE_ROWS ? batch->row_count - past->next : SLICE_ROWS;
    out->has_features = reaches(past, out->first, out->count);
    past->next += out->count;
    enum fault fault = relate(past, out->first, out->count, out->has_features, note);
    if (fault != FAULT_NONE || !out->has_features)
        return fault;
    feature_compute(&past->features, &past->options.wanted, batch, out->first, out->count, &past->figures, past->options.kernels);
    out->features = past->features;
    out->figures = &past->figures;
    return FAULT_NONE;
}

uint64_t past_rows(const struct past *past)
{
    return past->rows;
}

uint64_t past_rows_invalid(const struct past *past)
{
    return past->rows_invalid;
}

const char *past_first_check(const struct past *past)
{
    return past->first_check;
}

static void widen(int64_t *first_us, int64_t *last_us, const struct batch *batch)
{
    const struct column *times = &batch->columns[COLUMN_time];
    for (uint32_t row = 0; row < batch->row_count; row++) {
        if (times->form != FORM_I64 || !column_is_valid(times, row))
            continue;
        int64_t time_us = column_i64(times, row);
        *first_us = time_us < *first_us ? time_us : *first_us;
        *last_us = time_us >= *last_us && time_us < INT64_MAX ? time_us + 1 : *last_us;
    }
}

enum fault past_span(int64_t *first_us, int64_t *last_us, const char *path, struct fault_note *note)
{
    const struct batch_limits limits = BATCH_LIMITS_DEFAULT;
    struct csv_reader *reader = NULL;
    struct batch batch = {0};
    *first_us = INT64_MAX;
    *last_us = INT64_MIN;
    enum fault fault = batch_init(&batch, read_arena_bytes(&limits, SPAN_ROWS), note);
    if (fault == FAULT_NONE)
        fault = csv_fault_of(note, path, csv_open(&reader, path, &limits, note));
    while (fault == FAULT_NONE) {
        batch_empty(&batch);
        fault = csv_fault_of(note, path, csv_read(reader, &batch, SPAN_ROWS, note));
        if (fault != FAULT_NONE || batch.row_count == 0)
            break;
        widen(first_us, last_us, &batch);
    }
    if (fault == FAULT_NONE && *first_us >= *last_us)
        fault = fault_set(note, FAULT_schema, ROW_NONE, COLUMN_time, "%s: no row with a time", path);
    if (reader)
        csv_close(&reader);
    batch_fini(&batch);
    return fault;
}
