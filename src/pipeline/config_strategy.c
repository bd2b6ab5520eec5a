/* Strategy and countermeasures: what a risk type at a level leads to, and what the submitter is told to do. */
#include "pipeline/config_strategy.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "pipeline/config_value.h"

enum { PATH_BYTES = 80, TEXT_BYTES = sizeof(((struct countermeasure *)0)->text[0]) };

static enum fault text_take(char out[TEXT_BYTES], const struct reading *reading, const char *path, const char *text)
{
    if (!text || strlen(text) >= TEXT_BYTES || strpbrk(text, "\x1f"))
        return config_wrong(reading, path, "expected a text of at most %d bytes", (int)TEXT_BYTES - 1);
    memcpy(out, text, strlen(text) + 1);
    return FAULT_NONE;
}

/* One of Sluice's columns that transfers may have, or one of a profile's. */
static bool is_correctable(const char *name)
{
    enum column_id known = column_find(text_of(name));
    if (known < COLUMN_COUNT)
        return known != COLUMN_transfer_id && column_taken_by(known, OP_screen);
    size_t bytes = strlen(name), i = 0;
    while (i < bytes && (isalnum((unsigned char)name[i]) || name[i] == '_'))
        i++;
    return bytes > 0 && bytes < 64 && i == bytes;
}

/* With commas between: few, and read seldom. */
static enum fault correct_read(struct countermeasure *out, const struct reading *reading, const char *path,
                               const struct countermeasure_text *text)
{
    size_t used = 0;
    for (uint32_t i = 0; i < text->correct_count; i++) {
        if (!is_correctable(text->correct[i]))
            return config_wrong(reading, path, "correct: expected a column that may change, is '%.40s'", text->correct[i]);
        size_t bytes = strlen(text->correct[i]);
        if (used + bytes + 2 > sizeof out->correct)
            return config_wrong(reading, path, "correct: the names have more than %zu bytes together", sizeof out->correct - 1);
        used += (size_t)snprintf(out->correct + used, sizeof out->correct - used, "%s%s", i ? "," : "", text->correct[i]);
    }
    return FAULT_NONE;
}

/* A text of its own under a name that is there, or one more. */
static enum fault countermeasure_read(const struct reading *reading, uint32_t index, const struct countermeasure_text *text)
{
    struct strategy *strategy = &reading->config->strategy;
    char path[PATH_BYTES], name[sizeof strategy->countermeasures[0].name];
    uint32_t at = 0;
    snprintf(path, sizeof path, "countermeasures[%u]", index);
    enum fault fault = config_name(name, sizeof name, reading, path, text->name ? text->name : "");
    if (fault != FAULT_NONE)
        return fault;
    while (at < strategy->countermeasure_count && strcmp(strategy->countermeasures[at].name, name) != 0)
        at++;
    if (at == COUNTERMEASURES_MAX)
        return config_wrong(reading, path, "more than %d countermeasures, the built-in ones counted", COUNTERMEASURES_MAX);
    struct countermeasure *out = &strategy->countermeasures[at];
    strategy->countermeasure_count += at == strategy->countermeasure_count;
    memset(out, 0, sizeof *out);
    memcpy(out->name, name, sizeof name);
    fault = text_take(out->text[LANGUAGE_EN], reading, path, text->text);
    if (fault == FAULT_NONE && text->text_zh)
        fault = text_take(out->text[LANGUAGE_ZH], reading, path, text->text_zh);
    if (fault == FAULT_NONE && text->confirm)
        fault = config_name(out->confirm, sizeof out->confirm, reading, path, text->confirm);
    return fault == FAULT_NONE ? correct_read(out, reading, path, text) : fault;
}

static enum fault risk_type_read(uint8_t *out, const struct reading *reading, const char *path, const char *value)
{
    struct strategy *strategy = &reading->config->strategy;
    char name[sizeof strategy->risk_types[0]];
    uint32_t at = 0;
    if (value && strcmp(value, "*") == 0)
        return *out = STRATEGY_ANY, FAULT_NONE;
    enum fault fault = config_name(name, sizeof name, reading, path, value ? value : "");
    if (fault != FAULT_NONE)
        return fault;
    while (at < strategy->risk_type_count && strcmp(strategy->risk_types[at], name) != 0)
        at++;
    if (at == RISK_TYPES_MAX)
        return config_wrong(reading, path, "more than %d risk types", RISK_TYPES_MAX);
    strategy->risk_type_count += at == strategy->risk_type_count;
    memcpy(strategy->risk_types[at], name, sizeof name);
    *out = (uint8_t)at;
    return FAULT_NONE;
}

static enum fault strategy_outcome(struct strategy_row *out, const struct reading *reading, const char *path,
                                   const struct strategy_text *text)
{
    struct strategy *strategy = &reading->config->strategy;
    int level = text->level ? value_choice(text->level, level_names_of_risk, LEVEL_COUNT) : -1;
    int verdict = text->verdict ? value_choice(text->verdict, verdict_names, VERDICT_INVALID) : -1;
    uint32_t at = 0;
    if (level < 0)
        return config_wrong(reading, path, "expected level: none, low, medium, high or critical");
    if (verdict < 0)
        return config_wrong(reading, path, "expected verdict: pass, hold or reject");
    if (text->final && !value_bool(&out->final, text->final))
        return config_wrong(reading, path, "expected final: true or false");
    while (text->countermeasure && at < strategy->countermeasure_count &&
           strcmp(strategy->countermeasures[at].name, text->countermeasure) != 0)
        at++;
    if (text->countermeasure && at == strategy->countermeasure_count &&
        (at = strategy_countermeasure_add(strategy, text->countermeasure)) == COUNTERMEASURES_MAX)
        return config_wrong(reading, path, "countermeasure '%.40s' is neither built in nor under countermeasures", text->countermeasure);
    out->level_least = (enum level)level;
    out->verdict = (enum verdict)verdict;
    out->countermeasure = (uint8_t)at;
    return FAULT_NONE;
}

/* Rows of the file come before the built-in ones: the first that matches wins, and nothing falls through to pass
 * because the file does not speak of it. */
enum fault config_read_strategy(const struct reading *reading, const struct config_text *text)
{
    struct strategy *strategy = &reading->config->strategy;
    enum fault fault = FAULT_NONE;
    strategy_default(strategy);
    for (uint32_t i = 0; i < text->countermeasures_count && fault == FAULT_NONE; i++)
        fault = countermeasure_read(reading, i, &text->countermeasures[i]);
    uint32_t built_in = strategy->row_count, given = text->strategy_count;
    if (fault == FAULT_NONE && given + built_in > STRATEGY_ROWS_MAX)
        return config_wrong(reading, "strategy", "expected at most %u rows", STRATEGY_ROWS_MAX - built_in);
    memmove(strategy->rows + given, strategy->rows, built_in * sizeof strategy->rows[0]);
    memset(strategy->rows, 0, given * sizeof strategy->rows[0]);
    strategy->row_count = given + built_in;
    for (uint32_t i = 0; i < given && fault == FAULT_NONE; i++) {
        char path[PATH_BYTES];
        snprintf(path, sizeof path, "strategy[%u]", i);
        fault = risk_type_read(&strategy->rows[i].risk_type, reading, path, text->strategy[i].risk_type);
        if (fault == FAULT_NONE)
            fault = strategy_outcome(&strategy->rows[i], reading, path, &text->strategy[i]);
    }
    return fault;
}
