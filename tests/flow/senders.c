/* An id is sent again with the same content alone, as the library does it; so every id has one truth, which the first answer
 * tells and which no death of the server changes. */
#include "flow/senders.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "flow/message.h"
#include "wire/wire.h"

enum { CALL_LIMIT_MS = 300 };

struct sender {
    pthread_t thread;
    struct server *server;
    const struct table *table;
    unsigned number, round, each;
    struct sent_list list;
};

static struct sent *list_add(struct sent_list *list)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 16;
        list->items = realloc(list->items, list->capacity * sizeof *list->items);
        MUST(list->items);
    }
    struct sent *sent = &list->items[list->count++];
    memset(sent, 0, sizeof *sent);
    return sent;
}

void sent_list_free(struct sent_list *list)
{
    free(list->items);
    *list = (struct sent_list){0};
}

static bool is_screened(const struct sent *sent)
{
    return strcmp(sent->op, "screen") == 0;
}

static void batch_of(struct flow_batch *out, const struct table *table, const struct sent *sent)
{
    static const struct column_as labels[] = {{"transfer_id", "transfer_id"}, {"label", "label"}, {0}};
    static const struct column_as uses[] = {{"payer_id", "account_id"}, {"payer_device", "device_id"}, {"time", "time"}, {0}};
    if (strcmp(sent->op, "label") == 0)
        table_batch_as(out, table, sent->id, sent->first, SENT_ROWS, labels);
    else if (strcmp(sent->op, "observe:use") == 0)
        table_batch_as(out, table, sent->id, sent->first, SENT_ROWS, uses);
    else
        table_batch(out, table, sent->id, sent->first, SENT_ROWS, sent->is_labelled ? NULL : left_out_labels);
}

static void answer_take(struct sent_answer *out, const struct sluice_reply *reply, const struct sent *sent)
{
    *out = (struct sent_answer){.sequence = sluice_reply_integer(reply, "sequence", 0)};
    MUST(out->sequence > 0);
    if (is_screened(sent)) {
        MUST(sluice_reply_rows(reply) == SENT_ROWS);
        recorded_take(out->rows, reply);
        return;
    }
    struct wire_value map = reply_map(reply), counts;
    MUST(wire_find(&counts, &map, "counts"));
    out->taken = (uint32_t)map_number(&counts, "taken");
    MUST(out->taken == SENT_ROWS);
}

static int send_one(struct sluice_client *client, const struct table *table, const struct sent *sent, struct sent_answer *answer)
{
    struct flow_batch batch;
    struct sluice_reply *reply = NULL;
    batch_of(&batch, table, sent);
    int error = sluice_call(client, sent->op, batch.batch, 0, &reply);
    flow_batch_free(&batch);
    if (error == 0) {
        answer_take(answer, reply, sent);
    } else if (error == SLUICE_FAULT) {
        fprintf(stderr, "%s: %s: %s\n", sent->id, reply_fault(reply), sluice_reply_text(reply));
    }
    sluice_reply_free(&reply);
    return error;
}

/* The last sender's label follows the import of the same rows. */
static void sent_fill(struct sent *sent, const struct sender *sender, unsigned nth)
{
    static const char *const mixed[] = {"import", "observe:use", "label"};
    bool is_mixed = sender->number == SENDERS - 1;
    unsigned rows = is_mixed ? nth / 3 : nth;
    snprintf(sent->id, sizeof sent->id, "r%u-s%u-b%u", sender->round, sender->number, nth);
    sent->op = is_mixed ? mixed[nth % 3] : "screen";
    sent->is_labelled = is_mixed && rows % 2;
    sent->first = (sender->round * 1009u + sender->number * 401u + rows * 7u) * SENT_ROWS % (sender->table->row_count - SENT_ROWS);
}

