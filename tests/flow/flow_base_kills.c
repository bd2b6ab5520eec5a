/* The server kills itself in the middle of put, activate and rollback, and what was not synced is forgotten. Afterwards the old or the
 * new base is active, whole; what was acknowledged holds; what was not is taken when it is sent again under its id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "flow/base_files.h"
#include "flow/harness.h"
#include "flow/message.h"

#define MODEL_TOKEN "model-token-9c44"
enum { PUT, ACTIVATE, ROLLBACK, FORTH, ACT_COUNT, PATIENCE_MS = 20000, ACT_PATIENCE_MS = 600 };

static const struct {
    const char *name;
    unsigned passes; /* the nth are drawn among these */
} points[] = {
    {"base_part_before", 2},
    {"base_part_after", 2},
    {"base_file_before", 1},
    {"base_file_after", 1},
    {"base_swap_before", 3},
    {"base_swap_after", 3},
    {"sequence", 4},
    {"step_record", 4},
    {"commit", 4},
    {"ledger_inside", 4},
    {"ledger_append_after", 4},
    {"ledger_sync_before", 4},
    {"ledger_sync_after", 4},
    {"ledger_commit_before", 4},
    {"ledger_commit_after", 4},
    {"reply_leaves", 4},
    {"ledger_document_before", 2},
    {"ledger_document_after", 2},
};
enum { POINT_COUNT = sizeof points / sizeof *points };

static struct server server;
static unsigned kills = 2 * POINT_COUNT, done_at[POINT_COUNT];
static char active[40], before[40];

struct act { /* what one round sends, in this order */
    char id[48];
    bool acknowledged;
};
static struct round {
    struct act acts[ACT_COUNT];
    char path[256], digest[40];
} round_now;

static struct sluice_client *models_open(void)
{
    return client_open_as(server.admin_url, "models", MODEL_TOKEN, PATIENCE_MS);
}

static int put(struct sluice_client *models, const char *id, struct sluice_reply **reply)
{
    struct sluice_base base = {.id = id};
    char *bytes = flow_read(round_now.path, &base.byte_count);
    base.bytes = bytes;
    int error = sluice_base_put(models, &base, reply);
    free(bytes);
    return error;
}

static int act_send(struct sluice_client *models, int act, struct sluice_reply **reply)
{
    const char *id = round_now.acts[act].id;
    return act == PUT        ? put(models, id, reply)
           : act == ACTIVATE ? sluice_base_activate(models, id, round_now.digest, reply)
                             : sluice_base_rollback(models, id, reply);
}

/* Until the server is gone. */
static void acts_run(void)
{
    char error[128];
    const char *const urls[] = {server.admin_url};
    const struct sluice_options options = {
        .urls = urls, .url_count = 1, .tenant = "models", .token = MODEL_TOKEN, .timeout_ms = ACT_PATIENCE_MS};
    struct sluice_client *models = NULL;
    if (sluice_open(&models, &options, error, sizeof error) != SLUICE_OK)
        return;
    for (int act = 0; act < ACT_COUNT; act++) {
        struct sluice_reply *reply = NULL;
        int result = act_send(models, act, &reply);
        if (result == SLUICE_FAULT)
            fail_msg("%s: %s", round_now.acts[act].id, sluice_reply_text(reply));
        round_now.acts[act].acknowledged = result == SLUICE_OK;
        sluice_reply_free(&reply);
        if (result != SLUICE_OK)
            break;
    }
    sluice_close(&models);
}

/* Is its put recorded? */
static bool is_listed(const struct sluice_reply *list, const char *digest)
{
    struct wire_value top = reply_map(list), bases, base, value;
    assert_true(wire_find(&bases, &top, "bases"));
    const unsigned char *at = bases.inside;
    for (uint32_t i = 0; i < bases.count && wire_next(&base, &at, bases.end); i++)
        if (wire_find(&value, &base, "digest") && value.text.bytes == 32 && memcmp(value.text.data, digest, 32) == 0)
            return true;
    return false;
}

/* Whole files only, each of the bytes that its name tells, and none that the ledger does not know. */
static void files_check(const struct sluice_reply *list)
{
    char folder[300], path[600], digest[40];
    snprintf(folder, sizeof folder, "%s/ledger/bases", server.folder);
    DIR *listing = opendir(folder);
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing));) {
        const char *dot = strchr(entry->d_name, '.');
        if (entry->d_name[0] == '.' || strcmp(dot, ".part") == 0)
            continue;
        assert_string_equal(dot, ".safetensors");
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        file_digest(digest, path);
        assert_memory_equal(digest, entry->d_name, 32);
        assert_true(is_listed(list, digest));
    }
    closedir(listing);
}

