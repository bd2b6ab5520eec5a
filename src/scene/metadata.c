/* Every refusal names the place in the text. Numbers are checked against bounds that keep all distances finite
 * (SCENE_* in scene_base.h). */
#include "scene/metadata.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "base/json.h"
#include "scene/seal.h"

const char *const scene_form_names[FORM_ABOVE + 1] = {[FORM_VALUE] = "value", [FORM_OVERSHOOT] = "overshoot", [FORM_ABOVE] = "above"};
const char *const anomaly_names[ANOMALY_COUNT] = {[ANOMALY_OWN] = "own", [ANOMALY_LINKED] = "linked"};

/* Where the reader stands; the first refusal stays. */
struct reading {
    struct fault_note *note;
    char place[96];
};

static enum fault refuse(struct reading *reading, const char *format, ...) __attribute__((format(printf, 2, 3)));
static enum fault refuse(struct reading *reading, const char *format, ...)
{
    char text[120];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return fault_set(reading->note, FAULT_model, ROW_NONE, COLUMN_NONE, "%s: %s", reading->place, text);
}

static void stand_at(struct reading *reading, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void stand_at(struct reading *reading, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reading->place, sizeof reading->place, format, arguments);
    va_end(arguments);
}

static enum fault read_name(struct reading *reading, char *out, size_t out_bytes, const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (!text || !*text || strlen(text) >= out_bytes)
        return refuse(reading, "%s is not a text of 1 to %zu bytes", key, out_bytes - 1);
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return refuse(reading, "%s holds a control character", key);
    snprintf(out, out_bytes, "%s", text);
    return FAULT_NONE;
}

static enum fault read_number(struct reading *reading, float *out, const json_t *object, const char *key, double least, double most)
{
    const json_t *number = json_object_get(object, key);
    double value = json_number_value(number);
    if (!json_is_number(number) || !(value >= least && value <= most))
        return refuse(reading, "%s is not a number from %g to %g", key, least, most);
    *out = (float)value;
    return FAULT_NONE;
}

static enum fault read_form(struct reading *reading, enum scene_column_form *out, const json_t *object)
{
    const char *text = json_string_value(json_object_get(object, "form"));
    for (unsigned i = 0; text && i <= FORM_ABOVE; i++)
        if (strcmp(text, scene_form_names[i]) == 0)
            return *out = (enum scene_column_form)i, FAULT_NONE;
    return refuse(reading, "form is not value, overshoot or above");
}

static enum fault read_column(struct reading *reading, struct scene_column *out, const json_t *object)
{
    const char *name = json_string_value(json_object_get(object, "feature"));
    int feature = name ? feature_find(name, strlen(name)) : -1;
    if (feature < 0)
        return refuse(reading, "feature %.40s is not in this server's catalogue", name ? name : "(none)");
    *out = (struct scene_column){.feature = (uint16_t)feature, .edge_scale = 1.0f};
    enum fault fault = read_form(reading, &out->form, object);
    if (fault == FAULT_NONE && out->form != FORM_VALUE)
        fault = read_number(reading, &out->edge, object, "edge", -SCENE_INPUT_MAX, SCENE_INPUT_MAX);
    if (fault == FAULT_NONE && out->form == FORM_OVERSHOOT)
        fault = read_number(reading, &out->edge_scale, object, "edge_scale", SCENE_SCALE_MIN, SCENE_INPUT_MAX);
    return fault;
}

static enum fault read_columns(struct reading *reading, struct scene_column **out, uint32_t *out_count, const json_t *columns,
                               const char *path, struct arena *arena)
{
    size_t count = json_array_size(columns);
    stand_at(reading, "%s", path);
    if (!json_is_array(columns) || count < 1 || count > DIMENSION_COLUMNS_MAX)
        return refuse(reading, "not an array of 1 to %d columns", DIMENSION_COLUMNS_MAX);
    *out = arena_take_zeroed(arena, count * sizeof **out, 64);
    MUST(*out);
    *out_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        stand_at(reading, "%s[%zu]", path, i);
        enum fault fault = read_column(reading, &(*out)[i], json_array_get(columns, i));
        if (fault != FAULT_NONE)
            return fault;
    }
    return FAULT_NONE;
}

