/* Living with bases in a running server, through the command and over the wire: put, list, activate, roll back; what is refused,
 * with its reason and without a trace; and what a restart and a reload find. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "flow/base_files.h"
#include "flow/harness.h"
#include "flow/message.h"
#include "wire/wire.h"

#define MODEL_TOKEN "model-token-9c44"
static char output[1 << 16], token_file[256], tenants[512];
static struct server server;

static int base_command(const char *verb, const char *what, const char *more, const char *value)
{
    const char *arguments[16] = {"base", verb};
    int count = 2;
    if (what)
        arguments[count++] = what;
    if (more)
        arguments[count++] = more;
    if (value)
        arguments[count++] = value;
    arguments[count++] = "--connect", arguments[count++] = server.admin_url, arguments[count++] = "--tenant";
    arguments[count++] = "models", arguments[count++] = "--token-file", arguments[count++] = token_file;
    return flow_run(output, sizeof output, arguments);
}

static void expect(const char *word)
{
    if (!strstr(output, word))
        fail_msg("expected \"%s\", is: %.900s", word, output);
}

static void expect_not(const char *word)
{
    if (strstr(output, word))
        fail_msg("did not expect \"%s\" in: %.900s", word, output);
}

static unsigned kept_files(const char *suffix)
{
    char path[300];
    unsigned count = 0;
    snprintf(path, sizeof path, "%s/ledger/bases", server.folder);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        count += entry->d_name[0] != '.' && strstr(entry->d_name, suffix) != NULL;
    closedir(folder);
    return count;
}

/* Digest of the base that a batch received now is scored under. */
static void scored_under(char out[40], struct sluice_client *client, const char *id)
{
    struct table *table = table_read(flow_fresh());
    struct sluice_reply *reply = screen_rows(client, "screen", table, id, 0, 20);
    snprintf(out, 40, "%s", sluice_reply_string(reply, "base_digest"));
    sluice_reply_free(&reply);
    table_free(table);
}

static void begin(const char *name, const char *base, const char *top)
{
    char more[512];
    snprintf(more, sizeof more, "connections_max: 64\nmemory_max: 1TiB\n%s", top ? top : "");
    memset(&server, 0, sizeof server);
    server_begin(&server, &(struct server_options){.name = name, .base = base, .top = more, .tenants = tenants});
}

/* A base that the ledger keeps is part of what is verified. */
static void expect_base_is_verified(const char *ledger, const char *digest)
{
    char path[400], away[410];
    size_t bytes;
    snprintf(path, sizeof path, "%s/bases/%s.safetensors", ledger, digest);
    snprintf(away, sizeof away, "%s.away", path);
    assert_int_equal(FLOW_RUN(output, "inspect", "--verify", ledger), 0);
    expect("scene bases put: 1");
    char *content = flow_read(path, &bytes);
    content[bytes / 2] = (char)(content[bytes / 2] ^ 1);
    flow_write(path, content, bytes);
    assert_int_equal(FLOW_RUN(output, "inspect", "--verify", ledger), 2);
    expect(digest);
    expect("not of that digest");
    content[bytes / 2] = (char)(content[bytes / 2] ^ 1);
    flow_write(path, content, bytes);
    free(content);
    assert_int_equal(rename(path, away), 0);
    assert_int_equal(FLOW_RUN(output, "inspect", "--verify", ledger), 2);
    expect(digest);
    assert_int_equal(rename(away, path), 0);
    assert_int_equal(FLOW_RUN(output, "inspect", "--verify", "--json", ledger), 0);
    expect("\"bases\":1}");
}

