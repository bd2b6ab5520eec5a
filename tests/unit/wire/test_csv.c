/* Text files: RFC 4180 with its quotes, JSON lines, and a line number for everything that is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "unit/wire/message.h"

enum { ARENA_BYTES = 1 << 20 };

static enum fault read_text(struct batch *batch, const char *text, uint32_t rows_max, struct fault_note *note)
{
    struct csv_reader *reader;
    *note = (struct fault_note){0};
    assert_int_equal(batch_init(batch, ARENA_BYTES, note), FAULT_NONE);
    enum fault fault = csv_open_bytes(&reader, text, strlen(text), &LIMITS, note);
    if (fault == FAULT_NONE)
        fault = csv_read(reader, batch, rows_max, note);
    csv_close(&reader);
    return fault;
}

static void assert_read_fails(const char *text, enum fault fault, uint32_t line, uint16_t column, const char *words)
{
    struct batch batch;
    struct fault_note note;
    enum fault got = read_text(&batch, text, 100, &note);
    if (got != fault || note.row != line || note.column != column || !strstr(note.text, words))
        fail_msg("%s: wanted line %u %s \"%s\", got %s line %u %s \"%s\"", text, line, column_name(column), words, fault_name(got),
                 note.row, column_name(note.column), note.text);
    batch_fini(&batch);
}

/* Two rows are read, the wrong one is invalid with a note that names its line, and the other one is not. */
static void assert_row_fails(const char *text, uint32_t row, uint16_t column, const char *words)
{
    struct batch batch;
    struct fault_note note;
    assert_int_equal(read_text(&batch, text, 100, &note), FAULT_NONE);
    assert_int_equal(batch.row_count, 2);
    assert_int_equal(batch.note_count, 1);
    const struct check_note *found = batch.notes;
    if (found->row != row || found->column != column || !strstr(found->text, words))
        fail_msg("%s: wanted row %u %s \"%s\", got row %u %s \"%s\"", text, row, column_name(column), words, found->row,
                 column_name(found->column), found->text);
    assert_true(batch.facts.invalid[row] == 1 && batch.facts.invalid[1 - row] == 0);
    if (column != COLUMN_NONE) {
        assert_false(column_is_valid(&batch.columns[column], row));
        assert_true(batch.wrong && batch.wrong->row == row && batch.wrong->column == column && !batch.wrong->next);
    } else {
        assert_null(batch.wrong);
        for (uint32_t i = 0; i < COLUMN_COUNT; i++)
            assert_false(column_is_valid(&batch.columns[i], row));
    }
    batch_fini(&batch);
}

static struct text cell(const struct batch *batch, enum column_id column, uint32_t row)
{
    return column_text(&batch->columns[column], row);
}

static void test_quotes_and_ends(void **state)
{
    (void)state;
    struct batch batch;
    struct fault_note note;
    static const char file[] = "\xef\xbb\xbftransfer_id,amount,memo,colour\r\n"
                               "a,12,\"say \"\"hi\"\", then\r\ngo\",red\r\n"
                               "\r\n"
                               "\"b\",-3,,\"\"\n"
                               "c,,plain,\n"
                               "\"\"\"\",7,\"\",x";
    assert_int_equal(read_text(&batch, file, 100, &note), FAULT_NONE);
    assert_int_equal(batch.row_count, 4);
    assert_true(text_is(cell(&batch, COLUMN_memo, 0), "say \"hi\", then\r\ngo"));
    assert_true(text_is(cell(&batch, COLUMN_transfer_id, 1), "b") && text_is(cell(&batch, COLUMN_transfer_id, 3), "\""));
    assert_true(column_i64(&batch.columns[COLUMN_amount], 1) == -3);
    assert_false(column_is_valid(&batch.columns[COLUMN_amount], 2));
    assert_false(column_is_valid(&batch.columns[COLUMN_memo], 1));
    assert_true(column_is_valid(&batch.columns[COLUMN_memo], 3) && cell(&batch, COLUMN_memo, 3).bytes == 0);
    assert_int_equal(batch.other_count, 1);
    assert_true(text_is(batch.others[0].name, "colour") && text_is(column_text(&batch.others[0], 0), "red"));
    assert_true(column_is_valid(&batch.others[0], 1) && !column_is_valid(&batch.others[0], 2));
    batch_fini(&batch);
}

