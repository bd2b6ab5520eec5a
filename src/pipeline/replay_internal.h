#ifndef SLUICE_PIPELINE_REPLAY_INTERNAL_H
#define SLUICE_PIPELINE_REPLAY_INTERNAL_H

#include "pipeline/internal.h"
#include "pipeline/label_table.h"
#include "pipeline/replay.h"

/* What the files of replay share. Threads: a reader (frames in order: decode, check, fill), the caller's (history, then results in
 * order), workers (slices, then what is done with a whole batch). */

enum { REPLAY_JOBS = 64 };
#define REPLAY_BYTES_MAX (1ull << 29) /* of batches in memory at once, unless one alone has more */

struct replay_job {
    struct job job;      /* job.batch: the batch again; without memory when it is only walked */
    struct batch stored; /* as the frame has it */
    struct stored_names *names;
    char tenant[129];
    bool is_replayed, is_scored, differs;
    uint64_t rows_differ;
    struct replay_difference difference;
    size_t bytes;
    bool is_done; /* under the replay's lock */
};

struct replay_plan {   /* what a look at the index says */
    uint64_t from, to; /* sequences */
    uint64_t rows;     /* from where history begins to the end */
    uint64_t *labels;  /* sequences of label batches, newest first */
    uint64_t label_count, label_capacity;
};

struct replay {
    const struct replay_options *options;
    struct replay_result *out;
    struct fault_note *note;
    struct pipeline *pipeline; /* of which nothing runs: ledger, history, workers' memory */
    struct replay_plan plan;
    struct config *strategy; /* of strategy_path */
    bool strategy_has_levels, strategy_is_whole;
    struct label_table labels;

    struct thread reader;
    struct replay_epoch { /* the reader's: around a change batches of two epochs take turns in the log */
        struct epoch *epoch;
        struct digest document;
    } epochs[EPOCHS_MAX]; /* the last one used comes first */
    enum fault reader_fault;
    struct fault_note reader_note;

    struct queue ready, free_jobs, slices;
    struct replay_job *jobs;
    struct replay_job *order[REPLAY_JOBS]; /* scored or being so, in order */
    uint32_t order_first, order_count;

    pthread_mutex_t lock; /* what follows, and the sums of out */
    pthread_cond_t changed;
    uint64_t bytes;
    bool stopping;
    enum fault worker_fault;
    struct fault_note worker_note;
    struct replay_scored *recorded, *again; /* labelled rows */
    uint32_t labelled, labelled_capacity;
};

/* replay_plan.c */
enum fault replay_plan_make(struct replay *replay);
enum fault replay_plan_start(struct replay *replay); /* history stands before the span then */
enum fault replay_rows_expect(struct replay *replay);
enum fault replay_labels_read(struct replay *replay);

/* replay_epochs.c */
enum fault replay_strategy_open(struct replay *replay, struct fault_note *note);
enum fault replay_config_of(struct config **out, struct stored_names **names, struct replay *replay, const struct ledger_batch *line,
                            struct fault_note *note);
enum fault replay_epoch(struct replay *replay, const struct ledger_batch *line, struct fault_note *note); /* comes to stand first */
void replay_epochs_release(struct replay *replay);

/* replay_again.c */
enum fault replay_batch_again(struct replay *replay, struct replay_job *job, struct fault_note *note); /* check and fill */

/* replay_compare.c */
void replay_compare(struct replay_job *job, bool results); /* the columns of facts, and of results too */

/* replay_tally.c */
enum fault replay_tally_batch(struct replay *replay, const struct replay_job *job, struct fault_note *note); /* any worker */
void replay_tell_switched(const struct replay *replay, const struct replay_job *job);
enum fault replay_tally_end(struct replay *replay, struct fault_note *note);

#endif
