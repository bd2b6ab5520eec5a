/* The audit log: a line comes with its change or not at all; what is altered, left out, put in or cut off afterwards shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "base/secret.h"
#include "ledger/audit.h"
#include "unit/ledger/rig.h"

enum { ROWS = 4, LINES = 5 };
static struct rig rig;
static struct fault_note note;

static const struct ledger_audit_ops *ops(void)
{
    return ledger_sqlite.audit;
}

static struct ledger_audit line_of(const char *who, const char *action)
{
    struct ledger_audit line = {.now_us = 1000};
    snprintf(line.who, sizeof line.who, "%s", who);
    snprintf(line.action, sizeof line.action, "%s", action);
    snprintf(line.object, sizeof line.object, "sluice.yaml");
    snprintf(line.after, sizeof line.after, "in force");
    return line;
}

static void change_commit(uint64_t sequence, enum op op, bool has_line)
{
    char id[24];
    struct batch batch;
    struct sample sample = rig_sample(sequence, ROWS, op, id);
    sample_make(&batch, &sample);
    struct ledger_audit line = line_of("tenant a/ann", op_names[op]);
    line.sequence = sequence, line.digest = batch.digest;
    struct ledger_entry entry = {.batch = &batch, .scenes = rig_scenes, .scene_count = SAMPLE_SCENES, .audit = has_line ? &line : NULL};
    assert_int_equal(frame_encode(&entry.frame, &batch, NULL), FAULT_NONE);
    assert_int_equal(ledger_sqlite.commit(rig.ledger, &entry, 1, NULL), FAULT_NONE);
    frame_give(&entry.frame);
    batch_fini(&batch);
}

static const char *verify(const struct ledger_audit_head *known, struct ledger_audit_head *out)
{
    note = (struct fault_note){0};
    return ops()->verify(rig.ledger, out, known, &note) == FAULT_NONE ? "" : note.text;
}

/* As somebody who has the file and nothing else would. */
static void tamper(const char *sql)
{
    char path[128], *why = NULL;
    sqlite3 *db = NULL;
    rig_path(path, &rig, "index.sqlite");
    rig_close(&rig);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s", why);
    sqlite3_close(db);
    rig_open(&rig);
}

