/* A ring is a block of events in no order: hour << 44 | amount << 8 | peer << 2 | label. Those too old for any figure go
 * when room is needed; then the ring doubles, then it becomes a record of bucket totals. Only where pools are used up do
 * events go that still counted, the oldest first, and they are counted as dropped. */
#include "history/sides.h"

#include "base/must.h"

enum { EVENT_HOUR_SHIFT = 44, EVENT_AMOUNT_SHIFT = 8, EVENT_PEER_SHIFT = 2, MANTISSA_BITS = 31 };

/* --- events as they are kept ---------------------------------------------------------------------------------------- */

static uint64_t amount_pack(uint64_t amount) /* exponent and 31 bits */
{
    unsigned width = amount ? 64 - (unsigned)__builtin_clzll(amount) : 0;
    unsigned shift = width > MANTISSA_BITS ? width - MANTISSA_BITS : 0;
    return (uint64_t)shift << MANTISSA_BITS | amount >> shift;
}

static uint64_t amount_unpack(uint64_t packed)
{
    return (packed & ((1ull << MANTISSA_BITS) - 1)) << (packed >> MANTISSA_BITS);
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
    const uint64_t amount_mask = (1ull << (EVENT_HOUR_SHIFT - EVENT_AMOUNT_SHIFT)) - 1;
    return (struct event){.hour = (uint32_t)(packed >> EVENT_HOUR_SHIFT),
                          .peer = packed >> EVENT_PEER_SHIFT & 63,
                          .label = packed & 3,
                          .amount = amount_unpack(packed >> EVENT_AMOUNT_SHIFT & amount_mask)};
}

static bool is_gone(uint32_t hour, uint32_t newest) /* older than any figure looks */
{
    return hour / RISK_HOURS + RISK_BUCKETS <= newest / RISK_HOURS;
}

static unsigned ring_class(const struct side *side)
{
    return side->form - (unsigned)SIDE_RING;
}

static unsigned ring_room(const struct side *side)
{
    return side->form == SIDE_EMPTY ? 0 : RING_UNIT_EVENTS << ring_class(side);
}

