/* Frames: what goes in comes out, bit for bit; nothing that is wrong with the bytes gets further than a fault. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/memory.h"
#include "ledger/filter.h"
#include "ledger/frame.h"
#include "ledger/ints.h"
#include "unit/ledger/sample.h"

static uint64_t seed_of_run(void)
{
    const char *given = getenv("SLUICE_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : 20260101;
    print_message("SLUICE_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static void round_trip(const struct sample *sample)
{
    struct fault_note note = {0};
    struct batch batch, back;
    struct frame *frame;
    sample_make(&batch, sample);
    assert_int_equal(frame_encode(&frame, &batch, &note), FAULT_NONE);
    assert_int_equal(frame_decode(&back, frame->data, frame_bytes(frame), &note), FAULT_NONE);
    const char *difference = sample_difference(&batch, &back);
    if (difference)
        fail_msg("rows %u dicts %d plain %d op %d: %s differs", sample->rows, sample->dicts, sample->plain, sample->op, difference);
    frame_give(&frame);
    assert_null(frame);
    batch_fini(&batch);
    batch_fini(&back);
}

static void comes_back_as_it_was(void **state)
{
    (void)state;
    static const uint32_t rows[] = {0, 1, 2, 7, 8, 9, 511, 512, 513, 1023, 1024, 1025, 4097};
    static const enum op ops[] = {OP_screen, OP_import, OP_label, OP_observe};
    uint64_t seed = seed_of_run(), live = memory_live_count();
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        for (unsigned variant = 0; variant < 16; variant++)
            round_trip(&(struct sample){.rows = rows[i],
                                        .seed = seed + variant,
                                        .dicts = variant & 1,
                                        .plain = variant & 2,
                                        .op = ops[variant >> 2],
                                        .sequence = 17,
                                        .now_us = 1234567,
                                        .name = variant & 1 ? "a name" : NULL});
    assert_int_equal(memory_live_count(), live);
}

static void large_batch_comes_back(void **state)
{
    (void)state;
    round_trip(&(struct sample){.rows = 100000, .seed = 5, .op = OP_screen, .sequence = 1});
}

/* Offsets that begin inside their bytes, dictionaries with rubbish codes under nulls, extreme integers. */
static void unusual_columns_come_back(void **state)
{
    (void)state;
    struct batch batch, back;
    struct frame *frame;
    sample_make(&batch, &(struct sample){.rows = 3, .seed = 1, .op = OP_screen, .plain = true});
    uint32_t offsets[] = {2, 2, 7, 7};
    unsigned char valid = 5, codes[] = {0, 200, 1};
    struct text values[] = {text_of("yes"), text_of("")};
    int64_t extremes[] = {INT64_MIN, INT64_MAX, -1};
    batch.columns[COLUMN_memo] =
        (struct column){.form = FORM_STR, .data = (const unsigned char *)"xxHelloyy", .offsets = (unsigned char *)offsets};
    batch.columns[COLUMN_channel] = (struct column){.form = FORM_DICT8, .data = codes, .valid = &valid, .values = values, .value_count = 2};
    batch.columns[COLUMN_amount].data = (unsigned char *)extremes;
    assert_int_equal(frame_encode(&frame, &batch, NULL), FAULT_NONE);
    assert_int_equal(frame_decode(&back, frame->data, frame->bytes, NULL), FAULT_NONE);
    assert_null(sample_difference(&batch, &back));
    assert_true(text_equal(column_text(&back.columns[COLUMN_memo], 1), text_of("Hello")));
    frame_give(&frame);
    batch_fini(&batch);
    batch_fini(&back);
}

static void ints_of_every_shape_come_back(void **state)
{
    (void)state;
    uint64_t random = seed_of_run();
    static unsigned char narrow[8 * 1100 + 8], room[8 * 1100 + 8], values[8 * 1100];
    for (unsigned round = 0; round < 2000; round++) {
        unsigned width = 1u << sample_random(&random) % 4, bits = (unsigned)(sample_random(&random) % 65);
        uint32_t count = (uint32_t)(sample_random(&random) % 1100);
        uint64_t base = sample_random(&random), running = base;
        for (uint32_t i = 0; i < count; i++) {
            uint64_t draw = bits ? sample_random(&random) >> (64 - bits) : 0;
            running = round % 3 ? base + draw : running + draw;
            memcpy(values + (size_t)width * i, &running, width);
        }
        struct ints_form form = ints_form_of(values, width, count, round % 5 != 0);
        assert_true(form.width <= width);
        if (form.width == width && !form.steps)
            continue;
        ints_narrow(narrow, values, &form, count);
        memcpy(room + (size_t)(width - form.width) * count, narrow, (size_t)form.width * count);
        ints_widen(room, &form, count);
        assert_memory_equal(room, values, (size_t)width * count);
    }
}