static void test_put_activate_and_roll_back(void **state)
{
    (void)state;
    char under[40], first[40], digest[40];
    begin("life", NULL, NULL);
    struct sluice_client *client = client_open(&server);
    scored_under(first, client, "before");
    assert_int_equal(base_command("rollback", NULL, NULL, NULL), 2);
    expect("there is none to go back to");
    assert_int_equal(base_command("put", flow_row_base(), NULL, NULL), 0);
    expect("state     ready");
    expect("by        models");
    expect("rows\nsigner    none"); /* golden distances stand beside it */
    expect_not("golden    0 rows");
    file_digest(digest, flow_row_base());
    expect(digest);
    scored_under(under, client, "put alone");
    assert_string_equal(under, first);
    assert_int_equal(base_command("put", flow_row_base(), "--json", NULL), 0); /* again: nothing is done */
    expect("\"known\":true");
    assert_int_equal(base_command("activate", digest, "--id", "act-1"), 0);
    expect(first); /* the one before */
    scored_under(under, client, "activated");
    assert_string_equal(under, digest);
    assert_int_equal(base_command("activate", digest, "--id", "act-1"), 0); /* the same answer */
    assert_int_equal(base_command("activate", "another", "--id", "act-1"), 2);
    expect("used before with other content");
    assert_int_equal(base_command("list", NULL, NULL, NULL), 0);
    expect("active");
    expect("before");
    expect("base.activate");
    expect("models");
    assert_int_equal(base_command("rollback", NULL, "--json", NULL), 0);
    scored_under(under, client, "back");
    assert_string_equal(under, first);
    assert_int_equal(base_command("rollback", NULL, NULL, NULL), 0);
    scored_under(under, client, "forth");
    assert_string_equal(under, digest);
    digest[8] = '\0'; /* first digits are enough */
    assert_int_equal(base_command("activate", digest, "--json", NULL), 0);
    expect("\"known\":true"); /* it is the active one */
    assert_int_equal(base_command("activate", "nobody", NULL, NULL), 2);
    expect("no base nobody was put");
    sluice_close(&client);
    server_stop(&server);
    char ledger[300];
    snprintf(ledger, sizeof ledger, "%s/ledger", server.folder);
    assert_int_equal(FLOW_RUN(output, "replay", "--verify", ledger), 0); /* with the bases of the time */
    expect("to the bit");
    expect(" 2 configurations and bases");
    assert_int_equal(FLOW_RUN(output, "audit", "list", "--action", "base.activate", ledger), 0);
    expect("models");
    expect(first); /* before */
    expect(digest);
    assert_int_equal(FLOW_RUN(output, "audit", "verify", ledger), 0);
    expect("verified: 5 entries"); /* start, put, activate, rollback twice */
    file_digest(digest, flow_row_base());
    expect_base_is_verified(ledger, digest);
}

static void test_challenge_and_promote(void **state)
{
    (void)state;
    char under[40], first[40], digest[40];
    begin("challenge", NULL, NULL);
    struct sluice_client *client = client_open(&server);
    assert_int_equal(base_command("compare", NULL, NULL, NULL), 0);
    expect("state       off");
    assert_int_equal(base_command("promote", NULL, NULL, NULL), 2);
    expect("there is no challenger");
    assert_int_equal(base_command("put", flow_row_base(), NULL, NULL), 0);
    file_digest(digest, flow_row_base());
    assert_int_equal(base_command("challenger", digest, NULL, NULL), 0);
    expect("state       on");
    scored_under(first, client, "challenged");
    assert_true(strcmp(first, digest) != 0);
    for (int waited = 0; waited < 10000; waited += 20) {
        assert_int_equal(base_command("compare", NULL, NULL, NULL), 0);
        if (strstr(output, "rows        20, 0 skipped"))
            break;
        sleep_ms(20);
    }
    expect("rows        20, 0 skipped");
    expect("rows by both verdicts");
    assert_int_equal(base_command("compare", NULL, "--json", NULL), 0);
    expect("\"challenger_kept\"");
    assert_int_equal(base_command("promote", NULL, NULL, NULL), 0);
    expect(digest);
    scored_under(under, client, "promoted");
    assert_string_equal(under, digest);
    assert_int_equal(base_command("compare", NULL, NULL, NULL), 0);
    expect("state       off");
    assert_int_equal(base_command("rollback", NULL, NULL, NULL), 0);
    scored_under(under, client, "back");
    assert_string_equal(under, first);
    sluice_close(&client);
    server_stop(&server);
}

