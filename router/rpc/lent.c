/* Answers that another thread than the I/O thread sends: see server.h for why and how.
 *
 * One atomic decides who ends the call. Whoever wins it has the call to itself: the other side looks
 * at nothing else of it. References stay the I/O thread's: that of the batch is counted before the
 * call is lent, and given back if it is not used. */
#include <grpc/slice.h>

#include "router/rpc/internal.h"

uint8_t *dom_rpc_call_lend(struct dom_rpc_call *call, size_t len, struct dom_rpc_work *then)
{
    DOM_ASSERT(call->held && !call->async && !call->finished && !call->started_reply);
    DOM_ASSERT(call->bound->method.kind == DOM_RPC_UNARY);
    uint8_t *room = dom_rpc_call_reply_alloc(call, len);
    DOM_ASSERT(room != NULL);
    call->lent_then = then;
    call->refs++; /* of the batch that the other thread starts: the count is not for it */
    /* release: who answers sees the call as it is here. */
    atomic_store_explicit(&call->lent, DOM_RPC_LOAN_OUT, memory_order_release);
    return room;
}

bool dom_rpc_call_claim_lent(struct dom_rpc_call *call)
{
    int out = DOM_RPC_LOAN_OUT;

    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    /* Who wins here has the call to itself until the batch is started. */
    return atomic_compare_exchange_strong_explicit(&call->lent, &out, DOM_RPC_LOAN_CLAIMED,
                                                   memory_order_acq_rel, memory_order_acquire);
}

void dom_rpc_call_answer_lent(struct dom_rpc_call *call, size_t len)
{
    grpc_op ops[DOM_RPC_LAST_BATCH_OPS];

    DOM_ASSERT(atomic_load(&call->lent) == DOM_RPC_LOAN_CLAIMED);
    DOM_ASSERT(len <= GRPC_SLICE_LENGTH(call->reply));
    GRPC_SLICE_SET_LENGTH(call->reply, len);
    call->lent_bytes = len;
    size_t n = dom_rpc_call_last_batch(call, ops);
    dom_rpc_call_start_uncounted(call, ops, n, &call->on_status);
}

bool dom_rpc_call_take_back(struct dom_rpc_call *call)
{
    int out = DOM_RPC_LOAN_OUT;

    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    if (atomic_compare_exchange_strong_explicit(&call->lent, &out, DOM_RPC_LOAN_NONE,
                                                memory_order_acq_rel, memory_order_acquire)) {
        dom_rpc_call_unref(call);
        return true;
    }
    return out == DOM_RPC_LOAN_NONE;
}

void dom_rpc_call_finish_lent(struct dom_rpc_call *call, size_t len)
{
    DOM_ASSERT(call->has_reply && len <= GRPC_SLICE_LENGTH(call->reply));
    GRPC_SLICE_SET_LENGTH(call->reply, len);
    dom_rpc_call_end(call, 0, NULL);
}

void dom_rpc_lent_gone(struct dom_rpc_call *call)
{
    /* Relaxed: the queue hands over what was written before the batch was started. */
    if (atomic_load_explicit(&call->lent, memory_order_relaxed) != DOM_RPC_LOAN_CLAIMED) {
        return;
    }
    call->finished = true; /* not before: the handler that lent it may still be at work */
    dom_rpc_count(&call->server->counters.sent, call->lent_bytes);
    call->lent_then->run(call->lent_then);
    dom_rpc_call_unref(call); /* the handler's reference */
}