static void test_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t time_us;
    } times[] = {{"0", 0},
                 {"1970-01-01T00:00:00Z", 0},
                 {"2000-02-29T12:34:56.5Z", 951827696500000},
                 {"2026-11-21T23:59:59.123456Z", 1795305599123456},
                 {"9999-12-31T23:59:59.999999Z", 253402300799999999},
                 {"1969-12-31T23:59:59Z", -1000000},
                 {"-86400000000", -86400000000}};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        struct batch batch;
        struct fault_note note;
        char file[128];
        snprintf(file, sizeof file, "time\n%s\n", times[i].text);
        assert_int_equal(read_text(&batch, file, 10, &note), FAULT_NONE);
        assert_true(column_i64(&batch.columns[COLUMN_time], 0) == times[i].time_us);
        batch_fini(&batch);
    }
    static const char *const wrong[] = {"2023-02-29T00:00:00Z",  "2023-13-01T00:00:00Z",
                                        "2023-01-01T24:00:00Z",  "2023-01-01T00:60:00Z",
                                        "2023-01-01T00:00:00",   "2023-01-01 00:00:00Z",
                                        "2023-01-01T00:00:00.Z", "2023-01-01T00:00:00.1234567Z",
                                        "2023-01-00T00:00:00Z",  "1e9",
                                        "9223372036854775808",   "-"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char file[128];
        snprintf(file, sizeof file, "transfer_id,time\na,1\nb,%s\n", wrong[i]);
        assert_row_fails(file, 1, COLUMN_time, "line 3: must be microseconds or YYYY");
    }
}

static void test_wrong_lines(void **state)
{
    (void)state;
    assert_read_fails("", FAULT_syntax, 1, COLUMN_NONE, "the file is empty");
    assert_read_fails("\n \n", FAULT_syntax, 3, COLUMN_NONE, "the file is empty");
    assert_row_fails("amount\n1\n12.5\n", 1, COLUMN_amount, "line 3: must be whole minor units (cents), is 12.5");
    assert_row_fails("amount\n\"1,250\"\n1\n", 0, COLUMN_amount, "line 2: must be whole minor units (cents), is 1,250");
    assert_row_fails("amount\n9223372036854775808\n7\n", 0, COLUMN_amount, "line 2: must be whole");
    assert_row_fails("amount\n1\t\n2\n", 0, COLUMN_amount, "is 1?");
    assert_row_fails("amount,memo\n1,x\n1\n", 1, COLUMN_NONE, "line 3: 1 fields, the header has 2");
    assert_row_fails("memo,amount\nx,1,2\nx,1\n", 0, COLUMN_NONE, "line 2: 3 fields, the header has 2");
    assert_read_fails("transfer_id;amount\nx;1\n", FAULT_syntax, 1, COLUMN_NONE, "parted by something else");
    assert_read_fails("id,sum\nx,1\n", FAULT_syntax, 1, COLUMN_NONE, "none of its names is known");
    assert_read_fails("[{\"amount\":1}]\n", FAULT_syntax, 1, COLUMN_NONE, "one object a line and no brackets");
    assert_read_fails("amount,amount\n1,1\n", FAULT_syntax, 1, COLUMN_amount, "the header has it twice");
    assert_read_fails("amount,\n1,1\n", FAULT_syntax, 1, COLUMN_NONE, "a column's name must be UTF-8 and not empty");
    assert_read_fails("memo\n\"a\nb\"\n\"c\n", FAULT_syntax, 4, COLUMN_NONE, "a quote is not closed");
    assert_read_fails("memo\n\"a\"b\n", FAULT_syntax, 2, COLUMN_NONE, "text behind a closing quote");
    assert_read_fails("memo,amount\na\"b,1\n", FAULT_syntax, 2, COLUMN_NONE, "a quote inside a field");
}

static void test_long_records(void **state)
{
    (void)state;
    enum { LONG = 700000, TOO_LONG = 1100000 };
    char *file = memory_take(TOO_LONG + 64);
    struct batch batch;
    struct fault_note note;
    strcpy(file, "memo,amount\n");
    memset(file + 12, 'x', LONG);
    strcpy(file + 12 + LONG, ",5\n");
    assert_int_equal(read_text(&batch, file, 10, &note), FAULT_NONE);
    assert_int_equal(cell(&batch, COLUMN_memo, 0).bytes, LONG);
    batch_fini(&batch);
    memset(file + 12, 'x', TOO_LONG);
    strcpy(file + 12 + TOO_LONG, ",5\n");
    assert_read_fails(file, FAULT_limit, 2, COLUMN_NONE, "a record of more than 1048576 bytes");
    file[12] = '"';
    assert_read_fails(file, FAULT_limit, 2, COLUMN_NONE, "a record of more than 1048576 bytes");
    memory_give(file);
}

