/* One temporary folder per test program; every server that was started is gone when the program ends, also when it fails. */
#define _GNU_SOURCE
#include "flow/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "base/secret.h"
#include "wire/wire.h"

extern char **environ;

enum { START_LIMIT_MS = 60000, STOP_LIMIT_MS = 60000, SERVERS_MAX = 32 };

static char folder[128];
static pid_t running[SERVERS_MAX]; /* 0: free */

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

static void end_all(void)
{
    for (size_t i = 0; i < SERVERS_MAX; i++)
        if (running[i] > 0) {
            kill(running[i], SIGKILL);
            waitpid(running[i], NULL, 0);
        }
    if (folder[0] && !getenv("SLUICE_KEEP"))
        nftw(folder, remove_entry, 32, FTW_DEPTH | FTW_PHYS);
}

static void end_by_signal(int number)
{
    end_all();
    signal(number, SIG_DFL);
    raise(number);
}

const char *flow_folder(void)
{
    if (folder[0])
        return folder;
    const char *top = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/sluice-flow-XXXXXX", top && *top ? top : "/tmp");
    MUST(mkdtemp(folder));
    atexit(end_all);
    signal(SIGTERM, end_by_signal);
    signal(SIGINT, end_by_signal);
    signal(SIGABRT, end_by_signal);
    return folder;
}

const char *flow_binary(void)
{
    const char *binary = getenv("SLUICE_BIN");
    if (!binary)
        fprintf(stderr, "SLUICE_BIN must name the program; ctest sets it\n");
    MUST(binary && access(binary, X_OK) == 0);
    return binary;
}

uint64_t flow_seed(void)
{
    static uint64_t seed;
    if (seed)
        return seed;
    const char *given = getenv("SLUICE_SEED");
    seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid();
    printf("SLUICE_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    return seed;
}

void flow_skip(const char *reason)
{
    printf("skipped: %s\n", reason);
    exit(77);
}

void flow_path(char *out, size_t out_bytes, const char *format, ...)
{
    int used = snprintf(out, out_bytes, "%s/", flow_folder());
    va_list arguments;
    va_start(arguments, format);
    used += vsnprintf(out + used, out_bytes - (size_t)used, format, arguments);
    va_end(arguments);
    MUST((size_t)used < out_bytes);
}

void flow_write(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    MUST(file && fwrite(data, 1, bytes, file) == bytes && fclose(file) == 0);
}

char *flow_read(const char *path, size_t *bytes)
{
    struct stat status;
    FILE *file = fopen(path, "rb");
    MUST(file && fstat(fileno(file), &status) == 0);
    char *text = malloc((size_t)status.st_size + 1);
    MUST(text && fread(text, 1, (size_t)status.st_size, file) == (size_t)status.st_size);
    fclose(file);
    text[status.st_size] = '\0';
    if (bytes)
        *bytes = (size_t)status.st_size;
    return text;
}

void sleep_ms(int ms)
{
    struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&wait, NULL);
}

static int exit_of(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

/* Starts a program with both output streams at fd. */
static pid_t spawn(const char *const *arguments, int fd, char *const *environment)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, fd, 1);
    posix_spawn_file_actions_adddup2(&actions, fd, 2);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    pid_t pid = 0;
    int failed = posix_spawn(&pid, arguments[0], &actions, &attributes, (char *const *)arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (failed)
        fprintf(stderr, "%s: %s\n", arguments[0], strerror(failed));
    MUST(!failed);
    return pid;
}

int flow_run(char *output, size_t output_bytes, const char *const *arguments)
{
    const char *all[64] = {flow_binary()};
    for (size_t i = 0; arguments[i]; i++) {
        MUST(i + 2 < sizeof all / sizeof *all);
        all[i + 1] = arguments[i];
    }
    int ends[2], status = 0;
    MUST(pipe2(ends, O_CLOEXEC) == 0);
    pid_t pid = spawn(all, ends[1], environ);
    close(ends[1]);
    size_t used = 0;
    char piece[4096];
    for (ssize_t got; (got = read(ends[0], piece, sizeof piece)) > 0;) {
        size_t take = (size_t)got < output_bytes - 1 - used ? (size_t)got : output_bytes - 1 - used;
        memcpy(output + used, piece, take);
        used += take;
    }
    output[used] = '\0';
    close(ends[0]);
    MUST(waitpid(pid, &status, 0) == pid);
    return exit_of(status);
}

