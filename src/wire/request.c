/* The envelope: one map with text keys, each known (envelope.tbl) and there once. Everything stays borrowed. */
#include "wire/wire.h"

#include "wire/lead.h"

enum field {
#define FIELD(name, kind, text) FIELD_##name,
#include "wire/envelope.tbl"
#undef FIELD
    FIELD_COUNT
};

enum field_kind { KIND_INT, KIND_TEXT, KIND_BODY, KIND_BYTES };
enum { SIGNATURE_DIGITS = 193, PATH_BYTES_MAX = 255 };

static const struct {
    const char *name;
    enum field_kind kind;
} fields[FIELD_COUNT] = {
#define FIELD(name, kind, text) [FIELD_##name] = {#name, KIND_##kind},
#include "wire/envelope.tbl"
#undef FIELD
};

struct envelope {
    struct wire_value values[FIELD_COUNT];
    bool has[FIELD_COUNT];
    const struct batch_limits *limits;
    struct fault_note *note;
};

#define REFUSE(fault, ...) fault_set(envelope->note, fault, ROW_NONE, COLUMN_NONE, __VA_ARGS__)

static enum field field_find(struct text name)
{
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        if (text_equal(name, text_of(fields[i].name)))
            return (enum field)i;
    return FIELD_COUNT;
}

static uint32_t text_bytes_max(enum field field, const struct batch_limits *limits)
{
    if (field == FIELD_token || field == FIELD_cursor)
        return limits->text_bytes_max;
    if (field == FIELD_connector)
        return 160; /* processor. and a tenant's name */
    return field == FIELD_signature ? SIGNATURE_DIGITS : field == FIELD_path ? PATH_BYTES_MAX : limits->id_bytes_max;
}

static enum fault check_text(struct envelope *envelope, enum field field)
{
    const struct wire_value *value = &envelope->values[field];
    uint32_t bytes_max = text_bytes_max(field, envelope->limits);
    if (value->type != WIRE_STR)
        return REFUSE(FAULT_schema, "field %s must be text, is %s", fields[field].name, wire_type_name(value->type));
    if (value->text.bytes > bytes_max)
        return REFUSE(FAULT_limit, "field %s has %u bytes, at most %u are taken", fields[field].name, value->text.bytes, bytes_max);
    if (!text_is_id(value->text))
        return REFUSE(FAULT_schema, "field %s must be UTF-8 without control characters", fields[field].name);
    return FAULT_NONE;
}

static enum fault check_value(struct envelope *envelope, enum field field)
{
    enum wire_type type = envelope->values[field].type, wanted = field == FIELD_columns || field == FIELD_fields ? WIRE_MAP : WIRE_ARRAY;
    if (fields[field].kind == KIND_TEXT)
        return check_text(envelope, field);
    if (fields[field].kind == KIND_BODY && type != wanted)
        return REFUSE(FAULT_schema, "field %s must be %s, is %s", fields[field].name, wire_type_name(wanted), wire_type_name(type));
    if (fields[field].kind == KIND_BYTES && type != WIRE_BIN)
        return REFUSE(FAULT_schema, "field %s must be bytes, is %s", fields[field].name, wire_type_name(type));
    if (fields[field].kind == KIND_INT && type != WIRE_INT)
        return REFUSE(FAULT_schema, "field %s must be an integer, is %s", fields[field].name, wire_type_name(type));
    if (fields[field].kind == KIND_INT && envelope->values[field].integer < 0)
        return REFUSE(FAULT_schema, "field %s must not be negative", fields[field].name);
    return FAULT_NONE;
}

/* One pair of the envelope; nil is as good as absent. */
static enum fault read_pair(struct envelope *envelope, const unsigned char **at, const unsigned char *end)
{
    struct wire_value key, value;
    if (!wire_next(&key, at, end) || !wire_next(&value, at, end))
        return REFUSE(FAULT_syntax, "the envelope ends early");
    if (key.type != WIRE_STR)
        return REFUSE(FAULT_schema, "a key of the envelope must be text, is %s", wire_type_name(key.type));
    enum field field = field_find(key.text);
    if (field == FIELD_COUNT)
        return REFUSE(FAULT_schema, "unknown field %.*s", (int)(key.text.bytes < 64 ? key.text.bytes : 64), key.text.data);
    if (envelope->has[field])
        return REFUSE(FAULT_schema, "field %s is there twice", fields[field].name);
    if (value.type == WIRE_NIL)
        return FAULT_NONE;
    envelope->has[field] = true;
    envelope->values[field] = value;
    return FAULT_NONE;
}

