/* Refused TLS handshakes: counted, and logged once for each source and second.
 *
 * gRPC tells of a refused handshake in its log only, with the reason and without the peer, and then
 * shuts the connection's socket down, on the same thread, before it does anything else. So the
 * reason is kept for that thread until its next shutdown(2), which this file sees because the
 * program's own definition of that function comes before the C library's (docs/decisions/0013).
 *
 * Thread contract: any thread.
 */
#ifndef DOM_ROUTER_RPC_HANDSHAKES_H
#define DOM_ROUTER_RPC_HANDSHAKES_H

#include <stdbool.h>
#include <stdint.h>

#define DOM_HANDSHAKE_SOURCES 256U /* remembered, by a hash of the address without its port */

/* Called with every line of gRPC's log; true when it told of a refused handshake. */
bool dom_rpc_handshake_note(const char *message);
/* TLS handshakes that this process has refused, or that were refused to it, since it began. */
uint64_t dom_rpc_handshakes_refused(void);
/* Whether sockets' ends are seen, so that lines name their source. */
bool dom_rpc_handshakes_have_sources(void);

#endif
