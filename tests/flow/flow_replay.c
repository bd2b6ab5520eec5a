/* What a server recorded is what a replay gives: across restarts, a kill, two scene bases, imports, observations and labels, while
 * the server runs and on a copy. One stored value that is another one is found and named; what cannot be read is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "flow/base_files.h"
#include "flow/senders.h"
#include "ledger/frame.h"

#define MODEL_TOKEN "model-token-9c44"
enum { LARGE_ROWS = 3500, LATE_ROWS = 600, LATE_EACH = 7, SENT_EACH = 24, CHANCES = 40 };

static struct table *fresh, *late; /* late: every seventh row is months old */
static struct server server;
static struct sent_list sent;
static char months_old[] = "1700000000000000", ledger[300], output[16384], activation[8192], token_file[256], gone_later[256],
            tenants[1024];

/* --- a frame that was changed by somebody who knows its checksum ------------------------------------------------------- */

struct place {
    size_t start, bytes;
};

static bool frame_find(struct place *out, const unsigned char *segment, size_t bytes, uint64_t sequence)
{
    struct frame_header header;
    for (size_t at = 0; at + sizeof header <= bytes; at += out->bytes) {
        memcpy(&header, segment + at, sizeof header);
        MUST(header.magic == FRAME_MAGIC);
        *out = (struct place){.start = at, .bytes = sizeof header + header.body_bytes + (size_t)header.filter_blocks * FRAME_ALIGN};
        if (header.sequence == sequence)
            return true;
    }
    return false;
}

static void frame_seal(unsigned char *frame, size_t bytes)
{
    uint64_t checksum = frame_checksum(frame, bytes);
    memcpy(frame + offsetof(struct frame_header, checksum), &checksum, sizeof checksum);
}

static uint32_t values_apart(const void *a, const void *b, const struct frame_field *field, uint32_t rows, uint32_t *row)
{
    const char *from = frame_field_get(a, field), *to = frame_field_get(b, field);
    uint32_t apart = !from != !to;
    for (uint32_t i = 0; from && to && i < rows; i++)
        if (memcmp(from + (size_t)i * field->width, to + (size_t)i * field->width, field->width) != 0)
            apart++, *row = i;
    return apart;
}

/* One value of that name is another one, and all else is as it was. */
static bool one_is_apart(const struct batch *a, const struct batch *b, const char *name, uint32_t *row)
{
    bool found = false;
    uint32_t other;
    for (unsigned i = 0; i < frame_fact_field_count + frame_result_field_count; i++) {
        bool is_fact = i < frame_fact_field_count;
        const struct frame_field *field = is_fact ? &frame_fact_fields[i] : &frame_result_fields[i - frame_fact_field_count];
        bool is_it = strcmp(field->name, name) == 0;
        uint32_t apart = is_fact ? values_apart(&a->facts, &b->facts, field, a->row_count, is_it ? row : &other)
                                 : values_apart(&a->results, &b->results, field, a->row_count, is_it ? row : &other);
        if (apart != (is_it ? 1 : 0))
            return false;
        found = found || is_it;
    }
    return found;
}

/* Flips a bit of the body so that one value is another one; false: no bit does. */
static bool value_flip(unsigned char *frame, size_t bytes, const char *name, uint32_t *row)
{
    struct batch before = {0}, after = {0};
    struct fault_note note;
    struct frame_header header;
    memcpy(&header, frame, sizeof header);
    MUST(frame_decode(&before, frame, bytes, &note) == FAULT_NONE);
    if (before.op != OP_screen)
        return batch_fini(&before), false;
    for (size_t at = sizeof header; at < sizeof header + header.body_bytes; at++) {
        frame[at] ^= 1;
        frame_seal(frame, bytes);
        bool found = frame_decode(&after, frame, bytes, &note) == FAULT_NONE && one_is_apart(&before, &after, name, row);
        batch_fini(&after);
        if (found)
            return batch_fini(&before), true;
        frame[at] ^= 1;
    }
    frame_seal(frame, bytes);
    batch_fini(&before);
    return false;
}

/* --- tests ------------------------------------------------------------------------------------------------------------ */

static void begin(const char *base)
{
    server_begin(&server, &(struct server_options){.base = base, .top = "snapshot_interval: 1s\n", .tenants = tenants});
}