static enum fault read_pairs(struct envelope *envelope, const void *bytes, size_t byte_count)
{
    struct wire_value map;
    const unsigned char *at = bytes, *end = at + byte_count;
    if (!value_begin(&map, at, end) || map.type != WIRE_MAP)
        return REFUSE(FAULT_schema, "a request is one map");
    enum fault fault = FAULT_NONE;
    at = map.inside;
    for (uint32_t i = 0; i < map.count && fault == FAULT_NONE; i++)
        fault = read_pair(envelope, &at, end);
    return fault;
}

static enum fault check_values(struct envelope *envelope)
{
    enum fault fault = FAULT_NONE;
    for (unsigned i = 0; i < FIELD_COUNT && fault == FAULT_NONE; i++)
        if (envelope->has[i])
            fault = check_value(envelope, (enum field)i);
    return fault;
}

static int64_t integer_of(const struct envelope *envelope, enum field field)
{
    return envelope->values[field].integer; /* 0 when absent */
}

static bool field_is(const struct envelope *envelope, enum field field, const char *text)
{
    return envelope->has[field] && text_equal(envelope->values[field].text, text_of(text));
}

static enum fault read_op(struct request *out, struct envelope *envelope)
{
    struct text op = envelope->values[FIELD_op].text, kind = envelope->values[FIELD_kind].text;
    if (!envelope->has[FIELD_v] || envelope->values[FIELD_v].integer != 1)
        return REFUSE(FAULT_schema, "field v must be 1, the version of the protocol");
    if (!envelope->has[FIELD_op])
        return REFUSE(FAULT_schema, "field op is missing");
    out->version = 1;
    out->op = op_find(op);
    if (out->op == OP_COUNT)
        return REFUSE(FAULT_schema, "unknown op %.*s", (int)op.bytes, op.data);
    if (envelope->has[FIELD_kind] != (out->op == OP_observe))
        return REFUSE(FAULT_schema, "field kind belongs to observe, which needs it");
    if (out->op != OP_observe)
        return FAULT_NONE;
    for (unsigned i = OBSERVE_NONE + 1; i < OBSERVE_COUNT; i++)
        if (text_equal(kind, text_of(observe_names[i])))
            return out->observe_kind = (enum observe_kind)i, FAULT_NONE;
    return REFUSE(FAULT_schema, "unknown kind %.*s", (int)kind.bytes, kind.data);
}

static enum fault read_names(struct request *out, struct envelope *envelope)
{
    if (op_changes_state(out->op) && out->id.bytes == 0)
        return REFUSE(FAULT_schema, "field id is missing: it names the request");
    if (out->batch.bytes == 0 && op_lives(out->op))
        return REFUSE(FAULT_schema, "field batch is missing: it names the batch");
    if (out->batch.bytes == 0)
        out->batch = out->id;
    if ((out->op == OP_status || out->op == OP_result) && out->batch.bytes == 0)
        return REFUSE(FAULT_schema, "field batch is missing: it names the batch");
    if (out->op == OP_consolidate && out->fields.bytes == 0)
        return REFUSE(FAULT_schema, "field fields is missing: the merged fields");
    if (out->op == OP_report && !field_is(envelope, FIELD_state, "executed") && !field_is(envelope, FIELD_state, "failed"))
        return REFUSE(FAULT_schema, "report needs field state: executed or failed");
    if (out->op == OP_explain && out->transfer.bytes == 0)
        return REFUSE(FAULT_schema, "field transfer is missing: it names the transfer");
    if (out->op == OP_base_put && (out->base.digest.bytes > 0) == (out->base.path.bytes > 0))
        return REFUSE(FAULT_schema, "base.put needs either digest, bytes, offset and data, or path");
    if (out->op == OP_base_activate && out->base.base.bytes == 0)
        return REFUSE(FAULT_schema, "field base is missing: a name or a digest");
    if (out->deadline_ms > DEADLINE_MS_MAX)
        return REFUSE(FAULT_limit, "deadline_ms is %lld, at most %d is taken", (long long)out->deadline_ms, DEADLINE_MS_MAX);
    if (envelope->has[FIELD_form] && !field_is(envelope, FIELD_form, "rows") && !field_is(envelope, FIELD_form, "columns"))
        return REFUSE(FAULT_schema, "field form must be columns or rows");
    if (out->product.bytes && (!op_carries_rows(out->op) || !column_taken_by(COLUMN_product_code, out->op)))
        return REFUSE(FAULT_schema, "field product belongs to a batch of transfers");
    for (unsigned i = 0; i < LANGUAGE_COUNT; i++)
        if (field_is(envelope, FIELD_language, language_names[i]))
            out->language = (uint8_t)(i + 1);
    if (envelope->has[FIELD_language] && !out->language)
        return REFUSE(FAULT_schema, "field language must be en or zh");
    out->in_rows = envelope->has[FIELD_transfers];
    out->reply_in_rows = envelope->has[FIELD_form] ? field_is(envelope, FIELD_form, "rows") : out->in_rows;
    if (!op_carries_rows(out->op))
        out->in_rows = out->reply_in_rows;
    return FAULT_NONE;
}

