#ifndef SLUICE_HISTORY_HISTORY_H
#define SLUICE_HISTORY_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/hash.h"
#include "batch/batch.h"

/* What is remembered of accounts, pairs, devices and addresses: a function of the log alone. One thread owns it
 * (relate, apply, save, load); the same calls in the same order give the same bits anywhere. Its tables are taken whole
 * at open and never grow. */

enum figure_id {
#define FIGURE(name, text) FIGURE_##name,
#include "history/figures.tbl"
#undef FIGURE
    FIGURE_COUNT
};
extern const char *const figure_names[FIGURE_COUNT];

struct history_limits {
    uint64_t accounts_max;  /* accounts remembered before the longest idle give way */
    uint64_t events_max;    /* recent events in the rings of small accounts, all together */
    uint64_t busy_max;      /* accounts with bucket records */
    uint64_t links_max;     /* pairs, account-device, account-address, contacts */
    uint64_t places_max;    /* devices and addresses */
    uint64_t listed_max;    /* accounts, devices and addresses on lists; 0: none can be */
    uint64_t transfers_max; /* ids of screened transfers, so that a second one is noticed; 0: none are kept */
};
size_t history_bytes(const struct history_limits *limits); /* what open will take, and save or load meanwhile */
#define HISTORY_DELAY_MAX_US  (15 * 86400000000LL)
#define HISTORY_WINDOW_MAX_US (30 * 86400000000LL)

struct figures { /* one slice's; each column SLICE_ROWS floats, 64-byte aligned */
    float *column[FIGURE_COUNT];
};
enum { FIGURE_COLUMN_FLOATS = SLICE_ROWS + 16 }; /* from one column to the next: a page apart all would lie in one set of a cache */

struct history_label {
    uint64_t payer, payee, payer_device, payee_device;
    int64_t time_us, amount, delay_us;
    uint8_t before, after;
};
struct history_counts {
    uint64_t accounts, busy, events, links, places, transfers, listed;
    uint64_t evicted;       /* records that gave way */
    uint64_t bytes;         /* history_bytes of its limits */
    uint64_t dropped;       /* events, bucket records and waiting labels given up because a pool was used up */
    uint64_t account_bytes; /* accounts with what their rings and bucket records take, and the tables' slack */
};

struct history;
/* delay_us of a tenant: how long a label takes to be known (≤ HISTORY_DELAY_MAX_US). */
struct history_ops {
    const char *name;
    enum fault (*open)(struct history **out, const struct history_limits *limits, struct fault_note *note);
    void (*close)(struct history **history_p);
    /* Rows [first, first + count) of a screen, score or import batch: reads each row's figures into out (row i at
     * index i - first), then, when add, counts the row. Invalid rows are neither read (figures stay unknown) nor added.
     * Rows of screen and score get their flags. For imports out may be NULL. Labels of imported rows (facts.label) act with delay_us.
     */
    void (*relate)(struct history *history, const struct batch *batch, uint32_t first, uint32_t count, int64_t delay_us, bool add,
                   struct figures *out);
    /* Observation rows of an observe batch. */
    void (*observe)(struct history *history, const struct batch *batch);
    /* Entries of a list.put or list.remove batch. Returns how many do not fit; these rows become invalid. */
    uint32_t (*list)(struct history *history, struct batch *batch);
    /* A label for a transfer that is in history (or has left it: then nothing). before/after: 0 unknown, 1 good, 2 risky. */
    void (*label)(struct history *history, const struct history_label *label);
    struct digest (*state_digest)(const struct history *history); /* over everything that save writes */
    /* The whole state behind the sequence it holds, to and from a file; load into a freshly opened one of the same limits. */
    enum fault (*save)(const struct history *history, uint64_t sequence, const char *path, struct fault_note *note);
    enum fault (*load)(struct history *history, uint64_t *sequence, const char *path, struct fault_note *note);
    void (*count)(const struct history *history, struct history_counts *out);
};
extern const struct history_ops history_memory;

/* What the head of a snapshot says: the sequence it holds all up to, and its limits. false: no snapshot that this program reads. */
bool history_snapshot_peek(uint64_t *sequence, struct history_limits *limits, const char *path);

#endif
