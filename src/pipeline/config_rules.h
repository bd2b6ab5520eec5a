#ifndef SLUICE_PIPELINE_CONFIG_RULES_H
#define SLUICE_PIPELINE_CONFIG_RULES_H

#include "pipeline/config.h"
#include "pipeline/config_text.h"

/* The keys of config_keys.tbl: from text into place, each with its own clear fault. */

struct config_yaml;

struct reading { /* what one open works with */
    const char *source;
    char folder[256]; /* of source, with its slash; empty: the working folder */
    struct config_yaml *yaml;
    struct config *config;
    struct fault_note *note;
    bool is_recorded; /* files with tokens are not asked for: they may be gone, and nobody comes in */
};

/* FAULT_schema "file:line: path: text". */
enum fault config_wrong(const struct reading *reading, const char *path, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* path into out of out_bytes, relative ones from the file's folder; false: too long. */
bool config_path(char *out, size_t out_bytes, const struct reading *reading, const char *path);
/* A name of risk types, countermeasures, tenants: 1 … bytes_max printable bytes without blanks at the ends. */
enum fault config_name(char *out, size_t out_bytes, const struct reading *reading, const char *path, const char *value);

enum fault config_read_top(const struct reading *reading, const struct config_text *text); /* top keys and their groups */
enum fault config_read_connector(struct config_connector *out, const struct reading *reading, const char *path,
                                 const struct connector_text *text);                              /* its keys alone */
enum fault config_read_connectors(const struct reading *reading, const struct config_text *text); /* config_connectors.c: and alarms */
enum fault config_read_sign_on(const struct reading *reading, const struct config_text *text);    /* config_sign_on.c: behind tenants */
enum fault config_read_system(struct config_associated *out, const struct reading *reading, const char *path,
                              const struct associated_text *text);                                /* its keys alone */
enum fault config_read_associated(const struct reading *reading, const struct config_text *text); /* config_associated.c */
enum fault config_check_asks(const struct reading *reading);                                      /* profiles ask systems that there are */
enum fault config_check_webhooks(const struct reading *reading);
enum fault config_read_tenant(struct config_tenant *out, const struct reading *reading, const char *path, const struct tenant_text *text);

#endif
