/* Another configuration while batches fly: each is wholly under one, what cannot change is refused, a broken one changes
 * nothing, and what is not used any more is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/pipeline/rig.h"

static enum fault reload(const char *top, const char *base, char text[160])
{
    struct fault_note note = {0};
    struct config *config = rig_config(top, base);
    enum fault fault = pipeline_reload(pipeline, config, &note);
    config_close(&config);
    if (text)
        snprintf(text, 160, "%s", note.text);
    return fault;
}

/* --- under load -------------------------------------------------------------------------------------------------------- */

struct scorer {
    pthread_t thread;
    struct sent *expected; /* the reply under either base */
    atomic_bool *ends;
    unsigned seen[2], busy, other;
};

static void score_same(struct sent *out)
{
    struct wire_buffer message;
    batch_of(&message, "a", "score", "same", SLICE_ROWS + 7);
    ask(out, &message);
}

static void *scorer_run(void *argument)
{
    struct scorer *scorer = argument;
    while (!atomic_load(scorer->ends)) {
        struct sent sent = {0};
        score_same(&sent);
        if (replies_equal(&sent, &scorer->expected[0]))
            scorer->seen[0]++;
        else if (replies_equal(&sent, &scorer->expected[1]))
            scorer->seen[1]++;
        else
            scorer->other++;
        sent_fini(&sent);
    }
    return NULL;
}

/* The same batch, scored again and again: every reply has, bit for bit, what one of the two bases says of it. */
static void each_batch_is_wholly_of_one_epoch(void **state)
{
    enum { SCORERS = 3, SWAPS = 100 };
    static const char *const bases[] = {"one.safetensors", "two.safetensors"};
    struct scorer scorers[SCORERS] = {0};
    struct sent expected[2] = {0};
    atomic_bool ends = false;
    unsigned seen[2] = {0}, swaps = 0;
    (void)state;
    rig_write_base(bases[0], 1);
    rig_write_base(bases[1], 2);
    rig_open(rig_config(NULL, bases[1]));
    rig_time_us = clock_wall_us();
    score_same(&expected[1]);
    assert_int_equal(reload(NULL, bases[0], NULL), FAULT_NONE);
    score_same(&expected[0]);
    assert_false(replies_equal(&expected[0], &expected[1])); /* and both without a word of waiting from here on */
    for (unsigned i = 0; i < SCORERS; i++) {
        scorers[i].expected = expected, scorers[i].ends = &ends;
        assert_int_equal(pthread_create(&scorers[i].thread, NULL, scorer_run, &scorers[i]), 0);
    }
    while (swaps < SWAPS) {
        assert_int_equal(reload(NULL, bases[++swaps % 2], NULL), FAULT_NONE);
        assert_true(atomic_load(&pipeline->epochs) <= 2);
    }
    rig_sleep_ms(30);
    atomic_store(&ends, true);
    for (unsigned i = 0; i < SCORERS; i++) {
        pthread_join(scorers[i].thread, NULL);
        assert_int_equal(scorers[i].other, 0);
        seen[0] += scorers[i].seen[0], seen[1] += scorers[i].seen[1];
    }
    assert_true(seen[0] > 0 && seen[1] > 0);
    rig_await_quiet();
    rig_sleep_ms(20);
    assert_int_equal(atomic_load(&pipeline->epochs), 1);
    sent_fini(&expected[0]), sent_fini(&expected[1]);
}

static void a_third_epoch_waits_for_the_first(void **state)
{
    struct sent sent = {0};
    struct wire_buffer message;
    char text[160];
    (void)state;
    rig_open(rig_config(NULL, NULL));
    gate_set(&commit_gate, true);
    batch_of(&message, "a", "screen", "slow", 10);
    post(&sent, &message);
    gate_await(&commit_gate, 1);
    assert_int_equal(reload(NULL, NULL, NULL), FAULT_NONE);
    assert_int_equal(atomic_load(&pipeline->epochs), 2);
    pipeline->reload_wait_ns = 50000000;
    assert_int_equal(reload(NULL, NULL, text), FAULT_busy);
    assert_string_equal(text, "batches are still on their way under the configuration before this one");
    gate_set(&commit_gate, false);
    await(&sent);
    assert_int_equal(reload(NULL, NULL, NULL), FAULT_NONE);
    sent_fini(&sent);
}

/* --- what is refused --------------------------------------------------------------------------------------------------- */

static void what_only_a_start_reads_is_refused(void **state)
{
    static const struct {
        const char *top, *text;
    } cases[] = {
        {"in_flight_max: 17\n" RIG_TENANTS, "in_flight_max cannot change while the server runs"},
        {"workers: 3\n" RIG_TENANTS, "workers cannot change while the server runs"},
        {"limits: {rows_max: 2000000}\n" RIG_TENANTS, "limits cannot change while the server runs"},
        {"queue_wait_max: 3s\n" RIG_TENANTS, "queue_wait_max cannot change while the server runs"},
        {"snapshot_interval: 3s\n" RIG_TENANTS, "snapshot_interval cannot change while the server runs"},
        {"memory_max: 64GiB\n" RIG_TENANTS, "memory_max cannot change while the server runs"},
    };
    char text[160];
    (void)state;
    rig_open(rig_config("workers: 2\n" RIG_TENANTS, NULL));
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        char top[1024];
        snprintf(top, sizeof top, "%s%s", strstr(cases[i].top, "workers:") ? "" : "workers: 2\n", cases[i].top);
        assert_int_equal(reload(top, NULL, text), FAULT_limit);
        assert_string_equal(text, cases[i].text);
    }
    assert_int_equal(pipeline->epoch->number, 1);
}

