/* A profile as it was written becomes rules and programs, or there is none and the note says which line is wrong. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/must.h"
#include "intake/profile_internal.h"

enum { WHY_BYTES = 120, LENGTH_MAX = 65536 };

enum fault profile_wrong(const struct opening *opening, unsigned line, const char *format, ...)
{
    char text[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return fault_set(opening->note, FAULT_schema, ROW_NONE, COLUMN_NONE, "%s:%u: %s", opening->plan->source, line, text);
}

enum fault profile_no_memory(const struct opening *opening)
{
    return fault_set(opening->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for profile %s", opening->plan->source);
}

int profile_choice(const char *text, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0)
            return i;
    return -1;
}

bool profile_text_is_clean(const char *text, size_t bytes_max)
{
    size_t bytes = strlen(text);
    return bytes > 0 && bytes <= bytes_max && text_is_id(text_of(text));
}

static const char *text_keep(struct profile *profile, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *kept = profile->texts + profile->texts_used;
    memcpy(kept, text, bytes);
    profile->texts_used += bytes;
    return kept;
}

/* --- a column ---------------------------------------------------------------------------------------------------------- */

static enum fault bool_read(bool *out, const struct opening *opening, unsigned line, const char *key, const char *text)
{
    int64_t value = 0;
    if (text && (!cell_bool_read(&value, text_of(text)) || text[1] == '\0'))
        return profile_wrong(opening, line, "%s: expected true or false, is '%.40s'", key, text);
    *out = value != 0;
    return FAULT_NONE;
}

static enum fault count_read(uint32_t *out, const struct opening *opening, unsigned line, const char *key, const char *text, uint32_t most)
{
    int64_t value;
    if (!text)
        return FAULT_NONE;
    if (!cell_exact_read(&value, text_of(text), 0) || value < 0 || value > most)
        return profile_wrong(opening, line, "%s: expected 0 to %u, is '%.40s'", key, most, text);
    *out = (uint32_t)value;
    return FAULT_NONE;
}