/* The log says which one is active; the configuration names only the first one. */
static void test_restart_and_reload(void **state)
{
    (void)state;
    char under[40], digest[40];
    begin("restart", NULL, NULL);
    assert_int_equal(base_command("put", flow_row_base(), NULL, NULL), 0);
    file_digest(digest, flow_row_base());
    assert_int_equal(base_command("activate", digest, NULL, NULL), 0);
    server_kill(&server);
    server_start(&server);
    struct sluice_client *client = client_open(&server);
    scored_under(under, client, "after a kill");
    assert_string_equal(under, digest);
    assert_int_equal(server_log_count(&server, "is not used: "), 1);
    assert_true(server_log_count(&server, "base.activate by models, batch 2, made") == 1);
    assert_int_equal(kill(server.pid, SIGHUP), 0);
    for (int waited = 0; waited < 10000 && server_log_count(&server, "configuration read again") == 0; waited += 20)
        sleep_ms(20);
    scored_under(under, client, "after a reload");
    assert_string_equal(under, digest);
    assert_int_equal(base_command("rollback", NULL, NULL, NULL), 0); /* made anew: the configuration may be another */
    file_digest(digest, flow_base());
    scored_under(under, client, "back");
    assert_string_equal(under, digest);
    sluice_close(&client);
    server_stop(&server);
    server_start(&server);
    assert_int_equal(base_command("list", NULL, NULL, NULL), 0);
    expect("base.rollback");
    assert_int_equal(server_log_count(&server, "is not used: "), 2); /* none more: the configured one is active */
    server_stop(&server);
}

/* From a server without a base, and back to none. */
static void test_none_is_a_base_too(void **state)
{
    (void)state;
    char under[40], digest[40];
    begin("none", "", NULL);
    struct sluice_client *client = client_open(&server);
    assert_int_equal(base_command("put", flow_row_base(), NULL, NULL), 0);
    file_digest(digest, flow_row_base());
    assert_int_equal(base_command("activate", digest, NULL, NULL), 0);
    scored_under(under, client, "one");
    assert_string_equal(under, digest);
    assert_int_equal(base_command("rollback", NULL, NULL, NULL), 0);
    scored_under(under, client, "two");
    assert_string_equal(under, "");
    server_kill(&server);
    server_start(&server);
    scored_under(under, client, "three");
    assert_string_equal(under, "");
    sluice_close(&client);
    server_stop(&server);
}

static void refused(const char *file, const char *more, const char *value, const char *reason)
{
    assert_int_equal(base_command("put", file, more, value), 2);
    expect(reason);
    if (kept_files("") != 0)
        fail_msg("%s left a file behind", reason);
}

static void test_bad_bases_are_refused(void **state)
{
    (void)state;
    char path[300], folder[256];
    size_t bytes;
    char *good = flow_read(flow_row_base(), &bytes), *bad = malloc(bytes + 8);
    begin("bad", NULL, "base_max: 1MiB\n");
    flow_path(folder, sizeof folder, "bad-bases");
    mkdir(folder, 0700);
    snprintf(path, sizeof path, "%s/x.safetensors", folder);
    memcpy(bad, good, bytes);
    flow_write(path, bad, bytes / 2);
    refused(path, NULL, NULL, "model: ");
    flow_write(path, bad, 5);
    refused(path, NULL, NULL, "model: ");
    bad[bytes - 9] ^= 1;
    flow_write(path, bad, bytes);
    refused(path, NULL, NULL, "checksum does not match");
    base_file_write(path, "nan", "1", 7, BASE_NOT_FINITE);
    refused(path, NULL, NULL, "a value is not finite or out of bounds");
    base_file_write(path, "unknown", "1", 7, BASE_UNKNOWN_FEATURE);
    refused(path, NULL, NULL, "is not in this server's catalogue");
    base_file_write(path, "large", "1", 7, BASE_LARGE);
    refused(path, NULL, NULL, "base_max is 1048576");
    base_file_write(path, "other", "1", 7, BASE_GOOD);
    char golden[256];
    snprintf(golden, sizeof golden, "%.*s.golden.safetensors", (int)(strlen(flow_row_base()) - strlen(".safetensors")), flow_row_base());
    refused(path, "--golden", golden, "golden distances are of another base");
    flow_write(path, "", 0);
    assert_int_equal(base_command("put", path, NULL, NULL), 2);
    assert_int_equal(base_command("list", NULL, "--json", NULL), 0);
    expect("\"changes\":[]");
    struct sluice_client *client = client_open(&server);
    char under[40], digest[40];
    scored_under(under, client, "as before");
    file_digest(digest, flow_base());
    assert_string_equal(under, digest);
    sluice_close(&client);
    server_stop(&server);
    free(good);
    free(bad);
}

