/* What is reserved is enough: arena, frame and reply of every shape of batch stay within it; the total is the sum of its
 * parts; idle arenas are few, and nothing that was in one shows in the next batch. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>

#include "pipeline/machine.h"
#include "unit/pipeline/rig.h"

/* --- idle arenas --------------------------------------------------------------------------------------------------------- */

static void sizes_are_rounded_by_an_eighth(void **state)
{
    (void)state;
    size_t before = 0;
    for (size_t bytes = 1; bytes < (size_t)8 << 30; bytes += bytes / 37 + 1) {
        size_t size = arena_pool_size(bytes);
        assert_true(size >= bytes && size >= before);
        assert_true(bytes < 65536 || size - bytes <= bytes / 8);
        assert_int_equal(arena_pool_size(size), size);
        before = size;
    }
}

static void idle_arenas_come_back(void **state)
{
    struct arena_pool pool;
    struct arena arena = {0}, other = {0};
    (void)state;
    uint64_t live = memory_live_count();
    arena_pool_init(&pool, 1 << 20);
    assert_true(arena_pool_take(&pool, &arena, 131072));
    void *block = arena_take(&arena, 100, 64);
    arena_pool_give(&pool, &arena);
    assert_null(arena.base);
    assert_int_equal(arena_pool_bytes(&pool), 131072);
    assert_true(arena_pool_take(&pool, &other, 65536)); /* another size is another block */
    assert_true(arena_pool_take(&pool, &arena, 131072));
    assert_ptr_equal(arena_take(&arena, 100, 64), block);
    assert_int_equal(arena_pool_bytes(&pool), 0);
    arena_pool_give(&pool, &arena), arena_pool_give(&pool, &other);
    arena_pool_give(&pool, &arena); /* nothing */
    arena_pool_fini(&pool);
    assert_int_equal(memory_live_count(), live);
}

static void idle_arenas_are_bounded(void **state)
{
    enum { COUNT = 40 };
    struct arena_pool pool;
    struct arena arenas[COUNT] = {0}, large = {0};
    (void)state;
    uint64_t live = memory_live_count();
    arena_pool_init(&pool, 1 << 20);
    for (unsigned i = 0; i < COUNT; i++)
        assert_true(arena_pool_take(&pool, &arenas[i], 65536 + 8192 * (i % 3)));
    assert_true(arena_pool_take(&pool, &large, 1 << 20));
    for (unsigned i = 0; i < COUNT; i++) {
        arena_pool_give(&pool, &arenas[i]);
        assert_true(arena_pool_bytes(&pool) <= 1 << 20);
    }
    uint64_t bytes = arena_pool_bytes(&pool);
    assert_true(bytes > 900000);
    arena_pool_give(&pool, &large); /* more than half of all: given back at once */
    assert_int_equal(arena_pool_bytes(&pool), bytes);
    arena_pool_fini(&pool);
    assert_int_equal(memory_live_count(), live);
}

static void score_all(struct sent *out, uint32_t rows)
{
    struct wire_buffer message;
    batch_of(&message, "a", "score", "same", rows);
    ask(out, &message);
    rig_await_quiet();
}

/* Whatever lay in an arena before. */
static void nothing_shows_of_earlier_batches(void **state)
{
    static const uint32_t sizes[] = {1, 17, SLICE_ROWS, 3000};
    (void)state;
    rig_write_base("base.safetensors", 9);
    rig_open(rig_config(NULL, "base.safetensors"));
    rig_time_us = clock_wall_us();
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct sent clean = {0}, dirty = {0};
        score_all(&clean, sizes[i]);
        assert_string_equal(reply_fault(&clean), "ok");
        pthread_mutex_lock(&pipeline->arenas.lock);
        assert_true(pipeline->arenas.count > 0);
        for (uint32_t k = 0; k < pipeline->arenas.count; k++)
            memset(pipeline->arenas.idle[k].base, 0xa5, pipeline->arenas.idle[k].size);
        pthread_mutex_unlock(&pipeline->arenas.lock);
        score_all(&dirty, sizes[i]);
        assert_true(replies_equal(&clean, &dirty));
        sent_fini(&clean), sent_fini(&dirty);
    }
}

