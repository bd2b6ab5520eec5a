/* Replies: the same batch gives the same bytes. Maps are written in the order that docs/protocol.md shows. */
#include "wire/reply.h"

#include <string.h>

#include "batch/life.h"

enum { CODE_COLUMNS = 9, FIGURE_COLUMNS = 5 };

struct code_column {
    const char *name;
    const uint8_t *codes;
    const char *const *names;
    uint32_t name_count;
};

struct figure_column {
    const char *name;
    const float *values;
};

struct verdicts {                           /* the columns of a reply */
    struct code_column codes[CODE_COLUMNS]; /* would and rule where there are such */
    size_t code_count;
    struct figure_column figures[FIGURE_COLUMNS];
};

static struct verdicts verdicts_of(const struct batch *batch, const struct reply_names *names)
{
    const struct results *results = &batch->results;
    struct verdicts out = {
        .code_count = CODE_COLUMNS,
        .codes = {{"would", results->would, verdict_names, VERDICT_COUNT},
                  {"rule", results->rule, names->rules, names->rule_count},
                  {"verdict", results->verdict, verdict_names, VERDICT_COUNT},
                  {"level", results->level, level_names_of_risk, LEVEL_COUNT},
                  {"cause", results->cause, cause_names, CAUSE_COUNT},
                  {"scene", results->scene, names->scenes, names->scene_count},
                  {"runner_up", results->runner_up, names->scenes, names->scene_count},
                  {"risk_type", results->risk_type, names->risk_types, names->risk_type_count},
                  {"countermeasure", results->countermeasure, names->countermeasures, names->countermeasure_count}},
        .figures = {{"match", results->match},
                    {"runner_match", results->runner_match},
                    {"risk", results->risk},
                    {"anomaly_own", results->anomaly_own},
                    {"anomaly_linked", results->anomaly_linked}},
    };
    for (size_t i = 2; i-- > 0;)
        if (!out.codes[i].codes) {
            out.code_count--;
            memmove(out.codes + i, out.codes + i + 1, (out.code_count - i) * sizeof *out.codes);
        }
    return out;
}

static void pack_start(struct wire_buffer *out, uint32_t pairs, struct text id, const char *status)
{
    wire_pack_map(out, pairs);
    pack_key_i64(out, "v", 1);
    pack_key_str(out, "id", id);
    pack_key_text(out, "status", status);
}

enum { START_PAIRS = 3, NAMES_PAIRS = 4, NOTES_PAIRS = 2, CONSOLIDATED_PAIRS = 3 };

static void pack_names_of_batch(struct wire_buffer *out, const struct batch *batch)
{
    pack_key_text(out, "op", op_names[batch->op]);
    pack_key_str(out, "batch", batch->name);
    pack_key_i64(out, "sequence", (int64_t)batch->sequence);
    pack_key_i64(out, "rows", batch->row_count);
}

/* The last of a reply, and only there when there is something to say: load that the batch felt. */
static void pack_waited(struct wire_buffer *out, uint32_t waited_ms)
{
    if (waited_ms)
        pack_key_i64(out, "waited_ms", waited_ms);
}

static void pack_notes(struct wire_buffer *out, const struct batch *batch)
{
    wire_pack_text(out, "notes");
    wire_pack_array(out, batch->note_count);
    for (uint32_t i = 0; i < batch->note_count; i++) {
        const struct check_note *note = &batch->notes[i];
        wire_pack_map(out, 3);
        wire_pack_text(out, "row");
        note->row == ROW_NONE ? wire_pack_nil(out) : wire_pack_i64(out, note->row);
        pack_key_str(out, "column", batch_column_name(batch, note->column));
        wire_pack_text(out, "text");
        pack_clean(out, text_of(note->text));
    }
    uint32_t count = 0;
    for (size_t i = 0; i < (size_t)BATCH_COLUMNS_MAX * RULE_COUNT; i++)
        count += batch->rule_counts[i / RULE_COUNT][i % RULE_COUNT] != 0;
    wire_pack_text(out, "note_counts");
    wire_pack_array(out, count);
    for (size_t i = 0; i < (size_t)BATCH_COLUMNS_MAX * RULE_COUNT; i++) {
        uint32_t failed = batch->rule_counts[i / RULE_COUNT][i % RULE_COUNT];
        if (!failed)
            continue;
        wire_pack_map(out, 3);
        pack_key_str(out, "column", batch_column_name(batch, (uint16_t)(i / RULE_COUNT)));
        pack_key_text(out, "rule", check_rule_names[i % RULE_COUNT]);
        pack_key_i64(out, "count", failed);
    }
}

