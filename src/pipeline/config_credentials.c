/* Who may come for a tenant, and what each may ask for. A credential is a token and its rights; the tenant's own token_hash and
 * token_file are one credential without a name. */
#include "pipeline/config_credentials.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/secret.h"

enum { PATH_BYTES = 96, NAME_BYTES = 33 };

struct entry { /* one credential on its way into the tenant; each of its tokens has its name and rights */
    struct config_tenant *tenant;
    const struct reading *reading;
    const char *path;
    struct config_credential credential;
};

enum fault config_read_rights(unsigned *out, const struct reading *reading, const char *prefix, char *const *rights, uint32_t count)
{
    static const struct {
        const char *name;
        unsigned bits;
    } names[] = {{"submit", RIGHT_SUBMIT}, {"score", RIGHT_SCORE},     {"label", RIGHT_LABEL},
                 {"query", RIGHT_QUERY},   {"operate", RIGHT_OPERATE}, {"explain", RIGHT_EXPLAIN},
                 {"model", RIGHT_MODEL},   {"list", RIGHT_LIST},       {"process", RIGHT_PROCESS}};
    enum { NAME_COUNT = sizeof names / sizeof names[0] };
    *out = 0;
    for (uint32_t i = 0; i < count; i++) {
        char path[PATH_BYTES];
        size_t known = 0;
        while (known < NAME_COUNT && strcmp(rights[i], names[known].name) != 0)
            known++;
        snprintf(path, sizeof path, "%s.rights[%u]", prefix, i);
        if (known == NAME_COUNT)
            return config_wrong(reading, path, "expected submit, score, label, query, operate, explain, model, list or process, is '%.40s'",
                                rights[i]);
        *out |= names[known].bits;
    }
    return FAULT_NONE;
}

/* The token decides the rights, so it cannot stand for two credentials. */
static enum fault token_add(const struct entry *entry, const char *path, const unsigned char *hash)
{
    struct config_tenant *tenant = entry->tenant;
    for (uint32_t i = 0; i < tenant->credential_count; i++)
        if (memcmp(tenant->credentials[i].token_hash, hash, SECRET_HASH_BYTES) == 0 &&
            strcmp(tenant->credentials[i].name, entry->credential.name) != 0)
            return config_wrong(entry->reading, path, "the token is that of another credential of this tenant");
    if (tenant->credential_count == CREDENTIALS_MAX)
        return config_wrong(entry->reading, path, "expected at most %d tokens of a tenant", CREDENTIALS_MAX);
    struct config_credential *credential = &tenant->credentials[tenant->credential_count++];
    *credential = entry->credential;
    memcpy(credential->token_hash, hash, SECRET_HASH_BYTES);
    return FAULT_NONE;
}

/* The value is never told: it may be a token put in the wrong place. */
static enum fault token_hash_read(const struct entry *entry, const char *key, const char *hex)
{
    unsigned char hash[SECRET_HASH_BYTES];
    char path[PATH_BYTES];
    if (!hex)
        return FAULT_NONE;
    snprintf(path, sizeof path, "%s.%s", entry->path, key);
    if (!secret_from_hex(hash, sizeof hash, hex))
        return config_wrong(entry->reading, path, "expected the SHA-256 of a token, 64 hex digits (sluice token prints both)");
    return token_add(entry, path, hash);
}

static enum fault token_line(const struct entry *entry, const char *path, const char *line, size_t bytes)
{
    unsigned char hash[SECRET_HASH_BYTES];
    if (bytes < TOKEN_BYTES_MIN || bytes > TOKEN_BYTES_MAX)
        return config_wrong(entry->reading, path, "a token has %d to %d bytes, one in the file has %zu", TOKEN_BYTES_MIN, TOKEN_BYTES_MAX,
                            bytes);
    secret_hash(hash, line, bytes);
    return token_add(entry, path, hash);
}

