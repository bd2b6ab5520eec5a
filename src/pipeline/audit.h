#ifndef SLUICE_PIPELINE_AUDIT_H
#define SLUICE_PIPELINE_AUDIT_H

#include "ledger/audit.h"
#include "pipeline/internal.h"

enum { AUDITS_PER_GROUP = 16 }; /* changes of one group of commits that have a line */

bool audit_wants(const struct job *job);                          /* the job's change has a line in the audit log */
void audit_line(struct ledger_audit *out, const struct job *job); /* of such a job, sequenced */
/* A start or a reload, with the configuration before it and behind it. */
enum fault audit_epoch(struct pipeline *pipeline, const struct epoch *before, const struct epoch *after, struct fault_note *note);

#endif
