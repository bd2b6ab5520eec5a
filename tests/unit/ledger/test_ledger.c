/* The embedded ledger: what is committed is there after every way of opening it again, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>

#include "base/memory.h"
#include "unit/ledger/rig.h"

static void opens_empty_and_keeps_its_secret(void **state)
{
    (void)state;
    struct rig rig;
    struct batch batch;
    rig_init(&rig);
    rig_open(&rig);
    uint64_t secret = ledger_sqlite.secret(rig.ledger);
    assert_int_equal(ledger_sqlite.last_sequence(rig.ledger), 0);
    assert_int_equal(ledger_sqlite.read(rig.ledger, &batch, 1, NULL), FAULT_not_found);
    rig_reopen(&rig);
    assert_int_equal(ledger_sqlite.secret(rig.ledger), secret);
    assert_true(ledger_sqlite.disk_bytes(rig.ledger) >= rig.options.reserve_bytes);
    rig_fini(&rig);
    assert_int_equal(memory_live_count(), 0);
}

static void commits_are_there_after_reopening(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig.options.segment_bytes_max = 40000; /* several segments */
    rig_open(&rig);
    uint64_t sequence = 1;
    for (unsigned group = 0; group < 10; group++, sequence += 3)
        assert_int_equal(rig_commit(&rig, sequence, 3, 50 + group, OP_screen, NULL), FAULT_NONE);
    for (unsigned round = 0; round < 2; round++, rig_reopen(&rig)) {
        assert_int_equal(ledger_sqlite.last_sequence(rig.ledger), 30);
        for (uint64_t i = 1; i <= 30; i++)
            assert_null(rig_difference(&rig, i, 50 + (uint32_t)(i - 1) / 3, OP_screen));
    }
    char path[128];
    rig_path(path, &rig, "frames-00000003");
    assert_int_equal(access(path, F_OK), 0);
    rig_fini(&rig);
}

static void group_of_fifty_and_large_batches(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_open(&rig);
    assert_int_equal(rig_commit(&rig, 1, 50, 20, OP_screen, NULL), FAULT_NONE);
    assert_int_equal(rig_commit(&rig, 51, 1, 100000, OP_screen, NULL), FAULT_NONE);
    rig_reopen(&rig);
    for (uint64_t i = 1; i <= 50; i++)
        assert_null(rig_difference(&rig, i, 20, OP_screen));
    assert_null(rig_difference(&rig, 51, 100000, OP_screen));
    rig_fini(&rig);
}

static void requests_and_batches_are_found(void **state)
{
    (void)state;
    struct rig rig;
    struct ledger_request request;
    struct ledger_batch found;
    struct fault_note note = {0};
    rig_init(&rig);
    rig_open(&rig);
    rig_commit(&rig, 1, 4, 1000, OP_screen, NULL);
    assert_int_equal(ledger_sqlite.find_request(rig.ledger, &request, text_of("tenant a"), text_of("r3"), NULL), FAULT_NONE);
    assert_int_equal(request.sequence, 3);
    assert_int_equal(request.op, OP_screen);
    struct batch batch;
    assert_int_equal(ledger_sqlite.read(rig.ledger, &batch, 3, NULL), FAULT_NONE);
    assert_true(digest_equal(batch.digest, request.digest));
    uint32_t counts[VERDICT_COUNT] = {0};
    for (uint32_t row = 0; row < batch.row_count; row++)
        counts[batch.results.verdict[row]]++;
    batch_fini(&batch);
    assert_int_equal(ledger_sqlite.find_request(rig.ledger, &request, text_of("tenant b"), text_of("r3"), &note), FAULT_not_found);
    assert_non_null(strstr(note.text, "r3"));
    assert_int_equal(ledger_sqlite.find_request(rig.ledger, &request, text_of("tenant z"), text_of("r3"), NULL), FAULT_not_found);
    assert_int_equal(ledger_sqlite.find_batch(rig.ledger, &found, text_of("tenant a"), text_of("r3"), NULL), FAULT_NONE);
    assert_int_equal(found.sequence, 3);
    assert_string_equal(found.tenant, "tenant a");
    assert_string_equal(found.id, "r3");
    assert_string_equal(found.name, "r3");
    assert_int_equal(found.now_us, 3000);
    assert_int_equal(found.row_count, 1000);
    assert_memory_equal(found.verdict_counts, counts, sizeof counts);
    assert_true(digest_equal(found.base_digest, (struct digest){1, 2}) && digest_equal(found.config_digest, (struct digest){3, 4}));
    assert_int_equal(ledger_sqlite.find_batch(rig.ledger, &found, text_of("tenant a"), text_of("r9"), NULL), FAULT_not_found);
    rig_fini(&rig);
}

