/* History alone, one thread: nanoseconds a row of its time on a processor, and what they are spent on, over the generator's
 * transfers (Zipf 1.0). Two kinds of traffic: those of 30 days, and as bench/server sends them: half a million rows again and
 * again, all of them now. The rows that are measured go in turn through four calls: read and counted (screen), counted (import),
 * read (score), found (keys, fetches and nothing else). The digests at the end of a line tell whether two programs remember and
 * read the same. usage: bench_history [ACCOUNTS [ROWS]]... (default: 100,000, 1,000,000 and 10,000,000 accounts) */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/must.h"
#include "history/history.h"
#include "synth/synth.h"

enum { BATCH_ROWS = 10240, POOL_BATCHES = 48, MEASURED_ROUNDS = 30, SLICES = 6 /* whose figures are under way */ };
enum call { SCREEN, IMPORT, SCORE, FIND, CALL_COUNT };
#define START_US (20300 * US_PER_DAY)
#define DELAY_US (7 * US_PER_DAY)

/* --- traffic -------------------------------------------------------------------------------------------------------- */

struct rows { /* of one batch, as intake leaves them */
    uint64_t payer[BATCH_ROWS], payee[BATCH_ROWS];
    uint64_t payer_device[BATCH_ROWS], payee_device[BATCH_ROWS], payer_address[BATCH_ROWS], payee_address[BATCH_ROWS];
    uint32_t payer_network[BATCH_ROWS], payee_network[BATCH_ROWS];
    int64_t amount[BATCH_ROWS], time_us[BATCH_ROWS];
    uint8_t invalid[BATCH_ROWS];
};

struct traffic {
    struct synth *synth;
    struct rows *pool;
    bool is_now; /* the pool in turn, else only its first batch, made anew */
    uint64_t row_count, given;
    struct batch batch;
};

static uint64_t key_of(uint64_t kind, uint64_t number)
{
    return hash64_pair(7, kind, number);
}

static void row_take(struct rows *out, uint32_t i, const struct synth_row *row)
{
    out->payer[i] = key_of(1, row->payer);
    out->payee[i] = key_of(1, row->payee);
    out->payer_device[i] = row->payer_device ? key_of(2, row->payer_device) : 0;
    out->payee_device[i] = row->payee_device ? key_of(2, row->payee_device) : 0;
    out->payer_address[i] = row->payer_address ? key_of(3, row->payer_address) : 0;
    out->payee_address[i] = row->payee_address ? key_of(3, row->payee_address) : 0;
    out->payer_network[i] = row->payer_address ? 1 + row->payer_network : 0;
    out->payee_network[i] = row->payee_address ? 1 + row->payee_network : 0;
    out->amount[i] = row->amount;
    out->time_us[i] = row->time_us;
}

static void rows_make(struct rows *out, struct synth *synth)
{
    struct synth_row row;
    for (uint32_t i = 0; i < BATCH_ROWS; i++) {
        MUST(synth_row_next(synth, &row));
        row_take(out, i, &row);
    }
}

static void traffic_init(struct traffic *out, uint32_t accounts, uint64_t row_count, bool is_now)
{
    const uint64_t made = is_now ? (uint64_t)POOL_BATCHES * BATCH_ROWS : row_count;
    struct synth_options options = {
        .seed = 1, .row_count = made, .account_count = accounts, .from_us = START_US, .day_count = 30, .currency = "EUR"};
    memcpy(options.rates, synth_rates_default, sizeof options.rates);
    *out = (struct traffic){.is_now = is_now, .row_count = row_count};
    MUST(synth_open(&out->synth, &options, NULL) == FAULT_NONE);
    MUST(out->pool = memory_take_zeroed(is_now ? POOL_BATCHES : 1, sizeof *out->pool));
    for (unsigned i = 0; is_now && i < POOL_BATCHES; i++)
        rows_make(&out->pool[i], out->synth);
}

static void traffic_fini(struct traffic *traffic)
{
    synth_close(&traffic->synth);
    memory_give(traffic->pool);
}

