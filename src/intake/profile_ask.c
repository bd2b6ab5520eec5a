/* What associated systems are asked, and their answers as columns: what came stands as <system>.<name>, converted as the profile names
 * it, and a column says of each row whether there was an answer. */
#include <stdio.h>

#include "base/must.h"
#include "intake/profile_internal.h"

const char *const profile_mark_names[PROFILE_MARKS] = {
    [PROFILE_ANSWERED] = "answered", [PROFILE_UNKNOWN] = "unknown", [PROFILE_SILENT] = "silent"};

/* --- opening ------------------------------------------------------------------------------------------------------------ */

/* A column may come from one place only. */
static bool name_is_taken(const struct profile *profile, const char *name)
{
    for (uint32_t i = 0; i < profile->column_count; i++)
        if (strcmp(profile->columns[i].name, name) == 0)
            return true;
    for (uint32_t i = 0; i < profile->fill.made_count; i++)
        if (strcmp(profile->fill.made[i].column.name, name) == 0)
            return true;
    for (uint32_t i = 0; i < profile->ask_count; i++) {
        if (strcmp(profile->asks[i].mark, name) == 0)
            return true;
        for (uint32_t k = 0; k < profile->asks[i].field_count; k++)
            if (strcmp(profile->asks[i].fields[k].name, name) == 0)
                return true;
    }
    return false;
}

/* A fallback is read as an answer would be. */
static bool fallback_fits(const struct rule_column *rule, const char *text)
{
    int64_t exact;
    double real;
    if (strlen(text) > PROFILE_ANSWER_BYTES_MAX)
        return false;
    if (rule->kind == CELL_TEXT)
        return true;
    return rule->kind == CELL_FLOAT ? cell_real_read(&real, text_of(text)) : cell_read(&exact, rule, text_of(text), rule->places);
}

static enum fault answer_open(struct ask *ask, const struct opening *opening, const char *system, const struct profile_answer_plan *plan)
{
    struct rule_column *rule = &ask->fields[ask->field_count];
    const char *from = plan->from ? plan->from : plan->name;
    if (!plan->name || !profile_name_is_good(plan->name))
        return profile_wrong(opening, plan->line, "name: expected a name of letters, digits and _, is '%.40s'",
                             plan->name ? plan->name : "");
    if (!profile_text_is_clean(from, TEMPLATE_NAME_MAX))
        return profile_wrong(opening, plan->line, "from: expected a name of at most %d bytes", TEMPLATE_NAME_MAX);
    if (name_is_taken(opening->profile, plan->name))
        return profile_wrong(opening, plan->line, "column %s is there twice", plan->name);
    snprintf(rule->name, sizeof rule->name, "%s", plan->name);
    snprintf(rule->from, sizeof rule->from, "%.60s.%.63s", system, from);
    for (uint32_t i = 0; i < ask->field_count; i++)
        if (strcmp(ask->fields[i].from, rule->from) == 0)
            return profile_wrong(opening, plan->line, "columns %s and %s are both from %.40s", ask->fields[i].name, rule->name, from);
    enum column_id known = column_find(text_of(rule->name));
    rule->known = known == COLUMN_COUNT ? COLUMN_NONE : (uint16_t)known;
    rule->is_answer = true;
    if (rule->known != COLUMN_NONE && (!column_taken_by(rule->known, OP_screen) || rule->known == COLUMN_transfer_id))
        return profile_wrong(opening, plan->line, "column %s is none that may be answered", rule->name);
    const struct profile_column_plan type = {.type = plan->type, .unit = plan->unit, .places = plan->places, .line = plan->line};
    enum fault fault = profile_rule_type(rule, opening, &type);
    if (fault == FAULT_NONE && plan->fallback && !fallback_fits(rule, plan->fallback))
        return profile_wrong(opening, plan->line, "fallback: expected a value of type %s, of at most %d bytes, is '%.40s'",
                             cell_kind_names[rule->kind], PROFILE_ANSWER_BYTES_MAX, plan->fallback);
    ask->has_fallback[ask->field_count] = plan->fallback != NULL;
    snprintf(ask->fallbacks[ask->field_count++], sizeof ask->fallbacks[0], "%s", plan->fallback ? plan->fallback : "");
    return fault;
}