static void pack_provenance(struct wire_buffer *out, const struct batch *batch, const struct reply_names *names)
{
    uint32_t counts[VERDICT_COUNT] = {0};
    for (uint32_t row = 0; row < batch->row_count; row++)
        counts[batch->results.verdict[row]]++;
    pack_key_text(out, "base", names->base_name);
    pack_key_text(out, "base_version", names->base_version);
    pack_key_text(out, "base_digest", names->base_digest);
    pack_key_text(out, "config_digest", names->config_digest);
    pack_key_text(out, "kernel", names->kernel);
    wire_pack_text(out, "counts");
    wire_pack_map(out, VERDICT_COUNT);
    for (size_t i = 0; i < VERDICT_COUNT; i++)
        pack_key_i64(out, verdict_names[i], counts[i]);
}

enum { PROVENANCE_PAIRS = 6 };

static void pack_tables(struct wire_buffer *out, const struct batch *batch, const struct reply_names *names)
{
    wire_pack_text(out, "tables");
    wire_pack_map(out, batch->results.rule ? 9 : 8);
    pack_names(out, "verdict", verdict_names, VERDICT_COUNT);
    pack_names(out, "level", level_names_of_risk, LEVEL_COUNT);
    pack_names(out, "cause", cause_names, CAUSE_COUNT);
    pack_names(out, "scene", names->scenes, names->scene_count);
    pack_names(out, "risk_type", names->risk_types, names->risk_type_count);
    if (batch->results.rule)
        pack_names(out, "rule", names->rules, names->rule_count);
    wire_pack_text(out, "countermeasure");
    wire_pack_array(out, names->countermeasure_count);
    for (uint32_t i = 0; i < names->countermeasure_count; i++) {
        wire_pack_map(out, 4);
        pack_key_str(out, "name", measure_name(names->countermeasures[i]));
        pack_key_str(out, "text", measure_text(names->countermeasures[i], names->language));
        pack_measure_hints(out, names->countermeasures[i]);
    }
    pack_names(out, "dimension", dimension_names, DIMENSION_COUNT);
    reply_feature_table(out, batch, names);
}

static void pack_column(struct wire_buffer *out, const char *name, const char *type, const void *data, size_t byte_count)
{
    wire_pack_text(out, name);
    wire_pack_map(out, 2);
    pack_key_text(out, "type", type);
    pack_key_bin(out, "data", data, byte_count);
}

static const char *distance_name(size_t dimension, char out[32])
{
    strcpy(out, "distance_");
    return strcat(out, dimension_names[dimension]);
}

static void pack_columns(struct wire_buffer *out, const struct batch *batch, const struct verdicts *verdicts)
{
    size_t row_count = batch->row_count;
    char name[32];
    pack_reserve(out, row_count * REPLY_ROW_BYTES + 4096);
    wire_pack_text(out, "columns");
    wire_pack_map(out, (uint32_t)verdicts->code_count + FIGURE_COLUMNS + DIMENSION_COUNT);
    for (size_t i = 0; i < verdicts->code_count; i++)
        pack_column(out, verdicts->codes[i].name, "u8", verdicts->codes[i].codes, row_count);
    for (size_t i = 0; i < FIGURE_COLUMNS; i++)
        pack_column(out, verdicts->figures[i].name, "f32", verdicts->figures[i].values, sizeof(float) * row_count);
    for (size_t i = 0; i < DIMENSION_COUNT; i++)
        pack_column(out, distance_name(i, name), "f32", batch->results.distance[i], sizeof(float) * row_count);
}

static void pack_row(struct wire_buffer *out, const struct batch *batch, const struct reply_names *names, const struct verdicts *verdicts,
                     uint32_t row, struct reason_cursor *cursor)
{
    const struct column *ids = &batch->columns[COLUMN_transfer_id];
    const char *countermeasure = "";
    char name[32];
    wire_pack_map(out, 1 + (uint32_t)verdicts->code_count + 3 + FIGURE_COLUMNS + DIMENSION_COUNT + 1);
    wire_pack_text(out, "transfer_id");
    column_is_valid(ids, row) ? pack_clean(out, column_text(ids, row)) : wire_pack_nil(out);
    for (size_t i = 0; i < verdicts->code_count; i++) {
        const struct code_column *column = &verdicts->codes[i];
        const char *text = column->codes[row] < column->name_count ? column->names[column->codes[row]] : "";
        pack_key_str(out, column->name, measure_name(text));
        countermeasure = text; /* the last of the columns */
    }
    pack_key_str(out, "countermeasure_text", measure_text(countermeasure, names->language));
    pack_measure_hints(out, countermeasure);
    for (size_t i = 0; i < FIGURE_COLUMNS; i++)
        pack_key_f32(out, verdicts->figures[i].name, verdicts->figures[i].values[row]);
    for (size_t i = 0; i < DIMENSION_COUNT; i++)
        pack_key_f32(out, distance_name(i, name), batch->results.distance[i][row]);
    uint32_t count;
    const struct reason *reasons = reason_next(cursor, &count, batch, row);
    reply_row_reasons(out, reasons, count, names);
}

