/* A ring is a block of events by hour: hour << 44 | amount << 8 | peer << 2 | label. Those too old for any figure go
 * when room is needed; then the ring doubles, then it becomes a record of bucket totals. Only where pools are used up do
 * events go that still counted, the oldest first, and they are counted as dropped. */
#include "history/sides.h"

#include "base/must.h"

enum { EVENT_HOUR_SHIFT = 44, EVENT_AMOUNT_SHIFT = 8, EVENT_PEER_SHIFT = 2, MANTISSA_BITS = 31 };
#define NONE_ABOVE        2e15f /* beyond every amount */
#define MANTISSA_MASK     ((1ull << MANTISSA_BITS) - 1)
#define EVENT_AMOUNT_MASK ((1ull << (EVENT_HOUR_SHIFT - EVENT_AMOUNT_SHIFT)) - 1)

/* --- events as they are kept ---------------------------------------------------------------------------------------- */

static uint64_t amount_pack(uint64_t amount) /* exponent and 31 bits */
{
    unsigned width = amount ? 64 - (unsigned)__builtin_clzll(amount) : 0;
    unsigned shift = width > MANTISSA_BITS ? width - MANTISSA_BITS : 0;
    return (uint64_t)shift << MANTISSA_BITS | amount >> shift;
}

static uint64_t amount_unpack(uint64_t packed)
{
    return (packed & MANTISSA_MASK) << (packed >> MANTISSA_BITS);
}

uint64_t amount_kept(int64_t amount)
{
    uint64_t bounded = amount < 0 ? 0 : (uint64_t)(amount > AMOUNT_MAX ? AMOUNT_MAX : amount);
    return amount_unpack(amount_pack(bounded));
}

static uint64_t event_pack(const struct event *event, uint8_t label)
{
    return (uint64_t)event->hour << EVENT_HOUR_SHIFT | amount_pack(event->amount) << EVENT_AMOUNT_SHIFT |
           (uint64_t)(event->peer & 63) << EVENT_PEER_SHIFT | (label & 3);
}

static struct event event_unpack(uint64_t packed)
{
    return (struct event){.hour = (uint32_t)(packed >> EVENT_HOUR_SHIFT),
                          .peer = packed >> EVENT_PEER_SHIFT & 63,
                          .label = packed & 3,
                          .amount = amount_unpack(packed >> EVENT_AMOUNT_SHIFT & EVENT_AMOUNT_MASK)};
}

uint32_t hour_kept(uint32_t newest)
{
    return (newest / RISK_HOURS + 1 - RISK_BUCKETS) * RISK_HOURS;
}

/* How many of the events were before the hour. */
static unsigned ring_index(const uint64_t *ring, unsigned event_count, uint32_t hour)
{
    const uint64_t limit = (uint64_t)hour << EVENT_HOUR_SHIFT, *from = ring;
    if (event_count == 0 || *ring >= limit)
        return 0;
    while (event_count > 1) {
        unsigned half = event_count / 2;
        from += half & (0u - (unsigned)(from[half - 1] < limit));
        event_count -= half;
    }
    return (unsigned)(from - ring) + (*from < limit);
}

static bool is_risky(uint64_t packed)
{
    return (packed & 3) == 2;
}

static unsigned ring_class(const struct side *side)
{
    return side->form - (unsigned)SIDE_RING;
}

static unsigned ring_room(const struct side *side)
{
    return side->form == SIDE_EMPTY ? 0 : RING_UNIT_EVENTS << ring_class(side);
}

void side_fetch(const struct history *history, const struct side *side)
{
    if (side->form == SIDE_BUSY) {
        busy_fetch(&history->busies[side->at]);
        return;
    }
    const uint64_t *ring = ring_at(history, side->at), *end = ring + side->event_count;
    __builtin_prefetch(ring); /* most rings are one line or two, which takes no loop */
    __builtin_prefetch(end);
    for (ring += 8; ring + 8 < end; ring += 8)
        __builtin_prefetch(ring);
}

void side_fetch_rest(const struct history *history, const struct side *side, const struct side_question *question)
{
    if (side->form == SIDE_BUSY)
        busy_fetch_rest(&history->busies[side->at], question);
}

/* --- giving up and making room -------------------------------------------------------------------------------------- */