bool flow_has_opencl(void)
{
    char listed[8192];
    MUST(FLOW_RUN(listed, "devices") == 0);
    const char *first = strstr(listed, "opencl:0");
    return first && strncmp(first + strlen("opencl:0"), "    refused", strlen("    refused")) != 0;
}

/* What the whole program's servers run on where the test does not say it itself: $SLUICE_FLOW_DEVICE. */
static const char *device_of_all(void)
{
    static bool is_checked;
    const char *device = getenv("SLUICE_FLOW_DEVICE");
    if (!device)
        return "cpu";
    if (!is_checked && strcmp(device, "opencl") == 0 && !flow_has_opencl())
        flow_skip("no OpenCL device");
    is_checked = true;
    return device;
}

void server_configure(struct server *server, const struct server_options *options)
{
    unsigned char hash[2][SECRET_HASH_BYTES];
    char hex[2][2 * SECRET_HASH_BYTES + 1], text[8192], http[64] = "off";
    const char *name = options->name ? options->name : "server", *base = options->base ? options->base : flow_base();
    MUST(secret_open());
    for (int i = 0; i < 2; i++) {
        const char *token = i ? OTHER_TOKEN : FLOW_TOKEN;
        secret_hash(hash[i], token, strlen(token));
        secret_to_hex(hex[i], hash[i], sizeof hash[i]);
    }
    if (!server->binary[0])
        snprintf(server->binary, sizeof server->binary, "%s", flow_binary());
    flow_path(server->folder, sizeof server->folder, "%s", name);
    mkdir(server->folder, 0700);
    snprintf(server->config, sizeof server->config, "%s/sluice.yaml", server->folder);
    snprintf(server->log, sizeof server->log, "%s/log", server->folder);
    snprintf(server->data_url, sizeof server->data_url, "ipc://%s/data.ipc", server->folder);
    snprintf(server->admin_url, sizeof server->admin_url, "ipc://%s/admin.ipc", server->folder);
    server->http_port = options->http ? free_port() : 0;
    if (options->http)
        snprintf(http, sizeof http, "127.0.0.1:%d", server->http_port);
    int used =
        snprintf(text, sizeof text,
                 "ledger: %s/ledger\n%s%s%sdevice: %s\nworkers: %u\n%s%s%s%slisten:\n  data: [\"%s\"%s]\n  admin: [\"%s\"]\n  http: "
                 "\"%s\"\n%s"
                 "history:\n  accounts_max: 50000\n  events_max: 400000\n  busy_max: 2000\n  links_max: 400000\n  places_max: "
                 "100000\n  transfers_max: 200000\n"
                 "tenants:\n"
                 "  - name: flow\n    token_hash: %s\n    rights: [submit, score, label, query, operate, explain]\n"
                 "    score_rows_per_minute: 0\n    duplicate_days: 0\n"
                 "  - name: other\n    token_hash: %s\n    rights: [submit]\n    duplicate_days: 0\n%s",
                 server->folder, base[0] ? "base: " : "", base, base[0] ? "\n" : "", options->device ? options->device : device_of_all(),
                 options->workers ? options->workers : 2, options->cpu_mask ? "cpu_mask: " : "", options->cpu_mask ? options->cpu_mask : "",
                 options->cpu_mask ? "\n" : "", options->top ? options->top : "connections_max: 512\nmemory_max: 1TiB\n", server->data_url,
                 options->more_data ? options->more_data : "", server->admin_url, http, options->listen ? options->listen : "", hex[0],
                 hex[1], options->tenants ? options->tenants : "");
    MUST(used > 0 && (size_t)used < sizeof text);
    flow_write(server->config, text, (size_t)used);
}

static void running_add(pid_t pid)
{
    for (size_t i = 0; i < SERVERS_MAX; i++)
        if (running[i] == 0) {
            running[i] = pid;
            return;
        }
    MUST(!"more servers than the harness counts");
}

static void running_drop(pid_t pid)
{
    for (size_t i = 0; i < SERVERS_MAX; i++)
        if (running[i] == pid)
            running[i] = 0;
}

