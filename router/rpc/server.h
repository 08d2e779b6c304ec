/* A gRPC server in plain C: the only place in the tree that includes grpc.
 *
 * Shape: one completion queue, one I/O thread (dom_rpc_server_run's caller). Every handler runs
 * on that thread and must not block: what waits (a commit, a scan) goes to another thread,
 * which hands the finished call back with dom_rpc_post. Method tables are given at start;
 * unknown methods are answered UNIMPLEMENTED at once; health and reflection are built in.
 *
 * Life of a unary call: handler(call) -> either finish at once, or go async and later, on the
 * I/O thread, finish. Exactly one finish per call. The call, its payload and its arena live
 * until finish returns (a server-streaming call: until its on_done).
 */
#ifndef DOM_ROUTER_RPC_SERVER_H
#define DOM_ROUTER_RPC_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/slice.h"

struct dom_rpc_server;
struct dom_rpc_call;
struct dom_rpc_work;

/* ---- identity ---------------------------------------------------------------------------- */

/* Who calls, as the identity provider found it. Slices live as long as the call. */
struct dom_rpc_identity {
    struct dom_slice service; /* name as the policy knows it */
    struct dom_slice region;  /* the caller's region */
    struct dom_slice subject; /* "spiffe://..." or "insecure:NAME" */
    bool proven;              /* by a certificate; the rest is empty when not */
    struct dom_slice cert_serial;     /* lower-case hex */
    struct dom_slice cert_key;        /* SHA-256 of the public key (SPKI), hex */
    struct dom_slice claimed_region;  /* what metadata says otherwise; never used for anything */
    struct dom_slice claimed_service;
};

/* X(NAME, text): why a certificate names nobody. The names are stable: ErrorInfo.metadata
 * ["identity"], the label of a metric, the reason in an entry. */
#define DOM_RPC_FAULTS(X)                                                                    \
    X(NONE, "")                                                                              \
    X(NO_PROOF, "the call does not prove who makes it")                                      \
    X(UNREADABLE, "the certificate cannot be read")                                          \
    X(SAN_MISSING, "the certificate has no URI among its alternative names")                 \
    X(SAN_AMBIGUOUS, "the certificate has more than one URI among its alternative names")    \
    X(SAN_MALFORMED,                                                                         \
      "the certificate's URI is not spiffe://TRUST-DOMAIN/region/REGION/service/NAME")       \
    X(TRUST_DOMAIN, "the certificate's URI is of another trust domain")                      \
    X(IS_CA, "the certificate is that of a CA")                                              \
    X(KEY_WEAK, "the certificate's key, or one of its issuers', is too weak")                \
    X(SIGNATURE_WEAK, "the certificate is signed with a broken hash")                        \
    X(UNTRUSTED, "none of the CAs that this router trusts has issued the certificate")                         \
    X(REVOKED, "the certificate is revoked")                                                 \
    X(NOT_YET_VALID, "the certificate is not valid yet")                                     \
    X(EXPIRED, "the certificate has expired")                                                \
    X(REGION_UNKNOWN, "the policy in force does not know the caller's region")

enum dom_rpc_fault {
#define X(name, text) DOM_RPC_FAULT_##name,
    DOM_RPC_FAULTS(X)
#undef X
};
#define DOM_RPC_FAULT_COUNT 15
/* Static strings: "REVOKED", and a sentence for a person. */
const char *dom_rpc_fault_reason(enum dom_rpc_fault fault);
const char *dom_rpc_fault_text(enum dom_rpc_fault fault);

/* mTLS: files in PEM, looked at every poll_ms and loaded anew, whole or not at all, when one has
 * changed. */
struct dom_rpc_tls_options {
    const char *cert; /* the server's chain, leaf first */
    const char *key;  /* 0600 */
    const char *ca;   /* who may have issued the certificates of callers */
    const char *crl;  /* NULL: none; else lists signed by CAs of `ca` */
    const char *trust_domain;
    uint64_t poll_ms; /* 0: 1,000 */
};

/* ---- methods ----------------------------------------------------------------------------- */

enum dom_rpc_kind { DOM_RPC_UNARY, DOM_RPC_SERVER_STREAM };

