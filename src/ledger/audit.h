#ifndef SLUICE_LEDGER_AUDIT_H
#define SLUICE_LEDGER_AUDIT_H

#include "ledger/ledger.h"

/* The audit log: what somebody did to the server or to what it decided. Lines are only added; each carries the SHA-256 over the
 * hash of the line before it and everything that it says, so a line that was changed, left out or put in shows. Lines that were cut
 * from the end show against the log of changes, or against a head that somebody wrote down. */

enum { AUDIT_HASH_BYTES = 32, AUDIT_WHO_BYTES = 264, AUDIT_OBJECT_BYTES = 176, AUDIT_STATE_BYTES = 96 };
struct ledger_audit {
    uint64_t entry;       /* 1, 2, …; set by writing */
    uint64_t sequence;    /* of the change in the log; 0: none */
    struct digest digest; /* of that change's content */
    int64_t now_us;
    char who[AUDIT_WHO_BYTES], action[32], object[AUDIT_OBJECT_BYTES]; /* who: tenant, a slash and the credential's name */
    char before[AUDIT_STATE_BYTES], after[AUDIT_STATE_BYTES];          /* "" where there is none */
    unsigned char hash[AUDIT_HASH_BYTES];                              /* set by writing */
};
typedef bool ledger_audit_fn(void *context, const struct ledger_audit *line); /* false: enough; may not call the ledger */

struct ledger_audit_query {
    struct text who, action; /* empty: any */
    int64_t from_us, to_us;  /* to exclusive; 0: without end */
    uint64_t after;          /* paging: behind that entry */
    uint32_t rows_max;
};

struct ledger_audit_head { /* the last line */
    uint64_t entry;
    unsigned char hash[AUDIT_HASH_BYTES];
};

struct ledger_audit_ops {
    /* A line of its own, for what no change of the log causes. Durable when it returns; any thread. Those of changes are written by
     * commit, in the change's transaction. */
    enum fault (*put)(struct ledger *ledger, const struct ledger_audit *line, struct fault_note *note);
    /* Oldest first. */
    enum fault (*list)(struct ledger *ledger, const struct ledger_audit_query *query, ledger_audit_fn *each, void *context,
                       struct fault_note *note);
    /* Reads every line. FAULT_ledger: the note names the first that is not as it was written, or the change that has none. */
    enum fault (*verify)(struct ledger *ledger, struct ledger_audit_head *out, const struct ledger_audit_head *known,
                         struct fault_note *note); /* known: a line as it was once; NULL: none */
};

static inline bool op_is_audited(enum op op) /* changes what was or will be decided; feeds of transfers, facts and labels are not */
{
    return op_changes_state(op) && op != OP_screen && op != OP_import && op != OP_observe && op != OP_label;
}

#endif
