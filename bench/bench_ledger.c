/* The ledger alone: cost of encoding and decoding, bytes on disk, durable rows and frames per second, time to find.
 * usage: bench_ledger [FOLDER [BATCHES]] — a new folder on the disk to measure; one figure a line: name, value, unit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/must.h"
#include "ledger/frame.h"
#include "ledger/ledger.h"

#include "../tests/unit/ledger/sample.h"

enum { GROUP = 8, FINDS = 300 };
static const char *const scenes[SAMPLE_SCENES] = {"background", "takeover", "mule", "split", "fan", "other"};

static void figure(const char *name, double value, const char *unit)
{
    printf("%-36s %14.2f %s\n", name, value, unit);
    fflush(stdout);
}

static double ns_since(int64_t start)
{
    return (double)(clock_steady_ns() - start);
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

static void bench_frames(const char *kind, uint32_t rows, bool dicts, unsigned rounds)
{
    struct batch batch, back;
    struct frame *frame;
    char name[64];
    double encode = 1e18, decode = 1e18;
    size_t bytes = 0;
    sample_make(&batch, &(struct sample){.rows = rows, .seed = 1, .dicts = dicts, .plain = true, .op = OP_screen, .sequence = 1});
    for (unsigned i = 0; i < rounds; i++) {
        int64_t start = clock_steady_ns();
        MUST(frame_encode(&frame, &batch, NULL) == FAULT_NONE);
        encode = least(encode, ns_since(start));
        bytes = frame_bytes(frame);
        start = clock_steady_ns();
        MUST(frame_decode(&back, frame->data, bytes, NULL) == FAULT_NONE);
        decode = least(decode, ns_since(start));
        batch_fini(&back);
        frame_give(&frame);
    }
    snprintf(name, sizeof name, "encode.%s.%u", kind, rows), figure(name, encode / rows, "ns/row");
    snprintf(name, sizeof name, "decode.%s.%u", kind, rows), figure(name, decode / rows, "ns/row");
    snprintf(name, sizeof name, "bytes.%s.%u", kind, rows), figure(name, (double)bytes / rows, "bytes/row");
    batch_fini(&batch);
}

struct group {
    struct batch batches[GROUP];
    struct ledger_entry entries[GROUP];
    char ids[GROUP][24];
};

static void group_make(struct group *group, uint64_t first, uint32_t count, uint32_t rows)
{
    for (uint32_t i = 0; i < count; i++) {
        snprintf(group->ids[i], sizeof group->ids[i], "request %llu", (unsigned long long)(first + i));
        sample_make(&group->batches[i], &(struct sample){.rows = rows,
                                                         .seed = first + i,
                                                         .plain = true,
                                                         .op = OP_screen,
                                                         .id = group->ids[i],
                                                         .sequence = first + i,
                                                         .now_us = (int64_t)(first + i)});
        group->entries[i] = (struct ledger_entry){.batch = &group->batches[i], .scenes = scenes, .scene_count = SAMPLE_SCENES};
        MUST(frame_encode(&group->entries[i].frame, &group->batches[i], NULL) == FAULT_NONE);
    }
}

static void group_give(struct group *group, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        frame_give(&group->entries[i].frame);
        batch_fini(&group->batches[i]);
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void quantiles(const char *name, double *values, size_t count, double scale, const char *unit)
{
    char line[64];
    qsort(values, count, sizeof *values, compare);
    snprintf(line, sizeof line, "%s.p50", name), figure(line, values[count / 2] * scale, unit);
    snprintf(line, sizeof line, "%s.p99", name), figure(line, values[count * 99 / 100] * scale, unit);
}

/* Batches of rows in groups; the time of the commits alone. Returns the next sequence. */
static uint64_t bench_commit(struct ledger *ledger, uint64_t first, uint32_t batches, uint32_t rows, uint32_t group_count)
{
    static struct group group;
    char name[64];
    double total = 0, *times = malloc((batches / group_count + 1) * sizeof *times);
    uint32_t done = 0, commits = 0;
    for (; done + group_count <= batches; done += group_count, commits++) {
        group_make(&group, first + done, group_count, rows);
        int64_t start = clock_steady_ns();
        MUST(ledger_sqlite.commit(ledger, group.entries, group_count, NULL) == FAULT_NONE);
        times[commits] = ns_since(start), total += times[commits];
        ledger_sqlite.idle(ledger);
        group_give(&group, group_count);
    }
    snprintf(name, sizeof name, "commit.%u_rows.group_%u", rows, group_count);
    quantiles(name, times, commits, 1e-6, "ms");
    strcat(name, ".rows");
    figure(name, (double)done * rows * 1e9 / total, "rows/s");
    snprintf(name, sizeof name, "commit.%u_rows.group_%u.frames", rows, group_count);
    figure(name, done * 1e9 / total, "frames/s");
    free(times);
    return first + done;
}

