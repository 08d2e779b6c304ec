#include "router/rpc/server.h"

void dom_rpc_echo(struct dom_rpc_call *call, void *context)
{
    struct dom_slice request = dom_rpc_call_request(call);
    uint8_t *reply = dom_rpc_call_reply_alloc(call, request.len);

    (void)context;
    if (reply == NULL) {
        dom_rpc_call_fail(call, &(struct dom_rpc_failure){.code = DOM_RESOURCE});
        return;
    }
    if (request.len > 0) {
        memcpy(reply, request.data, request.len);
    }
    dom_rpc_call_finish(call);
}