void side_release(struct history *history, struct side *side)
{
    if (side->form == SIDE_BUSY) {
        busy_give(history, &history->busies[side->at]);
    } else if (side->form != SIDE_EMPTY) {
        history->head->events -= side->event_count;
        ring_give(history, side->at, ring_class(side));
    }
    *side = (struct side){0};
}

static void ring_drop(struct history *history, struct side *side, unsigned drop_count) /* the oldest */
{
    uint64_t *ring = ring_at(history, side->at);
    for (unsigned i = 0; i < drop_count; i++)
        side->risky_count -= is_risky(ring[i]);
    side->event_count = (uint8_t)(side->event_count - drop_count);
    memmove(ring, ring + drop_count, side->event_count * sizeof *ring);
    history->head->events -= drop_count;
}

static bool ring_grow(struct history *history, struct side *side)
{
    unsigned class = side->form == SIDE_EMPTY ? 0 : ring_class(side) + 1;
    uint32_t unit = class < RING_CLASSES ? ring_take(history, class) : UNIT_NONE;
    if (unit == UNIT_NONE)
        return false;
    if (side->form != SIDE_EMPTY) {
        memcpy(ring_at(history, unit), ring_at(history, side->at), side->event_count * sizeof(uint64_t));
        ring_give(history, side->at, ring_class(side));
    }
    side->at = unit;
    side->form = (uint8_t)(SIDE_RING + class);
    return true;
}

static bool side_become_busy(struct history *history, uint32_t slot, int which, uint32_t newest)
{
    struct side *side = &account_at(history, slot)->sides[which];
    struct busy *busy = busy_take(history, slot, which, newest);
    if (!busy)
        return false;
    for (unsigned i = 0; i < side->event_count; i++) {
        const struct event event = event_unpack(ring_at(history, side->at)[i]);
        busy_add(busy, &event);
    }
    side_release(history, side);
    *side = (struct side){.at = (uint32_t)(busy - history->busies), .form = SIDE_BUSY};
    return true;
}

/* Afterwards the side is a ring with room or a bucket record; false: neither, the event is not kept. */
static bool side_make_room(struct history *history, uint32_t slot, int which, uint32_t newest)
{
    struct side *side = &account_at(history, slot)->sides[which];
    if (side->event_count < ring_room(side))
        return true;
    if (side->form != SIDE_EMPTY)
        ring_drop(history, side, ring_index(ring_at(history, side->at), side->event_count, hour_kept(newest)));
    if (side->event_count < ring_room(side) || ring_grow(history, side))
        return true;
    if (ring_room(side) < RING_EVENTS_MAX) { /* the pool is used up: look for what is of no use any more */
        history_sweep(history, 16, RISK_BUCKETS * RISK_HOURS, slot);
        if (ring_grow(history, side))
            return true;
    }
    if (side_become_busy(history, slot, which, newest))
        return true;
    history->head->dropped++;
    if (side->event_count == 0)
        return false;
    ring_drop(history, side, 1);
    return true;
}

void side_add(struct history *history, struct account *account, uint32_t slot, int which, const struct event *event)
{
    struct side *side = &account->sides[which];
    uint32_t newest = hour_of(account->last[which]);
    if (event->hour < hour_kept(newest))
        return;
    if (side->form != SIDE_BUSY && !side_make_room(history, slot, which, newest))
        return;
    if (side->form == SIDE_BUSY) {
        busy_add(&history->busies[side->at], event);
        return;
    }
    uint64_t *ring = ring_at(history, side->at), packed = event_pack(event, event->label);
    unsigned at = side->event_count++;
    for (; at > 0 && ring[at - 1] >> EVENT_HOUR_SHIFT > event->hour; at--)
        ring[at] = ring[at - 1];
    ring[at] = packed;
    side->risky_count += is_risky(packed);
    history->head->events++;
}

void side_label(struct history *history, uint32_t slot, int which, const struct event *event, uint8_t before)
{
    struct side *side = &account_at(history, slot)->sides[which];
    if (side->form == SIDE_BUSY) {
        busy_label(&history->busies[side->at], event, before);
        return;
    }
    const uint64_t packed = event_pack(event, before);
    for (unsigned i = 0; i < side->event_count; i++) {
        uint64_t *kept = ring_at(history, side->at) + i;
        if (*kept != packed)
            continue;
        *kept = event_pack(event, event->label);
        side->risky_count += is_risky(*kept);
        side->risky_count -= is_risky(packed);
        return;
    }
}

