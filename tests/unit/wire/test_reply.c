/* Replies: what a client reads is what the batch holds, in both forms; the same batch gives the same bytes. */
#include "unit/wire/message.h"

#include "base/memory.h"

enum { ROWS = 1030 }; /* two slices */

static const char *const scenes[] = {"background", "takeover", "mule"};
static const char *const risk_types[] = {"none", "theft"};
static const char *const countermeasures[] = {"none\x1f", "confirm\x1f"
                                                          "Ask the payer.\x1f"
                                                          "询问付款人。\x1f"
                                                          "payee_id,memo\x1f"
                                                          "payer"};
static const char *const features[] = {"amount_log", "night", "new_payee"};

static struct reply_names names_of(bool with_margins)
{
    return (struct reply_names){
        .scenes = scenes,
        .scene_count = 3,
        .risk_types = risk_types,
        .risk_type_count = 2,
        .countermeasures = countermeasures,
        .countermeasure_count = 2,
        .base_name = "demo",
        .base_version = "3",
        .base_digest = "aa",
        .config_digest = "bb",
        .kernel = "cpu ref",
        .with_margins = with_margins,
        .features = features,
        .feature_count = 3,
    };
}

static struct reason_block block_of(struct arena *arena, uint32_t row)
{
    struct reason_block block = {.count = 1};
    block.row = arena_take(arena, sizeof *block.row, 4);
    block.reason_count = arena_take(arena, 1, 1);
    block.reasons = arena_take(arena, sizeof *block.reasons * REASONS_MAX, 4);
    block.row[0] = row;
    block.reason_count[0] = 2;
    block.reasons[0] = (struct reason){.feature = 2, .dimension = DIMENSION_social, .value = 1.5f, .share = 0.75f};
    block.reasons[1] = (struct reason){.feature = 0, .dimension = DIMENSION_transaction, .value = -2.0f, .share = 0.25f};
    return block;
}

/* Two rows do not pass: 4 (held) and 1029 (invalid). */
static void batch_make(struct batch *out, bool in_rows)
{
    struct fault_note note = {0};
    assert_int_equal(batch_init(out, batch_arena_bytes(&LIMITS, ROWS, 4096), &note), FAULT_NONE);
    out->op = OP_screen;
    out->id = text_of("id-1");
    out->name = text_of("batch-1");
    out->sequence = 77;
    out->row_count = ROWS;
    out->reply_in_rows = in_rows;
    uint32_t *offsets = arena_take(&out->arena, 4 * (ROWS + 1), 4);
    for (uint32_t row = 0; row <= ROWS; row++)
        offsets[row] = row < 4 ? 0 : row == 4 ? 1 : 3;
    out->columns[COLUMN_transfer_id] = (struct column){.form = FORM_STR,
                                                       .name = text_of("transfer_id"),
                                                       .offsets = (unsigned char *)offsets,
                                                       .data = (const unsigned char *)"a\xff"
                                                                                      "b"};
    assert_int_equal(batch_take_checks(out, 2, &note), FAULT_NONE);
    assert_int_equal(batch_take_results(out, &note), FAULT_NONE);
    struct results *results = &out->results;
    results->verdict[4] = VERDICT_HOLD;
    results->scene[4] = 2;
    results->risk_type[4] = results->countermeasure[4] = 1;
    results->match[4] = 0.875f;
    results->distance[DIMENSION_social][4] = 3.5f;
    results->verdict[1029] = VERDICT_INVALID;
    results->reasons[0] = block_of(&out->arena, 4);
    results->reasons[1] = block_of(&out->arena, 1029);
    for (uint32_t row = 1027; row < ROWS; row++)
        batch_row_fails(out, row, COLUMN_amount, RULE_RANGE, "bad \xff %u", row);
}