static void test_rights(void **state)
{
    (void)state;
    static const char *const ops[] = {"base.list",    "base.put",      "base.drift",   "base.challenger",
                                      "base.compare", "base.activate", "base.rollback"};
    begin("rights", NULL, NULL);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        struct wire_buffer message = {0};
        message_begin(&message, ops[i], "r", 2); /* tenant flow has every other right */
        message_pair(&message, "base", "tiny");
        message_pair(&message, "path", "x.safetensors");
        assert_string_equal(message_ask(server.data_url, &message), "denied");
        message_begin_as(&message, "models", "wrong token, long enough", ops[i], "r", 2);
        message_pair(&message, "base", "tiny");
        message_pair(&message, "path", "x.safetensors");
        assert_string_equal(message_ask(server.admin_url, &message), "auth");
    }
    server_stop(&server);
}

static void piece(struct wire_buffer *out, const char *digest, const char *file, size_t bytes, size_t offset, size_t count)
{
    *out = (struct wire_buffer){0};
    message_begin_as(out, "models", MODEL_TOKEN, "base.put", "pieces", 4);
    message_pair(out, "digest", digest);
    message_integer(out, "bytes", (int64_t)bytes);
    message_integer(out, "offset", (int64_t)offset);
    wire_pack_text(out, "data");
    wire_pack_bin(out, file + offset, count);
}

/* A piece again, a piece too far, a server that dies between pieces, and a file that is not the one told. */
static void test_pieces(void **state)
{
    (void)state;
    char digest[40], other[40];
    size_t bytes;
    char *file = flow_read(flow_row_base(), &bytes);
    struct wire_buffer message;
    begin("pieces", NULL, NULL);
    file_digest(digest, flow_row_base());
    file_digest(other, flow_base());
    piece(&message, digest, file, bytes, 0, 1000);
    assert_string_equal(message_ask(server.admin_url, &message), "ok");
    piece(&message, digest, file, bytes, 0, 1000);
    assert_string_equal(message_ask(server.admin_url, &message), "ok");
    piece(&message, digest, file, bytes, 2000, 1000);
    assert_string_equal(message_ask(server.admin_url, &message), "conflict");
    assert_non_null(strstr(message_note, "the next byte wanted is 1000"));
    piece(&message, digest, file, bytes, bytes - 10, 10);
    message.data[0]--; /* one pair fewer than told: broken */
    assert_string_equal(message_ask(server.admin_url, &message), "syntax");
    piece(&message, digest, file, 100, 90, 20);
    assert_string_equal(message_ask(server.admin_url, &message), "limit");
    piece(&message, "12", file, bytes, 0, 10);
    assert_string_equal(message_ask(server.admin_url, &message), "schema");
    assert_int_equal(kept_files(".part"), 1);
    server_kill(&server);
    server_start(&server);
    piece(&message, digest, file, bytes, 500, 1500); /* goes on behind what is there */
    assert_string_equal(message_ask(server.admin_url, &message), "ok");
    piece(&message, digest, file, bytes, 2000, bytes - 2000);
    assert_string_equal(message_ask(server.admin_url, &message), "ok");
    assert_int_equal(kept_files(".part"), 0);
    assert_int_equal(kept_files(".safetensors"), 1);
    piece(&message, other, file, bytes, 0, bytes);
    assert_string_equal(message_ask(server.admin_url, &message), "model");
    assert_non_null(strstr(message_note, "not the one told"));
    assert_int_equal(kept_files(".part"), 0);
    for (unsigned i = 0; i < 9; i++) { /* no more than a few are on their way */
        char made[40];
        snprintf(made, sizeof made, "%032x", i);
        piece(&message, made, file, bytes, 0, 1000);
        assert_string_equal(message_ask(server.admin_url, &message), "ok");
    }
    assert_int_equal(kept_files(".part"), 4);
    server_stop(&server);
    free(file);
}