static int name_index(const char *const *names, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

static enum fault read_dimensions(struct reading *reading, struct scene_base *base, json_t *dimensions)
{
    const char *name;
    json_t *columns;
    stand_at(reading, "dimensions");
    if (!json_is_object(dimensions))
        return refuse(reading, "not an object");
    json_object_foreach(dimensions, name, columns)
    {
        int g = name_index(dimension_names, DIMENSION_COUNT, name);
        if (g < 0)
            return refuse(reading, "%.40s is not a dimension", name);
        char path[64];
        snprintf(path, sizeof path, "dimensions.%s", name);
        struct scene_dimension *dimension = &base->dimensions[g];
        enum fault fault = read_columns(reading, &dimension->columns, &dimension->column_count, columns, path, base->arena);
        if (fault != FAULT_NONE)
            return fault;
    }
    return FAULT_NONE;
}

static enum fault read_anomaly(struct reading *reading, struct scene_base *base, json_t *sets)
{
    const char *name;
    json_t *object;
    stand_at(reading, "anomaly");
    if (!json_is_object(sets))
        return refuse(reading, "not an object");
    json_object_foreach(sets, name, object)
    {
        int which = name_index(anomaly_names, ANOMALY_COUNT, name);
        if (which < 0)
            return refuse(reading, "%.40s is neither own nor linked", name);
        char path[64];
        snprintf(path, sizeof path, "anomaly.%s.columns", name);
        struct anomaly_set *set = &base->anomaly[which];
        enum fault fault = read_columns(reading, &set->columns, &set->column_count, json_object_get(object, "columns"), path, base->arena);
        if (fault != FAULT_NONE)
            return fault;
        stand_at(reading, "anomaly.%s", name);
        if ((fault = read_number(reading, &set->threshold, object, "threshold", SCENE_SCALE_MIN, 1.0)) != FAULT_NONE)
            return fault;
    }
    return FAULT_NONE;
}

static enum fault read_scene(struct reading *reading, struct scene *out, const struct scene_base *base, const json_t *object, size_t index)
{
    const json_t *weights = json_object_get(object, "weights");
    enum fault fault = read_name(reading, out->name, sizeof out->name, object, "name");
    if (fault == FAULT_NONE)
        fault = read_number(reading, &out->bias, object, "bias", -SCENE_WEIGHT_MAX, SCENE_WEIGHT_MAX);
    if (fault == FAULT_NONE && index > 0)
        fault = read_name(reading, out->risk_type, sizeof out->risk_type, object, "risk_type");
    if (fault == FAULT_NONE && index > 0)
        fault = read_number(reading, &out->threshold, object, "threshold", SCENE_SCALE_MIN, 1.0);
    stand_at(reading, "scenes[%zu].weights", index);
    for (int g = 0; fault == FAULT_NONE && g < DIMENSION_COUNT; g++)
        if (base->dimensions[g].column_count)
            fault = read_number(reading, &out->weight[g], weights, dimension_names[g], -SCENE_WEIGHT_MAX, SCENE_WEIGHT_MAX);
    return fault;
}

static enum fault read_scenes(struct reading *reading, struct scene_base *base, const json_t *scenes)
{
    size_t count = json_array_size(scenes);
    stand_at(reading, "scenes");
    if (!json_is_array(scenes) || count < 1 || count > SCENES_MAX)
        return refuse(reading, "not an array of background and up to %d scenes", SCENES_MAX - 1);
    base->scene_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        stand_at(reading, "scenes[%zu]", i);
        enum fault fault = read_scene(reading, &base->scenes[i], base, json_array_get(scenes, i), i);
        if (fault != FAULT_NONE)
            return fault;
        for (size_t k = 0; k < i; k++)
            if (strcmp(base->scenes[k].name, base->scenes[i].name) == 0)
                return refuse(reading, "the name is that of scenes[%zu]", k);
    }
    return FAULT_NONE;
}

/* Absent in bases of before it was kept, and in those written by hand. */
static enum fault read_reference(struct reading *reading, struct scene_base *base, const json_t *object)
{
    const json_t *features = json_object_get(object, "features");
    size_t count = json_array_size(features);
    stand_at(reading, "reference.features");
    if (!object)
        return FAULT_NONE;
    if (!json_is_array(features) || count < 1 || count > FEATURE_COUNT)
        return refuse(reading, "not an array of 1 to %d features", FEATURE_COUNT);
    base->reference.feature = arena_take(base->arena, count * sizeof *base->reference.feature, 64);
    MUST(base->reference.feature);
    base->reference.feature_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(features, i));
        int feature = name ? feature_find(name, strlen(name)) : -1;
        if (feature < 0)
            return refuse(reading, "%.40s is not in this server's catalogue", name ? name : "(none)");
        base->reference.feature[i] = (uint16_t)feature;
    }
    return FAULT_NONE;
}

