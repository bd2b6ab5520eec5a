/* Keys rules and rule_columns of a tenant. */
#include "pipeline/config_tenant_rules.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "pipeline/config_value.h"
#include "pipeline/config_yaml.h"

enum { PATH_BYTES = 80 };

static enum fault column_read(struct template_column *out, const struct reading *reading, const char *path,
                              const struct rule_column_text *text)
{
    static const struct {
        const char *name;
        enum template_type type;
    } types[] = {{"int", TEMPLATE_EXACT}, {"decimal", TEMPLATE_EXACT}, {"float", TEMPLATE_FLOAT},
                 {"bool", TEMPLATE_BOOL}, {"text", TEMPLATE_TEXT},     {"time", TEMPLATE_TIME}};
    enum { TYPES = sizeof types / sizeof *types, DECIMAL = 1 };
    unsigned kind = 0;
    int64_t places = 2;
    enum fault fault = config_name(out->name, sizeof out->name, reading, path, text->name ? text->name : "");
    if (fault != FAULT_NONE)
        return fault;
    while (kind < TYPES && strcmp(types[kind].name, text->type ? text->type : "") != 0)
        kind++;
    if (kind == TYPES)
        return config_wrong(reading, path, "expected type: int, decimal, float, bool, text or time");
    if (text->places && (kind != DECIMAL || !value_integer(&places, text->places) || places < 0 || places > TEMPLATE_SCALE_MAX))
        return config_wrong(reading, path, "expected places of a decimal, 0 to %d", (int)TEMPLATE_SCALE_MAX);
    out->type = types[kind].type;
    out->scale = kind == DECIMAL ? (uint8_t)places : 0;
    return FAULT_NONE;
}

/* What a profile makes under that name is of that type; what batches bring of their own is known then alone. */
static enum fault column_fits(const struct config_tenant *tenant, const struct reading *reading, const char *path,
                              const struct template_column *column)
{
    for (uint32_t p = 0; p < tenant->profile_count && tenant->profiles[p]; p++)
        for (uint32_t i = 0; i < profile_made_count(tenant->profiles[p]->profile); i++) {
            const struct template_column *made = profile_made(tenant->profiles[p]->profile, i);
            if (strcmp(made->name, column->name) == 0 && (made->type != column->type || made->scale != column->scale))
                return config_wrong(reading, path, "a profile makes %.40s of another type", column->name);
        }
    return FAULT_NONE;
}

static enum fault outcome_read(struct tenant_rule *out, const struct reading *reading, const char *path, const struct rule_text *text)
{
    int level = text->raise_to ? value_choice(text->raise_to, level_names_of_risk, LEVEL_COUNT) : -1;
    int verdict = text->verdict ? value_choice(text->verdict, verdict_names, VERDICT_INVALID) : -1;
    if ((text->raise_to != NULL) == (text->verdict != NULL))
        return config_wrong(reading, path, "expected either raise_to or verdict");
    if (text->raise_to && level < LEVEL_LOW)
        return config_wrong(reading, path, "expected raise_to: low, medium, high or critical, is '%.40s'", text->raise_to);
    if (text->verdict && verdict < 0)
        return config_wrong(reading, path, "expected verdict: pass, hold or reject, is '%.40s'", text->verdict);
    out->level = text->raise_to ? (enum level)level : LEVEL_NONE;
    out->verdict = text->verdict ? (uint8_t)(verdict + 1) : 0;
    return FAULT_NONE;
}

