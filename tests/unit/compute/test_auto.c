/* device auto, with the loader's vendors hidden: it goes on without OpenCL, gives the bits of ref for slices of any size, and
 * frees what it took when memory runs out. With a device: test_opencl.c. */
#include "unit/compute/fixture.h"

#include "base/memory.h"
#include "compute/internal.h"

static void the_fastest_is_chosen(void **unused)
{
    (void)unused;
    uint8_t choice[DEVICE_SIZES];
    const double seconds[MEMBER_COUNT][DEVICE_SIZES] = {{1, 1, 1}, {0, 0.97, 5}, {0, 0.9, 0.5}};
    device_choose(choice, seconds);
    assert_int_equal(choice[0], 0); /* nothing else is there */
    assert_int_equal(choice[1], 2);
    assert_int_equal(choice[2], 2);
    const double near[MEMBER_COUNT][DEVICE_SIZES] = {{1, 1, 1}, {0.97, 0.5, 0.5}, {0.96, 0.4, 0.49}};
    device_choose(choice, near);
    assert_int_equal(choice[0], 0); /* not faster by a twentieth */
    assert_int_equal(choice[1], 2);
    assert_int_equal(choice[2], 1);
}

static void scores_are_refs(void **unused)
{
    (void)unused;
    static const uint32_t row_counts[] = {0, 1, 17, 64, 65, 512, 513, SLICE_ROWS};
    for (size_t i = 0; i < sizeof row_counts / sizeof *row_counts; i++) {
        struct fixture fixture;
        struct opened ref, other;
        struct scores wanted, got;
        fixture_init(&fixture, row_counts[i], i & 1);
        assert_int_equal(opened_init(&ref, &device_ref, CPU_MASK_ALL, &fixture.base, NULL), FAULT_NONE);
        assert_int_equal(opened_init(&other, &device_auto, CPU_MASK_ALL, &fixture.base, NULL), FAULT_NONE);
        assert_int_equal(strncmp(device_auto.describe(other.device), "auto: ", 6), 0);
        for (unsigned choice = 0; choice < DEVICE_SIZES; choice++)
            assert_non_null(other.resident->members[other.resident->choice[choice]]);
        assert_int_equal(ref.ops->score(&wanted, ref.scratch, ref.resident, &fixture.features, NULL), FAULT_NONE);
        assert_int_equal(other.ops->score(&got, other.scratch, other.resident, &fixture.features, NULL), FAULT_NONE);
        scores_equal(&got, &wanted, &fixture.base, row_counts[i]);
        opened_fini(&other);
        opened_fini(&ref);
        arena_fini(&fixture.arena);
    }
}

static void memory_runs_out(void **unused)
{
    (void)unused;
    struct fixture fixture;
    fixture_init(&fixture, 16, true);
    uint64_t live = memory_live_count();
    enum fault fault = FAULT_memory;
    unsigned nth = 0;
    for (; fault != FAULT_NONE; nth++) {
        struct opened opened;
        struct fault_note note = {0};
        memory_fail_at(nth);
        fault = opened_init(&opened, &device_auto, CPU_MASK_ALL, &fixture.base, &note);
        memory_fail_at(UINT64_MAX);
        assert_true(fault == FAULT_NONE || (fault == FAULT_memory && note.text[0]));
        opened_fini(&opened);
        assert_int_equal(memory_live_count(), live);
    }
    assert_true(nth >= 10);
    arena_fini(&fixture.arena);
}

int main(void)
{
    seed_take();
    setenv("OCL_ICD_VENDORS", "/nowhere", 1);
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_fastest_is_chosen), cmocka_unit_test(scores_are_refs),
                                       cmocka_unit_test(memory_runs_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