static void reply_open(struct wire_value *out, const struct wire_buffer *reply)
{
    struct fault_note note = {0};
    const unsigned char *at = (const unsigned char *)reply->data;
    assert_false(reply->failed);
    assert_int_equal(wire_check(reply->data, reply->bytes, &note), FAULT_NONE);
    assert_true(wire_next(out, &at, at + reply->bytes));
    assert_int_equal(out->type, WIRE_MAP);
}

static struct wire_value get(const struct wire_value *map, const char *key)
{
    struct wire_value value;
    if (!wire_find(&value, map, key))
        fail_msg("no %s", key);
    return value;
}

static struct wire_value item(const struct wire_value *array, uint32_t index)
{
    struct wire_value value = {0};
    const unsigned char *at = array->inside;
    for (uint32_t i = 0; i <= index; i++)
        assert_true(wire_next(&value, &at, array->end));
    return value;
}

static void assert_text(const struct wire_value *map, const char *key, const char *wanted)
{
    struct wire_value value = get(map, key);
    if (value.type != WIRE_STR || !text_is(value.text, wanted))
        fail_msg("%s is %.*s, not %s", key, (int)value.text.bytes, value.text.data, wanted);
}

static void assert_head(const struct wire_value *reply)
{
    assert_true(get(reply, "v").integer == 1 && get(reply, "sequence").integer == 77 && get(reply, "rows").integer == ROWS);
    assert_text(reply, "id", "id-1");
    assert_text(reply, "status", "ok");
    assert_text(reply, "op", "screen");
    assert_text(reply, "batch", "batch-1");
    assert_text(reply, "base", "demo");
    assert_text(reply, "base_version", "3");
    assert_text(reply, "base_digest", "aa");
    assert_text(reply, "config_digest", "bb");
    assert_text(reply, "kernel", "cpu ref");
    struct wire_value counts = get(reply, "counts"), notes = get(reply, "notes"), note_counts = get(reply, "note_counts");
    assert_true(get(&counts, "pass").integer == ROWS - 2 && get(&counts, "hold").integer == 1 && get(&counts, "invalid").integer == 1);
    assert_int_equal(notes.count, 2); /* room for two of three */
    struct wire_value note = item(&notes, 1), count = item(&note_counts, 0);
    assert_int_equal(get(&note, "row").integer, 1028);
    assert_text(&note, "column", "amount");
    assert_text(&note, "text", "bad ? 1028");
    assert_text(&count, "rule", "range");
    assert_int_equal(get(&count, "count").integer, 3);
}

static void assert_blob(const struct wire_value *map, const char *key, const void *bytes, size_t byte_count)
{
    struct wire_value blob = get(map, key);
    assert_int_equal(blob.type, WIRE_BIN);
    assert_int_equal(blob.text.bytes, byte_count);
    assert_memory_equal(blob.text.data, bytes, byte_count);
}

