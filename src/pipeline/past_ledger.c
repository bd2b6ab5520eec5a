/* A pipeline of which nothing runs lends ledger and history; a reader decodes ahead, the caller's thread walks the log into
 * history. Labels are read first, newest first, so that the last one of a transfer stands. */
#include "pipeline/past_ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "intake/intake.h"
#include "pipeline/collect.h"
#include "pipeline/internal.h"
#include "pipeline/label_table.h"

enum { AHEAD = 4, LEDGER_READERS = 3 };

struct past_ledger {
    struct pipeline *pipeline;
    struct label_table known;
    struct labels names;
    struct text values[LABELS_MAX]; /* of names */

    struct thread reader;
    struct queue ready, room; /* of the batches below */
    struct batch batches[AHEAD];
    enum fault reader_fault;
    struct fault_note reader_note;
    struct batch *current;
    uint8_t *codes, *valid; /* of the current one's labels */
    uint32_t rows_max;
};

/* --- where it begins, and under which limits --------------------------------------------------------------------------- */

struct looking {
    uint64_t last, from; /* from: the first batch that may hold a row of the time asked for */
    int64_t from_us;
    struct digest config_document;
    uint64_t *labels; /* sequences, newest first */
    uint64_t label_count, label_capacity, kept_from;
    bool failed;
};

static bool label_note(struct looking *looking, uint64_t sequence)
{
    if (looking->label_count == looking->label_capacity) {
        uint64_t capacity = looking->label_capacity ? 2 * looking->label_capacity : 1024;
        uint64_t *labels = memory_resize(looking->labels, capacity * sizeof *labels);
        if (!labels)
            return false;
        looking->labels = labels;
        looking->label_capacity = capacity;
    }
    looking->labels[looking->label_count++] = sequence;
    return true;
}

static bool look_at(void *context, const struct ledger_batch *line)
{
    struct looking *looking = context;
    if (looking->last == 0) {
        looking->last = line->sequence;
        looking->config_document = line->config_digest;
    }
    if (line->sequence < looking->kept_from)
        return false;
    if (line->op == OP_label && !label_note(looking, line->sequence))
        return looking->failed = true, false;
    if (looking->from_us == INT64_MIN || line->now_us + TRANSFER_AHEAD_US_MAX >= looking->from_us)
        looking->from = line->sequence;
    return true;
}

static enum fault limits_find(struct past_ledger *source, const struct looking *looking, struct fault_note *note)
{
    struct pipeline *pipeline = source->pipeline;
    struct stored_names *names = NULL;
    struct config *config = NULL;
    struct digest digest;
    void *text = NULL;
    size_t bytes = 0;
    enum fault fault = epoch_names_stored(&names, pipeline, looking->config_document, note);
    if (fault == FAULT_NONE && !digest_from_hex(&digest, names->names.config_digest, strlen(names->names.config_digest)))
        fault = fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "the stored epoch names no configuration");
    if (fault == FAULT_NONE)
        fault = pipeline->ledger_ops->document_get(pipeline->ledger, "config", digest, &text, &bytes, note);
    if (fault == FAULT_NONE)
        fault = config_open_recorded(&config, text, bytes, note);
    if (fault == FAULT_NONE)
        pipeline->history_limits = config->history;
    config_close(&config);
    memory_give(text);
    stored_names_give(&names);
    return fault;
}

/* --- labels ----------------------------------------------------------------------------------------------------------- */

static enum fault labels_take(struct past_ledger *source, const struct batch *batch, struct fault_note *note)
{
    const struct column *ids = &batch->columns[COLUMN_transfer_id], *labels = &batch->columns[COLUMN_label];
    enum fault fault = FAULT_NONE;
    for (uint32_t row = batch->row_count; row-- > 0 && fault == FAULT_NONE;) {
        uint8_t code;
        if (batch->facts.invalid[row] || !column_is_valid(ids, row) || !column_is_valid(labels, row))
            continue;
        fault = labels_find(&code, &source->names, column_text(labels, row), note);
        if (fault == FAULT_NONE && !label_table_put(&source->known, batch->tenant, column_text(ids, row), code))
            fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the labels");
    }
    return fault;
}

static enum fault labels_read(struct past_ledger *source, const struct looking *looking, struct fault_note *note)
{
    const struct pipeline *pipeline = source->pipeline;
    enum fault fault = FAULT_NONE;
    labels_init(&source->names);
    for (uint64_t i = 0; i < looking->label_count && fault == FAULT_NONE; i++) {
        struct batch batch = {0};
        fault = pipeline->ledger_ops->read(pipeline->ledger, &batch, looking->labels[i], note);
        if (fault == FAULT_NONE)
            fault = labels_take(source, &batch, note);
        batch_fini(&batch);
    }
    return fault;
}

