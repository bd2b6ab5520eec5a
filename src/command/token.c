/* `sluice token`: a fresh credential for a tenant. The token goes to its owner, the hash into sluice.yaml. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/secret.h"
#include "command/command.h"

enum { TOKEN_BYTES = 32, TOKEN_TEXT_BYTES = 2 * TOKEN_BYTES };

static const struct argp_option options[] = {
    {"file", 'f', "FILE", 0, "Write the token into FILE, readable by its owner alone, and print the hash only; FILE must not be there yet",
     0},
    {0},
};

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    const char **file = state->input;
    if (key == ARGP_KEY_ARG)
        argp_error(state, "no argument is taken");
    if (key != 'f')
        return ARGP_ERR_UNKNOWN;
    *file = argument;
    return 0;
}

static const struct argp token_argp = {
    .options = options,
    .parser = option_parse,
    .doc = "Makes a random token of 256 bits for a tenant and prints it with its SHA-256, which is what sluice.yaml takes as token_hash.",
};

static bool token_write(const char *path, const char *token)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0)
        return false;
    bool written = file_ops->write_at(fd, token, TOKEN_TEXT_BYTES, 0) > 0 && file_ops->write_at(fd, "\n", 1, TOKEN_TEXT_BYTES) > 0;
    return close(fd) == 0 && written;
}

int command_token(int argc, char **argv)
{
    unsigned char bytes[TOKEN_BYTES], hash[SECRET_HASH_BYTES];
    char token[TOKEN_TEXT_BYTES + 1], hash_text[2 * SECRET_HASH_BYTES + 1];
    const char *file = NULL;
    int status = COMMAND_DONE;
    argp_parse(&token_argp, argc, argv, 0, NULL, &file);
    if (!secret_open())
        return command_fail(COMMAND_REFUSED, "token", "this system gives no random numbers");
    secret_random(bytes, sizeof bytes);
    secret_to_hex(token, bytes, sizeof bytes);
    secret_hash(hash, token, TOKEN_TEXT_BYTES);
    secret_to_hex(hash_text, hash, sizeof hash);
    if (file && !token_write(file, token))
        status = command_fail(COMMAND_REFUSED, "token", "cannot write %s: %s", file, strerror(errno));
    else if (file)
        printf("token_hash: %s\n", hash_text);
    else
        printf("token: %s\ntoken_hash: %s\n", token, hash_text);
    secret_wipe(bytes, sizeof bytes);
    secret_wipe(token, sizeof token);
    return status;
}
