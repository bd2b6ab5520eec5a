#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "client/client.h"
#include "unit/client/fake.h"

static char folder[64], certificate[96], key[96], other[96];

static enum fake_act answer_ok(struct fake *fake, const struct wire_value *request, unsigned nth, struct wire_buffer *reply)
{
    (void)fake, (void)request, (void)nth;
    fake_ok(reply, 0);
    return FAKE_ANSWER;
}

static int run(const char *format, const char *a, const char *b)
{
    char command[512];
    snprintf(command, sizeof command, format, a, b);
    return system(command);
}

static int certificates_make(void **state)
{
    static const char make[] = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
                               "-addext subjectAltName=DNS:localhost -keyout %s -out %s 2>/dev/null";
    char other_key[96];
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/sluice-tls-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(certificate, sizeof certificate, "%s/cert.pem", folder);
    snprintf(key, sizeof key, "%s/key.pem", folder);
    snprintf(other, sizeof other, "%s/other.pem", folder);
    snprintf(other_key, sizeof other_key, "%s/other-key.pem", folder);
    return run(make, key, certificate) || run(make, other_key, other) || run("cat %s >> %s", certificate, key) ? -1 : 0;
}

static int certificates_remove(void **state)
{
    (void)state;
    return run("rm -rf %s%s", folder, "");
}

static int open_to(struct sluice_client **out, const struct fake *fake, const char *ca_file, const char *name)
{
    const char *url = fake->url;
    const struct sluice_options options = {
        .urls = &url, .url_count = 1, .timeout_ms = 1000, .tls_ca_file = ca_file, .tls_server_name = name};
    return sluice_open(out, &options, NULL, 0);
}

static void only_the_right_certificate_is_trusted(void **state)
{
    struct fake fake;
    struct sluice_client *client = NULL;
    (void)state;
    fake_open_tls(&fake, answer_ok, key);
    assert_int_equal(open_to(&client, &fake, certificate, "localhost"), SLUICE_OK);
    sluice_close(&client);
    assert_int_equal(open_to(&client, &fake, certificate, "elsewhere"), SLUICE_UNREACHABLE);
    assert_int_equal(open_to(&client, &fake, certificate, NULL), SLUICE_UNREACHABLE); /* it is not for 127.0.0.1 */
    assert_int_equal(open_to(&client, &fake, other, "localhost"), SLUICE_UNREACHABLE);
    assert_int_equal(open_to(&client, &fake, NULL, "localhost"), SLUICE_UNREACHABLE);
    assert_int_equal(open_to(&client, &fake, "/no/such/file.pem", "localhost"), SLUICE_ARGUMENT);
    assert_null(client);
    assert_int_equal(atomic_load(&fake.hellos), 1);
    fake_close(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_the_right_certificate_is_trusted)};
    if (system("openssl version >/dev/null 2>&1") != 0) {
        printf("skipped: no openssl to make certificates with\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, certificates_make, certificates_remove);
}
