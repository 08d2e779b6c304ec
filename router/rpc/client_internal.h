/* What client.c and load.c share. */
#ifndef DOM_ROUTER_RPC_CLIENT_INTERNAL_H
#define DOM_ROUTER_RPC_CLIENT_INTERNAL_H

#include <grpc/grpc.h>

#include "router/rpc/client.h"

#define DOM_RPC_CLIENT_METADATA_MAX 16U

/* Plain text, or mTLS from the files. The caller releases. Errors: IO, PERMISSION, INVALID. */
enum dom_code dom_rpc_client_credentials(grpc_channel_credentials **credsp,
                                         const struct dom_rpc_client_tls *tls,
                                         struct dom_error *err) DOM_MUST_USE;
/* A channel with a connection of its own. NULL when the target is not usable. */
grpc_channel *dom_rpc_client_channel(const char *target, grpc_channel_credentials *creds,
                                     const struct dom_rpc_client_tls *tls);
/* Copies the pairs into slices; the caller unrefs with dom_rpc_client_metadata_free. */
void dom_rpc_client_metadata_copy(grpc_metadata *out, const struct dom_rpc_metadata *in,
                                  size_t num);
void dom_rpc_client_metadata_free(grpc_metadata *metadata, size_t num);

#endif
