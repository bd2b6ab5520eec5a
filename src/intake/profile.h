#ifndef SLUICE_INTAKE_PROFILE_H
#define SLUICE_INTAKE_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "intake/template.h"

/* What the batches of one tenant and product look like (docs/profiles.md): wire columns become columns, their cells are
 * checked, and templates compute more of them. The way: take (convert, check, `fill`), then what associated systems
 * answer (ask), then finish (`post`). A profile is immutable and counted: any thread may use it. */

enum {
    PROFILE_COLUMNS_MAX = 64,
    PROFILE_OUTPUTS_MAX = 32, /* columns that its templates make */
    PROFILE_REQUIRE_MAX = 8,
    PROFILE_TABLES_MAX = 16,
    PROFILE_VALUES_MAX = 1024, /* of one_of, of one table */
    PROFILE_PATTERN_BYTES_MAX = 1024,
    PROFILE_ASKS_MAX = 4,    /* associated systems */
    PROFILE_ANSWERS_MAX = 8, /* columns of what one of them answers */
    PROFILE_ANSWER_BYTES_MAX = 64
};

/* A profile as it was written: every value still text, NULL where a key was left out. */
struct profile_column_plan {
    char *name, *from, *type, *unit, *places, *required, *least, *most, *pattern, *length_least, *length_most, *unique;
    char **one_of;
    uint32_t one_of_count;
    unsigned line;
};
struct profile_entry_plan {
    char *key, *value;
};
struct profile_table_plan {
    char *name, *key, *value; /* types */
    struct profile_entry_plan *entries;
    uint32_t entries_count;
    unsigned line;
};
struct profile_answer_plan {
    char *name, *from, *type, *unit, *places, *fallback;
    unsigned line;
};
struct profile_ask_plan {
    char *system, *key, *key_name, *silence, *mark;
    struct profile_answer_plan *fields;
    uint32_t fields_count;
    unsigned line;
};
struct profile_plan {
    char *name, *product, *fill, *post;
    char **require;
    struct profile_column_plan *columns;
    struct profile_table_plan *tables;
    struct profile_ask_plan *associated;
    uint32_t require_count, columns_count, tables_count, associated_count;
    const char *source; /* names the file in faults */
    unsigned fill_line, post_line, require_line;
};

struct profile;

/* FAULT_schema, FAULT_syntax "source:line: text": nothing half right is opened. */
enum fault profile_open(struct profile **out, const struct profile_plan *plan, struct fault_note *note);
struct profile *profile_hold(struct profile *profile);
void profile_close(struct profile **profile_p); /* the last one frees it; safe on NULL */

const char *profile_name(const struct profile *profile);
const char *profile_product(const struct profile *profile); /* "": the default one */
/* The one for the batch's product: what the first cell says that becomes product_code, or stands in a column `product`. NULL in *out:
 * there are no profiles; FAULT_schema: none fits. Rows of another product are told by profile_take and profile_part. */
enum fault profile_choose(const struct profile **out, struct profile *const *profiles, uint32_t count, const struct batch *batch,
                          struct fault_note *note);

/* Before profile_take, where the default one was chosen: rows that name a product with a profile of its own are invalid. Needs
 * batch_take_checks. */
void profile_part(struct batch *batch, const struct profile *chosen, struct profile *const *profiles, uint32_t count);

/* What take and finish may need of a batch's arena. */
size_t profile_arena_bytes(const struct profile *profile, uint32_t row_count);
/* Bytes of text that its computed columns may hold beside the message's own: of a recorded batch. */
size_t profile_text_bytes(const struct profile *profile, size_t message_bytes);

/* Needs batch_take_checks. FAULT_schema: the batch itself does not fit; what a row does wrong makes that row invalid. */
enum fault profile_take(struct batch *batch, const struct profile *profile, const struct kernels *kernels, struct fault_note *note);
enum fault profile_finish(struct batch *batch, const struct profile *profile, const struct kernels *kernels, struct fault_note *note);
bool profile_makes_last(const struct profile *profile, uint16_t column); /* a known column that finish makes */

/* Between take and finish: what is asked of associated systems (profile_ask.c). Texts are the profile's. */
enum profile_silence { PROFILE_HOLD, PROFILE_DEFAULTS, PROFILE_REFUSE, PROFILE_SILENCES };
enum profile_answer_type { PROFILE_ANSWER_TEXT, PROFILE_ANSWER_INT, PROFILE_ANSWER_REAL, PROFILE_ANSWER_ANY };
struct profile_ask {
    const char *system, *key, *key_name; /* key: column whose values are asked for; key_name: what the system calls it */
    enum profile_silence silence;
    uint32_t answer_count;
    struct profile_answer {
        const char *name; /* as the system calls it */
        enum profile_answer_type type;
        const char *fallback; /* NULL: none */
    } answers[PROFILE_ANSWERS_MAX];
};
enum profile_mark { PROFILE_ANSWERED, PROFILE_UNKNOWN, PROFILE_SILENT, PROFILE_MARKS };
extern const char *const profile_mark_names[PROFILE_MARKS]; /* cells of the mark's column */
uint32_t profile_ask_count(const struct profile *profile);
void profile_ask_of(struct profile_ask *out, const struct profile *profile, uint32_t index);
/* out: of each row; no bytes: it is invalid, or has no key. */
void profile_ask_keys(struct text *out, const struct batch *batch, const struct profile *profile, uint32_t index);
/* answers: one column for each, of i64, f64 or str, in the batch's arena; marks: an enum profile_mark for each row, likewise. */
enum fault profile_ask_take(struct batch *batch, const struct profile *profile, uint32_t index, const struct column *answers,
                            const uint8_t *marks, struct fault_note *note);

/* What its templates make, `fill` first: for those who show it. */
uint32_t profile_made_count(const struct profile *profile);
const struct template_column *profile_made(const struct profile *profile, uint32_t index);

#endif
