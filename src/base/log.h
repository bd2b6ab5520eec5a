#ifndef SLUICE_BASE_LOG_H
#define SLUICE_BASE_LOG_H

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* One JSON object a line on stderr: {"time":…,"level":…,"room":…,"text":…}. Any thread; a line is one write. */
void log_line(enum log_level level, const char *room, const char *format, ...) __attribute__((format(printf, 3, 4)));
void log_level_set(enum log_level least);

#endif