static int setup(void **state)
{
    (void)state;
    assert_true(secret_open());
    rig_init(&rig);
    rig_open(&rig);
    const struct ledger_audit start = line_of("(server)", "start");
    assert_int_equal(ops()->put(rig.ledger, &start, NULL), FAULT_NONE);
    change_commit(1, OP_screen, false);
    for (uint64_t sequence = 2; sequence <= LINES; sequence++)
        change_commit(sequence, OP_list_put, true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

struct seen {
    uint32_t count, most;
    struct ledger_audit last;
};

static bool line_see(void *context, const struct ledger_audit *line)
{
    struct seen *seen = context;
    seen->last = *line;
    return ++seen->count < seen->most;
}

static void lines_are_there_in_order_and_verify(void **state)
{
    (void)state;
    struct seen seen = {.most = 100}, one = {.most = 1};
    struct ledger_audit_head head;
    assert_int_equal(ops()->list(rig.ledger, &(struct ledger_audit_query){.rows_max = 100}, line_see, &seen, NULL), FAULT_NONE);
    assert_int_equal(seen.count, LINES);
    assert_int_equal(seen.last.sequence, LINES);
    assert_string_equal(seen.last.who, "tenant a/ann");
    assert_int_equal(
        ops()->list(rig.ledger, &(struct ledger_audit_query){.rows_max = 100, .action = text_of("start")}, line_see, &one, NULL),
        FAULT_NONE);
    assert_string_equal(one.last.object, "sluice.yaml");
    assert_string_equal(verify(NULL, &head), "");
    assert_int_equal(head.entry, LINES);
    assert_memory_equal(head.hash, seen.last.hash, AUDIT_HASH_BYTES);
    rig_reopen(&rig);
    assert_string_equal(verify(&head, &head), "");
}

static void narrowing_and_paging(void **state)
{
    (void)state;
    struct seen seen = {.most = 100};
    const struct ledger_audit_query page = {.who = text_of("tenant a/ann"), .after = 3, .rows_max = 1};
    assert_int_equal(ops()->list(rig.ledger, &page, line_see, &seen, NULL), FAULT_NONE);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.last.entry, 4);
    seen.count = 0;
    assert_int_equal(ops()->list(rig.ledger, &(struct ledger_audit_query){.to_us = 1000, .rows_max = 9}, line_see, &seen, NULL),
                     FAULT_NONE);
    assert_int_equal(seen.count, 0);
}

static void lines_are_only_added(void **state)
{
    (void)state;
    char path[128];
    sqlite3 *db = NULL;
    rig_path(path, &rig, "index.sqlite");
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_not_equal(sqlite3_exec(db, "UPDATE audit SET who = 'x'", NULL, NULL, NULL), SQLITE_OK);
    assert_int_not_equal(sqlite3_exec(db, "DELETE FROM audit", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

#define LOOSE "DROP TRIGGER audit_holds; DROP TRIGGER audit_stays; "

static void an_altered_field_shows(void **state)
{
    (void)state;
    static const char *const fields[] = {
        "sequence = 9", "now_us = 9",  "who = 'eve'",           "action = 'x'",        "object = 'x'",
        "before = 'x'", "after = 'x'", "digest = zeroblob(16)", "hash = zeroblob(32)", "who = 'tenant a/an', action = 'nlist.put'"};
    struct ledger_audit_head head;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        char sql[256];
        snprintf(sql, sizeof sql, "%sUPDATE audit SET %s WHERE entry = 3", i ? "" : LOOSE "CREATE TABLE kept AS SELECT * FROM audit; ",
                 fields[i]);
        tamper(sql);
        assert_string_equal(verify(NULL, &head), "entry 3 is not as it was written");
        tamper("DELETE FROM audit; INSERT INTO audit SELECT * FROM kept");
        assert_string_equal(verify(NULL, &head), "");
    }
}

static void a_missing_line_shows(void **state)
{
    (void)state;
    struct ledger_audit_head head;
    tamper(LOOSE "DELETE FROM audit WHERE entry = 3");
    assert_string_equal(verify(NULL, &head), "entry 3 is missing");
}

static void a_line_cut_off_shows_against_the_log(void **state)
{
    (void)state;
    struct ledger_audit_head head;
    tamper(LOOSE "DELETE FROM audit WHERE entry = 5");
    assert_string_equal(verify(NULL, &head), "list.put, change 5, has no entry");
}

static void a_chain_written_anew_shows_against_a_head(void **state)
{
    (void)state;
    struct ledger_audit_head head, after;
    struct ledger_audit line = line_of("(server)", "reload");
    assert_int_equal(ops()->put(rig.ledger, &line, NULL), FAULT_NONE);
    assert_string_equal(verify(NULL, &head), "");
    tamper(LOOSE "DELETE FROM audit WHERE entry = 6");
    assert_string_equal(verify(NULL, &after), ""); /* no change lacks its line: only who kept the head can tell */
    assert_string_equal(verify(&head, &after), "entry 6 is missing");
    line.now_us++;
    assert_int_equal(ops()->put(rig.ledger, &line, NULL), FAULT_NONE);
    assert_string_equal(verify(NULL, &after), "");
    assert_string_equal(verify(&head, &after), "entry 6 or one before it is not what it once was");
}

static void a_change_without_its_line_shows(void **state)
{
    (void)state;
    struct ledger_audit_head head;
    change_commit(LINES + 1, OP_list_remove, false);
    assert_string_equal(verify(NULL, &head), "list.remove, change 6, has no entry");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_are_there_in_order_and_verify, setup, teardown),
        cmocka_unit_test_setup_teardown(narrowing_and_paging, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_are_only_added, setup, teardown),
        cmocka_unit_test_setup_teardown(an_altered_field_shows, setup, teardown),
        cmocka_unit_test_setup_teardown(a_missing_line_shows, setup, teardown),
        cmocka_unit_test_setup_teardown(a_line_cut_off_shows_against_the_log, setup, teardown),
        cmocka_unit_test_setup_teardown(a_chain_written_anew_shows_against_a_head, setup, teardown),
        cmocka_unit_test_setup_teardown(a_change_without_its_line_shows, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