static const struct batch *traffic_next(struct traffic *traffic)
{
    struct rows *rows = &traffic->pool[traffic->is_now ? traffic->given / BATCH_ROWS % POOL_BATCHES : 0];
    if (!traffic->is_now)
        rows_make(rows, traffic->synth);
    for (uint32_t i = 0; traffic->is_now && i < BATCH_ROWS; i++)
        rows->time_us[i] = START_US + (int64_t)traffic->given * 2; /* half a million rows a second */
    traffic->batch = (struct batch){.magic = BATCH_MAGIC, .op = OP_screen, .row_count = BATCH_ROWS};
    traffic->batch.facts = (struct batch_facts){.payer = rows->payer,
                                                .payee = rows->payee,
                                                .payer_device = rows->payer_device,
                                                .payee_device = rows->payee_device,
                                                .payer_address = rows->payer_address,
                                                .payee_address = rows->payee_address,
                                                .payer_network = rows->payer_network,
                                                .payee_network = rows->payee_network,
                                                .amount = rows->amount,
                                                .time_us = rows->time_us,
                                                .invalid = rows->invalid};
    traffic->given += BATCH_ROWS;
    return &traffic->batch;
}

/* --- measuring ------------------------------------------------------------------------------------------------------ */

static int64_t cpu_ns(void)
{
    struct timespec spent;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return (int64_t)spent.tv_sec * 1000000000 + spent.tv_nsec;
}

static int double_order(const void *a, const void *b)
{
    double difference = *(const double *)a - *(const double *)b;
    return (difference > 0) - (difference < 0);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, double_order);
    return values[count / 2];
}

static void figures_take(struct figures figures[SLICES])
{
    for (unsigned i = 0; i < SLICES; i++)
        for (unsigned f = 0; f < FIGURE_COUNT; f++)
            MUST(figures[i].column[f] = memory_take_aligned(SLICE_ROWS * sizeof(float), 64));
}

static void figures_give(struct figures figures[SLICES])
{
    for (unsigned i = 0; i < SLICES; i++)
        for (unsigned f = 0; f < FIGURE_COUNT; f++)
            memory_give(figures[i].column[f]);
}

static uint64_t figures_hash(uint64_t seed, const struct figures *figures)
{
    for (unsigned f = 0; f < FIGURE_COUNT; f++)
        seed = hash64(seed, figures->column[f], SLICE_ROWS * sizeof(float));
    return seed;
}

static int64_t batch_relate(struct history *history, const struct batch *batch, enum call call, struct figures figures[SLICES],
                            uint64_t *hash)
{
    bool adds = call == SCREEN || call == IMPORT, reads = call == SCREEN || call == SCORE;
    static unsigned slice;
    int64_t spent_ns = 0;
    for (uint32_t first = 0; first < batch->row_count; first += SLICE_ROWS) {
        struct figures *out = &figures[slice++ % SLICES];
        int64_t start_ns = cpu_ns();
        history_memory.relate(history, batch, first, SLICE_ROWS, DELAY_US, adds, reads ? out : NULL);
        spent_ns += cpu_ns() - start_ns;
        if (reads)
            *hash = figures_hash(*hash, out);
    }
    return spent_ns;
}

static void counts_print(const struct history *history, uint64_t figures)
{
    struct history_counts counts;
    history_memory.count(history, &counts);
    printf("    %llu accounts known, %.0f bytes each; %llu busy sides, %llu events in rings, %llu links, %llu places; %llu evicted, %llu "
           "dropped; %.2f GB taken; digests %016llx %016llx\n",
           (unsigned long long)counts.accounts, (double)counts.account_bytes / (double)counts.accounts, (unsigned long long)counts.busy,
           (unsigned long long)counts.events, (unsigned long long)counts.links, (unsigned long long)counts.places,
           (unsigned long long)counts.evicted, (unsigned long long)counts.dropped, (double)counts.bytes * 1e-9,
           (unsigned long long)history_memory.state_digest(history).low, (unsigned long long)figures);
}

