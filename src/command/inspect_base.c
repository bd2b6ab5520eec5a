/* A scene base for people: what it is called, which scenes it tells apart, what it looks at. */
#include <stdio.h>

#include "command/command.h"
#include "scene/scene_base.h"

static const char *const form_names[] = {[FORM_VALUE] = "", [FORM_OVERSHOOT] = " overshoot", [FORM_ABOVE] = " above"};

static void columns_show(const struct scene_column *columns, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        printf("%s %s%s", i ? "," : "", feature_infos[columns[i].feature].name, form_names[columns[i].form]);
    printf("\n");
}

static void scenes_show(const struct scene_base *base)
{
    printf("%-24s %-24s %9s %9s", "scene", "risk type", "bias", "threshold");
    for (unsigned g = 0; g < DIMENSION_COUNT; g++)
        printf(" %12s", dimension_names[g]);
    printf("\n");
    for (uint32_t s = 0; s < base->scene_count; s++) {
        const struct scene *scene = &base->scenes[s];
        printf("%-24s %-24s %9.4g %9.4g", scene->name, scene->risk_type, (double)scene->bias, (double)scene->threshold);
        for (unsigned g = 0; g < DIMENSION_COUNT; g++) {
            const struct panel *panel = &base->dimensions[g].panel;
            uint32_t clusters = panel->cluster_count ? panel->segment_first[s + 1] - panel->segment_first[s] : 0;
            printf(" %3u × %6.3f", clusters, (double)scene->weight[g]);
        }
        printf("\n");
    }
    printf("(per dimension: clusters × weight)\n");
}

static void base_show(const struct scene_base *base)
{
    char digest[33];
    digest_to_hex(digest, base->digest);
    printf("scene base %s %s, digest %s\n\n", base->name, base->version, digest);
    scenes_show(base);
    for (unsigned g = 0; g < DIMENSION_COUNT; g++) {
        const struct scene_dimension *dimension = &base->dimensions[g];
        printf("\n%s: %u clusters over %u columns:", dimension_names[g], dimension->panel.cluster_count, dimension->column_count);
        columns_show(dimension->columns, dimension->column_count);
    }
    for (unsigned a = 0; a < ANOMALY_COUNT; a++) {
        const struct anomaly_set *set = &base->anomaly[a];
        printf("\n%s: %u points, calibrated by %u rows, threshold %.6g, over", anomaly_names[a], set->panel.cluster_count, set->table_count,
               (double)set->threshold);
        columns_show(set->columns, set->column_count);
    }
}

int command_inspect_base(const char *path, int json)
{
    struct scene_base *base = NULL;
    struct fault_note note = {0};
    if (scene_base_open(&base, path, &note) != FAULT_NONE) {
        fprintf(stderr, "sluice inspect: %s: %s\n", path, note.text);
        return 2;
    }
    if (json)
        printf("%s\n", base->metadata);
    else
        base_show(base);
    scene_base_close(&base);
    return 0;
}
