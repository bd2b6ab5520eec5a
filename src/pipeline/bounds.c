/* All memory that a configuration can make the process take, part by part: each part is an upper bound, whatever is sent.
 * What batches in flight take is reserved at admission (bounds_reserve) and kept within the budget. */
#include "pipeline/internal.h"
#include "pipeline/post_text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pipeline/again.h"
#include "pipeline/associates.h"
#include "pipeline/machine.h"

enum {
    HEAPS_BESIDE_WORKERS = 8,
    DRIVER_BYTES = 320 << 20,       /* an OpenCL driver with its compiler */
    FIXED_BYTES = 160 << 20,        /* the program, its libraries, what HTTP and the log take */
    THREADS_BESIDE_WORKERS = 16,    /* pipeline, server, nng */
    THREAD_BYTES = 1 << 20,         /* of a stack, as far as it is used */
    HEAP_KEPT_BYTES = 64 << 20,     /* freed memory that the C library keeps for a thread */
    CONNECTION_BYTES = 128 << 10,   /* beside messages: nng's own, TLS */
    REFUSING_CONTEXTS = 16,         /* of the server, beside those in flight */
    ADMIN_MESSAGES = 40,            /* of 1 MiB, twice the limit taken: connections and contexts of admin listeners */
    SQLITE_WRITER_BYTES = 32 << 20, /* page cache of 16 MiB, log index, statements */
    LEDGER_FILTER_BYTES = 5 << 20,  /* of the segment that is being written */
    SQLITE_READER_BYTES = 10 << 20, /* page cache of 8 MiB */
    CODEC_BYTES = 4 << 20,          /* a context of zstd */
    ENCODE_ROW_BYTES = 40,          /* narrowed values, the count of ids */
    FRAME_ROW_BYTES = 24,           /* keys of three ids */
    FRAME_HEAD_BYTES = 128 << 10,   /* counts of rules, names, one block per field */
    FRAME_NOTE_BYTES = 64,          /* of a note, beside itself */
    STORED_AT_ONCE = 5,             /* recorded batches that are read again: by asker and bases, to explain, for labels, into history */
    SENDERS_READ = 2,               /* readers of the ledger for all senders of second batches together */
    BODY_ROW_BYTES = 256,           /* of a second batch as JSON, beside twice message_max */
    PAGE_BYTES_MAX = 5 << 20,       /* of a query, beside its last row */
    BUDGET_DEFAULT_MIB = 1024,      /* without memory_max, where the machine has as much */
    IDLE_ARENAS_SHARE = 8,          /* of the budget, one part */
    IDLE_ARENAS_BYTES_MAX = 256 << 20,
};

uint32_t bounds_worker_count(const struct config *config)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    return config->workers ? config->workers : cpus > 0 ? (uint32_t)cpus : 1;
}

uint32_t bounds_slice_count(const struct config *config)
{
    return 2 * bounds_worker_count(config) + 2;
}

static bool bounds_sends(const struct config *config)
{
    for (uint32_t i = 0; i < config->tenant_count; i++)
        if (config->tenants[i].processor[0])
            return true;
    return false;
}