static void pack_rows(struct wire_buffer *out, const struct batch *batch, const struct reply_names *names, const struct verdicts *verdicts)
{
    struct reason_cursor cursor = {0};
    wire_pack_text(out, "transfers");
    wire_pack_array(out, batch->row_count);
    for (uint32_t row = 0; row < batch->row_count && !out->failed; row++)
        pack_row(out, batch, names, verdicts, row, &cursor);
}

static size_t longest(const char *const *names, uint32_t count)
{
    size_t most = 0;
    for (uint32_t i = 0; i < count; i++)
        most = strlen(names[i]) > most ? strlen(names[i]) : most;
    return most;
}

size_t wire_reply_row_bytes(const struct reply_names *names)
{
    enum { KEYS_AND_FIGURES = 430, REASON_KEYS = 64 };
    return KEYS_AND_FIGURES + 2 * longest(names->scenes, names->scene_count) + longest(names->rules, names->rule_count) +
           longest(names->risk_types, names->risk_type_count) + longest(names->countermeasures, names->countermeasure_count) +
           REASONS_MAX * (REASON_KEYS + longest(names->features, names->feature_count));
}

enum fault wire_reply_verdicts(struct wire_buffer *out, const struct batch *batch, const struct reply_names *names, struct fault_note *note)
{
    struct verdicts verdicts = verdicts_of(batch, names);
    uint32_t form_pairs = (batch->reply_in_rows ? 1 : 3) + (names->waited_ms != 0);
    pack_start(out, START_PAIRS + NAMES_PAIRS + PROVENANCE_PAIRS + form_pairs + NOTES_PAIRS, batch->id, "ok");
    pack_names_of_batch(out, batch);
    pack_provenance(out, batch, names);
    if (batch->reply_in_rows) {
        pack_rows(out, batch, names, &verdicts);
    } else {
        pack_tables(out, batch, names);
        pack_columns(out, batch, &verdicts);
        reply_reasons(out, batch, names);
    }
    pack_notes(out, batch);
    pack_waited(out, names->waited_ms);
    return pack_done(out, note);
}

/* The note that is recorded begins with the risk type. */
static void pack_consolidated(struct wire_buffer *out, const struct batch *batch)
{
    enum consolidated found = CONSOLIDATED_AGREES;
    struct text told = batch->note_count ? text_of(batch->notes[0].text) : text_of("");
    for (enum consolidated i = CONSOLIDATED_AGREES + 1; i < CONSOLIDATED_COUNT; i++) {
        size_t bytes = strlen(consolidated_names[i].risk_type);
        if (told.bytes > bytes && memcmp(told.data, consolidated_names[i].risk_type, bytes) == 0 && told.data[bytes] == ':')
            found = i;
    }
    pack_key_text(out, "verdict", found == CONSOLIDATED_AGREES ? "execute" : "return");
    pack_key_text(out, "risk_type", consolidated_names[found].risk_type);
    pack_key_text(out, "countermeasure", consolidated_names[found].countermeasure);
}

enum fault wire_reply_done(struct wire_buffer *out, const struct batch *batch, uint32_t waited_ms, struct fault_note *note)
{
    uint32_t invalid_count = 0;
    for (uint32_t row = 0; batch->facts.invalid && row < batch->row_count; row++)
        invalid_count += batch->facts.invalid[row] != 0;
    const uint32_t verdict_pairs = batch->op == OP_consolidate ? CONSOLIDATED_PAIRS : 0;
    pack_start(out, START_PAIRS + NAMES_PAIRS + 1 + NOTES_PAIRS + (waited_ms != 0) + verdict_pairs, batch->id, "ok");
    pack_names_of_batch(out, batch);
    if (verdict_pairs)
        pack_consolidated(out, batch);
    wire_pack_text(out, "counts");
    wire_pack_map(out, 2);
    pack_key_i64(out, "taken", batch->row_count - invalid_count);
    pack_key_i64(out, "invalid", invalid_count);
    pack_notes(out, batch);
    pack_waited(out, waited_ms);
    return pack_done(out, note);
}

void wire_reply_fault(struct wire_buffer *out, struct text id, const struct fault_note *fault)
{
    pack_start(out, START_PAIRS + 3, id, "error");
    pack_key_text(out, "fault", fault_name(fault->fault));
    pack_key_i64(out, "retry_after_ms", fault->retry_after_ms);
    wire_pack_text(out, "notes");
    wire_pack_array(out, 1);
    wire_pack_map(out, 3);
    wire_pack_text(out, "row");
    fault->row == ROW_NONE ? wire_pack_nil(out) : wire_pack_i64(out, fault->row);
    wire_pack_text(out, "column");
    fault->column == COLUMN_NONE ? wire_pack_nil(out) : wire_pack_text(out, column_name(fault->column));
    wire_pack_text(out, "text");
    pack_clean(out, text_of(fault->text));
}
