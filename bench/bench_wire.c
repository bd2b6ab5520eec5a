/* The wire alone, one thread: made transfers in columns are checked, decoded, and verdicts about them encoded. One figure a line:
 * name, value, unit. With a FOLDER, the requests are also written there, for programs that need some.
 * usage: bench_wire [FOLDER COUNT ROWS] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/must.h"
#include "synth/synth.h"
#include "wire/wire.h"

static const uint32_t sizes[] = {1, 100, 1000, 10000, 100000};
enum { MESSAGE_ROWS = 2000000 }; /* about as many rows are read for each figure */

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

static struct synth *synth_of(uint64_t rows)
{
    struct synth *synth = NULL;
    struct synth_options options = {.seed = 1,
                                    .row_count = rows,
                                    .account_count = 1000000,
                                    .day_count = 7,
                                    .currency = "EUR",
                                    .from_us = clock_wall_us() / US_PER_DAY * US_PER_DAY - 7 * US_PER_DAY};
    memcpy(options.rates, synth_rates_default, sizeof options.rates);
    MUST(synth_open(&synth, &options, NULL) == FAULT_NONE);
    return synth;
}

static void message_make(struct wire_buffer *out, struct synth *synth, uint32_t rows, unsigned number)
{
    struct batch batch;
    char id[32];
    MUST(batch_init(&batch, synth_arena_bytes(rows), NULL) == FAULT_NONE);
    MUST(synth_next(synth, &batch, rows, NULL) == FAULT_NONE && batch.row_count == rows);
    snprintf(id, sizeof id, "bench %u", number);
    batch.op = OP_screen;
    batch.id = batch.name = text_of(id);
    batch.tenant = text_of("bench");
    batch.columns[COLUMN_time].form = batch.columns[COLUMN_label].form = FORM_ABSENT;
    MUST(wire_request_write(out, &batch, text_of("token"), 0, NULL) == FAULT_NONE);
    batch_fini(&batch);
}

static void request_read(struct batch *batch, const struct wire_buffer *message)
{
    struct request request;
    struct batch_limits limits = BATCH_LIMITS_DEFAULT;
    limits.message_bytes_max = 1 << 30;
    MUST(wire_check(message->data, message->bytes, NULL) == FAULT_NONE);
    MUST(wire_request_read(&request, message->data, message->bytes, &limits, NULL) == FAULT_NONE);
    MUST(batch_init(batch, request.arena_bytes, NULL) == FAULT_NONE);
    batch->op = request.op, batch->id = request.id, batch->name = request.batch, batch->row_count = request.row_count;
    MUST(wire_batch_read(batch, &request, &limits, NULL) == FAULT_NONE);
}

static void bench_size(uint32_t rows)
{
    struct wire_buffer message = {0};
    struct synth *synth = synth_of(rows < SYNTH_ACCOUNTS_MIN ? SYNTH_ACCOUNTS_MIN : rows);
    message_make(&message, synth, rows, 0);
    synth_close(&synth);
    unsigned repeats = MESSAGE_ROWS / rows < 20000 ? MESSAGE_ROWS / rows : 20000;
    double decode = 0, encode = 0;
    for (unsigned i = 0; i < repeats; i++) {
        struct batch batch;
        struct wire_buffer reply = {0};
        double start = seconds();
        request_read(&batch, &message);
        double read = seconds();
        MUST(batch_take_checks(&batch, 0, NULL) == FAULT_NONE && batch_take_results(&batch, NULL) == FAULT_NONE);
        double taken = seconds();
        MUST(wire_reply_verdicts(&reply, &batch, &names, NULL) == FAULT_NONE);
        encode += seconds() - taken, decode += read - start;
        wire_buffer_fini(&reply);
        batch_fini(&batch);
    }
    printf("decode.%u %.2f ns/row\n", rows, decode / repeats / rows * 1e9);
    printf("encode.%u %.2f ns/row\n", rows, encode / repeats / rows * 1e9);
    printf("bytes.%u %.1f bytes/row\n", rows, (double)message.bytes / rows);
    fflush(stdout);
    wire_buffer_fini(&message);
}

static int messages_write(const char *folder, unsigned count, uint32_t rows)
{
    struct synth *synth = synth_of((uint64_t)count * rows);
    for (unsigned i = 0; i < count; i++) {
        char path[512];
        struct wire_buffer message = {0};
        message_make(&message, synth, rows, i);
        snprintf(path, sizeof path, "%s/request-%u", folder, i);
        FILE *file = fopen(path, "wb");
        if (!file || fwrite(message.data, 1, message.bytes, file) != message.bytes || fclose(file) != 0)
            return fprintf(stderr, "bench_wire: cannot write %s\n", path), 2;
        wire_buffer_fini(&message);
    }
    synth_close(&synth);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4)
        return messages_write(argv[1], (unsigned)strtoul(argv[2], NULL, 10), (uint32_t)strtoul(argv[3], NULL, 10));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        bench_size(sizes[i]);
    return 0;
}