uint32_t bounds_reader_count(const struct config *config)
{
    uint32_t senders = (bounds_sends(config) ? (uint32_t)SENDERS_READ : 0) + (config->connector_count > 0); /* of messages: briefly */
    return bounds_worker_count(config) + STORED_AT_ONCE + senders;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* --- profiles ---------------------------------------------------------------------------------------------------------- */

struct profile_bound {              /* of a batch, beside what it would need without */
    uint64_t arena, texts, scratch; /* scratch: of the arena too, and recorded nowhere */
};

static struct profile_bound profile_bound_of(const struct config_tenant *tenant, uint32_t row_count, size_t message_bytes)
{
    struct profile_bound bound = {0};
    for (uint32_t i = 0; i < tenant->profile_count; i++) {
        if (!tenant->profiles[i])
            continue;
        const struct profile *profile = tenant->profiles[i]->profile;
        bound.arena = most(bound.arena, profile_arena_bytes(profile, row_count));
        bound.texts = most(bound.texts, profile_text_bytes(profile, message_bytes));
        bound.scratch = most(bound.scratch, associates_scratch_bytes(profile, row_count));
    }
    return bound;
}

static struct profile_bound profile_bound_most(const struct config *config)
{
    struct profile_bound bound = {0};
    for (uint32_t i = 0; i < config->tenant_count; i++) {
        struct profile_bound one = profile_bound_of(&config->tenants[i], config->limits.rows_max, config->limits.message_bytes_max);
        bound.arena = most(bound.arena, one.arena);
        bound.texts = most(bound.texts, one.texts);
        bound.scratch = most(bound.scratch, one.scratch);
    }
    return bound;
}

/* --- parts ------------------------------------------------------------------------------------------------------------- */

uint64_t bounds_reply_bytes(const struct config *config)
{
    const struct batch_limits *limits = &config->limits;
    return most((uint64_t)limits->message_bytes_max + PAGE_BYTES_MAX, REPLY_HEAD_BYTES + (uint64_t)limits->rows_max * REPLY_ROW_BYTES);
}

uint64_t bounds_body_bytes(const struct config *config)
{
    return 2 * (uint64_t)config->limits.message_bytes_max + (uint64_t)BODY_ROW_BYTES * config->limits.rows_max;
}

/* By HTTP a request is there as JSON and as a message, and a reply as both. */
enum { HTTP_REPLY_FACTOR = 5 };

/* A connection holds a request that is read or waits for a context, and a reply that is sent; a context one or the other. */
static uint64_t sockets_bytes(const struct config *config)
{
    uint64_t connections = config->connections_max, contexts = config->in_flight_max + REFUSING_CONTEXTS;
    uint64_t request = 2 * (uint64_t)config->limits.message_bytes_max, reply = bounds_reply_bytes(config);
    uint64_t posts = config->http_ops ? HTTP_POSTS_MAX * (2 * request + HTTP_REPLY_FACTOR * reply) : 0;
    return connections * (request + reply + CONNECTION_BYTES) + contexts * most(request, reply) + ((uint64_t)ADMIN_MESSAGES << 21) + posts;
}

static uint64_t rules_scratch_most(const struct config *config)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < config->tenant_count; i++)
        bytes = most(bytes, config->tenants[i].rules ? config->tenants[i].rules->scratch_bytes : 0);
    return bytes;
}

static uint64_t workers_bytes(const struct config *config)
{
    const struct batch_limits *limits = &config->limits;
    uint64_t workers = bounds_worker_count(config), encoders = least(workers, config->in_flight_max);
    uint64_t dictionary = limits->message_bytes_max + 8ull * limits->dict_values_max + profile_bound_most(config).texts;
    uint64_t encode = (uint64_t)ENCODE_ROW_BYTES * limits->rows_max + dictionary + CODEC_BYTES;
    uint64_t own = (uint64_t)FEATURE_COUNT * SLICE_ROWS * sizeof(float) + decide_scratch_bytes() + sizeof(uint64_t) * limits->rows_max;
    uint64_t slices = (uint64_t)bounds_slice_count(config) * FIGURE_COUNT * FIGURE_COLUMN_FLOATS * sizeof(float);
    own += rules_scratch_most(config);
    own += bounds_bases_may_change(config) ? challenger_worker_bytes() : 0;
    return workers * own + encoders * encode + slices;
}

static uint64_t ledger_bytes(const struct config *config)
{
    return SQLITE_WRITER_BYTES + LEDGER_FILTER_BYTES + (uint64_t)bounds_reader_count(config) * SQLITE_READER_BYTES;
}

