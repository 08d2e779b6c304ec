/* Handing work to the I/O thread: a lock-free stack of chains, and one wake-up per filling.
 *
 * The wake-up is an empty batch, which grpc completes at once on the call's queue and which any
 * thread may start. It needs a call that is always at hand, also when nobody calls us: one on a
 * lame channel (it has no transport and never connects), bound to our queue.
 */
#include <grpc/support/time.h>

#include "router/rpc/internal.h"

/* Chains go in reversed, so that taking the whole stack and reversing it once gives the order
 * of posting, within a chain and between chains. */
static struct dom_rpc_work *reverse(struct dom_rpc_work *list)
{
    struct dom_rpc_work *out = NULL;

    while (list != NULL) {
        struct dom_rpc_work *next = list->next;
        list->next = out;
        out = list;
        list = next;
    }
    return out;
}

static void run_posted(struct dom_rpc_server *server)
{
    /* acquire: pairs with the release of the posters. */
    struct dom_rpc_work *list =
        reverse(atomic_exchange_explicit(&server->posted, NULL, memory_order_acquire));

    while (list != NULL) {
        struct dom_rpc_work *next = list->next;
        list->next = NULL;
        list->run(list);
        list = next;
    }
}

static void on_wake(struct dom_rpc_op *op, bool ok)
{
    /* ok is false on a queue that is being shut down; the work is real all the same. */
    (void)ok;
    run_posted(DOM_RPC_OWNER(op, struct dom_rpc_server, on_wake));
}

void dom_rpc_post(struct dom_rpc_server *server, struct dom_rpc_work *first,
                  struct dom_rpc_work *last)
{
    DOM_CHECK_MAGIC(server, DOM_RPC_SERVER_MAGIC);
    DOM_ASSERT(first != NULL);
    DOM_ASSERT(last != NULL);
    last->next = NULL;
    (void)reverse(first); /* now last -> ... -> first */

    struct dom_rpc_work *head = atomic_load_explicit(&server->posted, memory_order_relaxed);
    do {
        first->next = head;
        /* release: what the poster wrote is seen by the work's run. */
    } while (!atomic_compare_exchange_weak_explicit(&server->posted, &head, last,
                                                    memory_order_release, memory_order_relaxed));
    if (head == NULL) {
        /* Only who finds the stack empty wakes: one wake-up is outstanding at most, because the
         * stack becomes empty again only when that wake-up is served. */
        grpc_call_error rc =
            grpc_call_start_batch(server->wake_call, NULL, 0, dom_rpc_tag(&server->on_wake), NULL);
        DOM_ASSERT(rc == GRPC_CALL_OK);
    }
}

enum dom_code dom_rpc_post_init(struct dom_rpc_server *server, struct dom_error *err)
{
    server->on_wake = dom_rpc_op_of(on_wake);
    atomic_init(&server->posted, NULL);
    server->wake_channel =
        grpc_lame_client_channel_create("wake", GRPC_STATUS_UNAVAILABLE, "never used");
    if (server->wake_channel == NULL) {
        return DOM_FAIL(err, DOM_INTERNAL, "grpc has no lame channel");
    }
    server->wake_call = grpc_channel_create_call(
        server->wake_channel, NULL, GRPC_PROPAGATE_DEFAULTS, server->cq,
        grpc_slice_from_static_string("/wake"), NULL, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    if (server->wake_call == NULL) {
        return DOM_FAIL(err, DOM_INTERNAL, "grpc cannot create the wake call");
    }
    return DOM_OK;
}

void dom_rpc_post_cleanup(struct dom_rpc_server *server)
{
    run_posted(server);
    if (server->wake_call != NULL) {
        grpc_call_unref(server->wake_call);
        server->wake_call = NULL;
    }
    if (server->wake_channel != NULL) {
        grpc_channel_destroy(server->wake_channel);
        server->wake_channel = NULL;
    }
}