/* A name of its own, then a later batch of that name, then one whose id is the name. */
static void the_newest_of_a_name_is_found(void **state)
{
    (void)state;
    struct rig rig;
    struct ledger_batch found;
    rig_init(&rig);
    rig_open(&rig);
    for (uint64_t i = 1; i <= 3; i++) {
        struct batch batch;
        const char *ids[] = {"", "one", "two", "payday"};
        sample_make(&batch,
                    &(struct sample){.rows = 3, .seed = i, .op = OP_screen, .sequence = i, .id = ids[i], .name = i < 3 ? "payday" : NULL});
        struct ledger_entry entry = {.batch = &batch};
        assert_int_equal(frame_encode(&entry.frame, &batch, NULL), FAULT_NONE);
        assert_int_equal(ledger_sqlite.commit(rig.ledger, &entry, 1, NULL), FAULT_NONE);
        assert_int_equal(ledger_sqlite.find_batch(rig.ledger, &found, text_of("tenant a"), text_of("payday"), NULL), FAULT_NONE);
        assert_int_equal(found.sequence, i);
        assert_string_equal(found.id, ids[i]);
        assert_string_equal(found.name, "payday");
        frame_give(&entry.frame);
        batch_fini(&batch);
    }
    rig_fini(&rig);
}

struct replayed {
    uint64_t next, rows, stop_at;
};
static enum fault replay_take(void *context, struct batch *batch, struct fault_note *note)
{
    struct replayed *replayed = context;
    assert_int_equal(batch->sequence, replayed->next++);
    replayed->rows += batch->row_count;
    return batch->sequence == replayed->stop_at ? fault_set(note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "enough") : FAULT_NONE;
}

static void replay_gives_every_batch_in_order(void **state)
{
    (void)state;
    struct rig rig;
    struct replayed replayed = {.next = 1};
    rig_init(&rig);
    rig_open(&rig);
    for (uint64_t i = 1; i <= 150; i += 50)
        rig_commit(&rig, i, 50, 7, i == 51 ? OP_observe : OP_import, NULL);
    assert_int_equal(ledger_sqlite.replay(rig.ledger, 0, replay_take, &replayed, NULL), FAULT_NONE);
    assert_int_equal(replayed.next, 151);
    assert_int_equal(replayed.rows, 7 * 150);
    replayed = (struct replayed){.next = 120, .stop_at = 130};
    assert_int_equal(ledger_sqlite.replay(rig.ledger, 120, replay_take, &replayed, NULL), FAULT_unavailable);
    assert_int_equal(replayed.next, 131);
    rig_fini(&rig);
}

static void appended_but_not_committed_is_cut(void **state)
{
    (void)state;
    struct rig rig;
    struct stat before, after;
    char path[128], later[128];
    rig_init(&rig);
    rig_open(&rig);
    rig_commit(&rig, 1, 2, 100, OP_screen, NULL);
    rig_path(path, &rig, "frames-00000001");
    rig_path(later, &rig, "frames-00000002");
    stat(path, &before);
    rig_close(&rig);
    FILE *file = fopen(path, "a");
    fputs("half a frame", file);
    fclose(file);
    fclose(fopen(later, "w"));
    rig_open(&rig);
    stat(path, &after);
    assert_int_equal(after.st_size, before.st_size);
    assert_int_not_equal(access(later, F_OK), 0);
    assert_int_equal(rig_commit(&rig, 3, 1, 100, OP_screen, NULL), FAULT_NONE);
    for (uint64_t i = 1; i <= 3; i++)
        assert_null(rig_difference(&rig, i, 100, OP_screen));
    rig_fini(&rig);
}

static void overwrite(const char *path, off_t offset, const char *bytes, size_t byte_count)
{
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, bytes, byte_count, offset), byte_count);
    close(fd);
}

static void damage_is_found_and_named(void **state)
{
    (void)state;
    struct rig rig;
    struct batch batch;
    struct fault_note note = {0};
    char path[128];
    rig_init(&rig);
    rig_open(&rig);
    rig_commit(&rig, 1, 3, 100, OP_screen, NULL);
    rig_path(path, &rig, "frames-00000001");
    overwrite(path, 300, "damage", 6);
    assert_int_equal(ledger_sqlite.read(rig.ledger, &batch, 1, &note), FAULT_ledger);
    assert_non_null(strstr(note.text, "frame 1 (segment 1, offset 0)"));
    assert_null(rig_difference(&rig, 2, 100, OP_screen));
    struct replayed replayed = {.next = 1};
    assert_int_equal(ledger_sqlite.replay(rig.ledger, 1, replay_take, &replayed, &note), FAULT_ledger);
    assert_int_equal(replayed.next, 1);
    rig_fini(&rig);
}

