/* Conditions run over a slice as templates run over a chunk. Of what they may speak of only that is laid out which one reads. */
#include "pipeline/rules.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"

_Static_assert((int)SLICE_ROWS == (int)TEMPLATE_CHUNK, "a slice is a chunk");

enum score {
    SCORE_MATCH,
    SCORE_RUNNER_MATCH,
    SCORE_RISK,
    SCORE_ANOMALY,
    SCORE_ANOMALY_OWN,
    SCORE_ANOMALY_LINKED,
    SCORE_LEVEL,
    SCORE_SCENE,
    SCORE_RUNNER_UP,
    SCORE_AMOUNT,
    SCORE_SEEN,
    SCORE_COUNT
};
static const struct template_column scores[SCORE_COUNT] = {
    [SCORE_MATCH] = {"match", TEMPLATE_FLOAT, 0},
    [SCORE_RUNNER_MATCH] = {"runner_match", TEMPLATE_FLOAT, 0},
    [SCORE_RISK] = {"risk", TEMPLATE_FLOAT, 0},
    [SCORE_ANOMALY] = {"anomaly", TEMPLATE_FLOAT, 0},
    [SCORE_ANOMALY_OWN] = {"anomaly_own", TEMPLATE_FLOAT, 0},
    [SCORE_ANOMALY_LINKED] = {"anomaly_linked", TEMPLATE_FLOAT, 0},
    [SCORE_LEVEL] = {"level", TEMPLATE_EXACT, 0},
    [SCORE_SCENE] = {"scene", TEMPLATE_TEXT, 0},
    [SCORE_RUNNER_UP] = {"runner_up", TEMPLATE_TEXT, 0},
    [SCORE_AMOUNT] = {"amount_reference", TEMPLATE_EXACT, 0},
    [SCORE_SEEN] = {"seen_before", TEMPLATE_BOOL, 0},
};

/* --- schema ------------------------------------------------------------------------------------------------------------ */

static enum fault column_add(struct tenant_rules *rules, struct template_column column, enum rule_source source, uint32_t index,
                             struct fault_note *note)
{
    for (uint32_t i = 0; i < rules->column_count; i++)
        if (strcmp(rules->columns[i].name, column.name) == 0)
            return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "%s is the name of something else", column.name);
    MUST(rules->column_count < TEMPLATE_COLUMNS_MAX);
    rules->inputs[rules->column_count] = (struct rule_input){.source = source, .index = (uint16_t)index};
    rules->columns[rules->column_count++] = column;
    return FAULT_NONE;
}

static struct template_column column_named(const char *name, enum template_type type)
{
    struct template_column column = {.type = type};
    snprintf(column.name, sizeof column.name, "%s", name);
    return column;
}

_Static_assert((int)COLUMN_COUNT + (int)FIGURE_COUNT + (int)SCORE_COUNT + (int)RULE_COLUMNS_MAX <= (int)TEMPLATE_COLUMNS_MAX,
               "a schema has room for all");

enum fault rules_schema(struct tenant_rules *rules, const struct template_column *own, uint32_t own_count, struct fault_note *note)
{
    static const enum template_type types[] = {
        [COLUMN_TEXT] = TEMPLATE_TEXT, [COLUMN_TIME] = TEMPLATE_TIME, [COLUMN_MONEY] = TEMPLATE_EXACT};
    enum fault fault = FAULT_NONE;
    MUST(own_count <= RULE_COLUMNS_MAX);
    rules->column_count = 0;
    for (uint16_t i = 0; i < COLUMN_COUNT && fault == FAULT_NONE; i++)
        if (column_taken_by(i, OP_screen))
            fault = column_add(rules, column_named(column_name(i), types[column_type_of(i)]), RULE_KNOWN, i, note);
    for (uint32_t i = 0; i < FIGURE_COUNT && fault == FAULT_NONE; i++)
        fault = column_add(rules, column_named(figure_names[i], TEMPLATE_FLOAT), RULE_FIGURE, i, note);
    for (uint32_t i = 0; i < SCORE_COUNT && fault == FAULT_NONE; i++)
        fault = column_add(rules, scores[i], RULE_SCORE, i, note);
    for (uint32_t i = 0; i < own_count && fault == FAULT_NONE; i++)
        fault = column_add(rules, own[i], RULE_OWN, i, note);
    return fault;
}

