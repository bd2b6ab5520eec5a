/* Finding: the index is walked newest first, a step of lines at a time; a frame's filter says from one block of 64 bytes
 * whether an id may be in it; only what may hold a hit is read and decoded. */
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/must.h"
#include "ledger/filter.h"
#include "ledger/frame.h"
#include "ledger/sqlite.h"

enum { WAITED_NS = 20000 };

/* Where the block of an id lies in its segment. */
static uint64_t block_start(const struct index_line *line, uint64_t key)
{
    uint64_t filter_bytes = (uint64_t)line->filter_blocks * FILTER_BLOCK_BYTES;
    return line->place.start + line->place.bytes - filter_bytes + (uint64_t)filter_block_of(key, line->filter_blocks) * FILTER_BLOCK_BYTES;
}

static enum fault line_may_have(const struct ledger *ledger, struct reader *reader, bool *out, const struct index_line *line,
                                enum filter_kind kind, struct text id, struct fault_note *note)
{
    unsigned char block[FILTER_BLOCK_BYTES];
    *out = true;
    if (!id.data || line->filter_blocks == 0)
        return FAULT_NONE;
    uint64_t key = filter_key(line->key_seed, kind, id);
    enum fault fault =
        segment_read(&reader->segments, ledger->folder, line->place.segment, block_start(line, key), block, sizeof block, note);
    if (fault == FAULT_NONE)
        *out = filter_block_has(block, filter_block_of(key, line->filter_blocks), line->key_seed, key);
    return fault;
}

/* The other blocks of a step are asked of the disk at once when the first had to be waited for. */
static void step_read_ahead(const struct ledger *ledger, const struct walk *walk, struct reader *reader, uint32_t count)
{
    int64_t start = clock_steady_ns();
    bool may;
    if (count < 2 || line_may_have(ledger, reader, &may, &reader->lines[0], walk->asked_kind, walk->asked[0], NULL) != FAULT_NONE ||
        clock_steady_ns() - start < WAITED_NS)
        return;
    for (uint32_t i = 1; i < count; i++) {
        const struct index_line *line = &reader->lines[i];
        if (line->filter_blocks)
            segment_read_ahead(&reader->segments, ledger->folder, line->place.segment,
                               block_start(line, filter_key(line->key_seed, walk->asked_kind, walk->asked[0])), FILTER_BLOCK_BYTES);
    }
}

enum fault scenes_load(struct reader *reader, int64_t list, struct fault_note *note)
{
    if (reader->scene_list == list)
        return FAULT_NONE;
    sqlite3_stmt *statement = statement_take(&reader->connection, STATEMENT_scenes_get);
    int code;
    reader->scene_list = -1;
    memset(reader->scene_names, 0, sizeof reader->scene_names);
    sqlite3_bind_int64(statement, 1, list);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        uint64_t scene = (uint64_t)sqlite3_column_int64(statement, 0);
        const char *name = (const char *)sqlite3_column_text(statement, 1);
        if (scene < SCENE_CODES && name)
            text_copy(reader->scene_names[scene], SCENE_NAME_BYTES, text_of(name));
    }
    sqlite3_reset(statement);
    if (code != SQLITE_DONE)
        return connection_fault(&reader->connection, code, "read names of scenes", note);
    reader->scene_list = list;
    return FAULT_NONE;
}

/* Codes whose name is asked for, as far as the mask of a line can tell. */
static bool line_may_show(const struct reader *reader, const struct index_line *line, struct text scene)
{
    for (unsigned code = 0; scene.data && code < SCENE_CODES; code++)
        if ((line->scene_mask >> (code < 31 ? code : 31) & 1) && text_equal(text_of(reader->scene_names[code]), scene))
            return true;
    return !scene.data;
}

static bool cell_is(const struct batch *batch, enum column_id column, uint32_t row, struct text wanted)
{
    return column_is_valid(&batch->columns[column], row) && text_equal(column_text(&batch->columns[column], row), wanted);
}

/* Its match made the level, alone or with the anomaly, and the row did not pass. */
static bool scene_kept(const struct results *results, uint32_t row)
{
    bool is_cause = results->cause && (results->cause[row] == CAUSE_SCENE || results->cause[row] == CAUSE_SCENE_AND_ANOMALY);
    return is_cause && results->verdict && (results->verdict[row] == VERDICT_HOLD || results->verdict[row] == VERDICT_REJECT);
}

/* The last to be asked: it costs a look-up. */
static bool state_fits(struct walk *walk, struct reader *reader, const struct batch *batch, uint32_t row, struct fault_note *note)
{
    enum row_state state = ROW_SCREENED;
    if (walk->query->state == 0)
        return true;
    walk->fault = row_state_read(&reader->connection, &state, batch->sequence, row, note);
    return walk->fault == FAULT_NONE && walk->query->state == 1 + (int)state;
}

