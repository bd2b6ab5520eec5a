/* Finding in a ledger of N transfers: how long until a page is there, with the ledger's files in the page cache and without.
 * usage: bench_find FOLDER ROWS [ROWS_PER_BATCH [QUESTION]] — a new folder on the disk to measure, or one that an earlier call filled.
 * One figure a line: name, median warm, most warm, median cold, most cold, all in ms. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/must.h"
#include "ledger/ledger.h"

#include "../tests/unit/ledger/sample.h"

enum { WARM_TIMES = 21, COLD_TIMES = 7, PAGE = 100, TRANSFER_BYTES = 16, ACCOUNT_BYTES = 10, RARE_SCENE = SAMPLE_SCENES, RARE_EVERY = 997 };
enum { ROWS_PER_ACCOUNT = 20, HOT_SHARE = 1000 }; /* of the rows of one account; one payer in so many is account 0 */
static const char *const scenes[SAMPLE_SCENES + 1] = {"background", "takeover", "mule", "split", "fan", "other", "rare"};

struct house {
    const char *folder;
    struct ledger *ledger;
    uint64_t rows, batches, accounts;
    uint32_t batch_rows;
};

/* --- filling --------------------------------------------------------------------------------------------------------- */

static void digits(unsigned char *out, unsigned width, uint64_t number)
{
    for (; width > 0; number /= 10)
        out[--width] = (unsigned char)('0' + number % 10);
}

static uint64_t account_of(const struct house *house, uint64_t *random)
{
    uint64_t draw = sample_random(random);
    return draw % HOT_SHARE == 0 ? 0 : 1 + (draw >> 20) % (house->accounts - 1);
}

static void str_make(struct batch *batch, enum column_id id, unsigned width)
{
    unsigned char *data = sample_take(batch, (size_t)width * batch->row_count),
                  *offsets = sample_take(batch, 4 * ((size_t)batch->row_count + 1));
    for (uint32_t row = 0; row <= batch->row_count; row++)
        memcpy(offsets + 4 * (size_t)row, &(uint32_t){row * width}, 4);
    batch->columns[id] = (struct column){.form = FORM_STR, .name = batch->columns[id].name, .data = data, .offsets = offsets};
}

static void batch_make(struct batch *out, const struct house *house, uint64_t sequence)
{
    struct sample sample = {.rows = house->batch_rows, .seed = sequence, .dicts = true, .plain = true, .op = OP_screen};
    sample_make(out, &sample);
    str_make(out, COLUMN_transfer_id, TRANSFER_BYTES);
    str_make(out, COLUMN_payer_id, ACCOUNT_BYTES);
    str_make(out, COLUMN_payee_id, ACCOUNT_BYTES);
    out->key_seed = 99;
}

/* The next batch in place: other ids, accounts, amounts and keys; verdicts stay. */
static void batch_turn(struct batch *batch, const struct house *house, uint64_t sequence, char id[24])
{
    uint64_t random = sequence * 77 + 5;
    unsigned char *transfers = (unsigned char *)batch->columns[COLUMN_transfer_id].data;
    unsigned char *sides[] = {(unsigned char *)batch->columns[COLUMN_payer_id].data, (unsigned char *)batch->columns[COLUMN_payee_id].data};
    for (uint32_t row = 0; row < batch->row_count; row++, transfers += TRANSFER_BYTES) {
        transfers[0] = 't', digits(transfers + 1, TRANSFER_BYTES - 1, (sequence - 1) * batch->row_count + row);
        for (unsigned i = 0; i < 2; i++, sides[i - 1] += ACCOUNT_BYTES)
            sides[i][0] = 'A', digits(sides[i] + 1, ACCOUNT_BYTES - 1, account_of(house, &random));
    }
    column_hashes(&batch->columns[COLUMN_payer_id], batch->row_count, batch->key_seed, batch->facts.payer, NULL);
    column_hashes(&batch->columns[COLUMN_payee_id], batch->row_count, batch->key_seed, batch->facts.payee, NULL);
    batch->id = batch->name = (struct text){.data = id, .bytes = (uint32_t)snprintf(id, 24, "b%llu", (unsigned long long)sequence)};
    batch->sequence = sequence, batch->now_us = 1700000000000000 + (int64_t)sequence * 1000000;
    bool is_rare = sequence % RARE_EVERY == 0;
    for (uint32_t row = 0; row < batch->row_count; row++) /* risk_type keeps what scene was */
        batch->results.scene[row] = is_rare && batch->results.verdict[row] == VERDICT_HOLD ? RARE_SCENE : batch->results.risk_type[row];
}

