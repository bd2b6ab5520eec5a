#ifndef SLUICE_PIPELINE_INTERNAL_H
#define SLUICE_PIPELINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/thread.h"
#include "batch/batch.h"
#include "compute/device.h"
#include "feature/feature.h"
#include "history/history.h"
#include "intake/intake.h"
#include "ledger/ledger.h"
#include "pipeline/arena_pool.h"
#include "pipeline/config.h"
#include "pipeline/metrics.h"
#include "pipeline/outbox.h"
#include "pipeline/pipeline.h"
#include "pipeline/steps.h"
#include "scene/drift.h"
#include "scene/scene_base.h"
#include "verdict/verdict.h"
#include "wire/wire.h"

/* What the files of this room share. Threads: dispatchers (the server's, in pipeline_request), workers (decode to fill,
 * slices, encoding), one history thread (relate, in sequence order), one ledger thread (commit, in sequence order),
 * one asker (reads of the ledger), one explainer, one timer (waits that ended, snapshots), a few for each associated
 * system (associates.c). */

struct pipeline;

/* One configuration with its base, made ready. A batch is checked, scored and decided wholly under one epoch; the last
 * batch that leaves gives it to the grave, which the timer empties: no thread on a batch's way gives so much memory back. There
 * are EPOCHS_MAX at the most: the running one, the one kept for a rollback, a challenger, the next, and one that batches still use; without
 * changes of the base two. */
struct epoch {
    struct pipeline *pipeline;
    atomic_uint users;
    uint64_t number;
    struct config *config;   /* owned */
    struct scene_base *base; /* owned; NULL: only checks decide */
    bool base_is_kept;       /* in the ledger's folder, or there is none: epoch_keep need not */
    struct epoch *next_dead;
    struct device *device; /* owned */
    const struct device_ops *device_ops;
    const struct kernels *kernels;
    struct resident *resident;  /* NULL without base */
    struct scratch **scratches; /* one for each worker; NULL without base */
    struct drift *drift;        /* owned; NULL without base */
    struct strategy strategy;   /* the configuration's, bound to the base */
    struct intake_rules intake; /* key_seed is per tenant, below */
    uint64_t key_seed[TENANTS_MAX];
    struct tenant_line *lines[TENANTS_MAX];
    struct wire_buffer document; /* the names below, as the ledger keeps them for later replies */
    struct digest digest;        /* of the document: what the ledger keeps per batch */
    char base_hex[33], config_hex[33];
    struct reply_names names; /* tables of this epoch; pointers into the epoch */
    const char *scene_names[SCENES_MAX], *risk_names[RISK_TYPES_MAX], *measure_names[COUNTERMEASURES_MAX];
    char measure_texts[COUNTERMEASURES_MAX][COUNTERMEASURE_BYTES];
    const char *feature_names[FEATURE_COUNT], *rule_names[RULES_MAX + 1];
    struct decide_rule rules[RULES_MAX + 1]; /* by number */
};

enum { EPOCHS_MAX = 5, EPOCHS_RELOADED = 2, LINES_MAX = EPOCHS_MAX * TENANTS_MAX };

/* What one job does to the bases: the bases' thread's, but for the time between the sequence and `over`. */
struct base_change {
    struct ledger_base_change record;
    struct epoch *epoch; /* that becomes the running one; NULL: none does */
    bool is_known;       /* nothing had to be done, and nothing is recorded */
    bool acted, over;    /* over: under bases.lock */
};

struct bases {          /* bases.c */
    struct queue queue; /* of jobs */
    struct thread thread;
    pthread_mutex_t change_lock; /* one change of the running epoch at a time: by a base or a reload */
    pthread_mutex_t lock;        /* what follows */
    pthread_cond_t changed;
    bool by_log;                  /* the log says which base is active, else the configuration */
    struct digest active, before; /* zeros: none */
    bool has_before;
    struct epoch *kept; /* of `before`, ready: held */
    struct epoch *dead; /* nobody uses them any more */
};
enum { BASE_QUESTIONS_MAX = 16 };

struct challengers {      /* challenger.c */
    pthread_mutex_t lock; /* guards the pointer alone */
    struct challenger *now;
    atomic_bool on, needs_batch_scope;
};

/* Those of one tenant between the line and their sequence, in order of receipt; under sequence_lock. */
struct order {
    struct job *first, *last;
};

