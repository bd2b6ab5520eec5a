/* Finding: every query against a plain walk over all rows, page by page; many threads at once beside the one that commits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>

#include "base/thread.h"
#include "unit/ledger/rig.h"

enum { BATCHES = 24, ROWS = 80, ROWS_MAX = BATCHES * ROWS };

static struct rig rig;
static struct batch batches[BATCHES + 1]; /* by sequence */

static int house_setup(void **state)
{
    (void)state;
    char id[24];
    rig_init(&rig);
    rig.options.segment_bytes_max = 20000;
    rig_open(&rig);
    for (uint64_t i = 1; i <= BATCHES; i += 2) {
        enum op op = i % 8 == 1 ? OP_import : i % 8 == 3 ? OP_observe : OP_screen;
        MUST(rig_commit(&rig, i, 2, ROWS, op, NULL) == FAULT_NONE);
    }
    for (uint64_t i = 1; i <= BATCHES; i++) {
        struct sample sample = rig_sample(i, ROWS, (i - 1) / 2 % 4 == 0 ? OP_import : (i - 1) / 2 % 4 == 1 ? OP_observe : OP_screen, id);
        sample_make(&batches[i], &sample);
    }
    return 0;
}

static int house_teardown(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= BATCHES; i++)
        batch_fini(&batches[i]);
    rig_fini(&rig);
    return 0;
}

static bool cell_is(const struct batch *batch, enum column_id id, uint32_t row, const char *wanted)
{
    return column_is_valid(&batch->columns[id], row) && text_equal(column_text(&batch->columns[id], row), text_of(wanted));
}

static bool scene_decided(const struct results *results, uint32_t row)
{
    return results->cause && (results->cause[row] == CAUSE_SCENE || results->cause[row] == CAUSE_SCENE_AND_ANOMALY) &&
           (results->verdict[row] == VERDICT_HOLD || results->verdict[row] == VERDICT_REJECT);
}

static bool row_wanted(const struct ledger_query *query, const struct batch *batch, uint32_t row)
{
    char id[24];
    snprintf(id, sizeof id, "r%llu", (unsigned long long)batch->sequence);
    const struct results *results = &batch->results;
    return batch->op != OP_observe && (!query->tenant || text_equal(batch->tenant, text_of(query->tenant))) &&
           (!query->batch || strcmp(query->batch, id) == 0) &&
           (!query->transfer || cell_is(batch, COLUMN_transfer_id, row, query->transfer)) &&
           (!query->account || cell_is(batch, COLUMN_payer_id, row, query->account) ||
            cell_is(batch, COLUMN_payee_id, row, query->account)) &&
           (!query->scene || (results->scene && strcmp(rig_scenes[results->scene[row]], query->scene) == 0)) &&
           (!query->scene || !query->scene_decides || scene_decided(results, row)) &&
           (query->verdict < 0 || (results->verdict && results->verdict[row] == query->verdict)) &&
           (!query->from_us || batch->now_us >= query->from_us) && (!query->to_us || batch->now_us < query->to_us);
}

struct places {
    uint64_t sequences[ROWS_MAX];
    uint32_t rows[ROWS_MAX];
    uint32_t count;
};

static bool places_take(void *context, const struct ledger_row *row)
{
    struct places *places = context;
    places->sequences[places->count] = row->batch->sequence;
    places->rows[places->count++] = row->row;
    const struct results *results = &row->batch->results;
    assert_string_equal(row->scene, results->scene ? rig_scenes[results->scene[row->row]] : "");
    assert_string_equal(row->runner_up, results->runner_up ? rig_scenes[results->runner_up[row->row]] : "");
    return true;
}

static void places_expect(struct places *out, const struct ledger_query *query)
{
    out->count = 0;
    for (uint64_t i = BATCHES; i >= 1; i--)
        for (uint32_t row = 0; row < ROWS; row++)
            if (row_wanted(query, &batches[i], row))
                out->sequences[out->count] = i, out->rows[out->count++] = row;
}

