#ifndef SLUICE_INTAKE_PROFILE_INTERNAL_H
#define SLUICE_INTAKE_PROFILE_INTERNAL_H

#include <stdatomic.h>

#include "intake/profile.h"

enum { PROFILE_MAGIC = 0x9f0f11e5, WIRE_NAME_MAX = 128, ROWS_ALIGN = 64 };

enum cell_kind { CELL_INT, CELL_DECIMAL, CELL_FLOAT, CELL_BOOL, CELL_TEXT, CELL_TIME, CELL_KIND_COUNT };
enum cell_unit { UNIT_PLAIN, UNIT_MAJOR, UNIT_US, UNIT_MS, UNIT_S, UNIT_ISO, UNIT_COUNT };
extern const char *const cell_kind_names[CELL_KIND_COUNT];
extern const char *const cell_unit_names[UNIT_COUNT];

struct pattern;

struct rule_column {
    char name[TEMPLATE_NAME_MAX + 1], from[WIRE_NAME_MAX + 1];
    uint16_t known; /* COLUMN_NONE: one of the others */
    enum cell_kind kind;
    enum cell_unit unit;
    uint8_t places; /* of a decimal */
    bool required, unique, has_least, has_most, has_length;
    bool is_answer;      /* of an associated system: what cannot be converted is no fault of its row */
    int64_t least, most; /* not of floats */
    double least_real, most_real;
    uint32_t length_least, length_most; /* characters */
    int64_t *exacts;                    /* one_of, ascending */
    struct text *texts;
    uint32_t one_of_count;
    struct pattern *pattern;
};

struct made_column {
    struct template_column column;
    uint16_t known;
};

struct stage {                        /* one template and what it reads and makes */
    struct template_program *program; /* NULL: none */
    struct template_column inputs[TEMPLATE_COLUMNS_MAX];
    uint32_t input_count;
    struct made_column made[PROFILE_OUTPUTS_MAX];
    uint32_t made_count;
};

struct ask {
    char system[TEMPLATE_NAME_MAX + 1], key[TEMPLATE_NAME_MAX + 1], key_name[TEMPLATE_NAME_MAX + 1], mark[TEMPLATE_NAME_MAX + 1];
    enum profile_silence silence;
    uint32_t field_count;
    struct rule_column fields[PROFILE_ANSWERS_MAX]; /* from: <system>.<name>, the column of what came */
    char fallbacks[PROFILE_ANSWERS_MAX][PROFILE_ANSWER_BYTES_MAX + 1];
    bool has_fallback[PROFILE_ANSWERS_MAX];
};

struct profile {
    unsigned magic;
    atomic_uint users;
    char name[64], product[WIRE_NAME_MAX + 1];
    uint16_t required[PROFILE_REQUIRE_MAX];
    uint32_t required_count, column_count, table_count;
    struct rule_column columns[PROFILE_COLUMNS_MAX];
    struct template_table tables[PROFILE_TABLES_MAX];
    struct ask asks[PROFILE_ASKS_MAX];
    uint32_t ask_count;
    struct stage fill, post;
    size_t table_bytes; /* of all texts that a template may give, tables and constants */
    char *texts;        /* of one_of and tables */
    size_t texts_used;
};

/* profile_open.c */
struct opening {
    struct profile *profile;
    const struct profile_plan *plan;
    struct fault_note *note;
};
enum fault profile_wrong(const struct opening *opening, unsigned line, const char *format, ...) __attribute__((format(printf, 3, 4)));
enum fault profile_no_memory(const struct opening *opening);
int profile_choice(const char *text, const char *const *names, int count);
bool profile_text_is_clean(const char *text, size_t bytes_max);
bool profile_name_is_good(const char *name);
enum fault profile_rule_type(struct rule_column *out, const struct opening *opening, const struct profile_column_plan *plan);
struct template_column profile_input_of(const struct rule_column *rule);

/* profile_ask.c */
enum fault ask_open(const struct opening *opening, const struct profile_ask_plan *plan);
void ask_inputs(struct stage *stage, const struct ask *ask);
size_t ask_arena_bytes(const struct ask *ask, uint32_t row_count);

/* profile_cell.c: one text as a cell. false: it is none. */
bool cell_exact_read(int64_t *out, struct text text, unsigned places);
bool cell_real_read(double *out, struct text text);
bool cell_bool_read(int64_t *out, struct text text);
bool cell_time_read(int64_t *out, struct text text, enum cell_unit unit);
bool cell_scaled(int64_t *out, int64_t value, unsigned places);    /* × 10^places */
bool cell_real_exact(int64_t *out, double value, unsigned places); /* the decimal that the float was written as */
bool cell_read(int64_t *out, const struct rule_column *rule, struct text text, unsigned places); /* of any kind but float and text */
void cell_show(char *out, size_t out_bytes, const struct column *column, uint32_t row);

/* profile_pattern.c: the only user of PCRE2. */
enum { PATTERN_STEPS_MAX = 20000, PATTERN_MEMORY_KIB_MAX = 1024 };
/* *out_offset: where in the text it is wrong, *out_why what. */
enum fault pattern_open(struct pattern **out, const char *text, char *out_why, size_t why_bytes, size_t *out_offset);
void pattern_close(struct pattern **pattern_p);
struct pattern_work;                                                   /* of one thread */
struct pattern_work *pattern_work_take(const struct pattern *pattern); /* NULL: no memory */
void pattern_work_give(struct pattern_work **work_p);
enum pattern_result { PATTERN_FITS, PATTERN_DIFFERS, PATTERN_TAKES_LONG, PATTERN_TAKES_MEMORY };
enum pattern_result pattern_match(const struct pattern *pattern, struct pattern_work *work, struct text text); /* the whole of it */

/* profile_convert.c: wire columns become columns. */
enum fault convert_columns(struct batch *batch, const struct profile *profile, struct fault_note *note);
enum fault convert_column(struct batch *batch, const struct rule_column *rule, const struct profile *profile, struct fault_note *note);
size_t convert_arena_bytes(const struct rule_column *rule, uint32_t row_count);
uint16_t batch_place(const struct batch *batch, const char *name); /* of the column of that name; COLUMN_NONE: it is not there */
struct column *batch_at(struct batch *batch, uint16_t place);
enum fault batch_place_take(uint16_t *out, struct batch *batch, const char *name, struct fault_note *note); /* it, or a new one */
enum fault profile_arena_fault(const struct batch *batch, struct fault_note *note);

/* profile_check.c: their cells. */
enum fault check_cells(struct batch *batch, const struct profile *profile, struct fault_note *note);

/* profile_fill.c: templates. */
enum fault stage_run(struct batch *batch, const struct stage *stage, const struct kernels *kernels, struct fault_note *note);
size_t stage_arena_bytes(const struct stage *stage, uint32_t row_count);

#endif
