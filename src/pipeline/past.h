#ifndef SLUICE_PIPELINE_PAST_H
#define SLUICE_PIPELINE_PAST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "feature/feature.h"
#include "pipeline/config.h"

/* Past transfers of a file, in its order, on the same way as a running server's: check, fill, history, features. Labels act
 * after the feedback delay, as those of imported rows. One thread. */

enum { PAST_OBSERVATIONS_MAX = 8 };

struct past_observations {
    enum observe_kind kind;
    const char *path;
};

struct past_options {
    const char *path; /* .csv or .jsonl with a column time; "-": standard input */
    bool is_ledger;   /* path is a ledger's folder (past_ledger.h), and only wanted, from_us and kernels count besides */
    uint32_t observation_count;
    struct past_observations observations[PAST_OBSERVATIONS_MAX]; /* told to history when their time comes */
    const struct config *config;                                  /* currencies, limits, history; NULL: defaults, currency EUR */
    bool server_keys; /* keys of config's ledger (no server runs on it) and tenant: figures are then that server's */
    uint32_t tenant_index;
    int64_t delay_us;    /* feedback delay */
    uint32_t batch_rows; /* rows taken as one batch: what batch-scope features see */
    struct feature_set wanted;
    int64_t from_us; /* features are worked out of slices that reach this time */
    const struct kernels *kernels;
};

struct past_slice {
    const struct batch *batch; /* valid until the next call */
    uint32_t first, count;     /* rows of the batch; count 0: the end */
    bool has_features;
    struct feature_block features; /* row first + i at index i */
    const struct figures *figures; /* the same */
};

struct past;

enum fault past_open(struct past **out, const struct past_options *options, struct fault_note *note);
enum fault past_next(struct past *past, struct past_slice *out, struct fault_note *note);
void past_close(struct past **past_p); /* safe on NULL */
uint64_t past_rows(const struct past *past), past_rows_invalid(const struct past *past);
const char *past_first_check(const struct past *past); /* why the first invalid row is invalid; "" when none is */

/* First and last time in a file; last_us is one past. FAULT_schema without rows or times. */
enum fault past_span(int64_t *first_us, int64_t *last_us, const char *path, struct fault_note *note);

#endif
