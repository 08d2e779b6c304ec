/* Who calls, in the insecure mode: the caller's own word, in metadata. Only for one machine: the
 * server refuses this mode on any address that others can reach. */
#include <grpc/grpc_security.h>

#include "router/rpc/internal.h"

static enum dom_code credentials(struct dom_rpc_server *server, grpc_server_credentials **credsp,
                                 struct dom_error *err)
{
    (void)server;
    *credsp = grpc_insecure_server_credentials_create();
    return *credsp != NULL ? DOM_OK : DOM_FAIL(err, DOM_INTERNAL, "grpc has no credentials");
}

/* The value of a key that occurs exactly once: with two names, who is it? */
static bool only_value(const struct dom_rpc_call *call, const char *key, struct dom_slice *out)
{
    size_t key_len = strlen(key);
    size_t found = 0;

    for (size_t i = 0; i < call->metadata.count; i++) {
        const grpc_metadata *md = &call->metadata.metadata[i];
        if (GRPC_SLICE_LENGTH(md->key) == key_len &&
            memcmp(GRPC_SLICE_START_PTR(md->key), key, key_len) == 0) {
            *out = dom_slice_of(GRPC_SLICE_START_PTR(md->value), GRPC_SLICE_LENGTH(md->value));
            found++;
        }
    }
    return found == 1 && out->len > 0 && out->len <= DOM_POLICY_NAME_BYTES_MAX;
}

static enum dom_rpc_fault identify(struct dom_rpc_call *call, struct dom_rpc_identity *out)
{
    static const char prefix[] = "insecure:";
    size_t prefix_len = sizeof(prefix) - 1;

    if (!only_value(call, "domicile-service", &out->service) ||
        !only_value(call, "domicile-region", &out->region)) {
        return DOM_RPC_FAULT_NO_PROOF;
    }
    uint8_t *subject = dom_arena_alloc(&call->arena, prefix_len + out->service.len);
    if (subject == NULL) {
        return DOM_RPC_FAULT_NO_PROOF;
    }
    memcpy(subject, prefix, prefix_len);
    memcpy(subject + prefix_len, out->service.data, out->service.len);
    out->subject = dom_slice_of(subject, prefix_len + out->service.len);
    return DOM_RPC_FAULT_NONE;
}

const struct dom_rpc_identity_ops dom_rpc_identity_insecure = {
    .name = "insecure-loopback",
    .loopback_only = true,
    .credentials = credentials,
    .identify = identify,
};
