/* The life of a call: armed -> accepted (and its slot armed again at once) -> handler -> last
 * batch -> back to the pool. References count outstanding batches, plus one for the handler
 * until it finishes. */
#include <grpc/slice_buffer.h>
#include <stdlib.h>

#include "router/rpc/internal.h"

#define REJECTED_RETRY_MS 100U

/* ---- objects ---------------------------------------------------------------------------- */

static struct dom_rpc_call *take_object(struct dom_rpc_server *server)
{
    struct dom_rpc_call *call = server->pool;

    if (call != NULL) {
        server->pool = call->next_free;
        server->num_pooled--;
    } else {
        call = malloc(sizeof(*call));
        DOM_ASSERT(call != NULL); /* small and fixed; their number is bounded by admission */
        memset(call, 0, offsetof(struct dom_rpc_call, arena_first));
        dom_arena_init(&call->arena, call->arena_first, sizeof(call->arena_first),
                       server->arena_bytes_max);
    }
    /* The arena and its first block stay as they are. */
    memset(call, 0, offsetof(struct dom_rpc_call, arena));
    server->num_live++;
    return call;
}

static void release(struct dom_rpc_call *call)
{
    struct dom_rpc_server *server = call->server;

    if (call->counted && call->bound->built_in) {
        server->num_built_in--;
    } else if (call->counted) {
        dom_rpc_count(&server->counters.in_flight, (uint64_t)-1);
    }
    dom_rpc_stream_close(call);
    if (call->call != NULL) {
        dom_rpc_count(&server->counters.finished, 1);
        grpc_call_unref(call->call);
    }
    grpc_metadata_array_destroy(&call->metadata);
    grpc_byte_buffer_destroy(call->request);
    if (call->has_reply) {
        grpc_slice_unref(call->reply);
    }
    if (call->out_in_use) {
        grpc_slice_buffer_destroy(&call->out.data.raw.slice_buffer);
    }
    if (call->has_trailing) {
        grpc_slice_unref(call->trailing.value);
    }
    dom_arena_reset(&call->arena);
    call->magic = 0;
    DOM_ASSERT(server->num_live > 0);
    server->num_live--;
    if (server->num_pooled < DOM_RPC_POOL_MAX) {
        call->next_free = server->pool;
        server->pool = call;
        server->num_pooled++;
    } else {
        dom_arena_cleanup(&call->arena);
        free(call);
    }
}

void dom_rpc_call_pool_free(struct dom_rpc_server *server)
{
    while (server->pool != NULL) {
        struct dom_rpc_call *next = server->pool->next_free;
        dom_arena_cleanup(&server->pool->arena);
        free(server->pool);
        server->pool = next;
    }
    server->num_pooled = 0;
}

void dom_rpc_call_unref(struct dom_rpc_call *call)
{
    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    DOM_ASSERT(call->refs > 0);
    call->refs--;
    if (call->refs == 0) {
        release(call);
    }
}

void dom_rpc_call_start_uncounted(struct dom_rpc_call *call, const grpc_op *ops, size_t num_ops,
                                  struct dom_rpc_op *op)
{
    grpc_call_error rc = grpc_call_start_batch(call->call, ops, num_ops, dom_rpc_tag(op), NULL);
    /* Any refusal is a bug here: ops come from this folder, never from a peer. */
    DOM_ASSERT(rc == GRPC_CALL_OK);
}

void dom_rpc_call_start(struct dom_rpc_call *call, const grpc_op *ops, size_t num_ops,
                        struct dom_rpc_op *op)
{
    /* Everything rests on one thread: who finishes a call elsewhere has forgotten to post. */
    DOM_ASSERT(pthread_equal(call->server->io_thread, pthread_self()));
    call->refs++;
    dom_rpc_call_start_uncounted(call, ops, num_ops, op);
}

/* ---- the request ------------------------------------------------------------------------ */

