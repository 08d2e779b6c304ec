/* What the files of router/rpc share and nobody else sees.
 *
 * Everything here belongs to the I/O thread (the one inside dom_rpc_server_run) unless a comment
 * says otherwise; that is why references and flags are plain integers. Before run and after it
 * has returned, the thread that owns the server stands in for the I/O thread.
 */
#ifndef DOM_ROUTER_RPC_INTERNAL_H
#define DOM_ROUTER_RPC_INTERNAL_H

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/assert.h"
#include "base/limits.h"
#include "router/rpc/server.h"

/* ---- tags ------------------------------------------------------------------------------- */

#define DOM_RPC_OP_MAGIC 0x6f705f31U
#define DOM_RPC_CALL_MAGIC 0x63616c6cU
#define DOM_RPC_SERVER_MAGIC 0x73727672U

/* The completion queue's tag: never a bare number, so that a stray pointer is caught. Embedded
 * in the object that waits; fn finds the object with DOM_RPC_OWNER. */
struct dom_rpc_op {
    uint32_t magic;
    void (*fn)(struct dom_rpc_op *op, bool ok);
};

#define DOM_RPC_OWNER(op, type, member) ((type *)(void *)((char *)(op)-offsetof(type, member)))

static inline struct dom_rpc_op dom_rpc_op_of(void (*fn)(struct dom_rpc_op *op, bool ok))
{
    return (struct dom_rpc_op){.magic = DOM_RPC_OP_MAGIC, .fn = fn};
}

#ifdef DOM_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#endif

/* Debian's libgrpc is not instrumented: TSan cannot see that an event of the queue happens after
 * its arming. These two say so; they are nothing in other builds. */
static inline void *dom_rpc_tag(struct dom_rpc_op *op)
{
#ifdef DOM_TSAN
    __tsan_release(op);
#endif
    return op;
}

static inline struct dom_rpc_op *dom_rpc_op_from_tag(void *tag)
{
    struct dom_rpc_op *op = tag;

#ifdef DOM_TSAN
    __tsan_acquire(op);
#endif
    DOM_CHECK_MAGIC(op, DOM_RPC_OP_MAGIC);
    return op;
}

/* ---- identity --------------------------------------------------------------------------- */

/* Where a caller's identity comes from. One per server, chosen by its options. */
struct dom_rpc_identity_ops {
    const char *name;
    /* True when only loopback addresses may be listened on. */
    bool loopback_only;
    /* What new connections of one port must prove. The caller releases it. Errors: INVALID. */
    enum dom_code (*credentials)(struct dom_rpc_server *server, grpc_server_credentials **credsp,
                                 struct dom_error *err);
    /* Finds who calls; NONE, or why nobody is proven (`out` may then be filled in part). */
    enum dom_rpc_fault (*identify)(struct dom_rpc_call *call, struct dom_rpc_identity *out);
};

/* Believes metadata; for development on one machine only. */
extern const struct dom_rpc_identity_ops dom_rpc_identity_insecure;
/* Believes certificates only. */
extern const struct dom_rpc_identity_ops dom_rpc_identity_mtls;

struct dom_tls;
struct dom_rpc_peers;
struct dom_rpc_peers *dom_rpc_peers_new(struct dom_tls *tls);
void dom_rpc_peers_destroy(struct dom_rpc_peers *peers);

/* ---- methods ---------------------------------------------------------------------------- */

struct dom_rpc_bound {
    struct dom_rpc_method method;
    void *context;
    void *registered; /* grpc's handle */
    bool built_in;    /* health, reflection: not counted against in_flight_max */
    bool bidi;        /* the handler runs for every message of the request stream */
};

/* ---- calls ------------------------------------------------------------------------------ */

#define DOM_RPC_ARENA_FIRST_BYTES (16U << 10)
#define DOM_RPC_POOL_MAX 1024U           /* idle call objects kept: 18 MB */
#define DOM_RPC_BUILT_IN_CALLS_MAX 1024U /* health watchers and reflection streams at once */
#define DOM_RPC_UNKNOWN_SLOTS 4U
#define DOM_RPC_METHODS_MAX 64U
#define DOM_RPC_SLOTS_MAX 4096U /* of all methods; the queue scans what is outstanding */

enum dom_rpc_identity_state {
    DOM_RPC_IDENTITY_UNASKED,
    DOM_RPC_IDENTITY_NONE,
    DOM_RPC_IDENTITY_KNOWN
};

/* Who may answer a call. Lending and taking back are the I/O thread's; answering is anybody's. */
enum dom_rpc_loan { DOM_RPC_LOAN_NONE, DOM_RPC_LOAN_OUT, DOM_RPC_LOAN_CLAIMED };

struct dom_rpc_call {
    uint32_t magic;
    unsigned refs; /* one per outstanding batch, one for the handler until it finishes */
    struct dom_rpc_server *server;
    struct dom_rpc_bound *bound;
    struct dom_rpc_call *next_free;  /* in the pool */
    struct dom_rpc_call *next_bidi;  /* in the server's list of open bidi streams */
    struct dom_rpc_call **bidi_link; /* what points here; NULL: not in the list */
    struct dom_rpc_op on_new;
    struct dom_rpc_op on_close;   /* RECV_CLOSE of its own: go_async */
    struct dom_rpc_op on_status;  /* the last batch */
    struct dom_rpc_op on_message; /* one streamed message was taken */
    struct dom_rpc_op on_request; /* the next message of a bidi stream */

