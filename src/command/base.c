/* `sluice base`: scene bases of a running server, and signatures over base files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/secret.h"
#include "command/command.h"
#include "command/show.h"

enum { BASE_FILE_BYTES_MAX = 64 << 20, GOLDEN_FILE_BYTES_MAX = 1 << 20, SIGNATURE_FILE_BYTES_MAX = 256, KEY_FILE_BYTES_MAX = 256 };
enum { KEY_GOLDEN = 0x200, KEY_SIGNATURE, KEY_ID, KEY_KEY, KEY_NAME, KEY_SERVER_FILE, PATH_BYTES = 512, HEX_BYTES = 33 };

struct basing {
    struct connect_options connect;
    const char *verb, *what; /* what: FILE, NAME or digest */
    const char *golden, *signature, *id, *key, *name;
    bool as_json, is_server_file;
};

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "As one line of JSON", 1},
    {"id", KEY_ID, "ID", 0, "Names the change; the same id again does nothing (default: a new one)", 1},
    {"golden", KEY_GOLDEN, "FILE", 0, "put: golden distances (default: NAME.golden.safetensors beside the file, if there)", 1},
    {"signature", KEY_SIGNATURE, "FILE", 0, "put: signature (default: FILE.sig beside the file, if there)", 1},
    {"server-file", KEY_SERVER_FILE, NULL, 0, "put: FILE is a path below the server's base_folder", 1},
    {"key", KEY_KEY, "FILE", 0, "keygen, sign: file of the secret key", 1},
    {"name", KEY_NAME, "NAME", 0, "keygen: whose key it is, as base_keys will tell it (default: model-team)", 1},
    {0},
};

static error_t argument_parse(struct basing *out, char *argument)
{
    if (!out->verb)
        out->verb = argument;
    else if (!out->what)
        out->what = argument;
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    struct basing *out = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &out->connect;
        return 0;
    case ARGP_KEY_ARG:
        return argument_parse(out, argument);
    case 'j':
        out->as_json = true;
        return 0;
    case KEY_SERVER_FILE:
        out->is_server_file = true;
        return 0;
    case KEY_GOLDEN:
    case KEY_SIGNATURE:
    case KEY_ID:
    case KEY_KEY:
    case KEY_NAME:
        *(key == KEY_GOLDEN      ? &out->golden
          : key == KEY_SIGNATURE ? &out->signature
          : key == KEY_ID        ? &out->id
          : key == KEY_KEY       ? &out->key
                                 : &out->name) = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{.argp = &connect_argp, .header = "Server:", .group = 10}, {0}};

static const struct argp base_argp = {
    .options = options,
    .parser = option_parse,
    .args_doc = "put FILE\nlist\ndrift\nchallenger NAME|DIGEST|off\ncompare\npromote\nactivate NAME|DIGEST\nrollback\nkeygen --key "
                "FILE\nsign --key FILE BASE",
    .doc = "Scene bases of a running server: put one, list them, tell drift, let one challenge the active base, make one the active base, "
           "go back to the one before; and sign "
           "base "
           "files. All but keygen and sign need a credential with the right model.\v"
           "Exit status: 0 done, 2 wrong usage, or refused with the reason, 3 could not reach the server.",
    .children = children,
};

/* --- files --------------------------------------------------------------------------------------------------------------- */

/* "a/b.safetensors" → "a/b.golden.safetensors" */
static void golden_path(char out[PATH_BYTES], const char *path)
{
    const char *dot = strrchr(path, '.');
    int stem = dot && !strchr(dot, '/') ? (int)(dot - path) : (int)strlen(path);
    snprintf(out, PATH_BYTES, "%.*s.golden%s", stem, path, path + stem);
}

/* One that was named must be there; one that stands beside need not. */
static enum fault beside_read(char **out, size_t *out_bytes, const char *named, const char *beside, size_t bytes_max,
                              struct fault_note *note)
{
    if (!named && !file_exists(beside))
        return FAULT_NONE;
    return file_read_all(out, out_bytes, named ? named : beside, bytes_max, note);
}

