#ifndef SLUICE_INTAKE_TEMPLATE_INTERNAL_H
#define SLUICE_INTAKE_TEMPLATE_INTERNAL_H

#include "intake/template.h"

/* Text → tokens → tree → steps over registers. */

enum token_kind { TOKEN_END, TOKEN_NAME, TOKEN_EXACT, TOKEN_FLOAT, TOKEN_TEXT, TOKEN_SYMBOL };

struct token {
    enum token_kind kind;
    unsigned line, column;
    struct text text; /* as written; of a text what is between the quotes, escapes unresolved */
    char symbol[3];   /* "==", "<=", "(", ... */
    int64_t exact;
    uint8_t scale;
    double real;
};

struct lexer {
    const char *source, *at, *end, *line_start;
    unsigned line;
    struct token token;
    struct fault_note *note;
    enum fault fault; /* the first; then every token is TOKEN_END */
};
void lexer_open(struct lexer *lexer, const char *source, unsigned line, const char *text, size_t bytes, struct fault_note *note);
void lexer_next(struct lexer *lexer);
enum fault lexer_refuse(struct lexer *lexer, enum fault fault, unsigned line, unsigned column, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

enum function {
#define FUNCTION(id, ...) FUNCTION_##id,
#include "intake/functions.tbl"
#undef FUNCTION
    FUNCTION_COUNT
};
struct function_about {
    const char *name;
    uint8_t least, most;
};
extern const struct function_about template_functions[FUNCTION_COUNT];

enum node_kind { NODE_EXACT, NODE_FLOAT, NODE_TEXT, NODE_BOOL, NODE_NULL, NODE_NAME, NODE_CALL, NODE_IF, NODE_IN, NODE_IS_NULL };

struct node {
    enum node_kind kind;
    enum function function;
    unsigned line, column;
    struct text text; /* of a name or a text */
    int64_t exact;
    double real;
    uint8_t scale;
    uint16_t child, next; /* nodes by index, 0: none */
};

enum each_kind { EACH_NONE, EACH_NUMERIC, EACH_TEXT, EACH_TIME };
struct statement {
    struct text name; /* of each: empty */
    enum each_kind each;
    unsigned line, column;
    uint16_t node;
};

enum { NODES_MAX = 8192, STATEMENTS_MAX = 256, DEPTH_MAX = 64, PROGRAM_STEPS_MAX = 16384, LIST_MAX = 1024 };

struct tree {
    struct node *nodes; /* nodes[0] is unused */
    uint32_t node_count;
    struct statement statements[STATEMENTS_MAX];
    uint32_t statement_count;
    char *texts; /* of literals, escapes resolved */
    size_t text_bytes;
};
enum fault template_parse(struct tree *out, struct lexer *lexer, bool is_condition); /* tree_fini in any case */
void tree_fini(struct tree *tree);

/* One operation over a chunk. Registers hold a chunk each. */
enum step_op {
    STEP_LOAD,  /* out ← input column index */
    STEP_STORE, /* output index ← a */
    STEP_ADD,
    STEP_SUBTRACT,
    STEP_MULTIPLY,
    STEP_NEGATE,
    STEP_ABS,
    STEP_SCALE,
    STEP_ROUND,
    STEP_FLOOR,
    STEP_CEILING,
    STEP_DIVIDE_WHOLE,
    STEP_MIN,
    STEP_MAX,
    STEP_TO_FLOAT,
    STEP_ADD_F,
    STEP_SUBTRACT_F,
    STEP_MULTIPLY_F,
    STEP_DIVIDE_F,
    STEP_NEGATE_F,
    STEP_ABS_F,
    STEP_ROUND_F,
    STEP_FLOOR_F,
    STEP_CEILING_F,
    STEP_MIN_F,
    STEP_MAX_F,
    STEP_LESS,
    STEP_LEAST,
    STEP_EQUAL,
    STEP_LESS_F,
    STEP_LEAST_F,
    STEP_EQUAL_F,
    STEP_EQUAL_TEXT,
    STEP_EQUAL_BOOL,
    STEP_AND,
    STEP_OR,
    STEP_NOT,
    STEP_IN,
    STEP_IN_TEXT,
    STEP_IS_NULL,
    STEP_CHOOSE,
    STEP_DEFAULT,
    STEP_STARTS,
    STEP_ENDS,
    STEP_LENGTH,
    STEP_LOOKUP,
    STEP_YEAR,
    STEP_MONTH,
    STEP_DAY,
    STEP_WEEKDAY,
    STEP_HOUR
};

struct step {
    enum step_op op;
    uint16_t out, a, b, c; /* registers; of load and store: index is the column */
    uint32_t index;        /* column, list, table */
    int64_t exact;         /* a power of ten, a divisor */
};

struct constant { /* a register that is filled once per run */
    uint16_t reg;
    enum template_type type;
    bool is_null;
    int64_t exact;
    double real;
    struct text text;
};

struct list { /* ascending, without repeats */
    uint32_t count;
    int64_t *exacts;
    struct text *texts;
};

enum { REGISTERS_MAX = 4096 };
struct template_program {
    unsigned magic;
    uint32_t step_count, constant_count, list_count, table_count, input_count, output_count;
    struct step *steps;
    struct constant *constants;
    struct list *lists;
    struct template_table *tables; /* copies of the headers; arrays are borrowed */
    struct template_column inputs[TEMPLATE_COLUMNS_MAX], outputs[TEMPLATE_COLUMNS_MAX];
    char *texts;     /* of literals */
    size_t *offsets; /* by register: where its lane lies in the scratch */
    size_t scratch_bytes;
};
enum { TEMPLATE_MAGIC = 0x7e391a7e };

enum { CHUNK_WORDS = TEMPLATE_CHUNK / 64 };

/* A chunk of cells. failed ⇒ not valid; rows behind the end are not valid. */
struct lane_head {
    uint64_t valid[CHUNK_WORDS], failed[TEMPLATE_FAILURE_COUNT][CHUNK_WORDS];
};
struct lane {
    struct lane_head head;
    union {
        int64_t exacts[TEMPLATE_CHUNK];
        double floats[TEMPLATE_CHUNK];
        uint64_t bools[CHUNK_WORDS];
    };
};
struct text_lane {
    struct lane_head head;
    struct text texts[TEMPLATE_CHUNK];
};

/* Microseconds since the epoch of "2026-01-31" or "2026-01-31T08:30:00"; false: it is neither. */
bool template_date_read(int64_t *out, struct text text);
struct civil {
    int64_t year;
    unsigned month, day, hour, weekday;
};
struct civil template_civil(int64_t time_us); /* any int64 */

#endif
