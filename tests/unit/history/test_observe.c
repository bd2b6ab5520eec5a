/* Observations one by one: what each kind moves, and that a transfer that comes late finds it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/history/world.h"

#define DAY_0 (17700 * DAY_US)

static struct stream stream;

static void observe(struct history *history, enum observe_kind kind, int64_t time_us, uint64_t contact, uint64_t device, uint64_t address,
                    int64_t opened_us)
{
    uint64_t account = 1;
    uint32_t network = 9;
    uint8_t invalid = 0;
    struct batch batch = {.magic = BATCH_MAGIC, .op = OP_observe, .observe_kind = kind, .row_count = 1};
    batch.facts = (struct batch_facts){.payer = &account,
                                       .payee = &contact,
                                       .payer_device = &device,
                                       .payer_address = &address,
                                       .payer_network = &network,
                                       .time_us = &time_us,
                                       .invalid = &invalid};
    if (opened_us)
        batch.columns[COLUMN_opened_time] = (struct column){.form = FORM_I64, .data = (const unsigned char *)&opened_us};
    history_memory.observe(history, &batch);
}

static const float *transfer(struct history *history, int64_t time_us, uint64_t device, bool counted)
{
    static struct figure_rows rows;
    struct batch batch;
    if (!rows.row)
        rows = figure_rows_take(1);
    memset(&stream, 0, sizeof stream);
    stream.count = 1;
    stream.payer[0] = 1, stream.payee[0] = 2, stream.payer_device[0] = device;
    stream.payer_network[0] = 8;
    stream.amount[0] = 700, stream.time_us[0] = time_us;
    stream_batch(&batch, &stream, OP_screen);
    relate_cut(&rows, history, &batch, 0, 1, 1, 0, counted);
    return rows.row[0];
}

static void test_contact(void **state)
{
    (void)state;
    struct history *history = history_of(10, 100, 1, 10, 10);
    observe(history, OBSERVE_CONTACT, DAY_0 + 5 * DAY_US, 2, 0, 0, 0);
    assert_true(transfer(history, DAY_0 + 6 * DAY_US, 0, false)[FIGURE_contact_age] == 86400.0f);
    const float *figures = transfer(history, DAY_0 + DAY_US, 0, true); /* late: before it stood there */
    assert_true(figures[FIGURE_contact_age] == 0.0f && figures[FIGURE_pair_count] == 0.0f && figures[FIGURE_pair_gap] == -1.0f);
    figures = transfer(history, DAY_0 + 6 * DAY_US, 0, false);
    assert_true(figures[FIGURE_pair_gap] == 5 * 86400.0f && figures[FIGURE_pair_sum] == 700.0f && figures[FIGURE_back_count] == 0.0f);
    history_memory.close(&history);
}

static void test_registration_is_no_use(void **state)
{
    (void)state;
    struct history *history = history_of(10, 100, 1, 10, 10);
    observe(history, OBSERVE_REGISTRATION, DAY_0, 0, 77, 0, 0);
    const float *figures = transfer(history, DAY_0 + DAY_US, 77, true);
    assert_true(figures[FIGURE_payer_device_link_age] == 86400.0f && figures[FIGURE_payer_device_link_count] == 0.0f);
    assert_true(figures[FIGURE_payer_device_count] == 0.0f && figures[FIGURE_payer_device_accounts] == 1.0f);
    assert_true(figures[FIGURE_payer_network_new] == -1.0f);
    figures = transfer(history, DAY_0 + 2 * DAY_US, 0, false); /* the device that it used last */
    assert_true(figures[FIGURE_payer_device_count] == 1.0f && figures[FIGURE_payer_device_gap] == 86400.0f);
    assert_true(transfer(history, DAY_0 + 2 * DAY_US, 78, false)[FIGURE_payer_device_age] == -1.0f);
    history_memory.close(&history);
}

static void test_use_and_attribute(void **state)
{
    (void)state;
    struct history *history = history_of(10, 100, 1, 10, 10);
    observe(history, OBSERVE_USE, DAY_0 + DAY_US, 0, 77, 88, 0);
    observe(history, OBSERVE_ATTRIBUTE, DAY_0 + DAY_US, 0, 0, 0, DAY_0 - 400 * DAY_US);
    const float *figures = transfer(history, DAY_0 + 2 * DAY_US, 0, false);
    assert_true(figures[FIGURE_payer_age] == 402 * 86400.0f && figures[FIGURE_payer_changed] == -1.0f);
    assert_true(figures[FIGURE_payer_address_count] == 1.0f && figures[FIGURE_payer_device_networks] == 1.0f);
    assert_true(figures[FIGURE_payer_network_new] == 1.0f && figures[FIGURE_payer_out_count_30d] == 0.0f);
    history_memory.close(&history);
}

