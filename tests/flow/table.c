/* Data of flow tests: transfers in memory, batches cut from them, and what is recorded of their rows. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/must.h"
#include "batch/batch.h"
#include "flow/harness.h"

enum { DATA_ROWS = 40000, DATA_AGE_MAX_S = 6 * 3600 }; /* times of transfers are near the time of making */

const char *const left_out_labels[] = {"label", "label_time", NULL};

static uint32_t count_in(const char *text, char wanted)
{
    uint32_t count = 0;
    for (; *text; text++)
        count += *text == wanted;
    return count;
}

struct table *table_read(const char *path)
{
    struct table *table = calloc(1, sizeof *table);
    MUST(table);
    table->text = flow_read(path, NULL);
    uint32_t lines = count_in(table->text, '\n');
    char *line = table->text, *end = strchr(line, '\n');
    MUST(end && lines > 0);
    *end = '\0';
    table->column_count = count_in(line, ',') + 1;
    table->names = calloc(table->column_count, sizeof *table->names);
    table->cells = calloc((size_t)lines * table->column_count, sizeof *table->cells);
    MUST(table->names && table->cells);
    for (uint32_t i = 0; i < table->column_count; i++)
        table->names[i] = strsep(&line, ",");
    for (line = end + 1; *line; line = end + 1) {
        end = strchr(line, '\n');
        MUST(end);
        *end = '\0';
        for (uint32_t i = 0; i < table->column_count; i++) {
            char *cell = strsep(&line, ",");
            MUST(cell && cell[0] != '"');
            table->cells[(size_t)table->row_count * table->column_count + i] = cell;
        }
        table->row_count++;
    }
    return table;
}

void table_free(struct table *table)
{
    free(table->text);
    free(table->names);
    free(table->cells);
    free(table);
}

static uint32_t table_column(const struct table *table, const char *column)
{
    uint32_t i = 0;
    while (i < table->column_count && strcmp(table->names[i], column) != 0)
        i++;
    return i;
}

const char *table_cell(const struct table *table, uint32_t row, const char *column)
{
    uint32_t i = table_column(table, column);
    MUST(row < table->row_count && i < table->column_count);
    return table->cells[(size_t)row * table->column_count + i];
}

static void *block_take(struct flow_batch *out, size_t bytes)
{
    void *block = calloc(1, bytes ? bytes : 1);
    MUST(block && out->block_count < sizeof out->blocks / sizeof *out->blocks);
    return out->blocks[out->block_count++] = block;
}

static void column_add(struct flow_batch *out, const struct table *table, uint32_t column, uint32_t first, const char *name)
{
    uint32_t count = out->row_count;
    char **cells = table->cells + (size_t)first * table->column_count + column;
    uint8_t *valid = block_take(out, count / 8 + 1);
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        const char *cell = cells[(size_t)i * table->column_count];
        valid[i / 8] |= (uint8_t)((cell[0] != '\0') << (i % 8));
        bytes += strlen(cell);
    }
    enum column_id id = column_find(text_of(name));
    if (id != COLUMN_COUNT && column_type_of((uint16_t)id) != COLUMN_TEXT) {
        int64_t *values = block_take(out, count * sizeof *values);
        for (uint32_t i = 0; i < count; i++)
            values[i] = strtoll(cells[(size_t)i * table->column_count], NULL, 10);
        MUST(sluice_batch_i64(out->batch, name, values, valid) == 0);
        return;
    }
    uint32_t *offsets = block_take(out, (count + 1) * sizeof *offsets);
    char *data = block_take(out, bytes);
    for (uint32_t i = 0; i < count; i++) {
        const char *cell = cells[(size_t)i * table->column_count];
        uint32_t length = (uint32_t)strlen(cell);
        memcpy(data + offsets[i], cell, length);
        offsets[i + 1] = offsets[i] + length;
    }
    MUST(sluice_batch_str(out->batch, name, offsets, data, valid) == 0);
}

void table_batch(struct flow_batch *out, const struct table *table, const char *id, uint32_t first, uint32_t count,
                 const char *const *left_out)
{
    *out = (struct flow_batch){.row_count = count};
    MUST(first + count <= table->row_count && sluice_batch_new(&out->batch, id, count) == 0);
    for (uint32_t i = 0; i < table->column_count; i++) {
        bool wanted = true;
        for (size_t j = 0; left_out && left_out[j]; j++)
            wanted = wanted && strcmp(left_out[j], table->names[i]) != 0;
        if (wanted)
            column_add(out, table, i, first, table->names[i]);
    }
}

