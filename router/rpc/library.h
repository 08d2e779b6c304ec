/* Starting and ending the gRPC library itself; shared by server and client.
 * TLS in this process is 1.3 and nothing else from then on (docs/decisions/0013).
 * Thread contract: any thread. No fork after the first dom_rpc_library_ref. */
#ifndef DOM_ROUTER_RPC_LIBRARY_H
#define DOM_ROUTER_RPC_LIBRARY_H

/* Initialises grpc (counted) and sends its own messages to our log. */
void dom_rpc_library_ref(void);
void dom_rpc_library_unref(void);

#endif
