#ifndef SLUICE_COMMAND_FEED_H
#define SLUICE_COMMAND_FEED_H

#include "base/file.h"
#include "batch/batch.h"
#include "command/command.h"

/* The rows of a file to a server, in batches, several in flight; answers are seen in the order of the file. */

struct feed_options {
    const char *name;            /* of the command, for messages */
    const char *path;            /* .csv, .jsonl, "-" (either of both), or .columns: one saved request */
    const struct file_map *held; /* of a pain.001: its bytes, already read; NULL: read them */
    enum op op;
    enum observe_kind observe_kind;
    const char *id_prefix; /* NULL: ids come from the content, so that the same rows sent again are the same request */
    uint32_t batch_rows;
    int64_t deadline_ms;
    const char *save_path; /* write the request there instead of sending it; one batch */
    bool quiet;            /* no progress */
    struct connect_options connect;
};

struct feed_answer {
    const struct batch *batch; /* as sent */
    const struct sluice_reply *reply;
    uint64_t first_row; /* of the file */
};
struct feed_totals {
    uint64_t rows, batches, notes;
    double seconds; /* from the first batch sent to the last answered */
};

extern const struct argp feed_argp; /* FILE, --id, --batch-rows, --in-flight, --deadline, --save, --quiet; child connect_argp */
#define FEED_OPTIONS_DEFAULT ((struct feed_options){.batch_rows = 10000, .connect = {.in_flight = 4}})

/* each: called for every answered batch in order. Stops at the first fault, tells it, and returns the exit status. */
int feed_run(const struct feed_options *options, void (*each)(void *context, const struct feed_answer *answer), void *context,
             struct feed_totals *totals);

int feed_hand_over(struct feed_options *feed); /* rows that are taken, not screened; tells how many */

/* Progress on stderr when that is a terminal; at most 10 lines a second, rubbed out at the end. total 0: not known. */
struct progress {
    int64_t begun_ns, shown_ns;
    uint64_t total;
    bool enabled;
};
void progress_begin(struct progress *progress, uint64_t total, bool quiet);
void progress_show(struct progress *progress, uint64_t done, bool last);

#endif
