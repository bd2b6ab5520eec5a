/* {"answers": [{"<key>": "a", "<field>": value, …}, …]}: a value of another type than the plan says refuses the whole answer. */
#include "connect/associated.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

/* A number as the shortest text that reads as it. */
static bool any_read(struct associated_value *out, const json_t *value)
{
    int bytes = 0;
    if (json_is_boolean(value))
        bytes = snprintf(out->text, sizeof out->text, "%s", json_is_true(value) ? "true" : "false");
    else if (json_is_integer(value))
        bytes = snprintf(out->text, sizeof out->text, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value) && isfinite(json_real_value(value))) {
        bytes = snprintf(out->text, sizeof out->text, "%.15g", json_real_value(value));
        if (strtod(out->text, NULL) != json_real_value(value))
            bytes = snprintf(out->text, sizeof out->text, "%.17g", json_real_value(value));
    }
    out->text_bytes = (uint8_t)bytes;
    return bytes > 0;
}

static enum fault value_read(struct associated_value *out, const struct associated_field *field, const json_t *value,
                             struct fault_note *note)
{
    memset(out, 0, sizeof *out);
    if (!value || json_is_null(value))
        return FAULT_NONE;
    out->is_known = true;
    if (field->type == ASSOCIATED_I64 && json_is_integer(value)) {
        out->integer = json_integer_value(value);
        return FAULT_NONE;
    }
    if (field->type == ASSOCIATED_F64 && json_is_number(value) && isfinite(json_number_value(value))) {
        out->real = json_number_value(value);
        return FAULT_NONE;
    }
    if ((field->type == ASSOCIATED_TEXT || field->type == ASSOCIATED_ANY) && json_is_string(value) &&
        json_string_length(value) <= sizeof out->text) {
        out->text_bytes = (uint8_t)json_string_length(value);
        memcpy(out->text, json_string_value(value), out->text_bytes);
        return FAULT_NONE;
    }
    if (field->type == ASSOCIATED_ANY && any_read(out, value))
        return FAULT_NONE;
    static const char *const wanted[] = {[ASSOCIATED_TEXT] = "a text of at most 64 bytes",
                                         [ASSOCIATED_I64] = "an integer",
                                         [ASSOCIATED_F64] = "a number",
                                         [ASSOCIATED_ANY] = "a text of at most 64 bytes, a number or a truth"};
    return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "the associated system's answer: '%.40s' must be %s", field->name,
                     wanted[field->type]);
}

static enum fault item_read(const struct associated_plan *plan, const json_t *item, associated_each_fn *each, void *context,
                            struct fault_note *note)
{
    struct associated_value values[ASSOCIATED_FIELDS_MAX];
    const json_t *key = json_object_get(item, plan->key_name);
    enum fault fault = FAULT_NONE;
    if (!json_is_string(key))
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "the associated system's answer: an item lacks '%.40s'",
                         plan->key_name);
    for (uint32_t i = 0; i < plan->field_count && fault == FAULT_NONE; i++)
        fault = value_read(&values[i], &plan->fields[i], json_object_get(item, plan->fields[i].name), note);
    const struct text text = {.data = json_string_value(key), .bytes = (uint32_t)json_string_length(key)};
    if (fault == FAULT_NONE && !each(context, text, values))
        fault = fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE,
                          "the associated system's answer tells of a key twice, or of one that was not asked for");
    return fault;
}

enum fault associated_answer_read(const struct associated_plan *plan, const void *bytes, size_t byte_count, associated_each_fn *each,
                                  void *context, struct fault_note *note)
{
    json_t *root = NULL;
    enum fault fault = json_read(&root, bytes ? bytes : "", byte_count, FAULT_syntax, "the associated system's answer", note);
    if (fault != FAULT_NONE)
        return fault;
    const json_t *answers = json_object_get(root, "answers");
    if (!json_is_array(answers))
        fault = fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "the associated system's answer lacks the list 'answers'");
    for (size_t i = 0; fault == FAULT_NONE && i < json_array_size(answers); i++)
        fault = item_read(plan, json_array_get(answers, i), each, context, note);
    json_decref(root);
    return fault;
}
