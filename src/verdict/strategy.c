/* The strategy table: small, read in order, the first row that applies wins. */
#include "verdict/verdict.h"

#include <stdio.h>
#include <string.h>

void strategy_default(struct strategy *out)
{
    enum { NONE, DO_NOT_PAY, CONFIRM_WITH_PAYER, CORRECT_AND_RESUBMIT };
    static const struct {
        const char *name, *text;
    } countermeasures[] = {
        [NONE] = {"none", ""},
        [DO_NOT_PAY] = {"do_not_pay", "Do not pay. Treat the payer's account as taken over until shown otherwise."},
        [CONFIRM_WITH_PAYER] = {"confirm_with_payer", "Confirm payee and amount with the payer by another way, then send it again."},
        [CORRECT_AND_RESUBMIT] = {"correct_and_resubmit", "Correct the named columns and send the transfer again."},
    };
    memset(out, 0, sizeof *out);
    out->risk_type_count = 3;
    snprintf(out->risk_types[0], sizeof out->risk_types[0], "none");
    snprintf(out->risk_types[1], sizeof out->risk_types[1], "anomaly");
    snprintf(out->risk_types[2], sizeof out->risk_types[2], "invalid");
    out->risk_type_anomaly = 1;
    out->risk_type_invalid = 2;
    out->countermeasure_count = sizeof countermeasures / sizeof *countermeasures;
    for (uint32_t i = 0; i < out->countermeasure_count; i++) {
        snprintf(out->countermeasures[i].name, sizeof out->countermeasures[i].name, "%s", countermeasures[i].name);
        snprintf(out->countermeasures[i].text, sizeof out->countermeasures[i].text, "%s", countermeasures[i].text);
    }
    const struct strategy_row rows[] = {
        {.risk_type = 2, .level_least = LEVEL_NONE, .verdict = VERDICT_INVALID, .countermeasure = CORRECT_AND_RESUBMIT},
        {.risk_type = STRATEGY_ANY, .level_least = LEVEL_CRITICAL, .verdict = VERDICT_REJECT, .countermeasure = DO_NOT_PAY},
        {.risk_type = STRATEGY_ANY, .level_least = LEVEL_HIGH, .verdict = VERDICT_HOLD, .countermeasure = CONFIRM_WITH_PAYER},
    };
    out->row_count = sizeof rows / sizeof *rows;
    memcpy(out->rows, rows, sizeof rows);
}

static uint32_t risk_type_find(const struct strategy *strategy, const char *name)
{
    uint32_t i = 0;
    while (i < strategy->risk_type_count && strcmp(strategy->risk_types[i], name) != 0)
        i++;
    return i;
}

enum fault strategy_bind(struct strategy *strategy, const struct scene_base *base, struct fault_note *note)
{
    memset(strategy->scene_risk_type, 0, sizeof strategy->scene_risk_type);
    for (uint32_t s = 1; s < base->scene_count; s++) {
        const char *name = base->scenes[s].risk_type;
        uint32_t found = risk_type_find(strategy, name);
        if (found == RISK_TYPES_MAX)
            return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "risk type %s of scene %s: more than %d risk types", name,
                             base->scenes[s].name, RISK_TYPES_MAX);
        if (found == strategy->risk_type_count) {
            snprintf(strategy->risk_types[found], sizeof strategy->risk_types[found], "%s", name);
            strategy->risk_type_count++;
        }
        strategy->scene_risk_type[s] = (uint8_t)found;
    }
    return FAULT_NONE;
}

struct strategy_row strategy_find(const struct strategy *strategy, uint8_t risk_type, enum level level)
{
    for (uint32_t i = 0; i < strategy->row_count; i++) {
        struct strategy_row row = strategy->rows[i];
        if (level >= row.level_least && (row.risk_type == risk_type || row.risk_type == STRATEGY_ANY))
            return row.place = (uint16_t)i, row;
    }
    return (struct strategy_row){.verdict = VERDICT_PASS, .place = STRATEGY_ROWS_MAX};
}
