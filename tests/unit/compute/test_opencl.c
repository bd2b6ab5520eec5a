/* The device opencl: the bits of ref on random bases, from several threads at once; a slice that it fails at is scored by
 * the processor; without a device it is refused in plain words. */
#include "unit/compute/fixture.h"

#include <pthread.h>

#include "base/memory.h"
#include "compute/internal.h"
#include "compute/opencl.h"

static bool is_there;

static void skip_without_device(void)
{
    if (!is_there)
        skip();
}

static void agrees_on(uint32_t rows, bool whole)
{
    struct fixture fixture;
    struct opened ref, other;
    struct scores wanted, got;
    fixture_init(&fixture, rows, whole);
    assert_int_equal(opened_init(&ref, &device_ref, CPU_MASK_ALL, &fixture.base, NULL), FAULT_NONE);
    assert_int_equal(opened_init(&other, &device_opencl, CPU_MASK_ALL, &fixture.base, NULL), FAULT_NONE);
    assert_int_equal(ref.ops->score(&wanted, ref.scratch, ref.resident, &fixture.features, NULL), FAULT_NONE);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(other.ops->score(&got, other.scratch, other.resident, &fixture.features, NULL), FAULT_NONE);
        assert_false(got.fell_back);
        scores_equal(&got, &wanted, &fixture.base, rows);
    }
    opened_fini(&other);
    opened_fini(&ref);
    arena_fini(&fixture.arena);
}

static void agrees_with_ref(void **unused)
{
    (void)unused;
    static const uint32_t row_counts[] = {0, 1, 15, 16, 17, 100, 255, 256, 257, 511, 1000, SLICE_ROWS};
    skip_without_device();
    for (size_t i = 0; i < sizeof row_counts / sizeof *row_counts; i++)
        agrees_on(row_counts[i], i == 0);
    for (int i = 0; i < 8; i++)
        agrees_on(below(SLICE_ROWS + 1), true);
}

static void slices_of_any_size_follow_each_other(void **unused)
{
    (void)unused;
    struct fixture fixture;
    struct opened ref, other;
    struct scores wanted, got;
    skip_without_device();
    fixture_init(&fixture, SLICE_ROWS, true);
    assert_int_equal(opened_init(&ref, &device_ref, CPU_MASK_ALL, &fixture.base, NULL), FAULT_NONE);
    assert_int_equal(opened_init(&other, &device_opencl, CPU_MASK_ALL, &fixture.base, NULL), FAULT_NONE);
    for (int i = 0; i < 20; i++) {
        struct feature_block part = fixture.features;
        part.row_count = below(SLICE_ROWS + 1);
        ref.ops->score(&wanted, ref.scratch, ref.resident, &part, NULL);
        other.ops->score(&got, other.scratch, other.resident, &part, NULL);
        scores_equal(&got, &wanted, &fixture.base, part.row_count);
    }
    opened_fini(&other);
    opened_fini(&ref);
    arena_fini(&fixture.arena);
}

/* --- threads ------------------------------------------------------------------------------------------------------------- */

enum { ROWS = 700 };

struct thread {
    pthread_t thread;
    const struct fixture *fixture;
    const struct opened *opened;
    struct scores wanted;
    bool same, taken;
};

static void *thread_scores(void *argument)
{
    struct thread *thread = argument;
    struct scratch *scratch = NULL;
    struct scores got;
    thread->same = true;
    thread->taken = thread->opened->ops->scratch_take(&scratch, thread->opened->resident, NULL) == FAULT_NONE;
    for (int i = 0; i < 20 && thread->taken; i++) {
        thread->opened->ops->score(&got, scratch, thread->opened->resident, &thread->fixture->features, NULL);
        for (unsigned g = 0; g < DIMENSION_COUNT; g++)
            thread->same &= rows_equal(got.distance[g], thread->wanted.distance[g], thread->fixture->base.scene_count, ROWS);
        for (unsigned a = 0; a < ANOMALY_COUNT; a++)
            thread->same &= rows_equal(got.anomaly[a], thread->wanted.anomaly[a], 1, ROWS);
    }
    thread->opened->ops->scratch_give(&scratch);
    return NULL;
}

