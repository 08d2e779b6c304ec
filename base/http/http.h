/* A small HTTP server over libmicrohttpd: whole requests in, whole answers out, on one thread of
 * its own. For pages and machines of the same house: no TLS, no keep-alive tuning, no streaming.
 *
 * Thread contract: start and stop on one thread; `handle` runs on the server's thread, one call
 * at a time. Limits: DOM_HTTP_CONNECTIONS_MAX, ten seconds without a byte, body_bytes_max.
 */
#ifndef DOM_BASE_HTTP_HTTP_H
#define DOM_BASE_HTTP_HTTP_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"

#define DOM_HTTP_CONNECTIONS_MAX 32U

struct dom_http_request {
    const char *method; /* "GET", "POST", ... */
    const char *path;   /* decoded, without the query */
    struct dom_slice body;
};

struct dom_http_answer {
    unsigned status;          /* 200 unless it is set */
    const char *content_type; /* static; "text/plain; charset=utf-8" unless it is set */
    struct dom_buffer body;   /* the server cleans it up */
};

struct dom_http_options {
    const char *address;   /* "127.0.0.1:9464", "[::1]:0": an IP address and a port */
    const char *what;      /* names it in messages: "metrics" */
    size_t body_bytes_max; /* a longer body gets 413 and is not handled */
    size_t answer_bytes_max;
    void (*handle)(void *context, const struct dom_http_request *request,
                   struct dom_http_answer *answer);
    void *context;
};

struct dom_http;

/* Copies the options but for `context`. Errors: INVALID (address), UNAVAILABLE (cannot listen). */
enum dom_code dom_http_start(struct dom_http **httpp, const struct dom_http_options *options,
                             struct dom_error *err) DOM_MUST_USE;
/* The port bound. */
unsigned dom_http_port(const struct dom_http *http);
/* NULL is a no-op. */
void dom_http_stop(struct dom_http *http);

#endif
