#ifndef SLUICE_PIPELINE_AGAIN_WALK_H
#define SLUICE_PIPELINE_AGAIN_WALK_H

#include "pipeline/again.h"
#include "pipeline/internal.h"

/* The walk of the log up to one row. History is a function of the log, and a row's figures read the records of its own
 * accounts, pair, devices and addresses alone: only rows that touch these are added, in their order and under the clock of all
 * rows. Records that had given way in the server's history, for want of room, are there in this one. */

enum { PLACES_OF_ROW = 4 /* payer device, payer address, payee device, payee address */ };

struct walk_party { /* what history would say of it */
    uint64_t key, device, address;
    uint32_t active;
};

struct walking {
    struct pipeline *pipeline;
    struct again *again;     /* gets figures and features of the row */
    struct history *history; /* NULL: only the parties are followed */
    struct batch tick;       /* a row that touches nothing: it moves the clock */
    uint64_t nobody;
    int64_t nothing, tick_us;
    uint8_t is_refused; /* no */
    uint64_t sequence;
    uint32_t row;
    int64_t until_ns, clock_us, told_us;
    struct walk_party parties[2];
    uint64_t places[PLACES_OF_ROW]; /* named by the row, or last used; 0: none */
    bool is_there;                  /* the row was reached */
};

extern const struct history_limits walk_limits;

void walk_begin(struct walking *out, struct pipeline *pipeline, struct again *again, uint64_t sequence, uint32_t row, int64_t until_ns);
void walk_end(struct walking *walking);
void walk_look(struct walking *walking, const struct batch *batch); /* what its row is about */
/* To the row, twice where it leaves a device or an address out: the first time finds what its accounts had used last. */
enum fault walk_whole(struct walking *walking, struct fault_note *note);
bool walk_held_all(const struct walking *walking); /* nothing gave way in the walk's own history */

#endif
