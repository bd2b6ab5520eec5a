/* `sluice bench`: loads a server and measures it. Open loop: batches are sent at the moments that were drawn for them, whatever
 * the server does, and latency counts from that moment, so that a stalled server cannot hide waiting (no coordinated omission).
 * Closed loop: as fast as answers come. Every reply is decoded. */
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"
#include "client/client.h"
#include "command/command.h"
#include "command/latency.h"
#include "synth/synth.h"

enum {
    KEY_OP = 0x700,
    KEY_RATE,
    KEY_ARRIVALS,
    KEY_BURST,
    KEY_BATCH_ROWS,
    KEY_SECONDS,
    KEY_WARM_UP,
    KEY_IN_FLIGHT,
    KEY_ACCOUNTS,
    KEY_SEED,
    KEY_POOL_ROWS,
    KEY_BATCHES,
    KEY_CONNECTIONS
};
enum { SIZES_MAX = 8, CLIENTS_MAX = 4096, POOL_ROWS_DEFAULT = 500000, IN_FLIGHT_OPEN = 256, ID_BYTES = 64 };
#define NS_PER_S 1000000000LL

struct size { /* of batches */
    uint32_t rows, weight;
    uint32_t batch_count, next;
    struct batch *batches;
};

struct bench {
    enum op op;
    double rate; /* transfers per second; 0: closed loop */
    bool bursts;
    uint32_t burst; /* batches that come together */
    int64_t seconds, warm_up_seconds, batches_most;
    uint32_t accounts, size_count, weight_sum;
    uint64_t seed, pool_rows;
    struct size sizes[SIZES_MAX];
    struct connect_options connect;
    bool as_json;

    uint32_t connections; /* to each server */
    size_t client_count;
    struct sluice_client **clients; /* a connection each; batches take turns over them */
    struct synth *synth;
    uint64_t random, run, sent;
    int64_t measured_from_ns, measured_to_ns, cpu_ns; /* cpu: of this process while it sends and waits */
    pthread_mutex_t lock;                             /* all below */
    struct latency latency;
    struct pace { /* rows that were answered after the first answer counted, and when */
        int64_t first_ns, last_ns;
        uint64_t rows;
    } pace, pace_within; /* all; until measured_to_ns */
    uint64_t rows, batches, not_passed, errors[SLUICE_PROTOCOL_ERROR + 1], faults[FAULT_COUNT + 1];
    char fault_text[200], kernel[64], base[128];
};

struct shot { /* a batch under way */
    struct bench *bench;
    int64_t intended_ns;
    uint32_t rows;
};

static const struct argp_option options[] = {
    {"op", KEY_OP, "screen|score", 0, "What is asked for (default screen)", 1},
    {"rate", KEY_RATE, "N", 0, "Transfers per second, open loop (default: closed loop, as fast as it goes)", 1},
    {"arrivals", KEY_ARRIVALS, "poisson|burst", 0, "When batches come in an open loop (default poisson)", 1},
    {"burst", KEY_BURST, "N", 0, "Batches that come together in a burst (default 10)", 1},
    {"batch-rows", KEY_BATCH_ROWS, "N[:WEIGHT],…", 0, "Sizes of batches and how often each comes (default 10000)", 1},
    {"mix", 0, NULL, OPTION_ALIAS, NULL, 1},
    {"connections", KEY_CONNECTIONS, "N", 0, "Connections to each --connect, batches take turns over all of them (default 1)", 1},
    {"seconds", KEY_SECONDS, "N", 0, "How long to measure (default 10)", 1},
    {"warm-up", KEY_WARM_UP, "N", 0, "Seconds before that which do not count (default 2)", 1},
    {"batches", KEY_BATCHES, "N", 0, "Stop after N batches, if that comes first", 1},
    {"in-flight", KEY_IN_FLIGHT, "N", 0, "Batches under way at once (default 4; in an open loop at most 256)", 1},
    {"accounts", KEY_ACCOUNTS, "N", 0, "Accounts of the generator, Zipf 1.0 (default 1000000)", 1},
    {"pool-rows", KEY_POOL_ROWS, "N", 0, "Rows made before the start and sent in turn (default 500000, at least two batches of each size)",
     1},
    {"seed", KEY_SEED, "N", 0, "Of rows and arrivals (default 1)", 1},
    {"json", 'j', NULL, 0, "The figures as one line of JSON", 1},
    {0},
};

