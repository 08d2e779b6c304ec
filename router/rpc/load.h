/* A closed-loop load generator: n connections, m calls outstanding on each, one thread.
 *
 * Thread contract: dom_rpc_load_run blocks; callbacks run on its thread. It costs about as much
 * CPU per call as the server does, so give it a core of its own when the server's CPU is the
 * question.
 */
#ifndef DOM_ROUTER_RPC_LOAD_H
#define DOM_ROUTER_RPC_LOAD_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "router/rpc/client.h"

#define DOM_RPC_LOAD_CHANNELS_MAX 64U
#define DOM_RPC_LOAD_OUTSTANDING_MAX 4096U /* in all */

/* Latencies, exact to 1/64 of their value: buckets of equal width between powers of two. */
#define DOM_RPC_HISTOGRAM_BUCKETS 2432U /* up to 2^41 ns, half an hour */
struct dom_rpc_histogram {
    uint64_t counts[DOM_RPC_HISTOGRAM_BUCKETS];
    uint64_t num;
    uint64_t sum_ns;
    uint64_t max_ns;
};
void dom_rpc_histogram_add(struct dom_rpc_histogram *histogram, uint64_t ns);
/* The latency that `per_mille` of 1,000 calls stayed at or below (500: median, 999: p99.9);
 * 0 when empty. */
uint64_t dom_rpc_histogram_quantile(const struct dom_rpc_histogram *histogram, unsigned per_mille);

struct dom_rpc_load_options {
    const char *target;
    const char *path; /* a unary method */
    const struct dom_rpc_metadata *metadata;
    size_t num_metadata;
    const struct dom_rpc_client_tls *tls; /* NULL: plain text */
    unsigned channels;    /* connections: 1 to 64 */
    unsigned outstanding; /* calls at once on each; at least 1 */
    uint64_t num_calls;   /* stop after so many; 0: by time */
    uint64_t duration_ms; /* stop starting calls after this; 0: by number */
    uint64_t warmup_ms;   /* calls begun in this time are not counted */
    uint64_t timeout_ms;  /* of one call; 0: none */
    /* Writes the request of call `number` (0, 1, 2, ...) into the empty buffer. */
    void (*make_request)(void *arg, uint64_t number, struct dom_buffer *out);
    /* Looks at an answer; may be NULL. `reply` lives during the call only. */
    void (*on_reply)(void *arg, uint64_t number, int status, struct dom_slice reply);
    void *arg;
};

struct dom_rpc_load_result {
    uint64_t num_calls;     /* counted, whatever their status */
    uint64_t by_status[17]; /* by google.rpc.Code */
    uint64_t elapsed_ns;    /* of the counted part */
    uint64_t request_bytes;
    uint64_t reply_bytes;
    struct dom_rpc_histogram latency; /* of calls that ended with OK */
};

/* `result` is overwritten. Errors: INVALID (options). Failing calls are counted, not errors. */
enum dom_code dom_rpc_load_run(struct dom_rpc_load_result *result,
                               const struct dom_rpc_load_options *options,
                               struct dom_error *err) DOM_MUST_USE;

#endif