static void *kill_later(void *argument)
{
    (void)argument;
    sleep_ms(150);
    server_kill(&server);
    return NULL;
}

/* Rows that fail by their time alone take part in what is joined across the batch. */
static void late_screen(struct sluice_client *client, unsigned round)
{
    char id[32];
    struct flow_batch batch;
    struct sluice_reply *reply = NULL;
    snprintf(id, sizeof id, "late-%u", round);
    table_batch(&batch, late, id, round * 101, LATE_ROWS, left_out_labels);
    assert_int_equal(sluice_call(client, "screen", batch.batch, 0, &reply), 0);
    sluice_reply_free(&reply);
    flow_batch_free(&batch);
}

static void label_rows(struct sluice_client *client, unsigned round)
{
    static const struct column_as labels[] = {{"transfer_id", "transfer_id"}, {"label", "label"}, {0}};
    struct flow_batch batch;
    struct sluice_reply *reply = NULL;
    char id[32];
    snprintf(id, sizeof id, "label-%u", round);
    table_batch_as(&batch, fresh, id, round * 701, LARGE_ROWS, labels);
    assert_int_equal(sluice_call(client, "label", batch.batch, 0, &reply), 0);
    sluice_reply_free(&reply);
    flow_batch_free(&batch);
}

static void traffic(unsigned round)
{
    char id[32];
    struct sluice_client *client = client_open(&server);
    snprintf(id, sizeof id, "large-%u", round);
    struct sluice_reply *reply = screen_rows(client, "screen", fresh, id, round * 701, LARGE_ROWS);
    assert_int_equal(sluice_reply_rows(reply), LARGE_ROWS);
    sluice_reply_free(&reply);
    late_screen(client, round);
    label_rows(client, round);
    sluice_close(&client);
    senders_run(&sent, &server, fresh, round, SENT_EACH);
}

static int verify(const char *folder, const char *option, const char *value)
{
    int status = option ? FLOW_RUN(output, "replay", "--verify", folder, option, value) : FLOW_RUN(output, "replay", "--verify", folder);
    if (status != 0)
        printf("%s", output);
    return status;
}

static void test_a_running_server(void **state)
{
    (void)state;
    traffic(0);
    assert_int_equal(verify(ledger, NULL, NULL), 0);
    assert_non_null(strstr(output, "to the bit"));
    assert_non_null(strstr(output, " one configuration and base,"));
}

/* The second base comes with a restart, the first again after a kill with batches in flight. */
static void test_restart_and_kill(void **state)
{
    (void)state;
    pthread_t killer;
    server_stop(&server);
    begin(flow_row_base());
    traffic(1);
    assert_int_equal(pthread_create(&killer, NULL, kill_later, NULL), 0);
    senders_run(&sent, &server, fresh, 2, 100000);
    pthread_join(killer, NULL);
    assert_int_equal(verify(ledger, NULL, NULL), 0); /* beside the log that the kill left */
    begin(NULL);
    traffic(3);
    assert_int_equal(verify(ledger, NULL, NULL), 0);
    assert_non_null(strstr(output, " 2 configurations and bases"));
}

static void *activate_later(void *argument)
{
    char digest[40];
    (void)argument;
    file_digest(digest, flow_row_base());
    sleep_ms(30);
    for (int i = 0; i < 2; i++)
        if (FLOW_RUN(activation, "base", i ? "activate" : "put", i ? digest : flow_row_base(), "--connect", server.admin_url, "--tenant",
                     "models", "--token-file", token_file) != 0)
            return activation;
    return NULL;
}

/* A base is activated under load: around it batches of both take turns in the log. */
static void test_a_base_is_activated(void **state)
{
    (void)state;
    pthread_t activating;
    void *failed = NULL;
    assert_int_equal(pthread_create(&activating, NULL, activate_later, NULL), 0);
    traffic(4);
    pthread_join(activating, &failed);
    if (failed)
        fail_msg("%s", (char *)failed);
    traffic(5);
    assert_int_equal(verify(ledger, NULL, NULL), 0);
    assert_non_null(strstr(output, " 3 configurations and bases"));
    server_stop(&server);
    assert_int_equal(unlink(gone_later), 0); /* a configuration of then is read without the files beside it */
}