static void sizes_read(struct argp_state *state, struct bench *out, const char *argument)
{
    char text[256], *rest = NULL;
    snprintf(text, sizeof text, "%s", argument);
    out->size_count = 0;
    for (char *item = strtok_r(text, ",", &rest); item; item = strtok_r(NULL, ",", &rest)) {
        char *colon = strchr(item, ':');
        if (out->size_count == SIZES_MAX)
            argp_error(state, "at most %d sizes", SIZES_MAX);
        if (colon)
            *colon = '\0';
        out->sizes[out->size_count++] = (struct size){
            .rows = (uint32_t)command_integer(state, "batch-rows", item, 1, BATCH_LIMITS_DEFAULT.rows_max),
            .weight = colon ? (uint32_t)command_integer(state, "batch-rows", colon + 1, 1, 1000000) : 1,
        };
    }
    if (out->size_count == 0)
        argp_error(state, "--batch-rows takes sizes");
}

static int one_of(struct argp_state *state, const char *option, const char *text, const char *first, const char *second)
{
    if (strcmp(text, first) != 0 && strcmp(text, second) != 0)
        argp_error(state, "--%s takes %s or %s, not '%s'", option, first, second, text);
    return strcmp(text, first) == 0 ? 0 : 1;
}

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    struct bench *out = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &out->connect;
        return 0;
    case KEY_OP:
        out->op = one_of(state, "op", argument, "screen", "score") ? OP_score : OP_screen;
        return 0;
    case KEY_RATE:
        out->rate = (double)command_integer(state, "rate", argument, 1, 1000000000);
        return 0;
    case KEY_ARRIVALS:
        out->bursts = one_of(state, "arrivals", argument, "poisson", "burst");
        return 0;
    case KEY_BURST:
        out->burst = (uint32_t)command_integer(state, "burst", argument, 1, 10000);
        return 0;
    case KEY_BATCH_ROWS:
        sizes_read(state, out, argument);
        return 0;
    case KEY_CONNECTIONS:
        out->connections = (uint32_t)command_integer(state, "connections", argument, 1, CLIENTS_MAX / CONNECT_URLS_MAX);
        return 0;
    case KEY_SECONDS:
        out->seconds = command_integer(state, "seconds", argument, 1, 86400);
        return 0;
    case KEY_WARM_UP:
        out->warm_up_seconds = command_integer(state, "warm-up", argument, 0, 3600);
        return 0;
    case KEY_BATCHES:
        out->batches_most = command_integer(state, "batches", argument, 1, INT64_MAX);
        return 0;
    case KEY_IN_FLIGHT:
        out->connect.in_flight = (size_t)command_integer(state, "in-flight", argument, 1, 4096);
        return 0;
    case KEY_ACCOUNTS:
        out->accounts = (uint32_t)command_integer(state, "accounts", argument, SYNTH_ACCOUNTS_MIN, SYNTH_ACCOUNTS_MAX);
        return 0;
    case KEY_POOL_ROWS:
        out->pool_rows = (uint64_t)command_integer(state, "pool-rows", argument, 1, 1000000000);
        return 0;
    case KEY_SEED:
        out->seed = (uint64_t)command_integer(state, "seed", argument, 0, INT64_MAX);
        return 0;
    case 'j':
        out->as_json = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* --- rows ---------------------------------------------------------------------------------------------------------------- */

/* Sent rows carry neither time nor label: they happen when the server takes them. */
static int batch_make(struct bench *bench, struct batch *batch, uint32_t rows)
{
    struct fault_note note = {0};
    if (batch_init(batch, synth_arena_bytes(rows), &note) != FAULT_NONE || synth_next(bench->synth, batch, rows, &note) != FAULT_NONE)
        return command_fail(COMMAND_REFUSED, "bench", "%s", note.text);
    batch->columns[COLUMN_time].form = batch->columns[COLUMN_label].form = FORM_ABSENT;
    batch->op = bench->op;
    return COMMAND_DONE;
}