static void query_check(struct ledger_query query, uint32_t page)
{
    static struct places wanted, found;
    struct fault_note note = {0};
    places_expect(&wanted, &query);
    found.count = 0;
    query.rows_max = page;
    for (uint32_t before = UINT32_MAX; before != found.count;) {
        before = found.count;
        assert_int_equal(ledger_sqlite.query(rig.ledger, &query, places_take, &found, &note), FAULT_NONE);
        assert_true(page == 0 || found.count - before <= page);
        if (found.count == 0 || page == 0)
            break;
        query.after_sequence = found.sequences[found.count - 1];
        query.after_row = found.rows[found.count - 1];
    }
    assert_int_equal(found.count, wanted.count);
    assert_memory_equal(found.sequences, wanted.sequences, wanted.count * sizeof *wanted.sequences);
    assert_memory_equal(found.rows, wanted.rows, wanted.count * sizeof *wanted.rows);
}

static void queries_find_what_a_plain_walk_finds(void **state)
{
    (void)state;
    uint64_t random = 11;
    static const char *const tenants[] = {NULL, "tenant a", "tenant b", "tenant unknown"};
    for (unsigned round = 0; round < 100; round++) {
        char account[24], transfer[40], batch[24];
        uint64_t sequence = 1 + sample_random(&random) % (BATCHES + 1);
        snprintf(account, sizeof account, "A%06u", (unsigned)(sample_random(&random) % SAMPLE_ACCOUNTS));
        snprintf(batch, sizeof batch, "r%llu", (unsigned long long)sequence);
        sample_transfer(transfer, sequence, (uint32_t)(sample_random(&random) % ROWS));
        uint64_t draw = sample_random(&random);
        struct ledger_query query = {.tenant = tenants[draw & 3],
                                     .verdict = (draw >> 2 & 3) == 0 ? (int)(draw >> 4 & 3) : -1,
                                     .account = (draw >> 6 & 3) == 0 ? account : NULL,
                                     .transfer = (draw >> 8 & 3) == 0 ? transfer : NULL,
                                     .batch = (draw >> 10 & 3) == 0 ? batch : NULL,
                                     .scene = (draw >> 12 & 3) == 0 ? rig_scenes[(draw >> 14) % SAMPLE_SCENES] : NULL,
                                     .scene_decides = draw >> 40 & 1,
                                     .from_us = (draw >> 20 & 3) == 0 ? (int64_t)(draw >> 22) % 25000 : 0,
                                     .to_us = (draw >> 30 & 3) == 0 ? (int64_t)(draw >> 32) % 25000 : 0};
        query_check(query, (uint32_t)(sample_random(&random) % 3 * 17));
    }
}

static void single_narrowings_are_exact(void **state)
{
    (void)state;
    char account[24];
    for (int verdict = -1; verdict < VERDICT_COUNT; verdict++)
        query_check((struct ledger_query){.verdict = verdict}, 50);
    for (unsigned scene = 0; scene < SAMPLE_SCENES; scene++)
        query_check((struct ledger_query){.verdict = -1, .scene = rig_scenes[scene]}, 1);
    query_check((struct ledger_query){.verdict = -1, .scene = "no such scene"}, 1);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(account, sizeof account, "A%06u", i);
        query_check((struct ledger_query){.verdict = -1, .account = account}, 7);
    }
}

static void every_transfer_is_found(void **state)
{
    (void)state;
    uint64_t sequence;
    uint32_t row;
    char transfer[40];
    struct fault_note note = {0};
    for (uint64_t i = 1; i <= BATCHES; i++)
        for (uint32_t at = 0; at < ROWS; at += 13) {
            sample_transfer(transfer, i, at);
            const char *tenant = i % 2 ? "tenant a" : "tenant b", *other = i % 2 ? "tenant b" : "tenant a";
            enum fault fault = ledger_sqlite.find_transfer(rig.ledger, text_of(tenant), text_of(transfer), &sequence, &row, &note);
            assert_int_equal(fault, batches[i].op == OP_observe ? FAULT_not_found : FAULT_NONE);
            assert_true(fault != FAULT_NONE || (sequence == i && row == at));
            fault = ledger_sqlite.find_transfer(rig.ledger, text_of(other), text_of(transfer), &sequence, &row, &note);
            assert_int_equal(fault, FAULT_not_found);
        }
    assert_non_null(strstr(note.text, "no transfer t"));
    assert_int_equal(ledger_sqlite.find_transfer(rig.ledger, text_of("tenant a"), text_of(""), &sequence, &row, NULL), FAULT_not_found);
}

