/* Memory runs out at the n-th allocation, SQLite's among them: a fault, nothing leaked, nothing half recorded. For every n
 * with SLUICE_SOAK in the environment, else for every 17th. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "fault/fault.h"
#include "unit/ledger/rig.h"

static bool row_seen(void *context, const struct ledger_row *row)
{
    *(uint32_t *)context += row->row < 5;
    return true;
}

/* Two batches are recorded, found, read and listed. */
static enum fault flow_run(struct rig *rig, struct batch *batches, uint64_t *out_last, struct fault_note *note)
{
    struct ledger_entry entries[2] = {0};
    struct ledger_request request;
    struct batch back;
    uint32_t rows = 0;
    *out_last = 0;
    enum fault fault = ledger_sqlite.open(&rig->ledger, &rig->options, note);
    for (unsigned i = 0; i < 2 && fault == FAULT_NONE; i++) {
        entries[i] = (struct ledger_entry){.batch = &batches[i], .scenes = rig_scenes, .scene_count = SAMPLE_SCENES};
        fault = frame_encode(&entries[i].frame, &batches[i], note);
    }
    if (fault == FAULT_NONE && (fault = ledger_sqlite.commit(rig->ledger, entries, 2, note)) == FAULT_NONE)
        *out_last = 2;
    if (fault == FAULT_NONE)
        fault = ledger_sqlite.find_request(rig->ledger, &request, text_of("tenant b"), text_of("r2"), note);
    if (fault == FAULT_NONE && (fault = ledger_sqlite.read(rig->ledger, &back, 1, note)) == FAULT_NONE)
        batch_fini(&back);
    if (fault == FAULT_NONE)
        fault = ledger_sqlite.query(rig->ledger, &(struct ledger_query){.verdict = -1}, row_seen, &rows, note);
    for (unsigned i = 0; i < 2; i++)
        if (entries[i].frame)
            frame_give(&entries[i].frame);
    rig_close(rig);
    return fault;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct batch batches[2];
    char ids[2][24];
    struct rig rig;
    uint64_t last, live = 0, nth = 0, step = getenv("SLUICE_SOAK") ? 1 : 17;
    for (uint64_t i = 0; i < 2; i++) {
        struct sample sample = rig_sample(i + 1, 2, OP_screen, ids[i]);
        sample_make(&batches[i], &sample);
    }
    enum fault fault;
    do {
        struct fault_note note = {0};
        rig_init(&rig);
        memory_fail_at(nth ? nth - 1 : UINT64_MAX); /* the first round shows what SQLite keeps for good */
        fault = flow_run(&rig, batches, &last, &note);
        bool failed = memory_failed_count() > 0;
        memory_fail_at(UINT64_MAX);
        if (nth == 0)
            live = memory_live_count();
        else if (fault != FAULT_NONE && fault != FAULT_memory)
            fail_msg("allocation %u: %s: %s", (unsigned)nth, fault_name(fault), note.text);
        assert_int_equal(memory_live_count(), live);
        rig_open(&rig);
        uint64_t there = ledger_sqlite.last_sequence(rig.ledger);
        assert_true(there == last);
        for (uint64_t i = 1; i <= there; i++)
            assert_null(rig_difference(&rig, i, 2, OP_screen));
        rig_fini(&rig);
        if (nth && !failed)
            break;
        nth += nth ? step : 1;
    } while (nth < 100000);
    assert_int_equal(fault, FAULT_NONE);
    print_message("%u allocations\n", (unsigned)nth);
    for (unsigned i = 0; i < 2; i++)
        batch_fini(&batches[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_may_fail)};
    fault_sqlite_memory_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
