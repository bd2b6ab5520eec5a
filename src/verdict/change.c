/* For every feature of the base two searches, upwards and downwards from the row's value, all side by side in slices: first
 * steps outwards until a value passes, then halving between the last that did not and the first that did. Only values that the
 * feature can have are looked at: whole counts, seconds, minor units and digits, 0 or 1 of an indicator, 0 to 1 of a share. */
#include "verdict/change.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"

enum { HALVINGS_MAX = 60, SEARCHES_MAX = 2 * FEATURE_COUNT };
#define LOG_RAW_MAX 34.6 /* log1p of AMOUNT_MAX, beyond any count or age */

enum kind { KIND_REAL, KIND_SHARE, KIND_INDICATOR, KIND_DIGITS, KIND_HOURS, KIND_LOG };

struct search { /* one feature, one side */
    uint16_t feature;
    enum kind kind;
    bool passed;
    double away_per_unit;
    double bound;      /* where it ends */
    float fails, pass; /* the last value that did not pass, the first that did */
    uint32_t row;      /* of the slice, in this round */
    float tried;
};

struct changing {
    const struct change_input *in;
    struct feature_block features;
    struct batch batch;
    void *decide_scratch;
    pthread_mutex_t lock;
    uint32_t search_count;
    struct search searches[SEARCHES_MAX];
    struct search *tries[SLICE_ROWS]; /* whose value a row of the slice is */
};

static size_t arena_bytes(void)
{
    const struct batch_limits limits = BATCH_LIMITS_DEFAULT;
    return batch_arena_bytes(&limits, SLICE_ROWS, 0);
}

size_t change_bytes(void)
{
    return sizeof(struct changing) + (size_t)FEATURE_COUNT * SLICE_ROWS * sizeof(float) + decide_scratch_bytes() + arena_bytes() + 4096;
}

/* --- values that a feature can have ------------------------------------------------------------------------------- */

static enum kind kind_of(uint16_t feature)
{
    static const struct {
        const char *unit;
        enum kind kind;
    } kinds[] = {{"indicator", KIND_INDICATOR}, {"share", KIND_SHARE},     {"digits", KIND_DIGITS},      {"hours", KIND_HOURS},
                 {"log count", KIND_LOG},       {"log seconds", KIND_LOG}, {"log minor units", KIND_LOG}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(feature_infos[feature].unit, kinds[i].unit) == 0)
            return kinds[i].kind;
    return KIND_REAL;
}

static double least_value(enum kind kind)
{
    return kind == KIND_REAL ? -LOG_RAW_MAX : 0.0;
}

static double most_value(enum kind kind)
{
    switch (kind) {
    case KIND_SHARE:
    case KIND_INDICATOR:
        return 1.0;
    case KIND_DIGITS:
        return 6.0;
    case KIND_HOURS:
        return 12.0;
    default:
        return LOG_RAW_MAX;
    }
}

/* The value nearest to x that can be, to the side of `from` that x lies on. */
static float value_near(const struct search *search, double x)
{
    if (search->kind == KIND_INDICATOR || search->kind == KIND_DIGITS)
        return (float)round(x);
    return search->kind == KIND_LOG ? kernel_log1p((float)round(expm1(x))) : (float)x;
}

/* --- where to look -------------------------------------------------------------------------------------------------- */

struct reach { /* of a feature, over all columns made of it */
    bool is_used;
    double low, high, scale;
};

static void reach_column(struct reach *reach, const struct scene_column *column)
{
    double low = (double)column->edge, high = low, scale = 1.0 / (double)column->rscale;
    if (column->form == FORM_VALUE) {
        low = (double)column->mean + (double)Z_LOW * scale;
        high = (double)column->mean + (double)Z_HIGH * scale;
    } else if (column->form == FORM_OVERSHOOT) {
        double over = fmin((double)column->mean + (double)Z_HIGH * scale, LOG_RAW_MAX);
        high = low + (double)column->edge_scale * expm1(fmax(over, 0.0)) / 8.0;
    }
    if (column->form == FORM_VALUE && reach->scale == 0.0)
        reach->scale = (double)column->rscale;
    reach->low = reach->is_used ? fmin(reach->low, low) : low;
    reach->high = reach->is_used ? fmax(reach->high, high) : high;
    reach->is_used = true;
}

static void reach_all(struct reach reaches[FEATURE_COUNT], const struct scene_base *base)
{
    for (int g = 0; g < DIMENSION_COUNT; g++)
        for (uint32_t j = 0; base->dimensions[g].panel.cluster_count && j < base->dimensions[g].column_count; j++)
            reach_column(&reaches[base->dimensions[g].columns[j].feature], &base->dimensions[g].columns[j]);
    for (int i = ANOMALY_COUNT - 1; i >= 0; i--)
        for (uint32_t j = 0; base->anomaly[i].ensemble.point_count && j < base->anomaly[i].column_count; j++)
            reach_column(&reaches[base->anomaly[i].columns[j].feature], &base->anomaly[i].columns[j]);
}