static void the_newest_transfer_wins(void **state)
{
    (void)state;
    struct rig own;
    uint64_t sequence;
    uint32_t row;
    rig_init(&own);
    rig_open(&own);
    for (uint64_t i = 1; i <= 3; i++) {
        struct batch batch;
        char id[8];
        snprintf(id, sizeof id, "%u", (unsigned)i);
        sample_make(&batch, &(struct sample){.rows = 50, .seed = 4, .op = OP_screen, .sequence = i, .id = id});
        struct ledger_entry entry = {.batch = &batch};
        assert_int_equal(frame_encode(&entry.frame, &batch, NULL), FAULT_NONE);
        assert_int_equal(ledger_sqlite.commit(own.ledger, &entry, 1, NULL), FAULT_NONE);
        assert_int_equal(ledger_sqlite.find_transfer(own.ledger, text_of("tenant a"), text_of("t4-0000033"), &sequence, &row, NULL),
                         FAULT_NONE);
        assert_int_equal(sequence, i);
        assert_int_equal(row, 33);
        frame_give(&entry.frame);
        batch_fini(&batch);
    }
    rig_fini(&own);
}

struct resolved {
    uint64_t sequence[ROWS_MAX];
    uint32_t row[ROWS_MAX], calls;
    uint8_t label[ROWS_MAX];
};
static void resolved_take(void *context, uint32_t row, const struct ledger_row *found, uint8_t label)
{
    struct resolved *resolved = context;
    assert_int_equal(resolved->sequence[row], 0);
    resolved->sequence[row] = found->batch->sequence;
    resolved->row[row] = found->row;
    resolved->label[row] = label;
    resolved->calls++;
}

/* Ids of all batches of one tenant, some unknown, some null, some twice, some skipped. */
static void many_transfers_are_found_in_one_walk(void **state)
{
    (void)state;
    static struct resolved resolved;
    static char texts[ROWS_MAX][40];
    static struct text values[ROWS_MAX];
    static uint32_t codes[ROWS_MAX];
    static uint8_t valid[ROWS_MAX / 8 + 1], skip[ROWS_MAX];
    uint64_t random = 3;
    for (uint32_t count = 1; count <= 3000; count = count * 3 + 1) {
        memset(&resolved, 0, sizeof resolved);
        memset(valid, 0, sizeof valid);
        uint32_t wanted = 0;
        for (uint32_t i = 0; i < count; i++) {
            sample_transfer(texts[i], 1 + sample_random(&random) % (BATCHES + 2), (uint32_t)(sample_random(&random) % (ROWS + 10)));
            values[i] = text_of(texts[i]), codes[i] = i;
            valid[i >> 3] |= (uint8_t)((sample_random(&random) % 10 != 0) << (i & 7));
            skip[i] = sample_random(&random) % 10 == 0;
        }
        struct column ids = {.form = FORM_DICT32, .data = (unsigned char *)codes, .valid = valid, .values = values, .value_count = count};
        assert_int_equal(ledger_sqlite.find_transfers(rig.ledger, text_of("tenant a"), &ids, count, skip, resolved_take, &resolved, NULL),
                         FAULT_NONE);
        for (uint32_t i = 0; i < count; i++) {
            uint64_t sequence = 0;
            uint32_t row = 0;
            uint8_t label = 0;
            bool asked = !skip[i] && (valid[i >> 3] >> (i & 7) & 1);
            if (asked && ledger_sqlite.find_transfer(rig.ledger, text_of("tenant a"), values[i], &sequence, &row, NULL) != FAULT_NONE)
                sequence = row = 0;
            ledger_sqlite.label_find(rig.ledger, text_of("tenant a"), values[i], &label, NULL);
            assert_true(resolved.sequence[i] == sequence && resolved.row[i] == row && resolved.label[i] == (sequence ? label : 0));
            wanted += sequence != 0;
        }
        assert_int_equal(resolved.calls, wanted);
    }
}