/* --- the total -------------------------------------------------------------------------------------------------------------- */

static void the_total_is_its_parts(void **state)
{
    struct memory_bounds free_of_bound, bounds;
    (void)state;
    rig_write_base("base.safetensors", 9);
    struct config *config = rig_config("workers: 2\n" RIG_TENANTS, "base.safetensors");
    bounds_compute(&free_of_bound, config);
    assert_int_equal(free_of_bound.total, pipeline_memory_total(config));
    assert_true(free_of_bound.batches >= free_of_bound.largest);
    uint64_t left = free_of_bound.batches + free_of_bound.idle_arenas, others = free_of_bound.total - left;
    assert_true(left == 1ull << 30 || (left < 1ull << 30 && free_of_bound.total == free_of_bound.max));
    assert_true(free_of_bound.total < 4ull << 30); /* what is not configured is moderate */
    config->memory_max = others + (600 << 20);
    bounds_compute(&bounds, config);
    assert_int_equal(bounds.total, config->memory_max);
    assert_int_equal(bounds.batches + bounds.idle_arenas, 600 << 20);
    config->memory_max = others - 1;
    bounds_compute(&bounds, config);
    assert_int_equal(bounds.batches, 0);
    assert_true(bounds.total > config->memory_max); /* refused at start */
    config_close(&config);
}

/* Any base that may be put is counted from the start on; and what the ledger makes active although nobody may put it any more. */
static void bases_that_may_come_are_counted(void **state)
{
    static const char *const with_model =
        "workers: 2\nbase_max: 16MiB\nmemory_max: 8GiB\ntenants:\n  - {name: a, token_hash: " TOKEN_HASH ", rights: [submit, model]}\n";
    struct memory_bounds without, with;
    (void)state;
    rig_write_base("base.safetensors", 9);
    struct config *config = rig_config("workers: 2\nmemory_max: 8GiB\n" RIG_TENANTS, "base.safetensors");
    struct config *changing = rig_config(with_model, "base.safetensors");
    struct scene_base *large = tiny_base_open(32, 32, 100, 9);
    bounds_compute(&without, config);
    bounds_compute(&with, changing);
    assert_true(with.epochs >= EPOCHS_MAX * 4 * (16ull << 20) && with.epochs > without.epochs);
    assert_int_equal(with.total, without.total); /* memory_max: the less is left for batches */
    assert_true(with.batches < without.batches);
    struct memory_bounds more = without;
    bounds_add_active(&more, config, large);
    assert_true(more.epochs > without.epochs && more.batches < without.batches && more.total == without.total);
    more = with;
    bounds_add_active(&more, changing, large); /* within what is counted already */
    assert_int_equal(more.epochs, with.epochs);
    scene_base_close(&large);
    config_close(&config);
    config_close(&changing);
}

/* A second batch is read and made into a text, while as much is on its way; whoever sends takes readers of the ledger. */
static void what_is_sent_is_counted(void **state)
{
    static const char *const top = "workers: 2\nmemory_max: 64GiB\nconnect: {hosts: [bank]}\ntenants:\n"
                                   "  - {name: a, token_hash: " TOKEN_HASH ", rights: [submit]%s}\n";
    char lines[512];
    struct memory_bounds without, with;
    (void)state;
    snprintf(lines, sizeof lines, top, "");
    struct config *config = rig_config(lines, NULL);
    snprintf(lines, sizeof lines, top, ", processor: \"https://bank/\"");
    struct config *sending = rig_config(lines, NULL);
    uint64_t body = bounds_body_bytes(sending);
    bounds_compute(&without, config);
    bounds_compute(&with, sending);
    assert_true(body >= 2 * sending->limits.message_bytes_max + 256ull * sending->limits.rows_max);
    assert_true(with.stored > without.stored + 2 * body + sending->limits.message_bytes_max);
    assert_int_equal(bounds_reader_count(sending), bounds_reader_count(config) + 2);
    assert_true(with.fixed > without.fixed && with.batches < without.batches && with.total == without.total);
    config_close(&config);
    config_close(&sending);
}

