/* A card says nothing that is not in the base: whoever has the file can make it again. */
#include "scene/card.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/json.h"

char *card_provenance(const struct build_origin *origin, const struct build_options *options)
{
    json_t *root =
        json_pack("{s:s, s:s, s:I, s:I, s:s?, s:s?, s:s?, s:I, s:f, s:b, s:I, s:I, s:I, s:I}", "tool", "sluice " SLUICE_VERSION, "input",
                  origin->input, "input_rows", (json_int_t)origin->rows, "input_rows_invalid", (json_int_t)origin->rows_invalid,
                  "train_from", origin->train_from, "train_to", origin->train_to, "until", origin->until, "train_rows",
                  (json_int_t)origin->train_rows, "delay_days", origin->delay_days, "batch_features", (int)origin->batch_features,
                  "batch_rows", (json_int_t)origin->batch_rows, "background_clusters", (json_int_t)options->background_clusters,
                  "scene_clusters", (json_int_t)options->scene_clusters, "seed", (json_int_t)options->seed);
    return json_text(root, JSON_COMPACT);
}

static void line(FILE *out, const char *name, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(4));
    fprintf(out, "| %s | %s |\n", name, text ? text : "");
    json_text_give(text);
}

static void lines_of(FILE *out, json_t *object)
{
    const char *name;
    json_t *value;
    fprintf(out, "| what | value |\n| --- | --- |\n");
    json_object_foreach(object, name, value) if (!json_is_object(value) && !json_is_array(value)) line(out, name, value);
}

static void scenes_of(FILE *out, const struct scene_base *base, const json_t *metrics)
{
    const json_t *scenes = json_object_get(metrics, "scenes");
    fprintf(out, "| scene | risk type | threshold | rows behind the training | kept from passing | average precision |\n"
                 "| --- | --- | --- | --- | --- | --- |\n");
    for (uint32_t s = 1; s < base->scene_count; s++) {
        const json_t *figures = json_array_get(scenes, s);
        fprintf(out, "| `%s` | %s | %.4g | %lld | %lld | %.3f |\n", base->scenes[s].name, base->scenes[s].risk_type,
                (double)base->scenes[s].threshold, (long long)json_integer_value(json_object_get(figures, "rows")),
                (long long)json_integer_value(json_object_get(figures, "alerted")),
                json_number_value(json_object_get(figures, "average_precision")));
    }
}

static void columns_of(FILE *out, const struct scene_base *base)
{
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        const struct scene_dimension *dimension = &base->dimensions[g];
        fprintf(out, "- %s: %u clusters over %u columns:", dimension_names[g], dimension->panel.cluster_count, dimension->column_count);
        for (uint32_t j = 0; j < dimension->column_count; j++)
            if (dimension->columns[j].form == FORM_VALUE)
                fprintf(out, " `%s`", feature_infos[dimension->columns[j].feature].name);
        fprintf(out, "\n");
    }
}

char *card_text(const struct scene_base *base, const char *page)
{
    char hex[33], *text = NULL;
    size_t bytes;
    json_t *root = json_loads(base->metadata, 0, NULL);
    FILE *out = root ? open_memstream(&text, &bytes) : NULL;
    if (!out) {
        json_decref(root);
        return NULL;
    }
    digest_to_hex(hex, base->digest);
    fprintf(out, "# Scene base %s, version %s\n\nDigest `%s`.\n\n## Scenes\n\n", base->name, base->version, hex);
    scenes_of(out, base, json_object_get(root, "metrics"));
    fprintf(out, "\n## What it looks at\n\n");
    columns_of(out, base);
    fprintf(out, "\n## Figures on the rows behind the training window\n\n");
    lines_of(out, json_object_get(root, "metrics"));
    if (page)
        fprintf(out, "\n[More figures and plots](%s) of the same rows, scored the way that a server does.\n", page);
    fprintf(out, "\n## Made from\n\n");
    lines_of(out, json_object_get(root, "provenance"));
    fprintf(out, "\n## Limits\n\nThe figures hold for traffic like the rows named here. Thresholds keep a fixed share of such rows from "
                 "passing: on other traffic measure again with `sluice eval`.\n");
    json_decref(root);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}
