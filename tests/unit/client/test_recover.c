/* Behind a time-out: the library asks what became of a request that changes state, and sends the same bytes once more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/memory.h"
#include "client/client.h"
#include "unit/client/fake.h"

static const int64_t amounts[3] = {100, 200, 300};

static struct sluice_batch *batch_of_three(void)
{
    struct sluice_batch *batch = NULL;
    assert_int_equal(sluice_batch_new(&batch, "batch-1", 3), SLUICE_OK);
    assert_int_equal(sluice_batch_i64(batch, "amount", amounts, NULL), SLUICE_OK);
    return batch;
}

static struct sluice_client *client_of(const struct fake *fake, int64_t timeout_ms)
{
    struct sluice_client *client = NULL;
    const char *url = fake->url;
    const struct sluice_options options = {.urls = &url, .url_count = 1, .tenant = "bank", .token = "secret", .timeout_ms = timeout_ms};
    assert_int_equal(sluice_open(&client, &options, NULL, 0), SLUICE_OK);
    return client;
}

enum after {
    AFTER_RECORDED,
    AFTER_OF_ANOTHER_ID,
    AFTER_OF_ANOTHER_OP,
    AFTER_NOT_FOUND,
    AFTER_DENIED,
    AFTER_IN_FLIGHT,
    AFTER_BUSY,
    AFTER_CONFLICT,
    AFTER_COUNT
};
static enum after after;
static char told[64]; /* the ops that came, by their first letters */

static void told_add(const struct wire_value *request)
{
    struct wire_value op;
    size_t count = strlen(told);
    MUST(wire_find(&op, request, "op") && count + 1 < sizeof told); /* not the test's thread */
    told[count] = text_equal(op.text, text_of("screen")) ? 'S' : op.text.data[0], told[count + 1] = '\0';
}

static void result_of(struct wire_buffer *out, const char *op, const char *id)
{
    wire_pack_map(out, 5);
    fake_i64(out, "v", 1), fake_text(out, "id", id), fake_text(out, "status", "ok");
    fake_text(out, "op", op), fake_i64(out, "rows", 3);
}

/* Silent at first; then as `after` says; the second sending is answered. */
static enum fake_act answer_late(struct fake *fake, const struct wire_value *request, unsigned nth, struct wire_buffer *reply)
{
    struct wire_value name;
    (void)fake;
    told_add(request);
    char op = told[nth];
    if (nth == 0)
        return FAKE_SILENCE;
    MUST(wire_find(&name, request, "batch") && text_equal(name.text, text_of("batch-1")));
    if (op == 'S' && after == AFTER_BUSY)
        fake_fault(reply, FAULT_busy, 60000, "full");
    else if (op == 'S' && after == AFTER_CONFLICT)
        fake_fault(reply, FAULT_conflict, 0, "other content");
    else if (op == 'r')
        result_of(reply, after == AFTER_OF_ANOTHER_OP ? "label" : "screen", after == AFTER_OF_ANOTHER_ID ? "another" : "batch-1");
    else if (op == 'S')
        result_of(reply, "screen", "batch-1");
    else if (after == AFTER_DENIED)
        fake_fault(reply, FAULT_denied, 0, "no right");
    else if (after == AFTER_NOT_FOUND || after == AFTER_BUSY || after == AFTER_CONFLICT)
        fake_fault(reply, FAULT_not_found, 0, "nothing");
    else
        fake_ok(reply, 1), fake_text(reply, "state", after == AFTER_IN_FLIGHT ? "in_flight" : "recorded");
    return FAKE_ANSWER;
}

struct answered {
    int error;
    struct sluice_reply *reply;
};

static void answered_take(void *context, int error, struct sluice_reply *reply)
{
    struct answered *answered = context;
    answered->error = error, answered->reply = reply;
}

