/* Retention: whole segments go, oldest first, never behind the snapshot, never the last; their ids stay, and whatever asks for
 * their rows is told so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "ledger/row_set.h"
#include "unit/ledger/rig.h"

enum { BATCHES = 40, ROWS = 60 };
static struct rig rig;

static int house_setup(void **state)
{
    (void)state;
    rig_init(&rig);
    rig.options.segment_bytes_max = 30000;
    rig_open(&rig);
    for (uint64_t i = 1; i <= BATCHES; i++)
        MUST(rig_commit(&rig, i, 1, ROWS, OP_screen, NULL) == FAULT_NONE);
    return 0;
}

static int house_teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static bool has_file(const char *kind, uint32_t segment)
{
    char name[32], path[128];
    snprintf(name, sizeof name, "%s-%08u", kind, segment);
    rig_path(path, &rig, name);
    return file_exists(path);
}

static unsigned retain(int64_t before_us, uint64_t behind)
{
    unsigned count = 0;
    const struct ledger_retention retention = {.before_us = before_us, .unsettled_us = before_us, .behind = behind};
    for (enum ledger_retained out = RETAINED_DROPPED; out == RETAINED_DROPPED; count += out == RETAINED_DROPPED)
        assert_int_equal(ledger_sqlite.retain(rig.ledger, &retention, &out, NULL), FAULT_NONE);
    return count;
}

static enum fault replayed(void *context, struct batch *batch, struct fault_note *note)
{
    (void)note;
    uint64_t *next = context;
    assert_int_equal(batch->sequence, (*next)++);
    return FAULT_NONE;
}

static bool row_is_kept(void *context, const struct ledger_row *row)
{
    ++*(uint32_t *)context;
    assert_true(row->batch->sequence >= ledger_sqlite.kept_from(rig.ledger));
    return true;
}

/* Everything below kept is gone but for its ids, everything from it on is there. */
static void kept_check(uint64_t kept)
{
    struct fault_note note;
    uint64_t next = kept, sequence;
    uint32_t row, count = 0;
    assert_int_equal(ledger_sqlite.kept_from(rig.ledger), kept);
    for (uint64_t i = 1; i <= BATCHES; i++) {
        struct ledger_request request;
        struct batch batch;
        char id[40];
        struct text tenant = text_of(i % 2 ? "tenant a" : "tenant b");
        snprintf(id, sizeof id, "r%llu", (unsigned long long)i);
        assert_int_equal(ledger_sqlite.find_request(rig.ledger, &request, tenant, text_of(id), &note), FAULT_NONE);
        assert_int_equal(request.sequence, i);
        sample_transfer(id, i, 7);
        enum fault wanted = i < kept ? FAULT_not_found : FAULT_NONE;
        assert_int_equal(ledger_sqlite.read(rig.ledger, &batch, i, &note), wanted);
        assert_int_equal(ledger_sqlite.find_transfer(rig.ledger, tenant, text_of(id), &sequence, &row, &note), wanted);
        if (i >= kept)
            batch_fini(&batch);
    }
    assert_int_equal(ledger_sqlite.query(rig.ledger, &(struct ledger_query){.verdict = -1}, row_is_kept, &count, &note), FAULT_NONE);
    assert_int_equal(count, (BATCHES - kept + 1) * ROWS);
    assert_int_equal(ledger_sqlite.replay(rig.ledger, kept, replayed, &next, &note), FAULT_NONE);
    assert_int_equal(next, BATCHES + 1);
    if (kept > 1) {
        assert_int_equal(ledger_sqlite.replay(rig.ledger, kept - 1, replayed, &next, &note), FAULT_not_found);
        assert_non_null(strstr(note.text, "no longer kept"));
    }
}

static void nothing_goes_that_must_stay(void **state)
{
    (void)state;
    assert_int_equal(retain(0, BATCHES), 0);   /* nothing is so old */
    assert_int_equal(retain(INT64_MAX, 0), 0); /* no snapshot holds it */
    assert_true(has_file("frames", 1));
    kept_check(1);
}

static void old_segments_go(void **state)
{
    (void)state;
    assert_true(retain(20 * 1000, BATCHES) >= 1); /* now of batch i is i ms */
    uint64_t kept = ledger_sqlite.kept_from(rig.ledger);
    assert_true(kept > 1 && kept <= 20);
    assert_false(has_file("frames", 1) || has_file("filter", 1));
    kept_check(kept);
    assert_int_equal(retain(INT64_MAX, kept), 0); /* the next segment ends behind the snapshot */
    rig_reopen(&rig);
    kept_check(kept);
}

