/* A disk that fills up: batches are refused with a ledger fault and nothing of them is recorded, what was acknowledged stays,
 * and the server goes on by itself when there is room again. The disk is a small tmpfs; without the right to mount: skipped. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"
#include "flow/harness.h"

enum { DISK_MIB = 38, FILLER_MIB = 16, BATCH_ROWS = 2000, BATCHES_MAX = 4000 };

static struct table *fresh;
static struct server server;
static char disk[256], filler[300];

static void filler_write(void)
{
    char *block = calloc(1, 1 << 20);
    FILE *file = fopen(filler, "wb");
    MUST(block && file);
    for (int i = 0; i < FILLER_MIB; i++)
        MUST(fwrite(block, 1, 1 << 20, file) == 1 << 20);
    MUST(fclose(file) == 0);
    free(block);
}

static int screen_one(struct sluice_client *client, unsigned number, char fault[64])
{
    struct flow_batch batch;
    struct sluice_reply *reply = NULL;
    char id[32];
    snprintf(id, sizeof id, "disk-%u", number);
    table_batch(&batch, fresh, id, number * 37 % (fresh->row_count - BATCH_ROWS), BATCH_ROWS, left_out_labels);
    int error = sluice_call(client, "screen", batch.batch, 0, &reply);
    snprintf(fault, 64, "%s", reply_fault(reply));
    sluice_reply_free(&reply);
    flow_batch_free(&batch);
    return error;
}

static bool scores(struct sluice_client *client)
{
    struct sluice_reply *reply = screen_rows(client, "score", fresh, "scored", 0, 100);
    bool scored = sluice_reply_rows(reply) == 100;
    sluice_reply_free(&reply);
    return scored;
}

static void test_full_disk(void **state)
{
    (void)state;
    char fault[64] = "", body[512];
    unsigned recorded = 0;
    assert_int_equal(http_get(server.http_port, "/readyz", body, sizeof body), 200);
    struct sluice_client *client = client_open(&server);
    while (recorded < BATCHES_MAX && screen_one(client, recorded, fault) == 0)
        recorded++;
    printf("figure: %u batches of %d rows until the disk was full\n", recorded, BATCH_ROWS);
    assert_string_equal(fault, "ledger");
    assert_true(recorded > 2);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(screen_one(client, recorded + i, fault), SLUICE_FAULT);
        assert_string_equal(fault, "ledger");
    }
    assert_true(server_runs(&server));
    assert_int_equal(http_get(server.http_port, "/readyz", body, sizeof body), 503);
    assert_non_null(strstr(body, "the ledger cannot record: disk full"));
    assert_int_equal(http_get(server.http_port, "/healthz", body, sizeof body), 200);
    assert_true(scores(client));
    struct sluice_reply *reply = NULL;
    assert_int_equal(sluice_ask(client, "status", "disk-0", &reply), 0);
    sluice_reply_free(&reply);
    char refused[32];
    snprintf(refused, sizeof refused, "disk-%u", recorded);
    assert_int_equal(sluice_ask(client, "status", refused, &reply), SLUICE_FAULT);
    assert_string_equal(reply_fault(reply), "not_found");
    sluice_reply_free(&reply);

    MUST(unlink(filler) == 0); /* nobody sends anything: it finds the room by itself */
    for (int tries = 0; tries < 200 && http_get(server.http_port, "/readyz", body, sizeof body) != 200; tries++)
        sleep_ms(50);
    assert_int_equal(screen_one(client, recorded, fault), 0);
    assert_string_equal(fault, "ok");
    recorded++;

    sluice_close(&client);
    server_kill(&server);
    server_start(&server);
    client = client_open(&server);
    for (unsigned i = 0; i < recorded; i++) {
        char name[32];
        snprintf(name, sizeof name, "disk-%u", i);
        assert_int_equal(sluice_ask(client, "status", name, &reply), 0);
        sluice_reply_free(&reply);
    }
    sluice_close(&client);
}

static void unmount(void)
{
    umount2(disk, MNT_DETACH);
}

static int setup(void **state)
{
    (void)state;
    char size[32];
    fresh = table_read(flow_fresh());
    server_configure(&server, &(struct server_options){.http = true});
    snprintf(disk, sizeof disk, "%s/ledger", server.folder);
    snprintf(filler, sizeof filler, "%s/filler", disk);
    snprintf(size, sizeof size, "size=%dm", DISK_MIB);
    MUST(mkdir(disk, 0700) == 0);
    if (mount("none", disk, "tmpfs", 0, size) != 0)
        flow_skip("no right to mount a small disk");
    atexit(unmount);
    filler_write();
    server_start(&server);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_stop(&server);
    table_free(fresh);
    unmount();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_full_disk)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