struct base_files {
    char *bytes, *golden, *signature;
    size_t byte_count, golden_bytes, signature_bytes;
};

static enum fault files_read(struct base_files *out, const struct basing *basing, struct fault_note *note)
{
    char beside[PATH_BYTES];
    enum fault fault = file_read_all(&out->bytes, &out->byte_count, basing->what, BASE_FILE_BYTES_MAX, note);
    if (fault == FAULT_NONE && out->byte_count == 0)
        fault = fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "%.200s is empty", basing->what);
    golden_path(beside, basing->what);
    if (fault == FAULT_NONE)
        fault = beside_read(&out->golden, &out->golden_bytes, basing->golden, beside, GOLDEN_FILE_BYTES_MAX, note);
    snprintf(beside, sizeof beside, "%s.sig", basing->what);
    if (fault == FAULT_NONE)
        fault = beside_read(&out->signature, &out->signature_bytes, basing->signature, beside, SIGNATURE_FILE_BYTES_MAX, note);
    if (fault == FAULT_NONE && out->signature)
        out->signature[strcspn(out->signature, "\r\n")] = '\0';
    return fault;
}

static void files_give(struct base_files *files)
{
    memory_give(files->bytes);
    memory_give(files->golden);
    memory_give(files->signature);
}

/* --- asking the server --------------------------------------------------------------------------------------------------- */

static const char *id_of(const struct basing *basing, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "base.%s:%lld.%d", basing->verb, (long long)clock_wall_us(), (int)getpid());
    return basing->id ? basing->id : out;
}

static void json_print(const struct sluice_reply *reply)
{
    struct wire_value top;
    if (show_reply_top(&top, reply))
        show_json(stdout, &top, -1), putchar('\n');
}

static const char *told(const struct sluice_reply *reply, const char *key)
{
    const char *text = sluice_reply_string(reply, key);
    return text && *text ? text : "none";
}

static void change_print(const struct basing *basing, const struct sluice_reply *reply)
{
    bool is_put = strcmp(basing->verb, "put") == 0;
    printf("base      %s %s\ndigest    %s\n%s    %s\nby        %s\n", told(reply, "base"), sluice_reply_string(reply, "base_version"),
           told(reply, "base_digest"), is_put ? "state " : "before", told(reply, is_put ? "state" : "before"), told(reply, "by"));
    int64_t sequence = sluice_reply_integer(reply, "sequence", 0);
    if (sequence)
        printf("sequence  %lld\n", (long long)sequence);
    if (is_put)
        printf("golden    %lld rows\nsigner    %s\n", (long long)sluice_reply_integer(reply, "golden_rows", 0), told(reply, "signer"));
}

/* A signature is checked by the server's base_keys, and by nothing without them. */
static void signature_tell(const struct base_files *files, const struct sluice_reply *reply)
{
    const char *signer = sluice_reply_string(reply, "signer");
    if (files->signature && !(signer && *signer))
        fprintf(stderr, "sluice base: the server has no base_keys, and it was put before without a signature: this one is not taken\n");
}

static void list_print(const struct sluice_reply *reply)
{
    static const char *const bases_wanted[] = {"state", "base", "version", "digest", "bytes", "time", "by", "golden_rows", "signer", NULL};
    static const char *const changes_wanted[] = {"time", "op", "base", "version", "digest", "by", "sequence", NULL};
    struct wire_value top, rows;
    if (!show_reply_top(&top, reply))
        return;
    if (wire_find(&rows, &top, "bases"))
        show_table(stdout, &rows, bases_wanted);
    if (wire_find(&rows, &top, "changes") && rows.count > 0) {
        putchar('\n');
        show_table(stdout, &rows, changes_wanted);
    }
}

struct told_table {
    const char *key, *title, *const *wanted;
};