void rules_close(struct tenant_rules **rules_p)
{
    struct tenant_rules *rules = *rules_p;
    *rules_p = NULL;
    if (!rules || atomic_fetch_sub(&rules->users, 1) > 1)
        return;
    for (uint32_t i = 0; i < TENANT_RULES_MAX; i++)
        if (rules->rules[i].when)
            template_close(&rules->rules[i].when);
    memory_give(rules);
}

/* --- a slice ----------------------------------------------------------------------------------------------------------- */

struct laid { /* the columns of a slice, from its first row on */
    struct column columns[TEMPLATE_COLUMNS_MAX];
    struct text scenes[SCENES_MAX];
    char *at; /* of what is left of the scratch */
};

static void *lay(struct laid *laid, size_t bytes)
{
    void *out = laid->at;
    laid->at += (bytes + 63) / 64 * 64;
    return out;
}

static struct column known_from(const struct column *column, uint32_t first)
{
    struct column out = *column;
    if (out.valid)
        out.valid += first / 8;
    switch (out.form) {
    case FORM_I64:
    case FORM_F64:
        out.data += 8 * (size_t)first;
        break;
    case FORM_STR:
        out.offsets += 4 * (size_t)first;
        break;
    case FORM_DICT8:
        out.data += first;
        break;
    case FORM_DICT16:
        out.data += 2 * (size_t)first;
        break;
    case FORM_DICT32:
        out.data += 4 * (size_t)first;
        break;
    case FORM_ABSENT:
        break;
    }
    return out;
}

/* The time of a row is known where none was sent. */
static struct column known_column(const struct batch *batch, enum column_id id, uint32_t first)
{
    if (id == COLUMN_time)
        return (struct column){.form = FORM_I64, .data = (const unsigned char *)(batch->facts.time_us + first)};
    return known_from(&batch->columns[id], first);
}

static struct column own_column(const struct batch *batch, const char *name, uint32_t first)
{
    for (uint32_t i = 0; i < batch->other_count; i++)
        if (text_equal(batch->others[i].name, text_of(name)))
            return known_from(&batch->others[i], first);
    return (struct column){.form = FORM_ABSENT};
}

/* Negative: history does not know it. */
static struct column figure_column(struct laid *laid, const float *figures, uint32_t count)
{
    double *values = lay(laid, SLICE_ROWS * sizeof *values);
    uint64_t *valid = lay(laid, SLICE_ROWS / 8);
    memset(valid, 0, SLICE_ROWS / 8);
    for (uint32_t i = 0; i < count; i++) {
        values[i] = (double)figures[i];
        valid[i / 64] |= (uint64_t)(figures[i] >= 0.0f) << i % 64;
    }
    return (struct column){.form = FORM_F64, .data = (const unsigned char *)values, .valid = (const unsigned char *)valid};
}

static struct column float_column(struct laid *laid, const float *first, const float *second, uint32_t count)
{
    double *values = lay(laid, SLICE_ROWS * sizeof *values);
    for (uint32_t i = 0; i < count; i++)
        values[i] = (double)(first[i] > second[i] ? first[i] : second[i]);
    return (struct column){.form = FORM_F64, .data = (const unsigned char *)values};
}

static struct column code_column(struct laid *laid, const uint8_t *codes, unsigned mask, uint32_t count)
{
    int64_t *values = lay(laid, SLICE_ROWS * sizeof *values);
    for (uint32_t i = 0; i < count; i++)
        values[i] = codes ? codes[i] & mask : 0;
    return (struct column){.form = FORM_I64, .data = (const unsigned char *)values};
}

