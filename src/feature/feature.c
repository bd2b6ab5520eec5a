/* A feature is a recipe over columns: figures of history, figures of the batch, the transfer's own facts. Every step runs
 * over a whole column of the slice. A figure below zero is not known: the feature is then its unknown value. */
#include "feature/feature.h"

#include <string.h>

#include "base/must.h"

enum scope { ROW, BATCH };

const struct feature_info feature_infos[FEATURE_COUNT] = {
#define FEATURE(n, d, source_, target_, edge_, unit_, scope_, history_, unknown_, definition_) \
    [FEATURE_##n] = {#n, DIMENSION_##d, #source_, #target_, #edge_, unit_, definition_, scope_ == BATCH, history_, unknown_},
#include "feature/features.tbl"
#undef FEATURE
};

/* --- recipes -------------------------------------------------------------------------------------------------------- */

enum { /* inputs beside figures */
       INPUT_amount = FIGURE_COUNT,
#define IN_BATCH(name, text) INPUT_##name,
#include "feature/in_batch.tbl"
#undef IN_BATCH
       INPUT_COUNT,
       INPUT_BATCH = INPUT_amount + 1,
};

enum form {
    FORM_NONE,
    FORM_NIGHT,
    FORM_WEEKEND,
    FORM_HOUR_DISTANCE,
    FORM_ROUND,
    FORM_VALUE,    /* a */
    FORM_KNOWN,    /* 1 where a is known */
    FORM_LOG1P,    /* log1p(a - factor) */
    FORM_LOG_MEAN, /* log1p(a / max(b, 1)) */
    FORM_RATIO,    /* log((factor · a + 1) / (b + 1)) */
    FORM_TO_MEAN,  /* log((a + 1) / (b / c + 1)), not known where c is 0 */
    FORM_SHARE,    /* a / max(b, 1) */
};

struct recipe {
    enum form form;
    uint16_t a, b, c;
    float factor;
};

#define TIME_OF(form_) \
    { \
        .form = form_ \
    }
#define VALUE(a_) \
    { \
        .form = FORM_VALUE, .a = FIGURE_##a_ \
    }
#define KNOWN(a_) \
    { \
        .form = FORM_KNOWN, .a = FIGURE_##a_ \
    }
#define LOG1P(a_) \
    { \
        .form = FORM_LOG1P, .a = FIGURE_##a_ \
    }
#define LOG_BATCH(a_, less) \
    { \
        .form = FORM_LOG1P, .a = INPUT_##a_, .factor = less \
    }
#define LOG_MEAN(a_, b_) \
    { \
        .form = FORM_LOG_MEAN, .a = FIGURE_##a_, .b = FIGURE_##b_ \
    }
#define BURST(a_, b_) \
    { \
        .form = FORM_RATIO, .a = FIGURE_##a_, .b = FIGURE_##b_, .factor = 30.0f \
    }
#define RATIO(a_, b_) \
    { \
        .form = FORM_RATIO, .a = FIGURE_##a_, .b = FIGURE_##b_, .factor = 1.0f \
    }
#define AMOUNT_TO(b_) \
    { \
        .form = FORM_RATIO, .a = INPUT_amount, .b = FIGURE_##b_, .factor = 1.0f \
    }
#define AMOUNT_TO_MEAN(b_, c_) \
    { \
        .form = FORM_TO_MEAN, .a = INPUT_amount, .b = FIGURE_##b_, .c = FIGURE_##c_ \
    }
#define SHARE(a_, b_) \
    { \
        .form = FORM_SHARE, .a = FIGURE_##a_, .b = FIGURE_##b_ \
    }

static const struct recipe recipes[FEATURE_COUNT] = {
    [FEATURE_amount] = {.form = FORM_LOG1P, .a = INPUT_amount},
    [FEATURE_night] = TIME_OF(FORM_NIGHT),
    [FEATURE_weekend] = TIME_OF(FORM_WEEKEND),
    [FEATURE_hour_distance] = TIME_OF(FORM_HOUR_DISTANCE),
    [FEATURE_round_amount] = TIME_OF(FORM_ROUND),
    [FEATURE_amount_to_payer_mean] = AMOUNT_TO_MEAN(payer_out_sum_30d, payer_out_count_30d),
    [FEATURE_amount_to_payer_mean_7d] = AMOUNT_TO_MEAN(payer_out_sum_7d, payer_out_count_7d),
    [FEATURE_amount_to_payer_max] = AMOUNT_TO(payer_max_30d),
    [FEATURE_amount_to_payer_median] = AMOUNT_TO(payer_median),
    [FEATURE_amount_to_payee_mean] = AMOUNT_TO_MEAN(payee_in_sum_30d, payee_in_count_30d),
    [FEATURE_amount_to_payee_mean_7d] = AMOUNT_TO_MEAN(payee_in_sum_7d, payee_in_count_7d),
    [FEATURE_amount_to_payee_max] = AMOUNT_TO(payee_max_30d),
    [FEATURE_amount_to_pair_mean] = AMOUNT_TO_MEAN(pair_sum, pair_count),
    [FEATURE_pair_sum] = LOG1P(pair_sum),
    [FEATURE_amount_to_day_sum] = AMOUNT_TO(payer_out_sum_1d),
    [FEATURE_amount_to_received] = AMOUNT_TO(payer_in_sum_1d),
    [FEATURE_split_rows] = LOG_BATCH(split_rows, 1.0f),
    [FEATURE_split_sum] = LOG_BATCH(split_sum, 0.0f),
    [FEATURE_near_duplicates] = LOG_BATCH(near_duplicates, 0.0f),

    [FEATURE_payer_device_age] = LOG1P(payer_device_age),
    [FEATURE_payer_device_gap] = LOG1P(payer_device_gap),
    [FEATURE_payer_device_count] = LOG1P(payer_device_count),
    [FEATURE_payer_device_accounts] = LOG1P(payer_device_accounts),
    [FEATURE_payer_device_bad] = LOG1P(payer_device_bad),
    [FEATURE_payer_device_link_age] = LOG1P(payer_device_link_age),
    [FEATURE_payer_device_link_count] = LOG1P(payer_device_link_count),
    [FEATURE_payer_device_networks] = LOG1P(payer_device_networks),
    [FEATURE_payer_address_age] = LOG1P(payer_address_age),
    [FEATURE_payer_address_accounts] = LOG1P(payer_address_accounts),
    [FEATURE_payer_address_count] = LOG1P(payer_address_count),
    [FEATURE_payer_address_link_age] = LOG1P(payer_address_link_age),
    [FEATURE_payer_network_new] = VALUE(payer_network_new),
    [FEATURE_payer_network_change] = VALUE(payer_network_change),
    [FEATURE_payee_device_age] = LOG1P(payee_device_age),
    [FEATURE_payee_device_gap] = LOG1P(payee_device_gap),
    [FEATURE_payee_device_count] = LOG1P(payee_device_count),
    [FEATURE_payee_device_accounts] = LOG1P(payee_device_accounts),
    [FEATURE_payee_device_bad] = LOG1P(payee_device_bad),
    [FEATURE_payee_device_link_age] = LOG1P(payee_device_link_age),
    [FEATURE_payee_device_link_count] = LOG1P(payee_device_link_count),
    [FEATURE_payee_device_networks] = LOG1P(payee_device_networks),
    [FEATURE_payee_address_age] = LOG1P(payee_address_age),
    [FEATURE_payee_address_accounts] = LOG1P(payee_address_accounts),
    [FEATURE_payee_address_count] = LOG1P(payee_address_count),
    [FEATURE_payee_address_link_age] = LOG1P(payee_address_link_age),
    [FEATURE_payee_network_new] = VALUE(payee_network_new),
    [FEATURE_payee_network_change] = VALUE(payee_network_change),
    [FEATURE_shared_device] = VALUE(shared_device),
    [FEATURE_shared_address] = VALUE(shared_address),

    [FEATURE_payer_count_1d] = LOG1P(payer_out_count_1d),
    [FEATURE_payer_count_7d] = LOG1P(payer_out_count_7d),
    [FEATURE_payer_count_30d] = LOG1P(payer_out_count_30d),
    [FEATURE_payer_mean_1d] = LOG_MEAN(payer_out_sum_1d, payer_out_count_1d),
    [FEATURE_payer_mean_7d] = LOG_MEAN(payer_out_sum_7d, payer_out_count_7d),
    [FEATURE_payer_mean_30d] = LOG_MEAN(payer_out_sum_30d, payer_out_count_30d),
    [FEATURE_payer_burst] = BURST(payer_out_count_1d, payer_out_count_30d),
    [FEATURE_payer_sum_burst] = BURST(payer_out_sum_1d, payer_out_sum_30d),
    [FEATURE_payer_peers_1d] = LOG1P(payer_out_peers_1d),
    [FEATURE_payer_peers_30d] = LOG1P(payer_out_peers_30d),
    [FEATURE_payer_recent_jump] = RATIO(payer_recent_max, payer_median),
    [FEATURE_payer_out_gap] = LOG1P(payer_out_gap),
    [FEATURE_payer_age] = LOG1P(payer_age),
    [FEATURE_payer_changed] = LOG1P(payer_changed),
    [FEATURE_payer_in_sum_1d] = LOG1P(payer_in_sum_1d),
    [FEATURE_payer_in_peers_7d] = LOG1P(payer_in_peers_7d),
    [FEATURE_payer_in_gap] = LOG1P(payer_in_gap),
    [FEATURE_payer_risk_1d] = SHARE(payer_bad_1d, payer_known_1d),
    [FEATURE_payer_risk_7d] = SHARE(payer_bad_7d, payer_known_7d),
    [FEATURE_payer_risk_30d] = SHARE(payer_bad_30d, payer_known_30d),
    [FEATURE_payer_bad_gap] = LOG1P(payer_bad_gap),
    [FEATURE_payer_good_gap] = LOG1P(payer_good_gap),
    [FEATURE_payer_bad_since] = LOG1P(payer_bad_since),
    [FEATURE_payer_bad_run] = LOG1P(payer_bad_run),

    [FEATURE_payee_count_1d] = LOG1P(payee_in_count_1d),
    [FEATURE_payee_count_7d] = LOG1P(payee_in_count_7d),
    [FEATURE_payee_count_30d] = LOG1P(payee_in_count_30d),
    [FEATURE_payee_known_1d] = LOG1P(payee_known_1d),
    [FEATURE_payee_known_7d] = LOG1P(payee_known_7d),
    [FEATURE_payee_known_30d] = LOG1P(payee_known_30d),
    [FEATURE_payee_risk_1d] = SHARE(payee_bad_1d, payee_known_1d),
    [FEATURE_payee_risk_7d] = SHARE(payee_bad_7d, payee_known_7d),
    [FEATURE_payee_risk_30d] = SHARE(payee_bad_30d, payee_known_30d),
    [FEATURE_payee_bad_gap] = LOG1P(payee_bad_gap),
    [FEATURE_payee_good_gap] = LOG1P(payee_good_gap),
    [FEATURE_payee_bad_since] = LOG1P(payee_bad_since),
    [FEATURE_payee_bad_run] = LOG1P(payee_bad_run),
    [FEATURE_payee_peers_1d] = LOG1P(payee_in_peers_1d),
    [FEATURE_payee_peers_30d] = LOG1P(payee_in_peers_30d),
    [FEATURE_payee_burst] = BURST(payee_in_count_1d, payee_in_count_30d),
    [FEATURE_payee_out_gap] = LOG1P(payee_out_gap),
    [FEATURE_payee_age] = LOG1P(payee_age),
    [FEATURE_payee_changed] = LOG1P(payee_changed),
    [FEATURE_payee_out_sum_1d] = LOG1P(payee_out_sum_1d),
    [FEATURE_pair_count] = LOG1P(pair_count),
    [FEATURE_pair_gap] = LOG1P(pair_gap),
    [FEATURE_back_count] = LOG1P(back_count),
    [FEATURE_contact] = KNOWN(contact_age),
    [FEATURE_back_contact] = KNOWN(back_contact_age),
    [FEATURE_fan_in_payers] = LOG_BATCH(fan_in_payers, 1.0f),
    [FEATURE_fan_out_payees] = LOG_BATCH(fan_out_payees, 1.0f),
};

int feature_find(const char *name, size_t bytes)
{
    for (int i = 0; i < FEATURE_COUNT; i++)
        if (strlen(feature_infos[i].name) == bytes && memcmp(feature_infos[i].name, name, bytes) == 0)
            return i;
    return -1;
}

/* --- the transfer's own time and amount ----------------------------------------------------------------------------- */

#define DAY_US 86400000000LL

static float hour_of_day(int64_t time_us) /* 0 to below 24 */
{
    int64_t in_day_us = time_us % DAY_US;
    return (float)((in_day_us < 0 ? in_day_us + DAY_US : in_day_us) / 1000000) / 3600.0f;
}

static bool is_weekend(int64_t time_us)
{
    int64_t day = time_us / DAY_US - (time_us % DAY_US < 0), weekday = (day + 3) % 7; /* day 0 was a Thursday */
    return (weekday < 0 ? weekday + 7 : weekday) >= 5;
}

static float hour_distance(float hour)
{
    float away = hour > 14.0f ? hour - 14.0f : 14.0f - hour;
    return away > 12.0f ? 24.0f - away : away;
}

static float trailing_zeros(int64_t amount)
{
    float zeros = 0.0f;
    for (; amount > 0 && amount % 10 == 0 && zeros < 6.0f; amount /= 10)
        zeros += 1.0f;
    return zeros;
}

static float own_value(enum form form, int64_t time_us, int64_t amount)
{
    switch (form) {
    case FORM_NIGHT:
        return hour_of_day(time_us) < 7.0f;
    case FORM_WEEKEND:
        return is_weekend(time_us);
    case FORM_HOUR_DISTANCE:
        return hour_distance(hour_of_day(time_us));
    default:
        return trailing_zeros(amount);
    }
}

/* --- columns -------------------------------------------------------------------------------------------------------- */

struct inputs {
    const float *column[INPUT_COUNT]; /* NULL: not known in any row */
    const int64_t *amount, *time_us;
    uint32_t count;
};

static float least_of(float a, float b)
{
    return a < b ? a : b;
}

static float most_of(float a, float b)
{
    return a > b ? a : b;
}

/* x: what the map (or nothing) is done to; least: below 0 where the feature is not known. */
static void recipe_prepare(float *x, float *least, const struct recipe *recipe, const struct inputs *inputs)
{
    const float *a = inputs->column[recipe->a], *b = inputs->column[recipe->b], *c = inputs->column[recipe->c];
    const float factor = recipe->factor;
    uint32_t count = inputs->count;
    switch (recipe->form) {
    case FORM_LOG1P:
        for (uint32_t i = 0; i < count; i++)
            least[i] = a[i], x[i] = most_of(a[i] - factor, 0.0f);
        return;
    case FORM_LOG_MEAN:
    case FORM_SHARE:
        for (uint32_t i = 0; i < count; i++)
            least[i] = least_of(a[i], b[i]), x[i] = most_of(a[i], 0.0f) / most_of(b[i], 1.0f);
        return;
    case FORM_RATIO:
        for (uint32_t i = 0; i < count; i++)
            least[i] = least_of(a[i], b[i]), x[i] = (factor * most_of(a[i], 0.0f) + 1.0f) / (most_of(b[i], 0.0f) + 1.0f);
        return;
    case FORM_TO_MEAN:
        for (uint32_t i = 0; i < count; i++)
            least[i] = least_of(least_of(a[i], b[i]), c[i] - 0.5f),
            x[i] = (most_of(a[i], 0.0f) + 1.0f) / (most_of(b[i], 0.0f) / most_of(c[i], 1.0f) + 1.0f);
        return;
    default:
        for (uint32_t i = 0; i < count; i++)
            least[i] = a[i], x[i] = a[i];
    }
}

static map_fn *recipe_map(enum form form, const struct kernels *kernels)
{
    return form == FORM_LOG1P || form == FORM_LOG_MEAN ? kernels->log1p : form == FORM_RATIO || form == FORM_TO_MEAN ? kernels->log : NULL;
}

static bool is_known_anywhere(const struct recipe *recipe, const struct inputs *inputs)
{
    bool needs_c = recipe->form == FORM_TO_MEAN;
    bool needs_b = needs_c || recipe->form == FORM_LOG_MEAN || recipe->form == FORM_RATIO || recipe->form == FORM_SHARE;
    return inputs->column[recipe->a] && (!needs_b || inputs->column[recipe->b]) && (!needs_c || inputs->column[recipe->c]);
}

static void feature_column(float *out, enum feature_id feature, const struct inputs *inputs, const struct kernels *kernels)
{
    const struct recipe *recipe = &recipes[feature];
    const float unknown = feature_infos[feature].unknown;
    float least[SLICE_ROWS];
    uint32_t count = inputs->count;
    if (recipe->form < FORM_VALUE) {
        for (uint32_t i = 0; i < count; i++)
            out[i] = own_value(recipe->form, inputs->time_us[i], inputs->amount[i]);
        return;
    }
    if (!is_known_anywhere(recipe, inputs)) {
        for (uint32_t i = 0; i < count; i++)
            out[i] = unknown;
        return;
    }
    recipe_prepare(out, least, recipe, inputs);
    map_fn *map = recipe_map(recipe->form, kernels);
    if (map)
        map(out, out, count);
    for (uint32_t i = 0; i < count; i++)
        out[i] = recipe->form == FORM_KNOWN ? (float)(least[i] >= 0.0f) : least[i] >= 0.0f ? out[i] : unknown;
}

static void inputs_of(struct inputs *out, const float *amount, const struct batch *batch, uint32_t first, uint32_t count,
                      const struct figures *figures)
{
    const struct batch_facts *facts = &batch->facts;
    *out = (struct inputs){.amount = facts->amount + first, .time_us = facts->time_us + first, .count = count};
    for (unsigned f = 0; f < FIGURE_COUNT; f++)
        out->column[f] = figures ? figures->column[f] : NULL;
    out->column[INPUT_amount] = amount;
    for (unsigned i = INPUT_BATCH; i < INPUT_COUNT; i++)
        out->column[i] = facts->in_batch[i - INPUT_BATCH] ? facts->in_batch[i - INPUT_BATCH] + first : NULL;
}

void feature_compute(struct feature_block *out, const struct feature_set *wanted, const struct batch *batch, uint32_t first, uint32_t count,
                     const struct figures *figures, const struct kernels *kernels)
{
    MUST(count <= SLICE_ROWS && first <= batch->row_count && count <= batch->row_count - first);
    struct inputs inputs;
    float amount[SLICE_ROWS];
    for (uint32_t i = 0; i < count; i++) {
        int64_t minor = batch->facts.amount[first + i];
        amount[i] = (float)(minor > 0 ? minor : 0);
    }
    inputs_of(&inputs, amount, batch, first, count, figures);
    out->row_count = count;
    for (unsigned f = 0; f < FEATURE_COUNT; f++) {
        if (!(wanted->bits[f / 64] >> f % 64 & 1))
            continue;
        feature_column(out->column[f], (enum feature_id)f, &inputs, kernels);
        for (uint32_t i = count; i % TILE_ROWS != 0; i++)
            out->column[f][i] = 0.0f;
    }
}

/* --- what is not known ------------------------------------------------------------------------------------------------ */

static const float *column_from(const struct inputs *inputs, uint16_t column, uint32_t from)
{
    return inputs->column[column] ? inputs->column[column] + from : NULL;
}

static uint32_t unknown_rows(const struct recipe *recipe, const struct inputs *inputs, uint32_t from)
{
    const float *a = column_from(inputs, recipe->a, from), *b = column_from(inputs, recipe->b, from);
    const float *c = column_from(inputs, recipe->c, from);
    uint32_t count = inputs->count, unknown = 0;
    switch (recipe->form) {
    case FORM_LOG1P:
    case FORM_VALUE:
        for (uint32_t i = 0; i < count; i++)
            unknown += a[i] < 0.0f;
        return unknown;
    case FORM_LOG_MEAN:
    case FORM_SHARE:
    case FORM_RATIO:
        for (uint32_t i = 0; i < count; i++)
            unknown += least_of(a[i], b[i]) < 0.0f;
        return unknown;
    case FORM_TO_MEAN:
        for (uint32_t i = 0; i < count; i++)
            unknown += least_of(least_of(a[i], b[i]), c[i] - 0.5f) < 0.0f;
        return unknown;
    default: /* known from the transfer alone, or tells itself what is known */
        return 0;
    }
}

void feature_unknown_count(uint32_t unknown[FEATURE_COUNT], const struct feature_set *wanted, const struct batch *batch, uint32_t first,
                           uint32_t from, uint32_t count, const struct figures *figures)
{
    static const float amount[SLICE_ROWS]; /* known in every row */
    struct inputs inputs;
    MUST(from <= SLICE_ROWS && count <= SLICE_ROWS - from && first + from + count <= batch->row_count);
    inputs_of(&inputs, amount, batch, first, count, figures);
    for (unsigned f = 0; f < FEATURE_COUNT; f++)
        if (wanted->bits[f / 64] >> f % 64 & 1) {
            const struct recipe *recipe = &recipes[f];
            bool own = recipe->form < FORM_VALUE || recipe->form == FORM_KNOWN;
            unknown[f] = own ? 0 : is_known_anywhere(recipe, &inputs) ? unknown_rows(recipe, &inputs, from) : count;
        }
}