/* With failures coming and going, too: whoever meets one scores by itself. */
static void threads_agree_whatever_fails(void **unused)
{
    (void)unused;
    struct fixture fixture;
    struct opened ref, opened;
    struct thread threads[4];
    struct scores wanted;
    skip_without_device();
    fixture_init(&fixture, ROWS, true);
    assert_int_equal(opened_init(&ref, &device_ref, CPU_MASK_ALL, &fixture.base, NULL), FAULT_NONE);
    assert_int_equal(ref.ops->score(&wanted, ref.scratch, ref.resident, &fixture.features, NULL), FAULT_NONE);
    for (int failing = 0; failing < 3; failing++) {
        assert_int_equal(opened_init(&opened, &device_opencl, CPU_MASK_ALL, &fixture.base, NULL), FAULT_NONE);
        for (int t = 0; t < 4; t++) {
            threads[t] = (struct thread){.fixture = &fixture, .opened = &opened, .wanted = wanted};
            assert_int_equal(pthread_create(&threads[t].thread, NULL, thread_scores, &threads[t]), 0);
        }
        for (int i = 0; i < 40 && failing == 1; i++) {
            const struct timespec pause = {.tv_nsec = 2000000};
            opencl_fail_at(below(5), 1 + below(3));
            nanosleep(&pause, NULL);
        }
        if (failing == 2)
            opencl_fail_at(30, UINT64_MAX);
        for (int t = 0; t < 4; t++)
            pthread_join(threads[t].thread, NULL);
        opencl_fail_at(UINT64_MAX, 0);
        for (int t = 0; t < 4; t++)
            assert_true(threads[t].same && (threads[t].taken || failing));
        opened_fini(&opened);
    }
    opened_fini(&ref);
    arena_fini(&fixture.arena);
}

/* --- failures ------------------------------------------------------------------------------------------------------------ */

/* Every call of a slice fails once: the processor takes over, and the next slice is the device's again. */
static void a_failed_slice_is_the_processors(void **unused)
{
    (void)unused;
    struct fixture fixture;
    struct opened ref, other;
    struct scores wanted, got;
    skip_without_device();
    fixture_init(&fixture, ROWS, true);
    assert_int_equal(opened_init(&ref, &device_ref, CPU_MASK_ALL, &fixture.base, NULL), FAULT_NONE);
    assert_int_equal(opened_init(&other, &device_opencl, CPU_MASK_ALL, &fixture.base, NULL), FAULT_NONE);
    assert_int_equal(ref.ops->score(&wanted, ref.scratch, ref.resident, &fixture.features, NULL), FAULT_NONE);
    unsigned fell_back = 0;
    for (uint64_t nth = 0; nth < 6; nth++) {
        opencl_fail_at(nth, 1);
        assert_int_equal(other.ops->score(&got, other.scratch, other.resident, &fixture.features, NULL), FAULT_NONE);
        scores_equal(&got, &wanted, &fixture.base, ROWS);
        fell_back += got.fell_back;
        opencl_fail_at(UINT64_MAX, 0);
        assert_int_equal(other.ops->score(&got, other.scratch, other.resident, &fixture.features, NULL), FAULT_NONE);
        assert_false(got.fell_back);
        scores_equal(&got, &wanted, &fixture.base, ROWS);
    }
    assert_int_equal(fell_back, 4); /* write, argument, launch, read */
    opened_fini(&other);
    opened_fini(&ref);
    arena_fini(&fixture.arena);
}