/* Dictionary values of all columns together: what decode takes the arena for. */
static size_t count_dict_values(const struct wire_value *columns)
{
    size_t count = 0;
    struct wire_value name, column, values;
    const unsigned char *at = columns->inside;
    for (uint32_t i = 0; i < columns->count && wire_next(&name, &at, columns->end) && wire_next(&column, &at, columns->end); i++)
        if (wire_find(&values, &column, "values") && values.type == WIRE_ARRAY)
            count += values.count;
    return count;
}

static enum fault read_body(struct request *out, struct envelope *envelope)
{
    const struct batch_limits *limits = envelope->limits;
    bool has_columns = envelope->has[FIELD_columns], has_rows = envelope->has[FIELD_transfers];
    if (!op_carries_rows(out->op) && (has_columns || has_rows || envelope->has[FIELD_rows]))
        return REFUSE(FAULT_schema, "%s takes no rows", op_names[out->op]);
    if (!op_carries_rows(out->op))
        return FAULT_NONE;
    if (has_columns == has_rows)
        return REFUSE(FAULT_schema, "%s needs either columns or transfers", op_names[out->op]);
    const struct wire_value *body = &envelope->values[has_rows ? FIELD_transfers : FIELD_columns];
    int64_t rows = has_rows ? body->count : integer_of(envelope, FIELD_rows);
    out->body = body->at;
    out->body_bytes = (size_t)(body->end - body->at);
    if (has_rows && envelope->has[FIELD_rows] && integer_of(envelope, FIELD_rows) != rows)
        return REFUSE(FAULT_schema, "rows is %lld, but there are %lld transfers", (long long)integer_of(envelope, FIELD_rows),
                      (long long)rows);
    if (has_columns && !envelope->has[FIELD_rows])
        return REFUSE(FAULT_schema, "field rows is missing: the number of rows of the columns");
    if (rows == 0)
        return REFUSE(FAULT_schema, "a batch needs at least one row");
    if (rows > limits->rows_max)
        return REFUSE(FAULT_limit, "a batch of %lld rows, at most %u are taken", (long long)rows, limits->rows_max);
    if ((uint64_t)rows > out->body_bytes) /* a row costs at least a byte */
        return REFUSE(FAULT_schema, "rows is %lld, but the columns have %zu bytes", (long long)rows, out->body_bytes);
    if (out->body_bytes > UINT32_MAX)
        return REFUSE(FAULT_limit, "a batch of %zu bytes, at most 4 GiB are taken", out->body_bytes);
    out->row_count = (uint32_t)rows;
    size_t dict_values = has_rows ? 0 : count_dict_values(body);
    out->arena_bytes =
        batch_work_bytes(limits, out->row_count) + batch_decode_bytes(limits, out->row_count, out->body_bytes, dict_values, has_rows);
    return FAULT_NONE;
}

static struct text bytes_of(const struct envelope *envelope, enum field field)
{
    const struct wire_value *value = &envelope->values[field];
    return envelope->has[field] ? (struct text){.data = (const char *)value->at, .bytes = (uint32_t)(value->end - value->at)}
                                : (struct text){0};
}