static bool rows_fit(struct past_ledger *source, uint32_t rows)
{
    if (rows <= source->rows_max)
        return true;
    memory_give(source->codes);
    memory_give(source->valid);
    source->codes = memory_take(rows);
    source->valid = memory_take(rows / 8 + 1);
    source->rows_max = source->codes && source->valid ? rows : 0;
    return source->rows_max > 0;
}

/* The batch's column label becomes what is known by now. */
static enum fault labels_put(struct past_ledger *source, struct batch *batch, struct fault_note *note)
{
    const struct column *ids = &batch->columns[COLUMN_transfer_id], own = batch->columns[COLUMN_label];
    if (!rows_fit(source, batch->row_count))
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the labels of %u rows", batch->row_count);
    memset(source->valid, 0, batch->row_count / 8 + 1);
    memset(source->codes, 0, batch->row_count);
    for (uint32_t row = 0; row < batch->row_count; row++) {
        uint8_t code = 0;
        bool is_known = column_is_valid(ids, row) && label_table_find(&source->known, batch->tenant, column_text(ids, row), &code);
        if (!is_known && column_is_valid(&own, row) && column_text(&own, row).bytes > 0) {
            enum fault fault = labels_find(&code, &source->names, column_text(&own, row), note);
            if (fault != FAULT_NONE)
                return fault;
            is_known = true;
        }
        source->codes[row] = code;
        source->valid[row / 8] |= (uint8_t)(is_known << row % 8);
    }
    for (uint32_t i = 0; i < source->names.count; i++)
        source->values[i] = text_of(source->names.name[i]);
    batch->columns[COLUMN_label] = (struct column){.form = FORM_DICT8,
                                                   .name = own.name,
                                                   .data = source->codes,
                                                   .valid = source->valid,
                                                   .values = source->values,
                                                   .value_count = source->names.count};
    return FAULT_NONE;
}

/* --- opening and closing ---------------------------------------------------------------------------------------------- */

static enum fault reader_take(void *context, struct batch *batch, struct fault_note *note)
{
    struct past_ledger *source = context;
    struct batch *room = queue_pop(&source->room);
    if (!room)
        return fault_set(note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "stopped");
    *room = *batch;
    *batch = (struct batch){0};
    return queue_push(&source->ready, room) ? FAULT_NONE : fault_set(note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "stopped");
}

static void reader_run(void *context)
{
    struct past_ledger *source = context;
    const struct pipeline *pipeline = source->pipeline;
    source->reader_note.row = ROW_NONE;
    source->reader_fault =
        pipeline->ledger_ops->replay(pipeline->ledger, pipeline->history_sequence + 1, reader_take, source, &source->reader_note);
    queue_close(&source->ready);
}

static enum fault lender_open(struct past_ledger *source, const char *folder, struct fault_note *note)
{
    struct pipeline *pipeline = source->pipeline = memory_take_zeroed(1, sizeof *pipeline);
    if (!pipeline)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to read a ledger");
    pipeline->magic = (unsigned)PIPELINE_MAGIC;
    pipeline->ledger_ops = &ledger_sqlite;
    pipeline->history_ops = &history_memory;
    if (strlen(folder) >= sizeof pipeline->ledger_folder)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "the path of the ledger's folder is too long");
    snprintf(pipeline->ledger_folder, sizeof pipeline->ledger_folder, "%s", folder);
    if (!queue_init(&source->ready, AHEAD) || !queue_init(&source->room, AHEAD))
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to read a ledger");
    for (unsigned i = 0; i < AHEAD; i++)
        MUST(queue_try_push(&source->room, &source->batches[i]));
    const struct ledger_options options = {.folder = folder, .readers = LEDGER_READERS, .reads_only = true};
    return pipeline->ledger_ops->open(&pipeline->ledger, &options, note);
}

static enum fault begin(struct past_ledger *source, struct looking *looking, struct fault_note *note)
{
    struct pipeline *pipeline = source->pipeline;
    const struct ledger_query all = {.verdict = -1};
    looking->kept_from = pipeline->ledger_ops->kept_from(pipeline->ledger);
    enum fault fault = pipeline->ledger_ops->batches(pipeline->ledger, &all, look_at, looking, note);
    if (fault == FAULT_NONE && looking->failed)
        fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the labels' places");
    if (fault == FAULT_NONE && looking->from == 0)
        fault = fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "the ledger holds no rows of that time");
    if (fault == FAULT_NONE)
        fault = limits_find(source, looking, note);
    if (fault == FAULT_NONE)
        fault = labels_read(source, looking, note);
    if (fault != FAULT_NONE)
        return fault;
    uint64_t earliest = history_earliest(pipeline);
    return history_begin(pipeline, earliest != UINT64_MAX && earliest > looking->from ? earliest : looking->from, note);
}