struct dom_rpc_method {
    const char *path;        /* "/domicile.v1.RecordService/GetRecord"; static */
    enum dom_rpc_kind kind;
    unsigned slots;          /* calls armed at once: 16-64 for hot methods, 2 for cold ones */
    bool needs_identity;     /* refuse UNAUTHENTICATED before the handler when there is none; with
                              * mTLS, health and reflection do */
    void (*handler)(struct dom_rpc_call *call, void *context); /* I/O thread; must not block */
};

struct dom_rpc_server_options {
    const char *listen;              /* "127.0.0.1:0", "[::1]:7443" */
    bool insecure_loopback;          /* plain text, identity from metadata `domicile-service` and
                                      * `domicile-region`; refused unless every address that
                                      * `listen` resolves to is loopback */
    const struct dom_rpc_tls_options *tls; /* mTLS instead: TLS 1.3, client certificates required;
                                            * borrowed for the call of dom_rpc_server_new */
    /* A call of a method that needs an identity, whose certificate names nobody. The hook must
     * fail the call, now or (after go_async) later; dom_rpc_call_identity_fault tells why. NULL:
     * it is failed UNAUTHENTICATED. */
    void (*refused)(struct dom_rpc_call *call, void *context);
    const struct dom_rpc_method *methods;
    size_t num_methods;
    void *context;                   /* handed to every handler, and to `timer` */
    void (*timer)(void *context);    /* NULL: none; see dom_rpc_server_set_timer */
    const void *descriptor_set;      /* FileDescriptorSet bytes for reflection; static */
    size_t descriptor_set_len;
    unsigned in_flight_max;          /* calls at once; beyond: RESOURCE_EXHAUSTED + RetryInfo */
    uint64_t drain_grace_ms;         /* how long a shutdown lets calls finish */
    uint64_t arena_bytes_max;        /* of one call */
    uint64_t connection_age_ms_max;  /* 0: no limit */
};

/* Binds and starts, but serves nothing until run. Errors: INVALID (address; not loopback in
 * insecure mode), UNAVAILABLE (address in use). */
enum dom_code dom_rpc_server_new(struct dom_rpc_server **serverp,
                                 const struct dom_rpc_server_options *options,
                                 struct dom_error *err) DOM_MUST_USE;
/* The address bound, "127.0.0.1:41234" (port 0 resolved). Lives as long as the server. */
const char *dom_rpc_server_address(const struct dom_rpc_server *server);
/* Serves until dom_rpc_server_shutdown, then drains: health NOT_SERVING, no new calls, waits for
 * calls in flight up to the grace, cancels the rest, returns when none is left. */
void dom_rpc_server_run(struct dom_rpc_server *server);
/* Any thread, also twice; returns at once. */
void dom_rpc_server_shutdown(struct dom_rpc_server *server);
/* After run returned (or never ran). NULL is a no-op. */
void dom_rpc_server_destroy(struct dom_rpc_server *server);

/* Has options.timer called on the I/O thread at this time (monotonic microseconds of the system's
 * clock; UINT64_MAX: never), once. Takes the place of the time set before. I/O thread, or before
 * run. */
void dom_rpc_server_set_timer(struct dom_rpc_server *server, uint64_t at_us);

/* Health (grpc.health.v1): "" and each service name given here; watchers are told. Any thread.
 * Names start as SERVING when set first with true. */
void dom_rpc_server_set_health(struct dom_rpc_server *server, const char *service, bool serving);

/* True once a shutdown has begun: streams should come to an end. Any thread. */
bool dom_rpc_server_draining(const struct dom_rpc_server *server);

/* A handler that answers with the request's bytes: what the shell itself costs. Any path; the
 * context is not looked at. */
void dom_rpc_echo(struct dom_rpc_call *call, void *context);

/* Look at the certificate files now instead of at the next poll. Any thread. */
void dom_rpc_server_reload_tls(struct dom_rpc_server *server);

