#ifndef SLUICE_PIPELINE_PAST_LEDGER_H
#define SLUICE_PIPELINE_PAST_LEDGER_H

#include "pipeline/past.h"

/* Past transfers out of a ledger, which is only read: screened and imported rows in the order of the log, with the keys that its server
 * gave them, history as it was, and in the column label what is known of a row by now: the last label that a label batch
 * gave its transfer, else the one that came with it. Decoded ahead by a thread of its own. */

struct past_ledger;

/* from_us: rows before it are not asked for, so history may begin behind a snapshot. */
enum fault past_ledger_open(struct past_ledger **out, const char *folder, int64_t from_us, struct fault_note *note);
void past_ledger_close(struct past_ledger **source_p); /* safe on NULL */
/* The next batch of transfers, the source's until the next call; what comes between has gone into history. NULL: the end. */
enum fault past_ledger_next(struct past_ledger *source, struct batch **out, struct fault_note *note);
/* Rows of that batch: figures as they stood before each, which is then counted. */
void past_ledger_relate(struct past_ledger *source, uint32_t first, uint32_t count, struct figures *out);
/* First and last time of its transfers; last_us is one past. */
enum fault past_ledger_span(int64_t *first_us, int64_t *last_us, const char *folder, struct fault_note *note);

#endif
