/* Webhooks: what became of a tenant's batch leaves for its connector, in the transaction that says so. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "pipeline/life.h"

static const char *state_of(const struct job *job)
{
    const struct ledger_life_change *change = &job->life->change;
    if (change->released)
        return "released";
    return change->told ? row_state_names[change->told->state] : life_state_names[change->life.state];
}

static json_t *text_json(struct text text)
{
    return json_stringn(text.data, text.bytes);
}

static char *payload_of(const struct job *job)
{
    const struct batch *batch = &job->batch;
    const struct ledger_life_change *change = &job->life->change;
    json_t *object = json_pack("{s:o, s:o, s:s, s:s, s:s, s:I, s:I}", "tenant", text_json(batch->tenant), "batch", text_json(batch->name),
                               "state", state_of(job), "life", life_state_names[change->life.state], "by", op_names[batch->op], "sequence",
                               (json_int_t)batch->sequence, "time", (json_int_t)batch->now_us);
    if (object && change->released) {
        char release[160];
        snprintf(release, sizeof release, "%.*s/r%" PRIu32, (int)batch->name.bytes, batch->name.data, change->life.releases);
        json_object_set_new(object, "release", json_string(release));
        json_object_set_new(object, "rows", json_integer(change->released_rows));
    }
    return json_text(object, JSON_COMPACT);
}

static enum fault outcome_put(struct job *job, const char *connector)
{
    const struct batch *batch = &job->batch;
    char id[400], name[130];
    char *payload = payload_of(job);
    if (!payload)
        return fault_set(&job->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for what a webhook is told");
    int bytes = snprintf(id, sizeof id, "%.*s/%.*s/%" PRIu64, (int)batch->tenant.bytes, batch->tenant.data, (int)batch->name.bytes,
                         batch->name.data, batch->sequence);
    if (bytes > LETTER_ID_BYTES_MAX)
        snprintf(id, sizeof id, "%.*s/%" PRIu64, (int)batch->tenant.bytes, batch->tenant.data, batch->sequence);
    text_copy(name, sizeof name, batch->name);
    enum fault fault = outbox_add(&job->outbox, job->epoch->config, connector, "outcome", id, name[0] ? name : NULL, payload, &job->note);
    json_text_give(payload);
    return fault;
}

enum fault outcome_add(struct job *job)
{
    if (!job->life || !job->line)
        return FAULT_NONE;
    const char *connector = job->epoch->config->tenants[job->tenant_index].webhook;
    bool is_news = job->request.op != OP_screen || job->life->change.released;
    return connector[0] && is_news ? outcome_put(job, connector) : FAULT_NONE;
}
