#ifndef SLUICE_PIPELINE_RULES_H
#define SLUICE_PIPELINE_RULES_H

#include <stdatomic.h>

#include "history/history.h"
#include "intake/template.h"
#include "verdict/verdict.h"

/* Rules of a tenant's own: conditions in the template language over what is known of a row when it has its scores. They raise its
 * level or force its verdict; verdict/ says what comes before what. Immutable and counted, so that epochs share them. */

enum { TENANT_RULES_MAX = 64, RULES_MAX = 255 /* of a configuration: a row's rule is a byte */, RULE_COLUMNS_MAX = 64 };
enum { RULES_STEPS_MAX = 4096 }; /* of a tenant's together: what a slice costs is bounded */

struct tenant_rule {
    char name[64], risk_type[64];
    uint8_t verdict;  /* + 1; 0: it raises */
    enum level level; /* to which it raises */
    struct template_program *when;
};

/* Where a column of the conditions' schema comes from. */
enum rule_source { RULE_KNOWN, RULE_OWN, RULE_FIGURE, RULE_SCORE };
struct rule_input {
    enum rule_source source;
    uint16_t index; /* column, figure or score */
};

struct tenant_rules {
    atomic_uint users;
    uint32_t count, first_number, column_count;
    struct tenant_rule rules[TENANT_RULES_MAX];
    struct template_column columns[TEMPLATE_COLUMNS_MAX];
    struct rule_input inputs[TEMPLATE_COLUMNS_MAX];
    bool is_read[TEMPLATE_COLUMNS_MAX]; /* by a rule at least */
    size_t scratch_bytes;
};

/* What conditions may speak of: Sluice's columns of transfers, history's figures, scores; and own, which must have other names. */
enum fault rules_schema(struct tenant_rules *rules, const struct template_column *own, uint32_t own_count, struct fault_note *note);
size_t rules_scratch_bytes(const struct tenant_rules *rules);
void rules_close(struct tenant_rules **rules_p); /* the last one frees it; safe on NULL */

struct rules_judging { /* of one slice */
    const struct tenant_rules *rules;
    const struct figures *figures; /* NULL: none are known */
    const char *const *scenes;
    uint32_t scene_count;
    const struct kernels *kernels;
    void *scratch; /* scratch_bytes, 64-byte aligned */
};
/* context: struct rules_judging; as struct decide_input asks. */
void rules_judge(void *context, struct rules_met *out, const struct batch *batch, uint32_t first, uint32_t count);

#endif
