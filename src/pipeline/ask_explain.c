/* Why a recorded transfer got its verdict: from its frame and the names of the epoch that decided it. Nothing is scored again,
 * so the answer stays the same under every later base and configuration. */
#include "pipeline/internal.h"

#include <string.h>

#include "wire/pack.h"

enum { HEAD_PAIRS = 5, ROW_PAIRS = 9, SCENE_PAIRS = 4, RISK_PAIRS = 1, ANOMALY_PAIRS = 3, LIST_PAIRS = 2, PROVENANCE_PAIRS = 5 };
enum {
    ALL_PAIRS =
        3 + HEAD_PAIRS + ROW_PAIRS + 2 * SCENE_PAIRS + RISK_PAIRS + 2 * ANOMALY_PAIRS + DIMENSION_COUNT + LIST_PAIRS + PROVENANCE_PAIRS
};

struct explaining {
    struct job *job;
    bool found; /* answered, or job->note says why not */
};

static const char *name_at(const char *const *names, uint32_t count, uint32_t code)
{
    return code < count ? names[code] : "";
}

/* A degree against what it is compared with: threshold and margin (above 0: it reached it), nil where there is none. */
static void pack_against(struct wire_buffer *out, const char *const keys[3], float degree, const float *threshold)
{
    pack_key_f32(out, keys[0], degree);
    if (threshold) {
        pack_key_f32(out, keys[1], *threshold);
        pack_key_f32(out, keys[2], degree - *threshold);
        return;
    }
    for (unsigned i = 1; i < 3; i++) {
        wire_pack_text(out, keys[i]);
        wire_pack_nil(out);
    }
}

static void pack_scenes(struct wire_buffer *out, const struct results *results, uint32_t row, const struct stored_names *stored)
{
    static const char *const best[] = {"match", "threshold", "margin"};
    static const char *const second[] = {"runner_match", "runner_threshold", "runner_margin"};
    const struct reply_names *names = &stored->names;
    uint32_t codes[] = {results->scene[row], results->runner_up[row]};
    const float *thresholds[2] = {NULL, NULL};
    for (unsigned i = 0; i < 2; i++)
        if (codes[i] && codes[i] < stored->threshold_count)
            thresholds[i] = &stored->thresholds[codes[i]];
    pack_key_text(out, "scene", name_at(names->scenes, names->scene_count, codes[0]));
    pack_against(out, best, results->match[row], thresholds[0]);
    pack_key_text(out, "runner_up", name_at(names->scenes, names->scene_count, codes[1]));
    pack_against(out, second, results->runner_match[row], thresholds[1]);
    pack_key_f32(out, "risk", results->risk[row]);
}

static void pack_anomaly(struct wire_buffer *out, const struct results *results, uint32_t row, const struct stored_names *stored)
{
    static const char *const own[] = {"anomaly_own", "anomaly_own_threshold", "anomaly_own_margin"};
    static const char *const linked[] = {"anomaly_linked", "anomaly_linked_threshold", "anomaly_linked_margin"};
    const float *thresholds = stored->anomaly_thresholds;
    pack_against(out, own, results->anomaly_own[row], stored->threshold_count ? &thresholds[ANOMALY_OWN] : NULL);
    pack_against(out, linked, results->anomaly_linked[row], stored->threshold_count ? &thresholds[ANOMALY_LINKED] : NULL);
}

static void pack_distances(struct wire_buffer *out, const struct results *results, uint32_t row)
{
    for (unsigned i = 0; i < DIMENSION_COUNT; i++) {
        char key[32] = "distance_";
        pack_key_f32(out, strcat(key, dimension_names[i]), results->distance[i][row]);
    }
}

static const struct reason *reasons_of(const struct results *results, uint32_t row, uint32_t *out_count)
{
    for (uint32_t slice = 0; slice < results->slice_count; slice++) {
        const struct reason_block *block = &results->reasons[slice];
        for (uint32_t i = 0; i < block->count; i++)
            if (block->row[i] == row)
                return *out_count = block->reason_count[i], &block->reasons[(size_t)i * REASONS_MAX];
    }
    return *out_count = 0, NULL;
}

/* A feature's definition, and so its unit, never changes under its name. */
static const char *unit_of(const char *feature)
{
    int known = feature_find(feature, strlen(feature));
    return known < 0 ? "" : feature_infos[known].unit;
}

static void pack_reasons(struct wire_buffer *out, const struct results *results, uint32_t row, const struct reply_names *names)
{
    uint32_t count;
    const struct reason *reasons = reasons_of(results, row, &count);
    wire_pack_text(out, "reasons");
    wire_pack_array(out, count);
    for (uint32_t i = 0; i < count; i++) {
        const char *feature = name_at(names->features, names->feature_count, reasons[i].feature);
        wire_pack_map(out, 5);
        pack_key_text(out, "feature", feature);
        pack_key_text(out, "dimension", name_at(dimension_names, DIMENSION_COUNT, reasons[i].dimension));
        pack_key_text(out, "unit", unit_of(feature));
        pack_key_f32(out, "value", reasons[i].value);
        pack_key_f32(out, "share", reasons[i].share);
    }
}

