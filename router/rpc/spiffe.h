/* SPIFFE ids of this system's one form: spiffe://TRUST-DOMAIN/region/REGION/service/NAME.
 *
 * Pure. One spelling per id: what could be read in two ways is refused, never repaired. Any thread.
 */
#ifndef DOM_ROUTER_RPC_SPIFFE_H
#define DOM_ROUTER_RPC_SPIFFE_H

#include <stdbool.h>

#include "base/slice.h"

#define DOM_SPIFFE_BYTES_MAX 512U

struct dom_spiffe_id {
    struct dom_slice trust_domain;
    struct dom_slice region;
    struct dom_slice service;
};

/* The parts point into `uri`. False when it is not of the form: other scheme or path, an empty
 * segment, `.` or `..`, an upper-case letter, a percent sign, a trailing slash, a query, a
 * fragment, a port, a name over DOM_POLICY_NAME_BYTES_MAX. */
bool dom_spiffe_parse(struct dom_spiffe_id *out, struct dom_slice uri);
/* Whether a trust domain is well formed: [a-z0-9._-], 1 to 255 bytes. */
bool dom_spiffe_trust_domain_valid(struct dom_slice name);

#endif
