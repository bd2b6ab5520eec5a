/* Opening and closing of programs, and where their registers lie. */
#include "intake/template.h"

#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "intake/template_compile.h"

const char *const template_failure_names[TEMPLATE_FAILURE_COUNT] = {"does not fit", "division by zero"};

int template_text_order(struct text a, struct text b)
{
    if (a.bytes != b.bytes)
        return a.bytes < b.bytes ? -1 : 1;
    return a.bytes ? memcmp(a.data, b.data, a.bytes) : 0;
}

/* --- places of registers ------------------------------------------------------------------------------------------- */

struct places {
    uint32_t last_use[REGISTERS_MAX];
    uint32_t of[REGISTERS_MAX];      /* slot by register */
    uint32_t idle[2][REGISTERS_MAX]; /* slots that hold nothing, numbers and texts apart */
    uint32_t idle_count[2], slot_count;
    bool slot_is_text[REGISTERS_MAX];
};

static void place_take(struct places *places, const struct compiler *compiler, uint16_t reg)
{
    bool is_text = compiler->is_text[reg];
    uint32_t slot = places->idle_count[is_text] ? places->idle[is_text][--places->idle_count[is_text]] : places->slot_count++;
    places->slot_is_text[slot] = is_text;
    places->of[reg] = slot;
}

static void place_give(struct places *places, const struct compiler *compiler, uint16_t reg, uint32_t step)
{
    if (!reg || places->last_use[reg] != step)
        return;
    bool is_text = compiler->is_text[reg];
    places->idle[is_text][places->idle_count[is_text]++] = places->of[reg];
    places->last_use[reg] = UINT32_MAX; /* given */
}

/* A step's result never lies where one of its operands does. */
static void places_find(struct places *places, const struct compiler *compiler)
{
    for (uint32_t i = 0; i < compiler->step_count; i++) {
        const struct step *step = &compiler->steps[i];
        places->last_use[step->a] = places->last_use[step->b] = places->last_use[step->c] = i;
        places->last_use[step->out] = i;
    }
    for (uint32_t i = 0; i < compiler->constant_count; i++) {
        places->last_use[compiler->constants[i].reg] = UINT32_MAX;
        place_take(places, compiler, compiler->constants[i].reg);
    }
    for (uint32_t i = 0; i < compiler->step_count; i++) {
        const struct step *step = &compiler->steps[i];
        if (step->op != STEP_STORE)
            place_take(places, compiler, step->out);
        place_give(places, compiler, step->a, i);
        place_give(places, compiler, step->b, i);
        place_give(places, compiler, step->c, i);
        if (step->op != STEP_STORE)
            place_give(places, compiler, step->out, i);
    }
}

static bool program_place(struct template_program *program, const struct compiler *compiler)
{
    struct places *places = memory_take_zeroed(1, sizeof *places);
    size_t *starts = memory_take_zeroed(REGISTERS_MAX, sizeof *starts);
    program->offsets = memory_take_zeroed(compiler->register_count, sizeof *program->offsets);
    bool is_done = places && starts && program->offsets;
    if (is_done) {
        places_find(places, compiler);
        for (uint32_t i = 0; i < places->slot_count; i++) {
            starts[i] = program->scratch_bytes;
            program->scratch_bytes += places->slot_is_text[i] ? sizeof(struct text_lane) : sizeof(struct lane);
        }
        for (uint32_t i = 1; i < compiler->register_count; i++)
            program->offsets[i] = starts[places->of[i]];
    }
    memory_give(starts);
    memory_give(places);
    return is_done;
}

/* --- opening --------------------------------------------------------------------------------------------------------- */

static bool program_take(struct template_program *program, struct compiler *compiler, const struct template_schema *schema)
{
    program->steps = compiler->steps = memory_take_zeroed(PROGRAM_STEPS_MAX, sizeof *compiler->steps);
    program->constants = compiler->constants = memory_take_zeroed(CONSTANTS_MAX, sizeof *compiler->constants);
    program->lists = memory_take_zeroed(LISTS_MAX, sizeof *program->lists);
    program->tables = memory_take_zeroed(schema->table_count + 1, sizeof *program->tables);
    if (!compiler->steps || !compiler->constants || !program->lists || !program->tables)
        return false;
    program->input_count = schema->column_count;
    program->table_count = schema->table_count;
    memcpy(program->inputs, schema->columns, schema->column_count * sizeof *schema->columns);
    if (schema->table_count)
        memcpy(program->tables, schema->tables, schema->table_count * sizeof *schema->tables);
    compiler->register_count = 1;
    compiler->program = program;
    return true;
}