static void texts_of_every_length_turn_and_turn_back(void **state)
{
    (void)state;
    enum { WIDTH_MAX = 70, COUNT_MAX = 70 };
    static unsigned char texts[WIDTH_MAX * COUNT_MAX], turned[sizeof texts + 1], back[sizeof texts + 1];
    uint64_t random = seed_of_run();
    for (unsigned width = 1; width <= WIDTH_MAX; width++)
        for (uint32_t count = 0; count <= COUNT_MAX; count += 1 + (uint32_t)(sample_random(&random) % 3)) {
            size_t bytes = (size_t)width * count;
            for (size_t i = 0; i < bytes; i++)
                texts[i] = (unsigned char)sample_random(&random);
            turned[bytes] = back[bytes] = 0x5a;
            texts_turn(turned, texts, width, count);
            for (uint32_t row = 0; row < count; row++)
                for (unsigned at = 0; at < width; at++)
                    assert_int_equal(turned[(size_t)at * count + row], texts[(size_t)row * width + at]);
            texts_turn_back(back, turned, width, count);
            assert_memory_equal(back, texts, bytes);
            assert_true(turned[bytes] == 0x5a && back[bytes] == 0x5a);
        }
}

static void bytes_that_are_mostly_one_come_back(void **state)
{
    (void)state;
    enum { COUNT_MAX = 3000 };
    static unsigned char values[COUNT_MAX], packed[2 * COUNT_MAX], back[COUNT_MAX + 1];
    uint64_t random = seed_of_run();
    for (unsigned round = 0; round < 2000; round++) {
        uint32_t count = (uint32_t)(sample_random(&random) % COUNT_MAX), others = 0, every = 1 + (uint32_t)(sample_random(&random) % 700);
        unsigned char usual = (unsigned char)sample_random(&random);
        for (uint32_t i = 0; i < count; i++) {
            bool is_other = round % 2 ? i % every == every - 1 : sample_random(&random) % every == 0; /* gaps of 254, 255, 256, 510 too */
            values[i] = is_other ? (unsigned char)sample_random(&random) : usual;
            others += values[i] != usual;
        }
        size_t bytes = sparse_write(packed, sizeof packed, values, count, usual);
        assert_true((bytes > 0) == (others > 0) && bytes <= 2 * (size_t)others + count / 255);
        assert_true(bytes == 0 || sparse_write(packed, bytes - 1, values, count, usual) == 0);
        bytes = sparse_write(packed, sizeof packed, values, count, usual);
        back[count] = 0x5a;
        assert_true(sparse_read(back, count, usual, packed, bytes));
        assert_memory_equal(back, values, count);
        for (unsigned i = 0; bytes && i < 10; i++) { /* hostile: an answer, and nothing written behind */
            packed[sample_random(&random) % bytes] = (unsigned char)sample_random(&random);
            sparse_read(back, count, usual, packed, bytes - i % 2);
        }
        assert_int_equal(back[count], 0x5a);
    }
    assert_false(sparse_read(back, 5, 0, (const unsigned char[]){5, 1}, 2));
    assert_false(sparse_read(back, 5, 0, (const unsigned char[]){1}, 1));
}

static void frames_of_earlier_versions_are_read(void **state)
{
    (void)state;
    struct batch batch, back;
    struct frame *frame;
    struct frame_header header;
    sample_make(&batch, &(struct sample){.rows = 1, .seed = 5, .op = OP_screen, .sequence = 3});
    assert_int_equal(frame_encode(&frame, &batch, NULL), FAULT_NONE);
    for (uint32_t version = 0; version <= FRAME_VERSION + 1; version++) {
        memcpy(&header, frame->data, sizeof header);
        header.version = version;
        memcpy(frame->data, &header, sizeof header);
        header.checksum = frame_checksum(frame->data, frame->bytes);
        memcpy(frame->data, &header, sizeof header);
        bool is_known = version >= 1 && version <= FRAME_VERSION;
        assert_int_equal(frame_decode(&back, frame->data, frame->bytes, NULL), is_known ? FAULT_NONE : FAULT_ledger);
        assert_true(!is_known || !sample_difference(&batch, &back));
        if (is_known)
            batch_fini(&back);
    }
    frame_give(&frame);
    batch_fini(&batch);
}

