/* A scene base that is signed only after it was put, at a server that has no base_keys: nobody checks the signature, which is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "flow/base_files.h"
#include "flow/harness.h"

#define TOKEN "late-token-5d21"
static struct server server;
static char output[16384], token[256], tenants[512];

static void put(const char *path, bool is_told)
{
    static const char told[] = "the server has no base_keys, and it was put before without a signature: this one is not taken";
    assert_int_equal(FLOW_RUN(output, "base", "put", path, "--connect", server.admin_url, "--tenant", "models", "--token-file", token), 0);
    assert_non_null(strstr(output, "signer    none"));
    assert_true((strstr(output, told) != NULL) == is_told);
}

static void a_late_signature_without_keys_is_told(void **state)
{
    (void)state;
    char key[256], path[256];
    flow_path(token, sizeof token, "flow.token");
    flow_path(key, sizeof key, "late.key");
    flow_path(path, sizeof path, "late.safetensors");
    flow_write(token, TOKEN, strlen(TOKEN));
    tenant_lines(tenants, sizeof tenants, "models", TOKEN, "[model]");
    assert_int_equal(FLOW_RUN(output, "base", "keygen", "--key", key, "--name", "late"), 0);
    base_file_write(path, "late", "1", 5, BASE_GOOD);
    server_begin(&server, &(struct server_options){.base = "", .tenants = tenants});
    put(path, false);
    assert_int_equal(FLOW_RUN(output, "base", "sign", "--key", key, path), 0);
    put(path, true);
    server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_late_signature_without_keys_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
