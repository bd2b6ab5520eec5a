/* What leaves for connectors: there with its change, once for each id and recipient, until it is marked; in order for a recipient;
 * what goes with a closed digest never changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/memory.h"
#include "unit/ledger/rig.h"

enum { ROWS = 8 };
static struct rig rig;

static const struct ledger_message_ops *ops(void)
{
    return ledger_sqlite.messages;
}

static struct ledger_message message_of(const char *connector, const char *recipient, const char *id)
{
    return (struct ledger_message){.connector = text_of(connector),
                                   .subject = text_of("alarm"),
                                   .id = text_of(id),
                                   .recipient = text_of(recipient),
                                   .payload = text_of("{\"title\":\"x\"}")};
}

static void put(const char *connector, const char *recipient, const char *id, int64_t now_us)
{
    const struct ledger_message message = message_of(connector, recipient, id);
    assert_int_equal(ops()->put(rig.ledger, &message, 1, now_us, NULL, NULL), FAULT_NONE);
}

static const char *next(const char *connector, uint64_t after, int64_t now_us, int64_t quiet_us, struct ledger_letter *out)
{
    static struct fault_note note;
    enum fault fault = ops()->next(rig.ledger, out, text_of(connector), after, now_us, quiet_us, &note);
    return fault == FAULT_NONE ? out->id : fault == FAULT_not_found ? "" : note.text;
}

static int setup(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_open(&rig);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static void commit_with(uint64_t sequence, const char *id)
{
    char batch_id[24];
    struct batch batch;
    struct sample sample = rig_sample(sequence, ROWS, OP_screen, batch_id);
    sample_make(&batch, &sample);
    const struct ledger_message messages[] = {message_of("mail", "a@b", id), message_of("mail", "c@d", id)};
    struct ledger_entry entry = {
        .batch = &batch, .scenes = rig_scenes, .scene_count = SAMPLE_SCENES, .messages = messages, .message_count = 2};
    assert_int_equal(frame_encode(&entry.frame, &batch, NULL), FAULT_NONE);
    assert_int_equal(ledger_sqlite.commit(rig.ledger, &entry, 1, NULL), FAULT_NONE);
    frame_give(&entry.frame);
    batch_fini(&batch);
}

static void a_message_is_there_with_its_change(void **state)
{
    (void)state;
    struct ledger_letter letter;
    commit_with(1, "case-1");
    rig_reopen(&rig);
    assert_string_equal(next("mail", 0, 1, 0, &letter), "case-1");
    assert_true(letter.sequence == 1 && letter.made_us == 1000 && letter.state == OUTBOX_WAITING && letter.attempts == 0);
    assert_string_equal(letter.recipient, "a@b");
    assert_string_equal(letter.subject, "alarm");
    assert_string_equal(next("mail", letter.entry, 1, 0, &letter), "case-1");
    assert_string_equal(letter.recipient, "c@d");
    assert_string_equal(next("mail", letter.entry, 1, 0, &letter), "");
    assert_string_equal(next("sms", 0, 1, 0, &letter), "");
}

static void an_id_is_put_once_for_a_recipient(void **state)
{
    (void)state;
    struct ledger_letter letter;
    put("mail", "a@b", "x", 1), put("mail", "a@b", "x", 2), put("mail", "c@d", "x", 3);
    next("mail", 0, 9, 0, &letter);
    assert_int_equal(ops()->mark(rig.ledger, letter.entry, OUTBOX_ACKNOWLEDGED, 1, 0, 9, "", NULL), FAULT_NONE);
    put("mail", "a@b", "x", 10); /* also when it is delivered */
    assert_string_equal(next("mail", 0, 20, 0, &letter), "x");
    assert_string_equal(letter.recipient, "c@d");
    assert_string_equal(next("mail", letter.entry, 20, 0, &letter), "");
}

static void those_of_a_recipient_leave_in_order(void **state)
{
    (void)state;
    struct ledger_letter letter;
    uint64_t first;
    put("oa", "u", "1", 1), put("oa", "u", "2", 2), put("oa", "v", "3", 3);
    assert_string_equal(next("oa", 0, 9, 0, &letter), "1");
    first = letter.entry;
    assert_int_equal(ops()->mark(rig.ledger, first, OUTBOX_WAITING, 1, 50, 9, "down", NULL), FAULT_NONE);
    assert_string_equal(next("oa", 0, 9, 0, &letter), "3"); /* 2 waits behind 1 */
    assert_string_equal(next("oa", 0, 50, 0, &letter), "1");
    assert_true(letter.attempts == 1);
    assert_string_equal(letter.why, "down");
    assert_int_equal(ops()->mark(rig.ledger, first, OUTBOX_DEAD, 2, 0, 51, "no", NULL), FAULT_NONE);
    assert_string_equal(next("oa", 0, 51, 0, &letter), "2"); /* a dead letter holds up nobody */
}

struct parts {
    unsigned count;
    char ids[80];
};

static bool part_seen(void *context, struct text subject, struct text id, struct text payload, int64_t made_us)
{
    struct parts *parts = context;
    assert_true(text_equal(subject, text_of("alarm")) && made_us > 0 && payload.bytes == 13);
    snprintf(parts->ids + strlen(parts->ids), sizeof parts->ids - strlen(parts->ids), "%.*s ", (int)id.bytes, id.data);
    parts->count++;
    return true;
}

