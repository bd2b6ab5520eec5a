#ifndef SLUICE_LEDGER_INTS_H
#define SLUICE_LEDGER_INTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Integers of 1, 2, 4 (unsigned) or 8 bytes (signed, wrapping), unaligned, in as few bytes as hold them all. */
struct ints_form {
    unsigned value_width; /* bytes of a value in memory */
    unsigned width;       /* bytes of a value in the frame, 0..8; value_width without steps: as in memory, base unused */
    bool steps;           /* differences to the value before, the first against `first` */
    int64_t base, first;  /* taken from every value or step */
};
enum { INTS_STEPS = 0x10, INTS_SPARSE = 0x20 };

/* search false: only tells all equal from not. */
struct ints_form ints_form_of(const void *values, unsigned value_width, uint32_t count, bool search);
void ints_narrow(unsigned char *out, const unsigned char *values, const struct ints_form *form, uint32_t count);
/* Narrow values lie at the end of the room of value_width × count bytes at out, with 8 readable bytes behind. In place. */
void ints_widen(unsigned char *out, const struct ints_form *form, uint32_t count);

/* Texts of one length, all first bytes first: what is alike in them then lies side by side. And back. */
void texts_turn(unsigned char *out, const unsigned char *texts, unsigned width, uint32_t count);
void texts_turn_back(unsigned char *out, const unsigned char *turned, unsigned width, uint32_t count);

/* Bytes of which most are the usual one: for every other, how many usual ones lie before it (255: so many, and it goes on)
 * and itself. Bytes written; 0: bytes_max would not hold them, or all are usual. */
size_t sparse_write(unsigned char *out, size_t bytes_max, const unsigned char *values, uint32_t count, unsigned char usual);
bool sparse_read(unsigned char *out, uint32_t count, unsigned char usual, const unsigned char *in, size_t bytes); /* false: it is broken */

#endif