static bool row_fits(const struct walk *walk, const struct reader *reader, const struct batch *batch, uint32_t row)
{
    const struct results *results = &batch->results;
    if (walk->query->verdict >= 0 && (!results->verdict || results->verdict[row] != walk->query->verdict))
        return false;
    if (walk->query->level > 0 && (!results->level || results->level[row] + 1 != walk->query->level))
        return false;
    if (walk->transfer.data && !cell_is(batch, COLUMN_transfer_id, row, walk->transfer))
        return false;
    if (walk->account.data && !cell_is(batch, COLUMN_payer_id, row, walk->account) && !cell_is(batch, COLUMN_payee_id, row, walk->account))
        return false;
    if (walk->scene.data && walk->query->scene_decides && !scene_kept(results, row))
        return false;
    return !walk->scene.data || (results->scene && text_equal(text_of(reader->scene_names[results->scene[row]]), walk->scene));
}

/* false: the page is full or the caller has enough. */
static bool rows_visit(struct walk *walk, struct reader *reader, const struct batch *batch, ledger_row_fn *each, void *context,
                       struct fault_note *note)
{
    const struct ledger_query *query = walk->query;
    const struct results *results = &batch->results;
    uint64_t first = batch->sequence == query->after_sequence ? (uint64_t)query->after_row + 1 : 0;
    for (uint32_t row = (uint32_t)first; first < batch->row_count && row < batch->row_count; row++) {
        if (!row_fits(walk, reader, batch, row) || !state_fits(walk, reader, batch, row, note)) {
            if (walk->fault != FAULT_NONE)
                return false;
            continue;
        }
        struct ledger_row found = {.batch = batch,
                                   .row = row,
                                   .scene = results->scene ? reader->scene_names[results->scene[row]] : "",
                                   .runner_up = results->runner_up ? reader->scene_names[results->runner_up[row]] : ""};
        if (!each(context, &found) || --walk->left == 0)
            return false;
    }
    return true;
}

static enum fault line_visit(const struct ledger *ledger, struct walk *walk, struct reader *reader, const struct index_line *line,
                             ledger_row_fn *each, void *context, bool *out_more, struct fault_note *note)
{
    struct batch batch;
    bool may = false;
    enum fault fault = line_may_have(ledger, reader, &may, line, FILTER_TRANSFER, walk->transfer, note);
    if (fault == FAULT_NONE && may)
        fault = line_may_have(ledger, reader, &may, line, FILTER_ACCOUNT, walk->account, note);
    if (fault != FAULT_NONE || !may)
        return fault;
    if (walk->query->state > 0)
        fault = line_may_be(&reader->connection, &may, line->sequence, (enum row_state)(walk->query->state - 1), note);
    if (fault != FAULT_NONE || !may)
        return fault;
    fault = scenes_load(reader, line->scene_list, note);
    if (fault != FAULT_NONE || !line_may_show(reader, line, walk->scene))
        return fault;
    fault = frame_load(ledger, reader, &batch, line, note);
    if (fault == FAULT_NONE) {
        *out_more = rows_visit(walk, reader, &batch, each, context, note);
        batch_fini(&batch);
        fault = walk->fault;
    }
    return fault;
}

static enum fault walk_rows(const struct ledger *ledger, struct walk *walk, struct reader *reader, ledger_row_fn *each, void *context,
                            struct fault_note *note)
{
    uint32_t count;
    bool more = true;
    enum fault fault;
    do {
        fault = walk_step(ledger, walk, reader, &count, note);
        if (fault == FAULT_NONE && walk->asked_count)
            step_read_ahead(ledger, walk, reader, count);
        for (uint32_t i = 0; i < count && more && fault == FAULT_NONE; i++)
            fault = line_visit(ledger, walk, reader, &reader->lines[i], each, context, &more, note);
        if (fault == FAULT_ledger && count && !line_is_kept(ledger, reader->lines[count - 1].sequence))
            return FAULT_NONE; /* its segment was dropped meanwhile, and all before it */
    } while (fault == FAULT_NONE && more && !walk->is_done);
    return fault;
}

enum fault sqlite_query(struct ledger *ledger, const struct ledger_query *query, ledger_row_fn *each, void *context,
                        struct fault_note *note)
{
    struct walk walk;
    struct reader *reader = reader_take(ledger);
    enum fault fault = walk_init(&walk, ledger, reader, query, true, note);
    if (walk.transfer.data || walk.account.data)
        walk_ask(&walk, walk.transfer.data ? FILTER_TRANSFER : FILTER_ACCOUNT, walk.transfer.data ? walk.transfer : walk.account);
    if (fault == FAULT_NONE)
        fault = walk_rows(ledger, &walk, reader, each, context, note);
    reader_give(ledger, reader);
    return fault == FAULT_not_found ? FAULT_NONE : fault;
}

