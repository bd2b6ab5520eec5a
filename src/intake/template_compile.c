/* Tree → steps. Every value lives in its own register; when all is known, registers whose values do not live at the same time
 * share a slot of the scratch. Types are settled here: a step knows what its cells are. */
#include "intake/template_compile.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"

const char *const template_type_names[TEMPLATE_TYPE_COUNT] = {"number", "float", "bool", "text", "time", "duration"};
static const int64_t powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};

int64_t template_power(unsigned places)
{
    MUST(places <= TEMPLATE_SCALE_MAX);
    return powers[places];
}

struct value compile_refuse(struct compiler *compiler, const struct node *at, const char *format, ...)
{
    char text[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    lexer_refuse(compiler->lexer, FAULT_schema, at->line, at->column, "%s", text);
    return (struct value){0};
}

const char *compile_type_name(struct value value)
{
    static const char *const decimals[] = {"an int",
                                           "a decimal of 1 place",
                                           "a decimal of 2 places",
                                           "a decimal of 3 places",
                                           "a decimal of 4 places",
                                           "a decimal of 5 places",
                                           "a decimal of 6 places",
                                           "a decimal of 7 places",
                                           "a decimal of 8 places",
                                           "a decimal of 9 places"};
    static const char *const others[] = {"", "a float", "a bool", "a text", "a time", "a duration"};
    return value.is_null ? "null" : value.type == TEMPLATE_EXACT ? decimals[value.scale] : others[value.type];
}

static bool has_room(struct compiler *compiler, const struct node *at, uint32_t count, uint32_t most, const char *what)
{
    if (count < most)
        return true;
    lexer_refuse(compiler->lexer, FAULT_limit, at->line, at->column, "the program has more than %u %s", most, what);
    return false;
}

static struct value value_new(struct compiler *compiler, const struct node *at, enum template_type type, uint8_t scale)
{
    if (compiler->lexer->fault != FAULT_NONE || !has_room(compiler, at, compiler->register_count, REGISTERS_MAX, "values"))
        return (struct value){0};
    compiler->is_text[compiler->register_count] = type == TEMPLATE_TEXT;
    return (struct value){.reg = compiler->register_count++, .type = type, .scale = scale};
}

struct value compile_step(struct compiler *compiler, const struct node *at, struct step step, enum template_type type, uint8_t scale)
{
    struct value out = value_new(compiler, at, type, scale);
    if (!out.reg || !has_room(compiler, at, compiler->step_count, PROGRAM_STEPS_MAX, "steps"))
        return (struct value){0};
    step.out = out.reg;
    compiler->steps[compiler->step_count++] = step;
    return out;
}

static struct value compile_constant(struct compiler *compiler, const struct node *at, struct constant constant, uint8_t scale)
{
    struct value out = value_new(compiler, at, constant.type, scale);
    if (!out.reg || !has_room(compiler, at, compiler->constant_count, CONSTANTS_MAX, "constants"))
        return (struct value){0};
    constant.reg = out.reg;
    compiler->constants[compiler->constant_count++] = constant;
    return out;
}

struct value compile_integer(struct compiler *compiler, const struct node *at, enum template_type type, int64_t exact)
{
    return compile_constant(compiler, at, (struct constant){.type = type, .exact = exact}, 0);
}

/* null takes the type of what it stands beside. */
struct value compile_null_as(struct compiler *compiler, const struct node *at, struct value value, struct value other)
{
    if (!value.is_null)
        return value;
    if (other.is_null)
        return compile_refuse(compiler, at, "null on both sides has no type");
    return compile_constant(compiler, at, (struct constant){.type = other.type, .is_null = true}, other.scale);
}

struct value compile_scaled(struct compiler *compiler, const struct node *at, struct value value, uint8_t scale)
{
    if (value.scale == scale || !value.reg)
        return value;
    struct step step = {.op = STEP_SCALE, .a = value.reg, .exact = template_power((unsigned)(scale - value.scale))};
    return compile_step(compiler, at, step, TEMPLATE_EXACT, scale);
}

bool compile_same_types(struct compiler *compiler, const struct node *at, struct value *a, struct value *b)
{
    *a = compile_null_as(compiler, at, *a, *b);
    *b = compile_null_as(compiler, at, *b, *a);
    if (!a->reg || !b->reg)
        return false;
    if (a->type != b->type) {
        bool mixed = (a->type == TEMPLATE_EXACT && b->type == TEMPLATE_FLOAT) || (a->type == TEMPLATE_FLOAT && b->type == TEMPLATE_EXACT);
        compile_refuse(compiler, at, "%s and %s do not go together%s", compile_type_name(*a), compile_type_name(*b),
                       mixed ? ": say float(...) or round(..., places)" : "");
        return false;
    }
    if (a->type == TEMPLATE_EXACT) {
        uint8_t scale = a->scale > b->scale ? a->scale : b->scale;
        *a = compile_scaled(compiler, at, *a, scale);
        *b = compile_scaled(compiler, at, *b, scale);
    }
    return a->reg && b->reg;
}

/* --- parts of expressions ------------------------------------------------------------------------------------------- */

static struct value compile_column(struct compiler *compiler, const struct node *node, uint32_t index)
{
    const struct template_column *column = &compiler->program->inputs[index];
    if (!compiler->loaded[index].reg)
        compiler->loaded[index] = compile_step(compiler, node, (struct step){.op = STEP_LOAD, .index = index}, column->type, column->scale);
    return compiler->loaded[index];
}

static struct value compile_name(struct compiler *compiler, const struct node *node)
{
    const struct template_program *program = compiler->program;
    if (text_equal(node->text, text_of("it"))) {
        if (!compiler->it.reg)
            return compile_refuse(compiler, node, "it stands for a column only behind each ...:");
        return compiler->it;
    }
    for (uint32_t i = 0; i < program->output_count; i++)
        if (text_equal(node->text, text_of(program->outputs[i].name)))
            return compiler->made[i];
    for (uint32_t i = 0; i < program->input_count; i++)
        if (text_equal(node->text, text_of(program->inputs[i].name)))
            return compile_column(compiler, node, i);
    return compile_refuse(compiler, node, "no column %.*s", (int)node->text.bytes, node->text.data);
}

static struct value compile_choice(struct compiler *compiler, const struct node *node)
{
    const struct node *nodes = compiler->tree->nodes;
    uint16_t yes_node = nodes[node->child].next, no_node = nodes[yes_node].next;
    struct value condition = compile_node(compiler, node->child);
    struct value yes = compile_node(compiler, yes_node), no = compile_node(compiler, no_node);
    if (compiler->lexer->fault != FAULT_NONE)
        return (struct value){0};
    if (condition.is_null || condition.type != TEMPLATE_BOOL)
        return compile_refuse(compiler, &nodes[node->child], "a condition is a bool, not %s", compile_type_name(condition));
    if (!compile_same_types(compiler, node, &yes, &no))
        return (struct value){0};
    struct step step = {.op = STEP_CHOOSE, .a = condition.reg, .b = yes.reg, .c = no.reg, .index = yes.type};
    return compile_step(compiler, node, step, yes.type, yes.scale);
}

static int exact_order(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int text_order(const void *a, const void *b)
{
    return template_text_order(*(const struct text *)a, *(const struct text *)b);
}

static uint32_t list_size(const struct compiler *compiler, const struct node *node)
{
    uint32_t count = 0;
    for (uint16_t item = compiler->tree->nodes[node->child].next; item; item = compiler->tree->nodes[item].next)
        count++;
    return count;
}

/* An item that has more places than the column can never be in it. */
static bool list_add(struct compiler *compiler, struct list *list, const struct node *item, struct value value)
{
    bool is_text = item->kind == NODE_TEXT;
    if (is_text != (value.type == TEMPLATE_TEXT)) {
        compile_refuse(compiler, item, "a list for %s holds %s", compile_type_name(value), is_text ? "a text" : "a number");
        return false;
    }
    if (is_text) {
        list->texts[list->count++] = item->text;
        return true;
    }
    if (item->scale > value.scale && item->exact % powers[item->scale - value.scale] != 0) {
        compile_refuse(compiler, item, "%s is never a number of %u places", compile_type_name(value), item->scale);
        return false;
    }
    int64_t exact = item->exact;
    if (item->scale > value.scale)
        exact /= powers[item->scale - value.scale];
    else if (__builtin_mul_overflow(exact, powers[value.scale - item->scale], &exact))
        return true;
    list->exacts[list->count++] = exact;
    return true;
}

static struct value compile_in(struct compiler *compiler, const struct node *node)
{
    struct value value = compile_node(compiler, node->child);
    struct template_program *program = compiler->program;
    if (!value.reg && !value.is_null)
        return value;
    if (value.is_null || (value.type != TEMPLATE_EXACT && value.type != TEMPLATE_TEXT))
        return compile_refuse(compiler, node, "in looks for a number or a text, not for %s", compile_type_name(value));
    if (!has_room(compiler, node, program->list_count, LISTS_MAX, "lists"))
        return (struct value){0};
    uint32_t size = list_size(compiler, node);
    struct list *list = &program->lists[program->list_count];
    list->exacts = value.type == TEMPLATE_EXACT ? memory_take_zeroed(size, sizeof *list->exacts) : NULL;
    list->texts = value.type == TEMPLATE_TEXT ? memory_take_zeroed(size, sizeof *list->texts) : NULL;
    program->list_count++;
    if (!list->exacts && !list->texts) {
        lexer_refuse(compiler->lexer, FAULT_memory, node->line, node->column, "no memory for a list");
        return (struct value){0};
    }
    for (uint16_t item = compiler->tree->nodes[node->child].next; item; item = compiler->tree->nodes[item].next)
        if (!list_add(compiler, list, &compiler->tree->nodes[item], value))
            return (struct value){0};
    if (list->exacts)
        qsort(list->exacts, list->count, sizeof *list->exacts, exact_order);
    else
        qsort(list->texts, list->count, sizeof *list->texts, text_order);
    struct step step = {.op = list->exacts ? STEP_IN : STEP_IN_TEXT, .a = value.reg, .index = program->list_count - 1};
    return compile_step(compiler, node, step, TEMPLATE_BOOL, 0);
}

static struct value compile_is_null(struct compiler *compiler, const struct node *node)
{
    struct value value = compile_node(compiler, node->child);
    if (value.is_null)
        return compile_integer(compiler, node, TEMPLATE_BOOL, 1);
    return value.reg ? compile_step(compiler, node, (struct step){.op = STEP_IS_NULL, .a = value.reg}, TEMPLATE_BOOL, 0) : value;
}

static struct value compile_kind(struct compiler *compiler, const struct node *node)
{
    switch (node->kind) {
    case NODE_EXACT:
        return compile_constant(compiler, node, (struct constant){.type = TEMPLATE_EXACT, .exact = node->exact}, node->scale);
    case NODE_FLOAT:
        return compile_constant(compiler, node, (struct constant){.type = TEMPLATE_FLOAT, .real = node->real}, 0);
    case NODE_TEXT:
        return compile_constant(compiler, node, (struct constant){.type = TEMPLATE_TEXT, .text = node->text}, 0);
    case NODE_BOOL:
        return compile_integer(compiler, node, TEMPLATE_BOOL, node->exact);
    case NODE_NULL:
        return (struct value){.is_null = true};
    case NODE_NAME:
        return compile_name(compiler, node);
    case NODE_CALL:
        return compile_call(compiler, node);
    case NODE_IF:
        return compile_choice(compiler, node);
    case NODE_IN:
        return compile_in(compiler, node);
    case NODE_IS_NULL:
        return compile_is_null(compiler, node);
    }
    return (struct value){0};
}

struct value compile_node(struct compiler *compiler, uint16_t index)
{
    const struct node *node = &compiler->tree->nodes[index];
    if (compiler->lexer->fault != FAULT_NONE)
        return (struct value){0};
    if (++compiler->depth > COMPILE_DEPTH_MAX) {
        lexer_refuse(compiler->lexer, FAULT_limit, node->line, node->column, "an expression of more than %d parts in a row",
                     (int)COMPILE_DEPTH_MAX);
        return (struct value){0};
    }
    struct value value = compile_kind(compiler, node);
    compiler->depth--;
    return value;
}

/* --- statements ----------------------------------------------------------------------------------------------------- */

static void compile_assign(struct compiler *compiler, const struct statement *statement, struct text name, struct value value)
{
    struct template_program *program = compiler->program;
    const struct node at = {.line = statement->line, .column = statement->column};
    if (compiler->lexer->fault != FAULT_NONE)
        return;
    if (compiler->is_condition && (value.is_null || value.type != TEMPLATE_BOOL)) {
        compile_refuse(compiler, &at, "a condition is true or false, this is %s", compile_type_name(value));
        return;
    }
    if (value.is_null) {
        compile_refuse(compiler, &at, "%.*s is always null and has no type", (int)name.bytes, name.data);
        return;
    }
    uint32_t index = 0;
    while (index < program->output_count && !text_equal(name, text_of(program->outputs[index].name)))
        index++;
    if (index == program->output_count) {
        if (!has_room(compiler, &at, index, TEMPLATE_COLUMNS_MAX, "columns"))
            return;
        struct template_column *column = &program->outputs[program->output_count++];
        *column = (struct template_column){.type = value.type, .scale = value.scale};
        text_copy(column->name, sizeof column->name, name);
    } else if (program->outputs[index].type != value.type || program->outputs[index].scale != value.scale) {
        compile_refuse(compiler, &at, "%.*s is %s above and %s here", (int)name.bytes, name.data, compile_type_name(compiler->made[index]),
                       compile_type_name(value));
        return;
    }
    compiler->made[index] = value;
}

static bool is_of_kind(const struct template_column *column, enum each_kind kind)
{
    if (kind == EACH_NUMERIC)
        return column->type == TEMPLATE_EXACT || column->type == TEMPLATE_FLOAT;
    return column->type == (kind == EACH_TEXT ? TEMPLATE_TEXT : TEMPLATE_TIME);
}

/* The rule of all columns of a kind, as they are at this place. */
static void compile_each(struct compiler *compiler, const struct statement *statement)
{
    struct template_program *program = compiler->program;
    for (uint32_t i = 0; i < program->input_count && compiler->lexer->fault == FAULT_NONE; i++) {
        if (!is_of_kind(&program->inputs[i], statement->each))
            continue;
        struct text name = text_of(program->inputs[i].name);
        const struct node node = {.kind = NODE_NAME, .line = statement->line, .column = statement->column, .text = name};
        compiler->it = compile_name(compiler, &node);
        compile_assign(compiler, statement, name, compile_node(compiler, statement->node));
        compiler->it = (struct value){0};
    }
}

void compile_statements(struct compiler *compiler)
{
    const struct tree *tree = compiler->tree;
    for (uint32_t i = 0; i < tree->statement_count && compiler->lexer->fault == FAULT_NONE; i++) {
        const struct statement *statement = &tree->statements[i];
        if (statement->each != EACH_NONE)
            compile_each(compiler, statement);
        else
            compile_assign(compiler, statement, statement->name, compile_node(compiler, statement->node));
    }
    const struct node nowhere = {.line = 1, .column = 1};
    for (uint32_t i = 0; i < compiler->program->output_count && compiler->lexer->fault == FAULT_NONE; i++) {
        if (!has_room(compiler, &nowhere, compiler->step_count, PROGRAM_STEPS_MAX, "steps"))
            return;
        compiler->steps[compiler->step_count++] = (struct step){.op = STEP_STORE, .a = compiler->made[i].reg, .index = i};
    }
}
