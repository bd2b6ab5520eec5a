/* Nothing is taken from a file before its size is known to fit into what is there: the header is bounded in bytes and
 * depth before it is parsed, and tensors must tile the bytes behind it without hole or overlap. */
#include "scene/safetensors.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/json.h"

static const struct {
    const char *name;
    size_t bytes;
} types[TENSOR_TYPE_COUNT] = {
    [TENSOR_F32] = {"F32", 4}, [TENSOR_F64] = {"F64", 8}, [TENSOR_I32] = {"I32", 4}, [TENSOR_U32] = {"U32", 4}, [TENSOR_U8] = {"U8", 1},
};

size_t tensor_type_bytes(enum tensor_type type)
{
    return types[type].bytes;
}

const char *tensor_type_name(enum tensor_type type)
{
    return types[type].name;
}

uint64_t safetensors_header_bytes(const void *bytes, size_t byte_count)
{
    uint64_t value = 0;
    for (int i = SAFETENSORS_LEAD_BYTES - 1; i >= 0 && byte_count >= SAFETENSORS_LEAD_BYTES; i--)
        value = value << 8 | ((const unsigned char *)bytes)[i];
    return value;
}

static enum fault read_header(json_t **out, const char *text, size_t bytes, struct fault_note *note)
{
    enum fault fault = json_read(out, text, bytes, FAULT_model, "header", note);
    if (fault == FAULT_NONE && !json_is_object(*out))
        fault = fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "header: not a JSON object");
    return fault;
}

static enum fault read_metadata(struct safetensors *out, const json_t *metadata, struct fault_note *note)
{
    if (!metadata)
        return FAULT_NONE;
    const json_t *text = json_object_get(metadata, "sluice");
    if (!json_is_object(metadata) || (text && !json_is_string(text)))
        return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "__metadata__ is not a map of texts");
    if (text && !(out->metadata = memory_copy_text(json_string_value(text))))
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the metadata");
    return FAULT_NONE;
}

static bool read_u64(uint64_t *out, const json_t *number)
{
    if (!json_is_integer(number) || json_integer_value(number) < 0)
        return false;
    *out = (uint64_t)json_integer_value(number);
    return true;
}

static bool read_type(enum tensor_type *out, const json_t *text)
{
    for (unsigned i = 0; json_is_string(text) && i < TENSOR_TYPE_COUNT; i++)
        if (strcmp(json_string_value(text), types[i].name) == 0)
            return *out = (enum tensor_type)i, true;
    return false;
}

/* Fills shape and bytes; false: no shape of at most two numbers whose product stays below 2^40. */
static bool read_shape(struct tensor *out, const json_t *shape)
{
    uint64_t count = 1;
    if (!json_is_array(shape) || json_array_size(shape) > TENSOR_RANK_MAX)
        return false;
    out->rank = (uint32_t)json_array_size(shape);
    for (uint32_t i = 0; i < TENSOR_RANK_MAX; i++) {
        out->shape[i] = 1;
        if (i < out->rank && (!read_u64(&out->shape[i], json_array_get(shape, i)) || out->shape[i] > 1u << 20))
            return false;
        count *= out->shape[i];
    }
    out->bytes = (size_t)count * types[out->type].bytes;
    return true;
}

static enum fault read_tensor(struct tensor *out, const char *name, const json_t *entry, const unsigned char *data, size_t data_bytes,
                              struct fault_note *note)
{
    uint64_t begin, end;
    const json_t *offsets = json_object_get(entry, "data_offsets");
    if (strlen(name) >= sizeof out->name)
        return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "tensor %.40s…: name too long", name);
    snprintf(out->name, sizeof out->name, "%s", name);
    if (!read_type(&out->type, json_object_get(entry, "dtype")))
        return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "tensor %s: dtype is not F32, F64, I32, U32 or U8", name);
    if (!read_shape(out, json_object_get(entry, "shape")))
        return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "tensor %s: shape is not up to two sizes below 2^20", name);
    if (json_array_size(offsets) != 2 || !read_u64(&begin, json_array_get(offsets, 0)) || !read_u64(&end, json_array_get(offsets, 1)) ||
        begin > end || end > data_bytes)
        return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "tensor %s: data_offsets are not inside the file", name);
    if (end - begin != out->bytes)
        return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "tensor %s: %llu bytes, its shape needs %zu", name,
                         (unsigned long long)(end - begin), out->bytes);
    out->data = data + begin;
    return FAULT_NONE;
}

static enum fault read_tensors(struct safetensors *out, json_t *header, const unsigned char *data, size_t bytes, struct fault_note *note)
{
    const char *name;
    json_t *entry;
    json_object_foreach(header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        if (out->tensor_count == TENSORS_MAX)
            return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "more than %d tensors", TENSORS_MAX);
        enum fault fault = read_tensor(&out->tensors[out->tensor_count], name, entry, data, bytes, note);
        if (fault != FAULT_NONE)
            return fault;
        out->tensor_count++;
    }
    return FAULT_NONE;
}

