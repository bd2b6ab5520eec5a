/* Devices and addresses. Risky transfers are kept by the day of the transfer for 16 days, so that a reader with any delay
 * sees those days alone that ended before his risk window does. */
#include "history/state.h"

enum { DAY_S = 24 * HOUR_S };

uint64_t place_hash(enum place_kind kind, uint64_t key)
{
    uint64_t hash = hash_mix(key ^ (uint64_t)kind * 0x9e3779b97f4a7c15u);
    return hash ? hash : 1;
}

static struct place *place_seek(const struct history *history, struct lookup *lookup)
{
    uint32_t slot = table_find(&history->places, lookup, sizeof(struct place), true);
    return slot == SLOT_NONE ? NULL : lookup_record(lookup, sizeof(struct place));
}

const struct place *place_find(const struct history *history, struct lookup *lookup)
{
    return place_seek(history, lookup);
}

static struct place *place_make(struct history *history, struct lookup *lookup, uint32_t second)
{
    struct place *place = place_seek(history, lookup);
    if (!place) {
        lookup_set(lookup, &history->places, table_room(&history->places, lookup->hash), sizeof(struct place));
        place = table_claim(&history->places, lookup->slot, lookup->hash, true);
        place->first = place->last = second;
    }
    table_touch(&history->places, lookup, second);
    return place;
}

struct place *place_use(struct history *history, struct lookup *lookup, uint64_t account, uint64_t network_bit, uint32_t second,
                        bool is_counted)
{
    struct place *place = place_make(history, lookup, second);
    place->first = second < place->first ? second : place->first;
    place->last = second > place->last ? second : place->last;
    place->count += is_counted && place->count < UINT32_MAX;
    place->accounts |= 1ull << (account >> 58);
    place->networks |= network_bit;
    return place;
}

void place_network(struct place *place, uint32_t network, uint32_t second)
{
    if (network && second >= place->last)
        place->network = network;
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
    uint32_t day = second / DAY_S + PLACE_BAD_DAYS;
    struct place *place = place_seek(history, lookup);
    if (!place)
        return;
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
