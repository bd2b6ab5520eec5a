/* Letters: what a field holds stays where it was put, in every header and every line; UTF-8 comes out whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "connect/letter.h"

static const char *fill(struct letter_text *out, const char *template, const char *fields, bool one_line)
{
    static struct fault_note note;
    note = (struct fault_note){0};
    memory_give(out->data);
    *out = (struct letter_text){0};
    return letter_fill(out, template, text_of(fields), one_line, &note) != FAULT_NONE ? note.text : out->data ? out->data : "";
}

static void templates_are_checked(void **state)
{
    (void)state;
    const char *why;
    static const char *const good[] = {"", "plain", "{a}", "a {b} {{c}} {d_1.e}", "{{{a}}}", "\xe4\xbd\xa0 {x}"};
    static const char *const bad[] = {"{", "}", "{a", "a}", "{A}", "{}", "{a b}", "{{a}", "{abcdefghijklmnopqrstuvwxyzabcdef}", "{a\n}"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(letter_template_is_good(good[i], &why));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(letter_template_is_good(bad[i], &why));
}

static void fields_fill_their_places(void **state)
{
    (void)state;
    struct letter_text out = {0};
    assert_string_equal(fill(&out, "{a}, {n}, {r}, {b}; {{{x}}}", "{\"a\":\"\xe4\xbd\xa0\",\"n\":-5,\"r\":1.5,\"b\":true}", true),
                        "\xe4\xbd\xa0, -5, 1.5, true; {}");
    assert_string_equal(fill(&out, "{a}", "{\"a\":\"{b}\",\"b\":\"no\"}", true), "{b}"); /* once */
    assert_string_equal(fill(&out, "x{a}", "[1]", true), "the fields of a message are no object");
    assert_true(strstr(fill(&out, "x{a}", "{\"a\":", true), "the fields of a message") != NULL);
    memory_give(out.data);
}

static void control_characters_stay_out(void **state)
{
    (void)state;
    struct letter_text out = {0};
    const char *fields = "{\"a\":\"x\\r\\nBcc: evil@example.com\\u0001\\u0085\\u2028y\"}";
    assert_string_equal(fill(&out, "{a}", fields, true), "x  Bcc: evil@example.com   y");
    assert_string_equal(fill(&out, "{a}", fields, false), "x\nBcc: evil@example.comy");
    memory_give(out.data);
}

static void addresses_and_numbers_are_told_apart(void **state)
{
    (void)state;
    static const char *const addresses[] = {"a@b", "first.last+x@mail.example.com", "o'neil@example.org"};
    static const char *const none[] = {"",      "a",     "@b",   "a@",   "a@b c", "a@b>",    "<a@b",      "a@b\r\nRCPT TO:<c@d>",
                                       "a b@c", "a@b@c", "a@-b", ".a@b", "a.@b",  "a@b,c@d", "\xc3\xa4@b"};
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++)
        assert_true(letter_is_address(addresses[i]));
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_false(letter_is_address(none[i]));
    assert_true(letter_is_number("+4917012345") && letter_is_number("110"));
    assert_false(letter_is_number("") || letter_is_number("+") || letter_is_number("12") || letter_is_number("12 34") ||
                 letter_is_number("1234\r\nX: y") || letter_is_number("123456789012345678901"));
}

static void a_text_is_cut_between_characters(void **state)
{
    (void)state;
    struct letter_text out = {0};
    fill(&out, "{a}",
         "{\"a\":\"\xe4\xbd\xa0\xe5\xa5\xbd"
         "abc\"}",
         true);
    letter_cut(&out, 5);
    assert_string_equal(out.data, "\xe4\xbd\xa0\xe5\xa5\xbd"
                                  "abc");
    letter_cut(&out, 2);
    assert_string_equal(out.data, "\xe4\xbd\xa0\xe2\x80\xa6");
    memory_give(out.data);
}

static const char *mail_of(struct letter_text *out, const char *subject, const char *body, const char *to)
{
    static struct letter_text subject_text, body_text;
    struct fault_note note = {0};
    memory_give(subject_text.data), memory_give(body_text.data), memory_give(out->data);
    subject_text = body_text = *out = (struct letter_text){0};
    letter_append(&subject_text, subject, strlen(subject));
    letter_append(&body_text, body, strlen(body));
    const struct letter_mail mail = {
        .from = "sluice@bank.example", .to = to, .id = "alarm/1", .made_us = 1, .subject = &subject_text, .body = &body_text};
    enum fault fault = letter_mail_write(out, &mail, &note);
    memory_give(subject_text.data), memory_give(body_text.data);
    subject_text = body_text = (struct letter_text){0};
    return fault == FAULT_NONE ? out->data : "refused";
}

static void a_mail_is_whole(void **state)
{
    (void)state;
    struct letter_text out = {0};
    const char *mail = mail_of(&out, "Alarm", "one\ntwo\n", "a@b");
    assert_non_null(strstr(mail, "From: <sluice@bank.example>\r\nTo: <a@b>\r\nSubject: =?UTF-8?B?QWxhcm0=?=\r\n"));
    assert_non_null(strstr(mail, "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\nMessage-ID: <"));
    assert_non_null(strstr(mail, "base64\r\n\r\nb25lDQp0d28NCg==\r\n"));
    char first[600];
    snprintf(first, sizeof first, "%s", mail);
    assert_string_equal(mail_of(&out, "Alarm", "one\ntwo\n", "a@b"), first); /* the same bytes for every attempt */
    assert_string_equal(mail_of(&out, "Alarm", "x", "a@b>\r\nBcc: <c@d"), "refused");
    char subject[400] = "", body[4000] = "";
    for (int i = 0; i < 100; i++)
        strcat(subject, "\xe4\xbd\xa0");
    memset(body, 'x', sizeof body - 1);
    mail = mail_of(&out, subject, body, "a@b");
    for (const char *line = mail; line;) { /* no line is longer than 76 */
        const char *end = strstr(line, "\r\n");
        assert_non_null(end);
        assert_true(end - line <= 76);
        assert_null(memchr(line, '\n', (size_t)(end - line)));
        line = end[2] ? end + 2 : NULL;
    }
    memory_give(out.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_are_checked),
        cmocka_unit_test(fields_fill_their_places),
        cmocka_unit_test(control_characters_stay_out),
        cmocka_unit_test(addresses_and_numbers_are_told_apart),
        cmocka_unit_test(a_text_is_cut_between_characters),
        cmocka_unit_test(a_mail_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
