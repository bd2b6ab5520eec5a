/* Calls wait in a list under the lock until the thread gives them to the multi handle; only the thread touches that. A call
 * belongs to its caller's stack and is off the list and the handle before done is set. */
#include "connect/http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/must.h"
#include "base/thread.h"

enum { HTTP_MAGIC = 0x48545450, POLL_MS = 1000, RETRY_AFTER_S_MAX = 86400 };

struct call {
    struct call *next; /* of those that wait to be begun, or of those that run */
    CURL *easy;
    struct curl_slist *headers;
    struct http_answer *answer;
    size_t capacity, answer_bytes_max;
    char host[HTTP_HOST_BYTES_MAX + 1];
    CURLcode result;
    bool too_long, no_memory, stopped, done;
};

struct http {
    unsigned magic;
    CURLM *multi;
    struct thread thread;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    struct call *waiting, *running; /* running: the thread's own */
    bool closing;
    bool plain;
    uint32_t host_count, callers;
    char hosts[HTTP_HOSTS_MAX][HTTP_HOST_BYTES_MAX + 8];
    char ca_file[1024];
};

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static bool library_is_open;

static void library_open(void)
{
    library_is_open = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

static bool host_is_allowed(const struct http *http, const char *host, const char *port)
{
    char both[HTTP_HOST_BYTES_MAX + 8];
    snprintf(both, sizeof both, "%.*s:%.5s", HTTP_HOST_BYTES_MAX, host, port);
    for (uint32_t i = 0; i < http->host_count; i++)
        if (strcasecmp(http->hosts[i], host) == 0 || strcasecmp(http->hosts[i], both) == 0)
            return true;
    return false;
}

static bool scheme_is_allowed(const struct http *http, const char *scheme, bool is_mail)
{
    if (is_mail)
        return strcmp(scheme, "smtp") == 0 || strcmp(scheme, "smtps") == 0;
    return strcmp(scheme, "https") == 0 || (http->plain && strcmp(scheme, "http") == 0);
}

/* host: HTTP_HOST_BYTES_MAX + 1 bytes. */
static enum fault url_read(const struct http *http, const char *url, bool is_mail, char *host, struct fault_note *note)
{
    CURLU *parts = curl_url();
    char *scheme = NULL, *name = NULL, *port = NULL;
    enum fault fault = FAULT_NONE;
    if (!parts)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a URL");
    if (strlen(url) > HTTP_URL_BYTES_MAX || curl_url_set(parts, CURLUPART_URL, url, CURLU_DISALLOW_USER) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK || curl_url_get(parts, CURLUPART_HOST, &name, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK || strlen(name) > HTTP_HOST_BYTES_MAX)
        fault = fault_set(note, FAULT_syntax, ROW_NONE, COLUMN_NONE, "no URL that could be asked: %.40s", url);
    else if (!scheme_is_allowed(http, scheme, is_mail))
        fault = fault_set(note, FAULT_denied, ROW_NONE, COLUMN_NONE, "%.16s is not among the allowed schemes", scheme);
    else if (!host_is_allowed(http, name, port))
        fault = fault_set(note, FAULT_denied, ROW_NONE, COLUMN_NONE, "%.80s:%.5s is not among the allowed hosts", name, port);
    else
        snprintf(host, HTTP_HOST_BYTES_MAX + 1, "%s", name);
    curl_free(scheme);
    curl_free(name);
    curl_free(port);
    curl_url_cleanup(parts);
    return fault;
}

enum fault http_url_check(const struct http *http, const char *url, struct fault_note *note)
{
    char host[HTTP_HOST_BYTES_MAX + 1];
    return url_read(http, url, false, host, note);
}

enum fault http_mail_url_check(const struct http *http, const char *url, struct fault_note *note)
{
    char host[HTTP_HOST_BYTES_MAX + 1];
    return url_read(http, url, true, host, note);
}

const char *http_ca_file(const struct http *http)
{
    return http->ca_file;
}

static size_t body_take(char *data, size_t size, size_t count, void *context)
{
    struct call *call = context;
    struct http_answer *answer = call->answer;
    size_t bytes = size * count;
    if (bytes > call->answer_bytes_max - answer->body_bytes) {
        call->too_long = true;
        return 0;
    }
    if (bytes + 1 > call->capacity - answer->body_bytes) {
        size_t capacity = 2 * call->capacity + bytes + 1024;
        char *grown = memory_resize(answer->body, capacity);
        if (!grown) {
            call->no_memory = true;
            return 0;
        }
        answer->body = grown;
        call->capacity = capacity;
    }
    memcpy(answer->body + answer->body_bytes, data, bytes);
    answer->body_bytes += bytes;
    answer->body[answer->body_bytes] = 0;
    return bytes;
}

static void call_end(struct http *http, struct call *call, CURLcode result)
{
    pthread_mutex_lock(&http->lock);
    call->result = result;
    call->done = true;
    pthread_cond_broadcast(&http->ended);
    pthread_mutex_unlock(&http->lock);
}

static void calls_begin(struct http *http)
{
    pthread_mutex_lock(&http->lock);
    struct call *begun = http->waiting;
    http->waiting = NULL;
    pthread_mutex_unlock(&http->lock);
    while (begun) {
        struct call *call = begun;
        begun = call->next;
        if (curl_multi_add_handle(http->multi, call->easy) != CURLM_OK) {
            call_end(http, call, CURLE_FAILED_INIT);
            continue;
        }
        call->next = http->running;
        http->running = call;
    }
}

static void running_drop(struct http *http, struct call *call)
{
    struct call **place = &http->running;
    while (*place != call)
        place = &(*place)->next;
    *place = call->next;
    curl_multi_remove_handle(http->multi, call->easy);
}

static void calls_reap(struct http *http)
{
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(http->multi, &left));) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode result = message->data.result;
        struct call *call = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
        running_drop(http, call);
        call_end(http, call, result);
    }
}