/* Held and rejected rows of late, of one tenant; under line_lock but for acts. */
enum { BRAKE_BUCKETS = 12 };
struct brake {
    uint64_t rows[BRAKE_BUCKETS], held[BRAKE_BUCKETS];
    int64_t bucket; /* the newest, since the clock began */
    atomic_bool acts;
    struct config_brake rules; /* of the batch that was counted last */
};

/* The waiting line of one tenant; lines are served in turn, by rows and weight. Guarded by the pipeline's line_lock. */
struct tenant_line {
    char name[129];
    uint32_t weight, epochs; /* epochs that name it; 0: free */
    struct job *first, *last;
    uint32_t waiting, in_flight;
    uint64_t turn; /* rows served, over weight */
    struct brake brake;
    struct order changes, labels; /* labels: until they wait for their claim */
    int64_t score_paid_ns;        /* until then the minutes are used up by rows that were scored */
};

struct slice {
    struct job *job;
    uint32_t index, first, count;
    struct figures figures; /* columns of its own memory */
};

struct job { /* one request on its way; owned by the list or thread that holds it */
    unsigned magic;
    struct pipeline *pipeline;
    const void *message;
    size_t message_bytes;
    struct delivery delivery;
    struct request request;
    struct tenant_line *line;
    uint32_t tenant_index;
    unsigned rights;
    int64_t received_ns, deadline_ns;   /* deadline 0: none */
    int64_t waited_ns;                  /* in the tenant's line */
    size_t reserved_bytes, arena_bytes; /* the arena's are part of the reserved */
    struct epoch *epoch;
    struct batch batch;
    uint32_t ask_index;            /* which system of its profile is asked next */
    uint8_t *unanswered;           /* rows that are held since one did not answer; NULL: none. In the arena */
    const struct profile *profile; /* of the epoch; NULL: none, the batch speaks in Sluice's own words */
    enum batch_step step;
    bool in_flight_counted, registered, sequenced, holds_labels, labels_counted;
    uint64_t stored_sequence; /* answer the stored reply of this sequence */
    atomic_uint slices_left;
    pthread_mutex_t arena_lock; /* guards the arena while slices are decided, and note */
    struct fault_note note;
    uint32_t verdict_counts[VERDICT_COUNT];
    uint32_t monitored_held, abnormal; /* rows of screen */
    struct frame *frame;
    struct wire_buffer reply;
    const struct config_credential *credential; /* of the epoch's configuration, or: */
    struct config_credential own;               /* of a user who signed on */
    struct base_change *change;                 /* NULL: it does nothing to bases */
    struct job_life *life;                      /* what it does to the life of a batch; NULL: nothing */
    struct outbox outbox;                       /* what it makes leave for connectors */
    struct order *order;                        /* where it stands; NULL: nowhere */
    struct job *order_before, *order_next;
    bool filled; /* waits in order for those before it; under sequence_lock */
    struct job *next, *twins;
    struct job *flying_before, *flying_next; /* of all that is in flight, under line_lock */
};
enum { JOB_MAGIC = 0x50b5a11d };

struct worker {
    struct pipeline *pipeline;
    struct thread thread;
    uint32_t index;
    struct feature_block features;
    float *feature_memory;
    void *decide_scratch;
    struct kept_slices *kept; /* for the challenger; NULL: none can be */
    bool under_load;          /* batches wait in line */
    void *rules_scratch;      /* grown to the largest rules seen */
    size_t rules_bytes;
    uint64_t *hashes; /* digest scratch, grown to the largest batch seen */
    uint32_t hash_capacity;
};

struct pipeline {
    unsigned magic;
    const struct ledger_ops *ledger_ops;
    const struct history_ops *history_ops;
    struct ledger *ledger;
    struct history *history;
    struct outward *outward;       /* NULL: nothing leaves by itself */
    struct alarms *alarms;         /* NULL: nobody is told */
    struct signed_on *signed_on;   /* NULL: nobody signs on */
    struct associates *associates; /* NULL: nobody is asked */
    char ledger_folder[256];
    struct metrics metrics;

    pthread_mutex_t epoch_lock; /* guards the pointer alone */
    struct epoch *epoch;
    uint64_t epoch_count;
    atomic_uint epochs; /* that are there */

