/* What is saved comes back bit for bit and goes on as if nothing had been; whatever is damaged is refused and leaves an
 * empty history behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "history/sides.h"
#include "unit/history/world.h"

static const struct stream_shape shape = {
    .count = 3000, .accounts = 150, .devices = 60, .step_us = DAY_US / 100, .late_us = 5 * DAY_US, .label_times = true};

static struct stream stream;
static struct batch batch;
static char folder[] = "/tmp/sluice_history_XXXXXX", path[sizeof folder + 16];
static uint64_t seed;

static struct history *empty_history(void)
{
    return history_of(100, 1024, 6, 300, 40);
}

static int folder_open(void **state)
{
    (void)state;
    world_state = seed;
    stream_fill(&stream, &shape);
    stream_batch(&batch, &stream, OP_import);
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/snapshot", folder);
    return 0;
}

static int folder_close(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static struct history *history_after(uint32_t rows)
{
    struct history *history = empty_history();
    history_memory.relate(history, &batch, 0, rows, 7 * DAY_US, true, NULL);
    return history;
}

static void save(const struct history *history, uint64_t sequence)
{
    struct fault_note note = {0};
    assert_int_equal(history_memory.save(history, sequence, path, &note), FAULT_NONE);
}

static enum fault load(struct history **out, uint64_t *sequence, struct fault_note *note)
{
    *note = (struct fault_note){0};
    *out = empty_history();
    return history_memory.load(*out, sequence, path, note);
}

static void test_goes_on(void **state)
{
    (void)state;
    const uint32_t cuts[] = {0, 1, 700, 2999, 3000};
    struct history *whole = history_after(shape.count), *again;
    struct digest digest = history_memory.state_digest(whole);
    struct fault_note note;
    for (unsigned i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        struct history *first = history_after(cuts[i]);
        uint64_t sequence = 0;
        save(first, 41 + i);
        assert_int_equal(load(&again, &sequence, &note), FAULT_NONE);
        assert_int_equal(sequence, 41 + i);
        assert_true(digest_equal(history_memory.state_digest(first), history_memory.state_digest(again)));
        history_memory.relate(again, &batch, cuts[i], shape.count - cuts[i], 7 * DAY_US, true, NULL);
        assert_true(digest_equal(digest, history_memory.state_digest(again)));
        history_memory.close(&first);
        history_memory.close(&again);
    }
    history_memory.close(&whole);
}

/* A thousand tables' worth of empty room is not written, wherever the few records lie. */
static void test_as_large_as_what_is_used(void **state)
{
    (void)state;
    struct history *history = history_of(20000, 65536, 60, 40000, 20000), *again = history_of(20000, 65536, 60, 40000, 20000);
    struct fault_note note = {0};
    uint64_t sequence;
    struct stat file;
    history_memory.relate(history, &batch, 0, 10, 7 * DAY_US, true, NULL);
    save(history, 9);
    assert_int_equal(stat(path, &file), 0);
    assert_true(history->state_bytes > 4000000 && file.st_size < 60000);
    assert_int_equal(history_memory.load(again, &sequence, path, &note), FAULT_NONE);
    assert_true(digest_equal(history_memory.state_digest(history), history_memory.state_digest(again)));
    history_memory.close(&history);
    history_memory.close(&again);
}

/* Pools that run dry, labels and observations: a state that contradicts itself would be refused when it is loaded. */
static void test_any_state_holds(void **state)
{
    (void)state;
    struct history *history = empty_history(), *again;
    struct history_counts counts;
    struct fault_note note;
    for (uint32_t row = 0; row < shape.count; row += 50) {
        uint64_t sequence;
        history_memory.relate(history, &batch, row, 50, 7 * DAY_US, true, NULL);
        for (uint32_t i = row; i < row + 50; i++) {
            const struct history_label label = {.payer = stream.payer[i],
                                                .payee = stream.payee[i],
                                                .payer_device = stream.payer_device[i],
                                                .time_us = stream.time_us[i],
                                                .amount = stream.amount[i],
                                                .before = (uint8_t)world_below(3),
                                                .after = (uint8_t)world_below(3)};
            history_memory.label(history, &label);
        }
        save(history, row);
        assert_int_equal(load(&again, &sequence, &note), FAULT_NONE);
        history_memory.close(&history);
        history = again;
    }
    history_memory.count(history, &counts);
    assert_true(counts.dropped > 0 && counts.evicted > 0 && counts.busy > 0 && counts.events > 0);
    history_memory.close(&history);
}

static void refused(const char *why)
{
    struct history *history, *fresh = empty_history();
    struct fault_note note;
    uint64_t sequence = 7;
    enum fault fault = load(&history, &sequence, &note);
    assert_int_equal(fault, FAULT_ledger);
    assert_int_equal(sequence, 0);
    if (!strstr(note.text, why))
        fail_msg("\"%s\" does not say \"%s\"", note.text, why);
    assert_true(digest_equal(history_memory.state_digest(fresh), history_memory.state_digest(history)));
    history_memory.close(&history);
    history_memory.close(&fresh);
}

