#ifndef SLUICE_BATCH_LIFE_H
#define SLUICE_BATCH_LIFE_H

#include <stdint.h>

/* What becomes of a batch and of its rows after a screening; docs/states.md has the picture. The numbers are kept in ledgers. */

enum life_state { LIFE_OPEN, LIFE_AWAITING, LIFE_RELEASED, LIFE_CONSOLIDATED, LIFE_EXECUTED, LIFE_CLOSED, LIFE_CANCELLED, LIFE_COUNT };
/* ROW_SCREENED: as its last verdict says. */
enum row_state {
    ROW_SCREENED,
    ROW_CANCELLED,
    ROW_EXPIRED,
    ROW_RELEASED,
    ROW_CONSOLIDATED,
    ROW_RETURNED, /* its consolidated check did not pass */
    ROW_EXECUTED,
    ROW_FAILED,
    ROW_STATE_COUNT
};
/* Of a second batch on its way to the processor. */
enum outbox_state {
    OUTBOX_WAITING,
    OUTBOX_ACKNOWLEDGED,
    OUTBOX_CONSOLIDATED,
    OUTBOX_EXECUTED,
    OUTBOX_FAILED,
    OUTBOX_RETURNED,
    OUTBOX_DEAD, /* refused for good; sent again when someone asks for that */
    OUTBOX_COUNT
};

/* What a consolidated check finds. All but the first send the transfers back to the submitter. */
enum consolidated { CONSOLIDATED_AGREES, CONSOLIDATED_LATE, CONSOLIDATED_DIFFERS, CONSOLIDATED_LISTED, CONSOLIDATED_COUNT };
struct consolidated_names {
    const char *risk_type, *countermeasure;
};
extern const struct consolidated_names consolidated_names[CONSOLIDATED_COUNT];

extern const char *const life_state_names[LIFE_COUNT], *const row_state_names[ROW_STATE_COUNT], *const outbox_state_names[OUTBOX_COUNT];

#endif