static void every_flipped_byte_is_found(void **state)
{
    (void)state;
    struct batch batch, back;
    struct frame *frame;
    sample_make(&batch, &(struct sample){.rows = 40, .seed = 2, .op = OP_screen});
    assert_int_equal(frame_encode(&frame, &batch, NULL), FAULT_NONE);
    for (size_t i = 0; i < frame->bytes; i++) {
        frame->data[i] ^= 0x10;
        assert_int_equal(frame_decode(&back, frame->data, frame->bytes, NULL), FAULT_ledger);
        frame->data[i] ^= 0x10;
    }
    for (size_t bytes = 0; bytes < frame->bytes; bytes += 13)
        assert_int_equal(frame_decode(&back, frame->data, bytes, NULL), FAULT_ledger);
    frame_give(&frame);
    batch_fini(&batch);
}

/* Past the checksum: wrong bodies are refused or decode to a batch that can be walked. */
static void wrong_bodies_do_no_harm(void **state)
{
    (void)state;
    uint64_t random = seed_of_run(), live = memory_live_count();
    struct batch batch, back;
    struct frame *frame;
    sample_make(&batch, &(struct sample){.rows = 60, .seed = 3, .op = OP_screen});
    assert_int_equal(frame_encode(&frame, &batch, NULL), FAULT_NONE);
    unsigned char *copy = malloc(frame->bytes);
    for (unsigned round = 0; round < 10000; round++) {
        memcpy(copy, frame->data, frame->bytes);
        for (unsigned flips = 1 + round % 3; flips; flips--)
            copy[64 + sample_random(&random) % (frame->bytes - 64)] ^= (unsigned char)(1u << sample_random(&random) % 8);
        uint64_t checksum = frame_checksum(copy, frame->bytes);
        memcpy(copy + offsetof(struct frame_header, checksum), &checksum, 8);
        if (frame_decode(&back, copy, frame->bytes, NULL) == FAULT_NONE)
            assert_true(sample_is_sound(&back)), batch_fini(&back);
    }
    free(copy);
    frame_give(&frame);
    batch_fini(&batch);
    assert_int_equal(memory_live_count(), live);
}

/* A batch that no room may make: its frame is refused when it is read. */
static void refused(struct batch *batch)
{
    struct batch back;
    struct frame *frame;
    assert_int_equal(frame_encode(&frame, batch, NULL), FAULT_NONE);
    assert_int_equal(frame_decode(&back, frame->data, frame_bytes(frame), NULL), FAULT_ledger);
    frame_give(&frame);
    batch_fini(batch);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    struct batch batch;
    struct sample sample = {.rows = 3, .seed = 3, .op = OP_screen, .plain = true};
    uint32_t falling[] = {0, 4, 2, 5}, beyond[] = {0, 9, 9, 5}, rows[] = {2, 1};
    unsigned char codes[] = {0, 1, 2}, counts[] = {0, 0};
    struct text values[] = {text_of("yes"), text_of("no")};
    struct reason reasons[2 * REASONS_MAX] = {0};
    sample_make(&batch, &sample);
    batch.columns[COLUMN_memo] =
        (struct column){.form = FORM_STR, .data = (const unsigned char *)"abcde", .offsets = (unsigned char *)falling};
    refused(&batch);
    sample_make(&batch, &sample);
    batch.columns[COLUMN_memo] =
        (struct column){.form = FORM_STR, .data = (const unsigned char *)"abcde", .offsets = (unsigned char *)beyond};
    refused(&batch);
    sample_make(&batch, &sample);
    batch.columns[COLUMN_memo] = (struct column){.form = FORM_DICT8, .data = codes, .values = values, .value_count = 2};
    refused(&batch);
    sample_make(&batch, &sample);
    batch.columns[COLUMN_memo] = batch.columns[COLUMN_amount];
    refused(&batch);
    sample_make(&batch, &sample);
    batch.results.level[1] = LEVEL_COUNT;
    refused(&batch);
    sample_make(&batch, &sample);
    batch.results.reasons[0] = (struct reason_block){.count = 2, .row = rows, .reason_count = counts, .reasons = reasons};
    refused(&batch);
    sample_make(&batch, &sample);
    batch.observe_kind = OBSERVE_COUNT;
    refused(&batch);
}

