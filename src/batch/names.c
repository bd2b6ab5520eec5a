/* The domain's lists as tables: names, meanings and masks all come from the .tbl files. */
#include "batch/batch.h"

#include <string.h>

enum {
#define OP(name, wire_name, changes, rows, right) BIT_##name = 1 << OP_##name,
#include "batch/ops.tbl"
#undef OP
    ROWS = BIT_screen | BIT_score | BIT_import,
    IMPORT = BIT_import,
    LABEL = BIT_label,
    OBSERVE = BIT_observe,
    LIST = BIT_list_put | BIT_list_remove,
    IF_FUNDS = 1 << OP_COUNT,
    FUNDS = ROWS | IF_FUNDS,
};

enum { TYPE_TEXT = COLUMN_TEXT, TYPE_TIME = COLUMN_TIME, TYPE_MONEY = COLUMN_MONEY };

static const struct {
    const char *name, *meaning;
    enum column_type type;
    unsigned needed, taken;
} columns[COLUMN_COUNT] = {
#define COLUMN(name, type, needed, taken, text) [COLUMN_##name] = {#name, text, (enum column_type)TYPE_##type, needed, taken},
#include "batch/columns.tbl"
#undef COLUMN
};

static const struct {
    bool changes_state, carries_rows;
    enum right right;
} ops[OP_COUNT] = {
#define OP(name, wire_name, changes, rows, right) [OP_##name] = {changes, rows, right},
#include "batch/ops.tbl"
#undef OP
};

const char *const op_names[OP_COUNT] = {
#define OP(name, wire_name, changes, rows, right) [OP_##name] = wire_name,
#include "batch/ops.tbl"
#undef OP
};

const char *const language_names[LANGUAGE_COUNT] = {"en", "zh"};
const char *const dimension_names[DIMENSION_COUNT] = {"transaction", "device", "behaviour", "social"};
const char *const verdict_names[VERDICT_COUNT] = {"pass", "hold", "reject", "invalid"};
const char *const level_names_of_risk[LEVEL_COUNT] = {"none", "low", "medium", "high", "critical"};
const char *const cause_names[CAUSE_COUNT] = {"none",       "scene",   "anomaly", "scene_and_anomaly", "check", "duplicate", "blocked",
                                              "restricted", "allowed", "rule",    "unanswered"};
const char *const observe_names[OBSERVE_COUNT] = {"none", "attribute", "contact", "registration", "use"};
const char *const list_names[LIST_COUNT] = {"block", "restrict", "allow"};
const char *const listed_names[LISTED_COUNT] = {"account", "device", "address"};
const char *const check_rule_names[RULE_COUNT] = {"missing", "range", "length", "unique",  "enum",
                                                  "time",    "utf8",  "type",   "pattern", "compute"};

const char *column_name(uint16_t column)
{
    return column < COLUMN_COUNT ? columns[column].name : "";
}

const char *column_meaning(uint16_t column)
{
    return column < COLUMN_COUNT ? columns[column].meaning : "";
}

enum column_type column_type_of(uint16_t column)
{
    return column < COLUMN_COUNT ? columns[column].type : COLUMN_TEXT;
}

bool column_needed_by(uint16_t column, enum op op, bool is_funds)
{
    if (column >= COLUMN_COUNT || !(columns[column].needed >> op & 1))
        return false;
    return is_funds || !(columns[column].needed & IF_FUNDS);
}

bool column_taken_by(uint16_t column, enum op op)
{
    return column < COLUMN_COUNT && (columns[column].taken >> op & 1);
}

enum column_id column_find(struct text name)
{
    for (unsigned i = 0; i < COLUMN_COUNT; i++)
        if (text_equal(name, text_of(columns[i].name)))
            return (enum column_id)i;
    return COLUMN_COUNT;
}

enum op op_find(struct text name)
{
    for (unsigned i = 0; i < OP_COUNT; i++)
        if (text_equal(name, text_of(op_names[i])))
            return (enum op)i;
    return OP_COUNT;
}

bool op_changes_state(enum op op)
{
    return ops[op].changes_state;
}

bool op_carries_rows(enum op op)
{
    return ops[op].carries_rows;
}

enum right op_right(enum op op)
{
    return ops[op].right;
}

static const struct {
    char code[4];
    int exponent;
} currencies[] = {
#define CURRENCY(code, exponent, name) {#code, exponent},
#include "batch/currencies.tbl"
#undef CURRENCY
};

int currency_exponent(const char *code)
{
    for (size_t i = 0; i < sizeof currencies / sizeof *currencies; i++)
        if (strcmp(code, currencies[i].code) == 0)
            return currencies[i].exponent;
    return -1;
}
