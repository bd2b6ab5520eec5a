/* Distinct keys of a call stand in a table by hash; what is kept lies in sets of a few places, of which the oldest gives way. A
 * request whose answer is refused as a whole changes nothing of what is known. */
#include "connect/associated.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/must.h"

enum { ASSOCIATED_MAGIC = 0x4153534f, SET_PLACES = 4, NO_KEY = -1 };

struct kept {         /* followed by its values */
    int64_t until_ns; /* 0: empty */
    uint64_t hash;
    uint8_t key_bytes, state;
    char key[ASSOCIATED_KEY_BYTES_MAX];
};

struct associated {
    unsigned magic;
    struct associated_options options;
    pthread_mutex_t lock;
    size_t kept_bytes; /* of one place */
    uint32_t set_count;
    unsigned char *kept;
    uint64_t seed, requests;
};

/* One call: distinct keys, each with the first row that has it. */
struct asking {
    struct associated *associated;
    const struct text *keys;
    struct associated_answers *out;
    uint32_t *table, table_mask; /* row + 1 of a distinct key by hash */
    uint32_t *same;              /* of each row: the row that stands for it */
    uint32_t *open;              /* rows to be asked for */
    uint32_t open_count, part_first, part_end;
    uint8_t *told; /* within this request */
};

static struct associated_value *values_of(const struct asking *asking, uint32_t row)
{
    return asking->out->values + (size_t)row * asking->associated->options.field_count;
}

static size_t values_bytes(const struct associated *associated)
{
    return associated->options.field_count * sizeof(struct associated_value);
}

static uint64_t key_hash(const struct associated *associated, struct text key)
{
    return hash64(associated->seed, key.data, key.bytes);
}

/* The distinct row with that key, or NO_KEY; *place: where it is or belongs. */
static int64_t key_find(const struct asking *asking, struct text key, uint32_t *place)
{
    uint32_t at = (uint32_t)key_hash(asking->associated, key) & asking->table_mask;
    for (; asking->table[at] != 0; at = (at + 1) & asking->table_mask)
        if (text_equal(asking->keys[asking->table[at] - 1], key))
            return *place = at, (int64_t)asking->table[at] - 1;
    return *place = at, NO_KEY;
}

/* --- what is kept ------------------------------------------------------------------------------------------------------- */

static struct kept *kept_at(const struct associated *associated, uint64_t hash, unsigned place)
{
    size_t set = (size_t)(hash >> 32) % associated->set_count;
    return (struct kept *)(void *)(associated->kept + (set * SET_PLACES + place) * associated->kept_bytes);
}

/* Under the lock. */
static bool kept_find(const struct asking *asking, uint32_t row, int64_t now_ns)
{
    const struct associated *associated = asking->associated;
    struct text key = asking->keys[row];
    uint64_t hash = key_hash(associated, key);
    for (unsigned i = 0; i < SET_PLACES && associated->set_count > 0; i++) {
        const struct kept *kept = kept_at(associated, hash, i);
        if (kept->until_ns <= now_ns || kept->hash != hash || kept->key_bytes != key.bytes || memcmp(kept->key, key.data, key.bytes) != 0)
            continue;
        asking->out->state[row] = kept->state;
        memcpy(values_of(asking, row), kept + 1, values_bytes(associated));
        return true;
    }
    return false;
}

static void kept_put(const struct asking *asking, uint32_t row, int64_t now_ns)
{
    const struct associated *associated = asking->associated;
    struct text key = asking->keys[row];
    uint64_t hash = key_hash(associated, key);
    if (associated->set_count == 0)
        return;
    struct kept *oldest = kept_at(associated, hash, 0);
    for (unsigned i = 0; i < SET_PLACES; i++) {
        struct kept *kept = kept_at(associated, hash, i);
        bool same =
            kept->until_ns != 0 && kept->hash == hash && kept->key_bytes == key.bytes && memcmp(kept->key, key.data, key.bytes) == 0;
        if (same || kept->until_ns < oldest->until_ns)
            oldest = kept;
        if (same)
            break;
    }
    *oldest = (struct kept){.until_ns = now_ns + associated->options.expiry_ms * 1000000,
                            .hash = hash,
                            .key_bytes = (uint8_t)key.bytes,
                            .state = asking->out->state[row]};
    memcpy(oldest->key, key.data, key.bytes);
    memcpy(oldest + 1, values_of(asking, row), values_bytes(associated));
}

/* --- asking ------------------------------------------------------------------------------------------------------------- */

static bool answer_each(void *context, struct text key, const struct associated_value *values)
{
    struct asking *asking = context;
    uint32_t place;
    int64_t row = key_find(asking, key, &place);
    if (row == NO_KEY || asking->told[row] != 1)
        return false;
    asking->told[row] = 2;
    memcpy(values_of(asking, (uint32_t)row), values, values_bytes(asking->associated));
    return true;
}

