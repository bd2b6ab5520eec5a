/* The strategy table: small, read in order, the first row that applies wins. */
#include "verdict/verdict.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct measure { /* that is built in */
    const char *name, *text[LANGUAGE_COUNT], *confirm;
};

static void measure_put(struct countermeasure *out, const struct measure *measure)
{
    snprintf(out->name, sizeof out->name, "%s", measure->name);
    for (unsigned i = 0; i < LANGUAGE_COUNT; i++)
        snprintf(out->text[i], sizeof out->text[i], "%s", measure->text[i]);
    snprintf(out->confirm, sizeof out->confirm, "%s", measure->confirm);
}

void strategy_default(struct strategy *out)
{
    enum { NONE, DO_NOT_PAY, CONFIRM_WITH_PAYER, CORRECT_AND_RESUBMIT };
    static const struct measure measures[] = {
        [NONE] = {"none", {"", ""}, ""},
        [DO_NOT_PAY] = {"do_not_pay",
                        {"Do not pay. Treat the payer's account as taken over until shown otherwise.",
                         "请勿付款。在另行证实之前，应视付款人账户已被盗用。"},
                        "risk officer"},
        [CONFIRM_WITH_PAYER] = {"confirm_with_payer",
                                {"Confirm payee and amount with the payer by another way, then send it again.",
                                 "请通过其他途径与付款人核实收款人和金额，然后重新提交。"},
                                "payer"},
        [CORRECT_AND_RESUBMIT] = {"correct_and_resubmit",
                                  {"Correct the named columns and send the transfer again.", "请更正所指出的字段，然后重新提交该笔转账。"},
                                  ""},
    };
    memset(out, 0, sizeof *out);
    out->risk_type_count = 3;
    snprintf(out->risk_types[0], sizeof out->risk_types[0], "none");
    snprintf(out->risk_types[1], sizeof out->risk_types[1], "anomaly");
    snprintf(out->risk_types[2], sizeof out->risk_types[2], "invalid");
    out->risk_type_anomaly = 1;
    out->risk_type_invalid = 2;
    out->countermeasure_count = sizeof measures / sizeof *measures;
    for (uint32_t i = 0; i < out->countermeasure_count; i++)
        measure_put(&out->countermeasures[i], &measures[i]);
    const struct strategy_row rows[] = {
        {.risk_type = 2, .level_least = LEVEL_NONE, .verdict = VERDICT_INVALID, .countermeasure = CORRECT_AND_RESUBMIT},
        {.risk_type = STRATEGY_ANY, .level_least = LEVEL_CRITICAL, .verdict = VERDICT_REJECT, .countermeasure = DO_NOT_PAY},
        {.risk_type = STRATEGY_ANY, .level_least = LEVEL_HIGH, .verdict = VERDICT_HOLD, .countermeasure = CONFIRM_WITH_PAYER},
    };
    out->row_count = sizeof rows / sizeof *rows;
    memcpy(out->rows, rows, sizeof rows);
}

bool strategy_may_correct(const struct strategy *strategy, uint8_t countermeasure, struct text column)
{
    const char *at = countermeasure < strategy->countermeasure_count ? strategy->countermeasures[countermeasure].correct : "";
    if (*at == '\0')
        return true;
    while (*at) {
        uint32_t bytes = (uint32_t)strcspn(at, ",");
        if (text_equal(column, (struct text){.data = at, .bytes = bytes}))
            return true;
        at += bytes + (at[bytes] == ',');
    }
    return false;
}

void countermeasure_join(char out[COUNTERMEASURE_BYTES], const struct countermeasure *countermeasure)
{
    snprintf(out, COUNTERMEASURE_BYTES, "%s\x1f%s\x1f%s\x1f%s\x1f%s", countermeasure->name, countermeasure->text[LANGUAGE_EN],
             countermeasure->text[LANGUAGE_ZH], countermeasure->correct, countermeasure->confirm);
}

static uint32_t risk_type_find(const struct strategy *strategy, const char *name)
{
    uint32_t i = 0;
    while (i < strategy->risk_type_count && strcmp(strategy->risk_types[i], name) != 0)
        i++;
    return i;
}