static void lost_end_of_a_segment_is_refused(void **state)
{
    (void)state;
    struct rig rig;
    struct fault_note note = {0};
    char path[128];
    rig_init(&rig);
    rig_open(&rig);
    rig_commit(&rig, 1, 3, 100, OP_screen, NULL);
    rig_close(&rig);
    rig_path(path, &rig, "frames-00000001");
    assert_int_equal(truncate(path, 1000), 0);
    assert_int_equal(ledger_sqlite.open(&rig.ledger, &rig.options, &note), FAULT_ledger);
    assert_non_null(strstr(note.text, "segment 1 ends at 1000"));
    rig_fini(&rig);
}

static void second_server_is_refused(void **state)
{
    (void)state;
    struct rig rig;
    struct ledger *second = NULL;
    struct fault_note note = {0};
    rig_init(&rig);
    rig_open(&rig);
    assert_int_equal(ledger_sqlite.open(&second, &rig.options, &note), FAULT_ledger);
    assert_null(second);
    assert_non_null(strstr(note.text, "in use by another server"));
    rig_reopen(&rig);
    rig_fini(&rig);
}

static void wrong_folders_and_files_are_faults(void **state)
{
    (void)state;
    struct rig rig;
    struct fault_note note = {0};
    char path[128];
    rig_init(&rig);
    rig.options.folder = "/proc/no/such";
    assert_int_equal(ledger_sqlite.open(&rig.ledger, &rig.options, &note), FAULT_ledger);
    rig.options.folder = rig.folder;
    rig_path(path, &rig, "index.sqlite");
    FILE *file = fopen(path, "w");
    for (unsigned i = 0; i < 5000; i++)
        fputs("this is not a database", file);
    fclose(file);
    assert_int_equal(ledger_sqlite.open(&rig.ledger, &rig.options, &note), FAULT_ledger);
    assert_null(rig.ledger);
    rig_fini(&rig);
}

static void used_id_cannot_be_recorded_twice(void **state)
{
    (void)state;
    struct rig rig;
    struct fault_note note = {0};
    rig_init(&rig);
    rig_open(&rig);
    rig_commit(&rig, 1, 1, 10, OP_screen, NULL);
    struct batch batches[2];
    struct ledger_entry entries[2];
    for (unsigned i = 0; i < 2; i++) {
        sample_make(&batches[i], &(struct sample){.rows = 5, .seed = 9, .op = OP_screen, .sequence = 2 + i, .id = i ? "r1" : "new"});
        entries[i] = (struct ledger_entry){.batch = &batches[i]};
        assert_int_equal(frame_encode(&entries[i].frame, &batches[i], NULL), FAULT_NONE);
    }
    assert_int_equal(ledger_sqlite.commit(rig.ledger, entries, 2, &note), FAULT_ledger);
    assert_int_equal(entries[0].fault, FAULT_ledger);
    for (unsigned i = 0; i < 2; i++)
        frame_give(&entries[i].frame), batch_fini(&batches[i]);
    assert_int_equal(ledger_sqlite.last_sequence(rig.ledger), 1);
    struct ledger_request request;
    assert_int_equal(ledger_sqlite.find_request(rig.ledger, &request, text_of("tenant a"), text_of("new"), NULL), FAULT_not_found);
    assert_int_equal(rig_commit(&rig, 2, 2, 10, OP_screen, NULL), FAULT_NONE);
    rig_reopen(&rig);
    assert_int_equal(ledger_sqlite.last_sequence(rig.ledger), 3);
    rig_fini(&rig);
}