bool profile_name_is_good(const char *name)
{
    if (!(name[0] == '_' || (name[0] >= 'a' && name[0] <= 'z') || (name[0] >= 'A' && name[0] <= 'Z')))
        return false;
    for (const char *at = name; *at; at++)
        if (!(*at == '_' || (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9')))
            return false;
    return strlen(name) <= TEMPLATE_NAME_MAX;
}

static enum fault column_names(struct rule_column *out, const struct opening *opening, const struct profile_column_plan *plan)
{
    if (!plan->name || !profile_name_is_good(plan->name))
        return profile_wrong(opening, plan->line, "name: expected a name of letters, digits and _, at most %d, is '%.40s'",
                             TEMPLATE_NAME_MAX, plan->name ? plan->name : "");
    if (plan->from && !profile_text_is_clean(plan->from, WIRE_NAME_MAX))
        return profile_wrong(opening, plan->line, "from: expected a name of at most %d bytes without control characters", WIRE_NAME_MAX);
    snprintf(out->name, sizeof out->name, "%s", plan->name);
    snprintf(out->from, sizeof out->from, "%s", plan->from ? plan->from : plan->name);
    enum column_id known = column_find(text_of(out->name));
    out->known = known == COLUMN_COUNT ? COLUMN_NONE : (uint16_t)known;
    if (out->known != COLUMN_NONE && !column_taken_by(out->known, OP_import))
        return profile_wrong(opening, plan->line, "column %s is no column of transfers", out->name);
    for (uint32_t i = 0; i < opening->profile->column_count; i++) {
        const struct rule_column *other = &opening->profile->columns[i];
        if (strcmp(other->name, out->name) == 0)
            return profile_wrong(opening, plan->line, "column %s is there twice", out->name);
        if (strcmp(other->from, out->from) == 0)
            return profile_wrong(opening, plan->line, "columns %s and %s are both from %.40s", other->name, out->name, out->from);
    }
    return FAULT_NONE;
}

static enum fault unit_fits(const struct rule_column *rule, const struct opening *opening, const struct profile_column_plan *plan)
{
    bool is_time = rule->unit >= UNIT_US;
    if (plan->unit && is_time != (rule->kind == CELL_TIME))
        return profile_wrong(opening, plan->line, "unit %s is none of type %s", plan->unit, cell_kind_names[rule->kind]);
    if (rule->unit == UNIT_MAJOR && rule->known != COLUMN_amount)
        return profile_wrong(opening, plan->line, "unit major is of column amount, whose currency says its places; elsewhere type decimal");
    if (plan->places && rule->kind != CELL_DECIMAL)
        return profile_wrong(opening, plan->line, "places are of type decimal");
    return FAULT_NONE;
}

/* A known column has the type of columns.tbl. */
enum fault profile_rule_type(struct rule_column *out, const struct opening *opening, const struct profile_column_plan *plan)
{
    static const enum cell_kind known[] = {[COLUMN_TEXT] = CELL_TEXT, [COLUMN_TIME] = CELL_TIME, [COLUMN_MONEY] = CELL_INT};
    bool is_known = out->known != COLUMN_NONE;
    int kind = plan->type ? profile_choice(plan->type, cell_kind_names, CELL_KIND_COUNT)
               : is_known ? (int)known[column_type_of(out->known)]
                          : CELL_TEXT;
    int unit = plan->unit ? profile_choice(plan->unit, cell_unit_names, UNIT_COUNT) : UNIT_PLAIN;
    uint32_t places = 2;
    if (kind < 0)
        return profile_wrong(opening, plan->line, "type: expected int, decimal, float, bool, text or time, is '%.40s'", plan->type);
    if (unit < 0)
        return profile_wrong(opening, plan->line, "unit: expected minor, major, us, ms, s or iso, is '%.40s'", plan->unit);
    if (is_known && (enum cell_kind)kind != known[column_type_of(out->known)])
        return profile_wrong(opening, plan->line, "column %s is of type %s", out->name, cell_kind_names[known[column_type_of(out->known)]]);
    out->kind = (enum cell_kind)kind;
    out->unit = (enum cell_unit)unit;
    enum fault fault = count_read(&places, opening, plan->line, "places", plan->places, TEMPLATE_SCALE_MAX);
    out->places = out->kind == CELL_DECIMAL ? (uint8_t)places : 0;
    return fault == FAULT_NONE ? unit_fits(out, opening, plan) : fault;
}

static enum fault bound_read(bool *out_has, int64_t *out, double *out_real, const struct opening *opening, const struct rule_column *rule,
                             unsigned line, const char *key, const char *text)
{
    struct rule_column plain = *rule;
    if (!text)
        return FAULT_NONE;
    *out_has = true;
    plain.unit = rule->kind == CELL_TIME ? UNIT_ISO : UNIT_PLAIN;
    if (rule->kind == CELL_TEXT || rule->kind == CELL_BOOL)
        return profile_wrong(opening, line, "%s: a %s has no range", key, cell_kind_names[rule->kind]);
    if (rule->kind == CELL_FLOAT ? cell_real_read(out_real, text_of(text)) : cell_read(out, &plain, text_of(text), rule->places))
        return FAULT_NONE;
    return profile_wrong(opening, line, "%s: expected %s, is '%.40s'", key,
                         rule->kind == CELL_TIME ? "a time such as 2026-01-31" : cell_kind_names[rule->kind], text);
}

static enum fault column_range(struct rule_column *out, const struct opening *opening, const struct profile_column_plan *plan)
{
    enum fault fault = bound_read(&out->has_least, &out->least, &out->least_real, opening, out, plan->line, "least", plan->least);
    if (fault == FAULT_NONE)
        fault = bound_read(&out->has_most, &out->most, &out->most_real, opening, out, plan->line, "most", plan->most);
    if (fault != FAULT_NONE || !out->has_least || !out->has_most)
        return fault;
    bool is_ordered = out->kind == CELL_FLOAT ? out->least_real <= out->most_real : out->least <= out->most;
    return is_ordered ? FAULT_NONE : profile_wrong(opening, plan->line, "least: expected at most what most says");
}

static int exact_order(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static int text_order(const void *a, const void *b)
{
    return template_text_order(*(const struct text *)a, *(const struct text *)b);
}

static enum fault column_values(struct rule_column *out, const struct opening *opening, const struct profile_column_plan *plan)
{
    uint32_t count = plan->one_of_count;
    struct rule_column plain = *out;
    if (count == 0)
        return FAULT_NONE;
    if (out->kind == CELL_FLOAT || out->kind == CELL_TIME)
        return profile_wrong(opening, plan->line, "one_of: no list of a %s", cell_kind_names[out->kind]);
    plain.unit = UNIT_PLAIN;
    out->exacts = memory_take_zeroed(count, sizeof *out->exacts);
    out->texts = memory_take_zeroed(count, sizeof *out->texts);
    if (!out->exacts || !out->texts)
        return profile_no_memory(opening);
    out->one_of_count = count;
    for (uint32_t i = 0; i < count; i++) {
        if (out->kind == CELL_TEXT)
            out->texts[i] = text_of(text_keep(opening->profile, plan->one_of[i]));
        else if (!cell_read(&out->exacts[i], &plain, text_of(plan->one_of[i]), out->places))
            return profile_wrong(opening, plan->line, "one_of: expected a value of type %s, is '%.40s'", cell_kind_names[out->kind],
                                 plan->one_of[i]);
    }
    if (out->kind == CELL_TEXT)
        qsort(out->texts, count, sizeof *out->texts, text_order);
    else
        qsort(out->exacts, count, sizeof *out->exacts, exact_order);
    return FAULT_NONE;
}

static enum fault column_text_rules(struct rule_column *out, const struct opening *opening, const struct profile_column_plan *plan)
{
    char why[WHY_BYTES] = "";
    size_t offset = 0;
    bool any = plan->pattern || plan->length_least || plan->length_most;
    if (any && out->kind != CELL_TEXT)
        return profile_wrong(opening, plan->line, "pattern and length are of type text, %s is of type %s", out->name,
                             cell_kind_names[out->kind]);
    out->length_most = LENGTH_MAX;
    out->has_length = plan->length_least || plan->length_most;
    enum fault fault = count_read(&out->length_least, opening, plan->line, "length_least", plan->length_least, LENGTH_MAX);
    if (fault == FAULT_NONE)
        fault = count_read(&out->length_most, opening, plan->line, "length_most", plan->length_most, LENGTH_MAX);
    if (fault != FAULT_NONE || !plan->pattern)
        return fault;
    if (strlen(plan->pattern) > PROFILE_PATTERN_BYTES_MAX)
        return profile_wrong(opening, plan->line, "pattern: longer than %d bytes", PROFILE_PATTERN_BYTES_MAX);
    fault = pattern_open(&out->pattern, plan->pattern, why, sizeof why, &offset);
    return fault == FAULT_schema ? profile_wrong(opening, plan->line, "pattern: %s, at character %zu", why, offset + 1)
           : fault != FAULT_NONE ? profile_no_memory(opening)
                                 : FAULT_NONE;
}

static enum fault column_open(const struct opening *opening, const struct profile_column_plan *plan)
{
    struct rule_column *rule = &opening->profile->columns[opening->profile->column_count];
    enum fault fault = column_names(rule, opening, plan);
    opening->profile->column_count++; /* closed with the profile from here on */
    if (fault == FAULT_NONE)
        fault = profile_rule_type(rule, opening, plan);
    if (fault == FAULT_NONE)
        fault = bool_read(&rule->required, opening, plan->line, "required", plan->required);
    if (fault == FAULT_NONE)
        fault = bool_read(&rule->unique, opening, plan->line, "unique", plan->unique);
    if (fault == FAULT_NONE)
        fault = column_range(rule, opening, plan);
    if (fault == FAULT_NONE)
        fault = column_values(rule, opening, plan);
    return fault == FAULT_NONE ? column_text_rules(rule, opening, plan) : fault;
}

static enum fault required_open(const struct opening *opening)
{
    struct profile *profile = opening->profile;
    const struct profile_plan *plan = opening->plan;
    for (uint32_t i = 0; i < plan->require_count; i++) {
        enum column_id id = column_find(text_of(plan->require[i]));
        if (id == COLUMN_COUNT || !column_taken_by((uint16_t)id, OP_screen))
            return profile_wrong(opening, plan->require_line, "require: %.40s is no column of transfers that Sluice knows",
                                 plan->require[i]);
        profile->required[profile->required_count++] = (uint16_t)id;
    }
    return FAULT_NONE;
}

/* --- tables ------------------------------------------------------------------------------------------------------------ */

struct entry {
    struct text text;
    int64_t exact, value;
    double real;
    struct text value_text;
};

static int entry_by_text(const void *a, const void *b)
{
    return template_text_order(((const struct entry *)a)->text, ((const struct entry *)b)->text);
}

static int entry_by_exact(const void *a, const void *b)
{
    return exact_order(&((const struct entry *)a)->exact, &((const struct entry *)b)->exact);
}

static bool entry_read(struct entry *out, struct profile *profile, const struct template_table *table,
                       const struct profile_entry_plan *plan)
{
    if (!plan->key || !plan->value)
        return false;
    if (table->key_type == TEMPLATE_TEXT)
        out->text = text_of(text_keep(profile, plan->key));
    else if (!cell_exact_read(&out->exact, text_of(plan->key), 0))
        return false;
    switch (table->value_type) {
    case TEMPLATE_TEXT:
        return out->value_text = text_of(text_keep(profile, plan->value)), true;
    case TEMPLATE_FLOAT:
        return cell_real_read(&out->real, text_of(plan->value));
    case TEMPLATE_BOOL:
        return cell_bool_read(&out->value, text_of(plan->value));
    default:
        return cell_exact_read(&out->value, text_of(plan->value), 0);
    }
}

static bool table_arrays(struct template_table *table, const struct entry *entries)
{
    uint32_t count = table->count;
    struct text *keys = memory_take_zeroed(count, sizeof *keys), *texts = memory_take_zeroed(count, sizeof *texts);
    int64_t *exact_keys = memory_take_zeroed(count, sizeof *exact_keys), *exacts = memory_take_zeroed(count, sizeof *exacts);
    double *floats = memory_take_zeroed(count, sizeof *floats);
    table->text_keys = keys, table->exact_keys = exact_keys, table->exacts = exacts, table->floats = floats, table->texts = texts;
    if (!keys || !texts || !exact_keys || !exacts || !floats)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        keys[i] = entries[i].text;
        exact_keys[i] = entries[i].exact;
        exacts[i] = entries[i].value;
        floats[i] = entries[i].real;
        texts[i] = entries[i].value_text;
    }
    return true;
}

static enum fault entries_open(struct template_table *table, struct entry *entries, const struct opening *opening,
                               const struct profile_table_plan *plan)
{
    bool by_text = table->key_type == TEMPLATE_TEXT;
    for (uint32_t i = 0; i < plan->entries_count; i++)
        if (!entry_read(&entries[i], opening->profile, table, &plan->entries[i]))
            return profile_wrong(opening, plan->line, "table %s: entry %u: expected key and value of its types", plan->name, i + 1);
    qsort(entries, table->count, sizeof *entries, by_text ? entry_by_text : entry_by_exact);
    for (uint32_t i = 1; i < table->count; i++)
        if ((by_text ? entry_by_text : entry_by_exact)(&entries[i - 1], &entries[i]) == 0)
            return profile_wrong(opening, plan->line, "table %s: a key is there twice", plan->name);
    return table_arrays(table, entries) ? FAULT_NONE : profile_no_memory(opening);
}

static enum fault table_open(const struct opening *opening, const struct profile_table_plan *plan)
{
    static const char *const types[] = {"int", "text", "float", "bool"};
    static const enum template_type kinds[] = {TEMPLATE_EXACT, TEMPLATE_TEXT, TEMPLATE_FLOAT, TEMPLATE_BOOL};
    struct profile *profile = opening->profile;
    struct template_table *table = &profile->tables[profile->table_count];
    int key = profile_choice(plan->key ? plan->key : "text", types, 2),
        value = profile_choice(plan->value ? plan->value : "text", types, 4);
    if (!plan->name || !profile_name_is_good(plan->name))
        return profile_wrong(opening, plan->line, "name: expected a table's name of letters, digits and _");
    if (key < 0 || value < 0)
        return profile_wrong(opening, plan->line, "table %s: expected key int or text, value int, text, float or bool", plan->name);
    if (plan->entries_count == 0)
        return profile_wrong(opening, plan->line, "table %s: expected at least one entry of key and value", plan->name);
    for (uint32_t i = 0; i < profile->table_count; i++)
        if (strcmp(profile->tables[i].name, plan->name) == 0)
            return profile_wrong(opening, plan->line, "table %s is there twice", plan->name);
    *table = (struct template_table){
        .name = text_keep(profile, plan->name), .key_type = kinds[key], .value_type = kinds[value], .count = plan->entries_count};
    profile->table_count++;
    struct entry *entries = memory_take_zeroed(plan->entries_count, sizeof *entries);
    enum fault fault = entries ? entries_open(table, entries, opening, plan) : profile_no_memory(opening);
    memory_give(entries);
    return fault;
}

/* --- templates --------------------------------------------------------------------------------------------------------- */

struct template_column profile_input_of(const struct rule_column *rule)
{
    static const enum template_type types[CELL_KIND_COUNT] = {TEMPLATE_EXACT, TEMPLATE_EXACT, TEMPLATE_FLOAT,
                                                              TEMPLATE_BOOL,  TEMPLATE_TEXT,  TEMPLATE_TIME};
    struct template_column column = {.type = types[rule->kind], .scale = rule->places};
    memcpy(column.name, rule->name, sizeof column.name);
    return column;
}

/* Columns of transfers that are known, the profile's own, and what the template before made. */
static void inputs_find(struct stage *stage, const struct profile *profile, const struct stage *before)
{
    static const enum template_type types[] = {
        [COLUMN_TEXT] = TEMPLATE_TEXT, [COLUMN_TIME] = TEMPLATE_TIME, [COLUMN_MONEY] = TEMPLATE_EXACT};
    for (uint16_t i = 0; i < COLUMN_COUNT; i++) {
        if (!column_taken_by(i, OP_screen))
            continue;
        struct template_column *column = &stage->inputs[stage->input_count++];
        column->type = types[column_type_of(i)];
        snprintf(column->name, sizeof column->name, "%s", column_name(i));
    }
    for (uint32_t i = 0; i < profile->column_count; i++)
        if (profile->columns[i].known == COLUMN_NONE)
            stage->inputs[stage->input_count++] = profile_input_of(&profile->columns[i]);
    for (uint32_t i = 0; before && i < profile->ask_count; i++)
        ask_inputs(stage, &profile->asks[i]);
    for (uint32_t i = 0; before && i < before->made_count; i++) {
        uint32_t at = 0;
        while (at < stage->input_count && strcmp(stage->inputs[at].name, before->made[i].column.name) != 0)
            at++;
        stage->inputs[at] = before->made[i].column;
        stage->input_count += at == stage->input_count;
    }
}

static enum fault made_read(struct stage *stage, const struct opening *opening, unsigned line, const struct template_column *column)
{
    static const enum template_type types[] = {
        [COLUMN_TEXT] = TEMPLATE_TEXT, [COLUMN_TIME] = TEMPLATE_TIME, [COLUMN_MONEY] = TEMPLATE_EXACT};
    enum column_id known = column_find(text_of(column->name));
    if (stage->made_count == PROFILE_OUTPUTS_MAX)
        return profile_wrong(opening, line, "a template makes more than %d columns", PROFILE_OUTPUTS_MAX);
    if (known != COLUMN_COUNT && !column_taken_by((uint16_t)known, OP_screen))
        return profile_wrong(opening, line, "column %s is no column of transfers that may be made", column->name);
    if (known != COLUMN_COUNT && (types[column_type_of((uint16_t)known)] != column->type || column->scale))
        return profile_wrong(opening, line, "column %s is made as %s%s, but is %s of Sluice's own", column->name,
                             column->scale ? "a decimal" : template_type_names[column->type], column->scale ? ": round it" : "",
                             column_type_of((uint16_t)known) == COLUMN_TEXT   ? "a text"
                             : column_type_of((uint16_t)known) == COLUMN_TIME ? "a time"
                                                                              : "an amount in minor units");
    if (known == COLUMN_transfer_id && stage == &opening->profile->post)
        return profile_wrong(opening, line, "post may not make transfer_id: rows are told by it already");
    stage->made[stage->made_count++] =
        (struct made_column){.column = *column, .known = known == COLUMN_COUNT ? COLUMN_NONE : (uint16_t)known};
    return FAULT_NONE;
}

static enum fault stage_open(struct stage *stage, const struct opening *opening, const char *text, unsigned line,
                             const struct stage *before)
{
    struct profile *profile = opening->profile;
    enum fault fault = FAULT_NONE;
    if (!text)
        return FAULT_NONE;
    inputs_find(stage, profile, before);
    const struct template_schema schema = {
        .columns = stage->inputs, .column_count = stage->input_count, .tables = profile->tables, .table_count = profile->table_count};
    if (strlen(text) > TEMPLATE_TEXT_MAX)
        return profile_wrong(opening, line, "a template of more than %d bytes", TEMPLATE_TEXT_MAX);
    fault = template_open(&stage->program, opening->plan->source, line, text, strlen(text), &schema, opening->note);
    for (uint32_t i = 0; fault == FAULT_NONE && i < template_output_count(stage->program); i++)
        fault = made_read(stage, opening, line, template_output(stage->program, i));
    return fault;
}

/* --- the whole --------------------------------------------------------------------------------------------------------- */

static size_t texts_bytes(const struct profile_plan *plan)
{
    size_t bytes = 1;
    for (uint32_t i = 0; i < plan->columns_count; i++)
        for (uint32_t k = 0; k < plan->columns[i].one_of_count; k++)
            bytes += strlen(plan->columns[i].one_of[k]) + 1;
    for (uint32_t i = 0; i < plan->tables_count; i++) {
        const struct profile_table_plan *table = &plan->tables[i];
        bytes += table->name ? strlen(table->name) + 1 : 0;
        for (uint32_t k = 0; k < table->entries_count; k++)
            bytes += (table->entries[k].key ? strlen(table->entries[k].key) + 1 : 0) +
                     (table->entries[k].value ? strlen(table->entries[k].value) + 1 : 0);
    }
    return bytes;
}

static enum fault parts_open(const struct opening *opening)
{
    const struct profile_plan *plan = opening->plan;
    struct profile *profile = opening->profile;
    enum fault fault = FAULT_NONE;
    if (!plan->name || !profile_text_is_clean(plan->name, sizeof profile->name - 1))
        return profile_wrong(opening, 1, "name: expected a name of 1 to %zu bytes", sizeof profile->name - 1);
    if (plan->product && !profile_text_is_clean(plan->product, WIRE_NAME_MAX))
        return profile_wrong(opening, 1, "product: expected a product code of 1 to %d bytes; left out for the default profile",
                             WIRE_NAME_MAX);
    snprintf(profile->name, sizeof profile->name, "%s", plan->name);
    snprintf(profile->product, sizeof profile->product, "%s", plan->product ? plan->product : "");
    if (!(profile->texts = memory_take(profile->table_bytes = texts_bytes(plan))))
        return profile_no_memory(opening);
    profile->table_bytes += (plan->fill ? strlen(plan->fill) : 0) + (plan->post ? strlen(plan->post) : 0);
    for (uint32_t i = 0; i < plan->columns_count && fault == FAULT_NONE; i++)
        fault = column_open(opening, &plan->columns[i]);
    for (uint32_t i = 0; i < plan->tables_count && fault == FAULT_NONE; i++)
        fault = table_open(opening, &plan->tables[i]);
    if (fault == FAULT_NONE)
        fault = required_open(opening);
    if (fault == FAULT_NONE)
        fault = stage_open(&profile->fill, opening, plan->fill, plan->fill_line, NULL);
    for (uint32_t i = 0; i < plan->associated_count && fault == FAULT_NONE; i++)
        fault = ask_open(opening, &plan->associated[i]);
    return fault == FAULT_NONE ? stage_open(&profile->post, opening, plan->post, plan->post_line, &profile->fill) : fault;
}

enum fault profile_open(struct profile **out, const struct profile_plan *plan, struct fault_note *note)
{
    struct opening opening = {.plan = plan, .note = note};
    struct profile *profile = opening.profile = memory_take_zeroed(1, sizeof *profile);
    *out = NULL;
    MUST(plan->columns_count <= PROFILE_COLUMNS_MAX && plan->tables_count <= PROFILE_TABLES_MAX &&
         plan->associated_count <= PROFILE_ASKS_MAX && plan->require_count <= PROFILE_REQUIRE_MAX);
    if (!profile)
        return profile_no_memory(&opening);
    profile->magic = PROFILE_MAGIC;
    atomic_init(&profile->users, 1);
    enum fault fault = parts_open(&opening);
    if (fault == FAULT_NONE)
        *out = profile;
    else
        profile_close(&profile);
    return fault;
}

struct profile *profile_hold(struct profile *profile)
{
    atomic_fetch_add(&profile->users, 1);
    return profile;
}

void profile_close(struct profile **profile_p)
{
    struct profile *profile = *profile_p;
    *profile_p = NULL;
    if (!profile || atomic_fetch_sub(&profile->users, 1) > 1)
        return;
    for (uint32_t i = 0; i < profile->column_count; i++) {
        memory_give(profile->columns[i].exacts);
        memory_give(profile->columns[i].texts);
        pattern_close(&profile->columns[i].pattern);
    }
    template_close(&profile->fill.program);
    template_close(&profile->post.program);
    for (uint32_t i = 0; i < profile->table_count; i++) {
        const struct template_table *table = &profile->tables[i];
        memory_give((void *)table->text_keys);
        memory_give((void *)table->exact_keys);
        memory_give((void *)table->exacts);
        memory_give((void *)table->floats);
        memory_give((void *)table->texts);
    }
    memory_give(profile->texts);
    memory_give(profile);
}
