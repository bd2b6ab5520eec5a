/* The bytes of what leaves: the same for the same parts, bounded for any number of them, and each kind in its own form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "pipeline/post_text.h"

static struct config_connector connector_of(enum connector_kind kind)
{
    return (struct config_connector){.name = "c", .kind = kind, .from = "sluice@bank.example", .text_max = 60};
}

static void text_make(struct letter_text *out, const struct config_connector *connector, uint32_t count, const char *payload)
{
    struct post_parts parts = {.connector = connector};
    struct fault_note note = {0};
    for (uint32_t i = 0; i < count; i++) {
        char id[16];
        snprintf(id, sizeof id, "id-%u", i);
        assert_true(post_parts_add(&parts, text_of("alarm"), text_of(id), text_of(payload), 5000000 + i));
    }
    if (post_text_write(out, "a@b", &parts, &note) != FAULT_NONE)
        fail_msg("%s", note.text);
    post_parts_fini(&parts);
}

static void a_text_is_its_title_and_several_are_counted(void **state)
{
    (void)state;
    struct letter_text one = {0}, more = {0};
    const struct config_connector sms = connector_of(CONNECTOR_SMS);
    text_make(&one, &sms, 1, "{\"title\":\"ALARM: x\",\"text\":\"long\"}");
    assert_string_equal(one.data, "ALARM: x");
    text_make(&more, &sms, 3, "{\"title\":\"ALARM: \\u4f60\\n and so on and on and on and on and on and on\"}");
    assert_int_equal(strncmp(more.data, "3 messages, the first: ALARM: \xe4\xbd\xa0  and so on", 40), 0);
    assert_string_equal(more.data + more.bytes - 3, "\xe2\x80\xa6"); /* cut at 60 characters */
    memory_give(one.data);
    memory_give(more.data);
}

static void a_digest_is_the_same_each_time_and_bounded(void **state)
{
    (void)state;
    struct letter_text first = {0}, again = {0};
    const struct config_connector mail = connector_of(CONNECTOR_MAIL);
    size_t bytes = 60000;
    char *payload = malloc(bytes);
    snprintf(payload, bytes, "{\"title\":\"%0*d\"}", 59000, 7);
    uint64_t live = memory_live_count();
    text_make(&first, &mail, POST_PARTS_MAX, payload);
    text_make(&again, &mail, POST_PARTS_MAX, payload);
    assert_true(first.bytes > POST_PARTS_MAX * POST_LINE_CHARACTERS && first.bytes <= LETTER_BYTES_MAX);
    assert_true(first.bytes == again.bytes && memcmp(first.data, again.data, first.bytes) == 0);
    memory_give(first.data);
    memory_give(again.data);
    assert_int_equal(memory_live_count(), live);
    free(payload);
}

static void the_others_get_json_that_holds_all(void **state)
{
    (void)state;
    struct letter_text out = {0};
    const struct config_connector oa = connector_of(CONNECTOR_OA);
    text_make(&out, &oa, 1, "{\"todo\":[1,2],\"x\":\"\\u0022\"}");
    assert_non_null(strstr(out.data, "\"id\":\"id-0\""));
    assert_non_null(strstr(out.data, "\"subject\":\"alarm\""));
    assert_non_null(strstr(out.data, "\"made\":5000000"));
    assert_non_null(strstr(out.data, "\"data\":{\"todo\":[1,2],\"x\":\"\\\"\"}"));
    memory_give(out.data);
}

static void a_damaged_part_is_told(void **state)
{
    (void)state;
    struct letter_text out = {0};
    struct fault_note note = {0};
    const struct config_connector mail = connector_of(CONNECTOR_MAIL);
    struct post_parts parts = {.connector = &mail};
    assert_int_equal(post_text_write(&out, "a@b", &parts, &note), FAULT_not_found);
    assert_false(post_parts_add(&parts, text_of("alarm"), text_of("x"), text_of("{\"title\":"), 1));
    assert_int_equal(post_text_write(&out, "a@b", &parts, &note), FAULT_schema);
    post_parts_fini(&parts);
    memory_give(out.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_its_title_and_several_are_counted),
        cmocka_unit_test(a_digest_is_the_same_each_time_and_bounded),
        cmocka_unit_test(the_others_get_json_that_holds_all),
        cmocka_unit_test(a_damaged_part_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
