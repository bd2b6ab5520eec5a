/* Under more load than it can take the server answers every request: done, or busy with a time to come again. One tenant's
 * flood does not keep another out, and weights share what there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "flow/harness.h"
#include "flow/message.h"

enum { FLOODERS = 12, FLOOD_ROWS = 4000, FLOOD_MS = 3000, FLOOD_MS_MAX = 60000, TURNS_LEAST = 30, CALLS_LEAST = 10 };

static struct table *fresh;
static struct server server;

struct flooder {
    pthread_t thread;
    const char *tenant, *token;
    unsigned number;
    int64_t deadline_ms, until_ns;
    unsigned done, busy, late, other; /* answers */
    unsigned without_retry;
};

/* The rows form needs no library, so nothing waits or sends again but the test. */
static void flood_message(struct wire_buffer *out, const struct flooder *flooder, unsigned number)
{
    char id[64];
    snprintf(id, sizeof id, "%s-%u-%u-%lld", flooder->tenant, flooder->number, number, (long long)flooder->until_ns);
    message_begin_as(out, flooder->tenant, flooder->token, "screen", id, 2);
    message_integer(out, "deadline_ms", flooder->deadline_ms);
    message_transfers(out, fresh, (number * 131 + flooder->number * 977) % (fresh->row_count - FLOOD_ROWS), FLOOD_ROWS, left_out_labels);
}

static atomic_uint flood_had_turn; /* answers that are not busy */

/* A slow machine floods until there were turns enough to tell who got them. */
static bool flood_goes_on(int64_t until_ns)
{
    int64_t now_ns = clock_steady_ns();
    return now_ns < until_ns || (atomic_load(&flood_had_turn) < TURNS_LEAST && now_ns < until_ns + (FLOOD_MS_MAX - FLOOD_MS) * 1000000LL);
}

static void *flood(void *argument)
{
    struct flooder *flooder = argument;
    enum { REPLY_BYTES = 4 << 20 };
    unsigned char *reply = malloc(REPLY_BYTES);
    MUST(reply);
    for (unsigned i = 0; flood_goes_on(flooder->until_ns); i++) {
        struct wire_buffer message;
        flood_message(&message, flooder, i);
        size_t bytes = raw_ask(server.data_url, message.data, message.bytes, reply, REPLY_BYTES, 30000);
        wire_buffer_fini(&message);
        struct wire_value fault, map = bytes ? message_map(reply, bytes) : (struct wire_value){0};
        char name[32] = "silence";
        if (bytes && !wire_find(&fault, &map, "fault"))
            snprintf(name, sizeof name, "ok");
        else if (bytes)
            text_copy(name, sizeof name, fault.text);
        if (strcmp(name, "busy") == 0) {
            flooder->busy++;
            flooder->without_retry += map_number(&map, "retry_after_ms") <= 0;
            sleep_ms(2);
        } else {
            flood_had_turn++;
            (*(strcmp(name, "ok") == 0 ? &flooder->done : strcmp(name, "deadline") == 0 ? &flooder->late : &flooder->other))++;
        }
    }
    free(reply);
    return NULL;
}

static struct flooder flood_all(struct flooder *flooders, unsigned count)
{
    struct flooder sum = {0};
    int64_t until = clock_steady_ns() + FLOOD_MS * 1000000LL;
    atomic_store(&flood_had_turn, 0);
    for (unsigned i = 0; i < count; i++) {
        flooders[i].number = i;
        flooders[i].until_ns = until;
        MUST(pthread_create(&flooders[i].thread, NULL, flood, &flooders[i]) == 0);
    }
    for (unsigned i = 0; i < count; i++) {
        pthread_join(flooders[i].thread, NULL);
        sum.done += flooders[i].done, sum.busy += flooders[i].busy, sum.late += flooders[i].late, sum.other += flooders[i].other;
        sum.without_retry += flooders[i].without_retry;
    }
    return sum;
}

static void test_flood_is_answered(void **state)
{
    (void)state;
    struct flooder flooders[FLOODERS];
    for (unsigned i = 0; i < FLOODERS; i++)
        flooders[i] = (struct flooder){.tenant = "flow", .token = FLOW_TOKEN};
    struct flooder sum = flood_all(flooders, FLOODERS);
    printf("figure: flood: %u done, %u busy\n", sum.done, sum.busy);
    assert_int_equal(sum.other, 0);
    assert_int_equal(sum.without_retry, 0);
    assert_true(sum.done > 0 && sum.busy > 0);
}

/* While one tenant floods, each call of another is answered by the library in its time. */
static void *call_as_other(void *argument)
{
    unsigned *calls = argument;
    struct sluice_client *client = client_open_as(server.data_url, "other", OTHER_TOKEN, 20000);
    int64_t until = clock_steady_ns() + FLOOD_MS * 1000000LL;
    while (flood_goes_on(until)) {
        char id[64];
        snprintf(id, sizeof id, "guest-%u-%lld", *calls, (long long)until);
        struct sluice_reply *reply = screen_rows(client, "screen", fresh, id, 50 * (*calls % 100), 50);
        sluice_reply_free(&reply);
        (*calls)++;
    }
    sluice_close(&client);
    return NULL;
}

static void test_other_tenant_gets_through(void **state)
{
    (void)state;
    struct flooder flooders[FLOODERS];
    unsigned calls = 0;
    pthread_t guest;
    for (unsigned i = 0; i < FLOODERS; i++)
        flooders[i] = (struct flooder){.tenant = "flow", .token = FLOW_TOKEN};
    MUST(pthread_create(&guest, NULL, call_as_other, &calls) == 0);
    struct flooder sum = flood_all(flooders, FLOODERS);
    pthread_join(guest, NULL);
    printf("figure: beside a flood of %u batches done: %u calls of another tenant\n", sum.done, calls);
    assert_int_equal(sum.other, 0);
    assert_true(calls > CALLS_LEAST);
}

static void test_equal_floods_share_equally(void **state)
{
    (void)state;
    struct flooder flooders[FLOODERS];
    unsigned done[2] = {0, 0};
    for (unsigned i = 0; i < FLOODERS; i++)
        flooders[i] =
            i % 2 ? (struct flooder){.tenant = "other", .token = OTHER_TOKEN} : (struct flooder){.tenant = "flow", .token = FLOW_TOKEN};
    struct flooder sum = flood_all(flooders, FLOODERS);
    for (unsigned i = 0; i < FLOODERS; i++)
        done[i % 2] += flooders[i].done;
    printf("figure: two equal floods: %u and %u batches done\n", done[0], done[1]);
    assert_int_equal(sum.other, 0);
    assert_true(done[0] <= 3 * done[1] + 3 && done[1] <= 3 * done[0] + 3);
}

static void test_deadlines_are_told(void **state)
{
    (void)state;
    struct flooder flooders[FLOODERS];
    for (unsigned i = 0; i < FLOODERS; i++)
        flooders[i] = (struct flooder){.tenant = "flow", .token = FLOW_TOKEN, .deadline_ms = 1};
    struct flooder sum = flood_all(flooders, FLOODERS);
    assert_int_equal(sum.other, 0);
    assert_true(sum.late > 0);
}

static int setup(void **state)
{
    (void)state;
    fresh = table_read(flow_fresh());
    server_begin(&server, &(struct server_options){.workers = 1, .top = "in_flight_max: 4\nqueue_wait_max: 2s\n"});
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
        cmocka_unit_test(test_flood_is_answered),
        cmocka_unit_test(test_other_tenant_gets_through),
        cmocka_unit_test(test_equal_floods_share_equally),
        cmocka_unit_test(test_deadlines_are_told),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
