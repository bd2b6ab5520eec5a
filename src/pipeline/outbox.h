#ifndef SLUICE_PIPELINE_OUTBOX_H
#define SLUICE_PIPELINE_OUTBOX_H

#include "base/fault.h"
#include "ledger/ledger.h"
#include "pipeline/config.h"

/* What a change makes leave for connectors: gathered here, handed to the ledger with the change (ledger_entry.messages), sent by the
 * connector's sender behind its commit (outward_wake). For one (connector, recipient, id) there is one message, whoever puts it
 * again; so an id is derived from what happened, never drawn. Not shared between threads. */

struct outbox { /* starts as zeros */
    struct ledger_message *messages;
    uint32_t count, capacity;
    struct outbox_text *texts; /* what they point to */
};

/* One message, or with recipient NULL one for each of the connector's `to`. payload: a JSON object; of mail and sms its fields fill the
 * template for the subject, "title" and "text" where there is none. recipient: an address, a number; of other kinds what is kept
 * in order (an account, a batch), with NULL the id itself. All is copied. FAULT_not_found: no such connector; FAULT_limit: too
 * long; FAULT_schema: no address, or nobody to send it to. */
enum fault outbox_add(struct outbox *outbox, const struct config *config, const char *connector, const char *subject, const char *id,
                      const char *recipient, const char *payload, struct fault_note *note);
/* The first connector of that kind, for those that have no other word for it; NULL: none is configured. */
const char *outbox_connector(const struct config *config, enum connector_kind kind);
void outbox_fini(struct outbox *outbox);

#endif