void table_batch_as(struct flow_batch *out, const struct table *table, const char *id, uint32_t first, uint32_t count,
                    const struct column_as *columns)
{
    *out = (struct flow_batch){.row_count = count};
    MUST(first + count <= table->row_count && sluice_batch_new(&out->batch, id, count) == 0);
    for (; columns->of; columns++) {
        uint32_t i = table_column(table, columns->of);
        MUST(i < table->column_count);
        column_add(out, table, i, first, columns->as);
    }
}

void flow_batch_free(struct flow_batch *batch)
{
    sluice_batch_free(&batch->batch);
    for (uint32_t i = 0; i < batch->block_count; i++)
        free(batch->blocks[i]);
    *batch = (struct flow_batch){0};
}

/* Beside the program, one per build of it; the first test program that needs it makes it while others wait. */
static const char *data_folder(void)
{
    static char path[600];
    if (path[0])
        return path;
    char binary[512], lock_path[640], output[8192], rows[32], past[640], fresh[640], base[640], row_base[640], made[640];
    struct stat program, mark;
    snprintf(binary, sizeof binary, "%s", flow_binary());
    snprintf(path, sizeof path, "%s/flow-data", dirname(binary));
    mkdir(path, 0755);
    snprintf(lock_path, sizeof lock_path, "%s/lock", path);
    snprintf(past, sizeof past, "%s/past.csv", path);
    snprintf(fresh, sizeof fresh, "%s/fresh.csv", path);
    snprintf(base, sizeof base, "%s/base.safetensors", path);
    snprintf(row_base, sizeof row_base, "%s/row-base.safetensors", path);
    snprintf(made, sizeof made, "%s/made", path);
    int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    MUST(lock >= 0 && flock(lock, LOCK_EX) == 0 && stat(flow_binary(), &program) == 0);
    if (stat(made, &mark) != 0 || mark.st_mtime < program.st_mtime || mark.st_mtime + DATA_AGE_MAX_S < time(NULL)) {
        snprintf(rows, sizeof rows, "%d", DATA_ROWS);
        int status = FLOW_RUN(output, "synth", "--rows", rows, "--seed", "7", "--rates", "all=0.005", "--out", past, "--later", fresh);
        if (status == 0)
            status = FLOW_RUN(output, "build", "--out", base, "--seed", "7", "--batch-rows", "1000", past);
        if (status == 0)
            status = FLOW_RUN(output, "build", "--out", row_base, "--seed", "7", past);
        if (status != 0)
            fprintf(stderr, "%s\n", output);
        MUST(status == 0);
        flow_write(made, "", 0);
    }
    close(lock);
    return path;
}

static const char *data_file(char *out, size_t out_bytes, const char *name)
{
    snprintf(out, out_bytes, "%s/%s", data_folder(), name);
    return out;
}

const char *flow_past(void)
{
    static char path[640];
    return data_file(path, sizeof path, "past.csv");
}

const char *flow_fresh(void)
{
    static char path[640];
    return data_file(path, sizeof path, "fresh.csv");
}

const char *flow_base(void)
{
    static char path[640];
    return data_file(path, sizeof path, "base.safetensors");
}

const char *flow_row_base(void)
{
    static char path[640];
    return data_file(path, sizeof path, "row-base.safetensors");
}

struct sluice_client *client_open_as(const char *url, const char *tenant, const char *token, int64_t timeout_ms)
{
    char error[256] = "";
    struct sluice_client *client = NULL;
    struct sluice_options options = {.urls = &url, .url_count = 1, .tenant = tenant, .token = token, .timeout_ms = timeout_ms};
    int code = sluice_open(&client, &options, error, sizeof error);
    if (code != 0)
        fprintf(stderr, "%s: %s: %s\n", url, sluice_error_name(code), error);
    MUST(code == 0);
    return client;
}

struct sluice_client *client_open(const struct server *server)
{
    return client_open_as(server->data_url, "flow", FLOW_TOKEN, 60000);
}

struct sluice_client *client_open_admin(const struct server *server)
{
    return client_open_as(server->admin_url, "flow", FLOW_TOKEN, 60000);
}