static void test_threads_devices_and_spans(void **state)
{
    static const char *const ways[][2] = {{"--workers", "1"},  {"--workers", "5"},      {"--cpu-mask", "none"}, {"--cpu-mask", "avx2"},
                                          {"--device", "ref"}, {"--from-batch", "120"}, {"--to-batch", "9"}};
    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        assert_int_equal(verify(ledger, ways[i][0], ways[i][1]), 0);
    assert_int_equal(FLOW_RUN(output, "replay", "--verify", "--from-batch", "1000000", ledger), 2);
    assert_non_null(strstr(output, "no batch lies between"));
    assert_int_equal(FLOW_RUN(output, "replay", "--verify", server.config), 2);
    assert_non_null(strstr(output, "holds no ledger"));
}

static void test_nothing_is_written(void **state)
{
    (void)state;
    char copy[300], list[2][8192];
    flow_path(copy, sizeof copy, "still");
    folder_copy(copy, ledger);
    for (int i = 0; i < 2; i++) {
        char command[400];
        snprintf(command, sizeof command, "cd %s && ls -laR --time-style=full-iso && find . -type f -exec md5sum {} +", copy);
        FILE *pipe = popen(command, "r");
        assert_non_null(pipe);
        size_t bytes = fread(list[i], 1, sizeof list[i] - 1, pipe);
        list[i][bytes] = '\0';
        assert_int_equal(pclose(pipe), 0);
        if (i == 0)
            assert_int_equal(verify(copy, NULL, NULL), 0);
    }
    assert_string_equal(list[0], list[1]);
}

/* The first screened batch from `from` on in which a bit does it. */
static uint64_t tamper(unsigned char *segment, size_t bytes, uint64_t from, const char *name, uint32_t *row)
{
    struct place place;
    for (uint64_t sequence = from; sequence < from + CHANCES; sequence++)
        if (frame_find(&place, segment, bytes, sequence) && value_flip(segment + place.start, place.bytes, name, row))
            return sequence;
    MUST(!"no bit of these frames changes one value");
    return 0;
}

static void test_one_value_is_another_one(void **state)
{
    static const char *const names[] = {"amount", "match", "anomaly_own", "distance[2]"};
    (void)state;
    char copy[300], path[400], wanted[64];
    size_t bytes;
    flow_path(copy, sizeof copy, "tampered");
    folder_copy(copy, ledger);
    snprintf(path, sizeof path, "%s/frames-00000001", copy);
    char *untouched = flow_read(path, &bytes);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        uint32_t row;
        unsigned char *segment = (unsigned char *)flow_read(path, &bytes);
        uint64_t sequence = tamper(segment, bytes, 10, names[i], &row);
        flow_write(path, segment, bytes);
        free(segment);
        assert_int_equal(FLOW_RUN(output, "replay", "--verify", copy), 1);
        snprintf(wanted, sizeof wanted, "batch %llu (tenant flow", (unsigned long long)sequence);
        assert_non_null(strstr(output, wanted));
        snprintf(wanted, sizeof wanted, " row %u, transfer ", row);
        assert_non_null(strstr(output, wanted));
        assert_non_null(strstr(output, ": recorded "));
        if (i > 0) { /* an amount is made again from its column: what follows from it differs, here and in later batches */
            assert_non_null(strstr(output, names[i]));
            assert_non_null(strstr(output, "differs: 1 rows of 1 batches"));
        }
        flow_write(path, untouched, bytes);
    }
    assert_int_equal(verify(copy, NULL, NULL), 0);
    free(untouched);
}

static void test_a_corrupt_frame(void **state)
{
    (void)state;
    char copy[300], path[400], wanted[80];
    struct place place;
    size_t bytes;
    flow_path(copy, sizeof copy, "corrupt");
    folder_copy(copy, ledger);
    snprintf(path, sizeof path, "%s/frames-00000001", copy);
    unsigned char *segment = (unsigned char *)flow_read(path, &bytes);
    assert_true(frame_find(&place, segment, bytes, 20));
    segment[place.start + 200] ^= 4;
    flow_write(path, segment, bytes);
    free(segment);
    assert_int_equal(FLOW_RUN(output, "replay", "--verify", copy), 2);
    snprintf(wanted, sizeof wanted, "frame 20 (segment 1, offset %zu)", place.start);
    assert_non_null(strstr(output, wanted));
}

/* --- another base ----------------------------------------------------------------------------------------------------- */