/* A recorded batch that is read: its frame, and what it decodes to. The asker makes a reply of it, in two pieces. */
static uint64_t stored_bytes(const struct config *config)
{
    const struct batch_limits *limits = &config->limits;
    uint64_t decoded = batch_arena_bytes(limits, limits->rows_max, limits->message_bytes_max);
    uint64_t frame = limits->message_bytes_max + batch_work_bytes(limits, limits->rows_max);
    struct profile_bound profile = profile_bound_most(config);
    decoded += profile.arena + profile.texts;
    frame += profile.arena + profile.texts;
    uint64_t bytes = STORED_AT_ONCE * (decoded + frame + CODEC_BYTES) + 2 * bounds_reply_bytes(config);
    bytes += (uint64_t)config->connector_count * POST_BYTES + (config->alarm_connector_count > 0 ? sizeof *config : 0);
    return bytes + (bounds_sends(config) ? decoded + frame + CODEC_BYTES + 2 * bounds_body_bytes(config) : 0);
}

/* A frame holds what the message and the arena hold, in other words, and is as large as it could have become. */
static size_t frame_most(const struct batch_limits *limits, uint32_t row_count, size_t message_bytes, size_t arena_bytes)
{
    size_t values = least(message_bytes, limits->dict_values_max); /* a dictionary's values have keys as rows have */
    return message_bytes + arena_bytes + FRAME_HEAD_BYTES + (size_t)FRAME_NOTE_BYTES * limits->notes_max +
           FRAME_ROW_BYTES * (row_count + values);
}

/* What a batch within the limits reserves at the most, in whatever form it comes and is answered. */
static uint64_t largest_bytes(const struct config *config)
{
    const struct batch_limits *limits = &config->limits;
    size_t message_bytes = limits->message_bytes_max, arena_bytes = batch_arena_bytes(limits, limits->rows_max, message_bytes);
    struct profile_bound profile = profile_bound_most(config);
    return arena_pool_size(arena_bytes + feature_in_batch_bytes(limits->rows_max) + profile.arena + profile.scratch) +
           frame_most(limits, limits->rows_max, message_bytes, arena_bytes) + profile.arena + profile.texts + bounds_reply_bytes(config);
}

/* What a device needs beside the base: the panels packed anew, and working memory of each worker; a driver keeps its own
 * of both, and auto may hold all of them. */
struct device_bound {
    uint64_t packed, scratches, driver_bytes;
};

static struct device_bound device_bound(const char *device)
{
    if (strcmp(device, "auto") == 0)
        return (struct device_bound){3, 4, DRIVER_BYTES};
    if (strncmp(device, "opencl", strlen("opencl")) == 0)
        return (struct device_bound){2, 2, DRIVER_BYTES};
    return (struct device_bound){strcmp(device, "blas") == 0, 1, 0};
}

bool bounds_bases_may_change(const struct config *config)
{
    for (uint32_t i = 0; i < config->tenant_count; i++)
        for (uint32_t c = 0; c < config->tenants[i].credential_count; c++)
            if (config->tenants[i].credentials[c].rights & RIGHT_MODEL)
                return true;
    return false;
}

/* What is packed of a base, and a worker's scratch for it: of the one that the configuration names, or of any that may be put. */
static void base_bounds(uint64_t *out_base, uint64_t *out_scratch, const struct config *config)
{
    struct scene_base *base = NULL;
    struct fault_note note = {0};
    bool is_there = config->base_path[0] && scene_base_open(&base, config->base_path, &note) == FAULT_NONE;
    *out_base = is_there ? base->arena->size : 0;
    *out_scratch = is_there ? scratch_bytes(base) : 0;
    scene_base_close(&base);
    if (!bounds_bases_may_change(config))
        return;
    *out_base = most(*out_base, scene_base_memory(config->base_bytes_max));
    *out_scratch = scratch_bytes_max();
}

