/* Steps that choose cells: conditions, defaults, lists and tables. */
#include <string.h>

#include "intake/template_steps.h"

/* The cells of a where the bit is set, of b elsewhere. */
static void cells_choose(void *out, const uint64_t *bits, const void *a, const void *b, enum template_type type,
                         const struct kernels *kernels, uint32_t words)
{
    struct lane *made = out;
    const struct lane *x = a, *y = b;
    if (type == TEMPLATE_TEXT) {
        struct text *texts = ((struct text_lane *)out)->texts;
        const struct text *from[2] = {((const struct text_lane *)b)->texts, ((const struct text_lane *)a)->texts};
        for (uint32_t i = 0; i < 64 * words; i++)
            texts[i] = from[bits[i / 64] >> i % 64 & 1][i];
        return;
    }
    if (type == TEMPLATE_BOOL) {
        for (uint32_t word = 0; word < words; word++)
            made->bools[word] = (x->bools[word] & bits[word]) | (y->bools[word] & ~bits[word]);
        return;
    }
    kernels->columns_choose(made->exacts, bits, x->exacts, y->exacts, words); /* bits of a float are moved as they are */
}

/* Null is not true. What the condition failed at, fails here; what the branch failed at, only where it is taken. */
void steps_choose(void *out, const struct lane *condition, const void *yes, const void *no, enum template_type type,
                  const struct kernels *kernels, uint32_t words)
{
    struct lane_head *made = out;
    const struct lane_head *a = yes, *b = no, *c = &condition->head;
    uint64_t taken[CHUNK_WORDS];
    for (uint32_t word = 0; word < words; word++) {
        uint64_t failed = c->failed[TEMPLATE_OVERFLOW][word] | c->failed[TEMPLATE_BY_ZERO][word];
        taken[word] = condition->bools[word] & c->valid[word];
        made->valid[word] = ((a->valid[word] & taken[word]) | (b->valid[word] & ~taken[word])) & ~failed;
        for (int k = 0; k < TEMPLATE_FAILURE_COUNT; k++)
            made->failed[k][word] =
                c->failed[k][word] | (((a->failed[k][word] & taken[word]) | (b->failed[k][word] & ~taken[word])) & ~failed);
    }
    cells_choose(out, taken, yes, no, type, kernels, words);
}

/* A failure is not a null that may be filled. */
void steps_default(void *out, const void *first, const void *second, enum template_type type, const struct kernels *kernels, uint32_t words)
{
    struct lane_head *made = out;
    const struct lane_head *a = first, *b = second;
    uint64_t taken[CHUNK_WORDS];
    for (uint32_t word = 0; word < words; word++) {
        uint64_t failed = a->failed[TEMPLATE_OVERFLOW][word] | a->failed[TEMPLATE_BY_ZERO][word];
        taken[word] = a->valid[word] | failed;
        made->valid[word] = (a->valid[word] | (b->valid[word] & ~taken[word])) & ~failed;
        for (int k = 0; k < TEMPLATE_FAILURE_COUNT; k++)
            made->failed[k][word] = a->failed[k][word] | (b->failed[k][word] & ~taken[word]);
    }
    cells_choose(out, taken, first, second, type, kernels, words);
}

/* Where it lies among count ascending keys; count: nowhere. */
static uint32_t find_exact(const int64_t *keys, uint32_t count, int64_t key)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (keys[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && keys[low] == key ? low : count;
}

static uint32_t find_text(const struct text *keys, uint32_t count, struct text key)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (template_text_order(keys[middle], key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && text_equal(keys[low], key) ? low : count;
}

void steps_in(struct lane *out, const void *a, const struct list *list, uint32_t words)
{
    const struct lane *lane = a;
    const struct text_lane *text_lane = a;
    memcpy(&out->head, a, sizeof out->head);
    for (uint32_t word = 0; word < words; word++) {
        uint64_t bits = 0;
        for (uint32_t bit = 0; bit < 64; bit++) {
            uint32_t i = 64 * word + bit;
            uint32_t at = list->texts ? find_text(list->texts, list->count, text_lane->texts[i])
                                      : find_exact(list->exacts, list->count, lane->exacts[i]);
            bits |= (uint64_t)(at < list->count) << bit;
        }
        out->bools[word] = bits;
    }
}

/* The value at a place of the table; nothing is read past its end. */
static void cell_of_table(void *out, uint32_t i, const struct template_table *table, uint32_t at)
{
    struct lane *lane = out;
    bool is_there = at < table->count;
    switch (table->value_type) {
    case TEMPLATE_TEXT:
        ((struct text_lane *)out)->texts[i] = is_there ? table->texts[at] : (struct text){.data = "", .bytes = 0};
        break;
    case TEMPLATE_FLOAT:
        lane->floats[i] = is_there ? table->floats[at] : 0.0;
        break;
    case TEMPLATE_BOOL:
        lane->bools[i / 64] = i % 64 ? lane->bools[i / 64] : 0;
        lane->bools[i / 64] |= (uint64_t)(is_there && table->exacts[at]) << i % 64;
        break;
    default:
        lane->exacts[i] = is_there ? table->exacts[at] : 0;
    }
}

void steps_lookup(void *out, const void *a, const struct template_table *table, uint32_t words)
{
    struct lane_head *made = out;
    const struct lane *lane = a;
    const struct text_lane *text_lane = a;
    memcpy(made, a, sizeof *made);
    for (uint32_t word = 0; word < words; word++) {
        uint64_t found = 0;
        for (uint32_t bit = 0; bit < 64; bit++) {
            uint32_t i = 64 * word + bit;
            uint32_t at = table->key_type == TEMPLATE_TEXT ? find_text(table->text_keys, table->count, text_lane->texts[i])
                                                           : find_exact(table->exact_keys, table->count, lane->exacts[i]);
            found |= (uint64_t)(at < table->count) << bit;
            cell_of_table(out, i, table, at);
        }
        made->valid[word] &= found;
    }
}
