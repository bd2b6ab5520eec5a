#ifndef SLUICE_INTAKE_TEMPLATE_COMPILE_H
#define SLUICE_INTAKE_TEMPLATE_COMPILE_H

#include "intake/template_internal.h"

/* What compiling keeps while it runs. Register 0 is none: a value without a register is null (is_null) or a failure that the
 * lexer's fault tells. */

enum { CONSTANTS_MAX = 2048, LISTS_MAX = 256, TABLES_MAX = 64, COMPILE_DEPTH_MAX = 512 };

struct value {
    uint16_t reg;
    bool is_null; /* the word null: its type comes from what it stands beside */
    enum template_type type;
    uint8_t scale;
};

struct compiler {
    struct lexer *lexer; /* for its fault and note */
    const struct tree *tree;
    const struct template_schema *schema;
    struct template_program *program;
    struct step *steps;
    struct constant *constants;
    bool is_text[REGISTERS_MAX];
    struct value loaded[TEMPLATE_COLUMNS_MAX], made[TEMPLATE_COLUMNS_MAX], it;
    uint32_t step_count, constant_count, depth;
    uint16_t register_count;
    bool is_condition;
};

void compile_statements(struct compiler *compiler);
struct value compile_node(struct compiler *compiler, uint16_t index);
struct value compile_call(struct compiler *compiler, const struct node *node);

struct value compile_step(struct compiler *compiler, const struct node *at, struct step step, enum template_type type, uint8_t scale);
struct value compile_integer(struct compiler *compiler, const struct node *at, enum template_type type, int64_t exact);
struct value compile_null_as(struct compiler *compiler, const struct node *at, struct value value, struct value other);
struct value compile_scaled(struct compiler *compiler, const struct node *at, struct value value, uint8_t scale); /* to more places */
bool compile_same_types(struct compiler *compiler, const struct node *at, struct value *a, struct value *b);      /* and scales */
struct value compile_refuse(struct compiler *compiler, const struct node *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const char *compile_type_name(struct value value); /* "a text" */
int64_t template_power(unsigned places);           /* of ten */

#endif