static void a_digest_is_closed_once(void **state)
{
    (void)state;
    struct ledger_letter letter;
    struct parts parts = {0};
    for (int i = 0; i < 5; i++) {
        char id[8];
        snprintf(id, sizeof id, "%d", i);
        put("mail", "a@b", id, 1 + i);
    }
    put("mail", "c@d", "other", 7);
    assert_string_equal(next("mail", 0, 10, 0, &letter), "0");
    assert_int_equal(ops()->close(rig.ledger, letter.entry, 3, NULL), FAULT_NONE);
    put("mail", "a@b", "late", 11);
    assert_int_equal(ops()->close(rig.ledger, letter.entry, 3, NULL), FAULT_NONE); /* as after a crash */
    assert_string_equal(next("mail", 0, 12, 0, &letter), "0");
    assert_int_equal(ops()->read(rig.ledger, letter.entry, part_seen, &parts, NULL), FAULT_NONE);
    assert_string_equal(parts.ids, "0 1 2 3 ");
    assert_int_equal(ops()->mark(rig.ledger, letter.entry, OUTBOX_ACKNOWLEDGED, 1, 0, 100, "", NULL), FAULT_NONE);
    assert_string_equal(next("mail", 0, 101, 50, &letter), "other"); /* a@b is left alone for a while */
    assert_string_equal(next("mail", letter.entry, 101, 50, &letter), "");
    assert_string_equal(next("mail", 0, 151, 50, &letter), "4");
}

static bool letter_seen(void *context, const struct ledger_letter *letter)
{
    struct parts *parts = context;
    assert_int_equal(letter->state, OUTBOX_DEAD);
    snprintf(parts->ids + strlen(parts->ids), sizeof parts->ids - strlen(parts->ids), "%s ", letter->id);
    parts->count++;
    return true;
}

static void count_seen(void *context, const struct ledger_letter_count *count)
{
    struct ledger_letter_count *out = context;
    if (strcmp(count->connector, out->connector) == 0)
        *out = *count;
}

static void dead_letters_are_seen_and_wait_again(void **state)
{
    (void)state;
    struct ledger_letter letter;
    struct parts parts = {0};
    struct ledger_letter_count count = {.connector = "mail"};
    uint32_t again = 0;
    put("mail", "a@b", "1", 5), put("mail", "a@b", "2", 6), put("mail", "a@b", "3", 7), put("sms", "4711", "4", 8);
    next("mail", 0, 10, 0, &letter);
    ops()->close(rig.ledger, letter.entry, 1, NULL);
    ops()->mark(rig.ledger, letter.entry, OUTBOX_DEAD, 3, 0, 10, "550 no", NULL);
    const struct ledger_letter_query query = {.state = OUTBOX_DEAD, .rows_max = 10};
    assert_int_equal(ops()->list(rig.ledger, &query, letter_seen, &parts, NULL), FAULT_NONE);
    assert_string_equal(parts.ids, "1 2 ");
    assert_int_equal(ops()->counts(rig.ledger, count_seen, &count, NULL), FAULT_NONE);
    assert_true(count.dead == 2 && count.waiting == 1 && count.oldest_us == 7);
    assert_int_equal(ops()->resend(rig.ledger, false, 0, text_of("sms"), 20, &again, NULL), FAULT_NONE);
    assert_int_equal(again, 0);
    assert_int_equal(ops()->resend(rig.ledger, false, letter.entry, text_of(""), 20, &again, NULL), FAULT_NONE);
    assert_int_equal(again, 1);
    assert_string_equal(next("mail", 0, 20, 0, &letter), "1");
    assert_true(letter.attempts == 0 && letter.since_us == 20 && letter.made_us == 5);
    assert_int_equal(ops()->resend(rig.ledger, false, 0, text_of("mail"), 21, &again, NULL), FAULT_NONE);
    assert_int_equal(again, 1);
}

static void alarm_seen(void *context, const struct ledger_alarm *alarm)
{
    *(struct ledger_alarm *)context = *alarm;
}

static void alarms_stay_until_they_are_over(void **state)
{
    (void)state;
    struct ledger_alarm alarm = {.name = "brake.a", .what = "it acts", .since_us = 5}, seen = {0};
    const struct ledger_message message = message_of("mail", "a@b", "alarm/brake.a/5");
    assert_int_equal(ops()->put(rig.ledger, &message, 1, 5, &alarm, NULL), FAULT_NONE);
    rig_reopen(&rig);
    assert_int_equal(ops()->alarms(rig.ledger, alarm_seen, &seen, NULL), FAULT_NONE);
    assert_string_equal(seen.name, "brake.a");
    assert_string_equal(seen.what, "it acts");
    assert_int_equal(seen.since_us, 5);
    alarm.since_us = 0;
    assert_int_equal(ops()->put(rig.ledger, NULL, 0, 6, &alarm, NULL), FAULT_NONE);
    seen = (struct ledger_alarm){0};
    assert_int_equal(ops()->alarms(rig.ledger, alarm_seen, &seen, NULL), FAULT_NONE);
    assert_int_equal(seen.since_us, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_message_is_there_with_its_change),   TEST(an_id_is_put_once_for_a_recipient),
        TEST(those_of_a_recipient_leave_in_order),  TEST(a_digest_is_closed_once),
        TEST(dead_letters_are_seen_and_wait_again), TEST(alarms_stay_until_they_are_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
