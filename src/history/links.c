/* Who is tied to whom: payer to payee (with the address book), account to device, account to address. A link is known by
 * 32 bits of its hash beside its tag and its set. */
#include "history/state.h"

uint64_t link_hash(enum link_kind kind, uint64_t from, uint64_t to)
{
    uint64_t turned = to << 27 | to >> 37;
    return hash_mix(from * 0x9e3779b97f4a7c15u + turned + (uint64_t)kind * 0xc2b2ae3d27d4eb4fu);
}

const struct link *link_find(const struct history *history, struct lookup *lookup)
{
    return table_find(&history->links, lookup, sizeof(struct link), false) == SLOT_NONE ? NULL : lookup_record(lookup, sizeof(struct link));
}

struct link *link_make(struct history *history, struct lookup *lookup, uint32_t second)
{
    if (table_find(&history->links, lookup, sizeof(struct link), false) == SLOT_NONE) {
        lookup_set(lookup, &history->links, table_room(&history->links, lookup->hash), sizeof(struct link));
        struct link *link = table_claim(&history->links, lookup->slot, lookup->hash, false);
        link->last = second;
    }
    table_touch(&history->links, lookup, second);
    return lookup_record(lookup, sizeof(struct link));
}

static void link_first(struct link *link, uint32_t second)
{
    if (!link->first || second < link->first)
        link->first = second;
}

void link_meet(struct history *history, struct lookup *lookup, uint32_t second)
{
    link_first(link_make(history, lookup, second), second);
}

void link_use(struct history *history, struct lookup *lookup, uint32_t second)
{
    struct link *link = link_make(history, lookup, second);
    link_first(link, second);
    const uint32_t last = link->last;
    link->last = second > last ? second : last;
    link->count += link->count < UINT32_MAX;
}
