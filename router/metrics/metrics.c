#include "router/metrics/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/http/http.h"

#define RENDER_BYTES_MAX (4U << 20)

struct dom_metrics {
    struct dom_http *http;
    void (*render)(void *context, struct dom_buffer *out);
    void *context;
};

static void handle(void *context, const struct dom_http_request *request,
                   struct dom_http_answer *answer)
{
    struct dom_metrics *metrics = context;

    if (strcmp(request->method, "GET") != 0 && strcmp(request->method, "HEAD") != 0) {
        answer->status = 405;
        dom_buffer_append_str(&answer->body, "only GET\n");
    } else if (strcmp(request->path, "/metrics") != 0) {
        answer->status = 404;
        dom_buffer_append_str(&answer->body, "metrics are at /metrics\n");
    } else {
        answer->content_type = "text/plain; version=0.0.4; charset=utf-8";
        metrics->render(metrics->context, &answer->body);
    }
}

enum dom_code dom_metrics_start(struct dom_metrics **metricsp, const char *address,
                                void (*render)(void *context, struct dom_buffer *out),
                                void *context, struct dom_error *err)
{
    *metricsp = NULL;
    struct dom_metrics *metrics = calloc(1, sizeof(*metrics));
    DOM_ASSERT(metrics != NULL);
    metrics->render = render;
    metrics->context = context;
    struct dom_http_options options = {.address = address,
                                       .what = "metrics",
                                       .answer_bytes_max = RENDER_BYTES_MAX,
                                       .body_bytes_max = 1,
                                       .handle = handle,
                                       .context = metrics};
    enum dom_code rc = dom_http_start(&metrics->http, &options, err);
    if (rc != DOM_OK) {
        free(metrics);
        return rc;
    }
    *metricsp = metrics;
    return DOM_OK;
}

unsigned dom_metrics_port(const struct dom_metrics *metrics)
{
    return dom_http_port(metrics->http);
}

void dom_metrics_stop(struct dom_metrics *metrics)
{
    if (metrics != NULL) {
        dom_http_stop(metrics->http);
        free(metrics);
    }
}

void dom_metrics_family(struct dom_buffer *out, const char *name, const char *type,
                        const char *help)
{
    dom_buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}