    grpc_call *call;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_byte_buffer *request; /* owned */
    struct dom_slice request_bytes;

    /* What goes out: one message at a time, so one buffer serves replies and stream messages.
     * It is part of the call to save grpc's malloc of it. */
    grpc_slice reply;
    bool has_reply;
    grpc_byte_buffer out;
    bool out_in_use;
    grpc_metadata trailing;
    bool has_trailing;

    int close_cancelled; /* grpc writes it */
    atomic_bool cancelled;
    bool counted; /* in in_flight (or the built-in count) */
    bool async;
    bool held; /* finished later, but not watched */
    atomic_int lent;   /* enum dom_rpc_loan */
    size_t lent_bytes; /* of the reply that went out */
    struct dom_rpc_work *lent_then;
    bool finished;
    bool started_reply; /* initial metadata is on its way */
    bool sending;       /* a message is */
    bool finish_waits;  /* finished while sending: status goes out after the message */
    int status;         /* with which it ends */
    grpc_slice status_text;

    void (*sent)(struct dom_rpc_call *call, bool ok, void *arg);
    void *sent_arg;
    void (*on_cancel)(struct dom_rpc_call *call, void *arg);
    void *on_cancel_arg;

    enum dom_rpc_identity_state identity_state;
    enum dom_rpc_fault identity_fault;
    struct dom_rpc_identity identity;
    struct dom_arena arena;
    _Alignas(16) uint8_t arena_first[DOM_RPC_ARENA_FIRST_BYTES];
};

/* Arms one slot of the method. Nothing happens while draining. */
void dom_rpc_call_arm(struct dom_rpc_server *server, struct dom_rpc_bound *bound);
/* Drops one reference; the last one returns the object to the pool. */
void dom_rpc_call_unref(struct dom_rpc_call *call);
/* Starts a batch and counts its reference. */
void dom_rpc_call_start(struct dom_rpc_call *call, const grpc_op *ops, size_t num_ops,
                        struct dom_rpc_op *op);
/* The same on any thread, for a batch whose reference is counted already. */
void dom_rpc_call_start_uncounted(struct dom_rpc_call *call, const grpc_op *ops, size_t num_ops,
                                  struct dom_rpc_op *op);
/* The last batch: whatever of headers and reply has not gone out yet, and the status. Returns how
 * many of `ops` it fills. */
#define DOM_RPC_LAST_BATCH_OPS 4
size_t dom_rpc_call_last_batch(struct dom_rpc_call *call, grpc_op ops[DOM_RPC_LAST_BATCH_OPS]);
/* lent.c: the last batch is done; if another thread had started it, ends what the I/O thread has of
 * the call but for the batch's reference. */
void dom_rpc_lent_gone(struct dom_rpc_call *call);
void dom_rpc_call_pool_free(struct dom_rpc_server *server);
/* Takes request_bytes from a received buffer. Errors: UNSUPPORTED (compressed), RESOURCE. */
enum dom_code dom_rpc_call_take_payload(struct dom_rpc_call *call, struct dom_error *err);
/* Puts the bytes of `slice` (taken over) into call->out as a message; the caller counts them. */
grpc_byte_buffer *dom_rpc_call_out(struct dom_rpc_call *call, grpc_slice slice);
/* Sends the status and what goes with it; call->trailing and call->reply are set by then. */
void dom_rpc_call_end(struct dom_rpc_call *call, int status, const char *message);
/* The same, later: for a call that was finished while a message was on its way. */
void dom_rpc_call_send_status(struct dom_rpc_call *call);
/* bidi: asks for the next message of the request stream; no message ends the call with OK. */
void dom_rpc_stream_receive(struct dom_rpc_call *call);
void dom_rpc_stream_open(struct dom_rpc_call *call);
void dom_rpc_stream_close(struct dom_rpc_call *call);
/* Ends every bidi stream: a client that keeps one open must not hold up a shutdown. */
void dom_rpc_stream_drain(struct dom_rpc_server *server);
void dom_rpc_stream_on_message(struct dom_rpc_op *op, bool ok);
void dom_rpc_stream_on_request(struct dom_rpc_op *op, bool ok);
void dom_rpc_fail_code(struct dom_rpc_call *call, enum dom_code code, const char *message);

#define DOM_RPC_MESSAGE_BYTES_MAX 512U /* of a status message; the rest is cut off */

/* How much of a message is sent: never more than the limit, never half a character. */
size_t dom_rpc_message_len(const char *message);
/* Serialised google.rpc.Status; the caller unrefs it. */
grpc_slice dom_rpc_status_details(const struct dom_rpc_failure *failure);

/* ---- unknown methods -------------------------------------------------------------------- */

