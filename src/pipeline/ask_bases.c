/* base.list: which bases are there, who put them, and what became of them. */
#include "pipeline/internal.h"

#include "base/memory.h"
#include "wire/pack.h"

enum { HEX_BYTES = 33, CHANGES_TOLD = 100, PUTS_TOLD = 1000 };

struct listing {
    struct wire_buffer rows;
    uint32_t count, count_max;
    struct digest active, before;
    bool has_before, saw_active, saw_before;
    struct digest told[PUTS_TOLD];
};

static void pack_digest(struct wire_buffer *out, const char *key, struct digest digest)
{
    char hex[HEX_BYTES] = "";
    if (digest.low || digest.high)
        digest_to_hex(hex, digest);
    pack_key_text(out, key, hex);
}

static const char *state_of(struct listing *listing, struct digest digest)
{
    bool is_active = digest_equal(digest, listing->active), is_before = listing->has_before && digest_equal(digest, listing->before);
    listing->saw_active |= is_active;
    listing->saw_before |= is_before;
    return is_active ? "active" : is_before ? "before" : "ready";
}

static void pack_base(struct listing *listing, const struct ledger_base_change *base)
{
    struct wire_buffer *out = &listing->rows;
    wire_pack_map(out, 10);
    pack_key_text(out, "base", base->name);
    pack_key_text(out, "version", base->version);
    pack_key_text(out, "state", state_of(listing, base->digest));
    pack_digest(out, "digest", base->digest);
    pack_key_i64(out, "bytes", (int64_t)base->bytes);
    pack_key_text(out, "by", base->who);
    wire_pack_text(out, "time");
    if (base->sequence)
        wire_pack_i64(out, base->now_us);
    else
        wire_pack_nil(out);
    pack_key_i64(out, "sequence", (int64_t)base->sequence);
    pack_key_i64(out, "golden_rows", base->golden_rows);
    pack_key_text(out, "signer", base->signer);
    listing->count++;
}

static bool put_pack(void *context, const struct ledger_base_change *put)
{
    struct listing *listing = context;
    for (uint32_t i = 0; i < listing->count; i++)
        if (digest_equal(listing->told[i], put->digest))
            return true; /* signed later: the newest put tells */
    listing->told[listing->count] = put->digest;
    pack_base(listing, put);
    return listing->count < listing->count_max;
}

static bool change_pack(void *context, const struct ledger_base_change *change)
{
    struct listing *listing = context;
    struct wire_buffer *out = &listing->rows;
    wire_pack_map(out, 8);
    pack_key_text(out, "op", change->op < OP_COUNT ? op_names[change->op] : "");
    pack_key_i64(out, "sequence", (int64_t)change->sequence);
    pack_key_i64(out, "time", change->now_us);
    pack_key_text(out, "by", change->who);
    pack_key_text(out, "base", change->name);
    pack_key_text(out, "version", change->version);
    pack_digest(out, "digest", change->digest);
    pack_digest(out, "before", change->before);
    return ++listing->count < listing->count_max;
}

/* One that the configuration named was never put: what is known of it is in the file that the ledger keeps. */
static enum fault pack_unput(struct listing *listing, struct pipeline *pipeline, struct digest digest, struct fault_note *note)
{
    struct ledger_base_change of = {.digest = digest, .who = "configuration"};
    struct scene_base *base = NULL;
    char *bytes = NULL;
    size_t byte_count = 0;
    if (digest.low == 0 && digest.high == 0)
        return FAULT_NONE;
    enum fault fault = base_bytes_read(&bytes, &byte_count, pipeline, digest, note);
    if (fault == FAULT_NONE)
        fault = scene_base_read(&base, (const unsigned char *)bytes, byte_count, note);
    if (fault == FAULT_NONE) {
        of.bytes = byte_count;
        text_copy(of.name, sizeof of.name, text_of(base->name));
        text_copy(of.version, sizeof of.version, text_of(base->version));
        pack_base(listing, &of);
    }
    scene_base_close(&base);
    memory_give(bytes);
    return fault;
}

static void listing_begin(struct listing *out, struct pipeline *pipeline)
{
    *out = (struct listing){.count_max = PUTS_TOLD};
    pthread_mutex_lock(&pipeline->bases.lock);
    out->active = pipeline->bases.active;
    out->before = pipeline->bases.before;
    out->has_before = pipeline->bases.has_before;
    pthread_mutex_unlock(&pipeline->bases.lock);
}

static void pack_list(struct job *job, const char *key, const struct listing *listing)
{
    wire_pack_text(&job->reply, key);
    wire_pack_array(&job->reply, listing->count);
    pack_bytes(&job->reply, listing->rows.data, listing->rows.bytes);
    job->reply.failed |= listing->rows.failed;
}

void answer_bases(struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    struct listing bases, changes = {.count_max = CHANGES_TOLD};
    listing_begin(&bases, pipeline);
    enum fault fault = pipeline->ledger_ops->base_changes(pipeline->ledger, true, put_pack, &bases, &job->note);
    if (fault == FAULT_NONE && !bases.saw_active)
        fault = pack_unput(&bases, pipeline, bases.active, &job->note);
    if (fault == FAULT_NONE && bases.has_before && !bases.saw_before && !digest_equal(bases.active, bases.before))
        fault = pack_unput(&bases, pipeline, bases.before, &job->note);
    if (fault == FAULT_NONE)
        fault = pipeline->ledger_ops->base_changes(pipeline->ledger, false, change_pack, &changes, &job->note);
    if (fault == FAULT_NONE) {
        wire_pack_map(&job->reply, 7);
        pack_key_i64(&job->reply, "v", 1);
        pack_key_str(&job->reply, "id", job->request.id);
        pack_key_text(&job->reply, "status", "ok");
        pack_digest(&job->reply, "active", bases.active);
        pack_digest(&job->reply, "before", bases.before);
        pack_list(job, "bases", &bases);
        pack_list(job, "changes", &changes);
    }
    wire_buffer_fini(&bases.rows);
    wire_buffer_fini(&changes.rows);
}
