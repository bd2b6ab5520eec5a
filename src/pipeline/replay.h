#ifndef SLUICE_PIPELINE_REPLAY_H
#define SLUICE_PIPELINE_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "batch/batch.h"

/* `sluice replay`: what a ledger recorded, once more. History is rebuilt from a snapshot and the log; batches go the server's
 * own way (check, fill, history in order, slices in parallel) under the configuration and the base of their time, or another
 * base. The ledger is only read, beside a server or not. */

enum { REPLAY_NAMES_MAX = 64 }; /* of scenes and of tenants that are told apart; the rest share the last place */

struct replay_row { /* whose verdict is another one under the new base; borrowed during the call */
    uint64_t sequence;
    const char *tenant;
    struct text batch, transfer;
    int64_t time_us, amount; /* reference minor units */
    enum verdict recorded, again;
    const char *recorded_scene, *again_scene;
    float recorded_risk, again_risk;
    uint8_t label; /* 0 unknown, 1 good, 2 risky */
};

struct replay_options {
    const char *folder;
    uint64_t from_sequence, to_sequence; /* 0: not given */
    int64_t from_us, to_us;              /* of a batch's time, to exclusive; INT64_MIN, INT64_MAX: not given */
    const char *device;                  /* all give the same bits */
    unsigned cpu_mask;
    uint32_t workers;          /* 0: one per cpu */
    const char *base_path;     /* NULL: the bases of the ledger */
    const char *strategy_path; /* levels, strategy, countermeasures, and of a whole configuration classes and rules of its tenants, that
                                * hold instead; NULL: those of the time. Neither of both: verify */
    void (*progress)(void *context, uint64_t rows, uint64_t rows_all);
    void (*switched)(void *context, const struct replay_row *row); /* in order; NULL: nobody asks */
    void *context;
};

struct replay_difference {
    uint64_t sequence;
    uint32_t row; /* ROW_NONE: of the batch as a whole */
    char tenant[129], id[129], transfer[129];
    char column[32], recorded[48], again[48];
};

struct replay_quality { /* of labelled rows against their labels */
    uint64_t labelled, risky, alerts, alerts_right;
    double average_precision; /* NAN without risky rows */
};

struct replay_scored { /* one labelled row */
    float risk;
    uint8_t risky, alerted;
};
enum fault replay_measure(struct replay_quality *out, const struct replay_scored *rows, uint32_t row_count, struct fault_note *note);

struct replay_sum {
    uint64_t rows;
    int64_t amount; /* reference minor units */
};

struct replay_result {
    uint64_t from_sequence, to_sequence, history_sequence; /* history began behind the last */
    int64_t from_us, to_us;                                /* times of the first and the last batch */
    uint64_t batches, rows, screened, history_rows;        /* replayed; only walked into history */
    uint32_t epochs;                                       /* configurations and bases that took turns */
    double seconds;                                        /* of the batches that were replayed, and of all, history included */
    double seconds_all;
    /* verify */
    uint64_t batches_differ, rows_differ;
    struct replay_difference first; /* when batches_differ */
    /* backtest */
    char base_name[64], base_version[64], base_digest[33], currency[4];
    int currency_digits;
    uint32_t scene_count, tenant_count;
    char scenes[REPLAY_NAMES_MAX][64], tenants[REPLAY_NAMES_MAX][129];
    struct replay_sum agreement[VERDICT_COUNT][VERDICT_COUNT]; /* [recorded][again] */
    struct replay_sum by_tenant[REPLAY_NAMES_MAX][2][VERDICT_COUNT];
    struct replay_sum by_scene[REPLAY_NAMES_MAX][2][VERDICT_COUNT]; /* of rows that did not pass, by what stopped them */
    uint64_t labels;
    struct replay_quality recorded, again;
};

static inline bool replay_verifies(const struct replay_options *options)
{
    return !options->base_path && !options->strategy_path;
}
enum fault replay_run(struct replay_result *out, const struct replay_options *options, struct fault_note *note);

#endif
