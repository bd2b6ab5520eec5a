/* Users of a real OpenID Connect provider: what their roles let them do, over both doors; keys that change, a provider that is down;
 * what the audit log tells of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"
#include "base/secret.h"
#include "flow/harness.h"
#include "flow/message.h"

#define AUDIENCE  "https://sluice.bank.example"
#define OWN_TOKEN "acme-system-token-77"
enum { READY_MS = 60000, KEYS_AGE_MS = 6000 };

extern char **environ;
static struct server server;
static pid_t provider;
static int provider_input = -1;
static char folder[200], output[16384];

static void path_of(char out[256], const char *name)
{
    snprintf(out, 256, "%s/%s", folder, name);
}

/* Until the provider has written it. */
static void await(const char *name)
{
    char path[256];
    int status;
    path_of(path, name);
    for (int waited = 0; access(path, R_OK) != 0; waited += 50) {
        if (waitpid(provider, &status, WNOHANG) == provider) {
            provider = 0;
            if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
                flow_skip("no glewlwyd");
            fail_msg("the provider ended");
        }
        if (waited > READY_MS)
            fail_msg("the provider has no %s", name);
        sleep_ms(50);
    }
}

static void provider_start(void)
{
    int ends[2];
    posix_spawn_file_actions_t actions;
    char *const arguments[] = {(char *)"python3", (char *)"tests/flow/provider.py", folder, NULL};
    assert_int_equal(pipe(ends), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    assert_int_equal(posix_spawnp(&provider, "python3", &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[0]);
    provider_input = ends[1];
    assert_int_equal(fcntl(provider_input, F_SETFD, FD_CLOEXEC), 0); /* no server keeps it open */
    await("ready");
}

static void provider_stop(void)
{
    if (provider) {
        close(provider_input);
        waitpid(provider, NULL, 0);
    }
    provider = 0;
}

static int setup(void **state)
{
    (void)state;
    static char top[1024], tenants[512];
    char path[256], hex[2 * SECRET_HASH_BYTES + 1], url[256] = "";
    unsigned char hash[SECRET_HASH_BYTES];
    size_t bytes;
    if (!secret_open() || system("python3 -c '' && command -v openssl curl >/dev/null 2>&1") != 0)
        flow_skip("no python3, openssl or curl");
    flow_path(folder, sizeof folder, "provider");
    MUST(mkdir(folder, 0700) == 0);
    provider_start();
    path_of(path, "url");
    char *text = flow_read(path, &bytes);
    snprintf(url, sizeof url, "%s", text);
    free(text);
    secret_hash(hash, OWN_TOKEN, strlen(OWN_TOKEN));
    secret_to_hex(hex, hash, sizeof hash);
    snprintf(tenants, sizeof tenants, "  - name: acme\n    token_hash: %s\n    rights: [submit, query]\n", hex);
    snprintf(
        top, sizeof top,
        "connect:\n  plain: true\n  timeout: 2s\nsign_on:\n  issuer: %s/\n  audience: %s\n  keys: %s/api/oidc/jwks\n  roles_claim: scope\n"
        "  keys_refresh: 1s\n  keys_age_max: %dms\n",
        url, AUDIENCE, url, KEYS_AGE_MS);
    server_begin(&server, &(struct server_options){
                              .name = "sign-on", .base = "", .top = top, .tenants = tenants, .http = true, .listen = "  http_ops: true\n"});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (server.pid)
        server_stop(&server);
    provider_stop();
    return 0;
}

/* Status of a post by HTTP with the token in a file. */
static int post(const char *op, const char *token_name, const char *body)
{
    char path[256], header[256], command[2048];
    size_t bytes;
    int status = 0;
    path_of(path, token_name);
    char *token = flow_read(path, &bytes);
    path_of(header, "header");
    char *line = malloc(bytes + 64);
    MUST(line);
    int length = snprintf(line, bytes + 64, "Authorization: Bearer %s\n", token);
    flow_write(header, line, (size_t)length);
    free(line);
    free(token);
    snprintf(command, sizeof command,
             "curl -s -m 20 -o %s/answer -w '%%{http_code}' -H @%s -H 'Content-Type: application/json' -d '%s' http://127.0.0.1:%d/v1/%s",
             folder, header, body, server.http_port, op);
    FILE *out = popen(command, "r");
    MUST(out && fscanf(out, "%d", &status) == 1);
    pclose(out);
    return status;
}

#define STATUS "{\"tenant\":\"acme\",\"batch\":\"none\"}"
#define QUERY  "{\"tenant\":\"acme\"}"

static int query_as(const char *token_name)
{
    char path[256];
    path_of(path, token_name);
    return FLOW_RUN(output, "query", "--connect", server.data_url, "--tenant", "acme", "--token-file", path, "--timeout", "5000");
}

static void keys_are_there(void)
{
    for (int waited = 0; post("query", "ann.token", QUERY) == 401 && waited < 20000; waited += 200)
        sleep_ms(200);
}

static void roles_decide_at_both_doors(void **state)
{
    (void)state;
    keys_are_there();
    assert_int_equal(post("query", "ann.token", QUERY), 200);
    assert_int_equal(post("status", "ann.token", STATUS), 403); /* an analyst submits nothing */
    assert_int_equal(post("status", "sue.token", STATUS), 404); /* she may ask, and there is none */
    assert_int_equal(post("list.list", "ann.token", QUERY), 403);
    assert_int_equal(post("list.list", "sue.token", QUERY), 200); /* a supervisor as well */
    assert_int_equal(post("query", "bob.token", QUERY), 403);     /* known, with no role that says anything here */
    assert_int_equal(post("query", "eve.token", QUERY), 401);     /* of another tenant */
    assert_int_equal(query_as("ann.token"), 0);
    assert_int_equal(query_as("eve.token"), 2);
    assert_non_null(strstr(output, "the tenant or its token is not known"));
    assert_null(strstr(output, "eyJ"));
}

static void a_token_that_was_touched_is_nobodys(void **state)
{
    (void)state;
    char path[256];
    size_t bytes;
    path_of(path, "ann.token");
    char *token = flow_read(path, &bytes);
    for (size_t part = 0; part < 3; part++) {
        char *at = part == 2 ? strrchr(token, '.') + 10 : token + 20 + part * 200, before = *at;
        *at = before == 'A' ? 'B' : 'A';
        path_of(path, "touched.token");
        flow_write(path, token, bytes);
        *at = before;
        assert_int_equal(post("query", "touched.token", QUERY), 401);
        assert_int_equal(query_as("touched.token"), 2);
    }
    char *long_one = malloc(9001);
    MUST(long_one);
    memset(long_one, 'a', 9000);
    memcpy(long_one, token, bytes);
    path_of(path, "long.token");
    flow_write(path, long_one, 9000);
    assert_int_equal(post("query", "long.token", QUERY), 401);
    free(long_one);
    free(token);
    assert_int_equal(post("query", "ann.token", QUERY), 200);
}

static void logins_are_in_the_audit_log(void **state)
{
    (void)state;
    char ledger[300];
    snprintf(ledger, sizeof ledger, "%s/ledger", server.folder);
    assert_int_equal(FLOW_RUN(output, "audit", "list", "--action", "login", ledger), 0);
    uint32_t logins = 0;
    for (const char *at = output; (at = strstr(at, "acme/@")); at++)
        logins++;
    assert_int_equal(logins, 3); /* ann, sue and bob, once each however often they came */
    assert_non_null(strstr(output, "analyst"));
    for (int waited = 0; waited < 30000; waited += 1000) { /* refused ones are told every ten seconds */
        post("query", "touched.token", QUERY);
        assert_int_equal(FLOW_RUN(output, "audit", "list", "--action", "login.refused", ledger), 0);
        if (strstr(output, "its signature is wrong") || strstr(output, "it is no signed token"))
            break;
        sleep_ms(1000);
    }
    assert_true(strstr(output, "its signature is wrong") || strstr(output, "it is no signed token"));
    assert_null(strstr(output, "eyJ"));
    assert_int_equal(FLOW_RUN(output, "audit", "verify", ledger), 0);
    assert_int_equal(server_log_count(&server, "eyJ"), 0); /* no token in the log */
}

static void keys_change(void **state)
{
    (void)state;
    kill(provider, SIGHUP);
    await("rotated");
    int status = 401;
    for (int waited = 0; status == 401 && waited < 20000; waited += 200) {
        status = post("query", "ann.new.token", QUERY);
        sleep_ms(200);
    }
    assert_int_equal(status, 200);
    assert_int_equal(post("query", "ann.token", QUERY), 401); /* the key of before is no longer the provider's */
    assert_int_equal(query_as("ann.new.token"), 0);
}

static void nobody_gets_in_when_the_provider_is_down(void **state)
{
    (void)state;
    provider_stop();
    assert_int_equal(post("query", "ann.new.token", QUERY), 200); /* its keys are young */
    sleep_ms(KEYS_AGE_MS + 1000);
    assert_int_equal(post("query", "ann.new.token", QUERY), 401);
    struct sluice_client *client = client_open_as(server.data_url, "acme", OWN_TOKEN, 5000); /* systems have tokens of their own */
    char path[256];
    path_of(path, "own.token");
    flow_write(path, OWN_TOKEN, strlen(OWN_TOKEN));
    assert_int_equal(query_as("own.token"), 0);
    sluice_close(&client);
    assert_true(server_log_count(&server, "the provider's keys cannot be had") >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roles_decide_at_both_doors),
        cmocka_unit_test(a_token_that_was_touched_is_nobodys),
        cmocka_unit_test(logins_are_in_the_audit_log),
        cmocka_unit_test(keys_change),
        cmocka_unit_test(nobody_gets_in_when_the_provider_is_down),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