static enum fault read_root(struct reading *reading, struct scene_base *base, const json_t *root)
{
    const json_t *format = json_object_get(root, "format");
    stand_at(reading, "metadata");
    if (!json_is_integer(format) || json_integer_value(format) != SCENE_BASE_FORMAT)
        return refuse(reading, "format is not %d", SCENE_BASE_FORMAT);
    enum fault fault = read_name(reading, base->name, sizeof base->name, root, "name");
    if (fault == FAULT_NONE)
        fault = read_name(reading, base->version, sizeof base->version, root, "version");
    if (fault == FAULT_NONE)
        fault = read_dimensions(reading, base, json_object_get(root, "dimensions"));
    if (fault == FAULT_NONE)
        fault = read_scenes(reading, base, json_object_get(root, "scenes"));
    if (fault == FAULT_NONE)
        fault = read_anomaly(reading, base, json_object_get(root, "anomaly"));
    if (fault == FAULT_NONE)
        fault = read_reference(reading, base, json_object_get(root, "reference"));
    return fault;
}

enum fault metadata_read(struct scene_base *base, const char *text, struct fault_note *note)
{
    struct reading reading = {.note = note};
    json_t *root;
    enum fault fault = json_read(&root, text, strlen(text), FAULT_model, "metadata", note);
    if (fault == FAULT_NONE)
        fault = read_root(&reading, base, root);
    json_decref(root);
    return fault;
}

static json_t *write_columns(const struct scene_column *columns, uint32_t count)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < count; i++) {
        const struct scene_column *column = &columns[i];
        json_t *object = json_pack("{s:s, s:s}", "feature", feature_infos[column->feature].name, "form", scene_form_names[column->form]);
        if (column->form != FORM_VALUE)
            json_object_set_new(object, "edge", json_real((double)column->edge));
        if (column->form == FORM_OVERSHOOT)
            json_object_set_new(object, "edge_scale", json_real((double)column->edge_scale));
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *write_dimensions(const struct scene_base *base)
{
    json_t *object = json_object();
    for (int g = 0; g < DIMENSION_COUNT; g++)
        if (base->dimensions[g].column_count)
            json_object_set_new(object, dimension_names[g], write_columns(base->dimensions[g].columns, base->dimensions[g].column_count));
    return object;
}

static json_t *write_scenes(const struct scene_base *base)
{
    json_t *array = json_array();
    for (uint32_t s = 0; s < base->scene_count; s++) {
        const struct scene *scene = &base->scenes[s];
        json_t *weights = json_object(), *object = json_pack("{s:s}", "name", scene->name);
        if (s > 0)
            json_object_set_new(object, "risk_type", json_string(scene->risk_type));
        json_object_set_new(object, "bias", json_real((double)scene->bias));
        for (int g = 0; g < DIMENSION_COUNT; g++)
            if (base->dimensions[g].column_count)
                json_object_set_new(weights, dimension_names[g], json_real((double)scene->weight[g]));
        json_object_set_new(object, "weights", weights);
        if (s > 0)
            json_object_set_new(object, "threshold", json_real((double)scene->threshold));
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *write_anomaly(const struct scene_base *base)
{
    json_t *object = json_object();
    for (int i = 0; i < ANOMALY_COUNT; i++) {
        const struct anomaly_set *set = &base->anomaly[i];
        if (set->column_count)
            json_object_set_new(
                object, anomaly_names[i],
                json_pack("{s:o, s:f}", "columns", write_columns(set->columns, set->column_count), "threshold", (double)set->threshold));
    }
    return object;
}

static json_t *write_reference(const struct scene_reference *reference)
{
    json_t *features = json_array();
    for (uint32_t i = 0; i < reference->feature_count; i++)
        json_array_append_new(features, json_string(feature_infos[reference->feature[i]].name));
    return json_pack("{s:o}", "features", features);
}

char *metadata_write(const struct scene_base *base, const char *provenance, const char *metrics)
{
    json_t *about = provenance ? json_loads(provenance, 0, NULL) : json_object();
    json_t *figures = metrics ? json_loads(metrics, 0, NULL) : json_object();
    /* json_pack refuses when one of its parts is missing, and gives all of them back. */
    json_t *root = json_pack("{s:i, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "format", SCENE_BASE_FORMAT, "seal", seal_blank, "name",
                             base->name, "version", base->version, "dimensions", write_dimensions(base), "scenes", write_scenes(base),
                             "anomaly", write_anomaly(base), "provenance", about, "metrics", figures);
    if (root && base->reference.feature_count)
        json_object_set_new(root, "reference", write_reference(&base->reference));
    return json_text(root, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
}