static void too_much_is_told_with_its_parts(void **state)
{
    char parts[PARTS_BYTES];
    struct fault_note note = {0};
    (void)state;
    struct config *config = rig_config("workers: 2\nconnections_max: 60000\nlimits: {message_max: 1GiB}\n" RIG_TENANTS, NULL);
    assert_false(pipeline_memory_fits(config, parts, sizeof parts, &note)); /* without memory_max as well: no machine has it */
    assert_non_null(strstr(note.text, "3/4 of the memory there is"));
    assert_non_null(strstr(note.text, "lower limits.message_max"));
    assert_non_null(strstr(parts, "sockets "));
    config_close(&config);
    note = (struct fault_note){0};
    config = rig_config("workers: 2\nmemory_max: 1GiB\n" RIG_TENANTS, NULL);
    config->history.accounts_max = 100000000;
    assert_false(pipeline_memory_fits(config, parts, sizeof parts, &note));
    assert_non_null(strstr(note.text, "above memory_max, 1024 MiB: lower history"));
    config_close(&config);
}

/* A server that starts can take a batch of rows_max; one that could not is refused, with figures and the keys to change. */
static void a_batch_of_rows_max_fits_or_nothing_starts(void **state)
{
    static const char tight[] = "workers: 2\nconnections_max: 4\nmemory_max: 22GiB\nlimits: {message_max: 160MiB, rows_max: 1000000}\n";
    char top[512], parts[PARTS_BYTES];
    struct fault_note note = {0};
    struct memory_bounds bounds;
    (void)state;
    snprintf(top, sizeof top, "%s%s", tight, RIG_TENANTS);
    struct config *config = rig_config(top, NULL);
    bounds_compute(&bounds, config);
    assert_true(bounds.batches < bounds.largest && bounds.total > bounds.max);
    assert_false(pipeline_memory_fits(config, parts, sizeof parts, &note));
    char figures[64];
    snprintf(figures, sizeof figures, "rows_max may take %llu MiB", (unsigned long long)bounds.largest >> 20);
    assert_non_null(strstr(note.text, figures));
    assert_non_null(strstr(note.text, "lower limits.rows_max, message_max"));
    assert_non_null(strstr(parts, "batches in flight "));
    config->memory_max = bounds.total;
    assert_true(pipeline_memory_fits(config, parts, sizeof parts, &note)); /* what was printed is what it takes */
    config->memory_max--;
    assert_false(pipeline_memory_fits(config, parts, sizeof parts, &note));
    config->memory_max = 0;
    bounds_compute(&bounds, config);
    assert_true(bounds.batches >= bounds.largest || bounds.total > bounds.max); /* more than batches have by default */
    config_close(&config);
}

/* --- the machine --------------------------------------------------------------------------------------------------------- */

static void file_write(const char *name, const char *text)
{
    char path[256];
    struct fault_note note = {0};
    snprintf(path, sizeof path, "%s/%s", rig_folder, name);
    assert_int_equal(file_replace(path, text, strlen(text), &note), FAULT_NONE);
}

static void groups_limit_the_machine(void **state)
{
    char command[256], groups[128];
    (void)state;
    snprintf(groups, sizeof groups, "%s/groups", rig_folder);
    snprintf(command, sizeof command, "mkdir -p %s/a/b %s/memory/a", rig_folder, rig_folder);
    assert_int_equal(system(command), 0);
    assert_true(machine_group_bytes(groups, rig_folder) == UINT64_MAX); /* no such file */
    file_write("groups", "5:cpu,cpuacct:/a\n0::/a/b\n");
    assert_true(machine_group_bytes(groups, rig_folder) == UINT64_MAX);
    file_write("a/b/memory.max", "max\n");
    assert_true(machine_group_bytes(groups, rig_folder) == UINT64_MAX);
    file_write("a/memory.max", "2000000\n");
    assert_int_equal(machine_group_bytes(groups, rig_folder), 2000000);
    file_write("memory.max", "3000000\n");
    assert_int_equal(machine_group_bytes(groups, rig_folder), 2000000);
    file_write("memory/a/memory.limit_in_bytes", "1500000\n");
    assert_int_equal(machine_group_bytes(groups, rig_folder), 2000000);
    file_write("groups", "9:memory:/a\n");
    assert_int_equal(machine_group_bytes(groups, rig_folder), 1500000);
    assert_true(machine_memory_bytes() > 1 << 20);
}

