/* The log into history: one walk and one function that applies a change, for the running server, its start, replay and the
 * builder alike. Snapshots only shorten the walk. Where rows are dropped some snapshots are kept beside the last one, spread over the
 * time that rows are kept, so that a replay can begin among them. */
#include "pipeline/internal.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/file.h"
#include "base/log.h"
#include "base/must.h"

enum { SNAPSHOTS_KEPT = 4, ATTEMPTS = 3 };
static const char snapshot_last[] = "history.snapshot";

/* --- a change ------------------------------------------------------------------------------------------------------- */

void history_add_labels(const struct history_ops *ops, struct history *history, const struct batch *batch)
{
    const struct batch_facts *facts = &batch->facts;
    for (uint32_t row = 0; row < batch->row_count; row++) {
        if (facts->invalid[row])
            continue;
        const struct history_label label = {
            .payer = facts->payer[row],
            .payee = facts->payee[row],
            .payer_device = facts->payer_device[row],
            .payee_device = facts->payee_device[row],
            .time_us = facts->time_us[row],
            .amount = facts->amount[row],
            .delay_us = batch->feedback_delay_us,
            .before = facts->label[row] >> 2,
            .after = facts->label[row] & 3,
        };
        ops->label(history, &label);
    }
}

uint32_t history_apply(struct pipeline *pipeline, struct batch *batch)
{
    const struct history_ops *ops = pipeline->history_ops;
    if (batch->op == OP_screen || batch->op == OP_import)
        ops->relate(pipeline->history, batch, 0, batch->row_count, batch->feedback_delay_us, true, NULL);
    else if (batch->op == OP_observe)
        ops->observe(pipeline->history, batch);
    else if (batch->op == OP_label)
        history_add_labels(ops, pipeline->history, batch);
    else if (op_edits_lists(batch->op))
        return ops->list(pipeline->history, batch);
    return 0;
}

/* --- snapshot and rebuild ------------------------------------------------------------------------------------------ */

static bool snapshot_path(char out[PATH_MAX], const struct pipeline *pipeline, const char *name)
{
    return (size_t)snprintf(out, PATH_MAX, "%s/%s", pipeline->ledger_folder, name) < PATH_MAX;
}

static uint64_t kept_sequence(const char *name) /* 0: not a snapshot that is kept */
{
    uint64_t sequence = 0;
    int end = 0;
    return sscanf(name, "history-%" SCNu64 ".snapshot%n", &sequence, &end) == 1 && end > 0 && name[end] == '\0' ? sequence : 0;
}

/* The last one by another name, when none was kept for a quarter of the time that rows are; those go that the log begins behind. */
static void snapshots_keep(struct pipeline *pipeline)
{
    char path[PATH_MAX], kept[PATH_MAX], name[64];
    int64_t newest_us = 0;
    struct stat status;
    struct dirent *entry;
    uint64_t kept_from = pipeline->ledger_ops->kept_from(pipeline->ledger);
    DIR *folder = opendir(pipeline->ledger_folder);
    while (folder && (entry = readdir(folder))) {
        uint64_t sequence = kept_sequence(entry->d_name);
        if (sequence == 0 || !snapshot_path(path, pipeline, entry->d_name))
            continue;
        if (sequence + 1 < kept_from)
            unlink(path);
        else if (stat(path, &status) == 0 && (int64_t)status.st_mtime * US_PER_SECOND > newest_us)
            newest_us = (int64_t)status.st_mtime * US_PER_SECOND;
    }
    if (folder)
        closedir(folder);
    snprintf(name, sizeof name, "history-%020" PRIu64 ".snapshot", pipeline->history_sequence);
    if (pipeline->history_sequence == 0 || clock_wall_us() - newest_us < pipeline->retention_us / SNAPSHOTS_KEPT)
        return;
    if (snapshot_path(path, pipeline, snapshot_last) && snapshot_path(kept, pipeline, name) && link(path, kept) != 0 && errno != EEXIST)
        log_line(LOG_WARN, "pipeline", "no snapshot of history is kept for replay: %s", strerror(errno));
}