enum dom_code dom_rpc_call_take_payload(struct dom_rpc_call *call, struct dom_error *err)
{
    if (call->request == NULL) {
        return DOM_FAIL(err, DOM_INVALID, "the call carries no request message");
    }
    DOM_ASSERT(call->request->type == GRPC_BB_RAW);
    if (call->request->data.raw.compression != GRPC_COMPRESS_NONE) {
        return DOM_FAIL(err, DOM_UNSUPPORTED, "compressed messages are not supported");
    }
    grpc_slice_buffer *slices = &call->request->data.raw.slice_buffer;
    dom_rpc_count(&call->server->counters.received, slices->length);
    if (slices->count <= 1) {
        /* The usual case: handed on where it lies. The buffer lives as long as the call. */
        call->request_bytes = slices->count == 0
                                  ? dom_slice_of("", 0)
                                  : dom_slice_of(GRPC_SLICE_START_PTR(slices->slices[0]),
                                                 GRPC_SLICE_LENGTH(slices->slices[0]));
        return DOM_OK;
    }
    uint8_t *bytes = dom_arena_alloc(&call->arena, slices->length);
    if (bytes == NULL) {
        return DOM_FAIL(err, DOM_RESOURCE, "the request takes more memory than one call may have");
    }
    call->request_bytes = dom_slice_of(bytes, slices->length);
    for (size_t i = 0; i < slices->count; i++) {
        memcpy(bytes, GRPC_SLICE_START_PTR(slices->slices[i]),
               GRPC_SLICE_LENGTH(slices->slices[i]));
        bytes += GRPC_SLICE_LENGTH(slices->slices[i]);
    }
    /* Copied: the transport may have its memory back. */
    grpc_byte_buffer_destroy(call->request);
    call->request = NULL;
    return DOM_OK;
}

/* Admission, before anything that costs. False when the call was refused. */
static bool admit(struct dom_rpc_call *call)
{
    struct dom_rpc_server *server = call->server;

    if (call->bound->built_in) {
        call->counted = server->num_built_in < DOM_RPC_BUILT_IN_CALLS_MAX;
        server->num_built_in += call->counted;
    } else {
        call->counted = atomic_load_explicit(&server->counters.in_flight, memory_order_relaxed) <
                        server->in_flight_max;
        dom_rpc_count(&server->counters.in_flight, call->counted);
    }
    if (!call->counted) {
        dom_rpc_count(&server->counters.rejected, 1);
        struct dom_rpc_failure failure = {
            .code = DOM_RESOURCE,
            .message = "the server has as many calls at work as it may have",
            .retry_after_ms = REJECTED_RETRY_MS,
        };
        dom_rpc_call_fail(call, &failure);
    }
    return call->counted;
}

static void refuse_caller(struct dom_rpc_call *call)
{
    struct dom_rpc_server *server = call->server;

    dom_rpc_server_count_fault(server, call->identity_fault);
    if (server->refused != NULL) {
        server->refused(call, server->context);
    } else {
        dom_rpc_call_fail_identity(call, call->identity_fault);
    }
    DOM_ASSERT(call->finished || call->async);
}

static void serve(struct dom_rpc_call *call)
{
    struct dom_error err = {0};

    if (!admit(call)) {
        return;
    }
    if (call->bound->method.needs_identity && dom_rpc_call_identity(call) == NULL) {
        refuse_caller(call);
        return;
    }
    if (call->bound->bidi) {
        dom_rpc_stream_open(call);
        return;
    }
    enum dom_code code = dom_rpc_call_take_payload(call, &err);
    if (code != DOM_OK) {
        dom_rpc_fail_code(call, code, err.message);
        return;
    }
    if (call->bound->method.kind == DOM_RPC_SERVER_STREAM) {
        dom_rpc_call_go_async(call);
    }
    call->bound->method.handler(call, call->bound->context);
    /* Still there, even if finished: its last batch completes on this thread, later. */
    DOM_ASSERT(call->finished || call->async || call->held);
}

static void on_new(struct dom_rpc_op *op, bool ok)
{
    struct dom_rpc_call *call = DOM_RPC_OWNER(op, struct dom_rpc_call, on_new);

    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    if (!ok) {
        dom_rpc_call_unref(call);
        return;
    }
    dom_rpc_call_arm(call->server, call->bound);
    dom_rpc_count(&call->server->counters.started, 1);
    serve(call);
}

