/* tls+tcp: a client that trusts the certificate's issuer gets in, one that trusts another or expects another name does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "flow/harness.h"

static struct table *fresh;
static struct server server;
static char tls_url[64], tcp_url[64], certificate[256], key[256], stranger[256];

static void make_certificate(const char *certificate_path, const char *key_path)
{
    char command[1200];
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost "
             "-keyout %s -out %s 2>/dev/null",
             key_path, certificate_path);
    MUST(system(command) == 0);
}

static int open_with(struct sluice_client **out, const char *ca_file, const char *name)
{
    char error[256];
    const char *url = tls_url;
    struct sluice_options options = {.urls = &url,
                                     .url_count = 1,
                                     .tenant = "flow",
                                     .token = FLOW_TOKEN,
                                     .timeout_ms = 10000,
                                     .tls_ca_file = ca_file,
                                     .tls_server_name = name};
    return sluice_open(out, &options, error, sizeof error);
}

static void test_trusted(void **state)
{
    (void)state;
    struct sluice_client *client = NULL;
    assert_int_equal(open_with(&client, certificate, "localhost"), 0);
    struct sluice_reply *reply = screen_rows(client, "screen", fresh, "tls", 0, 200);
    assert_int_equal(sluice_reply_rows(reply), 200);
    sluice_reply_free(&reply);
    sluice_close(&client);
}

static void test_strangers_are_refused(void **state)
{
    (void)state;
    struct sluice_client *client = NULL;
    assert_int_not_equal(open_with(&client, stranger, "localhost"), 0);
    assert_null(client);
    assert_int_not_equal(open_with(&client, certificate, "elsewhere.example"), 0);
    assert_null(client);
}

static void test_plain_bytes_on_the_tls_port(void **state)
{
    (void)state;
    unsigned char reply[64];
    char plain[64];
    snprintf(plain, sizeof plain, "tcp%s", strchr(tls_url, ':'));
    assert_int_equal(raw_ask(plain, "\x80", 1, reply, sizeof reply, 1000), 0);
    assert_true(server_runs(&server));
    test_trusted(state);
}

static void test_tcp_beside_it(void **state)
{
    (void)state;
    struct sluice_client *client = client_open_as(tcp_url, "flow", FLOW_TOKEN, 10000);
    struct sluice_reply *reply = screen_rows(client, "screen", fresh, "tcp", 200, 200);
    assert_int_equal(sluice_reply_rows(reply), 200);
    sluice_reply_free(&reply);
    sluice_close(&client);
}

static int setup(void **state)
{
    (void)state;
    char listen[900], data[160];
    fresh = table_read(flow_fresh());
    flow_path(certificate, sizeof certificate, "server.pem");
    flow_path(key, sizeof key, "server.key");
    flow_path(stranger, sizeof stranger, "stranger.pem");
    make_certificate(stranger, key);
    make_certificate(certificate, key);
    snprintf(tls_url, sizeof tls_url, "tls+tcp://127.0.0.1:%d", free_port());
    snprintf(tcp_url, sizeof tcp_url, "tcp://127.0.0.1:%d", free_port());
    snprintf(data, sizeof data, ", \"%s\", \"%s\"", tls_url, tcp_url);
    snprintf(listen, sizeof listen, "  tls_certificate: %s\n  tls_key: %s\n", certificate, key);
    server_begin(&server, &(struct server_options){.listen = listen, .more_data = data});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_stop(&server);
    table_free(fresh);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trusted),
        cmocka_unit_test(test_strangers_are_refused),
        cmocka_unit_test(test_plain_bytes_on_the_tls_port),
        cmocka_unit_test(test_tcp_beside_it),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