static void http_run(void *context)
{
    struct http *http = context;
    for (bool closing = false; !closing;) {
        int running;
        calls_begin(http);
        curl_multi_perform(http->multi, &running);
        calls_reap(http);
        curl_multi_poll(http->multi, NULL, 0, POLL_MS, NULL);
        pthread_mutex_lock(&http->lock);
        closing = http->closing;
        pthread_mutex_unlock(&http->lock);
    }
    calls_begin(http);
    while (http->running) {
        struct call *call = http->running;
        running_drop(http, call);
        call->stopped = true;
        call_end(http, call, CURLE_ABORTED_BY_CALLBACK);
    }
}

static enum fault hosts_copy(struct http *http, const struct http_options *options, struct fault_note *note)
{
    if (options->host_count > HTTP_HOSTS_MAX)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "%u allowed hosts, at most %d", options->host_count, HTTP_HOSTS_MAX);
    for (uint32_t i = 0; i < options->host_count; i++) {
        if (strlen(options->hosts[i]) >= sizeof http->hosts[i])
            return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "an allowed host has more than %zu bytes",
                             sizeof http->hosts[i] - 1);
        snprintf(http->hosts[i], sizeof http->hosts[i], "%s", options->hosts[i]);
    }
    http->host_count = options->host_count;
    if (options->ca_file && strlen(options->ca_file) >= sizeof http->ca_file)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "the path of the CA file is too long");
    snprintf(http->ca_file, sizeof http->ca_file, "%s", options->ca_file ? options->ca_file : "");
    return FAULT_NONE;
}

enum fault http_open(struct http **out, const struct http_options *options, struct fault_note *note)
{
    *out = NULL;
    pthread_once(&library_once, library_open);
    if (!library_is_open)
        return fault_set(note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "libcurl does not start");
    struct http *http = memory_take_zeroed(1, sizeof *http);
    if (!http)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for HTTP");
    http->magic = HTTP_MAGIC;
    http->plain = options->plain;
    pthread_mutex_init(&http->lock, NULL);
    pthread_cond_init(&http->ended, NULL);
    enum fault fault = hosts_copy(http, options, note);
    if (fault == FAULT_NONE && !(http->multi = curl_multi_init()))
        fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for HTTP");
    if (fault == FAULT_NONE) {
        curl_multi_setopt(http->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)(options->connections_max ? options->connections_max : 32));
        curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
        if (!thread_start(&http->thread, "http", CPU_ANY, http_run, http))
            fault = fault_set(note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "no thread for HTTP");
    }
    if (fault == FAULT_NONE)
        return *out = http, FAULT_NONE;
    http_close(&http);
    return fault;
}

void http_stop(struct http *http)
{
    if (!http)
        return;
    MUST(http->magic == HTTP_MAGIC);
    pthread_mutex_lock(&http->lock);
    http->closing = true;
    pthread_mutex_unlock(&http->lock);
    if (http->multi)
        curl_multi_wakeup(http->multi);
}