/* A token a line; blanks at a line's end do not count. */
static enum fault token_file_lines(const struct entry *entry, const char *path, const char *text, size_t bytes)
{
    enum fault fault = FAULT_NONE;
    uint32_t before = entry->tenant->credential_count;
    const char *end = text + bytes;
    for (const char *at = text; at < end && fault == FAULT_NONE;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end, *last = stop;
        while (last > at && (last[-1] == ' ' || last[-1] == '\t' || last[-1] == '\r'))
            last--;
        if (last > at)
            fault = token_line(entry, path, at, (size_t)(last - at));
        at = newline ? newline + 1 : end;
    }
    return fault == FAULT_NONE && entry->tenant->credential_count == before ? config_wrong(entry->reading, path, "the token file is empty")
                                                                            : fault;
}

static enum fault token_file_read(const struct entry *entry, const char *name)
{
    enum { FILE_BYTES_MAX = 4096 };
    char path[PATH_BYTES], file[512], *text;
    struct fault_note why = {0};
    size_t bytes;
    if (!name || entry->reading->is_recorded)
        return FAULT_NONE;
    snprintf(path, sizeof path, "%s.token_file", entry->path);
    if (!config_path(file, sizeof file, entry->reading, name))
        return config_wrong(entry->reading, path, "the path is too long");
    if (file_read_all(&text, &bytes, file, FILE_BYTES_MAX, &why) != FAULT_NONE)
        return config_wrong(entry->reading, path, "%s", why.text);
    enum fault fault = token_file_lines(entry, path, text, bytes);
    secret_wipe(text, bytes);
    memory_give(text);
    return fault;
}

static enum fault tokens_read(const struct entry *entry, const char *hash, const char *hash_next, const char *file)
{
    uint32_t before = entry->tenant->credential_count;
    enum fault fault = token_hash_read(entry, "token_hash", hash);
    if (fault == FAULT_NONE)
        fault = token_hash_read(entry, "token_hash_next", hash_next);
    if (fault == FAULT_NONE)
        fault = token_file_read(entry, file);
    if (fault == FAULT_NONE && entry->tenant->credential_count == before && !(file && entry->reading->is_recorded))
        fault = config_wrong(entry->reading, entry->path, "expected token_file or token_hash (sluice token makes one)");
    return fault;
}

static enum fault credential_read(struct config_tenant *tenant, const struct reading *reading, const char *path,
                                  const struct credential_text *text)
{
    struct entry entry = {.tenant = tenant, .reading = reading, .path = path};
    enum fault fault = config_name(entry.credential.name, NAME_BYTES, reading, path, text->name ? text->name : "");
    if (fault == FAULT_NONE && entry.credential.name[0] == '@')
        fault = config_wrong(reading, path, "'%s': names with @ are of users who sign on", entry.credential.name);
    for (uint32_t i = 0; i < tenant->credential_count && fault == FAULT_NONE; i++)
        if (strcmp(tenant->credentials[i].name, entry.credential.name) == 0)
            fault = config_wrong(reading, path, "the name '%.32s' is given twice", entry.credential.name);
    if (fault == FAULT_NONE && text->rights_count == 0)
        fault = config_wrong(reading, path, "expected rights: a list of what this credential may do");
    if (fault == FAULT_NONE)
        fault = config_read_rights(&entry.credential.rights, reading, path, text->rights, text->rights_count);
    return fault == FAULT_NONE ? tokens_read(&entry, text->token_hash, NULL, text->token_file) : fault;
}

enum fault config_read_credentials(struct config_tenant *out, const struct reading *reading, const char *path,
                                   const struct tenant_text *text)
{
    struct entry own = {.tenant = out, .reading = reading, .path = path};
    bool has_own = text->token_hash || text->token_hash_next || text->token_file || text->rights_count;
    if (has_own && text->credentials_count)
        return config_wrong(reading, path, "expected either credentials or token_hash, token_file and rights of the tenant itself");
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; i < text->credentials_count && fault == FAULT_NONE; i++) {
        char place[PATH_BYTES];
        snprintf(place, sizeof place, "%s.credentials[%u]", path, i);
        fault = credential_read(out, reading, place, &text->credentials[i]);
    }
    if (text->credentials_count || fault != FAULT_NONE)
        return fault;
    own.credential.rights = RIGHT_SUBMIT | RIGHT_LABEL | RIGHT_QUERY;
    if (text->rights_count)
        fault = config_read_rights(&own.credential.rights, reading, path, text->rights, text->rights_count);
    return fault == FAULT_NONE ? tokens_read(&own, text->token_hash, text->token_hash_next, text->token_file) : fault;
}
