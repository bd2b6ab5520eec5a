#ifndef SLUICE_TESTS_FLOW_SENDERS_H
#define SLUICE_TESTS_FLOW_SENDERS_H

#include "flow/harness.h"

/* Several senders with batches in flight at a server that dies, and what has to hold afterwards. One of them sends imports,
 * observations and labels of what it imported, by turns; the others send what is screened. */

enum { SENDERS = 3, SENT_ROWS = 24 };

struct sent {
    char id[48];
    const char *op;
    bool is_labelled;         /* an import with labels: a label of it changes nothing */
    uint32_t first;           /* row of the table */
    bool acknowledged, known; /* known: answer holds what the first answer said */
    struct sent_answer {
        int64_t sequence;
        uint32_t taken;                  /* of other ops than screen */
        struct recorded rows[SENT_ROWS]; /* of screen */
    } answer;
};
struct sent_list {
    struct sent *items;
    uint32_t count, capacity;
};

/* Each of SENDERS threads sends batches one after the other, until the server is gone or `each` are answered. Everything
 * that was sent is appended to the list. */
void senders_run(struct sent_list *list, struct server *server, const struct table *table, unsigned round, unsigned each);
/* Sends everything from `from` on again under its id: what was acknowledged gets the same answer, what was not is taken now
 * or was; nothing is recorded twice: the sequence numbers are those from 1 on. The list holds all that the ledger was sent. MUST. */
void senders_check(struct sent_list *list, struct server *server, const struct table *table, uint32_t from);
/* Kills the server, starts a copy of its ledger without the snapshot, compares the histories, starts the server. MUST. */
void senders_check_history(struct server *server, unsigned round);
void sent_list_free(struct sent_list *list);

#endif
