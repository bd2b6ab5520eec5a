#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The program as a service: it starts, reports itself, reads its configuration again, drains, and tells by its exit status. */

#define TENANTS "tenants:\n  - {name: a, token_hash: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad}\n"
enum { PATIENCE_MS = 20000 };

extern char **environ;

struct service {
    char folder[32], log_path[64], config_path[64], notify_path[64];
    int port, notify;
    pid_t pid;
};

static void sleep_ms(long ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

static int port_free(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void config_write(const struct service *service, const char *more)
{
    FILE *file = fopen(service->config_path, "w");
    assert_non_null(file);
    fprintf(file, "ledger: data\nlisten: {data: [ipc://data.ipc], admin: [ipc://admin.ipc], http: %d}\n", service->port);
    fprintf(file, "connections_max: 2\nlimits: {message_max: 1MiB, rows_max: 1000}\n");
    fprintf(file, "history: {accounts_max: 1024, events_max: 4096, busy_max: 16, links_max: 4096, places_max: 1024}\n" TENANTS "%s", more);
    fclose(file);
}

static struct service *service_make(const char *more)
{
    struct service *service = calloc(1, sizeof *service);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    strcpy(service->folder, "/tmp/sluice-serve-XXXXXX");
    assert_non_null(mkdtemp(service->folder));
    snprintf(service->log_path, sizeof service->log_path, "%s/log", service->folder);
    snprintf(service->config_path, sizeof service->config_path, "%s/sluice.yaml", service->folder);
    snprintf(service->notify_path, sizeof service->notify_path, "%s/notify", service->folder);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", service->notify_path);
    service->notify = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(bind(service->notify, (struct sockaddr *)&address, sizeof address), 0);
    setsockopt(service->notify, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    service->port = port_free();
    config_write(service, more);
    return service;
}

static void service_start(struct service *service, const char *option)
{
    char *arguments[] = {"sluice", "serve", "--config", service->config_path, (char *)option, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, service->log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    setenv("NOTIFY_SOCKET", service->notify_path, 1);
    setenv("WATCHDOG_USEC", "300000", 1);
    assert_int_equal(posix_spawn(&service->pid, getenv("SLUICE_BIN"), &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
}

static int service_status(struct service *service)
{
    int status;
    assert_int_equal(waitpid(service->pid, &status, 0), service->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void service_free(struct service *service)
{
    char command[64];
    close(service->notify);
    snprintf(command, sizeof command, "rm -r %s", service->folder);
    assert_int_equal(system(command), 0);
    free(service);
}

/* Messages to systemd, until one has the words. */
static void notified(struct service *service, const char *words)
{
    char message[256];
    for (ssize_t bytes; (bytes = recv(service->notify, message, sizeof message - 1, 0)) >= 0;) {
        message[bytes] = '\0';
        if (strstr(message, words))
            return;
    }
    fail_msg("systemd was not told %s", words);
}

static void logged(const struct service *service, const char *words)
{
    static char text[1 << 20];
    for (int waited_ms = 0; waited_ms < PATIENCE_MS; waited_ms += 10) {
        FILE *file = fopen(service->log_path, "r");
        size_t bytes = file ? fread(text, 1, sizeof text - 1, file) : 0;
        if (file)
            fclose(file);
        text[bytes] = '\0';
        if (strstr(text, words))
            return;
        sleep_ms(10);
    }
    fail_msg("'%s' is not in the log:\n%s", words, text);
}

static int http_status(int port, const char *path)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    char request[128], answer[32] = "";
    int fd = socket(AF_INET, SOCK_STREAM, 0), status = 0;
    int bytes = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && send(fd, request, (size_t)bytes, MSG_NOSIGNAL) == bytes &&
        recv(fd, answer, sizeof answer - 1, MSG_WAITALL) > 12)
        status = atoi(answer + 9);
    close(fd);
    return status;
}

static void it_lives_and_stops_as_a_service(void **state)
{
    (void)state;
    struct service *service = service_make("");
    service_start(service, NULL);
    notified(service, "READY=1");
    notified(service, "WATCHDOG=1");
    notified(service, "WATCHDOG=1");
    assert_int_equal(http_status(service->port, "/healthz"), 200);
    assert_int_equal(http_status(service->port, "/readyz"), 200);
    assert_int_equal(http_status(service->port, "/metrics"), 200);
    logged(service, "memory: at most ");
    logged(service, "no scene base: only the checks decide");
    kill(service->pid, SIGTERM);
    notified(service, "STOPPING=1");
    assert_int_equal(service_status(service), 0);
    logged(service, "\"stopped\"");
    service_free(service);
}

static void it_reads_its_configuration_again(void **state)
{
    (void)state;
    struct service *service = service_make("");
    service_start(service, NULL);
    notified(service, "READY=1");
    config_write(service, "  - {name: b, token_hash: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad}\nworkers: 1\n");
    kill(service->pid, SIGHUP);
    notified(service, "RELOADING=1");
    notified(service, "READY=1");
    logged(service, "configuration read again; tenants: 2");
    logged(service, "workers changed: it is read at start alone");
    config_write(service, "wrokers: 1\n");
    kill(service->pid, SIGHUP);
    logged(service, "the running one stays: ");
    logged(service, "sluice.yaml:8: unknown key 'wrokers'; expected workers");
    assert_int_equal(http_status(service->port, "/readyz"), 200);
    kill(service->pid, SIGINT);
    assert_int_equal(service_status(service), 0);
    service_free(service);
}

static void its_exit_status_tells(void **state)
{
    (void)state;
    static const struct {
        const char *more, *option, *words;
        int status;
    } cases[] = {
        {"", "--check", "device cpu", 0},
        {"wrokers: 1\n", NULL, "expected workers", 2},
        {"memory_max: 1MiB\n", NULL, "above memory_max", 2},
        {"base: nowhere\n", "--check", "nowhere", 2},
        {"base: nowhere\n", NULL, "nowhere", 3},
        {"", "--chekc", "unrecognized option", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct service *service = service_make(cases[i].more);
        service_start(service, cases[i].option);
        assert_int_equal(service_status(service), cases[i].status);
        logged(service, cases[i].words);
        service_free(service);
    }
}

static void a_second_server_on_its_places_is_refused(void **state)
{
    (void)state;
    struct service *first = service_make(""), *second = service_make("");
    service_start(first, NULL);
    notified(first, "READY=1");
    int own = second->port;
    second->port = first->port; /* the port of HTTP */
    config_write(second, "");
    service_start(second, NULL);
    assert_int_equal(service_status(second), 3);
    logged(second, "cannot listen for HTTP");
    second->port = own;
    snprintf(second->config_path, sizeof second->config_path, "%s", first->config_path); /* ledger and listeners */
    first->port = own;
    config_write(first, "");
    service_start(second, NULL);
    assert_int_equal(service_status(second), 3);
    kill(first->pid, SIGTERM);
    assert_int_equal(service_status(first), 0);
    service_free(first);
    service_free(second);
}

int main(void)
{
    if (!getenv("SLUICE_BIN")) {
        printf("skipped: SLUICE_BIN does not name the program\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_lives_and_stops_as_a_service),
        cmocka_unit_test(it_reads_its_configuration_again),
        cmocka_unit_test(its_exit_status_tells),
        cmocka_unit_test(a_second_server_on_its_places_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
