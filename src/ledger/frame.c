/* What encode and decode of a frame share: its checksum and the list of arrays that it keeps. */
#include "ledger/frame.h"

#include <stddef.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"

uint64_t frame_checksum(const void *bytes, size_t byte_count)
{
    uint64_t seed = hash64(FRAME_MAGIC, bytes, offsetof(struct frame_header, checksum));
    return hash64(seed, (const char *)bytes + sizeof(struct frame_header), byte_count - sizeof(struct frame_header));
}

bool frame_is_whole(const void *bytes, size_t byte_count)
{
    struct frame_header header;
    if (byte_count < sizeof header)
        return false;
    memcpy(&header, bytes, sizeof header);
    size_t left = byte_count - sizeof header;
    if (header.magic != FRAME_MAGIC || header.version == 0 || header.version > FRAME_VERSION || header.body_bytes > left)
        return false;
    if (left - header.body_bytes != (uint64_t)header.filter_blocks * FRAME_ALIGN)
        return false;
    return frame_checksum(bytes, byte_count) == header.checksum;
}

#define NO_KEYS \
    { \
        COLUMN_COUNT, COLUMN_COUNT \
    }
#define FACT(name, width, gains, column) \
    { \
#name, offsetof(struct batch_facts, name), width, gains, column, NO_KEYS \
    }
#define KEYS(name, width, of_transfers, of_observations) \
    { \
#name, offsetof(struct batch_facts, name), width, width == 4, COLUMN_COUNT, \
        { \
            COLUMN_##of_transfers, of_observations \
        } \
    }
const struct frame_field frame_fact_fields[] = {
    KEYS(payer, 8, payer_id, COLUMN_account_id),
    KEYS(payee, 8, payee_id, COLUMN_contact_id),
    KEYS(payer_device, 8, payer_device, COLUMN_device_id),
    KEYS(payee_device, 8, payee_device, COLUMN_COUNT),
    KEYS(payer_address, 8, payer_address, COLUMN_address),
    KEYS(payee_address, 8, payee_address, COLUMN_COUNT),
    KEYS(payer_network, 4, payer_network, COLUMN_network),
    KEYS(payee_network, 4, payee_network, COLUMN_COUNT),
    FACT(amount, 8, true, COLUMN_amount),
    FACT(time_us, 8, true, COLUMN_time),
    FACT(invalid, 1, true, COLUMN_COUNT),
    FACT(label, 1, true, COLUMN_COUNT),
    KEYS(transfer, 8, transfer_id, COLUMN_COUNT),
    FACT(flags, 1, true, COLUMN_COUNT),
};
const unsigned frame_fact_field_count = sizeof frame_fact_fields / sizeof *frame_fact_fields;

#define RESULT(name, width, gains) \
    { \
#name, offsetof(struct results, name), width, gains, COLUMN_COUNT, NO_KEYS \
    }
const struct frame_field frame_result_fields[] = {
    RESULT(verdict, 1, true),       RESULT(level, 1, true),        RESULT(cause, 1, true),          RESULT(scene, 1, true),
    RESULT(runner_up, 1, true),     RESULT(risk_type, 1, true),    RESULT(countermeasure, 1, true), RESULT(match, 4, false),
    RESULT(runner_match, 4, false), RESULT(risk, 4, false),        RESULT(anomaly_own, 4, false),   RESULT(anomaly_linked, 4, false),
    RESULT(distance[0], 4, false),  RESULT(distance[1], 4, false), RESULT(distance[2], 4, false),   RESULT(distance[3], 4, false),
    RESULT(would, 1, true),         RESULT(rule, 1, true),
};
const unsigned frame_result_field_count = sizeof frame_result_fields / sizeof *frame_result_fields;
_Static_assert(DIMENSION_COUNT == 4, "a frame keeps the distance of every dimension");

void *frame_field_get(const void *fields, const struct frame_field *field)
{
    void *array;
    memcpy(&array, (const char *)fields + field->offset, sizeof array);
    return array;
}

void frame_field_set(void *fields, const struct frame_field *field, void *array)
{
    memcpy((char *)fields + field->offset, &array, sizeof array);
}

void frame_give(struct frame **frame_p)
{
    struct frame *frame = *frame_p;
    MUST(!frame || frame->magic == (unsigned)FRAME_HELD_MAGIC);
    memory_give(frame);
    *frame_p = NULL;
}

size_t frame_bytes(const struct frame *frame)
{
    MUST(frame->magic == (unsigned)FRAME_HELD_MAGIC);
    return frame->bytes;
}