static int pool_make(struct bench *bench)
{
    uint64_t rows = 0;
    int status = COMMAND_DONE;
    struct fault_note note = {0};
    for (uint32_t i = 0; i < bench->size_count; i++) {
        struct size *size = &bench->sizes[i];
        uint64_t count = bench->pool_rows / bench->size_count / size->rows;
        size->batch_count = count < 2 ? 2 : count > 100000 ? 100000 : (uint32_t)count;
        rows += (uint64_t)size->batch_count * size->rows;
        bench->weight_sum += size->weight;
    }
    struct synth_options with = {.seed = bench->seed,
                                 .row_count = rows,
                                 .account_count = bench->accounts,
                                 .day_count = 30,
                                 .currency = "EUR",
                                 .from_us = clock_wall_us() / US_PER_DAY * US_PER_DAY - 30 * US_PER_DAY};
    memcpy(with.rates, synth_rates_default, sizeof with.rates);
    if (synth_open(&bench->synth, &with, &note) != FAULT_NONE)
        return command_fail(COMMAND_REFUSED, "bench", "%s", note.text);
    for (uint32_t i = 0; i < bench->size_count && status == COMMAND_DONE; i++) {
        struct size *size = &bench->sizes[i];
        if (!(size->batches = memory_take_zeroed(size->batch_count, sizeof *size->batches)))
            return command_fail(COMMAND_REFUSED, "bench", "no memory for %" PRIu64 " rows", rows);
        for (uint32_t j = 0; j < size->batch_count && status == COMMAND_DONE; j++)
            status = batch_make(bench, &size->batches[j], size->rows);
    }
    return status;
}

static void pool_give(struct bench *bench)
{
    for (uint32_t i = 0; i < bench->size_count; i++) {
        for (uint32_t j = 0; bench->sizes[i].batches && j < bench->sizes[i].batch_count; j++)
            batch_fini(&bench->sizes[i].batches[j]);
        memory_give(bench->sizes[i].batches);
    }
    synth_close(&bench->synth);
}

/* --- load ---------------------------------------------------------------------------------------------------------------- */

static double random_unit(struct bench *bench) /* (0, 1] */
{
    bench->random = hash64_pair(bench->seed, bench->random, 1);
    return (double)((bench->random >> 11) + 1) * (1.0 / 9007199254740992.0);
}

static struct batch *batch_draw(struct bench *bench)
{
    uint32_t weight = (uint32_t)((1.0 - random_unit(bench)) * bench->weight_sum), i = 0;
    while (i + 1 < bench->size_count && weight >= bench->sizes[i].weight)
        weight -= bench->sizes[i++].weight;
    struct size *size = &bench->sizes[i];
    return &size->batches[size->next++ % size->batch_count];
}

static void reply_count(struct bench *bench, const struct shot *shot, const struct sluice_reply *reply)
{
    const uint8_t *verdicts = sluice_reply_u8(reply, "verdict");
    const char *kernel = sluice_reply_string(reply, "kernel"), *base = sluice_reply_string(reply, "base");
    if (!verdicts || sluice_reply_rows(reply) != shot->rows) {
        bench->errors[SLUICE_PROTOCOL_ERROR]++;
        return;
    }
    bench->batches++;
    bench->rows += shot->rows;
    for (uint32_t i = 0; i < shot->rows; i++)
        bench->not_passed += verdicts[i] != VERDICT_PASS;
    snprintf(bench->kernel, sizeof bench->kernel, "%s", kernel ? kernel : "");
    snprintf(bench->base, sizeof bench->base, "%s", base ? base : "");
}

/* The first answer only starts the clock: what it took lies before. */
static void pace_count(struct bench *bench, int64_t now_ns, uint32_t rows)
{
    if (bench->pace.first_ns == 0)
        bench->pace = (struct pace){.first_ns = now_ns, .last_ns = now_ns};
    else
        bench->pace.rows += rows, bench->pace.last_ns = now_ns;
    if (now_ns <= bench->measured_to_ns)
        bench->pace_within = bench->pace;
}

static double pace_seconds(const struct bench *bench, uint64_t *rows)
{
    const struct pace *pace = bench->pace_within.rows ? &bench->pace_within : &bench->pace; /* the end, with less in flight, is left out */
    *rows = pace->rows;
    return 1e-9 * (double)(pace->last_ns - pace->first_ns);
}

static void shot_done(void *context, int error, struct sluice_reply *reply)
{
    struct shot *shot = context;
    struct bench *bench = shot->bench;
    int64_t now_ns = clock_steady_ns();
    pthread_mutex_lock(&bench->lock);
    if (now_ns >= bench->measured_from_ns && error == SLUICE_OK)
        pace_count(bench, now_ns, shot->rows);
    if (shot->intended_ns >= bench->measured_from_ns) {
        if (error == SLUICE_OK) {
            latency_add(&bench->latency, now_ns - shot->intended_ns);
            reply_count(bench, shot, reply);
        } else if (error == SLUICE_FAULT) {
            bench->faults[fault_from_name(sluice_reply_fault(reply))]++;
            snprintf(bench->fault_text, sizeof bench->fault_text, "%s", sluice_reply_text(reply));
        } else {
            bench->errors[error]++;
        }
    }
    pthread_mutex_unlock(&bench->lock);
    sluice_reply_free(&reply);
    memory_give(shot);
}

