/* What a handler may ask about its call. */
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <stdio.h>

#include "router/rpc/internal.h"

#define TRACE_ID_LEN 32U
#define TRACEPARENT_LEN 55U /* 2 + 1 + 32 + 1 + 16 + 1 + 2 */

struct dom_slice dom_rpc_call_request(const struct dom_rpc_call *call)
{
    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    return call->request_bytes;
}

struct dom_arena *dom_rpc_call_arena(struct dom_rpc_call *call)
{
    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    return &call->arena;
}

struct dom_rpc_server *dom_rpc_call_server(const struct dom_rpc_call *call)
{
    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    return call->server;
}

const struct dom_rpc_identity *dom_rpc_call_identity(const struct dom_rpc_call *call)
{
    /* Found at the first question: not every method asks. The answer is a cache, not a change. */
    struct dom_rpc_call *cache = (struct dom_rpc_call *)(uintptr_t)call;

    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    if (cache->identity_state == DOM_RPC_IDENTITY_UNASKED) {
        cache->identity_fault = cache->server->identity->identify(cache, &cache->identity);
        cache->identity_state = cache->identity_fault == DOM_RPC_FAULT_NONE
                                    ? DOM_RPC_IDENTITY_KNOWN
                                    : DOM_RPC_IDENTITY_NONE;
    }
    return cache->identity_state == DOM_RPC_IDENTITY_KNOWN ? &cache->identity : NULL;
}

enum dom_rpc_fault dom_rpc_call_identity_fault(const struct dom_rpc_call *call,
                                               const struct dom_rpc_identity **identityp)
{
    (void)dom_rpc_call_identity(call);
    *identityp = &call->identity;
    return call->identity_fault;
}

void dom_rpc_call_peer(const struct dom_rpc_call *call, char *out, size_t out_size)
{
    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    char *peer = grpc_call_get_peer(call->call);
    (void)snprintf(out, out_size, "%s", peer == NULL ? "" : peer);
    gpr_free(peer);
}

const char *dom_rpc_call_path(const struct dom_rpc_call *call)
{
    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    return call->bound->method.path;
}

struct dom_slice dom_rpc_call_metadata(const struct dom_rpc_call *call, const char *key)
{
    size_t key_len = strlen(key);

    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    for (size_t i = 0; i < call->metadata.count; i++) {
        /* By pointer: a short slice holds its bytes inside itself. */
        const grpc_metadata *md = &call->metadata.metadata[i];
        if (GRPC_SLICE_LENGTH(md->key) == key_len &&
            memcmp(GRPC_SLICE_START_PTR(md->key), key, key_len) == 0) {
            return dom_slice_of(GRPC_SLICE_START_PTR(md->value), GRPC_SLICE_LENGTH(md->value));
        }
    }
    return dom_slice_of(NULL, 0);
}

uint64_t dom_rpc_call_deadline_us(const struct dom_rpc_call *call)
{
    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    if (gpr_time_cmp(call->deadline, gpr_inf_future(call->deadline.clock_type)) == 0) {
        return UINT64_MAX;
    }
    /* gpr's monotonic clock is CLOCK_MONOTONIC, which base/clock.h reads too. */
    gpr_timespec at = gpr_convert_clock_type(call->deadline, GPR_CLOCK_MONOTONIC);
    if (at.tv_sec < 0) {
        return 0;
    }
    return (uint64_t)at.tv_sec * 1000000U + (uint64_t)at.tv_nsec / 1000U;
}

bool dom_rpc_call_cancelled(const struct dom_rpc_call *call)
{
    DOM_CHECK_MAGIC(call, DOM_RPC_CALL_MAGIC);
    return atomic_load_explicit(&call->cancelled, memory_order_relaxed);
}

/* Lower-case hex digits only, at least one of them not 0. */
static bool is_id(const uint8_t *text, size_t len)
{
    bool any = false;

    for (size_t i = 0; i < len; i++) {
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f'))) {
            return false;
        }
        any = any || text[i] != '0';
    }
    return any;
}

void dom_rpc_call_trace_id(const struct dom_rpc_call *call, char out[33])
{
    struct dom_slice text = dom_rpc_call_metadata(call, "traceparent");

    memset(out, '0', TRACE_ID_LEN);
    out[TRACE_ID_LEN] = '\0';
    /* W3C Trace Context 3.2: version "-" trace-id "-" parent-id "-" flags. A later version may
     * append "-...", version ff is none. */
    if (text.len < TRACEPARENT_LEN || (text.len > TRACEPARENT_LEN && text.data[55] != '-')) {
        return;
    }
    bool v00 = text.data[0] == '0' && text.data[1] == '0';
    bool ff = text.data[0] == 'f' && text.data[1] == 'f';
    if (ff || (v00 && text.len != TRACEPARENT_LEN) || (!v00 && !is_id(text.data, 2)) ||
        text.data[2] != '-' || text.data[35] != '-' || text.data[52] != '-') {
        return;
    }
    if (is_id(text.data + 3, TRACE_ID_LEN) && is_id(text.data + 36, 16)) {
        memcpy(out, text.data + 3, TRACE_ID_LEN);
    }
}
