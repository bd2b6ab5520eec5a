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
static const uint32_t offsets[4] = {0, 2, 4, 6};
static const char ids[] = "t1t2t3";

static struct sluice_batch *batch_of_three(void)
{
    struct sluice_batch *batch = NULL;
    assert_int_equal(sluice_batch_new(&batch, "batch-1", 3), SLUICE_OK);
    assert_int_equal(sluice_batch_str(batch, "transfer_id", offsets, ids, NULL), SLUICE_OK);
    assert_int_equal(sluice_batch_i64(batch, "amount", amounts, NULL), SLUICE_OK);
    return batch;
}

static int client_open_to(struct sluice_client **out, const char *const *urls, size_t url_count, int64_t timeout_ms, char *error)
{
    const struct sluice_options options = {
        .urls = urls, .url_count = url_count, .tenant = "bank", .token = "secret", .timeout_ms = timeout_ms, .in_flight_max = 4};
    return sluice_open(out, &options, error, error ? 256 : 0);
}

static struct sluice_client *client_of(const struct fake *fake, int64_t timeout_ms)
{
    struct sluice_client *client = NULL;
    const char *url = fake->url;
    assert_int_equal(client_open_to(&client, &url, 1, timeout_ms, NULL), SLUICE_OK);
    return client;
}

/* Until the client has seen it. */
static void connections_wait(struct sluice_client *client, size_t server, unsigned wanted)
{
    for (int i = 0; i < 1000 && atomic_load(&client->servers[server].connections) != wanted; i++)
        nng_msleep(5);
    assert_int_equal(atomic_load(&client->servers[server].connections), wanted);
}

static enum fake_act answer_ok(struct fake *fake, const struct wire_value *request, unsigned nth, struct wire_buffer *reply)
{
    (void)fake, (void)request, (void)nth;
    fake_ok(reply, 0);
    return FAKE_ANSWER;
}

static void hello_is_checked(void **state)
{
    struct fake fake;
    struct sluice_client *client = NULL;
    char error[256];
    (void)state;
    fake_open(&fake, "hello", answer_ok);
    const char *url = fake.url;
    fake.protocol = 2;
    assert_int_equal(client_open_to(&client, &url, 1, 2000, error), SLUICE_PROTOCOL_ERROR);
    assert_non_null(strstr(error, "protocol 2"));
    fake.protocol = 1;
    fake.hello_fault = "auth";
    assert_int_equal(client_open_to(&client, &url, 1, 2000, error), SLUICE_FAULT);
    assert_non_null(strstr(error, "auth: who are you"));
    fake.hello_fault = NULL;
    assert_int_equal(client_open_to(&client, &url, 1, 2000, error), SLUICE_OK);
    sluice_close(&client);
    assert_null(client);
    fake_close(&fake);
    assert_int_equal(client_open_to(&client, &url, 1, 200, error), SLUICE_UNREACHABLE);
    assert_null(client);
    assert_int_equal(client_open_to(&client, &url, 0, 200, error), SLUICE_ARGUMENT);
    url = "no-such-transport://x";
    assert_int_equal(client_open_to(&client, &url, 1, 200, error), SLUICE_ARGUMENT);
}

static enum fake_act answer_checking(struct fake *fake, const struct wire_value *request, unsigned nth, struct wire_buffer *reply)
{
    struct wire_value value;
    (void)fake, (void)nth;
    MUST(wire_find(&value, request, "tenant") && text_equal(value.text, text_of("bank")));
    MUST(wire_find(&value, request, "token") && text_equal(value.text, text_of("secret")));
    MUST(wire_find(&value, request, "id") && text_equal(value.text, text_of("batch-1")));
    MUST(wire_find(&value, request, "batch") && text_equal(value.text, text_of("november")));
    MUST(wire_find(&value, request, "deadline_ms") && value.integer == 500);
    MUST(wire_find(&value, request, "rows") && value.integer == 3);
    MUST(wire_find(&value, request, "op") && text_equal(value.text, text_of("screen")));
    fake_ok(reply, 0);
    return FAKE_ANSWER;
}