static bool ring_holds(const uint64_t *ring, unsigned event_count, unsigned risky_count)
{
    unsigned risky = 0;
    for (unsigned i = 0; i < event_count; i++) {
        if (i > 0 && ring[i] >> EVENT_HOUR_SHIFT < ring[i - 1] >> EVENT_HOUR_SHIFT)
            return false;
        risky += is_risky(ring[i]);
    }
    return risky == risky_count;
}

bool side_holds(const struct history *history, const struct side *side, uint32_t slot, unsigned which)
{
    if (side->form == SIDE_EMPTY)
        return side->event_count == 0;
    if (side->form == SIDE_BUSY) {
        const struct busy *busy = &history->busies[side->at];
        return side->at < history->head->busy_fresh && side->event_count == 0 && busy->account == slot && busy->is_received == which &&
               busy->newest >= HOUR_OFFSET && busy->newest <= HOUR_LAST;
    }
    return ring_class(side) < RING_CLASSES && side->event_count <= ring_room(side) && side->at % (1u << ring_class(side)) == 0 &&
           side->at < history->head->ring_fresh && history->ring_free_heads[side->at] == 0 &&
           ring_holds(ring_at(history, side->at), side->event_count, side->risky_count);
}

/* --- reading -------------------------------------------------------------------------------------------------------- */

struct side_question side_question_of(uint32_t hour, uint32_t risk_end)
{
    struct side_question question = {.hour = hour, .risk_end = risk_end, .buckets = buckets_of(hour)};
    for (unsigned w = 0; w < WINDOW_COUNT; w++) {
        question.first_hours[w] = (question.buckets.of[w] + 1 - WINDOW_BUCKETS) * window_hours(w);
        question.risk_first_hours[w] = (risk_end - risk_window_buckets[w]) * RISK_HOURS;
    }
    return question;
}

struct running { /* over events backwards from some point; longer windows go on where shorter ones began */
    unsigned from;
    uint64_t sum, peers, max;
};

/* Down to from. Nearly every amount is kept whole: those are summed as they lie, the others once more. */
static inline struct running running_extend(struct running so_far, const uint64_t *ring, unsigned from)
{
    uint64_t sum = so_far.sum, peers = so_far.peers, max = so_far.max, any = 0;
    for (unsigned i = from; i < so_far.from; i++) {
        const uint64_t packed = ring[i], amount = packed >> EVENT_AMOUNT_SHIFT & MANTISSA_MASK;
        any |= packed;
        sum += amount;
        max = amount > max ? amount : max;
        peers |= 1ull << (packed >> EVENT_PEER_SHIFT & 63);
    }
    for (unsigned i = from; any >> EVENT_AMOUNT_SHIFT & EVENT_AMOUNT_MASK & ~MANTISSA_MASK && i < so_far.from; i++) {
        const uint64_t packed = ring[i] >> EVENT_AMOUNT_SHIFT & EVENT_AMOUNT_MASK, amount = amount_unpack(packed);
        sum += amount - (packed & MANTISSA_MASK);
        max = amount > max ? amount : max;
    }
    return (struct running){.from = from, .sum = sum, .peers = peers, .max = max};
}

static inline void running_tell(struct side_answer *out, const struct running *running, unsigned w, unsigned to)
{
    out->count[w] = to - running->from;
    out->sum[w] = running->sum;
    out->peers[w] = running->peers;
    out->max = running->max;
}

/* No event is newer than the question: every window ends with the last one. */
static void ring_read_windows(struct side_answer *out, const uint64_t *ring, unsigned event_count, unsigned window_count,
                              const struct side_question *question)
{
    struct running running = {.from = event_count};
    for (unsigned w = 0; w < window_count; w++) {
        running = running_extend(running, ring, ring_index(ring, running.from, question->first_hours[w]));
        running_tell(out, &running, w, event_count);
    }
}

