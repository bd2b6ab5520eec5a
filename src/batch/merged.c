#include "batch/merged.h"

#include <stdlib.h>

#include "base/memory.h"

static int digest_order(const void *a, const void *b)
{
    const struct digest *left = a, *right = b;
    if (left->high != right->high)
        return left->high < right->high ? -1 : 1;
    return left->low < right->low ? -1 : left->low > right->low;
}

void merged_set_sort(struct merged_set *set)
{
    uint32_t kept = 0;
    if (set->count > 1)
        qsort(set->items, set->count, sizeof *set->items, digest_order);
    for (uint32_t i = 0; i < set->count; i++)
        if (kept == 0 || !digest_equal(set->items[kept - 1], set->items[i]))
            set->items[kept++] = set->items[i];
    set->count = kept;
}

int64_t merged_set_find(const struct merged_set *set, struct digest item)
{
    const struct digest *found = set->count ? bsearch(&item, set->items, set->count, sizeof item, digest_order) : NULL;
    return found ? found - set->items : -1;
}

void merged_fini(struct merged *merged)
{
    memory_give(merged->part.items);
    memory_give(merged->payers.items);
    memory_give(merged->payees.items);
    *merged = (struct merged){0};
}