static void a_broken_one_changes_nothing(void **state)
{
    static const char heavy[] = "tenants:\n  - {name: a, weight: 9, token_hash: " TOKEN_HASH ", " RIG_RIGHTS "}\n"
                                "  - {name: c, weight: 9, token_hash: " TOKEN_HASH ", rights: [submit]}\n";
    char text[160];
    (void)state;
    rig_write_base("base.safetensors", 1);
    rig_open(rig_config(NULL, "base.safetensors"));
    uint64_t live = memory_live_count();
    assert_int_equal(reload(heavy, "nowhere.safetensors", text), FAULT_not_found);
    assert_non_null(strstr(text, "nowhere.safetensors"));
    assert_int_equal(pipeline->lines[0].weight, 1);
    assert_true(memory_live_count() <= live); /* threads that had just begun have given back what they were begun with */
    assert_int_equal(atomic_load(&pipeline->epochs), 1);
    assert_int_equal(reload(heavy, "base.safetensors", NULL), FAULT_NONE);
    assert_int_equal(pipeline->lines[0].weight, 9);
    struct wire_buffer message;
    batch_of(&message, "b", "screen", "gone", 5);
    expect(&message, "rows", "fault auth");
    batch_of(&message, "c", "screen", "new", 5);
    expect(&message, "rows", "5");
}

/* History sums in the reference currency of the ledger's first start. */
static void another_reference_currency_is_refused(void **state)
{
    static const char yen[] = "currencies: {reference: JPY}\n" RIG_TENANTS;
    static const char refusal[] = "currencies.reference is JPY, but this ledger's amounts are in EUR: another reference needs a new ledger";
    char text[160];
    (void)state;
    rig_open(rig_config(NULL, NULL));
    assert_int_equal(reload(yen, NULL, text), FAULT_schema);
    assert_string_equal(text, refusal);
    assert_int_equal(reload(NULL, NULL, NULL), FAULT_NONE);
    pipeline_close(&pipeline);
    struct fault_note note = {0};
    struct config *config = rig_config(yen, NULL);
    assert_int_equal(pipeline_open(&pipeline, config, &note), FAULT_schema);
    assert_string_equal(note.text, refusal);
    config_close(&config);
}

/* --- tenants ------------------------------------------------------------------------------------------------------------ */

/* Tenants that come and go, many more than there are places. */
static void tenants_come_and_go(void **state)
{
    (void)state;
    rig_open(rig_config(NULL, NULL));
    for (unsigned round = 0; round < 20; round++) {
        static char top[8192];
        size_t used = (size_t)snprintf(top, sizeof top, "tenants:\n");
        for (unsigned i = 0; i < 40; i++)
            used += (size_t)snprintf(top + used, sizeof top - used, "  - {name: t%u-%u, token_hash: %s, rights: [submit]}\n", round, i,
                                     TOKEN_HASH);
        struct fault_note note = {0};
        struct config *config = NULL;
        static char text[12000];
        int bytes = snprintf(text, sizeof text, "queue_wait_max: 60s\nledger: %s/ledger\nlisten: {data: [\"ipc://%s/s\"]}\n%s%s",
                             rig_folder, rig_folder, RIG_HISTORY, top);
        assert_int_equal(config_open_text(&config, "test.yaml", text, (size_t)bytes, &note), FAULT_NONE);
        assert_int_equal(pipeline_reload(pipeline, config, &note), FAULT_NONE);
        config_close(&config);
        char name[16];
        struct wire_buffer message;
        snprintf(name, sizeof name, "t%u-7", round);
        batch_of(&message, name, "screen", "one", 5);
        expect(&message, "rows", "5");
    }
    assert_true(pipeline->line_count <= 2 * 40 + 2);
}

/* Under another namespace the same names are other accounts; each batch keeps the keys that it was screened with. */
static void a_namespace_that_changes(void **state)
{
    static const char other[] =
        "tenants:\n  - {name: a, namespace: shared, feedback_delay: 1d, token_hash: " TOKEN_HASH ", " RIG_RIGHTS "}\n";
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(NULL, NULL));
    batch_of(&message, "a", "screen", "one", 50);
    expect(&message, "rows", "50");
    struct history_counts before, after;
    pipeline->history_ops->count(pipeline->history, &before);
    assert_int_equal(reload(other, NULL, NULL), FAULT_NONE);
    batch_of(&message, "a", "screen", "two", 50);
    expect(&message, "rows", "50");
    labels_of(&message, "a", "labels", "one", 50, "mule");
    expect(&message, "notes", "0");
    rig_await_quiet();
    pipeline->history_ops->count(pipeline->history, &after);
    assert_int_equal(after.accounts, 2 * before.accounts);
    struct digest now = rig_history();
    pipeline_close(&pipeline);
    rig_forget_snapshot();
    rig_open(rig_config(NULL, NULL)); /* under the first namespace again: the log knows */
    assert_true(digest_equal(now, rig_history()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(each_batch_is_wholly_of_one_epoch),
        RIG_TEST(a_third_epoch_waits_for_the_first),
        RIG_TEST(what_only_a_start_reads_is_refused),
        RIG_TEST(a_broken_one_changes_nothing),
        RIG_TEST(another_reference_currency_is_refused),
        RIG_TEST(tenants_come_and_go),
        RIG_TEST(a_namespace_that_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
