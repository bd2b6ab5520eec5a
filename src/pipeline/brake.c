/* The brake of a tenant: when too large a share of its rows of late was held or rejected, something is wrong with the scores or with
 * the traffic, and people must look. It acts on batches that take their number later; what it did to one is recorded with it. */
#include "pipeline/internal.h"

#include "base/clock.h"
#include "base/log.h"

static void window_move(struct brake *brake, const struct config_brake *rules)
{
    int64_t bucket = clock_steady_ns() / (rules->window_s * 1000000000LL / BRAKE_BUCKETS + 1);
    int64_t passed = bucket - brake->bucket < BRAKE_BUCKETS ? bucket - brake->bucket : BRAKE_BUCKETS;
    for (int64_t i = 1; i <= passed; i++)
        brake->rows[(brake->bucket + i) % BRAKE_BUCKETS] = brake->held[(brake->bucket + i) % BRAKE_BUCKETS] = 0;
    brake->bucket = bucket;
}

/* true: it acts now and did not before, or the other way round. */
static bool brake_judge(struct brake *brake, const struct config_brake *rules)
{
    uint64_t rows = 0, held = 0;
    for (unsigned i = 0; i < BRAKE_BUCKETS; i++)
        rows += brake->rows[i], held += brake->held[i];
    bool acts = rules->share > 0.0f && rows >= rules->rows_min && (double)held > (double)rules->share * (double)rows;
    return atomic_exchange(&brake->acts, acts) != acts;
}

static void brake_tell(const struct tenant_line *line, const struct config_brake *rules)
{
    static const char *const effects[BRAKE_COUNT] = {"verdicts stay", "its rows pass", "its batches are refused"};
    if (atomic_load(&line->brake.acts))
        log_line(LOG_ERROR, "brake", "tenant %s: more than %g of its rows of the last %lld s were held or rejected: %s", line->name,
                 (double)rules->share, (long long)rules->window_s, effects[rules->fallback]);
    else
        log_line(LOG_INFO, "brake", "tenant %s: the share of held and rejected rows is below %g again", line->name, (double)rules->share);
}

static const struct config_brake *rules_of(const struct job *job)
{
    return &job->epoch->config->tenants[job->tenant_index].brake;
}

void brake_count(struct job *job, uint32_t held)
{
    const struct config_brake *rules = rules_of(job);
    struct brake *brake = &job->line->brake;
    if (rules->share <= 0.0f && !atomic_load(&brake->acts))
        return;
    pthread_mutex_lock(&job->pipeline->line_lock);
    brake->rules = *rules;
    window_move(brake, rules);
    brake->rows[brake->bucket % BRAKE_BUCKETS] += job->batch.row_count;
    brake->held[brake->bucket % BRAKE_BUCKETS] += held;
    bool changed = brake_judge(brake, rules);
    pthread_mutex_unlock(&job->pipeline->line_lock);
    if (changed)
        brake_tell(job->line, rules);
}

bool brake_refuses(struct job *job)
{
    const struct config_brake *rules = rules_of(job);
    struct brake *brake = &job->line->brake;
    if (job->request.op != OP_screen || !atomic_load(&brake->acts))
        return false;
    window_move(brake, rules); /* nothing may come that would move it */
    if (brake_judge(brake, rules))
        brake_tell(job->line, rules);
    return atomic_load(&brake->acts) && rules->fallback == BRAKE_REFUSE;
}

bool brake_monitors(const struct job *job)
{
    return job->line && rules_of(job)->fallback == BRAKE_MONITOR && /* a tenant that is there no more has no line */
           atomic_load(&job->line->brake.acts);
}

/* A window goes by although nothing comes. */
static bool acts_still(struct tenant_line *line)
{
    struct brake *brake = &line->brake;
    if (line->epochs == 0 || !atomic_load(&brake->acts))
        return false;
    window_move(brake, &brake->rules);
    if (brake_judge(brake, &brake->rules))
        brake_tell(line, &brake->rules);
    return atomic_load(&brake->acts);
}

uint32_t brakes_acting(struct pipeline *pipeline)
{
    uint32_t count = 0;
    pthread_mutex_lock(&pipeline->line_lock);
    for (uint32_t i = 0; i < pipeline->line_count; i++)
        count += acts_still(&pipeline->lines[i]);
    pthread_mutex_unlock(&pipeline->line_lock);
    return count;
}