struct sluice_reply *screen_rows(struct sluice_client *client, const char *op, const struct table *table, const char *id, uint32_t first,
                                 uint32_t count)
{
    struct flow_batch batch;
    struct sluice_reply *reply = NULL;
    bool labelled = strcmp(op, "import") == 0 || strcmp(op, "label") == 0;
    table_batch(&batch, table, id, first, count, labelled ? NULL : left_out_labels);
    int error = sluice_call(client, op, batch.batch, 0, &reply);
    if (error != 0)
        fprintf(stderr, "%s %s: %s, %s: %s\n", op, id, sluice_error_name(error), reply_fault(reply), reply ? sluice_reply_text(reply) : "");
    MUST(error == 0);
    flow_batch_free(&batch);
    return reply;
}

void history_digest(char out[33], const struct server *server)
{
    struct sluice_client *admin = client_open_admin(server);
    struct sluice_reply *reply = NULL;
    MUST(sluice_ask(admin, "stats", NULL, &reply) == 0);
    const char *digest = sluice_reply_string(reply, "history_digest_at_start");
    MUST(digest && strlen(digest) == 32);
    memcpy(out, digest, 33);
    sluice_reply_free(&reply);
    sluice_close(&admin);
}

static uint64_t reasons_hash(const struct sluice_reply *reply, uint32_t row)
{
    uint64_t hash = 0;
    const char *feature;
    struct {
        float value, share;
    } figures;
    for (size_t i = 0; i < REASONS_MAX && sluice_reply_reason(reply, row, i, &feature, &figures.value, &figures.share); i++)
        hash = hash64_pair(hash, hash64(0, feature, strlen(feature)), hash64(0, &figures, sizeof figures));
    return hash;
}

void recorded_take(struct recorded *out, const struct sluice_reply *reply)
{
    static const struct {
        const char *name;
        size_t at;
    } codes[] = {{"verdict", offsetof(struct recorded, verdict)},
                 {"level", offsetof(struct recorded, level)},
                 {"cause", offsetof(struct recorded, cause)},
                 {"scene", offsetof(struct recorded, scene)},
                 {"runner_up", offsetof(struct recorded, runner_up)},
                 {"risk_type", offsetof(struct recorded, risk_type)},
                 {"countermeasure", offsetof(struct recorded, countermeasure)}},
      figures[] = {{"match", offsetof(struct recorded, match)},
                   {"runner_match", offsetof(struct recorded, runner_match)},
                   {"risk", offsetof(struct recorded, risk)},
                   {"anomaly_own", offsetof(struct recorded, anomaly_own)},
                   {"anomaly_linked", offsetof(struct recorded, anomaly_linked)},
                   {"distance_transaction", offsetof(struct recorded, distance[0])},
                   {"distance_device", offsetof(struct recorded, distance[1])},
                   {"distance_behaviour", offsetof(struct recorded, distance[2])},
                   {"distance_social", offsetof(struct recorded, distance[3])}};
    uint32_t rows = sluice_reply_rows(reply);
    memset(out, 0, rows * sizeof *out);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        const uint8_t *column = sluice_reply_u8(reply, codes[i].name);
        MUST(column);
        for (uint32_t row = 0; row < rows; row++)
            memcpy((char *)&out[row] + codes[i].at, column + row, 1);
    }
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        const float *column = sluice_reply_f32(reply, figures[i].name);
        MUST(column);
        for (uint32_t row = 0; row < rows; row++)
            memcpy((char *)&out[row] + figures[i].at, column + row, sizeof *column);
    }
    for (uint32_t row = 0; row < rows; row++)
        out[row].reasons = reasons_hash(reply, row);
}

uint32_t recorded_differences(const struct recorded *a, const struct recorded *b, uint32_t count, const char *what)
{
    uint32_t differences = 0;
    for (uint32_t i = 0; i < count; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0 && differences++ == 0)
            fprintf(stderr, "%s: row %u: verdict %u %u, scene %u %u, match %.9g %.9g, anomaly %.9g %.9g, distances %.9g %.9g, reasons %d\n",
                    what, i, a[i].verdict, b[i].verdict, a[i].scene, b[i].scene, (double)a[i].match, (double)b[i].match,
                    (double)a[i].anomaly_linked, (double)b[i].anomaly_linked, (double)a[i].distance[0], (double)b[i].distance[0],
                    a[i].reasons == b[i].reasons);
    if (differences)
        fprintf(stderr, "%s: %u of %u rows differ\n", what, differences, count);
    return differences;
}
