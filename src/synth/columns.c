/* Rows of the generator as columns of a batch: texts are written once, straight into the batch's arena. */
#include <string.h>

#include "base/must.h"
#include "synth/story.h"

enum {
    ACCOUNT_BYTES = 10,
    DEVICE_BYTES = 11,
    ADDRESS_BYTES = 15,
    TRANSFER_BYTES = 13,
    NETWORK_BYTES = 5,
    TEXT_COLUMNS = 7,
    DICT_COLUMNS = 6
};

static uint32_t digits_write(char *out, uint64_t value, uint32_t count)
{
    for (uint32_t i = count; i-- > 0; value /= 10)
        out[i] = (char)('0' + value % 10);
    return count;
}

uint32_t synth_account_text(char *out, uint32_t account)
{
    out[0] = 'a';
    return 1 + digits_write(out + 1, account, ACCOUNT_BYTES - 1);
}

uint32_t synth_device_text(char *out, uint64_t device)
{
    out[0] = 'd';
    for (int i = DEVICE_BYTES - 1; i > 0; i--, device >>= 4)
        out[i] = "0123456789abcdef"[device & 15];
    return DEVICE_BYTES;
}

uint32_t synth_address_text(char *out, uint32_t address)
{
    uint32_t bytes = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        uint32_t part = address >> shift & 255;
        bytes += digits_write(out + bytes, part, part > 99 ? 3 : part > 9 ? 2 : 1);
        if (shift)
            out[bytes++] = '.';
    }
    return bytes;
}

uint32_t synth_network_text(char *out, uint8_t network)
{
    memcpy(out, "net", 3);
    return 3 + digits_write(out + 3, network, NETWORK_BYTES - 3);
}

size_t synth_arena_bytes(uint32_t rows_max)
{
    size_t texts = TRANSFER_BYTES + 2 * ACCOUNT_BYTES + 2 * DEVICE_BYTES + 2 * ADDRESS_BYTES;
    size_t per_row = texts + TEXT_COLUMNS * sizeof(uint32_t) + 2 * sizeof(int64_t) + DICT_COLUMNS;
    return per_row * rows_max + 3 * ((size_t)rows_max / 8 + 1) + 64 * 64 + 64 * sizeof(struct text) + SYNTH_NETWORKS * SYNTH_TEXT_BYTES;
}

struct texts { /* a text column under construction */
    char *data;
    uint32_t *offsets, bytes;
    uint8_t *valid; /* NULL: all */
};

struct writer {
    struct batch *batch;
    struct texts transfer, payer, payee, payer_device, payee_device, payer_address, payee_address;
    int64_t *time_us, *amount;
    uint8_t *type, *channel, *payer_network, *payee_network, *label;
};

static void *take(struct batch *batch, size_t bytes)
{
    return arena_take_zeroed(&batch->arena, bytes, 64);
}

static void texts_take(struct texts *out, struct batch *batch, enum column_id id, uint32_t rows, uint32_t bytes, uint8_t *valid)
{
    *out = (struct texts){.data = take(batch, (size_t)rows * bytes), .offsets = take(batch, sizeof(uint32_t) * (rows + 1)), .valid = valid};
    batch->columns[id] = (struct column){.form = FORM_STR,
                                         .name = text_of(column_name((uint16_t)id)),
                                         .data = (const unsigned char *)out->data,
                                         .offsets = (const unsigned char *)out->offsets,
                                         .valid = valid};
}

static int64_t *numbers_take(struct batch *batch, enum column_id id, uint32_t rows)
{
    int64_t *data = take(batch, sizeof *data * rows);
    batch->columns[id] = (struct column){.form = FORM_I64, .name = text_of(column_name((uint16_t)id)), .data = (const unsigned char *)data};
    return data;
}

static uint8_t *codes_take(struct batch *batch, enum column_id id, uint32_t rows, const char *const *names, uint32_t name_count,
                           uint8_t *valid)
{
    uint8_t *codes = take(batch, rows);
    struct text *values = take(batch, sizeof *values * name_count);
    for (uint32_t i = 0; values && i < name_count; i++)
        values[i] = text_of(names[i]);
    batch->columns[id] = (struct column){.form = FORM_DICT8,
                                         .name = text_of(column_name((uint16_t)id)),
                                         .data = codes,
                                         .values = values,
                                         .value_count = name_count,
                                         .valid = valid};
    return codes;
}

static void network_names(const char *out[SYNTH_NETWORKS], struct batch *batch)
{
    char *names = take(batch, SYNTH_NETWORKS * SYNTH_TEXT_BYTES);
    for (uint8_t i = 0; i < SYNTH_NETWORKS; i++) {
        out[i] = names ? names + i * SYNTH_TEXT_BYTES : "";
        if (names)
            names[i * SYNTH_TEXT_BYTES + synth_network_text(names + i * SYNTH_TEXT_BYTES, i)] = '\0';
    }
}