static void test_json_lines(void **state)
{
    (void)state;
    struct batch batch;
    struct fault_note note;
    static const char file[] = "\n{\"transfer_id\":\"a\",\"amount\":12,\"n\":1}\r\n"
                               "{\"amount\":null,\"transfer_id\":\"\\u00e9\",\"time\":\"1970-01-01T00:00:01Z\",\"n\":2.5}\n"
                               "\n"
                               "{\"shade\":\"dark\",\"time\":7,\"never\":null}";
    assert_int_equal(read_text(&batch, file, 100, &note), FAULT_NONE);
    assert_int_equal(batch.row_count, 3);
    assert_true(text_is(cell(&batch, COLUMN_transfer_id, 1), "\xc3\xa9"));
    assert_false(column_is_valid(&batch.columns[COLUMN_transfer_id], 2) || column_is_valid(&batch.columns[COLUMN_amount], 1));
    assert_false(column_is_valid(&batch.columns[COLUMN_time], 0));
    assert_true(column_i64(&batch.columns[COLUMN_time], 1) == 1000000 && column_i64(&batch.columns[COLUMN_time], 2) == 7);
    assert_int_equal(batch.other_count, 2);
    assert_int_equal(batch.others[0].form, FORM_F64);
    double first;
    memcpy(&first, batch.others[0].data, sizeof first);
    assert_true(first == 1.0 && !column_is_valid(&batch.others[0], 2));
    assert_true(text_is(column_text(&batch.others[1], 2), "dark") && !column_is_valid(&batch.others[1], 0));
    batch_fini(&batch);
}

static void test_wrong_json(void **state)
{
    (void)state;
    assert_row_fails("{\"amount\":1}\n{\"amount\":1", 1, COLUMN_NONE, "line 2: JSON: ");
    assert_row_fails("{\"amount\":1}\n[1]\n", 1, COLUMN_NONE, "line 2: must be an object, is an array");
    assert_row_fails("{\"amount\":1}\n7\n", 1, COLUMN_NONE, "line 2: JSON: ");
    assert_row_fails("{\"amount\":1.5}\n{}\n", 0, COLUMN_amount, "is a number with a fraction 1.5");
    assert_row_fails("{\"amount\":\"1\"}\n{}\n", 0, COLUMN_amount, "must be whole minor units (cents), is text 1");
    assert_row_fails("{\"amount\":1}\n{\"amount\":123456789012345678901}\n", 1, COLUMN_NONE, "line 2: JSON: too big integer");
    assert_row_fails("{\"memo\":5}\n{}\n", 0, COLUMN_memo, "must be text, is an integer 5");
    assert_row_fails("{\"memo\":\"a\"}\n{\"memo\":\"a\",\"memo\":\"b\"}\n", 1, COLUMN_NONE, "line 2: JSON: duplicate object key");
    assert_row_fails("{\"n\":\"a\"}\n{\"memo\":\"b\",\"n\":1,\"time\":7}\n", 1, COLUMN_NONE, "column n: must be text, is an integer 1");
    assert_row_fails("{\"n\":true}\n{\"memo\":\"b\"}\n", 0, COLUMN_NONE, "column n: must be text or a number, is a truth value");
    assert_row_fails("{\"memo\":\"b\",\"n\":{}}\n{}\n", 0, COLUMN_NONE, "column n: must be text or a number, is an object");
    assert_read_fails("{\n\"amount\": 1\n}\n", FAULT_syntax, 1, COLUMN_NONE, "JSON lines have one object a line");
    assert_read_fails("{\"amount\":1}{\"amount\":2}\n", FAULT_syntax, 1, COLUMN_NONE, "end of file expected");
}

static uint32_t rows_wrong(const struct batch *batch)
{
    uint32_t count = 0;
    for (uint32_t row = 0; row < batch->row_count; row++)
        count += batch->facts.invalid ? batch->facts.invalid[row] : 0;
    return count;
}

