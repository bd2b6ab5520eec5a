/* A base comes in pieces, or from a file of the server's. Whole, it is verified as strictly as at a start, made ready on the device
 * and scored; then it is kept and its put recorded. A base that is refused leaves nothing behind. */
#include "pipeline/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/secret.h"
#include "scene/golden.h"
#include "wire/pack.h"

enum { HEX_BYTES = 33, GOLDEN_BYTES_MAX = 512 << 10, SIGNATURE_TEXT_MAX = 256 };

struct putting {
    struct job *job;
    struct digest digest;
    char *bytes, *golden, *signature; /* of memory of ours, or NULL */
    size_t byte_count, golden_bytes, signature_bytes;
    bool is_part; /* what came lies in a part file */
};

/* --- which one it is --------------------------------------------------------------------------------------------------- */

struct looking {
    struct digest digest;
    struct ledger_base_change *found;
    bool is_found;
    uint32_t count;
};

static bool put_look(void *context, const struct ledger_base_change *put)
{
    struct looking *looking = context;
    looking->count++;
    if (!digest_equal(put->digest, looking->digest))
        return true;
    *looking->found = *put;
    looking->is_found = true;
    return false;
}

bool base_put_find(struct pipeline *pipeline, struct ledger_base_change *out, struct digest digest, enum fault *fault,
                   struct fault_note *note)
{
    struct looking looking = {.digest = digest, .found = out};
    *fault = pipeline->ledger_ops->base_changes(pipeline->ledger, true, put_look, &looking, note);
    if (*fault == FAULT_NONE && !looking.is_found && looking.count >= BASES_KEPT_MAX)
        *fault = fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "%d bases are kept, no more are taken", BASES_KEPT_MAX);
    return looking.is_found;
}

/* --- signatures -------------------------------------------------------------------------------------------------------- */

static const struct config_base_key *key_find(const struct config *config, const unsigned char *public_key)
{
    for (uint32_t i = 0; i < config->base_key_count; i++)
        if (memcmp(config->base_keys[i].key, public_key, SECRET_PUBLIC_BYTES) == 0)
            return &config->base_keys[i];
    return NULL;
}

/* "PUBLIC:SIGNATURE" in hex, as `sluice base sign` writes it, into the record. */
static enum fault signature_read(struct ledger_base_change *change, struct text text, struct fault_note *note)
{
    char hex[SIGNATURE_TEXT_MAX];
    while (text.bytes > 0 && (text.data[text.bytes - 1] == '\n' || text.data[text.bytes - 1] == '\r'))
        text.bytes--;
    text_copy(hex, sizeof hex, text);
    char *colon = strchr(hex, ':');
    if (colon)
        *colon = '\0';
    if (!colon || text.bytes >= sizeof hex || !secret_from_hex(change->signature, SECRET_PUBLIC_BYTES, hex) ||
        !secret_from_hex(change->signature + SECRET_PUBLIC_BYTES, SECRET_SIGNATURE_BYTES, colon + 1))
        return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE,
                         "the signature cannot be read: expected KEY:SIGNATURE in hex, as sluice base sign writes it");
    change->is_signed = true;
    return FAULT_NONE;
}

enum fault base_signer_check(struct ledger_base_change *change, const struct config *config, struct text signature, const void *bytes,
                             size_t byte_count, struct fault_note *note)
{
    char hex[2 * SECRET_PUBLIC_BYTES + 1];
    enum fault fault = signature.bytes ? signature_read(change, signature, note) : FAULT_NONE;
    if (fault != FAULT_NONE)
        return fault;
    if (!change->is_signed)
        return config->base_signed ? fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "the base is not signed, and base_signed wants it")
                                   : FAULT_NONE;
    const struct config_base_key *key = key_find(config, change->signature);
    secret_to_hex(hex, change->signature, SECRET_PUBLIC_BYTES);
    if (!key)
        return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "the base is signed by key %s, which is none of base_keys", hex);
    if (!secret_is_signed(change->signature + SECRET_PUBLIC_BYTES, bytes, byte_count, key->key))
        return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "the signature of %s is not one over this file", key->name);
    snprintf(change->signer, sizeof change->signer, "%s", key->name);
    return FAULT_NONE;
}

/* --- whole ------------------------------------------------------------------------------------------------------------- */