static void what_a_stop_left_is_removed(void **state)
{
    (void)state;
    char path[128];
    uint64_t kept = ledger_sqlite.kept_from(rig.ledger);
    uint32_t first = 1;
    while (!has_file("frames", first))
        first++;
    char name[32];
    snprintf(name, sizeof name, "frames-%08u", first - 1);
    rig_path(path, &rig, name);
    rig_close(&rig);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0 && close(fd) == 0);
    rig_open(&rig);
    assert_false(has_file("frames", first - 1));
    kept_check(kept);
}

static void the_last_segment_stays(void **state)
{
    (void)state;
    retain(INT64_MAX, UINT64_MAX >> 1);
    uint64_t kept = ledger_sqlite.kept_from(rig.ledger);
    assert_true(kept > 20 && kept <= BATCHES);
    kept_check(kept);
    rig_reopen(&rig);
    kept_check(kept);
}

static void file_copy(const char *to_folder, const char *name)
{
    char from[128], to[512];
    char *bytes;
    size_t byte_count;
    rig_path(from, &rig, name);
    snprintf(to, sizeof to, "%s/%s", to_folder, name);
    assert_int_equal(file_read_all(&bytes, &byte_count, from, 1 << 28, NULL), FAULT_NONE);
    assert_int_equal(file_replace(to, bytes, byte_count, NULL), FAULT_NONE);
    memory_give(bytes);
}