static struct column score_column(struct laid *laid, enum score score, const struct rules_judging *judging, const struct batch *batch,
                                  uint32_t first, uint32_t count)
{
    const struct results *results = &batch->results;
    const float *floats[] = {[SCORE_MATCH] = results->match,
                             [SCORE_RUNNER_MATCH] = results->runner_match,
                             [SCORE_RISK] = results->risk,
                             [SCORE_ANOMALY] = results->anomaly_linked,
                             [SCORE_ANOMALY_OWN] = results->anomaly_own,
                             [SCORE_ANOMALY_LINKED] = results->anomaly_linked};
    switch (score) {
    case SCORE_LEVEL:
        return code_column(laid, results->level + first, UINT8_MAX, count);
    case SCORE_SEEN:
        return code_column(laid, batch->facts.flags ? batch->facts.flags + first : NULL, FLAG_SEEN, count);
    case SCORE_AMOUNT:
        return (struct column){.form = FORM_I64, .data = (const unsigned char *)(batch->facts.amount + first)};
    case SCORE_SCENE:
    case SCORE_RUNNER_UP:
        return (struct column){.form = FORM_DICT8,
                               .data = (score == SCORE_SCENE ? results->scene : results->runner_up) + first,
                               .values = laid->scenes,
                               .value_count = judging->scene_count};
    default:
        return float_column(laid, floats[score] + first, (score == SCORE_ANOMALY ? results->anomaly_own : floats[score]) + first, count);
    }
}

static void columns_lay(struct laid *laid, const struct column **places, const struct rules_judging *judging, const struct batch *batch,
                        uint32_t first, uint32_t count)
{
    const struct tenant_rules *rules = judging->rules;
    for (uint32_t i = 0; i < rules->column_count; i++) {
        const struct rule_input input = rules->inputs[i];
        places[i] = rules->is_read[i] ? &laid->columns[i] : NULL;
        if (!rules->is_read[i])
            continue;
        if (input.source == RULE_KNOWN)
            laid->columns[i] = known_column(batch, (enum column_id)input.index, first);
        else if (input.source == RULE_OWN)
            laid->columns[i] = own_column(batch, rules->columns[i].name, first);
        else if (input.source == RULE_SCORE)
            laid->columns[i] = score_column(laid, (enum score)input.index, judging, batch, first, count);
        else
            laid->columns[i] =
                judging->figures ? figure_column(laid, judging->figures->column[input.index], count) : (struct column){.form = FORM_ABSENT};
    }
}

static void rule_meets(struct rules_met *out, const struct tenant_rules *rules, uint32_t index, const uint64_t *meets, uint32_t count)
{
    const struct tenant_rule *rule = &rules->rules[index];
    uint8_t number = (uint8_t)(rules->first_number + index);
    for (uint32_t word = 0; word < (count + 63) / 64; word++)
        for (uint64_t bits = meets[word]; bits; bits &= bits - 1) {
            uint32_t at = 64 * word + (uint32_t)__builtin_ctzll(bits);
            if (at >= count)
                return;
            uint8_t *place = rule->verdict ? &out->forcing[at] : &out->raising[at];
            if (*place == 0 || (!rule->verdict && rules->rules[*place - rules->first_number].level < rule->level))
                *place = number;
        }
}

void rules_judge(void *context, struct rules_met *out, const struct batch *batch, uint32_t first, uint32_t count)
{
    const struct rules_judging *judging = context;
    const struct tenant_rules *rules = judging->rules;
    const struct column *places[TEMPLATE_COLUMNS_MAX];
    struct laid *laid = judging->scratch;
    MUST(count <= SLICE_ROWS && judging->scene_count <= SCENES_MAX);
    memset(out, 0, sizeof *out);
    laid->at = (char *)judging->scratch;
    lay(laid, sizeof *laid);
    for (uint32_t i = 0; i < judging->scene_count; i++)
        laid->scenes[i] = text_of(judging->scenes[i]);
    columns_lay(laid, places, judging, batch, first, count);
    for (uint32_t i = 0; i < rules->count; i++) {
        uint64_t bools[SLICE_ROWS / 64], valid[SLICE_ROWS / 64];
        struct template_cells cells = {.bools = bools, .valid = valid};
        template_run(rules->rules[i].when, places, count, &cells, laid->at, judging->kernels, NULL, NULL);
        for (uint32_t word = 0; word < (count + 63) / 64; word++)
            bools[word] &= valid[word];
        rule_meets(out, rules, i, bools, count);
    }
}

size_t rules_scratch_bytes(const struct tenant_rules *rules)
{
    size_t bytes = sizeof(struct laid) + 64, program = 0;
    for (uint32_t i = 0; i < rules->column_count; i++)
        if (rules->is_read[i])
            bytes += SLICE_ROWS * sizeof(double) + SLICE_ROWS / 8 + 128;
    for (uint32_t i = 0; i < rules->count; i++) {
        size_t one = template_scratch_bytes(rules->rules[i].when);
        program = one > program ? one : program;
    }
    return bytes + program;
}
