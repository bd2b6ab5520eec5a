/* What comes over one connection reaches the pipeline in the order in which it was sent, on several dispatchers and contexts. */
#include "unit/server/bench.h"

#include "server/receipt.h"

enum { SENT = 200, FILLERS = 3 };

static nng_msg *message_of(unsigned number)
{
    static const size_t fillers[FILLERS] = {1000, 8, 300}; /* what is small overtakes what is large, if it can */
    struct wire_buffer out = {0};
    nng_msg *message;
    char id[16], *token = memset(malloc(1001), 'x', 1001);
    snprintf(id, sizeof id, "hold-%u", number);
    wire_pack_map(&out, 4);
    wire_pack_text(&out, "v"), wire_pack_i64(&out, 1);
    wire_pack_text(&out, "op"), wire_pack_text(&out, "query");
    wire_pack_text(&out, "id"), wire_pack_text(&out, id);
    wire_pack_text(&out, "token"), wire_pack_str(&out, (struct text){token, (uint32_t)fillers[number % FILLERS]});
    assert_int_equal(nng_msg_alloc(&message, out.bytes), 0);
    memcpy(nng_msg_body(message), out.data, out.bytes);
    wire_buffer_fini(&out);
    free(token);
    return message;
}

static void one_connection_keeps_its_order(void **state)
{
    static nng_ctx contexts[SENT];
    static nng_aio *aios[SENT];
    (void)state;
    struct bench *bench = bench_make(SENT, 10);
    bench_open(bench);
    nng_socket client = dial(bench->config.data_listen[0]);
    assert_string_equal(ask(client, "hello", "h").status, "ok");
    for (unsigned i = 0; i < SENT; i++) {
        assert_int_equal(nng_ctx_open(&contexts[i], client), 0);
        assert_int_equal(nng_aio_alloc(&aios[i], NULL, NULL), 0);
        nng_aio_set_msg(aios[i], message_of(i));
        nng_ctx_send(contexts[i], aios[i]);
    }
    wait_for(bench->pipeline, &bench->pipeline->held_count, SENT);
    for (unsigned i = 0; i < SENT; i++) {
        char id[16];
        snprintf(id, sizeof id, "hold-%u", i);
        assert_string_equal(bench->pipeline->held[i].id, id);
    }
    fake_set(bench->pipeline, &bench->pipeline->letting_go, true);
    for (unsigned i = 0; i < SENT; i++) { /* all answered: nng 1.5 does not bear contexts closed beside their replies */
        nng_aio_wait(aios[i]);
        nng_ctx_recv(contexts[i], aios[i]);
        nng_aio_wait(aios[i]);
        assert_int_equal(nng_aio_result(aios[i]), 0);
        nng_msg_free(nng_aio_get_msg(aios[i]));
        nng_aio_free(aios[i]);
        nng_ctx_close(contexts[i]);
    }
    nng_close(client);
    bench_close(bench);
}

/* --- by hand: callbacks in any order --------------------------------------------------------------------------------- */

static void ready_in_order_of_serials(void **state)
{
    struct receipts receipts;
    struct receipt items[6] = {0};
    (void)state;
    assert_true(receipts_init(&receipts, 6));
    for (unsigned i = 0; i < 6; i++)
        items[i].serial = receipts.listening++;
    assert_true(receipts_put(&receipts, &items[1], 7));
    assert_null(receipts.first); /* the one before it is on its way */
    assert_true(receipts_put(&receipts, &items[0], 7));
    assert_true(receipts_put(&receipts, &items[2], 8));
    assert_ptr_equal(receipts_take(&receipts, 0), &items[0]);
    assert_ptr_equal(receipts_take(&receipts, 1), &items[2]); /* connection 7 is at work */
    assert_ptr_equal(receipts_take(&receipts, 0), &items[1]);
    assert_true(receipts_put(&receipts, &items[4], 9));
    receipts_close(&receipts);
    assert_false(receipts_put(&receipts, &items[3], 9));
    assert_ptr_equal(receipts_take(&receipts, 0), &items[4]); /* what was put is taken, though one before it never came */
    assert_null(receipts_take(&receipts, 0));
    assert_null(receipts_take(&receipts, 1));
    receipts_fini(&receipts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_connection_keeps_its_order), cmocka_unit_test(ready_in_order_of_serials)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