static int64_t number_of(const char *key, const char *from)
{
    char wanted[64];
    const char *at = NULL;
    snprintf(wanted, sizeof wanted, "\"%s\":", key);
    at = strstr(from, wanted);
    if (!at)
        fail_msg("no %s in %s", key, from);
    return strtoll(at + strlen(wanted), NULL, 10);
}

static uint32_t lines_of(const char *path)
{
    char *text = flow_read(path, NULL);
    uint32_t lines = 0;
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    free(text);
    return lines;
}

/* Rows of the matrix, and those off its diagonal. */
static void agreement_count(uint64_t *all, uint64_t *off)
{
    const char *before = strstr(output, "\"agreement\":");
    *all = *off = 0;
    for (int v = 0; v < VERDICT_COUNT; v++) {
        char key[32];
        snprintf(key, sizeof key, "\"%s\":{\"pass\"", verdict_names[v]);
        before = strstr(before, key);
        assert_non_null(before);
        const char *after = before + strlen(verdict_names[v]) + 3;
        for (int w = 0; w < VERDICT_COUNT; w++) {
            after = strstr(after, verdict_names[w]);
            uint64_t rows = (uint64_t)number_of("rows", after);
            *all += rows;
            *off += v == w ? 0 : rows;
        }
    }
}

/* Over batches that it screened itself a base changes nothing, and both sides are measured the same. */
static void test_the_same_base(void **state)
{
    (void)state;
    uint64_t all, off;
    char recorded[400] = "", again[400] = "";
    assert_int_equal(FLOW_RUN(output, "replay", "--base", flow_base(), "--to-batch", "3", "--json", ledger), 0);
    agreement_count(&all, &off);
    assert_int_equal(all, number_of("screened", output));
    assert_int_equal(off, 0);
    assert_int_equal(number_of("switched", output), 0);
    const char *quality = strstr(output, "\"quality\":");
    assert_non_null(quality);
    assert_int_equal(sscanf(quality, "\"quality\":{\"recorded\":{%399[^}]},\"again\":{%399[^}]}", recorded, again), 2);
    assert_string_equal(recorded, again);
    assert_true(number_of("labelled", quality) >= LARGE_ROWS && number_of("risky", quality) > 0);
}

static void test_another_base(void **state)
{
    (void)state;
    uint64_t all, off;
    char csv[300], lines[300], strategy[300];
    static const char rules[] =
        "levels: {low: 0.5, medium: 0.8, critical: 0.8}\nstrategy:\n  - {risk_type: \"*\", level: low, verdict: hold}\n";
    flow_path(csv, sizeof csv, "switched.csv");
    flow_path(lines, sizeof lines, "switched.jsonl");
    flow_path(strategy, sizeof strategy, "strategy.yaml");
    assert_int_equal(FLOW_RUN(output, "replay", "--base", flow_row_base(), "--switched", csv, "--json", ledger), 0);
    agreement_count(&all, &off);
    assert_int_equal(all, number_of("screened", output));
    assert_true(off > 0);
    assert_int_equal(number_of("switched", output), off);
    assert_int_equal(lines_of(csv), off + 1);
    flow_write(strategy, rules, sizeof rules - 1);
    assert_int_equal(FLOW_RUN(output, "replay", "--base", flow_row_base(), "--strategy", strategy, "--switched", lines, "--json", ledger),
                     0);
    assert_true((uint64_t)number_of("switched", output) > off); /* what is low is held now */
    assert_int_equal(lines_of(lines), number_of("switched", output));
    assert_int_equal(FLOW_RUN(output, "replay", "--base", flow_row_base(), ledger), 0);
    assert_non_null(strstr(output, "recorded down and again across"));
    assert_non_null(strstr(output, "labels have arrived"));
    assert_int_equal(FLOW_RUN(output, "replay", "--base", server.config, ledger), 2);
}

/* --- a base out of a ledger ------------------------------------------------------------------------------------------- */

static double precision_of(const char *base)
{
    assert_int_equal(FLOW_RUN(output, "eval", "--base", base, "--json", flow_fresh()), 0);
    const char *at = strstr(output, "\"average_precision\"");
    assert_non_null(at);
    return strtod(strchr(at, ':') + 1, NULL);
}

