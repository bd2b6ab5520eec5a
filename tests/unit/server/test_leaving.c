#include "unit/server/bench.h"

static void clients_may_leave_before_their_answer(void **state)
{
    (void)state;
    enum { MANY = 20 };
    struct bench *bench = bench_make(MANY, MANY + 1);
    struct server_front_counts counts;
    bench_open(bench);
    for (int round = 0; round < 3; round++) {
        nng_socket clients[MANY];
        fake_set(bench->pipeline, &bench->pipeline->letting_go, false);
        for (unsigned i = 0; i < MANY; i++) {
            clients[i] = dial(bench->config.data_listen[0]);
            tell(clients[i], "query", "hold", 1000);
            wait_for(bench->pipeline, &bench->pipeline->held_count, i + 1);
        }
        for (unsigned i = 0; i < MANY; i += 1 + (round == 2)) /* in the last round every other one stays */
            nng_close(clients[i]);
        fake_set(bench->pipeline, &bench->pipeline->letting_go, true);
        for (unsigned i = 1; round == 2 && i < MANY; i += 2) {
            assert_string_equal(hear(clients[i]).status, "ok");
            nng_close(clients[i]);
        }
        wait_for(bench->pipeline, &bench->pipeline->answered, (unsigned)(MANY * (round + 1)));
    }
    nng_socket client = dial(bench->config.data_listen[0]);
    assert_string_equal(ask(client, "query", "q").status, "ok");
    server_front_count(bench->front, &counts);
    assert_int_equal(counts.working, 0);
    nng_close(client);
    bench_close(bench);
}

static void a_client_that_takes_no_replies_gives_its_places_back(void **state)
{
    (void)state;
    struct bench *bench = bench_make(2, 10);
    atomic_store(&bench->pipeline->reply_bytes, 1u << 20);
    bench_open(bench);
    int fd = dial_raw(bench->port);
    for (uint32_t i = 0; i < 40; i++)
        tell_raw(fd, i);
    sleep_ms(200); /* every context now waits to send */
    close(fd);
    atomic_store(&bench->pipeline->reply_bytes, 10);
    nng_socket client = dial(bench->config.data_listen[0]);
    assert_string_equal(ask(client, "query", "q").status, "ok");
    nng_close(client);
    bench_close(bench);
}

static void *drain_run(void *front)
{
    server_front_drain(front);
    return NULL;
}

static void a_drain_answers_all_that_was_taken(void **state)
{
    (void)state;
    enum { HELD = 3 };
    struct bench *bench = bench_make(8, 10);
    struct answer answer;
    nng_socket clients[HELD + 1];
    pthread_t thread;
    bench_open(bench);
    for (unsigned i = 0; i <= HELD; i++) {
        clients[i] = dial(bench->config.data_listen[0]);
        assert_string_equal(ask(clients[i], "hello", "").status, "ok");
    }
    for (unsigned i = 0; i < HELD; i++)
        tell(clients[i], "query", "hold", 8);
    wait_for(bench->pipeline, &bench->pipeline->held_count, HELD);
    assert_int_equal(pthread_create(&thread, NULL, drain_run, bench->front), 0);
    while (pipeline_ready(bench->pipeline, answer.id, sizeof answer.id))
        sleep_ms(1);
    answer = ask(clients[HELD], "query", "new");
    assert_string_equal(answer.fault, "unavailable");
    assert_int_equal(answer.retry_after_ms, 1000);
    assert_string_equal(ask(clients[HELD], "health", "").status, "ok");
    int stranger = dial_raw(bench->port);
    char byte;
    assert_int_equal(recv(stranger, &byte, 1, 0), 0); /* turned away */
    close(stranger);
    fake_set(bench->pipeline, &bench->pipeline->letting_go, true);
    for (unsigned i = 0; i < HELD; i++)
        assert_string_equal(hear(clients[i]).status, "ok");
    pthread_join(thread, NULL);
    for (unsigned i = 0; i <= HELD; i++)
        nng_close(clients[i]);
    bench_close(bench);
}

static void *let_go_late(void *argument)
{
    struct pipeline *pipeline = argument;
    sleep_ms(100);
    fake_set(pipeline, &pipeline->letting_go, true);
    return NULL;
}

static void a_close_waits_for_what_is_in_flight(void **state)
{
    (void)state;
    struct bench *bench = bench_make(8, 10);
    pthread_t thread;
    bench_open(bench);
    nng_socket client = dial(bench->config.data_listen[0]);
    tell(client, "query", "hold", 8);
    wait_for(bench->pipeline, &bench->pipeline->held_count, 1);
    assert_int_equal(pthread_create(&thread, NULL, let_go_late, bench->pipeline), 0);
    server_front_close(&bench->front);
    assert_int_equal(fake_count(bench->pipeline, &bench->pipeline->answered), 1);
    pthread_join(thread, NULL);
    nng_close(client);
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_may_leave_before_their_answer),
        cmocka_unit_test(a_client_that_takes_no_replies_gives_its_places_back),
        cmocka_unit_test(a_drain_answers_all_that_was_taken),
        cmocka_unit_test(a_close_waits_for_what_is_in_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