/* Counters for metrics. Any thread. */
struct dom_rpc_stats {
    uint64_t calls_started;
    uint64_t calls_finished;
    uint64_t calls_rejected;    /* over in_flight_max */
    uint64_t calls_cancelled;   /* the peer had gone before the answer */
    uint64_t calls_unknown;     /* unknown methods */
    uint64_t in_flight;
    uint64_t bytes_received;
    uint64_t bytes_sent;
    uint64_t identities_refused[DOM_RPC_FAULT_COUNT]; /* calls, by fault */
    uint64_t handshakes_refused;                      /* connections; 0 without TLS */
    uint64_t tls_reloads;
    uint64_t tls_reloads_failed;
    int64_t tls_cert_expires_s; /* Unix time; 0 without TLS */
    int64_t tls_crl_expires_s;  /* 0: no list */
};
void dom_rpc_server_stats(const struct dom_rpc_server *server, struct dom_rpc_stats *out);

/* ---- inside a call (I/O thread unless said) -------------------------------------------------- */

/* The request's bytes, contiguous. Lives as long as the call. */
struct dom_slice dom_rpc_call_request(const struct dom_rpc_call *call);
struct dom_arena *dom_rpc_call_arena(struct dom_rpc_call *call);
struct dom_rpc_server *dom_rpc_call_server(const struct dom_rpc_call *call);
/* NULL when the caller gave no proof, or contradictory proof; never NULL with needs_identity. */
const struct dom_rpc_identity *dom_rpc_call_identity(const struct dom_rpc_call *call);
/* Why there is no identity, and what the certificate says all the same (parts may be empty).
 * NONE when there is one, or in the insecure mode. */
enum dom_rpc_fault dom_rpc_call_identity_fault(const struct dom_rpc_call *call,
                                               const struct dom_rpc_identity **identityp);
/* Counts a fault that only the policy can find. */
void dom_rpc_server_count_fault(struct dom_rpc_server *server, enum dom_rpc_fault fault);
/* Fails the call UNAUTHENTICATED with the fault's reason. */
void dom_rpc_call_fail_identity(struct dom_rpc_call *call, enum dom_rpc_fault fault);
/* Where the connection comes from, "ipv4:192.0.2.7:41234"; for the log of refusals, not proven and
 * not kept. Cut to fit. */
void dom_rpc_call_peer(const struct dom_rpc_call *call, char *out, size_t out_size);
/* "/domicile.v1.RecordService/GetRecord" */
const char *dom_rpc_call_path(const struct dom_rpc_call *call);
/* First value of a metadata key (lower case); empty slice with NULL data when absent. */
struct dom_slice dom_rpc_call_metadata(const struct dom_rpc_call *call, const char *key);
/* Monotonic microseconds (base/clock.h); UINT64_MAX without a deadline. Any thread. */
uint64_t dom_rpc_call_deadline_us(const struct dom_rpc_call *call);
/* True once the peer cancelled or went away; only known for calls that went async. Any thread. */
bool dom_rpc_call_cancelled(const struct dom_rpc_call *call);
/* W3C traceparent's trace id, 32 hex digits, or all zero when absent or malformed. */
void dom_rpc_call_trace_id(const struct dom_rpc_call *call, char out[33]);

/* Tells the server that this call will be finished later: cancellation is watched from now on
 * (costs one more batch). Must be called in the handler before it returns unfinished. */
void dom_rpc_call_go_async(struct dom_rpc_call *call);
/* The same without watching for cancellation, which spares a batch: for an answer that is made
 * already and waits for no more than a commit. dom_rpc_call_cancelled stays false. */
void dom_rpc_call_hold(struct dom_rpc_call *call);

/* ---- answers from another thread: the one exception to the rule of the I/O thread ----
 *
 * A held unary call whose answer is made but for what another thread finds out (a receipt, when a
 * commit is durable) can be lent to that thread, which then sends the answer itself: one change of
 * threads less. lend, and then whichever is first: claim_lent and answer_lent (any thread), or take_back
 * (I/O thread).
 */

/* I/O thread; held, unary, no reply yet. Returns room for `len` bytes of reply (at most
 * DOM_MESSAGE_BYTES_MAX), which belongs to whoever claims the call or takes it back. `then` runs on
 * the I/O thread when somebody else has answered, before the call goes; it may not end the call. */
uint8_t *dom_rpc_call_lend(struct dom_rpc_call *call, size_t len, struct dom_rpc_work *then);
/* Any thread, at most once. False: it was taken back, and nothing of it may be touched. After true
 * it must be answered. */
