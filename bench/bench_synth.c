/* The generator alone: rows per second, one core, as rows and as columns, with few and many accounts.
 * One figure a line: name, value, unit. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "synth/synth.h"

enum { ROWS = 1000000, BATCH_ROWS = 10000 };

static struct synth *synth_of(uint32_t accounts)
{
    struct synth *synth = NULL;
    struct synth_options options = {
        .seed = 1, .row_count = ROWS, .account_count = accounts, .from_us = 20362 * US_PER_DAY, .day_count = 28, .currency = "EUR"};
    memcpy(options.rates, synth_rates_default, sizeof options.rates);
    MUST(synth_open(&synth, &options, NULL) == FAULT_NONE);
    return synth;
}

static void figure(const char *form, uint32_t accounts, int64_t begun_ns)
{
    double seconds = 1e-9 * (double)(clock_steady_ns() - begun_ns);
    printf("synth_%s_%u_accounts %.0f rows/s\n", form, accounts, ROWS / seconds);
}

int main(void)
{
    static const uint32_t accounts[] = {10000, 1000000, 10000000};
    struct batch batch;
    struct synth_row row;
    MUST(batch_init(&batch, synth_arena_bytes(BATCH_ROWS), NULL) == FAULT_NONE);
    for (int i = 0; i < 3; i++) {
        struct synth *synth = synth_of(accounts[i]);
        int64_t begun_ns = clock_steady_ns();
        while (synth_row_next(synth, &row))
            continue;
        figure("rows", accounts[i], begun_ns);
        synth_close(&synth);
        synth = synth_of(accounts[i]);
        begun_ns = clock_steady_ns();
        while (synth_next(synth, &batch, BATCH_ROWS, NULL) == FAULT_NONE && batch.row_count > 0)
            continue;
        figure("columns", accounts[i], begun_ns);
        synth_close(&synth);
    }
    batch_fini(&batch);
    return 0;
}