static bool key_is_text(const struct profile *profile, const char *name)
{
    enum column_id known = column_find(text_of(name));
    if (known != COLUMN_COUNT)
        return column_taken_by((uint16_t)known, OP_screen) && column_type_of((uint16_t)known) == COLUMN_TEXT;
    for (uint32_t i = 0; i < profile->column_count; i++)
        if (strcmp(profile->columns[i].name, name) == 0)
            return profile->columns[i].kind == CELL_TEXT;
    for (uint32_t i = 0; i < profile->fill.made_count; i++)
        if (strcmp(profile->fill.made[i].column.name, name) == 0)
            return profile->fill.made[i].column.type == TEMPLATE_TEXT;
    return false;
}

static enum fault ask_names(struct ask *ask, const struct opening *opening, const struct profile_ask_plan *plan)
{
    const char *key_name = plan->key_name ? plan->key_name : "account";
    if (!plan->system || !profile_text_is_clean(plan->system, TEMPLATE_NAME_MAX - 10))
        return profile_wrong(opening, plan->line, "system: expected the name of an associated system, at most %d bytes",
                             TEMPLATE_NAME_MAX - 10);
    if (!plan->key || !key_is_text(opening->profile, plan->key))
        return profile_wrong(opening, plan->line, "key: expected a column of text, is '%.40s'", plan->key ? plan->key : "");
    if (!profile_text_is_clean(key_name, TEMPLATE_NAME_MAX))
        return profile_wrong(opening, plan->line, "key_name: expected a name of at most %d bytes", TEMPLATE_NAME_MAX);
    snprintf(ask->system, sizeof ask->system, "%s", plan->system);
    snprintf(ask->key, sizeof ask->key, "%.63s", plan->key);
    snprintf(ask->key_name, sizeof ask->key_name, "%s", key_name);
    if (plan->mark)
        snprintf(ask->mark, sizeof ask->mark, "%.63s", plan->mark);
    else
        snprintf(ask->mark, sizeof ask->mark, "%.53s_answer", plan->system);
    return FAULT_NONE;
}

enum fault ask_open(const struct opening *opening, const struct profile_ask_plan *plan)
{
    static const char *const silences[PROFILE_SILENCES] = {"hold", "defaults", "refuse"};
    struct profile *profile = opening->profile;
    struct ask *ask = &profile->asks[profile->ask_count];
    int silence = profile_choice(plan->silence ? plan->silence : "hold", silences, PROFILE_SILENCES);
    enum fault fault = ask_names(ask, opening, plan);
    if (fault != FAULT_NONE)
        return fault;
    for (uint32_t i = 0; i < profile->ask_count; i++)
        if (strcmp(profile->asks[i].system, ask->system) == 0)
            return profile_wrong(opening, plan->line, "system %.40s is asked twice", ask->system);
    if (!profile_name_is_good(ask->mark) || column_find(text_of(ask->mark)) != COLUMN_COUNT || name_is_taken(profile, ask->mark))
        return profile_wrong(opening, plan->line, "mark: expected the name of a new column, of letters, digits and _, is '%.40s'",
                             ask->mark);
    if (silence < 0)
        return profile_wrong(opening, plan->line, "silence: expected hold, defaults or refuse, is '%.40s'", plan->silence);
    if (plan->fields_count == 0 || plan->fields_count > PROFILE_ANSWERS_MAX)
        return profile_wrong(opening, plan->line, "fields: expected 1 to %d", PROFILE_ANSWERS_MAX);
    ask->silence = (enum profile_silence)silence;
    profile->ask_count++;
    for (uint32_t i = 0; i < plan->fields_count && fault == FAULT_NONE; i++)
        fault = answer_open(ask, opening, plan->system, &plan->fields[i]);
    return fault;
}

void ask_inputs(struct stage *stage, const struct ask *ask)
{
    struct template_column *mark = &stage->inputs[stage->input_count++];
    *mark = (struct template_column){.type = TEMPLATE_TEXT};
    memcpy(mark->name, ask->mark, sizeof ask->mark);
    for (uint32_t i = 0; i < ask->field_count; i++)
        if (ask->fields[i].known == COLUMN_NONE)
            stage->inputs[stage->input_count++] = profile_input_of(&ask->fields[i]);
}

/* --- the way ------------------------------------------------------------------------------------------------------------ */

