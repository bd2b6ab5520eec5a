/* A full disk: what cannot be recorded is refused by name, what was recorded stays readable, and the ledger goes on when
 * there is room again. By a counted disk under file_ops, and by a small file system of its own where one may be mounted. */
#define _GNU_SOURCE /* mount, unshare */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include "base/memory.h"
#include "fault/fault.h"
#include "unit/ledger/rig.h"

static off_t reserve_size(const struct rig *rig)
{
    char path[128];
    struct stat status;
    rig_path(path, rig, "reserve");
    return stat(path, &status) == 0 ? status.st_size : -1;
}

static uint64_t commit_until_full(struct rig *rig, struct fault_note *note)
{
    uint64_t sequence = ledger_sqlite.last_sequence(rig->ledger) + 1;
    for (unsigned i = 0; i < 2000; i++, sequence += 2)
        if (rig_commit(rig, sequence, 2, 200, OP_screen, note) != FAULT_NONE)
            return sequence - 1;
    fail_msg("the disk never became full");
    return 0;
}

static void assert_all_there(struct rig *rig, uint64_t last)
{
    assert_int_equal(ledger_sqlite.last_sequence(rig->ledger), last);
    for (uint64_t i = 1; i <= last; i++)
        assert_null(rig_difference(rig, i, 200, OP_screen));
}

static void segments_find_no_room(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    file_ops = &file_ops_full;
    for (int64_t bytes = 100000; bytes < 160000; bytes += 7919) {
        struct fault_note note = {0};
        fault_disk_bytes_set(bytes);
        rig.options.segment_bytes_max = bytes / 3;
        rig_open(&rig);
        uint64_t last = commit_until_full(&rig, &note);
        assert_int_equal(note.fault, FAULT_ledger);
        assert_non_null(strstr(note.text, "disk full"));
        assert_all_there(&rig, last);
        fault_disk_bytes_set(0);
        assert_int_equal(rig_commit(&rig, last + 1, 1, 200, OP_screen, &note), FAULT_ledger);
        assert_non_null(strstr(note.text, "disk full"));
        fault_disk_bytes_set(1 << 20);
        assert_int_equal(rig_commit(&rig, last + 1, 1, 200, OP_screen, &note), FAULT_NONE);
        rig_reopen(&rig);
        assert_all_there(&rig, last + 1);
        rig_fini(&rig);
        rig_init(&rig);
    }
    file_ops = &file_ops_system;
    rig_fini(&rig);
}

static void opens_without_room_for_its_reserve(void **state)
{
    (void)state;
    struct rig rig;
    struct fault_note note = {0};
    rig_init(&rig);
    rig_open(&rig);
    rig_commit(&rig, 1, 2, 200, OP_screen, NULL);
    rig_close(&rig);
    file_ops = &file_ops_full;
    fault_disk_bytes_set(0);
    rig.options.reserve_bytes = 1 << 20;
    rig_open(&rig);
    assert_all_there(&rig, 2);
    assert_int_equal(rig_commit(&rig, 3, 1, 200, OP_screen, &note), FAULT_ledger);
    assert_non_null(strstr(note.text, "disk full"));
    assert_int_equal(ledger_sqlite.document_put(rig.ledger, "base", (struct digest){1, 1}, "b", "x", 1, &note), FAULT_ledger);
    fault_disk_bytes_set(2 << 20);
    assert_int_equal(rig_commit(&rig, 3, 1, 200, OP_screen, &note), FAULT_NONE);
    assert_all_there(&rig, 3);
    file_ops = &file_ops_system;
    rig_fini(&rig);
}

/* In a mount namespace of its own, so that nothing stays mounted whatever becomes of the test. */
static bool disk_mount(const char *folder)
{
    bool own = unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    if (own && mount("tmpfs", folder, "tmpfs", 0, "size=6m") == 0)
        return true;
    print_message("skipped: no file system may be mounted here (%s)\n", strerror(errno));
    return false;
}

static void fill(const char *path, size_t bytes)
{
    static const char zeros[4096];
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    for (size_t done = 0; done < bytes && write(fd, zeros, sizeof zeros) == (ssize_t)sizeof zeros; done += sizeof zeros)
        ;
    close(fd);
}

static void a_real_disk_is_full(void **state)
{
    (void)state;
    struct rig rig;
    struct fault_note note = {0};
    char ballast[128], more[128];
    rig_init(&rig);
    if (!disk_mount(rig.folder)) {
        rig_fini(&rig);
        skip();
    }
    rig_path(ballast, &rig, "ballast"), rig_path(more, &rig, "more");
    rig.options.reserve_bytes = 1 << 20;
    fill(ballast, 2 << 20);
    rig_open(&rig);
    uint64_t last = commit_until_full(&rig, &note);
    assert_non_null(strstr(note.text, "disk full"));
    assert_all_there(&rig, last);
    assert_int_equal(reserve_size(&rig), 0);
    assert_int_equal(rig_commit(&rig, last + 1, 1, 200, OP_screen, &note), FAULT_ledger);
    rig_reopen(&rig); /* closes cleanly: the reserve's space takes the log */
    assert_all_there(&rig, last);
    fill(more, 8 << 20);
    assert_int_equal(rig_commit(&rig, last + 1, 1, 200, OP_screen, &note), FAULT_ledger);
    assert_all_there(&rig, last);
    unlink(ballast), unlink(more);
    assert_int_equal(rig_commit(&rig, last + 1, 1, 200, OP_screen, &note), FAULT_NONE);
    assert_int_equal(reserve_size(&rig), rig.options.reserve_bytes);
    rig_reopen(&rig);
    assert_all_there(&rig, last + 1);
    rig_close(&rig);
    umount(rig.folder);
    rig_fini(&rig);
}

/* The index finds no room while the segments do: a disk as small as the log's growth. */
static void the_index_finds_no_room(void **state)
{
    (void)state;
    struct rig rig;
    struct fault_note note = {0};
    char ballast[128];
    rig_init(&rig);
    if (!disk_mount(rig.folder)) {
        rig_fini(&rig);
        skip();
    }
    rig_path(ballast, &rig, "ballast");
    rig_open(&rig);
    uint64_t last = 0;
    for (unsigned round = 0; round < 40; round++) {
        fill(ballast, 8 << 20); /* all that is left */
        assert_int_equal(truncate(ballast, 8 << 20), 0);
        struct stat status;
        stat(ballast, &status);
        assert_int_equal(truncate(ballast, (off_t)status.st_blocks * 512 - 4096 * (off_t)(1 + round)), 0);
        if (rig_commit(&rig, last + 1, 1, 20, OP_screen, &note) == FAULT_NONE)
            last++;
        else
            assert_non_null(strstr(note.text, "disk full"));
        unlink(ballast);
        if (round % 2 && rig_commit(&rig, last + 1, 1, 20, OP_screen, &note) == FAULT_NONE)
            last++;
        assert_int_equal(ledger_sqlite.last_sequence(rig.ledger), last);
    }
    rig_reopen(&rig);
    assert_true(last >= 20);
    for (uint64_t i = 1; i <= last; i++)
        assert_null(rig_difference(&rig, i, 20, OP_screen));
    rig_close(&rig);
    umount(rig.folder);
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_find_no_room),
        cmocka_unit_test(opens_without_room_for_its_reserve),
        cmocka_unit_test(a_real_disk_is_full),
        cmocka_unit_test(the_index_finds_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
