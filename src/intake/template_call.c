/* Operators and functions: which steps they are for which types. */
#include <string.h>

#include "base/clock.h"
#include "intake/template_compile.h"

enum { ARGUMENTS_MAX = 16 };

struct call {
    const struct node *node;
    struct value arguments[ARGUMENTS_MAX];
    const struct node *nodes[ARGUMENTS_MAX];
    uint32_t count;
};

static struct value refuse_type(struct compiler *compiler, const struct call *call, uint32_t argument, const char *wanted)
{
    return compile_refuse(compiler, call->nodes[argument], "%s wanted, this is %s", wanted, compile_type_name(call->arguments[argument]));
}

static bool is_type(struct value value, enum template_type type)
{
    return !value.is_null && value.reg && value.type == type;
}

static bool is_number(struct value value)
{
    return is_type(value, TEMPLATE_EXACT) || is_type(value, TEMPLATE_FLOAT);
}

static struct value step_of(struct compiler *compiler, const struct call *call, enum step_op op, enum template_type type, uint8_t scale)
{
    struct step step = {.op = op, .a = call->arguments[0].reg, .b = call->count > 1 ? call->arguments[1].reg : 0};
    return compile_step(compiler, call->node, step, type, scale);
}

static struct value negated(struct compiler *compiler, const struct call *call, struct value value)
{
    return value.reg ? compile_step(compiler, call->node, (struct step){.op = STEP_NOT, .a = value.reg}, TEMPLATE_BOOL, 0) : value;
}

static struct value call_logic(struct compiler *compiler, struct call *call, enum function function)
{
    for (uint32_t i = 0; i < call->count; i++) {
        if (call->arguments[i].is_null)
            call->arguments[i] = compile_null_as(compiler, call->node, call->arguments[i], (struct value){.reg = 1, .type = TEMPLATE_BOOL});
        if (!is_type(call->arguments[i], TEMPLATE_BOOL))
            return refuse_type(compiler, call, i, "a bool");
    }
    if (function == FUNCTION_not)
        return negated(compiler, call, call->arguments[0]);
    struct value value = step_of(compiler, call, function == FUNCTION_or ? STEP_OR : STEP_AND, TEMPLATE_BOOL, 0);
    return function == FUNCTION_nand ? negated(compiler, call, value) : value;
}

static struct value call_equal(struct compiler *compiler, const struct call *call)
{
    switch (call->arguments[0].type) {
    case TEMPLATE_FLOAT:
        return step_of(compiler, call, STEP_EQUAL_F, TEMPLATE_BOOL, 0);
    case TEMPLATE_TEXT:
        return step_of(compiler, call, STEP_EQUAL_TEXT, TEMPLATE_BOOL, 0);
    case TEMPLATE_BOOL:
        return step_of(compiler, call, STEP_EQUAL_BOOL, TEMPLATE_BOOL, 0);
    default:
        return step_of(compiler, call, STEP_EQUAL, TEMPLATE_BOOL, 0);
    }
}

static struct value call_comparison(struct compiler *compiler, struct call *call, enum function function)
{
    if (!compile_same_types(compiler, call->node, &call->arguments[0], &call->arguments[1]))
        return (struct value){0};
    if (function == FUNCTION_equal)
        return call_equal(compiler, call);
    if (function == FUNCTION_unequal)
        return negated(compiler, call, call_equal(compiler, call));
    enum template_type type = call->arguments[0].type;
    if (type == TEMPLATE_TEXT || type == TEMPLATE_BOOL)
        return refuse_type(compiler, call, 0, "something that has an order");
    bool is_turned = function == FUNCTION_more || function == FUNCTION_most,
         or_equal = function == FUNCTION_least || function == FUNCTION_most;
    bool is_float = type == TEMPLATE_FLOAT;
    struct step step = {.op = or_equal ? (is_float ? STEP_LEAST_F : STEP_LEAST) : (is_float ? STEP_LESS_F : STEP_LESS),
                        .a = call->arguments[is_turned].reg,
                        .b = call->arguments[!is_turned].reg};
    return compile_step(compiler, call->node, step, TEMPLATE_BOOL, 0);
}

/* time + duration, time - duration, time - time, durations with each other. */
static struct value call_times(struct compiler *compiler, const struct call *call, bool is_plus)
{
    enum template_type a = call->arguments[0].type, b = call->arguments[1].type;
    enum step_op op = is_plus ? STEP_ADD : STEP_SUBTRACT;
    if (b == TEMPLATE_DURATION && (a == TEMPLATE_TIME || a == TEMPLATE_DURATION))
        return step_of(compiler, call, op, a, 0);
    if (is_plus && a == TEMPLATE_DURATION && b == TEMPLATE_TIME)
        return step_of(compiler, call, op, TEMPLATE_TIME, 0);
    if (!is_plus && a == TEMPLATE_TIME && b == TEMPLATE_TIME)
        return step_of(compiler, call, op, TEMPLATE_DURATION, 0);
    return compile_refuse(compiler, call->node, "%s and %s cannot be %s", compile_type_name(call->arguments[0]),
                          compile_type_name(call->arguments[1]), is_plus ? "added" : "subtracted");
}

