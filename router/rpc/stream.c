/* Streams: one message in flight per call, so that a slow reader holds up its own sender and
 * nothing is queued here. */
#include <grpc/slice_buffer.h>

#include "router/rpc/internal.h"

void dom_rpc_call_send(struct dom_rpc_call *call, struct dom_slice message,
                       void (*sent)(struct dom_rpc_call *call, bool ok, void *arg), void *arg)
{
    grpc_op ops[2];
    size_t n = 0;

    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    DOM_ASSERT(call->bound->method.kind == DOM_RPC_SERVER_STREAM);
    DOM_ASSERT(!call->finished);
    DOM_ASSERT(!call->sending);
    memset(ops, 0, sizeof(ops));
    if (!call->started_reply) {
        ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
        call->started_reply = true;
    }
    dom_rpc_count(&call->server->counters.sent, message.len);
    ops[n].op = GRPC_OP_SEND_MESSAGE;
    ops[n++].data.send_message.send_message = dom_rpc_call_out(
        call, grpc_slice_from_copied_buffer((const char *)message.data, message.len));
    call->sending = true;
    call->sent = sent;
    call->sent_arg = arg;
    dom_rpc_call_start(call, ops, n, &call->on_message);
}

void dom_rpc_stream_on_message(struct dom_rpc_op *op, bool ok)
{
    struct dom_rpc_call *call = DOM_RPC_OWNER(op, struct dom_rpc_call, on_message);

    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    call->sending = false;
    grpc_slice_buffer_destroy(&call->out.data.raw.slice_buffer);
    call->out_in_use = false;
    if (!ok) {
        atomic_store_explicit(&call->cancelled, true, memory_order_relaxed);
    }
    if (call->finish_waits) {
        dom_rpc_call_send_status(call);
    } else if (call->sent != NULL) {
        call->sent(call, ok, call->sent_arg);
    }
    dom_rpc_call_unref(call);
}

void dom_rpc_stream_receive(struct dom_rpc_call *call)
{
    grpc_op op;

    if (call->finished) {
        return;
    }
    grpc_byte_buffer_destroy(call->request);
    call->request = NULL;
    /* One question at a time: its memory is free for the next. */
    dom_arena_reset(&call->arena);
    call->identity_state = DOM_RPC_IDENTITY_UNASKED;
    memset(&op, 0, sizeof(op));
    op.op = GRPC_OP_RECV_MESSAGE;
    op.data.recv_message.recv_message = &call->request;
    dom_rpc_call_start(call, &op, 1, &call->on_request);
}

void dom_rpc_stream_open(struct dom_rpc_call *call)
{
    struct dom_rpc_server *server = call->server;

    call->next_bidi = server->bidi_calls;
    call->bidi_link = &server->bidi_calls;
    if (call->next_bidi != NULL) {
        call->next_bidi->bidi_link = &call->next_bidi;
    }
    server->bidi_calls = call;
    dom_rpc_call_go_async(call);
    dom_rpc_stream_receive(call);
}

void dom_rpc_stream_close(struct dom_rpc_call *call)
{
    if (call->bidi_link == NULL) {
        return;
    }
    *call->bidi_link = call->next_bidi;
    if (call->next_bidi != NULL) {
        call->next_bidi->bidi_link = call->bidi_link;
    }
    call->bidi_link = NULL;
}

void dom_rpc_stream_drain(struct dom_rpc_server *server)
{
    for (struct dom_rpc_call *call = server->bidi_calls; call != NULL; call = call->next_bidi) {
        if (!call->finished) {
            dom_rpc_fail_code(call, DOM_UNAVAILABLE, "the server is shutting down");
        }
    }
}

void dom_rpc_stream_on_request(struct dom_rpc_op *op, bool ok)
{
    struct dom_rpc_call *call = DOM_RPC_OWNER(op, struct dom_rpc_call, on_request);
    struct dom_error err = {0};

    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    if (call->finished) {
        /* Ended meanwhile; the late message has no taker. */
    } else if (!ok || call->request == NULL) {
        dom_rpc_call_end(call, 0, NULL);
    } else {
        enum dom_code code = dom_rpc_call_take_payload(call, &err);
        if (code == DOM_OK) {
            call->bound->method.handler(call, call->bound->context);
        } else {
            dom_rpc_fail_code(call, code, err.message);
        }
    }
    dom_rpc_call_unref(call);
}

void dom_rpc_call_on_cancel(struct dom_rpc_call *call,
                            void (*fn)(struct dom_rpc_call *call, void *arg), void *arg)
{
    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    DOM_ASSERT(call->async);
    call->on_cancel = fn;
    call->on_cancel_arg = arg;
}
