/* A thousand connections at once, each with a batch on the way: every batch is answered and recorded, one connection more is closed,
 * and memory stays below the total that the server printed. SLUICE_CONNECTION_ROUNDS batches a connection (5). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "flow/harness.h"
#include "flow/message.h"

enum { CONNECTIONS = 1000, BEYOND = 24, ROUNDS_DEFAULT = 5, ROWS = 10, REPLY_BYTES = 1 << 20, ANSWER_MS = 120000, FILES_LEAST = 2500 };

static struct table *fresh;
static struct server server;
static char tcp_url[64];

struct connection {
    const char *url;
    int fd;
    unsigned row; /* of the table, first of the batch on the way */
    int64_t sent_ns;
    bool is_answered;
};
static struct connection connections[CONNECTIONS];
static unsigned char reply[REPLY_BYTES];
static unsigned busy_count;
static double worst_ms;

static const char *url_of(unsigned i) /* both transports, in turn */
{
    return i % 2 ? tcp_url : server.data_url;
}

static void batch_send(struct connection *connection, unsigned i, unsigned round)
{
    struct wire_buffer message;
    char id[64];
    snprintf(id, sizeof id, "c%u-%u", i, round);
    message_begin(&message, "screen", id, 1);
    message_transfers(&message, fresh, connection->row, ROWS, left_out_labels);
    assert_true(raw_send(connection->fd, connection->url, message.data, message.bytes));
    wire_buffer_fini(&message);
}

/* True: it is done. Busy is an answer too: after retry_after_ms the same batch comes again. */
static bool answer_take(struct connection *connection, int64_t *again_ms)
{
    size_t bytes = raw_receive(connection->fd, connection->url, reply, sizeof reply, ANSWER_MS);
    assert_true(bytes > 0);
    double ms = (double)(clock_steady_ns() - connection->sent_ns) / 1e6;
    worst_ms = ms > worst_ms ? ms : worst_ms;
    const char *fault = raw_fault(reply, bytes);
    if (strcmp(fault, "busy") == 0) {
        struct wire_value map = message_map(reply, bytes);
        double wait_ms = map_number(&map, "retry_after_ms");
        assert_true(wait_ms > 0);
        *again_ms = wait_ms > (double)*again_ms ? (int64_t)wait_ms : *again_ms;
        busy_count++;
        return false;
    }
    assert_string_equal(fault, "ok");
    return true;
}

/* A batch on every connection, all before the first answer is read. */
static void round_run(unsigned round)
{
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        connections[i].is_answered = false;
        connections[i].row = (i * ROWS + round * 7919) % (fresh->row_count - ROWS);
        connections[i].sent_ns = clock_steady_ns();
    }
    for (unsigned left = CONNECTIONS; left;) {
        int64_t again_ms = 0;
        for (unsigned i = 0; i < CONNECTIONS; i++)
            if (!connections[i].is_answered)
                batch_send(&connections[i], i, round);
        for (unsigned i = 0; i < CONNECTIONS; i++)
            if (!connections[i].is_answered && answer_take(&connections[i], &again_ms))
                connections[i].is_answered = true, left--;
        if (left)
            sleep_ms((int)(again_ms < 1000 ? again_ms : 1000));
    }
}

static double rows_screened(void)
{
    struct wire_buffer message;
    struct wire_value stats, rows;
    message_begin(&message, "stats", "stats", 0);
    size_t bytes = raw_ask(server.admin_url, message.data, message.bytes, reply, sizeof reply, 20000);
    wire_buffer_fini(&message);
    struct wire_value map = message_map(reply, bytes);
    assert_true(wire_find(&stats, &map, "stats") && wire_find(&rows, &stats, "rows") && rows.type == WIRE_MAP);
    return map_number(&rows, "screen");
}

static size_t printed_total(void) /* MiB */
{
    char *log = flow_read(server.log, NULL), *at = strstr(log, "memory: at most ");
    double gib = 0;
    assert_non_null(at);
    assert_int_equal(sscanf(at, "memory: at most %lf GiB", &gib), 1);
    free(log);
    return (size_t)(gib * 1024);
}

static void test_thousand_connections(void **state)
{
    const char *wanted = getenv("SLUICE_CONNECTION_ROUNDS");
    unsigned rounds = wanted ? (unsigned)atoi(wanted) : ROUNDS_DEFAULT;
    (void)state;
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        connections[i] = (struct connection){.url = url_of(i), .fd = raw_open(url_of(i))};
        assert_true(connections[i].fd >= 0);
    }
    int64_t begin_ns = clock_steady_ns();
    for (unsigned round = 0; round < rounds; round++)
        round_run(round);
    double seconds = (double)(clock_steady_ns() - begin_ns) / 1e9;
    assert_true(rows_screened() == (double)CONNECTIONS * rounds * ROWS); /* each once, however often it came */
    size_t peak = server_memory(&server) >> 20, total = printed_total();
    printf("figure: %d connections at once, %u batches of %d rows each: all answered in %.1f s, %u times busy, longest %.0f ms\n",
           CONNECTIONS, rounds, ROWS, seconds, busy_count, worst_ms);
    printf("figure: peak resident %zu MiB of at most %zu MiB printed at start\n", peak, total);
    assert_true(peak <= total);
}

/* With all taken, one more is closed without an answer, whoever is connected stays, and a place that is left is given again. */
static void test_one_more_is_closed(void **state)
{
    struct wire_buffer message;
    unsigned answered = 0;
    (void)state;
    message_begin(&message, "health", "beyond", 0);
    for (unsigned i = 0; i < BEYOND; i++) {
        int fd = raw_open(url_of(i));
        if (fd >= 0 && raw_send(fd, url_of(i), message.data, message.bytes))
            answered += raw_receive(fd, url_of(i), reply, sizeof reply, 2000) > 0;
        if (fd >= 0)
            close(fd);
    }
    assert_int_equal(answered, 0);
    for (unsigned i = 0; i < CONNECTIONS; i += 100) {
        assert_true(raw_send(connections[i].fd, connections[i].url, message.data, message.bytes));
        assert_string_equal(raw_fault(reply, raw_receive(connections[i].fd, connections[i].url, reply, sizeof reply, 20000)), "ok");
    }
    for (unsigned i = 0; i < CONNECTIONS; i++)
        close(connections[i].fd);
    assert_string_equal(raw_fault(reply, raw_ask(server.data_url, message.data, message.bytes, reply, sizeof reply, 20000)), "ok");
    wire_buffer_fini(&message);
}

static int setup(void **state)
{
    static char more[96];
    struct rlimit files;
    (void)state;
    getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max < FILES_LEAST)
        flow_skip("a thousand connections need 2,500 open files");
    files.rlim_cur = files.rlim_cur > FILES_LEAST ? files.rlim_cur : FILES_LEAST;
    setrlimit(RLIMIT_NOFILE, &files);
    fresh = table_read(flow_fresh());
    snprintf(tcp_url, sizeof tcp_url, "tcp://127.0.0.1:%d", free_port());
    snprintf(more, sizeof more, ", \"%s\"", tcp_url);
    server_begin(&server, &(struct server_options){.more_data = more,
                                                   .top = "memory_max: 10GiB\nconnections_max: 1000\nin_flight_max: 64\n"
                                                          "limits: {message_max: 64KiB, rows_max: 1000}\n"});
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
        cmocka_unit_test(test_thousand_connections),
        cmocka_unit_test(test_one_more_is_closed),
    };
    return cmocka_run_group_tests_name("connections", tests, setup, teardown);
}
