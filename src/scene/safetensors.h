#ifndef SLUICE_SCENE_SAFETENSORS_H
#define SLUICE_SCENE_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

/* The container of a scene base: 8 bytes of header size (little-endian), a JSON header, then the tensors' bytes.
 * https://github.com/huggingface/safetensors. Bytes are hostile until safetensors_read has passed them. */

enum tensor_type { TENSOR_F32, TENSOR_F64, TENSOR_I32, TENSOR_U32, TENSOR_U8, TENSOR_TYPE_COUNT };
enum { TENSORS_MAX = 64, TENSOR_RANK_MAX = 2, SAFETENSORS_LEAD_BYTES = 8, SAFETENSORS_HEADER_BYTES_MAX = 1 << 20 };

struct tensor {
    char name[64];
    enum tensor_type type;
    uint32_t rank;
    uint64_t shape[TENSOR_RANK_MAX]; /* unused ones are 1 */
    const unsigned char *data;       /* borrowed from the bytes read; unaligned */
    size_t bytes;
};

struct safetensors {
    char *metadata; /* owned: the text under `__metadata__`'s key `sluice`; NULL: none */
    uint32_t tensor_count;
    struct tensor tensors[TENSORS_MAX];
};

/* Views into bytes. FAULT_model: header too long, too deep or no JSON, unknown type, shape and size that differ, holes,
 * overlaps, bytes left over. */
enum fault safetensors_read(struct safetensors *out, const void *bytes, size_t byte_count, struct fault_note *note);
void safetensors_fini(struct safetensors *file);                         /* safe on zeroed memory */
uint64_t safetensors_header_bytes(const void *bytes, size_t byte_count); /* what a file says; 0: it is too short to say it */
const struct tensor *safetensors_find(const struct safetensors *file, const char *name); /* NULL: none */
size_t tensor_type_bytes(enum tensor_type type);
const char *tensor_type_name(enum tensor_type type);

/* The file of these tensors in their order, from memory_take. metadata is put under `__metadata__`'s key `sluice`. */
enum fault safetensors_write(char **out, size_t *out_bytes, const char *metadata, const struct tensor *tensors, uint32_t tensor_count,
                             struct fault_note *note);

#endif