static void writer_take(struct writer *out, struct batch *batch, uint32_t rows, const struct synth *synth)
{
    const char *networks[SYNTH_NETWORKS], *code = synth_currency(synth);
    char *currency = take(batch, strlen(code) + 1); /* the batch may outlive the generator */
    uint8_t *has_device = take(batch, rows / 8 + 1), *has_address = take(batch, rows / 8 + 1), *has_network = take(batch, rows / 8 + 1);
    *out = (struct writer){.batch = batch};
    if (currency)
        strcpy(currency, code);
    const char *const currencies[] = {currency ? currency : ""};
    network_names(networks, batch);
    texts_take(&out->transfer, batch, COLUMN_transfer_id, rows, TRANSFER_BYTES, NULL);
    texts_take(&out->payer, batch, COLUMN_payer_id, rows, ACCOUNT_BYTES, NULL);
    texts_take(&out->payee, batch, COLUMN_payee_id, rows, ACCOUNT_BYTES, NULL);
    texts_take(&out->payer_device, batch, COLUMN_payer_device, rows, DEVICE_BYTES, NULL);
    texts_take(&out->payee_device, batch, COLUMN_payee_device, rows, DEVICE_BYTES, has_device);
    texts_take(&out->payer_address, batch, COLUMN_payer_address, rows, ADDRESS_BYTES, NULL);
    texts_take(&out->payee_address, batch, COLUMN_payee_address, rows, ADDRESS_BYTES, has_address);
    out->time_us = numbers_take(batch, COLUMN_time, rows);
    out->amount = numbers_take(batch, COLUMN_amount, rows);
    codes_take(batch, COLUMN_currency, rows, currencies, 1, NULL);
    out->type = codes_take(batch, COLUMN_transaction_type, rows, synth_types, SYNTH_TYPES, NULL);
    out->channel = codes_take(batch, COLUMN_channel, rows, synth_channels, SYNTH_CHANNELS, NULL);
    out->payer_network = codes_take(batch, COLUMN_payer_network, rows, networks, SYNTH_NETWORKS, NULL);
    out->payee_network = codes_take(batch, COLUMN_payee_network, rows, networks, SYNTH_NETWORKS, has_network);
    out->label = codes_take(batch, COLUMN_label, rows, synth_scene_names, SYNTH_SCENE_COUNT, NULL);
}

static void text_end(struct texts *texts, uint32_t row, uint32_t bytes)
{
    if (texts->valid && bytes)
        texts->valid[row >> 3] |= (uint8_t)(1u << (row & 7));
    texts->bytes += bytes;
    texts->offsets[row + 1] = texts->bytes;
}

static void account_write(struct texts *to, uint32_t row, uint32_t account)
{
    text_end(to, row, synth_account_text(to->data + to->bytes, account));
}

static void device_write(struct texts *to, uint32_t row, uint64_t device)
{
    text_end(to, row, device ? synth_device_text(to->data + to->bytes, device) : 0);
}

static void address_write(struct texts *to, uint32_t row, uint32_t address)
{
    text_end(to, row, address ? synth_address_text(to->data + to->bytes, address) : 0);
}

static void row_write(struct writer *to, uint32_t at, const struct synth_row *row)
{
    uint8_t *has_network = (uint8_t *)to->batch->columns[COLUMN_payee_network].valid;
    to->transfer.data[to->transfer.bytes] = 't';
    text_end(&to->transfer, at, 1 + digits_write(to->transfer.data + to->transfer.bytes + 1, row->number, TRANSFER_BYTES - 1));
    account_write(&to->payer, at, row->payer);
    account_write(&to->payee, at, row->payee);
    device_write(&to->payer_device, at, row->payer_device);
    device_write(&to->payee_device, at, row->payee_device);
    address_write(&to->payer_address, at, row->payer_address);
    address_write(&to->payee_address, at, row->payee_address);
    to->time_us[at] = row->time_us;
    to->amount[at] = row->amount;
    to->type[at] = row->transaction_type;
    to->channel[at] = row->channel;
    to->payer_network[at] = row->payer_network;
    to->payee_network[at] = row->payee_network;
    if (row->payee_address)
        has_network[at >> 3] |= (uint8_t)(1u << (at & 7));
    to->label[at] = (uint8_t)row->scene;
}

enum fault synth_next(struct synth *synth, struct batch *batch, uint32_t rows_max, struct fault_note *note)
{
    struct writer writer;
    struct synth_row row;
    struct arena arena = batch->arena;
    arena_reset(&arena);
    *batch = (struct batch){.magic = BATCH_MAGIC, .arena = arena};
    writer_take(&writer, batch, rows_max, synth);
    if (arena_overflowed(&batch->arena))
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "%u rows do not fit the batch's arena", rows_max);
    while (batch->row_count < rows_max && synth_row_next(synth, &row))
        row_write(&writer, batch->row_count++, &row);
    return FAULT_NONE;
}
