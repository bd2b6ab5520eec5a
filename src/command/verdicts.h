#ifndef SLUICE_COMMAND_VERDICTS_H
#define SLUICE_COMMAND_VERDICTS_H

#include <stdio.h>

#include "batch/batch.h"
#include "command/command.h"

/* Verdicts of answered batches, row by row, to a file: as a table for people, as CSV, as JSON lines. */

enum verdicts_format { VERDICTS_TABLE, VERDICTS_CSV, VERDICTS_JSONL };
enum { VERDICTS_SCENES_MAX = 64, VERDICTS_TABLE_ROWS = 50 };

struct verdicts {
    enum verdicts_format format;
    FILE *out, *scores;       /* scores NULL: none */
    bool all, held, passed;   /* which rows are shown */
    uint64_t rows_max;        /* shown at the most; 0: no end */
    uint64_t shown, left_out; /* rows that fit the choice */
    uint64_t counts[VERDICT_COUNT];
    struct {
        char name[64];
        uint64_t count;
    } scenes[VERDICTS_SCENES_MAX]; /* of rows that did not pass by a scene */
    uint32_t scene_count;
    char base[160], kernel[64];
};

/* false: the reply has no verdicts. */
bool verdicts_print(struct verdicts *verdicts, const struct batch *batch, const struct sluice_reply *reply);
/* Counts per verdict and scene; rows/s over seconds. */
void verdicts_summary(const struct verdicts *verdicts, FILE *out, uint64_t rows, double seconds);

void text_csv_print(FILE *out, struct text text);  /* quoted where needed */
void text_json_print(FILE *out, struct text text); /* with its quotes; what is not UTF-8 becomes U+FFFD */

#endif