static enum fault golden_check(struct ledger_base_change *record, const struct putting *putting, const struct epoch *epoch,
                               struct fault_note *note)
{
    struct golden_errors errors;
    struct text golden = putting->golden ? (struct text){.data = putting->golden, .bytes = (uint32_t)putting->golden_bytes}
                                         : putting->job->request.base.golden;
    if (golden.bytes == 0)
        return FAULT_NONE;
    enum fault fault = golden_verify(&errors, epoch->base, golden.data, golden.bytes, epoch->kernels, note);
    record->golden_rows = errors.rows;
    return fault;
}

/* As at a start, and scored beside: strategy, device, memory. */
static enum fault base_try(struct ledger_base_change *record, const struct putting *putting, const struct config *config,
                           struct fault_note *note)
{
    struct pipeline *pipeline = putting->job->pipeline;
    struct scene_base *base = NULL;
    struct epoch *epoch = NULL;
    enum fault fault = epoch_await_room(pipeline, EPOCHS_MAX - 2, note);
    if (fault == FAULT_NONE)
        fault = scene_base_read(&base, (const unsigned char *)putting->bytes, putting->byte_count, note);
    if (fault != FAULT_NONE)
        return fault;
    snprintf(record->name, sizeof record->name, "%s", base->name);
    snprintf(record->version, sizeof record->version, "%s", base->version);
    fault = epoch_make(&epoch, pipeline, config, base, note);
    if (fault == FAULT_NONE)
        fault = golden_check(record, putting, epoch, note);
    if (fault == FAULT_NONE)
        fault = epoch_warm(epoch, note);
    epoch_release(&epoch);
    epochs_bury(pipeline);
    return fault;
}

static enum fault base_verify(struct ledger_base_change *record, const struct putting *putting, struct fault_note *note)
{
    struct epoch *running = epoch_hold(putting->job->pipeline);
    struct text signature = putting->signature ? (struct text){.data = putting->signature, .bytes = (uint32_t)putting->signature_bytes}
                                               : putting->job->request.base.signature;
    enum fault fault = base_signer_check(record, running->config, signature, putting->bytes, putting->byte_count, note);
    if (fault == FAULT_NONE)
        fault = base_try(record, putting, running->config, note);
    epoch_release(&running);
    return fault;
}

/* What may succeed later keeps what has come; a bad base goes. */
static bool is_transient(enum fault fault)
{
    return fault == FAULT_busy || fault == FAULT_memory || fault == FAULT_unavailable || fault == FAULT_ledger || fault == FAULT_device;
}

static void base_finish(const struct putting *putting)
{
    struct job *job = putting->job;
    struct pipeline *pipeline = job->pipeline;
    struct base_change change = {.record = {.op = OP_base_put, .digest = putting->digest, .bytes = putting->byte_count}};
    bool over = false;
    base_who(&change.record, job);
    enum fault fault = base_job_enter(job, &putting->digest, sizeof putting->digest, &over);
    if (fault == FAULT_NONE && over)
        return;
    if (fault == FAULT_NONE)
        fault = base_verify(&change.record, putting, &job->note);
    if (putting->is_part && fault != FAULT_NONE && fault != FAULT_conflict && !is_transient(fault))
        base_part_drop(pipeline, putting->digest);
    if (fault == FAULT_NONE)
        fault = base_file_keep(pipeline, putting->digest, putting->bytes, putting->byte_count, &job->note);
    if (fault != FAULT_NONE) {
        job_fail_note(job);
        return;
    }
    base_part_drop(pipeline, putting->digest);
    base_job_run(job, &change);
    if (!change.acted)
        base_file_unkeep(pipeline, putting->digest);
}

/* --- signed later ------------------------------------------------------------------------------------------------------ */

/* A base that was put without a signature may get one: its put is recorded again, with it. */
static bool may_be_signed(const struct putting *putting, const struct ledger_base_change *known)
{
    return !known->is_signed && putting->job->epoch->config->base_key_count > 0;
}

static void base_sign(const struct putting *putting, const struct ledger_base_change *known, struct text signature)
{
    struct job *job = putting->job;
    struct pipeline *pipeline = job->pipeline;
    struct base_change change = {.record = *known};
    char *bytes = NULL;
    size_t byte_count = 0;
    bool over = false;
    change.record.sequence = 0;
    base_who(&change.record, job);
    enum fault fault = base_job_enter(job, &putting->digest, sizeof putting->digest, &over);
    if (fault == FAULT_NONE && over)
        return;
    if (fault == FAULT_NONE)
        fault = base_bytes_read(&bytes, &byte_count, pipeline, putting->digest, &job->note);
    if (fault == FAULT_NONE)
        fault = base_signer_check(&change.record, job->epoch->config, signature, bytes, byte_count, &job->note);
    memory_give(bytes);
    if (fault == FAULT_NONE)
        base_job_run(job, &change);
    else
        job_fail_note(job);
}

