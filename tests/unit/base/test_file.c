/* Files: read whole within a bound, replaced whole or not at all, mapped; what fails says which file and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

static char folder[64], path[80], beside[96];

static int folder_make(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/sluice-file-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/a", folder);
    snprintf(beside, sizeof beside, "%s.new", path);
    return 0;
}

static int folder_remove(void **state)
{
    (void)state;
    unlink(path);
    unlink(beside);
    return rmdir(folder);
}

static void assert_holds(const char *wanted)
{
    char *text;
    size_t bytes;
    struct fault_note note = {0};
    assert_int_equal(file_read_all(&text, &bytes, path, 100, &note), FAULT_NONE);
    assert_int_equal(bytes, strlen(wanted));
    assert_string_equal(text, wanted);
    memory_give(text);
}

static void test_replace_and_read(void **state)
{
    (void)state;
    struct fault_note note = {0};
    char *text = NULL;
    size_t bytes;
    assert_false(file_exists(path));
    assert_int_equal(file_read_all(&text, &bytes, path, 100, &note), FAULT_not_found);
    assert_non_null(strstr(note.text, path));
    assert_int_equal(file_replace(path, "first", 5, &note), FAULT_NONE);
    assert_true(file_exists(path) && !file_exists(beside));
    assert_holds("first");
    assert_int_equal(file_replace(path, "", 0, &note), FAULT_NONE);
    assert_holds("");
    assert_int_equal(file_replace(path, "second", 6, &note), FAULT_NONE);
    assert_int_equal(file_read_all(&text, &bytes, path, 5, &note), FAULT_limit);
    assert_non_null(strstr(note.text, "larger than 5 bytes"));
    memory_fail_at(0);
    assert_int_equal(file_read_all(&text, &bytes, path, 100, &note), FAULT_memory);
    memory_fail_at(UINT64_MAX);
    assert_int_equal(file_replace("/nowhere/at/all", "x", 1, &note), FAULT_ledger);
    assert_non_null(strstr(note.text, "/nowhere/at/all.new"));
}

/* The system with one call that fails. */
static int failing;
enum { FAIL_WRITE = 1, FAIL_SYNC, FAIL_FOLDER };

static int64_t write_or_fail(int fd, const void *data, size_t bytes, int64_t offset)
{
    return failing == FAIL_WRITE ? -1 : file_ops_system.write_at(fd, data, bytes, offset);
}

static int sync_or_fail(int fd)
{
    return failing == FAIL_SYNC ? -1 : file_ops_system.sync(fd);
}

static int sync_folder_or_fail(const char *name)
{
    return failing == FAIL_FOLDER ? -1 : file_ops_system.sync_folder(name);
}

static void test_replace_that_fails(void **state)
{
    (void)state;
    struct file_ops ops = file_ops_system;
    struct fault_note note = {0};
    ops.write_at = write_or_fail;
    ops.sync = sync_or_fail;
    ops.sync_folder = sync_folder_or_fail;
    assert_int_equal(file_replace(path, "kept", 4, &note), FAULT_NONE);
    file_ops = &ops;
    for (failing = FAIL_WRITE; failing <= FAIL_FOLDER; failing++) {
        assert_int_equal(file_replace(path, "lost", 4, &note), FAULT_ledger);
        assert_false(file_exists(beside));
        if (failing != FAIL_FOLDER) /* renamed already: the new one, told as not durable */
            assert_holds("kept");
    }
    file_ops = &file_ops_system;
}

static void test_map(void **state)
{
    (void)state;
    struct file_map map;
    struct fault_note note = {0};
    assert_int_equal(file_replace(path, "mapped", 6, &note), FAULT_NONE);
    assert_int_equal(file_map_open(&map, path, &note), FAULT_NONE);
    assert_true(map.bytes == 6 && memcmp(map.data, "mapped", 6) == 0);
    FILE *file = fopen(path, "w"); /* cut off and written over in place */
    assert_non_null(file);
    assert_int_equal(map.data[5], 'd');
    assert_true(fputs("MA", file) >= 0 && fclose(file) == 0);
    assert_true(map.bytes == 6 && memcmp(map.data, "mapped", 6) == 0);
    file_map_close(&map);
    file_map_close(&map);
    assert_int_equal(file_replace(path, "", 0, &note), FAULT_NONE);
    assert_int_equal(file_map_open(&map, path, &note), FAULT_syntax);
    assert_non_null(strstr(note.text, "is empty"));
    assert_int_equal(file_map_open(&map, folder, &note), FAULT_not_found);
    unlink(path);
    assert_int_equal(file_map_open(&map, path, &note), FAULT_not_found);
    assert_null(map.data);
}

