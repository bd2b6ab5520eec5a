/* What a row's tenant and its past make of it: the tenant's cap on what anomaly alone may raise, and labels that reach the
 * devices of both sides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/pipeline/rig.h"

/* --- the tenant's cap --------------------------------------------------------------------------------------------- */

enum { ROWS = 300 };

/* Everything is anomalous, and no scene is ever matched. */
static void write_anomalous_base(const char *name)
{
    struct tiny_base tiny;
    struct fault_note note = {0};
    char *bytes = NULL, path[128];
    size_t byte_count = 0;
    tiny_base_init(&tiny, 4, 8, 4, 11);
    for (uint32_t s = 1; s < tiny.base.scene_count; s++)
        tiny.base.scenes[s].threshold = 1.0f, tiny.base.scenes[s].bias = -60.0f;
    for (int i = 0; i < ANOMALY_COUNT; i++)
        tiny.base.anomaly[i].threshold = 0.001f;
    snprintf(path, sizeof path, "%s/%s", rig_folder, name);
    if (scene_base_write(&bytes, &byte_count, &tiny.base, NULL, NULL, &note) != FAULT_NONE ||
        file_replace(path, bytes, byte_count, &note) != FAULT_NONE)
        fail_msg("%s", note.text);
    memory_give(bytes);
    tiny_base_fini(&tiny);
}

static const unsigned char *column_bytes(const struct sent *sent, const char *name)
{
    struct wire_value all, one, data;
    assert_true(reply_find(sent, "columns", &all) && wire_find(&one, &all, name) && wire_find(&data, &one, "data"));
    return (const unsigned char *)data.text.data;
}

/* The highest level of a batch of that tenant; every row has one, and by the anomaly alone. */
static enum level highest_level(const char *tenant)
{
    struct wire_buffer message;
    struct sent sent = {0};
    unsigned highest = 0;
    batch_of(&message, tenant, "screen", "cap", ROWS);
    ask(&sent, &message);
    assert_string_equal(reply_fault(&sent), "ok");
    for (unsigned i = 0; i < ROWS; i++) {
        unsigned level = column_bytes(&sent, "level")[i];
        assert_int_equal(column_bytes(&sent, "cause")[i], CAUSE_ANOMALY);
        highest = level > highest ? level : highest;
    }
    sent_fini(&sent);
    return (enum level)highest;
}

static void a_tenant_caps_what_anomaly_raises(void **state)
{
    (void)state;
    write_anomalous_base("base.safetensors");
    rig_open(rig_config("levels: {anomaly_cap: high}\n"
                        "tenants:\n  - {name: free, token_hash: " TOKEN_HASH "}\n"
                        "  - {name: capped, anomaly_cap: low, token_hash: " TOKEN_HASH "}\n"
                        "  - {name: higher, anomaly_cap: critical, token_hash: " TOKEN_HASH "}\n",
                        "base.safetensors"));
    assert_int_equal(highest_level("free"), LEVEL_HIGH);
    assert_int_equal(highest_level("capped"), LEVEL_LOW);
    assert_int_equal(highest_level("higher"), LEVEL_HIGH); /* the lower of both holds */
}

/* --- labels reach both devices ------------------------------------------------------------------------------------- */

static void one_transfer(struct wire_buffer *out, int64_t time_us)
{
    begin(out, "a", "screen", "past", 1);
    wire_pack_text(out, "transfers"), wire_pack_array(out, 1);
    wire_pack_map(out, 8);
    pair(out, "transfer_id", "t"), pair(out, "payer_id", "p"), pair(out, "payee_id", "q");
    pair(out, "payer_device", "phone"), pair(out, "payee_device", "till");
    pair_i64(out, "amount", 500), pair(out, "currency", "EUR"), pair_i64(out, "time", time_us);
}

/* The figures of the batch's first row, were it made so much later. */
static void figures_later(float out[FIGURE_COUNT], uint64_t sequence, int64_t later_us)
{
    struct batch batch = {0};
    struct fault_note note = {0};
    struct figures figures;
    float *memory = memory_take_aligned((size_t)FIGURE_COUNT * SLICE_ROWS * sizeof *memory, 64);
    assert_non_null(memory);
    for (int i = 0; i < FIGURE_COUNT; i++)
        figures.column[i] = memory + (size_t)i * SLICE_ROWS;
    rig_await_quiet();
    assert_int_equal(pipeline->ledger_ops->read(pipeline->ledger, &batch, sequence, &note), FAULT_NONE);
    batch.facts.time_us[0] += later_us;
    pipeline->history_ops->relate(pipeline->history, &batch, 0, 1, batch.feedback_delay_us, false, &figures);
    for (int i = 0; i < FIGURE_COUNT; i++)
        out[i] = figures.column[i][0];
    batch_fini(&batch);
    memory_give(memory);
}

static void a_label_reaches_both_devices(void **state)
{
    float figures[FIGURE_COUNT];
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(NULL, NULL));
    one_transfer(&message, clock_wall_us() - 20 * US_PER_DAY);
    expect(&message, "sequence", "1");
    figures_later(figures, 1, 10 * US_PER_DAY);
    assert_true(figures[FIGURE_payer_device_bad] == 0.0f && figures[FIGURE_payee_device_bad] == 0.0f);
    begin(&message, "a", "label", "labels", 1);
    wire_pack_text(&message, "transfers"), wire_pack_array(&message, 1);
    wire_pack_map(&message, 2), pair(&message, "transfer_id", "t"), pair(&message, "label", "mule");
    expect(&message, "notes", "0");
    figures_later(figures, 1, 10 * US_PER_DAY);
    assert_true(figures[FIGURE_payer_device_bad] == 1.0f);
    assert_true(figures[FIGURE_payee_device_bad] == 1.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_tenant_caps_what_anomaly_raises),
        RIG_TEST(a_label_reaches_both_devices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