struct dom_rpc_unknown {
    struct dom_rpc_op on_new;
    struct dom_rpc_op on_status;
    struct dom_rpc_server *server;
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
    int cancelled;
};

void dom_rpc_unknown_arm(struct dom_rpc_unknown *slot, struct dom_rpc_server *server);

/* ---- built-in services ------------------------------------------------------------------ */

struct dom_rpc_health;
struct dom_rpc_health *dom_rpc_health_new(void);
void dom_rpc_health_destroy(struct dom_rpc_health *health);
extern const struct dom_rpc_method dom_rpc_health_methods[2];
/* Sets a name's status and tells its watchers. False when the table is full. */
bool dom_rpc_health_set(struct dom_rpc_health *health, struct dom_slice service, bool serving);
/* All names NOT_SERVING for good; watchers are told and their streams ended. */
void dom_rpc_health_drain(struct dom_rpc_health *health);

struct dom_rpc_reflection;
/* `set` is borrowed. `methods` are the paths served, which decides what is listed.
 * Errors: PARSE (not a FileDescriptorSet), RESOURCE (too many symbols). */
enum dom_code dom_rpc_reflection_new(struct dom_rpc_reflection **reflectionp, struct dom_slice set,
                                     const struct dom_rpc_bound *methods, size_t num_methods,
                                     struct dom_error *err) DOM_MUST_USE;
void dom_rpc_reflection_destroy(struct dom_rpc_reflection *reflection);
extern const struct dom_rpc_method dom_rpc_reflection_methods[2];

/* ---- listening -------------------------------------------------------------------------- */

#define DOM_RPC_ADDRESS_SIZE 128
#define DOM_RPC_ADDRESSES_MAX 16

/* Binds every address that `listen` resolves to, each with credentials of its own, and writes the
 * first one's text to server->address. Errors: INVALID (form, does not resolve, not loopback),
 * UNAVAILABLE (cannot bind). */
enum dom_code dom_rpc_listen(struct dom_rpc_server *server, const char *listen,
                             struct dom_error *err) DOM_MUST_USE;

/* ---- the server ------------------------------------------------------------------------- */

/* Written by the I/O thread only, read by any. */
struct dom_rpc_counters {
    atomic_uint_fast64_t started;
    atomic_uint_fast64_t finished;
    atomic_uint_fast64_t rejected;
    atomic_uint_fast64_t cancelled;
    atomic_uint_fast64_t unknown;
    atomic_uint_fast64_t in_flight;
    atomic_uint_fast64_t received;
    atomic_uint_fast64_t sent;
    atomic_uint_fast64_t faults[DOM_RPC_FAULT_COUNT];
};

/* One writer: a plain load and store, without the bus lock that fetch_add would take. */
static inline void dom_rpc_count(atomic_uint_fast64_t *counter, uint64_t by)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
                          memory_order_relaxed);
}

struct dom_rpc_server {
    uint32_t magic;
    grpc_completion_queue *cq;
    grpc_server *server; /* NULL once shut down */
    char address[DOM_RPC_ADDRESS_SIZE];
    const struct dom_rpc_identity_ops *identity;
    void (*refused)(struct dom_rpc_call *call, void *context);
    void *context;
    void (*timer)(void *context);
    uint64_t timer_us; /* UINT64_MAX: not set */
    struct dom_tls *tls;         /* NULL: plain text */
    struct dom_rpc_peers *peers; /* the I/O thread's memory of certificates */
    void *ports[DOM_RPC_ADDRESSES_MAX]; /* of mtls.c; freed at the end */
    size_t num_ports;
    uint64_t handshakes_before; /* the process's count when this server began */
    struct dom_rpc_bound *bound; /* ours first, then built-in ones */
    size_t num_bound;
    unsigned in_flight_max;
    uint64_t drain_grace_ms;
    size_t arena_bytes_max;

    /* Waking the I/O thread (post.c). Lives until destroy: a late post finds it in place. */
    grpc_channel *wake_channel;
    grpc_call *wake_call;
    struct dom_rpc_op on_wake;
    _Atomic(struct dom_rpc_work *) posted;

    pthread_t io_thread; /* set by run */
    struct dom_rpc_call *pool;
    size_t num_pooled;
    size_t num_live;                 /* call objects and unknown slots that are armed or at work */
    size_t num_built_in;             /* built-in calls at work */
    struct dom_rpc_call *bidi_calls; /* open streams, to end them in a drain */
    struct dom_rpc_unknown unknown[DOM_RPC_UNKNOWN_SLOTS];
    struct dom_rpc_health *health;
    struct dom_rpc_reflection *reflection; /* NULL without a descriptor set */

    atomic_bool shutdown_asked;
    struct dom_rpc_work shutdown_work;
    bool draining;
    bool shut_down; /* grpc has said so */
    struct dom_rpc_op on_shutdown;
    struct dom_rpc_counters counters;
};

enum dom_code dom_rpc_post_init(struct dom_rpc_server *server, struct dom_error *err) DOM_MUST_USE;
/* Runs what is still queued, then frees; no other thread may post any more. */
void dom_rpc_post_cleanup(struct dom_rpc_server *server);

#endif