bool dom_rpc_call_claim_lent(struct dom_rpc_call *call);
/* The thread that claimed. Ends the call with OK and the first `len` bytes of the room. That thread may
 * touch nothing of it afterwards. */
void dom_rpc_call_answer_lent(struct dom_rpc_call *call, size_t len);
/* I/O thread. True: the call is here again, to be ended here (finish_lent, fail). False: somebody else
 * is answering or has answered. Also true for a call that is not lent. */
bool dom_rpc_call_take_back(struct dom_rpc_call *call);
/* I/O thread, a call that was taken back: dom_rpc_call_finish with the first `len` bytes. */
void dom_rpc_call_finish_lent(struct dom_rpc_call *call, size_t len);

/* Keeps the call's memory (its arena, its request) beyond its end, for what somebody else still works
 * with; one reference. Before the call is finished or failed. */
void dom_rpc_call_keep(struct dom_rpc_call *call);
/* Gives such a reference back. The call may be gone afterwards. */
void dom_rpc_call_drop(struct dom_rpc_call *call);

/* Runs `fn` on the I/O thread once the peer has cancelled or gone, unless the call was finished
 * before; the call must still be finished. For async and streaming calls that wait for something
 * other than the peer. Not called for what dom_rpc_call_cancelled already tells. */
void dom_rpc_call_on_cancel(struct dom_rpc_call *call,
                            void (*fn)(struct dom_rpc_call *call, void *arg), void *arg);

/* Memory for the answer's bytes: fill all `len` bytes, then finish. At most once. NULL when len
 * is over DOM_MESSAGE_BYTES_MAX: fail the call with DOM_RESOURCE then. */
uint8_t *dom_rpc_call_reply_alloc(struct dom_rpc_call *call, size_t len);
/* Sends the reply with status OK. The call is gone afterwards. */
void dom_rpc_call_finish(struct dom_rpc_call *call);

/* Ends the call with the error's gRPC status, its message, and google.rpc.Status details:
 * ErrorInfo {reason, domain "domicile", metadata}, plus BadRequest and RetryInfo when given. */
struct dom_rpc_pair {
    const char *key;
    struct dom_slice value;
};
struct dom_rpc_failure {
    enum dom_code code;
    const char *message;              /* copied, 512 bytes of it; NULL: the code's own text */
    const struct dom_rpc_pair *pairs; /* ErrorInfo.metadata; up to 32, fewer when they are long */
    size_t num_pairs;
    const char *field;                /* BadRequest.FieldViolation.field, NULL: none */
    uint64_t retry_after_ms;          /* RetryInfo, 0: none */
    const char *explanation;          /* LocalizedMessage; NULL: none; left out when it does not fit */
};
void dom_rpc_call_fail(struct dom_rpc_call *call, const struct dom_rpc_failure *failure);

/* ---- server streaming -------------------------------------------------------------------- */

/* Sends one message; `sent(call, ok, arg)` runs on the I/O thread when the transport has taken
 * it (flow control: send the next one then). ok = false: the peer has gone, end the call. One
 * message in flight per call; the bytes are copied. dom_rpc_call_finish / _fail end the stream:
 * after the message in flight, whose `sent` is then not called any more. A streaming call is
 * async from the start: its handler need not go_async. */
void dom_rpc_call_send(struct dom_rpc_call *call, struct dom_slice message,
                       void (*sent)(struct dom_rpc_call *call, bool ok, void *arg), void *arg);

/* ---- handing work back ------------------------------------------------------------------- */

/* A piece of work to run on the I/O thread. Embed it; it is the caller's until run. */
struct dom_rpc_work {
    struct dom_rpc_work *next; /* for chains */
    void (*run)(struct dom_rpc_work *work);
};
/* Queues a chain (first -> ... -> last by next) for the I/O thread. Any thread, never blocks; one
 * wake-up however long the chain, none if the thread is already due to look. Must not be called
 * after run has returned; every async call must be finished before run returns. */
void dom_rpc_post(struct dom_rpc_server *server, struct dom_rpc_work *first,
                  struct dom_rpc_work *last);

#endif