static void request_says_who_and_what(void **state)
{
    struct fake fake;
    struct sluice_reply *reply = NULL;
    (void)state;
    fake_open(&fake, "request", answer_checking);
    struct sluice_client *client = client_of(&fake, 5000);
    struct sluice_batch *batch = batch_of_three();
    assert_int_equal(sluice_batch_name(batch, "november"), SLUICE_OK);
    assert_int_equal(sluice_call(client, "screen", batch, 500, &reply), SLUICE_OK);
    assert_null(sluice_reply_fault(reply));
    sluice_reply_free(&reply);
    assert_int_equal(sluice_call(client, "screening", batch, 0, &reply), SLUICE_ARGUMENT);
    assert_int_equal(sluice_call(client, "hello", batch, 0, &reply), SLUICE_ARGUMENT);
    assert_int_equal(sluice_call(client, "observe", batch, 0, &reply), SLUICE_ARGUMENT);
    assert_int_equal(sluice_call(client, "observe:nothing", batch, 0, &reply), SLUICE_ARGUMENT);
    assert_int_equal(sluice_call(client, "screen:use", batch, 0, &reply), SLUICE_ARGUMENT);
    assert_int_equal(sluice_ask(client, "screen", NULL, &reply), SLUICE_ARGUMENT);
    assert_null(reply);
    assert_int_equal(atomic_load(&fake.requests), 1);
    sluice_batch_free(&batch);
    sluice_close(&client);
    fake_close(&fake);
}

static enum fake_act busy_twice(struct fake *fake, const struct wire_value *request, unsigned nth, struct wire_buffer *reply)
{
    (void)fake, (void)request;
    if (nth < 2)
        fake_fault(reply, FAULT_busy, 30, "later");
    else
        fake_ok(reply, 0);
    return FAKE_ANSWER;
}

static void busy_is_tried_again(void **state)
{
    struct fake fake;
    struct sluice_reply *reply = NULL;
    (void)state;
    fake_open(&fake, "busy", busy_twice);
    struct sluice_client *client = client_of(&fake, 5000);
    struct sluice_batch *batch = batch_of_three();
    int64_t begun_ns = clock_steady_ns();
    assert_int_equal(sluice_call(client, "screen", batch, 0, &reply), SLUICE_OK);
    assert_true(clock_steady_ns() - begun_ns >= 60 * 1000000);
    assert_int_equal(atomic_load(&fake.requests), 3);
    assert_int_equal(atomic_load(&fake.unlike_first), 0);
    sluice_reply_free(&reply);
    sluice_batch_free(&batch);
    sluice_close(&client);
    fake_close(&fake);
}

static enum fake_act busy_for_long(struct fake *fake, const struct wire_value *request, unsigned nth, struct wire_buffer *reply)
{
    (void)fake, (void)request, (void)nth;
    fake_fault(reply, FAULT_busy, 60000, "come tomorrow");
    return FAKE_ANSWER;
}

static enum fake_act conflict(struct fake *fake, const struct wire_value *request, unsigned nth, struct wire_buffer *reply)
{
    (void)fake, (void)request, (void)nth;
    fake_fault(reply, FAULT_conflict, 0, "used before");
    return FAKE_ANSWER;
}

static void faults_come_to_the_caller(void **state)
{
    struct fake fake;
    struct sluice_reply *reply = NULL;
    (void)state;
    fake_open(&fake, "faults", busy_for_long);
    struct sluice_client *client = client_of(&fake, 1000);
    struct sluice_batch *batch = batch_of_three();
    assert_int_equal(sluice_call(client, "screen", batch, 0, &reply), SLUICE_FAULT);
    assert_string_equal(sluice_reply_fault(reply), "busy");
    assert_string_equal(sluice_reply_text(reply), "come tomorrow");
    assert_int_equal(sluice_reply_retry_after_ms(reply), 60000);
    sluice_reply_free(&reply);
    fake.answer = conflict;
    assert_int_equal(sluice_call(client, "screen", batch, 0, &reply), SLUICE_FAULT);
    assert_string_equal(sluice_reply_fault(reply), "conflict");
    assert_int_equal(atomic_load(&fake.requests), 2);
    sluice_reply_free(&reply);
    sluice_batch_free(&batch);
    sluice_close(&client);
    fake_close(&fake);
}

