/* Devices and addresses. Risky transfers are kept by the day of the transfer for 16 days, so that a reader with any delay
 * sees those days alone that ended before his risk window does. */
#include "history/state.h"

enum { DAY_S = 24 * HOUR_S };

uint64_t place_hash(enum place_kind kind, uint64_t key)
{
    uint64_t hash = hash_mix(key ^ (uint64_t)kind * 0x9e3779b97f4a7c15u);
    return hash ? hash : 1;
}

static uint32_t place_slot(const struct history *history, struct lookup *lookup)
{
    return table_find(&history->places, lookup, sizeof(struct place), true);
}

const struct place *place_find(const struct history *history, struct lookup *lookup)
{
    uint32_t slot = place_slot(history, lookup);
    return slot == SLOT_NONE ? NULL : table_record(&history->places, slot);
}

static struct place *place_make(struct history *history, struct lookup *lookup, uint32_t second)
{
    uint32_t slot = place_slot(history, lookup);
    if (slot == SLOT_NONE) {
        slot = lookup->slot = table_room(&history->places, lookup->hash);
        struct place *place = table_claim(&history->places, slot, lookup->hash, true);
        place->first = place->last = second;
    }
    table_touch(&history->places, slot, second);
    return table_record(&history->places, slot);
}

void place_use(struct history *history, struct lookup *lookup, uint64_t account, uint32_t network, uint32_t second, bool is_counted)
{
    struct place *place = place_make(history, lookup, second);
    place->first = second < place->first ? second : place->first;
    place->last = second > place->last ? second : place->last;
    place->count += is_counted && place->count < UINT32_MAX;
    place->accounts |= 1ull << (account >> 58);
    if (network)
        place->networks |= 1ull << (hash_mix(network) >> 58);
}

static void bad_day_advance(struct place *place, uint32_t day)
{
    uint32_t jump = day - place->bad_day;
    uint32_t steps = jump < PLACE_BAD_DAYS ? jump : PLACE_BAD_DAYS;
    for (uint32_t d = day - steps + 1; d <= day; d++) {
        place->bad_before += place->bad[d % PLACE_BAD_DAYS];
        place->bad[d % PLACE_BAD_DAYS] = 0;
    }
    place->bad_day = day;
}

void place_label(struct history *history, struct lookup *lookup, uint32_t second, int change)
{
    uint32_t slot = place_slot(history, lookup), day = second / DAY_S + PLACE_BAD_DAYS;
    if (slot == SLOT_NONE)
        return;
    struct place *place = table_record(&history->places, slot);
    if (day > place->bad_day)
        bad_day_advance(place, day);
    if (day + PLACE_BAD_DAYS <= place->bad_day) {
        if (change > 0 || place->bad_before > 0)
            place->bad_before += (uint32_t)change;
        return;
    }
    uint8_t *bad = &place->bad[day % PLACE_BAD_DAYS];
    if (change > 0 ? *bad < UINT8_MAX : *bad > 0)
        *bad = (uint8_t)(*bad + change);
}

int64_t place_bad(const struct place *place, uint32_t second)
{
    uint32_t end = second / DAY_S + PLACE_BAD_DAYS; /* the first day that does not count */
    if (place->bad_day == 0)
        return 0;
    uint32_t oldest = place->bad_day + 1 - PLACE_BAD_DAYS;
    if (end < oldest)
        return -1;
    uint32_t bad = place->bad_before;
    for (uint32_t d = oldest; d < end && d <= place->bad_day; d++)
        bad += place->bad[d % PLACE_BAD_DAYS];
    return bad;
}
