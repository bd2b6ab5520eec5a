#ifndef SLUICE_INTAKE_TEMPLATE_H
#define SLUICE_INTAKE_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "batch/batch.h"
#include "kernels.h"

/* The language of fill logic (docs/templates.md): a text is compiled once into a program over columns and then run on any
 * number of batches, a chunk of rows at a time. A program is immutable: any thread may run it, each with its own scratch.
 * Numbers are exact (int64, decimals as int64 with a scale) or floats; what does not fit, and division by zero, gives null
 * and a failure of that row, never a wrong number. */

enum template_type { TEMPLATE_EXACT, TEMPLATE_FLOAT, TEMPLATE_BOOL, TEMPLATE_TEXT, TEMPLATE_TIME, TEMPLATE_DURATION, TEMPLATE_TYPE_COUNT };
extern const char *const template_type_names[TEMPLATE_TYPE_COUNT]; /* "number", "float", ... */
enum { TEMPLATE_SCALE_MAX = 9, TEMPLATE_CHUNK = 1024, TEMPLATE_NAME_MAX = 63, TEMPLATE_TEXT_MAX = 1 << 16, TEMPLATE_COLUMNS_MAX = 256 };

struct template_column {
    char name[TEMPLATE_NAME_MAX + 1];
    enum template_type type;
    uint8_t scale; /* of an exact number: 2 for 12.50 kept as 1250; 0: an int */
};

/* A lookup table: keys are text or exact numbers of scale 0; borrowed by the program. */
struct template_table {
    const char *name;
    enum template_type key_type, value_type; /* key: text or exact; value: exact, float, bool or text */
    uint8_t value_scale;
    uint32_t count;
    const struct text *text_keys; /* ascending as template_text_order says, without a repeat; or */
    const int64_t *exact_keys;    /* ascending, without a repeat */
    const int64_t *exacts;        /* values of exact, time and bool (0, 1) */
    const double *floats;
    const struct text *texts;
};
int template_text_order(struct text a, struct text b); /* by bytes count, then by bytes: < 0, 0, > 0 */

struct template_schema {
    const struct template_column *columns;
    uint32_t column_count;
    const struct template_table *tables;
    uint32_t table_count;
};

struct template_program;

/* source and line: where the text begins, for the errors: "profile.yaml:12:7: amount is a number and memo a text". FAULT_syntax
 * for what cannot be read, FAULT_schema for types and names, FAULT_limit, FAULT_memory. */
enum fault template_open(struct template_program **out, const char *source, unsigned line, const char *text, size_t bytes,
                         const struct template_schema *schema, struct fault_note *note);
/* One expression that is true or false, without a name: its output is a bool. */
enum fault template_open_condition(struct template_program **out, const char *source, unsigned line, const char *text, size_t bytes,
                                   const struct template_schema *schema, struct fault_note *note);
bool template_reads(const struct template_program *program, uint32_t column); /* of its schema */
uint32_t template_step_count(const struct template_program *program);         /* what a chunk costs */
void template_close(struct template_program **program_p);

/* Columns that it makes, in the order in which they are first assigned. */
uint32_t template_output_count(const struct template_program *program);
const struct template_column *template_output(const struct template_program *program, uint32_t index);
size_t template_scratch_bytes(const struct template_program *program);

/* Cells of one made column; all arrays have room for the rows rounded up to TEMPLATE_CHUNK, 8-byte aligned. Only the array of the
 * column's type is used; the others may be NULL. */
struct template_cells {
    int64_t *exacts; /* exact, time, duration */
    double *floats;
    struct text *texts; /* views into the batch, the program or its tables */
    uint64_t *bools;    /* bits, LSB first */
    uint64_t *valid;    /* bits, LSB first */
};

enum template_failure { TEMPLATE_OVERFLOW, TEMPLATE_BY_ZERO, TEMPLATE_FAILURE_COUNT };
extern const char *const template_failure_names[TEMPLATE_FAILURE_COUNT]; /* "does not fit", "division by zero" */

/* Called for each cell that became null because it could not be computed, by output and then by row inside a chunk. */
typedef void template_failed_fn(void *context, uint32_t output, uint32_t row, enum template_failure failure);

/* columns: those of the schema, in its order, row_count rows each; one that is absent or of another form is null throughout. A bool
 * comes as i64, where anything but 0 is true. scratch: template_scratch_bytes, 64-byte aligned. */
void template_run(const struct template_program *program, const struct column *const *columns, uint32_t row_count,
                  struct template_cells *outputs, void *scratch, const struct kernels *kernels, template_failed_fn *failed, void *context);

#endif