/* The index of one moment, then frames while more are written: the copy is the ledger of that moment. */
static void a_copy_of_a_running_ledger_is_whole(void **state)
{
    (void)state;
    struct rig copy;
    char path[128], name[32];
    sqlite3 *from, *to;
    uint64_t last = ledger_sqlite.last_sequence(rig.ledger), next = ledger_sqlite.kept_from(rig.ledger);
    rig_init(&copy);
    rig_path(path, &rig, "index.sqlite");
    assert_int_equal(sqlite3_open_v2(path, &from, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    rig_path(path, &copy, "index.sqlite");
    assert_int_equal(sqlite3_open(path, &to), SQLITE_OK);
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    assert_non_null(backup);
    assert_int_equal(sqlite3_backup_step(backup, -1), SQLITE_DONE);
    assert_int_equal(sqlite3_backup_finish(backup), SQLITE_OK);
    sqlite3_close(to), sqlite3_close(from);
    for (uint64_t i = last + 1; i <= last + 15; i++) /* into later segments too */
        assert_int_equal(rig_commit(&rig, i, 1, ROWS, OP_screen, NULL), FAULT_NONE);
    for (uint32_t segment = 1; segment < 100; segment++)
        if (has_file("frames", segment)) {
            snprintf(name, sizeof name, "frames-%08u", segment);
            file_copy(copy.folder, name);
        }
    rig_open(&copy);
    assert_int_equal(ledger_sqlite.last_sequence(copy.ledger), last);
    assert_int_equal(ledger_sqlite.replay(copy.ledger, next, replayed, &next, NULL), FAULT_NONE);
    assert_int_equal(next, last + 1);
    rig_fini(&copy);
}

static void sql(const char *text)
{
    sqlite3 *db;
    char path[128];
    rig_path(path, &rig, "index.sqlite");
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* What the first version wrote: no line about what is kept. */
static void an_older_schema_is_brought_up(void **state)
{
    (void)state;
    struct fault_note note = {0};
    house_teardown(NULL);
    house_setup(NULL);
    rig_close(&rig);
    sql("DELETE FROM setting WHERE name = 'kept_from'; DROP TABLE base_change; DROP TABLE life; DROP TABLE listed;"
        "DROP TABLE message; DROP TABLE told; DROP TABLE alarm; DROP TABLE audit; DROP TABLE cases; DROP TABLE case_transfer; DELETE FROM "
        "setting WHERE "
        "name = 'audited_from';"
        "ALTER TABLE stopped DROP COLUMN last_sequence; ALTER TABLE stopped DROP COLUMN last_row; ALTER TABLE stopped DROP COLUMN release;"
        "PRAGMA user_version = 1");
    rig_open(&rig);
    kept_check(1);
    rig_close(&rig);
    sql("PRAGMA user_version = 99");
    assert_int_equal(ledger_sqlite.open(&rig.ledger, &rig.options, &note), FAULT_ledger);
    assert_non_null(strstr(note.text, "schema 99"));
    sql("PRAGMA user_version = 9");
    rig_open(&rig);
    kept_check(1);
}

/* One batch in the first segment is not at its end. */
struct living {
    const char *name, *sender;
    enum life_state state;
    uint32_t releases;
    int64_t due_us;
    enum outbox_state mark;
    int64_t unsettled_us;
    enum ledger_retained wanted;
};

static void living_commit(struct rig *to, const struct living *living)
{
    enum { SEQUENCE = 2 }; /* of tenant b */
    struct batch batch;
    struct row_set set = {0};
    struct ledger_outbox out;
    char id[24];
    struct sample sample = rig_sample(SEQUENCE, ROWS, OP_screen, id);
    sample_make(&batch, &sample);
    row_set_source(&set, SEQUENCE);
    row_set_add(&set, 3);
    row_set_end(&set);
    const struct ledger_life_change change = {
        .life = {.sequence = SEQUENCE, .state = living->state, .releases = living->releases, .due_us = living->due_us},
        .released = living->releases ? set.bytes : NULL,
        .released_bytes = living->releases ? set.byte_count : 0,
        .released_rows = living->releases};
    struct ledger_entry entry = {.batch = &batch, .scenes = rig_scenes, .scene_count = SAMPLE_SCENES, .life = &change};
    assert_int_equal(frame_encode(&entry.frame, &batch, NULL), FAULT_NONE);
    assert_int_equal(ledger_sqlite.commit(to->ledger, &entry, 1, NULL), FAULT_NONE);
    frame_give(&entry.frame);
    batch_fini(&batch);
    row_set_fini(&set);
    if (!living->releases)
        return;
    assert_int_equal(ledger_sqlite.outbox_next(to->ledger, &out, "tenant b", 0, 1, NULL), FAULT_NONE);
    assert_int_equal(ledger_sqlite.outbox_mark(to->ledger, out.entry, living->mark, 1, 500, NULL), FAULT_NONE);
}

static void what_may_leave_yet_stays(void **state)
{
    (void)state;
    enum { FIRST = 2, LAST = 20 };
    static const struct living cases[] = {
        {"waits", "tenant b", LIFE_RELEASED, 1, 0, OUTBOX_WAITING, 1000000, RETAINED_HELD},
        {"nobody sends it", "tenant a", LIFE_RELEASED, 1, 0, OUTBOX_WAITING, 0, RETAINED_DROPPED},
        {"unknown tenant", "nobody", LIFE_RELEASED, 1, 0, OUTBOX_WAITING, 0, RETAINED_DROPPED},
        {"acknowledged", "tenant b", LIFE_RELEASED, 1, 0, OUTBOX_ACKNOWLEDGED, 0, RETAINED_DROPPED},
        {"dead letter", "tenant b", LIFE_RELEASED, 1, 0, OUTBOX_DEAD, 0, RETAINED_HELD},
        {"old dead letter", "tenant b", LIFE_RELEASED, 1, 0, OUTBOX_DEAD, 1000000, RETAINED_DROPPED},
        {"time runs", "tenant b", LIFE_AWAITING, 0, 2000000, 0, 1000000, RETAINED_HELD},
        {"time was over long ago", "tenant b", LIFE_AWAITING, 0, 900000, 0, 0, RETAINED_DROPPED},
        {"awaiting for ever", "tenant b", LIFE_AWAITING, 0, 0, 0, 0, RETAINED_HELD},
        {"awaiting for too long", "tenant b", LIFE_AWAITING, 0, 0, 0, 1000000, RETAINED_DROPPED},
        {"open", "tenant b", LIFE_OPEN, 0, 0, 0, 0, RETAINED_HELD},
        {"open for too long", "tenant b", LIFE_OPEN, 0, 0, 0, 1000000, RETAINED_DROPPED},
        {"cancelled", "tenant b", LIFE_CANCELLED, 0, 0, 0, 0, RETAINED_DROPPED},
        {"closed", "tenant b", LIFE_CLOSED, 0, 0, 0, 0, RETAINED_DROPPED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig own;
        enum ledger_retained out;
        const struct ledger_retention retention = {
            .before_us = 1000000, .unsettled_us = cases[i].unsettled_us, .behind = LAST, .senders = &cases[i].sender, .sender_count = 1};
        rig_init(&own);
        own.options.segment_bytes_max = 30000;
        rig_open(&own);
        assert_int_equal(rig_commit(&own, 1, 1, ROWS, OP_screen, NULL), FAULT_NONE);
        living_commit(&own, &cases[i]);
        for (uint64_t sequence = FIRST + 1; sequence <= LAST; sequence++)
            assert_int_equal(rig_commit(&own, sequence, 1, ROWS, OP_screen, NULL), FAULT_NONE);
        assert_int_equal(ledger_sqlite.retain(own.ledger, &retention, &out, NULL), FAULT_NONE);
        if (out != cases[i].wanted || (out == RETAINED_DROPPED) != (ledger_sqlite.kept_from(own.ledger) > FIRST))
            fail_msg("%s: %d", cases[i].name, (int)out);
        rig_fini(&own);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_goes_that_must_stay),
        cmocka_unit_test(old_segments_go),
        cmocka_unit_test(what_a_stop_left_is_removed),
        cmocka_unit_test(the_last_segment_stays),
        cmocka_unit_test(a_copy_of_a_running_ledger_is_whole),
        cmocka_unit_test(an_older_schema_is_brought_up),
        cmocka_unit_test(what_may_leave_yet_stays),
    };
    return cmocka_run_group_tests(tests, house_setup, house_teardown);
}