enum fault history_snapshot(struct pipeline *pipeline, struct fault_note *note)
{
    char path[PATH_MAX];
    MUST(snapshot_path(path, pipeline, snapshot_last));
    FAILPOINT(snapshot);
    enum fault fault = pipeline->history_ops->save(pipeline->history, pipeline->history_sequence, path, note);
    if (fault == FAULT_NONE) {
        pipeline->rows_since_snapshot = 0;
        atomic_store(&pipeline->snapshot_sequence, pipeline->history_sequence);
        atomic_fetch_add(&pipeline->metrics.snapshots, 1);
        if (pipeline->retention_us > 0)
            snapshots_keep(pipeline);
    }
    return fault;
}

static enum fault rebuild_batch(void *context, struct batch *batch, struct fault_note *note)
{
    struct pipeline *pipeline = context;
    if (history_apply(pipeline, batch) > 0) /* fewer fit than when it was taken */
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "lists hold more than history.listed_max, %llu: raise it",
                         (unsigned long long)pipeline->history_limits.listed_max);
    pipeline->history_sequence = batch->sequence;
    atomic_fetch_add_explicit(&pipeline->progress, 1, memory_order_relaxed);
    return FAULT_NONE;
}

static enum fault history_fresh(struct pipeline *pipeline, struct fault_note *note)
{
    if (pipeline->history)
        pipeline->history_ops->close(&pipeline->history);
    pipeline->history_sequence = 0;
    return pipeline->history_ops->open(&pipeline->history, &pipeline->history_limits, note);
}

/* The snapshot, when it can be used and holds nothing that was not committed; *out_from: up to where. What the log no longer has
 * only the snapshot knows: without it, history begins with what is kept only when somebody took the file away. */
static enum fault snapshot_load(struct pipeline *pipeline, uint64_t *out_from, const char *path, struct fault_note *note)
{
    struct fault_note why = {0};
    uint64_t last = pipeline->ledger_ops->last_sequence(pipeline->ledger), kept_from = pipeline->ledger_ops->kept_from(pipeline->ledger);
    bool is_there = file_exists(path);
    *out_from = 0;
    enum fault fault = is_there ? pipeline->history_ops->load(pipeline->history, out_from, path, &why) : FAULT_NONE;
    if (fault == FAULT_NONE && *out_from > last)
        fault = fault_set(&why, FAULT_ledger, ROW_NONE, COLUMN_NONE, "it is ahead of the ledger");
    if (fault != FAULT_NONE && kept_from > 1)
        return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE,
                         "batches before %llu are no longer kept and history.snapshot cannot be used: %.60s", (unsigned long long)kept_from,
                         why.text);
    if (fault == FAULT_NONE && (is_there || kept_from == 1))
        return atomic_store(&pipeline->snapshot_sequence, *out_from), FAULT_NONE;
    if (fault != FAULT_NONE)
        log_line(LOG_WARN, "pipeline", "history snapshot not used, rebuilding from the log: %s", why.text);
    else
        log_line(LOG_WARN, "pipeline", "no history snapshot: history begins with batch %llu, the first whose rows are kept",
                 (unsigned long long)kept_from);
    *out_from = kept_from - 1;
    return history_fresh(pipeline, note);
}

enum fault history_rebuild(struct pipeline *pipeline, struct fault_note *note)
{
    char path[PATH_MAX];
    uint64_t from = 0;
    enum fault fault = history_fresh(pipeline, note);
    if (fault == FAULT_NONE && !snapshot_path(path, pipeline, snapshot_last))
        fault = fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "ledger folder's path is too long");
    if (fault == FAULT_NONE)
        fault = snapshot_load(pipeline, &from, path, note);
    if (fault != FAULT_NONE)
        return fault;
    pipeline->history_sequence = from;
    pipeline->rows_since_snapshot = 0;
    fault = pipeline->ledger_ops->replay(pipeline->ledger, from + 1, rebuild_batch, pipeline, note);
    struct digest digest = pipeline->history_ops->state_digest(pipeline->history);
    pthread_mutex_lock(&pipeline->line_lock);
    pipeline->history_digest = digest;
    pthread_mutex_unlock(&pipeline->line_lock);
    history_publish(pipeline);
    return fault;
}

