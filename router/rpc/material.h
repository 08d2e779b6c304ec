/* Certificate, key, CA bundle and revocation lists of the server, from files that may change at
 * any time. A thread of its own looks at the files, loads and checks them whole, and only then
 * puts them in place: what is half-written, empty or does not fit together never replaces what
 * works.
 *
 * Thread contract: any thread unless said. A material is immutable and counted by reference.
 */
#ifndef DOM_ROUTER_RPC_MATERIAL_H
#define DOM_ROUTER_RPC_MATERIAL_H

#include <openssl/x509.h>
#include <stdatomic.h>

#include "base/buffer.h"
#include "base/error.h"
#include "router/rpc/server.h"

struct dom_tls_material {
    atomic_uint refs;
    uint64_t generation; /* 1 is the first; grows with every change */
    struct dom_buffer cert_pem;
    struct dom_buffer key_pem;
    struct dom_buffer ca_pem;
    X509_STORE *store;          /* the CA bundle */
    STACK_OF(X509_CRL) * crls;  /* each signed by a CA of the bundle; may be empty */
    int64_t cert_expires_s;     /* Unix time */
    int64_t crl_expires_s;      /* the earliest next update; 0: no list */
};

struct dom_tls;

/* Loads the files and starts the watch. Strings of `options` are copied. Errors: IO, PERMISSION
 * (key readable by others), PARSE, INVALID (what does not fit; the message names the file). */
enum dom_code dom_tls_new(struct dom_tls **tlsp, const struct dom_rpc_tls_options *options,
                          struct dom_error *err) DOM_MUST_USE;
void dom_tls_destroy(struct dom_tls *tls);
const char *dom_tls_trust_domain(const struct dom_tls *tls);
/* What is in force; the caller unrefs. */
struct dom_tls_material *dom_tls_get(struct dom_tls *tls);
void dom_tls_material_unref(struct dom_tls_material *material);
/* The generation in force, without a lock. */
uint64_t dom_tls_generation(const struct dom_tls *tls);
/* Look at the files now. Returns at once. */
void dom_tls_nudge(struct dom_tls *tls);
void dom_tls_counts(struct dom_tls *tls, uint64_t *reloads, uint64_t *failed);

#endif