static void more_of_anything_is_more(void **state)
{
    static const char *const more[] = {
        "workers: 3\n", "in_flight_max: 17\n", "connections_max: 17\n", "limits: {message_max: 9MiB}\n", "limits: {rows_max: 1000001}\n",
    };
    (void)state;
    struct config *config = rig_config("workers: 2\n" RIG_TENANTS, NULL);
    uint64_t least = pipeline_memory_total(config);
    config_close(&config);
    for (unsigned i = 0; i < sizeof more / sizeof *more; i++) {
        char top[1024];
        snprintf(top, sizeof top, "%s%s%s", i ? "workers: 2\n" : "", more[i], RIG_TENANTS);
        config = rig_config(top, NULL);
        assert_true(pipeline_memory_total(config) > least);
        config_close(&config);
    }
}

static void a_larger_base_leaves_less_for_batches(void **state)
{
    struct fault_note note = {0};
    char top[512];
    (void)state;
    rig_write_base("small.safetensors", 1);
    struct tiny_base tiny;
    char *bytes = NULL, path[128];
    size_t byte_count = 0;
    tiny_base_init(&tiny, 8, 12, 60, 2);
    snprintf(path, sizeof path, "%s/large.safetensors", rig_folder);
    assert_int_equal(scene_base_write(&bytes, &byte_count, &tiny.base, NULL, NULL, &note), FAULT_NONE);
    assert_int_equal(file_replace(path, bytes, byte_count, &note), FAULT_NONE);
    memory_give(bytes);
    tiny_base_fini(&tiny);
    struct config *config = rig_config("workers: 2\n" RIG_TENANTS, "small.safetensors");
    snprintf(top, sizeof top, "workers: 2\nmemory_max: %" PRIu64 "\n%s", pipeline_memory_total(config), RIG_TENANTS);
    config_close(&config);
    rig_open(rig_config(top, "small.safetensors"));
    uint64_t before = pipeline->budget_bytes;
    config = rig_config(top, "large.safetensors");
    assert_int_equal(pipeline_reload(pipeline, config, &note), FAULT_NONE);
    config_close(&config);
    assert_true(pipeline->budget_bytes < before);
    config = rig_config(top, "small.safetensors");
    assert_int_equal(pipeline_reload(pipeline, config, &note), FAULT_NONE);
    config_close(&config);
    assert_int_equal(pipeline->budget_bytes, before);
}

/* --- one batch ---------------------------------------------------------------------------------------------------------------- */

static atomic_uint held_rows, batches_seen;
static uint64_t largest_bytes; /* that a batch may reserve */
static double closest;         /* the largest share of a reservation that was used */

/* On the ledger thread, before the commit: all that the batch holds is there. */
static enum fault measuring_commit(struct ledger *ledger, struct ledger_entry *entries, uint32_t entry_count, struct fault_note *note)
{
    for (uint32_t i = 0; i < entry_count; i++) {
        const struct job *job = (const struct job *)(const void *)((const char *)entries[i].batch - offsetof(struct job, batch));
        size_t frame = malloc_usable_size(job->frame), used = job->batch.arena.size + frame + job->reply.bytes;
        if (used > job->reserved_bytes || job->batch.arena.used > job->batch.arena.size)
            fprintf(stderr, "%.*s: arena %zu, frame %zu, reply %zu of %zu\n", (int)job->batch.id.bytes, job->batch.id.data,
                    job->batch.arena.size, frame, job->reply.bytes, job->reserved_bytes);
        MUST(used <= job->reserved_bytes && job->reserved_bytes <= largest_bytes);
        double share = (double)used / (double)job->reserved_bytes;
        closest = share > closest ? share : closest;
        for (uint32_t row = 0; job->batch.op == OP_screen && row < job->batch.row_count; row++)
            if (job->batch.results.verdict[row] == VERDICT_HOLD || job->batch.results.verdict[row] == VERDICT_REJECT)
                atomic_fetch_add(&held_rows, 1);
        atomic_fetch_add(&batches_seen, 1);
    }
    return rig_commit(ledger, entries, entry_count, note);
}

