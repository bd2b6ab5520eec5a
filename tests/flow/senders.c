/* An id is sent again with the same content alone, as the library does it; so every id has one truth, which the first answer
 * tells and which no death of the server changes. */
#include "flow/senders.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
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

static int send_one(struct sluice_client *client, const struct table *table, struct sent *sent, struct recorded rows[SENT_ROWS])
{
    struct flow_batch batch;
    struct sluice_reply *reply = NULL;
    table_batch(&batch, table, sent->id, sent->first, SENT_ROWS, left_out_labels);
    int error = sluice_call(client, "screen", batch.batch, 0, &reply);
    flow_batch_free(&batch);
    if (error == 0) {
        MUST(sluice_reply_rows(reply) == SENT_ROWS);
        recorded_take(rows, reply);
    } else if (error == SLUICE_FAULT) {
        fprintf(stderr, "%s: %s: %s\n", sent->id, reply_fault(reply), sluice_reply_text(reply));
    }
    sluice_reply_free(&reply);
    return error;
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
        snprintf(sent->id, sizeof sent->id, "r%u-s%u-b%u", sender->round, sender->number, i);
        sent->first = (sender->round * 1009u + sender->number * 401u + i * 7u) * SENT_ROWS % (sender->table->row_count - SENT_ROWS);
        if (send_one(client, sender->table, sent, sent->rows) != 0)
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

void senders_check(struct sent_list *list, struct server *server, const struct table *table, uint32_t from)
{
    struct sluice_client *client = client_open(server);
    for (uint32_t i = from; i < list->count; i++) {
        struct recorded rows[SENT_ROWS];
        struct sent *sent = &list->items[i];
        MUST(send_one(client, table, sent, rows) == 0);
        if (sent->known)
            MUST(recorded_differences(sent->rows, rows, SENT_ROWS, sent->id) == 0);
        memcpy(sent->rows, rows, sizeof rows);
        sent->known = true;
        MUST(recorded_rows(client, sent->id) == SENT_ROWS);
    }
    sluice_close(&client);
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
