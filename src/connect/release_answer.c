/* Only an answer that names the id is one: a page of some proxy with status 200 acknowledges nothing. */
#include "connect/release_answer.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

static enum fault fields_read(struct release_answer *out, const char *id, const json_t *root, struct fault_note *note)
{
    const char *told = json_string_value(json_object_get(root, "id"));
    const char *status = json_string_value(json_object_get(root, "status"));
    const char *reason = json_string_value(json_object_get(root, "reason"));
    if (!told || !status)
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "the processor's answer lacks id or status");
    if (strcmp(told, id) != 0)
        return fault_set(note, FAULT_conflict, ROW_NONE, COLUMN_NONE, "the processor answers to another id");
    if (strcmp(status, "accepted") == 0)
        out->status = RELEASE_ACCEPTED;
    else if (strcmp(status, "refused") == 0)
        out->status = RELEASE_REFUSED;
    else
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "the processor's status is neither accepted nor refused");
    snprintf(out->reason, sizeof out->reason, "%s", reason ? reason : "");
    for (char *at = out->reason; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = ' ';
    return FAULT_NONE;
}

enum fault release_answer_read(struct release_answer *out, const char *id, const void *bytes, size_t byte_count, struct fault_note *note)
{
    json_t *root = NULL;
    *out = (struct release_answer){0};
    enum fault fault = json_read(&root, bytes ? bytes : "", byte_count, FAULT_syntax, "the processor's answer", note);
    if (fault != FAULT_NONE)
        return fault;
    fault = fields_read(out, id, root, note);
    json_decref(root);
    return fault;
}