static char *request_text(const struct asking *asking)
{
    const struct associated_options *options = &asking->associated->options;
    json_t *root = json_object(), *keys = json_array(), *fields = json_array();
    bool good = root && keys && fields;
    for (uint32_t i = asking->part_first; good && i < asking->part_end; i++) {
        struct text key = asking->keys[asking->open[i]];
        good = json_array_append_new(keys, json_stringn(key.data, key.bytes)) == 0;
    }
    for (uint32_t i = 0; good && i < options->field_count; i++)
        good = json_array_append_new(fields, json_string(options->fields[i].name)) == 0;
    good = good && json_object_set(root, "keys", keys) == 0 && json_object_set(root, "fields", fields) == 0;
    json_decref(keys);
    json_decref(fields);
    if (good)
        return json_text(root, JSON_COMPACT);
    json_decref(root);
    return NULL;
}

/* Marks 1: asked for in this part. */
static void part_mark(struct asking *asking)
{
    for (uint32_t i = asking->part_first; i < asking->part_end; i++) {
        asking->told[asking->open[i]] = 1;
        memset(values_of(asking, asking->open[i]), 0, values_bytes(asking->associated));
    }
}

static enum connect_outcome part_read(void *context, const struct connect_answer *answer, struct fault_note *note)
{
    struct asking *asking = context;
    const struct associated_options *options = &asking->associated->options;
    if (associated_answer_read(options, answer->body, answer->body_bytes, answer_each, asking, note) == FAULT_NONE)
        return CONNECT_DONE;
    part_mark(asking);
    return CONNECT_AGAIN;
}

static bool part_call(struct asking *asking, const char *body, struct fault_note *note, int64_t *told_ms)
{
    struct associated *associated = asking->associated;
    struct connect_answer answer;
    char id[48];
    pthread_mutex_lock(&associated->lock);
    snprintf(id, sizeof id, "%016llx-%llu", (unsigned long long)associated->seed, (unsigned long long)++associated->requests);
    pthread_mutex_unlock(&associated->lock);
    part_mark(asking);
    const struct connect_message message = {.subject = "associated",
                                            .id = id,
                                            .content_type = "application/json",
                                            .body = body,
                                            .body_bytes = strlen(body),
                                            .read = part_read,
                                            .context = asking};
    bool answered = connector_call(associated->options.connector, &message, &answer, note) == CONNECT_DONE;
    *told_ms = answer.retry_after_ms;
    connect_answer_give(&answer);
    return answered;
}

/* One request with its further attempts. */
static bool part_ask(struct asking *asking, struct fault_note *note)
{
    const struct associated_options *options = &asking->associated->options;
    char *body = request_text(asking);
    bool answered = false;
    if (!body) {
        fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to ask an associated system");
        part_mark(asking);
        return false;
    }
    for (uint32_t attempt = 1; !answered; attempt++) {
        int64_t told_ms = 0;
        answered = part_call(asking, body, note, &told_ms);
        if (answered || attempt >= options->attempts_max || connector_closed_ms(options->connector) > 0)
            break;
        int64_t wait_ms = connector_wait_ms(options->connector, attempt, told_ms);
        nanosleep(&(struct timespec){.tv_sec = wait_ms / 1000, .tv_nsec = (long)(wait_ms % 1000) * 1000000}, NULL);
    }
    json_text_give(body);
    return answered;
}

static void part_settle(struct asking *asking, bool answered)
{
    struct associated *associated = asking->associated;
    const struct associated_options *options = &associated->options;
    int64_t now_ns = clock_steady_ns();
    pthread_mutex_lock(&associated->lock);
    for (uint32_t i = asking->part_first; i < asking->part_end; i++) {
        uint32_t row = asking->open[i];
        asking->out->state[row] = !answered ? ASSOCIATED_SILENT : asking->told[row] == 2 ? ASSOCIATED_ANSWERED : ASSOCIATED_UNKNOWN;
        asking->told[row] = 0;
        for (uint32_t f = 0; !answered && options->silence == ASSOCIATED_DEFAULTS && f < options->field_count; f++)
            values_of(asking, row)[f] = options->fields[f].fallback;
        if (answered)
            kept_put(asking, row, now_ns);
        else
            asking->out->silent++;
    }
    pthread_mutex_unlock(&associated->lock);
}

