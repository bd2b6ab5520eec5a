#include "unit/server/bench.h"

static void every_transport_carries_a_request(void **state)
{
    (void)state;
    struct bench *bench = bench_make(4, 10);
    struct config *config = &bench->config;
    char tls_url[64];
    nng_tls_config *tls;
    int tls_port = port_free();
    config->data_listen_count = 3;
    snprintf(config->data_listen[1], sizeof config->data_listen[1], "ipc://%s/data", bench->folder);
    snprintf(config->data_listen[2], sizeof config->data_listen[2], "tls+tcp://127.0.0.1:%d", tls_port);
    snprintf(config->tls_certificate, sizeof config->tls_certificate, CERTIFICATE);
    snprintf(config->tls_key, sizeof config->tls_key, KEY);
    bench_open(bench);
    assert_int_equal(nng_tls_config_alloc(&tls, NNG_TLS_MODE_CLIENT), 0);
    assert_int_equal(nng_tls_config_ca_file(tls, CERTIFICATE), 0);
    assert_int_equal(nng_tls_config_server_name(tls, "localhost"), 0);
    snprintf(tls_url, sizeof tls_url, "tls+tcp://127.0.0.1:%d", tls_port);
    nng_socket clients[] = {dial(config->data_listen[0]), dial(config->data_listen[1]), dial_tls(tls_url, tls),
                            dial(config->admin_listen[0])};
    for (size_t i = 0; i < 4; i++) {
        struct answer answer = ask(clients[i], "hello", "h");
        assert_string_equal(answer.status, "ok");
        assert_string_equal(answer.id, "h");
    }
    atomic_store(&bench->pipeline->reply_bytes, 3u << 20); /* a large reply, one copy and through TLS */
    assert_string_equal(ask(clients[2], "query", "q").status, "ok");
    for (size_t i = 0; i < 4; i++)
        nng_close(clients[i]);
    nng_tls_config_free(tls);
    bench_close(bench);
}

static void a_message_over_the_limit_gets_a_fault(void **state)
{
    (void)state;
    struct bench *bench = bench_make(4, 10);
    bench_open(bench);
    nng_socket client = dial(bench->config.data_listen[0]);
    tell(client, "query", "large", LIMIT + LIMIT / 2);
    struct answer answer = hear(client);
    assert_string_equal(answer.status, "error");
    assert_string_equal(answer.fault, "limit");
    tell(client, "query", "larger", 3 * LIMIT); /* beyond that the connection is closed; others live on */
    nng_socket_set_ms(client, NNG_OPT_RECVTIMEO, 200);
    assert_int_not_equal(heard(&answer, client), 0);
    nng_socket_set_ms(client, NNG_OPT_RECVTIMEO, PATIENCE_MS);
    assert_string_equal(ask(client, "query", "q").status, "ok"); /* settled: nng 1.5 leaks what is closed while it connects */
    nng_close(client);
    bench_close(bench);
}

static void garbage_gets_a_fault(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t count;
        const char *fault;
    } cases[] = {
        {"", 0, "syntax"},     {"\xc1", 1, "syntax"}, {"\x93\x01\x02", 3, "syntax"}, {"\xdf\xff\xff\xff\xff", 5, "syntax"},
        {"\x01", 1, "schema"},
    };
    struct bench *bench = bench_make(4, 10);
    bench_open(bench);
    const char *urls[] = {bench->config.data_listen[0], bench->config.admin_listen[0]};
    for (size_t u = 0; u < 2; u++) {
        nng_socket client = dial(urls[u]);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            assert_int_equal(nng_send(client, (void *)cases[i].bytes, cases[i].count, 0), 0);
            assert_string_equal(hear(client).fault, cases[i].fault);
        }
        nng_close(client);
    }
    bench_close(bench);
}

static void connections_are_capped(void **state)
{
    (void)state;
    struct bench *bench = bench_make(4, 3);
    struct answer answer;
    struct server_front_counts counts;
    nng_socket clients[4];
    bench_open(bench);
    for (int i = 0; i < 3; i++) {
        clients[i] = dial(bench->config.data_listen[0]);
        assert_string_equal(ask(clients[i], "query", "q").status, "ok");
    }
    clients[3] = dial(bench->config.data_listen[0]);
    tell(clients[3], "query", "late", 8);
    nng_socket_set_ms(clients[3], NNG_OPT_RECVTIMEO, 200);
    assert_int_not_equal(heard(&answer, clients[3]), 0);
    do /* it dials again and again; what comes while the watch knocks is not counted */
        server_front_count(bench->front, &counts);
    while (counts.connections_refused == 0);
    nng_socket admin = dial(bench->config.admin_listen[0]); /* has places of its own */
    assert_string_equal(ask(admin, "health", "").status, "ok");
    nng_close(clients[0]);
    int refused = 1; /* until nng has put the closed one away */
    for (int tries = 0; tries < 50 && refused; tries++) {
        tell(clients[3], "query", "now", 8);
        refused = heard(&answer, clients[3]);
    }
    assert_string_equal(answer.status, "ok");
    for (int i = 1; i < 4; i++)
        nng_close(clients[i]);
    nng_close(admin);
    bench_close(bench);
}

