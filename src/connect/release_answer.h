#ifndef SLUICE_CONNECT_RELEASE_ANSWER_H
#define SLUICE_CONNECT_RELEASE_ANSWER_H

#include <stddef.h>

#include "base/fault.h"

/* What a processor answers to a second batch: {"id": "<derived id>", "status": "accepted" | "refused", "reason": "..."}. */

enum release_status { RELEASE_ACCEPTED, RELEASE_REFUSED };
struct release_answer {
    enum release_status status;
    char reason[120]; /* of a refusal; cut, control characters are spaces */
};
/* FAULT_syntax, FAULT_schema: no such answer; FAULT_conflict: to another id. Hostile-safe. */
enum fault release_answer_read(struct release_answer *out, const char *id, const void *bytes, size_t byte_count, struct fault_note *note);

#endif
