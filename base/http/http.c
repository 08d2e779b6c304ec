#include "base/http/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define TIMEOUT_S  10U
#define TEXT_TYPE  "text/plain; charset=utf-8"
#define HTTP_MAGIC 0x50545448U

struct dom_http {
    uint32_t magic;
    struct MHD_Daemon *daemon;
    struct dom_http_options options;
};

/* One request while its body comes in. */
struct exchange {
    struct dom_buffer body;
    bool too_large;
};

static enum MHD_Result queue(struct MHD_Connection *connection,
                             const struct dom_http_answer *answer)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(answer->body.len, answer->body.data, MHD_RESPMEM_MUST_COPY);

    if (response == NULL) {
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, "Content-Type",
                                  answer->content_type == NULL ? TEXT_TYPE : answer->content_type);
    enum MHD_Result queued = MHD_queue_response(
        connection, answer->status == 0 ? MHD_HTTP_OK : answer->status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result answer_whole(struct dom_http *http, struct MHD_Connection *connection,
                                    const char *path, const char *method,
                                    const struct exchange *exchange)
{
    struct dom_http_request request = {
        .method = method, .path = path, .body = dom_buffer_slice(&exchange->body)};
    struct dom_http_answer answer = {0};

    dom_buffer_init(&answer.body, http->options.answer_bytes_max);
    if (exchange->too_large) {
        answer.status = MHD_HTTP_CONTENT_TOO_LARGE;
        dom_buffer_printf(&answer.body, "a body is at most %zu bytes\n",
                          http->options.body_bytes_max);
    } else {
        http->options.handle(http->options.context, &request, &answer);
    }
    if (answer.body.failed) {
        dom_buffer_clear(&answer.body);
        answer.status = MHD_HTTP_INTERNAL_SERVER_ERROR;
        dom_buffer_append_str(&answer.body, "the answer is too large\n");
    }
    enum MHD_Result result = queue(connection, &answer);
    dom_buffer_cleanup(&answer.body);
    return result;
}

static enum MHD_Result take(void *context, struct MHD_Connection *connection, const char *url,
                            const char *method, const char *version, const char *upload,
                            size_t *upload_len, void **state)
{
    struct dom_http *http = context;
    struct exchange *exchange = *state;

    (void)version;
    DOM_CHECK_MAGIC(http, HTTP_MAGIC);
    if (exchange == NULL) {
        exchange = calloc(1, sizeof(*exchange));
        DOM_ASSERT(exchange != NULL);
        dom_buffer_init(&exchange->body, http->options.body_bytes_max);
        *state = exchange;
        return MHD_YES;
    }
    if (*upload_len > 0) {
        /* What is over the limit is read and thrown away, so that the peer gets its answer. */
        if (!exchange->too_large) {
            dom_buffer_append(&exchange->body, upload, *upload_len);
            exchange->too_large = exchange->body.failed;
        }
        *upload_len = 0;
        return MHD_YES;
    }
    return answer_whole(http, connection, url, method, exchange);
}

static void completed(void *context, struct MHD_Connection *connection, void **state,
                      enum MHD_RequestTerminationCode why)
{
    struct exchange *exchange = *state;

    (void)context;
    (void)connection;
    (void)why;
    if (exchange != NULL) {
        dom_buffer_cleanup(&exchange->body);
        free(exchange);
        *state = NULL;
    }
}

static enum dom_code resolve(const struct dom_http_options *options, struct addrinfo **found,
                             struct dom_error *err)
{
    char host[256];
    const char *address = options->address;
    const char *colon = strrchr(address, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};

    *found = NULL;
    if (colon == NULL || (size_t)(colon - address) >= sizeof(host)) {
        return DOM_FAIL(err, DOM_INVALID, "%s address \"%s\" is not HOST:PORT", options->what,
                        address);
    }
    size_t len = (size_t)(colon - address);
    bool bracketed = len >= 2 && address[0] == '[' && address[len - 1] == ']';
    memcpy(host, address + (bracketed ? 1 : 0), len - (bracketed ? 2 : 0));
    host[len - (bracketed ? 2 : 0)] = '\0';
    if (getaddrinfo(host, colon + 1, &hints, found) != 0) {
        return DOM_FAIL(err, DOM_INVALID, "%s address \"%s\" is not an IP address and a port",
                        options->what, address);
    }
    return DOM_OK;
}

enum dom_code dom_http_start(struct dom_http **httpp, const struct dom_http_options *options,
                             struct dom_error *err)
{
    struct addrinfo *found = NULL;

    *httpp = NULL;
    DOM_ASSERT(options->handle != NULL);
    enum dom_code rc = resolve(options, &found, err);
    if (rc != DOM_OK) {
        return rc;
    }
    struct dom_http *http = calloc(1, sizeof(*http));
    DOM_ASSERT(http != NULL);
    http->magic = HTTP_MAGIC;
    http->options = *options;
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD;
    if (found->ai_family == AF_INET6) {
        flags |= MHD_USE_IPv6;
    }
    http->daemon = MHD_start_daemon(flags, 0, NULL, NULL, take, http, MHD_OPTION_SOCK_ADDR,
                                    found->ai_addr, MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
                                    MHD_OPTION_CONNECTION_LIMIT, DOM_HTTP_CONNECTIONS_MAX,
                                    MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_S, MHD_OPTION_END);
    freeaddrinfo(found);
    if (http->daemon == NULL) {
        rc = DOM_FAIL(err, DOM_UNAVAILABLE, "%s cannot listen on %s: %s", options->what,
                      options->address, strerror(errno));
        free(http);
        return rc;
    }
    http->options.address = NULL; /* the caller's */
    http->options.what = NULL;
    *httpp = http;
    return DOM_OK;
}

unsigned dom_http_port(const struct dom_http *http)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_BIND_PORT);

    return info == NULL ? 0 : info->port;
}

void dom_http_stop(struct dom_http *http)
{
    if (http != NULL) {
        MHD_stop_daemon(http->daemon);
        http->magic = 0;
        free(http);
    }
}