static enum profile_answer_type answer_type(const struct rule_column *rule)
{
    if (rule->kind == CELL_TEXT || (rule->kind == CELL_TIME && rule->unit == UNIT_ISO))
        return PROFILE_ANSWER_TEXT;
    if (rule->kind == CELL_FLOAT)
        return PROFILE_ANSWER_REAL;
    bool is_whole = rule->kind == CELL_TIME || (rule->kind == CELL_INT && rule->unit != UNIT_MAJOR);
    return is_whole ? PROFILE_ANSWER_INT : PROFILE_ANSWER_ANY;
}

size_t ask_arena_bytes(const struct ask *ask, uint32_t row_count)
{
    size_t rows = (size_t)row_count + 1, bytes = rows * (sizeof(struct text) + 3) + 8 * ROWS_ALIGN;
    for (uint32_t i = 0; i < ask->field_count; i++) {
        bool is_text = answer_type(&ask->fields[i]) == PROFILE_ANSWER_TEXT || answer_type(&ask->fields[i]) == PROFILE_ANSWER_ANY;
        bytes += rows * (is_text ? PROFILE_ANSWER_BYTES_MAX + 4 : 8) + rows / 8 + 4 * ROWS_ALIGN;
        bytes += convert_arena_bytes(&ask->fields[i], row_count);
    }
    return bytes;
}

uint32_t profile_ask_count(const struct profile *profile)
{
    return profile->ask_count;
}

void profile_ask_of(struct profile_ask *out, const struct profile *profile, uint32_t index)
{
    MUST(index < profile->ask_count);
    const struct ask *ask = &profile->asks[index];
    *out = (struct profile_ask){
        .system = ask->system, .key = ask->key, .key_name = ask->key_name, .silence = ask->silence, .answer_count = ask->field_count};
    for (uint32_t i = 0; i < ask->field_count; i++)
        out->answers[i] = (struct profile_answer){.name = ask->fields[i].from + strlen(ask->system) + 1,
                                                  .type = answer_type(&ask->fields[i]),
                                                  .fallback = ask->has_fallback[i] ? ask->fallbacks[i] : NULL};
}

void profile_ask_keys(struct text *out, const struct batch *batch, const struct profile *profile, uint32_t index)
{
    MUST(index < profile->ask_count && batch->facts.invalid);
    uint16_t place = batch_place(batch, profile->asks[index].key);
    const struct column *column = place == COLUMN_NONE   ? NULL
                                  : place < COLUMN_COUNT ? &batch->columns[place]
                                                         : &batch->others[place - COLUMN_COUNT];
    for (uint32_t row = 0; row < batch->row_count; row++) {
        bool has_key = column && column->form >= FORM_STR && !batch->facts.invalid[row] && column_is_valid(column, row);
        out[row] = has_key ? column_text(column, row) : (struct text){.data = ""};
    }
}

static enum fault marks_put(struct batch *batch, const char *name, const uint8_t *marks, struct fault_note *note)
{
    uint16_t place;
    struct text *names = arena_take(&batch->arena, PROFILE_MARKS * sizeof *names, ROWS_ALIGN);
    enum fault fault = batch_place_take(&place, batch, name, note);
    if (fault != FAULT_NONE || !names)
        return fault != FAULT_NONE ? fault : profile_arena_fault(batch, note);
    for (int i = 0; i < PROFILE_MARKS; i++)
        names[i] = text_of(profile_mark_names[i]);
    *batch_at(batch, place) =
        (struct column){.form = FORM_DICT8, .name = text_of(name), .data = marks, .values = names, .value_count = PROFILE_MARKS};
    return FAULT_NONE;
}

enum fault profile_ask_take(struct batch *batch, const struct profile *profile, uint32_t index, const struct column *answers,
                            const uint8_t *marks, struct fault_note *note)
{
    MUST(index < profile->ask_count);
    const struct ask *ask = &profile->asks[index];
    enum fault fault = marks_put(batch, ask->mark, marks, note);
    for (uint32_t i = 0; i < ask->field_count && fault == FAULT_NONE; i++) {
        uint16_t place;
        fault = batch_place_take(&place, batch, ask->fields[i].from, note);
        if (fault != FAULT_NONE)
            break;
        *batch_at(batch, place) = answers[i];
        batch_at(batch, place)->name = text_of(ask->fields[i].from);
        fault = convert_column(batch, &ask->fields[i], profile, note);
    }
    return fault;
}
