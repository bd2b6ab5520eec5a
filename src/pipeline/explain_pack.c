/* Scenes by match, shares of dimensions and features with the relation tuple behind each, shares of the anomaly degrees, and the
 * nearest change. All of it is the record's own, or nothing of it is told. */
#include "pipeline/explain.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "wire/pack.h"

static void pack_key_f64(struct wire_buffer *out, const char *key, double value)
{
    wire_pack_text(out, key);
    wire_pack_f64(out, value);
}

static void pack_key_nil(struct wire_buffer *out, const char *key)
{
    wire_pack_text(out, key);
    wire_pack_nil(out);
}

static void pack_key_array(struct wire_buffer *out, const char *key, uint32_t count)
{
    wire_pack_text(out, key);
    wire_pack_array(out, count);
}

/* --- scenes --------------------------------------------------------------------------------------------------------- */

static void pack_scene(struct wire_buffer *out, const struct again *again, uint32_t s)
{
    const struct scene *scene = &again->base->scenes[s];
    wire_pack_map(out, 5 + DIMENSION_COUNT);
    pack_key_text(out, "scene", scene->name);
    pack_key_f32(out, "match", again->match[s]);
    pack_key_f32(out, "threshold", scene->threshold);
    pack_key_f32(out, "margin", again->match[s] - scene->threshold);
    pack_key_f64(out, "evidence", again->evidence[s] - again->evidence[0]);
    for (unsigned g = 0; g < DIMENSION_COUNT; g++) {
        char key[32] = "distance_";
        pack_key_f32(out, strcat(key, dimension_names[g]), again->distance[g][s]);
    }
}

/* By evidence, as the best scene and the runner-up are chosen; ties to the lower index. */
static void pack_ranked(struct wire_buffer *out, const struct again *again)
{
    uint32_t count = again->base->scene_count - 1, ranked[SCENES_MAX];
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = i;
        for (; at > 0 && again->evidence[i + 1] > again->evidence[ranked[at - 1]]; at--)
            ranked[at] = ranked[at - 1];
        ranked[at] = i + 1;
    }
    pack_key_array(out, "scenes", count);
    for (uint32_t i = 0; i < count; i++)
        pack_scene(out, again, ranked[i]);
}

static void pack_dimensions(struct wire_buffer *out, const struct again *again)
{
    pack_key_array(out, "dimensions", DIMENSION_COUNT);
    for (unsigned g = 0; g < DIMENSION_COUNT; g++) {
        wire_pack_map(out, 3);
        pack_key_text(out, "dimension", dimension_names[g]);
        pack_key_f64(out, "share", again->of_scene.of[g]);
        pack_key_f32(out, "distance", again->distance[g][again->scene]);
    }
}

/* --- shares --------------------------------------------------------------------------------------------------------- */

/* "payer" is found at payer_id, "payer_device" at payer_device. */
static const char *id_of(const struct explain_ids *ids, const char *node)
{
    size_t bytes = strlen(node);
    for (unsigned i = 0; i < EXPLAIN_IDS; i++)
        if (strncmp(ids->nodes[i], node, bytes) == 0 && (ids->nodes[i][bytes] == '\0' || strcmp(ids->nodes[i] + bytes, "_id") == 0))
            return ids->texts[i];
    return "";
}

/* Figures of history that the definition names, in its order, each once; returns how many. */
static uint32_t figures_named(uint16_t out[8], const char *definition)
{
    uint32_t count = 0;
    for (const char *at = definition; *at && count < 8;) {
        size_t bytes = 0;
        while (isalnum((unsigned char)at[bytes]) || at[bytes] == '_')
            bytes++;
        for (uint16_t f = 0; bytes && f < FIGURE_COUNT; f++)
            if (strlen(figure_names[f]) == bytes && memcmp(figure_names[f], at, bytes) == 0) {
                uint32_t before = 0;
                while (before < count && out[before] != f)
                    before++;
                out[count] = f;
                count += before == count;
            }
        at += bytes ? bytes : 1;
    }
    return count;
}

static void pack_figures(struct wire_buffer *out, const struct again *again, const char *definition)
{
    uint16_t named[8];
    uint32_t count = figures_named(named, definition);
    wire_pack_text(out, "figures");
    wire_pack_map(out, count);
    for (uint32_t i = 0; i < count; i++) {
        float value = again->figures.column[named[i]][0];
        if (value < 0.0f)
            pack_key_nil(out, figure_names[named[i]]); /* not known */
        else
            pack_key_f32(out, figure_names[named[i]], value);
    }
}

