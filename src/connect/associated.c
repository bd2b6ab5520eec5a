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
    const struct associated_plan *plan;
    uint64_t seed; /* of this plan: what others ask for is kept apart */
    int64_t until_ns;
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
    return asking->out->values + (size_t)row * asking->plan->field_count;
}

static size_t values_bytes(const struct asking *asking)
{
    return asking->plan->field_count * sizeof(struct associated_value);
}

static uint64_t key_hash(const struct asking *asking, struct text key)
{
    return hash64(asking->seed, key.data, key.bytes);
}

/* The distinct row with that key, or NO_KEY; *place: where it is or belongs. */
static int64_t key_find(const struct asking *asking, struct text key, uint32_t *place)
{
    uint32_t at = (uint32_t)key_hash(asking, key) & asking->table_mask;
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
    uint64_t hash = key_hash(asking, key);
    for (unsigned i = 0; i < SET_PLACES && associated->set_count > 0; i++) {
        const struct kept *kept = kept_at(associated, hash, i);
        if (kept->until_ns <= now_ns || kept->hash != hash || kept->key_bytes != key.bytes || memcmp(kept->key, key.data, key.bytes) != 0)
            continue;
        asking->out->state[row] = kept->state;
        memcpy(values_of(asking, row), kept + 1, values_bytes(asking));
        return true;
    }
    return false;
}

static void kept_put(const struct asking *asking, uint32_t row, int64_t now_ns)
{
    const struct associated *associated = asking->associated;
    struct text key = asking->keys[row];
    uint64_t hash = key_hash(asking, key);
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
    memcpy(oldest + 1, values_of(asking, row), values_bytes(asking));
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
    memcpy(values_of(asking, (uint32_t)row), values, values_bytes(asking));
    return true;
}

/* Takes over keys. */
static char *request_text(const struct associated_plan *plan, json_t *keys)
{
    json_t *root = json_object(), *fields = json_array();
    bool good = root && keys && fields;
    for (uint32_t i = 0; good && i < plan->field_count; i++)
        good = json_array_append_new(fields, json_string(plan->fields[i].name)) == 0;
    good = good && json_object_set(root, "keys", keys) == 0 && json_object_set(root, "fields", fields) == 0;
    json_decref(keys);
    json_decref(fields);
    if (good)
        return json_text(root, JSON_COMPACT);
    json_decref(root);
    return NULL;
}

static json_t *key_add(json_t *keys, struct text key)
{
    if (json_array_append_new(keys, json_stringn(key.data, key.bytes)) == 0)
        return keys;
    json_decref(keys);
    return NULL;
}

static char *part_text(const struct asking *asking)
{
    json_t *list = json_array();
    for (uint32_t i = asking->part_first; list && i < asking->part_end; i++)
        list = key_add(list, asking->keys[asking->open[i]]);
    return request_text(asking->plan, list);
}

/* Marks 1: asked for in this part. */
static void part_mark(struct asking *asking)
{
    for (uint32_t i = asking->part_first; i < asking->part_end; i++) {
        asking->told[asking->open[i]] = 1;
        memset(values_of(asking, asking->open[i]), 0, values_bytes(asking));
    }
}

static enum connect_outcome part_read(void *context, const struct connect_answer *answer, struct fault_note *note)
{
    struct asking *asking = context;
    if (associated_answer_read(asking->plan, answer->body, answer->body_bytes, answer_each, asking, note) == FAULT_NONE)
        return CONNECT_DONE;
    part_mark(asking);
    return CONNECT_AGAIN;
}

/* Milliseconds that are left; at least 1 where time is not bounded, or is not over. */
static int64_t left_ms(const struct asking *asking)
{
    int64_t left_ns = asking->until_ns - clock_steady_ns();
    return asking->until_ns == 0 ? INT64_MAX : left_ns <= 0 ? 0 : (left_ns + 999999) / 1000000;
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
                                            .total_ms = left_ms(asking) > 0 ? left_ms(asking) : 1, /* 0 would be no bound */
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
    char *body = part_text(asking);
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
        if (wait_ms >= left_ms(asking))
            break;
        nanosleep(&(struct timespec){.tv_sec = wait_ms / 1000, .tv_nsec = (long)(wait_ms % 1000) * 1000000}, NULL);
    }
    json_text_give(body);
    return answered;
}

