/* GET /metrics over HTTP in the Prometheus text format (exposition format 0.0.4).
 *
 * Thread contract: start and stop on one thread; `render` runs on the HTTP library's thread, one
 * call at a time.
 */
#ifndef DOM_ROUTER_METRICS_METRICS_H
#define DOM_ROUTER_METRICS_METRICS_H

#include "base/buffer.h"
#include "base/error.h"

struct dom_metrics;

/* Listens on `address` ("127.0.0.1:9464", "[::1]:0"). Errors: INVALID (address), UNAVAILABLE. */
enum dom_code dom_metrics_start(struct dom_metrics **metricsp, const char *address,
                                void (*render)(void *context, struct dom_buffer *out),
                                void *context, struct dom_error *err) DOM_MUST_USE;
/* The port bound. */
unsigned dom_metrics_port(const struct dom_metrics *metrics);
/* NULL is a no-op. */
void dom_metrics_stop(struct dom_metrics *metrics);

/* One metric family's head: `# HELP` and `# TYPE`. `type` is counter or gauge. */
void dom_metrics_family(struct dom_buffer *out, const char *name, const char *type,
                        const char *help);

#endif
