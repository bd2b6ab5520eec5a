/* A pain.001, read in small batches; what is written out of it is read again. First byte: rows of a batch, and which transactions pass. */
#include "fuzz/message.h"
#include "wire/iso20022/iso20022.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { WRITTEN_BYTES_MAX = 1 << 20, TRANSACTIONS_MAX = 4096 };

struct written {
    char text[WRITTEN_BYTES_MAX];
    size_t bytes;
};
static struct written written;

static bool keep(void *context, const char *bytes, size_t byte_count)
{
    struct written *to = context;
    if (to->bytes + byte_count > sizeof to->text)
        return false;
    memcpy(to->text + to->bytes, bytes, byte_count);
    to->bytes += byte_count;
    return true;
}

static void read_all(struct pain001 *pain001, uint32_t rows_max)
{
    static uint64_t scratch[256];
    const struct batch_limits limits = FUZZ_LIMITS;
    struct fault_note note = {0};
    struct batch batch;
    uint32_t row_count = 1, seen = 0;
    MUST(batch_init(&batch, batch_arena_bytes(&limits, rows_max, 8192), &note) == FAULT_NONE);
    struct arena arena = batch.arena;
    while (row_count > 0) {
        arena_reset(&arena);
        batch = (struct batch){.magic = BATCH_MAGIC, .arena = arena, .op = OP_screen, .id = text_of("id"), .name = text_of("id")};
        MUST(pain001_read(pain001, &batch, rows_max, &note) == FAULT_NONE);
        row_count = batch.row_count;
        seen += row_count;
        for (size_t i = 0; i < COLUMN_COUNT && row_count > 0; i++)
            fuzz_touch_column(&batch.columns[i], row_count);
        if (row_count > 0 && !batch.wrong)
            fuzz_again(&batch, scratch);
    }
    MUST(seen == pain001_transactions(pain001));
    batch.arena = arena;
    batch_fini(&batch);
}

static void answer_all(struct pain001 *pain001, unsigned seed)
{
    static uint8_t verdicts[TRANSACTIONS_MAX];
    static uint32_t reasons[TRANSACTIONS_MAX];
    static const struct iso_reason reason = {.code = "NARR", .text = "a < b"};
    const struct batch_limits limits = FUZZ_LIMITS;
    struct iso_output out = {.put = keep, .context = &written};
    struct fault_note note = {0};
    uint32_t count = pain001_transactions(pain001), passed = 0;
    if (count > TRANSACTIONS_MAX)
        return;
    for (uint32_t i = 0; i < count; i++) {
        verdicts[i] = (uint8_t)(((seed >> (i % 7)) + i) % VERDICT_COUNT);
        reasons[i] = verdicts[i] == VERDICT_PASS ? UINT32_MAX : 0;
        passed += verdicts[i] == VERDICT_PASS;
    }
    const struct iso_decisions decisions = {.verdicts = verdicts, .reasons = reasons, .reason_list = &reason};
    written.bytes = 0;
    enum fault fault = pain002_write(&out, pain001, &decisions, "report", 0, &note);
    MUST(fault == FAULT_NONE || fault == FAULT_unavailable);
    written.bytes = 0;
    fault = pain001_release(&out, pain001, verdicts, "released", &note);
    MUST((fault == FAULT_schema) == (passed == 0));
    if (fault != FAULT_NONE)
        return;
    struct pain001 *again;
    MUST(pain001_open(&again, written.text, written.bytes, &limits, &note) == FAULT_NONE);
    MUST(pain001_transactions(again) == passed && strcmp(pain001_message_id(again), "released") == 0);
    pain001_close(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const struct batch_limits limits = FUZZ_LIMITS;
    struct pain001 *pain001;
    struct fault_note note = {0};
    if (bytes < 1 || pain001_open(&pain001, data + 1, bytes - 1, &limits, &note) != FAULT_NONE)
        return 0;
    read_all(pain001, data[0] % 32 + 1);
    answer_all(pain001, data[0]);
    pain001_close(&pain001);
    return 0;
}