static void server_spawn(struct server *server)
{
    enum { VARIABLES_MAX = 512 };
    char *variables[VARIABLES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < sizeof server->environment / sizeof *server->environment; i++)
        if (server->environment[i][0])
            variables[count++] = server->environment[i];
    for (char **variable = environ; *variable && count < VARIABLES_MAX - 1; variable++)
        variables[count++] = *variable;
    variables[count] = NULL;
    int fd = open(server->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    MUST(fd >= 0);
    const char *arguments[] = {server->binary, "serve", "--config", server->config, NULL};
    server->pid = spawn(arguments, fd, variables);
    running_add(server->pid);
    close(fd);
}

int server_wait(struct server *server, int limit_ms)
{
    for (int waited = 0;; waited += 2) {
        int status = 0;
        pid_t got = waitpid(server->pid, &status, WNOHANG);
        if (got == server->pid) {
            running_drop(server->pid);
            server->pid = 0;
            return exit_of(status);
        }
        if (waited >= limit_ms)
            return -1;
        sleep_ms(2);
    }
}

bool server_runs(struct server *server)
{
    return server->pid > 0 && waitpid(server->pid, NULL, WNOHANG) == 0;
}

static bool answers(const struct server *server)
{
    unsigned char reply[8192];
    struct wire_buffer message = {0};
    wire_pack_map(&message, 3);
    wire_pack_text(&message, "v");
    wire_pack_i64(&message, 1);
    wire_pack_text(&message, "op");
    wire_pack_text(&message, "hello");
    wire_pack_text(&message, "id");
    wire_pack_text(&message, "ready");
    size_t bytes = raw_ask(server->data_url, message.data, message.bytes, reply, sizeof reply, 1000);
    wire_buffer_fini(&message);
    return bytes > 0 && strcmp(raw_fault(reply, bytes), "ok") == 0;
}

bool server_try_start(struct server *server, int *status)
{
    server_spawn(server);
    for (int waited = 0; waited < START_LIMIT_MS; waited += 5) {
        if ((*status = server_wait(server, 0)) >= 0)
            return false;
        if (access(server->data_url + strlen("ipc://"), F_OK) == 0 && answers(server))
            return true;
        sleep_ms(5);
    }
    server_log_show(server);
    MUST(!"the server does not answer");
    return false;
}

void server_start(struct server *server)
{
    int status = 0;
    if (server_try_start(server, &status))
        return;
    server_log_show(server);
    fprintf(stderr, "the server ended with %d\n", status);
    MUST(!"the server starts");
}

void server_begin(struct server *server, const struct server_options *options)
{
    server_configure(server, options);
    server_start(server);
}

void server_stop(struct server *server)
{
    MUST(server->pid > 0 && kill(server->pid, SIGTERM) == 0);
    int status = server_wait(server, STOP_LIMIT_MS);
    if (status != 0)
        server_log_show(server);
    MUST(status == 0);
}

void server_kill(struct server *server)
{
    MUST(server->pid > 0 && kill(server->pid, SIGKILL) == 0);
    MUST(server_wait(server, STOP_LIMIT_MS) == 256 + SIGKILL);
}

void folder_copy(const char *to, const char *from)
{
    int status = 0;
    const char *arguments[] = {"/bin/cp", "-a", from, to, NULL};
    MUST(access(to, F_OK) != 0);
    pid_t pid = spawn(arguments, STDERR_FILENO, environ);
    MUST(waitpid(pid, &status, 0) == pid && exit_of(status) == 0);
}

size_t server_memory(const struct server *server)
{
    char path[64], line[256];
    size_t kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)server->pid);
    FILE *file = fopen(path, "r");
    MUST(file);
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %zu kB", &kib) == 1)
            break;
    fclose(file);
    return kib << 10;
}

size_t server_log_count(const struct server *server, const char *text)
{
    size_t count = 0;
    char *log = flow_read(server->log, NULL);
    for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n"))
        count += strstr(line, text) != NULL;
    free(log);
    return count;
}

void server_log_show(const struct server *server)
{
    size_t bytes = 0;
    char *log = flow_read(server->log, &bytes);
    fprintf(stderr, "--- end of %s\n%s---\n", server->log, bytes > 6000 ? log + bytes - 6000 : log);
    free(log);
}

const char *reply_fault(const struct sluice_reply *reply)
{
    const char *fault = reply ? sluice_reply_fault(reply) : "no reply";
    return fault ? fault : "ok";
}
