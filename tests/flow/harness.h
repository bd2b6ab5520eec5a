#ifndef SLUICE_TESTS_FLOW_HARNESS_H
#define SLUICE_TESTS_FLOW_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/sluice.h"

/* Real server processes, real files, the real client library: what every flow test stands on. A test program has one
 * temporary folder, removed when it ends well (kept when SLUICE_KEEP is set). Failures stop the program (MUST). */

const char *flow_folder(void);
const char *flow_binary(void); /* $SLUICE_BIN */
uint64_t flow_seed(void);      /* $SLUICE_SEED or a new one, printed once */
void flow_path(char *out, size_t out_bytes, const char *format, ...) __attribute__((format(printf, 3, 4))); /* below the folder */
void flow_write(const char *path, const void *data, size_t bytes);
char *flow_read(const char *path, size_t *bytes); /* with an end mark; free */
void flow_skip(const char *reason);               /* prints "skipped: …" and ends with 77 */

/* Runs the program with these arguments (ended by NULL); output holds what it wrote, to both streams, cut to fit.
 * Returns its exit status, or 256 + signal. */
int flow_run(char *output, size_t output_bytes, const char *const *arguments);
#define FLOW_RUN(output, ...) flow_run(output, sizeof output, (const char *const[]){__VA_ARGS__, NULL})

bool flow_has_opencl(void); /* a device that is not refused: asked of the program, since drivers do not stand a fork */

/* Labelled transfers and a scene base from their older part, made once per build of the program. */
const char *flow_past(void);  /* CSV */
const char *flow_fresh(void); /* CSV: the newer part */
const char *flow_base(void);
const char *flow_row_base(void); /* with row-scope features alone */

/* A CSV file in memory. */
struct table {
    char *text;
    uint32_t column_count, row_count;
    char **names;
    char **cells; /* row_count × column_count; "" is null */
};
struct table *table_read(const char *path);
void table_free(struct table *table);
const char *table_cell(const struct table *table, uint32_t row, const char *column);
/* Rows [first, first + count) as a batch; columns named in left_out (may be NULL) stay away. Free with flow_batch_free. */
struct flow_batch {
    struct sluice_batch *batch;
    uint32_t row_count, block_count;
    void *blocks[128];
};
void table_batch(struct flow_batch *out, const struct table *table, const char *id, uint32_t first, uint32_t count,
                 const char *const *left_out);
/* These columns alone, up to one without a name. */
struct column_as {
    const char *of, *as; /* in the table, in the batch */
};
void table_batch_as(struct flow_batch *out, const struct table *table, const char *id, uint32_t first, uint32_t count,
                    const struct column_as *columns);
void flow_batch_free(struct flow_batch *batch);
/* Columns that take part in screening, without labels. */
extern const char *const left_out_labels[];

struct server {
    char folder[200], config[256], data_url[256], admin_url[256], log[256];
    char binary[512];
    char environment[8][320]; /* NAME=value */
    int http_port;            /* 0: off */
    pid_t pid;
};

struct server_options {   /* zeros: sensible */
    const char *name;     /* of its folder, default "server"; a second start with the same name finds the same ledger */
    const char *base;     /* NULL: flow_base(); "": none */
    const char *device;   /* default cpu */
    const char *cpu_mask; /* YAML list, e.g. "[avx2]"; "[]" is the reference */
    unsigned workers;     /* default 2 */
    bool http;
    const char *top;       /* more YAML lines at the top level */
    const char *listen;    /* more YAML lines below listen:, with two blanks before each */
    const char *more_data; /* more urls to listen on: ', "url"' */
    const char *tenants;   /* more YAML lines below tenants: */
};

void server_configure(struct server *server, const struct server_options *options); /* writes its configuration */
void server_start(struct server *server);                                           /* and waits until it answers */
bool server_try_start(struct server *server, int *status);                          /* false: it ended; its exit status */
void server_begin(struct server *server, const struct server_options *options);     /* configure and start */
void server_stop(struct server *server);                                            /* SIGTERM; must end well */
void server_kill(struct server *server);                                            /* SIGKILL */
int server_wait(struct server *server, int limit_ms);                               /* exit status, 256 + signal, or -1 */
bool server_runs(struct server *server);
void folder_copy(const char *to, const char *from);                     /* a whole ledger, say; to must not be there */
size_t server_memory(const struct server *server);                      /* peak resident bytes */
size_t server_log_count(const struct server *server, const char *text); /* lines that hold text */
void server_log_show(const struct server *server);                      /* its end, on stderr */

/* Tenant "flow" has every right and the account namespace "flow"; "other" may only submit. */
#define FLOW_TOKEN  "flow-token-5f1c"
#define OTHER_TOKEN "other-token-77aa"
struct sluice_client *client_open(const struct server *server);
struct sluice_client *client_open_as(const char *url, const char *tenant, const char *token, int64_t timeout_ms);
struct sluice_client *client_open_admin(const struct server *server);

/* Sends rows of the table as one batch and returns the reply; MUST succeed. */
struct sluice_reply *screen_rows(struct sluice_client *client, const char *op, const struct table *table, const char *id, uint32_t first,
                                 uint32_t count);
/* What history was when the server began to answer, from `stats`. */
void history_digest(char out[33], const struct server *server);
/* Everything that is recorded of a row, as bytes that compare equal when it is the same. */
struct recorded {
    uint8_t verdict, level, cause, scene, runner_up, risk_type, countermeasure;
    float match, runner_match, risk, anomaly_own, anomaly_linked, distance[4];
    uint64_t reasons; /* hash over features, values and shares */
};
void recorded_take(struct recorded *out, const struct sluice_reply *reply);                                          /* one per row */
uint32_t recorded_differences(const struct recorded *a, const struct recorded *b, uint32_t count, const char *what); /* tells the first */

/* A message as it is over a bare socket. Returns the reply's bytes (0: no answer in time). */
size_t raw_ask(const char *url, const void *message, size_t bytes, unsigned char *reply, size_t reply_bytes, int timeout_ms);
/* The same in pieces, for many connections at once: -1: closed in the handshake; 0: closed, or no answer in time. */
int raw_open(const char *url);
bool raw_send(int fd, const char *url, const void *message, size_t bytes);
size_t raw_receive(int fd, const char *url, unsigned char *reply, size_t reply_bytes, int timeout_ms);
/* Connects and leaves in the middle of the handshake. */
void raw_leave(const char *url, size_t greeting_bytes);
/* So many connections at once, each with a message that claims these bytes (above 4) and sends all but the last. Returns how many bytes
 * went out. */
size_t raw_flood(const char *url, size_t connections, size_t bytes);
/* The fault named in a raw reply, "ok" when it is none, "unreadable" when it is no reply. */
const char *raw_fault(const unsigned char *reply, size_t bytes);
/* "fault" from a library reply, "ok" when there is none. */
const char *reply_fault(const struct sluice_reply *reply);

/* GET over HTTP; the body is cut to fit. Returns the status, 0: no answer. */
int http_get(int port, const char *path, char *body, size_t body_bytes);
int free_port(void);
void sleep_ms(int ms);

#endif
