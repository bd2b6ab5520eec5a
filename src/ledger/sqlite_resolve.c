/* Many transfer ids in one walk down the index: each frame's filter is asked for all ids that are still open, and a frame
 * that may hold some is decoded once, whatever their number. */
#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "ledger/filter.h"
#include "ledger/sqlite.h"

enum { FILTER_READ_WHOLE = 16 }; /* ids from which on a filter is read whole */

struct resolve {
    struct ledger *ledger;
    struct reader *reader;
    struct walk walk;
    const struct column *ids;
    ledger_found_fn *each;
    void *context;
    uint32_t row_count;
    uint64_t *hashes; /* of every id under seed */
    uint64_t seed;
    uint32_t *open; /* rows not found yet */
    uint32_t open_count;
    uint32_t *hits; /* those that the frame at hand may hold */
    uint32_t hit_count;
    uint32_t *table; /* hits by their hash, 0: free, else index + 1 */
    uint32_t table_mask;
    unsigned char *filter;
    size_t filter_capacity;
};

static enum fault no_memory(struct fault_note *note)
{
    return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to look up transfers");
}

static enum fault resolve_take(struct resolve *resolve, const uint8_t *skip, struct fault_note *note)
{
    size_t count = resolve->row_count, slots = 16;
    while (slots < 2 * count)
        slots *= 2;
    resolve->table_mask = (uint32_t)slots - 1;
    resolve->hashes = memory_take((count + 1) * sizeof *resolve->hashes);
    resolve->open = memory_take(count * sizeof *resolve->open);
    resolve->hits = memory_take(count * sizeof *resolve->hits);
    resolve->table = memory_take(slots * sizeof *resolve->table);
    if (!resolve->hashes || !resolve->open || !resolve->hits || !resolve->table)
        return no_memory(note);
    for (uint32_t row = 0; row < count; row++)
        if (!(skip && skip[row]) && column_is_valid(resolve->ids, row))
            resolve->open[resolve->open_count++] = row;
    resolve->seed = 0;
    column_hashes(resolve->ids, resolve->row_count, 0, resolve->hashes, NULL);
    return FAULT_NONE;
}

static void resolve_give(struct resolve *resolve)
{
    memory_give(resolve->hashes);
    memory_give(resolve->open);
    memory_give(resolve->hits);
    memory_give(resolve->table);
    memory_give(resolve->filter);
}

static void resolve_seed(struct resolve *resolve, uint64_t seed)
{
    if (resolve->seed != seed)
        column_hashes(resolve->ids, resolve->row_count, seed, resolve->hashes, NULL);
    resolve->seed = seed;
}

static enum fault filter_room(struct resolve *resolve, size_t bytes, struct fault_note *note)
{
    if (bytes <= resolve->filter_capacity)
        return FAULT_NONE;
    memory_give(resolve->filter);
    resolve->filter = memory_take(bytes);
    resolve->filter_capacity = resolve->filter ? bytes : 0;
    return resolve->filter ? FAULT_NONE : no_memory(note);
}

/* Open ids that the frame may hold, into hits. */
static enum fault resolve_filter(struct resolve *resolve, const struct index_line *line, struct fault_note *note)
{
    size_t bytes = (size_t)line->filter_blocks * FILTER_BLOCK_BYTES;
    bool whole = resolve->open_count >= FILTER_READ_WHOLE;
    uint64_t start = line->place.start + line->place.bytes - bytes;
    struct segment_reader *segments = &resolve->reader->segments;
    const char *folder = resolve->ledger->folder;
    enum fault fault = filter_room(resolve, whole ? bytes : FILTER_BLOCK_BYTES, note);
    if (fault == FAULT_NONE && whole)
        fault = segment_read(segments, folder, line->place.segment, start, resolve->filter, bytes, note);
    resolve->hit_count = 0;
    for (uint32_t i = 0; i < resolve->open_count && fault == FAULT_NONE; i++) {
        uint64_t key = filter_key_of(FILTER_TRANSFER, resolve->hashes[resolve->open[i]]);
        uint32_t index = filter_block_of(key, line->filter_blocks);
        size_t offset = (size_t)index * FILTER_BLOCK_BYTES;
        if (!whole)
            fault = segment_read(segments, folder, line->place.segment, start + offset, resolve->filter, FILTER_BLOCK_BYTES, note);
        if (fault == FAULT_NONE && filter_block_has(resolve->filter + (whole ? offset : 0), index, line->key_seed, key))
            resolve->hits[resolve->hit_count++] = resolve->open[i];
    }
    return fault;
}

static void table_fill(struct resolve *resolve)
{
    memset(resolve->table, 0, ((size_t)resolve->table_mask + 1) * sizeof *resolve->table);
    for (uint32_t i = 0; i < resolve->hit_count; i++) {
        uint32_t slot = (uint32_t)resolve->hashes[resolve->hits[i]] & resolve->table_mask;
        while (resolve->table[slot])
            slot = (slot + 1) & resolve->table_mask;
        resolve->table[slot] = i + 1;
    }
}

