/* Every figure of random streams against the oracle, through rings, through bucket records and through both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/history/oracle.h"

static uint64_t seed;

struct world {
    struct stream stream;
    struct oracle oracle;
    struct history *history;
    struct batch batch;
    float expected[FIGURE_COUNT];
};

static void row_check(const struct world *world, const float *got, uint32_t row)
{
    for (unsigned f = 0; f < FIGURE_COUNT; f++)
        if (got[f] != world->expected[f])
            fail_msg("seed %llu row %u: %s is %.9g, by definition %.9g", (unsigned long long)seed, row, figure_names[f], (double)got[f],
                     (double)world->expected[f]);
}

/* A label for a row told earlier; what was known before it is asked of the oracle, as the pipeline asks the ledger. */
static void random_label(struct world *world)
{
    if (!world->oracle.count)
        return;
    uint32_t at = (uint32_t)world_below(world->oracle.count);
    struct told *t = &world->oracle.told[at];
    for (uint32_t i = 0; i < world->oracle.count; i++) /* a twin of it would be told apart by nothing */
        if (i != at && world->oracle.told[i].waiting && world->oracle.told[i].time_us == t->time_us)
            return;
    const struct history_label label = {
        .payer = t->payer,
        .payee = t->payee,
        .payer_device = t->payer_device,
        .payee_device = t->payee_device,
        .time_us = t->time_us,
        .amount = t->exact_amount,
        .before = t->waiting ? t->waiting : t->label,
        .after = (uint8_t)(1 + world_below(2)),
    };
    history_memory.label(world->history, &label);
    oracle_label(&world->oracle, at, label.after);
}

static void random_observation(struct world *world, uint32_t accounts, uint32_t devices, int64_t now_us)
{
    struct noted n = {.kind = (enum observe_kind)(1 + world_below(4)),
                      .account = 1 + world_below(accounts),
                      .contact = 1 + world_below(accounts),
                      .device = world_below(4) ? 1 + world_below(devices) : 0,
                      .address = world_below(4) ? 1 + world_below(devices) : 0,
                      .network = (uint32_t)world_below(5),
                      .after_rows = world->oracle.count};
    int64_t time_us = now_us - (int64_t)world_below(2 * DAY_US), times[2] = {time_us - (int64_t)world_below(400 * DAY_US), time_us};
    times[1] += (int64_t)world_below(2 * DAY_US) - DAY_US;
    const unsigned char valid[2] = {(unsigned char)world_below(2), (unsigned char)world_below(2)};
    uint8_t invalid = 0;
    n.second = floor_seconds(time_us);
    n.opened = valid[0] ? floor_seconds(times[0]) : 0;
    n.changed = valid[1] ? floor_seconds(times[1]) : 0;
    struct batch batch = {.magic = BATCH_MAGIC, .op = OP_observe, .observe_kind = n.kind, .row_count = 1};
    batch.facts = (struct batch_facts){.payer = &n.account,
                                       .payee = &n.contact,
                                       .payer_device = &n.device,
                                       .payer_address = &n.address,
                                       .payer_network = &n.network,
                                       .time_us = &time_us,
                                       .invalid = &invalid};
    batch.columns[COLUMN_opened_time] = (struct column){.form = FORM_I64, .data = (const unsigned char *)&times[0], .valid = &valid[0]};
    batch.columns[COLUMN_changed_time] = (struct column){.form = FORM_I64, .data = (const unsigned char *)&times[1], .valid = &valid[1]};
    history_memory.observe(world->history, &batch);
    world->oracle.noted[world->oracle.noted_count++] = n;
}

static void stream_check(struct history *history, const struct stream_shape *shape, enum op op, int64_t delay_us)
{
    struct world *world = calloc(1, sizeof *world);
    struct figure_rows got = figure_rows_take(shape->count);
    world->history = history;
    stream_fill(&world->stream, shape);
    stream_batch(&world->batch, &world->stream, op);
    for (uint32_t row = 0; row < shape->count; row++) {
        if (world_below(10) == 0)
            random_label(world);
        if (world_below(20) == 0)
            random_observation(world, shape->accounts, shape->devices, world->stream.time_us[row]);
        relate_cut(&got, history, &world->batch, row, 1, 1, delay_us, true);
        oracle_row(world->expected, &world->oracle, &world->stream, row, delay_us, op == OP_import);
        row_check(world, got.row[row], row);
    }
    struct history_counts counts;
    history_memory.count(history, &counts);
    assert_int_equal(counts.dropped, 0);
    assert_int_equal(counts.evicted, 0);
    free(got.row);
    free(world);
    history_memory.close(&history);
}

static const struct stream_shape in_order = {.count = 1500, .accounts = 40, .devices = 25, .step_us = DAY_US / 25};
static const struct stream_shape with_late = {.count = 1500, .accounts = 40, .devices = 25, .step_us = DAY_US / 25, .late_us = 30 * DAY_US};
static const struct stream_shape busy_late = {.count = 1500, .accounts = 3, .devices = 5, .step_us = DAY_US / 30, .late_us = 29 * DAY_US};
static const struct stream_shape waiting_late = {
    .count = 1500, .accounts = 12, .devices = 8, .step_us = DAY_US / 30, .late_us = 10 * DAY_US, .label_times = true};

static const struct stream_shape with_pauses = {
    .count = 1500, .accounts = 5, .devices = 5, .step_us = DAY_US / 40, .pause_us = 50 * DAY_US};

static const struct stream_shape pauses_and_late = {
    .count = 1500, .accounts = 4, .devices = 5, .step_us = DAY_US / 40, .late_us = 30 * DAY_US, .pause_us = 50 * DAY_US};

static void test_in_order(void **state)
{
    (void)state;
    stream_check(history_of(1000, 100000, 100, 10000, 1000), &in_order, OP_screen, 7 * DAY_US);
}

static void test_late_rows(void **state)
{
    (void)state;
    stream_check(history_of(1000, 100000, 100, 10000, 1000), &with_late, OP_screen, 0);
}

static void test_bucket_records_alone(void **state)
{
    (void)state;
    stream_check(history_of(1000, 0, 100, 10000, 1000), &with_late, OP_screen, 15 * DAY_US);
}

static void test_rings_become_records(void **state)
{
    (void)state;
    stream_check(history_of(1000, 100000, 100, 10000, 1000), &busy_late, OP_screen, 3 * DAY_US + 12345678);
}

static void test_pauses(void **state)
{
    (void)state;
    stream_check(history_of(1000, 100000, 100, 10000, 1000), &with_pauses, OP_screen, 7 * DAY_US);
    stream_check(history_of(1000, 0, 100, 10000, 1000), &with_pauses, OP_import, 1);
    stream_check(history_of(1000, 0, 100, 10000, 1000), &pauses_and_late, OP_import, 15 * DAY_US);
    stream_check(history_of(1000, 100000, 100, 10000, 1000), &pauses_and_late, OP_import, 15 * DAY_US);
}

static void test_labels_of_imports(void **state)
{
    (void)state;
    stream_check(history_of(1000, 100000, 100, 10000, 1000), &waiting_late, OP_import, 4 * DAY_US);
    stream_check(history_of(1000, 6000, 100, 10000, 1000), &waiting_late, OP_import, 4 * DAY_US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_late_rows),
        cmocka_unit_test(test_bucket_records_alone),
        cmocka_unit_test(test_rings_become_records),
        cmocka_unit_test(test_pauses),
        cmocka_unit_test(test_labels_of_imports),
    };
    world_state = seed = world_seed();
    return cmocka_run_group_tests_name("history figures", tests, NULL, NULL);
}