static void *sender_run(void *argument)
{
    struct sender *sender = argument;
    char error[256];
    const char *url = sender->server->data_url;
    struct sluice_client *client = NULL;
    struct sluice_options options = {.urls = &url, .url_count = 1, .tenant = "flow", .token = FLOW_TOKEN, .timeout_ms = CALL_LIMIT_MS};
    if (sluice_open(&client, &options, error, sizeof error) != 0)
        return NULL; /* it died before it could greet */
    for (unsigned i = 0; i < sender->each; i++) {
        struct sent *sent = list_add(&sender->list);
        sent_fill(sent, sender, i);
        if (send_one(client, sender->table, sent, &sent->answer) != 0)
            break;
        sent->acknowledged = sent->known = true;
    }
    sluice_close(&client);
    return NULL;
}

void senders_run(struct sent_list *list, struct server *server, const struct table *table, unsigned round, unsigned each)
{
    struct sender senders[SENDERS];
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.server = server, .table = table, .number = i, .round = round, .each = each};
        MUST(pthread_create(&senders[i].thread, NULL, sender_run, &senders[i]) == 0);
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        pthread_join(senders[i].thread, NULL);
        for (uint32_t j = 0; j < senders[i].list.count; j++)
            *list_add(list) = senders[i].list.items[j];
        sent_list_free(&senders[i].list);
    }
}

static uint32_t recorded_rows(struct sluice_client *client, const char *id)
{
    struct sluice_reply *reply = NULL;
    struct sluice_query query = {.batch = id, .rows_max = 10 * SENT_ROWS};
    MUST(sluice_query(client, &query, &reply) == 0);
    size_t bytes;
    const unsigned char *at = sluice_reply_bytes(reply, &bytes);
    struct wire_value map, rows;
    MUST(wire_check(at, bytes, NULL) == FAULT_NONE && wire_next(&map, &at, at + bytes) && wire_find(&rows, &map, "transfers"));
    sluice_reply_free(&reply);
    return rows.count;
}

static void check_sequences(const struct sent_list *list)
{
    uint8_t *seen = calloc(list->count + 1, 1);
    MUST(seen);
    for (uint32_t i = 0; i < list->count; i++) {
        int64_t sequence = list->items[i].answer.sequence;
        if (sequence > list->count || seen[sequence])
            fprintf(stderr, "%s: sequence %lld of %u batches\n", list->items[i].id, (long long)sequence, list->count);
        MUST(sequence <= list->count && !seen[sequence]);
        seen[sequence] = 1;
    }
    free(seen);
}

void senders_check(struct sent_list *list, struct server *server, const struct table *table, uint32_t from)
{
    struct sluice_client *client = client_open(server);
    for (uint32_t i = from; i < list->count; i++) {
        struct sent_answer answer;
        struct sent *sent = &list->items[i];
        MUST(send_one(client, table, sent, &answer) == 0);
        if (sent->known) {
            MUST(answer.sequence == sent->answer.sequence && answer.taken == sent->answer.taken);
            MUST(recorded_differences(sent->answer.rows, answer.rows, SENT_ROWS, sent->id) == 0);
        }
        sent->answer = answer;
        sent->known = true;
        if (is_screened(sent) || strcmp(sent->op, "import") == 0)
            MUST(recorded_rows(client, sent->id) == SENT_ROWS);
    }
    sluice_close(&client);
    check_sequences(list);
}

void senders_check_history(struct server *server, unsigned round)
{
    struct server copy = {0};
    char here[33], there[33], name[32], from[256], to[256], snapshot[300];
    history_digest(here, server);
    server_kill(server);
    snprintf(name, sizeof name, "rebuilt-%u", round);
    server_configure(&copy, &(struct server_options){.name = name});
    snprintf(from, sizeof from, "%s/ledger", server->folder);
    snprintf(to, sizeof to, "%s/ledger", copy.folder);
    folder_copy(to, from);
    snprintf(snapshot, sizeof snapshot, "%s/history.snapshot", to);
    bool had_snapshot = unlink(snapshot) == 0;
    server_start(&copy);
    history_digest(there, &copy);
    if (strcmp(here, there) != 0)
        fprintf(stderr, "history %s, rebuilt from the log %s (snapshot: %d)\n", here, there, had_snapshot);
    MUST(strcmp(here, there) == 0);
    server_stop(&copy);
    server_start(server);
}