/* --- in pieces --------------------------------------------------------------------------------------------------------- */

static void part_answer(struct job *job, struct digest digest, uint64_t offset)
{
    char hex[HEX_BYTES];
    digest_to_hex(hex, digest);
    wire_pack_map(&job->reply, 7);
    pack_key_i64(&job->reply, "v", 1);
    pack_key_str(&job->reply, "id", job->request.id);
    pack_key_text(&job->reply, "status", "ok");
    pack_key_text(&job->reply, "op", op_names[OP_base_put]);
    pack_key_text(&job->reply, "base_digest", hex);
    pack_key_text(&job->reply, "state", "wanted");
    pack_key_i64(&job->reply, "offset", (int64_t)offset);
    if (job->reply.failed)
        job_fail(job, FAULT_memory, "no memory for the reply");
    else
        job_answer(job, &job->reply);
}

static enum fault pieces_check(const struct job *job, uint64_t base_bytes_max, struct fault_note *note)
{
    const struct base_request *asked = &job->request.base;
    uint64_t total = (uint64_t)asked->bytes, offset = (uint64_t)asked->offset;
    if (total == 0)
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "field bytes is missing: how large the whole file is");
    if (total > base_bytes_max)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "a base of %" PRIu64 " bytes, base_max is %" PRIu64, total,
                         base_bytes_max);
    if (offset > total || asked->data.bytes > total - offset)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "%u bytes at %" PRIu64 " reach beyond the file's %" PRIu64,
                         asked->data.bytes, offset, total);
    if (asked->golden.bytes > GOLDEN_BYTES_MAX)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "golden distances of more than %d bytes", GOLDEN_BYTES_MAX);
    return FAULT_NONE;
}

/* Appends what is new of the piece; what has come already is not written again. */
static enum fault piece_take(uint64_t *out_have, const struct putting *putting, struct fault_note *note)
{
    struct pipeline *pipeline = putting->job->pipeline;
    const struct base_request *asked = &putting->job->request.base;
    uint64_t have = base_part_bytes(pipeline, putting->digest), offset = (uint64_t)asked->offset, end = offset + asked->data.bytes;
    if (have > (uint64_t)asked->bytes) {
        base_part_drop(pipeline, putting->digest);
        have = 0;
    }
    *out_have = have;
    if (asked->data.bytes == 0 || end <= have)
        return FAULT_NONE;
    if (offset > have)
        return fault_set(note, FAULT_conflict, ROW_NONE, COLUMN_NONE, "a piece at %" PRIu64 ", the next byte wanted is %" PRIu64, offset,
                         have);
    *out_have = end;
    return base_part_append(pipeline, putting->digest, have, asked->data.data + (have - offset), (size_t)(end - have), note);
}

static enum fault part_read(struct putting *putting, struct fault_note *note)
{
    struct pipeline *pipeline = putting->job->pipeline;
    char hex[HEX_BYTES];
    enum fault fault =
        base_part_read(&putting->bytes, &putting->byte_count, pipeline, putting->digest, (size_t)putting->job->request.base.bytes, note);
    if (fault != FAULT_NONE)
        return fault;
    struct digest digest = hash128(0, putting->bytes, putting->byte_count);
    if (digest_equal(digest, putting->digest))
        return FAULT_NONE;
    digest_to_hex(hex, digest);
    base_part_drop(pipeline, putting->digest);
    return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "the file that came has digest %s, not the one told; send it again", hex);
}

/* The last piece, which may be empty, brings the signature. */
static void pieces_known(const struct putting *putting, const struct ledger_base_change *known)
{
    const struct base_request *asked = &putting->job->request.base;
    const bool is_of_it = asked->bytes > 0 && (uint64_t)asked->bytes == known->bytes && may_be_signed(putting, known);
    if (is_of_it && asked->offset + asked->data.bytes != asked->bytes)
        part_answer(putting->job, putting->digest, known->bytes);
    else if (is_of_it && asked->signature.bytes)
        base_sign(putting, known, asked->signature);
    else
        base_answer(putting->job, known);
}

