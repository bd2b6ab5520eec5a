#ifndef SLUICE_VERDICT_VERDICT_H
#define SLUICE_VERDICT_VERDICT_H

#include <pthread.h>

#include "base/fault.h"
#include "batch/batch.h"
#include "compute/device.h"
#include "scene/scene_base.h"

/* Pure: distances and anomaly → match → level → verdict, countermeasure, reasons. No clock, no state.
 *     e_s = bias_s − Σ_g weight_{s,g} · distance_{s,g}  (g in index order; a scene without clusters in g is skipped there)
 *     x_s = exp(e_s − e_0);  match_s = x_s / (1 + x_s);  risk = Σ x_s / (1 + Σ x_s) = 1 − softmax(e)_0
 * Evidence is summed in double in index order, its difference to the background's is kept in ±80 and rounded once to
 * float; exp is kernel_exp. Best and runner-up are the scenes of most evidence, ties to the lower index.
 *     anomaly = share of the base's reference table below the raw score */

/* From score to level, relative to the threshold T of scene or anomaly set: high ≥ T, critical ≥ T + (1 − T)·critical;
 * of a match low ≥ T·low, medium ≥ T·medium; of the calibrated anomaly, which is a share of normal rows, low and medium
 * begin where the tail above is 1/low and 1/medium times that above T: low ≥ 1 − (1 − T)/low. */
struct level_rules {
    float low, medium, critical;
    enum level anomaly_cap; /* the highest level that anomaly alone may raise */
    /* A tenant's classes: */
    uint8_t verdict_of[LEVEL_COUNT]; /* verdict + 1 of a level, in place of the strategy's; 0: the strategy's */
    enum level abnormal;             /* from this level on a result is abnormal; none: no result is */
};
#define LEVEL_RULES_DEFAULT ((struct level_rules){.low = 0.5f, .medium = 0.8f, .critical = 0.8f, .anomaly_cap = LEVEL_HIGH})

enum { RISK_TYPES_MAX = 64, COUNTERMEASURES_MAX = 64, STRATEGY_ROWS_MAX = 256, STRATEGY_UNSCORED = 4 };

/* The strategy table: risk type × level → verdict and countermeasure. First matching row wins; "*" matches any risk type.
 * Index 0 of both name lists is "none". */
struct strategy_row {
    uint8_t risk_type;      /* index, or STRATEGY_ANY */
    enum level level_least; /* applies from this level on */
    enum verdict verdict;
    uint8_t countermeasure;
    bool final;     /* may not be corrected and sent again */
    uint16_t place; /* in the table, as strategy_find gives it */
};
/* Reasons, exact. Raised by a scene: of every feature w_{0,g} · ½ ℓ (z − c)² of the background's nearest cluster minus
 * w_{s,g} · ½ ℓ (z − c)² of the scene's nearest, summed over its columns; these and the offsets and biases are e_s − e_0.
 * Raised by anomaly alone: the degree is the mean over segments of d_t, d_t² = Σ_j (z_j − c_tj)² to the nearest point, so
 * column j's share is the mean of (z_j − c_tj)² / d_t; the shares sum to the raw degree, up
 * to its rounding. Largest magnitude first. */

enum { STRATEGY_ANY = 255 };
struct strategy {
    uint32_t risk_type_count, countermeasure_count, row_count;
    char risk_types[RISK_TYPES_MAX][64];
    struct countermeasure {
        char name[64];
        char text[LANGUAGE_COUNT][160];
        char correct[256]; /* columns that may be corrected, with commas between; empty: any */
        char confirm[64];  /* who must confirm it; empty: nobody */
    } countermeasures[COUNTERMEASURES_MAX];
    struct strategy_row rows[STRATEGY_ROWS_MAX + STRATEGY_UNSCORED];
    uint8_t scene_risk_type[SCENES_MAX]; /* of the base's scenes, see strategy_bind */
    uint8_t risk_type_anomaly, risk_type_invalid;
    uint8_t risk_type_duplicate, risk_type_blocked, risk_type_restricted, risk_type_unanswered; /* 0 until strategy_complete */
};
/* Whether a row that got this countermeasure may come again with another value in that column. Who must not come again at all is
 * told by strategy_row's final. */