static void test_files_of_the_server(void **state)
{
    (void)state;
    char folder[256], path[320], top[512], secret[300];
    size_t bytes;
    char *file = flow_read(flow_row_base(), &bytes);
    flow_path(folder, sizeof folder, "incoming");
    mkdir(folder, 0700);
    snprintf(path, sizeof path, "%s/sub", folder);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/sub/new.safetensors", folder);
    flow_write(path, file, bytes);
    flow_path(secret, sizeof secret, "outside.safetensors");
    flow_write(secret, file, bytes);
    snprintf(path, sizeof path, "%s/link.safetensors", folder);
    assert_int_equal(symlink(secret, path), 0);
    snprintf(path, sizeof path, "%s/away", folder);
    assert_int_equal(symlink(flow_folder(), path), 0);
    begin("files", NULL, NULL);
    assert_int_equal(base_command("put", "sub/new.safetensors", "--server-file", NULL), 2);
    expect("no base_folder is configured");
    server_stop(&server);
    snprintf(top, sizeof top, "base_folder: %s\n", folder);
    begin("files", NULL, top);
    static const char *const wrong[] = {"../outside.safetensors",
                                        "/etc/passwd",
                                        "link.safetensors",
                                        "away/outside.safetensors",
                                        "sub/../../outside.safetensors",
                                        "sub",
                                        "sub/",
                                        ".",
                                        "sub//new.safetensors"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(base_command("put", wrong[i], "--server-file", NULL), 2);
        expect("denied: ");
    }
    assert_int_equal(base_command("put", "sub/none.safetensors", "--server-file", NULL), 2);
    expect("not_found: ");
    assert_int_equal(kept_files(""), 0);
    assert_int_equal(base_command("put", "sub/new.safetensors", "--server-file", NULL), 0);
    expect("state     ready");
    server_stop(&server);
    free(file);
}

/* The line that keygen prints, for the configuration. */
static void keygen(char *line, size_t line_bytes, const char *key, const char *name)
{
    assert_int_equal(FLOW_RUN(output, "base", "keygen", "--key", key, "--name", name), 0);
    snprintf(line, line_bytes, "%.*s", (int)line_bytes - 1, output);
    assert_int_equal(FLOW_RUN(output, "base", "keygen", "--key", key), 2);
    expect("File exists");
}

/* A put of what is there, with a wrong signature. */
static void refused_again(const char *path, const char *why)
{
    assert_int_equal(base_command("put", path, NULL, NULL), 2);
    expect(why);
    assert_int_equal(kept_files(""), 1);
}

static void test_signatures(void **state)
{
    (void)state;
    char key[256], other[256], line[256], unused[256], path[256], signature[300], top[512], digest[40];
    flow_path(key, sizeof key, "team.key");
    flow_path(other, sizeof other, "other.key");
    flow_path(path, sizeof path, "signed.safetensors");
    snprintf(signature, sizeof signature, "%s.sig", path);
    keygen(line, sizeof line, key, "team");
    keygen(unused, sizeof unused, other, "stranger");
    base_file_write(path, "signed", "1", 3, BASE_GOOD);
    file_digest(digest, path);
    begin("signed", "", line); /* optional: without one it is taken, with one it must be right */
    assert_int_equal(FLOW_RUN(output, "base", "sign", "--key", other, path), 0);
    refused(path, NULL, NULL, "which is none of base_keys");
    flow_write(signature, "rubbish", 7);
    refused(path, NULL, NULL, "the signature cannot be read");
    assert_int_equal(FLOW_RUN(output, "base", "sign", "--key", key, path), 0);
    expect(signature);
    size_t bytes;
    char *text = flow_read(signature, &bytes);
    text[bytes - 2] = text[bytes - 2] == '0' ? '1' : '0';
    flow_write(signature, text, bytes);
    refused(path, NULL, NULL, "the signature of team is not one over this file");
    unlink(signature);
    assert_int_equal(base_command("put", path, NULL, NULL), 0);
    expect("signer    none");
    flow_write(signature, "rubbish", 7);
    refused_again(path, "the signature cannot be read");
    flow_write(signature, text, bytes);
    refused_again(path, "the signature of team is not one over this file");
    unlink(signature);
    assert_int_equal(base_command("put", path, "--json", NULL), 0);
    expect("\"signer\":\"\"");
    server_stop(&server);
    snprintf(top, sizeof top, "base_signed: true\n%s", line);
    begin("signed", "", top); /* the same ledger, now they are wanted */
    assert_int_equal(base_command("activate", "signed", NULL, NULL), 2);
    expect("is not signed, and base_signed wants it");
    assert_int_equal(FLOW_RUN(output, "base", "sign", "--key", key, path), 0); /* signed after it was put */
    assert_int_equal(base_command("put", path, "--id", "sign-1"), 0);
    expect("signer    team");
    assert_int_equal(base_command("put", path, "--id", "sign-1"), 0); /* the same answer */
    expect("signer    team");
    unlink(signature);
    assert_int_equal(base_command("put", path, "--json", NULL), 0);
    expect("\"known\":true");
    expect("\"signer\":\"team\"");
    assert_int_equal(base_command("list", NULL, "--json", NULL), 0);
    assert_null(strstr(output, "\"signer\":\"\",")); /* one line of it, the signed one */
    assert_int_equal(kept_files(""), 1);
    digest[8] = '\0'; /* put twice, its first digits are its alone */
    assert_int_equal(base_command("activate", digest, NULL, NULL), 0);
    assert_int_equal(base_command("rollback", NULL, NULL, NULL), 0);
    base_file_write(path, "signed", "2", 4, BASE_GOOD);
    assert_int_equal(base_command("put", path, NULL, NULL), 2);
    expect("is not signed, and base_signed wants it");
    assert_int_equal(kept_files(""), 1);
    assert_int_equal(FLOW_RUN(output, "base", "sign", "--key", key, path), 0);
    assert_int_equal(base_command("put", path, NULL, NULL), 0);
    expect("signer    team");
    assert_int_equal(base_command("activate", "signed", NULL, NULL), 0); /* the newest of that name */
    assert_int_equal(base_command("list", NULL, NULL, NULL), 0);
    expect("team");
    assert_int_equal(base_command("rollback", NULL, NULL, NULL), 0);
    server_stop(&server);
    snprintf(top, sizeof top, "base_signed: true\n%s", unused); /* its key is withdrawn */
    begin("signed", "", top);
    assert_int_equal(base_command("activate", "signed", NULL, NULL), 2);
    expect("which is none of base_keys");
    server_stop(&server);
    free(text);
}

