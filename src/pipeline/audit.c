/* What the audit log says of a change: who, what, to which object, from which state to which. */
#include "pipeline/audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "pipeline/life.h"

enum { HEX_BYTES = 33 };

bool audit_wants(const struct job *job)
{
    return job->note.fault == FAULT_NONE && op_is_audited(job->batch.op);
}

static void digest_print(char out[AUDIT_STATE_BYTES], struct digest digest)
{
    char hex[HEX_BYTES];
    digest_to_hex(hex, digest);
    snprintf(out, AUDIT_STATE_BYTES, "%s", digest_equal(digest, (struct digest){0}) ? "" : hex);
}

static void base_line(struct ledger_audit *out, const struct ledger_base_change *change)
{
    snprintf(out->object, sizeof out->object, "%s %s", change->name, change->version);
    digest_print(out->before, change->before);
    digest_print(out->after, change->digest);
}

static void life_line(struct ledger_audit *out, const struct job_life *life)
{
    const struct ledger_life_change *change = &life->change;
    snprintf(out->before, sizeof out->before, "%s", life->before ? life->before : "");
    snprintf(out->after, sizeof out->after, "%s", life_state_names[change->life.state]);
    if (change->released)
        snprintf(out->after, sizeof out->after, "%s, %" PRIu32 " rows in release %" PRIu32, life_state_names[change->life.state],
                 change->released_rows, change->life.releases);
}

void audit_line(struct ledger_audit *out, const struct job *job)
{
    const struct batch *batch = &job->batch;
    const char *by = job->credential ? job->credential->name : "";
    bool by_itself = job->line == NULL; /* the server's own change: a time that is over */
    *out = (struct ledger_audit){.sequence = batch->sequence, .digest = batch->digest, .now_us = batch->now_us};
    snprintf(out->who, sizeof out->who, "%.*s%s%s", (int)batch->tenant.bytes, batch->tenant.data, by_itself || *by ? "/" : "",
             by_itself ? "(time is over)" : by);
    snprintf(out->action, sizeof out->action, "%s", op_names[batch->op]);
    const struct text object = batch->name.bytes ? batch->name : batch->id;
    text_copy(out->object, sizeof out->object, object);
    if (job->life)
        life_line(out, job->life);
    else if (job->change)
        base_line(out, &job->change->record);
    else
        snprintf(out->after, sizeof out->after, "%" PRIu32 " rows", batch->row_count);
}

enum fault audit_epoch(struct pipeline *pipeline, const struct epoch *before, const struct epoch *after, struct fault_note *note)
{
    struct ledger_audit line = {.sequence = 0, .now_us = clock_wall_us()};
    snprintf(line.who, sizeof line.who, "(server)");
    snprintf(line.action, sizeof line.action, "%s", before ? "reload" : "start");
    snprintf(line.object, sizeof line.object, "%.170s", after->config->source);
    if (before)
        digest_print(line.before, before->config->digest);
    digest_print(line.after, after->config->digest);
    strncat(line.after, " by sluice " SLUICE_VERSION, sizeof line.after - HEX_BYTES);
    return pipeline->ledger_ops->audit->put(pipeline->ledger, &line, note);
}