static void what_became_of_it_is_asked(void **state)
{
    static const struct {
        const char *told;
        int error;
    } expected[AFTER_COUNT] = {
        [AFTER_RECORDED] = {"Ssr", SLUICE_OK},  [AFTER_OF_ANOTHER_ID] = {"SsrS", SLUICE_OK}, [AFTER_OF_ANOTHER_OP] = {"SsrS", SLUICE_OK},
        [AFTER_NOT_FOUND] = {"SsS", SLUICE_OK}, [AFTER_DENIED] = {"SsS", SLUICE_OK},         [AFTER_IN_FLIGHT] = {"SsS", SLUICE_OK},
        [AFTER_BUSY] = {"SsS", SLUICE_TIMEOUT}, [AFTER_CONFLICT] = {"SsS", SLUICE_FAULT},
    };
    (void)state;
    for (unsigned i = 0; i < AFTER_COUNT + 2; i++) { /* the first two asynchronously as well */
        struct fake fake;
        struct answered answered = {.error = -1};
        after = (enum after)(i % AFTER_COUNT);
        told[0] = '\0';
        fake_open(&fake, "late", answer_late);
        struct sluice_client *client = client_of(&fake, 500);
        struct sluice_batch *batch = batch_of_three();
        if (i < AFTER_COUNT) {
            answered.error = sluice_call(client, "screen", batch, 0, &answered.reply);
        } else {
            assert_int_equal(sluice_call_async(client, "screen", batch, 0, answered_take, &answered), SLUICE_OK);
            sluice_wait_all(client);
        }
        assert_int_equal(answered.error, expected[after].error);
        assert_string_equal(told, expected[after].told);
        assert_int_equal(answered.reply != NULL, answered.error != SLUICE_TIMEOUT);
        if (answered.error == SLUICE_OK)
            assert_string_equal(sluice_reply_string(answered.reply, "id"), "batch-1");
        sluice_reply_free(&answered.reply);
        sluice_batch_free(&batch);
        sluice_close(&client);
        fake_close(&fake);
    }
}

static enum fake_act say_nothing(struct fake *fake, const struct wire_value *request, unsigned nth, struct wire_buffer *reply)
{
    (void)fake, (void)nth, (void)reply;
    told_add(request);
    return FAKE_SILENCE;
}

/* A server that says nothing to anything gets the request again all the same, and the call ends soon. */
static void silence_ends_in_time(void **state)
{
    struct fake fake;
    struct sluice_reply *reply = NULL;
    (void)state;
    told[0] = '\0';
    fake_open(&fake, "silent", say_nothing);
    struct sluice_client *client = client_of(&fake, 1000);
    struct sluice_batch *batch = batch_of_three();
    int64_t begin_ns = clock_steady_ns();
    assert_int_equal(sluice_call(client, "screen", batch, 0, &reply), SLUICE_TIMEOUT);
    assert_null(reply);
    assert_in_range((clock_steady_ns() - begin_ns) / 1000000, 1000, 3000);
    assert_string_equal(told, "SsS");
    sluice_batch_free(&batch);
    sluice_close(&client);
    fake_close(&fake);
}

/* Closing beside it ends it at once. */
static void closing_ends_it(void **state)
{
    struct fake fake;
    struct answered answered = {.error = -1};
    (void)state;
    told[0] = '\0';
    fake_open(&fake, "closing", say_nothing);
    struct sluice_client *client = client_of(&fake, 1000);
    struct sluice_batch *batch = batch_of_three();
    assert_int_equal(sluice_call_async(client, "screen", batch, 0, answered_take, &answered), SLUICE_OK);
    while (atomic_load(&fake.requests) < 2)
        nng_msleep(1);
    sluice_close(&client);
    assert_int_equal(answered.error, SLUICE_UNREACHABLE);
    assert_null(answered.reply);
    sluice_batch_free(&batch);
    fake_close(&fake);
}

static int no_memory_is_left(void **state)
{
    (void)state;
    return memory_live_count() == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_became_of_it_is_asked),
        cmocka_unit_test(silence_ends_in_time),
        cmocka_unit_test(closing_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, no_memory_is_left);
}
