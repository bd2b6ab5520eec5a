/* History alone, one thread: rows per second of its time on a processor that are read and counted, counted alone (import), read alone
 * (score), and bytes per account, over transfers of 30 days between accounts drawn by Zipf's law with exponent 1. usage: bench_history
 * [ACCOUNTS [ROWS]]... (default: 10,000, 1,000,000 and 10,000,000 accounts) */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/must.h"
#include "feature/feature.h"
#include "history/history.h"

enum { BATCH_ROWS = 10240, MEASURED_BATCHES = 40 };
#define START_US (17800 * US_PER_DAY)

static uint64_t random_state = 1;

static uint64_t random64(void)
{
    uint64_t x = random_state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint64_t key_of(uint64_t kind, uint64_t id)
{
    uint64_t both[2] = {kind, id};
    return hash64(7, both, sizeof both);
}

static uint64_t zipf(double log_count) /* from 0; P(r) = log((r + 2) / (r + 1)) / log(count + 1) */
{
    return (uint64_t)exp((double)(random64() >> 11) * 0x1p-53 * log_count) - 1;
}

struct traffic {
    uint64_t accounts, rows, made;
    bool with_places;
    struct batch batch;
    uint64_t payer[BATCH_ROWS], payee[BATCH_ROWS], device[BATCH_ROWS], address[BATCH_ROWS];
    uint32_t network[BATCH_ROWS];
    int64_t amount[BATCH_ROWS], time_us[BATCH_ROWS];
    uint8_t invalid[BATCH_ROWS];
};

static void traffic_init(struct traffic *out, uint64_t accounts, uint64_t rows, bool with_places)
{
    *out = (struct traffic){.accounts = accounts, .rows = rows, .with_places = with_places};
    out->batch = (struct batch){.magic = BATCH_MAGIC, .op = OP_screen, .row_count = BATCH_ROWS};
    out->batch.facts = (struct batch_facts){
        .payer = out->payer, .payee = out->payee, .amount = out->amount, .time_us = out->time_us, .invalid = out->invalid};
    if (with_places) {
        out->batch.facts.payer_device = out->device;
        out->batch.facts.payer_address = out->address;
        out->batch.facts.payer_network = out->network;
    }
}

static void traffic_next(struct traffic *traffic)
{
    const double log_count = log((double)traffic->accounts + 1);
    for (uint32_t i = 0; i < BATCH_ROWS; i++, traffic->made++) {
        uint64_t payer = zipf(log_count) % traffic->accounts;
        uint64_t payee = zipf(log_count) * 7919 % traffic->accounts; /* who receives most is not who sends most */
        traffic->payer[i] = key_of(1, payer);
        traffic->payee[i] = key_of(1, payee);
        traffic->device[i] = key_of(2, 2 * payer + (random64() % 10 == 0));
        traffic->address[i] = key_of(3, 3 * payer + random64() % 3);
        traffic->network[i] = 1 + (uint32_t)(payer % 50);
        traffic->amount[i] = 100 + (int64_t)(random64() % 1000000);
        traffic->time_us[i] = START_US + (int64_t)((double)traffic->made / (double)traffic->rows * 30 * (double)US_PER_DAY);
    }
}

static void relate(struct history *history, const struct batch *batch, bool add, struct figures *out)
{
    for (uint32_t first = 0; first < batch->row_count; first += SLICE_ROWS)
        history_memory.relate(history, batch, first, SLICE_ROWS, 7 * US_PER_DAY, add, out);
}

static struct figures figures_take(void)
{
    struct figures figures;
    for (unsigned f = 0; f < FIGURE_COUNT; f++)
        MUST(figures.column[f] = memory_take_aligned(SLICE_ROWS * sizeof(float), 64));
    return figures;
}

static void figures_give(struct figures *figures)
{
    for (unsigned f = 0; f < FIGURE_COUNT; f++)
        memory_give(figures->column[f]);
}

static int64_t cpu_ns(void)
{
    struct timespec spent;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return (int64_t)spent.tv_sec * 1000000000 + spent.tv_nsec;
}

static void counts_print(const struct history *history)
{
    struct history_counts counts;
    history_memory.count(history, &counts);
    printf("  %llu accounts known, %.0f bytes each; %llu busy sides, %llu events in rings, %llu links, %llu places; %llu evicted, %llu "
           "dropped; "
           "%.2f GB taken\n",
           (unsigned long long)counts.accounts, (double)counts.account_bytes / (double)counts.accounts, (unsigned long long)counts.busy,
           (unsigned long long)counts.events, (unsigned long long)counts.links, (unsigned long long)counts.places,
           (unsigned long long)counts.evicted, (unsigned long long)counts.dropped, (double)counts.bytes * 1e-9);
}

static double bench(uint64_t accounts, uint64_t rows, bool with_places)
{
    static struct traffic traffic;
    const struct history_limits limits = {
        .accounts_max = accounts,
        .events_max = accounts * 16 + 1000000,
        .busy_max = accounts / 40 + 5000,
        .links_max = rows + accounts * (with_places ? 4 : 0),
        .places_max = with_places ? accounts * 4 : 1000,
    };
    struct history *history;
    struct fault_note note = {0};
    struct figures figures = figures_take();
    MUST(history_memory.open(&history, &limits, &note) == FAULT_NONE);
    traffic_init(&traffic, accounts, rows, with_places);
    int64_t spent_ns[3] = {0}; /* screen, import, score */
    while (traffic.made + 3 * MEASURED_BATCHES * BATCH_ROWS < rows) {
        traffic_next(&traffic);
        history_memory.relate(history, &traffic.batch, 0, BATCH_ROWS, 0, true, NULL);
    }
    for (unsigned i = 0; i < 3 * MEASURED_BATCHES; i++) {
        traffic_next(&traffic);
        int64_t start = cpu_ns();
        relate(history, &traffic.batch, i % 3 != 2, i % 3 != 1 ? &figures : NULL);
        spent_ns[i % 3] += cpu_ns() - start;
    }
    double rate[3];
    for (unsigned i = 0; i < 3; i++)
        rate[i] = MEASURED_BATCHES * BATCH_ROWS * 1e3 / (double)spent_ns[i];
    printf("%9llu accounts, %9llu rows, %s: read and counted %.2f, counted %.2f, read %.2f million rows/s\n", (unsigned long long)accounts,
           (unsigned long long)rows, with_places ? "with devices and addresses" : "accounts and pairs alone  ", rate[0], rate[1], rate[2]);
    counts_print(history);
    fflush(stdout);
    figures_give(&figures);
    history_memory.close(&history);
    return rate[0];
}

int main(int count, char **arguments)
{
    const char *const usual[] = {"10000", "3000000", "1000000", "3000000", "1000000", "10000000", "10000000", "10000000"};
    const char *const *chosen = count > 1 ? (const char *const *)arguments + 1 : usual;
    int pairs = count > 1 ? count / 2 : 4;
    double most = 0, least = 1e9;
    for (int with_places = 0; with_places < 2; with_places++, most = 0, least = 1e9) {
        for (int i = 0; i < pairs; i++) {
            uint64_t accounts = strtoull(chosen[2 * i], NULL, 10);
            uint64_t rows = count == 2 ? 3 * accounts : strtoull(chosen[2 * i + 1], NULL, 10);
            double rate = bench(accounts, rows, with_places);
            most = rate > most ? rate : most;
            least = rate < least ? rate : least;
        }
        printf("fastest by slowest: %.2f\n", most / least);
    }
    return 0;
}
