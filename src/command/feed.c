/* A ring of slots, one batch in flight in each. The main thread fills and looks at them in turn, so answers are seen in
 * the order of the file whatever order they come in; the library's thread only marks a slot as done. */
#include "command/feed.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "client/client.h"
#include "command/source.h"
#include "wire/wire.h"

enum { KEY_ID = 0x200, KEY_BATCH_ROWS, KEY_IN_FLIGHT, KEY_DEADLINE, KEY_SAVE };
enum { IN_FLIGHT_MAX = 256, ID_BYTES = 160, NOTES_TOLD_MAX = 20 };

static const struct argp_option options[] = {
    {"id", KEY_ID, "PREFIX", 0,
     "Request ids are PREFIX-0, PREFIX-1, … (default: each from its batch's first row and that row's place, so that a file "
     "sent again is not taken twice)",
     5},
    {"batch-rows", KEY_BATCH_ROWS, "N", 0, "Rows of a batch (default 10000)", 5},
    {"in-flight", KEY_IN_FLIGHT, "N", 0, "Batches under way at once, as far as the server takes them (default 4)", 5},
    {"deadline", KEY_DEADLINE, "MS", 0, "Refuse a batch that the server cannot take within MS", 5},
    {"save", KEY_SAVE, "FILE", 0, "Write the request to FILE (.columns) instead of sending it; one batch", 5},
    {"quiet", 'q', NULL, 0, "No progress bar", 5},
    {0},
};

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    struct feed_options *out = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &out->connect;
        return 0;
    case KEY_ID:
        if (!*argument || strlen(argument) > ID_BYTES / 2)
            argp_error(state, "--id takes 1 to %d bytes", ID_BYTES / 2);
        out->id_prefix = argument;
        return 0;
    case KEY_BATCH_ROWS:
        out->batch_rows = (uint32_t)command_integer(state, "batch-rows", argument, 1, BATCH_LIMITS_DEFAULT.rows_max);
        return 0;
    case KEY_IN_FLIGHT:
        out->connect.in_flight = (size_t)command_integer(state, "in-flight", argument, 1, IN_FLIGHT_MAX);
        return 0;
    case KEY_DEADLINE:
        out->deadline_ms = command_integer(state, "deadline", argument, 1, INT32_MAX);
        return 0;
    case KEY_SAVE:
        out->save_path = argument;
        return 0;
    case 'q':
        out->quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        if (out->path)
            argp_error(state, "one FILE, not '%s' as well", argument);
        out->path = argument;
        return 0;
    case ARGP_KEY_END:
        if (!out->path)
            argp_error(state, "no FILE given ('-': standard input)");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{.argp = &connect_argp, .header = "Server:", .group = 10}, {0}};
const struct argp feed_argp = {.options = options, .parser = option_parse, .children = children};

struct feed;
struct slot {
    struct feed *feed;
    struct batch batch;
    char id[ID_BYTES];
    uint64_t first_row;
    bool sent, done; /* done: under the feed's lock */
    int error;
    struct sluice_reply *reply;
};

struct feed {
    const struct feed_options *options;
    struct sluice_client *client;
    struct source *source;
    struct slot *slots;
    size_t slot_count, slots_made;
    uint64_t *row_hashes;
    uint64_t rows_read, rows_done;
    int64_t begun_ns, ended_ns;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct progress progress;
    struct feed_totals totals;
    void (*each)(void *context, const struct feed_answer *answer);
    void *context;
    int status;
};

static void slot_done(void *context, int error, struct sluice_reply *reply)
{
    struct slot *slot = context;
    pthread_mutex_lock(&slot->feed->lock);
    slot->error = error;
    slot->reply = reply;
    slot->done = true;
    pthread_cond_signal(&slot->feed->changed);
    pthread_mutex_unlock(&slot->feed->lock);
}