static void test_columns(void **state)
{
    (void)state;
    struct batch batch;
    struct fault_note note;
    struct wire_buffer out = {0};
    struct wire_value reply;
    struct reply_names names = names_of(true);
    batch_make(&batch, false);
    assert_int_equal(wire_reply_verdicts(&out, &batch, &names, &note), FAULT_NONE);
    reply_open(&reply, &out);
    assert_head(&reply);
    struct wire_value columns = get(&reply, "columns"), tables = get(&reply, "tables"), reasons = get(&reply, "reasons");
    struct wire_value verdict = get(&columns, "verdict"), match = get(&columns, "match"), social = get(&columns, "distance_social");
    assert_int_equal(columns.count, 7 + 5 + DIMENSION_COUNT);
    assert_text(&verdict, "type", "u8");
    assert_blob(&verdict, "data", batch.results.verdict, ROWS);
    assert_text(&match, "type", "f32");
    assert_blob(&match, "data", batch.results.match, 4 * ROWS);
    assert_blob(&social, "data", batch.results.distance[DIMENSION_social], 4 * ROWS);
    struct wire_value scene_table = get(&tables, "scene"), measure_table = get(&tables, "countermeasure"),
                      measure = item(&measure_table, 1);
    assert_true(text_is(item(&scene_table, 2).text, "mule"));
    assert_text(&measure, "name", "confirm");
    assert_text(&measure, "text", "Ask the payer.");
    struct wire_value correct = get(&measure, "correct"), none = item(&measure_table, 0), none_correct = get(&none, "correct");
    assert_int_equal(correct.count, 2);
    assert_true(text_is(item(&correct, 0).text, "payee_id") && text_is(item(&correct, 1).text, "memo"));
    assert_text(&measure, "confirm", "payer");
    assert_int_equal(none_correct.count, 0);
    assert_text(&none, "confirm", "");
    struct wire_value feature_table = get(&tables, "feature");
    assert_int_equal(feature_table.count, 2); /* the two that are named */
    assert_true(text_is(item(&feature_table, 1).text, "new_payee"));
    assert_blob(&reasons, "rows", (uint32_t[]){4, 1029}, 8);
    assert_blob(&reasons, "count", "\2\2", 2);
    assert_blob(&reasons, "feature", (uint16_t[]){1, 0, 1, 0}, 8);
    assert_blob(&reasons, "dimension", "\3\0\3\0", 4);
    assert_blob(&reasons, "value", (float[]){1.5f, -2.0f, 1.5f, -2.0f}, 16);
    assert_blob(&reasons, "share", (float[]){0.75f, 0.25f, 0.75f, 0.25f}, 16);
    batch_fini(&batch);
    wire_buffer_fini(&out);
}

static void test_rows(void **state)
{
    (void)state;
    struct batch batch;
    struct fault_note note;
    struct wire_buffer out = {0};
    struct wire_value reply;
    struct reply_names names = names_of(true);
    names.language = LANGUAGE_ZH;
    batch_make(&batch, true);
    assert_int_equal(wire_reply_verdicts(&out, &batch, &names, &note), FAULT_NONE);
    reply_open(&reply, &out);
    assert_head(&reply);
    struct wire_value transfers = get(&reply, "transfers"), held = item(&transfers, 4), passed = item(&transfers, 3);
    assert_int_equal(transfers.count, ROWS);
    assert_text(&passed, "transfer_id", "a");
    assert_text(&passed, "verdict", "pass");
    assert_text(&passed, "scene", "background");
    assert_int_equal(get(&passed, "reasons").count, 0);
    assert_text(&held, "transfer_id", "?b");
    assert_text(&held, "verdict", "hold");
    assert_text(&held, "scene", "mule");
    assert_text(&held, "risk_type", "theft");
    assert_text(&held, "countermeasure", "confirm");
    assert_text(&held, "countermeasure_text", "询问付款人。");
    assert_int_equal(get(&held, "correct").count, 2);
    assert_text(&held, "confirm", "payer");
    assert_true(get(&held, "match").real == 0.875 && get(&held, "distance_social").real == 3.5);
    struct wire_value reasons = get(&held, "reasons"), strongest = item(&reasons, 0);
    assert_int_equal(reasons.count, 2);
    assert_text(&strongest, "feature", "new_payee");
    assert_text(&strongest, "dimension", "social");
    assert_true(get(&strongest, "value").real == 1.5 && get(&strongest, "share").real == 0.75);
    batch_fini(&batch);
    wire_buffer_fini(&out);
}

static void test_margins_are_kept_back(void **state)
{
    (void)state;
    for (int in_rows = 0; in_rows < 2; in_rows++) {
        struct batch batch;
        struct fault_note note;
        struct wire_buffer out = {0};
        struct wire_value reply, value;
        struct reply_names names = names_of(false);
        batch_make(&batch, in_rows);
        assert_int_equal(wire_reply_verdicts(&out, &batch, &names, &note), FAULT_NONE);
        reply_open(&reply, &out);
        struct wire_value reasons = get(&reply, in_rows ? "transfers" : "reasons");
        if (in_rows) {
            struct wire_value held = item(&reasons, 4), list = get(&held, "reasons");
            reasons = item(&list, 0);
        }
        assert_true(wire_find(&value, &reasons, "feature"));
        assert_false(wire_find(&value, &reasons, "value") || wire_find(&value, &reasons, "share"));
        batch_fini(&batch);
        wire_buffer_fini(&out);
    }
}