static void snapshot_print(const struct history *history)
{
    static const char path[] = "bench_history.snapshot";
    struct fault_note note = {0};
    int64_t start_ns = clock_steady_ns();
    MUST(history_memory.save(history, 1, path, &note) == FAULT_NONE);
    double seconds = 1e-9 * (double)(clock_steady_ns() - start_ns);
    int fd = file_ops->open(path, O_RDONLY, 0);
    printf("    a snapshot here, synced: %.1f MB in %.2f s\n", 1e-6 * (double)file_ops->size(fd), seconds);
    file_ops->close(fd);
    unlink(path);
}

static double bench(uint32_t accounts, uint64_t row_count, bool is_now)
{
    struct traffic traffic;
    const struct history_limits limits = {
        .accounts_max = accounts,
        .events_max = accounts * 16ull + 1000000,
        .busy_max = accounts / 40 + 5000,
        .links_max = accounts * 4ull + row_count,
        .places_max = accounts * 2ull,
    };
    const uint64_t measured = (uint64_t)CALL_COUNT * MEASURED_ROUNDS * BATCH_ROWS;
    struct history *history;
    struct fault_note note = {0};
    struct figures figures[SLICES];
    uint64_t hash = 0;
    if (row_count < measured + BATCH_ROWS) {
        fprintf(stderr, "bench_history: at least %llu rows\n", (unsigned long long)(measured + BATCH_ROWS));
        exit(2);
    }
    double each_ns[CALL_COUNT][MEASURED_ROUNDS], ns[CALL_COUNT];
    figures_take(figures);
    MUST(history_memory.open(&history, &limits, &note) == FAULT_NONE);
    traffic_init(&traffic, accounts, row_count, is_now);
    while (traffic.given + measured + BATCH_ROWS < row_count)
        history_memory.relate(history, traffic_next(&traffic), 0, BATCH_ROWS, DELAY_US, true, NULL);
    for (unsigned i = 0; i < CALL_COUNT * MEASURED_ROUNDS; i++)
        each_ns[i % CALL_COUNT][i / CALL_COUNT] =
            (double)batch_relate(history, traffic_next(&traffic), i % CALL_COUNT, figures, &hash) / BATCH_ROWS;
    for (unsigned i = 0; i < CALL_COUNT; i++)
        ns[i] = median(each_ns[i], MEASURED_ROUNDS);
    printf("%9u accounts, %9llu rows %s: %.0f ns a row read and counted (%.0f finding, %.0f figures, %.0f counting); %.0f counted, %.0f "
           "read\n",
           accounts, (unsigned long long)row_count, is_now ? "of now    " : "of 30 days", ns[SCREEN], ns[FIND], ns[SCORE] - ns[FIND],
           ns[SCREEN] - ns[SCORE], ns[IMPORT], ns[SCORE]);
    counts_print(history, hash);
    snapshot_print(history);
    fflush(stdout);
    traffic_fini(&traffic);
    figures_give(figures);
    history_memory.close(&history);
    return ns[SCREEN];
}

int main(int count, char **arguments)
{
    const char *const usual[] = {"100000", "3000000", "1000000", "6000000", "10000000", "10000000"};
    const char *const *chosen = count > 1 ? (const char *const *)arguments + 1 : usual;
    int pairs = count > 1 ? count / 2 : 3;
    for (int is_now = 0; is_now < 2; is_now++) {
        double most = 0, least = 1e9;
        for (int i = 0; i < pairs; i++) {
            uint32_t accounts = (uint32_t)strtoul(chosen[2 * i], NULL, 10);
            uint64_t rows = count == 2 ? 3ull * accounts : strtoull(chosen[2 * i + 1], NULL, 10);
            double ns = bench(accounts, rows, is_now);
            most = ns > most ? ns : most;
            least = ns < least ? ns : least;
        }
        printf("slowest by fastest: %.2f\n", most / least);
    }
    return 0;
}