static void part_settle(struct asking *asking, bool answered)
{
    struct associated *associated = asking->associated;
    const struct associated_plan *plan = asking->plan;
    int64_t now_ns = clock_steady_ns();
    pthread_mutex_lock(&associated->lock);
    for (uint32_t i = asking->part_first; i < asking->part_end; i++) {
        uint32_t row = asking->open[i];
        asking->out->state[row] = !answered ? ASSOCIATED_SILENT : asking->told[row] == 2 ? ASSOCIATED_ANSWERED : ASSOCIATED_UNKNOWN;
        asking->told[row] = 0;
        for (uint32_t f = 0; !answered && plan->silence == ASSOCIATED_DEFAULTS && f < plan->field_count; f++)
            values_of(asking, row)[f] = plan->fields[f].fallback;
        if (answered)
            kept_put(asking, row, now_ns);
        else
            asking->out->silent++;
    }
    pthread_mutex_unlock(&associated->lock);
}

/* Distinct keys into the table; those that are not kept are open. */
static void keys_sort(struct asking *asking, uint32_t key_count)
{
    struct associated *associated = asking->associated;
    int64_t now_ns = clock_steady_ns();
    pthread_mutex_lock(&associated->lock);
    for (uint32_t row = 0; row < key_count; row++) {
        uint32_t place;
        asking->same[row] = row;
        asking->out->state[row] = ASSOCIATED_UNKNOWN;
        if (asking->keys[row].bytes == 0 || asking->keys[row].bytes > ASSOCIATED_KEY_BYTES_MAX || !text_is_id(asking->keys[row]))
            continue;
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
}

static uint32_t table_places(uint32_t key_count)
{
    uint32_t places = 16;
    while (places < 2 * (uint64_t)key_count)
        places *= 2;
    return places;
}

size_t associated_arena_bytes(uint32_t field_count, uint32_t key_count)
{
    size_t keys = (size_t)key_count + 1;
    return keys * (2 + 2 * sizeof(uint32_t) + field_count * sizeof(struct associated_value)) + sizeof(uint32_t) * table_places(key_count) +
           6 * 16;
}

static enum fault asking_init(struct asking *asking, uint32_t key_count, struct arena *arena, struct fault_note *note)
{
    uint32_t places = table_places(key_count);
    size_t keys = (size_t)key_count + 1;
    struct associated_answers *out = asking->out;
    *out = (struct associated_answers){.state = arena_take(arena, keys, 16), .values = arena_take(arena, keys * values_bytes(asking), 16)};
    asking->table = arena_take_zeroed(arena, places * sizeof *asking->table, 16);
    asking->same = arena_take(arena, keys * sizeof *asking->same, 16);
    asking->open = arena_take(arena, keys * sizeof *asking->open, 16);
    asking->told = arena_take_zeroed(arena, keys, 16);
    if (arena_overflowed(arena))
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "no room for what associated systems answer");
    memset(out->values, 0, keys * values_bytes(asking));
    asking->table_mask = places - 1;
    return FAULT_NONE;
}

/* The names and types of what is asked for. */
static uint64_t plan_seed(const struct associated *associated, const struct associated_plan *plan)
{
    uint64_t seed = hash64(associated->seed, plan->key_name, strlen(plan->key_name));
    for (uint32_t i = 0; i < plan->field_count; i++)
        seed = hash64(seed + plan->fields[i].type, plan->fields[i].name, strlen(plan->fields[i].name) + 1);
    return seed;
}

/* In requests of so many keys each; behind one without an answer the others are not asked. */
static enum fault parts_ask(struct asking *asking, struct fault_note *note)
{
    const struct associated_options *options = &asking->associated->options;
    bool answered = true;
    for (uint32_t first = 0; first < asking->open_count; first = asking->part_end) {
        asking->part_first = first;
        asking->part_end = asking->open_count - first > options->keys_max ? first + options->keys_max : asking->open_count;
        answered = answered && left_ms(asking) > 0 && part_ask(asking, note);
        part_settle(asking, answered);
        if (!answered && asking->plan->silence == ASSOCIATED_REFUSE) {
            note->fault = FAULT_unavailable;
            return FAULT_unavailable;
        }
    }
    return FAULT_NONE;
}