static enum fake_act hang_up_twice(struct fake *fake, const struct wire_value *request, unsigned nth, struct wire_buffer *reply)
{
    (void)fake, (void)request;
    if (nth < 2)
        return FAKE_HANG_UP;
    fake_ok(reply, 0);
    return FAKE_ANSWER;
}

static enum fake_act hang_up(struct fake *fake, const struct wire_value *request, unsigned nth, struct wire_buffer *reply)
{
    (void)fake, (void)request, (void)nth, (void)reply;
    return FAKE_HANG_UP;
}

static void disconnect_is_resent_three_times_at_most(void **state)
{
    struct fake fake;
    struct sluice_reply *reply = NULL;
    (void)state;
    fake_open(&fake, "hang-up", hang_up_twice);
    struct sluice_client *client = client_of(&fake, 10000);
    struct sluice_batch *batch = batch_of_three();
    assert_int_equal(sluice_call(client, "screen", batch, 0, &reply), SLUICE_OK);
    assert_int_equal(atomic_load(&fake.requests), 3);
    assert_int_equal(atomic_load(&fake.unlike_first), 0);
    sluice_reply_free(&reply);
    fake.answer = hang_up;
    atomic_store(&fake.requests, 0);
    assert_int_equal(sluice_call(client, "screen", batch, 0, &reply), SLUICE_UNREACHABLE);
    assert_null(reply);
    assert_int_equal(atomic_load(&fake.requests), DISCONNECTS_MAX);
    sluice_batch_free(&batch);
    sluice_close(&client);
    fake_close(&fake);
}

static void too_large_is_told_before_sending(void **state)
{
    struct fake fake;
    struct sluice_reply *reply = NULL;
    static const int64_t many[3000];
    (void)state;
    fake_open(&fake, "large", answer_ok);
    fake.message_bytes = 2000;
    fake.rows = 2;
    struct sluice_client *client = client_of(&fake, 2000);
    struct sluice_batch *batch = batch_of_three();
    assert_int_equal(sluice_call(client, "screen", batch, 0, &reply), SLUICE_FAULT);
    assert_string_equal(sluice_reply_fault(reply), "limit");
    assert_non_null(strstr(sluice_reply_text(reply), "3 rows"));
    sluice_reply_free(&reply);
    sluice_batch_free(&batch);
    assert_int_equal(sluice_batch_new(&batch, "large", 3000), SLUICE_OK);
    assert_int_equal(sluice_batch_i64(batch, "amount", many, NULL), SLUICE_OK);
    assert_int_equal(sluice_call(client, "screen", batch, 0, &reply), SLUICE_FAULT);
    assert_non_null(strstr(sluice_reply_text(reply), "2000"));
    sluice_reply_free(&reply);
    assert_int_equal(atomic_load(&fake.requests), 0);
    sluice_batch_free(&batch);
    sluice_close(&client);
    fake_close(&fake);
}

static enum fake_act say_nothing(struct fake *fake, const struct wire_value *request, unsigned nth, struct wire_buffer *reply)
{
    (void)fake, (void)request, (void)nth, (void)reply;
    return FAKE_SILENCE;
}

static void silence_ends_in_time(void **state)
{
    struct fake fake;
    struct sluice_reply *reply = NULL;
    (void)state;
    fake_open(&fake, "silence", say_nothing);
    struct sluice_client *client = client_of(&fake, 150);
    struct sluice_batch *batch = batch_of_three();
    assert_int_equal(sluice_call(client, "score", batch, 0, &reply), SLUICE_TIMEOUT);
    assert_null(reply);
    assert_int_equal(atomic_load(&fake.requests), 1);
    sluice_batch_free(&batch);
    sluice_close(&client);
    fake_close(&fake);
}

