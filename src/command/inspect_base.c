/* A scene base for people: what it is called, which scenes it tells apart, what it looks at. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "command/command.h"
#include "scene/golden.h"
#include "scene/scene_base.h"
#include "scene/seal.h"

enum { GOLDEN_BYTES_MAX = 8 << 20 };

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

static void reference_show(const struct scene_reference *reference)
{
    uint64_t rows = 0;
    for (uint32_t j = 0; reference->feature_count && j < REFERENCE_BINS; j++)
        rows += reference->counts[j];
    if (rows)
        printf("\nreference for drift: %u features, %llu background rows\n", reference->feature_count, (unsigned long long)rows);
    else
        printf("\nreference for drift: not in this base\n");
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
        printf("\n%s: %u points, calibrated by %u rows, threshold %.6g, over", anomaly_names[a], set->ensemble.point_count,
               set->table_count, (double)set->threshold);
        columns_show(set->columns, set->column_count);
    }
    reference_show(&base->reference);
}

/* STEM.golden.safetensors beside STEM.safetensors; false: there is none. */
static bool golden_read(char **out, size_t *out_bytes, const char *path)
{
    static const char ending[] = ".safetensors";
    char golden[512];
    size_t bytes = strlen(path), ending_bytes = sizeof ending - 1;
    if (bytes < ending_bytes || strcmp(path + bytes - ending_bytes, ending) != 0)
        return false;
    if ((size_t)snprintf(golden, sizeof golden, "%.*s.golden%s", (int)(bytes - ending_bytes), path, ending) >= sizeof golden)
        return false;
    return file_read_all(out, out_bytes, golden, GOLDEN_BYTES_MAX, NULL) == FAULT_NONE;
}

/* Whether this machine's kernels give the golden distances that came with the base. */
static enum fault golden_check(const struct scene_base *base, const char *path, bool tell, struct fault_note *note)
{
    struct golden_errors errors;
    struct kernels kernels;
    char *bytes;
    size_t byte_count;
    if (!golden_read(&bytes, &byte_count, path))
        return FAULT_NONE;
    kernels_select(&kernels, CPU_MASK_ALL);
    struct fault_note why = {0};
    enum fault fault = golden_verify(&errors, base, bytes, byte_count, &kernels, &why);
    if (fault != FAULT_NONE)
        fault_set(note, fault, ROW_NONE, COLUMN_NONE, "%.60s: %s", path, why.text);
    if (fault == FAULT_NONE && tell)
        printf("\ngolden distances hold with %s: a distance errs by %.1e, a match by %.1e, an anomaly by %.1e at most\n", kernels.name,
               errors.distance, errors.match, errors.anomaly);
    memory_give(bytes);
    return fault;
}

int command_inspect_base(const char *path, int json)
{
    struct scene_base *base = NULL;
    struct fault_note note = {0};
    enum fault fault = scene_base_open(&base, path, &note);
    if (fault == FAULT_NONE) {
        if (json)
            printf("%s\n", base->metadata);
        else
            base_show(base);
        fault = golden_check(base, path, !json, &note);
    }
    scene_base_close(&base);
    return fault == FAULT_NONE ? COMMAND_DONE : command_fail(COMMAND_REFUSED, "inspect", "%s", note.text);
}

/* The file with its seal is read as a server reads it before it takes the place of the one without. */
int command_seal_base(const char *path)
{
    struct fault_note note = {0};
    struct scene_base *base = NULL;
    char *bytes = NULL, *sealed = NULL, digest[33];
    size_t byte_count = 0, sealed_count = 0;
    enum fault fault = file_read_all(&bytes, &byte_count, path, SCENE_BASE_BYTES_MAX, &note);
    if (fault != FAULT_NONE)
        return command_fail(COMMAND_REFUSED, "inspect", "%s", note.text);
    fault = seal_add(&sealed, &sealed_count, bytes, byte_count, &note);
    if (fault == FAULT_NONE)
        fault = scene_base_read(&base, (const unsigned char *)sealed, sealed_count, &note);
    if (fault == FAULT_NONE)
        fault = file_replace(path, sealed, sealed_count, &note);
    if (fault == FAULT_NONE) {
        digest_to_hex(digest, base->digest);
        printf("scene base %s %s is sealed, digest %s\n", base->name, base->version, digest);
    }
    scene_base_close(&base);
    memory_give(bytes);
    memory_give(sealed);
    return fault == FAULT_NONE ? COMMAND_DONE : command_fail(COMMAND_REFUSED, "inspect", "%s: %s", path, note.text);
}