/* Distinct keys into the table; those that are not kept are open. */
static enum fault keys_sort(struct asking *asking, uint32_t key_count, struct fault_note *note)
{
    struct associated *associated = asking->associated;
    int64_t now_ns = clock_steady_ns();
    enum fault fault = FAULT_NONE;
    pthread_mutex_lock(&associated->lock);
    for (uint32_t row = 0; row < key_count && fault == FAULT_NONE; row++) {
        uint32_t place;
        asking->same[row] = row;
        asking->out->state[row] = ASSOCIATED_UNKNOWN;
        if (asking->keys[row].bytes == 0)
            continue;
        if (asking->keys[row].bytes > ASSOCIATED_KEY_BYTES_MAX) {
            fault = fault_set(note, FAULT_limit, row, COLUMN_NONE, "a key of %u bytes, at most %d", asking->keys[row].bytes,
                              ASSOCIATED_KEY_BYTES_MAX);
            break;
        }
        int64_t known = key_find(asking, asking->keys[row], &place);
        if (known != NO_KEY) {
            asking->same[row] = (uint32_t)known;
            continue;
        }
        asking->table[place] = row + 1;
        if (kept_find(asking, row, now_ns))
            asking->out->kept++;
        else
            asking->open[asking->open_count++] = row;
    }
    pthread_mutex_unlock(&associated->lock);
    asking->out->asked = asking->open_count;
    return fault;
}

static enum fault asking_init(struct asking *asking, uint32_t key_count, struct arena *arena, struct fault_note *note)
{
    uint32_t places = 16;
    while (places < 2 * (uint64_t)key_count)
        places *= 2;
    struct associated_answers *out = asking->out;
    *out = (struct associated_answers){.state = arena_take(arena, key_count + 1, 16),
                                       .values = arena_take(arena, (key_count + 1) * values_bytes(asking->associated), 16)};
    asking->table = arena_take(arena, places * sizeof *asking->table, 16);
    asking->same = arena_take(arena, (key_count + 1) * sizeof *asking->same, 16);
    asking->open = arena_take(arena, (key_count + 1) * sizeof *asking->open, 16);
    asking->told = arena_take(arena, key_count + 1, 16);
    if (arena_overflowed(arena))
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "no room for what associated systems answer");
    memset(out->values, 0, (key_count + 1) * values_bytes(asking->associated));
    memset(asking->table, 0, places * sizeof *asking->table);
    memset(asking->told, 0, key_count + 1);
    asking->table_mask = places - 1;
    return FAULT_NONE;
}

enum fault associated_ask(struct associated *associated, const struct text *keys, uint32_t key_count, struct arena *arena,
                          struct associated_answers *out, struct fault_note *note)
{
    MUST(associated->magic == ASSOCIATED_MAGIC);
    struct asking asking = {.associated = associated, .keys = keys, .out = out};
    const struct associated_options *options = &associated->options;
    struct fault_note own = {0};
    note = note ? note : &own;
    enum fault fault = asking_init(&asking, key_count, arena, note);
    if (fault == FAULT_NONE)
        fault = keys_sort(&asking, key_count, note);
    for (uint32_t first = 0; fault == FAULT_NONE && first < asking.open_count; first = asking.part_end) {
        asking.part_first = first;
        asking.part_end = asking.open_count - first > options->keys_max ? first + options->keys_max : asking.open_count;
        bool answered = part_ask(&asking, note);
        part_settle(&asking, answered);
        if (!answered && options->silence == ASSOCIATED_REFUSE)
            fault = note->fault = FAULT_unavailable;
    }
    for (uint32_t row = 0; row < key_count && fault == FAULT_NONE; row++) {
        if (asking.same[row] == row)
            continue;
        out->state[row] = out->state[asking.same[row]];
        memcpy(values_of(&asking, row), values_of(&asking, asking.same[row]), values_bytes(associated));
    }
    return fault;
}

/* --- opening ------------------------------------------------------------------------------------------------------------ */

enum fault associated_open(struct associated **out, const struct associated_options *options, struct fault_note *note)
{
    *out = NULL;
    MUST(options->field_count >= 1 && options->field_count <= ASSOCIATED_FIELDS_MAX && options->keys_max >= 1);
    struct associated *associated = memory_take_zeroed(1, sizeof *associated);
    if (!associated)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for an associated system");
    associated->magic = ASSOCIATED_MAGIC;
    associated->options = *options;
    pthread_mutex_init(&associated->lock, NULL);
    associated->seed = (uint64_t)clock_wall_us();
    associated->kept_bytes = (sizeof(struct kept) + values_bytes(associated) + 15) / 16 * 16;
    associated->set_count = (options->cached_max + SET_PLACES - 1) / SET_PLACES;
    if (associated->set_count > 0)
        associated->kept = memory_take_zeroed((size_t)associated->set_count * SET_PLACES, associated->kept_bytes);
    *out = associated;
    if (associated->set_count == 0 || associated->kept)
        return FAULT_NONE;
    associated_close(out);
    return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for what an associated system answers");
}

void associated_close(struct associated **associated_p)
{
    struct associated *associated = *associated_p;
    *associated_p = NULL;
    if (!associated)
        return;
    MUST(associated->magic == ASSOCIATED_MAGIC);
    pthread_mutex_destroy(&associated->lock);
    memory_give(associated->kept);
    associated->magic = 0;
    memory_give(associated);
}