static void note_cancelled(struct dom_rpc_call *call)
{
    dom_rpc_count(&call->server->counters.cancelled, 1);
    /* relaxed: a hint that work may be dropped; nothing else is published with it. */
    atomic_store_explicit(&call->cancelled, true, memory_order_relaxed);
}

static void on_close(struct dom_rpc_op *op, bool ok)
{
    struct dom_rpc_call *call = DOM_RPC_OWNER(op, struct dom_rpc_call, on_close);

    (void)ok; /* of this operation it is always true */
    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    if (call->close_cancelled != 0) {
        note_cancelled(call);
        if (!call->finished && call->on_cancel != NULL) {
            call->on_cancel(call, call->on_cancel_arg);
        }
    }
    dom_rpc_call_unref(call);
}

static void on_status(struct dom_rpc_op *op, bool ok)
{
    struct dom_rpc_call *call = DOM_RPC_OWNER(op, struct dom_rpc_call, on_status);

    /* With RECV_CLOSE in the batch, ok says nothing about delivery: it is not looked at. */
    (void)ok;
    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    if (!call->async && call->close_cancelled != 0) {
        note_cancelled(call);
    }
    dom_rpc_lent_gone(call);
    dom_rpc_call_unref(call);
}

void dom_rpc_call_arm(struct dom_rpc_server *server, struct dom_rpc_bound *bound)
{
    if (server->draining) {
        return;
    }
    struct dom_rpc_call *call = take_object(server);
    call->magic = DOM_RPC_CALL_MAGIC;
    call->refs = 1;
    call->server = server;
    call->bound = bound;
    call->on_new = dom_rpc_op_of(on_new);
    call->on_close = dom_rpc_op_of(on_close);
    call->on_status = dom_rpc_op_of(on_status);
    call->on_message = dom_rpc_op_of(dom_rpc_stream_on_message);
    call->on_request = dom_rpc_op_of(dom_rpc_stream_on_request);
    atomic_init(&call->cancelled, false);
    grpc_metadata_array_init(&call->metadata);
    grpc_call_error rc = grpc_server_request_registered_call(
        server->server, bound->registered, &call->call, &call->deadline, &call->metadata,
        bound->bidi ? NULL : &call->request, server->cq, server->cq, dom_rpc_tag(&call->on_new));
    DOM_ASSERT(rc == GRPC_CALL_OK);
}

/* ---- the answer ------------------------------------------------------------------------- */

void dom_rpc_call_go_async(struct dom_rpc_call *call)
{
    grpc_op op;

    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    DOM_ASSERT(!call->finished);
    if (call->async) {
        return;
    }
    call->async = true;
    memset(&op, 0, sizeof(op));
    op.op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    op.data.recv_close_on_server.cancelled = &call->close_cancelled;
    dom_rpc_call_start(call, &op, 1, &call->on_close);
}

void dom_rpc_call_hold(struct dom_rpc_call *call)
{
    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    DOM_ASSERT(!call->finished);
    call->held = true;
}

void dom_rpc_call_keep(struct dom_rpc_call *call)
{
    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    DOM_ASSERT(pthread_equal(call->server->io_thread, pthread_self()));
    call->refs++;
}

void dom_rpc_call_drop(struct dom_rpc_call *call)
{
    DOM_ASSERT(pthread_equal(call->server->io_thread, pthread_self()));
    dom_rpc_call_unref(call);
}

uint8_t *dom_rpc_call_reply_alloc(struct dom_rpc_call *call, size_t len)
{
    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    DOM_ASSERT(!call->has_reply);
    if (len > DOM_MESSAGE_BYTES_MAX) {
        return NULL;
    }
    call->reply = grpc_slice_malloc(len);
    call->has_reply = true;
    return GRPC_SLICE_START_PTR(call->reply);
}

grpc_byte_buffer *dom_rpc_call_out(struct dom_rpc_call *call, grpc_slice slice)
{
    grpc_byte_buffer *out = &call->out;

    DOM_ASSERT(!call->out_in_use);
    out->reserved = NULL;
    out->type = GRPC_BB_RAW;
    out->data.raw.compression = GRPC_COMPRESS_NONE;
    grpc_slice_buffer_init(&out->data.raw.slice_buffer);
    grpc_slice_buffer_add(&out->data.raw.slice_buffer, slice);
    call->out_in_use = true;
    return out;
}