static void text_cells(struct wire_buffer *out, const char *const *names, unsigned count, const char *value)
{
    for (unsigned i = 0; i < count; i++)
        pair(out, names[i], value);
}

/* Rows form: 59 unknown columns, each in one row alone, so that whole columns come of few bytes. */
static void sparse_rows(struct wire_buffer *out, const char *id, uint32_t rows)
{
    static const char *const needed[] = {"payer_id", "payee_id"};
    char name[64];
    begin(out, "a", "screen", id, 2), pair(out, "form", "rows");
    wire_pack_text(out, "transfers"), wire_pack_array(out, rows);
    for (uint32_t i = 0; i < rows; i++) {
        bool more = i < 59;
        wire_pack_map(out, 5 + more);
        snprintf(name, sizeof name, "%s-%u", id, i);
        pair(out, "transfer_id", name), text_cells(out, needed, 2, "p"), pair_i64(out, "amount", 7), pair(out, "currency", "EUR");
        if (more) {
            snprintf(name, sizeof name, "column_%u", i);
            pair_i64(out, name, INT64_MAX - i);
        }
    }
}

/* Nothing right in any row: as many notes as there may be, and ids as long as texts may be. */
static void wrong_rows(struct wire_buffer *out, const char *id, uint32_t rows, const char *form)
{
    char text[1001];
    memset(text, 'x', 1000), text[1000] = '\0';
    begin(out, "a", "screen", id, 2), pair(out, "form", form);
    wire_pack_text(out, "transfers"), wire_pack_array(out, rows);
    for (uint32_t i = 0; i < rows; i++) {
        wire_pack_map(out, 5);
        pair(out, "transfer_id", text), pair(out, "payer_id", text), pair(out, "payee_id", "");
        pair_i64(out, "amount", -1), pair(out, "currency", "nothing");
    }
}

/* Columns form: a dictionary with a value for every row. */
static void wide_dictionary(struct wire_buffer *out, const char *id, uint32_t rows)
{
    static const char *const texts[] = {"transfer_id", "payer_id", "payee_id", "memo"};
    uint32_t *codes = malloc(rows * sizeof *codes);
    int64_t *amounts = malloc(rows * sizeof *amounts);
    for (uint32_t i = 0; i < rows; i++)
        codes[i] = i, amounts[i] = (int64_t)(hash64(i, "x", 1) % 1000000) + 1;
    begin(out, "a", "screen", id, 2), pair_i64(out, "rows", rows);
    wire_pack_text(out, "columns"), wire_pack_map(out, 6);
    for (unsigned t = 0; t < 5; t++) {
        wire_pack_text(out, t < 4 ? texts[t] : "currency");
        wire_pack_map(out, 4), pair(out, "type", "dict"), pair(out, "code", "u32");
        wire_pack_text(out, "values"), wire_pack_array(out, rows);
        for (uint32_t i = 0; i < rows; i++) {
            char value[40];
            snprintf(value, sizeof value, t < 4 ? "%016" PRIx64 : "EUR", hash64(i, texts[t % 4], strlen(texts[t % 4])));
            wire_pack_text(out, value);
        }
        wire_pack_text(out, "codes"), wire_pack_bin(out, codes, rows * sizeof *codes);
    }
    wire_pack_text(out, "amount"), wire_pack_map(out, 2), pair(out, "type", "i64");
    wire_pack_text(out, "data"), wire_pack_bin(out, amounts, rows * sizeof *amounts);
    free(codes), free(amounts);
}

static void expect_within(struct wire_buffer *message, const char *what, bool in_rows)
{
    struct sent sent = {0};
    size_t message_bytes = message->bytes;
    ask(&sent, message);
    if (strcmp(reply_fault(&sent), "ok") != 0)
        fail_msg("%s: %s: %s", what, reply_fault(&sent), reply_note(&sent));
    uint32_t rows = (uint32_t)reply_i64(&sent, "rows");
    assert_true(sent.reply.bytes <= bounds_reply_of(&pipeline->epoch->names, rows, message_bytes, in_rows));
    sent_fini(&sent);
}