void side_prefetch(const struct history *history, const struct side *side)
{
    if (side->form == SIDE_BUSY) {
        const char *busy = (const char *)&history->busies[side->at];
        __builtin_prefetch(busy);
        __builtin_prefetch(busy + 64);
        __builtin_prefetch(busy + 128);
    } else if (side->form != SIDE_EMPTY) {
        const char *ring = (const char *)ring_at(history, side->at);
        for (unsigned i = 0; i < side->event_count; i += 8)
            __builtin_prefetch(ring + 8 * i);
    }
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

static void ring_drop_gone(struct history *history, struct side *side, uint32_t newest)
{
    uint64_t *ring = ring_at(history, side->at);
    unsigned kept = 0;
    for (unsigned i = 0; i < side->event_count; i++)
        if (!is_gone((uint32_t)(ring[i] >> EVENT_HOUR_SHIFT), newest))
            ring[kept++] = ring[i];
    history->head->events -= side->event_count - kept;
    side->event_count = (uint8_t)kept;
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

static bool ring_drop_oldest(struct history *history, struct side *side)
{
    history->head->dropped++;
    if (side->event_count == 0)
        return false;
    uint64_t *ring = ring_at(history, side->at);
    unsigned oldest = 0;
    for (unsigned i = 1; i < side->event_count; i++)
        if (ring[i] >> EVENT_HOUR_SHIFT < ring[oldest] >> EVENT_HOUR_SHIFT)
            oldest = i;
    ring[oldest] = ring[--side->event_count];
    history->head->events--;
    return true;
}

/* Afterwards the side is a ring with room or a bucket record; false: neither, the event is not kept. */
static bool side_make_room(struct history *history, uint32_t slot, int which, uint32_t newest)
{
    struct side *side = &account_at(history, slot)->sides[which];
    if (side->event_count < ring_room(side))
        return true;
    if (side->form != SIDE_EMPTY)
        ring_drop_gone(history, side, newest);
    if (side->event_count < ring_room(side) || ring_grow(history, side))
        return true;
    if (ring_room(side) < RING_EVENTS_MAX) { /* the pool is used up: look for what is of no use any more */
        history_sweep(history, 16, RISK_BUCKETS * RISK_HOURS, slot);
        if (ring_grow(history, side))
            return true;
    }
    return side_become_busy(history, slot, which, newest) || ring_drop_oldest(history, side);
}

void side_add(struct history *history, uint32_t slot, int which, const struct event *event)
{
    struct account *account = account_at(history, slot);
    struct side *side = &account->sides[which];
    uint32_t newest = hour_of(account->last[which]);
    if (is_gone(event->hour, newest))
        return;
    if (side->form != SIDE_BUSY && !side_make_room(history, slot, which, newest))
        return;
    if (side->form == SIDE_BUSY) {
        busy_add(&history->busies[side->at], event);
        return;
    }
    ring_at(history, side->at)[side->event_count++] = event_pack(event, event->label);
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
        if (*kept == packed) {
            *kept = event_pack(event, event->label);
            return;
        }
    }
}

/* --- reading -------------------------------------------------------------------------------------------------------- */

struct bounds { /* of one figure's window, in hours */
    uint32_t first, hours;
};

static struct bounds window_hours_of(unsigned w, uint32_t hour, uint32_t newest)
{
    uint32_t bucket = hour / window_hours[w], newest_bucket = newest / window_hours[w];
    uint32_t first = (bucket > newest_bucket ? bucket : newest_bucket) + 1 - WINDOW_BUCKETS;
    return (struct bounds){.first = first * window_hours[w], .hours = bucket < first ? 0 : (bucket + 1 - first) * window_hours[w]};
}

static struct bounds risk_hours_of(unsigned w, uint32_t end, uint32_t newest)
{
    uint32_t first = end - risk_window_buckets[w], kept = newest / RISK_HOURS + 1 - RISK_BUCKETS;
    first = first > kept ? first : kept;
    return (struct bounds){.first = first * RISK_HOURS, .hours = end > first ? (end - first) * RISK_HOURS : 0};
}

static void ring_read(struct side_answer *out, const uint64_t *ring, unsigned event_count, const struct bounds *windows,
                      const struct bounds *risks)
{
    uint64_t peers[WINDOW_COUNT] = {0};
    for (unsigned i = 0; i < event_count; i++) {
        const struct event event = event_unpack(ring[i]);
        for (unsigned w = 0; w < WINDOW_COUNT; w++) {
            uint64_t within = event.hour - windows[w].first < windows[w].hours;
            out->count[w] += (uint32_t)within;
            out->sum[w] += event.amount & (0 - within);
            peers[w] |= within << event.peer;
        }
        if (event.hour - windows[WINDOW_COUNT - 1].first < windows[WINDOW_COUNT - 1].hours && event.amount > out->max)
            out->max = event.amount;
        for (unsigned w = 0; w < WINDOW_COUNT; w++) {
            uint32_t within = event.hour - risks[w].first < risks[w].hours;
            out->known[w] += within;
            out->bad[w] += within & (event.label == 2);
        }
        uint32_t bucket_end = (event.hour / RISK_HOURS + 1) * RISK_HOURS;
        if (event.label == 2 && event.hour - risks[WINDOW_COUNT - 1].first < risks[WINDOW_COUNT - 1].hours && bucket_end > out->bad_hour)
            out->bad_hour = bucket_end;
    }
    for (unsigned w = 0; w < WINDOW_COUNT; w++)
        out->peers[w] = popcount64(peers[w]);
}

void side_read(struct side_answer *out, const struct history *history, uint32_t slot, int which, const struct side_question *question)
{
    const struct account *account = account_at(history, slot);
    const struct side *side = &account->sides[which];
    *out = (struct side_answer){0};
    if (side->form == SIDE_BUSY) {
        busy_read(out, &history->busies[side->at], question);
        return;
    }
    if (side->event_count == 0)
        return;
    struct bounds windows[WINDOW_COUNT], risks[WINDOW_COUNT];
    uint32_t newest = hour_of(account->last[which]);
    for (unsigned w = 0; w < WINDOW_COUNT; w++) {
        windows[w] = window_hours_of(w, question->hour, newest);
        risks[w] = risk_hours_of(w, question->risk_end, newest);
    }
    ring_read(out, ring_at(history, side->at), side->event_count, windows, risks);
}
