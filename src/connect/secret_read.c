/* A secret is refused rather than shortened, and its bytes appear in no note. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/secret.h"
#include "connect/connector.h"

static enum fault secret_take(struct connect_secret *out, const char *from, const unsigned char *data, size_t bytes, size_t least,
                              struct fault_note *note)
{
    if (bytes > 0 && data[bytes - 1] == '\n')
        bytes--;
    if (bytes > 0 && data[bytes - 1] == '\r')
        bytes--;
    if (bytes < least || bytes > CONNECT_SECRET_BYTES_MAX)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "%.80s: a secret has %zu to %d bytes", from, least,
                         CONNECT_SECRET_BYTES_MAX);
    for (size_t i = 0; i < bytes; i++)
        if (data[i] < ' ' || data[i] == 0x7f)
            return fault_set(note, FAULT_syntax, ROW_NONE, COLUMN_NONE, "%.80s: a secret is one line of text", from);
    memcpy(out->data, data, bytes);
    out->bytes = bytes;
    return FAULT_NONE;
}

static enum fault secret_file(struct connect_secret *out, const char *from, const char *path, size_t least, struct fault_note *note)
{
    unsigned char data[CONNECT_SECRET_BYTES_MAX + 3];
    struct stat kind;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    enum fault fault = FAULT_NONE;
    if (file < 0 || fstat(file, &kind) != 0 || !S_ISREG(kind.st_mode))
        fault = fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "%.80s: no file that can be read", from);
    else if (kind.st_mode & S_IRWXO)
        fault = fault_set(note, FAULT_denied, ROW_NONE, COLUMN_NONE, "%.80s: everyone may read or write it (chmod o= does away with that)",
                          from);
    else {
        ssize_t bytes = read(file, data, sizeof data);
        fault = bytes < 0 ? fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "%.80s: cannot be read", from)
                          : secret_take(out, from, data, (size_t)bytes, least, note);
    }
    if (file >= 0)
        close(file);
    secret_wipe(data, sizeof data);
    return fault;
}

enum fault connect_secret_read(struct connect_secret *out, const char *from, size_t least, struct fault_note *note)
{
    *out = (struct connect_secret){0};
    if (strncmp(from, "file:", 5) == 0)
        return secret_file(out, from, from + 5, least, note);
    if (strncmp(from, "env:", 4) != 0)
        return fault_set(note, FAULT_syntax, ROW_NONE, COLUMN_NONE, "a secret is file:PATH or env:NAME");
    const char *value = getenv(from + 4);
    if (!value)
        return fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "%.80s is not in the environment", from);
    return secret_take(out, from, (const unsigned char *)value, strlen(value), least, note);
}

void connect_secret_wipe(struct connect_secret *secret)
{
    secret_wipe(secret, sizeof *secret);
}