static void test_the_configured_base_is_signed_too(void **state)
{
    (void)state;
    char key[256], line[256], path[256], top[512];
    int status = 0;
    flow_path(key, sizeof key, "second.key");
    flow_path(path, sizeof path, "first.safetensors");
    keygen(line, sizeof line, key, "second");
    base_file_write(path, "first", "1", 5, BASE_GOOD);
    snprintf(top, sizeof top, "memory_max: 1TiB\nbase_signed: true\n%s", line);
    memset(&server, 0, sizeof server);
    server_configure(&server, &(struct server_options){.name = "first", .base = path, .top = top, .tenants = tenants});
    assert_false(server_try_start(&server, &status));
    assert_int_equal(status, 3);
    assert_int_equal(server_log_count(&server, "is not signed"), 1);
    assert_int_equal(FLOW_RUN(output, "base", "sign", "--key", key, path), 0);
    server_start(&server);
    server_stop(&server);
}

static void test_wrong_usage(void **state)
{
    (void)state;
    assert_int_equal(FLOW_RUN(output, "base"), 2);
    expect("expected put, list, drift, challenger, compare, promote, activate, rollback, keygen or sign");
    assert_int_equal(FLOW_RUN(output, "base", "dance"), 2);
    expect("not dance");
    assert_int_equal(FLOW_RUN(output, "base", "put"), 2);
    expect("needs a file");
    assert_int_equal(FLOW_RUN(output, "base", "activate"), 2);
    expect("needs a base");
    char empty[256];
    flow_path(empty, sizeof empty, "empty.safetensors");
    flow_write(empty, "", 0);
    assert_int_equal(FLOW_RUN(output, "base", "put", empty), 2);
    expect("empty.safetensors is empty");
    assert_int_equal(FLOW_RUN(output, "base", "put", "/nowhere.safetensors"), 2);
    expect("/nowhere.safetensors");
    assert_int_equal(FLOW_RUN(output, "base", "list", "--connect", "ipc:///nowhere.ipc", "--timeout", "200"), 3);
}

static int setup(void **state)
{
    (void)state;
    tenant_lines(tenants, sizeof tenants, "models", MODEL_TOKEN, "[model]");
    flow_path(token_file, sizeof token_file, "model-token");
    flow_write(token_file, MODEL_TOKEN, strlen(MODEL_TOKEN));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_activate_and_roll_back),
        cmocka_unit_test(test_challenge_and_promote),
        cmocka_unit_test(test_restart_and_reload),
        cmocka_unit_test(test_none_is_a_base_too),
        cmocka_unit_test(test_bad_bases_are_refused),
        cmocka_unit_test(test_rights),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_files_of_the_server),
        cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_the_configured_base_is_signed_too),
        cmocka_unit_test(test_wrong_usage),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
