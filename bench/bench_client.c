/* What libsluice does of a call before and behind the network, one thread: columns of the caller's become a message, a reply becomes
 * columns. One figure a line: name, value, unit. With a FOLDER, request and reply are also written there, for bench/python.
 * usage: bench_client [FOLDER] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/must.h"
#include "client/builder.h"
#include "client/client.h"
#include "synth/synth.h"

enum { ROWS = 10000, REPEATS = 200, ARENA_BYTES = 64 << 20 };

static const char *const scenes[] = {"background", "takeover"};
static const struct reply_names names = {.scenes = scenes,
                                         .scene_count = 2,
                                         .risk_types = scenes,
                                         .risk_type_count = 2,
                                         .countermeasures = scenes,
                                         .countermeasure_count = 2,
                                         .base_name = "bench",
                                         .base_version = "1",
                                         .base_digest = "0",
                                         .config_digest = "0",
                                         .kernel = "cpu"};

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void transfers_make(struct batch *out)
{
    struct synth *synth = NULL;
    struct synth_options options = {.seed = 1,
                                    .row_count = ROWS,
                                    .account_count = 100000,
                                    .day_count = 7,
                                    .currency = "EUR",
                                    .from_us = clock_wall_us() / US_PER_DAY * US_PER_DAY - 7 * US_PER_DAY};
    memcpy(options.rates, synth_rates_default, sizeof options.rates);
    MUST(synth_open(&synth, &options, NULL) == FAULT_NONE);
    MUST(batch_init(out, synth_arena_bytes(ROWS) + ARENA_BYTES, NULL) == FAULT_NONE);
    MUST(synth_next(synth, out, ROWS, NULL) == FAULT_NONE && out->row_count == ROWS);
    synth_close(&synth);
    out->columns[COLUMN_label].form = FORM_ABSENT;
}

/* Text columns with offsets of their own, as a caller has them. */
static struct column plain_text(struct batch *arena, const struct column *column)
{
    uint32_t *offsets = arena_take(&arena->arena, (ROWS + 1) * sizeof *offsets, 64), bytes = 0;
    for (uint32_t row = 0; row < ROWS; row++)
        bytes += column_is_valid(column, row) ? column_text(column, row).bytes : 0;
    char *data = arena_take(&arena->arena, bytes + 1, 1);
    MUST(offsets && data);
    offsets[0] = 0;
    for (uint32_t row = 0; row < ROWS; row++) {
        struct text text = column_is_valid(column, row) ? column_text(column, row) : text_of("");
        memcpy(data + offsets[row], text.data, text.bytes);
        offsets[row + 1] = offsets[row] + text.bytes;
    }
    return (struct column){.form = FORM_STR, .data = (unsigned char *)data, .offsets = (unsigned char *)offsets, .valid = column->valid};
}

static void encode(struct wire_buffer *out, const struct column *columns)
{
    struct sluice_batch *made = NULL;
    MUST(sluice_batch_new(&made, "bench", ROWS) == SLUICE_OK);
    for (int i = 0; i < COLUMN_COUNT; i++) {
        const struct column *column = &columns[i];
        if (column->form == FORM_STR)
            MUST(sluice_batch_str(made, column_name((uint16_t)i), (const uint32_t *)(const void *)column->offsets,
                                  (const char *)column->data, column->valid) == SLUICE_OK);
        else if (column->form == FORM_I64)
            MUST(sluice_batch_i64(made, column_name((uint16_t)i), (const int64_t *)(const void *)column->data, column->valid) == SLUICE_OK);
    }
    struct batch batch = *builder_batch(made);
    batch.op = OP_screen;
    batch.tenant = text_of("bench");
    out->bytes = 0;
    MUST(wire_request_write(out, &batch, text_of("token"), 0, NULL) == FAULT_NONE);
    nng_msg *message = NULL;
    MUST(nng_msg_alloc(&message, out->bytes) == 0);
    memcpy(nng_msg_body(message), out->data, out->bytes);
    nng_msg_free(message);
    sluice_batch_free(&made);
}

static void decode(const struct wire_buffer *bytes)
{
    nng_msg *message = NULL;
    struct sluice_reply *reply = NULL;
    MUST(nng_msg_alloc(&message, bytes->bytes) == 0);
    memcpy(nng_msg_body(message), bytes->data, bytes->bytes);
    MUST(reply_read(&reply, message, NULL) == FAULT_NONE);
    MUST(sluice_reply_rows(reply) == ROWS && sluice_reply_u8(reply, "verdict") && sluice_reply_f32(reply, "match"));
    sluice_reply_free(&reply);
}

static void reply_make(struct wire_buffer *out, struct batch *batch)
{
    batch->id = batch->name = text_of("bench");
    batch->op = OP_screen;
    MUST(batch_take_checks(batch, 0, NULL) == FAULT_NONE && batch_take_results(batch, NULL) == FAULT_NONE);
    MUST(wire_reply_verdicts(out, batch, &names, NULL) == FAULT_NONE);
}

static int file_write(const char *folder, const char *name, const struct wire_buffer *bytes)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes->data, 1, bytes->bytes, file) != bytes->bytes || fclose(file) != 0)
        return fprintf(stderr, "bench_client: cannot write %s\n", path), 2;
    return 0;
}

int main(int argc, char **argv)
{
    struct batch batch;
    struct column columns[COLUMN_COUNT];
    struct wire_buffer request = {0}, reply = {0};
    transfers_make(&batch);
    for (int i = 0; i < COLUMN_COUNT; i++)
        columns[i] = batch.columns[i].form >= FORM_STR ? plain_text(&batch, &batch.columns[i]) : batch.columns[i];
    reply_make(&reply, &batch);
    double encoding = 0, decoding = 0;
    for (int i = 0; i < REPEATS; i++) {
        double start = seconds();
        encode(&request, columns);
        double encoded = seconds();
        decode(&reply);
        decoding += seconds() - encoded, encoding += encoded - start;
    }
    printf("encode.%d %.2f ns/row\n", ROWS, encoding / REPEATS / ROWS * 1e9);
    printf("decode.%d %.2f ns/row\n", ROWS, decoding / REPEATS / ROWS * 1e9);
    int failed = argc == 2 ? file_write(argv[1], "request", &request) || file_write(argv[1], "reply", &reply) : 0;
    wire_buffer_fini(&request);
    wire_buffer_fini(&reply);
    batch_fini(&batch);
    return failed ? 2 : 0;
}