static void note_tell(struct feed *feed, const struct feed_answer *answer, uint32_t row, const char *column, const char *text)
{
    const struct column *ids = &answer->batch->columns[COLUMN_transfer_id];
    if (feed->totals.notes++ >= NOTES_TOLD_MAX)
        return;
    if (feed->totals.notes == 1)
        progress_show(&feed->progress, feed->rows_done, true);
    fprintf(stderr, "sluice %s: ", feed->options->name);
    if (row < answer->batch->row_count) {
        fprintf(stderr, "row %llu", (unsigned long long)(answer->first_row + row + 1));
        if (column_is_valid(ids, row) && ids->form != FORM_I64 && ids->form != FORM_F64)
            fprintf(stderr, " (%.*s)", (int)column_text(ids, row).bytes, column_text(ids, row).data);
        fprintf(stderr, "%s%s: ", *column ? ", " : "", column);
    }
    fprintf(stderr, "%s\n", text);
}

/* What the file's reader found, with its lines, comes before what the server found in the other rows. */
static void notes_tell(struct feed *feed, const struct feed_answer *answer)
{
    const struct batch *batch = answer->batch;
    uint32_t row;
    const char *column, *text;
    for (uint32_t i = 0; i < batch->note_count; i++)
        note_tell(feed, answer, batch->notes[i].row, column_name(batch->notes[i].column), batch->notes[i].text);
    for (size_t i = 0; sluice_reply_note(answer->reply, i, &row, &column, &text) == SLUICE_OK; i++)
        if (row >= batch->row_count || !batch->facts.invalid || !batch->facts.invalid[row])
            note_tell(feed, answer, row, column, text);
}

static void conflict_tell(const struct feed *feed, const struct slot *slot)
{
    const char *fault = slot->reply ? sluice_reply_fault(slot->reply) : NULL;
    if (fault && strcmp(fault, "conflict") == 0 && !feed->options->id_prefix)
        command_fail(COMMAND_REFUSED, feed->options->name,
                     "a batch that begins like row %llu was taken before, with other rows behind it; of this one nothing was. Give the "
                     "--batch-rows of then; send new or corrected rows as a file of their own, or all as new ones with --id NAME",
                     (unsigned long long)slot->first_row + 1);
}

/* Waits for the slot's answer, shows it to the caller and empties the slot. */
static void slot_finish(struct feed *feed, struct slot *slot)
{
    if (!slot->sent)
        return;
    pthread_mutex_lock(&feed->lock);
    while (!slot->done)
        pthread_cond_wait(&feed->changed, &feed->lock);
    pthread_mutex_unlock(&feed->lock);
    feed->ended_ns = clock_steady_ns();
    feed->rows_done += slot->batch.row_count;
    if (slot->error == SLUICE_OK && feed->status == COMMAND_DONE) {
        const struct feed_answer answer = {.batch = &slot->batch, .reply = slot->reply, .first_row = slot->first_row};
        feed->totals.rows += slot->batch.row_count;
        feed->totals.batches++;
        notes_tell(feed, &answer);
        feed->each(feed->context, &answer);
    } else if (slot->error != SLUICE_OK && feed->status == COMMAND_DONE) {
        progress_show(&feed->progress, feed->rows_done, true);
        feed->status = connect_failed(feed->options->name, slot->error, slot->reply);
        conflict_tell(feed, slot);
    }
    progress_show(&feed->progress, feed->rows_done, false);
    sluice_reply_free(&slot->reply);
    slot->sent = slot->done = false;
}

/* Labels and observations may come again; transfers count once. Their batch is named by its rows up to the first that could be
 * read, and their place: whoever cuts or changes what follows meets the server's refusal of other content under a known id,
 * not a second screening. */