static void more_than_in_flight_gets_busy(void **state)
{
    (void)state;
    enum { HELD = 2, OTHERS = 30, LARGE = 80 << 10 };
    struct bench *bench = bench_make(HELD, HELD + OTHERS);
    nng_socket clients[HELD + OTHERS];
    struct server_front_counts counts;
    bench_open(bench);
    for (unsigned i = 0; i < HELD + OTHERS; i++) {
        clients[i] = dial(bench->config.data_listen[0]);
        tell_so(clients[i], "query", "hold", i < HELD || i % 3 ? 8 : LARGE, i % 2); /* a refusal names also what is too large to read */
        if (i < HELD)
            wait_for(bench->pipeline, &bench->pipeline->held_count, i + 1);
    }
    for (unsigned i = HELD; i < HELD + OTHERS; i++) {
        struct answer answer = hear(clients[i]);
        assert_string_equal(answer.fault, "busy");
        assert_string_equal(answer.id, "hold");
        assert_in_range(answer.retry_after_ms, 5, 5000);
    }
    assert_string_equal(ask(clients[HELD], "hello", "").status, "ok"); /* even there */
    server_front_count(bench->front, &counts);
    assert_int_equal(counts.working, HELD);
    assert_int_equal(counts.requests_refused, OTHERS);
    fake_set(bench->pipeline, &bench->pipeline->letting_go, true);
    for (unsigned i = 0; i < HELD; i++)
        assert_string_equal(hear(clients[i]).status, "ok");
    assert_string_equal(ask(clients[HELD], "query", "q").status, "ok");
    for (unsigned i = 0; i < HELD + OTHERS; i++)
        nng_close(clients[i]);
    bench_close(bench);
}

static void admin_answers_under_full_load_and_nothing_else(void **state)
{
    (void)state;
    enum { HELD = 3 };
    struct bench *bench = bench_make(HELD, 10);
    nng_socket clients[HELD], admin;
    bench_open(bench);
    for (unsigned i = 0; i < HELD; i++) {
        clients[i] = dial(bench->config.data_listen[0]);
        tell(clients[i], "query", "hold", 8);
    }
    wait_for(bench->pipeline, &bench->pipeline->held_count, HELD);
    admin = dial(bench->config.admin_listen[0]);
    static const char *const taken[] = {"hello", "health", "stats"}, *const denied[] = {"query", "status", "result"};
    for (int i = 0; i < 3; i++) {
        struct wire_buffer out = {0};
        assert_string_equal(ask(admin, taken[i], "a").status, "ok");
        wire_pack_map(&out, 3);
        wire_pack_text(&out, "v");
        wire_pack_i64(&out, 1);
        wire_pack_text(&out, "op");
        wire_pack_text(&out, denied[i]);
        wire_pack_text(&out, "batch");
        wire_pack_text(&out, "b");
        assert_int_equal(nng_send(admin, out.data, out.bytes, 0), 0);
        wire_buffer_fini(&out);
        assert_string_equal(hear(admin).fault, "denied");
    }
    tell(admin, "health", "", FRONT_ADMIN_BYTES_MAX + 1000);
    assert_string_equal(hear(admin).fault, "limit");
    fake_set(bench->pipeline, &bench->pipeline->letting_go, true);
    for (unsigned i = 0; i < HELD; i++)
        assert_string_equal(hear(clients[i]).status, "ok");
    for (unsigned i = 0; i < HELD; i++)
        nng_close(clients[i]);
    nng_close(admin);
    bench_close(bench);
}

