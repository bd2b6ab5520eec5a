/* The table of records by itself, against a list of what should be in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "history/table.h"

enum { RECORD_BYTES = 24, HOUR = 3600 };

struct case_table {
    struct table table;
    struct table_counts counts;
};

static void table_open(struct case_table *out, uint64_t set_count)
{
    *out = (struct case_table){.table = {.set_count = set_count, .record_bytes = RECORD_BYTES}};
    out->table.counts = &out->counts;
    out->table.sets = calloc(set_count, table_set_bytes(RECORD_BYTES));
}

static void table_close(struct case_table *table)
{
    free(table->table.sets);
}

static uint32_t find(const struct case_table *table, uint64_t key)
{
    struct lookup lookup = lookup_of(hash_mix(key));
    return table_find(&table->table, &lookup, RECORD_BYTES, true);
}

static uint32_t make(struct case_table *table, uint64_t key, uint32_t second)
{
    struct lookup lookup = lookup_of(hash_mix(key));
    if (table_find(&table->table, &lookup, RECORD_BYTES, true) == SLOT_NONE) {
        lookup_set(&lookup, &table->table, table_room(&table->table, lookup.hash), RECORD_BYTES);
        table_claim(&table->table, lookup.slot, lookup.hash, true);
    }
    table_touch(&table->table, &lookup, second);
    return lookup.slot;
}

static void test_finds_what_is_there(void **state)
{
    (void)state;
    struct case_table table;
    table_open(&table, table_set_count(1000));
    for (uint64_t key = 1; key <= 1000; key++)
        make(&table, key, HOUR);
    uint64_t found = 0;
    for (uint64_t key = 1; key <= 1000; key++)
        found += find(&table, key) != SLOT_NONE;
    assert_int_equal(found, table.counts.used);
    assert_int_equal(found + table.counts.evicted, 1000);
    for (uint64_t key = 1001; key <= 100000; key++)
        assert_int_equal(find(&table, key), SLOT_NONE);
    table_close(&table);
}

/* One set, full: the one that was active longest ago goes; being told of earlier activity does not age it. */
static void test_longest_idle_goes(void **state)
{
    (void)state;
    struct case_table table;
    table_open(&table, 1);
    for (uint32_t key = 1; key <= SET_SLOTS; key++)
        make(&table, key, 1000 * HOUR + (key * 7 % SET_SLOTS) * HOUR);
    make(&table, 5, 10 * HOUR); /* 5 was active at 1003, 16 at 1000, 7 at 1001 */
    make(&table, 100, 1100 * HOUR);
    assert_int_equal(find(&table, 16), SLOT_NONE);
    make(&table, 101, 1100 * HOUR);
    assert_int_equal(find(&table, 7), SLOT_NONE);
    make(&table, 14, 1100 * HOUR); /* it was at 1002: now the next is 5 */
    make(&table, 102, 1100 * HOUR);
    assert_int_equal(find(&table, 5), SLOT_NONE);
    assert_int_equal(table.counts.used, SET_SLOTS);
    assert_int_equal(table.counts.evicted, 3);
    table_close(&table);
}

static void test_among_equals_the_hash_picks(void **state)
{
    (void)state;
    bool picked[SET_SLOTS] = {false};
    unsigned count = 0;
    for (uint64_t newcomer = 1000; newcomer < 1200; newcomer++) {
        struct case_table table;
        table_open(&table, 1);
        for (uint64_t key = 1; key <= SET_SLOTS; key++)
            make(&table, key, 50 * HOUR);
        uint32_t slot = make(&table, newcomer, 50 * HOUR);
        count += !picked[slot];
        picked[slot] = true;
        table_close(&table);
    }
    assert_int_equal(count, SET_SLOTS);
}

/* A released slot is used again, and what lies in a second set stays found. */
static void test_release(void **state)
{
    (void)state;
    struct case_table table;
    table_open(&table, 4);
    for (uint64_t key = 1; key <= 60; key++)
        make(&table, key, HOUR);
    uint64_t used = table.counts.used;
    for (uint64_t key = 1; key <= 60; key += 3)
        if (find(&table, key) != SLOT_NONE)
            table_release(&table.table, find(&table, key)), used--;
    assert_int_equal(table.counts.used, used);
    uint64_t found = 0;
    for (uint64_t key = 1; key <= 60; key++)
        found += find(&table, key) != SLOT_NONE;
    assert_int_equal(found, used);
    uint64_t evicted = table.counts.evicted;
    for (uint64_t round = 0; round < 100; round++) {
        uint32_t slot = make(&table, 1000 + round, HOUR);
        table_release(&table.table, slot);
    }
    assert_true(table.counts.evicted - evicted <= 100 / 4); /* those whose two sets hold nothing but others */
    table_close(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_what_is_there),
        cmocka_unit_test(test_longest_idle_goes),
        cmocka_unit_test(test_among_equals_the_hash_picks),
        cmocka_unit_test(test_release),
    };
    return cmocka_run_group_tests_name("history table", tests, NULL, NULL);
}