static struct value call_sum(struct compiler *compiler, struct call *call, bool is_plus)
{
    struct value *a = &call->arguments[0], *b = &call->arguments[1];
    if (!a->is_null && !b->is_null && (a->type > TEMPLATE_TEXT || b->type > TEMPLATE_TEXT))
        return call_times(compiler, call, is_plus);
    if (!compile_same_types(compiler, call->node, a, b))
        return (struct value){0};
    if (!is_number(*a))
        return refuse_type(compiler, call, 0, "a number");
    if (a->type == TEMPLATE_FLOAT)
        return step_of(compiler, call, is_plus ? STEP_ADD_F : STEP_SUBTRACT_F, TEMPLATE_FLOAT, 0);
    return step_of(compiler, call, is_plus ? STEP_ADD : STEP_SUBTRACT, TEMPLATE_EXACT, a->scale);
}

static bool both_numbers(struct compiler *compiler, struct call *call)
{
    struct value *a = &call->arguments[0], *b = &call->arguments[1];
    *a = compile_null_as(compiler, call->node, *a, *b);
    *b = compile_null_as(compiler, call->node, *b, *a);
    for (uint32_t i = 0; i < 2; i++)
        if (compiler->lexer->fault == FAULT_NONE && !is_number(call->arguments[i]))
            refuse_type(compiler, call, i, "a number");
    if (compiler->lexer->fault == FAULT_NONE && a->type != b->type)
        compile_same_types(compiler, call->node, a, b); /* says what to do */
    return compiler->lexer->fault == FAULT_NONE;
}

static struct value call_times_over(struct compiler *compiler, struct call *call, bool is_times)
{
    if (!both_numbers(compiler, call))
        return (struct value){0};
    struct value *a = &call->arguments[0], *b = &call->arguments[1];
    if (a->type == TEMPLATE_FLOAT)
        return step_of(compiler, call, is_times ? STEP_MULTIPLY_F : STEP_DIVIDE_F, TEMPLATE_FLOAT, 0);
    if (is_times) {
        if (a->scale + b->scale > TEMPLATE_SCALE_MAX)
            return compile_refuse(compiler, call->node, "a product of %d decimal places, at most %d are kept: round one side",
                                  a->scale + b->scale, (int)TEMPLATE_SCALE_MAX);
        return step_of(compiler, call, STEP_MULTIPLY, TEMPLATE_EXACT, (uint8_t)(a->scale + b->scale));
    }
    for (uint32_t i = 0; i < 2; i++) {
        struct step step = {.op = STEP_TO_FLOAT, .a = call->arguments[i].reg, .exact = template_power(call->arguments[i].scale)};
        call->arguments[i] = compile_step(compiler, call->node, step, TEMPLATE_FLOAT, 0);
    }
    return step_of(compiler, call, STEP_DIVIDE_F, TEMPLATE_FLOAT, 0);
}

static struct value call_one_number(struct compiler *compiler, const struct call *call, enum step_op exact, enum step_op real)
{
    struct value value = call->arguments[0];
    if (exact == STEP_NEGATE && is_type(value, TEMPLATE_DURATION))
        return step_of(compiler, call, STEP_NEGATE, TEMPLATE_DURATION, 0);
    if (!is_number(value))
        return refuse_type(compiler, call, 0, "a number");
    return step_of(compiler, call, value.type == TEMPLATE_FLOAT ? real : exact, value.type, value.scale);
}

static struct value call_double(struct compiler *compiler, struct call *call)
{
    call->arguments[1] = call->arguments[0];
    call->nodes[1] = call->nodes[0];
    call->count = 2;
    if (!is_number(call->arguments[0]))
        return refuse_type(compiler, call, 0, "a number");
    return call_sum(compiler, call, true);
}

static struct value call_extreme(struct compiler *compiler, const struct call *call, bool is_min)
{
    struct value best = call->arguments[0];
    for (uint32_t i = 1; i < call->count; i++) {
        struct value other = call->arguments[i];
        if (!compile_same_types(compiler, call->nodes[i], &best, &other))
            return (struct value){0};
        if (best.type == TEMPLATE_TEXT || best.type == TEMPLATE_BOOL)
            return refuse_type(compiler, call, i, "something that has an order");
        bool is_float = best.type == TEMPLATE_FLOAT;
        struct step step = {
            .op = is_min ? (is_float ? STEP_MIN_F : STEP_MIN) : (is_float ? STEP_MAX_F : STEP_MAX), .a = best.reg, .b = other.reg};
        best = compile_step(compiler, call->node, step, best.type, best.scale);
    }
    return best;
}

