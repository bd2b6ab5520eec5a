/* The ledger is killed at every step of a commit and of retention, twice in the same folder, with groups of three batches, and with all
 * that was not synced forgotten. What was acknowledged is there or was dropped as it should be, a group is there whole or not at all, and
 * nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "fault/fault.h"
#include "unit/ledger/rig.h"

enum { GROUP = 3, GROUPS = 20, GROUPS_TO_CHECKPOINT = 130, ROWS = 20 };

static const char *const points[] = {
    "ledger_append_before",        "ledger_append_after",         "ledger_sync_before",
    "ledger_sync_after",           "ledger_begin_before",         "ledger_inside",
    "ledger_commit_before",        "ledger_commit_after",         "ledger_checkpoint_before",
    "ledger_checkpoint_after",     "ledger_rotate_before_sync",   "ledger_rotate_after_sync",
    "ledger_rotate_after_open",    "ledger_retain_before_commit", "ledger_retain_after_commit",
    "ledger_retain_between_files",
};

/* Commits groups from where the ledger stands and tells each that was acknowledged; dies on the way or ends. */
static void child_run(struct rig *rig, int pipe_end, unsigned groups, bool retains)
{
    rig_open(rig);
    uint64_t sequence = ledger_sqlite.last_sequence(rig->ledger) + 1;
    for (unsigned i = 0; i < groups; i++, sequence += GROUP) {
        MUST(rig_commit(rig, sequence, GROUP, ROWS, OP_screen, NULL) == FAULT_NONE);
        uint64_t last = sequence + GROUP - 1;
        MUST(write(pipe_end, &last, sizeof last) == sizeof last);
        ledger_sqlite.idle(rig->ledger);
        const struct ledger_retention retention = {.before_us = INT64_MAX, .unsettled_us = INT64_MAX, .behind = last / 2};
        for (enum ledger_retained out = RETAINED_DROPPED; retains && out == RETAINED_DROPPED;) /* what a snapshot half way would hold */
            MUST(ledger_sqlite.retain(rig->ledger, &retention, &out, NULL) == FAULT_NONE);
    }
    _exit(0);
}

struct death {
    uint64_t acknowledged;
    bool killed;
};

static struct death child_killed_at(struct rig *rig, const char *point, uint64_t nth, const struct file_ops *files)
{
    struct death death = {0};
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        fault_forget_install();
        file_ops = files;
        fault_failpoint_set(point, nth);
        child_run(rig, ends[1], strstr(point, "checkpoint") ? GROUPS_TO_CHECKPOINT : GROUPS, strstr(point, "retain"));
    }
    close(ends[1]);
    for (uint64_t last; read(ends[0], &last, sizeof last) == sizeof last;)
        death.acknowledged = last;
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    death.killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    assert_true(death.killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    return death;
}

static void house_check(struct rig *rig, uint64_t acknowledged)
{
    rig_open(rig);
    uint64_t last = ledger_sqlite.last_sequence(rig->ledger), kept_from = ledger_sqlite.kept_from(rig->ledger);
    assert_true(last >= acknowledged && last <= acknowledged + GROUP);
    assert_int_equal(last % GROUP, 0);
    assert_true(kept_from <= last / 2 + 1);
    for (uint64_t i = 1; i <= last; i++) {
        struct ledger_request request;
        char id[24];
        snprintf(id, sizeof id, "r%llu", (unsigned long long)i);
        const char *difference = rig_difference(rig, i, ROWS, OP_screen);
        assert_true(i < kept_from ? difference != NULL : difference == NULL);
        assert_int_equal(ledger_sqlite.find_request(rig->ledger, &request, text_of(i % 2 ? "tenant a" : "tenant b"), text_of(id), NULL),
                         FAULT_NONE);
        assert_int_equal(request.sequence, i);
    }
    rig_close(rig);
}

static void nothing_acknowledged_is_lost(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof points / sizeof *points; i++) {
        uint64_t kills = 0;
        bool seldom = strstr(points[i], "checkpoint");
        for (uint64_t nth = 1; nth <= (seldom ? 1 : 3); nth += 2) {
            struct rig rig;
            rig_init(&rig);
            rig.options.segment_bytes_max = 25000;
            struct death first = child_killed_at(&rig, points[i], nth, &file_ops_forget);
            house_check(&rig, first.acknowledged);
            struct death second = child_killed_at(&rig, points[i], seldom ? 1 : nth + 1, &file_ops_forget);
            house_check(&rig, second.acknowledged ? second.acknowledged : first.acknowledged);
            kills += first.killed + second.killed;
            rig_fini(&rig);
        }
        print_message("%s: %u kills\n", points[i], (unsigned)kills);
        assert_true(kills >= 2);
    }
}

/* The shims would show a missing sync: a ledger that does not sync its segments loses what it acknowledged. */
static int no_sync(int fd)
{
    (void)fd;
    return 0;
}

static void a_missing_sync_is_seen(void **state)
{
    (void)state;
    struct rig rig;
    struct fault_note note = {0};
    struct file_ops lazy = file_ops_forget;
    lazy.sync = no_sync;
    rig_init(&rig);
    struct death death = child_killed_at(&rig, "ledger_begin_before", 3, &lazy);
    assert_true(death.killed && death.acknowledged == 2 * GROUP);
    assert_int_equal(ledger_sqlite.open(&rig.ledger, &rig.options, &note), FAULT_ledger);
    assert_non_null(strstr(note.text, "segment 1 ends at 0"));
    rig_fini(&rig);
}

static int no_sync_folder(const char *path)
{
    (void)path;
    return 0;
}

static void a_missing_sync_of_a_name_is_seen(void **state)
{
    (void)state;
    struct rig rig;
    struct fault_note note = {0};
    struct file_ops lazy = file_ops_forget;
    lazy.sync_folder = no_sync_folder;
    rig_init(&rig);
    struct death death = child_killed_at(&rig, "ledger_begin_before", 3, &lazy);
    assert_true(death.killed && death.acknowledged == 2 * GROUP);
    assert_int_equal(ledger_sqlite.open(&rig.ledger, &rig.options, &note), FAULT_ledger);
    assert_non_null(strstr(note.text, "segment 1 ends at 0"));
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_acknowledged_is_lost),
        cmocka_unit_test(a_missing_sync_is_seen),
        cmocka_unit_test(a_missing_sync_of_a_name_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