struct listed {
    uint64_t sequences[BATCHES];
    uint32_t count;
};
static bool listed_take(void *context, const struct ledger_batch *batch)
{
    struct listed *listed = context;
    const struct batch *wanted = &batches[batch->sequence];
    assert_int_equal(batch->op, wanted->op);
    assert_int_equal(batch->row_count, ROWS);
    assert_true(text_equal(text_of(batch->tenant), wanted->tenant));
    listed->sequences[listed->count++] = batch->sequence;
    return true;
}

static void batches_are_listed_in_pages(void **state)
{
    (void)state;
    struct listed listed = {.count = 0};
    struct ledger_query query = {.verdict = -1, .rows_max = 7};
    for (uint32_t before = UINT32_MAX; before != listed.count; query.after_sequence = listed.sequences[listed.count - 1]) {
        before = listed.count;
        assert_int_equal(ledger_sqlite.batches(rig.ledger, &query, listed_take, &listed, NULL), FAULT_NONE);
    }
    assert_int_equal(listed.count, BATCHES);
    for (uint32_t i = 0; i < BATCHES; i++)
        assert_int_equal(listed.sequences[i], BATCHES - i);
    listed.count = 0;
    query = (struct ledger_query){.verdict = -1, .tenant = "tenant b", .from_us = 10000, .to_us = 20000};
    assert_int_equal(ledger_sqlite.batches(rig.ledger, &query, listed_take, &listed, NULL), FAULT_NONE);
    assert_int_equal(listed.count, 5);
    listed.count = 0;
    query = (struct ledger_query){.verdict = -1, .tenant = "tenant a", .batch = "r9"};
    assert_int_equal(ledger_sqlite.batches(rig.ledger, &query, listed_take, &listed, NULL), FAULT_NONE);
    assert_int_equal(listed.count, 1);
    assert_int_equal(listed.sequences[0], 9);
}

static atomic_bool stop;
static atomic_uint reads;
static void read_for_ever(void *context)
{
    uint64_t random = (uint64_t)(uintptr_t)context;
    static struct rig *const shared = &rig;
    while (!atomic_load(&stop)) {
        uint64_t last = ledger_sqlite.last_sequence(shared->ledger), sequence = 1 + sample_random(&random) % last, found;
        char transfer[40], id[24];
        uint32_t row;
        struct batch batch;
        struct ledger_request request;
        snprintf(id, sizeof id, "r%llu", (unsigned long long)sequence);
        MUST(ledger_sqlite.read(shared->ledger, &batch, sequence, NULL) == FAULT_NONE && batch.sequence == sequence);
        MUST(ledger_sqlite.find_request(shared->ledger, &request, batch.tenant, text_of(id), NULL) == FAULT_NONE &&
             request.sequence == sequence);
        sample_transfer(transfer, sequence, 5);
        if (batch.op != OP_observe)
            MUST(ledger_sqlite.find_transfer(shared->ledger, batch.tenant, text_of(transfer), &found, &row, NULL) == FAULT_NONE &&
                 found == sequence);
        batch_fini(&batch);
        atomic_fetch_add(&reads, 1);
    }
}

static void readers_beside_the_writer(void **state)
{
    (void)state;
    struct thread threads[3] = {0};
    for (uintptr_t i = 0; i < 3; i++)
        assert_true(thread_start(&threads[i], "reader", CPU_ANY, read_for_ever, (void *)(i + 1)));
    uint64_t sequence = BATCHES + 1;
    for (unsigned i = 0; i < 100 || (atomic_load(&reads) < 100 && i < 3000); i++, sequence += 2) {
        assert_int_equal(rig_commit(&rig, sequence, 2, 40, OP_screen, NULL), FAULT_NONE);
        if (i % 20 == 0)
            ledger_sqlite.idle(rig.ledger);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 3; i++)
        thread_join(&threads[i]);
    assert_true(atomic_load(&reads) >= 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries_find_what_a_plain_walk_finds),
        cmocka_unit_test(single_narrowings_are_exact),
        cmocka_unit_test(every_transfer_is_found),
        cmocka_unit_test(the_newest_transfer_wins),
        cmocka_unit_test(many_transfers_are_found_in_one_walk),
        cmocka_unit_test(batches_are_listed_in_pages),
        cmocka_unit_test(readers_beside_the_writer),
    };
    return cmocka_run_group_tests(tests, house_setup, house_teardown);
}