/* So many epochs of a base; the file itself once more while it is read and kept. */
static uint64_t epochs_of(const struct config *config, uint32_t epochs, uint64_t base, uint64_t scratch)
{
    const struct device_bound bound = device_bound(config->device);
    uint32_t workers = bounds_worker_count(config);
    uint64_t challenger = bounds_bases_may_change(config) ? challenger_bytes(workers) : 0;
    uint64_t bytes = sizeof(struct epoch) + sizeof(struct config) + CONFIG_BYTES_MAX + drift_bytes(workers);
    bytes += (1 + bound.packed) * base + workers * bound.scratches * scratch;
    return epochs * bytes + base + challenger + again_bytes(config, base, scratch);
}

/* The running epoch and the next, with changing bases those of EPOCHS_MAX. */
static uint64_t epochs_bytes(const struct config *config)
{
    uint64_t base, scratch;
    base_bounds(&base, &scratch, config);
    return epochs_of(config, bounds_bases_may_change(config) ? EPOCHS_MAX : EPOCHS_RELOADED, base, scratch);
}

static uint64_t fixed_bytes(const struct config *config)
{
    uint64_t threads = bounds_worker_count(config) + THREADS_BESIDE_WORKERS;
    uint64_t heaps = bounds_worker_count(config) + HEAPS_BESIDE_WORKERS;
    return FIXED_BYTES + device_bound(config->device).driver_bytes + threads * THREAD_BYTES + heaps * HEAP_KEPT_BYTES;
}

/* --- the whole --------------------------------------------------------------------------------------------------------- */

static uint64_t idle_bytes(uint64_t left)
{
    return least(left / IDLE_ARENAS_SHARE, IDLE_ARENAS_BYTES_MAX);
}

/* The total holds one batch of the largest kind, whether or not that is within the maximum: a server that starts can take it. */
static void bounds_split(struct memory_bounds *out, const struct config *config)
{
    uint64_t others = out->history + out->sockets + out->stored + out->epochs + out->workers + out->fixed;
    uint64_t needed = out->largest + least(out->largest / (IDLE_ARENAS_SHARE - 1) + 1, IDLE_ARENAS_BYTES_MAX);
    out->max = config->memory_max ? config->memory_max : machine_memory_bytes() / 4 * 3;
    uint64_t left = out->max > others ? out->max - others : 0;
    if (config->memory_max == 0)
        left = least(left, most((uint64_t)BUDGET_DEFAULT_MIB << 20, needed));
    out->idle_arenas = idle_bytes(left);
    out->batches = left - out->idle_arenas;
    out->total = others + (out->batches < out->largest ? needed : left);
}

/* The ledger may make a base active that this configuration would not let in: a right was withdrawn, base_max lowered. */
void bounds_add_active(struct memory_bounds *bounds, const struct config *config, const struct scene_base *active)
{
    uint64_t bytes = epochs_of(config, EPOCHS_RELOADED, active->arena->size, scratch_bytes(active));
    if (bytes <= bounds->epochs)
        return;
    bounds->epochs = bytes;
    bounds_split(bounds, config);
}

void bounds_compute(struct memory_bounds *out, const struct config *config)
{
    *out = (struct memory_bounds){
        .history = history_bytes(&config->history),
        .sockets = sockets_bytes(config),
        .stored = stored_bytes(config),
        .epochs = epochs_bytes(config),
        .workers = workers_bytes(config),
        .fixed = fixed_bytes(config) + ledger_bytes(config) + associates_bytes(config),
        .largest = largest_bytes(config),
    };
    bounds_split(out, config);
}

uint64_t pipeline_reply_bytes_max(const struct config *config)
{
    return bounds_reply_bytes(config);
}

uint32_t pipeline_worker_count(const struct config *config)
{
    return bounds_worker_count(config);
}

uint64_t pipeline_memory_total(const struct config *config)
{
    struct memory_bounds bounds;
    bounds_compute(&bounds, config);
    return bounds.total;
}

#define MIB(bytes) (unsigned long long)((bytes) >> 20)