static void pack_share(struct wire_buffer *out, const struct again *again, const struct explain_whole *whole, uint16_t f,
                       const struct explain_ids *ids)
{
    const struct feature_info *info = &feature_infos[f];
    wire_pack_map(out, 13);
    pack_key_text(out, "feature", info->name);
    pack_key_text(out, "dimension", dimension_names[info->dimension]);
    pack_key_f32(out, "value", again->features.column[f][0]);
    pack_key_text(out, "unit", info->unit);
    pack_key_f32(out, "z", whole->z[f]);
    pack_key_f64(out, "share", whole->share[f]);
    pack_key_text(out, "source", info->source);
    pack_key_text(out, "source_id", id_of(ids, info->source));
    pack_key_text(out, "target", info->target);
    pack_key_text(out, "target_id", id_of(ids, info->target));
    pack_key_text(out, "edge", info->edge);
    pack_key_text(out, "definition", info->definition);
    pack_figures(out, again, info->definition);
}

/* All features that were looked at, the strongest first; ties in the order of the catalogue. */
static void pack_shares(struct wire_buffer *out, const struct again *again, const struct explain_whole *whole,
                        const struct explain_ids *ids)
{
    uint16_t ranked[FEATURE_COUNT];
    uint32_t count = 0;
    for (uint16_t f = 0; f < FEATURE_COUNT; f++) {
        if (!whole->is_used[f])
            continue;
        uint32_t at = count++;
        for (; at > 0 && fabs(whole->share[f]) > fabs(whole->share[ranked[at - 1]]); at--)
            ranked[at] = ranked[at - 1];
        ranked[at] = f;
    }
    pack_key_array(out, "shares", count);
    for (uint32_t i = 0; i < count; i++)
        pack_share(out, again, whole, ranked[i], ids);
}

static void pack_anomalies(struct wire_buffer *out, const struct again *again, const struct explain_ids *ids)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < ANOMALY_COUNT; i++)
        count += again->base->anomaly[i].ensemble.point_count > 0;
    pack_key_array(out, "anomalies", count);
    for (unsigned i = 0; i < ANOMALY_COUNT; i++) {
        if (!again->base->anomaly[i].ensemble.point_count)
            continue;
        wire_pack_map(out, 3);
        pack_key_text(out, "anomaly", anomaly_names[i]);
        pack_key_f32(out, "raw", again->anomaly[i]);
        pack_shares(out, again, &again->of_anomaly[i], ids);
    }
}

/* --- what would have passed ----------------------------------------------------------------------------------------- */

static void pack_change(struct wire_buffer *out, const struct again *again)
{
    const struct change *change = &again->change;
    wire_pack_text(out, "passes_if");
    if (!again->could_change) {
        wire_pack_nil(out);
        return;
    }
    if (!change->found) {
        wire_pack_text(out, "none");
        return;
    }
    const struct feature_info *info = &feature_infos[change->feature];
    wire_pack_map(out, 10);
    pack_key_text(out, "feature", info->name);
    pack_key_text(out, "dimension", dimension_names[info->dimension]);
    pack_key_text(out, "unit", info->unit);
    pack_key_f32(out, "from", change->from);
    pack_key_f32(out, "to", change->to);
    pack_key_f64(out, "away", change->away);
    pack_key_text(out, "scene", again->base->scenes[change->scene].name);
    pack_key_f32(out, "match", change->match);
    pack_key_f32(out, "anomaly_own", change->anomaly_own);
    pack_key_f32(out, "anomaly_linked", change->anomaly_linked);
}

static void pack_nothing(struct wire_buffer *out)
{
    static const char *const lists[] = {"scenes", "dimensions", "shares", "anomalies"};
    static const char *const numbers[] = {"evidence", "bias", "passes_if"};
    for (unsigned i = 0; i < sizeof lists / sizeof *lists; i++)
        pack_key_array(out, lists[i], 0);
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
        pack_key_nil(out, numbers[i]);
}

void explain_pack_again(struct wire_buffer *out, const struct again *again, const char *why, const struct explain_ids *ids)
{
    bool is_exact = again && again->is_exact;
    wire_pack_text(out, "exact");
    wire_pack_bool(out, is_exact);
    pack_key_text(out, "why", is_exact ? "" : why);
    if (!is_exact) {
        pack_nothing(out);
        return;
    }
    pack_ranked(out, again);
    pack_dimensions(out, again);
    pack_shares(out, again, &again->of_scene, ids);
    pack_anomalies(out, again, ids);
    pack_key_f64(out, "evidence", again->evidence[again->scene] - again->evidence[0]);
    pack_key_f64(out, "bias", again->of_scene.bias + again->of_scene.offset);
    pack_change(out, again);
}