/* true: the job goes on whole. */
static bool put_pieces(struct putting *putting)
{
    struct job *job = putting->job;
    struct pipeline *pipeline = job->pipeline;
    struct text hex = job->request.base.digest;
    struct ledger_base_change known;
    uint64_t have = 0;
    enum fault fault = FAULT_NONE;
    if (!digest_from_hex(&putting->digest, hex.data, hex.bytes))
        fault = fault_set(&job->note, FAULT_schema, ROW_NONE, COLUMN_NONE, "digest must be 32 hex digits");
    else if (base_put_find(pipeline, &known, putting->digest, &fault, &job->note))
        return pieces_known(putting, &known), false;
    if (fault == FAULT_NONE)
        fault = pieces_check(job, job->epoch->config->base_bytes_max, &job->note);
    putting->is_part = true;
    if (fault == FAULT_NONE)
        fault = piece_take(&have, putting, &job->note);
    bool is_last = job->request.base.offset + job->request.base.data.bytes == job->request.base.bytes; /* it brings what goes with it */
    if (fault == FAULT_NONE && (have < (uint64_t)job->request.base.bytes || !is_last))
        return part_answer(job, putting->digest, have), false;
    if (fault == FAULT_NONE)
        fault = part_read(putting, &job->note);
    if (fault != FAULT_NONE)
        job_fail_note(job);
    return fault == FAULT_NONE;
}

/* --- from a file of the server's --------------------------------------------------------------------------------------- */

static enum fault beside_read(char **out, size_t *out_bytes, const char *folder, const char *path, size_t bytes_max,
                              struct fault_note *note)
{
    enum fault fault = file_read_below(out, out_bytes, folder, path, bytes_max, note);
    return fault == FAULT_not_found ? *note = (struct fault_note){0}, FAULT_NONE : fault;
}

static void golden_name(char *out, size_t out_bytes, const char *path)
{
    const char *dot = strrchr(path, '.');
    int stem = dot && strchr(dot, '/') == NULL ? (int)(dot - path) : (int)strlen(path);
    snprintf(out, out_bytes, "%.*s.golden%s", stem, path, path + stem);
}

static enum fault files_read(struct putting *putting, struct fault_note *note)
{
    const struct config *config = putting->job->epoch->config;
    char path[256], beside[288];
    text_copy(path, sizeof path, putting->job->request.base.path);
    if (config->base_folder[0] == '\0')
        return fault_set(note, FAULT_denied, ROW_NONE, COLUMN_NONE, "no base_folder is configured: send the file itself");
    enum fault fault =
        file_read_below(&putting->bytes, &putting->byte_count, config->base_folder, path, (size_t)config->base_bytes_max, note);
    golden_name(beside, sizeof beside, path);
    if (fault == FAULT_NONE)
        fault = beside_read(&putting->golden, &putting->golden_bytes, config->base_folder, beside, GOLDEN_BYTES_MAX, note);
    snprintf(beside, sizeof beside, "%s.sig", path);
    if (fault == FAULT_NONE)
        fault = beside_read(&putting->signature, &putting->signature_bytes, config->base_folder, beside, SIGNATURE_TEXT_MAX - 1, note);
    return fault;
}

static bool put_file(struct putting *putting)
{
    struct job *job = putting->job;
    struct ledger_base_change known;
    enum fault fault = files_read(putting, &job->note);
    if (fault == FAULT_NONE) {
        putting->digest = hash128(0, putting->bytes, putting->byte_count);
        const struct text signature = {.data = putting->signature, .bytes = (uint32_t)putting->signature_bytes};
        const bool is_known = base_put_find(job->pipeline, &known, putting->digest, &fault, &job->note);
        if (is_known && signature.bytes && may_be_signed(putting, &known))
            return base_sign(putting, &known, signature), false;
        if (is_known)
            return base_answer(job, &known), false;
    }
    if (fault != FAULT_NONE)
        job_fail_note(job);
    return fault == FAULT_NONE;
}

void base_put(struct job *job)
{
    struct putting putting = {.job = job};
    bool is_whole = job->request.base.path.bytes ? put_file(&putting) : put_pieces(&putting);
    if (is_whole)
        base_finish(&putting);
    memory_give(putting.bytes);
    memory_give(putting.golden);
    memory_give(putting.signature);
}
