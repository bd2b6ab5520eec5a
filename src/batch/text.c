/* Borrowed text: bytes and a length, no end mark. UTF-8 as Unicode has it: no surrogates, no overlong forms. */
#include "batch/batch.h"

#include <string.h>

bool text_equal(struct text a, struct text b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

struct text text_of(const char *c_string)
{
    return (struct text){.data = c_string, .bytes = (uint32_t)strlen(c_string)};
}

void text_copy(char *out, size_t out_bytes, struct text text)
{
    size_t bytes = text.bytes;
    if (bytes >= out_bytes) {
        bytes = out_bytes - 1;
        while (bytes > 0 && ((unsigned char)text.data[bytes] & 0xc0) == 0x80)
            bytes--;
    }
    if (bytes)
        memcpy(out, text.data, bytes);
    out[bytes] = '\0';
}

/* Bytes of the character at `at`, 0 when it is none. Unicode 15, table 3-7. */
static size_t character_bytes(const unsigned char *at, size_t left)
{
    unsigned char lead = at[0], second_least = 0x80, second_most = 0xbf;
    if (lead < 0x80)
        return 1;
    size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || bytes > left)
        return 0;
    if (lead == 0xe0)
        second_least = 0xa0;
    if (lead == 0xed)
        second_most = 0x9f;
    if (lead == 0xf0)
        second_least = 0x90;
    if (lead == 0xf4)
        second_most = 0x8f;
    if (at[1] < second_least || at[1] > second_most)
        return 0;
    for (size_t i = 2; i < bytes; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return bytes;
}

/* Eight bytes at once: all of them ASCII, and none below 0x20 nor 0x7f (borrows only cross bytes that already failed). */
static bool word_is_plain(const unsigned char *at)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t word;
    memcpy(&word, at, sizeof word);
    uint64_t below = word - ones * 0x20, no_delete = (word ^ ones * 0x7f) - ones;
    return ((word | below | no_delete) & high) == 0;
}

static bool text_is_clean(struct text text, bool is_id)
{
    const unsigned char *at = (const unsigned char *)text.data;
    for (size_t i = 0; i < text.bytes;) {
        if (text.bytes - i >= 8 && word_is_plain(at + i)) {
            i += 8;
            continue;
        }
        size_t bytes = character_bytes(at + i, text.bytes - i);
        if (bytes == 0 || (is_id && (at[i] < 0x20 || at[i] == 0x7f)))
            return false;
        i += bytes;
    }
    return true;
}

bool text_is_utf8(struct text text)
{
    return text_is_clean(text, false);
}

bool text_is_id(struct text text)
{
    return text_is_clean(text, true);
}