static void house_fill(struct house *house)
{
    enum { GROUP = 8 };
    static struct batch batches[GROUP];
    struct ledger_entry entries[GROUP];
    char ids[GROUP][24];
    int64_t start = clock_steady_ns(), commits = 0, encodes = 0;
    uint64_t first = ledger_sqlite.last_sequence(house->ledger) + 1, rows = 0;
    for (unsigned i = 0; i < GROUP; i++)
        batch_make(&batches[i], house, i + 1);
    for (uint64_t sequence = first; sequence <= house->batches;) {
        uint32_t count = 0;
        for (; count < GROUP && sequence <= house->batches; count++, sequence++) {
            batch_turn(&batches[count], house, sequence, ids[count]);
            entries[count] = (struct ledger_entry){.batch = &batches[count], .scenes = scenes, .scene_count = SAMPLE_SCENES + 1};
            encodes -= clock_steady_ns();
            MUST(frame_encode(&entries[count].frame, &batches[count], NULL) == FAULT_NONE);
            encodes += clock_steady_ns();
        }
        commits -= clock_steady_ns();
        MUST(ledger_sqlite.commit(house->ledger, entries, count, NULL) == FAULT_NONE);
        commits += clock_steady_ns();
        ledger_sqlite.idle(house->ledger);
        rows += (uint64_t)count * house->batch_rows;
        for (uint32_t i = 0; i < count; i++)
            frame_give(&entries[i].frame);
    }
    for (unsigned i = 0; i < GROUP; i++)
        batch_fini(&batches[i]);
    if (rows)
        printf("filled: %llu rows in %.1f s, encode %.0f ns/row, commit %.0f ns/row\n", (unsigned long long)rows,
               (double)(clock_steady_ns() - start) * 1e-9, (double)encodes / (double)rows, (double)commits / (double)rows);
}

/* --- asking ---------------------------------------------------------------------------------------------------------- */

static bool row_count(void *context, const struct ledger_row *row)
{
    (void)row;
    ++*(uint32_t *)context;
    return true;
}

static uint32_t page_of(struct house *house, struct ledger_query query)
{
    uint32_t count = 0;
    query.tenant = "tenant a", query.rows_max = PAGE;
    MUST(ledger_sqlite.query(house->ledger, &query, row_count, &count, NULL) == FAULT_NONE);
    return count;
}

static void ask_transfer(struct house *house, uint64_t draw)
{
    char id[TRANSFER_BYTES + 1] = "t";
    uint64_t wanted = draw % house->rows, sequence;
    uint32_t row;
    digits((unsigned char *)id + 1, TRANSFER_BYTES - 1, wanted);
    MUST(ledger_sqlite.find_transfer(house->ledger, text_of("tenant a"), text_of(id), &sequence, &row, NULL) == FAULT_NONE);
    MUST((sequence - 1) * house->batch_rows + row == wanted);
}

static void ask_absent(struct house *house, uint64_t draw)
{
    char id[40];
    uint64_t sequence;
    uint32_t row;
    snprintf(id, sizeof id, "none%llu", (unsigned long long)draw);
    MUST(ledger_sqlite.find_transfer(house->ledger, text_of("tenant a"), text_of(id), &sequence, &row, NULL) == FAULT_not_found);
}

static void ask_account(struct house *house, uint64_t number)
{
    char id[ACCOUNT_BYTES + 1] = "A";
    digits((unsigned char *)id + 1, ACCOUNT_BYTES - 1, number);
    page_of(house, (struct ledger_query){.account = id, .verdict = -1});
}

static void ask_rare_account(struct house *house, uint64_t draw)
{
    ask_account(house, 1 + draw % (house->accounts - 1));
}

static void ask_hot_account(struct house *house, uint64_t draw)
{
    (void)draw;
    ask_account(house, 0);
}

static void ask_unknown_account(struct house *house, uint64_t draw)
{
    ask_account(house, house->accounts + draw % house->accounts);
}

static void ask_held(struct house *house, uint64_t draw)
{
    MUST(page_of(house, (struct ledger_query){.scene = scenes[1 + draw % 4], .verdict = VERDICT_HOLD}) == PAGE);
}

static void ask_rare_scene(struct house *house, uint64_t draw)
{
    (void)draw;
    page_of(house, (struct ledger_query){.scene = "rare", .verdict = VERDICT_HOLD});
}

static void ask_time(struct house *house, uint64_t draw)
{
    int64_t from_us = 1700000000000000 + (int64_t)(1 + draw % house->batches) * 1000000;
    page_of(house, (struct ledger_query){.from_us = from_us, .to_us = from_us + 60000000, .verdict = -1});
}