static void bench_find(struct ledger *ledger, uint64_t first, uint64_t frames, uint32_t rows, bool present)
{
    double times[FINDS];
    uint64_t random = 7, sequence;
    uint32_t row;
    for (unsigned i = 0; i < FINDS; i++) {
        char id[40];
        uint64_t seed = first + sample_random(&random) % frames;
        sample_transfer(id, present ? seed : seed + 1000000, (uint32_t)(sample_random(&random) % rows));
        int64_t start = clock_steady_ns();
        enum fault fault = ledger_sqlite.find_transfer(ledger, text_of("tenant a"), text_of(id), &sequence, &row, NULL);
        times[i] = ns_since(start);
        MUST(fault == (present ? FAULT_NONE : FAULT_not_found) && (!present || sequence == seed));
    }
    quantiles(present ? "find.present" : "find.absent", times, FINDS, 1e-3, "us");
    if (!present)
        figure("find.absent.per_frame", times[FINDS / 2] / (double)frames, "ns");
}

/* One absent transfer each time, after the segments left the page cache. */
static void bench_cold(struct ledger *ledger, const char *folder, uint64_t frames)
{
    enum { TIMES = 10 };
    double times[TIMES];
    for (unsigned i = 0; i < TIMES; i++) {
        char path[512], id[40];
        uint64_t sequence;
        uint32_t row;
        for (unsigned segment = 1;; segment++) {
            snprintf(path, sizeof path, "%s/frames-%08u", folder, segment);
            int fd = open(path, O_RDONLY);
            if (fd < 0)
                break;
            posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
            close(fd);
        }
        snprintf(id, sizeof id, "no transfer %u", i);
        int64_t start = clock_steady_ns();
        MUST(ledger_sqlite.find_transfer(ledger, text_of("tenant a"), text_of(id), &sequence, &row, NULL) == FAULT_not_found);
        times[i] = ns_since(start);
    }
    quantiles("find.absent.cold", times, TIMES, 1e-3, "us");
    figure("find.absent.cold.per_frame", times[TIMES / 2] / (double)frames, "ns");
}

static bool row_count(void *context, const struct ledger_row *row)
{
    (void)row;
    return ++*(uint32_t *)context < 100;
}

static void bench_query(struct ledger *ledger)
{
    double times[FINDS];
    uint64_t random = 9;
    for (unsigned i = 0; i < FINDS / 10; i++) {
        char account[16];
        uint32_t count = 0;
        snprintf(account, sizeof account, "A%06u", (unsigned)(sample_random(&random) % SAMPLE_ACCOUNTS));
        int64_t start = clock_steady_ns();
        MUST(ledger_sqlite.query(ledger, &(struct ledger_query){.tenant = "tenant a", .account = account, .verdict = -1}, row_count, &count,
                                 NULL) == FAULT_NONE);
        times[i] = ns_since(start);
        MUST(count == 100);
    }
    quantiles("query.account.page_of_100", times, FINDS / 10, 1e-6, "ms");
}

int main(int argc, char **argv)
{
    char folder[] = "bench-ledger-XXXXXX";
    struct ledger_options options = {.folder = argc > 1 ? argv[1] : mkdtemp(folder)};
    uint32_t batches = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 160;
    struct ledger *ledger;
    struct fault_note note = {0};
    for (unsigned dicts = 0; dicts < 2; dicts++) {
        bench_frames(dicts ? "dict" : "str", 100, dicts, 200);
        bench_frames(dicts ? "dict" : "str", 1000, dicts, 100);
        bench_frames(dicts ? "dict" : "str", 10000, dicts, 30);
    }
    bench_frames("str", 200000, false, 3);
    if (ledger_sqlite.open(&ledger, &options, &note) != FAULT_NONE)
        return fprintf(stderr, "%s\n", note.text), 1;
    uint64_t next = bench_commit(ledger, ledger_sqlite.last_sequence(ledger) + 1, batches, 10000, GROUP);
    uint64_t first = next - batches / GROUP * GROUP;
    bench_find(ledger, first, next - first, 10000, true);
    bench_find(ledger, first, next - first, 10000, false);
    bench_query(ledger);
    bench_cold(ledger, options.folder, next - first);
    next = bench_commit(ledger, next, 64, 10000, 1);
    next = bench_commit(ledger, next, 400, 100, 1);
    bench_commit(ledger, next, 800, 100, GROUP);
    figure("disk", (double)ledger_sqlite.disk_bytes(ledger) / 1048576, "MiB");
    ledger_sqlite.close(&ledger);
    return 0;
}