    pthread_mutex_t line_lock; /* lines, in-flight counts, memory budget, drain */
    pthread_cond_t line_changed, idle;
    struct job *flying;
    struct tenant_line lines[LINES_MAX];
    uint32_t line_count, waiting, in_flight, in_flight_max;
    uint64_t turn;                                      /* of the line served last */
    int64_t request_ns;                                 /* what a batch takes from receipt to reply, of late */
    uint64_t total_bytes, budget_bytes, reserved_bytes; /* total: of the whole process, computed */
    size_t reply_bytes_max;
    struct arena_pool arenas;
    int64_t queue_wait_ns_max, reload_wait_ns;
    bool draining, stopping;

    pthread_mutex_t registry_lock; /* ids in flight */
    struct job **registry;         /* in_flight_max places */
    uint32_t registry_count;

    pthread_mutex_t sequence_lock; /* sequence, now, order into history */
    uint64_t sequence_next;
    int64_t now_last_us;
    bool recovering, label_uncommitted;
    struct job *labels_parked, *labels_parked_last;

    struct bases bases;
    struct challengers challengers;
    struct queue history_queue, slice_pool, ask_queue, explain_queue;
    atomic_uint questions; /* of the ask queue, at most QUESTIONS_MAX; repeats are as many as may be in flight */
    struct worker *workers;
    uint32_t worker_count;
    bool bases_may_change; /* a credential has the right model at start */
    /* Work for workers, guarded by line_lock: slices first, then encoding, then the tenants' lines. */
    struct slice **slices_ready;
    uint32_t slice_count, slices_head, slices_waiting;
    struct slice *slice_memory;
    float *figure_memory;
    struct job *encode_first, *encode_last;

    pthread_mutex_t record_lock; /* finished batches on their way into the ledger, by sequence */
    pthread_cond_t record_changed;
    struct job **record_ring;
    uint32_t record_capacity;
    uint64_t record_next; /* the sequence that commits next */
    uint32_t record_waiting;
    bool record_stopping, record_failing;
    uint32_t commit_batches_max;

    atomic_uint_fast64_t history_pending, sequenced_pending, progress;
    atomic_uint asking;           /* batches that wait for associated systems: slow, but alive */
    atomic_uint labels_resolving; /* label batches that walk the ledger, or wait for one that does: slow, but alive */
    struct thread history_thread, ledger_thread, ask_thread, explain_thread, timer_thread;
    bool locks_ready;
    uint64_t rows_since_snapshot, history_sequence; /* the history thread's */
    int64_t snapshot_ns, snapshot_interval_ns;
    atomic_uint_fast64_t snapshot_sequence; /* the last one saved or loaded holds all up to it */
    int64_t retention_us;                   /* 0: rows are kept for ever */
    uint64_t retained_sequence;             /* the timer's: nothing more can go behind this snapshot */
    struct ledger_due due_cursor;           /* the bases' thread's: whose time is looked at next */
    int64_t due_told_ns;
    struct history_limits history_limits;
    uint64_t alive_progress; /* of pipeline_alive, under line_lock */
    int64_t alive_ns;
    bool opened;                                                /* whatever comes is answered: close drains first */
    atomic_bool ready;                                          /* history is what the ledger says */
    atomic_bool records;                                        /* the ledger does: its last commit, or a look at it, succeeded */
    char record_fault[sizeof((struct fault_note *)NULL)->text]; /* why it does not; under line_lock */
    struct history_counts history_counts;                       /* after the last batch; under line_lock, as the next */
    struct digest history_digest;                               /* when it was read last, for `stats` */
};
enum { PIPELINE_MAGIC = 0x919e11e0 };

/* Its name is asked for later, so it is given once; other ops may use it too, and stand behind. */
static inline bool op_takes_name(enum op op)
{
    return op == OP_screen || op == OP_import;
}

/* pipeline.c */
bool locks_init(struct pipeline *pipeline);
void locks_fini(struct pipeline *pipeline);
bool slices_take(struct pipeline *pipeline, uint32_t count);
void slices_give(struct pipeline *pipeline);
enum fault pipeline_open_on(struct pipeline **out, const struct config *config, const struct ledger_ops *ledger_ops,
                            struct fault_note *note);