static void labels_are_found(void **state)
{
    (void)state;
    struct rig rig;
    struct batch labels;
    char transfer[40];
    uint8_t label = 9;
    rig_init(&rig);
    rig_open(&rig);
    rig_commit(&rig, 1, 1, 300, OP_import, NULL);
    struct batch imported;
    assert_int_equal(ledger_sqlite.read(rig.ledger, &imported, 1, NULL), FAULT_NONE);
    sample_transfer(transfer, 1, 7);
    assert_int_equal(ledger_sqlite.label_find(rig.ledger, text_of("tenant a"), text_of(transfer), &label, NULL), FAULT_NONE);
    assert_int_equal(label, imported.facts.label[7]);
    assert_int_equal(ledger_sqlite.label_find(rig.ledger, text_of("tenant a"), text_of("unknown"), &label, NULL), FAULT_NONE);
    assert_int_equal(label, 0);
    sample_make(&labels, &(struct sample){.rows = 300, .seed = 1, .op = OP_label, .sequence = 2, .id = "labels", .plain = true});
    for (uint32_t row = 0; row < 300; row++)
        labels.facts.label[row] = (uint8_t)(1 + row % 2);
    struct ledger_entry entry = {.batch = &labels};
    assert_int_equal(frame_encode(&entry.frame, &labels, NULL), FAULT_NONE);
    assert_int_equal(ledger_sqlite.commit(rig.ledger, &entry, 1, NULL), FAULT_NONE);
    for (uint32_t row = 0; row < 300; row++) {
        sample_transfer(transfer, 1, row);
        assert_int_equal(ledger_sqlite.label_find(rig.ledger, text_of("tenant a"), text_of(transfer), &label, NULL), FAULT_NONE);
        assert_int_equal(label, 1 + row % 2);
    }
    assert_int_equal(ledger_sqlite.label_find(rig.ledger, text_of("tenant b"), text_of(transfer), &label, NULL), FAULT_NONE);
    assert_int_equal(label, 0);
    frame_give(&entry.frame);
    batch_fini(&labels);
    batch_fini(&imported);
    rig_fini(&rig);
}

static void documents_are_kept_once(void **state)
{
    (void)state;
    struct rig rig;
    struct fault_note note = {0};
    struct digest digest = {7, 8};
    void *bytes;
    size_t byte_count;
    rig_init(&rig);
    rig_open(&rig);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(ledger_sqlite.document_put(rig.ledger, "base", digest, "b1", "content", 7, NULL), FAULT_NONE);
    assert_int_equal(ledger_sqlite.document_put(rig.ledger, "config", digest, "c", NULL, 0, NULL), FAULT_NONE);
    rig_reopen(&rig);
    assert_int_equal(ledger_sqlite.document_get(rig.ledger, "base", digest, &bytes, &byte_count, NULL), FAULT_NONE);
    assert_int_equal(byte_count, 7);
    assert_memory_equal(bytes, "content", 7);
    memory_give(bytes);
    assert_int_equal(ledger_sqlite.document_get(rig.ledger, "config", digest, &bytes, &byte_count, NULL), FAULT_NONE);
    assert_int_equal(byte_count, 0);
    memory_give(bytes);
    assert_int_equal(ledger_sqlite.document_get(rig.ledger, "epoch", digest, &bytes, &byte_count, &note), FAULT_not_found);
    assert_null(bytes);
    rig_fini(&rig);
}

static void the_log_is_moved_when_idle_and_stays_bounded(void **state)
{
    (void)state;
    struct rig rig;
    struct stat status;
    char path[128];
    rig_init(&rig);
    rig_open(&rig);
    rig_path(path, &rig, "index.sqlite-wal");
    uint64_t sequence = 1;
    for (; sequence <= 600; sequence += 2)
        assert_int_equal(rig_commit(&rig, sequence, 2, 3, OP_screen, NULL), FAULT_NONE);
    stat(path, &status);
    assert_in_range(status.st_size, 256 * 4096, 2200 * 4096);
    ledger_sqlite.idle(rig.ledger);
    off_t size = status.st_size;
    for (unsigned i = 0; i < 5; i++, sequence += 2)
        rig_commit(&rig, sequence, 2, 3, OP_screen, NULL);
    stat(path, &status);
    assert_int_equal(status.st_size, size); /* begun again from its start */
    for (uint64_t i = 1; i < sequence; i += 17)
        assert_null(rig_difference(&rig, i, 3, OP_screen));
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_empty_and_keeps_its_secret),
        cmocka_unit_test(commits_are_there_after_reopening),
        cmocka_unit_test(group_of_fifty_and_large_batches),
        cmocka_unit_test(requests_and_batches_are_found),
        cmocka_unit_test(the_newest_of_a_name_is_found),
        cmocka_unit_test(replay_gives_every_batch_in_order),
        cmocka_unit_test(appended_but_not_committed_is_cut),
        cmocka_unit_test(damage_is_found_and_named),
        cmocka_unit_test(lost_end_of_a_segment_is_refused),
        cmocka_unit_test(second_server_is_refused),
        cmocka_unit_test(wrong_folders_and_files_are_faults),
        cmocka_unit_test(used_id_cannot_be_recorded_twice),
        cmocka_unit_test(labels_are_found),
        cmocka_unit_test(documents_are_kept_once),
        cmocka_unit_test(the_log_is_moved_when_idle_and_stays_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
