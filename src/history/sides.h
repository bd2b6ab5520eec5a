#ifndef SLUICE_HISTORY_SIDES_H
#define SLUICE_HISTORY_SIDES_H

#include "history/state.h"

/* One side of an account: what it sent, or what it received. Few events lie in a ring and are summed when asked for; many
 * are a record of bucket totals. Both give the same figures for the same events:
 *   window of W days at hour h: buckets of W hours, b(h) and the 23 before it, of which those older than b(newest) - 23
 *     are gone already (only late rows meet that);
 *   risk window at the time h less the delay: whole buckets of 6 hours that ended by then. */

struct event { /* as it comes in */
    uint32_t hour;
    uint8_t peer; /* 6 bits of the counterparty's hash */
    uint8_t label;
    uint64_t amount; /* of amount_kept */
};

struct side_question side_question_of(uint32_t hour, uint32_t risk_end);

struct side_answer {
    uint32_t count[WINDOW_COUNT], known[WINDOW_COUNT], bad[WINDOW_COUNT];
    uint64_t sum[WINDOW_COUNT], peers[WINDOW_COUNT]; /* peers: the sketch itself */
    uint64_t max;                                    /* 30 days */
    uint32_t bad_hour;                  /* end of the newest bucket with a risky transfer in the risk window of 30 days; 0: none */
    uint32_t bad_since_hour, good_hour; /* end of the oldest such bucket; of the newest with a transfer that is not risky */
    uint32_t bad_run;                   /* risky transfers in the newest buckets that hold no others */
    bool has_recent;                    /* of what was sent: whether the newest transfers tell anything */
    float median, recent_max;           /* below 0: none in the window */
};

static inline void side_answer_clear(struct side_answer *answer) /* by field: a string instruction takes longer to begin */
{
    for (unsigned w = 0; w < WINDOW_COUNT; w++) {
        answer->count[w] = answer->known[w] = answer->bad[w] = 0;
        answer->sum[w] = answer->peers[w] = 0;
    }
    answer->max = 0;
    answer->bad_hour = answer->bad_since_hour = answer->good_hour = answer->bad_run = 0;
    answer->has_recent = false;
    answer->median = answer->recent_max = 0.0f;
}

uint32_t hour_kept(uint32_t newest); /* no figure looks at what was before it */
bool side_holds(const struct history *history, const struct side *side, uint32_t slot, unsigned which); /* see snapshot.c */
uint64_t amount_kept(int64_t amount); /* leading 31 bits of it, between 0 and AMOUNT_MAX */

/* How many windows are read: the count and sum of 1 day; those of 1 and 7 days and the peers of 7; all but peers of 7 days. */
enum side_depth { SIDE_DAY = 1, SIDE_WEEK, SIDE_WHOLE };

/* out is clear. */
void side_read(struct side_answer *out, const struct history *history, const struct account *account, int which,
               const struct side_question *question, enum side_depth depth);
/* account.last[which] has been moved to the event's time, if that is newer. */
void side_add(struct history *history, struct account *account, uint32_t slot, int which, const struct event *event);
/* The event's label in place of before; nothing when the event is no longer there. */
void side_label(struct history *history, uint32_t slot, int which, const struct event *event, uint8_t before);
void side_release(struct history *history, struct side *side);
/* What reading it will touch; of a bucket record first its head, then, when that is here, the rest. */
void side_fetch(const struct history *history, const struct side *side);
void side_fetch_rest(const struct history *history, const struct side *side, const struct side_question *question);

/* history/rings.c: blocks of 4 << class events from one pool, split and joined in halves */
#define UNIT_NONE UINT32_MAX
uint32_t ring_take(struct history *history, unsigned class);
void ring_give(struct history *history, uint32_t unit, unsigned class);
static inline uint64_t *ring_at(const struct history *history, uint32_t unit)
{
    return history->ring_events + (size_t)unit * RING_UNIT_EVENTS;
}

/* history/busies.c */
struct busy *busy_take(struct history *history, uint32_t slot, int which, uint32_t hour); /* NULL: none, and none may give way */
void busy_give(struct history *history, struct busy *busy);
void busy_add(struct busy *busy, const struct event *event); /* not older than hour_kept */
void busy_read(struct side_answer *out, const struct busy *busy, const struct side_question *question, enum side_depth depth);
void busy_fetch(const struct busy *busy);
void busy_fetch_rest(const struct busy *busy, const struct side_question *question);
void busy_label(struct busy *busy, const struct event *event, uint8_t before);

#endif
