#include "router/metrics/metrics.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define RENDER_BYTES_MAX (4U << 20)

struct dom_metrics {
    struct MHD_Daemon *daemon;
    void (*render)(void *context, struct dom_buffer *out);
    void *context;
};

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned status,
                                   const char *type, const char *text, size_t len)
{
    /* The library's buffer argument is not const; with MUST_COPY it only reads. */
    void *bytes = NULL;
    memcpy(&bytes, &text, sizeof(text));
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, bytes, MHD_RESPMEM_MUST_COPY);

    if (response == NULL) {
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, "Content-Type", type);
    enum MHD_Result queued = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_len, void **state)
{
    struct dom_metrics *metrics = context;
    struct dom_buffer out;

    (void)version;
    (void)upload;
    (void)state;
    if (*upload_len != 0 || (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)) {
        static const char text[] = "only GET\n";
        *upload_len = 0;
        return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", text,
                           sizeof(text) - 1);
    }
    if (strcmp(url, "/metrics") != 0) {
        static const char text[] = "metrics are at /metrics\n";
        return answer_text(connection, MHD_HTTP_NOT_FOUND, "text/plain", text, sizeof(text) - 1);
    }
    dom_buffer_init(&out, RENDER_BYTES_MAX);
    metrics->render(metrics->context, &out);
    enum MHD_Result result =
        out.failed ? MHD_NO
                   : answer_text(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8",
                                 (const char *)out.data, out.len);
    dom_buffer_cleanup(&out);
    return result;
}

static enum dom_code resolve(const char *address, struct addrinfo **found, struct dom_error *err)
{
    char host[256];
    const char *colon = strrchr(address, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};

    *found = NULL;
    if (colon == NULL || (size_t)(colon - address) >= sizeof(host)) {
        return DOM_FAIL(err, DOM_INVALID, "metrics address \"%s\" is not HOST:PORT", address);
    }
    size_t len = (size_t)(colon - address);
    bool bracketed = len >= 2 && address[0] == '[' && address[len - 1] == ']';
    memcpy(host, address + (bracketed ? 1 : 0), len - (bracketed ? 2 : 0));
    host[len - (bracketed ? 2 : 0)] = '\0';
    if (getaddrinfo(host, colon + 1, &hints, found) != 0) {
        return DOM_FAIL(err, DOM_INVALID, "metrics address \"%s\" is not an IP address and a port",
                        address);
    }
    return DOM_OK;
}

enum dom_code dom_metrics_start(struct dom_metrics **metricsp, const char *address,
                                void (*render)(void *context, struct dom_buffer *out),
                                void *context, struct dom_error *err)
{
    struct addrinfo *found = NULL;

    *metricsp = NULL;
    enum dom_code rc = resolve(address, &found, err);
    if (rc != DOM_OK) {
        return rc;
    }
    struct dom_metrics *metrics = calloc(1, sizeof(*metrics));
    DOM_ASSERT(metrics != NULL);
    metrics->render = render;
    metrics->context = context;
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD;
    if (found->ai_family == AF_INET6) {
        flags |= MHD_USE_IPv6;
    }
    metrics->daemon = MHD_start_daemon(flags, 0, NULL, NULL, handle, metrics, MHD_OPTION_SOCK_ADDR,
                                       found->ai_addr, MHD_OPTION_CONNECTION_LIMIT, 16U,
                                       MHD_OPTION_CONNECTION_TIMEOUT, 10U, MHD_OPTION_END);
    freeaddrinfo(found);
    if (metrics->daemon == NULL) {
        free(metrics);
        return DOM_FAIL(err, DOM_UNAVAILABLE, "metrics cannot listen on %s: %s", address,
                        strerror(errno));
    }
    *metricsp = metrics;
    return DOM_OK;
}

unsigned dom_metrics_port(const struct dom_metrics *metrics)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(metrics->daemon, MHD_DAEMON_INFO_BIND_PORT);

    return info == NULL ? 0 : info->port;
}

void dom_metrics_stop(struct dom_metrics *metrics)
{
    if (metrics != NULL) {
        MHD_stop_daemon(metrics->daemon);
        free(metrics);
    }
}

void dom_metrics_family(struct dom_buffer *out, const char *name, const char *type,
                        const char *help)
{
    dom_buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}
