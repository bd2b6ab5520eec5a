/* Labels that came with imported transfers and were not known yet at the time that history has come to: a table by
 * transfer and a heap by the second they are due. A label op for such a transfer takes the waiting one out; the heap
 * finds out when its turn comes. */
#include "history/state.h"

static uint64_t waiting_hash(const struct history_label *label)
{
    uint64_t hash = link_hash(LINK_PAIR, label->payer, label->payee);
    hash = hash_mix(hash ^ (uint64_t)label->time_us);
    return hash_mix(hash ^ (uint64_t)label->amount);
}

static uint32_t waiting_slot(const struct history *history, uint64_t hash)
{
    struct lookup lookup = lookup_of(hash);
    return table_find(&history->waiting, &lookup, sizeof(struct waiting), true);
}

static void heap_push(struct due *heap, uint32_t count, struct due due)
{
    uint32_t at = count;
    for (; at > 0 && heap[(at - 1) / 2].second > due.second; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = due;
}

static struct due heap_pop(struct due *heap, uint32_t count)
{
    struct due top = heap[0], last = heap[count - 1];
    uint32_t at = 0;
    for (uint32_t child = 1; child < count - 1; child = 2 * at + 1) {
        if (child + 1 < count - 1 && heap[child + 1].second < heap[child].second)
            child++;
        if (heap[child].second >= last.second)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    heap[count - 1] = (struct due){0};
    return top;
}

void waiting_add(struct history *history, const struct history_label *label, uint32_t due)
{
    struct history_head *head = history->head;
    uint64_t hash = waiting_hash(label);
    uint32_t slot = waiting_slot(history, hash);
    if (slot == SLOT_NONE && head->due_count < history->due_max)
        slot = table_room(&history->waiting, hash);
    if (slot == SLOT_NONE || table_is_used(&history->waiting, slot)) { /* no room, or one like it waits already */
        head->dropped++;
        return;
    }
    struct waiting *waiting = table_claim(&history->waiting, slot, hash, true);
    waiting->due = due;
    waiting->after = label->after;
    waiting->payer = label->payer;
    waiting->payee = label->payee;
    waiting->payer_device = label->payer_device;
    waiting->payee_device = label->payee_device;
    waiting->time_us = label->time_us;
    waiting->amount = label->amount;
    heap_push(history->dues, head->due_count++, (struct due){.second = due, .slot = slot, .hash = hash});
}

bool waiting_take(struct history *history, const struct history_label *label)
{
    uint32_t slot = history->head->waiting.used ? waiting_slot(history, waiting_hash(label)) : SLOT_NONE;
    if (slot != SLOT_NONE)
        table_release(&history->waiting, slot);
    return slot != SLOT_NONE;
}

static void waiting_apply(struct history *history, const struct due *due)
{
    const struct waiting *waiting = table_record(&history->waiting, due->slot);
    if (!table_is_used(&history->waiting, due->slot) || waiting->hash != due->hash || waiting->due != due->second)
        return;
    const struct history_label label = {
        .payer = waiting->payer,
        .payee = waiting->payee,
        .payer_device = waiting->payer_device,
        .payee_device = waiting->payee_device,
        .time_us = waiting->time_us,
        .amount = waiting->amount,
        .after = (uint8_t)waiting->after,
    };
    table_release(&history->waiting, due->slot);
    label_apply(history, &label, 0);
}

void waiting_fire(struct history *history)
{
    struct history_head *head = history->head;
    while (head->due_count > 0 && history->dues[0].second <= head->clock) {
        const struct due due = heap_pop(history->dues, head->due_count--);
        waiting_apply(history, &due);
    }
}
