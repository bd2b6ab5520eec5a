#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/latency.h"
#include "command/show.h"
#include "command/verdicts.h"

static void quantiles_are_within_a_64th(void **state)
{
    static struct latency latency;
    (void)state;
    for (int64_t ns = 1; ns <= 1000000; ns++)
        latency_add(&latency, ns * 1000);
    for (double quantile = 0.001; quantile < 1.0; quantile += 0.0137) {
        double wanted = quantile * 1e9, got = (double)latency_quantile_ns(&latency, quantile);
        assert_true(got >= wanted * 0.999 && got <= wanted * (1.0 + 1.0 / 63));
    }
    assert_int_equal(latency_quantile_ns(&latency, 1.0), 1000000000);
}

static void every_latency_has_a_place(void **state)
{
    (void)state;
    for (int bit = 0; bit < 63; bit++)
        for (int64_t step = -1; step <= 1; step++) {
            static struct latency latency;
            int64_t ns = ((int64_t)1 << bit) + step;
            memset(&latency, 0, sizeof latency);
            latency_add(&latency, ns);
            assert_int_equal(latency_quantile_ns(&latency, 0.5), ns);
        }
    static struct latency empty;
    latency_add(&empty, -5);
    assert_int_equal(latency_quantile_ns(&empty, 0.5), 0);
}

typedef void print_fn(FILE *out, struct text text);

static void prints(print_fn *print, const char *bytes, size_t byte_count, const char *wanted)
{
    char *text = NULL;
    size_t text_bytes;
    FILE *out = open_memstream(&text, &text_bytes);
    print(out, (struct text){bytes, (uint32_t)byte_count});
    fclose(out);
    assert_string_equal(text, wanted);
    free(text);
}

static void texts_are_escaped(void **state)
{
    (void)state;
    prints(text_csv_print, "plain", 5, "plain");
    prints(text_csv_print, "a,b", 3, "\"a,b\"");
    prints(text_csv_print, "say \"no\"", 8, "\"say \"\"no\"\"\"");
    prints(text_csv_print, "", 0, "");
    prints(text_json_print, "a\"\\\n\x01", 5, "\"a\\\"\\\\\\u000a\\u0001\"");
    prints(text_json_print, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
    prints(text_json_print, "\xc3", 1, "\"\xef\xbf\xbd\"");                                 /* cut off */
    prints(text_json_print, "\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"");                 /* overlong */
    prints(text_json_print, "\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""); /* a surrogate */
}

static void times_are_told(void **state)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } times[] = {{0, "1970-01-01 00:00:00"},
                 {951782400, "2000-02-29 00:00:00"},
                 {1795319061, "2026-11-22 03:44:21"},
                 {4102444799, "2099-12-31 23:59:59"}};
    char text[32];
    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        show_time(text, sizeof text, times[i].seconds * 1000000 + 999999);
        assert_string_equal(text, times[i].text);
    }
}

static void any_value_is_shown(void **state)
{
    struct wire_buffer bytes = {0};
    struct wire_value value;
    char *text = NULL;
    size_t text_bytes;
    (void)state;
    wire_pack_map(&bytes, 3);
    wire_pack_text(&bytes, "a"), wire_pack_array(&bytes, 3);
    wire_pack_nil(&bytes), wire_pack_bool(&bytes, true), wire_pack_i64(&bytes, -7);
    wire_pack_text(&bytes, "b"), wire_pack_f64(&bytes, 0.5);
    wire_pack_text(&bytes, "c"), wire_pack_bin(&bytes, "1234", 4);
    const unsigned char *at = (const unsigned char *)bytes.data;
    assert_true(wire_next(&value, &at, at + bytes.bytes));
    FILE *out = open_memstream(&text, &text_bytes);
    show_json(out, &value, -1);
    fclose(out);
    assert_string_equal(text, "{\"a\":[null,true,-7],\"b\":0.5,\"c\":\"<4 bytes>\"}");
    free(text);
    wire_buffer_fini(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_within_a_64th), cmocka_unit_test(every_latency_has_a_place),
        cmocka_unit_test(texts_are_escaped),           cmocka_unit_test(times_are_told),
        cmocka_unit_test(any_value_is_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