static struct digest slot_digest(const struct feed *feed, const struct slot *slot)
{
    struct batch head = slot->batch;
    const uint8_t *invalid = head.facts.invalid;
    uint32_t first = 0;
    head.name = text_of("");
    if (head.op == OP_label || op_is_about_accounts(head.op))
        return batch_digest(&head, 0, feed->row_hashes);
    while (invalid && invalid[first] && first + 1 < head.row_count)
        first++;
    head.row_count = first + 1;
    memset(head.rule_counts, 0, sizeof head.rule_counts);
    return batch_digest(&head, slot->first_row, feed->row_hashes);
}

static void slot_name(struct feed *feed, struct slot *slot, uint64_t index)
{
    char hex[33];
    const char *prefix = feed->options->id_prefix;
    if (prefix) {
        snprintf(slot->id, sizeof slot->id, "%s-%llu", prefix, (unsigned long long)index);
    } else if (slot->batch.id.bytes > 0) { /* a saved request names itself */
        return;
    } else {
        digest_to_hex(hex, slot_digest(feed, slot));
        snprintf(slot->id, sizeof slot->id, "%s", hex);
    }
    slot->batch.id = slot->batch.name = text_of(slot->id);
}

/* The next rows into the slot. false: no more, or feed->status says why. */
static bool slot_read(struct feed *feed, struct slot *slot, uint64_t index)
{
    struct fault_note note = {.row = ROW_NONE};
    enum fault fault = source_read(feed->source, &slot->batch, feed->options->batch_rows, &note);
    if (fault != FAULT_NONE) {
        feed->status = source_refused(feed->options->name, feed->options->path, &note);
        return false;
    }
    if (slot->batch.row_count == 0)
        return false;
    slot->batch.op = feed->options->op;
    slot->batch.observe_kind = feed->options->observe_kind;
    slot->first_row = feed->rows_read;
    feed->rows_read += slot->batch.row_count;
    slot_name(feed, slot, index);
    return true;
}

static void slot_send(struct feed *feed, struct slot *slot)
{
    if (feed->begun_ns == 0)
        feed->begun_ns = clock_steady_ns();
    int error = client_send(feed->client, &slot->batch, feed->options->deadline_ms, slot_done, slot, NULL);
    slot->sent = true;
    if (error != SLUICE_OK)
        slot_done(slot, error, NULL);
}

/* The first batch goes alone: if the file was taken before in another cut, the server says so before anything else of it
 * is on its way. */
static void feed_send_all(struct feed *feed)
{
    uint64_t index = 0;
    while (feed->status == COMMAND_DONE) {
        struct slot *slot = &feed->slots[index % feed->slot_count];
        slot_finish(feed, index == 1 ? &feed->slots[0] : slot);
        if (feed->status != COMMAND_DONE || !slot_read(feed, slot, index))
            break;
        slot_send(feed, slot);
        index++;
    }
    for (size_t i = 0; i < feed->slot_count; i++)
        slot_finish(feed, &feed->slots[(index + i) % feed->slot_count]);
    progress_show(&feed->progress, feed->rows_done, true);
    if (feed->status == COMMAND_DONE && feed->rows_read == 0)
        command_fail(COMMAND_DONE, feed->options->name, "%s has no rows", feed->options->path);
    if (feed->totals.notes > NOTES_TOLD_MAX)
        fprintf(stderr, "sluice %s: … and %llu more notes\n", feed->options->name,
                (unsigned long long)(feed->totals.notes - NOTES_TOLD_MAX));
}

