/* Second batches: the rows are what was put in, whatever they are; they are there with the change that released them, once, until
 * they are marked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/memory.h"
#include "ledger/row_set.h"
#include "unit/ledger/rig.h"

enum { ROWS = 60, RANDOM_ROWS = 3000, ROUNDS = 200 };
static struct rig rig;

static uint64_t seed_of_run(void)
{
    const char *given = getenv("SLUICE_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    print_message("SLUICE_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static void sets_hold_what_was_put_in(void **state)
{
    (void)state;
    uint64_t seed = seed_of_run();
    for (unsigned round = 0; round < ROUNDS; round++) {
        static bool in[3][RANDOM_ROWS];
        struct row_set set = {0};
        struct row_set_reader reader;
        uint32_t total = 0;
        unsigned density = 1 + (unsigned)(hash64_pair(seed, round, 9) % 20);
        for (unsigned s = 0; s < 3; s++) {
            row_set_source(&set, 1 + s * (1ULL << 40));
            for (uint32_t row = 0; row < RANDOM_ROWS; row++)
                if ((in[s][row] = hash64_pair(seed + round, s, row) % 20 < density))
                    row_set_add(&set, row), total++;
        }
        row_set_end(&set);
        assert_int_equal(set.row_count, total);
        row_set_read(&reader, set.bytes, set.byte_count);
        for (unsigned s = 0; s < 3; s++) {
            uint32_t at = 0;
            assert_true(row_set_next_source(&reader));
            assert_int_equal(reader.sequence, 1 + s * (1ULL << 40));
            while (row_set_next_run(&reader)) {
                for (; at < reader.first; at++)
                    assert_false(in[s][at]);
                for (; at < reader.row_at; at++)
                    assert_true(in[s][at]);
            }
            for (; at < RANDOM_ROWS; at++)
                assert_false(in[s][at]);
        }
        assert_false(row_set_next_source(&reader));
        assert_false(reader.broken);
        for (size_t cut = 0; cut < set.byte_count; cut += 1 + cut / 16) { /* never beyond the end */
            unsigned char *copy = memory_take(cut + 1);
            memcpy(copy, set.bytes, cut);
            row_set_read(&reader, copy, cut);
            while (row_set_next_source(&reader))
                ;
            memory_give(copy);
        }
        row_set_fini(&set);
    }
}

static void release(uint64_t sequence, uint32_t every, uint32_t number)
{
    struct batch batch;
    struct row_set set = {0};
    char id[24];
    struct sample sample = rig_sample(sequence, ROWS, OP_screen, id);
    sample_make(&batch, &sample);
    row_set_source(&set, sequence);
    for (uint32_t row = 0; row < ROWS; row += every)
        row_set_add(&set, row);
    row_set_end(&set);
    const struct ledger_life_change change = {
        .life = {.sequence = sequence, .state = LIFE_RELEASED, .releases = number, .due_us = 77},
        .released = set.bytes,
        .released_bytes = set.byte_count,
        .released_rows = set.row_count,
        .payload_digest = {5, sequence},
    };
    struct ledger_entry entry = {.batch = &batch, .scenes = rig_scenes, .scene_count = SAMPLE_SCENES, .life = &change};
    assert_int_equal(frame_encode(&entry.frame, &batch, NULL), FAULT_NONE);
    assert_int_equal(ledger_sqlite.commit(rig.ledger, &entry, 1, NULL), FAULT_NONE);
    frame_give(&entry.frame);
    batch_fini(&batch);
    row_set_fini(&set);
}

struct seen {
    uint64_t sequence;
    uint32_t count, every;
};

static bool rows_seen(void *context, const struct batch *batch, const uint32_t *rows, uint32_t row_count)
{
    struct seen *seen = context;
    seen->sequence = batch->sequence;
    seen->count += row_count;
    for (uint32_t i = 0; i < row_count; i++)
        assert_int_equal(rows[i], i * seen->every);
    return true;
}

/* Changes the life of batch 1 alone, by a batch of observations. */
static void change(uint64_t sequence, struct ledger_life_change change)
{
    struct batch batch;
    char id[24];
    struct sample sample = rig_sample(sequence, 1, OP_observe, id);
    sample_make(&batch, &sample);
    change.life.sequence = 1;
    struct ledger_entry entry = {.batch = &batch, .life = &change};
    assert_int_equal(frame_encode(&entry.frame, &batch, NULL), FAULT_NONE);
    assert_int_equal(ledger_sqlite.commit(rig.ledger, &entry, 1, NULL), FAULT_NONE);
    frame_give(&entry.frame);
    batch_fini(&batch);
}

static void expect_states(enum row_state passed, enum row_state held, enum row_state rejected, enum row_state invalid)
{
    const enum row_state expected[VERDICT_COUNT] = {
        [VERDICT_PASS] = passed, [VERDICT_HOLD] = held, [VERDICT_REJECT] = rejected, [VERDICT_INVALID] = invalid};
    struct batch batch;
    uint32_t seen = 0;
    assert_int_equal(ledger_sqlite.read(rig.ledger, &batch, 1, NULL), FAULT_NONE);
    for (uint32_t row = 0; row < batch.row_count; row++) {
        enum row_state state = ROW_STATE_COUNT;
        assert_int_equal(ledger_sqlite.row_state(rig.ledger, &state, 1, row, NULL), FAULT_NONE);
        assert_int_equal(state, expected[batch.results.verdict[row]]);
        seen |= 1U << batch.results.verdict[row];
    }
    batch_fini(&batch);
    assert_int_equal(seen, (1U << VERDICT_COUNT) - 1);
}

