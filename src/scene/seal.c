/* The digits are looked for in the header's bytes and must be there once: nothing else can be taken for them. */
#include "scene/seal.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/secret.h"
#include "base/json.h"
#include "scene/safetensors.h"

_Static_assert(SEAL_DIGITS == 2 * SECRET_HASH_BYTES, "SHA-256 in digits");

const char seal_blank[SEAL_DIGITS + 1] = "0000000000000000000000000000000000000000000000000000000000000000";

struct seal {
    bool is_there;
    char digits[SEAL_DIGITS + 1];
};

static enum fault seal_read(struct seal *out, const char *metadata, struct fault_note *note)
{
    json_t *root;
    *out = (struct seal){0};
    enum fault fault = json_read(&root, metadata, strlen(metadata), FAULT_model, "metadata", note);
    if (fault != FAULT_NONE)
        return fault;
    const json_t *seal = json_object_get(root, "seal");
    const char *digits = json_string_value(seal);
    out->is_there = seal != NULL;
    bool is_right = !seal || (digits && strlen(digits) == SEAL_DIGITS && strspn(digits, "0123456789abcdef") == SEAL_DIGITS);
    if (is_right && digits)
        memcpy(out->digits, digits, SEAL_DIGITS);
    json_decref(root);
    return is_right ? FAULT_NONE : fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "seal is not %d digits 0 to f", SEAL_DIGITS);
}

/* Where the digits stand in the header of a whole file; 0: not once. */
static size_t seal_find(const struct seal *seal, const char *bytes, size_t byte_count)
{
    uint64_t header_bytes = safetensors_header_bytes(bytes, byte_count);
    const char *at = bytes + SAFETENSORS_LEAD_BYTES, *end = at + header_bytes;
    size_t found = 0;
    for (; end - at >= SEAL_DIGITS && (at = memchr(at, seal->digits[0], (size_t)(end - at) - SEAL_DIGITS + 1)) != NULL; at++) {
        if (memcmp(at, seal->digits, SEAL_DIGITS) != 0)
            continue;
        if (found)
            return 0;
        found = (size_t)(at - bytes);
    }
    return found;
}

static enum fault seal_of(char out[SEAL_DIGITS + 1], size_t *out_at, const void *bytes, size_t byte_count, const char *metadata,
                          struct fault_note *note)
{
    struct seal seal;
    unsigned char hash[SECRET_HASH_BYTES];
    const char *file = bytes;
    enum fault fault = seal_read(&seal, metadata, note);
    if (fault != FAULT_NONE)
        return fault;
    if (!seal.is_there)
        return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "no seal in the metadata: `sluice inspect --seal` puts one in");
    size_t at = seal_find(&seal, file, byte_count);
    if (at == 0)
        return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "the digits of the seal are not in the header exactly once");
    const struct secret_part parts[] = {{file, at}, {seal_blank, SEAL_DIGITS}, {file + at + SEAL_DIGITS, byte_count - at - SEAL_DIGITS}};
    secret_hash_parts(hash, parts, sizeof parts / sizeof *parts);
    secret_to_hex(out, hash, sizeof hash);
    *out_at = at;
    return FAULT_NONE;
}

enum fault seal_check(const void *bytes, size_t byte_count, const char *metadata, struct fault_note *note)
{
    char digits[SEAL_DIGITS + 1];
    size_t at;
    enum fault fault = seal_of(digits, &at, bytes, byte_count, metadata, note);
    if (fault == FAULT_NONE && memcmp((const char *)bytes + at, digits, SEAL_DIGITS) != 0)
        fault = fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "checksum does not match: the file is damaged or was changed");
    return fault;
}

enum fault seal_put(void *bytes, size_t byte_count, const char *metadata, struct fault_note *note)
{
    char digits[SEAL_DIGITS + 1];
    size_t at;
    enum fault fault = seal_of(digits, &at, bytes, byte_count, metadata, note);
    if (fault == FAULT_NONE)
        memcpy((char *)bytes + at, digits, SEAL_DIGITS);
    return fault;
}

/* The text with a blank seal as its first key; NULL: memory. A text that is no object stays none. */
static char *text_with_seal(const char *metadata)
{
    static const char key[] = "{\"seal\": \"%s\", ";
    size_t lead = strspn(metadata, " \t\r\n{"), bytes = strlen(metadata) + sizeof key + SEAL_DIGITS;
    char *text = memory_take(bytes);
    int used = text ? snprintf(text, bytes, key, seal_blank) : 0;
    if (text)
        snprintf(text + used, bytes - (size_t)used, "%s", metadata + lead);
    return text;
}

static enum fault file_with_seal(char **out, size_t *out_bytes, const struct safetensors *file, struct fault_note *note)
{
    char *text = text_with_seal(file->metadata);
    enum fault fault = text ? safetensors_write(out, out_bytes, text, file->tensors, file->tensor_count, note)
                            : fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the metadata");
    if (fault == FAULT_NONE)
        fault = seal_put(*out, *out_bytes, text, note);
    memory_give(text);
    return fault;
}

static enum fault copy_with_seal(char **out, size_t *out_bytes, const struct safetensors *file, const void *bytes, size_t byte_count,
                                 struct fault_note *note)
{
    *out = memory_take(byte_count);
    *out_bytes = byte_count;
    if (!*out)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the file");
    return seal_put(memcpy(*out, bytes, byte_count), byte_count, file->metadata, note);
}

enum fault seal_add(char **out, size_t *out_bytes, const void *bytes, size_t byte_count, struct fault_note *note)
{
    struct safetensors file;
    struct seal seal;
    *out = NULL;
    enum fault fault = safetensors_read(&file, bytes, byte_count, note);
    if (fault != FAULT_NONE)
        return fault;
    fault = file.metadata ? seal_read(&seal, file.metadata, note)
                          : fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "no metadata under the key sluice: not a scene base");
    if (fault == FAULT_NONE)
        fault =
            seal.is_there ? copy_with_seal(out, out_bytes, &file, bytes, byte_count, note) : file_with_seal(out, out_bytes, &file, note);
    if (fault != FAULT_NONE) {
        memory_give(*out);
        *out = NULL;
    }
    safetensors_fini(&file);
    return fault;
}