static void restart_is_waited_for(void **state)
{
    struct fake fake;
    struct sluice_reply *reply = NULL;
    (void)state;
    fake_open(&fake, "restart", answer_ok);
    struct sluice_client *client = client_of(&fake, 10000);
    struct sluice_batch *batch = batch_of_three();
    assert_int_equal(sluice_call(client, "screen", batch, 0, &reply), SLUICE_OK);
    sluice_reply_free(&reply);
    fake_close(&fake);
    connections_wait(client, 0, 0);
    fake_open(&fake, "restart", answer_ok);
    assert_int_equal(sluice_call(client, "screen", batch, 0, &reply), SLUICE_OK);
    sluice_reply_free(&reply);
    sluice_batch_free(&batch);
    sluice_close(&client);
    fake_close(&fake);
}

struct tally {
    pthread_mutex_t lock;
    unsigned done, good, bad;
};

static void tally_done(void *context, int error, struct sluice_reply *reply)
{
    struct tally *tally = context;
    pthread_mutex_lock(&tally->lock);
    tally->done++;
    tally->good += error == SLUICE_OK && reply && !sluice_reply_fault(reply);
    tally->bad += error == SLUICE_UNREACHABLE;
    pthread_mutex_unlock(&tally->lock);
    sluice_reply_free(&reply);
}

static enum fake_act take_a_while(struct fake *fake, const struct wire_value *request, unsigned nth, struct wire_buffer *reply)
{
    (void)fake, (void)request;
    nng_msleep(nth % 3 ? 2 : 8); /* answers overtake one another */
    fake_ok(reply, 0);
    return FAKE_ANSWER;
}

static void asynchronous_calls_are_bounded_and_all_end(void **state)
{
    enum { CALLS = 60 };
    struct fake fake;
    struct tally tally = {.lock = PTHREAD_MUTEX_INITIALIZER};
    (void)state;
    fake_open(&fake, "async", take_a_while);
    struct sluice_client *client = client_of(&fake, 10000);
    struct sluice_batch *batch = batch_of_three();
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(sluice_call_async(client, "score", batch, 0, tally_done, &tally), SLUICE_OK);
    sluice_batch_free(&batch);
    assert_int_equal(sluice_wait_all(client), SLUICE_OK);
    assert_int_equal(tally.done, CALLS);
    assert_int_equal(tally.good, CALLS);
    assert_int_equal(atomic_load(&fake.requests), CALLS);
    assert_true(atomic_load(&fake.busiest) <= 4 && atomic_load(&fake.busiest) >= 2);
    sluice_close(&client);
    fake_close(&fake);
}

struct chain {
    struct sluice_client *client;
    struct sluice_batch *batch;
    struct tally tally;
    unsigned left;
};

static void chain_done(void *context, int error, struct sluice_reply *reply)
{
    struct chain *chain = context;
    tally_done(&chain->tally, error, reply);
    if (chain->left-- > 0)
        assert_int_equal(sluice_call_async(chain->client, "score", chain->batch, 0, chain_done, chain), SLUICE_OK);
}

static void done_may_begin_the_next(void **state)
{
    struct fake fake;
    struct chain chain = {.left = 20, .tally.lock = PTHREAD_MUTEX_INITIALIZER};
    (void)state;
    fake_open(&fake, "chain", answer_ok);
    chain.client = client_of(&fake, 10000);
    chain.batch = batch_of_three();
    assert_int_equal(sluice_call_async(chain.client, "score", chain.batch, 0, chain_done, &chain), SLUICE_OK);
    assert_int_equal(sluice_wait_all(chain.client), SLUICE_OK);
    assert_int_equal(chain.tally.good, 21);
    sluice_batch_free(&chain.batch);
    sluice_close(&chain.client);
    fake_close(&fake);
}