/* Of a late row: a window may end before the last event, and begins no earlier than the newest transfer's does. */
static void ring_read_windows_late(struct side_answer *out, const uint64_t *ring, unsigned event_count, unsigned window_count,
                                   const struct side_question *question, uint32_t newest)
{
    const struct buckets newests = buckets_of(newest);
    for (unsigned w = 0; w < window_count; w++) {
        uint32_t bucket = question->buckets.of[w], first = (bucket > newests.of[w] ? bucket : newests.of[w]) + 1 - WINDOW_BUCKETS;
        unsigned to = ring_index(ring, event_count, (bucket + 1) * window_hours(w));
        const struct running running = running_extend((struct running){.from = to}, ring, ring_index(ring, to, first * window_hours(w)));
        running_tell(out, &running, w, to);
    }
}

/* The newest buckets of 6 hours first, until nothing that is asked for can be left. */
static void ring_read_run(struct side_answer *out, const uint64_t *ring, unsigned from, unsigned to)
{
    bool is_run = true;
    for (unsigned i = to, bad_left = out->bad[WINDOW_COUNT - 1]; i > from && (bad_left || !out->good_hour);) {
        const uint32_t bucket = (uint32_t)(ring[i - 1] >> EVENT_HOUR_SHIFT) / RISK_HOURS;
        unsigned bad = 0, known = 0;
        for (; i > from && (uint32_t)(ring[i - 1] >> EVENT_HOUR_SHIFT) / RISK_HOURS == bucket; i--, known++)
            bad += is_risky(ring[i - 1]);
        is_run = is_run && bad == known;
        out->bad_run += is_run ? bad : 0;
        bad_left -= bad;
        if (bad)
            out->bad_since_hour = (bucket + 1) * RISK_HOURS;
        if (bad < known && !out->good_hour)
            out->good_hour = (bucket + 1) * RISK_HOURS;
    }
}

static void ring_read_risks(struct side_answer *out, const uint64_t *ring, unsigned event_count, unsigned risky_count,
                            const struct side_question *question, uint32_t newest)
{
    unsigned to = ring_index(ring, event_count, question->risk_end * RISK_HOURS);
    unsigned from = to;
    uint32_t kept = hour_kept(newest);
    for (unsigned w = 0; to > 0 && w < WINDOW_COUNT; w++) {
        uint32_t first = question->risk_first_hours[w];
        from = ring_index(ring, to, first > kept ? first : kept);
        out->known[w] = to - from;
        for (unsigned i = from; risky_count && i < to; i++) {
            if (!is_risky(ring[i]))
                continue;
            out->bad[w]++;
            out->bad_hour = ((uint32_t)(ring[i] >> EVENT_HOUR_SHIFT) / RISK_HOURS + 1) * RISK_HOURS;
        }
    }
    ring_read_run(out, ring, from, to);
}

typedef float four_floats __attribute__((vector_size(16), may_alias, aligned(4)));
typedef int32_t four_counts __attribute__((vector_size(16)));
_Static_assert(RECENT_EVENTS == 8, "two fours");

static inline four_floats fours_chosen(four_counts mask, four_floats a, four_floats b) /* a where the mask is set */
{
    return (four_floats)(((four_counts)a & mask) | ((four_counts)b & ~mask));
}

/* The least value that more than before of them are not above, counted for all at once without a branch. */
static float value_at_rank(const float value[RECENT_EVENTS], int32_t before)
{
    const four_floats low = ((const four_floats *)value)[0], high = ((const four_floats *)value)[1];
    const four_floats none = {NONE_ABOVE, NONE_ABOVE, NONE_ABOVE, NONE_ABOVE};
    const four_counts ranks = {before, before, before, before};
    four_counts low_count = {0}, high_count = {0};
#pragma GCC unroll 8
    for (unsigned j = 0; j < RECENT_EVENTS; j++) {
        const four_floats x = {value[j], value[j], value[j], value[j]};
        low_count -= x <= low;
        high_count -= x <= high;
    }
    const four_floats a = fours_chosen(low_count > ranks, low, none), b = fours_chosen(high_count > ranks, high, none);
    const four_floats c = fours_chosen(a < b, a, b), d = __builtin_shufflevector(c, c, 2, 3, 0, 1);
    const four_floats e = fours_chosen(c < d, c, d), f = __builtin_shufflevector(e, e, 1, 0, 3, 2);
    return fours_chosen(e < f, e, f)[0];
}

struct recent_span { /* first and end hours of windows of 7 and of 30 days */
    uint32_t first[2], end[2];
};