/* bounds.c */
bool bounds_bases_may_change(const struct config *config);
struct memory_bounds { /* bytes */
    uint64_t history, sockets, stored, epochs, workers, fixed, idle_arenas, batches, total;
    uint64_t max;     /* that the total may have */
    uint64_t largest; /* what the largest batch of the limits reserves, of what batches have */
};
void bounds_compute(struct memory_bounds *out, const struct config *config);
void bounds_add_active(struct memory_bounds *bounds, const struct config *config, const struct scene_base *active);
void bounds_tell(char *out, size_t out_bytes, const struct memory_bounds *bounds);
enum fault bounds_check(const struct memory_bounds *bounds, const struct config *config, struct fault_note *note);
uint32_t bounds_worker_count(const struct config *config);
uint32_t bounds_slice_count(const struct config *config);
uint32_t bounds_reader_count(const struct config *config);
uint64_t bounds_reply_bytes(const struct config *config); /* of the largest reply */
uint64_t bounds_body_bytes(const struct config *config);  /* of the largest second batch as JSON that is sent */
size_t bounds_reply_of(const struct reply_names *names, uint32_t row_count, size_t message_bytes, bool in_rows);
enum fault bounds_reserve(struct job *job); /* reserved_bytes and arena_bytes of a batch; FAULT_limit: its reply could be too large */

/* epoch.c */
/* Takes over base (NULL: none) in every case. */
enum fault epoch_make(struct epoch **out, struct pipeline *pipeline, const struct config *config, struct scene_base *base,
                      struct fault_note *note);
struct epoch *epoch_hold(struct pipeline *pipeline); /* the current one */
void epoch_release(struct epoch **epoch_p);
struct epoch *epoch_swap(struct pipeline *pipeline, struct epoch *epoch); /* gives the one before: epoch_release */
void epochs_bury(struct pipeline *pipeline);                              /* frees what nobody uses */
/* Waits a while until there are fewer than count, the kept one aside, and batches are within their budget; FAULT_busy: they are not. */
enum fault epoch_await_room(struct pipeline *pipeline, uint32_t count, struct fault_note *note);
enum fault epoch_keep(struct pipeline *pipeline, const struct epoch *epoch, struct fault_note *note); /* documents, for later replies */
enum { STORED_FEATURES_MAX = 1024 };
struct stored_names { /* of an epoch that may be long gone */
    struct reply_names names;
    void *memory;
    const char *tables[4][256], *features[STORED_FEATURES_MAX];
    uint32_t threshold_count; /* of the scenes; 0: not kept, or there was no base */
    float thresholds[SCENES_MAX], anomaly_thresholds[ANOMALY_COUNT];
};
enum fault epoch_names_stored(struct stored_names **out, struct pipeline *pipeline, struct digest digest, struct fault_note *note);
void stored_names_give(struct stored_names **stored_p); /* NULL is fine */