static void test_the_same_bytes_and_memory(void **state)
{
    (void)state;
    struct reply_names names = names_of(true);
    uint64_t live = memory_live_count();
    for (int in_rows = 0; in_rows < 2; in_rows++) {
        struct wire_buffer first = {0}, second = {0};
        struct batch batch;
        struct fault_note note;
        batch_make(&batch, in_rows);
        assert_int_equal(wire_reply_verdicts(&first, &batch, &names, &note), FAULT_NONE);
        batch_fini(&batch);
        batch_make(&batch, in_rows);
        assert_int_equal(wire_reply_verdicts(&second, &batch, &names, &note), FAULT_NONE);
        assert_int_equal(first.bytes, second.bytes);
        assert_memory_equal(first.data, second.data, first.bytes);
        wire_buffer_fini(&second);
        memory_fail_at(0);
        assert_int_equal(wire_reply_verdicts(&second, &batch, &names, &note), FAULT_memory);
        memory_fail_at(UINT64_MAX);
        wire_buffer_fini(&first);
        wire_buffer_fini(&second);
        batch_fini(&batch);
    }
    assert_int_equal(memory_live_count(), live);
}

static void test_done(void **state)
{
    (void)state;
    struct batch batch;
    struct fault_note note;
    struct wire_buffer out = {0};
    struct wire_value reply;
    batch_make(&batch, false);
    batch.op = OP_import;
    assert_int_equal(wire_reply_done(&out, &batch, 0, &note), FAULT_NONE);
    reply_open(&reply, &out);
    struct wire_value counts = get(&reply, "counts");
    assert_text(&reply, "op", "import");
    assert_true(get(&counts, "taken").integer == ROWS - 3 && get(&counts, "invalid").integer == 3);
    assert_int_equal(get(&reply, "notes").count, 2);
    batch_fini(&batch);
    wire_buffer_fini(&out);
}

static void test_fault(void **state)
{
    (void)state;
    struct fault_note note = {0};
    struct wire_buffer out = {0};
    struct wire_value reply;
    fault_set(&note, FAULT_busy, ROW_NONE, COLUMN_NONE, "come again");
    note.retry_after_ms = 20;
    wire_reply_fault(&out, text_of("id-1"), &note);
    reply_open(&reply, &out);
    struct wire_value notes = get(&reply, "notes"), only = item(&notes, 0);
    assert_text(&reply, "id", "id-1");
    assert_text(&reply, "status", "error");
    assert_text(&reply, "fault", "busy");
    assert_int_equal(get(&reply, "retry_after_ms").integer, 20);
    assert_int_equal(get(&only, "row").type, WIRE_NIL);
    assert_int_equal(get(&only, "column").type, WIRE_NIL);
    assert_text(&only, "text", "come again");
    out.bytes = 0;
    fault_set(&note, FAULT_schema, 7, COLUMN_amount, "a \xc3");
    wire_reply_fault(&out, (struct text){0}, &note);
    reply_open(&reply, &out);
    notes = get(&reply, "notes");
    only = item(&notes, 0);
    assert_int_equal(get(&only, "row").integer, 7);
    assert_text(&only, "column", "amount");
    assert_text(&only, "text", "a ?");
    wire_buffer_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_margins_are_kept_back),
        cmocka_unit_test(test_the_same_bytes_and_memory),
        cmocka_unit_test(test_done),
        cmocka_unit_test(test_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