static void tables_print(const struct wire_value *top, size_t count, const struct told_table *tables)
{
    struct wire_value rows;
    for (size_t i = 0; i < count; i++)
        if (wire_find(&rows, top, tables[i].key) && rows.type == WIRE_ARRAY && rows.count > 0) {
            printf("\n%s\n", tables[i].title);
            show_table(stdout, &rows, tables[i].wanted);
        }
}

/* What moved most stands first. */
static void drift_print(const struct sluice_reply *reply)
{
    static const char *const features[] = {"feature", "psi", "level", "unknown", "unknown_reference", "unknown_psi", "unknown_level", NULL};
    static const char *const scenes[] = {"scene", "share", "reference", NULL};
    static const char *const far[] = {"dimension", "share", "reference", "psi", "level", NULL};
    const struct told_table tables[] = {{"features", "values, and where they are not known", features},
                                        {"scenes", "rows by the scene whose threshold they reach", scenes},
                                        {"far", "rows far from every cluster", far}};
    struct wire_value top;
    const char *why = sluice_reply_string(reply, "why");
    printf("base      %s %s\nlevel     %s%s%s\nrows      %lld of the last %lld s\n", told(reply, "base"),
           sluice_reply_string(reply, "base_version"), told(reply, "level"), why && *why ? ": " : "", why ? why : "",
           (long long)sluice_reply_integer(reply, "rows", 0), (long long)sluice_reply_integer(reply, "window_s", 0));
    if (show_reply_top(&top, reply))
        tables_print(&top, sizeof tables / sizeof *tables, tables);
}

static void side_print(const struct wire_value *top, const char *side)
{
    struct wire_value map, base, version, digest;
    if (wire_find(&map, top, side) && wire_find(&base, &map, "base") && wire_find(&version, &map, "version") &&
        wire_find(&digest, &map, "digest"))
        printf("%-11s %.*s %.*s, digest %.*s\n", side, (int)base.text.bytes, base.text.data, (int)version.text.bytes, version.text.data,
               (int)digest.text.bytes, digest.text.data);
}

static void compare_print(const struct sluice_reply *reply)
{
    static const char *const verdicts[] = {"champion", "challenger", "rows", NULL};
    static const char *const tenants[] = {"tenant", "rows", "champion_kept", "challenger_kept", NULL};
    static const char *const labels[] = {"side", "average_precision", "kept", "precision", "recall", NULL};
    static const char *const switched[] = {"tenant",           "transfer_id",    "champion",         "challenger", "champion_scene",
                                           "challenger_scene", "champion_match", "challenger_match", NULL};
    const struct told_table tables[] = {{"verdicts", "rows by both verdicts", verdicts},
                                        {"scenes", "rows by the scene whose threshold they reach under each", verdicts},
                                        {"tenants", "rows kept from passing", tenants},
                                        {"labels", "rows whose label came", labels},
                                        {"switched", "the last rows with another verdict", switched}};
    struct wire_value top;
    printf("state       %s\n", told(reply, "state"));
    if (!show_reply_top(&top, reply) || strcmp(told(reply, "state"), "on") != 0)
        return;
    side_print(&top, "champion");
    side_print(&top, "challenger");
    printf("rows        %lld, %lld skipped, %lld with another verdict\n", (long long)sluice_reply_integer(reply, "rows", 0),
           (long long)sluice_reply_integer(reply, "skipped", 0), (long long)sluice_reply_integer(reply, "switched_rows", 0));
    tables_print(&top, sizeof tables / sizeof *tables, tables);
}

/* The challenger becomes the active base. */
static int promote(struct sluice_client *client, const char *id, struct sluice_reply **out)
{
    struct wire_value top, challenger, digest;
    char hex[HEX_BYTES];
    int error = sluice_ask(client, "base.compare", NULL, out);
    if (error != SLUICE_OK)
        return error;
    if (!show_reply_top(&top, *out) || !wire_find(&challenger, &top, "challenger") || !wire_find(&digest, &challenger, "digest"))
        return SLUICE_ARGUMENT;
    text_copy(hex, sizeof hex, digest.text);
    sluice_reply_free(out);
    return sluice_base_activate(client, id, hex, out);
}

