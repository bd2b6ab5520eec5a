#ifndef SLUICE_PIPELINE_CONFIG_VALUE_H
#define SLUICE_PIPELINE_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The values of sluice.yaml, read strictly: the whole text or nothing; no blanks, no leading zeros, no overflow. */

bool value_integer(int64_t *out, const char *text);     /* decimal, "-" allowed */
bool value_bytes(uint64_t *out, const char *text);      /* "4096", "64KiB", "4GiB" */
bool value_duration_us(int64_t *out, const char *text); /* "250us", "500ms", "10s", "5m", "2h", "7d"; the unit is needed */
bool value_moment_us(int64_t *out, const char *text);   /* "2026-11-21", "2026-11-21T08:30:00", UTC, or microseconds since the epoch */
bool value_real(double *out, const char *text);         /* decimal, finite */
bool value_bool(bool *out, const char *text);           /* "true", "false" */
int value_choice(const char *text, const char *const *names, size_t count); /* -1: none of them */

#endif