static void a_row_is_where_its_batch_is_unless_it_differs(void **state)
{
    (void)state;
    struct batch batch;
    char id[24];
    struct sample sample = rig_sample(1, 400, OP_screen, id);
    sample.plain = false;
    rig_init(&rig);
    rig_open(&rig);
    sample_make(&batch, &sample);
    struct ledger_entry entry = {.batch = &batch, .scenes = rig_scenes, .scene_count = SAMPLE_SCENES};
    assert_int_equal(frame_encode(&entry.frame, &batch, NULL), FAULT_NONE);
    assert_int_equal(ledger_sqlite.commit(rig.ledger, &entry, 1, NULL), FAULT_NONE);
    frame_give(&entry.frame);
    batch_fini(&batch);
    expect_states(ROW_SCREENED, ROW_SCREENED, ROW_SCREENED, ROW_SCREENED); /* of a program that knew no lives */
    change(2, (struct ledger_life_change){.life = {.state = LIFE_AWAITING}});
    expect_states(ROW_SCREENED, ROW_SCREENED, ROW_SCREENED, ROW_SCREENED);
    change(3, (struct ledger_life_change){.life = {.state = LIFE_AWAITING, .releases = 1}});
    expect_states(ROW_RELEASED, ROW_SCREENED, ROW_SCREENED, ROW_SCREENED);
    change(4, (struct ledger_life_change){.life = {.state = LIFE_RELEASED, .releases = 1}, .expires = true});
    rig_reopen(&rig);
    expect_states(ROW_RELEASED, ROW_EXPIRED, ROW_SCREENED, ROW_EXPIRED);
    change(5, (struct ledger_life_change){.life = {.state = LIFE_CANCELLED}});
    expect_states(ROW_CANCELLED, ROW_EXPIRED, ROW_CANCELLED, ROW_EXPIRED);
    rig_fini(&rig);
}

static void a_release_waits_until_it_is_marked(void **state)
{
    (void)state;
    struct ledger_outbox out;
    struct ledger_life life;
    struct fault_note note = {0};
    rig_init(&rig);
    rig_open(&rig);
    assert_int_equal(ledger_sqlite.outbox_next(rig.ledger, &out, NULL, 0, 1, &note), FAULT_not_found);
    release(1, 1, 1), release(2, 7, 1), release(3, 3, 2);
    rig_reopen(&rig);
    assert_int_equal(ledger_sqlite.life_find(rig.ledger, &life, 3, &note), FAULT_NONE);
    assert_true(life.state == LIFE_RELEASED && life.releases == 2 && life.due_us == 77 && life.changed == 3);
    assert_int_equal(ledger_sqlite.outbox_next(rig.ledger, &out, NULL, 0, 1, &note), FAULT_NONE);
    assert_true(out.batch_sequence == 1 && out.row_count == ROWS && out.payload_digest.high == 1);
    assert_string_equal(out.tenant, "tenant a");
    assert_string_equal(out.batch, "r1");
    assert_string_equal(out.derived_id, "r1/r1");
    uint64_t first = out.entry;
    assert_int_equal(ledger_sqlite.outbox_mark(rig.ledger, first, OUTBOX_WAITING, 1, 500, &note), FAULT_NONE); /* again later */
    assert_int_equal(ledger_sqlite.outbox_next(rig.ledger, &out, "tenant a", 0, 499, &note), FAULT_NONE);
    assert_string_equal(out.derived_id, "r3/r2");
    struct seen seen = {.every = 3};
    assert_int_equal(ledger_sqlite.outbox_rows(rig.ledger, out.entry, rows_seen, &seen, &note), FAULT_NONE);
    assert_true(seen.sequence == 3 && seen.count == (ROWS + 2) / 3 && seen.count == out.row_count);
    assert_int_equal(ledger_sqlite.outbox_next(rig.ledger, &out, "tenant a", 0, 500, &note), FAULT_NONE);
    assert_true(out.entry == first && out.attempts == 1);
    assert_int_equal(ledger_sqlite.outbox_mark(rig.ledger, first, OUTBOX_ACKNOWLEDGED, 2, 0, &note), FAULT_NONE);
    assert_int_equal(ledger_sqlite.outbox_next(rig.ledger, &out, "tenant b", 0, 500, &note), FAULT_NONE);
    assert_string_equal(out.derived_id, "r2/r1");
    assert_int_equal(ledger_sqlite.outbox_next(rig.ledger, &out, "tenant b", out.entry, 500, &note), FAULT_not_found);
    assert_int_equal(ledger_sqlite.outbox_next(rig.ledger, &out, "nobody", 0, 500, &note), FAULT_not_found);
    rig_fini(&rig);
}

static void those_whose_time_is_over_come_in_order(void **state)
{
    (void)state;
    struct ledger_batch out;
    struct ledger_due cursor = {0};
    rig_init(&rig);
    rig_open(&rig);
    for (uint64_t sequence = 1; sequence <= 3; sequence++)
        release(sequence, 1, 1); /* all at the same time */
    assert_int_equal(ledger_sqlite.life_due(rig.ledger, &out, &cursor, 76, NULL), FAULT_not_found);
    for (uint64_t sequence = 1; sequence <= 3; sequence++) {
        assert_int_equal(ledger_sqlite.life_due(rig.ledger, &out, &cursor, 77, NULL), FAULT_NONE);
        assert_true(out.sequence == sequence && cursor.sequence == sequence && cursor.due_us == 77);
    }
    assert_int_equal(ledger_sqlite.life_due(rig.ledger, &out, &cursor, 77, NULL), FAULT_not_found);
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_hold_what_was_put_in),
        cmocka_unit_test(a_row_is_where_its_batch_is_unless_it_differs),
        cmocka_unit_test(a_release_waits_until_it_is_marked),
        cmocka_unit_test(those_whose_time_is_over_come_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
