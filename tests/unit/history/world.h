#ifndef SLUICE_TESTS_UNIT_HISTORY_WORLD_H
#define SLUICE_TESTS_UNIT_HISTORY_WORLD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "history/history.h"

/* Random streams of rows, labels and observations, and what every test of history needs around them. */

#define DAY_US   86400000000LL
#define START_US (17700 * DAY_US + 3600000000LL)

static uint64_t world_state;

static inline uint64_t world_seed(void)
{
    const char *text = getenv("SLUICE_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : 20180401;
    printf("seed %llu (SLUICE_SEED)\n", (unsigned long long)seed);
    return seed;
}

static inline uint64_t world_random(void)
{
    uint64_t x = world_state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static inline uint64_t world_below(uint64_t bound)
{
    return world_random() % bound;
}

enum { STREAM_MAX = 6000 };

struct stream { /* rows in columns, as facts have them */
    uint32_t count;
    uint64_t payer[STREAM_MAX], payee[STREAM_MAX];
    uint64_t payer_device[STREAM_MAX], payee_device[STREAM_MAX], payer_address[STREAM_MAX], payee_address[STREAM_MAX];
    uint32_t payer_network[STREAM_MAX], payee_network[STREAM_MAX];
    int64_t amount[STREAM_MAX], time_us[STREAM_MAX], label_time[STREAM_MAX];
    uint8_t invalid[STREAM_MAX], label[STREAM_MAX];
    uint8_t label_time_valid[STREAM_MAX / 8 + 1];
};

struct stream_shape {
    uint32_t count, accounts, devices;
    int64_t step_us; /* mean time between rows */
    int64_t late_us; /* how late late rows are at the most; 0: none */
    bool label_times;
    int64_t pause_us; /* now and then nothing happens for so long */
};

static inline int64_t world_amount(void)
{
    switch (world_below(8)) {
    case 0:
        return (int64_t)world_below(INT64_C(1) << 50);
    case 1:
        return (int64_t)world_below(100) * 10000;
    default:
        return (int64_t)world_below(1000000);
    }
}

static inline uint64_t world_account(uint32_t accounts) /* some are far busier than others */
{
    uint64_t a = world_below(accounts), b = world_below(accounts);
    return 1 + (a < b ? a : b) * (world_below(2) ? 1 : 0);
}

static inline void stream_fill(struct stream *out, const struct stream_shape *shape)
{
    int64_t now = START_US;
    memset(out, 0, sizeof *out);
    out->count = shape->count;
    for (uint32_t i = 0; i < shape->count; i++) {
        now += (int64_t)world_below((uint64_t)shape->step_us * 2);
        if (shape->pause_us && world_below(60) == 0)
            now += shape->pause_us;
        bool is_late = shape->late_us && world_below(12) == 0;
        out->time_us[i] = is_late ? now - (int64_t)world_below((uint64_t)shape->late_us) : now;
        out->payer[i] = world_account(shape->accounts);
        out->payee[i] = world_below(40) ? 1 + world_below(shape->accounts) : out->payer[i];
        out->amount[i] = world_amount();
        out->payer_device[i] = world_below(3) ? 1 + world_below(shape->devices) : 0;
        out->payee_device[i] = world_below(3) ? 0 : 1 + world_below(shape->devices);
        out->payer_address[i] = world_below(3) ? 1 + world_below(shape->devices) : 0;
        out->payee_address[i] = world_below(3) ? 0 : 1 + world_below(shape->devices);
        out->payer_network[i] = world_below(2) ? 1 + (uint32_t)world_below(5) : 0;
        out->payee_network[i] = world_below(4) ? 0 : 1 + (uint32_t)world_below(5);
        out->invalid[i] = world_below(50) == 0;
        out->label[i] = (uint8_t)(world_below(4) ? world_below(2) : 2);
        if (shape->label_times && world_below(2)) {
            out->label_time[i] = out->time_us[i] + (int64_t)world_below(20 * DAY_US);
            out->label_time_valid[i / 8] |= (uint8_t)(1 << i % 8);
        }
    }
}

static inline void stream_batch(struct batch *out, struct stream *stream, enum op op)
{
    memset(out, 0, sizeof *out);
    out->magic = BATCH_MAGIC;
    out->op = op;
    out->row_count = stream->count;
    out->facts = (struct batch_facts){
        .payer = stream->payer,
        .payee = stream->payee,
        .payer_device = stream->payer_device,
        .payee_device = stream->payee_device,
        .payer_address = stream->payer_address,
        .payee_address = stream->payee_address,
        .payer_network = stream->payer_network,
        .payee_network = stream->payee_network,
        .amount = stream->amount,
        .time_us = stream->time_us,
        .invalid = stream->invalid,
        .label = op == OP_import ? stream->label : NULL,
    };
    if (op == OP_import)
        out->columns[COLUMN_label_time] =
            (struct column){.form = FORM_I64, .data = (const unsigned char *)stream->label_time, .valid = stream->label_time_valid};
}

/* --- figures ---------------------------------------------------------------------------------------------------------- */

struct figure_rows { /* row by row, of a whole stream */
    float (*row)[FIGURE_COUNT];
};

static inline struct figure_rows figure_rows_take(uint32_t count)
{
    return (struct figure_rows){.row = calloc(count, sizeof(float[FIGURE_COUNT]))};
}

static inline struct figures figures_take(void)
{
    struct figures figures;
    for (unsigned f = 0; f < FIGURE_COUNT; f++)
        figures.column[f] = calloc(SLICE_ROWS, sizeof(float));
    return figures;
}

static inline void figures_give(struct figures *figures)
{
    for (unsigned f = 0; f < FIGURE_COUNT; f++)
        free(figures->column[f]);
}

/* Rows [first, first + count) in cuts of at most cut rows. */
static inline void relate_cut(struct figure_rows *out, struct history *history, const struct batch *batch, uint32_t first, uint32_t count,
                              uint32_t cut, int64_t delay_us, bool add)
{
    struct figures figures = figures_take();
    for (uint32_t at = first; at < first + count;) {
        uint32_t rows = first + count - at < cut ? first + count - at : cut;
        history_memory.relate(history, batch, at, rows, delay_us, add, &figures);
        for (uint32_t i = 0; i < rows; i++)
            for (unsigned f = 0; f < FIGURE_COUNT; f++)
                out->row[at + i][f] = figures.column[f][i];
        at += rows;
    }
    figures_give(&figures);
}

static inline struct history *history_of(uint64_t accounts, uint64_t events, uint64_t busy, uint64_t links, uint64_t places)
{
    struct history *history;
    struct fault_note note = {0};
    const struct history_limits limits = {
        .accounts_max = accounts, .events_max = events, .busy_max = busy, .links_max = links, .places_max = places};
    if (history_memory.open(&history, &limits, &note) != FAULT_NONE) {
        fprintf(stderr, "%s\n", note.text);
        abort();
    }
    return history;
}

#endif