static void closing_ends_what_is_under_way(void **state)
{
    struct fake fake;
    struct tally tally = {.lock = PTHREAD_MUTEX_INITIALIZER};
    (void)state;
    fake_open(&fake, "closing", say_nothing);
    struct sluice_client *client = client_of(&fake, 60000);
    struct sluice_batch *batch = batch_of_three();
    for (int i = 0; i < 3; i++)
        assert_int_equal(sluice_call_async(client, "screen", batch, 0, tally_done, &tally), SLUICE_OK);
    sluice_close(&client);
    assert_int_equal(tally.done, 3);
    assert_int_equal(tally.bad, 3);
    sluice_batch_free(&batch);
    fake_close(&fake);
}

static enum fake_act be_slow(struct fake *fake, const struct wire_value *request, unsigned nth, struct wire_buffer *reply)
{
    (void)fake, (void)request, (void)nth;
    nng_msleep(60);
    fake_ok(reply, 0);
    return FAKE_ANSWER;
}

static void scoring_goes_to_the_least_loaded(void **state)
{
    struct fake slow, quick;
    struct tally tally = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct sluice_client *client = NULL;
    struct sluice_reply *reply = NULL;
    (void)state;
    fake_open(&slow, "slow", be_slow);
    fake_open(&quick, "quick", answer_ok);
    const char *urls[] = {slow.url, quick.url};
    assert_int_equal(client_open_to(&client, urls, 2, 10000, NULL), SLUICE_OK);
    struct sluice_batch *batch = batch_of_three();
    connections_wait(client, 0, 1);
    connections_wait(client, 1, 1);
    for (int i = 0; i < 60; i++)
        assert_int_equal(sluice_call_async(client, "score", batch, 0, tally_done, &tally), SLUICE_OK);
    sluice_wait_all(client);
    assert_int_equal(tally.good, 60);
    assert_true(atomic_load(&quick.requests) > atomic_load(&slow.requests) && atomic_load(&slow.requests) > 0);
    unsigned quick_before = atomic_load(&quick.requests);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sluice_call(client, "screen", batch, 0, &reply), SLUICE_OK);
        sluice_reply_free(&reply);
    }
    assert_int_equal(atomic_load(&quick.requests), quick_before); /* pinned to the first */
    fake_close(&quick);
    connections_wait(client, 1, 0);
    assert_int_equal(sluice_call(client, "score", batch, 0, &reply), SLUICE_OK);
    sluice_reply_free(&reply);
    sluice_batch_free(&batch);
    sluice_close(&client);
    fake_close(&slow);
}

static enum fake_act answer_query(struct fake *fake, const struct wire_value *request, unsigned nth, struct wire_buffer *reply)
{
    struct wire_value value;
    (void)fake, (void)nth;
    MUST(wire_find(&value, request, "account") && text_equal(value.text, text_of("a1")));
    MUST(wire_find(&value, request, "from_us") && value.integer == 5);
    MUST(!wire_find(&value, request, "scene") && !wire_find(&value, request, "to_us") && !wire_find(&value, request, "cursor"));
    fake_ok(reply, 1);
    fake_text(reply, "cursor", "7:1");
    return FAKE_ANSWER;
}

static void query_leaves_out_what_does_not_narrow(void **state)
{
    struct fake fake;
    struct sluice_reply *reply = NULL;
    const struct sluice_query query = {.account = "a1", .from_us = 5, .rows_max = 10};
    (void)state;
    fake_open(&fake, "query", answer_query);
    struct sluice_client *client = client_of(&fake, 5000);
    assert_int_equal(sluice_query(client, &query, &reply), SLUICE_OK);
    assert_string_equal(sluice_reply_string(reply, "cursor"), "7:1");
    sluice_reply_free(&reply);
    sluice_close(&client);
    fake_close(&fake);
}