static void active_read(char out[40], struct sluice_client *models)
{
    struct sluice_reply *reply = NULL;
    assert_int_equal(sluice_ask(models, "base.list", NULL, &reply), SLUICE_OK);
    snprintf(out, 40, "%s", sluice_reply_string(reply, "active"));
    files_check(reply);
    sluice_reply_free(&reply);
}

/* Everything again under its id: the acknowledged ones change nothing, the others are taken now. */
static void round_check(void)
{
    struct sluice_client *models = models_open();
    char now[40];
    active_read(now, models);
    if (strcmp(now, round_now.digest) != 0)
        assert_string_equal(now, active);
    if (round_now.acts[FORTH].acknowledged ||
        (round_now.acts[ACTIVATE].acknowledged && !round_now.acts[ROLLBACK].acknowledged && strcmp(now, active) != 0))
        assert_string_equal(now, round_now.digest);
    int64_t sequence = 0;
    for (int act = 0; act < ACT_COUNT; act++) {
        struct sluice_reply *reply = NULL;
        int result = act_send(models, act, &reply);
        if (result != SLUICE_OK)
            fail_msg("%s again: %s %s", round_now.acts[act].id, sluice_error_name(result), reply ? sluice_reply_text(reply) : "");
        assert_true(sluice_reply_integer(reply, "sequence", 0) > sequence);
        sequence = sluice_reply_integer(reply, "sequence", 0);
        sluice_reply_free(&reply);
    }
    active_read(now, models);
    assert_string_equal(now, round_now.digest);
    memcpy(before, active, sizeof before);
    memcpy(active, now, sizeof active);
    sluice_close(&models);
}

static void failpoint_set(const char *name, unsigned nth)
{
    server.environment[1][0] = '\0';
    if (name)
        snprintf(server.environment[1], sizeof server.environment[1], "SLUICE_FAILPOINT=%s:%u", name, nth);
}

static void round_begin(unsigned number)
{
    static const char *const names[ACT_COUNT] = {"put", "activate", "rollback", "forth"};
    memset(&round_now, 0, sizeof round_now);
    flow_path(round_now.path, sizeof round_now.path, "round.safetensors");
    base_file_shape(round_now.path, "round", "1", 100 + number, BASE_GOOD, 8, 16, 120); /* two pieces */
    file_digest(round_now.digest, round_now.path);
    for (int act = 0; act < ACT_COUNT; act++)
        snprintf(round_now.acts[act].id, sizeof round_now.acts[act].id, "%s-%u", names[act], number);
}

static void test_kills(void **state)
{
    (void)state;
    uint64_t seed = flow_seed();
    unsigned done = 0;
    for (unsigned number = 0; done < kills; number++) {
        unsigned point = number % POINT_COUNT, nth = 1 + (unsigned)(hash64(seed, &number, sizeof number) % points[point].passes);
        int status = 0;
        round_begin(number);
        failpoint_set(points[point].name, nth);
        if (server_try_start(&server, &status)) {
            acts_run();
            if ((status = server_wait(&server, 0)) < 0) {
                kill(server.pid, SIGTERM);
                status = server_wait(&server, 60000);
            }
        }
        if (status != 0 && status != 256 + SIGKILL)
            server_log_show(&server);
        assert_true(status == 0 || status == 256 + SIGKILL);
        done += status != 0;
        done_at[point] += status != 0;
        failpoint_set(NULL, 0);
        server_start(&server);
        round_check();
        server_kill(&server);
        if (number > 4 * kills)
            fail_msg("%u kills in %u rounds", done, number);
    }
    for (unsigned i = 0; i < POINT_COUNT; i++)
        printf("figure: %u kills at %s\n", done_at[i], points[i].name);
}

static int setup(void **state)
{
    (void)state;
    static char tenants[512];
    const char *wanted = getenv("SLUICE_BASE_KILLS"), *binary = getenv("SLUICE_FAULTY_BIN");
    if (!binary || access(binary, X_OK) != 0)
        flow_skip("no program with failpoints (SLUICE_FAULTY_BIN)");
    kills = wanted ? (unsigned)atoi(wanted) : kills;
    snprintf(server.binary, sizeof server.binary, "%s", binary);
    snprintf(server.environment[0], sizeof server.environment[0], "SLUICE_FAULT_FORGET=1");
    tenant_lines(tenants, sizeof tenants, "models", MODEL_TOKEN, "[model]");
    server_configure(&server, &(struct server_options){.tenants = tenants});
    file_digest(active, flow_base());
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kills)};
    return cmocka_run_group_tests(tests, setup, NULL);
}
