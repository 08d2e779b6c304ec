/* Calls of methods that nobody registered. With only registered calls armed the core would let
 * them hang until their deadline; one generic call armed answers them at once. */
#include "router/rpc/internal.h"

static void release(struct dom_rpc_unknown *slot)
{
    if (slot->call != NULL) {
        grpc_call_unref(slot->call);
        slot->call = NULL;
    }
    grpc_metadata_array_destroy(&slot->metadata);
    grpc_call_details_destroy(&slot->details);
    DOM_ASSERT(slot->server->num_live > 0);
    slot->server->num_live--;
}

static void on_status(struct dom_rpc_op *op, bool ok)
{
    struct dom_rpc_unknown *slot = DOM_RPC_OWNER(op, struct dom_rpc_unknown, on_status);

    (void)ok;
    release(slot);
    dom_rpc_unknown_arm(slot, slot->server);
}

static void on_new(struct dom_rpc_op *op, bool ok)
{
    struct dom_rpc_unknown *slot = DOM_RPC_OWNER(op, struct dom_rpc_unknown, on_new);
    grpc_slice message = grpc_slice_from_static_string("the server does not know this method");
    grpc_op ops[3];

    if (!ok) {
        release(slot);
        return;
    }
    dom_rpc_count(&slot->server->counters.unknown, 1);
    memset(ops, 0, sizeof(ops));
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[1].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    ops[1].data.send_status_from_server.status = GRPC_STATUS_UNIMPLEMENTED;
    ops[1].data.send_status_from_server.status_details = &message;
    ops[2].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    ops[2].data.recv_close_on_server.cancelled = &slot->cancelled;
    grpc_call_error rc =
        grpc_call_start_batch(slot->call, ops, 3, dom_rpc_tag(&slot->on_status), NULL);
    DOM_ASSERT(rc == GRPC_CALL_OK);
}

void dom_rpc_unknown_arm(struct dom_rpc_unknown *slot, struct dom_rpc_server *server)
{
    if (server->draining) {
        return;
    }
    slot->on_new = dom_rpc_op_of(on_new);
    slot->on_status = dom_rpc_op_of(on_status);
    slot->server = server;
    slot->call = NULL;
    grpc_call_details_init(&slot->details);
    grpc_metadata_array_init(&slot->metadata);
    server->num_live++;
    grpc_call_error rc =
        grpc_server_request_call(server->server, &slot->call, &slot->details, &slot->metadata,
                                 server->cq, server->cq, dom_rpc_tag(&slot->on_new));
    DOM_ASSERT(rc == GRPC_CALL_OK);
}
