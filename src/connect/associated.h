#ifndef SLUICE_CONNECT_ASSOCIATED_H
#define SLUICE_CONNECT_ASSOCIATED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/fault.h"
#include "batch/batch.h"
#include "connect/connector.h"

/* What an associated system knows of keys: asked for many at once, kept for a while. HTTP with JSON (docs/connectors.md). Any
 * thread; asking blocks, and holds no lock while it does. */

struct associated;

enum { ASSOCIATED_FIELDS_MAX = 8, ASSOCIATED_NAME_BYTES_MAX = 63, ASSOCIATED_TEXT_BYTES_MAX = 64, ASSOCIATED_KEY_BYTES_MAX = 128 };

/* ASSOCIATED_ANY: a text, or a number or truth as its text. */
enum associated_type { ASSOCIATED_TEXT, ASSOCIATED_I64, ASSOCIATED_F64, ASSOCIATED_ANY };
struct associated_value {
    bool is_known; /* false: null, or not told */
    uint8_t text_bytes;
    union {
        int64_t integer;
        double real;
        char text[ASSOCIATED_TEXT_BYTES_MAX];
    };
};
struct associated_field {
    char name[ASSOCIATED_NAME_BYTES_MAX + 1]; /* as the system calls it */
    enum associated_type type;
    struct associated_value fallback; /* with ASSOCIATED_DEFAULTS */
};

/* What becomes of keys when the system does not answer. */
enum associated_silence { ASSOCIATED_HOLD, ASSOCIATED_DEFAULTS, ASSOCIATED_REFUSE };

/* What is asked, and what becomes of it: one system answers several of them. */
struct associated_plan {
    char key_name[ASSOCIATED_NAME_BYTES_MAX + 1]; /* what the system calls the key in its answers */
    uint32_t field_count;
    struct associated_field fields[ASSOCIATED_FIELDS_MAX];
    enum associated_silence silence;
};

struct associated_options {
    struct connector *connector; /* borrowed until close */
    uint32_t keys_max;           /* of one request; more keys are cut into several */
    uint32_t attempts_max;       /* for one request, at least 1 */
    uint32_t cached_max;         /* keys; 0: nothing is kept */
    int64_t expiry_ms;           /* of what is kept */
};

enum associated_state {
    ASSOCIATED_ANSWERED, /* by the system, or from what was kept */
    ASSOCIATED_UNKNOWN,  /* it answered, and told nothing of this key */
    ASSOCIATED_SILENT,   /* no answer; values are the fallbacks with ASSOCIATED_DEFAULTS, else not known */
};
struct associated_answers {
    uint8_t *state;                  /* of each key */
    struct associated_value *values; /* key × field_count + field */
    uint32_t asked, kept, silent;    /* keys that were sent, found kept, and without an answer; each distinct key once */
};

enum fault associated_open(struct associated **out, const struct associated_options *options, struct fault_note *note);
void associated_close(struct associated **associated_p);
size_t associated_kept_bytes(uint32_t cached_max); /* what keeping so many keys takes */
/* Keys may repeat; one of no bytes, or of more than ASSOCIATED_KEY_BYTES_MAX, is not asked for and ASSOCIATED_UNKNOWN. Behind a request
 * without an answer the rest is not asked for: silent as well. until_ns: no attempt goes on beyond; 0: as long as it takes. out lies in
 * the arena, of which it needs at most associated_arena_bytes. With ASSOCIATED_REFUSE a silent system is FAULT_unavailable. */
enum fault associated_ask(struct associated *associated, const struct associated_plan *plan, const struct text *keys, uint32_t key_count,
                          int64_t until_ns, struct arena *arena, struct associated_answers *out, struct fault_note *note);
size_t associated_arena_bytes(uint32_t field_count, uint32_t key_count);
/* The same with an answer that is at hand, which may tell of other keys too; bytes NULL: the system is silent. *out_request: what would be
 * asked for, all in one, in the memory of base/json.h (json_text_give). The connector may be NULL. */
enum fault associated_try(struct associated *associated, const struct associated_plan *plan, const struct text *keys, uint32_t key_count,
                          const void *bytes, size_t byte_count, struct arena *arena, struct associated_answers *out, char **out_request,
                          struct fault_note *note);

/* The decoder by itself. each is called for every key that is told of; false from it: this key was not asked for, or twice. */
typedef bool associated_each_fn(void *context, struct text key, const struct associated_value *values);
enum fault associated_answer_read(const struct associated_plan *plan, const void *bytes, size_t byte_count, associated_each_fn *each,
                                  void *context, struct fault_note *note);

#endif