size_t dom_rpc_call_last_batch(struct dom_rpc_call *call, grpc_op ops[DOM_RPC_LAST_BATCH_OPS])
{
    size_t n = 0;

    memset(ops, 0, DOM_RPC_LAST_BATCH_OPS * sizeof(*ops));
    if (!call->started_reply) {
        ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
        call->started_reply = true;
    }
    if (call->has_reply) {
        ops[n].op = GRPC_OP_SEND_MESSAGE;
        ops[n++].data.send_message.send_message = dom_rpc_call_out(call, call->reply);
        call->has_reply = false;
    }
    ops[n].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    ops[n].data.send_status_from_server.status = (grpc_status_code)call->status;
    ops[n].data.send_status_from_server.status_details =
        call->status == 0 ? NULL : &call->status_text;
    ops[n].data.send_status_from_server.trailing_metadata_count = call->has_trailing;
    ops[n++].data.send_status_from_server.trailing_metadata = &call->trailing;
    if (!call->async) {
        ops[n].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
        ops[n++].data.recv_close_on_server.cancelled = &call->close_cancelled;
    }
    return n;
}

static void send_status(struct dom_rpc_call *call)
{
    grpc_op ops[DOM_RPC_LAST_BATCH_OPS];

    if (call->has_reply) {
        dom_rpc_count(&call->server->counters.sent, GRPC_SLICE_LENGTH(call->reply));
    }
    size_t n = dom_rpc_call_last_batch(call, ops);
    dom_rpc_call_start(call, ops, n, &call->on_status);
    if (call->status != 0) {
        grpc_slice_unref(call->status_text);
    }
    dom_rpc_call_unref(call); /* the handler's reference */
}

void dom_rpc_call_send_status(struct dom_rpc_call *call)
{
    DOM_ASSERT(call->finished);
    DOM_ASSERT(!call->sending);
    send_status(call);
}

void dom_rpc_call_end(struct dom_rpc_call *call, int status, const char *message)
{
    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    DOM_ASSERT(!call->finished);
    call->finished = true;
    call->status = status;
    if (status != 0) {
        call->status_text = grpc_slice_from_copied_buffer(message, dom_rpc_message_len(message));
    }
    if (call->sending) {
        call->finish_waits = true; /* the status follows the message that is on its way */
        return;
    }
    send_status(call);
}

void dom_rpc_call_finish(struct dom_rpc_call *call)
{
    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    if (!call->has_reply && call->bound->method.kind == DOM_RPC_UNARY && !call->bound->bidi) {
        call->reply = grpc_empty_slice(); /* OK without a message would be a broken unary call */
        call->has_reply = true;
    }
    dom_rpc_call_end(call, 0, NULL);
}

void dom_rpc_call_fail(struct dom_rpc_call *call, const struct dom_rpc_failure *failure)
{
    struct dom_rpc_failure full = *failure;

    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    DOM_ASSERT(failure->code != DOM_OK);
    if (full.message == NULL) {
        full.message = dom_code_text(full.code);
    }
    if (call->has_reply) {
        grpc_slice_unref(call->reply);
        call->has_reply = false;
    }
    call->trailing.key = grpc_slice_from_static_string("grpc-status-details-bin");
    call->trailing.value = dom_rpc_status_details(&full);
    call->has_trailing = true;
    dom_rpc_call_end(call, dom_code_grpc_status(full.code), full.message);
}

void dom_rpc_call_fail_identity(struct dom_rpc_call *call, enum dom_rpc_fault fault)
{
    struct dom_rpc_pair pair = {"identity", dom_slice_str(dom_rpc_fault_reason(fault))};
    struct dom_rpc_failure failure = {.code = DOM_UNAUTHENTICATED,
                                      .message = dom_rpc_fault_text(fault),
                                      .pairs = &pair,
                                      .num_pairs = 1};

    dom_rpc_call_fail(call, &failure);
}

void dom_rpc_fail_code(struct dom_rpc_call *call, enum dom_code code, const char *message)
{
    struct dom_rpc_failure failure = {.code = code, .message = message};

    dom_rpc_call_fail(call, &failure);
}