/* Account 1 as the payee: what it was seen to use counts, being paid to does not tie it to anything. */
static const float *transfer_back(struct history *history, int64_t time_us, uint64_t device, uint64_t address, bool counted)
{
    static struct figure_rows rows;
    struct batch batch;
    if (!rows.row)
        rows = figure_rows_take(1);
    memset(&stream, 0, sizeof stream);
    stream.count = 1;
    stream.payer[0] = 2, stream.payee[0] = 1, stream.payee_device[0] = device, stream.payee_address[0] = address;
    stream.amount[0] = 700, stream.time_us[0] = time_us;
    stream_batch(&batch, &stream, OP_screen);
    relate_cut(&rows, history, &batch, 0, 1, 1, 0, counted);
    return rows.row[0];
}

static void transfer_to(struct history *history, int64_t time_us, uint64_t device, uint32_t network) /* 3 pays 4, counted */
{
    struct batch batch;
    memset(&stream, 0, sizeof stream);
    stream.count = 1;
    stream.payer[0] = 3, stream.payee[0] = 4, stream.payer_device[0] = device, stream.payer_network[0] = network;
    stream.amount[0] = 700, stream.time_us[0] = time_us;
    stream_batch(&batch, &stream, OP_screen);
    history_memory.relate(history, &batch, 0, 1, 0, true, NULL);
}

static void test_payee(void **state)
{
    (void)state;
    struct history *history = history_of(10, 100, 1, 10, 10);
    observe(history, OBSERVE_CONTACT, DAY_0, 2, 0, 0, 0);
    observe(history, OBSERVE_REGISTRATION, DAY_0, 0, 77, 0, 0);
    observe(history, OBSERVE_USE, DAY_0 + DAY_US, 0, 77, 88, 0);
    const float *figures = transfer_back(history, DAY_0 + 2 * DAY_US, 0, 0, false);
    assert_true(figures[FIGURE_back_contact_age] == 2 * 86400.0f && figures[FIGURE_contact_age] == -1.0f);
    assert_true(figures[FIGURE_payee_device_gap] == 86400.0f && figures[FIGURE_payee_device_networks] == 1.0f);
    assert_true(figures[FIGURE_payee_device_link_age] == 2 * 86400.0f && figures[FIGURE_payee_device_link_count] == 1.0f);
    assert_true(figures[FIGURE_payee_address_count] == 1.0f && figures[FIGURE_payee_address_link_age] == 86400.0f);
    assert_true(figures[FIGURE_payee_network_new] == -1.0f);
    transfer_back(history, DAY_0 + 3 * DAY_US, 79, 88, true);
    figures = transfer_back(history, DAY_0 + 4 * DAY_US, 79, 88, false);
    assert_true(figures[FIGURE_payee_device_gap] == 86400.0f && figures[FIGURE_payee_device_networks] == 0.0f);
    assert_true(figures[FIGURE_payee_device_link_age] == -1.0f && figures[FIGURE_payee_device_link_count] == 0.0f);
    assert_true(figures[FIGURE_payee_address_count] == 2.0f && figures[FIGURE_payee_address_link_age] == 3 * 86400.0f);
    history_memory.close(&history);
}

/* Where the row names no network, that of the last use of the side's device tells it; only uses do, and the newest counts. */
static void test_network_of_a_device(void **state)
{
    (void)state;
    struct history *history = history_of(10, 100, 1, 10, 10);
    observe(history, OBSERVE_USE, DAY_0 + DAY_US, 0, 77, 88, 0); /* account 1, device 77, network 9 */
    const float *figures = transfer_back(history, DAY_0 + 2 * DAY_US, 0, 0, false);
    assert_true(figures[FIGURE_payee_network_change] == 0.0f && figures[FIGURE_payee_network_new] == -1.0f);
    assert_true(figures[FIGURE_payer_network_change] == -1.0f);
    transfer_to(history, DAY_0 + 3 * DAY_US, 77, 8); /* somebody else, on the same device */
    figures = transfer_back(history, DAY_0 + 4 * DAY_US, 0, 0, false);
    assert_true(figures[FIGURE_payee_network_change] == 1.0f && figures[FIGURE_payee_network_new] == -1.0f);
    figures = transfer_back(history, DAY_0 + 4 * DAY_US, 79, 0, false); /* another device, of which nothing is known */
    assert_true(figures[FIGURE_payee_network_change] == -1.0f);
    transfer_to(history, DAY_0 + 2 * DAY_US, 77, 9); /* late: the newest stays */
    assert_true(transfer_back(history, DAY_0 + 4 * DAY_US, 0, 0, false)[FIGURE_payee_network_change] == 1.0f);
    observe(history, OBSERVE_REGISTRATION, DAY_0 + 4 * DAY_US, 0, 77, 0, 0); /* no use */
    assert_true(transfer_back(history, DAY_0 + 5 * DAY_US, 0, 0, false)[FIGURE_payee_network_change] == 1.0f);
    figures = transfer(history, DAY_0 + 5 * DAY_US, 77, false); /* named: 8 */
    assert_true(figures[FIGURE_payer_network_change] == 1.0f && figures[FIGURE_payer_network_new] == 1.0f);
    history_memory.close(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_contact), cmocka_unit_test(test_registration_is_no_use),
                                       cmocka_unit_test(test_use_and_attribute), cmocka_unit_test(test_payee),
                                       cmocka_unit_test(test_network_of_a_device)};
    return cmocka_run_group_tests_name("history observe", tests, NULL, NULL);
}