/* What a server reads of a batch with wrong cells: the same rows, the same ones invalid, nothing of the others changed. */
static void test_wrong_cells_travel(void **state)
{
    (void)state;
    static const char file[] = "transfer_id,payer_id,payee_id,amount,currency,time,colour\n"
                               "a,p,q,12,EUR,1,red\n"
                               "b,p,q,12.50,EUR,yesterday,\n"
                               "c,p,q,13,EUR\n"
                               "d,p,q,14,EUR,,blue\n";
    struct batch batch, received;
    struct fault_note note;
    struct wire_buffer message = {0};
    struct request request;
    assert_int_equal(read_text(&batch, file, 10, &note), FAULT_NONE);
    assert_int_equal(rows_wrong(&batch), 2);
    batch.op = OP_screen;
    batch.id = batch.tenant = text_of("x");
    assert_int_equal(wire_request_write(&message, &batch, text_of("t"), 0, &note), FAULT_NONE);
    assert_int_equal(wire_check(message.data, message.bytes, &note), FAULT_NONE);
    assert_int_equal(wire_request_read(&request, message.data, message.bytes, &LIMITS, &note), FAULT_NONE);
    assert_true(request.in_rows && !request.reply_in_rows && request.row_count == 4);
    assert_int_equal(batch_init(&received, ARENA_BYTES, &note), FAULT_NONE);
    received.row_count = request.row_count;
    assert_int_equal(wire_batch_read(&received, &request, &LIMITS, &note), FAULT_NONE);
    assert_int_equal(rows_wrong(&received), 1); /* the row with too few fields has no cell: what it needs is missing */
    assert_int_equal(received.facts.invalid[1], 1);
    assert_int_equal(received.rule_counts[COLUMN_amount][RULE_TYPE], 1);
    assert_int_equal(received.rule_counts[COLUMN_time][RULE_TYPE], 1);
    assert_true(text_is(cell(&received, COLUMN_transfer_id, 1), "b") && text_is(cell(&received, COLUMN_transfer_id, 3), "d"));
    assert_false(column_is_valid(&received.columns[COLUMN_transfer_id], 2));
    assert_true(column_i64(&received.columns[COLUMN_amount], 3) == 14);
    assert_true(text_is(column_text(&received.others[0], 3), "blue"));
    batch_fini(&received);
    batch_fini(&batch);
    wire_buffer_fini(&message);
}

/* Batches of a stream: each is full but the last, text that does not fit waits for the next, lines are all there once. */
static void test_streams(void **state)
{
    (void)state;
    enum { ROWS = 20000, BATCH_ROWS = 3000 };
    char path[] = "/tmp/sluice-csv-XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");
    struct csv_reader *reader;
    struct batch batch;
    struct fault_note note = {0};
    uint32_t row_count = 0, batch_count = 0;
    fprintf(file, "transfer_id,amount,memo\n");
    for (int row = 0; row < ROWS; row++)
        fprintf(file, "t%d,%d,\"memo of %d\nsecond line\"\n", row, row, row);
    fclose(file);
    assert_int_equal(batch_init(&batch, 3 * 8 * (BATCH_ROWS + 64) + 40000, &note), FAULT_NONE);
    assert_int_equal(csv_open(&reader, path, &LIMITS, &note), FAULT_NONE);
    do {
        arena_reset(&batch.arena);
        assert_int_equal(csv_read(reader, &batch, BATCH_ROWS, &note), FAULT_NONE);
        for (uint32_t row = 0; row < batch.row_count; row++)
            assert_true(column_i64(&batch.columns[COLUMN_amount], row) == row_count + row);
        row_count += batch.row_count;
        batch_count++;
    } while (batch.row_count > 0);
    assert_int_equal(row_count, ROWS);
    assert_true(batch_count > ROWS / BATCH_ROWS + 2); /* texts did not fit: smaller batches */
    csv_close(&reader);
    batch_fini(&batch);
    unlink(path);
    assert_int_equal(csv_open(&reader, path, &LIMITS, &note), FAULT_not_found);
    assert_null(reader);
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    static const char file[] = "transfer_id,amount,colour\na,1,red\nb,2,blue\n";
    uint64_t live = memory_live_count(), nth = 0;
    for (bool failed = true; failed; nth++) {
        struct batch batch;
        struct csv_reader *reader = NULL;
        struct fault_note note = {0};
        assert_int_equal(batch_init(&batch, ARENA_BYTES, &note), FAULT_NONE);
        memory_fail_at(nth);
        enum fault fault = csv_open_bytes(&reader, file, strlen(file), &LIMITS, &note);
        if (fault == FAULT_NONE)
            fault = csv_read(reader, &batch, 10, &note);
        failed = memory_failed_count() > 0;
        memory_fail_at(UINT64_MAX);
        assert_int_equal(fault, failed ? FAULT_memory : FAULT_NONE);
        csv_close(&reader);
        batch_fini(&batch);
        assert_int_equal(memory_live_count(), live);
    }
    assert_true(nth > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quotes_and_ends),    cmocka_unit_test(test_times),      cmocka_unit_test(test_wrong_lines),
        cmocka_unit_test(test_long_records),       cmocka_unit_test(test_json_lines), cmocka_unit_test(test_wrong_json),
        cmocka_unit_test(test_wrong_cells_travel), cmocka_unit_test(test_streams),    cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
