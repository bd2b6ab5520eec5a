/* Why a recorded transfer got its verdict: from its frame and the names of the epoch that decided it, so that the answer stays the
 * same under every later base and configuration; then what the log gives again (again.h). Who may not see margins is told what
 * the reply of its batch told: verdict, countermeasure, names of reasons. */
#include "pipeline/explain.h"

#include <string.h>

#include "base/clock.h"
#include "wire/pack.h"

enum { HEAD_PAIRS = 5, ROW_PAIRS = 12, SCENE_PAIRS = 4, RISK_PAIRS = 1, ANOMALY_PAIRS = 3, LIST_PAIRS = 2, PROVENANCE_PAIRS = 5 };
enum {
    FEW_PAIRS = 3 + HEAD_PAIRS + ROW_PAIRS + LIST_PAIRS + PROVENANCE_PAIRS,
    ALL_PAIRS = FEW_PAIRS + 2 * SCENE_PAIRS + RISK_PAIRS + 2 * ANOMALY_PAIRS + DIMENSION_COUNT + EXPLAIN_AGAIN_PAIRS,
};
#define WALK_NS_MAX 30000000000LL /* of a request without a deadline */

struct explaining {
    struct job *job;
    bool found; /* answered so far, or job->note says why not */
    struct stored_names *stored;
    uint64_t sequence;
    uint32_t row;
    struct explain_ids ids;
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
    const bool with_margins = names->with_margins;
    uint32_t count;
    const struct reason *reasons = reasons_of(results, row, &count);
    wire_pack_text(out, "reasons");
    wire_pack_array(out, count);
    for (uint32_t i = 0; i < count; i++) {
        const char *feature = name_at(names->features, names->feature_count, reasons[i].feature);
        wire_pack_map(out, with_margins ? 5 : 2);
        pack_key_text(out, "feature", feature);
        pack_key_text(out, "dimension", name_at(dimension_names, DIMENSION_COUNT, reasons[i].dimension));
        if (!with_margins)
            continue;
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
        pack_key_str(out, "column", batch_column_name(batch, batch->notes[i].column));
        wire_pack_text(out, "text");
        pack_clean(out, text_of(batch->notes[i].text));
    }
}

static void pack_row(struct wire_buffer *out, const struct batch *batch, uint32_t row, const struct reply_names *names)
{
    const struct results *results = &batch->results;
    const char *measure = name_at(names->countermeasures, names->countermeasure_count, results->countermeasure[row]);
    pack_key_str(out, "transfer_id", column_text(&batch->columns[COLUMN_transfer_id], row));
    pack_key_i64(out, "row", row);
    pack_key_i64(out, "time", batch->facts.time_us[row]);
    pack_key_text(out, "verdict", verdict_names[results->verdict[row]]);
    pack_key_text(out, "level", level_names_of_risk[results->level[row]]);
    pack_key_text(out, "cause", cause_names[results->cause[row]]);
    pack_key_text(out, "rule", results->rule ? name_at(names->rules, names->rule_count, results->rule[row]) : "none");
    pack_key_text(out, "risk_type", name_at(names->risk_types, names->risk_type_count, results->risk_type[row]));
    pack_key_str(out, "countermeasure", measure_name(measure));
    pack_key_str(out, "countermeasure_text", measure_text(measure, names->language));
    pack_measure_hints(out, measure);
}

static void pack_explanation(struct wire_buffer *out, struct text id, const struct ledger_row *found, const struct stored_names *stored)
{
    const struct batch *batch = found->batch;
    const struct reply_names *names = &stored->names;
    wire_pack_map(out, names->with_margins ? ALL_PAIRS : FEW_PAIRS);
    pack_key_i64(out, "v", 1);
    pack_key_str(out, "id", id);
    pack_key_text(out, "status", "ok");
    pack_key_text(out, "op", op_names[OP_explain]);
    pack_key_str(out, "batch", batch->name);
    pack_key_str(out, "batch_id", batch->id);
    pack_key_i64(out, "sequence", (int64_t)batch->sequence);
    pack_key_i64(out, "recorded", batch->now_us);
    pack_row(out, batch, found->row, names);
    if (names->with_margins) {
        pack_scenes(out, &batch->results, found->row, stored);
        pack_anomaly(out, &batch->results, found->row, stored);
        pack_distances(out, &batch->results, found->row);
    }
    pack_reasons(out, &batch->results, found->row, names);
    pack_row_notes(out, batch, found->row);
    pack_key_text(out, "base", names->base_name);
    pack_key_text(out, "base_version", names->base_version);
    pack_key_text(out, "base_digest", names->base_digest);
    pack_key_text(out, "config_digest", names->config_digest);
    pack_key_text(out, "kernel", names->kernel);
}

static void ids_keep(struct explain_ids *out, const struct batch *batch, uint32_t row)
{
    static const uint16_t columns[EXPLAIN_IDS] = {COLUMN_payer_id,      COLUMN_payee_id,     COLUMN_payer_device,
                                                  COLUMN_payer_address, COLUMN_payee_device, COLUMN_payee_address};
    for (unsigned i = 0; i < EXPLAIN_IDS; i++) {
        const struct column *column = &batch->columns[columns[i]];
        out->nodes[i] = column_name(columns[i]);
        text_copy(out->texts[i], sizeof out->texts[i], column_is_valid(column, row) ? column_text(column, row) : (struct text){0});
    }
}

/* The newest comes first; past transfers that were imported have no verdict. */
static bool explain_row(void *context, const struct ledger_row *found)
{
    struct explaining *explaining = context;
    struct job *job = explaining->job;
    if (found->batch->op != OP_screen)
        return true;
    explaining->found = true;
    explaining->sequence = found->batch->sequence, explaining->row = found->row;
    ids_keep(&explaining->ids, found->batch, found->row);
    if (stored_names_of(&explaining->stored, job->pipeline, found->batch, &job->note) != FAULT_NONE)
        return false;
    explaining->stored->names.with_margins = job->rights & RIGHT_EXPLAIN;
    explaining->stored->names.language = job_language(job);
    pack_explanation(&job->reply, job->request.id, found, explaining->stored);
    return false;
}

/* Behind the query, so that one recorded batch is held at a time. */
static void explain_again(struct explaining *explaining)
{
    struct job *job = explaining->job;
    struct again *again = NULL;
    struct fault_note why = {0};
    int64_t until_ns = job->deadline_ns ? job->deadline_ns : clock_steady_ns() + WALK_NS_MAX;
    again_make(&again, job->pipeline, job->epoch, explaining->stored, explaining->sequence, explaining->row, until_ns, &why);
    explain_pack_again(&job->reply, again, again ? again->why : why.text, &explaining->ids);
    again_give(&again);
}

static void answer_explain(struct job *job)
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
    else if (job->note.fault == FAULT_NONE && job->rights & RIGHT_EXPLAIN)
        explain_again(&explaining);
    stored_names_give(&explaining.stored);
}

enum fault ask_explain(struct job *job)
{
    if (queue_try_push(&job->pipeline->explain_queue, job))
        return FAULT_NONE;
    return fault_set(&job->note, FAULT_busy, ROW_NONE, COLUMN_NONE, "%d transfers wait to be explained", EXPLAINS_MAX);
}

void explain_run(void *argument)
{
    struct pipeline *pipeline = argument;
    struct job *job;
    while ((job = queue_pop(&pipeline->explain_queue))) {
        if (job_is_late(job))
            fault_set(&job->note, FAULT_deadline, ROW_NONE, COLUMN_NONE, "deadline passed before the ledger was asked");
        else
            answer_explain(job);
        ask_deliver(job);
    }
}