void http_close(struct http **http_p)
{
    struct http *http = *http_p;
    *http_p = NULL;
    if (!http)
        return;
    http_stop(http);
    thread_join(&http->thread);
    pthread_mutex_lock(&http->lock);
    while (http->callers > 0)
        pthread_cond_wait(&http->ended, &http->lock);
    pthread_mutex_unlock(&http->lock);
    if (http->multi)
        curl_multi_cleanup(http->multi);
    pthread_cond_destroy(&http->ended);
    pthread_mutex_destroy(&http->lock);
    http->magic = 0;
    memory_give(http);
}

static bool call_prepare(const struct http *http, struct call *call, const struct http_request *request)
{
    call->easy = curl_easy_init();
    if (!call->easy)
        return false;
    for (uint32_t i = 0; i < request->header_count; i++) {
        struct curl_slist *longer = curl_slist_append(call->headers, request->headers[i]);
        if (!longer)
            return false;
        call->headers = longer;
    }
    CURL *easy = call->easy;
    bool good = curl_easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, http->plain ? "http,https" : "https") == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_ms) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->total_ms) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_USERAGENT, "sluice/" SLUICE_VERSION) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, body_take) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_WRITEDATA, call) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_PRIVATE, call) == CURLE_OK;
    if (http->ca_file[0])
        good = good && curl_easy_setopt(easy, CURLOPT_CAINFO, http->ca_file) == CURLE_OK;
    if (request->body) {
        good = good && curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK;
        good = good && curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_bytes) == CURLE_OK;
        good = good && curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body) == CURLE_OK;
    }
    return good;
}

static enum fault call_fault(const struct call *call, struct fault_note *note)
{
    if (call->too_long)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "%.60s: the answer has more than %zu bytes", call->host,
                         call->answer_bytes_max);
    if (call->no_memory || call->result == CURLE_OUT_OF_MEMORY)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "%.60s: no memory for the answer", call->host);
    if (call->stopped)
        return fault_set(note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "%.60s: stopped while it was asked", call->host);
    if (call->result == CURLE_OPERATION_TIMEDOUT)
        return fault_set(note, FAULT_deadline, ROW_NONE, COLUMN_NONE, "%.60s: no answer in time", call->host);
    return fault_set(note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "%.60s: %.60s", call->host, curl_easy_strerror(call->result));
}

/* false: it is closing. */
static bool call_wait(struct http *http, struct call *call)
{
    pthread_mutex_lock(&http->lock);
    bool taken = !http->closing;
    if (taken) {
        http->callers++;
        call->next = http->waiting;
        http->waiting = call;
        curl_multi_wakeup(http->multi);
        while (!call->done)
            pthread_cond_wait(&http->ended, &http->lock);
        http->callers--;
        pthread_cond_broadcast(&http->ended);
    }
    pthread_mutex_unlock(&http->lock);
    return taken;
}

enum fault http_call(struct http *http, const struct http_request *request, struct http_answer *out, struct fault_note *note)
{
    MUST(http->magic == HTTP_MAGIC);
    *out = (struct http_answer){0};
    struct call call = {.answer = out, .answer_bytes_max = request->answer_bytes_max};
    enum fault fault = url_read(http, request->url, false, call.host, note);
    if (fault != FAULT_NONE)
        return fault;
    if (!call_prepare(http, &call, request))
        fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "%.60s: no memory to ask it", call.host);
    else if (!call_wait(http, &call)) {
        call.stopped = true;
        fault = call_fault(&call, note);
    } else if (call.result != CURLE_OK)
        fault = call_fault(&call, note);
    if (fault == FAULT_NONE) {
        long status = 0;
        curl_off_t after = 0;
        curl_easy_getinfo(call.easy, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(call.easy, CURLINFO_RETRY_AFTER, &after);
        out->status = (uint32_t)status;
        out->retry_after_ms = 1000 * (int64_t)(after < 0 ? 0 : after > RETRY_AFTER_S_MAX ? RETRY_AFTER_S_MAX : after);
    } else
        http_answer_give(out);
    curl_easy_cleanup(call.easy);
    curl_slist_free_all(call.headers);
    return fault;
}

void http_answer_give(struct http_answer *answer)
{
    memory_give(answer->body);
    *answer = (struct http_answer){0};
}