static void a_hundred_clients_are_all_served(void **state)
{
    (void)state;
    enum { MANY = 100, ROUNDS = 5 };
    struct bench *bench = bench_make(4, MANY);
    nng_socket clients[MANY];
    fake_set(bench->pipeline, &bench->pipeline->letting_go, true); /* answered on the fake's own thread */
    bench_open(bench);
    for (int i = 0; i < MANY; i++)
        clients[i] = dial(bench->config.data_listen[0]);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < MANY; i++)
            tell(clients[i], "query", i & 1 ? "hold" : "q", 1000);
        for (int i = 0; i < MANY; i++) {
            struct answer answer = hear(clients[i]);
            for (int tries = 0; strcmp(answer.fault, "busy") == 0 && tries < 1000; tries++) {
                sleep_ms((long)answer.retry_after_ms);
                answer = ask(clients[i], "query", i & 1 ? "hold" : "q");
            }
            assert_string_equal(answer.status, "ok");
            assert_string_equal(answer.id, i & 1 ? "hold" : "q");
        }
    }
    for (int i = 0; i < MANY; i++)
        nng_close(clients[i]);
    bench_close(bench);
}

static void transport_garbage_is_cut_off(void **state)
{
    (void)state;
    struct bench *bench = bench_make(2, 10);
    bench_open(bench);
    int fd = dial_raw(bench->port);
    static const unsigned char huge[12] = {0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4};
    assert_int_equal(send(fd, huge, sizeof huge, MSG_NOSIGNAL), sizeof huge);
    unsigned char byte;
    assert_int_equal(recv(fd, &byte, 1, 0) < 0 && errno == EAGAIN, 0); /* closed, one way or the other */
    close(fd);
    fd = dial_raw(bench->port);
    static const unsigned char tiny[10] = {[7] = 2, 1, 2}; /* too short to be a request */
    assert_int_equal(send(fd, tiny, sizeof tiny, MSG_NOSIGNAL), sizeof tiny);
    assert_int_equal(recv(fd, &byte, 1, 0) < 0 && errno == EAGAIN, 0);
    close(fd);
    nng_socket client = dial(bench->config.data_listen[0]);
    assert_string_equal(ask(client, "query", "q").status, "ok");
    nng_close(client);
    bench_close(bench);
}

static void expect_no_front(struct bench *bench, const char *words)
{
    struct fault_note note = {0};
    struct server_front *front = (void *)1;
    assert_int_not_equal(server_front_open(&front, &bench->config, bench->pipeline, &note), FAULT_NONE);
    assert_null(front);
    if (!strstr(note.text, words))
        fail_msg("expected '%s' in '%s'", words, note.text);
}

static void what_cannot_be_opened_is_told(void **state)
{
    (void)state;
    struct bench *bench = bench_make(2, 2), *other = bench_make(2, 2);
    struct config *config = &bench->config;
    bench_open(other);
    snprintf(config->data_listen[0], sizeof config->data_listen[0], "%s", other->config.data_listen[0]);
    expect_no_front(bench, config->data_listen[0]);
    snprintf(config->data_listen[0], sizeof config->data_listen[0], "ipc:///no/such/folder/data");
    expect_no_front(bench, "ipc:///no/such/folder/data");
    snprintf(config->tls_certificate, sizeof config->tls_certificate, "/no/such/certificate");
    snprintf(config->tls_key, sizeof config->tls_key, KEY);
    expect_no_front(bench, "/no/such/certificate");
    snprintf(config->tls_certificate, sizeof config->tls_certificate, "CMakeLists.txt");
    expect_no_front(bench, "CMakeLists.txt");
    bench_close(other);
    bench_close(bench);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    struct bench *bench = bench_make(2, 2);
    uint64_t live = memory_live_count();
    for (uint64_t nth = 0;; nth++) {
        struct fault_note note = {0};
        memory_fail_at(nth);
        enum fault fault = server_front_open(&bench->front, &bench->config, bench->pipeline, &note);
        uint64_t failed = memory_failed_count();
        memory_fail_at(UINT64_MAX);
        server_front_close(&bench->front);
        assert_int_equal(memory_live_count(), live);
        assert_int_equal(fault, failed ? FAULT_memory : FAULT_NONE);
        if (!failed)
            break;
    }
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_transport_carries_a_request),
        cmocka_unit_test(a_message_over_the_limit_gets_a_fault),
        cmocka_unit_test(garbage_gets_a_fault),
        cmocka_unit_test(connections_are_capped),
        cmocka_unit_test(more_than_in_flight_gets_busy),
        cmocka_unit_test(admin_answers_under_full_load_and_nothing_else),
        cmocka_unit_test(a_hundred_clients_are_all_served),
        cmocka_unit_test(transport_garbage_is_cut_off),
        cmocka_unit_test(what_cannot_be_opened_is_told),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