static void every_shape_stays_within_its_reservation(void **state)
{
    static const char strict[] =
        "limits: {message_max: 64MiB, rows_max: 20000}\nstrategy:\n  - {risk_type: \"*\", level: none, verdict: hold, "
        "countermeasure: confirm_with_payer}\n" RIG_TENANTS;
    static const uint32_t sizes[] = {1, 100, SLICE_ROWS + 1, 20000};
    struct memory_bounds bounds;
    struct wire_buffer message;
    (void)state;
    rig_write_base("base.safetensors", 11);
    rig_open(rig_config(strict, "base.safetensors"));
    rig_ledger.commit = measuring_commit;
    bounds_compute(&bounds, pipeline->epoch->config);
    largest_bytes = bounds.largest;
    closest = 0;
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char id[32];
        uint32_t rows = sizes[i];
        snprintf(id, sizeof id, "plain%u", i), batch_of(&message, "a", "screen", id, rows);
        expect_within(&message, id, false);
        snprintf(id, sizeof id, "past%u", i), batch_of(&message, "a", "import", id, rows);
        expect_within(&message, id, false);
        snprintf(id, sizeof id, "rows%u", i);
        begin(&message, "a", "screen", id, 3), pair(&message, "form", "rows"), columns(&message, rows, id, 100);
        expect_within(&message, id, true);
        snprintf(id, sizeof id, "sparse%u", i), sparse_rows(&message, id, rows);
        expect_within(&message, id, true);
        snprintf(id, sizeof id, "wide%u", i), wide_dictionary(&message, id, rows);
        expect_within(&message, id, false);
        snprintf(id, sizeof id, "wrong%u", i), wrong_rows(&message, id, rows, i % 2 ? "rows" : "columns");
        expect_within(&message, id, i % 2);
        snprintf(id, sizeof id, "labels%u", i), labels_of(&message, "a", id, "plain", rows < 2000 ? rows : 2000, "good");
        expect_within(&message, id, false);
    }
    assert_int_equal(atomic_load(&batches_seen), 28);
    assert_true(atomic_load(&held_rows) > 60000); /* reasons of nearly every row were among it */
    printf("figure: up to %.0f %% of what a batch reserved was used\n", 100 * closest);
}

static void a_reply_in_rows_has_a_bound(void **state)
{
    struct wire_buffer message;
    struct sent sent = {0};
    (void)state;
    rig_open(rig_config(NULL, NULL));
    pipeline->reply_bytes_max = REPLY_HEAD_BYTES + 300 * REPLY_ROW_BYTES; /* as of a rows_max of 300 */
    begin(&message, "a", "screen", "one", 3), pair(&message, "form", "rows"), columns(&message, 300, "one", 100);
    ask(&sent, &message);
    assert_string_equal(reply_fault(&sent), "limit");
    assert_non_null(strstr(reply_note(&sent), "ask for form columns"));
    sent_fini(&sent);
    expect_state("a", "one", "fault not_found");
    batch_of(&message, "a", "screen", "one", 300);
    expect(&message, "rows", "300");
    begin(&message, "a", "result", "r", 2), pair(&message, "batch", "one"), pair(&message, "form", "rows");
    expect(&message, "rows", "fault limit");
    begin(&message, "a", "result", "r", 2), pair(&message, "batch", "one"), pair(&message, "form", "columns");
    expect(&message, "rows", "300");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_rounded_by_an_eighth),
        cmocka_unit_test(idle_arenas_come_back),
        cmocka_unit_test(idle_arenas_are_bounded),
        RIG_TEST(nothing_shows_of_earlier_batches),
        RIG_TEST(the_total_is_its_parts),
        RIG_TEST(what_is_sent_is_counted),
        RIG_TEST(bases_that_may_come_are_counted),
        RIG_TEST(too_much_is_told_with_its_parts),
        RIG_TEST(a_batch_of_rows_max_fits_or_nothing_starts),
        RIG_TEST(groups_limit_the_machine),
        RIG_TEST(more_of_anything_is_more),
        RIG_TEST(a_larger_base_leaves_less_for_batches),
        RIG_TEST(every_shape_stays_within_its_reservation),
        RIG_TEST(a_reply_in_rows_has_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