static void below_is(const char *what, enum fault expected)
{
    char *out = NULL;
    size_t bytes = 0;
    struct fault_note note = {0};
    enum fault fault = file_read_below(&out, &bytes, folder, what, 100, &note);
    if (fault != expected)
        fail_msg("%s: %s (%s)", what, fault_name(fault), note.text);
    if (fault == FAULT_NONE)
        assert_string_equal(out, "inside");
    memory_give(out);
}

static void test_read_below(void **state)
{
    (void)state;
    char place[320], outside[320];
    struct fault_note note = {0};
    snprintf(place, sizeof place, "%s/sub", folder);
    assert_int_equal(mkdir(place, 0700), 0);
    snprintf(place, sizeof place, "%s/sub/file", folder);
    assert_int_equal(file_replace(place, "inside", 6, &note), FAULT_NONE);
    snprintf(outside, sizeof outside, "%s/sub/link", folder);
    assert_int_equal(symlink("file", outside), 0);
    snprintf(outside, sizeof outside, "%s/away", folder);
    assert_int_equal(symlink("sub", outside), 0);
    snprintf(place, sizeof place, "%s/pipe", folder);
    assert_int_equal(mkfifo(place, 0600), 0); /* nobody waits for its other end */
    below_is("sub/file", FAULT_NONE);
    below_is("sub/none", FAULT_not_found);
    static const char *const denied[] = {"",           ".",         "..",          "/",         "../sub/file", "sub/../sub/file",
                                         "./sub/file", "sub//file", "/etc/passwd", "sub/link",  "away/file",   "sub",
                                         "sub/",       "sub/file/", "pipe",        "sub/file/x"};
    for (size_t i = 0; i < sizeof denied / sizeof *denied; i++)
        below_is(denied[i], FAULT_denied);
    snprintf(place, sizeof place, "%s/sub/file", folder);
    char big[101] = {0}, *out = NULL;
    size_t bytes;
    assert_int_equal(file_replace(place, big, sizeof big, &note), FAULT_NONE);
    assert_int_equal(file_read_below(&out, &bytes, folder, "sub/file", 100, &note), FAULT_limit);
    unlink(place);
    unlink(outside);
    snprintf(place, sizeof place, "%s/sub/link", folder), unlink(place);
    snprintf(place, sizeof place, "%s/pipe", folder), unlink(place);
    snprintf(place, sizeof place, "%s/sub", folder), rmdir(place);
}

static void test_ops(void **state)
{
    (void)state;
    char bytes[8] = {0};
    int fd = file_ops->open(path, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(file_ops->write_at(fd, "abcdef", 6, 2), 6);
    assert_int_equal(file_ops->size(fd), 8);
    assert_int_equal(file_ops->read_at(fd, bytes, sizeof bytes, 4), 4); /* to the end */
    assert_memory_equal(bytes, "cdef", 4);
    assert_int_equal(file_ops->truncate(fd, 3), 0);
    assert_int_equal(file_ops->size(fd), 3);
    assert_true(file_ops->sync(fd) == 0 && file_ops->sync_folder(folder) == 0 && file_ops->close(fd) == 0);
    assert_int_equal(file_ops->read_at(-1, bytes, 1, 0), -1);
    assert_int_equal(file_ops->size(-1), -1);
    assert_int_equal(file_ops->sync_folder("/nowhere"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replace_and_read),
        cmocka_unit_test(test_replace_that_fails),
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_read_below),
        cmocka_unit_test(test_ops),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
