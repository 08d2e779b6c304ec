/* Starting and ending the gRPC library itself; shared by server and client.
 * TLS in this process is 1.3 and nothing else from then on (docs/decisions/0013).
 * Thread contract: any thread. No fork after the first dom_rpc_library_ref. */
#ifndef DOM_ROUTER_RPC_LIBRARY_H
#define DOM_ROUTER_RPC_LIBRARY_H

#include <stdint.h>

/* Initialises grpc (counted) and sends its own messages to our log. */
void dom_rpc_library_ref(void);
/* TLS handshakes that this process has refused, or that were refused to it, since it began. */
uint64_t dom_rpc_library_handshakes_refused(void);
void dom_rpc_library_unref(void);

#endif