struct recent_values {
    unsigned count;
    float value[RECENT_EVENTS];
    int32_t most; /* of the window of 7 days, as the bits of a float, which stand in the same order; below 0: none */
};
#define RECENT_NONE \
    { \
        .value = {NONE_ABOVE, NONE_ABOVE, NONE_ABOVE, NONE_ABOVE, NONE_ABOVE, NONE_ABOVE, NONE_ABOVE, NONE_ABOVE}, .most = -1 \
    }

static inline bool recent_take(struct recent_values *values, const struct recent_span *span, uint32_t hour, float amount)
{
    if (hour < span->first[1])
        return false;
    if (hour < span->end[1])
        values->value[values->count++] = amount;
    int32_t bits;
    memcpy(&bits, &amount, sizeof bits);
    const bool is_within = (hour >= span->first[0]) & (hour < span->end[0]) & (bits > values->most);
    values->most = is_within ? bits : values->most;
    return true;
}

static void recent_tell(struct side_answer *out, struct recent_values *values)
{
    out->has_recent = true;
    memcpy(&out->recent_max, &values->most, sizeof out->recent_max);
    out->recent_max = values->most < 0 ? -1.0f : out->recent_max;
    out->median = values->count ? values->value[0] : -1.0f;
    if (values->count < 2)
        return;
    out->median = value_at_rank(values->value, (int32_t)(values->count - 1) / 2);
}

static struct recent_span recent_span_of(const struct side_question *question, uint32_t newest)
{
    struct recent_span span;
    if (newest <= question->hour) {
        for (unsigned i = 0; i < 2; i++) {
            span.first[i] = question->first_hours[i + 1];
            span.end[i] = UINT32_MAX;
        }
        return span;
    }
    const struct buckets newests = buckets_of(newest);
    for (unsigned i = 0; i < 2; i++) {
        uint32_t bucket = question->buckets.of[i + 1], last = newests.of[i + 1];
        span.first[i] = ((bucket > last ? bucket : last) + 1 - WINDOW_BUCKETS) * window_hours(i + 1);
        span.end[i] = (bucket + 1) * window_hours(i + 1);
    }
    return span;
}

static void busy_read_recent(struct side_answer *out, const struct busy *busy, const struct side_question *question)
{
    const struct recent_span span = recent_span_of(question, busy->newest);
    struct recent_values values = RECENT_NONE;
    for (unsigned i = RECENT_EVENTS; i-- > 0;)
        if (!recent_take(&values, &span, busy->recent[i].hour, busy->recent[i].amount))
            break;
    recent_tell(out, &values);
}

static void ring_read_recent(struct side_answer *out, const uint64_t *ring, unsigned event_count, const struct side_question *question,
                             uint32_t newest)
{
    const struct recent_span span = recent_span_of(question, newest);
    struct recent_values values = RECENT_NONE;
    unsigned last = event_count < RECENT_EVENTS ? 0 : event_count - RECENT_EVENTS;
    for (unsigned i = event_count; i-- > last;)
        if (!recent_take(&values, &span, (uint32_t)(ring[i] >> EVENT_HOUR_SHIFT),
                         (float)amount_unpack(ring[i] >> EVENT_AMOUNT_SHIFT & EVENT_AMOUNT_MASK)))
            break;
    recent_tell(out, &values);
}

void side_read(struct side_answer *out, const struct history *history, const struct account *account, int which,
               const struct side_question *question, enum side_depth depth)
{
    const struct side *side = &account->sides[which];
    const unsigned event_count = side->event_count, window_count = (unsigned)depth;
    if (side->form == SIDE_BUSY) {
        const struct busy *busy = &history->busies[side->at];
        busy_read(out, busy, question, depth);
        if (depth == SIDE_WHOLE && which == SENT)
            busy_read_recent(out, busy, question);
        return;
    }
    if (event_count == 0)
        return;
    const uint64_t *ring = ring_at(history, side->at);
    uint32_t newest = hour_of(account->last[which]);
    if (depth == SIDE_WHOLE && which == SENT)
        ring_read_recent(out, ring, event_count, question, newest);
    if (newest <= question->hour)
        ring_read_windows(out, ring, event_count, window_count, question);
    else
        ring_read_windows_late(out, ring, event_count, window_count, question, newest);
    if (depth == SIDE_WHOLE && ring[0] >> EVENT_HOUR_SHIFT < question->risk_end * RISK_HOURS)
        ring_read_risks(out, ring, event_count, side->risky_count, question, newest);
}