void bounds_tell(char *out, size_t out_bytes, const struct memory_bounds *bounds)
{
    snprintf(out, out_bytes,
             "memory in MiB, at most: sockets %llu, batches in flight %llu (the largest %llu), history %llu, recorded batches that are "
             "read %llu, workers %llu, scene bases %llu, idle %llu, the rest %llu",
             MIB(bounds->sockets), MIB(bounds->batches), MIB(bounds->largest), MIB(bounds->history), MIB(bounds->stored),
             MIB(bounds->workers), MIB(bounds->epochs), MIB(bounds->idle_arenas), MIB(bounds->fixed));
}

/* What to lower is the part that is largest; where all but batches fit, what makes a batch large. */
enum fault bounds_check(const struct memory_bounds *bounds, const struct config *config, struct fault_note *note)
{
    if (bounds->total <= bounds->max && bounds->batches > 0)
        return FAULT_NONE;
    uint64_t wire = bounds->sockets + bounds->stored + bounds->workers;
    const char *max = config->memory_max ? "memory_max" : "3/4 of the memory there is";
    if (bounds->batches > 0)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE,
                         "%llu MiB computed are above %s, %llu: a batch of rows_max may take %llu MiB, %llu are left: lower "
                         "limits.rows_max, message_max",
                         MIB(bounds->total), max, MIB(bounds->max), MIB(bounds->largest), MIB(bounds->batches));
    return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "%llu MiB computed are above %s, %llu MiB: lower %s", MIB(bounds->total),
                     max, MIB(bounds->max), wire > bounds->history ? "limits.message_max, rows_max, connections_max" : "history");
}

bool pipeline_memory_fits(const struct config *config, char *parts, size_t parts_bytes, struct fault_note *note)
{
    struct memory_bounds bounds;
    bounds_compute(&bounds, config);
    bounds_tell(parts, parts_bytes, &bounds);
    return bounds_check(&bounds, config, note) == FAULT_NONE;
}

/* --- one batch ---------------------------------------------------------------------------------------------------------- */

size_t bounds_reply_of(const struct reply_names *names, uint32_t row_count, size_t message_bytes, bool in_rows)
{
    size_t rows = row_count; /* ids are told in rows form, and came in the message */
    return REPLY_HEAD_BYTES + (in_rows ? rows * wire_reply_row_bytes(names) + message_bytes : rows * REPLY_ROW_BYTES);
}

static size_t frame_bound(const struct job *job)
{
    const struct request *request = &job->request;
    return op_changes_state(request->op)
               ? frame_most(&job->epoch->config->limits, request->row_count, job->message_bytes, request->arena_bytes)
               : 0;
}

enum fault bounds_reserve(struct job *job)
{
    const struct request *request = &job->request;
    bool with_verdicts = request->op == OP_screen || request->op == OP_score;
    size_t reply = bounds_reply_of(&job->epoch->names, with_verdicts ? request->row_count : 0, job->message_bytes, request->reply_in_rows);
    if (reply > job->pipeline->reply_bytes_max && with_verdicts && request->reply_in_rows)
        return fault_set(&job->note, FAULT_limit, ROW_NONE, COLUMN_NONE,
                         "a reply in rows to %u rows may have %zu bytes, at most %zu are sent: ask for form columns", request->row_count,
                         reply, job->pipeline->reply_bytes_max);
    struct profile_bound profile = {0};
    if (column_taken_by(COLUMN_amount, request->op))
        profile = profile_bound_of(&job->epoch->config->tenants[job->tenant_index], request->row_count, job->message_bytes);
    job->arena_bytes = arena_pool_size(request->arena_bytes + feature_in_batch_bytes(request->row_count) + profile.arena + profile.scratch);
    job->reserved_bytes = job->arena_bytes + frame_bound(job) + profile.arena + profile.texts + reply;
    return FAULT_NONE;
}