static int server_ask(struct basing *basing, const struct base_files *files)
{
    char made[64];
    struct sluice_client *client = NULL;
    struct sluice_reply *reply = NULL;
    const char *id = id_of(basing, made, sizeof made);
    const struct sluice_base base = {.id = id,
                                     .path = basing->is_server_file ? basing->what : NULL,
                                     .bytes = files->bytes,
                                     .byte_count = files->byte_count,
                                     .golden = files->golden,
                                     .golden_bytes = files->golden_bytes,
                                     .signature = files->signature};
    int status = connect_open(&client, "base", &basing->connect), error;
    if (status != COMMAND_DONE)
        return status;
    bool is_list = strcmp(basing->verb, "list") == 0, is_drift = strcmp(basing->verb, "drift") == 0;
    bool is_compare = strcmp(basing->verb, "compare") == 0, is_challenger = strcmp(basing->verb, "challenger") == 0;
    if (is_list || is_drift || is_compare)
        error = sluice_ask(client, is_list ? "base.list" : is_drift ? "base.drift" : "base.compare", NULL, &reply);
    else if (is_challenger)
        error = sluice_base_challenger(client, strcmp(basing->what, "off") == 0 ? NULL : basing->what, &reply);
    else if (strcmp(basing->verb, "promote") == 0)
        error = promote(client, id, &reply);
    else if (strcmp(basing->verb, "put") == 0)
        error = sluice_base_put(client, &base, &reply);
    else if (strcmp(basing->verb, "activate") == 0)
        error = sluice_base_activate(client, id, basing->what, &reply);
    else
        error = sluice_base_rollback(client, id, &reply);
    if (error == SLUICE_OK)
        signature_tell(files, reply);
    if (error == SLUICE_ARGUMENT)
        status = command_fail(COMMAND_REFUSED, "base", "there is no challenger");
    else if (error != SLUICE_OK)
        status = connect_failed("base", error, reply);
    else if (basing->as_json)
        json_print(reply);
    else if (is_list)
        list_print(reply);
    else if (is_drift)
        drift_print(reply);
    else if (is_compare || is_challenger)
        compare_print(reply);
    else
        change_print(basing, reply);
    sluice_reply_free(&reply);
    sluice_close(&client);
    return status;
}

static int base_ask(struct basing *basing)
{
    struct base_files files = {0};
    struct fault_note note = {0};
    int status;
    if (strcmp(basing->verb, "put") == 0 && !basing->is_server_file && files_read(&files, basing, &note) != FAULT_NONE)
        status = command_note_fail("base", &note);
    else
        status = server_ask(basing, &files);
    files_give(&files);
    return status;
}

/* --- keys and signatures ------------------------------------------------------------------------------------------------- */