static void ask_batch(struct house *house, uint64_t draw)
{
    char name[24];
    struct ledger_batch line;
    struct batch batch;
    snprintf(name, sizeof name, "b%llu", (unsigned long long)(1 + draw % house->batches));
    MUST(ledger_sqlite.find_batch(house->ledger, &line, text_of("tenant a"), text_of(name), NULL) == FAULT_NONE);
    MUST(ledger_sqlite.read(house->ledger, &batch, line.sequence, NULL) == FAULT_NONE && batch.row_count == house->batch_rows);
    batch_fini(&batch);
}

static const struct {
    const char *name;
    void (*ask)(struct house *house, uint64_t draw);
} questions[] = {
    {"transfer", ask_transfer},
    {"transfer.absent", ask_absent},
    {"account.20_rows", ask_rare_account},
    {"account.hot", ask_hot_account},
    {"account.absent", ask_unknown_account},
    {"held.scene", ask_held},
    {"held.rare_scene", ask_rare_scene},
    {"time.minute", ask_time},
    {"batch", ask_batch},
};

/* --- warm and cold --------------------------------------------------------------------------------------------------- */

static void house_open(struct house *house)
{
    struct fault_note note = {0};
    if (ledger_sqlite.open(&house->ledger, &(struct ledger_options){.folder = house->folder}, &note) != FAULT_NONE) {
        fprintf(stderr, "%s\n", note.text);
        exit(1);
    }
}

static void files_each(const char *folder, void (*each)(int fd))
{
    DIR *entries = opendir(folder);
    struct dirent *entry;
    while (entries && (entry = readdir(entries))) {
        int fd = openat(dirfd(entries), entry->d_name, O_RDONLY);
        each(fd);
        close(fd);
    }
    closedir(entries);
}

static void file_drop(int fd)
{
    fsync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static void file_load(int fd)
{
    static char bytes[1 << 20];
    while (read(fd, bytes, sizeof bytes) > 0)
        ;
}

/* Nothing of the ledger in memory: neither ours nor the system's. */
static void house_cool(struct house *house)
{
    ledger_sqlite.close(&house->ledger);
    files_each(house->folder, file_drop);
    house_open(house);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum { QUESTIONS = sizeof questions / sizeof *questions };
static double warm[QUESTIONS][WARM_TIMES], cold[QUESTIONS][COLD_TIMES];

static double ask_timed(struct house *house, unsigned which, uint64_t draw)
{
    int64_t start = clock_steady_ns();
    questions[which].ask(house, draw);
    return (double)(clock_steady_ns() - start) * 1e-6;
}

static void ask_all(struct house *house, const char *only)
{
    uint64_t random = 7;
    files_each(house->folder, file_load);
    for (unsigned i = 0; i < QUESTIONS; i++) {
        ask_timed(house, i, sample_random(&random));
        for (unsigned j = 0; j < WARM_TIMES && (!only || strcmp(only, questions[i].name) == 0); j++)
            warm[i][j] = ask_timed(house, i, sample_random(&random));
    }
    for (unsigned i = 0; i < QUESTIONS; i++)
        for (unsigned j = 0; j < COLD_TIMES && (!only || strcmp(only, questions[i].name) == 0); j++) {
            house_cool(house);
            cold[i][j] = ask_timed(house, i, sample_random(&random));
        }
    printf("%-18s %9s %9s %9s %9s\n", "ms", "warm p50", "max", "cold p50", "max");
    for (unsigned i = 0; i < QUESTIONS; i++) {
        qsort(warm[i], WARM_TIMES, sizeof **warm, compare);
        qsort(cold[i], COLD_TIMES, sizeof **cold, compare);
        printf("%-18s %9.2f %9.2f %9.1f %9.1f\n", questions[i].name, warm[i][WARM_TIMES / 2], warm[i][WARM_TIMES - 1],
               cold[i][COLD_TIMES / 2], cold[i][COLD_TIMES - 1]);
    }
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return fprintf(stderr, "usage: bench_find FOLDER ROWS [ROWS_PER_BATCH [QUESTION]]\n"), 2;
    struct house house = {.folder = argv[1], .rows = strtoull(argv[2], NULL, 10)};
    house.batch_rows = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 10000;
    house.batches = house.rows / house.batch_rows;
    house.rows = house.batches * house.batch_rows;
    house.accounts = 2 * house.rows / ROWS_PER_ACCOUNT + 2;
    house_open(&house);
    house_fill(&house);
    printf("%llu rows: %llu batches of %u rows, %.1f bytes/row\n", (unsigned long long)house.rows, (unsigned long long)house.batches,
           house.batch_rows, (double)ledger_sqlite.disk_bytes(house.ledger) / (double)house.rows);
    ask_all(&house, argc > 4 ? argv[4] : NULL);
    ledger_sqlite.close(&house.ledger);
    return 0;
}
