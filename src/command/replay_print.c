/* What a replay found, as tables and as JSON. Money is in the reference currency; in JSON in its minor units. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "command/replay.h"
#include "command/show.h"
#include "command/verdicts.h"

static double rate_of(const struct replay_result *result)
{
    return result->seconds > 0 ? (double)result->rows / result->seconds : 0.0;
}

static void span_print(const struct replay_result *result)
{
    char from[32], to[32], epochs[48];
    show_time(from, sizeof from, result->from_us);
    show_time(to, sizeof to, result->to_us);
    if (result->epochs == 1)
        snprintf(epochs, sizeof epochs, "one configuration and base");
    else
        snprintf(epochs, sizeof epochs, "%u configurations and bases", result->epochs);
    printf("batches %" PRIu64 " to %" PRIu64 ", %s to %s UTC, history from behind batch %" PRIu64 "\n", result->from_sequence,
           result->to_sequence, from, to, result->history_sequence);
    printf("%" PRIu64 " batches, %" PRIu64 " rows (%" PRIu64 " screened), %s, %.2f s, %.0f rows/s\n", result->batches, result->rows,
           result->screened, epochs, result->seconds, rate_of(result));
}

static void span_json(const struct replay_result *result)
{
    printf("{\"from_batch\":%" PRIu64 ",\"to_batch\":%" PRIu64 ",\"from\":%" PRId64 ",\"to\":%" PRId64 ",\"history_from\":%" PRIu64
           ",\"batches\":%" PRIu64 ",\"rows\":%" PRIu64 ",\"screened\":%" PRIu64 ",\"epochs\":%u,\"seconds\":%.3f,\"seconds_all\":%.3f",
           result->from_sequence, result->to_sequence, result->from_us, result->to_us, result->history_sequence, result->batches,
           result->rows, result->screened, result->epochs, result->seconds, result->seconds_all);
}

void replay_print_verify(const struct replay_result *result)
{
    span_print(result);
    if (result->batches_differ == 0)
        puts("verified: everything is as it was recorded, to the bit");
    else
        printf("differs: %" PRIu64 " rows of %" PRIu64 " batches\n", result->rows_differ, result->batches_differ);
}

static void difference_json(const struct replay_difference *first)
{
    printf(",\"first\":{\"batch\":%" PRIu64 ",\"tenant\":", first->sequence);
    text_json_print(stdout, text_of(first->tenant));
    printf(",\"id\":");
    text_json_print(stdout, text_of(first->id));
    if (first->row != ROW_NONE)
        printf(",\"row\":%u", first->row);
    printf(",\"transfer_id\":");
    text_json_print(stdout, text_of(first->transfer));
    printf(",\"column\":\"%s\",\"recorded\":\"%s\",\"again\":\"%s\"}", first->column, first->recorded, first->again);
}

void replay_print_verify_json(const struct replay_result *result)
{
    span_json(result);
    printf(",\"equal\":%s,\"batches_differ\":%" PRIu64 ",\"rows_differ\":%" PRIu64, result->batches_differ ? "false" : "true",
           result->batches_differ, result->rows_differ);
    if (result->batches_differ)
        difference_json(&result->first);
    puts("}");
}

/* --- another base ----------------------------------------------------------------------------------------------------- */

static void money_print(const struct replay_result *result, int64_t amount)
{
    double unit = 1.0;
    for (int i = 0; i < result->currency_digits; i++)
        unit *= 10.0;
    printf(" %16.*f", result->currency_digits, (double)amount / unit);
}

static struct replay_sum stopped_of(const struct replay_sum sums[VERDICT_COUNT])
{
    struct replay_sum stopped = {0};
    for (int v = VERDICT_PASS + 1; v < VERDICT_COUNT; v++) {
        stopped.rows += sums[v].rows;
        stopped.amount += sums[v].amount;
    }
    return stopped;
}

static void agreement_print(const struct replay_result *result)
{
    printf("\nrows, recorded down and again across\n%-24s", "");
    for (int v = 0; v < VERDICT_COUNT; v++)
        printf(" %10s", verdict_names[v]);
    printf("   %s, again across\n", result->currency);
    for (int before = 0; before < VERDICT_COUNT; before++) {
        printf("%-24s", verdict_names[before]);
        for (int after = 0; after < VERDICT_COUNT; after++)
            printf(" %10" PRIu64, result->agreement[before][after].rows);
        fputs("  ", stdout);
        for (int after = 0; after < VERDICT_COUNT; after++)
            money_print(result, result->agreement[before][after].amount);
        putchar('\n');
    }
}

static void both_print(const struct replay_result *result, const char *name, const struct replay_sum sums[2][VERDICT_COUNT])
{
    printf("%-24s", name);
    for (int side = 0; side < 2; side++) {
        struct replay_sum stopped = stopped_of(sums[side]);
        printf(" %10" PRIu64, stopped.rows);
        money_print(result, stopped.amount);
    }
    putchar('\n');
}