/* An edge itself is still below it: one step of float beyond is looked at as well, so the reach ends a little further out. */
static void searches_make(struct changing *changing)
{
    struct reach reaches[FEATURE_COUNT] = {0};
    reach_all(reaches, changing->in->base);
    for (uint16_t f = 0; f < FEATURE_COUNT; f++) {
        const struct reach *reach = &reaches[f];
        if (!reach->is_used)
            continue;
        enum kind kind = kind_of(f);
        float from = changing->in->row->column[f][0];
        double margin = 1e-3 * (reach->high - reach->low) + 1e-6;
        double ends[2] = {fmax(reach->low - margin, least_value(kind)), fmin(reach->high + margin, most_value(kind))};
        for (unsigned side = 0; side < 2; side++)
            if (side ? ends[side] > (double)from : ends[side] < (double)from)
                changing->searches[changing->search_count++] = (struct search){.feature = f,
                                                                               .kind = kind,
                                                                               .bound = ends[side],
                                                                               .away_per_unit = reach->scale > 0.0 ? reach->scale : 1.0,
                                                                               .fails = from};
    }
}

/* --- scoring -------------------------------------------------------------------------------------------------------- */

static void slice_put(struct changing *changing, uint32_t row, struct search *search, float value)
{
    changing->features.column[search->feature][row] = value;
    changing->tries[row] = search;
    search->row = row;
    search->tried = value;
}

static void slice_clear(struct changing *changing)
{
    for (unsigned f = 0; f < FEATURE_COUNT; f++)
        for (uint32_t i = 0; changing->features.column[f] && i < SLICE_ROWS; i++)
            changing->features.column[f][i] = changing->in->row->column[f][0];
}

static enum fault slice_decide(struct changing *changing, uint32_t row_count, struct fault_note *note)
{
    const struct change_input *in = changing->in;
    struct batch *batch = &changing->batch;
    struct arena arena = batch->arena;
    struct scores scores;
    arena_reset(&arena);
    *batch = (struct batch){.magic = (unsigned)BATCH_MAGIC, .op = OP_score, .row_count = row_count, .arena = arena};
    changing->features.row_count = row_count;
    enum fault fault = batch_take_checks(batch, 0, note);
    if (fault == FAULT_NONE)
        fault = batch_take_results(batch, note);
    if (fault == FAULT_NONE)
        fault = in->device_ops->score(&scores, in->scratch, in->resident, &changing->features, note);
    if (fault != FAULT_NONE)
        return fault;
    const struct decide_input decide = {.base = in->base,
                                        .without_reasons = true,
                                        .strategy = in->strategy,
                                        .levels = in->levels,
                                        .scores = &scores,
                                        .features = &changing->features,
                                        .kernels = in->kernels};
    return verdict_decide(batch, 0, row_count, &decide, changing->decide_scratch, &changing->lock, note);
}

static bool row_passes(const struct changing *changing, uint32_t row)
{
    return changing->batch.results.verdict[row] == VERDICT_PASS;
}

/* --- steps outwards ------------------------------------------------------------------------------------------------- */

static double step_at(const struct search *search, double from, uint32_t step)
{
    double part = (double)step / CHANGE_STEPS;
    return from + (search->bound - from) * part * part;
}

/* The steps of as many searches as fill a slice: CHANGE_STEPS rows each. */
static enum fault steps_take(struct changing *changing, uint32_t first, uint32_t count, struct fault_note *note)
{
    slice_clear(changing);
    for (uint32_t i = 0; i < count; i++) {
        struct search *search = &changing->searches[first + i];
        for (uint32_t step = 1; step <= CHANGE_STEPS; step++)
            slice_put(changing, i * CHANGE_STEPS + step - 1, search, value_near(search, step_at(search, (double)search->fails, step)));
    }
    enum fault fault = slice_decide(changing, count * CHANGE_STEPS, note);
    for (uint32_t i = 0; fault == FAULT_NONE && i < count; i++) {
        struct search *search = &changing->searches[first + i];
        for (uint32_t row = i * CHANGE_STEPS; row < (i + 1) * CHANGE_STEPS && !search->passed; row++) {
            float value = changing->features.column[search->feature][row];
            search->passed = row_passes(changing, row);
            *(search->passed ? &search->pass : &search->fails) = value;
        }
    }
    return fault;
}