static void shot_send(struct bench *bench, int64_t intended_ns)
{
    char id[ID_BYTES];
    struct batch *batch = batch_draw(bench);
    struct shot *shot = memory_take(sizeof *shot);
    if (!shot)
        return;
    *shot = (struct shot){.bench = bench, .intended_ns = intended_ns, .rows = batch->row_count};
    struct sluice_client *client = bench->clients[bench->sent % bench->client_count];
    snprintf(id, sizeof id, "bench-%016" PRIx64 "-%" PRIu64, bench->run, bench->sent++);
    batch->id = batch->name = text_of(id);
    int error = client_send(client, batch, 0, shot_done, shot, NULL);
    if (error != SLUICE_OK)
        shot_done(shot, error, NULL);
}

static void sleep_until(int64_t steady_ns)
{
    int64_t left_ns = steady_ns - clock_steady_ns();
    if (left_ns > 0)
        nanosleep(&(struct timespec){.tv_sec = left_ns / NS_PER_S, .tv_nsec = left_ns % NS_PER_S}, NULL);
}

static double rows_mean(const struct bench *bench)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < bench->size_count; i++)
        sum += (double)bench->sizes[i].weight * bench->sizes[i].rows;
    return sum / bench->weight_sum;
}

static void load_open(struct bench *bench, int64_t begin_ns, int64_t end_ns)
{
    double gap_ns = rows_mean(bench) / bench->rate * 1e9;
    double at_ns = (double)begin_ns;
    for (uint32_t in_burst = 0; at_ns < (double)end_ns && bench->sent < (uint64_t)bench->batches_most; in_burst++) {
        if (!bench->bursts)
            at_ns += -log(random_unit(bench)) * gap_ns;
        else if (in_burst % bench->burst == 0)
            at_ns += gap_ns * bench->burst;
        sleep_until((int64_t)at_ns);
        shot_send(bench, (int64_t)at_ns);
    }
}

static void load_closed(struct bench *bench, int64_t end_ns)
{
    while (clock_steady_ns() < end_ns && bench->sent < (uint64_t)bench->batches_most) {
        client_room_wait(bench->clients[bench->sent % bench->client_count]);
        shot_send(bench, clock_steady_ns());
    }
}

static int64_t process_cpu_ns(void)
{
    struct timespec spent;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return spent.tv_sec * NS_PER_S + spent.tv_nsec;
}

static void load_run(struct bench *bench)
{
    int64_t begin_ns = clock_steady_ns(), cpu_begin_ns = process_cpu_ns();
    bench->measured_from_ns = begin_ns + bench->warm_up_seconds * NS_PER_S;
    int64_t end_ns = bench->measured_to_ns = bench->measured_from_ns + bench->seconds * NS_PER_S;
    bench->random = bench->run = hash64_pair(bench->seed, (uint64_t)clock_wall_us(), (uint64_t)begin_ns);
    if (bench->rate > 0)
        load_open(bench, begin_ns, end_ns);
    else
        load_closed(bench, end_ns);
    for (size_t i = 0; i < bench->client_count; i++)
        sluice_wait_all(bench->clients[i]);
    bench->cpu_ns = process_cpu_ns() - cpu_begin_ns;
}

/* --- figures --------------------------------------------------------------------------------------------------------------- */

static uint64_t failed_count(const struct bench *bench)
{
    uint64_t count = 0;
    for (int i = 0; i <= SLUICE_PROTOCOL_ERROR; i++)
        count += bench->errors[i];
    for (int i = 0; i <= FAULT_COUNT; i++)
        count += bench->faults[i];
    return count;
}

static void failures_print(const struct bench *bench)
{
    for (int i = 0; i <= SLUICE_PROTOCOL_ERROR; i++)
        if (bench->errors[i])
            printf("  %-24s %" PRIu64 "\n", sluice_error_name(i), bench->errors[i]);
    for (int i = 0; i <= FAULT_COUNT; i++)
        if (bench->faults[i])
            printf("  fault %-18s %" PRIu64 "  (%s)\n", fault_name((enum fault)i), bench->faults[i], bench->fault_text);
}

