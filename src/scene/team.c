/* Parts are claimed from one word, (number of the job) · 2^32 + parts left: a claim can only succeed while its job runs, so work and
 * context are read behind it. Threads spin a while for the next job, since training has two jobs in 20 µs, then they sleep. */
#define _GNU_SOURCE
#include "scene/team.h"

#include <sched.h>
#include <stdatomic.h>

#include "base/memory.h"
#include "base/must.h"
#include "base/thread.h"

enum { SPINS_MAX = 4000 };

struct member {
    struct team *team;
    uint32_t number;
};

struct team {
    _Atomic uint64_t word;
    _Atomic uint32_t done, sleeping;
    team_work *work;
    void *context;
    atomic_bool closing;
    uint32_t thread_count; /* beside the caller */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct member members[TEAM_THREADS_MAX];
    struct thread threads[TEAM_THREADS_MAX - 1];
};

static void relax(void)
{
#if defined __x86_64__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

static void work_on(struct team *team, uint32_t thread)
{
    uint64_t seen = atomic_load(&team->word);
    while ((uint32_t)seen > 0) {
        if (!atomic_compare_exchange_weak(&team->word, &seen, seen - 1))
            continue;
        team->work(team->context, (uint32_t)seen - 1, thread);
        atomic_fetch_add(&team->done, 1);
        seen = atomic_load(&team->word);
    }
}

static void sleep_until_work(struct team *team)
{
    MUST(pthread_mutex_lock(&team->lock) == 0);
    atomic_fetch_add(&team->sleeping, 1);
    while ((uint32_t)atomic_load(&team->word) == 0 && !atomic_load(&team->closing))
        MUST(pthread_cond_wait(&team->wake, &team->lock) == 0);
    atomic_fetch_sub(&team->sleeping, 1);
    MUST(pthread_mutex_unlock(&team->lock) == 0);
}

static void thread_run(void *argument)
{
    const struct member *member = argument;
    struct team *team = member->team;
    for (uint32_t spins = 0; !atomic_load(&team->closing);) {
        if ((uint32_t)atomic_load(&team->word) > 0) {
            work_on(team, member->number);
            spins = 0;
        } else if (spins++ < SPINS_MAX) {
            relax();
        } else {
            sleep_until_work(team);
            spins = 0;
        }
    }
}

static uint32_t processor_count(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
}

struct team *team_open(uint32_t threads)
{
    struct team *team = memory_take_zeroed(1, sizeof *team);
    if (!team)
        return NULL;
    threads = threads ? threads : processor_count();
    threads = threads < TEAM_THREADS_MAX ? threads : TEAM_THREADS_MAX;
    MUST(pthread_mutex_init(&team->lock, NULL) == 0 && pthread_cond_init(&team->wake, NULL) == 0);
    for (uint32_t next = 0; next + 1 < threads; next++) {
        team->members[next] = (struct member){.team = team, .number = next + 1};
        if (!thread_start(&team->threads[next], "build", CPU_ANY, thread_run, &team->members[next]))
            break;
        team->thread_count++;
    }
    return team;
}

static void wake_all(struct team *team)
{
    if (atomic_load(&team->sleeping) == 0)
        return;
    MUST(pthread_mutex_lock(&team->lock) == 0);
    MUST(pthread_cond_broadcast(&team->wake) == 0);
    MUST(pthread_mutex_unlock(&team->lock) == 0);
}

void team_close(struct team **team_p)
{
    struct team *team = *team_p;
    *team_p = NULL;
    if (!team)
        return;
    atomic_store(&team->closing, true);
    wake_all(team);
    for (uint32_t i = 0; i < team->thread_count; i++)
        thread_join(&team->threads[i]);
    pthread_cond_destroy(&team->wake);
    pthread_mutex_destroy(&team->lock);
    memory_give(team);
}

uint32_t team_threads(const struct team *team)
{
    return team ? team->thread_count + 1 : 1;
}

void team_run(struct team *team, uint32_t part_count, team_work *work, void *context)
{
    if (!team || team->thread_count == 0 || part_count < 2) {
        for (uint32_t part = 0; part < part_count; part++)
            work(context, part, 0);
        return;
    }
    team->work = work;
    team->context = context;
    atomic_store(&team->done, 0);
    atomic_store(&team->word, ((atomic_load(&team->word) >> 32) + 1) << 32 | part_count);
    wake_all(team);
    work_on(team, 0);
    for (uint32_t spins = 0; atomic_load(&team->done) < part_count;)
        if (spins++ < SPINS_MAX)
            relax();
        else
            sched_yield();
}