/* Room was taken for the longest program that may be. */
static void *shrunk(void *memory, size_t bytes)
{
    void *smaller = memory_resize(memory, bytes ? bytes : 1);
    return smaller ? smaller : memory;
}

static enum fault program_make(struct template_program *program, struct compiler *compiler, struct tree *tree, struct lexer *lexer)
{
    compiler->lexer = lexer;
    compiler->tree = tree;
    compile_statements(compiler);
    if (lexer->fault != FAULT_NONE)
        return lexer->fault;
    program->step_count = compiler->step_count;
    program->constant_count = compiler->constant_count;
    program->texts = tree->texts;
    tree->texts = NULL;
    program->steps = shrunk(program->steps, program->step_count * sizeof *program->steps);
    program->constants = shrunk(program->constants, program->constant_count * sizeof *program->constants);
    compiler->steps = program->steps;
    compiler->constants = program->constants;
    return program_place(program, compiler) ? FAULT_NONE : lexer_refuse(lexer, FAULT_memory, lexer->line, 1, "no memory for a template");
}

static enum fault program_open(struct template_program **out, const char *source, unsigned line, struct text text, bool is_condition,
                               const struct template_schema *schema, struct fault_note *note)
{
    struct lexer lexer;
    struct tree tree = {0};
    *out = NULL;
    MUST(schema->column_count <= TEMPLATE_COLUMNS_MAX);
    lexer_open(&lexer, source, line, text.data, text.bytes, note);
    struct template_program *program = memory_take_zeroed(1, sizeof *program);
    struct compiler *compiler = memory_take_zeroed(1, sizeof *compiler);
    if (program)
        program->magic = TEMPLATE_MAGIC;
    if (!program || !compiler)
        lexer_refuse(&lexer, FAULT_memory, line, 1, "no memory for a template");
    if (lexer.fault == FAULT_NONE && template_parse(&tree, &lexer, is_condition) == FAULT_NONE) {
        compiler->schema = schema;
        compiler->is_condition = is_condition;
        if (program_take(program, compiler, schema))
            program_make(program, compiler, &tree, &lexer);
        else
            lexer_refuse(&lexer, FAULT_memory, line, 1, "no memory for a template");
    }
    tree_fini(&tree);
    memory_give(compiler);
    if (lexer.fault == FAULT_NONE)
        *out = program;
    else
        template_close(&program);
    return lexer.fault;
}

enum fault template_open(struct template_program **out, const char *source, unsigned line, const char *text, size_t bytes,
                         const struct template_schema *schema, struct fault_note *note)
{
    return program_open(out, source, line, (struct text){.data = text, .bytes = (uint32_t)bytes}, false, schema, note);
}

enum fault template_open_condition(struct template_program **out, const char *source, unsigned line, const char *text, size_t bytes,
                                   const struct template_schema *schema, struct fault_note *note)
{
    return program_open(out, source, line, (struct text){.data = text, .bytes = (uint32_t)bytes}, true, schema, note);
}

bool template_reads(const struct template_program *program, uint32_t column)
{
    for (uint32_t i = 0; i < program->step_count; i++)
        if (program->steps[i].op == STEP_LOAD && program->steps[i].index == column)
            return true;
    return false;
}

uint32_t template_step_count(const struct template_program *program)
{
    return program->step_count;
}

void template_close(struct template_program **program_p)
{
    struct template_program *program = *program_p;
    *program_p = NULL;
    if (!program)
        return;
    MUST(program->magic == (unsigned)TEMPLATE_MAGIC);
    for (uint32_t i = 0; i < program->list_count; i++) {
        memory_give(program->lists[i].exacts);
        memory_give(program->lists[i].texts);
    }
    memory_give(program->lists);
    memory_give(program->tables);
    memory_give(program->steps);
    memory_give(program->constants);
    memory_give(program->texts);
    memory_give(program->offsets);
    memory_give(program);
}

uint32_t template_output_count(const struct template_program *program)
{
    return program->output_count;
}

const struct template_column *template_output(const struct template_program *program, uint32_t index)
{
    MUST(index < program->output_count);
    return &program->outputs[index];
}

size_t template_scratch_bytes(const struct template_program *program)
{
    return program->scratch_bytes ? program->scratch_bytes : 64;
}
