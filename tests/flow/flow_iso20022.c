/* A pain.001 to a real server: every transaction gets its status, and what passed comes out as a pain.001 again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "flow/harness.h"

enum { TRANSACTIONS = 60, PARTS = 3, DONE = 0, HELD = 1, REFUSED = 2, TEXT_BYTES = 1 << 20 };

static struct table *fresh;
static struct server server;
static char token_path[256], pain001_path[256], pain002_path[256], released_path[256], output[1 << 20];

#define RUN(...) FLOW_RUN(output, __VA_ARGS__)
#define SERVER   "--connect", server.data_url, "--tenant", "flow", "--token-file", token_path

static void assert_printed(const char *text)
{
    if (!strstr(output, text))
        fail_msg("'%s' is not in: %.2000s", text, output);
}

static uint32_t count_of(const char *text, const char *what)
{
    uint32_t count = 0;
    for (; (text = strstr(text, what)); text += strlen(what))
        count++;
    return count;
}

/* Rows of the table as a message of version 09, so many a part; one amount has a place too many and one id is there twice. */
static void message_write(const char *path, const char *id, uint32_t first)
{
    static char text[TEXT_BYTES];
    size_t used = 0;
    int64_t sum = 0;
    char *amounts[TRANSACTIONS];
    for (uint32_t i = 0; i < TRANSACTIONS; i++) {
        long long minor = atoll(table_cell(fresh, first + i, "amount"));
        char amount[40];
        snprintf(amount, sizeof amount, "%lld.%02lld%s", minor / 100, minor % 100, i == 4 ? "1" : "");
        amounts[i] = strdup(amount);
        sum += 10 * minor + (i == 4);
    }
#define ADD(...) used += (size_t)snprintf(text + used, sizeof text - used, __VA_ARGS__)
    ADD("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.001.001.09\">\n"
        "<CstmrCdtTrfInitn><GrpHdr><MsgId>%s</MsgId><CreDtTm>2026-11-21T10:00:00</CreDtTm><NbOfTxs>%d</NbOfTxs>"
        "<CtrlSum>%lld.%03lld</CtrlSum><InitgPty><Nm>Payer</Nm></InitgPty></GrpHdr>\n",
        id, TRANSACTIONS, (long long)sum / 1000, (long long)sum % 1000);
    for (uint32_t i = 0; i < TRANSACTIONS; i++) {
        if (i % (TRANSACTIONS / PARTS) == 0)
            ADD("%s<PmtInf><PmtInfId>part-%u</PmtInfId><PmtMtd>TRF</PmtMtd><ReqdExctnDt><Dt>2026-12-01</Dt></ReqdExctnDt><Dbtr/>"
                "<DbtrAcct><Id><Othr><Id>%s</Id></Othr></Id></DbtrAcct><DbtrAgt><FinInstnId/></DbtrAgt>\n",
                i ? "</PmtInf>" : "", i, table_cell(fresh, first + i, "payer_id"));
        ADD("<CdtTrfTxInf><PmtId><EndToEndId>%s</EndToEndId></PmtId><Amt><InstdAmt Ccy=\"%s\">%s</InstdAmt></Amt>"
            "<CdtrAcct><Id><Othr><Id>%s</Id></Othr></Id></CdtrAcct></CdtTrfTxInf>\n",
            table_cell(fresh, first + (i == 7 ? 6 : i), "transfer_id"), table_cell(fresh, first + i, "currency"), amounts[i],
            table_cell(fresh, first + i, "payee_id"));
    }
    ADD("</PmtInf></CstmrCdtTrfInitn></Document>\n");
#undef ADD
    for (uint32_t i = 0; i < TRANSACTIONS; i++)
        free(amounts[i]);
    flow_write(path, text, used);
}

static char *contents(const char *path)
{
    size_t bytes;
    return flow_read(path, &bytes);
}

/* How many transfers of a verdict the command told. */
static uint32_t told(const char *verdict)
{
    char what[32];
    snprintf(what, sizeof what, " %s ", verdict);
    const char *line = strstr(output, "transfers:"), *at = line ? strstr(line, what) : NULL;
    if (!at)
        fail_msg("no %s in: %.2000s", verdict, output);
    return (uint32_t)atoi(at + strlen(what));
}