static enum fault steps_outwards(struct changing *changing, struct fault_note *note)
{
    const uint32_t at_once = SLICE_ROWS / CHANGE_STEPS;
    enum fault fault = FAULT_NONE;
    for (uint32_t first = 0; fault == FAULT_NONE && first < changing->search_count; first += at_once)
        fault = steps_take(changing, first, changing->search_count - first < at_once ? changing->search_count - first : at_once, note);
    return fault;
}

/* --- halving -------------------------------------------------------------------------------------------------------- */

static bool halve(const struct search *search, float *out)
{
    *out = value_near(search, ((double)search->fails + (double)search->pass) / 2.0);
    if (search->kind == KIND_LOG) /* whole numbers halve as numbers */
        *out = kernel_log1p((float)floor((round(expm1((double)search->fails)) + round(expm1((double)search->pass))) / 2.0));
    return *out != search->fails && *out != search->pass && (*out > search->fails) == (*out < search->pass);
}

static enum fault halve_all(struct changing *changing, bool *out_goes_on, struct fault_note *note)
{
    uint32_t row_count = 0;
    float middle;
    slice_clear(changing);
    for (uint32_t i = 0; i < changing->search_count; i++)
        if (changing->searches[i].passed && halve(&changing->searches[i], &middle))
            slice_put(changing, row_count++, &changing->searches[i], middle);
    *out_goes_on = row_count > 0;
    enum fault fault = row_count ? slice_decide(changing, row_count, note) : FAULT_NONE;
    for (uint32_t row = 0; fault == FAULT_NONE && row < row_count; row++) {
        struct search *search = changing->tries[row];
        *(row_passes(changing, row) ? &search->pass : &search->fails) = search->tried;
    }
    return fault;
}

/* --- the nearest ---------------------------------------------------------------------------------------------------- */

static enum fault nearest_take(struct change *out, struct changing *changing, struct fault_note *note)
{
    struct search *nearest = NULL;
    for (uint32_t i = 0; i < changing->search_count; i++) {
        struct search *search = &changing->searches[i];
        float from = changing->in->row->column[search->feature][0];
        double away = fabs((double)search->pass - (double)from) * search->away_per_unit;
        if (!search->passed || (nearest && away >= out->away))
            continue;
        nearest = search;
        *out = (struct change){.found = true, .feature = search->feature, .from = from, .to = search->pass, .away = away};
    }
    if (!nearest)
        return FAULT_NONE;
    slice_clear(changing);
    slice_put(changing, 0, nearest, out->to);
    enum fault fault = slice_decide(changing, 1, note);
    if (fault != FAULT_NONE)
        return fault;
    const struct results *results = &changing->batch.results;
    MUST(row_passes(changing, 0));
    out->scene = results->scene[0], out->level = results->level[0], out->match = results->match[0];
    out->anomaly_own = results->anomaly_own[0], out->anomaly_linked = results->anomaly_linked[0];
    return FAULT_NONE;
}

static enum fault changing_open(struct changing *changing, struct fault_note *note)
{
    enum fault fault = batch_init(&changing->batch, arena_bytes(), note);
    float *columns = memory_take_aligned((size_t)FEATURE_COUNT * SLICE_ROWS * sizeof(float), 64);
    changing->features.column[0] = columns;
    changing->decide_scratch = memory_take_aligned(decide_scratch_bytes(), 64);
    if (!columns || !changing->decide_scratch)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to look for a change");
    for (unsigned f = 0; f < FEATURE_COUNT; f++)
        changing->features.column[f] = columns + (size_t)f * SLICE_ROWS;
    return fault;
}

enum fault change_find(struct change *out, const struct change_input *in, struct fault_note *note)
{
    struct changing *changing = memory_take_zeroed(1, sizeof *changing);
    *out = (struct change){0};
    if (!changing)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to look for a change");
    changing->in = in;
    pthread_mutex_init(&changing->lock, NULL);
    enum fault fault = changing_open(changing, note);
    void *columns = changing->features.column[0];
    if (fault == FAULT_NONE) {
        for (unsigned f = 0; f < FEATURE_COUNT; f++)
            if (!in->row->column[f])
                changing->features.column[f] = NULL; /* the base does not look at it */
        searches_make(changing);
        fault = steps_outwards(changing, note);
    }
    bool goes_on = true;
    for (unsigned i = 0; fault == FAULT_NONE && goes_on && i < HALVINGS_MAX; i++)
        fault = halve_all(changing, &goes_on, note);
    if (fault == FAULT_NONE)
        fault = nearest_take(out, changing, note);
    batch_fini(&changing->batch);
    memory_give(changing->decide_scratch);
    memory_give(columns);
    pthread_mutex_destroy(&changing->lock);
    memory_give(changing);
    return fault;
}