/* Tensors tile the data: walking them by address meets each exactly where the one before ended. */
static enum fault check_tiling(const struct safetensors *file, const unsigned char *data, size_t bytes, struct fault_note *note)
{
    const unsigned char *at = data;
    for (uint64_t seen = 0; seen != (file->tensor_count == 64 ? UINT64_MAX : (1ull << file->tensor_count) - 1);) {
        uint32_t next = TENSORS_MAX;
        for (uint32_t i = 0; i < file->tensor_count; i++)
            if (!(seen >> i & 1) && file->tensors[i].data == at && (next == TENSORS_MAX || file->tensors[i].bytes == 0))
                next = i;
        if (next == TENSORS_MAX)
            return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "tensors overlap or leave a hole at byte %zu of the data",
                             (size_t)(at - data));
        at += file->tensors[next].bytes;
        seen |= 1ull << next;
    }
    if (at != data + bytes)
        return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "%zu bytes behind the last tensor", (size_t)(data + bytes - at));
    return FAULT_NONE;
}

enum fault safetensors_read(struct safetensors *out, const void *bytes, size_t byte_count, struct fault_note *note)
{
    memset(out, 0, sizeof *out);
    if (byte_count < SAFETENSORS_LEAD_BYTES)
        return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "%zu bytes: too short for a header", byte_count);
    uint64_t header_bytes = safetensors_header_bytes(bytes, byte_count);
    if (header_bytes > SAFETENSORS_HEADER_BYTES_MAX)
        return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "no scene base: it does not begin with a header of at most %d bytes",
                         SAFETENSORS_HEADER_BYTES_MAX);
    if (header_bytes > byte_count - SAFETENSORS_LEAD_BYTES)
        return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "header of %llu bytes: above the file's size",
                         (unsigned long long)header_bytes);
    const char *text = (const char *)bytes + SAFETENSORS_LEAD_BYTES;
    const unsigned char *data = (const unsigned char *)text + header_bytes;
    size_t data_bytes = byte_count - SAFETENSORS_LEAD_BYTES - (size_t)header_bytes;
    json_t *header = NULL;
    enum fault fault = read_header(&header, text, (size_t)header_bytes, note);
    if (fault == FAULT_NONE)
        fault = read_metadata(out, json_object_get(header, "__metadata__"), note);
    if (fault == FAULT_NONE)
        fault = read_tensors(out, header, data, data_bytes, note);
    if (fault == FAULT_NONE)
        fault = check_tiling(out, data, data_bytes, note);
    json_decref(header);
    if (fault != FAULT_NONE)
        safetensors_fini(out);
    return fault;
}

void safetensors_fini(struct safetensors *file)
{
    memory_give(file->metadata);
    memset(file, 0, sizeof *file);
}

const struct tensor *safetensors_find(const struct safetensors *file, const char *name)
{
    for (uint32_t i = 0; i < file->tensor_count; i++)
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    return NULL;
}

static json_t *tensor_entry(const struct tensor *tensor, size_t offset)
{
    json_t *shape = json_array();
    for (uint32_t i = 0; i < tensor->rank; i++)
        json_array_append_new(shape, json_integer((json_int_t)tensor->shape[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", types[tensor->type].name, "shape", shape, "data_offsets", (json_int_t)offset,
                     (json_int_t)(offset + tensor->bytes));
}

static char *header_text(const char *metadata, const struct tensor *tensors, uint32_t tensor_count, size_t *data_bytes)
{
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "sluice", metadata);
    *data_bytes = 0;
    for (uint32_t i = 0; header && i < tensor_count; i++) {
        json_object_set_new(header, tensors[i].name, tensor_entry(&tensors[i], *data_bytes));
        *data_bytes += tensors[i].bytes;
    }
    return json_text(header, JSON_COMPACT);
}

/* The header is padded with spaces so that the data begins at a multiple of 8. */
static char *assemble(size_t *out_bytes, const char *header, size_t data_bytes, const struct tensor *tensors, uint32_t tensor_count)
{
    size_t text_bytes = strlen(header), header_bytes = (text_bytes + 7) / 8 * 8;
    *out_bytes = SAFETENSORS_LEAD_BYTES + header_bytes + data_bytes;
    char *file = memory_take(*out_bytes), *at = file;
    if (!file)
        return NULL;
    for (int i = 0; i < SAFETENSORS_LEAD_BYTES; i++)
        *at++ = (char)(header_bytes >> 8 * i & 0xff);
    memcpy(at, header, text_bytes);
    memset(at + text_bytes, ' ', header_bytes - text_bytes);
    at += header_bytes;
    for (uint32_t i = 0; i < tensor_count; at += tensors[i].bytes, i++)
        if (tensors[i].bytes)
            memcpy(at, tensors[i].data, tensors[i].bytes);
    return file;
}

enum fault safetensors_write(char **out, size_t *out_bytes, const char *metadata, const struct tensor *tensors, uint32_t tensor_count,
                             struct fault_note *note)
{
    size_t data_bytes;
    char *header = header_text(metadata, tensors, tensor_count, &data_bytes);
    *out = header ? assemble(out_bytes, header, data_bytes, tensors, tensor_count) : NULL;
    json_text_give(header);
    return *out ? FAULT_NONE : fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the file");
}