static void test_statuses_and_release(void **state)
{
    (void)state;
    message_write(pain001_path, "MSG-1", 0);
    assert_int_equal(
        RUN("submit", SERVER, "--batch-rows", "25", "--status-report", pain002_path, "--released", released_path, pain001_path), HELD);
    assert_printed("60 transfers: pass ");
    assert_printed("row 5 (");
    assert_printed("amount: line 9: ");
    uint32_t pass = told("pass"), hold = told("hold"), reject = told("reject"), invalid = told("invalid");
    assert_true(pass > 0 && invalid >= 2);
    char *report = contents(pain002_path), *released = contents(released_path), counted[64];
    assert_int_equal(count_of(report, "<TxSts>ACCP</TxSts>"), pass);
    assert_int_equal(count_of(report, "<TxSts>PDNG</TxSts>"), hold);
    assert_int_equal(count_of(report, "<TxSts>RJCT</TxSts>"), reject + invalid);
    assert_int_equal(count_of(report, "<OrgnlPmtInfAndSts>"), PARTS);
    assert_non_null(strstr(report, "<OrgnlMsgId>MSG-1</OrgnlMsgId>"));
    assert_non_null(strstr(report, "<GrpSts>PART</GrpSts>"));
    assert_non_null(strstr(report, "<Cd>AM12</Cd>"));
    assert_non_null(strstr(report, "<Cd>RF01</Cd>"));
    assert_int_equal(count_of(report, "<StsRsnInf>"), hold + reject + invalid);
    assert_int_equal(count_of(released, "<CdtTrfTxInf>"), pass);
    assert_non_null(strstr(released, "<MsgId>MSG-1/r1</MsgId>"));
    snprintf(counted, sizeof counted, "<NbOfTxs>%u</NbOfTxs>", pass);
    assert_non_null(strstr(released, counted));
    /* the same again is the same answer; and what was released is a file that is taken, numbers, sums and all */
    assert_int_equal(
        RUN("submit", SERVER, "--batch-rows", "25", "--status-report", pain002_path, "--released", released_path, pain001_path), HELD);
    char *again = contents(released_path);
    assert_string_equal(again, released);
    assert_int_equal(RUN("submit", SERVER, "--op", "score", released_path) & ~HELD, DONE);
    free(report), free(released), free(again);
}

static void test_nothing_is_written_of_what_is_refused(void **state)
{
    (void)state;
    size_t bytes;
    message_write(pain001_path, "MSG-2", TRANSACTIONS);
    char *text = flow_read(pain001_path, &bytes), *at = strstr(text, "<NbOfTxs>60");
    remove(pain002_path), remove(released_path);
    memcpy(at, "<NbOfTxs>61", 11);
    flow_write(pain001_path, text, bytes);
    assert_int_equal(RUN("submit", SERVER, "--status-report", pain002_path, "--released", released_path, pain001_path), REFUSED);
    assert_printed("pain001.xml, line 3: GrpHdr/NbOfTxs: tells of 61 transactions, 60 are there");
    assert_int_equal(access(pain002_path, F_OK), -1);
    assert_int_equal(access(released_path, F_OK), -1);
    assert_int_equal(RUN("submit", SERVER, pain001_path), REFUSED);
    assert_printed("line 3");
    memcpy(at, "<NbOfTxs>60", 11);
    flow_write(pain001_path, text, bytes);
    assert_int_equal(RUN("submit", "--connect", server.data_url, "--tenant", "nobody", "--token-file", token_path, "--status-report",
                         pain002_path, pain001_path),
                     REFUSED);
    assert_int_equal(access(pain002_path, F_OK), -1);
    assert_int_equal(RUN("submit", SERVER, "--op", "score", "--released", released_path, pain001_path), REFUSED);
    assert_printed("--released is of what was screened");
    assert_int_equal(RUN("submit", SERVER, "--status-report", pain002_path, flow_fresh()), REFUSED);
    assert_printed("answer a pain.001");
    assert_int_equal(RUN("submit", SERVER, "--status-report", "/nowhere/pain002.xml", pain001_path), REFUSED);
    assert_printed("cannot write /nowhere/pain002.xml");
    free(text);
}

static void *submit_run(void *argument)
{
    *(int *)argument =
        RUN("submit", SERVER, "--batch-rows", "25", "--status-report", pain002_path, "--released", released_path, pain001_path);
    return NULL;
}

/* The command has opened its file and waits for the server when another one is written over it. */
static void test_a_file_that_changes_releases_nothing_else(void **state)
{
    (void)state;
    pthread_t thread;
    int status = -1;
    remove(released_path);
    message_write(pain001_path, "MSG-3", 2 * TRANSACTIONS);
    server_stop(&server);
    assert_int_equal(pthread_create(&thread, NULL, submit_run, &status), 0);
    sleep_ms(1000);
    flow_write(pain001_path, "<", 1);
    sleep_ms(100);
    message_write(pain001_path, "MSG-4", 3 * TRANSACTIONS);
    server_start(&server);
    pthread_join(thread, NULL);
    assert_int_equal(status & ~HELD, DONE);
    char *released = contents(released_path);
    assert_non_null(strstr(released, "<MsgId>MSG-3/r1</MsgId>"));
    assert_int_equal(count_of(released, "<CdtTrfTxInf>"), told("pass"));
    message_write(pain001_path, "MSG-3", 2 * TRANSACTIONS);
    submit_run(&status);
    char *again = contents(released_path);
    assert_string_equal(released, again);
    free(released), free(again);
}

static int setup(void **state)
{
    (void)state;
    fresh = table_read(flow_fresh());
    flow_path(token_path, sizeof token_path, "token");
    flow_path(pain001_path, sizeof pain001_path, "pain001.xml");
    flow_path(pain002_path, sizeof pain002_path, "pain002.xml");
    flow_path(released_path, sizeof released_path, "released.xml");
    flow_write(token_path, FLOW_TOKEN "\n", strlen(FLOW_TOKEN) + 1);
    server_begin(&server, &(struct server_options){0});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_stop(&server);
    table_free(fresh);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statuses_and_release),
        cmocka_unit_test(test_nothing_is_written_of_what_is_refused),
        cmocka_unit_test(test_a_file_that_changes_releases_nothing_else),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