static struct value call_round(struct compiler *compiler, const struct call *call)
{
    const struct node *places = call->nodes[1];
    struct value value = call->arguments[0];
    if (!is_number(value))
        return refuse_type(compiler, call, 0, "a number");
    if (places->kind != NODE_EXACT || places->scale || places->exact < 0 || places->exact > TEMPLATE_SCALE_MAX)
        return compile_refuse(compiler, places, "places are written as a number from 0 to %d", (int)TEMPLATE_SCALE_MAX);
    uint8_t scale = (uint8_t)places->exact;
    if (value.type == TEMPLATE_EXACT && scale >= value.scale)
        return compile_scaled(compiler, call->node, value, scale);
    bool is_float = value.type == TEMPLATE_FLOAT;
    struct step step = {.op = is_float ? STEP_ROUND_F : STEP_ROUND,
                        .a = value.reg,
                        .exact = template_power(is_float ? scale : (unsigned)(value.scale - scale))};
    return compile_step(compiler, call->node, step, TEMPLATE_EXACT, scale);
}

static struct value call_whole(struct compiler *compiler, const struct call *call, bool is_floor)
{
    struct value value = call->arguments[0];
    if (!is_number(value))
        return refuse_type(compiler, call, 0, "a number");
    struct step step = {.op = is_floor ? STEP_FLOOR : STEP_CEILING, .a = value.reg, .exact = template_power(value.scale)};
    if (value.type == TEMPLATE_FLOAT)
        step.op = is_floor ? STEP_FLOOR_F : STEP_CEILING_F;
    return compile_step(compiler, call->node, step, TEMPLATE_EXACT, 0);
}

static struct value call_default(struct compiler *compiler, struct call *call)
{
    if (!compile_same_types(compiler, call->node, &call->arguments[0], &call->arguments[1]))
        return (struct value){0};
    struct step step = {.op = STEP_DEFAULT, .a = call->arguments[0].reg, .b = call->arguments[1].reg, .index = call->arguments[0].type};
    return compile_step(compiler, call->node, step, call->arguments[0].type, call->arguments[0].scale);
}

static struct value call_texts(struct compiler *compiler, const struct call *call, enum step_op op, enum template_type type)
{
    for (uint32_t i = 0; i < call->count; i++)
        if (!is_type(call->arguments[i], TEMPLATE_TEXT))
            return refuse_type(compiler, call, i, "a text");
    return step_of(compiler, call, op, type, 0);
}

static struct value call_lookup(struct compiler *compiler, const struct node *node)
{
    const struct node *name = &compiler->tree->nodes[node->child];
    const struct template_schema *schema = compiler->schema;
    uint32_t index = 0;
    if (name->kind != NODE_NAME && name->kind != NODE_TEXT)
        return compile_refuse(compiler, name, "the name of a table wanted");
    while (index < schema->table_count && !text_equal(name->text, text_of(schema->tables[index].name)))
        index++;
    if (index == schema->table_count)
        return compile_refuse(compiler, name, "no table %.*s", (int)name->text.bytes, name->text.data);
    const struct template_table *table = &schema->tables[index];
    struct value key = compile_node(compiler, name->next);
    if (compiler->lexer->fault != FAULT_NONE)
        return key;
    if (!is_type(key, table->key_type) || key.scale != 0)
        return compile_refuse(compiler, &compiler->tree->nodes[name->next], "%s looks for %s, this is %s", table->name,
                              table->key_type == TEMPLATE_TEXT ? "a text" : "an int", compile_type_name(key));
    struct step step = {.op = STEP_LOOKUP, .a = key.reg, .index = index};
    return compile_step(compiler, node, step, table->value_type, table->value_scale);
}

/* YYYY-MM-DD, or with THH:MM:SS, as a number of microseconds. */
static struct value call_date(struct compiler *compiler, const struct node *node)
{
    const struct node *text = &compiler->tree->nodes[node->child];
    int64_t time_us;
    if (text->kind != NODE_TEXT || !template_date_read(&time_us, text->text))
        return compile_refuse(compiler, text, "a date as it stands in \"2026-01-31\" or \"2026-01-31T08:30:00\" wanted");
    return compile_integer(compiler, node, TEMPLATE_TIME, time_us);
}

static struct value call_time_part(struct compiler *compiler, const struct call *call, enum function function)
{
    static const enum step_op ops[] = {[FUNCTION_year - FUNCTION_year] = STEP_YEAR,
                                       [FUNCTION_month - FUNCTION_year] = STEP_MONTH,
                                       [FUNCTION_day - FUNCTION_year] = STEP_DAY,
                                       [FUNCTION_weekday - FUNCTION_year] = STEP_WEEKDAY,
                                       [FUNCTION_hour - FUNCTION_year] = STEP_HOUR};
    if (!is_type(call->arguments[0], TEMPLATE_TIME))
        return refuse_type(compiler, call, 0, "a time");
    return step_of(compiler, call, ops[function - FUNCTION_year], TEMPLATE_EXACT, 0);
}

