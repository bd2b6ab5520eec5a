/* A sluice_batch is a batch whose columns are the caller's own arrays; only ids, names and dictionaries' text
 * headers are copies. A column set twice is a wrong argument. */
#include "client/builder.h"

#include <string.h>

#include "base/memory.h"
#include "base/must.h"

enum { BUILDER_MAGIC = 0x5111ceb1, DICT16_VALUES_MAX = 65536 };

struct sluice_batch {
    unsigned magic;
    char *id, *name;
    char *other_names[OTHER_COLUMNS_MAX];
    struct batch batch;
};

int sluice_batch_new(struct sluice_batch **out, const char *id, uint32_t row_count)
{
    if (!out || !id || !*id || row_count == 0)
        return SLUICE_ARGUMENT;
    struct sluice_batch *batch = memory_take_zeroed(1, sizeof *batch);
    if (!batch || !(batch->id = memory_copy_text(id))) {
        memory_give(batch);
        return SLUICE_MEMORY;
    }
    batch->magic = BUILDER_MAGIC;
    batch->batch.magic = BATCH_MAGIC;
    batch->batch.row_count = row_count;
    batch->batch.id = batch->batch.name = text_of(batch->id);
    *out = batch;
    return SLUICE_OK;
}

void sluice_batch_free(struct sluice_batch **batch_p)
{
    struct sluice_batch *batch = *batch_p;
    *batch_p = NULL;
    if (!batch)
        return;
    MUST(batch->magic == BUILDER_MAGIC);
    for (int i = 0; i < COLUMN_COUNT; i++)
        memory_give((void *)batch->batch.columns[i].values);
    for (uint32_t i = 0; i < batch->batch.other_count; i++) {
        memory_give((void *)batch->batch.others[i].values);
        memory_give(batch->other_names[i]);
    }
    memory_give(batch->id);
    memory_give(batch->name);
    batch->magic = 0;
    memory_give(batch);
}

int sluice_batch_name(struct sluice_batch *batch, const char *name)
{
    if (!batch || !name || !*name)
        return SLUICE_ARGUMENT;
    char *copy = memory_copy_text(name);
    if (!copy)
        return SLUICE_MEMORY;
    memory_give(batch->name);
    batch->name = copy;
    batch->batch.name = text_of(copy);
    return SLUICE_OK;
}

static struct column *other_add(struct sluice_batch *batch, const char *name)
{
    struct batch *inner = &batch->batch;
    char *copy = inner->other_count < OTHER_COLUMNS_MAX ? memory_copy_text(name) : NULL;
    if (!copy)
        return NULL;
    batch->other_names[inner->other_count] = copy;
    struct column *column = &inner->others[inner->other_count++];
    column->name = text_of(copy);
    return column;
}

static int column_add(struct column **out, struct sluice_batch *batch, const char *name)
{
    struct text text = text_of(name);
    enum column_id id = column_find(text);
    if (id != COLUMN_COUNT) {
        *out = &batch->batch.columns[id];
        (*out)->name = text_of(column_name((uint16_t)id));
        return (*out)->form == FORM_ABSENT ? SLUICE_OK : SLUICE_ARGUMENT;
    }
    for (uint32_t i = 0; i < batch->batch.other_count; i++)
        if (text_equal(batch->batch.others[i].name, text))
            return SLUICE_ARGUMENT;
    if (batch->batch.other_count == OTHER_COLUMNS_MAX)
        return SLUICE_ARGUMENT;
    *out = other_add(batch, name);
    return *out ? SLUICE_OK : SLUICE_MEMORY;
}

int sluice_batch_i64(struct sluice_batch *batch, const char *column, const int64_t *values, const uint8_t *valid_bitmap)
{
    struct column *added;
    if (!batch || !column || !*column || !values)
        return SLUICE_ARGUMENT;
    int result = column_add(&added, batch, column);
    if (result != SLUICE_OK)
        return result;
    added->form = FORM_I64;
    added->data = (const unsigned char *)values;
    added->valid = valid_bitmap;
    return SLUICE_OK;
}

int sluice_batch_str(struct sluice_batch *batch, const char *column, const uint32_t *offsets, const char *data, const uint8_t *valid_bitmap)
{
    struct column *added;
    if (!batch || !column || !*column || !offsets || !data || offsets[0] != 0)
        return SLUICE_ARGUMENT;
    for (uint32_t i = 0; i < batch->batch.row_count; i++)
        if (offsets[i] > offsets[i + 1])
            return SLUICE_ARGUMENT;
    int result = column_add(&added, batch, column);
    if (result != SLUICE_OK)
        return result;
    added->form = FORM_STR;
    added->data = (const unsigned char *)data;
    added->offsets = (const unsigned char *)offsets;
    added->valid = valid_bitmap;
    return SLUICE_OK;
}

static bool codes_in_range(const uint16_t *codes, const uint8_t *valid, uint32_t row_count, uint32_t value_count)
{
    for (uint32_t i = 0; i < row_count; i++)
        if (codes[i] >= value_count && (!valid || (valid[i >> 3] >> (i & 7) & 1)))
            return false;
    return true;
}

int sluice_batch_dict16(struct sluice_batch *batch, const char *column, const uint16_t *codes, const char *const *values,
                        uint32_t value_count, const uint8_t *valid_bitmap)
{
    struct column *added;
    if (!batch || !column || !*column || !codes || !values || value_count > DICT16_VALUES_MAX ||
        !codes_in_range(codes, valid_bitmap, batch->batch.row_count, value_count))
        return SLUICE_ARGUMENT;
    struct text *texts = memory_take_zeroed(value_count, sizeof *texts);
    if (!texts)
        return SLUICE_MEMORY;
    for (uint32_t i = 0; i < value_count; i++)
        texts[i] = text_of(values[i]);
    int result = column_add(&added, batch, column);
    if (result != SLUICE_OK) {
        memory_give(texts);
        return result;
    }
    added->form = FORM_DICT16;
    added->data = (const unsigned char *)codes;
    added->valid = valid_bitmap;
    added->values = texts;
    added->value_count = value_count;
    return SLUICE_OK;
}

const struct batch *builder_batch(const struct sluice_batch *batch)
{
    MUST(batch->magic == BUILDER_MAGIC);
    return &batch->batch;
}