static void builder_refuses_what_is_wrong(void **state)
{
    struct sluice_batch *batch = NULL;
    static const uint32_t falling[4] = {0, 4, 2, 6};
    static const uint16_t codes[3] = {0, 1, 2};
    static const char *const values[] = {"EUR", "USD"};
    static const uint8_t valid[1] = {3};
    (void)state;
    assert_int_equal(sluice_batch_new(&batch, "", 3), SLUICE_ARGUMENT);
    assert_int_equal(sluice_batch_new(&batch, "x", 0), SLUICE_ARGUMENT);
    batch = batch_of_three();
    assert_int_equal(sluice_batch_i64(batch, "amount", amounts, NULL), SLUICE_ARGUMENT); /* twice */
    assert_int_equal(sluice_batch_str(batch, "payer_id", falling, ids, NULL), SLUICE_ARGUMENT);
    assert_int_equal(sluice_batch_dict16(batch, "currency", codes, values, 2, NULL), SLUICE_ARGUMENT); /* code 2 */
    assert_int_equal(sluice_batch_dict16(batch, "currency", codes, values, 2, valid), SLUICE_OK);      /* … is null */
    assert_int_equal(sluice_batch_i64(batch, "colour", amounts, NULL), SLUICE_OK);
    assert_int_equal(sluice_batch_i64(batch, "colour", amounts, NULL), SLUICE_ARGUMENT);
    sluice_batch_free(&batch);
    sluice_batch_free(&batch);
}

static void allocations_fail_cleanly(void **state)
{
    (void)state;
    uint64_t live = memory_live_count(), nth = 0;
    int result = SLUICE_MEMORY;
    static const uint16_t codes[3] = {0, 1, 1};
    static const char *const values[] = {"EUR", "USD"};
    for (; result == SLUICE_MEMORY; nth++) {
        struct sluice_batch *batch = NULL;
        memory_fail_at(nth);
        result = sluice_batch_new(&batch, "x", 3);
        if (result == SLUICE_OK)
            result = sluice_batch_name(batch, "y");
        if (result == SLUICE_OK)
            result = sluice_batch_i64(batch, "colour", amounts, NULL);
        if (result == SLUICE_OK)
            result = sluice_batch_dict16(batch, "currency", codes, values, 2, NULL);
        memory_fail_at(UINT64_MAX);
        sluice_batch_free(&batch);
        assert_int_equal(memory_live_count(), live);
    }
    assert_int_equal(result, SLUICE_OK);
    assert_true(nth > 4);
    result = SLUICE_MEMORY;
    const char *url = "ipc:///tmp/sluice-test-nobody.ipc";
    for (nth = 0; result == SLUICE_MEMORY; nth++) {
        struct sluice_client *client = NULL;
        memory_fail_at(nth);
        result = client_open_to(&client, &url, 1, 50, NULL);
        memory_fail_at(UINT64_MAX);
        assert_null(client);
        assert_int_equal(memory_live_count(), live);
    }
    assert_int_equal(result, SLUICE_UNREACHABLE);
}

static int all_is_given_back(void **state)
{
    (void)state;
    return memory_live_count() == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_is_checked),
        cmocka_unit_test(request_says_who_and_what),
        cmocka_unit_test(busy_is_tried_again),
        cmocka_unit_test(faults_come_to_the_caller),
        cmocka_unit_test(disconnect_is_resent_three_times_at_most),
        cmocka_unit_test(too_large_is_told_before_sending),
        cmocka_unit_test(silence_ends_in_time),
        cmocka_unit_test(restart_is_waited_for),
        cmocka_unit_test(asynchronous_calls_are_bounded_and_all_end),
        cmocka_unit_test(done_may_begin_the_next),
        cmocka_unit_test(closing_ends_what_is_under_way),
        cmocka_unit_test(scoring_goes_to_the_least_loaded),
        cmocka_unit_test(query_leaves_out_what_does_not_narrow),
        cmocka_unit_test(builder_refuses_what_is_wrong),
        cmocka_unit_test(allocations_fail_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, all_is_given_back);
}