static struct value call_duration(struct compiler *compiler, const struct call *call, int64_t unit_us, bool is_from)
{
    struct value value = call->arguments[0];
    if (is_from ? !is_type(value, TEMPLATE_DURATION) : !(is_type(value, TEMPLATE_EXACT) && value.scale == 0))
        return refuse_type(compiler, call, 0, is_from ? "a duration" : "an int");
    struct step step = {.op = is_from ? STEP_DIVIDE_WHOLE : STEP_SCALE, .a = value.reg, .exact = unit_us};
    return compile_step(compiler, call->node, step, is_from ? TEMPLATE_EXACT : TEMPLATE_DURATION, 0);
}

static struct value call_float(struct compiler *compiler, const struct call *call)
{
    if (!is_type(call->arguments[0], TEMPLATE_EXACT))
        return refuse_type(compiler, call, 0, "an int or a decimal");
    struct step step = {.op = STEP_TO_FLOAT, .a = call->arguments[0].reg, .exact = template_power(call->arguments[0].scale)};
    return compile_step(compiler, call->node, step, TEMPLATE_FLOAT, 0);
}

static struct value call_of(struct compiler *compiler, struct call *call)
{
    enum function function = call->node->function;
    switch (function) {
    case FUNCTION_or:
    case FUNCTION_and:
    case FUNCTION_nand:
    case FUNCTION_not:
        return call_logic(compiler, call, function);
    case FUNCTION_equal:
    case FUNCTION_unequal:
    case FUNCTION_less:
    case FUNCTION_least:
    case FUNCTION_more:
    case FUNCTION_most:
        return call_comparison(compiler, call, function);
    case FUNCTION_plus:
    case FUNCTION_minus:
        return call_sum(compiler, call, function == FUNCTION_plus);
    case FUNCTION_times:
    case FUNCTION_over:
        return call_times_over(compiler, call, function == FUNCTION_times);
    case FUNCTION_negative:
        return call_one_number(compiler, call, STEP_NEGATE, STEP_NEGATE_F);
    case FUNCTION_abs:
        return call_one_number(compiler, call, STEP_ABS, STEP_ABS_F);
    case FUNCTION_double:
        return call_double(compiler, call);
    case FUNCTION_min:
    case FUNCTION_max:
        return call_extreme(compiler, call, function == FUNCTION_min);
    case FUNCTION_round:
        return call_round(compiler, call);
    case FUNCTION_floor:
    case FUNCTION_ceil:
        return call_whole(compiler, call, function == FUNCTION_floor);
    case FUNCTION_float:
        return call_float(compiler, call);
    case FUNCTION_default:
        return call_default(compiler, call);
    case FUNCTION_starts_with:
        return call_texts(compiler, call, STEP_STARTS, TEMPLATE_BOOL);
    case FUNCTION_ends_with:
        return call_texts(compiler, call, STEP_ENDS, TEMPLATE_BOOL);
    case FUNCTION_length:
        return call_texts(compiler, call, STEP_LENGTH, TEMPLATE_EXACT);
    case FUNCTION_year:
    case FUNCTION_month:
    case FUNCTION_day:
    case FUNCTION_weekday:
    case FUNCTION_hour:
        return call_time_part(compiler, call, function);
    case FUNCTION_days:
        return call_duration(compiler, call, US_PER_DAY, false);
    case FUNCTION_hours:
        return call_duration(compiler, call, 3600 * US_PER_SECOND, false);
    case FUNCTION_minutes:
        return call_duration(compiler, call, 60 * US_PER_SECOND, false);
    case FUNCTION_seconds:
        return call_duration(compiler, call, US_PER_SECOND, false);
    case FUNCTION_in_days:
        return call_duration(compiler, call, US_PER_DAY, true);
    case FUNCTION_in_seconds:
        return call_duration(compiler, call, US_PER_SECOND, true);
    default:
        return (struct value){0};
    }
}

struct value compile_call(struct compiler *compiler, const struct node *node)
{
    struct call call = {.node = node};
    if (node->function == FUNCTION_lookup)
        return call_lookup(compiler, node);
    if (node->function == FUNCTION_date)
        return call_date(compiler, node);
    for (uint16_t child = node->child; child; child = compiler->tree->nodes[child].next) {
        call.nodes[call.count] = &compiler->tree->nodes[child];
        call.arguments[call.count++] = compile_node(compiler, child);
        if (compiler->lexer->fault != FAULT_NONE)
            return (struct value){0};
    }
    return call_of(compiler, &call);
}