static void file_write(const char *bytes, size_t count)
{
    struct fault_note note = {0};
    assert_int_equal(file_replace(path, bytes, count, &note), FAULT_NONE);
}

static void test_damage(void **state)
{
    (void)state;
    struct history *history = history_after(shape.count);
    char *bytes;
    size_t count;
    struct fault_note note = {0};
    save(history, 5);
    history_memory.close(&history);
    assert_int_equal(file_read_all(&bytes, &count, path, SIZE_MAX, &note), FAULT_NONE);
    for (size_t at = 0; at < count; at += at < 300 ? 1 : 1 + world_below(count / 100)) {
        char flip = (char)(1 << world_below(8));
        bytes[at] ^= flip;
        file_write(bytes, count);
        refused(""); /* whatever byte it is */
        bytes[at] ^= flip;
    }
    for (size_t cut = 0; cut < count; cut += 1 + world_below(count / 20)) {
        file_write(bytes, cut);
        refused("");
    }
    char *longer = calloc(1, count + 1);
    memcpy(longer, bytes, count);
    file_write(longer, count + 1);
    refused("not those that were written");
    free(longer);
    memory_give(bytes);
}

static struct side *random_side(const struct history *history, uint8_t form)
{
    for (;;) {
        uint32_t slot = (uint32_t)world_below(history->accounts.set_count * SET_SLOTS);
        struct side *side = &account_at(history, slot)->sides[world_below(2)];
        if (side->form == form)
            return side;
    }
}

/* Words of the state changed and then saved with right digests: refused, or at least harmless. */
static void test_forged(void **state)
{
    (void)state;
    unsigned refusals = 0;
    for (unsigned i = 0; i < 700; i++) {
        struct history *history = history_after(600 + (uint32_t)world_below(400)), *again;
        struct fault_note note;
        uint64_t sequence;
        const struct {
            void *at;
            size_t words;
        } parts[] = {{history->head, sizeof *history->head / 4},
                     {history->accounts.sets, history->accounts.set_count * table_set_bytes(sizeof(struct account)) / 4},
                     {history->ring_free_heads, history->ring_units / 4},
                     {history->ring_events, history->ring_units * RING_UNIT_EVENTS * 2},
                     {history->dues, history->head->due_count * sizeof(struct due) / 4 + 1},
                     {history->busies, history->busy_max * sizeof(struct busy) / 4},
                     {random_side(history, SIDE_BUSY), 2},
                     {random_side(history, SIDE_RING), 2}};
        unsigned part = (unsigned)world_below(sizeof parts / sizeof *parts);
        uint32_t *word = (uint32_t *)parts[part].at + world_below(parts[part].words);
        *word = world_below(2) ? (uint32_t)world_random() : *word + (uint32_t)world_below(3) - 1;
        save(history, i);
        if (load(&again, &sequence, &note) == FAULT_NONE)
            history_memory.relate(again, &batch, 1000, 300, 7 * DAY_US, true, NULL);
        else
            refusals++;
        history_memory.close(&history);
        history_memory.close(&again);
    }
    assert_true(refusals > 100);
}

static void test_other_limits(void **state)
{
    (void)state;
    struct history *history = history_of(101, 1024, 6, 300, 40);
    save(history, 1);
    history_memory.close(&history);
    refused("other limits");
}

static void test_absent(void **state)
{
    (void)state;
    struct history *history;
    struct fault_note note;
    uint64_t sequence;
    unlink(path);
    assert_int_equal(load(&history, &sequence, &note), FAULT_not_found);
    assert_int_equal(history_memory.save(history, 1, "/proc/nowhere/snapshot", &note), FAULT_ledger);
    assert_non_null(strstr(note.text, "/proc/nowhere/snapshot.new"));
    history_memory.close(&history);
    history = history_after(10);
    save(history, 1); /* leaves something for folder_close */
    history_memory.close(&history);
}

static int64_t no_space_write_at(int fd, const void *data, size_t bytes, int64_t offset)
{
    return offset > 1000 ? -1 : file_ops_system.write_at(fd, data, bytes, offset);
}

static void test_full_disk_keeps_the_old(void **state)
{
    (void)state;
    struct history *history = history_after(1000), *again;
    struct file_ops shim = file_ops_system;
    struct fault_note note;
    uint64_t sequence;
    save(history, 3);
    shim.write_at = no_space_write_at;
    file_ops = &shim;
    assert_int_equal(history_memory.save(history, 4, path, &note), FAULT_ledger);
    file_ops = &file_ops_system;
    assert_int_equal(load(&again, &sequence, &note), FAULT_NONE);
    assert_int_equal(sequence, 3);
    history_memory.close(&history);
    history_memory.close(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_on),         cmocka_unit_test(test_as_large_as_what_is_used),
        cmocka_unit_test(test_any_state_holds), cmocka_unit_test(test_damage),
        cmocka_unit_test(test_forged),          cmocka_unit_test(test_other_limits),
        cmocka_unit_test(test_absent),          cmocka_unit_test(test_full_disk_keeps_the_old),
    };
    seed = world_seed();
    return cmocka_run_group_tests_name("history snapshot", tests, folder_open, folder_close);
}