static void figures_print(const struct bench *bench)
{
    static const struct {
        const char *name;
        double quantile;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99_9", 0.999}, {"max", 1.0}};
    uint64_t paced_rows;
    double seconds = pace_seconds(bench, &paced_rows);
    double per_second = seconds > 0 ? (double)paced_rows / seconds : 0.0;
    double held = bench->rows ? (double)bench->not_passed / (double)bench->rows : 0.0;
    if (bench->as_json)
        printf("{\"op\":\"%s\",\"transfers_per_s\":%.0f,\"batches\":%" PRIu64 ",\"rows\":%" PRIu64
               ",\"seconds\":%.3f,\"not_passed_share\":%.5f,\"failed\":%" PRIu64 ",\"kernel\":\"%s\",\"base\":\"%s\"",
               op_names[bench->op], per_second, bench->batches, bench->rows, seconds, held, failed_count(bench), bench->kernel,
               bench->base);
    else
        printf("%s: %.0f transfers/s, %" PRIu64 " batches, %" PRIu64 " rows in %.2f s, %.2f %% did not pass, %" PRIu64
               " batches failed, kernel %s, base %s\nlatency ms:",
               op_names[bench->op], per_second, bench->batches, bench->rows, seconds, 100.0 * held, failed_count(bench), bench->kernel,
               bench->base);
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++)
        printf(bench->as_json ? ",\"%s_ms\":%.3f" : "  %s %.3f", quantiles[i].name,
               1e-6 * (double)latency_quantile_ns(&bench->latency, quantiles[i].quantile));
    printf(bench->as_json ? ",\"client_cpu_s\":%.3f}\n" : "\nCPU of this client: %.3f s\n", 1e-9 * (double)bench->cpu_ns);
    if (!bench->as_json)
        failures_print(bench);
}

/* in_flight is of all clients together, at least one each. */
static int clients_open(struct bench *bench)
{
    size_t urls = bench->connect.url_count ? bench->connect.url_count : 1, count = urls * bench->connections;
    if (!(bench->clients = memory_take_zeroed(count, sizeof(struct sluice_client *))))
        return command_fail(COMMAND_REFUSED, "bench", "no memory for %zu connections", count);
    int status = COMMAND_DONE;
    for (; bench->client_count < count && status == COMMAND_DONE; bench->client_count += status == COMMAND_DONE) {
        struct connect_options one = bench->connect;
        one.url_count = bench->connect.url_count ? 1 : 0;
        one.urls[0] = bench->connect.urls[bench->client_count % urls];
        one.in_flight = bench->connect.in_flight > count ? bench->connect.in_flight / count : 1;
        status = connect_open(&bench->clients[bench->client_count], "bench", &one);
    }
    return status;
}

static int bench_run(struct bench *bench)
{
    int status = clients_open(bench);
    if (status == COMMAND_DONE)
        status = pool_make(bench);
    if (status == COMMAND_DONE) {
        load_run(bench);
        figures_print(bench);
        status = bench->batches > 0 && failed_count(bench) == 0 ? COMMAND_DONE : COMMAND_REFUSED;
    }
    for (size_t i = 0; i < bench->client_count; i++)
        sluice_close(&bench->clients[i]);
    memory_give(bench->clients);
    pool_give(bench);
    return status;
}

int command_bench(int argc, char **argv)
{
    static const struct argp_child children[] = {{.argp = &connect_argp, .header = "Server:", .group = 10}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = option_parse,
        .doc = "Load a server with made transfers and measure it: throughput, latency from the intended moment of sending, faults.\vExit "
               "status: "
               "0 every batch was answered, 2 some were refused or failed, 3 could not reach the server.",
        .children = children,
    };
    static struct bench bench = {.op = OP_screen,
                                 .burst = 10,
                                 .seconds = 10,
                                 .warm_up_seconds = 2,
                                 .batches_most = INT64_MAX,
                                 .accounts = 1000000,
                                 .seed = 1,
                                 .pool_rows = POOL_ROWS_DEFAULT,
                                 .connections = 1,
                                 .size_count = 1,
                                 .sizes = {{.rows = 10000, .weight = 1}},
                                 .lock = PTHREAD_MUTEX_INITIALIZER};
    argp_parse(&argp, argc, argv, 0, NULL, &bench);
    if (bench.connect.in_flight == 0)
        bench.connect.in_flight = bench.rate > 0 ? IN_FLIGHT_OPEN : 4;
    return bench_run(&bench);
}