static void groups_print(const struct replay_result *result)
{
    printf("\n%-24s %10s %16s %10s %16s\n", "stopped by", "recorded", result->currency, "again", result->currency);
    for (uint32_t i = 0; i < result->scene_count; i++)
        both_print(result, result->scenes[i], result->by_scene[i]);
    printf("\n%-24s %10s %16s %10s %16s\n", "stopped of tenant", "recorded", result->currency, "again", result->currency);
    for (uint32_t i = 0; i < result->tenant_count; i++)
        both_print(result, result->tenants[i], result->by_tenant[i]);
}

static double share(uint64_t part, uint64_t all)
{
    return all ? (double)part / (double)all : NAN;
}

static void figure_print(double value)
{
    if (isfinite(value))
        printf(" %10.4f", value);
    else
        printf(" %10s", "-");
}

static void quality_print(const struct replay_result *result)
{
    const struct replay_quality *sides[] = {&result->recorded, &result->again};
    static const char *const names[] = {"recorded", "again"};
    printf("\n%" PRIu64 " labels have arrived, of %" PRIu64 " rows here, %" PRIu64 " of them risky\n", result->labels,
           result->recorded.labelled, result->recorded.risky);
    if (result->recorded.labelled == 0)
        return;
    printf("%-24s %10s %10s %10s %10s\n", "", "stopped", "precision", "recall", "AP");
    for (int i = 0; i < 2; i++) {
        printf("%-24s %10" PRIu64, names[i], sides[i]->alerts);
        figure_print(share(sides[i]->alerts_right, sides[i]->alerts));
        figure_print(share(sides[i]->alerts_right, sides[i]->risky));
        figure_print(sides[i]->average_precision);
        putchar('\n');
    }
}

void replay_print_trial(const struct replay_result *result, uint64_t switched)
{
    span_print(result);
    if (result->base_name[0])
        printf("again: base %s %s (%.12s)\n", result->base_name, result->base_version, result->base_digest);
    else
        printf("again: bases of the time\n");
    agreement_print(result);
    printf("%" PRIu64 " rows switched\n", switched);
    groups_print(result);
    quality_print(result);
}

static void sums_json(const char *key, const struct replay_sum sums[VERDICT_COUNT])
{
    printf("\"%s\":{", key);
    for (int v = 0; v < VERDICT_COUNT; v++)
        printf("%s\"%s\":{\"rows\":%" PRIu64 ",\"amount\":%" PRId64 "}", v ? "," : "", verdict_names[v], sums[v].rows, sums[v].amount);
    putchar('}');
}

static void group_json(const char *key, const char *name, const struct replay_sum sums[2][VERDICT_COUNT])
{
    printf("{\"%s\":", key);
    text_json_print(stdout, text_of(name));
    putchar(',');
    sums_json("recorded", sums[0]);
    putchar(',');
    sums_json("again", sums[1]);
    putchar('}');
}

static void number_json(const char *key, double value)
{
    if (isfinite(value))
        printf(",\"%s\":%.6g", key, value);
    else
        printf(",\"%s\":null", key);
}

static void quality_json(const char *key, const struct replay_quality *quality)
{
    printf("\"%s\":{\"labelled\":%" PRIu64 ",\"risky\":%" PRIu64 ",\"stopped\":%" PRIu64 ",\"stopped_right\":%" PRIu64, key,
           quality->labelled, quality->risky, quality->alerts, quality->alerts_right);
    number_json("precision", share(quality->alerts_right, quality->alerts));
    number_json("recall", share(quality->alerts_right, quality->risky));
    number_json("average_precision", quality->average_precision);
    putchar('}');
}

void replay_print_trial_json(const struct replay_result *result, uint64_t switched)
{
    span_json(result);
    printf(",\"base\":");
    text_json_print(stdout, text_of(result->base_name));
    printf(",\"base_version\":");
    text_json_print(stdout, text_of(result->base_version));
    printf(",\"base_digest\":\"%s\",\"currency\":\"%s\",\"switched\":%" PRIu64 ",\"agreement\":{", result->base_digest, result->currency,
           switched);
    for (int v = 0; v < VERDICT_COUNT; v++) {
        fputs(v ? "," : "", stdout);
        sums_json(verdict_names[v], result->agreement[v]);
    }
    printf("},\"scenes\":[");
    for (uint32_t i = 0; i < result->scene_count; i++) {
        fputs(i ? "," : "", stdout);
        group_json("stopped_by", result->scenes[i], result->by_scene[i]);
    }
    printf("],\"tenants\":[");
    for (uint32_t i = 0; i < result->tenant_count; i++) {
        fputs(i ? "," : "", stdout);
        group_json("tenant", result->tenants[i], result->by_tenant[i]);
    }
    printf("],\"labels\":%" PRIu64 ",\"quality\":{", result->labels);
    quality_json("recorded", &result->recorded);
    putchar(',');
    quality_json("again", &result->again);
    puts("}}");
}