static enum fault rule_read(struct tenant_rules *rules, uint32_t index, const struct reading *reading, const char *path,
                            const struct rule_text *text)
{
    struct tenant_rule *out = &rules->rules[index];
    char when[PATH_BYTES + 8];
    uint8_t ignored;
    enum fault fault = config_name(out->name, sizeof out->name, reading, path, text->name ? text->name : "");
    for (uint32_t i = 0; i < index && fault == FAULT_NONE; i++)
        if (strcmp(rules->rules[i].name, out->name) == 0)
            fault = config_wrong(reading, path, "the name '%.40s' is given twice", out->name);
    if (fault == FAULT_NONE)
        fault = outcome_read(out, reading, path, text);
    if (fault == FAULT_NONE)
        fault = config_name(out->risk_type, sizeof out->risk_type, reading, path, text->risk_type ? text->risk_type : out->name);
    if (fault == FAULT_NONE && strategy_risk_type(&ignored, &reading->config->strategy, out->risk_type, NULL) != FAULT_NONE)
        fault = config_wrong(reading, path, "more than %d risk types", RISK_TYPES_MAX);
    if (fault == FAULT_NONE && !text->when)
        fault = config_wrong(reading, path, "expected when: the condition");
    if (fault != FAULT_NONE)
        return fault;
    snprintf(when, sizeof when, "%s.when", path);
    const struct template_schema schema = {.columns = rules->columns, .column_count = rules->column_count};
    return template_open_condition(&out->when, config_source_tail(reading->source), config_yaml_text_line(reading->yaml, when), text->when,
                                   strlen(text->when), &schema, reading->note);
}

static enum fault schema_read(struct tenant_rules *rules, const struct config_tenant *tenant, const struct reading *reading,
                              const char *prefix, const struct tenant_text *text)
{
    struct template_column own[RULE_COLUMNS_MAX] = {{.name = ""}};
    char path[PATH_BYTES];
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; i < text->rule_columns_count && fault == FAULT_NONE; i++) {
        snprintf(path, sizeof path, "%.24s.rule_columns[%u]", prefix, i);
        struct fault_note why = {0};
        fault = column_read(&own[i], reading, path, &text->rule_columns[i]);
        if (fault == FAULT_NONE)
            fault = column_fits(tenant, reading, path, &own[i]);
        if (fault == FAULT_NONE && rules_schema(rules, own, i + 1, &why) != FAULT_NONE)
            fault = config_wrong(reading, path, "%s", why.text);
    }
    return fault == FAULT_NONE && text->rule_columns_count == 0 ? rules_schema(rules, own, 0, reading->note) : fault;
}

static uint32_t rules_before(const struct config *config, const struct config_tenant *tenant)
{
    uint32_t count = 0;
    for (const struct config_tenant *at = config->tenants; at < tenant; at++)
        count += at->rules ? at->rules->count : 0;
    return count;
}

enum fault config_read_tenant_rules(struct config_tenant *tenant, const struct reading *reading, const char *prefix,
                                    const struct tenant_text *text)
{
    uint32_t before = rules_before(reading->config, tenant), steps = 0;
    char path[PATH_BYTES];
    if (text->rules_count == 0 && text->rule_columns_count == 0)
        return FAULT_NONE;
    snprintf(path, sizeof path, "%.24s.rules", prefix);
    if (before + text->rules_count > RULES_MAX)
        return config_wrong(reading, path, "more than %d rules of all tenants together", RULES_MAX);
    struct tenant_rules *rules = tenant->rules = memory_take_zeroed(1, sizeof *rules);
    if (!rules)
        return fault_set(reading->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the rules of a tenant");
    atomic_init(&rules->users, 1);
    rules->first_number = before + 1;
    enum fault fault = schema_read(rules, tenant, reading, prefix, text);
    for (uint32_t i = 0; i < text->rules_count && fault == FAULT_NONE; i++) {
        snprintf(path, sizeof path, "%.24s.rules[%u]", prefix, i);
        fault = rule_read(rules, i, reading, path, &text->rules[i]);
        if (fault != FAULT_NONE)
            break;
        rules->count = i + 1;
        steps += template_step_count(rules->rules[i].when);
        for (uint32_t c = 0; c < rules->column_count; c++)
            rules->is_read[c] |= template_reads(rules->rules[i].when, c);
        if (steps > RULES_STEPS_MAX)
            fault = config_wrong(reading, path, "the rules of the tenant have more than %d steps together", (int)RULES_STEPS_MAX);
    }
    rules->scratch_bytes = fault == FAULT_NONE ? rules_scratch_bytes(rules) : 0;
    return fault;
}