bool strategy_may_correct(const struct strategy *strategy, uint8_t countermeasure, struct text column);
/* Its name, then text in each language, correct and confirm, behind a STRATEGY_CUT each: as epochs and replies take it. */
enum { STRATEGY_CUT = 0x1f, COUNTERMEASURE_BYTES = sizeof(struct countermeasure) };
void countermeasure_join(char out[COUNTERMEASURE_BYTES], const struct countermeasure *countermeasure);
/* What the table says; verdict pass and countermeasure 0, behind all rows, when none applies. */
struct strategy_row strategy_find(const struct strategy *strategy, uint8_t risk_type, enum level level);
/* Of a risk type that is not scored: what the first row says that names it; rows of "*" speak of scores. */
struct strategy_row strategy_find_unscored(const struct strategy *strategy, uint8_t risk_type);
/* Built-in table: critical → reject "do_not_pay", high → hold "confirm_with_payer", invalid → "correct_and_resubmit", else pass;
 * once complete, duplicate → hold "check_for_duplicate", blocked → reject "do_not_pay_blocked", restricted → hold "ask_for_release". */
void strategy_default(struct strategy *out);
/* A built-in countermeasure of what is not scored, added with its text; COUNTERMEASURES_MAX: not one, or the list is full. */
uint32_t strategy_countermeasure_add(struct strategy *strategy, const char *name);
/* Its number; added when it is not there. FAULT_limit when the list is full. */
enum fault strategy_risk_type(uint8_t *out, struct strategy *strategy, const char *name, struct fault_note *note);
/* Adds the base's risk types to the list and fills scene_risk_type, then completes it. FAULT_limit when the list is full. */
enum fault strategy_bind(struct strategy *strategy, const struct scene_base *base, struct fault_note *note);
/* Adds what is not scored: risk types, countermeasures and rows behind all others, so that those keep their numbers. */
enum fault strategy_complete(struct strategy *strategy, struct fault_note *note);

float verdict_match(double difference); /* of a scene's evidence to the background's, as it is recorded */

/* A rule of a tenant's: it raises a level, or forces a verdict whatever the scores and the allow list say. */
struct decide_rule {
    uint8_t risk_type;
    uint8_t verdict;  /* + 1; 0: it raises */
    enum level level; /* to which it raises */
};
/* Which rules a row meets, by their numbers, 0: none: of those that raise the one to the highest level, of those that force the first. */
struct rules_met {
    uint8_t raising[SLICE_ROWS], forcing[SLICE_ROWS];
};

struct decide_scratch; /* one thread's */
size_t decide_scratch_bytes(void);

/* Rows [first, first + count) of the batch: every results array and one reason block of its slice (taken from the
 * arena under arena_lock: called once per slice with the rows that did not pass). base NULL: only checks decide. */
struct decide_input {
    const struct scene_base *base;
    const struct strategy *strategy;
    const struct level_rules *levels;
    const struct scores *scores;
    const struct feature_block *features;
    const struct kernels *kernels;   /* NULL: the reference; same bits */
    bool without_reasons;            /* the slice's block of reasons stays empty */
    const struct decide_rule *rules; /* by number; with judge */
    /* Called once all rows have their scores and what these make of them; NULL: the tenant has no rules. */
    void (*judge)(void *context, struct rules_met *out, const struct batch *batch, uint32_t first, uint32_t count);
    void *judge_context;
};
enum fault verdict_decide(struct batch *batch, uint32_t first, uint32_t count, const struct decide_input *in, void *scratch,
                          pthread_mutex_t *arena_lock, struct fault_note *note);

#endif
