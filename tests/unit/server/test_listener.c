#include <sys/un.h>

#include "server/listener.h"
#include "unit/server/bench.h"

/* nng 1.5 never frees what connected to an ill listener: here, and only here, its leaks do not count. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libnng\n";
}

static void connect_and_leave(const char *path, unsigned times)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    for (unsigned i = 0; i < times; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_true(fd >= 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
            sleep_ms(i % 2);
        close(fd);
    }
}

static void a_deaf_listener_is_found_out(void **state)
{
    (void)state;
    struct bench *bench = bench_make(2, 2);
    nng_socket socket;
    struct fault_note note = {0};
    char url[64];
    snprintf(url, sizeof url, "ipc://%s/own", bench->folder);
    bench_open(bench);
    assert_int_equal(nng_rep0_open(&socket), 0);
    struct server_listener listener = {.url = url, .socket = socket, .received_bytes_max = 1000};
    assert_true(server_listener_is_deaf(&listener));
    assert_int_equal(server_listener_open(&listener, &note), FAULT_NONE);
    for (int i = 0; i < 3; i++)
        assert_false(server_listener_is_deaf(&listener));
    bool is_deaf = false;
    for (int tries = 0; tries < 20 && !is_deaf; tries++) {
        connect_and_leave(url + 6, 20);
        is_deaf = server_listener_is_deaf(&listener);
    }
    if (!is_deaf)
        printf("this nng stands a client that leaves within the handshake\n");
    server_listener_close(&listener);
    assert_true(server_listener_is_deaf(&listener));
    assert_int_equal(server_listener_open(&listener, &note), FAULT_NONE);
    assert_false(server_listener_is_deaf(&listener));
    server_listener_close(&listener);
    nng_close(socket);
    bench_close(bench);
}

static void a_file_that_is_no_socket_stays(void **state)
{
    (void)state;
    struct bench *bench = bench_make(2, 2);
    struct fault_note note = {0};
    nng_socket socket;
    char url[64], kept[8] = "";
    snprintf(url, sizeof url, "ipc://%s/precious", bench->folder);
    FILE *file = fopen(url + 6, "w");
    assert_true(file && fputs("kept", file) >= 0 && fclose(file) == 0);
    assert_int_equal(nng_rep0_open(&socket), 0);
    struct server_listener listener = {.url = url, .socket = socket, .received_bytes_max = 1000};
    assert_int_equal(server_listener_open(&listener, &note), FAULT_unavailable);
    assert_non_null(strstr(note.text, "no socket"));
    nng_close(socket);
    file = fopen(url + 6, "r");
    assert_true(file && fgets(kept, sizeof kept, file) && fclose(file) == 0);
    assert_string_equal(kept, "kept");
    unlink(url + 6);
    bench_open(bench);
    bench_close(bench);
}

/* nng 1.5 stops listening when a client leaves within the handshake; the watch opens the place again. */
static void a_client_that_leaves_while_it_connects_closes_nothing(void **state)
{
    (void)state;
    struct bench *bench = bench_make(2, 10);
    struct answer answer;
    char path[64];
    int silent = 1;
    bench_open(bench);
    snprintf(path, sizeof path, "%s/admin", bench->folder);
    connect_and_leave(path, 20);
    nng_socket client = dial(bench->config.admin_listen[0]);
    nng_socket_set_ms(client, NNG_OPT_SENDTIMEO, 2 * PATIENCE_MS);
    for (int tries = 0; tries < 10 && silent; tries++) {
        tell(client, "health", "", 8);
        silent = heard(&answer, client);
    }
    assert_string_equal(answer.status, "ok");
    nng_close(client);
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deaf_listener_is_found_out),
        cmocka_unit_test(a_file_that_is_no_socket_stays),
        cmocka_unit_test(a_client_that_leaves_while_it_connects_closes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