/* Before anything else is judged, so that a fault reply can name the request. */
static void take_id(struct request *out, struct envelope envelope)
{
    envelope.note = NULL;
    if (envelope.has[FIELD_id] && check_text(&envelope, FIELD_id) == FAULT_NONE)
        out->id = envelope.values[FIELD_id].text;
}

static void take_fields(struct request *out, const struct envelope *envelope)
{
    struct text *const texts[FIELD_COUNT] = {
        [FIELD_tenant] = &out->tenant,
        [FIELD_token] = &out->token,
        [FIELD_id] = &out->id,
        [FIELD_batch] = &out->batch,
        [FIELD_transfer] = &out->transfer,
        [FIELD_account] = &out->account,
        [FIELD_scene] = &out->scene,
        [FIELD_verdict] = &out->verdict,
        [FIELD_cursor] = &out->cursor,
        [FIELD_list] = &out->list,
        [FIELD_product] = &out->product,
        [FIELD_connector] = &out->connector,
        [FIELD_state] = &out->state,
        [FIELD_why] = &out->why,
        [FIELD_entry] = &out->entry,
        [FIELD_best_scene] = &out->best_scene,
        [FIELD_level] = &out->level,
        [FIELD_base] = &out->base.base,
        [FIELD_digest] = &out->base.digest,
        [FIELD_signature] = &out->base.signature,
        [FIELD_path] = &out->base.path,
        [FIELD_data] = &out->base.data,
        [FIELD_golden] = &out->base.golden,
    };
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        if (texts[i])
            *texts[i] = envelope->values[i].text;
    out->part = bytes_of(envelope, FIELD_part);
    out->fields = bytes_of(envelope, FIELD_fields);
    out->deadline_ms = integer_of(envelope, FIELD_deadline_ms);
    out->from_us = integer_of(envelope, FIELD_from_us);
    out->to_us = integer_of(envelope, FIELD_to_us);
    out->rows_max = integer_of(envelope, FIELD_rows_max);
    out->base.bytes = integer_of(envelope, FIELD_bytes);
    out->base.offset = integer_of(envelope, FIELD_offset);
}

enum fault wire_request_read(struct request *out, const void *bytes, size_t byte_count, const struct batch_limits *limits,
                             struct fault_note *note)
{
    struct envelope envelope = {.limits = limits, .note = note};
    *out = (struct request){0};
    enum fault fault = read_pairs(&envelope, bytes, byte_count);
    take_id(out, envelope);
    if (fault != FAULT_NONE || (fault = check_values(&envelope)) != FAULT_NONE)
        return fault;
    take_fields(out, &envelope);
    if ((fault = read_op(out, &envelope)) == FAULT_NONE && (fault = read_names(out, &envelope)) == FAULT_NONE)
        fault = read_body(out, &envelope);
    return fault;
}

enum { PEEK_VALUES_MAX = 4096 };

/* Behind the value at `at` with all that is inside; NULL: it reaches beyond end, or is more than is looked at. */
static const unsigned char *peek_skip(const unsigned char *at, const unsigned char *end, uint32_t *left)
{
    for (uint64_t waiting = 1; waiting > 0; (*left)--) {
        struct lead lead;
        if (*left == 0 || at == end || !lead_read(&lead, at, end) || lead.bytes > (size_t)(end - at))
            return NULL;
        at += lead.bytes;
        waiting += lead.items - 1;
    }
    return at;
}

struct text wire_peek_id(const void *bytes, size_t byte_count, const struct batch_limits *limits)
{
    const unsigned char *at = bytes, *end = at + byte_count;
    struct wire_value map, key, value;
    uint32_t left = PEEK_VALUES_MAX;
    if (!value_begin(&map, at, end) || map.type != WIRE_MAP)
        return (struct text){0};
    at = map.inside;
    for (uint32_t i = 0; i < map.count; i++) {
        if (!value_begin(&key, at, end) || !(at = peek_skip(at, end, &left)) || !value_begin(&value, at, end))
            break;
        if (key.type == WIRE_STR && text_equal(key.text, text_of("id"))) {
            bool is_id = value.type == WIRE_STR && value.text.bytes <= limits->id_bytes_max && text_is_id(value.text);
            return is_id ? value.text : (struct text){0};
        }
        if (!(at = peek_skip(at, end, &left)))
            break;
    }
    return (struct text){0};
}