/* What is wrong with an invalid row, as far as the reply of its batch told it. */
static void pack_row_notes(struct wire_buffer *out, const struct batch *batch, uint32_t row)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < batch->note_count; i++)
        count += batch->notes[i].row == row;
    wire_pack_text(out, "notes");
    wire_pack_array(out, count);
    for (uint32_t i = 0; i < batch->note_count; i++) {
        if (batch->notes[i].row != row)
            continue;
        wire_pack_map(out, 2);
        pack_key_text(out, "column", column_name(batch->notes[i].column));
        wire_pack_text(out, "text");
        pack_clean(out, text_of(batch->notes[i].text));
    }
}

static void pack_row(struct wire_buffer *out, const struct batch *batch, uint32_t row, const struct reply_names *names)
{
    const struct results *results = &batch->results;
    const char *measure = name_at(names->countermeasures, names->countermeasure_count, results->countermeasure[row]);
    uint32_t name_bytes = (uint32_t)strcspn(measure, "\x1f");
    pack_key_str(out, "transfer_id", column_text(&batch->columns[COLUMN_transfer_id], row));
    pack_key_i64(out, "row", row);
    pack_key_i64(out, "time", batch->facts.time_us[row]);
    pack_key_text(out, "verdict", verdict_names[results->verdict[row]]);
    pack_key_text(out, "level", level_names_of_risk[results->level[row]]);
    pack_key_text(out, "cause", cause_names[results->cause[row]]);
    pack_key_text(out, "risk_type", name_at(names->risk_types, names->risk_type_count, results->risk_type[row]));
    pack_key_str(out, "countermeasure", (struct text){.data = measure, .bytes = name_bytes});
    pack_key_text(out, "countermeasure_text", measure + name_bytes + (measure[name_bytes] == '\x1f'));
}

static void pack_explanation(struct wire_buffer *out, struct text id, const struct ledger_row *found, const struct stored_names *stored)
{
    const struct batch *batch = found->batch;
    const struct reply_names *names = &stored->names;
    wire_pack_map(out, ALL_PAIRS);
    pack_key_i64(out, "v", 1);
    pack_key_str(out, "id", id);
    pack_key_text(out, "status", "ok");
    pack_key_text(out, "op", op_names[OP_explain]);
    pack_key_str(out, "batch", batch->name);
    pack_key_str(out, "batch_id", batch->id);
    pack_key_i64(out, "sequence", (int64_t)batch->sequence);
    pack_key_i64(out, "recorded", batch->now_us);
    pack_row(out, batch, found->row, names);
    pack_scenes(out, &batch->results, found->row, stored);
    pack_anomaly(out, &batch->results, found->row, stored);
    pack_distances(out, &batch->results, found->row);
    pack_reasons(out, &batch->results, found->row, names);
    pack_row_notes(out, batch, found->row);
    pack_key_text(out, "base", names->base_name);
    pack_key_text(out, "base_version", names->base_version);
    pack_key_text(out, "base_digest", names->base_digest);
    pack_key_text(out, "config_digest", names->config_digest);
    pack_key_text(out, "kernel", names->kernel);
}

/* The newest comes first; past transfers that were imported have no verdict. */
static bool explain_row(void *context, const struct ledger_row *found)
{
    struct explaining *explaining = context;
    struct job *job = explaining->job;
    struct stored_names *stored = NULL;
    if (found->batch->op != OP_screen)
        return true;
    explaining->found = true;
    if (stored_names_of(&stored, job->pipeline, found->batch, &job->note) == FAULT_NONE)
        pack_explanation(&job->reply, job->request.id, found, stored);
    stored_names_give(&stored);
    return false;
}

void answer_explain(struct job *job)
{
    const struct request *request = &job->request;
    struct explaining explaining = {.job = job};
    char tenant[129], batch[129] = "", transfer[129];
    text_copy(tenant, sizeof tenant, request->tenant);
    text_copy(transfer, sizeof transfer, request->transfer);
    if (request->batch.data != request->id.data) /* absent: stands for the id */
        text_copy(batch, sizeof batch, request->batch);
    const struct ledger_query query = {.tenant = tenant, .batch = batch[0] ? batch : NULL, .transfer = transfer, .verdict = -1};
    enum fault fault = job->pipeline->ledger_ops->query(job->pipeline->ledger, &query, explain_row, &explaining, &job->note);
    if (fault == FAULT_NONE && !explaining.found)
        fault_set(&job->note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "no screened transfer %.60s is recorded%s%.60s", transfer,
                  batch[0] ? " in batch " : "", batch);
}
