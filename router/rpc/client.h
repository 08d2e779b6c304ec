/* A small gRPC client: blocking calls for the command line and for tests.
 *
 * Thread contract: a client belongs to one thread at a time; several clients may live in one
 * process. Plain text for a server in the insecure loopback mode, else mTLS (TLS 1.3).
 */
#ifndef DOM_ROUTER_RPC_CLIENT_H
#define DOM_ROUTER_RPC_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"

struct dom_rpc_client;

struct dom_rpc_metadata {
    const char *key; /* lower case */
    const char *value;
};

/* TLS sessions that later connections may resume. Made before, destroyed after the clients. */
struct dom_rpc_sessions;
struct dom_rpc_sessions *dom_rpc_sessions_new(void);
void dom_rpc_sessions_destroy(struct dom_rpc_sessions *sessions);

/* Who we are and whom we trust; files in PEM, read when the client is made. */
struct dom_rpc_client_tls {
    const char *cert;        /* our chain, leaf first */
    const char *key;         /* 0600 */
    const char *ca;          /* who may have issued the server's certificate */
    const char *server_name; /* the name that the server's certificate must have; NULL: the host
                              * of the target */
    struct dom_rpc_sessions *sessions; /* NULL: every connection begins anew */
};

struct dom_rpc_client_options {
    const char *target;                      /* "127.0.0.1:7443"; copied */
    const struct dom_rpc_metadata *metadata; /* sent with every call; copied. May be NULL */
    size_t num_metadata;                     /* up to 16 */
    const struct dom_rpc_client_tls *tls;    /* NULL: plain text */
};

/* Does not connect yet: the first call does. Errors: INVALID (target, too much metadata), IO and
 * PERMISSION (a file of tls). */
enum dom_code dom_rpc_client_new(struct dom_rpc_client **clientp,
                                 const struct dom_rpc_client_options *options,
                                 struct dom_error *err) DOM_MUST_USE;
void dom_rpc_client_destroy(struct dom_rpc_client *client);

/* What came back. A zeroed result is valid; reuse keeps the buffers' memory. */
struct dom_rpc_result {
    int status;                /* google.rpc.Code; 0 is OK */
    struct dom_buffer message; /* the status message; text, use dom_buffer_cstr */
    struct dom_buffer details; /* serialised google.rpc.Status, empty when none came */
    struct dom_buffer reply;   /* a unary call's message */
    uint64_t num_messages;     /* a stream's messages received */
};
void dom_rpc_result_cleanup(struct dom_rpc_result *result);

/* One unary call; blocks until it is over, at most timeout_ms (then status 4). True iff OK. */
bool dom_rpc_client_call(struct dom_rpc_client *client, const char *path, struct dom_slice request,
                         uint64_t timeout_ms, struct dom_rpc_result *result);

/* One server-streaming call; blocks. `on_message` sees each message as it comes (the bytes live
 * during the call only) and returns false to cancel the stream (the result is then status 1).
 * timeout_ms 0: none. True iff the stream ended with OK. */
bool dom_rpc_client_stream(struct dom_rpc_client *client, const char *path,
                           struct dom_slice request, uint64_t timeout_ms,
                           bool (*on_message)(void *arg, struct dom_slice message), void *arg,
                           struct dom_rpc_result *result);

#endif
