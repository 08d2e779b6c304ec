/* A CA, a server that trusts it, the folder of their files, and callers of every kind. */
#ifndef DOM_TESTS_ROUTER_RPC_TLS_WORLD_H
#define DOM_TESTS_ROUTER_RPC_TLS_WORLD_H

#include "router/rpc/client.h"
#include "tests/router/rpc/certs.h"
#include "tests/router/rpc/harness.h"

#define UNAUTHENTICATED 16

struct world {
    char folder[64];
    char paths[4][160]; /* cert, key, ca, crl of the server */
    struct cert ca;
    struct cert server;
    struct harness harness;
    struct dom_rpc_tls_options tls;
};

void world_begin(struct world *w, bool with_crl);
void world_end(struct world *w);
/* folder/NAME, written to `out`. */
const char *world_path(const struct world *w, const char *name, char out[160]);
void world_write(struct world *w, const char *name, struct dom_slice bytes);
/* A client with the certificate, whose files get this name; it claims to be `root` in `us-9`. */
struct dom_rpc_client *world_client_of(struct world *w, const struct cert *cert,
                                       const struct cert *const *chain, const char *name);
struct dom_rpc_client *world_client_resuming(struct world *w, const struct cert *cert,
                                             const struct cert *const *chain, const char *name,
                                             struct dom_rpc_sessions *sessions);
/* A client with a new certificate of this kind. */
struct dom_rpc_client *world_client(struct world *w, const struct cert_spec *spec);
/* Calls Who: the status; -1 when the reply (or the error's details) does not hold the word. */
int who(struct dom_rpc_client *client, const char *word);
/* Has the server look at its files, and waits for the outcome, which must be this one. */
void world_reload(struct world *w, bool taken);

#endif
