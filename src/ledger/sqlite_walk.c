/* The way of a query down the index, newest first, a step of lines at a time. Full segments that hold none of the ids asked
 * for are stepped over by their filters. */
#include "base/must.h"
#include "ledger/sqlite.h"

static struct text text_or_none(const char *text)
{
    return text && *text ? text_of(text) : (struct text){0};
}

enum fault walk_init(struct walk *out, const struct ledger *ledger, struct reader *reader, const struct ledger_query *query,
                     bool transfers_only, struct fault_note *note)
{
    *out = (struct walk){.query = query,
                         .transfers_only = transfers_only,
                         .left = query->rows_max ? query->rows_max : UINT32_MAX,
                         .transfer = text_or_none(query->transfer),
                         .account = text_or_none(query->account),
                         .scene = text_or_none(query->scene),
                         .batch = text_or_none(query->batch),
                         .below = INT64_MAX,
                         .least = transfers_only ? atomic_load(&ledger->kept_from) : 0};
    if (query->after_sequence && query->after_sequence < INT64_MAX)
        out->below = query->after_sequence + transfers_only;
    if (!query->tenant || !*query->tenant)
        return FAULT_NONE;
    return tenant_find(&reader->connection, &out->tenant, text_of(query->tenant), note);
}

sqlite3_stmt *walk_statement(const struct walk *walk, struct connection *connection, enum statement plain, enum statement named)
{
    const struct ledger_query *query = walk->query;
    sqlite3_stmt *statement = statement_take(connection, walk->batch.data && walk->tenant ? named : plain);
    sqlite3_bind_int64(statement, 1, (int64_t)walk->below);
    sqlite3_bind_int64(statement, 2, walk->tenant);
    sqlite3_bind_int64(statement, 3, query->from_us ? query->from_us : INT64_MIN);
    sqlite3_bind_int64(statement, 4, query->to_us ? query->to_us : INT64_MAX);
    sqlite3_bind_int(statement, 5, query->verdict);
    sqlite3_bind_int(statement, 6, walk->transfers_only);
    sqlite3_bind_int64(statement, 7, LINES_PER_STEP);
    if (walk->batch.data)
        statement_bind_text(statement, 8, walk->batch);
    sqlite3_bind_int64(statement, 9, (int64_t)walk->least);
    return statement;
}

void walk_ask(struct walk *walk, enum filter_kind kind, struct text id)
{
    MUST(walk->asked_count < SUMMARY_ASKED_MAX);
    walk->asked_kind = kind;
    walk->asked[walk->asked_count++] = id;
}

static enum fault lines_down(struct walk *walk, struct reader *reader, uint32_t *out_count, struct fault_note *note)
{
    sqlite3_stmt *statement = walk_statement(walk, &reader->connection, STATEMENT_lines_down, STATEMENT_lines_named);
    int code;
    for (*out_count = 0; (code = sqlite3_step(statement)) == SQLITE_ROW && *out_count < LINES_PER_STEP;)
        index_line_of(&reader->lines[(*out_count)++], statement);
    sqlite3_reset(statement);
    walk->is_done = *out_count < LINES_PER_STEP;
    return code == SQLITE_DONE || code == SQLITE_ROW ? FAULT_NONE : connection_fault(&reader->connection, code, "read the index", note);
}

/* Steps over full segments that hold none of the ids, newest first; true: over one at least. */
static bool segments_skip(const struct ledger *ledger, struct walk *walk, uint32_t segment)
{
    struct summary_view view;
    uint32_t first = segment;
    bool goes_on = true;
    while (goes_on && segment && summary_view_open(&view, ledger->folder, ledger->secret, segment)) {
        goes_on = view.header.first_sequence < walk->below &&
                  !summary_may_have(&view, walk->tenant, walk->asked_kind, walk->asked, walk->asked_count);
        if (goes_on)
            walk->below = view.header.first_sequence, segment--;
        summary_view_close(&view);
    }
    return segment < first;
}

enum fault walk_step(const struct ledger *ledger, struct walk *walk, struct reader *reader, uint32_t *out_count, struct fault_note *note)
{
    enum fault fault;
    bool skipped;
    do {
        fault = lines_down(walk, reader, out_count, note);
        if (fault != FAULT_NONE || *out_count == 0)
            return fault;
        bool is_new = walk->asked_count && reader->lines[0].place.segment != walk->segment;
        walk->segment = reader->lines[0].place.segment;
        skipped = is_new && segments_skip(ledger, walk, walk->segment);
    } while (skipped);
    for (uint32_t i = 1; walk->asked_count && i < *out_count; i++)
        if (reader->lines[i].place.segment != walk->segment)
            *out_count = i, walk->is_done = false;
    walk->below = reader->lines[*out_count - 1].sequence;
    return FAULT_NONE;
}