static const struct unscored {
    const char *risk_type;
    struct measure measure;
    enum verdict verdict;
    size_t place; /* of the risk type's number in struct strategy */
} unscored[STRATEGY_UNSCORED] = {
    {"duplicate",
     {"check_for_duplicate",
      {"The transfer's id was screened before. Pay it once; a new transfer needs a new id.",
       "该转账编号此前已经审查过。请勿重复付款；新的转账需使用新的编号。"},
      "submitter"},
     VERDICT_HOLD,
     offsetof(struct strategy, risk_type_duplicate)},
    {"blocked",
     {"do_not_pay_blocked",
      {"Do not pay. A party, device or address of the transfer is on the block list.", "请勿付款。该转账的一方、设备或地址在黑名单上。"},
      "risk officer"},
     VERDICT_REJECT,
     offsetof(struct strategy, risk_type_blocked)},
    {"restricted",
     {"ask_for_release",
      {"A party, device or address of the transfer is restricted: ask for its release.", "该转账的一方、设备或地址受到限制：请申请解除。"},
      "risk officer"},
     VERDICT_HOLD,
     offsetof(struct strategy, risk_type_restricted)},
    {"unanswered",
     {"send_again_later",
      {"What a bank or payment system knows of the transfer was not to be had. Send it again later.",
       "未能从关联系统取得该笔转账所需的信息，请稍后重新提交。"},
      ""},
     VERDICT_HOLD,
     offsetof(struct strategy, risk_type_unanswered)},
};

uint32_t strategy_countermeasure_add(struct strategy *strategy, const char *name)
{
    uint32_t at = strategy->countermeasure_count, i = 0;
    while (i < STRATEGY_UNSCORED && strcmp(unscored[i].measure.name, name) != 0)
        i++;
    if (i == STRATEGY_UNSCORED || at == COUNTERMEASURES_MAX)
        return COUNTERMEASURES_MAX;
    measure_put(&strategy->countermeasures[at], &unscored[i].measure);
    return strategy->countermeasure_count++;
}

static uint32_t countermeasure_of(struct strategy *strategy, const char *name)
{
    for (uint32_t i = 0; i < strategy->countermeasure_count; i++)
        if (strcmp(strategy->countermeasures[i].name, name) == 0)
            return i;
    return strategy_countermeasure_add(strategy, name);
}

enum fault strategy_risk_type(uint8_t *out, struct strategy *strategy, const char *name, struct fault_note *note)
{
    uint32_t found = risk_type_find(strategy, name);
    if (found == RISK_TYPES_MAX)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "risk type %s: more than %d risk types", name, RISK_TYPES_MAX);
    if (found == strategy->risk_type_count) {
        snprintf(strategy->risk_types[found], sizeof strategy->risk_types[found], "%s", name);
        strategy->risk_type_count++;
    }
    *out = (uint8_t)found;
    return FAULT_NONE;
}

enum fault strategy_complete(struct strategy *strategy, struct fault_note *note)
{
    if (strategy->risk_type_duplicate)
        return FAULT_NONE;
    for (uint32_t i = 0; i < STRATEGY_UNSCORED; i++) {
        uint8_t *place = (uint8_t *)strategy + unscored[i].place;
        uint32_t measure = countermeasure_of(strategy, unscored[i].measure.name);
        if (strategy_risk_type(place, strategy, unscored[i].risk_type, note) != FAULT_NONE)
            return FAULT_limit;
        strategy->rows[strategy->row_count++] =
            (struct strategy_row){.risk_type = *place,
                                  .level_least = LEVEL_NONE,
                                  .verdict = unscored[i].verdict,
                                  .countermeasure = measure < COUNTERMEASURES_MAX ? (uint8_t)measure : 0};
    }
    return FAULT_NONE;
}

enum fault strategy_bind(struct strategy *strategy, const struct scene_base *base, struct fault_note *note)
{
    memset(strategy->scene_risk_type, 0, sizeof strategy->scene_risk_type);
    enum fault fault = FAULT_NONE;
    for (uint32_t s = 1; s < base->scene_count && fault == FAULT_NONE; s++)
        fault = strategy_risk_type(&strategy->scene_risk_type[s], strategy, base->scenes[s].risk_type, note);
    return fault == FAULT_NONE ? strategy_complete(strategy, note) : fault;
}

struct strategy_row strategy_find(const struct strategy *strategy, uint8_t risk_type, enum level level)
{
    for (uint32_t i = 0; i < strategy->row_count; i++) {
        struct strategy_row row = strategy->rows[i];
        if (level >= row.level_least && (row.risk_type == risk_type || row.risk_type == STRATEGY_ANY))
            return row.place = (uint16_t)i, row;
    }
    return (struct strategy_row){.verdict = VERDICT_PASS, .place = STRATEGY_ROWS_MAX + STRATEGY_UNSCORED};
}

struct strategy_row strategy_find_unscored(const struct strategy *strategy, uint8_t risk_type)
{
    for (uint32_t i = 0; i < strategy->row_count; i++)
        if (strategy->rows[i].risk_type == risk_type)
            return strategy->rows[i];
    return (struct strategy_row){.verdict = VERDICT_PASS, .place = STRATEGY_ROWS_MAX + STRATEGY_UNSCORED};
}
