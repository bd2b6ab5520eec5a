/* A text file, read in small batches; what was read is sent and read again. First byte: rows of a batch. */
#include "fuzz/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static uint64_t scratch[256];
    const struct batch_limits limits = FUZZ_LIMITS;
    struct csv_reader *reader;
    struct fault_note note = {0};
    struct batch batch;
    if (bytes < 1 || csv_open_bytes(&reader, data + 1, bytes - 1, &limits, &note) != FAULT_NONE)
        return 0;
    uint32_t rows_max = data[0] % 32 + 1, row_count = 1;
    MUST(batch_init(&batch, batch_arena_bytes(&limits, rows_max, 4096), &note) == FAULT_NONE);
    struct arena arena = batch.arena;
    while (row_count > 0 && note.fault == FAULT_NONE) {
        batch = (struct batch){.magic = BATCH_MAGIC, .arena = arena, .op = OP_import, .id = text_of("id"), .name = text_of("id")};
        row_count = csv_read(reader, &batch, rows_max, &note) == FAULT_NONE ? batch.row_count : 0;
        for (size_t i = 0; i < COLUMN_COUNT && row_count > 0; i++)
            fuzz_touch_column(&batch.columns[i], row_count);
        bool sent = row_count > 0;
        for (size_t i = 0; i < batch.other_count; i++) { /* the server bounds texts of unknown columns */
            fuzz_touch_column(&batch.others[i], row_count);
            sent = sent && batch.others[i].name.bytes <= limits.id_bytes_max;
            for (uint32_t row = 0; row < row_count && batch.others[i].form == FORM_STR; row++)
                sent = sent && column_text(&batch.others[i], row).bytes <= limits.text_bytes_max;
        }
        if (sent)
            fuzz_again(&batch, scratch);
    }
    batch.arena = arena;
    batch_fini(&batch);
    csv_close(&reader);
    return 0;
}
