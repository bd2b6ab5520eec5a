/* Every part of every job is done once, by whatever thread, before team_run returns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "scene/team.h"

enum { PARTS = 200 };

struct job {
    uint32_t thread[PARTS];
    uint32_t times[PARTS]; /* a part is its thread's alone */
    uint64_t sum;          /* of what the job before left */
    const struct job *before;
    uint64_t found[PARTS];
};

static void count_part(void *context, uint32_t part, uint32_t thread)
{
    struct job *job = context;
    job->thread[part] = thread;
    job->times[part]++;
    job->found[part] = job->before ? job->before->sum + part : part;
}

static void every_part_once(void **state)
{
    (void)state;
    static struct job jobs[2];
    for (uint32_t threads = 0; threads <= 5; threads++) {
        struct team *team = threads ? team_open(threads) : NULL;
        uint64_t sum = 0;
        memset(jobs, 0, sizeof jobs);
        for (uint32_t round = 0; round < 2000; round++) {
            struct job *job = &jobs[round % 2];
            uint32_t parts = round * 7 % (PARTS + 1);
            memset(job, 0, sizeof *job);
            job->before = &jobs[(round + 1) % 2];
            team_run(team, parts, count_part, job);
            for (uint32_t part = 0; part < PARTS; part++) {
                assert_int_equal(job->times[part], part < parts);
                assert_int_equal(job->found[part], part < parts ? sum + part : 0);
                assert_true(job->thread[part] < team_threads(team));
            }
            job->sum = sum = sum + round;
        }
        team_close(&team);
        assert_null(team);
    }
}

static void sleeping_threads_wake(void **state)
{
    (void)state;
    static struct job job;
    struct team *team = team_open(3);
    for (int round = 0; round < 3; round++) {
        const struct timespec pause = {.tv_nsec = 5000000};
        nanosleep(&pause, NULL);
        memset(&job, 0, sizeof job);
        team_run(team, PARTS, count_part, &job);
        for (uint32_t part = 0; part < PARTS; part++)
            assert_int_equal(job.times[part], 1);
    }
    team_close(&team);
}

static void no_memory_is_no_team(void **state)
{
    (void)state;
    static struct job job;
    uint64_t live = memory_live_count();
    for (uint64_t nth = 0; nth < 4; nth++) {
        memory_fail_at(nth);
        struct team *team = team_open(3);
        memory_fail_at(UINT64_MAX);
        assert_true((team == NULL) == (nth == 0));
        memset(&job, 0, sizeof job);
        team_run(team, PARTS, count_part, &job);
        assert_int_equal(job.times[PARTS - 1], 1);
        team_close(&team);
    }
    assert_int_equal(memory_live_count(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_once),
        cmocka_unit_test(sleeping_threads_wake),
        cmocka_unit_test(no_memory_is_no_team),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