static void impossible_sizes_take_no_memory(void **state)
{
    (void)state;
    struct batch batch, back;
    struct frame *frame;
    struct frame_header header;
    sample_make(&batch, &(struct sample){.rows = 3, .seed = 3, .op = OP_screen, .plain = true});
    assert_int_equal(frame_encode(&frame, &batch, NULL), FAULT_NONE);
    memcpy(&header, frame->data, sizeof header);
    struct frame_header wrong[] = {header, header, header};
    wrong[0].arena_bytes = UINT64_C(1) << 45;
    wrong[1].arena_bytes = header.body_bytes * FRAME_RATIO_MAX + FRAME_RATIO_MAX;
    wrong[2].row_count = 1 << 26;
    for (unsigned i = 0; i < 3; i++) {
        memcpy(frame->data, &wrong[i], sizeof header);
        uint64_t checksum = frame_checksum(frame->data, frame->bytes);
        memcpy(frame->data + offsetof(struct frame_header, checksum), &checksum, 8);
        memory_fail_at(0);
        assert_int_equal(frame_decode(&back, frame->data, frame->bytes, NULL), FAULT_ledger);
        memory_fail_at(UINT64_MAX);
    }
    frame_give(&frame);
    batch_fini(&batch);
}

static void memory_that_runs_out_is_a_fault(void **state)
{
    (void)state;
    struct batch batch, back = {0};
    struct frame *frame = NULL;
    sample_make(&batch, &(struct sample){.rows = 2000, .seed = 4, .op = OP_screen});
    uint64_t live = memory_live_count();
    enum fault fault = FAULT_memory;
    for (uint64_t nth = 0; fault == FAULT_memory && nth < 20; nth++) {
        memory_fail_at(nth);
        fault = frame_encode(&frame, &batch, NULL);
        if (fault == FAULT_NONE)
            fault = frame_decode(&back, frame->data, frame->bytes, NULL);
        memory_fail_at(UINT64_MAX);
        if (fault == FAULT_NONE)
            assert_null(sample_difference(&batch, &back)), batch_fini(&back);
        if (frame)
            frame_give(&frame);
        assert_int_equal(memory_live_count(), live);
    }
    assert_int_equal(fault, FAULT_NONE);
    batch_fini(&batch);
}

static void filter_finds_what_is_there_and_little_else(void **state)
{
    (void)state;
    struct batch batch;
    struct frame *frame;
    struct frame_header header;
    sample_make(&batch, &(struct sample){.rows = 10000, .seed = 6, .op = OP_import});
    assert_int_equal(frame_encode(&frame, &batch, NULL), FAULT_NONE);
    memcpy(&header, frame->data, sizeof header);
    const unsigned char *filter = frame->data + frame_filter_offset(&header);
    unsigned found = 0, wrong = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        char id[40];
        sample_transfer(id, 6, i);
        uint64_t key = filter_key(header.key_seed, FILTER_TRANSFER, text_of(id));
        uint32_t block = filter_block_of(key, header.filter_blocks);
        bool has = filter_block_has(filter + (size_t)block * FILTER_BLOCK_BYTES, block, header.key_seed, key);
        found += i < 10000 && has, wrong += i >= 10000 && has;
    }
    assert_int_equal(found, 10000);
    assert_in_range(wrong, 0, 40);
    assert_in_range((uint64_t)header.filter_blocks * 512 / 20000, 12, 16); /* 10,000 transfers and some 5,000 accounts */
    memset((void *)(filter + 64), 0, 8);                                   /* a damaged block answers yes */
    assert_true(filter_block_has(filter + 64, 1, header.key_seed, 12345));
    frame_give(&frame);
    batch_fini(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_as_it_was),
        cmocka_unit_test(large_batch_comes_back),
        cmocka_unit_test(unusual_columns_come_back),
        cmocka_unit_test(ints_of_every_shape_come_back),
        cmocka_unit_test(texts_of_every_length_turn_and_turn_back),
        cmocka_unit_test(bytes_that_are_mostly_one_come_back),
        cmocka_unit_test(frames_of_earlier_versions_are_read),
        cmocka_unit_test(every_flipped_byte_is_found),
        cmocka_unit_test(wrong_bodies_do_no_harm),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(impossible_sizes_take_no_memory),
        cmocka_unit_test(memory_that_runs_out_is_a_fault),
        cmocka_unit_test(filter_finds_what_is_there_and_little_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