struct found { /* the first row of a query */
    uint64_t sequence;
    uint32_t row;
    uint8_t label;
    bool is_there;
};

static bool found_take(void *context, const struct ledger_row *row)
{
    const struct batch_facts *facts = &row->batch->facts;
    *(struct found *)context = (struct found){
        .sequence = row->batch->sequence, .row = row->row, .is_there = true, .label = facts->label ? facts->label[row->row] & 3 : 0};
    return false;
}

static enum fault transfer_find(struct ledger *ledger, struct reader *reader, struct found *out, struct text tenant, struct text transfer,
                                struct fault_note *note)
{
    struct ledger_query query = {.verdict = -1};
    struct walk walk;
    *out = (struct found){0};
    enum fault fault = walk_init(&walk, ledger, reader, &query, true, note);
    if (fault == FAULT_NONE)
        fault = tenant_find(&reader->connection, &walk.tenant, tenant, note);
    walk.transfer = transfer;
    walk_ask(&walk, FILTER_TRANSFER, transfer);
    if (fault == FAULT_NONE && transfer.bytes)
        fault = walk_rows(ledger, &walk, reader, found_take, out, note);
    if (fault == FAULT_not_found || (fault == FAULT_NONE && !out->is_there))
        fault = fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_transfer_id, "no transfer %.*s is known",
                          (int)(transfer.bytes < 100 ? transfer.bytes : 100), transfer.data);
    return fault;
}

enum fault sqlite_find_transfer(struct ledger *ledger, struct text tenant, struct text transfer, uint64_t *sequence, uint32_t *row,
                                struct fault_note *note)
{
    struct found found;
    struct reader *reader = reader_take(ledger);
    enum fault fault = transfer_find(ledger, reader, &found, tenant, transfer, note);
    reader_give(ledger, reader);
    *sequence = found.sequence, *row = found.row;
    return fault;
}

enum fault label_read(struct connection *connection, uint8_t *out, int64_t tenant, struct text transfer, struct fault_note *note)
{
    int64_t label = 0;
    sqlite3_stmt *statement = statement_take(connection, STATEMENT_label_get);
    sqlite3_bind_int64(statement, 1, tenant);
    statement_bind_text(statement, 2, transfer);
    enum fault fault = statement_integer(connection, statement, &label, "look up a label", note);
    *out = (uint8_t)label;
    return fault;
}

/* What a label batch said last; else what the transfer was imported with. */
enum fault sqlite_label_find(struct ledger *ledger, struct text tenant, struct text transfer, uint8_t *out, struct fault_note *note)
{
    struct reader *reader = reader_take(ledger);
    int64_t number;
    struct found found;
    *out = 0;
    enum fault fault = tenant_find(&reader->connection, &number, tenant, note);
    if (fault == FAULT_NONE)
        fault = label_read(&reader->connection, out, number, transfer, note);
    if (fault == FAULT_not_found) {
        fault = transfer_find(ledger, reader, &found, tenant, transfer, NULL);
        *out = fault == FAULT_NONE ? found.label : 0;
    }
    reader_give(ledger, reader);
    return fault == FAULT_not_found ? FAULT_NONE : fault;
}

static enum fault walk_batches(struct walk *walk, struct reader *reader, bool (*each)(void *, const struct ledger_batch *), void *context,
                               struct fault_note *note)
{
    struct ledger_batch lines[LINES_PER_STEP];
    uint32_t count;
    bool more = true;
    int code;
    do {
        sqlite3_stmt *statement = walk_statement(walk, &reader->connection, STATEMENT_batches_down, STATEMENT_batches_named);
        for (count = 0; (code = sqlite3_step(statement)) == SQLITE_ROW && count < LINES_PER_STEP;)
            batch_line_of(&lines[count++], statement);
        sqlite3_reset(statement);
        if (code != SQLITE_DONE && code != SQLITE_ROW)
            return connection_fault(&reader->connection, code, "read the index", note);
        for (uint32_t i = 0; i < count && more; i++) {
            more = each(context, &lines[i]) && --walk->left > 0;
            walk->below = lines[i].sequence;
        }
    } while (more && count == LINES_PER_STEP);
    return FAULT_NONE;
}

enum fault sqlite_batches(struct ledger *ledger, const struct ledger_query *query, bool (*each)(void *, const struct ledger_batch *),
                          void *context, struct fault_note *note)
{
    struct walk walk;
    struct reader *reader = reader_take(ledger);
    enum fault fault = walk_init(&walk, ledger, reader, query, false, note);
    if (fault == FAULT_NONE)
        fault = walk_batches(&walk, reader, each, context, note);
    reader_give(ledger, reader);
    return fault == FAULT_not_found ? FAULT_NONE : fault;
}