/* --- as it was before a batch ----------------------------------------------------------------------------------------- */

struct beginning {
    char name[64]; /* of the snapshot; empty: the log's own beginning */
    uint64_t sequence;
    uint64_t earliest; /* that any snapshot holds and the log goes on from; UINT64_MAX: none */
    bool other_limits; /* there is one, of other limits */
};

static void beginning_consider(struct beginning *out, const struct pipeline *pipeline, const char *name, uint64_t from)
{
    char path[PATH_MAX];
    uint64_t sequence;
    struct history_limits limits;
    if (!snapshot_path(path, pipeline, name) || !history_snapshot_peek(&sequence, &limits, path) ||
        sequence + 1 < pipeline->ledger_ops->kept_from(pipeline->ledger))
        return;
    if (memcmp(&limits, &pipeline->history_limits, sizeof limits) != 0) {
        out->other_limits = true;
        return;
    }
    out->earliest = sequence < out->earliest ? sequence : out->earliest;
    if (sequence < from && (sequence > out->sequence || out->name[0] == '\0') && strlen(name) < sizeof out->name) {
        out->sequence = sequence;
        snprintf(out->name, sizeof out->name, "%s", name);
    }
}

static void beginning_find(struct beginning *out, const struct pipeline *pipeline, uint64_t from)
{
    struct dirent *entry;
    *out = (struct beginning){.earliest = UINT64_MAX};
    DIR *folder = opendir(pipeline->ledger_folder);
    while (folder && (entry = readdir(folder)))
        if (strcmp(entry->d_name, snapshot_last) == 0 || kept_sequence(entry->d_name))
            beginning_consider(out, pipeline, entry->d_name, from);
    if (folder)
        closedir(folder);
}

uint64_t history_earliest(const struct pipeline *pipeline)
{
    struct beginning beginning;
    if (pipeline->ledger_ops->kept_from(pipeline->ledger) <= 1)
        return 1;
    beginning_find(&beginning, pipeline, UINT64_MAX);
    return beginning.earliest == UINT64_MAX ? UINT64_MAX : beginning.earliest + 1;
}

static enum fault beginning_refuse(const struct beginning *beginning, uint64_t kept_from, uint64_t from, struct fault_note *note)
{
    if (beginning->earliest == UINT64_MAX)
        return fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE,
                         "rows before batch %" PRIu64 " are dropped, and no snapshot of history %s", kept_from,
                         beginning->other_limits ? "has the limits of that time" : "is there to begin with");
    return fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE,
                     "nothing begins before batch %" PRIu64 ": the earliest snapshot of history holds all up to %" PRIu64, from,
                     beginning->earliest);
}

/* A server beside may put another snapshot in the last one's place meanwhile. */
enum fault history_begin(struct pipeline *pipeline, uint64_t from, struct fault_note *note)
{
    struct beginning beginning;
    uint64_t kept_from = pipeline->ledger_ops->kept_from(pipeline->ledger), sequence = 0;
    char path[PATH_MAX];
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        enum fault fault = history_fresh(pipeline, note);
        if (fault != FAULT_NONE)
            return fault;
        beginning_find(&beginning, pipeline, from);
        if (beginning.name[0] == '\0')
            return kept_from <= 1 ? FAULT_NONE : beginning_refuse(&beginning, kept_from, from, note);
        if (!snapshot_path(path, pipeline, beginning.name))
            return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "ledger folder's path is too long");
        fault = pipeline->history_ops->load(pipeline->history, &sequence, path, note);
        if (fault == FAULT_NONE && sequence < from)
            return pipeline->history_sequence = sequence, FAULT_NONE;
        if (fault != FAULT_NONE && kept_from <= 1)
            return *note = (struct fault_note){.row = ROW_NONE}, history_fresh(pipeline, note);
        if (fault != FAULT_NONE)
            return fault;
    }
    return fault_set(note, FAULT_busy, ROW_NONE, COLUMN_NONE, "the snapshots of history change faster than they are read");
}
