/* A server with test methods on a thread of its own, for the suites and the e2e binary. */
#ifndef DOM_TESTS_ROUTER_RPC_HARNESS_H
#define DOM_TESTS_ROUTER_RPC_HARNESS_H

#include <pthread.h>
#include <stdatomic.h>

#include "router/rpc/client.h"
#include "router/rpc/server.h"

#define ECHO "/test.v1.TestService/Echo"
#define FAIL "/test.v1.TestService/Fail"
#define HOLD "/test.v1.TestService/Hold"
#define WHO "/test.v1.TestService/Who"
#define COUNT "/test.v1.TestService/Count"
#define FLOOD "/test.v1.TestService/Flood"
#define LOST "/test.v1.TestService/Lost"
#define DEADLINE "/test.v1.TestService/Deadline"

/* What the handlers tell the test, and what it tells them. */
struct harness {
    struct dom_rpc_server *server;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock. */
    unsigned num_held;         /* Hold calls that wait */
    unsigned num_cancelled;    /* Hold calls whose cancellation was seen */
    unsigned num_streams_lost; /* Flood streams whose peer went away */
    struct held *held;         /* oldest first */
    char trace_id[33];         /* of the last Who */
    uint64_t flood_sent;       /* messages that the transport took */
    atomic_uint num_posted_run;
};

struct harness_options {
    unsigned in_flight_max;
    uint64_t drain_grace_ms;
    size_t arena_bytes_max;
    const char *listen; /* NULL: 127.0.0.1:0 */
    const struct dom_rpc_tls_options *tls; /* NULL: insecure */
};

void harness_start(struct harness *harness, const struct harness_options *options);
/* Shuts down, joins, destroys. */
void harness_stop(struct harness *harness);
/* A client that says it is `edge` in `eu-1`; asserts that it can be made. */
struct dom_rpc_client *harness_client(struct harness *harness);

/* A server, one client of it, and room for what it answers: what most tests begin with. */
struct harness_pair {
    uint64_t drain_grace_ms; /* of the server; set before the set-up */
    struct harness harness;
    struct dom_rpc_client *client;
    struct dom_rpc_result result;
};
/* For cmocka: the state is a pair. */
int harness_pair_set_up(void **state);
int harness_pair_tear_down(void **state);

/* Blocks until at least `num` Hold calls wait / cancellations were seen / streams were lost. */
void harness_wait_held(struct harness *harness, unsigned num);
void harness_wait_cancelled(struct harness *harness, unsigned num);
void harness_wait_lost(struct harness *harness, unsigned num);
/* Finishes every Hold call that waits, from this thread, by one post. */
void harness_release(struct harness *harness);

/* The methods, for a server of another shape. */
extern const struct dom_rpc_method harness_methods[];
extern const size_t harness_num_methods;

#endif
