/* base.compare: what champion and challenger said of the same rows. Counts are read as they are: nobody waits. */
#include "pipeline/challenger.h"

#include <string.h>

#include "wire/pack.h"

static uint64_t read_counter(const atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* The same counter of all workers; at: of the first one's. */
static uint64_t sum(const struct challenger *challenger, const atomic_uint_fast64_t *at)
{
    size_t offset = (size_t)((const char *)at - (const char *)&challenger->tallies[0]);
    uint64_t total = 0;
    for (uint32_t w = 0; w < challenger->worker_count; w++)
        total += read_counter((const atomic_uint_fast64_t *)(const void *)((const char *)&challenger->tallies[w] + offset));
    return total;
}

static void pack_key_f64(struct wire_buffer *out, const char *key, double value)
{
    wire_pack_text(out, key);
    wire_pack_f64(out, value);
}

static void pack_base(struct wire_buffer *out, const char *key, const struct epoch *epoch)
{
    wire_pack_text(out, key);
    wire_pack_map(out, 3);
    pack_key_text(out, "base", epoch->names.base_name);
    pack_key_text(out, "version", epoch->names.base_version);
    pack_key_text(out, "digest", epoch->names.base_digest);
}

static void pack_verdicts(struct wire_buffer *out, const struct challenger *challenger)
{
    const struct tally *first = &challenger->tallies[0];
    wire_pack_text(out, "verdicts");
    wire_pack_array(out, VERDICT_COUNT * VERDICT_COUNT);
    for (int a = 0; a < VERDICT_COUNT; a++)
        for (int b = 0; b < VERDICT_COUNT; b++) {
            wire_pack_map(out, 3);
            pack_key_text(out, "champion", verdict_names[a]);
            pack_key_text(out, "challenger", verdict_names[b]);
            pack_key_i64(out, "rows", (int64_t)sum(challenger, &first->verdicts[a][b]));
        }
}

static const char *scene_name(const struct epoch *epoch, uint32_t scene)
{
    return scene ? epoch->base->scenes[scene].name : "none";
}

static void pack_scenes(struct wire_buffer *out, const struct challenger *challenger)
{
    uint64_t rows[SCENES_MAX][SCENES_MAX];
    uint32_t pairs = 0;
    for (uint32_t a = 0; a < SCENES_MAX; a++)
        for (uint32_t b = 0; b < SCENES_MAX; b++)
            pairs += (rows[a][b] = sum(challenger, &challenger->tallies[0].scenes[a][b])) > 0;
    wire_pack_text(out, "scenes");
    wire_pack_array(out, pairs);
    for (uint32_t a = 0; a < SCENES_MAX; a++)
        for (uint32_t b = 0; b < SCENES_MAX; b++) {
            if (rows[a][b] == 0)
                continue;
            wire_pack_map(out, 3);
            pack_key_text(out, "champion", scene_name(challenger->champion, a));
            pack_key_text(out, "challenger", scene_name(challenger->epoch, b));
            pack_key_i64(out, "rows", (int64_t)rows[a][b]);
        }
}

static void pack_tenants(struct wire_buffer *out, const struct challenger *challenger)
{
    const struct tally *first = &challenger->tallies[0];
    const struct config *config = challenger->champion->config;
    uint64_t rows[TENANTS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < config->tenant_count; i++)
        count += (rows[i] = sum(challenger, &first->tenant_rows[i])) > 0;
    wire_pack_text(out, "tenants");
    wire_pack_array(out, count);
    for (uint32_t i = 0; i < config->tenant_count; i++) {
        if (rows[i] == 0)
            continue;
        wire_pack_map(out, 4);
        pack_key_text(out, "tenant", config->tenants[i].name);
        pack_key_i64(out, "rows", (int64_t)rows[i]);
        pack_key_i64(out, "champion_kept", (int64_t)sum(challenger, &first->tenant_held[i][SIDE_CHAMPION]));
        pack_key_i64(out, "challenger_kept", (int64_t)sum(challenger, &first->tenant_held[i][SIDE_CHALLENGER]));
    }
}

static void pack_switched(struct wire_buffer *out, struct challenger *challenger)
{
    pthread_mutex_lock(&challenger->lock);
    uint64_t count = challenger->switched_count, told = count < SWITCHED_MAX ? count : SWITCHED_MAX;
    pack_key_i64(out, "switched_rows", (int64_t)count);
    wire_pack_text(out, "switched");
    wire_pack_array(out, (uint32_t)told);
    for (uint64_t i = 0; i < told; i++) { /* the newest first */
        const struct switched *row = &challenger->switched[(count - 1 - i) % SWITCHED_MAX];
        wire_pack_map(out, 10);
        pack_key_text(out, "tenant", challenger->champion->config->tenants[row->tenant].name);
        pack_key_i64(out, "sequence", (int64_t)row->sequence);
        pack_key_i64(out, "row", row->row);
        wire_pack_text(out, "transfer_id");
        pack_clean(out, text_of(row->id));
        pack_key_text(out, "champion", verdict_names[row->verdict[SIDE_CHAMPION]]);
        pack_key_text(out, "challenger", verdict_names[row->verdict[SIDE_CHALLENGER]]);
        pack_key_text(out, "champion_scene", scene_name(challenger->champion, row->scene[SIDE_CHAMPION]));
        pack_key_text(out, "challenger_scene", scene_name(challenger->epoch, row->scene[SIDE_CHALLENGER]));
        pack_key_f64(out, "champion_match", (double)row->match[SIDE_CHAMPION]);
        pack_key_f64(out, "challenger_match", (double)row->match[SIDE_CHALLENGER]);
    }
    pthread_mutex_unlock(&challenger->lock);
}

/* Of the risk in bins of a 1,024th, from the highest down: rows in one bin are ties. */
static double average_precision(const struct challenger *challenger, int side)
{
    double good = 0.0, bad = 0.0, precision = 0.0;
    for (uint32_t bin = RISK_BINS; bin-- > 0;) {
        double bad_here = (double)read_counter(&challenger->risks[side][1][bin]);
        good += (double)read_counter(&challenger->risks[side][0][bin]);
        bad += bad_here;
        precision += bad_here > 0.0 ? bad_here * bad / (bad + good) : 0.0;
    }
    return bad > 0.0 ? precision / bad : 0.0;
}

static void pack_labels(struct wire_buffer *out, const struct challenger *challenger)
{
    static const char *const sides[SIDE_COUNT] = {"champion", "challenger"};
    uint64_t good = read_counter(&challenger->labelled[0]), bad = read_counter(&challenger->labelled[1]);
    pack_key_i64(out, "labelled_good", (int64_t)good);
    pack_key_i64(out, "labelled_bad", (int64_t)bad);
    wire_pack_text(out, "labels");
    wire_pack_array(out, SIDE_COUNT);
    for (int side = 0; side < SIDE_COUNT; side++) {
        double wrong = (double)read_counter(&challenger->alerted[side][0]), right = (double)read_counter(&challenger->alerted[side][1]);
        wire_pack_map(out, 5);
        pack_key_text(out, "side", sides[side]);
        pack_key_f64(out, "average_precision", average_precision(challenger, side));
        pack_key_i64(out, "kept", (int64_t)(wrong + right));
        pack_key_f64(out, "precision", wrong + right > 0.0 ? right / (wrong + right) : 0.0);
        pack_key_f64(out, "recall", bad > 0 ? right / (double)bad : 0.0);
    }
}

void challenger_tell(struct job *job, bool whole)
{
    enum { HEAD_PAIRS = 4, SHORT_PAIRS = 5, WHOLE_PAIRS = 8 };
    struct wire_buffer *out = &job->reply;
    struct challenger *challenger = challenger_hold(job->pipeline);
    wire_pack_map(out, HEAD_PAIRS + (challenger ? SHORT_PAIRS + (whole ? WHOLE_PAIRS : 0) : 0));
    pack_key_i64(out, "v", 1);
    pack_key_str(out, "id", job->request.id);
    pack_key_text(out, "status", "ok");
    pack_key_text(out, "state", challenger ? "on" : "off");
    if (challenger) {
        pack_base(out, "champion", challenger->champion);
        pack_base(out, "challenger", challenger->epoch);
        pack_key_i64(out, "since", challenger->since_us);
        pack_key_i64(out, "rows", (int64_t)sum(challenger, &challenger->tallies[0].rows));
        pack_key_i64(out, "skipped", (int64_t)sum(challenger, &challenger->tallies[0].skipped));
    }
    if (challenger && whole) {
        pack_verdicts(out, challenger);
        pack_scenes(out, challenger);
        pack_tenants(out, challenger);
        pack_switched(out, challenger);
        pack_labels(out, challenger);
    }
    challenger_release(&challenger);
}