/* A device that goes on failing is given up, and a new opening finds it again. */
static void a_lost_device_is_not_asked_again(void **unused)
{
    (void)unused;
    struct fixture fixture;
    struct opened ref, lost, again;
    struct scores wanted, got;
    skip_without_device();
    fixture_init(&fixture, ROWS, true);
    assert_int_equal(opened_init(&ref, &device_ref, CPU_MASK_ALL, &fixture.base, NULL), FAULT_NONE);
    assert_int_equal(opened_init(&lost, &device_opencl, CPU_MASK_ALL, &fixture.base, NULL), FAULT_NONE);
    assert_int_equal(ref.ops->score(&wanted, ref.scratch, ref.resident, &fixture.features, NULL), FAULT_NONE);
    opencl_fail_at(0, UINT64_MAX);
    for (int i = 0; i < 10; i++)
        assert_int_equal(lost.ops->score(&got, lost.scratch, lost.resident, &fixture.features, NULL), FAULT_NONE);
    opencl_fail_at(UINT64_MAX, 0);
    assert_int_equal(lost.ops->score(&got, lost.scratch, lost.resident, &fixture.features, NULL), FAULT_NONE);
    assert_true(got.fell_back);
    scores_equal(&got, &wanted, &fixture.base, ROWS);
    assert_int_equal(opened_init(&again, &device_opencl, CPU_MASK_ALL, &fixture.base, NULL), FAULT_NONE);
    assert_int_equal(again.ops->score(&got, again.scratch, again.resident, &fixture.features, NULL), FAULT_NONE);
    assert_false(got.fell_back);
    opened_fini(&lost);
    opened_fini(&again);
    opened_fini(&ref);
    arena_fini(&fixture.arena);
}

/* Whatever call of an opening fails, it is a fault with words, and nothing of ours stays. */
static void an_opening_fails_cleanly(void **unused)
{
    (void)unused;
    struct fixture fixture;
    skip_without_device();
    fixture_init(&fixture, 16, true);
    uint64_t live = memory_live_count();
    for (int kind = 0; kind < 2; kind++) {
        enum fault fault = FAULT_device;
        unsigned nth = 0;
        for (; fault != FAULT_NONE; nth++) {
            struct opened opened;
            struct fault_note note = {0};
            kind ? memory_fail_at(nth) : opencl_fail_at(nth, 1);
            fault = opened_init(&opened, &device_opencl, CPU_MASK_ALL, &fixture.base, &note);
            kind ? memory_fail_at(UINT64_MAX) : opencl_fail_at(UINT64_MAX, 0);
            assert_true(fault == FAULT_NONE || ((fault == FAULT_memory || !kind) && note.text[0]));
            opened_fini(&opened);
            assert_int_equal(memory_live_count(), live);
        }
        assert_true(nth >= 10);
    }
    arena_fini(&fixture.arena);
}

static void names_and_refusals(void **unused)
{
    (void)unused;
    struct device *device = NULL;
    struct fault_note note = {0};
    struct device_options options = {.cpu_mask = CPU_MASK_ALL, .name = "opencl:15"};
    assert_ptr_equal(device_find("opencl"), &device_opencl);
    assert_ptr_equal(device_find("opencl:1"), &device_opencl);
    assert_null(device_find("opencl:"));
    assert_null(device_find("opencl:x"));
    assert_null(device_find("opencl:1000"));
    assert_null(device_find("opencl1"));
    assert_int_equal(device_opencl.open(&device, &options, &note), FAULT_device);
    assert_null(device);
    assert_non_null(strstr(note.text, "no OpenCL device"));
    if (!is_there)
        return;
    options.name = "opencl";
    assert_int_equal(device_opencl.open(&device, &options, &note), FAULT_NONE);
    assert_int_equal(strncmp(device_opencl.describe(device), "opencl ", 7), 0);
    device_opencl.close(&device);
}

int main(void)
{
    struct opencl_info infos[OPENCL_DEVICES_MAX];
    char why[80];
    seed_take();
    is_there = opencl_list(infos, why) > 0;
    if (!is_there)
        printf("skipped: no OpenCL device: %s\n", why);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_ref),
        cmocka_unit_test(slices_of_any_size_follow_each_other),
        cmocka_unit_test(threads_agree_whatever_fails),
        cmocka_unit_test(a_failed_slice_is_the_processors),
        cmocka_unit_test(a_lost_device_is_not_asked_again),
        cmocka_unit_test(an_opening_fails_cleanly),
        cmocka_unit_test(names_and_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