static void repeats_fill(struct asking *asking, uint32_t key_count)
{
    for (uint32_t row = 0; row < key_count; row++) {
        if (asking->same[row] == row)
            continue;
        asking->out->state[row] = asking->out->state[asking->same[row]];
        memcpy(values_of(asking, row), values_of(asking, asking->same[row]), values_bytes(asking));
    }
}

enum fault associated_ask(struct associated *associated, const struct associated_plan *plan, const struct text *keys, uint32_t key_count,
                          int64_t until_ns, struct arena *arena, struct associated_answers *out, struct fault_note *note)
{
    MUST(associated->magic == ASSOCIATED_MAGIC && plan->field_count >= 1 && plan->field_count <= ASSOCIATED_FIELDS_MAX);
    struct asking asking = {
        .associated = associated, .plan = plan, .seed = plan_seed(associated, plan), .until_ns = until_ns, .keys = keys, .out = out};
    struct fault_note own = {0};
    note = note ? note : &own;
    enum fault fault = asking_init(&asking, key_count, arena, note);
    if (fault != FAULT_NONE)
        return fault;
    keys_sort(&asking, key_count);
    fault = parts_ask(&asking, note);
    if (fault == FAULT_NONE)
        repeats_fill(&asking, key_count);
    return fault;
}

static bool known_each(void *context, struct text key, const struct associated_value *values)
{
    uint32_t place;
    return key_find(context, key, &place) == NO_KEY || answer_each(context, key, values);
}

enum fault associated_try(struct associated *associated, const struct associated_plan *plan, const struct text *keys, uint32_t key_count,
                          const void *bytes, size_t byte_count, struct arena *arena, struct associated_answers *out, char **out_request,
                          struct fault_note *note)
{
    MUST(associated->magic == ASSOCIATED_MAGIC && plan->field_count >= 1 && plan->field_count <= ASSOCIATED_FIELDS_MAX);
    struct asking asking = {.associated = associated, .plan = plan, .seed = plan_seed(associated, plan), .keys = keys, .out = out};
    *out_request = NULL;
    enum fault fault = asking_init(&asking, key_count, arena, note);
    if (fault != FAULT_NONE)
        return fault;
    keys_sort(&asking, key_count);
    asking.part_end = asking.open_count;
    part_mark(&asking);
    if (!(*out_request = part_text(&asking)))
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for what an associated system is asked");
    if (bytes)
        fault = associated_answer_read(plan, bytes, byte_count, known_each, &asking, note);
    part_settle(&asking, bytes != NULL);
    repeats_fill(&asking, key_count);
    return fault;
}

/* --- opening ------------------------------------------------------------------------------------------------------------ */

static size_t kept_place_bytes(void)
{
    return (sizeof(struct kept) + ASSOCIATED_FIELDS_MAX * sizeof(struct associated_value) + 15) / 16 * 16;
}

static uint32_t kept_sets(uint32_t cached_max)
{
    return (cached_max + SET_PLACES - 1) / SET_PLACES;
}

size_t associated_kept_bytes(uint32_t cached_max)
{
    return (size_t)kept_sets(cached_max) * SET_PLACES * kept_place_bytes();
}

enum fault associated_open(struct associated **out, const struct associated_options *options, struct fault_note *note)
{
    *out = NULL;
    MUST(options->keys_max >= 1);
    struct associated *associated = memory_take_zeroed(1, sizeof *associated);
    if (!associated)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for an associated system");
    associated->magic = ASSOCIATED_MAGIC;
    associated->options = *options;
    pthread_mutex_init(&associated->lock, NULL);
    associated->seed = (uint64_t)clock_wall_us();
    associated->kept_bytes = kept_place_bytes();
    associated->set_count = kept_sets(options->cached_max);
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