/* Labels of odd rows do not come with the import but behind it. */
static void imported_and_labelled(const char *csv, struct server *to)
{
    struct table *table = table_read(flow_past());
    FILE *import = fopen(csv, "w");
    struct flow_batch batch;
    struct sluice_reply *reply = NULL;
    static const struct column_as labels[] = {{"transfer_id", "transfer_id"}, {"label", "label"}, {0}};
    assert_non_null(import);
    for (uint32_t row = 0; row <= table->row_count; row++) /* row 0: the names */
        for (uint32_t c = 0; c < table->column_count; c++) {
            const char *cell = row ? table->cells[(size_t)(row - 1) * table->column_count + c] : table->names[c];
            bool is_left_out = row && row % 2 == 0 && strcmp(table->names[c], "label") == 0;
            fprintf(import, "%s%c", is_left_out ? "" : cell, c + 1 < table->column_count ? ',' : '\n');
        }
    assert_int_equal(fclose(import), 0);
    char flow_token[300];
    flow_path(flow_token, sizeof flow_token, "flow-token");
    flow_write(flow_token, FLOW_TOKEN, strlen(FLOW_TOKEN));
    if (FLOW_RUN(output, "import", "--connect", to->data_url, "--tenant", "flow", "--token-file", flow_token, csv) != 0)
        fail_msg("%s", output);
    struct sluice_client *client = client_open(to);
    table_batch_as(&batch, table, "labels", 0, table->row_count, labels);
    if (sluice_call(client, "label", batch.batch, 0, &reply) != 0)
        fail_msg("%s", sluice_reply_text(reply));
    sluice_reply_free(&reply);
    flow_batch_free(&batch);
    sluice_close(&client);
    table_free(table);
}

/* The same transfers, imported with every second label and labelled with the others, give as good a base as their file. */
static void test_a_base_from_the_ledger(void **state)
{
    (void)state;
    char base[300], folder[300], csv[300];
    struct server past = {0};
    flow_path(base, sizeof base, "learnt.safetensors");
    flow_path(csv, sizeof csv, "labels.csv");
    server_begin(&past, &(struct server_options){.name = "past", .base = ""});
    snprintf(folder, sizeof folder, "%s/ledger", past.folder);
    imported_and_labelled(csv, &past);
    assert_int_equal(FLOW_RUN(output, "build", "--ledger", folder, "--out", base, "--seed", "7", "--quiet"), 0); /* its server runs */
    double learnt = precision_of(base), from_file = precision_of(flow_row_base());
    printf("figure: average precision %.4f from the ledger, %.4f from the file\n", learnt, from_file);
    assert_true(learnt > 0.9 * from_file);
    server_stop(&past);
    assert_int_equal(FLOW_RUN(output, "build", "--ledger", past.config, "--out", base), 2);
    assert_non_null(strstr(output, "holds no ledger"));
}

static int setup(void **state)
{
    (void)state;
    fresh = table_read(flow_fresh());
    late = table_read(flow_fresh());
    uint32_t time = 0;
    while (strcmp(late->names[time], "time") != 0)
        time++;
    for (uint32_t row = 0; row < late->row_count; row += LATE_EACH)
        late->cells[(size_t)row * late->column_count + time] = months_old;
    tenant_lines(tenants, sizeof tenants, "models", MODEL_TOKEN, "[model]");
    flow_path(token_file, sizeof token_file, "token");
    flow_write(token_file, MODEL_TOKEN, strlen(MODEL_TOKEN));
    flow_path(gone_later, sizeof gone_later, "gone-later");
    flow_write(gone_later, "a token that nobody uses", strlen("a token that nobody uses"));
    size_t used = strlen(tenants);
    snprintf(tenants + used, sizeof tenants - used, "  - name: filed\n    token_file: %s\n    rights: [submit]\n", gone_later);
    begin(NULL);
    snprintf(ledger, sizeof ledger, "%s/ledger", server.folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    table_free(fresh);
    table_free(late);
    sent_list_free(&sent);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_running_server),    cmocka_unit_test(test_restart_and_kill),
        cmocka_unit_test(test_a_base_is_activated), cmocka_unit_test(test_threads_devices_and_spans),
        cmocka_unit_test(test_nothing_is_written),  cmocka_unit_test(test_the_same_base),
        cmocka_unit_test(test_another_base),        cmocka_unit_test(test_one_value_is_another_one),
        cmocka_unit_test(test_a_corrupt_frame),     cmocka_unit_test(test_a_base_from_the_ledger),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