/* admit.c */
struct job *line_pick(struct pipeline *pipeline);                                /* under line_lock; NULL: nothing waits */
uint32_t line_share(const struct pipeline *pipeline, const struct epoch *epoch); /* requests that one tenant may have in flight */
void line_expire(struct pipeline *pipeline);                                     /* answers those whose wait or deadline ended */
void job_answer(struct job *job, struct wire_buffer *reply);                     /* delivers, releases everything, frees the job */
void job_fail(struct job *job, enum fault fault, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool job_is_late(const struct job *job);                       /* its deadline has passed; asked until the sequence is taken, never after */
void job_fail_note(struct job *job);                           /* with job->note */
enum fault registry_enter(struct job *job, bool *out_is_twin); /* a twin belongs to its first from then on; conflict of id or name: fault */
void registry_leave(struct job *job);

/* steps.c, in the order of BATCH_STEPS; false: the job was answered, parked or handed on */
enum step_next { STEP_NEXT, STEP_DONE, STEP_FAULT };
enum step_next step_decode(struct worker *worker, struct job *job);
enum step_next step_check(struct worker *worker, struct job *job);
enum step_next step_fill(struct worker *worker, struct job *job);
enum fault fill_batch(struct job *job); /* of it, what needs no number yet; not of labels */
void step_relate(struct pipeline *pipeline, struct job *job, struct slice *slice);
struct level_rules levels_of(const struct job *job); /* its tenant's */
enum language job_language(const struct job *job);   /* of texts: the request's, or its tenant's */
void step_feature(struct worker *worker, struct slice *slice);
enum fault step_scene(struct worker *worker, struct slice *slice, struct scores *scores, struct fault_note *note); /* scenes and anomaly */
enum fault step_decide(struct worker *worker, struct slice *slice, const struct scores *scores, struct fault_note *note);
enum fault step_record(struct job *job); /* encodes; the ledger thread commits */
enum fault step_reply(struct job *job);

/* worker.c */
bool workers_start(struct pipeline *pipeline, bool pinned);
void workers_stop(struct pipeline *pipeline);
bool worker_prepare(struct worker *worker); /* the memory of one that is zeroed; false: none */
void worker_fini(struct worker *worker);
enum fault slice_score(struct worker *worker, struct slice *slice, struct fault_note *note); /* feature to decide */
void worker_give_slice(struct pipeline *pipeline, struct slice *slice);                      /* scored next */
void worker_give_encode(struct pipeline *pipeline, struct job *job);                         /* or to fill again: what its step says */

/* sequence.c */
void order_enter(struct job *job);        /* under line_lock: the order of calls is the order of receipt */
struct job *order_leave(struct job *job); /* the place is given up; gives those that it held up and that are refused: jobs_fail */
void jobs_fail(struct job *refused);      /* each with its note */
void sequence_take(struct job *job);      /* in its turn: number, now, place in history's queue. The job is handed on, or answered */
enum fault sequence_start(struct pipeline *pipeline, struct fault_note *note);
bool labels_claim(struct job *job); /* false: parked until the label batch before it is committed */
void labels_leave(struct job *job);

/* relate.c */
void history_run(void *pipeline);
void history_publish(struct pipeline *pipeline);
enum step_next labels_fill(struct job *job); /* where the labelled transfers stand, then the sequence */

/* brake.c */
void brake_count(struct job *job, uint32_t held); /* of a screened batch */
bool brake_refuses(struct job *job);              /* under line_lock */
bool brake_monitors(const struct job *job);
uint32_t brakes_acting(struct pipeline *pipeline);

/* rebuild.c */
uint32_t history_apply(struct pipeline *pipeline, struct batch *batch); /* one change of the log, whole; entries of lists that do not fit */
enum fault history_rebuild(struct pipeline *pipeline, struct fault_note *note);
enum fault history_snapshot(struct pipeline *pipeline, struct fault_note *note);
void history_add_labels(const struct history_ops *ops, struct history *history, const struct batch *batch);
/* History up to some batch before `from`, from where the log goes on at history_sequence + 1. FAULT_not_found: nothing reaches so far back.
 */
enum fault history_begin(struct pipeline *pipeline, uint64_t from, struct fault_note *note);
uint64_t history_earliest(const struct pipeline *pipeline); /* `from` of the earliest such beginning; UINT64_MAX: there is none */

/* record.c */
enum { RELOAD_RETRY_MS = 200 };
void record_give(struct pipeline *pipeline, struct job *job);
void record_run(void *pipeline);
void record_look(struct pipeline *pipeline); /* whether the ledger could record; the ledger thread, or before it starts */

/* drift.c */
enum fault drift_open(struct drift **out, const struct scene_base *base, const struct drift_settings *settings, uint32_t worker_count,
                      struct fault_note *note);
void drift_close(struct drift **drift_p);                                                              /* safe on NULL */
size_t drift_bytes(uint32_t worker_count);                                                             /* of any base */
void drift_slice_count(struct worker *worker, const struct slice *slice, const struct scores *scores); /* decided; waits for nothing */
void drift_tell(struct drift_report *out, const struct epoch *epoch); /* the window up to now; any thread */
void drift_watch(struct pipeline *pipeline);                          /* the timer: levels into the log */
enum drift_level drift_level_told(const struct epoch *epoch);
void drift_prometheus(const struct drift_report *report, const struct scene_base *base, struct wire_buffer *out);
void answer_drift(struct job *job);

/* challenger.c */
bool challenger_worker_open(struct worker *worker);
void challenger_worker_close(struct worker *worker);
size_t challenger_worker_bytes(void), challenger_bytes(uint32_t worker_count);
void challenger_run(struct job *job); /* base.challenger; the bases' thread */
void challenger_off(struct pipeline *pipeline);
void challenger_slice_keep(struct worker *worker, const struct slice *slice); /* decided; the job is still there */
bool challenger_slices_kept(const struct worker *worker);
void challenger_slice_settle(struct worker *worker); /* one of them */
void challenger_labels(const struct job *job);
/* challenger_tell.c */
void challenger_tell(struct job *job, bool whole);

/* asks.c */
void ask_run(void *pipeline);
void ask_inline(struct job *job); /* hello, health, stats: at once, under any load */
enum { QUESTIONS_MAX = 256 };
enum fault stored_names_of(struct stored_names **out, struct pipeline *pipeline, const struct batch *batch, struct fault_note *note);
enum fault ask_question(struct job *job);            /* FAULT_NONE: handed on */
void ask_stored(struct job *job, uint64_t sequence); /* answers with what is recorded there; never refused */

/* bases.c: base.put, base.activate, base.rollback, one after the other on a thread of their own */
bool bases_open(struct pipeline *pipeline);
enum fault bases_epoch_named(struct epoch **out, struct job *job);          /* ready to score, of the base that the request names */
enum fault bases_start(struct pipeline *pipeline, struct fault_note *note); /* what the log says; before the first epoch */
bool bases_run(struct pipeline *pipeline);                                  /* its thread */
void bases_stop(struct pipeline *pipeline);
void bases_close(struct pipeline *pipeline);
enum fault bases_question(struct job *job); /* FAULT_NONE: handed on */
/* The base that is active: what the log says, else what the configuration names (*out_kept false). */
enum fault bases_active_open(struct scene_base **out, bool *out_kept, struct pipeline *pipeline, const struct config *config,
                             struct fault_note *note);
void bases_reloaded(struct pipeline *pipeline,
                    const struct epoch *running); /* under change_lock: what was kept is of another configuration */
void base_change_act(struct job *job);            /* recorded: by the ledger thread, before the reply */
void base_change_over(struct base_change *change, struct pipeline *pipeline);
void base_reply(struct wire_buffer *out, struct text id, uint64_t sequence, const struct ledger_base_change *record, bool is_known);

enum fault base_job_enter(struct job *job, const void *content, size_t content_bytes, bool *out_over);
void base_job_run(struct job *job, struct base_change *change);
void base_answer(struct job *job, const struct ledger_base_change *record); /* with what is known already */
void base_who(struct ledger_base_change *out, const struct job *job);

/* base_put.c */
void base_put(struct job *job); /* answers, or hands on */
bool base_put_find(struct pipeline *pipeline, struct ledger_base_change *out, struct digest digest, enum fault *fault,
                   struct fault_note *note);
enum fault base_signer_check(struct ledger_base_change *change, const struct config *config, struct text signature, const void *bytes,
                             size_t byte_count, struct fault_note *note);

/* base_store.c: bases by digest, below the ledger's folder */
enum { BASE_PATH_BYTES = 320, BASE_PARTS_MAX = 4, BASES_KEPT_MAX = 1000 };
enum fault base_store_open(struct pipeline *pipeline, struct fault_note *note); /* makes the folder; what was never recorded goes */
uint64_t base_part_bytes(const struct pipeline *pipeline, struct digest digest);
enum fault base_part_append(const struct pipeline *pipeline, struct digest digest, uint64_t offset, const void *data, size_t bytes,
                            struct fault_note *note);
enum fault base_part_read(char **out, size_t *out_bytes, const struct pipeline *pipeline, struct digest digest, size_t bytes_max,
                          struct fault_note *note);
void base_part_drop(const struct pipeline *pipeline, struct digest digest);
enum fault base_file_keep(const struct pipeline *pipeline, struct digest digest, const void *bytes, size_t byte_count,
                          struct fault_note *note);
void base_file_unkeep(const struct pipeline *pipeline, struct digest digest); /* it was not recorded: all of it is on its way again */
/* The file's bytes, or those of a base that the configuration named: memory_give. */
enum fault base_bytes_read(char **out, size_t *out_bytes, struct pipeline *pipeline, struct digest digest, struct fault_note *note);

/* base_warm.c */
enum fault epoch_warm(const struct epoch *epoch,
                      struct fault_note *note); /* test rows on every worker's scratch: the twin's bits, or a fault */

/* ask_bases.c */
void answer_bases(struct job *job);
void answer_lists(struct job *job); /* ask_lists.c */
void answer_cases(struct job *job); /* ask_cases.c */

/* ask_explain.c: on a thread of its own, since it may walk the log */
enum { EXPLAINS_MAX = 16 };
void explain_run(void *pipeline);
enum fault ask_explain(struct job *job); /* FAULT_NONE: handed on */

/* asks.c */
void ask_deliver(struct job *job); /* the reply, or the note's fault */

#endif
