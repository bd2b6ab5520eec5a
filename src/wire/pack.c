/* A buffer that grows by doubling. After a failure it stays failed and takes nothing more. */
#include "wire/pack.h"

#include <msgpack.h>
#include <string.h>

#include "base/memory.h"

enum { FIRST_BYTES = 512 };

void wire_buffer_fini(struct wire_buffer *buffer)
{
    memory_give(buffer->data);
    *buffer = (struct wire_buffer){0};
}

void pack_reserve(struct wire_buffer *out, size_t bytes)
{
    if (out->failed || bytes <= out->capacity - out->bytes)
        return;
    size_t capacity = out->capacity ? 2 * out->capacity : FIRST_BYTES;
    if (capacity < out->bytes + bytes)
        capacity = out->bytes + bytes;
    char *data = memory_resize(out->data, capacity);
    if (!data) {
        out->failed = true;
        return;
    }
    out->data = data;
    out->capacity = capacity;
}

void pack_bytes(struct wire_buffer *out, const void *bytes, size_t byte_count)
{
    pack_reserve(out, byte_count);
    if (out->failed || byte_count == 0)
        return;
    memcpy(out->data + out->bytes, bytes, byte_count);
    out->bytes += byte_count;
}

static int append(void *context, const char *bytes, size_t byte_count)
{
    struct wire_buffer *out = context;
    pack_bytes(out, bytes, byte_count);
    return out->failed ? -1 : 0;
}

static msgpack_packer packer_of(struct wire_buffer *out)
{
    return (msgpack_packer){.data = out, .callback = append};
}

void wire_pack_map(struct wire_buffer *out, uint32_t pairs)
{
    msgpack_packer packer = packer_of(out);
    msgpack_pack_map(&packer, pairs);
}

void wire_pack_array(struct wire_buffer *out, uint32_t count)
{
    msgpack_packer packer = packer_of(out);
    msgpack_pack_array(&packer, count);
}

void wire_pack_text(struct wire_buffer *out, const char *text)
{
    wire_pack_str(out, text_of(text));
}

void wire_pack_str(struct wire_buffer *out, struct text text)
{
    msgpack_packer packer = packer_of(out);
    msgpack_pack_str(&packer, text.bytes);
    pack_bytes(out, text.data, text.bytes);
}

void wire_pack_i64(struct wire_buffer *out, int64_t value)
{
    msgpack_packer packer = packer_of(out);
    msgpack_pack_int64(&packer, value);
}

void wire_pack_f64(struct wire_buffer *out, double value)
{
    msgpack_packer packer = packer_of(out);
    msgpack_pack_double(&packer, value);
}

void wire_pack_bool(struct wire_buffer *out, bool value)
{
    msgpack_packer packer = packer_of(out);
    value ? msgpack_pack_true(&packer) : msgpack_pack_false(&packer);
}

void wire_pack_nil(struct wire_buffer *out)
{
    msgpack_packer packer = packer_of(out);
    msgpack_pack_nil(&packer);
}

void pack_bin_head(struct wire_buffer *out, size_t byte_count)
{
    msgpack_packer packer = packer_of(out);
    msgpack_pack_bin(&packer, byte_count);
}

void wire_pack_bin(struct wire_buffer *out, const void *bytes, size_t byte_count)
{
    pack_bin_head(out, byte_count);
    pack_bytes(out, bytes, byte_count);
}

void pack_key_text(struct wire_buffer *out, const char *key, const char *text)
{
    wire_pack_text(out, key);
    wire_pack_text(out, text ? text : "");
}

void pack_key_str(struct wire_buffer *out, const char *key, struct text text)
{
    wire_pack_text(out, key);
    wire_pack_str(out, text);
}

void pack_key_i64(struct wire_buffer *out, const char *key, int64_t value)
{
    wire_pack_text(out, key);
    wire_pack_i64(out, value);
}

void pack_key_f32(struct wire_buffer *out, const char *key, float value)
{
    msgpack_packer packer = packer_of(out);
    wire_pack_text(out, key);
    msgpack_pack_float(&packer, value);
}

void pack_key_bin(struct wire_buffer *out, const char *key, const void *bytes, size_t byte_count)
{
    wire_pack_text(out, key);
    wire_pack_bin(out, bytes, byte_count);
}

void pack_clean(struct wire_buffer *out, struct text text)
{
    wire_pack_str(out, text);
    if (text_is_utf8(text) || out->failed)
        return;
    for (char *at = out->data + out->bytes - text.bytes; at < out->data + out->bytes; at++)
        if ((unsigned char)*at >= 0x80)
            *at = '?';
}

void pack_names(struct wire_buffer *out, const char *key, const char *const *names, uint32_t count)
{
    wire_pack_text(out, key);
    wire_pack_array(out, count);
    for (uint32_t i = 0; i < count; i++)
        wire_pack_text(out, names[i]);
}

enum fault pack_done(const struct wire_buffer *out, struct fault_note *note)
{
    return out->failed ? fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the message") : FAULT_NONE;
}

/* --- countermeasures --------------------------------------------------------------------------------------------------- */

enum { MEASURE_CUT = 0x1f, PART_NAME = 0, PART_TEXT = 1, PART_CORRECT = PART_TEXT + LANGUAGE_COUNT, PART_CONFIRM };

static struct text measure_part(const char *measure, unsigned part)
{
    const char *end = strchr(measure, MEASURE_CUT);
    for (; part > 0 && end; part--) {
        measure = end + 1;
        end = strchr(measure, MEASURE_CUT);
    }
    if (part > 0)
        return text_of("");
    return end ? (struct text){.data = measure, .bytes = (uint32_t)(end - measure)} : text_of(measure);
}

struct text measure_name(const char *measure)
{
    return measure_part(measure, PART_NAME);
}

/* Where there is none in that language, the English one. */
struct text measure_text(const char *measure, enum language language)
{
    struct text text = measure_part(measure, PART_TEXT + (unsigned)language);
    return text.bytes ? text : measure_part(measure, PART_TEXT);
}

void pack_measure_hints(struct wire_buffer *out, const char *measure)
{
    struct text columns = measure_part(measure, PART_CORRECT);
    uint32_t count = columns.bytes != 0;
    for (uint32_t i = 0; i < columns.bytes; i++)
        count += columns.data[i] == ',';
    wire_pack_text(out, "correct");
    wire_pack_array(out, count);
    for (const char *at = columns.data, *end = columns.data + columns.bytes; count > 0; count--) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end;
        pack_clean(out, (struct text){.data = at, .bytes = (uint32_t)(stop - at)});
        at = comma ? comma + 1 : end;
    }
    pack_key_str(out, "confirm", measure_part(measure, PART_CONFIRM));
}