enum fault past_ledger_open(struct past_ledger **out, const char *folder, int64_t from_us, struct fault_note *note)
{
    struct past_ledger *source = *out = memory_take_zeroed(1, sizeof *source);
    struct looking looking = {.from_us = from_us};
    if (!source)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to read a ledger");
    enum fault fault = lender_open(source, folder, note);
    if (fault == FAULT_NONE)
        fault = begin(source, &looking, note);
    memory_give(looking.labels);
    if (fault == FAULT_NONE && !thread_start(&source->reader, "past-read", CPU_ANY, reader_run, source))
        fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no thread to read a ledger with");
    if (fault != FAULT_NONE)
        past_ledger_close(out);
    return fault;
}

void past_ledger_close(struct past_ledger **source_p)
{
    struct past_ledger *source = *source_p;
    *source_p = NULL;
    if (!source)
        return;
    if (source->ready.items)
        queue_close(&source->ready);
    if (source->room.items)
        queue_close(&source->room);
    while (source->room.items && queue_pop(&source->room)) /* what is in it is still popped */
        ;
    thread_join(&source->reader);
    for (unsigned i = 0; i < AHEAD; i++)
        batch_fini(&source->batches[i]);
    queue_fini(&source->ready);
    queue_fini(&source->room);
    label_table_fini(&source->known);
    memory_give(source->codes);
    memory_give(source->valid);
    struct pipeline *pipeline = source->pipeline;
    if (pipeline && pipeline->history)
        pipeline->history_ops->close(&pipeline->history);
    if (pipeline && pipeline->ledger)
        pipeline->ledger_ops->close(&pipeline->ledger);
    memory_give(pipeline);
    memory_give(source);
}

/* --- reading ---------------------------------------------------------------------------------------------------------- */

static void current_give(struct past_ledger *source)
{
    if (!source->current)
        return;
    batch_fini(source->current);
    queue_try_push(&source->room, source->current);
    source->current = NULL;
}

enum fault past_ledger_next(struct past_ledger *source, struct batch **out, struct fault_note *note)
{
    struct pipeline *pipeline = source->pipeline;
    *out = NULL;
    for (;;) {
        current_give(source);
        struct batch *batch = source->current = queue_pop(&source->ready);
        if (!batch) {
            *note = source->reader_note;
            return source->reader_fault;
        }
        pipeline->history_sequence = batch->sequence;
        if (batch->row_count > 0 && (batch->op == OP_screen || batch->op == OP_import))
            return *out = batch, labels_put(source, batch, note);
        history_apply(pipeline, batch);
    }
}

void past_ledger_relate(struct past_ledger *source, uint32_t first, uint32_t count, struct figures *out)
{
    struct pipeline *pipeline = source->pipeline;
    const struct batch *batch = source->current;
    pipeline->history_ops->relate(pipeline->history, batch, first, count, batch->feedback_delay_us, true, out);
}

struct span {
    int64_t first_us, last_us;
};

static enum fault span_widen(void *context, struct batch *batch, struct fault_note *note)
{
    struct span *span = context;
    (void)note;
    for (uint32_t row = 0; (batch->op == OP_screen || batch->op == OP_import) && row < batch->row_count; row++) {
        int64_t time_us = batch->facts.time_us[row];
        if (batch->facts.invalid[row])
            continue;
        span->first_us = time_us < span->first_us ? time_us : span->first_us;
        span->last_us = time_us >= span->last_us ? time_us + 1 : span->last_us;
    }
    return FAULT_NONE;
}

enum fault past_ledger_span(int64_t *first_us, int64_t *last_us, const char *folder, struct fault_note *note)
{
    const struct ledger_options options = {.folder = folder, .readers = LEDGER_READERS, .reads_only = true};
    struct span span = {.first_us = INT64_MAX, .last_us = INT64_MIN};
    struct ledger *ledger = NULL;
    enum fault fault = ledger_sqlite.open(&ledger, &options, note);
    if (fault != FAULT_NONE)
        return fault;
    fault = ledger_sqlite.replay(ledger, ledger_sqlite.kept_from(ledger), span_widen, &span, note);
    ledger_sqlite.close(&ledger);
    if (fault == FAULT_NONE && span.first_us >= span.last_us)
        fault = fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "%.100s: no transfers", folder);
    *first_us = span.first_us, *last_us = span.last_us;
    return fault;
}