static int base_keygen(const struct basing *basing)
{
    unsigned char public_key[SECRET_PUBLIC_BYTES], key[SECRET_KEY_BYTES];
    char hex[2 * SECRET_KEY_BYTES + 2], public_hex[2 * SECRET_PUBLIC_BYTES + 1];
    secret_key_make(public_key, key);
    secret_to_hex(hex, key, sizeof key);
    secret_to_hex(public_hex, public_key, sizeof public_key);
    secret_wipe(key, sizeof key);
    strcat(hex, "\n");
    int fd = open(basing->key, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool written = fd >= 0 && write(fd, hex, strlen(hex)) == (ssize_t)strlen(hex) && fsync(fd) == 0;
    int error = errno;
    secret_wipe(hex, sizeof hex);
    if (fd >= 0)
        close(fd);
    if (fd >= 0 && !written)
        unlink(basing->key); /* a part of a key is none, and in the way of the next */
    if (!written)
        return command_fail(COMMAND_REFUSED, "base", "cannot write %s: %s", basing->key, strerror(error));
    printf("base_keys: [\"%s:%s\"]\n", basing->name ? basing->name : "model-team", public_hex);
    return COMMAND_DONE;
}

static enum fault key_read(unsigned char out[SECRET_KEY_BYTES], const char *path, struct fault_note *note)
{
    char *text;
    size_t bytes;
    enum fault fault = file_read_all(&text, &bytes, path, KEY_FILE_BYTES_MAX, note);
    if (fault != FAULT_NONE)
        return fault;
    text[strcspn(text, "\r\n")] = '\0';
    if (!secret_from_hex(out, SECRET_KEY_BYTES, text))
        fault = fault_set(note, FAULT_syntax, ROW_NONE, COLUMN_NONE, "%.100s holds no secret key of sluice base keygen", path);
    secret_wipe(text, bytes);
    memory_give(text);
    return fault;
}

static int base_sign(const struct basing *basing)
{
    unsigned char key[SECRET_KEY_BYTES], signature[SECRET_SIGNATURE_BYTES];
    char path[PATH_BYTES], text[2 * (SECRET_PUBLIC_BYTES + SECRET_SIGNATURE_BYTES) + 3], *bytes = NULL;
    struct fault_note note = {0};
    size_t byte_count;
    if (key_read(key, basing->key, &note) != FAULT_NONE ||
        file_read_all(&bytes, &byte_count, basing->what, BASE_FILE_BYTES_MAX, &note) != FAULT_NONE)
        return command_note_fail("base", &note);
    secret_sign(signature, bytes, byte_count, key);
    memory_give(bytes);
    secret_to_hex(text, key + SECRET_KEY_BYTES - SECRET_PUBLIC_BYTES, SECRET_PUBLIC_BYTES);
    secret_wipe(key, sizeof key);
    strcat(text, ":");
    secret_to_hex(text + strlen(text), signature, sizeof signature);
    strcat(text, "\n");
    snprintf(path, sizeof path, "%s.sig", basing->what);
    if (file_replace(path, text, strlen(text), &note) != FAULT_NONE)
        return command_note_fail("base", &note);
    printf("%s\n", path);
    return COMMAND_DONE;
}

int command_base(int argc, char **argv)
{
    static const struct {
        const char *verb;
        bool takes_what, takes_key;
    } verbs[] = {{"put", true, false},      {"list", false, false},    {"drift", false, false},   {"challenger", true, false},
                 {"compare", false, false}, {"promote", false, false}, {"activate", true, false}, {"rollback", false, false},
                 {"keygen", false, true},   {"sign", true, true}};
    struct basing basing = {.verb = NULL};
    argp_parse(&base_argp, argc, argv, 0, NULL, &basing);
    size_t at = 0;
    while (basing.verb && at < sizeof verbs / sizeof *verbs && strcmp(verbs[at].verb, basing.verb) != 0)
        at++;
    if (!basing.verb || at == sizeof verbs / sizeof *verbs)
        return command_fail(COMMAND_REFUSED, "base",
                            "expected put, list, drift, challenger, compare, promote, activate, rollback, keygen or sign%s%s",
                            basing.verb ? ", not " : "", basing.verb ? basing.verb : "");
    if (verbs[at].takes_what != (basing.what != NULL))
        return command_fail(COMMAND_REFUSED, "base", "%s %s", basing.verb,
                            !verbs[at].takes_what                                                 ? "takes no argument"
                            : strcmp(basing.verb, "put") == 0 || strcmp(basing.verb, "sign") == 0 ? "needs a file"
                                                                                                  : "needs a base: its name or digest");
    if (verbs[at].takes_key != (basing.key != NULL))
        return command_fail(COMMAND_REFUSED, "base", "%s %s", basing.verb, verbs[at].takes_key ? "needs --key FILE" : "takes no --key");
    if (!secret_open())
        return command_fail(COMMAND_REFUSED, "base", "this system gives no random numbers");
    return strcmp(basing.verb, "keygen") == 0 ? base_keygen(&basing)
           : strcmp(basing.verb, "sign") == 0 ? base_sign(&basing)
                                              : base_ask(&basing);
}