static enum fault found_tell(struct resolve *resolve, uint32_t row, const struct batch *batch, uint32_t at, struct fault_note *note)
{
    struct reader *reader = resolve->reader;
    const struct results *results = &batch->results;
    struct ledger_row found = {.batch = batch,
                               .row = at,
                               .scene = results->scene ? reader->scene_names[results->scene[at]] : "",
                               .runner_up = results->runner_up ? reader->scene_names[results->runner_up[at]] : ""};
    uint8_t label;
    enum fault fault = label_read(&reader->connection, &label, resolve->walk.tenant, column_text(resolve->ids, row), note);
    if (fault == FAULT_not_found) {
        label = batch->facts.label ? batch->facts.label[at] & 3 : 0;
        fault = FAULT_NONE;
    }
    if (fault == FAULT_NONE)
        resolve->each(resolve->context, row, &found, label);
    return fault;
}

/* Hits that are the id of the batch's row; the same id may have been asked for more than once. */
static enum fault row_match(struct resolve *resolve, const struct batch *batch, uint32_t at, uint64_t hash, struct fault_note *note)
{
    enum fault fault = FAULT_NONE;
    const struct column *column = &batch->columns[COLUMN_transfer_id];
    for (uint32_t slot = (uint32_t)hash & resolve->table_mask; resolve->table[slot] && fault == FAULT_NONE;
         slot = (slot + 1) & resolve->table_mask) {
        uint32_t *hit = &resolve->hits[resolve->table[slot] - 1];
        if (*hit == ROW_NONE || resolve->hashes[*hit] != hash || !text_equal(column_text(column, at), column_text(resolve->ids, *hit)))
            continue;
        fault = found_tell(resolve, *hit, batch, at, note);
        resolve->hashes[*hit] = 0; /* found: no valid id hashes to 0 */
        *hit = ROW_NONE;
    }
    return fault;
}

static enum fault batch_match(struct resolve *resolve, const struct batch *batch, struct fault_note *note)
{
    const struct column *column = &batch->columns[COLUMN_transfer_id];
    uint64_t *hashes = memory_take((size_t)batch->row_count * sizeof *hashes);
    enum fault fault = hashes ? FAULT_NONE : no_memory(note);
    if (fault == FAULT_NONE && column->form != FORM_ABSENT)
        column_hashes(column, batch->row_count, resolve->seed, hashes, NULL);
    for (uint32_t at = 0; column->form != FORM_ABSENT && at < batch->row_count && fault == FAULT_NONE; at++)
        if (hashes[at])
            fault = row_match(resolve, batch, at, hashes[at], note);
    memory_give(hashes);
    return fault;
}

/* Found ones leave the list of the open. */
static void open_close(struct resolve *resolve)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < resolve->open_count; i++)
        if (resolve->hashes[resolve->open[i]])
            resolve->open[kept++] = resolve->open[i];
    resolve->open_count = kept;
}

static enum fault resolve_line(struct resolve *resolve, const struct index_line *line, struct fault_note *note)
{
    struct batch batch;
    resolve_seed(resolve, line->key_seed);
    enum fault fault = resolve_filter(resolve, line, note);
    if (fault != FAULT_NONE || resolve->hit_count == 0)
        return fault;
    fault = scenes_load(resolve->reader, line->scene_list, note);
    if (fault == FAULT_NONE)
        fault = frame_load(resolve->ledger, resolve->reader, &batch, line, note);
    if (fault != FAULT_NONE)
        return fault;
    table_fill(resolve);
    fault = batch_match(resolve, &batch, note);
    open_close(resolve);
    batch_fini(&batch);
    return fault;
}

/* A few ids are asked of whole segments first. */
static void resolve_ask(struct resolve *resolve)
{
    resolve->walk.asked_count = 0;
    for (uint32_t i = 0; resolve->open_count <= SUMMARY_ASKED_MAX && i < resolve->open_count; i++)
        walk_ask(&resolve->walk, FILTER_TRANSFER, column_text(resolve->ids, resolve->open[i]));
}

static enum fault resolve_run(struct resolve *resolve, struct fault_note *note)
{
    uint32_t count;
    enum fault fault;
    do {
        resolve_ask(resolve);
        fault = walk_step(resolve->ledger, &resolve->walk, resolve->reader, &count, note);
        for (uint32_t i = 0; i < count && resolve->open_count && fault == FAULT_NONE; i++)
            fault = resolve_line(resolve, &resolve->reader->lines[i], note);
        if (fault == FAULT_ledger && count && !line_is_kept(resolve->ledger, resolve->reader->lines[count - 1].sequence))
            return FAULT_NONE;
    } while (fault == FAULT_NONE && resolve->open_count && !resolve->walk.is_done);
    return fault;
}

enum fault sqlite_find_transfers(struct ledger *ledger, struct text tenant, const struct column *ids, uint32_t row_count,
                                 const uint8_t *skip, ledger_found_fn *each, void *context, struct fault_note *note)
{
    const struct ledger_query all = {.verdict = -1};
    struct resolve resolve = {.ledger = ledger, .ids = ids, .row_count = row_count, .each = each, .context = context};
    if (ids->form == FORM_ABSENT || row_count == 0)
        return FAULT_NONE;
    resolve.reader = reader_take(ledger);
    enum fault fault = walk_init(&resolve.walk, ledger, resolve.reader, &all, true, note);
    if (fault == FAULT_NONE)
        fault = tenant_find(&resolve.reader->connection, &resolve.walk.tenant, tenant, note);
    if (fault == FAULT_NONE)
        fault = resolve_take(&resolve, skip, note);
    if (fault == FAULT_NONE)
        fault = resolve_run(&resolve, note);
    reader_give(ledger, resolve.reader);
    resolve_give(&resolve);
    return fault == FAULT_not_found ? FAULT_NONE : fault;
}
