/* Blocks of 1, 2, 4 … 32 units of four events. A free block's first bytes link it to the others of its class, and
 * ring_free_heads tells at its first unit that it is free and how large: two free halves become one again. What was
 * never used is never touched. */
#include "history/sides.h"

#include "base/must.h"

struct free_block {
    uint32_t next, before; /* unit + 1 */
};

static struct free_block *free_block_at(const struct history *history, uint32_t unit)
{
    return (struct free_block *)(void *)ring_at(history, unit);
}

static void free_push(struct history *history, uint32_t unit, unsigned class)
{
    uint32_t *first = &history->head->ring_free[class];
    *free_block_at(history, unit) = (struct free_block){.next = *first};
    if (*first)
        free_block_at(history, *first - 1)->before = unit + 1;
    *first = unit + 1;
    history->ring_free_heads[unit] = (uint8_t)(class + 1);
}

static void free_remove(struct history *history, uint32_t unit, unsigned class)
{
    const struct free_block *block = free_block_at(history, unit);
    if (block->before)
        free_block_at(history, block->before - 1)->next = block->next;
    else
        history->head->ring_free[class] = block->next;
    if (block->next)
        free_block_at(history, block->next - 1)->before = block->before;
    history->ring_free_heads[unit] = 0;
}

static bool chunk_open(struct history *history)
{
    struct history_head *head = history->head;
    if (head->ring_fresh + RING_CHUNK_UNITS > history->ring_units)
        return false;
    free_push(history, head->ring_fresh, RING_CLASSES - 1);
    head->ring_fresh += RING_CHUNK_UNITS;
    return true;
}

uint32_t ring_take(struct history *history, unsigned class)
{
    struct history_head *head = history->head;
    unsigned larger = class;
    while (larger < RING_CLASSES && !head->ring_free[larger])
        larger++;
    if (larger == RING_CLASSES) {
        if (!chunk_open(history))
            return UNIT_NONE;
        larger = RING_CLASSES - 1;
    }
    uint32_t unit = head->ring_free[larger] - 1;
    free_remove(history, unit, larger);
    while (larger > class) {
        larger--;
        free_push(history, unit + (1u << larger), larger);
    }
    head->ring_units_used += 1u << class;
    return unit;
}

void ring_give(struct history *history, uint32_t unit, unsigned class)
{
    MUST(history->head->ring_units_used >= 1u << class);
    history->head->ring_units_used -= 1u << class;
    for (; class < RING_CLASSES - 1; class ++) {
        uint32_t other = unit ^ 1u << class;
        if (history->ring_free_heads[other] != class + 1)
            break;
        free_remove(history, other, class);
        unit &= ~(1u << class);
    }
    free_push(history, unit, class);
}