static int feed_save(struct feed *feed)
{
    const struct feed_options *of = feed->options;
    struct slot *slot = &feed->slots[0];
    struct fault_note note = {.row = ROW_NONE};
    struct wire_buffer request = {0};
    if (!slot_read(feed, slot, 0))
        return feed->status == COMMAND_DONE ? command_fail(COMMAND_REFUSED, of->name, "%s has no rows", of->path) : feed->status;
    slot->batch.tenant = text_of(of->connect.tenant ? of->connect.tenant : "default");
    if (slot->batch.note_count > 0)
        return command_fail(COMMAND_REFUSED, of->name, "%s is not saved: row %u, %s: %s", of->path, slot->batch.notes[0].row + 1,
                            column_name(slot->batch.notes[0].column), slot->batch.notes[0].text);
    enum fault fault = wire_request_write(&request, &slot->batch, text_of(""), of->deadline_ms, &note);
    uint64_t rows = slot->batch.row_count;
    if (fault == FAULT_NONE && slot_read(feed, slot, 1))
        fault = fault_set(&note, FAULT_limit, ROW_NONE, COLUMN_NONE, "more than one batch: give --batch-rows");
    if (fault == FAULT_NONE && feed->status == COMMAND_DONE)
        fault = file_replace(of->save_path, request.data, request.bytes, &note);
    if (fault != FAULT_NONE)
        feed->status = source_refused(of->name, of->path, &note);
    else if (feed->status == COMMAND_DONE)
        fprintf(stderr, "%llu rows, %zu bytes in %s\n", (unsigned long long)rows, request.bytes, of->save_path);
    wire_buffer_fini(&request);
    return feed->status;
}

static int feed_open(struct feed *feed)
{
    const struct feed_options *of = feed->options;
    struct fault_note note = {.row = ROW_NONE};
    feed->slot_count = of->save_path ? 1 : of->connect.in_flight;
    if (source_open_held(&feed->source, of->path, of->held, &note) != FAULT_NONE)
        return source_refused(of->name, of->path, &note);
    uint32_t rows = source_batch_rows(feed->source, of->batch_rows);
    feed->slots = memory_take_zeroed(feed->slot_count, sizeof *feed->slots);
    feed->row_hashes = memory_take(sizeof(uint64_t) * rows);
    if (!feed->slots || !feed->row_hashes)
        return command_fail(COMMAND_REFUSED, of->name, "no memory for batches of %u rows", rows);
    feed->slots_made = feed->slot_count;
    for (size_t i = 0; i < feed->slot_count; i++) {
        feed->slots[i].feed = feed;
        if (batch_init(&feed->slots[i].batch, source_arena_bytes(feed->source, rows), &note) != FAULT_NONE)
            return command_fail(COMMAND_REFUSED, of->name, "no memory for batches of %u rows", rows);
    }
    return COMMAND_DONE;
}

/* No more at once than the server takes: one that is refused as busy and sent again comes behind those sent after it. */
static int feed_connect(struct feed *feed)
{
    struct connect_options connect = feed->options->connect;
    int status = connect_open(&feed->client, feed->options->name, &connect);
    uint32_t most = status == COMMAND_DONE ? client_server_in_flight(feed->client) : 0;
    if (most && feed->slot_count > most)
        feed->slot_count = most;
    return status;
}

static void feed_close(struct feed *feed)
{
    sluice_close(&feed->client);
    for (size_t i = 0; feed->slots && i < feed->slots_made; i++)
        batch_fini(&feed->slots[i].batch);
    memory_give(feed->slots);
    memory_give(feed->row_hashes);
    source_close(&feed->source);
    pthread_cond_destroy(&feed->changed);
    pthread_mutex_destroy(&feed->lock);
}

int feed_run(const struct feed_options *of, void (*each)(void *context, const struct feed_answer *answer), void *context,
             struct feed_totals *totals)
{
    struct feed feed = {.options = of, .each = each, .context = context};
    pthread_mutex_init(&feed.lock, NULL);
    pthread_cond_init(&feed.changed, NULL);
    feed.status = feed_open(&feed);
    if (feed.status == COMMAND_DONE && of->save_path) {
        feed.status = feed_save(&feed);
    } else if (feed.status == COMMAND_DONE && (feed.status = feed_connect(&feed)) == COMMAND_DONE) {
        progress_begin(&feed.progress, source_rows_expected(feed.source), of->quiet);
        feed_send_all(&feed);
    }
    *totals = feed.totals;
    totals->seconds = 1e-9 * (double)(feed.ended_ns - feed.begun_ns);
    feed_close(&feed);
    return feed.status;
}
