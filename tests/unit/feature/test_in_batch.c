/* Figures of rows received together: against their definition by comparing every row with every other, whatever the order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feature/feature.h"

enum figure {
#define IN_BATCH(name, text) IN_BATCH_##name,
#include "feature/in_batch.tbl"
#undef IN_BATCH
    IN_BATCH_COUNT
};

static uint64_t state_of_random;

static uint64_t below(uint64_t bound)
{
    uint64_t x = state_of_random += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (x ^ x >> 31) % bound;
}

static void batch_open(struct batch *out, uint32_t row_count)
{
    struct fault_note note = {0};
    size_t bytes = row_count * (8 + 8 + 8 + 1) + 4 * 64;
    assert_int_equal(batch_init(out, bytes + feature_in_batch_bytes(row_count), &note), FAULT_NONE);
    out->op = OP_screen;
    out->row_count = row_count;
    out->facts.payer = arena_take(&out->arena, row_count * sizeof(uint64_t), 64);
    out->facts.payee = arena_take(&out->arena, row_count * sizeof(uint64_t), 64);
    out->facts.amount = arena_take(&out->arena, row_count * sizeof(int64_t), 64);
    out->facts.invalid = arena_take_zeroed(&out->arena, row_count, 64);
}

static void rows_fill(struct batch *batch, uint64_t accounts, bool wild)
{
    const struct batch_facts *facts = &batch->facts;
    for (uint32_t i = 0; i < batch->row_count; i++) {
        facts->payer[i] = 1 + below(accounts);
        facts->payee[i] = 1 + below(accounts);
        facts->amount[i] = 9900 + (int64_t)below(300);
        if (wild)
            facts->amount[i] = (int64_t[]){0, 1, 99, 100, 101, INT64_MAX, INT64_MAX - INT64_MAX / 100, INT64_MIN, 5}[below(9)];
        facts->invalid[i] = below(9) == 0;
    }
}

static bool near(int64_t a, int64_t b)
{
    uint64_t x = a > 0 ? (uint64_t)a : 0, y = b > 0 ? (uint64_t)b : 0, high = x > y ? x : y;
    return high - (x + y - high) <= high / 100;
}

static void expected_row(float out[IN_BATCH_COUNT], const struct batch_facts *facts, uint32_t row_count, uint32_t row)
{
    uint32_t payers = 0, payees = 0, same = 0, close = 0;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < row_count; i++) {
        if (facts->invalid[i])
            continue;
        bool first_from = facts->payee[i] == facts->payee[row], first_to = facts->payer[i] == facts->payer[row];
        for (uint32_t j = 0; j < i; j++) {
            if (facts->invalid[j])
                continue;
            first_from &= !(facts->payer[j] == facts->payer[i] && facts->payee[j] == facts->payee[i]);
            first_to &= !(facts->payer[j] == facts->payer[i] && facts->payee[j] == facts->payee[i]);
        }
        payers += first_from;
        payees += first_to;
        if (facts->payer[i] != facts->payer[row] || facts->payee[i] != facts->payee[row])
            continue;
        uint64_t amount = facts->amount[i] > 0 ? (uint64_t)facts->amount[i] : 0;
        same++;
        sum = sum + amount < sum ? UINT64_MAX : sum + amount;
        close += i != row && near(facts->amount[i], facts->amount[row]);
    }
    out[IN_BATCH_fan_in_payers] = (float)payers;
    out[IN_BATCH_fan_out_payees] = (float)payees;
    out[IN_BATCH_split_rows] = (float)same;
    out[IN_BATCH_split_sum] = (float)sum;
    out[IN_BATCH_near_duplicates] = (float)close;
    for (unsigned f = 0; f < IN_BATCH_COUNT; f++)
        out[f] = facts->invalid[row] ? -1.0f : out[f];
}

static void join(struct batch *batch)
{
    struct fault_note note = {0};
    if (feature_in_batch(batch, &note) != FAULT_NONE)
        fail_msg("%s", note.text);
}

static void test_definitions(void **state)
{
    (void)state;
    const uint32_t counts[] = {1, 2, 3, 17, 150, 300};
    for (unsigned c = 0; c < sizeof counts / sizeof *counts; c++)
        for (uint64_t accounts = 1; accounts < 50; accounts = 3 * accounts + 1)
            for (int wild = 0; wild < 2; wild++) {
                struct batch batch;
                float expected[IN_BATCH_COUNT];
                batch_open(&batch, counts[c]);
                rows_fill(&batch, accounts, wild);
                join(&batch);
                for (uint32_t row = 0; row < counts[c]; row++) {
                    expected_row(expected, &batch.facts, counts[c], row);
                    for (unsigned f = 0; f < IN_BATCH_COUNT; f++)
                        assert_true(batch.facts.in_batch[f][row] == expected[f]);
                }
                batch_fini(&batch);
            }
}

static void test_order_tells_nothing(void **state)
{
    (void)state;
    enum { ROWS = 5000 };
    static uint32_t to[ROWS];
    struct batch batch, other;
    batch_open(&batch, ROWS);
    batch_open(&other, ROWS);
    rows_fill(&batch, 60, false);
    for (uint32_t i = 0; i < ROWS; i++) {
        uint32_t j = (uint32_t)below(i + 1);
        to[i] = to[j];
        to[j] = i;
    }
    for (uint32_t i = 0; i < ROWS; i++) {
        other.facts.payer[to[i]] = batch.facts.payer[i];
        other.facts.payee[to[i]] = batch.facts.payee[i];
        other.facts.amount[to[i]] = batch.facts.amount[i];
        other.facts.invalid[to[i]] = batch.facts.invalid[i];
    }
    join(&batch);
    join(&other);
    for (unsigned f = 0; f < IN_BATCH_COUNT; f++)
        for (uint32_t i = 0; i < ROWS; i++)
            assert_true(batch.facts.in_batch[f][i] == other.facts.in_batch[f][to[i]]);
    batch_fini(&batch);
    batch_fini(&other);
}

/* One pair for all rows, and keys that differ in few bits: still linear, and scratch is given back. */
static void test_worst_cases(void **state)
{
    (void)state;
    enum { ROWS = 200000 };
    struct batch batch;
    batch_open(&batch, ROWS);
    for (uint32_t i = 0; i < ROWS; i++) {
        batch.facts.payer[i] = batch.facts.payee[i] = 1;
        batch.facts.amount[i] = 1000000 + i % 3;
    }
    join(&batch);
    assert_true(batch.facts.in_batch[IN_BATCH_near_duplicates][ROWS - 1] == ROWS - 1);
    assert_true(batch.facts.in_batch[IN_BATCH_fan_in_payers][7] == 1.0f);
    size_t used = batch.arena.used;
    for (uint32_t i = 0; i < ROWS; i++) {
        batch.facts.payer[i] = (uint64_t)i << 40;
        batch.facts.payee[i] = (uint64_t)i << 32;
    }
    join(&batch);
    assert_int_equal(batch.arena.used, used);
    assert_true(batch.facts.in_batch[IN_BATCH_split_rows][ROWS / 2] == 1.0f);
    batch_fini(&batch);
}

static void test_no_rows_and_no_room(void **state)
{
    (void)state;
    struct batch batch;
    struct fault_note note = {0};
    batch_open(&batch, 0);
    join(&batch);
    batch_fini(&batch);
    batch_open(&batch, 1000);
    rows_fill(&batch, 10, false);
    arena_take(&batch.arena, 2000, 64);
    assert_int_equal(feature_in_batch(&batch, &note), FAULT_limit);
    assert_non_null(strstr(note.text, "too small"));
    batch_fini(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definitions),
        cmocka_unit_test(test_order_tells_nothing),
        cmocka_unit_test(test_worst_cases),
        cmocka_unit_test(test_no_rows_and_no_room),
    };
    const char *seed = getenv("SLUICE_SEED");
    state_of_random = seed ? strtoull(seed, NULL, 0) : 6;
    printf("seed %llu (SLUICE_SEED)\n", (unsigned long long)state_of_random);
    return cmocka_run_group_tests_name("in batch", tests, NULL, NULL);
}
